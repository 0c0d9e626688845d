"""Withhold: sets documents aside from training, so that questions can be asked about literature the model never saw.

A document is withheld because it is named, because it says so itself, because the keyed draw fell on it, or because it
nearly repeats one that is withheld.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.corpus.documents import Shards, read_documents
from sagecraft.errors import UserError

VERSION = 3
TRAINING = "training"
WITHHELD = "withheld"
#: Documents in a Parquet file, as ingest writes them.
_SHARD_DOCUMENTS = 2000


class WithholdConfig(BaseModel):
    """Which documents are kept from training."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ids: list[str] = Field(
        default=[], description="identifiers or patterns (`reviews/*`) of documents to withhold; none by default"
    )
    file: str | None = Field(
        default=None,
        description="text file with further identifiers or patterns, one a line; a line that begins with `#` is a remark",
    )
    categories: list[str] = Field(
        default=[], description="categories or patterns (`astro-ph.CO`, `Annual Review*`) to withhold; none by default"
    )
    years: tuple[int, int] | None = Field(
        default=None,
        description="first and last year of publication to withhold, such as [2024, 2026]; none by default",
    )
    flagged: bool = Field(
        default=True,
        description="respect the documents' own `withheld` flags, which are there because somebody decided",
    )
    fraction: float = Field(
        default=0.0,
        ge=0.0,
        lt=1.0,
        description="fraction (0 to 1) of the documents about which nothing is decided (all, with `flagged: false`), "
        "drawn by a keyed hash of their identifiers, at least one; none by default",
    )
    near_duplicates: float | None = Field(
        default=0.3,
        gt=0.0,
        le=1.0,
        description="share of 13-word shingles from which a document goes with a withheld one. Different articles "
        "share under 0.01, editions and preprints of one article over 0.5; null switches the rule off",
    )
    seed: int = Field(default=0, description="of the keyed draw")
    min_withheld: int = Field(
        default=1, ge=0, description="fewest withheld documents; without any, nothing can be measured. 0 allows none"
    )

    @model_validator(mode="after")
    def _check_years(self) -> Self:
        if self.years is not None and self.years[0] > self.years[1]:
            raise ValueError(f"years: first and last in this order, not {list(self.years)}")
        return self


@dataclasses.dataclass(frozen=True)
class _Decision:
    """Why a document is withheld."""

    rule: str
    detail: str = ""


