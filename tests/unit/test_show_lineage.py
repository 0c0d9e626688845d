"""`show --id`: a row and the sentences it rests on, with those around them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.literature.passages import passages_of
from sagecraft.show import Choice, show
from sagecraft.synthesis.synth import SynthConfig, run

TEXT = """# Bells

A bell is a hollow vessel of bronze that rings when it is struck. Bells were cast in pits in the Middle Ages.
The great bell of Erfurt was cast in 1497. The mass of the great bell of Erfurt is about 11.4 tonnes.
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    write_documents(tmp_path / "d", [Document(id="bells", text=TEXT, title="The casting of church bells")])
    run(SynthConfig(max_kind_share=1.0, workers=1), {"documents": tmp_path / "d"}, tmp_path / "out")
    return tmp_path


def test_a_conversation_with_the_sentences_around_its_own(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = list(artifact.read_jsonl(made / "out" / "conversations.jsonl"))
    row = next(row for row in rows if "When was the great bell" in row["messages"][0]["content"])
    show(made / "out", 3, True, Choice(name=row["id"], documents=made / "d"))
    told = json.loads(capsys.readouterr().out)
    assert told["row"] == row
    (entry,) = told["ground"]
    assert entry["sentence"] == "The great bell of Erfurt was cast in 1497."
    assert entry["before"] == "Bells were cast in pits in the Middle Ages."
    assert entry["after"].startswith("The mass of the great bell")
    show(made / "out", 3, False, Choice(name=row["id"], documents=made / "d"))
    said = " ".join(capsys.readouterr().out.split())
    assert "When was the great bell of Erfurt cast?" in said
    assert "Bells were cast in pits in the Middle Ages." in said
    show(made / "out", 3, True, Choice(name=row["id"]))
    assert "before" not in json.loads(capsys.readouterr().out)["ground"][0]


def test_an_item_with_its_support(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = Document(id="bells", text=TEXT, title="The casting of church bells")
    sentence = [each for passage in passages_of(document) for each in passage.sentences][-1]
    support = {"position": sentence.position, "text": sentence.text}
    item = {"id": "b-1", "question": "What is its mass?", "A": "11.4 tonnes", "B": "12 tonnes", "answer": "A"}
    item |= {"article": "bells", "support_sentences": [support, {"position": -1, "text": "a cell of a table"}]}
    with artifact.build(
        made / "bench", kind="benchmark", stage="bench", version=1, config=SynthConfig(), inputs={}
    ) as build:
        artifact.write_jsonl(build.path / "items.jsonl", [item])
    show(made / "bench", 3, True, Choice(name="b-1", documents=made / "d"))
    first, second = json.loads(capsys.readouterr().out)["ground"]
    assert first["before"] == "The great bell of Erfurt was cast in 1497."
    assert "after" not in first
    title = "The casting of church bells"
    assert second == {"document": "bells", "position": -1, "sentence": "a cell of a table", "title": title}
    show(made / "bench", 3, False, Choice(name="b-1", documents=made / "d"))
    said = " ".join(capsys.readouterr().out.split())
    assert "answer: A" in said, "where colours do not show it, too"
    assert f"rests on bells (“{title}”) a cell of a table" in said


def test_what_rests_on_the_record_says_so(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = Document(id="d", text=TEXT, title="The casting of church bells", authors=["Ada Smith"], year=1990)
    write_documents(made / "named", [document])
    run(SynthConfig(max_kind_share=1.0, shares={}, workers=1), {"documents": made / "named"}, made / "record")
    rows = artifact.read_jsonl(made / "record" / "conversations.jsonl")
    name = next(row["id"] for row in rows if not row["lineage"][0]["sentence"])
    show(made / "record", 3, False, Choice(name=name))
    assert "the record: title, authors, year" in capsys.readouterr().out


def test_what_is_not_there_is_named(made: Path) -> None:
    with pytest.raises(UserError, match=r"no row with the id nobody; take one from conversations\.jsonl"):
        show(made / "out", 3, False, Choice(name="nobody"))
    with pytest.raises(UserError, match="--documents: is for --id"):
        show(made / "out", 3, False, Choice(documents=made / "d"))
    write_documents(made / "other", [Document(id="clocks", text=TEXT, title="Clocks")])
    rows = artifact.read_jsonl(made / "out" / "conversations.jsonl")
    name = next(row["id"] for row in rows if row["lineage"][0]["position"] >= 0)
    with pytest.raises(UserError, match="other: holds no document bells"):
        show(made / "out", 3, False, Choice(name=name, documents=made / "other"))
    moved = TEXT.replace("# Bells\n", "# Bells\n\nA new sentence of bells stands before all of the others here.\n")
    write_documents(made / "moved", [Document(id="bells", text=moved, title="Bells")])
    with pytest.raises(UserError, match=r"sentence \d+ of bells is another one"):
        show(made / "out", 3, False, Choice(name=name, documents=made / "moved"))
