import json
import os
import weakref
from pathlib import Path

import pytest

from sagecraft.artifact import load
from sagecraft.corpus import assemble, tasks
from sagecraft.corpus.audit import Audit
from sagecraft.corpus.dedup import DedupConfig
from sagecraft.corpus.documents import Document, read_documents, read_dropped
from sagecraft.corpus.facts import facts_of
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.ingest import IngestConfig, SourceConfig, run
from sagecraft.corpus.marks import text_hash
from sagecraft.corpus.readers import jsonl
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.sources.files import Source, cut_item, list_source
from sagecraft.corpus.tasks import with_title
from sagecraft.errors import UserError

PROSE = "The spectrum of the star number {} shows strong lines of ionized calcium and weak lines of helium. "


def prose(key, sentences=4):
    return "".join(PROSE.format(f"{key}{number}") for number in range(sentences))


@pytest.fixture
def corpus(tmp_path) -> Path:
    root = tmp_path / "lit"
    (root / "deep").mkdir(parents=True)
    (root / "b.md").write_text(f"---\ntitle: Second\nlicense: CC BY 4.0\n---\n{prose('b')}")
    (root / "a.txt").write_text(f"First one\n\n{prose('a')}")
    (root / "deep/c.html").write_text(f"<title>Third</title><p>{prose('c')}</p>")
    rows = [{"id": "j1", "title": "Row", "abstract": prose("j")}, {"text": prose("k")}]
    (root / "deep/d.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    paper = root / "paper"
    paper.mkdir()
    body = "\\section{One}\nAs $x$ in \\input{part}"
    (paper / "main.tex").write_text(
        f"\\documentclass{{article}}\\title{{Fourth}}\\begin{{document}}\\maketitle {body}\\end{{document}}"
    )
    (paper / "part.tex").write_text(prose("t"))
    for name in ("README.md", "LICENSE", "LICENSE-NOTE.txt", "refs.bib", "questions.jsonl", ".hidden.md"):
        (root / name).write_text(prose("no document"))
    return root


def ingest(tmp_path, *paths, name="out", **config):
    inputs = {f"path{n}": Path(p.path if isinstance(p, SourceConfig) else p) for n, p in enumerate(paths)}
    written = [p if isinstance(p, SourceConfig) else str(p) for p in paths]
    out = tmp_path / name
    rules = FilterConfig(min_words=config.pop("min_words", 20), licenses=config.pop("licenses", None))
    manifest = run(IngestConfig(paths=written, filters=rules, **config), inputs, out)
    return manifest, {document.id: document for document in read_documents(out)}


def drops(tmp_path, name="out"):
    return {row.id: row.reason for row in read_dropped(tmp_path / name)}


def test_every_format_of_a_folder(tmp_path, corpus):
    manifest, found = ingest(tmp_path, corpus)
    assert {name: document.format for name, document in found.items()} == {
        "lit/a": "text",
        "lit/b": "markdown",
        "lit/deep/c": "html",
        "j1": "jsonl",
        "lit/deep/d#2": "jsonl",
        "lit/paper": "latex",
    }
    assert list(found) == ["lit/a", "lit/b", "lit/deep/c", "j1", "lit/deep/d#2", "lit/paper"]
    assert found["lit/b"].license == "CC-BY-4.0"
    assert found["lit/a"].license == "unknown"
    assert found["lit/paper"].title == "Fourth"
    assert "number t0" in found["lit/paper"].text
    assert found["lit/deep/c"].source == f"{corpus}/deep/c.html"
    assert found["j1"].text.startswith("# Row\n\nThe spectrum")
    assert manifest.stats["num_documents"] == 6
    assert manifest.stats["num_dropped"] == 0
    assert load(tmp_path / "out", "documents") == manifest


def test_two_runs_and_other_shards_hold_the_same(tmp_path, corpus):
    first, found = ingest(tmp_path, corpus)
    assert ingest(tmp_path, corpus, name="again")[0] == first
    manifest, sharded = ingest(tmp_path, corpus, name="sharded", shard_documents=2)
    assert sharded == found
    assert sum(name.startswith("documents/") for name in manifest.files) == 3


def test_sidecars_override(tmp_path, corpus):
    rows = [
        {"path": "a.txt", "id": "one", "title": "Given", "withheld": True, "license": "CC0", "band": "X"},
        {"path": "paper/main.tex", "id": "four", "authors": ["A B"], "year": 2020, "categories": ["stars"]},
        {"path": "deep", "id": "ignored"},
    ]
    (corpus / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    (corpus / "deep/metadata.jsonl").write_text(json.dumps({"path": "d.jsonl", "license": "MIT", "id": "no"}))
    found = ingest(tmp_path, corpus)[1]
    one = found["one"]
    assert (one.title, one.withheld, one.license, json.loads(one.extra)) == ("Given", True, "CC0-1.0", {"band": "X"})
    four = found["four"]
    assert (four.authors, four.year, four.categories) == (["A B"], 2020, ["stars"])
    assert found["j1"].license == found["lit/deep/d#2"].license == "MIT"


def test_a_latex_folder_named_by_itself(tmp_path, corpus):
    (corpus / "metadata.jsonl").write_text(json.dumps({"path": "paper", "id": "four"}))
    assert "four" in ingest(tmp_path, corpus)[1]
    assert list(ingest(tmp_path, corpus / "paper", name="folder")[1]) == ["paper"]
    assert list(ingest(tmp_path, corpus / "paper/main.tex", name="file")[1]) == ["paper/main"]


def test_drops_have_their_reasons(tmp_path, corpus):
    (corpus / "short.md").write_text("Too short.")
    (corpus / "e.txt").write_text(f"First one\n\n{prose('a').upper()}")
    (corpus / "deep/e.jsonl").write_text(json.dumps({"id": "j1", "text": prose("other")}))
    (corpus / "image.png").write_bytes(b"\x89PNG")
    (corpus / "binary.txt").write_bytes(b"\x00\x01" * 500)
    (corpus / "bad.cnxml").write_text("<document><open>")
    (corpus / "zz.txt").write_text("~~^^@@ \\\\ ¬¬¦¦ " * 60)
    manifest, found = ingest(tmp_path, corpus)
    assert drops(tmp_path) == {
        "lit/short": "too-short",
        "lit/e": "duplicate-text",
        "j1": "duplicate-id",
        "lit/image.png": "no-reader",
        "lit/binary": "binary",
        "lit/bad": "bad-xml",
        "lit/zz": "non-text",
    }
    assert manifest.stats["dropped"]["duplicate-id"] == 1
    assert len(found) == 6
    page = (tmp_path / "out/report.html").read_text()
    assert "duplicate-text" in page
    assert "repeats lit/a" in page


def test_files_of_one_stem_are_told_apart(tmp_path, corpus):
    (corpus / "a.md").write_text(prose("other"))
    (corpus / "a.txt.md").write_text(prose("third"))
    assert {"lit/a.txt", "lit/a.md", "lit/a.txt.md"} < set(ingest(tmp_path, corpus)[1])


def test_a_name_that_is_not_utf8_costs_its_file_alone(tmp_path, corpus):
    for name in (b"r\xe9sum\xe9.txt", b"f\xe9/x.txt"):
        path = Path(os.fsdecode(os.fsencode(corpus) + b"/" + name))
        path.parent.mkdir(exist_ok=True)
        path.write_text(prose("latin"))
    _, found = ingest(tmp_path, corpus)
    assert len(found) == 6
    assert drops(tmp_path) == {"lit/r\\xe9sum\\xe9.txt": "bad-name", "lit/f\\xe9": "bad-name"}


def test_a_row_that_cannot_be_cleaned_costs_itself_alone(corpus, monkeypatch):
    def fail(text):
        if "number k" in text:
            raise KeyError("a bug of the cleaning")
        return text

    monkeypatch.setattr(tasks, "clean", fail)
    good, bad = (Document(id=name, text=prose(name), source="s") for name in "jk")
    assert isinstance(tasks._judge_safely(good, FilterConfig())[0], Document)
    dropped = tasks._judge_safely(bad, FilterConfig())
    assert (dropped.id, dropped.reason) == ("k", "reader-failed")


def test_a_part_of_any_size_is_written_as_it_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "_MARKS_IN_FILE", 200)
    documents = [Document(id=f"d{n}", text=prose(f"{n}-")) for n in range(600)]
    writer = tasks.PartWriter(tmp_path, DedupConfig(), 0)
    held = 0
    for document in documents:
        writer.keep(document, facts_of(document))
        held = max(held, len(writer._facts), len(writer._marks) * 128)
    writer.finish()
    assert held <= 256
    marks = list(tasks.marks_of(tmp_path))
    assert [len(each) for each in marks] == [256, 256, 88]
    assert len((tmp_path / tasks.FACTS).read_text().splitlines()) == 600


def test_bad_lines_of_a_large_file_do_not_cost_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonl, "_MAX_ERRORS", 3)
    file = tmp_path / "a.jsonl"
    good = [json.dumps({"text": prose(f"g{n}-")}) for n in range(10)]
    file.write_text("\n".join([*good, *["no json"] * 6, *good]))
    assert sum(isinstance(found, Found) for found in jsonl.read_jsonl_documents(file, tmp_path)) == 20
    file.write_text("\n".join([*["no json"] * 6, *good]))
    assert [found.reason for found in jsonl.read_jsonl_documents(file, tmp_path)][-1] == "too-many-bad-lines"


