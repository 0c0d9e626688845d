"""The artifact `tokens`: rows of token ids, each filled with whole pieces of documents or conversations.

`tokens.npy`    int32 [R, L]   token ids, padding behind the last piece of a row
`mask.npy`      uint8 [R, L]   1 where the token is to be learned (predicted from those before it in its piece)
`pieces.npy`    int64 [P, 6]   row, start, length, item, offset in the item, source; ordered by row and start
`sources.json`                 source number → name
`items.jsonl`                  item number → id, source, number of tokens, lineage

A long document is cut into pieces that share one token: the last of a piece is the first, as context only, of the
next. So every token but a document's first is learned exactly once, and none twice.

Tokens go through a file on their way from documents to rows, so memory holds what is known of the pieces (48 bytes
each) and not the tokens: 10⁹ of them as Python's lists would take 36 GB.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sagecraft import artifact
from sagecraft.errors import UserError

ROW, START, LENGTH, ITEM, OFFSET, SOURCE = range(6)
#: Rows that are written at once where all are alike.
_CHUNK_ROWS = 4096


@dataclass(frozen=True)
class TokenItem:
    """One document or conversation as tokens; `mask` says which are to be learned."""

    id: str
    source: str
    ids: Sequence[int]
    mask: Sequence[bool]
    lineage: Sequence[str] = ()


def cut(total: int, length: int) -> list[tuple[int, int]]:
    """(offset, length) of the pieces of an item of `total` tokens: at most `length` each, overlapping by one."""
    pieces = [(0, min(length, total))]
    while sum(pieces[-1]) < total:
        offset = sum(pieces[-1]) - 1
        pieces.append((offset, min(length, total - offset)))
    return pieces


def place(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """Puts pieces into rows, best fit, longest first. Returns the pieces (by number) of each row.

    Best-fit decreasing fills the gaps behind long pieces with short ones, so little of a row is padding. Rows are kept
    by their free room, with a bit for each room that some row has: the smallest that suffices is found in one step,
    however many rows there are.
    """
    rows: list[list[int]] = []
    rooms: list[list[int]] = [[] for _ in range(row_length + 1)]  # free tokens → rows, as a heap
    open_rooms = 0
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    for piece in order.tolist():
        length = lengths[piece]
        fitting = open_rooms >> length
        if not fitting:
            free, row = row_length, len(rows)
            rows.append([])
        else:
            free = length + (fitting & -fitting).bit_length() - 1
            row = heapq.heappop(rooms[free])
            if not rooms[free]:
                open_rooms ^= 1 << free
        rows[row].append(piece)
        free -= length
        heapq.heappush(rooms[free], row)
        open_rooms |= 1 << free
    return rows


class _Spool:
    """Tokens and masks of all items, one behind the other, in two files beside the artifact's."""

    def __init__(self, folder: Path) -> None:
        self.paths = folder / "tokens.spool", folder / "mask.spool"
        self.lengths: list[int] = []
        self.codes: list[int] = []
        self.sources: dict[str, int] = {}

    def fill(self, items: Iterable[TokenItem], listing: Path) -> None:
        """Writes every item as it comes, and its line of `items.jsonl`."""
        ids_path, mask_path = self.paths
        with ids_path.open("wb") as ids, mask_path.open("wb") as mask, listing.open("w", encoding="utf-8") as lines:
            for item in items:
                ids.write(np.asarray(item.ids, dtype=np.int32).tobytes())
                mask.write(np.asarray(item.mask, dtype=np.uint8).tobytes())
                self.lengths.append(len(item.ids))
                self.codes.append(self.sources.setdefault(item.source, len(self.sources)))
                row = {
                    "id": item.id,
                    "source": item.source,
                    "num_tokens": len(item.ids),
                    "lineage": list(item.lineage),
                }
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")

    def open(self) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """Both files, mapped."""
        ids_path, mask_path = self.paths
        return np.memmap(ids_path, np.int32, mode="r"), np.memmap(mask_path, np.uint8, mode="r")

    def tokens_by_source(self) -> dict[str, int]:
        """Source → tokens of its items."""
        counts = np.bincount(self.codes, weights=self.lengths, minlength=len(self.sources))
        return {name: int(counts[code]) for name, code in sorted(self.sources.items())}


