"""The page of one evaluation: a summary first, then plots, then every item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation import statistics_page
from sagecraft.evaluation.remote import told
from sagecraft.evaluation.statistics_page import headline, interval, percent
from sagecraft.reporting import plots
from sagecraft.reporting.page import Page

#: Items shown on the page for each mode, and characters of a question or a reply; `items.jsonl` holds all.
_MAX_ITEMS = 500
_MAX_CHARS = 240

_MODES = {
    "continuation": "continuation: how likely each option's text is after the question, per character of the option",
    "letter": "letter: which letter is the likeliest next token after the question and its lettered options",
    "generate": "generate: the model writes a reply in JSON, from which the letter is read",
}


def money(value: float | str) -> str:
    """USD as text."""
    return value if isinstance(value, str) else f"{value:.4f}"


def chance_of(rows: Sequence[Mapping[str, Any]]) -> float:
    """What guessing gives."""
    return sum(1 / len(row["options"]) if row["options"] else 0.0 for row in rows) / len(rows)


def render(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML."""
    page = Page(f"{results['model']} on {results['task']}", f"{results['n']:,} questions")
    chance = chance_of(rows)
    _summary(page, results, chance)
    for name, mode in results["modes"].items():
        own = [row for row in rows if row["mode"] == name]
        page.heading(name)
        page.paragraph(_MODES[name.partition("+")[0]].partition(": ")[2].capitalize() + ".")
        _mode(page, mode, chance)
        prompt = mode["example_prompt"]
        page.details("The first prompt as the model saw it", lambda inner, text=prompt: inner.code(text[:20_000]))  # type: ignore[misc]
        page.details(f"{name}: every item", lambda inner, own=own: _items(inner, own))  # type: ignore[misc]
    page.heading("How this was measured")
    template = results["template_sha256"] or "not known (an endpoint's own)"
    page.paragraph(
        f"Task file sha256 {results['task_sha256']}. Chat template sha256 {template}. Intervals of 95 % are Wilson's; "
        f"where questions name their article, they allow for questions on one article hanging together. Every question counts, also those "
        f"whose reply was cut off or could not be read: the outcomes say how many these are. "
        f"Measuring took {results['seconds']:,.0f} s."
        + (f" Spent with all that failed: {told(results['spending'])}." if "spending" in results else "")
    )
    page.links([("all items, as asked and answered", "items.jsonl"), ("all figures", "results.json")])
    return page.render()


def _summary(page: Page, results: Mapping[str, Any], chance: float) -> None:
    keyed = results["accuracy"] is not None
    cards: list[tuple[str, str, str]] = []
    if keyed:
        bounds = interval(headline(results))
        by = " (by article)" if results.get("ci95_by_article") else ""
        detail = f"95 % interval {bounds}{by}, {results['mode']}, guessing gives {percent(chance)}"
        cards.append(("accuracy", percent(results["accuracy"]), detail))
    for name, text in results["perplexity"].items():
        detail = f"{text['bits_per_byte']:.3f} bits per byte, {text['num_tokens']:,} tokens"
        cards.append((f"perplexity, {name} text", f"{text['perplexity']:.2f}", detail))
    cards.append(("cost in USD", money(results["cost_usd"]), "by the prices configured"))
    page.metrics(cards)
    if not keyed:
        page.note(
            "This set has no key: picks are written to predictions.csv for its keepers; accuracy is not known here."
        )
    columns = ["mode", "accuracy", "95 % interval", "correct", "wrong", "truncated", "unparsed", "other", "cost (USD)"]
    table = []
    for name, mode in results["modes"].items():
        outcomes = dict(mode["outcomes"])
        known = [outcomes.pop(kind, 0) for kind in ("correct", "wrong", "truncated", "unparsed")]
        other = sum(outcomes.values())
        bounds = interval(headline(mode)) if keyed else "–"
        table.append([name, percent(mode["accuracy"]), bounds, *known, other, money(mode["cost_usd"])])
    page.table(columns, table)
    if keyed:
        modes = results["modes"]
        drawn = plots.accuracy_bars(
            list(modes),
            [mode["accuracy"] for mode in modes.values()],
            [headline(mode) for mode in modes.values()],
            chance,
        )
        page.figure(drawn, "Accuracy with 95 % intervals")
    statistics_page.agreement(page, results.get("agreement", []))


def _mode(page: Page, mode: Mapping[str, Any], chance: float) -> None:
    for column in ("by_kind", "by_topic"):
        groups = mode.get(column)
        if groups and len(groups) > 1:
            values = [(row["accuracy"], headline(row)) for row in groups.values()]
            drawn = plots.accuracy_by_group(list(groups), {"accuracy": values}, chance)
            page.figure(drawn, f"Accuracy {column.replace('_', ' ')}")
            table = [
                [name, row["n"], percent(row["accuracy"]), interval(headline(row)), interval(row["ci95_together"])]
                for name, row in groups.items()
            ]
            page.table([column.removeprefix("by_"), "questions", "accuracy", "95 % interval", "all at once"], table)
    facts = []
    if mode["accuracy"] is not None:
        statistics_page.topics(page, mode)
        facts += statistics_page.uncertainty(mode)
    if "accuracy_sum" in mode:
        by_sum, by_byte = percent(mode["accuracy_sum"]), percent(mode["accuracy_per_byte"])
        facts.append(f"By the sum of log-likelihoods {by_sum} are right, per byte {by_byte}.")
    if "stages" in mode:
        stages = ", ".join(f"{name} {count}" for name, count in mode["stages"].items())
        facts.append(f"{'Letters' if 'picks' in mode else 'Numbers'} were read from: {stages}.")
        facts.append(
            f"{mode['num_cut']} answers were cut off, {mode['num_thoughts_closed']} thoughts had to be closed."
        )
    if "picks" in mode:
        facts.append("Picks: " + ", ".join(f"{letter} {count}" for letter, count in mode["picks"].items()) + ".")
    if mode["tokens"] != "unknown":
        tokens = mode["tokens"]
        cached = f" ({tokens['cached']:,} of them from a cache)" if tokens["cached"] else ""
        facts.append(
            f"Tokens: {tokens['in']:,} read{cached}, {tokens['thought']:,} thought, {tokens['out']:,} answered."
        )
    if mode.get("usd_per_100k_tokens"):
        facts.append(f"0.1 million tokens cost {mode['usd_per_100k_tokens']:.4f} USD as they were mixed here.")
    page.paragraph(" ".join(facts))
    if mode.get("calibration"):
        statistics_page.calibration(page, mode["calibration"])
    if mode.get("position_bias"):
        statistics_page.positions(page, mode["position_bias"])
    if "permutations" in mode:
        page.paragraph(statistics_page.permutations(mode["permutations"]))


def _items(page: Page, rows: Sequence[Mapping[str, Any]]) -> None:
    replies = any("raw" in row for row in rows)
    columns = ["id", "question", "key", "pick", "outcome", *(["reply"] if replies else [])]
    table = [
        [
            row["id"],
            _short(row["question"]),
            row["key"],
            row["pick"],
            row["outcome"],
            *([_short(row.get("raw", ""))] if replies else []),
        ]
        for row in rows[:_MAX_ITEMS]
    ]
    page.table(columns, table, groups=[row["outcome"] for row in rows[:_MAX_ITEMS]])
    if len(rows) > _MAX_ITEMS:
        page.paragraph(f"The first {_MAX_ITEMS:,} of {len(rows):,}; items.jsonl holds all.")


def _short(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else text[:_MAX_CHARS] + "…"