def test_a_large_file_of_rows_is_many_tasks_with_the_same_result(tmp_path, corpus, monkeypatch):
    rows = [json.dumps({"text": prose(f"r{n}-")}) if n % 7 else "no json" for n in range(60)]
    rows[30:30] = ["", json.dumps({"text": "x" * 9000})]
    (corpus / "rows.jsonl").write_text("\r\n".join(rows))
    (corpus / "metadata.jsonl").write_text(json.dumps({"path": "rows.jsonl", "license": "MIT"}))
    whole, found = ingest(tmp_path, corpus, name="whole")
    details = {(row.id, row.detail) for row in read_dropped(tmp_path / "whole")}
    monkeypatch.setattr(tasks, "_TASK_BYTES", 3000)
    listed = list_source(Source("lit", corpus, "lit"))
    (item,) = (item for item in listed.items if item.name == "rows")
    pieces = [piece.lines for piece in cut_item(item, 3000)]
    assert len(pieces) > 5
    assert [piece.start for piece in pieces[1:]] == [piece.end for piece in pieces[:-1]]
    assert (pieces[0].start, pieces[-1].end) == (0, item.num_bytes)
    again, cut = ingest(tmp_path, corpus, name="cut")
    assert cut == found
    assert {(row.id, row.detail) for row in read_dropped(tmp_path / "cut")} == details
    assert again == whole


