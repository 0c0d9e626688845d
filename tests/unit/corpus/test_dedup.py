from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from sagecraft.artifact import load
from sagecraft.cli import app
from sagecraft.corpus.dedup import DedupConfig, dropped, run
from sagecraft.corpus.documents import Document, read_documents, read_dropped, write_documents
from sagecraft.corpus.duplicates import Duplicate
from sagecraft.corpus.stored import StoredDocuments
from sagecraft.errors import UserError


def prose(name: str, count: int = 120) -> str:
    return " ".join(f"{name}{n}" for n in range(count))


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """Two sources; the second holds a reprint of the first one's document 3, a preprint of 5 and a newer version of 7."""
    journal = [Document(f"j{n}", prose(f"text{n}x"), title=f"Title {n}", source="journal") for n in range(600)]
    journal[7] = Document("2404.00007v1", prose("seven"))
    preprints = [
        Document("reprint", journal[3].text.upper() + "\n", source="preprints"),
        Document("preprint", prose("text5x", 118) + " <b>draft</b>", source="preprints"),
        Document("2404.00007v2", prose("otherseven"), source="preprints"),
        Document("own", prose("own"), source="preprints"),
    ]
    for number, start in enumerate(range(0, 600, 400)):
        write_documents(tmp_path / "journal", journal[start : start + 400], f"part-{number:05d}")
    write_documents(tmp_path / "preprints", preprints)
    return tmp_path / "journal", tmp_path / "preprints"


def test_duplicates_go_aside_with_the_name_of_what_stays(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    manifest = run(DedupConfig(), {"documents0": corpus[0], "documents1": corpus[1]}, out)
    gone = {row.id: row for row in read_dropped(out)}
    assert {name: row.reason for name, row in gone.items()} == {
        "2404.00007v1": "older-version",
        "reprint": "duplicate-text",
        "preprint": "near-duplicate",
    }
    assert gone["reprint"].detail == "repeats j3"
    assert gone["preprint"].detail.startswith("repeats j5; Jaccard 0.9")
    assert gone["2404.00007v1"].detail == "repeats 2404.00007v2; version 1, of which 2 is there"
    assert gone["reprint"].source == "preprints"
    kept = list(read_documents(out))
    assert [document.id for document in kept[-2:]] == ["2404.00007v2", "own"]
    assert len(kept) == manifest.stats["num_documents"] == 601
    assert manifest.stats["num_dropped"] == manifest.stats["num_groups"] == manifest.stats["across_sources"] == 3
    assert manifest.stats["dropped"] == {"duplicate-text": 1, "older-version": 1, "near-duplicate": 1}
    assert kept[3] == list(read_documents(corpus[0]))[3], "a document that stays is not changed"


def test_a_copy_of_a_copy_is_told_what_stays() -> None:
    row = dropped(Document("c", "text"), Duplicate("duplicate-text", twin=1, kept=2, detail=""), {1: "b", 2: "a"})
    assert (row.id, row.reason, row.detail) == ("c", "duplicate-text", "repeats b; kept is a")


def test_the_order_of_the_sources_says_what_stays(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    run(DedupConfig(), {"documents0": corpus[1], "documents1": corpus[0]}, tmp_path / "out")
    assert {row.id for row in read_dropped(tmp_path / "out")} == {"j3", "j5", "2404.00007v1"}


def test_twice_the_same_bytes_and_the_shards_of_the_input_do_not_matter(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    documents = list(read_documents(corpus[0]))
    for number in range(0, 600, 100):
        write_documents(tmp_path / "cut", documents[number : number + 100], f"part-{number:05d}")
    runs = [
        run(DedupConfig(check=20), {"documents0": folder, "documents1": corpus[1]}, tmp_path / name)
        for name, folder in (("a", corpus[0]), ("b", corpus[0]), ("c", tmp_path / "cut"))
    ]
    assert runs[0].files == runs[1].files == runs[2].files
    assert runs[0].stats == runs[1].stats == runs[2].stats
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "documents", "dropped", "manifest.json", "report.html", "timing.json"
    }  # fmt: skip


def test_a_check_measures_the_search_and_changes_nothing(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"documents0": corpus[0], "documents1": corpus[1]}
    plain, checked = run(DedupConfig(), inputs, tmp_path / "a"), run(DedupConfig(check=60), inputs, tmp_path / "b")
    assert plain.files == checked.files
    assert checked.stats["recall"] == checked.stats["kept_apart"] == 1.0
    assert checked.stats["planted_copies"] == checked.stats["planted_copies_found"] >= 50
    assert checked.stats["planted_apart"] >= 50
    assert "recall" not in plain.stats
    # A search that finds too little must not look well: bands that hardly anything agrees in, and without texts.
    poor = run(DedupConfig(check=60, near=0.99, rows=48), inputs, tmp_path / "c")
    assert poor.stats["recall"] < 0.5
    greedy = run(DedupConfig(check=60, near=0.2), inputs, tmp_path / "d")
    assert greedy.stats["kept_apart"] < 0.5


def test_the_report_shows_both_texts_and_escapes_them(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    run(DedupConfig(check=10), {"documents0": corpus[0], "documents1": corpus[1]}, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;draft" in page
    assert "<b>draft" not in page
    assert "near-duplicate: preprint" in page
    assert "text5x118" in page, "the excerpt reaches the first difference"
    assert "Within and across sources" in page
    assert "planted copies" in page


def test_a_corpus_without_duplicates_says_so(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs", [Document("a", prose("a")), Document("b", "two words")])
    manifest = run(DedupConfig(), {"documents0": tmp_path / "docs"}, tmp_path / "out")
    assert manifest.stats["num_dropped"] == 0
    assert "None among 2 documents" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert list(read_dropped(tmp_path / "out")) == []


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "docs" / "documents").mkdir(parents=True)
    bad = tmp_path / "docs" / "documents" / "part-00000.parquet"
    bad.write_bytes(b"no parquet")
    with pytest.raises(UserError, match="part-00000\\.parquet: damaged Parquet"):
        run(DedupConfig(), {"documents0": tmp_path / "docs"}, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no documents"):
        run(DedupConfig(), {"documents0": tmp_path / "empty"}, tmp_path / "out")
    write_documents(tmp_path / "short", [Document("a", "two words")])
    with pytest.raises(UserError, match="long enough to plant"):
        run(DedupConfig(check=5), {"documents0": tmp_path / "short"}, tmp_path / "out")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"near": 0.0}, "greater than 0"),
        ({"rows": 97}, "more than num_hashes"),
        ({"near": None, "check": 3}, "switches off"),
        ({"bands": 3}, "Extra inputs"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DedupConfig.model_validate(settings)


def test_single_documents_are_read_by_position(corpus: tuple[Path, Path]) -> None:
    stored = StoredDocuments(corpus)
    documents = [*read_documents(corpus[0]), *read_documents(corpus[1])]
    wanted = [0, 255, 256, 399, 400, 599, 600, 603]
    assert len(stored) == 604
    assert list(stored.texts(wanted)) == [documents[position].text for position in wanted]
    assert stored.ids(wanted) == {position: documents[position].id for position in wanted}
    assert stored.ids([]) == {}


def test_the_command(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ["dedup", *map(str, corpus), "--out", str(tmp_path / "out"), "--near", "0.99", "--check", "5", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["stats"]["dropped"] == {"duplicate-text": 1, "older-version": 1}
    assert load(tmp_path / "out").config["check"] == 5
