"""The page of one evaluation: a summary first, then plots, then each mode, then every item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.evaluation import statistics_page
from sagecraft.evaluation.item_list import item_list
from sagecraft.evaluation.item_tables import items_csv, summary_csv
from sagecraft.evaluation.remote import told
from sagecraft.evaluation.statistics_page import headline, interval, p_value, percent
from sagecraft.evaluation.task_facts import notable
from sagecraft.evaluation.verdict import against_guessing, is_priced, num_silent, total_cost, verdict
from sagecraft.reporting import answer_plots, heat_maps, plots, png
from sagecraft.reporting.page import Page

#: Characters of a rendered prompt, of which there is one a mode, and of a remark that names questions.
_MAX_CHARS, _MAX_LINE = 20_000, 400
#: Topics of one plot that can still be read, of a table (`results.json` has all), and characters of their names.
_MAX_GROUPS, _MAX_ROWS, _MAX_NAME = 40, 200, 120

_MODES = {
    "continuation": "How likely each option's text is after the question, per character of the option.",
    "letter": "Which letter is the likeliest next token after the question and its lettered options.",
    "generate": "The model writes a reply in JSON, from which the answer is read.",
}

Results = Mapping[str, Any]
Mode = Mapping[str, Any]


def money(value: float | str) -> str:
    """USD as text."""
    return value if isinstance(value, str) else f"{value:.4f}"


def write(folder: Path, results: Results, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes the page, its plots as PNG in `plots/`, and the tables beside it.

    Args:
        folder: of the artifact, in which `results.json` and `items.jsonl` stand too.
        results: of `results.json`.
        rows: of `items.jsonl`, in its order.
    """
    artifact.write_text(folder / "items.csv", items_csv(rows, results))
    artifact.write_text(folder / "summary.csv", summary_csv(results))
    artifact.write_text(folder / "report.html", render(results, rows))
    png.write_figures(folder / "report.html")