def test_what_is_dropped_is_not_held(tmp_path, corpus, monkeypatch):
    rows = [json.dumps({"id": f"s{n}", "text": "Too short."}) for n in range(50)]
    (corpus / "deep/e.jsonl").write_text("\n".join(rows))
    held: list[weakref.ref] = []
    most = 0
    drop = Audit.drop

    def spy(self, row):
        nonlocal most
        held.append(weakref.ref(row))
        most = max(most, sum(ref() is not None for ref in held))
        drop(self, row)

    monkeypatch.setattr(Audit, "drop", spy)
    monkeypatch.setattr(assemble.Shards, "drop", lambda self, row: None)
    ingest(tmp_path, corpus)
    assert len(held) == 50
    assert most <= 2


def test_sources_of_one_name_are_told_apart(tmp_path, corpus):
    other = tmp_path / "other/lit"
    other.mkdir(parents=True)
    (other / "a.txt").write_text(prose("z"))
    assert {"lit/a", "lit-2/a"} < set(ingest(tmp_path, corpus, other)[1])


def test_shares_of_a_source(tmp_path):
    folder = tmp_path / "src"
    folder.mkdir()
    paragraphs = [prose(f"p{number}-", 2) for number in range(40)]
    (folder / "x.txt").write_text("\n\n".join(paragraphs[:30]))
    (folder / "y.txt").write_text("\n\n".join(paragraphs[30:]))
    halves = [SourceConfig(path=str(folder), share=share) for share in ((0.0, 0.5), (0.5, 1.0))]
    first = ingest(tmp_path, halves[0], name="first")[1]
    second = ingest(tmp_path, halves[1], name="second")[1]
    assert list(first) == ["src/x#0-0.5"]
    assert list(second) == ["src/x#0.5-1", "src/y"]
    texts = [document.text for part in (first, second) for document in part.values()]
    assert [line.strip() for text in texts for line in text.split("\n\n")] == [line.strip() for line in paragraphs]
    assert ingest(tmp_path, *halves, name="both")[1] == first | second


