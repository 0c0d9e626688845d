"""`sagecraft show`: what an artifact holds, a few rows of it, and for tokens which are learned."""

from __future__ import annotations

import itertools
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from sagecraft import artifact, console
from sagecraft.errors import UserError

#: Entries of a count by name that are shown; `--json` has all.
_ENTRIES = 8
#: Longer texts are folded, or the table is as wide as they are.
_TEXT_WIDTH = 110
#: Rows of these are shown, where an artifact has them.
_ROWS = ("conversations.jsonl", "items.jsonl", "hits.jsonl", "files/metadata.jsonl", "log.jsonl")


@dataclass(frozen=True)
class Choice:
    """Which rows are shown, and where.

    Attributes:
        row: of tokens, this one.
        step: those of this optimizer step, counted from 0 as in `metrics.jsonl`.
        html: write a page there instead of showing them in the terminal.
        model: folder of the tokenizer, if it does not stand beside the tokens.
        name: id of a conversation or of a benchmark item.
        documents: what it was made from, where the sentences around those it rests on are read.
    """

    row: int | None = None
    step: int | None = None
    html: Path | None = None
    model: Path | None = None
    name: str | None = None
    documents: Path | None = None


def show(path: Path, count: int, as_json: bool, choice: Choice = Choice()) -> None:
    """Prints the manifest's essentials and the first `count` rows.

    Raises:
        UserError: `path` is not an artifact, or does not hold what `choice` asks for.
    """
    if choice.name is not None:
        from sagecraft.show.lineage import show_one

        show_one(path, choice.name, choice.documents, as_json)
        return
    if choice.documents is not None:
        raise UserError("--documents: is for --id, which is not given")
    if choice != Choice():
        from sagecraft.show import tokens

        tokens.show_chosen(path, count, choice, as_json)
        return
    manifest = artifact.load(path)
    if as_json:
        console.emit(manifest.model_dump(mode="json"))
        return
    console.out.print(Text(f"{path}: {manifest.kind}, made by {manifest.stage}", style="bold"))
    rows = [[key, said(value)] for key, value in manifest.stats.items()]
    rows += [[f"from {name}", digest[:12]] for name, digest in manifest.inputs.items()]
    console.table("", ["", ""], rows)
    if (path / "report.html").is_file():
        console.out.print(f"report: {path / 'report.html'}", markup=False)
    if manifest.kind == "tokens":
        from sagecraft.show import tokens

        tokens.show_chosen(path, count, choice)
    elif manifest.kind == "documents":
        _documents(path, count)
    for name in _ROWS:
        if (path / name).is_file():
            _rows(path / name, count)


def said(value: Any) -> str:
    """A figure of a manifest as a person reads it: the largest of many counts, a line for each name with figures of its own."""
    if not isinstance(value, dict):
        return "\n".join(textwrap.wrap(_plain(value), _TEXT_WIDTH))
    nested = any(isinstance(inner, dict) for inner in value.values())
    entries = sorted(value.items(), key=lambda entry: -_size(entry[1]))
    parts = [f"{name}: {_plain(inner)}" if nested else f"{name} {_plain(inner)}" for name, inner in entries[:_ENTRIES]]
    parts += [f"and {len(entries) - _ENTRIES} more (--json)"] if len(entries) > _ENTRIES else []
    return ("\n" if nested else ", ").join(parts) or "none"


def _size(value: Any) -> float:
    """By what names are ordered: their count, or the documents that they count; else as they stand."""
    size = value.get("documents", 0) if isinstance(value, dict) else value
    return size if isinstance(size, int | float) else 0


def _plain(value: Any) -> str:
    """On one line; of figures that hold figures only the outer ones."""
    if isinstance(value, dict):
        inner = [f"{name} {_plain(each)}" for name, each in value.items() if not isinstance(each, dict)]
        return ", ".join(inner) or ", ".join(value) or "none"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_plain(each) for each in value)}]"
    if isinstance(value, float):
        return console.number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _rows(path: Path, count: int) -> None:
    for row in itertools.islice(artifact.read_jsonl(path), count):
        console.out.print(Text(json.dumps(row, indent=2, ensure_ascii=False)))


def _documents(path: Path, count: int) -> None:
    from sagecraft.corpus.documents import read_documents

    folders = [path] if (path / "documents").is_dir() else [path / "training", path / "withheld"]
    for folder in folders:
        console.out.print(Text(f"\n{folder}", style="bold"))
        for document in itertools.islice(read_documents(folder), count):
            head = " ".join(document.text.split())[:300]
            console.out.print(Text(f"{document.id}  {document.title}  ({document.license})", style="cyan"))
            console.out.print(Text(f"  {head} …"))
