"""The page of a whole run: sections from facts that somebody else gathered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagecraft.reporting import plots
from sagecraft.reporting.page import Cell, Page
from sagecraft.reporting.verdict import SIGNIFICANCE, Comparison, Interval

_MAX_GROUPS = 24
_MAX_LISTED = 300
_MAX_TEXT = 2000


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
    checks: list[tuple[str, str, Cell]] = field(default_factory=list)
    conversations: list[Mapping[str, Any]] = field(default_factory=list)
    shown_items: list[str] = field(default_factory=list)
    lineage: list[LineageRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)


def render(facts: RunFacts) -> str:
    """The page as HTML."""
    page = Page(facts.title, facts.base)
    page.note(facts.verdict)
    _summary(page, facts)
    for section in (_perplexity, _questions, _went_in, _training, _samples, _timings, _lineage, _not_run, _reading):
        section(page, facts)
    return page.render()


def percent(value: float | None, digits: int = 1) -> str | None:
    """A share as a percentage; None stays None."""
    return None if value is None else f"{100 * value:.{digits}f} %"


def interval(ci95: Sequence[float] | None) -> str | None:
    """An interval of shares, in per cent."""
    return None if ci95 is None else f"{100 * ci95[0]:.1f} to {100 * ci95[1]:.1f} %"


def points(value: float) -> str:
    """A difference of shares in percentage points, with a true minus sign."""
    return f"{100 * value:+.1f}".replace("-", "−")


def _summary(page: Page, facts: RunFacts) -> None:
    cards: list[tuple[str, Cell, str]] = []
    first, last = (facts.models[0], facts.models[-1]) if facts.models else (None, None)
    if first and last:
        for text in ("domain", "general"):
            if text in last.perplexity:
                before = first.perplexity.get(text, {}).get("perplexity")
                detail = f"{first.name}: {before:.3g}" if before and first is not last else ""
                cards.append(
                    (f"perplexity, {text} ({last.name})", f"{last.perplexity[text]['perplexity']:.3g}", detail)
                )
        if last.accuracy is not None:
            against = f"; {first.name}: {percent(first.accuracy)}" if first is not last and first.accuracy else ""
            cards.append((f"accuracy ({last.name})", percent(last.accuracy), f"95 %: {interval(last.ci95)}{against}"))
        cards.append(("questions", last.n, f"{last.mode} mode"))
    if "ingest" in facts.corpora:
        corpus = facts.corpora["ingest"]
        cards.append(("words of literature", corpus.num_words, f"in {corpus.num_documents:,} documents"))
    if facts.seconds:
        cards.append(("time of all steps", duration(sum(facts.seconds.values())), f"{len(facts.seconds)} steps"))
    if cards:
        page.metrics(cards)


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def _perplexity(page: Page, facts: RunFacts) -> None:
    texts = [text for text in ("domain", "general") if any(text in model.perplexity for model in facts.models)]
    if not texts:
        return
    page.heading("Perplexity before and after")
    page.paragraph(
        "How well each model foretells text that none of them was trained on: the withheld literature (domain) and "
        "held-out general text. Lower is better; a rise on general text is forgetting."
    )
    panels: dict[str, list[float | None]] = {
        text: [model.perplexity.get(text, {}).get("perplexity") for model in facts.models] for text in texts
    }
    page.figure(
        plots.perplexity_bars([model.name for model in facts.models], panels),
        "Perplexity of each model. The panels have scales of their own.",
    )
    rows: list[list[Cell]] = []
    for model in facts.models:
        for text in texts:
            found = model.perplexity.get(text, {})
            before = facts.models[0].perplexity.get(text, {}).get("perplexity")
            change = found["perplexity"] / before - 1 if found and before and model is not facts.models[0] else None
            moved = None if change is None else points(change) + " %"
            rows.append(
                [model.name, text, found.get("perplexity"), moved, found.get("bits_per_byte"), found.get("num_tokens")]
            )
    page.table(
        ["model", "text", "perplexity", f"against {facts.models[0].name}", "bits per byte", "tokens"],
        rows,
        numeric=[False, False, True, True, True, True],
    )


def _questions(page: Page, facts: RunFacts) -> None:
    keyed = [model for model in facts.models if model.accuracy is not None and model.ci95 is not None]
    if not keyed:
        return
    page.heading("Questions")
    page.paragraph(
        f"Each model answered the same {keyed[0].n:,} multiple-choice questions in {keyed[0].mode} mode. Bars and dots "
        f"show the share that is right, lines the 95 % interval."
        + (f" Guessing gives {percent(facts.chance)}." if facts.chance is not None else "")
    )
    names, accuracy = [m.name for m in keyed], [m.accuracy or 0.0 for m in keyed]
    page.figure(
        plots.accuracy_bars(names, accuracy, [m.ci95 for m in keyed if m.ci95], facts.chance),
        "Accuracy of each model with its 95 % interval.",
    )
    _groups(page, facts, keyed, "by_kind", "Accuracy by kind of question: taught in the training text, or withheld.")
    _groups(page, facts, keyed, "by_topic", "Accuracy by topic.")
    costs = [(m.name, m.cost_usd or 0.0, m.accuracy or 0.0, m.ci95) for m in keyed if m.cost_usd and m.ci95]
    if len(costs) > 1:
        page.figure(plots.cost_accuracy(costs, facts.chance), "Accuracy against what the evaluation cost.")
    rows: list[list[Cell]] = []
    for model in keyed:
        for mode, found in model.modes.items():
            rows.append([model.name, mode, percent(found["accuracy"]), interval(found["ci95"]), found["n"]])
    page.table(["model", "mode", "accuracy", "95 % interval", "questions"], rows, caption="Accuracy in each mode")
    if facts.comparisons:
        tests = [_test_row(c.model, c) for c in facts.comparisons]
        page.table(["model", *_TEST_COLUMNS], tests, caption=f"Paired tests against {facts.comparisons[0].against}")
    if facts.by_kind:
        c = facts.by_kind[0][1]
        tests = [_test_row(kind, c) for kind, c in facts.by_kind]
        page.table(["kind", *_TEST_COLUMNS], tests, caption=f"{c.model} against {c.against}, by kind of question")


_COUNT_COLUMNS = ("difference (points)", "95 % interval", "only it right", "only the other")
_TEST_COLUMNS = (*_COUNT_COLUMNS, "p", "p after Holm", "difference shown", "findable (points)")


def _test_row(label: str, c: Comparison) -> list[Cell]:
    return [
        label,
        points(c.difference),
        f"{points(c.ci95[0])} to {points(c.ci95[1])}",
        c.only_model,
        c.only_against,
        f"{c.p:.2g}",
        f"{c.p_adjusted:.2g}",
        ("gain" if c.difference > 0 else "loss") if c.p_adjusted < SIGNIFICANCE else "none",
        f"{100 * c.detectable:.1f}",
    ]


def _groups(page: Page, facts: RunFacts, models: Sequence[ModelFacts], column: str, caption: str) -> None:
    """A dot plot of accuracies by group, if there are two groups at least."""
    counts = {name: entry["n"] for model in reversed(models) for name, entry in getattr(model, column).items()}
    names = sorted(counts, key=lambda name: (-counts[name], name))[:_MAX_GROUPS]
    if len(names) < 2:
        return
    values = {
        model.name: [
            (entry["accuracy"], (entry["ci95"][0], entry["ci95"][1])) if entry else None
            for entry in (getattr(model, column).get(name) for name in names)
        ]
        for model in models
    }
    more = f" The {_MAX_GROUPS} largest groups." if len(counts) > _MAX_GROUPS else ""
    labels = [f"{_cut(name, 22, brief=True)} ({counts[name]:,})" for name in names]
    page.figure(
        plots.accuracy_by_group(labels, values, facts.chance), caption + " Number of questions in brackets." + more
    )


def _went_in(page: Page, facts: RunFacts) -> None:
    page.heading("What went in")
    if facts.base:
        page.paragraph(f"Base model: {facts.base}")
    names = {
        "ingest": "literature",
        "ingest-replay": "general text, replayed",
        "ingest-held-out": "general text, held out",
    }
    if facts.corpora:
        page.table(
            ["text", "documents", "words", "licences", "formats", "kept aside"],
            [
                [names.get(step, step), c.num_documents, c.num_words, _counts(c.licenses), _counts(c.formats), sum(c.dropped.values())]
                for step, c in facts.corpora.items()
            ],
        )  # fmt: skip
    for step, corpus in facts.corpora.items():
        if corpus.dropped:
            page.paragraph(f"Kept aside from the {names.get(step, step)}, by reason: {_counts(corpus.dropped)}.")
    if facts.withheld is not None:
        words = sum(row[3] for row in facts.withheld)
        page.paragraph(f"{len(facts.withheld):,} documents ({words:,} words) were withheld from all training.")
        listed = facts.withheld[:_MAX_LISTED]
        more = len(facts.withheld) - len(listed)
        caption = f"The first {len(listed):,}; {more:,} more are in the artifact." if more else None
        page.details(
            "The withheld documents", lambda inner: inner.table(["id", "title", "licence", "words"], listed, caption)
        )
    for step, stats in facts.tokens.items():
        sources = {str(name): int(number) for name, number in stats.get("tokens_by_source", {}).items()}
        if sources:
            title = {"pack": "Continued pre-training", "render": "Fine-tuning"}.get(step, step)
            learned = stats.get("num_learned")
            detail = f"; {learned:,} of {sum(sources.values()):,} are learned" if isinstance(learned, int) else ""
            page.figure(plots.source_shares(sources), f"{title}: tokens by source{detail}.")
    if facts.checks:
        rows = [[step, what, value] for step, what, value in facts.checks]
        page.table(["step", "check", "result"], rows, caption="Checks that nothing leaked into training")


def _counts(counts: Mapping[str, int]) -> str:
    order = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{name} {number:,}" for name, number in order[:8])
    return shown + (f", {len(order) - 8} more" if len(order) > 8 else "")


def _training(page: Page, facts: RunFacts) -> None:
    shown = {step: rows for step, rows in facts.training.items() if rows}
    if not shown:
        return
    page.heading("Training")
    titles = {"cpt": "Continued pre-training", "sft": "Fine-tuning"}
    for step, rows in shown.items():
        sources = sorted({source for row in rows for source in row.get("loss_by_source", {})})
        series = {
            source: [
                (row["step"], row["loss_by_source"][source]) for row in rows if source in row.get("loss_by_source", {})
            ]
            for source in sources
        }
        if not 1 <= len(sources) <= 6:
            series = {"loss": [(row["step"], row["loss"]) for row in rows]}
        page.figure(
            plots.loss_curves(series),
            f"{titles.get(step, step)}: loss of each step (dots) and its running mean (lines).",
        )
    columns = [
        "stage",
        "steps",
        "tokens",
        "tokens learned",
        "loss, first step",
        "loss, last step",
        "highest learning rate",
    ]
    page.table(
        columns,
        [
            [
                titles.get(step, step),
                len(rows),
                sum(row.get("num_tokens", 0) for row in rows),
                sum(row.get("num_learned", 0) for row in rows),
                rows[0]["loss"],
                rows[-1]["loss"],
                f"{max(row.get('learning_rate', 0.0) for row in rows):.2g}",
            ]
            for step, rows in shown.items()
        ],
    )


def _samples(page: Page, facts: RunFacts) -> None:
    if not facts.conversations and not facts.shown_items:
        return
    page.heading("Samples")
    page.paragraph("Drawn at random by a key, not chosen.")
    if facts.shown_items:
        page.heading("Questions and what each model answered", 3)
    for item_id in facts.shown_items:
        _item(page, facts, item_id)
    if facts.conversations:
        page.heading("Conversations of the fine-tuning set", 3)
    for row in facts.conversations:
        _conversation(page, row)


def _item(page: Page, facts: RunFacts, item_id: str) -> None:
    rows = {model.name: model.items[item_id] for model in facts.models if item_id in model.items}
    row = next(iter(rows.values()))
    key = str(row.get("key") or row.get("answer") or "")

    def build(inner: Page) -> None:
        options: list[list[Cell]] = []
        for position, option in enumerate(row.get("options", [])):
            letter = option.get("letter", "") if isinstance(option, dict) else chr(ord("A") + position)
            text = option.get("text", "") if isinstance(option, dict) else option
            chosen = ", ".join(name for name, other in rows.items() if other.get("pick") == letter)
            options.append([f"{letter}{' (right)' if letter == key else ''}", _cut(str(text)), chosen])
        inner.table(["option", "text", "chosen by"], options, numeric=[False, False, False])
        silent = [
            f"{name} ({other.get('outcome', 'no pick')})" for name, other in rows.items() if not other.get("pick")
        ]
        if silent:
            inner.paragraph("Without an answer: " + ", ".join(silent))
        inner.paragraph(f"{row.get('kind') or 'question'}, {row.get('topic') or 'no topic'}, id {item_id}")

    right = ", ".join(name for name, other in rows.items() if other.get("correct") is True) or "none"
    page.details(f"{_cut(str(row.get('question', item_id)), 240)} (right: {right})", build)


def _conversation(page: Page, row: Mapping[str, Any]) -> None:
    def build(inner: Page) -> None:
        for message in row.get("messages", []):
            inner.heading(str(message.get("role", "")), 4)
            if message.get("thinking"):
                inner.code("<think>\n" + _cut(str(message["thinking"])) + "\n</think>")
            inner.code(_cut(str(message.get("content", ""))))
        documents = sorted({str(entry.get("document", "")) for entry in row.get("lineage", [])})
        inner.paragraph(
            f"licence {row.get('license') or 'unknown'}, from {', '.join(documents[:20]) or row.get('source')}"
        )

    thinking = {"on": ", with thought", "off": ", without thought"}.get(str(row.get("thinking")), "")
    page.details(f"{row.get('id')} ({row.get('kind')}{thinking})", build)


def _cut(text: str, limit: int = _MAX_TEXT, brief: bool = False) -> str:
    if len(text) <= limit:
        return text
    return text[:limit].rstrip() + ("…" if brief else f" … ({len(text) - limit:,} characters more)")


def _timings(page: Page, facts: RunFacts) -> None:
    if not facts.seconds:
        return
    page.heading("Timings")
    page.figure(
        plots.stage_timings(facts.seconds), "Time of each step, in its last uninterrupted piece if it was resumed."
    )


def _lineage(page: Page, facts: RunFacts) -> None:
    page.heading("Lineage")
    page.paragraph(
        "Each step, the hash of what it made (the first 12 digits of its sha256) and what it was made from. The whole "
        "hashes are in results.json and in each manifest.json."
    )
    page.table(
        ["step", "makes", "hash", "from"],
        [
            [
                row.step,
                row.kind,
                row.digest[:12],
                ", ".join(f"{name} ← {origin}" for name, origin in row.inputs.items()),
            ]
            for row in facts.lineage
        ],
        numeric=[False] * 4,
    )
    page.links([("results.json: the figures of this page", "results.json")])


def _not_run(page: Page, facts: RunFacts) -> None:
    if facts.not_run:
        page.heading("Not run")
        for sentence in facts.not_run:
            page.paragraph(sentence)


def _reading(page: Page, facts: RunFacts) -> None:
    if not facts.comparisons:
        return
    page.heading("How to read the tests")
    page.paragraph(
        "Intervals of accuracies are Wilson's. The paired test is McNemar's, exact and two-sided: it looks only at the "
        "questions that one of two models has right and the other wrong. The interval of a difference is a bootstrap over "
        "articles where questions name theirs, over questions otherwise. Holm's correction allows for there being several "
        "tests in a table; a difference counts as shown if its corrected p is below 0.05. The findable difference is "
        "the smallest true one that such a test detects four times in five."
    )