def test_a_source_states_the_licence_of_what_states_none(tmp_path, corpus):
    found = ingest(tmp_path, SourceConfig(path=str(corpus), license="CC BY-SA 4.0"))[1]
    assert (found["lit/a"].license, found["lit/b"].license) == ("CC-BY-SA-4.0", "CC-BY-4.0")


def test_the_allow_list(tmp_path, corpus):
    assert list(ingest(tmp_path, corpus, licenses=["CC-BY-*"])[1]) == ["lit/b"]
    assert set(drops(tmp_path).values()) == {"license"}


def test_an_empty_corpus_names_its_path_and_says_why(tmp_path):
    folder = tmp_path / "none"
    folder.mkdir()
    with pytest.raises(UserError, match=r"none: empty corpus"):
        ingest(tmp_path, folder)
    (folder / "a.md").write_text("short")
    with pytest.raises(UserError, match=r"none: empty corpus.*none/a: too-short \(1 words"):
        ingest(tmp_path, folder)
    assert not (tmp_path / "out").exists()


def test_collections_give_licence_and_chapters(tmp_path):
    root = tmp_path / "book"
    (root / "modules/m1").mkdir(parents=True)
    (root / "modules/m1/index.cnxml").write_text(
        '<document xmlns="http://cnx.rice.edu/cnxml"><title>T</title><metadata><content-id>m1</content-id></metadata>'
        f"<content><para>{prose('m')}</para></content></document>"
    )
    (root / "b.collection.xml").write_text(
        "<collection><metadata><title>Book</title><license url='http://creativecommons.org/licenses/by/4.0/'/></metadata>"
        "<content><subcollection><title>Light</title><content><module document='m1'/></content></subcollection></content>"
        "</collection>"
    )
    document = ingest(tmp_path, root)[1]["m1"]
    assert (document.license, document.categories) == ("CC-BY-4.0", ["Book", "Light"])


def test_a_second_main_file_is_not_lost_without_a_word(tmp_path, corpus):
    (corpus / "paper/other.tex").write_text("\\documentclass{article}\\begin{document}Other\\end{document}")
    part = "\\documentclass[main.tex]{subfiles}\\begin{document}A chapter\\end{document}"
    (corpus / "paper/chapter.tex").write_text(part)
    (corpus / "paper/figure.tex").write_text("\\documentclass{standalone}\\begin{document}A figure\\end{document}")
    (corpus / "paper/2401.1").mkdir()
    (corpus / "paper/2401.1/ms.tex").write_text("\\documentclass{article}\\begin{document}Deeper\\end{document}")
    (corpus / "paper/2401.2.tar.gz").write_bytes(b"")
    ingest(tmp_path, corpus, name="again")
    assert drops(tmp_path, "again") == {
        "lit/paper/other.tex": "second-main-file",
        "lit/paper/2401.1/ms.tex": "second-main-file",
        "lit/paper/2401.2.tar.gz": "archive-in-paper",
    }


def test_files_without_a_reader_say_what_to_do_with_them(tmp_path, corpus):
    for name in ("table.csv", "thesis.docx", "scan.djvu", "odd.xyz"):
        (corpus / name).write_text("a,b")
    ingest(tmp_path, corpus, name="again")
    details = {row.id: row.detail for row in read_dropped(tmp_path / "again") if row.reason == "no-reader"}
    assert "save its rows as .jsonl" in details["lit/table.csv"]
    assert "pandoc" in details["lit/thesis.docx"]
    assert ".pdf" in details["lit/scan.djvu"]
    assert details["lit/odd.xyz"] == "no reader for `.xyz`"


def test_a_document_beside_a_paper_is_not_lost_without_a_word(tmp_path, corpus):
    """What the paper names (a figure, an input), its printed form and what accompanies it are parts of it."""
    paper = corpus / "paper"
    main = next(paper.glob("*.tex"))
    with main.open("a") as file:
        file.write("% \\includegraphics{plots/rates} \\input{table.txt}\n")
    (paper / "plots").mkdir()
    (paper / ".hidden").mkdir()
    for name in ("plots/rates.pdf", "table.txt", f"{main.stem}.pdf", "README.md", ".hidden/note.txt", "style.cls"):
        (paper / name).write_text("part of it")
    for name in ("notes.txt", "plots/thesis of a friend.pdf"):
        (paper / name).write_text("another document")
    documents = ingest(tmp_path, corpus, name="again")[1]
    assert "another document" not in "".join(document.text for document in documents.values())
    assert drops(tmp_path, "again") == {
        "lit/paper/notes.txt": "file-in-paper",
        "lit/paper/plots/thesis of a friend.pdf": "file-in-paper",
    }