def write_packed(folder: Path, items: Iterable[TokenItem], row_length: int, pad_id: int) -> dict[str, Any]:
    """Packs items, taken one after the other, into rows and writes the files. Returns counts for the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    spool = _Spool(folder)
    spool.fill(items, folder / "items.jsonl")
    pieces = [(number, *piece) for number, total in enumerate(spool.lengths) for piece in cut(total, row_length)]
    rows = place([length for _, _, length in pieces], row_length)
    table = np.zeros((len(pieces), 6), dtype=np.int64)
    num_learned = _write_rows(folder, spool, pieces, rows, row_length, pad_id, table)
    np.save(folder / "pieces.npy", table)
    artifact.write_json(folder / "sources.json", list(spool.sources))
    for path in spool.paths:
        path.unlink()
    filled = int(table[:, LENGTH].sum())
    return {
        "num_items": len(spool.lengths),
        "num_tokens": sum(spool.lengths),
        "num_learned": num_learned,
        "num_rows": len(rows),
        "row_length": row_length,
        "share_padding": round(1 - filled / max(1, len(rows) * row_length), 6),
        "tokens_by_source": spool.tokens_by_source(),
    }


def _write_rows(
    folder: Path,
    spool: _Spool,
    pieces: Sequence[tuple[int, int, int]],
    rows: Sequence[Sequence[int]],
    row_length: int,
    pad_id: int,
    table: NDArray[np.int64],
) -> int:
    """Fills `tokens.npy`, `mask.npy` and the table of pieces, row by row. Returns the number of learned tokens."""
    shape = (len(rows), row_length)
    if not rows:  # nothing can be mapped of an empty file
        np.save(folder / "tokens.npy", np.zeros(shape, np.int32))
        np.save(folder / "mask.npy", np.zeros(shape, np.uint8))
        return 0
    tokens = np.lib.format.open_memmap(folder / "tokens.npy", mode="w+", dtype=np.int32, shape=shape)
    mask = np.lib.format.open_memmap(folder / "mask.npy", mode="w+", dtype=np.uint8, shape=shape)
    for first in range(0, len(rows), _CHUNK_ROWS):
        tokens[first : first + _CHUNK_ROWS] = pad_id
    ids, learned = spool.open()
    begins = np.concatenate(([0], np.cumsum(spool.lengths)))
    num_learned = line = 0
    for row, members in enumerate(rows):
        start = 0
        for member in members:
            number, offset, length = pieces[member]
            at = int(begins[number]) + offset
            tokens[row, start : start + length] = ids[at : at + length]
            mask[row, start + 1 : start + length] = learned[at + 1 : at + length]
            table[line] = (row, start, length, number, offset, spool.codes[number])
            start, line = start + length, line + 1
        num_learned += int(mask[row].sum())
    tokens.flush()
    mask.flush()
    return num_learned


@dataclass(frozen=True)
class Packed:
    """A `tokens` artifact opened for reading; arrays are mapped from disk, not read."""

    tokens: NDArray[np.int32]
    mask: NDArray[np.uint8]
    pieces: NDArray[np.int64]
    sources: list[str]
    folder: Path

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """Item number → id, source, number of tokens, lineage; read when first asked for (training never does)."""
        return list(artifact.read_jsonl(self.folder / "items.jsonl"))

    @classmethod
    def open(cls, folder: Path) -> Packed:
        """Opens and checks that the files belong together."""
        try:
            tokens, mask = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("tokens", "mask"))
            pieces = np.load(folder / "pieces.npy")
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{folder}: not packed tokens ({error}); run the stage that makes them again") from error
        if tokens.shape != mask.shape or pieces.shape[1:] != (6,) or (len(pieces) and pieces[-1, ROW] >= len(tokens)):
            raise UserError(f"{folder}: its arrays do not belong together; run the stage that makes them again")
        sources = artifact.read_json(folder / "sources.json")
        if len(pieces) and pieces[:, SOURCE].max() >= len(sources):
            raise UserError(f"{folder}: its pieces name a source that sources.json does not; run the stage again")
        return cls(tokens, mask, pieces, sources, folder)

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
