"""The page of a set of conversations: what became of every question, what rows there are, and samples of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.reporting.browser import Browser, Column, Entry, Text, browser
from sagecraft.reporting.distributions import group_bars
from sagecraft.reporting.page import Cell, Page
from sagecraft.reporting.plots import source_shares

#: Steps that questions are lost at, in their order, as a reader is told.
_STEPS = {
    "rule": "a rule itself would not ask",
    "grade": "rules that grade",
    "leak": "asked by a benchmark",
    "limit": "enough of a sentence or document",
    "repeat": "asked already",
    "model": "refused by the grader",
    "share": "enough of a kind, or in all",
}
#: Bytes of each of the two lists.
_LIST_BYTES = 4_000_000
_MAX_LICENSES = 4


@dataclass(frozen=True)
class Sampled:
    """A row, and the line of the file that it stands in.

    Attributes:
        line: counted from 1.
        row: of `conversations.jsonl` or `dropped.jsonl`.
    """

    line: int
    row: Mapping[str, Any]


@dataclass(frozen=True)
class SynthesisFacts:
    """What the page tells.

    Attributes:
        stats: of the manifest.
        own: name that the mixture has for rows made from documents.
        rows: conversations, drawn at random.
        drops: what was dropped, drawn at random for each reason.
        spending: role of a model that was asked → what it took, in words.
        configuration: YAML.
    """

    stats: Mapping[str, Any]
    own: str
    rows: Sequence[Sampled]
    drops: Sequence[Sampled]
    spending: Mapping[str, str]
    configuration: str


def render(facts: SynthesisFacts) -> str:
    """The page as HTML."""
    stats = facts.stats
    page = Page("Conversations", f"{stats['num_conversations']:,} rows from {stats['num_documents']:,} documents")
    page.metrics(
        [
            ("conversations", stats["num_conversations"], f"{stats['num_general']:,} of them general"),
            ("questions", stats["num_questions"], "each in one or two conversations"),
            ("kinds", len(stats["questions_by_kind"]), _largest(stats["questions_by_kind"])),
            ("dropped", stats["num_dropped"], "each with its reason"),
            (
                "tokens",
                sum(part["tokens"] for part in stats["mixture"].values()),
                "estimated by words, digits and marks",
            ),
        ]
    )
    _losses(page, facts)
    _kinds(page, stats)
    _lengths(page, facts)
    _mixture(page, facts)
    _asked(page, facts)
    page.heading("Conversations, a sample")
    page.paragraph(f"{len(facts.rows):,} of {stats['num_conversations']:,}, drawn at random by a hash of their names.")
    page.browser(_conversations(facts.rows))
    if facts.drops:
        page.heading("Dropped, a sample")
        page.paragraph(
            f"{len(facts.drops):,} of {stats['num_dropped']:,}: of each reason some, drawn at random by a hash, so that each can "
            "be judged."
        )
        page.browser(_dropped(facts.drops))
    page.heading("Configuration")
    page.code(facts.configuration)
    page.links([("conversations.jsonl", "conversations.jsonl"), ("dropped.jsonl", "dropped.jsonl")])
    return page.render()


def losses(stats: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """(step, questions lost there, questions left after it), from all that the rules and the teacher made."""
    lost = {step: int(stats["questions_dropped_by_step"].get(step, 0)) for step in _STEPS}
    left = stats["num_questions"] + sum(lost.values())
    rows = [("made", 0, left)]
    for step, count in lost.items():
        left -= count
        rows.append((step, count, left))
    return rows


def _losses(page: Page, facts: SynthesisFacts) -> None:
    stats = facts.stats
    page.heading("What became of every question")
    rows = losses(stats)
    made = rows[0][2]
    page.paragraph(
        f"{stats.get('num_sentences', 0):,} sentences gave {made:,} questions; {rows[-1][2]:,} of them are asked "
        f"({_percent(rows[-1][2], made)}). {stats.get('num_sentences_tied', 0):,} sentences hang on one before them, and "
        "are not asked about alone."
    )
    if skipped := stats.get("num_withheld_skipped"):
        page.paragraph(f"{skipped:,} documents are withheld for a benchmark: nothing was made of them.")
    shown = [row for row in rows if row[1] or row[0] == "made"]
    if made:
        names = ["made", *(f"after {step}" for step, _, _ in shown[1:])]
        shares = [left / made for _, _, left in shown]
        svg = group_bars(names, shares, [f"{left:,}" for _, _, left in shown], "share of the questions made (%)")
        page.figure(svg, "Questions left after each step.")
    cells: list[list[Cell]] = [
        [step, _STEPS.get(step), lost or None, _percent(lost, made) if lost else None, left]
        for step, lost, left in rows
    ]
    page.table(["step", "", "lost", "of those made", "left"], cells)
    reasons: list[list[Cell]] = [[reason, count] for reason, count in stats["dropped_by_reason"].items()]
    if reasons:
        page.table(["reason", "dropped"], reasons, caption="Reasons, general rows among them")


def _kinds(page: Page, stats: Mapping[str, Any]) -> None:
    page.heading("Kinds of question")
    page.figure(source_shares(stats["questions_by_kind"], "questions"), "Questions that are asked, by kind.")
    total = sum(stats["questions_by_rule"].values())
    lost: Mapping[str, int] = stats.get("questions_dropped_by_rule", {})
    rules = [*stats["questions_by_rule"], *(rule for rule in lost if rule not in stats["questions_by_rule"])]
    rows: list[list[Cell]] = []
    for rule in rules:
        count = stats["questions_by_rule"].get(rule, 0)
        made = count + lost.get(rule, 0)
        rows.append([rule, made, count, _percent(count, made), _percent(count, total)])
    page.table(["rule", "made", "asked", "of those made", "of all asked"], rows)
    switches = ", ".join(f"{state} {count:,}" for state, count in stats["rows_by_switch"].items())
    page.paragraph(f"State of the switch for thinking, in rows: {switches}.")


def _lengths(page: Page, facts: SynthesisFacts) -> None:
    """Words of questions, thoughts and answers of the rows made from documents, by the switch."""
    found: dict[tuple[str, str], list[int]] = {}
    for sampled in facts.rows:
        row = sampled.row
        for turn in row["messages"] if row["lineage"] else ():
            parts = {
                "question" if turn["role"] == "user" else "answer": turn["content"],
                "thought": turn.get("thinking"),
            }
            for part, text in parts.items():
                if text:
                    found.setdefault((part, row["thinking"] or "none"), []).append(len(text.split()))
    if not found:
        return
    rows: list[list[Cell]] = []
    for (part, state), lengths in sorted(found.items()):
        lengths.sort()
        rows.append([part, state, lengths[len(lengths) // 2], lengths[len(lengths) * 9 // 10], lengths[-1]])
    caption = f"Words, of the {len(facts.rows):,} rows below, those made from documents"
    page.table(["", "switch", "median", "nine of ten at most", "longest"], rows, caption=caption)


def _mixture(page: Page, facts: SynthesisFacts) -> None:
    page.heading("Where rows come from")
    mixture = facts.stats["mixture"]
    total = sum(part["tokens"] for part in mixture.values())
    rows: list[list[Cell]] = [
        [
            "these documents" if name == facts.own else name, part["rows"], part["tokens"], _percent(part["tokens"], total),
            _listed(part["licenses"]), part.get("read"), part.get("unreadable"), part.get("repeated"), part.get("in-benchmark"),
        ]
        for name, part in mixture.items()
    ]  # fmt: skip
    columns = [
        "source",
        "rows",
        "tokens",
        "share",
        "licences (rows)",
        "read",
        "unreadable",
        "repeated",
        "asked by a benchmark",
    ]
    page.table(columns, rows, caption="Tokens are estimated by words, digits and marks")


def _asked(page: Page, facts: SynthesisFacts) -> None:
    page.heading("Models that were asked, and their cost")
    stats = facts.stats
    rows: list[list[Cell]] = [
        [role, asked, stats.get(f"num_{role}_repaired"), stats.get(f"num_{role}_failed"), facts.spending.get(role)]
        for role in ("teacher", "thought", "grader")
        if (asked := stats.get(f"num_{role}_asked"))
    ]
    if rows:
        page.table(["model", "asked", "mended on request", "failed", "what it took"], rows)
    else:
        page.paragraph("None: the questions are made by rules, which cost nothing.")


def _conversations(rows: Sequence[Sampled]) -> Browser:
    columns = [Column("question"), Column("kind", "choice"), Column("rule", "choice", minor=True)]
    columns += [
        Column("switch", "choice"),
        Column("from", "choice", minor=True),
        Column("licence", "choice", minor=True),
    ]
    entries = []
    for sampled in rows:
        row = sampled.row
        asked = next((turn["content"] for turn in row["messages"] if turn["role"] == "user"), "")
        cells = [
            asked,
            row["kind"],
            row.get("rule") or "none",
            row["thinking"] or "none",
            # each chapter of a book is a source of its own: no choice, and wider than the question
            "these documents" if row["lineage"] and row["kind"] != "word-problem" else row["source"] or "not stated",
            row["license"] or "not stated",
        ]
        entries.append(Entry(cells, list(_turns(row)), ("conversations.jsonl", sampled.line)))
    return browser("conversations", columns, entries, "conversations.jsonl beside this page holds them.", _LIST_BYTES)


def _turns(row: Mapping[str, Any]) -> list[Text]:
    found: list[Text] = []
    for turn in row["messages"]:
        if turn.get("thinking"):
            found.append(Text("Thought", [turn["thinking"]], searched=False))
        found.append(
            Text({"user": "Question", "assistant": "Answer"}.get(turn["role"], turn["role"]), [turn["content"]])
        )
    for entry in row["lineage"]:
        place = f", sentence {entry['position']}" if entry["position"] >= 0 else ""
        said = [entry["sentence"]] if entry["sentence"] else ["the record: title, authors, year"]
        found.append(Text(f"Rests on {entry['document']}{place}", said, searched=False))
    told = [row["id"], *(f"{key}: {row[key]}" for key in ("source", "license") if row[key])]
    return [*found, Text("", [" · ".join(told)], running=True)]


def _dropped(drops: Sequence[Sampled]) -> Browser:
    columns = [
        Column("question"),
        Column("reason", "choice"),
        Column("step", "choice", minor=True),
        Column("kind", "choice"),
    ]
    entries = []
    for sampled in drops:
        row = sampled.row
        parts = [
            Text(label, [str(row[key])])
            for key, label in (
                ("question", "Question"), ("answer", "Answer"), ("sentence", "Rests on"), ("cause", "Why"),
                ("item_text", "What the benchmark asks"),
            )
            if row.get(key)
        ]  # fmt: skip
        parts.append(Text("", [f"document {row['document']}"], running=True))
        cells = [row["question"] or row["document"], row["reason"], row["step"], row["kind"]]
        entries.append(Entry(cells, parts, ("dropped.jsonl", sampled.line)))
    return browser("dropped", columns, entries, "dropped.jsonl beside this page holds them.", _LIST_BYTES)


def _listed(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    more = f", {len(ordered) - _MAX_LICENSES} more" if len(ordered) > _MAX_LICENSES else ""
    return ", ".join(f"{name} ({count:,})" for name, count in ordered[:_MAX_LICENSES]) + more


def _largest(counts: Mapping[str, int]) -> str:
    name, count = max(counts.items(), key=lambda entry: entry[1])
    return f"the largest, {name}, has {_percent(count, sum(counts.values()))}"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
