"""The page of a benchmark: what became of every draft, what the items are, what can be guessed, and samples of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.reporting.browser import Browser, Column, Entry, Grid, Text, browser
from sagecraft.reporting.distributions import group_bars
from sagecraft.reporting.page import Cell, Page
from sagecraft.reporting.plots import source_shares

_LETTERS = "ABCD"
_CHANCE = 0.25
#: Steps behind the drafting at which items are lost → the reasons that are theirs.
_LEAKS = ("in-training", "passage-in-training")
_GUESSABLE = ("guessable",)
_MOST_TOPICS = 20
_LIST_BYTES = 4_000_000


@dataclass(frozen=True)
class BenchmarkFacts:
    """What the page tells.

    Attributes:
        stats: of the manifest.
        items: with their lines in `items.jsonl`, counted from 1.
        drops: what was dropped, drawn at random for each reason, with its lines in `dropped.jsonl`.
        judging: reasons for which judges take an item out.
        configuration: YAML.
    """

    stats: Mapping[str, Any]
    items: Sequence[tuple[int, Mapping[str, Any]]]
    drops: Sequence[tuple[int, Mapping[str, Any]]]
    judging: Sequence[str]
    configuration: str


def render(facts: BenchmarkFacts) -> str:
    """The page as HTML."""
    stats = facts.stats
    page = Page(
        "Benchmark",
        f"{stats['num_items']:,} items from {stats['num_articles']:,} of {stats['num_documents']:,} documents",
    )
    worst = max(stats["baselines"].items(), key=lambda guess: abs(guess[1] - _CHANCE))
    page.metrics(
        [
            ("items", stats["num_items"], "four options each, one right"),
            ("documents asked about", stats["num_articles"], f"of {stats['num_documents']:,}"),
            ("forms", len(stats["items_by_form"]), f"the largest, {_largest(stats['items_by_form'])}"),
            ("dropped", stats["num_dropped"], "each with its reason"),
            (
                "guess furthest from chance",
                f"{100 * worst[1]:.1f} %",
                f"“{worst[0]}”, by the options alone; chance is 25 %",
            ),
        ]
    )
    _losses(page, facts)
    _items(page, stats)
    _guesses(page, stats)
    _models(page, stats)
    page.heading("Items")
    page.paragraph(
        "Each with its key, what it rests on, and its document. review.html is the same to judge by, with passages."
    )
    page.browser(_all(facts.items))
    if facts.drops:
        page.heading("Dropped, a sample")
        page.paragraph(
            f"{len(facts.drops):,} of {stats['num_dropped']:,}: of each reason some, drawn at random by a hash."
        )
        page.browser(_dropped(facts.drops))
    page.heading("Configuration")
    page.code(facts.configuration)
    names = (
        "items.jsonl",
        "dropped.jsonl",
        "questions.csv",
        "review.html",
        "review.csv",
        "datasheet.md",
        "baselines.json",
    )
    page.links([(name, name) for name in names])
    return page.render()


def losses(stats: Mapping[str, Any], judging: Sequence[str]) -> list[tuple[str, int, int]]:
    """(step, drafts lost there, drafts left after it), from all that were tried."""
    reasons: Mapping[str, int] = stats["dropped_by_reason"]
    groups = {"training": _LEAKS, "judges": tuple(judging), "guesses": _GUESSABLE}
    lost = {step: sum(reasons.get(reason, 0) for reason in names) for step, names in groups.items()}
    lost = {"drafting": stats["num_dropped"] - sum(lost.values()), **lost}
    left = stats["num_items"] + stats["num_dropped"]
    rows = [("tried", 0, left)]
    for step, count in lost.items():
        left -= count
        rows.append((step, count, left))
    return rows


_MEANING = {
    "tried": "statements, terms and cells that were drawn, and what a teacher wrote",
    "drafting": "no options of like kind, told by the title, repeats another",
    "training": "stands in training documents",
    "judges": "taken out by what models said",
    "guesses": "left out until no guess by the options pays",
}


def _losses(page: Page, facts: BenchmarkFacts) -> None:
    page.heading("What became of every draft")
    stats = facts.stats
    refused: Mapping[str, int] = stats["sentences_by_reason"]
    if refused:
        page.paragraph(
            f"Before any draft {sum(refused.values()):,} statements were refused since they do not stand alone or cannot be read at once."
        )
    rows = losses(stats, facts.judging)
    tried = rows[0][2]
    shown = [row for row in rows if row[1] or row[0] == "tried"]
    names = ["tried", *(f"after {step}" for step, _, _ in shown[1:])]
    page.figure(
        group_bars(names, [left / tried for _, _, left in shown], [f"{left:,}" for _, _, left in shown], "share of the drafts tried (%)"),
        "Drafts left after each step.",
    )  # fmt: skip
    cells: list[list[Cell]] = [[step, _MEANING[step], lost or None, left] for step, lost, left in rows]
    page.table(["step", "", "lost", "left"], cells)
    page.table(["reason", "dropped"], _counts(stats["dropped_by_reason"]), caption="Reasons of drafts")
    if refused:
        page.table(["reason", "refused"], _counts(refused), caption="Reasons of statements, before any draft")


def _items(page: Page, stats: Mapping[str, Any]) -> None:
    page.heading("What the items are")
    page.figure(source_shares(stats["items_by_form"], "items"), "Items by form.")
    topics = _counts(stats["items_by_topic"])
    caption = f"The largest {_MOST_TOPICS} of {len(topics)} topics" if len(topics) > _MOST_TOPICS else "Topics"
    page.table(
        ["topic", "items"], [[topic or "none", count] for topic, count in topics[:_MOST_TOPICS]], caption=caption
    )
    page.table(["written by", "items"], _counts(stats["items_by_writer"]))
    keys = ", ".join(f"{letter} {count:,}" for letter, count in stats["keys"].items())
    page.paragraph(f"Right options: {keys}.")


def _guesses(page: Page, stats: Mapping[str, Any]) -> None:
    page.heading("What can be guessed without the question")
    rows: list[list[Cell]] = [
        [name, f"{100 * value:.1f} %", f"{100 * (value - _CHANCE):+.1f}".replace("-", "−")]
        for name, value in sorted(stats["baselines"].items(), key=lambda guess: -abs(guess[1] - _CHANCE))
    ]
    page.table(["guess", "right", "points from chance"], rows, caption="Items were chosen so that these do not pay")
    learned = stats["learned_baseline"]
    page.paragraph(
        "A learner that nothing was chosen by needs more items."
        if learned is None
        else f"A learner that nothing was chosen by, nearest neighbours on other articles’ options, is right in {100 * learned:.1f} % (chance 25 %)."
    )


def _models(page: Page, stats: Mapping[str, Any]) -> None:
    page.heading("Models that were asked, and their cost")
    if "cost" not in stats:
        page.paragraph("None: the items are made by rules, which cost nothing.")
        return
    cost = stats["cost"]
    usd = "no price is known" if cost["usd"] is None else f"{cost['usd']:.4f} USD"
    page.paragraph(
        f"{cost['tokens_in']:,} tokens were read and {cost['tokens_out']:,} written: {usd}. datasheet.md says what each model reached."
    )


def _all(items: Sequence[tuple[int, Mapping[str, Any]]]) -> Browser:
    columns = [
        Column("question"),
        Column("form", "choice"),
        Column("topic", "choice", minor=True),
        Column("document", minor=True),
    ]
    options = [Column("option"), Column("text")]
    entries = []
    for line, item in items:
        rows = [[letter, item[letter]] for letter in _LETTERS]
        marks = [["key"] if letter == item["answer"] else [] for letter in _LETTERS]
        parts: list[Text | Grid] = [Text("Question", [item["question"]]), Grid("Options", options, rows, marks)]
        for sentence in item["support_sentences"]:
            place = f", sentence {sentence['position']}" if sentence["position"] >= 0 else ""
            parts.append(Text(f"Rests on {item['article']}{place}", [sentence["text"]]))
        parts.append(Text("", [f"{item['id']} · section: {item['section']}"], running=True))
        cells = [item["question"], item["form"], item["topic"], item["title"] or item["article"]]
        entries.append(Entry(cells, parts, ("items.jsonl", line)))
    return browser("items", columns, entries, "items.jsonl beside this page holds them.", _LIST_BYTES)


def _dropped(drops: Sequence[tuple[int, Mapping[str, Any]]]) -> Browser:
    columns = [Column("question or sentence"), Column("reason", "choice"), Column("document", minor=True)]
    entries = []
    for line, row in drops:
        parts = [Text("Question or sentence", [row["sentence"]])]
        if row.get("detail"):
            parts.append(Text("Why", [row["detail"]]))
        entries.append(Entry([row["sentence"], row["reason"], row["document"]], parts, ("dropped.jsonl", line)))
    return browser("dropped", columns, entries, "dropped.jsonl beside this page holds them.", _LIST_BYTES)


def _counts(counts: Mapping[str, int]) -> list[list[Cell]]:
    return [[name, count] for name, count in sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))]


def _largest(counts: Mapping[str, int]) -> str:
    name, count = max(counts.items(), key=lambda entry: entry[1])
    return f"{name}, has {100 * count / sum(counts.values()):.0f} %"
