"""The page of a whole run: sections from facts that somebody else gathered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.reporting import plots, score_plots
from sagecraft.reporting.page import Cell, Page
from sagecraft.reporting.run_facts import ModelFacts, RunFacts
from sagecraft.reporting.training_page import stopped_sentence
from sagecraft.reporting.verdict import SIGNIFICANCE, Comparison

_MAX_GROUPS = 24
_MAX_LISTED = 300
_MAX_TEXT = 2000
_MAX_SOURCES = 12
#: What the models of a run are, in the words of somebody who was not there.
_ROLES = {
    "base": "the model that was started from, untouched",
    "cpt": "after continued pre-training: it has read the literature and the replayed general text",
    "sft": "after fine-tuning on conversations that were made from the literature",
    "merged": "the outcome: checkpoints of this run merged into one",
}
_STAGES = {
    "cpt": "Continued pre-training",
    "sft": "Fine-tuning",
    "pack": "Continued pre-training",
    "render": "Fine-tuning",
}
#: How a mode asks.
_MODES = {
    "continuation": "the text of each option is scored as the continuation of the question, and the likeliest per character counts",
    "letter": "the options are shown, and the likeliest of their letters counts",
    "generate": "the model writes a reply, and the letter in it counts",
}


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
                detail = f"{first.name}: {plots.three_figures(before)}" if before and first is not last else ""
                after = plots.three_figures(last.perplexity[text]["perplexity"])
                cards.append((f"perplexity, {text} ({last.name})", after, detail))
        if last.accuracy is not None:
            others = first is not last and first.accuracy is not None
            against = f"; {first.name}: {percent(first.accuracy)}" if others else ""
            cards.append((f"accuracy ({last.name})", percent(last.accuracy), f"95 %: {interval(last.ci95)}{against}"))
        cards.append(("questions", last.n, f"{last.mode} mode"))
    if "ingest" in facts.corpora:
        corpus = facts.corpora["ingest"]
        cards.append(("words of literature", corpus.num_words, f"in {corpus.num_documents:,} documents"))
    if facts.seconds:
        cards.append(("time of all steps", duration(sum(facts.seconds.values())), f"{len(facts.seconds)} steps"))
    if cards:
        page.metrics(cards)
    if facts.models:
        known = [(model.name, _ROLES.get(model.name, "")) for model in facts.models]
        page.table(["model", "what it is"], known, caption="The models that were measured")


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
        "How well each model foretells text that this run trained none of them on: the withheld literature (domain) and "
        "held-out general text. It is the number of tokens among which the model is in doubt, on average, so lower is "
        "better; a rise on general text is forgetting. What the base model had read before is not known here."
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
                [
                    model.name,
                    text,
                    _decimals(found.get("perplexity"), 2),
                    moved,
                    _decimals(found.get("bits_per_byte"), 3),
                    found.get("num_tokens"),
                ]
            )
    page.table(
        ["model", "text", "perplexity", f"against {facts.models[0].name}", "bits per byte", "tokens"],
        rows,
        numeric=[False, False, True, True, True, True],
    )


def _decimals(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:,.{digits}f}"


def _questions(page: Page, facts: RunFacts) -> None:
    keyed = [model for model in facts.models if model.accuracy is not None and model.ci95 is not None]
    if not keyed:
        return
    page.heading("Questions")
    page.paragraph(
        f"Each model answered the same {keyed[0].n:,} multiple-choice questions in {keyed[0].mode} mode: "
        f"{_MODES.get(keyed[0].mode, 'see the evaluation')}. Bars and dots show the share that is right, lines the 95 % "
        "interval." + (f" Guessing gives {percent(facts.chance)}." if facts.chance is not None else "")
    )
    names, accuracy = [m.name for m in keyed], [m.accuracy or 0.0 for m in keyed]
    page.figure(
        plots.accuracy_bars(names, accuracy, [m.ci95 for m in keyed if m.ci95], facts.chance),
        "Accuracy of each model with its 95 % interval.",
    )
    _groups(page, facts, keyed, "by_kind", "Accuracy by kind of question: taught in the training text, or withheld.")
    _groups(page, facts, keyed, "by_topic", "Accuracy by topic.")
    _costs(page, keyed, facts.chance)
    several = any(len(model.modes) > 1 for model in keyed)
    rows: list[list[Cell]] = []
    for model in keyed:
        for mode, found in model.modes.items():
            measured = [percent(found["accuracy"]), interval(found["ci95"]), found["n"]]
            rows.append([model.name, *([mode] if several else []), *measured])
    columns = ["model", *(["mode"] if several else []), "accuracy", "95 % interval", "questions"]
    page.table(columns, rows, caption="Accuracy in each mode" if several else "Accuracy")
    _tests(page, "model", [(c.model, c) for c in facts.comparisons])
    _tests(page, "kind", facts.by_kind)


def _costs(page: Page, models: Sequence[ModelFacts], chance: float | None) -> None:
    """Accuracy against cost, if two models at least have one that can stand on a logarithmic axis."""
    costs = [
        (m.name, m.cost_usd, m.accuracy, m.ci95) for m in models if m.cost_usd and m.accuracy is not None and m.ci95
    ]
    if len(costs) < 2:
        return
    left_out = [m.name for m in models if not m.cost_usd]
    slope = score_plots.POINTS_PER_DECADE
    page.figure(
        score_plots.cost_value(costs, slope, chance=chance),
        f"Accuracy against what the evaluation cost. {score_plots.caption(costs, slope)}"
        + (f" Of unknown cost, or none: {', '.join(left_out)}." if left_out else ""),
    )


_TEST_COLUMNS = ("difference (points)", "95 % interval", "gained", "lost", "p", "corrected p", "detectable (points)")


def _tests(page: Page, label: str, tests: Sequence[tuple[str, Comparison]]) -> None:
    """Paired comparisons as a plot of differences and the table behind it."""
    if not tests:
        return
    c = tests[0][1]
    title = (
        f"Each model against {c.against}" if label == "model" else f"{c.model} against {c.against} by kind of question"
    )
    shown = [name for name, test in tests if test.p_adjusted < SIGNIFICANCE]
    page.figure(
        plots.differences([name for name, _ in tests], [t.difference for _, t in tests], [t.ci95 for _, t in tests], c.against),
        f"{title}, on the same questions, with 95 % intervals. Shown to differ: {', '.join(shown) or 'none'}.",
    )  # fmt: skip
    page.table(
        [label, *_TEST_COLUMNS],
        [_test_row(name, test) for name, test in tests],
        caption=f"{title}: paired tests. Gained and lost are questions that only the one has right, or only {c.against}.",
    )


def _test_row(label: str, c: Comparison) -> list[Cell]:
    return [
        label,
        points(c.difference),
        f"{points(c.ci95[0])} to {points(c.ci95[1])}",
        c.only_model,
        c.only_against,
        f"{c.p:.2g}",
        f"{c.p_adjusted:.2g}",
        None if c.detectable is None else f"{100 * c.detectable:.1f}",
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
            _sources(page, _STAGES.get(step, step), sources, stats.get("num_learned"))
    if facts.checks:
        rows = [[step, what, value] for step, what, value in facts.checks]
        page.table(
            ["step", "check", "result"], rows, caption="What was kept out of training, and whether anything got through"
        )


def _sources(page: Page, title: str, sources: Mapping[str, int], num_learned: object) -> None:
    """Tokens of a training set by source; `kind/on` and `kind/off` count as one kind, small ones as others."""
    total = sum(sources.values())
    kinds = Counter[str]()
    for name, number in sources.items():
        kinds[name.removesuffix("/on").removesuffix("/off")] += number
    rest = kinds.most_common()[_MAX_SOURCES:]
    merged = dict(kinds.most_common(_MAX_SOURCES)) | ({f"{len(rest)} others": sum(n for _, n in rest)} if rest else {})
    detail = f"; {num_learned:,} of {total:,} are learned" if isinstance(num_learned, int) else ""
    thought = sum(number for name, number in sources.items() if name.endswith("/on"))
    if thought:
        detail += f", {percent(thought / total, 0)} stand in conversations with a thought"
    page.figure(plots.source_shares(merged), f"{title}: tokens by source{detail}.")


def _counts(counts: Mapping[str, int]) -> str:
    order = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = ", ".join(f"{name} ({number:,})" for name, number in order[:8])
    return shown + (f", {len(order) - 8} more" if len(order) > 8 else "")


def _training(page: Page, facts: RunFacts) -> None:
    shown = {step: rows for step, rows in facts.training.items() if rows}
    if not shown:
        return
    page.heading("Training")
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
            f"{_STAGES.get(step, step)}: loss of each step (dots) and its running mean (lines).",
        )
        if step in facts.stopped:
            page.note(f"{_STAGES.get(step, step)}: {stopped_sentence(facts.stopped[step])}")
    for step, texts in facts.held_out.items():
        page.figure(
            plots.measured_curves(texts, "perplexity (from its start)", relative=True),
            f"{_STAGES.get(step, step)}: perplexity of held-out text while it trained, as a multiple of what it was before.",
        )
    columns = [
        "stage",
        "steps",
        "tokens",
        "tokens learned",
        "mean loss, first quarter",
        "last quarter",
        "highest learning rate",
    ]
    page.table(
        columns,
        [
            [
                _STAGES.get(step, step),
                len(rows),
                sum(row.get("num_tokens", 0) for row in rows),
                sum(row.get("num_learned", 0) for row in rows),
                _mean_loss(rows[: max(1, len(rows) // 4)]),
                _mean_loss(rows[-max(1, len(rows) // 4) :]),
                f"{max(row.get('learning_rate', 0.0) for row in rows):.2g}",
            ]
            for step, rows in shown.items()
        ],
    )


def _mean_loss(rows: Sequence[Mapping[str, Any]]) -> str:
    """Loss a learned token over some steps: that of one step depends on which rows it happened to hold."""
    weights = [max(1, row.get("num_learned", 1)) for row in rows]
    return f"{sum(w * row['loss'] for w, row in zip(weights, rows, strict=True)) / sum(weights):.3f}"


def _samples(page: Page, facts: RunFacts) -> None:
    if not facts.conversations and not facts.shown_items:
        return
    page.heading("Samples")
    page.paragraph("Drawn at random (the smallest hashes of their names), not chosen.")
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
            f"{row.get('id')}, licence {row.get('license') or 'unknown'}, from {', '.join(documents[:20]) or row.get('source')}"
        )

    thinking = {"on": ", with thought", "off": ", without thought"}.get(str(row.get("thinking")), "")
    asked = next((m.get("content", "") for m in row.get("messages", []) if m.get("role") == "user"), row.get("id"))
    page.details(f"{_cut(str(asked), 160, brief=True)} ({row.get('kind')}{thinking})", build)


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
        "Each step, the hash of what it made (the first 12 digits of its sha256) and what it was made from (`outside` are "
        "files that no step made). The whole hashes are in results.json and in each manifest.json."
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
        "questions that one of two models has right and the other wrong; where questions name their articles, the signs of "
        "whole articles are flipped, since questions on one article stand or fall together. The interval of a difference "
        "is Bonett's and Price's, by article as well. Holm's correction allows for there being several "
        "tests in a table; a difference counts as shown if its corrected p is below 0.05. The detectable difference is "
        "the smallest true one that such a test finds four times in five."
    )
