"""The artifact `tokens`: rows of token ids, each filled with whole pieces of documents or conversations.

`tokens.npy`  int32 [R, L]   token ids, padding behind the last piece of a row
`mask.npy`    uint8 [R, L]   1 where the token is to be learned (predicted from those before it in its piece)
`pieces.npy`  int64 [P, 5]   row, start, length, item, offset in the item; ordered by row and start
`items.jsonl`                 item number → id, source, number of tokens, lineage

A long document is cut into pieces that share one token: the last of a piece is the first, as context only, of the
next. So every token but a document's first is learned exactly once, and none twice.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagecraft import artifact
from sagecraft.errors import UserError

ROW, START, LENGTH, ITEM, OFFSET = range(5)


@dataclass(frozen=True)
class TokenItem:
    """One document or conversation as tokens; `mask` says which are to be learned."""

    id: str
    source: str
    ids: Sequence[int]
    mask: Sequence[bool]
    lineage: Sequence[str] = ()


def cut(item: TokenItem, length: int) -> list[tuple[int, int]]:
    """(offset, length) of an item's pieces of at most `length` tokens, overlapping by one."""
    total = len(item.ids)
    pieces = [(0, min(length, total))]
    while sum(pieces[-1]) < total:
        offset = sum(pieces[-1]) - 1
        pieces.append((offset, min(length, total - offset)))
    return pieces


def place(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Puts pieces into rows, best fit, longest first. Returns the pieces (by number) of each row.

    Best-fit decreasing fills the gaps behind long pieces with short ones, so little of a row is padding.
    """
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (tokens free, row), ordered
    for piece in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        at = bisect.bisect_left(room, (lengths[piece], -1))
        if at == len(room):
            rows.append([piece])
            free, row = row_length - lengths[piece], len(rows) - 1
        else:
            free, row = room.pop(at)
            rows[row].append(piece)
            free -= lengths[piece]
        bisect.insort(room, (free, row))
    return rows


def write_packed(folder: Path, items: Sequence[TokenItem], row_length: int, pad_id: int) -> dict[str, Any]:
    """Packs items into rows and writes the four files. Returns counts for the manifest."""
    pieces = [(number, *piece) for number, item in enumerate(items) for piece in cut(item, row_length)]
    rows = place([length for _, _, length in pieces], row_length)
    tokens = np.full((len(rows), row_length), pad_id, dtype=np.int32)
    mask = np.zeros((len(rows), row_length), dtype=np.uint8)
    table = []
    for row, members in enumerate(rows):
        start = 0
        for member in members:
            number, offset, length = pieces[member]
            item = items[number]
            tokens[row, start : start + length] = item.ids[offset : offset + length]
            mask[row, start + 1 : start + length] = item.mask[offset + 1 : offset + length]
            table.append((row, start, length, number, offset))
            start += length
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "mask.npy", mask)
    np.save(folder / "pieces.npy", np.asarray(table, dtype=np.int64).reshape(-1, 5))
    artifact.write_jsonl(
        folder / "items.jsonl",
        [
            {"id": item.id, "source": item.source, "num_tokens": len(item.ids), "lineage": list(item.lineage)}
            for item in items
        ],
    )
    by_source: dict[str, int] = {}
    for item in items:
        by_source[item.source] = by_source.get(item.source, 0) + len(item.ids)
    filled = sum(length for _, _, length in pieces)
    return {
        "num_items": len(items),
        "num_tokens": sum(by_source.values()),
        "num_learned": int(mask.sum()),
        "num_rows": len(rows),
        "row_length": row_length,
        "share_padding": round(1 - filled / max(1, tokens.size), 6),
        "tokens_by_source": dict(sorted(by_source.items())),
    }


@dataclass(frozen=True)
class Packed:
    """A `tokens` artifact opened for reading; arrays are mapped from disk, not read."""

    tokens: NDArray[np.int32]
    mask: NDArray[np.uint8]
    pieces: NDArray[np.int64]
    items: list[dict[str, Any]]

    @classmethod
    def open(cls, folder: Path) -> Packed:
        """Opens and checks that the files belong together."""
        try:
            tokens, mask = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("tokens", "mask"))
            pieces = np.load(folder / "pieces.npy")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{folder}: not packed tokens ({error}); run the stage that makes them again") from error
        items = list(artifact.read_jsonl(folder / "items.jsonl"))
        if tokens.shape != mask.shape or pieces.shape[1:] != (5,) or (len(pieces) and pieces[-1, ROW] >= len(tokens)):
            raise UserError(f"{folder}: its arrays do not belong together; run the stage that makes them again")
        return cls(tokens, mask, pieces, items)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return int(self.tokens.shape[0])

    @property
    def row_length(self) -> int:
        """Tokens a row."""
        return int(self.tokens.shape[1])

    def pieces_of(self, row: int) -> NDArray[np.int64]:
        """The pieces [n, 5] of one row."""
        first, last = np.searchsorted(self.pieces[:, ROW], [row, row + 1])
        found: NDArray[np.int64] = self.pieces[first:last]
        return found
