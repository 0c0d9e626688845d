"""Stage `mix`: which documents are trained on, and how often.

Sources get passes (`epochs`), tokens, or weights in what is left of the budget; general text gets its share against
forgetting; within a source, documents can be reweighted by topic or year towards a target. The result is a list of
documents with a number of copies, drawn by keyed hashes, and the realised mix stands in the manifest.
"""

from __future__ import annotations

import fnmatch
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.models.tokenizer import Tokenizer

VERSION = 2
MIXTURE = "mixture.parquet"
GENERAL, REST = "general", "domain"
_BATCH = 256
#: Of one token nothing can be learned.
_LEAST_TOKENS = 2


class MixSource(BaseModel):
    """A part of the corpus and how much of it is trained on."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, description="names it in figures and loss curves")
    match: str = Field(
        min_length=1, description="pattern of its documents' `source`, `id` or a category, such as `*/abstracts/*`"
    )
    epochs: float | None = Field(default=None, gt=0, description="passes over it within one pass of training")
    tokens: int | None = Field(default=None, ge=1, description="tokens to take of it")
    weight: float | None = Field(
        default=None, gt=0, description="its part of what `epochs` and `tokens` of other sources leave of the budget"
    )

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        stated = [name for name in ("epochs", "tokens", "weight") if getattr(self, name) is not None]
        if len(stated) != 1:
            raise ValueError(
                f"source {self.name!r} states {' and '.join(stated) or 'none'} of epochs, tokens and weight; state one"
            )
        return self


class BalanceConfig(BaseModel):
    """Reweights documents towards a target."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    by: Literal["topic", "year"] = Field(description="`topic` (a document's first category) or `year`")
    target: dict[str, float] = Field(
        default={},
        description="share of tokens by topic or year; what is not named keeps its proportions in the rest. Empty: all alike",
    )
    max_copies: float = Field(
        default=3.0, ge=1.0, description="a document comes up at most so often as without balance; keeps a rare topic from being learned by heart"
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        total = sum(self.target.values())
        if any(share < 0 for share in self.target.values()) or total > 1 + 1e-9:
            raise ValueError(f"target: shares must be 0 or more and add up to at most 1, not {total:g}")
        return self


class MixConfig(BaseModel):
    """What continued pre-training reads, and how often."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sources: list[MixSource] = Field(
        default=[],
        description="parts of the corpus; a document belongs to the first that matches, and is taken once if none does",
    )
    general_share: float = Field(
        default=0.2, ge=0, lt=1, description="share of the tokens that is general text (replay against forgetting)"
    )
    max_tokens: int | None = Field(
        default=None, ge=1, description="tokens of the field at most; all of them by default"
    )
    max_epochs: float = Field(
        default=4.0,
        ge=1,
        description="passes that `weight` and `tokens` may make over a source: up to 4 are nearly as good as new text "
        "(arXiv:2305.16264)",
    )
    balance: BalanceConfig | None = Field(default=None, description="reweighting by topic or year; none by default")
    seed: int = Field(default=0, description="keys the order in which documents are taken")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [source.name for source in self.sources]
        twice = next((name for name in names if names.count(name) > 1), None)
        kept = next((name for name in names if name in (GENERAL, REST)), None)  # of what no source matches
        if twice or kept:
            raise ValueError(f"sources: the name {twice or kept!r} is taken; choose another")
        return self


@dataclass(frozen=True)
class Entry:
    """A document that may be taken.

    Attributes:
        id: of the document.
        source: name of its source in the mix.
        topic: its first category, or nothing.
        year: of publication, or nothing.
        num_tokens: its length.
    """

    id: str
    source: str
    topic: str
    year: str
    num_tokens: int


@dataclass(frozen=True)
class Taken:
    """A document that is taken.

    Attributes:
        entry: the document.
        copies: how often.
        last_tokens: length of the last copy, which is cut where the budget of its group ends.
    """

    entry: Entry
    copies: int
    last_tokens: int

    @property
    def num_tokens(self) -> int:
        """Tokens of all copies."""
        return (self.copies - 1) * self.entry.num_tokens + self.last_tokens


def run(config: MixConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Chooses from `documents` (and `general`, if given), counted with the tokenizer of `model`.

    Raises:
        UserError: a source that matches nothing, a target that names nothing, or no documents at all.
    """
    from sagecraft.corpus.documents import read_documents
    from sagecraft.models.tokenizer import Tokenizer

    with artifact.build(out, kind="mixture", stage="mix", version=VERSION, config=config, inputs=inputs) as build:
        tokenizer = Tokenizer.from_folder(inputs["model"])
        domain = list(_entries(config, tokenizer, read_documents(inputs["documents"]), None))
        general = []
        if "general" in inputs and config.general_share:
            general = list(_entries(config, tokenizer, read_documents(inputs["general"]), GENERAL))
        if not domain:
            raise UserError(f"{inputs['documents']}: no documents to train on; check corpus.paths and withhold")
        taken = choose(config, domain, general)
        if not any(row.entry.source != GENERAL for row in taken):
            raise UserError("mix: takes no text of the field; raise mix.max_tokens or change mix.balance.target")
        write_mixture(build.path / MIXTURE, taken)
        build.stats.update(_stats(config, [*domain, *general], taken))
        _say(build.stats)
        _write_page(build.path / "report.html", config, build.stats)
    return build.manifest


def _entries(
    config: MixConfig, tokenizer: Tokenizer, documents: Iterator[Document], name: str | None
) -> Iterator[Entry]:
    """Documents with their lengths: begin and end of document count."""
    from itertools import islice

    matched: Counter[str] = Counter()
    extra = 1 + (tokenizer.bos_id is not None)
    with console.progress("counting tokens") as tick:
        while chunk := list(islice(documents, _BATCH)):
            for document, ids in zip(chunk, tokenizer.encode_batch([row.text for row in chunk]), strict=True):
                source = name or _source_of(config, document)
                matched[source] += 1
                topic = document.categories[0] if document.categories else ""
                yield Entry(document.id, source, topic, str(document.year or ""), len(ids) + extra)
                tick.advance()
    missing = [source for source in config.sources if not matched[source.name]] if name is None else []
    if missing:
        first = missing[0]
        raise UserError(f"mix.sources: {first.name}: {first.match!r} matches no document; correct or remove it")


def _source_of(config: MixConfig, document: Document) -> str:
    names = (document.source, document.id, *document.categories)
    for source in config.sources:
        if any(fnmatch.fnmatchcase(name, source.match) for name in names):
            return source.name
    return REST


def choose(config: MixConfig, domain: Sequence[Entry], general: Sequence[Entry]) -> list[Taken]:
    """Documents with their copies: the sources in the order of the configuration, then general text."""
    budgets = _budgets(config, domain)
    factors = _factors(config.balance, domain) if config.balance else {}
    taken: list[Taken] = []
    for name, budget in budgets.items():
        members = [entry for entry in domain if entry.source == name]
        taken += _take(members, budget, config.seed, config.balance, factors)
    wanted = sum(row.num_tokens for row in taken) * config.general_share / (1 - config.general_share)
    available = sum(entry.num_tokens for entry in general)
    if general and wanted > available:
        console.warn(f"general text holds {available:,} tokens where {wanted:,.0f} are asked for; all of it is used")
    return taken + _take(general, min(round(wanted), available), config.seed, None, {})


def _budgets(config: MixConfig, domain: Sequence[Entry]) -> dict[str, int]:
    """Tokens to take of every source, in the order of the configuration."""
    sizes: Counter[str] = Counter()
    for entry in domain:
        sizes[entry.source] += entry.num_tokens
    wanted = _wanted(config, sizes)
    free = {source.name for source in config.sources if source.epochs is not None}
    budgets: dict[str, float] = {}
    for name, budget in wanted.items():
        budgets[name] = budget if name in free else min(budget, config.max_epochs * sizes[name])
        if budgets[name] < budget - 1:
            console.warn(
                f"mix: {name}: {budget:,.0f} tokens would be {budget / sizes[name]:.1f} passes over it; "
                f"{config.max_epochs:g} are taken (mix.max_epochs)"
            )
    planned = sum(budgets.values())
    scale = 1.0 if config.max_tokens is None or planned <= config.max_tokens else config.max_tokens / planned
    if scale < 1.0 and config.sources:
        starved = [name for name, budget in budgets.items() if not budget]
        console.warn(
            f"mix: its sources ask for {planned:,.0f} tokens and mix.max_tokens is {config.max_tokens:,}; each gets {scale:.0%} "
            f"of what it asks for{''.join(f', and {name} nothing' for name in starved)}"
        )
    # Rounded as running sums, so that all together are no more than what is planned.
    ends = [math.floor(scale * end + 1e-6) for end in itertools.accumulate(budgets.values())]
    return {name: end - start for name, start, end in zip(budgets, [0, *ends], ends, strict=False)}


def _wanted(config: MixConfig, sizes: Mapping[str, int]) -> dict[str, float]:
    """What passes, tokens and weights ask for."""
    fixed = {
        source.name: source.tokens or sizes[source.name] * (source.epochs or 0.0)
        for source in config.sources
        if source.weight is None
    }
    if REST in sizes:
        fixed[REST] = sizes[REST]
    weights = {source.name: source.weight for source in config.sources if source.weight is not None}
    left: float = sum(sizes[name] for name in weights)
    if config.max_tokens is not None:
        left = max(0.0, config.max_tokens - sum(fixed.values()))
    total = sum(weights.values())
    shared = {name: left * weight / total for name, weight in weights.items()}
    order = [*(source.name for source in config.sources), *([REST] if REST in sizes else [])]
    return {name: {**fixed, **shared}[name] for name in order}


def _factors(balance: BalanceConfig, entries: Sequence[Entry]) -> dict[str, float]:
    """Topic or year → how much more or less often its documents come up than they would, were there no limit."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[_group(balance, entry)] += entry.num_tokens
    unknown = [name for name in balance.target if name not in sizes]
    if unknown:
        known = ", ".join(name for name, _ in sizes.most_common(10) if name) or "none stated"
        raise UserError(f"mix.balance.target: {unknown[0]!r} is the {balance.by} of no document; there are {known}")
    total = sum(sizes.values())
    rest = sum(size for name, size in sizes.items() if name not in balance.target)
    left = 1.0 - sum(balance.target.values())
    goal = {
        name: balance.target[name] if name in balance.target else left * size / rest if rest else 0.0
        for name, size in sizes.items()
    }
    if not balance.target:
        goal = dict.fromkeys(sizes, 1.0 / len(sizes))
    return {name: goal[name] * total / sizes[name] for name in sizes}


def _group(balance: BalanceConfig, entry: Entry) -> str:
    return entry.topic if balance.by == "topic" else entry.year


def _take(
    entries: Sequence[Entry], budget: int, seed: int, balance: BalanceConfig | None, factors: Mapping[str, float]
) -> list[Taken]:
    """Takes `budget` tokens of a source: from every group its part, whole passes first, in a keyed order."""
    if not entries or budget <= 0:
        return []
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (keyed_hash(seed, "order", entry.id), entry.id)):
        groups.setdefault(_group(balance, entry) if balance else "", []).append(entry)
    sizes = {name: sum(entry.num_tokens for entry in members) for name, members in groups.items()}
    weights = {name: factors[name] if balance else 1.0 for name in groups}
    most = balance.max_copies * budget / sum(sizes.values()) if balance else math.inf
    passes = _passes(sizes, weights, budget, most)
    taken: dict[str, Taken] = {}
    planned, done = 0.0, 0
    for name, members in groups.items():
        planned += passes[name] * sizes[name]
        # What a group could not use (one token is no text) is the next one's.
        for row in _of_group(members, round(planned) - done, passes[name]):
            taken[row.entry.id] = row
            done += row.num_tokens
    if planned < budget - 1:
        console.warn(
            f"mix: {entries[0].source}: {done:,} of {budget:,} tokens are taken; what mix.balance asks for holds no more "
            "within balance.max_copies"
        )
    order = {entry.id: position for position, entry in enumerate(itertools.chain.from_iterable(groups.values()))}
    return sorted(taken.values(), key=lambda row: order[row.entry.id])


def _passes(sizes: Mapping[str, int], weights: Mapping[str, float], budget: int, most: float) -> dict[str, float]:
    """Passes over every group: in proportion to the weights, none above `most`, and together the budget.

    What a group may not take goes to the others in proportion. If all are at their limit, less than the budget is taken.
    """
    passes = dict.fromkeys(sizes, 0.0)
    left = float(budget)
    open_groups = sorted((name for name in sizes if weights[name] > 0), key=lambda name: (-weights[name], name))
    while open_groups:
        natural = sum(weights[name] * sizes[name] for name in open_groups)
        first = open_groups[0]  # the one of the largest weight is the first at its limit
        if weights[first] * left / natural <= most:
            passes |= {name: weights[name] * left / natural for name in open_groups}
            break
        passes[first] = most
        left -= most * sizes[first]
        open_groups = open_groups[1:]
    return passes


def _of_group(members: Sequence[Entry], budget: int, passes: float) -> Iterator[Taken]:
    """Whole passes over a group, and what is left of the budget in its order, the last document cut."""
    size = sum(entry.num_tokens for entry in members)
    whole = min(int(passes + 1e-9), budget // size)
    left = budget - whole * size
    for entry in members:
        if left >= _LEAST_TOKENS and passes > 0:
            part = min(left, entry.num_tokens)
            left -= part
            yield Taken(entry, whole + 1, part)
        elif whole:
            yield Taken(entry, whole, entry.num_tokens)


def write_mixture(path: Path, taken: Sequence[Taken]) -> None:
    """Writes what is taken: id, source, tokens of the document, copies, tokens of the last copy."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "id": pa.array([row.entry.id for row in taken], pa.string()),
        "source": pa.array([row.entry.source for row in taken], pa.string()),
        "num_tokens": pa.array([row.entry.num_tokens for row in taken], pa.int64()),
        "copies": pa.array([row.copies for row in taken], pa.int32()),
        "last_tokens": pa.array([row.last_tokens for row in taken], pa.int64()),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, version="2.6", compression="zstd", compression_level=3)


def read_mixture(path: Path) -> dict[tuple[bool, str], Taken]:
    """What is taken, by (is it general text, id)."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return {
        (row["source"] == GENERAL, row["id"]): Taken(
            Entry(row["id"], row["source"], "", "", row["num_tokens"]), row["copies"], row["last_tokens"]
        )
        for row in rows
    }


def _stats(config: MixConfig, entries: Sequence[Entry], taken: Sequence[Taken]) -> dict[str, Any]:
    """The realised mix."""
    available: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for entry in entries:
        available[entry.source] += entry.num_tokens
    for row in taken:
        tokens[row.entry.source] += row.num_tokens
    total = sum(tokens.values())
    sources = {
        name: {
            "num_documents": sum(row.entry.source == name for row in taken),
            "available_tokens": available[name],
            "num_tokens": tokens[name],
            "epochs": round(tokens[name] / available[name], 4),
            "share": round(tokens[name] / total, 4),
        }
        for name in available
    }
    stats = {"num_tokens": total, "general_share": round(tokens[GENERAL] / total, 4), "sources": sources}
    if config.balance is not None:
        stats["balance"] = _effect(config.balance, entries, taken)
    return stats


def _effect(balance: BalanceConfig, entries: Sequence[Entry], taken: Sequence[Taken]) -> dict[str, dict[str, float]]:
    """Share of the field's tokens by topic or year: as they were, as they are taken, and as they were asked for."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for entry in entries:
        if entry.source != GENERAL:
            before[_group(balance, entry)] += entry.num_tokens
    for row in taken:
        if row.entry.source != GENERAL:
            after[_group(balance, row.entry)] += row.num_tokens
    asked = balance.target or dict.fromkeys(before, 1 / len(before))
    return {
        name or "none stated": {
            "before": round(size / before.total(), 4),
            "after": round(after[name] / after.total(), 4),
            **({"asked": round(asked[name], 4)} if name in asked else {}),
        }
        for name, size in before.most_common()
    }


def _say(stats: Mapping[str, Any]) -> None:
    for name, source in stats["sources"].items():
        console.say(f"  {name}: {source['num_tokens']:,} tokens, {source['epochs']:.2f} passes, {source['share']:.0%}")


def _write_page(path: Path, config: MixConfig, stats: Mapping[str, Any]) -> None:
    from sagecraft.reporting.page import Page

    page = Page("The mix", f"{stats['num_tokens']:,} tokens for one pass of training")
    page.heading("Sources")
    columns = ["source", "documents", "tokens there", "tokens taken", "passes", "share"]
    keys = ("num_documents", "available_tokens", "num_tokens", "epochs")
    rows = [[name, *(row[key] for key in keys), f"{row['share']:.1%}"] for name, row in stats["sources"].items()]
    page.table(columns, rows)
    if config.balance is not None:
        page.heading(f"By {config.balance.by}")
        effect = stats["balance"]
        wide = [
            [name, *(f"{row[key]:.1%}" if key in row else "" for key in ("before", "after", "asked"))]
            for name, row in effect.items()
        ]
        page.table([config.balance.by, "as it was", "as it is taken", "asked for"], wide)
        page.note(
            f"No document comes up more than {config.balance.max_copies:g} times as often as without the target, and none beyond "
            "the budget of its source, so a target that little text speaks for is met in part."
        )
    artifact.write_text(path, page.render())
