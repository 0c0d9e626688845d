"""Duplicates: which documents of a corpus repeat another one, decided from their marks.

In this order: documents of the same text; documents of one identifier, of which the newest version stays; one work in
several formats; documents that nearly repeat another one. Of copies the one stays that stands first in this order:
withheld by somebody before not (else its copy would be trained on); with mathematics before without; of an earlier
source; longer; earlier in its source. So a journal's version goes before its preprint if its source is named first.

What is decided about near-duplicates holds without chains: whatever is dropped nearly repeats a document that is
kept, and no two kept documents were found to repeat each other. (Connected components would drop C for A because both
resemble B.) Nothing here depends on how the documents were cut into parts, nor on which part was ready first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sagecraft.corpus import minhash
from sagecraft.corpus.marks import OWN, PRINTED, TITLE, UNSTATED, Marks, join, mark
from sagecraft.corpus.minhash import Int64, UInt64

if TYPE_CHECKING:
    from sagecraft.corpus.dedup import DedupConfig

#: Fetches the texts of documents by their positions, which ascend.
Texts = Callable[[Sequence[int]], Iterable[str]]
Bool = npt.NDArray[np.bool_]

SAME_TEXT, OLDER, SAME_ID = "duplicate-text", "older-version", "duplicate-id"
OTHER_FORMAT, NEAR = "other-format", "near-duplicate"
#: Reasons, as Decisions number them; the first is no reason.
REASONS = ("", SAME_TEXT, OLDER, SAME_ID, OTHER_FORMAT, NEAR)
#: A copy with less of the longest copy's words than this is a part of it (an abstract), whatever its version.
_WHOLE = 0.5
#: Documents of one source that state one identifier and agree in less than this are parts of a work, not copies of it.
_ALIKE = 0.05
#: Documents of one title that were read from two formats and agree in this are one work. The PDF and the LaTeX of a
#: paper full of formulas, captions and tables agreed in 0.58, so the threshold of near-duplicates would keep both.
_ONE_WORK = 0.3
#: In a group of equal band keys each document is compared with so many before it and so many of the best; groups of more
#: come from boilerplate, and comparing all pairs of them would be quadratic.
_WINDOW, _BEST = 7, 8
_PAIRS_AT_A_TIME = 1 << 16
#: Texts whose shingles are hashed together.
_TEXTS_AT_A_TIME = 256


@dataclass(frozen=True)
class Duplicate:
    """Why a document is dropped.

    Attributes:
        reason: one of `REASONS`.
        twin: position of the document that it repeats.
        kept: position of the document that stays; another than `twin` if that repeats a third one.
        detail: a figure for the reader, such as the Jaccard similarity to `twin`; may be empty.
    """

    reason: str
    twin: int
    kept: int
    detail: str


class Decisions:
    """Position of a document → why it is dropped. Arrays inside: 29 bytes a document, dropped or not."""

    def __init__(self, num_documents: int) -> None:
        self.reasons = np.zeros(num_documents, dtype=np.int8)
        self.twins = np.arange(num_documents, dtype=np.int64)
        self.kept = np.arange(num_documents, dtype=np.int64)
        self.similarity = np.zeros(num_documents, dtype=np.float32)
        self.versions = np.full(num_documents, UNSTATED, dtype=np.int32)
        self.sources = np.zeros(num_documents, dtype=np.int32)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.reasons))

    def __contains__(self, position: int) -> bool:
        return bool(self.reasons[position])

    def __iter__(self) -> Iterator[int]:
        return iter(np.flatnonzero(self.reasons).tolist())

    def get(self, position: int) -> Duplicate | None:
        """Why the document is dropped; None if it is kept."""
        if position not in self:
            return None
        reason, twin = REASONS[self.reasons[position]], int(self.twins[position])
        detail = ""
        if reason in (NEAR, OTHER_FORMAT):
            detail = f"Jaccard {self.similarity[position]:.2f}"
        elif reason == OLDER:
            detail = f"version {self.versions[position]}, of which {self.versions[twin]} is there"
        return Duplicate(reason, twin, int(self.kept[position]), detail)

    def drop(self, positions: Int64, twins: Int64, reason: str) -> None:
        """Drops documents for others."""
        self.reasons[positions] = REASONS.index(reason)
        self.twins[positions] = twins

    def named(self) -> Int64:
        """Positions of all documents that `get` names."""
        positions = np.flatnonzero(self.reasons)
        return np.unique(np.concatenate([self.twins[positions], self.kept[positions]]))

    def of_first(self, num_documents: int) -> Decisions:
        """The decisions about the first documents, none of which may repeat a later one."""
        first = Decisions(num_documents)
        for name in ("reasons", "twins", "kept", "similarity", "versions", "sources"):
            setattr(first, name, getattr(self, name)[:num_documents])
        return first

    def settle(self) -> None:
        """Finds for every document the one that stays in the end."""
        self.kept = self.twins.copy()
        while not np.array_equal(further := self.kept[self.kept], self.kept):
            self.kept = further


class _Table:
    """The marks of all documents.

    Attributes:
        marks: without signatures.
        bands: the signatures by band, (n, rows) each, so that one band can be read without the others.
        order: positions of all documents, the one that would be kept first.
        rank: (n,) place in `order`.
        scratch: folder for what is too large for memory, if there is one.
    """

    def __init__(self, parts: Iterable[Marks], config: DedupConfig, scratch: Path | None) -> None:
        num_bands, num_rows = (0, 0) if config.near is None else config.bands
        self.scratch = scratch
        plain: list[Marks] = []
        blocks: list[list[minhash.UInt16]] = [[] for _ in range(num_bands)]
        with contextlib.ExitStack() as stack:
            paths = [scratch / f"band-{number:03d}" for number in range(num_bands)] if scratch else []
            files = [stack.enter_context(path.open("wb")) for path in paths]
            for part in parts:
                assert part.signatures.shape[1] == num_bands * num_rows, "marked with another configuration"
                # A copy: a view of nothing would keep all signatures alive.
                plain.append(dataclasses.replace(part, signatures=part.signatures[:, :0].copy()))
                for number in range(num_bands):
                    band = np.ascontiguousarray(part.signatures[:, number * num_rows : (number + 1) * num_rows])
                    if files:
                        files[number].write(band.tobytes())
                    else:
                        blocks[number].append(band)
        self.marks = join(plain) if plain else mark([], config)
        shape = (len(self.marks), num_rows)
        self.bands: list[minhash.UInt16] = []
        if len(self.marks):
            self.bands += [np.memmap(path, np.uint16, "r", shape=shape) for path in paths]
            self.bands += [np.concatenate(block) for block in blocks if block]
        positions = np.arange(len(self.marks))
        marks = self.marks
        # The last key counts most.
        self.order = np.lexsort((positions, -marks.words, marks.sources, ~marks.formulas, ~marks.withheld))
        self.rank = np.empty(len(positions), dtype=np.int32)
        self.rank[self.order] = positions

    def agreement(self, one: Int64, two: Int64) -> npt.NDArray[np.float64]:
        """Share of equal hashes of pairs of documents: their Jaccard similarity, give or take the sampling error."""
        result = np.zeros(len(one))
        for start in range(0, len(one) if self.bands else 0, _PAIRS_AT_A_TIME):
            cut = slice(start, start + _PAIRS_AT_A_TIME)
            for band in self.bands:
                result[cut] += np.count_nonzero(band[one[cut]] == band[two[cut]], axis=1)
        result /= max(1, sum(band.shape[1] for band in self.bands))
        return result


def decide(
    parts: Iterable[Marks], config: DedupConfig, scratch: Path | None = None, texts: Texts | None = None
) -> Decisions:
    """Decides which documents of a corpus are dropped as duplicates.

    Args:
        parts: marks of all documents, in the order of the documents; read one after the other, once.
        config: the rules.
        scratch: folder for the signatures (two bytes a hash); in memory without.
        texts: fetches texts. With it, pairs whose signatures leave open on which side of the threshold they are
            are decided by their exact Jaccard similarity.
    """
    table = _Table(parts, config, scratch)
    decisions = Decisions(len(table.marks))
    decisions.sources = table.marks.sources
    _same_text(table, decisions)
    _same_identifier(table, decisions)
    if config.formats:
        _same_title(table, decisions)
    if config.near is not None:
        _near(table, decisions, config, config.near, texts)
    decisions.settle()
    return decisions


def _shared(keys: UInt64) -> Int64:
    """Indices of all keys that occur more than once. In most corpora these are few, and all else is done with them."""
    order = np.argsort(keys)
    ordered = keys[order]
    is_shared = np.zeros(len(keys), dtype=np.bool_)
    same = ordered[1:] == ordered[:-1]
    is_shared[1:] |= same
    is_shared[:-1] |= same
    return order[is_shared]


def _runs(ordered: UInt64) -> tuple[Int64, Int64]:
    """Where each run of equal keys begins and ends."""
    is_first = np.ones(len(ordered), dtype=np.bool_)
    is_first[1:] = ordered[1:] != ordered[:-1]
    starts = np.flatnonzero(is_first)
    return starts, np.append(starts, len(ordered))[1:]


def _same_text(table: _Table, decisions: Decisions) -> None:
    shared = _shared(table.marks.texts)
    keys = table.marks.texts[shared]
    order = np.lexsort((table.rank[shared], keys))
    shared = shared[order]
    starts, ends = _runs(keys[order])
    best = np.repeat(shared[starts], ends - starts)
    decisions.drop(shared[shared != best], best[shared != best], SAME_TEXT)


def _repeated_keys(table: _Table, decisions: Decisions, is_title: bool) -> Iterator[tuple[Int64, Bool]]:
    """For every identifier (or title) of several documents that are still there: them, the best first, and whose own it is."""
    marks = table.marks
    alive = np.flatnonzero((decisions.reasons[marks.key_rows] == 0) & ((marks.kinds == TITLE) == is_title))
    alive = alive[_shared(marks.keys[alive])]
    order = np.lexsort((table.rank[marks.key_rows[alive]], marks.keys[alive]))
    keys, is_own = marks.keys[alive][order], marks.kinds[alive][order] == OWN
    rows = marks.key_rows[alive][order].astype(np.int64)
    for start, end in zip(*(edges.tolist() for edges in _runs(keys)), strict=True):
        yield rows[start:end], is_own[start:end]


def _same_identifier(table: _Table, decisions: Decisions) -> None:
    """Of the documents of one work (linked by any identifier) one stays: whole before part, newest, first in order."""
    versions = decisions.versions = _newest(table.marks)
    works = _Groups()
    for members, is_own in _repeated_keys(table, decisions, is_title=False):
        if is_own.all() or not _are_parts(table, members):
            works.link(members.tolist())
    for kept, row in _gone(table, decisions, works):
        is_older = PRINTED < versions[row] < versions[kept] != UNSTATED
        decisions.drop(np.array([row]), np.array([kept]), OLDER if is_older else SAME_ID)


def _same_title(table: _Table, decisions: Decisions) -> None:
    """Of one work that was read from several formats one stays, by the same rules."""
    works = _Groups()
    formats = table.marks.formats
    for members, _ in _repeated_keys(table, decisions, is_title=True):
        first: dict[int, int] = {}
        for row in members.tolist():
            for twin in first.values():
                if formats[twin] != formats[row] and table.agreement(*np.array([[twin], [row]]))[0] >= _ONE_WORK:
                    works.link([twin, row])
            first.setdefault(int(formats[row]), row)
    for kept, row in _gone(table, decisions, works):
        decisions.drop(np.array([row]), np.array([kept]), OTHER_FORMAT)
        decisions.similarity[row] = table.agreement(np.array([kept]), np.array([row]))[0]


def _gone(table: _Table, decisions: Decisions, works: _Groups) -> Iterator[tuple[int, int]]:
    """For every document of a work but the one that stays: that one, and it."""
    words, withheld = table.marks.words, table.marks.withheld
    for work in works.groups():
        longest = max(int(words[row]) for row in work)

        def place(row: int, longest: int = longest) -> tuple[bool, bool, int, int]:
            is_part = bool(words[row] < _WHOLE * longest)
            return not withheld[row], is_part, -int(decisions.versions[row]), int(table.rank[row])

        kept = min(work, key=place)
        yield from ((kept, row) for row in sorted(work) if row != kept)


def _newest(marks: Marks) -> npt.NDArray[np.int32]:
    """The newest version that a document's identifiers state; `UNSTATED` without any."""
    newest = np.full(len(marks), -1, dtype=np.int32)
    np.maximum.at(newest, marks.key_rows, np.where(marks.versions == UNSTATED, -1, marks.versions))
    newest[newest < 0] = UNSTATED
    return newest