def run(config: WithholdConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Splits documents into training and withheld ones.

    Args:
        config: the rules.
        inputs: `documents`, an artifact of documents, and `file`, if the configuration names one.
        out: the artifact: `training/documents/*.parquet`, `withheld/documents/*.parquet`, `withheld.jsonl`.

    Raises:
        UserError: a pattern matches nothing, nothing is withheld, or nothing is left to train on.
    """
    source = inputs["documents"]
    with artifact.build(
        out, kind="documents", stage="withhold", version=VERSION, config=config, inputs=inputs
    ) as build:
        num_documents, decisions = _decide(config, inputs)
        if config.near_duplicates is not None:
            _add_near_duplicates(source, decisions, config.near_duplicates)
        _check(config, source, num_documents, decisions)
        sides = {side: Shards(build.path / side, _SHARD_DOCUMENTS) for side in (TRAINING, WITHHELD)}
        counts: Counter[str] = Counter()
        rows = []
        for document in read_documents(source):
            decision = decisions.get(document.id)
            side = TRAINING if decision is None else WITHHELD
            sides[side].keep(dataclasses.replace(document, withheld=decision is not None))
            counts[f"num_{side}"] += 1
            counts[f"words_{side}"] += len(document.text.split())
            if decision is not None:
                rows.append({"id": document.id, "rule": decision.rule, "detail": decision.detail})
        artifact.write_jsonl(build.path / "withheld.jsonl", rows)
        for side, shards in sides.items():
            shards.flush(always=True)  # an empty side is a folder with an empty shard: readers find what they look for
            build.stats[f"num_{side}"] = counts[f"num_{side}"]
            build.stats[f"words_{side}"] = counts[f"words_{side}"]
        rules = sorted({row["rule"] for row in rows})
        build.stats["rules"] = {rule: sum(row["rule"] == rule for row in rows) for rule in rules}
        build.stats["num_documents"] = num_documents
    return build.manifest


def _decide(config: WithholdConfig, inputs: Mapping[str, Path]) -> tuple[int, dict[str, _Decision]]:
    """The rules that see one document at a time, and the keyed draw."""
    source = inputs["documents"]
    patterns = [*config.ids, *(_listed(inputs["file"]) if "file" in inputs else [])]
    by_id, by_category = _Patterns(patterns), _Patterns(config.categories)
    decisions: dict[str, _Decision] = {}
    ids: list[str] = []
    has_years = False
    categories: set[str] = set()
    open_ids: list[str] = []
    matched: set[str] = set()
    filed_under: set[str] = set()
    for document in read_documents(source):
        ids.append(document.id)
        categories.update(document.categories)
        hit = by_id.of(document.id)
        filed = list(dict.fromkeys(pattern for each in document.categories for pattern in by_category.of(each)))
        in_years = bool(config.years and document.year and config.years[0] <= document.year <= config.years[1])
        has_years = has_years or in_years
        matched.update(hit)
        filed_under.update(filed)
        if hit:
            decisions[document.id] = _Decision("ids", hit[0])
        elif config.flagged and document.withheld:
            decisions[document.id] = _Decision("flagged")
        elif filed:
            decisions[document.id] = _Decision("categories", filed[0])
        elif in_years:
            decisions[document.id] = _Decision("years", str(document.year))
        elif document.withheld is None or not config.flagged:
            open_ids.append(document.id)
    _all_matched("ids", patterns, matched, ids, source)
    _all_matched("categories", config.categories, filed_under, categories, source)
    if config.years is not None and not has_years:
        raise UserError(
            f"withhold.years: no document of {source} states a year from {config.years[0]} to {config.years[1]}"
        )
    for identifier in _draw(open_ids, config.fraction, config.seed):
        decisions[identifier] = _Decision("fraction")
    return len(ids), decisions


def _listed(path: Path) -> list[str]:
    """Patterns of a file, one a line; only a whole line is a remark, since identifiers hold `#`."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"withhold.file: {path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _all_matched(key: str, patterns: list[str], matched: set[str], names: Iterable[str], source: Path) -> None:
    """A pattern without a match is a withheld document that is trained on."""
    for pattern in patterns:
        if pattern not in matched:
            near = difflib.get_close_matches(pattern, names, n=1, cutoff=0.3)
            hint = f"; the nearest is {near[0]!r}" if near else ""
            raise UserError(f"withhold.{key}: {pattern!r} matches no document of {source}{hint}")


class _Patterns:
    """Names and patterns of names. A list of 10,000 plain names costs a look-up a document, and no comparisons."""

    def __init__(self, patterns: list[str]) -> None:
        # An identifier may hold brackets, which are signs of a pattern: equal strings match in any case.
        self._plain = set(patterns)
        self._wild = [
            (pattern, re.compile(fnmatch.translate(pattern)))
            for pattern in patterns
            if any(c in pattern for c in "*?[")
        ]

    def of(self, name: str) -> list[str]:
        """The patterns that a name matches, itself first."""
        same = [name] if name in self._plain else []
        return same + [pattern for pattern, form in self._wild if pattern != name and form.match(name)]


def _draw(ids: list[str], fraction: float, seed: int) -> list[str]:
    """The documents with the smallest keyed hashes: adding documents later hardly changes who is drawn."""
    if not ids or not fraction:
        return []
    count = max(1, round(fraction * len(ids)))
    return sorted(ids, key=lambda identifier: (keyed_hash(seed, "withhold", identifier), identifier))[:count]


def _add_near_duplicates(source: Path, decisions: dict[str, _Decision], threshold: float) -> None:
    """Withholds what nearly repeats a withheld document, then what repeats that, until nothing is added.

    A document repeats another if it states the same identifier, whatever its version, or shares its shingles. In the end
    no training document does either with a withheld one.
    """
    from sagecraft.corpus.marks import identifiers
    from sagecraft.corpus.overlap import ShingleIndex

    added = set(decisions)
    while added:
        index = ShingleIndex()
        names: dict[str, tuple[str, bool]] = {}
        for document in read_documents(source):
            if document.id in added:
                index.add(document.id, document.text)
                names |= {key: (document.id, own) for key, _, own in identifiers(document, versions=True)}
        added = set()
        with console.progress("near-duplicates") as tick:
            for document in read_documents(source):
                tick.advance()
                if document.id in decisions or document.id in added:
                    continue
                # Chapters may all state the identifier of their book: it must be the own one of either side.
                same = next(
                    (
                        (names[key][0], key)
                        for key, _, own in identifiers(document, versions=True)
                        if key in names and (own or names[key][1])
                    ),
                    None,
                )
                if same is not None:
                    added.add(document.id)
                    decisions[document.id] = _Decision("same-identifier", f"{same[0]} ({same[1]})")
                    continue
                other, share = index.nearest(document.text)
                if share >= threshold:
                    added.add(document.id)
                    decisions[document.id] = _Decision("near-duplicate", f"{other} ({share:.2f})")


def _check(config: WithholdConfig, source: Path, num_documents: int, decisions: Mapping[str, _Decision]) -> None:
    if not num_documents:
        raise UserError(f"{source}: holds no documents; ingest some first")
    if len(decisions) == num_documents:
        raise UserError(
            f"withhold: all {num_documents} documents are withheld and none is left to train on; "
            "lower withhold.fraction, narrow withhold.ids or raise withhold.near_duplicates"
        )
    if len(decisions) < config.min_withheld:
        raise UserError(
            f"withhold: {len(decisions)} of {num_documents} documents are withheld, at least {config.min_withheld} are "
            "needed; set withhold.fraction or withhold.ids (or withhold.min_withheld to 0)"
        )