def test_the_title_opens_the_text_once():
    assert with_title("A Title", "Text") == "# A Title\n\nText"
    assert with_title("A Title", "A title\n\nText") == "A title\n\nText"
    assert with_title("", "Text") == "Text"
    assert with_title("Light", "What light is, highlights say.") == "# Light\n\nWhat light is, highlights say."
    assert with_title("Light", "## Light\n\nWhat it is") == "## Light\n\nWhat it is"
    assert with_title("The long title of a paper", "THE LONG\nTITLE OF A PAPER").startswith("THE")


def test_the_hash_does_not_see_case_spaces_and_forms():
    assert text_hash("The  ﬁrst\nStar") == text_hash("the first star")
    assert text_hash("the first star") != text_hash("the first stars")


@pytest.mark.data
def test_a_textbook_in_cnxml(tmp_path, shared_data):
    manifest, found = ingest(tmp_path, shared_data / "openstax-astronomy")
    assert manifest.stats["formats"] == {"cnxml": 199}
    assert manifest.stats["licenses"] == {"CC-BY-4.0": 199}
    assert manifest.stats["num_equations_display"] == 115
    assert sum(document.text.count("\n**Exercise") for document in found.values()) == 1016


def test_a_harvest_is_one_more_source(tmp_path, corpus):
    files = tmp_path / "harvest/files"
    files.mkdir(parents=True)
    (files / "paper.txt").write_text(prose("harvested"))
    (files / "metadata.jsonl").write_text(json.dumps({"path": "paper.txt", "id": "2401.00001v1", "license": "CC0"}))
    config = IngestConfig(paths=[str(corpus)], filters=FilterConfig(min_words=20))
    run(config, {"path0": corpus, "harvest": tmp_path / "harvest"}, tmp_path / "out")
    last = list(read_documents(tmp_path / "out"))[-1]
    assert (last.id, last.license, last.source) == ("2401.00001v1", "CC0-1.0", "harvest/paper.txt")
    run(IngestConfig(filters=FilterConfig(min_words=20)), {"harvest": tmp_path / "harvest"}, tmp_path / "alone")
    assert [row.id for row in read_documents(tmp_path / "alone")] == ["2401.00001v1"]
    with pytest.raises(UserError, match=r"corpus\.paths: names nothing to read"):
        run(IngestConfig(), {}, tmp_path / "nothing")


def test_artifacts_among_the_literature_are_not_read_by_accident(tmp_path, corpus):
    ingest(tmp_path, corpus, name="lit/made")
    _, found = ingest(tmp_path, corpus, name="again")
    assert len(found) == 6
    assert drops(tmp_path, "again")["lit/made"] == "artifact"
    (corpus / "deep/short.md").write_text("Too short.")
    ingest(tmp_path, corpus, name="with-drops")
    _, found = ingest(tmp_path, tmp_path / "with-drops", name="from-artifact", min_words=1)
    assert len(found) == 6
    assert not drops(tmp_path, "from-artifact")


def test_papers_of_one_file_each_in_one_folder(tmp_path):
    root = tmp_path / "lit"
    root.mkdir()
    paper = "\\documentclass{{article}}\\title{{On {0}}}\\begin{{document}}\\maketitle {1}\\end{{document}}"
    for name in ("2208.01234v1", "b", "c"):
        (root / f"{name}.tex").write_text(paper.format(name, prose(name)))
    (root / "notes.md").write_text(prose("notes"))
    _, found = ingest(tmp_path, root)
    assert set(found) == {"lit/2208.01234v1", "lit/b", "lit/c", "lit/notes"}
    assert (found["lit/2208.01234v1"].year, found["lit/b"].year) == (2022, None)
    (root / "b.tex").write_text(paper.format("b", prose("b") + "\\input{c}"))
    _, found = ingest(tmp_path, root, name="one")
    assert set(found) == {"lit"}
