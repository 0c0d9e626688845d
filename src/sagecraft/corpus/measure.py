"""`ingest --measure`: every measure of every document in `measures.parquet`, and what each filter would keep of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sagecraft.corpus.documents import Document
from sagecraft.corpus.facts import Facts
from sagecraft.corpus.filters import FILTERS, Filter, FilterConfig, faults
from sagecraft.corpus.measures import MEASURES

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "measures.parquet"
_BATCH_ROWS = 2000
#: Points of a curve: enough that no step of a drawing 400 pixels wide is lost.
_POINTS = 300
#: Documents on either side of a threshold whose beginnings are shown.
SAMPLES = 3

Floats = npt.NDArray[np.float64]


def _schema() -> pa.Schema:
    import pyarrow as pa

    texts = [pa.field(name, pa.string(), nullable=False) for name in ("id", "source", "license", "language")]
    numbers = [pa.field(name, pa.float64()) for name in MEASURES]
    return pa.schema([*texts, *numbers, pa.field("drops", pa.list_(pa.string()), nullable=False)])


class MeasureWriter:
    """Writes `measures.parquet` as documents pass by: a row each, in their order.

    `drops` names every rule of the present thresholds that would drop the document, in the order in which they are tried.
    """

    def __init__(self, folder: Path, rules: FilterConfig) -> None:
        import pyarrow.parquet as pq

        self._schema = _schema()
        self._rules = rules
        self._rows: list[dict[str, Any]] = []
        self._file = pq.ParquetWriter(
            folder / FILE, self._schema, version="2.6", compression="zstd", compression_level=3, store_schema=False
        )

    def add(self, document: Document, facts: Facts, source: str) -> None:
        """Adds a document; `source` is the label of the one that it came from."""
        drops = [drop.reason for drop in faults(document.license, facts.language, facts.measures, self._rules)]
        head = {"id": document.id, "source": source, "license": document.license, "language": facts.language}
        self._rows.append(head | facts.measures | {"drops": drops})
        if len(self._rows) >= _BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        """Writes what is left."""
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._file.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []


@dataclass(frozen=True)
class Sample:
    """A document beside a threshold: its position among the documents and its measure."""

    position: int
    value: float


@dataclass(frozen=True)
class Curve:
    """What one filter would keep.

    Attributes:
        rule: the filter.
        threshold: the present one; None if the rule is off.
        num_measured: documents that the measure says something about; the others are always kept.
        documents: `(threshold, share of all documents kept)`, ascending.
        words: the same for the share of all words.
        quantiles: share of the measured documents → threshold that would drop so many.
        num_dropped: documents that the present threshold drops.
        outside: documents next to the threshold that it drops, nearest first.
        inside: those that it keeps.
    """

    rule: Filter
    threshold: float | None
    num_measured: int
    documents: list[tuple[float, float]]
    words: list[tuple[float, float]]
    quantiles: dict[float, float]
    num_dropped: int
    outside: list[Sample]
    inside: list[Sample]


def curves(folder: Path, rules: FilterConfig) -> Iterator[Curve]:
    """What every filter would keep at each threshold, one after the other: two columns are held at a time.

    Args:
        folder: that holds `measures.parquet`.
        rules: the present thresholds.
    """
    words = np.nan_to_num(_column(folder, "words"))
    for rule in FILTERS:
        yield curve(rule, rule.threshold(rules), _column(folder, rule.measure), words)


def _column(folder: Path, name: str) -> Floats:
    import pyarrow.parquet as pq

    column = pq.read_table(folder / FILE, columns=[name], use_threads=False).column(name)
    return np.asarray(column.to_numpy(), dtype=np.float64)


def curve(rule: Filter, threshold: float | None, values: Floats, words: Floats) -> Curve:
    """What one filter would keep at each threshold.

    Args:
        rule: the filter.
        threshold: the present one.
        values: (n,) measure of each document, NaN where there is none.
        words: (n,) its words.
    """
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    ordered = values[order]
    # Below each distinct value, and up to it: what "at least" loses there, and what "at most" keeps.
    starts = np.flatnonzero(np.diff(ordered, prepend=-np.inf)) if len(ordered) else np.zeros(0, dtype=np.int64)
    summed = np.concatenate([[0.0], np.cumsum(words[order])])
    ends = np.append(starts[1:], len(ordered))
    places = starts if rule.bound == "at least" else ends
    chosen = np.unique(np.linspace(0, len(starts) - 1, min(_POINTS, len(starts))).round().astype(np.int64))
    documents, of_words = [], []
    for at in chosen.tolist():
        place, x = int(places[at]), float(ordered[starts[at]])
        if rule.bound == "at least":
            gone, gone_words = place, summed[place]
        else:
            gone, gone_words = len(ordered) - place, summed[-1] - summed[place]
        documents.append((x, 1 - gone / max(len(values), 1)))
        of_words.append((x, 1 - float(gone_words) / max(float(words.sum()), 1.0)))
    outside, inside = _either_side(rule, threshold, order, ordered)
    return Curve(
        rule=rule,
        threshold=threshold,
        num_measured=len(ordered),
        documents=documents,
        words=of_words,
        quantiles=_quantiles(rule, ordered),
        num_dropped=_num_dropped(rule, threshold, ordered),
        outside=outside,
        inside=inside,
    )


def _quantiles(rule: Filter, ordered: Floats) -> dict[float, float]:
    """Thresholds that would drop about 0.1, 1, 5 and 10 in a hundred of what was measured."""
    if not len(ordered):
        return {}
    found = {}
    for share in (0.001, 0.01, 0.05, 0.1):
        gone = int(share * len(ordered))
        found[share] = float(ordered[gone] if rule.bound == "at least" else ordered[len(ordered) - 1 - gone])
    return found


def _num_dropped(rule: Filter, threshold: float | None, ordered: Floats) -> int:
    if threshold is None:
        return 0
    if rule.bound == "at least":
        return int(np.searchsorted(ordered, threshold, side="left"))
    return len(ordered) - int(np.searchsorted(ordered, threshold, side="right"))


def _either_side(
    rule: Filter, threshold: float | None, order: npt.NDArray[np.int64], ordered: Floats
) -> tuple[list[Sample], list[Sample]]:
    """The documents next to the threshold, dropped and kept, nearest first; if the rule is off, those that would go first."""
    at_least = rule.bound == "at least"
    if threshold is None:
        at = 0 if at_least else len(ordered)
    else:
        at = int(np.searchsorted(ordered, threshold, side="left" if at_least else "right"))
    below = [Sample(int(order[n]), float(ordered[n])) for n in range(at - 1, max(-1, at - 1 - SAMPLES), -1)]
    above = [Sample(int(order[n]), float(ordered[n])) for n in range(at, min(len(ordered), at + SAMPLES))]
    return (below, above) if at_least else (above, below)


@dataclass(frozen=True)
class Verdict:
    """What the present rules would drop.

    Attributes:
        num_documents: measured.
        num_dropped: by any rule.
        share_of_words: of what would be dropped.
        first: reason → documents that it would be given for, by the first rule that fails.
        alone: reason → documents that no other rule drops.
        each: reason → documents that the rule fails.
    """

    num_documents: int
    num_dropped: int
    share_of_words: float
    first: Counter[str]
    alone: Counter[str]
    each: Counter[str]

    def stats(self) -> dict[str, Any]:
        """The figures of the manifest."""
        return {
            "would_drop": {
                "num_documents": self.num_dropped,
                "share_of_words": round(self.share_of_words, 6),
                "by_filter": dict(sorted(self.each.items())),
                "by_filter_alone": dict(sorted(self.alone.items())),
            }
        }


def verdict(folder: Path) -> Verdict:
    """What the present rules would drop, from `measures.parquet`."""
    first: Counter[str] = Counter()
    alone: Counter[str] = Counter()
    each: Counter[str] = Counter()
    size, words, dropped_words = 0, 0.0, 0.0
    for drops, num_words in _drops(folder):
        size += 1
        words += num_words
        if drops:
            dropped_words += num_words
            first[drops[0]] += 1
            each.update(dict.fromkeys(drops, 1))
            alone[drops[0]] += len(set(drops)) == 1
    return Verdict(size, first.total(), dropped_words / max(words, 1.0), first, +alone, each)


def _drops(folder: Path) -> Iterable[tuple[list[str], float]]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(folder / FILE) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=["drops", "words"], use_threads=False):
            yield from zip(batch.column("drops").to_pylist(), batch.column("words").to_pylist(), strict=True)
