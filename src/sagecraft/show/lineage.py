"""One conversation or benchmark item, and the sentences it rests on, with those around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from sagecraft import artifact, console
from sagecraft.errors import UserError

_FILES = ("conversations.jsonl", "items.jsonl")
_LETTERS = "ABCDE"


def show_one(path: Path, name: str, documents: Path | None, as_json: bool) -> None:
    """Prints one row of an artifact and what it rests on.

    Args:
        path: the artifact.
        name: id of the row.
        documents: artifact of the documents it was made from; the sentences before and after are shown from there.
        as_json: print `row` and `ground` as JSON.

    Raises:
        UserError: no such row, or the documents are not those it was made from.
    """
    artifact.load(path)
    row = _find(path, name)
    ground = [_placed(entry, documents) for entry in ground_of(row)]
    if as_json:
        console.emit({"row": row, "ground": ground})
        return
    for label, text, style in _told(row):
        console.out.print(Text.assemble((f"{label}: ", "bold"), (text, style)))
    for entry in ground:
        place = f", sentence {entry['position']}" if entry["position"] >= 0 else ""
        title = f" (“{entry['title']}”)" if entry.get("title") else ""
        console.out.print(Text(f"\nrests on {entry['document']}{place}{title}", style="cyan"))
        if not entry["sentence"]:
            console.out.print(Text("  the record: title, authors, year", style="bold"))
        for key, style in (("before", "dim"), ("sentence", "bold"), ("after", "dim")):
            if entry.get(key):
                console.out.print(Text(f"  {entry[key]}", style=style))


def ground_of(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a conversation or an item rests on: `document`, `position` (-1 where it is no sentence), `sentence`."""
    for entry in row.get("lineage", ()):
        yield {"document": entry["document"], "position": entry["position"], "sentence": entry["sentence"]}
    for entry in row.get("support_sentences", ()):
        yield {"document": row["article"], "position": entry["position"], "sentence": entry["text"]}


def _find(path: Path, name: str) -> dict[str, Any]:
    files = [path / file for file in _FILES if (path / file).is_file()]
    if not files:
        raise UserError(f"{path}: holds neither {_FILES[0]} nor {_FILES[1]}; --id is for conversations and benchmarks")
    for file in files:
        for row in artifact.read_jsonl(file):
            if row.get("id") == name:
                return row
    raise UserError(f"{path}: no row with the id {name}; take one from {files[0].name}")


def _placed(entry: dict[str, Any], documents: Path | None) -> dict[str, Any]:
    """An entry with the `title` of its document, and the sentences `before` and `after` it, as far as there are some."""
    from sagecraft.corpus.documents import read_documents
    from sagecraft.literature.passages import passages_of

    if documents is None:
        return entry
    document = next((each for each in read_documents(documents) if each.id == entry["document"]), None)
    if document is None and entry["position"] < 0:
        return entry  # a file of word problems is no document
    if document is None:
        raise UserError(f"{documents}: holds no document {entry['document']}; give those that the rows were made from")
    entry = entry | {"title": document.title}
    if entry["position"] < 0:
        return entry
    texts = {each.position: each.text for passage in passages_of(document) for each in passage.sentences}
    position = entry["position"]
    if texts.get(position) != entry["sentence"]:
        raise UserError(
            f"{documents}: sentence {position} of {entry['document']} is another one; give the documents that the rows were made "
            "from"
        )
    around = {"before": texts.get(position - 1), "after": texts.get(position + 1)}
    return entry | {key: text for key, text in around.items() if text}


def _told(row: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(label, text, style) of what is asked and answered."""
    for turn in row.get("messages", ()):
        if turn.get("thinking"):
            yield "thought", turn["thinking"], "dim"
        yield turn["role"], turn["content"], ""
    if "question" in row:
        yield "question", row["question"], ""
        for letter in _LETTERS:
            if letter in row:
                yield letter, row[letter], "green" if row.get("answer") == letter else ""
    for key in ("answer", "explanation", "topic", "kind", "form", "rule", "thinking", "source", "license"):
        if row.get(key):
            yield key, str(row[key]), "dim"
