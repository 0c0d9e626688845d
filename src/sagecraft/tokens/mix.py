"""Stage `mix`: which documents are trained on, and how often.

Sources get passes (`epochs`), tokens, or weights in what is left of the budget; general text gets its share against
forgetting; within a source, documents can be reweighted by topic or year towards a target. The result is a list of
documents with a number of copies, drawn by keyed hashes, and the realised mix stands in the manifest.
"""

from __future__ import annotations

import fnmatch
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

VERSION = 1
MIXTURE = "mixture.parquet"
GENERAL, REST = "general", "domain"
_BATCH = 256


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
        if twice or GENERAL in names:
            raise ValueError(f"sources: the name {twice or GENERAL!r} is taken; choose another")
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
        last_tokens: length of the last copy, which is cut where a budget ends.
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
        taken += _take(members, budget, factors, config.seed)
    wanted = sum(row.num_tokens for row in taken) * config.general_share / (1 - config.general_share)
    available = sum(entry.num_tokens for entry in general)
    if general and wanted > available:
        console.warn(f"general text holds {available:,} tokens where {wanted:,.0f} are asked for; all of it is used")
    return taken + _take(general, min(round(wanted), available), {}, config.seed)


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
    return {name: max(1, round(scale * budget)) for name, budget in budgets.items()}


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
    """Topic or year → how much more or less often its documents come up than they would."""
    sizes: Counter[str] = Counter()
    for entry in entries:
        sizes[_group(balance, entry)] += entry.num_tokens
    unknown = [name for name in balance.target if name not in sizes]
    if unknown:
        known = ", ".join(name for name, _ in sizes.most_common(10))
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
    return {f"{balance.by}\x1f{name}": min(balance.max_copies, goal[name] * total / sizes[name]) for name in sizes}


def _group(balance: BalanceConfig, entry: Entry) -> str:
    return entry.topic if balance.by == "topic" else entry.year


def _take(entries: Sequence[Entry], budget: int, factors: Mapping[str, float], seed: int) -> list[Taken]:
    """Takes `budget` tokens: every document as often as its factor asks, whole passes first, in a keyed order."""
    if not entries or budget <= 0:
        return []
    order = sorted(entries, key=lambda entry: (keyed_hash(seed, "order", entry.id), entry.id))
    weights = [factors.get(f"topic\x1f{entry.topic}", factors.get(f"year\x1f{entry.year}", 1.0)) for entry in order]
    natural = sum(weight * entry.num_tokens for weight, entry in zip(weights, order, strict=True))
    if not natural:
        return []
    groups: dict[float, list[int]] = {}
    for position, weight in enumerate(weights):
        groups.setdefault(weight, []).append(position)
    copies = [0] * len(order)
    # Group by group, so that each gets what it is due to within half a document.
    for weight, members in groups.items():
        for position, number in zip(members, _whole([weight * budget / natural] * len(members)), strict=True):
            copies[position] = number
    last = _meet([entry.num_tokens for entry in order], copies, [weight > 0 for weight in weights], budget)
    return [
        Taken(entry, number, last.get(position, entry.num_tokens))
        for position, (entry, number) in enumerate(zip(order, copies, strict=True))
        if number
    ]


def _meet(sizes: Sequence[int], copies: list[int], may: Sequence[bool], budget: int) -> dict[int, int]:
    """Changes copies by as few as it takes to meet the budget, which documents of different lengths miss by a little.

    Args:
        sizes: tokens of the documents.
        copies: of each; changed in place.
        may: whether a document may come up once more.
        budget: tokens in all.

    Returns:
        Position of a document whose last copy is cut → tokens of that copy. (Of one token nothing can be learned.)
    """
    left = budget - sum(number * size for number, size in zip(copies, sizes, strict=True))
    last: dict[int, int] = {}
    for position in reversed(range(len(sizes))):
        while left < 0 and copies[position] and position not in last:
            kept = max(0, sizes[position] + left)
            left += sizes[position] - kept
            if kept >= 2:
                last[position] = kept
            else:
                copies[position] -= 1
    for position, size in enumerate(sizes):
        if left < 2:
            break
        if may[position] and position not in last:
            copies[position] += 1
            last[position] = min(left, size)
            left -= last[position]
    return last


def _whole(copies: Sequence[float]) -> list[int]:
    """Whole numbers whose running sum stays within one half of that of the wanted ones (systematic sampling)."""
    taken, wanted, done = [], 0.5, 0
    for number in copies:
        wanted += number
        taken.append(int(wanted) - done)
        done = int(wanted)
    return taken


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
            f"No document comes up more than {config.balance.max_copies:g} times as often as without the target, so a target "
            "that little text speaks for is met in part."
        )
    artifact.write_text(path, page.render())
