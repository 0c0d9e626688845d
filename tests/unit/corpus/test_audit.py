"""The audit: what it counts, what it says in words, and a page that no document can break."""

import pytest

from sagecraft.corpus import bias
from sagecraft.corpus.audit import (
    FREE,
    LIMITED,
    NONE_STATED,
    SILENT,
    TRAIN_ONLY,
    Audit,
    bin_start,
    length_bin,
    use_of,
)
from sagecraft.corpus.dedup_report import DuplicateAudit
from sagecraft.corpus.documents import Document, Dropped, write_documents
from sagecraft.corpus.facts import Facts
from sagecraft.corpus.ingest import IngestConfig
from sagecraft.corpus.ingest_report import write_report
from sagecraft.corpus.reference import compare, read_reference
from sagecraft.errors import UserError

EVIL = '<script>alert("x")</script>'


def facts(num_words=100, language="en", num_commands=0, **counts):
    return Facts(
        num_words=num_words,
        num_chars=6 * num_words,
        num_display=1,
        num_inline=2,
        num_commands=num_commands,
        language=language,
        measures={},
        counts=counts,
    )


def document(number=0, **values):
    return Document(**({"id": f"d{number}", "text": "x", "title": "T", "year": 2020, "license": "CC0-1.0"} | values))


def audit_of(*rows) -> Audit:
    audit = Audit()
    for number, (values, stated) in enumerate(rows):
        audit.keep(document(number, **values), facts(**stated), "books")
    return audit


def test_groups_count_documents_and_words():
    audit = audit_of(
        ({"categories": ["a", "b", "a"], "year": 2019}, {"num_words": 300}),
        ({"categories": ["a"], "license": "unknown", "title": " "}, {"language": "de", "num_commands": 4}),
        ({"year": None, "license": "CC-BY-NC-4.0"}, {"num_words": 600}),
    )
    categories = audit.groups["category"]
    assert {name: (group.documents, group.words) for name, group in categories.items()} == {
        "a": (2, 400),
        "b": (1, 300),
        NONE_STATED: (1, 600),
    }
    assert audit.largest("category") == ["a", "b"]
    assert audit.years() == [2019, 2020]
    assert audit.share_of_words("use", FREE) == 0.3
    stats = audit.stats()
    assert stats["languages"] == {"de": {"documents": 1, "words": 100}, "en": {"documents": 2, "words": 900}}
    assert stats["years"] == {
        "2019": {"documents": 1, "words": 300},
        "2020": {"documents": 1, "words": 100},
        NONE_STATED: {"documents": 1, "words": 600},
    }
    assert stats["licenses"] == {"CC-BY-NC-4.0": 1, "CC0-1.0": 1, "unknown": 1}
    assert stats["num_tokens_estimated"] == round(6000 / 4.3)
    assert stats["health"] == {"no_authors": 3, "no_categories": 1, "no_title": 1, "no_year": 1, "with_commands": 1}
    assert stats["num_commands_left"] == 4


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("CC0-1.0", FREE),
        ("CC-BY-4.0", FREE),
        ("CC-BY-SA-4.0", FREE),
        ("CC-BY-NC-4.0", LIMITED),
        ("CC-BY-ND-4.0", LIMITED),
        ("All rights reserved", LIMITED),
        ("arXiv-nonexclusive-1.0", TRAIN_ONLY),
        ("arXiv-unstated", TRAIN_ONLY),
        ("unknown", SILENT),
    ],
)
def test_what_may_be_done_with_a_licence(name, use):
    assert use_of(name) == use


def test_bins_of_lengths():
    for number in range(31):
        assert length_bin(bin_start(number)) == number
        assert number == 0 or length_bin(bin_start(number) - 1) < number
    assert length_bin(0) == 0


def test_the_summary_says_the_bias():
    audit = Audit()
    for number in range(90):
        audit.keep(
            document(number, year=2025, categories=["a"], license="arXiv-nonexclusive-1.0"), facts(), "abstracts"
        )
    for number in range(10):
        values = {"year": 1990 + number, "categories": ["b"], "license": "unknown"}
        audit.keep(document(number, **values), facts(2000, language="fr"), "books")
    audit.drop(Dropped("x", "y", "too-short"))
    text = " ".join(bias.summary(audit, []))
    assert "1 of 101 (0.99%) were kept aside" in text
    assert "the sources books (69%) and abstracts (31%)." in text
    assert "half are of 2025 or later; nine in ten lie within 1994 to 2025" in text
    assert "fr (69% of the words), en (31% of the words)" in text
    assert "half of the words stand in documents of 1,600 words and more" in text
    assert "None of the words may be republished; 31% are under arXiv's own licence" in text
    warned = " ".join(bias.warnings(audit, []))
    assert "one source has 69% of the words (books)" in warned
    assert "one year has 90% of the dated documents (2025)" in warned
    assert "31% of the words are in other languages than the first" in warned
    assert "69% of the words have no licence" in warned


