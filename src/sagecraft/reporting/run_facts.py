"""What the page of a run tells: facts that somebody else gathered from the artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagecraft.reporting.page import Cell
from sagecraft.reporting.verdict import Comparison, Interval


@dataclass(frozen=True)
class ModelFacts:
    """What was measured of one model.

    Attributes:
        name: its role: base, cpt, sft, merged.
        n: questions asked.
        mode: how they were asked.
        accuracy: None if the questions have no key.
        ci95: of the accuracy.
        by_kind: kind of question → `accuracy`, `ci95`, `n`.
        by_topic: topic → the same.
        modes: mode → the same, where it was asked in several.
        perplexity: text → `perplexity`, `num_tokens`, ….
        cost_usd: of the evaluation; None if unknown.
        items: rows of items.jsonl of the mode, by id.
    """

    name: str
    n: int
    mode: str
    accuracy: float | None
    ci95: Interval | None
    by_kind: Mapping[str, Mapping[str, Any]]
    by_topic: Mapping[str, Mapping[str, Any]]
    modes: Mapping[str, Mapping[str, Any]]
    perplexity: Mapping[str, Mapping[str, Any]]
    cost_usd: float | None
    items: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class CorpusFacts:
    """Documents of one ingest: counts, and what was kept aside."""

    num_documents: int
    num_words: int
    licenses: Mapping[str, int]
    formats: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class LineageRow:
    """One step: what it made, and from what (`name ← step`, or `outside` for files of the user)."""

    step: str
    kind: str
    digest: str
    fingerprint: str
    inputs: Mapping[str, str]


@dataclass
class RunFacts:
    """All that the page tells.

    Attributes:
        title: of the page.
        base: what the base model is, in words.
        verdict: the plain sentences.
        chance: accuracy of guessing.
        models: in the order of training.
        comparisons: each model against the base.
        by_kind: the last model against the base for each kind of question.
        corpora: ingest step → facts.
        withheld: id, title, license, words of each withheld document; None if nothing was withheld by this run.
        tokens: step (pack, render) → its figures.
        training: step (cpt, sft) → rows of its metrics.
        held_out: step (cpt, sft) → text → `(steps done, perplexity)` of what was measured while it trained.
        stopped: step (cpt, sft) → what its manifest says, if its training was stopped.
        checks: `(step, what, value)` of tests that questions and withheld text did not leak into training.
        conversations: training rows drawn by a key.
        shown_items: ids of questions drawn by a key.
        lineage: one row a step.
        seconds: step → time.
        not_run: what was left out, in sentences.
    """

    title: str
    base: str = ""
    verdict: str = ""
    chance: float | None = None
    models: list[ModelFacts] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    by_kind: list[tuple[str, Comparison]] = field(default_factory=list)
    corpora: dict[str, CorpusFacts] = field(default_factory=dict)
    withheld: list[tuple[str, str, str, int]] | None = None
    tokens: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    training: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    held_out: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)
    stopped: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    checks: list[tuple[str, str, Cell]] = field(default_factory=list)
    conversations: list[Mapping[str, Any]] = field(default_factory=list)
    shown_items: list[str] = field(default_factory=list)
    lineage: list[LineageRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
