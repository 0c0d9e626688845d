import json

import pytest
from pydantic import ValidationError

from sagecraft.artifact import load
from sagecraft.corpus.documents import Document, read_documents, write_documents
from sagecraft.corpus.withhold import WithholdConfig, _Patterns, run
from sagecraft.errors import UserError


def words(seed, count=60):
    return " ".join(f"{seed}{number}" for number in range(count))


def documents():
    return [
        Document(id="a/1", text=words("a"), withheld=True),
        Document(id="a/2", text=words("b"), withheld=False),
        *(Document(id=f"b/{number}", text=words(f"c{number}x")) for number in range(10)),
    ]


def withhold(tmp_path, rows=None, name="out", **config):
    source = tmp_path / "source"
    write_documents(source, documents() if rows is None else rows)
    inputs = {"documents": source} | ({"file": config["file"]} if "file" in config else {})
    config |= {"file": str(config["file"])} if "file" in config else {}
    manifest = run(WithholdConfig(**config), inputs, tmp_path / name)
    rules = [json.loads(line) for line in (tmp_path / name / "withheld.jsonl").read_text().splitlines()]
    return manifest, {row["id"]: (row["rule"], row["detail"]) for row in rules}


def ids(path):
    return [document.id for document in read_documents(path)]


def test_flags_are_respected(tmp_path):
    manifest, rules = withhold(tmp_path)
    assert rules == {"a/1": ("flagged", "")}
    assert ids(tmp_path / "out/withheld") == ["a/1"]
    assert ids(tmp_path / "out/training") == ["a/2", *(f"b/{number}" for number in range(10))]
    assert {document.withheld for document in read_documents(tmp_path / "out/training")} == {False}
    assert {document.withheld for document in read_documents(tmp_path / "out/withheld")} == {True}
    assert manifest.stats["num_withheld"] == 1
    assert load(tmp_path / "out", "documents") == manifest


def test_patterns_go_before_flags(tmp_path):
    _, rules = withhold(tmp_path, ids=["a/2", "b/[01]"], flagged=False)
    assert rules == {"a/2": ("ids", "a/2"), "b/0": ("ids", "b/[01]"), "b/1": ("ids", "b/[01]")}


def test_an_identifier_with_brackets_is_found(tmp_path):
    rows = [*documents(), Document(id="x[1]", text=words("x"))]
    assert withhold(tmp_path, rows, ids=["x[1]"])[1]["x[1]"] == ("ids", "x[1]")


def test_a_pattern_that_matches_nothing(tmp_path):
    with pytest.raises(UserError, match=r"'b/33' matches no document.*nearest is 'b/3'"):
        withhold(tmp_path, ids=["b/33"])


def test_the_draw_is_keyed_and_among_the_undecided(tmp_path):
    first = withhold(tmp_path, fraction=0.3)[1]
    assert sum(rule == "fraction" for rule, _ in first.values()) == 3
    assert all(name.startswith("b/") for name, (rule, _) in first.items() if rule == "fraction")
    assert withhold(tmp_path, name="again", fraction=0.3)[1] == first
    assert any(withhold(tmp_path, name=f"s{seed}", fraction=0.3, seed=seed)[1] != first for seed in (1, 2, 3))


def test_a_draw_of_a_small_fraction_takes_one(tmp_path):
    assert sum(rule == "fraction" for rule, _ in withhold(tmp_path, fraction=0.01)[1].values()) == 1


def test_near_duplicates_go_along_and_take_theirs_with_them(tmp_path):
    base = words("a", 100).split()
    rows = [
        *documents()[2:],
        Document(id="original", text=" ".join(base), withheld=True),
        Document(id="preprint", text=" ".join(base[:70]) + " " + words("p", 50)),
        Document(id="of-preprint", text=words("p", 50)),
        Document(id="quotes", text=" ".join(base[:20]) + " " + words("q", 200), withheld=False),
    ]
    _, rules = withhold(tmp_path, rows, near_duplicates=0.5)
    assert set(rules) == {"original", "preprint", "of-preprint"}
    assert rules["preprint"] == ("near-duplicate", "original (0.66)")
    assert rules["of-preprint"] == ("near-duplicate", "preprint (1.00)")
    assert set(withhold(tmp_path, rows, name="off", near_duplicates=None)[1]) == {"original"}