def _are_parts(table: _Table, members: Int64) -> bool:
    """Whether documents of one source state an identifier together though their texts have nothing in common.

    Then it is not theirs but that of the book or paper of which each is a section.
    """
    first: dict[int, int] = {}
    pairs = [(first.setdefault(int(table.marks.sources[row]), int(row)), int(row)) for row in members]
    others = np.array([pair for pair in pairs if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
    return bool(len(others) and (table.agreement(others[:, 0], others[:, 1]) < _ALIKE).any())


class _Groups:
    """Sets that are joined where they meet (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[int, int] = {}

    def _root(self, item: int) -> int:
        while (parent := self._parents.setdefault(item, item)) != item:
            self._parents[item] = self._parents[parent]
            item = parent
        return item

    def link(self, items: list[int]) -> None:
        for item in items[1:]:
            self._parents[self._root(item)] = self._root(items[0])

    def groups(self) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for item in sorted(self._parents):
            found.setdefault(self._root(item), []).append(item)
        return list(found.values())


def _near(table: _Table, decisions: Decisions, config: DedupConfig, threshold: float, texts: Texts | None) -> None:
    with_shingles = table.marks.words >= config.shingle_words
    while True:
        positions = table.order[(decisions.reasons[table.order] == 0) & with_shingles[table.order]]
        pairs, is_complete = _candidates(table, positions, threshold)
        pairs, similarity = _verified(table, pairs, config, threshold, texts)
        num_dropped = _drop_near(table, decisions, pairs, similarity)
        # Of a large group only some pairs were looked at. What is left of it is looked at again.
        if is_complete or not num_dropped:
            return


def _candidates(table: _Table, positions: Int64, threshold: float) -> tuple[Int64, bool]:
    """Pairs of documents that agree in a band and may reach the threshold.

    Args:
        table: the marks.
        positions: of the documents that take part, the best first.
        threshold: Jaccard.

    Returns:
        (num_pairs, 2) positions, the better first; and whether all pairs that agree in a band were looked at.
    """
    seen = np.zeros(0, dtype=np.uint64)
    kept: list[Int64] = []
    is_complete = True
    for band in table.bands:
        keys = np.empty(len(positions), dtype=np.uint64)
        for start in range(0, len(positions), _PAIRS_AT_A_TIME):
            cut = slice(start, start + _PAIRS_AT_A_TIME)
            keys[cut] = minhash.band_keys(band[positions[cut]])
        codes, all_pairs = _meetings(keys)
        is_complete &= all_pairs
        new = np.setdiff1d(codes, seen)
        seen = np.union1d(seen, new)
        pairs = positions[np.stack([new >> np.uint64(32), new & np.uint64(0xFFFFFFFF)], axis=1).astype(np.int64)]
        close = table.agreement(pairs[:, 0], pairs[:, 1]) >= threshold - _margin(table, threshold)
        kept.append(pairs[close])
    return (np.concatenate(kept) if kept else np.zeros((0, 2), dtype=np.int64)), is_complete


def _meetings(keys: UInt64) -> tuple[UInt64, bool]:
    """Pairs of indices with equal keys, as `lower << 32 | higher`; and whether these are all of them."""
    shared = np.sort(_shared(keys))
    order = shared[np.argsort(keys[shared], kind="stable")].astype(np.uint64)
    ordered = keys[order]
    starts, ends = _runs(ordered)
    sizes = ends - starts
    codes = [order[:0]]
    for distance in range(1, min(_WINDOW, int(sizes.max(initial=1)) - 1) + 1):
        equal = ordered[distance:] == ordered[:-distance]
        codes.append(order[:-distance][equal] << np.uint64(32) | order[distance:][equal])
    large = sizes > _WINDOW + 1
    for start, size in zip(starts[large].tolist(), sizes[large].tolist(), strict=True):
        for better in range(_BEST):
            behind = order[start + better + 1 : start + size]
            codes.append(order[start + better] << np.uint64(32) | behind)
    return np.unique(np.concatenate(codes)), not large.any()


def _margin(table: _Table, threshold: float) -> float:
    """Three standard errors of an estimate at the threshold."""
    num_hashes = sum(band.shape[1] for band in table.bands)
    return float(3.0 * np.sqrt(threshold * (1.0 - threshold) / max(1, num_hashes)))


def _verified(
    table: _Table, pairs: Int64, config: DedupConfig, threshold: float, texts: Texts | None
) -> tuple[Int64, npt.NDArray[np.float64]]:
    """The pairs that reach the threshold, and their similarity: exact where the estimate leaves it open."""
    similarity = table.agreement(pairs[:, 0], pairs[:, 1])
    if texts is not None:
        undecided = np.flatnonzero(np.abs(similarity - threshold) <= _margin(table, threshold))
        sets = _ShingleSets(np.unique(pairs[undecided]), texts, config.shingle_words, table.scratch)
        for number in undecided:
            similarity[number] = minhash.jaccard(*(sets.of(position) for position in pairs[number]))
    reached = similarity >= threshold
    return pairs[reached], similarity[reached]


class _ShingleSets:
    """Shingles of chosen documents, in a file if there is a folder for it.

    Each text is fetched once, in the order in which they are stored: fetching them pair by pair took most of the time of
    200,000 documents.
    """

    def __init__(self, positions: Int64, texts: Texts, num_words: int, scratch: Path | None) -> None:
        self._positions = positions
        parts: list[UInt64] = []
        ends = [0]
        path = scratch / "shingles" if scratch else None
        with path.open("wb") if path else contextlib.nullcontext() as file:
            fetched = iter(texts(positions.tolist()))
            while batch := list(itertools.islice(fetched, _TEXTS_AT_A_TIME)):
                for shingles in minhash.shingle_sets(batch, num_words):
                    ends.append(ends[-1] + len(shingles))
                    if file:
                        file.write(shingles.tobytes())
                    else:
                        parts.append(shingles)
        self._ends = np.array(ends)
        self._all: UInt64 = np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)
        if path and ends[-1]:
            self._all = np.memmap(path, np.uint64, "r")

    def of(self, position: np.int64) -> UInt64:
        """The shingles of one of the documents, sorted."""
        row = int(np.searchsorted(self._positions, position))
        return self._all[self._ends[row] : self._ends[row + 1]]


def _drop_near(table: _Table, decisions: Decisions, pairs: Int64, similarity: npt.NDArray[np.float64]) -> int:
    """From the best document down: drops what repeats a document that is kept, for the most alike of those."""
    order = np.lexsort((table.rank[pairs[:, 0]], table.rank[pairs[:, 1]]))
    best: dict[int, tuple[float, int]] = {}
    for (twin, position), value in zip(pairs[order].tolist(), similarity[order].tolist(), strict=True):
        if twin not in best and value > best.get(position, (0.0, 0))[0]:
            best[position] = (value, twin)
    positions = np.array(list(best), dtype=np.int64)
    decisions.drop(positions, np.array([twin for _, twin in best.values()], dtype=np.int64), NEAR)
    decisions.similarity[positions] = [value for value, _ in best.values()]
    return len(best)