def test_an_even_corpus_has_no_warning():
    rows = [({"year": 2000 + n, "categories": [f"c{n}"]}, {}) for n in range(10)]
    assert bias.warnings(audit_of(*rows), []) == []
    assert bias.summary(Audit(), []) == ["Nothing was kept."]


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0%"), (0.0004, "<0.1%"), (0.034, "3.4%"), (0.123, "12%"), (0.9996, ">99.9%"), (1.0, "100%")],
)
def test_percentages(share, said):
    assert bias.percent(share) == said


def test_a_reference_finds_what_is_too_many_and_too_few(tmp_path):
    file = tmp_path / "field.csv"
    file.write_text("key,share\na,10\nb,70\nc,20\n")
    audit = audit_of(*[({"categories": ["a"]}, {})] * 6, *[({"categories": ["b"]}, {})] * 4, ({}, {}))
    [found] = compare(audit, read_reference(file), "field.csv")
    assert [(each.name, each.here, each.there) for each in found.differences] == [
        ("a", 0.6, 0.1),
        ("b", 0.4, 0.7),
        ("c", 0.0, 0.2),
    ]
    assert found.distance == pytest.approx(0.5)
    assert found.differences[0].ratio == pytest.approx(6.0)
    [sentence] = bias.compared(found)
    assert "50% of the documents would have to be others to be like field.csv" in sentence
    assert "too many of a (60% here, 10% there), too few of b (40% here, 70% there), none of c." in sentence
    assert "9.1% of the documents state no category" in sentence


def test_a_reference_of_years_of_jsonl_and_of_documents(tmp_path):
    (tmp_path / "years.jsonl").write_text('{"key": 2019, "share": 0.25}\n{"key": "2020", "share": 0.25}\n')
    assert read_reference(tmp_path / "years.jsonl") == {"year": {"2019": 0.5, "2020": 0.5}}
    rows = [document(1, categories=["a", "b"]), document(2, categories=["a"], year=None), document(3, year=1999)]
    write_documents(tmp_path, rows)
    shares = read_reference(tmp_path)
    assert shares["category"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3)}
    assert shares["year"] == {"2020": 0.5, "1999": 0.5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2\n", "field.csv:2: has no `key` and `share`"),
        ("key,share\na,many\n", "field.csv:2: share 'many' is not a number"),
        ("key,share\na,-1\n", "field.csv:2: share '-1' is not a number"),
        ("key,share\na,nan\n", "share 'nan'"),
        ("key,share\na,1\na,2\n", "field.csv:3: key 'a' is given twice"),
        ("key,share\n,1\n", "key '' is empty"),
        ("key,share\na,0\n", "states no category and no year"),
        ("", "states no category and no year"),
        ("\xff\xfe\x00", "not a CSV or JSONL file"),
    ],
)
def test_wrong_references(tmp_path, text, said):
    file = tmp_path / "field.csv"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=said):
        read_reference(file)


def test_a_folder_without_documents_is_no_reference(tmp_path):
    with pytest.raises(UserError, match="holds no documents"):
        read_reference(tmp_path)


def test_the_page_escapes_everything_and_draws_what_is_large(tmp_path):
    (tmp_path / "field.csv").write_text(f"key,share\n{EVIL.replace(',', '')},1\nb,2\nc,3\n")
    audit = Audit()
    for number in range(60):
        values = {"id": EVIL, "title": EVIL, "categories": [EVIL, f"c{number % 5}"], "license": EVIL, "format": EVIL}
        stated = facts(10 ** (1 + number % 4), language="en", citations=3, citations_resolved=2, kept_verbatim=1)
        audit.keep(Document(text=EVIL, year=1950 + number, **values), stated, EVIL)
    audit.drop(Dropped(EVIL, EVIL, EVIL, EVIL, EVIL))
    comparisons = compare(audit, read_reference(tmp_path / "field.csv"), EVIL)
    write_report(tmp_path / "report.html", audit, DuplicateAudit(61), IngestConfig(paths=[EVIL]), comparisons)
    page = (tmp_path / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert page.count("<svg") >= 4
    for said in (
        "By year",
        "By length",
        "Licences",
        "120 of 180",
        "as they were written: 60.",
        "How well it was read",
    ):
        assert said in page


def test_the_page_of_a_small_corpus_needs_no_drawings(tmp_path):
    audit = audit_of(({"categories": ["a"]}, {}))
    write_report(tmp_path / "report.html", audit, DuplicateAudit(1), IngestConfig(paths=["x"]))
    page = (tmp_path / "report.html").read_text()
    assert "<svg" not in page
    assert "Nothing was dropped." in page
