"""`sagecraft show`: what an artifact holds, a few rows of it, and for tokens which are learned."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from rich.text import Text

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError

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
    rows = [[key, json.dumps(value, ensure_ascii=False)] for key, value in manifest.stats.items()]
    rows += [[f"from {name}", digest[:12]] for name, digest in manifest.inputs.items()]
    console.table("", ["", ""], rows)
    if manifest.kind == "tokens":
        _tokens(path, count, manifest)
    elif manifest.kind == "documents":
        _documents(path, count)
    else:
        for name in ("conversations.jsonl", "items.jsonl", "files/metadata.jsonl", "log.jsonl"):
            if (path / name).is_file():
                _rows(path / name, count)


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