def render(results: Results, rows: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML.

    Args:
        results: of `results.json`.
        rows: of `items.jsonl`, in its order.
    """
    modes: Mapping[str, Mode] = results["modes"]
    page = Page(f"{results['model']} on {results['task']}", f"{results['n']:,} questions, {_count(modes, 'mode')}")
    page.note(verdict(results))
    _cards(page, results)
    _table(page, modes, is_priced(results))
    if found := notable(results["task_facts"]) if "task_facts" in results else []:
        page.paragraph(f"About the set: {'; '.join(line[:_MAX_LINE] for line in found)}.")
    _plots(page, results)
    statistics_page.agreement(page, results.get("agreement", []))
    for name, mode in modes.items():
        page.heading(name)
        page.paragraph(_MODES.get(name.partition("+")[0], "As lm-evaluation-harness asks it.") + _switch(mode))
        _mode(page, mode)
    page.heading("Every item")
    page.browser(item_list(rows, results))
    page.heading("How this was measured")
    _measured(page, results)
    return page.render()


def _count(modes: Mapping[str, Mode], noun: str) -> str:
    return f"{len(modes)} {noun}{'' if len(modes) == 1 else 's'}"


def _switch(mode: Mode) -> str:
    """The state of the switch for thought, where a model has one."""
    switch = mode.get("thinking")
    return "" if switch is None else f" Thought is {switch}."


def _cards(page: Page, results: Results) -> None:
    first = results["modes"][results["mode"]]
    cards: list[tuple[str, str | int, str]] = []
    if first["accuracy"] is not None:
        by = " (by article)" if first.get("ci95_by_article") else ""
        detail = f"95 % interval {interval(headline(first))}{by}, {results['mode']}"
        cards.append(("accuracy", percent(first["accuracy"]), detail))
    if first.get("guessing"):
        detail = f"{against_guessing(first)}, {p_value(first['guessing']['p_value'])}"
        cards.append(("guessing gives", percent(first["guessing"]["accuracy"]), detail))
    silent = sum(num_silent(mode) for mode in results["modes"].values())
    cards.append(("without an answer", silent, f"of {sum(m['n'] for m in results['modes'].values()):,} in all modes"))
    if visible := _visible(first):
        cards.append(visible)
    for name, text in results["perplexity"].items():
        detail = f"{text['bits_per_byte']:.3f} bits per byte, {text['num_tokens']:,} tokens"
        cards.append((f"perplexity, {name} text", f"{text['perplexity']:.2f}", detail))
    cost = total_cost(results)
    priced = "all modes, by the prices configured" if cost is None or is_priced(results) else "no price is set"
    cards.append(("cost in USD", "unknown" if cost is None else money(cost) if is_priced(results) else "–", priced))
    page.metrics(cards)


def _visible(mode: Mode) -> tuple[str, str, str] | None:
    """The smallest difference from another model on the same questions that this set shows."""
    middle = [row for row in mode.get("power", {}).get("paired", []) if row["difference"] is not None]
    if not middle:
        return None
    row = middle[len(middle) // 2]
    detail = f"from another model on these questions, if {row['discordant_share']:.0%} of answers differ"
    return "can show differences of", f"{100 * row['difference']:.1f} points", detail


def _table(page: Page, modes: Mapping[str, Mode], priced: bool) -> None:
    columns = ["mode", "accuracy", "95 % interval", "against guessing", "correct", "wrong", "truncated", "unparsed", "refused",
               "failed", "other", "cost (USD)"]  # fmt: skip
    table: list[list[str | int | None]] = []
    for name, mode in modes.items():
        outcomes = dict(mode["outcomes"])
        known = [outcomes.pop(kind, 0) for kind in columns[4:10]]
        bounds = None if mode["accuracy"] is None else headline(mode)
        table.append(
            [name, percent(mode["accuracy"]), interval(bounds), against_guessing(mode), *known, sum(outcomes.values()),
             money(mode["cost_usd"]) if priced else None]
        )  # fmt: skip
    # columns that say nothing only make the others narrow
    kept = [place for place, column in enumerate(columns) if column not in _QUIET or any(row[place] for row in table)]
    page.table([columns[place] for place in kept], [[row[place] for place in kept] for row in table])


_QUIET = ("against guessing", "truncated", "unparsed", "refused", "failed", "other", "cost (USD)")


def _plots(page: Page, results: Results) -> None:
    modes: Mapping[str, Mode] = results["modes"]
    if results["accuracy"] is not None:
        chance = _chance(results)
        page.figure(
            plots.accuracy_bars(
                list(modes), [m["accuracy"] for m in modes.values()], [headline(m) for m in modes.values()], chance
            ),
            "Accuracy with 95 % intervals",
        )
    page.figure(
        answer_plots.outcomes(list(modes), [mode["outcomes"] for mode in modes.values()]),
        "What became of the answers",
    )
    if results["accuracy"] is not None:
        for column in ("by_kind", "by_topic"):
            _groups(page, modes, column, chance)
    if results.get("agreement"):
        page.figure(_matrix(list(modes), results["agreement"]), "Questions on which two modes pick the same option")


def _chance(results: Results) -> float | None:
    guessing = results["modes"][results["mode"]].get("guessing")
    return None if guessing is None else guessing["accuracy"]


def _groups(page: Page, modes: Mapping[str, Mode], column: str, chance: float | None) -> None:
    """Accuracy by topic or by kind, a dot a mode."""
    first = next(iter(modes.values()))[column]
    if len(first) < 2:
        return
    names = _largest(first, _MAX_GROUPS)
    drawn = {
        mode: [(groups[column][name]["accuracy"], headline(groups[column][name])) for name in names]
        for mode, groups in modes.items()
    }
    word = column.replace("_", " ")
    rest = "" if len(names) == len(first) else f"; the {len(names)} of {len(first):,} with most questions"
    page.figure(plots.accuracy_by_group(names, drawn, chance), f"Accuracy {word}{rest}")


def _largest(groups: Mapping[str, Any], most: int) -> list[str]:
    """Names of the groups with most questions, in the order of the set."""
    largest = set(sorted(groups, key=lambda name: -groups[name]["n"])[:most])
    return [name for name in groups if name in largest]


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…"


def _matrix(names: Sequence[str], pairs: Sequence[Mapping[str, Any]]) -> str:
    shares = {frozenset((pair["a"], pair["b"])): 100 * pair["agreement"] for pair in pairs}
    values = [[None if a == b else shares[frozenset((a, b))] for b in names] for a in names]
    texts = [["" if value is None else f"{value:.0f}" for value in row] for row in values]
    return heat_maps.heat_map(names, names, values, "same pick (%)", limits=(0, 100), texts=texts)


def _mode(page: Page, mode: Mode) -> None:
    for column in ("by_kind", "by_topic"):
        groups = mode.get(column)
        if groups and len(groups) > 1:
            names = _largest(groups, _MAX_ROWS)
            table = [
                [
                    _short(name),
                    row["n"],
                    percent(row["accuracy"]),
                    interval(headline(row)),
                    interval(row["ci95_together"]),
                ]
                for name, row in groups.items()
                if name in names
            ]
            columns = [column.removeprefix("by_"), "questions", "accuracy", "95 % interval", "all at once"]
            rest = "" if len(names) == len(groups) else f"The {len(names)} of {len(groups):,} with most questions"
            page.table(columns, table, caption=rest)
    if mode["accuracy"] is not None:
        statistics_page.topics(page, mode)
    page.paragraph(" ".join(_facts(mode)))
    if mode.get("calibration"):
        statistics_page.calibration(page, mode["calibration"])
    if mode.get("position_bias"):
        statistics_page.positions(page, mode["position_bias"])
    if "permutations" in mode:
        page.paragraph(statistics_page.permutations(mode["permutations"]))


def _facts(mode: Mode) -> list[str]:
    facts = [] if mode["accuracy"] is None else statistics_page.uncertainty(mode)
    if "accuracy_sum" in mode:
        by_sum, by_byte = percent(mode["accuracy_sum"]), percent(mode["accuracy_per_byte"])
        by_gain = percent(mode["accuracy_unconditional"])
        facts.append(
            f"By the sum of log-likelihoods {by_sum} are right, per byte {by_byte}, by what the question adds to it {by_gain}."
        )
    if "stages" in mode:
        stages = ", ".join(f"{name} {count}" for name, count in mode["stages"].items())
        facts.append(f"{'Letters' if 'picks' in mode else 'Numbers'} were read from: {stages}.")
        right = mode["accuracy_of_thoughts_closed"]
        behind = "" if right is None else f", of which {percent(right)} came out right"
        facts.append(
            f"{mode['num_cut']} answers were cut off, {mode['num_thoughts_closed']} thoughts had to be closed{behind}."
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
    return facts


def _measured(page: Page, results: Results) -> None:
    template = results["template_sha256"] or "not known (an endpoint's own)"
    page.paragraph(
        f"Task file sha256 {results['task_sha256']}. Chat template sha256 {template}. Intervals of 95 % are Wilson's; "
        f"where questions name their article, they allow for questions on one article hanging together. Every question counts, also those "
        f"whose reply was cut off or could not be read: the outcomes say how many these are. "
        f"Measuring took {results['seconds']:,.0f} s."
        + (f" Spent with all that failed: {told(results['spending'])}." if "spending" in results else "")
    )
    if shots := results.get("shots"):
        page.paragraph(
            f"Before each question stand {shots['n']} solved ones of {shots['file']} (sha256 {shots['sha256']})."
        )
    for name, mode in results["modes"].items():
        shown = mode["example_prompt"][:_MAX_CHARS]
        page.details(f"{name}: the first prompt as the model saw it", lambda inner, shown=shown: inner.code(shown))  # type: ignore[misc]
    links = [
        ("items.csv: every item and mode in a row, for a spreadsheet", "items.csv"),
        ("summary.csv: every mode in a row", "summary.csv"),
        ("items.jsonl: every item as it was asked and answered", "items.jsonl"),
        ("results.json: all figures", "results.json"),
    ]
    if results["accuracy"] is None:
        links.append(("predictions.csv: picks for the keepers of the set", "predictions.csv"))
    if any("permutations" in mode for mode in results["modes"].values()):
        links.append(("permutations.jsonl: the same with the options in other orders", "permutations.jsonl"))
    page.links(links)
