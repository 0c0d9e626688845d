"""`sagecraft show`: what an artifact holds, a few rows of it, and for tokens which are learned."""

from __future__ import annotations

import itertools
import json
import textwrap
from pathlib import Path
from typing import Any

from rich.text import Text

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError

#: Entries of a count by name that are shown; `--json` has all.
_ENTRIES = 8
#: Longer texts are folded, or the table is as wide as they are.
_TEXT_WIDTH = 110
#: Rows of these are shown, where an artifact has them.
_ROWS = ("conversations.jsonl", "items.jsonl", "hits.jsonl", "files/metadata.jsonl", "log.jsonl")
#: Background colours of neighbouring documents in a row.
_COLOURS = ("on grey19", "on dark_blue", "on dark_green", "on purple4", "on grey30")


def show(path: Path, count: int, as_json: bool) -> None:
    """Prints the manifest's essentials and the first `count` rows.

    Raises:
        UserError: `path` is not an artifact.
    """
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
        _tokens(path, count, manifest)
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


def _tokens(path: Path, count: int, manifest: Manifest) -> None:
    """Rows of tokens: a colour a document, learned tokens bright, the others dim."""
    from sagecraft.tokens.packed import ITEM, LENGTH, START, Packed

    packed = Packed.open(path)
    tokenizer = _tokenizer_of(path, manifest)
    for row in range(min(count, packed.num_rows)):
        line = Text()
        for number, piece in enumerate(packed.pieces_of(row)):
            start, length = int(piece[START]), int(piece[LENGTH])
            for at in range(start, start + length):
                token = int(packed.tokens[row, at])
                text = tokenizer.decode([token], skip_special=False) if tokenizer else f"{token} "
                style = "bold" if packed.mask[row, at] else "dim"
                line.append(text, style=f"{style} {_COLOURS[number % len(_COLOURS)]}")
            line.append(f" ⟨{packed.items[int(piece[ITEM])]['id']}⟩ ", style="italic")
        console.out.print(Text(f"\nrow {row}", style="bold"))
        console.out.print(line)


def _tokenizer_of(path: Path, manifest: Manifest) -> Any:
    """The tokenizer that made the rows, looked for among the folders beside the artifact."""
    from sagecraft.models.tokenizer import Tokenizer

    for folder in sorted(path.resolve().parent.iterdir()):
        if (folder / "tokenizer.json").is_file():
            try:
                tokenizer = Tokenizer.from_folder(folder)
            except UserError:
                continue
            if tokenizer.sha256 == manifest.stats.get("tokenizer_sha256"):
                return tokenizer
    console.warn("the tokenizer is not beside these tokens; showing numbers")
    return None