def test_nothing_left_to_train_on(tmp_path):
    with pytest.raises(UserError, match="all 12 documents are withheld"):
        withhold(tmp_path, ids=["*"])


def test_nothing_withheld(tmp_path):
    with pytest.raises(UserError, match=r"set withhold.fraction or withhold.ids"):
        withhold(tmp_path, documents()[1:])
    manifest, rules = withhold(tmp_path, documents()[1:], min_withheld=0)
    assert rules == {}
    assert manifest.stats["num_withheld"] == 0
    assert ids(tmp_path / "out/withheld") == []


def test_two_runs_give_the_same_bytes(tmp_path):
    one, two = withhold(tmp_path, name="one", fraction=0.2)[0], withhold(tmp_path, name="two", fraction=0.2)[0]
    assert one == two


def test_a_file_names_what_is_withheld(tmp_path):
    listed = tmp_path / "reviews.txt"
    listed.write_text("# the reviews\n\nb/3\nb/[45]\n")
    assert set(withhold(tmp_path, file=listed, flagged=False)[1]) == {"b/3", "b/4", "b/5"}
    listed.write_text("b/99\n")
    with pytest.raises(UserError, match=r"withhold\.ids: 'b/99' matches no document"):
        withhold(tmp_path, file=listed, name="again")


def test_categories_and_years(tmp_path):
    rows = [
        Document(id="x", text=words("x"), categories=["astro-ph.CO", "gr-qc"], year=2020),
        Document(id="y", text=words("y"), categories=["astro-ph.GA"], year=2024),
        Document(id="z", text=words("z"), year=2025),
        *documents(),
    ]
    _, rules = withhold(tmp_path, rows, categories=["*.CO"], years=(2024, 2025), flagged=False)
    assert rules == {"x": ("categories", "*.CO"), "y": ("years", "2024"), "z": ("years", "2025")}
    with pytest.raises(UserError, match=r"withhold\.categories: 'astro-ph.EP' matches no.*'astro-ph.GA'"):
        withhold(tmp_path, rows, categories=["astro-ph.EP"], name="again")


def test_a_list_of_another_editor_and_years_that_match_nothing(tmp_path):
    listed = tmp_path / "reviews.txt"
    listed.write_bytes("\ufeffb/3\r\n# a remark\r\nb/[45]\r\n".encode())
    assert set(withhold(tmp_path, file=listed, flagged=False)[1]) == {"b/3", "b/4", "b/5"}
    listed.write_bytes(b"caf\xe9\n")
    with pytest.raises(UserError, match=r"withhold\.file: .*not UTF-8"):
        withhold(tmp_path, file=listed, name="again")
    with pytest.raises(ValidationError, match=r"first and last in this order, not \[2024, 2020\]"):
        WithholdConfig(years=(2024, 2020))
    with pytest.raises(UserError, match=r"withhold\.years: no document of .* from 2030 to 2031"):
        withhold(tmp_path, years=(2030, 2031), name="years")


def test_many_plain_names_cost_no_comparisons():
    patterns = _Patterns([f"paper-{n}" for n in range(5000)] + ["x[1]", "r*"])
    assert len(patterns._wild) == 2
    assert patterns.of("paper-17") == ["paper-17"]
    assert patterns.of("x[1]") == ["x[1]"]
    assert patterns.of("x1") == ["x[1]"]
    assert patterns.of("review\n2") == ["r*"]


def test_another_version_of_a_withheld_paper_goes_with_it(tmp_path):
    chapters = [
        Document(id=f"book/{n}", text=words(f"k{n}y"), extra=json.dumps({"identifier": "10.1000/book.1"}))
        for n in (1, 2)
    ]
    rows = [
        Document(id="2401.00001v2", text=words("new")),
        Document(id="lit/preprint", text=words("old"), extra=json.dumps({"arxiv_id": "2401.00001v1"})),
        *chapters,
        *documents(),
    ]
    _, rules = withhold(tmp_path, rows, ids=["2401.00001v2", "book/1"], flagged=False)
    assert set(rules) == {"2401.00001v2", "lit/preprint", "book/1"}
    assert rules["lit/preprint"][0] == "same-identifier"
