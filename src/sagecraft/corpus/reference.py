"""A reference distribution, and how far a corpus is from it: which groups it has too many of, and which too few."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sagecraft.corpus.documents import DOCUMENTS
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.audit import Audit

Kind = Literal["category", "year"]
_MAX_ROWS = 100_000


@dataclass(frozen=True)
class Difference:
    """One group in both.

    Attributes:
        name: of the group.
        here: its share in the corpus.
        there: its share in the reference.
    """

    name: str
    here: float
    there: float

    @property
    def ratio(self) -> float:
        """How many times as large it is here; infinite if the reference has none of it."""
        return self.here / self.there if self.there else math.inf


@dataclass(frozen=True)
class Comparison:
    """A corpus against a reference.

    Attributes:
        kind: what was compared.
        name: of the reference.
        differences: all groups of either, those whose shares differ most first.
        unstated: share of the corpus's documents that state nothing to compare.
    """

    kind: Kind
    name: str
    differences: list[Difference]
    unstated: float

    @property
    def distance(self) -> float:
        """Share of the documents that would have to be others (total variation distance)."""
        return sum(abs(each.here - each.there) for each in self.differences) / 2

    def stats(self) -> dict[str, Any]:
        """The figures of the manifest."""
        return {
            "kind": self.kind,
            "distance": round(self.distance, 6),
            "groups": {each.name: [round(each.here, 6), round(each.there, 6)] for each in self.differences[:200]},
        }


def read_reference(path: Path) -> dict[Kind, dict[str, float]]:
    """Shares of categories or of years, which add up to one.

    Args:
        path: an artifact of documents, or a CSV or JSONL file with the columns `key` and `share`; keys that are all years
            are compared with years, others with categories.

    Raises:
        UserError: a file that is neither, or a row that is wrong.
    """
    if path.is_dir():
        found = _of_documents(path)
    else:
        shares = _of_file(path)
        found = {"year" if all(key.isdecimal() and len(key) == 4 for key in shares) else "category": shares}
    result: dict[Kind, dict[str, float]] = {}
    for kind, weights in found.items():
        if total := sum(weights.values()):
            result[kind] = {name: weight / total for name, weight in weights.items()}
    if not result:
        raise UserError(f"{path}: states no category and no year; give a reference that does")
    return result


def _of_documents(path: Path) -> dict[Kind, dict[str, float]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = sorted((path / DOCUMENTS).glob("*.parquet"))
    if not files:
        raise UserError(f"{path}: holds no documents; a reference is a CSV or JSONL file or an artifact of documents")
    categories: Counter[str] = Counter()
    years: Counter[str] = Counter()
    for file in files:
        try:
            table = pq.read_table(file, columns=["categories", "year"], use_threads=False)
        except (pa.ArrowInvalid, KeyError) as error:
            raise UserError(f"{file}: damaged Parquet; delete the artifact and run its stage again") from error
        for names in table.column("categories").to_pylist():
            categories.update(dict.fromkeys(names or [], 1))
        years.update(str(year) for year in table.column("year").to_pylist() if year)
    return {"category": dict(categories), "year": dict(years)}


def _of_file(path: Path) -> dict[str, float]:
    shares: dict[str, float] = {}
    for number, row in _rows(path):
        if not {"key", "share"} <= row.keys():
            raise UserError(f"{path}:{number}: has no `key` and `share`; a reference is a table with these two columns")
        key, share = str(row["key"]).strip(), _number(row["share"])
        if share is None:
            raise UserError(f"{path}:{number}: share {row['share']!r} is not a number of 0 or more; correct it")
        if not key or key in shares:
            raise UserError(f"{path}:{number}: key {key!r} is {'given twice' if key else 'empty'}; correct it")
        shares[key] = share
        if len(shares) > _MAX_ROWS:
            raise UserError(f"{path}: more than {_MAX_ROWS:,} keys; give a table of groups, not of documents")
    return shares


def _number(value: object) -> float | None:
    try:
        share = float(str(value))
    except ValueError:
        return None
    return share if share >= 0 and math.isfinite(share) else None


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".ndjson"):
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        row = json.loads(line)
                        yield number, row if isinstance(row, dict) else {}
            else:
                reader = csv.DictReader(file)
                for row in reader:
                    yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not a CSV or JSONL file ({error}); give columns `key` and `share`") from error


def compare(audit: Audit, reference: Mapping[Kind, Mapping[str, float]], name: str) -> list[Comparison]:
    """Compares what both state.

    Args:
        audit: of the corpus.
        reference: as `read_reference` gives it.
        name: of the reference, for the page.
    """
    from sagecraft.corpus.audit import NONE_STATED

    found = []
    for kind, there in reference.items():
        groups = audit.groups[kind]
        stated = {key: group.documents for key, group in groups.items() if key != NONE_STATED}
        total = sum(stated.values())
        differences = [
            Difference(key, stated.get(key, 0) / total if total else 0.0, there.get(key, 0.0))
            for key in sorted({*stated, *there})
        ]
        differences.sort(key=lambda each: -abs(each.here - each.there))
        none = groups[NONE_STATED].documents if NONE_STATED in groups else 0
        found.append(Comparison(kind, name, differences, none / max(audit.num_documents, 1)))
    return found
