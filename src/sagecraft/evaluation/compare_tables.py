"""A comparison as tables: CSV files beside the page, and the lists that its reader filters, sorts and opens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.evaluation.compare_verdict import ordered
from sagecraft.evaluation.compared import MAX_REPLY, Evaluation
from sagecraft.evaluation.statistics_page import headline
from sagecraft.reporting.browser import Browser, Column, Entry, Grid, Text, Tone, browser
from sagecraft.reporting.page import Cell

#: What can become of an answer; others, if any, are added up.
_OUTCOMES = ("correct", "wrong", "truncated", "unparsed", "refused", "failed")
_TOKENS = ("in", "cached", "thought", "out")
_SAID = {"in": "read", "cached": "of these from a cache", "thought": "thought", "out": "answered"}
#: Of a pair, what a table tells; intervals fill two columns.
_PAIR = (
    "a",
    "b",
    "n",
    "accuracy_a",
    "accuracy_b",
    "difference",
    "ci95",
    "ci95_bootstrap",
    "standard_error",
    "only_a",
    "only_b",
    "both_right",
    "both_wrong",
    "same_wrong",
    "kappa",
    "test",
    "p_value",
    "p_holm",
    "significant",
    "p_mcnemar",
    "p_mid",
    "design_effect",
    "detectable",
    "items_needed",
)
_TESTS = {"mcnemar": "exact McNemar test", "mcnemar_by_article": "signs of whole articles flipped"}
#: Characters of all replies that a page holds, and of one at least, below which none is shown.
_REPLY_CHARS, _MIN_REPLY = 6_000_000, 60
#: Models whose outcomes a list shows; of more they can be filtered by, and stand in the opened entry.
_MAX_COLUMNS = 6
#: Names in the headings of a list, at most so long.
_MAX_NAME = 24

Results = Mapping[str, Any]


@dataclass(frozen=True)
class Item:
    """One question, and the row of each model that answered it.

    Attributes:
        rows: name of a model → its row.
    """

    rows: Mapping[str, Mapping[str, Any]]

    @property
    def any(self) -> Mapping[str, Any]:
        """A row that has the question: the same in all of them."""
        return next(iter(self.rows.values()))

    @property
    def picks(self) -> str:
        """Whether all who answered picked alike; one without a readable pick agrees with nobody."""
        found = {row.get("pick") for row in self.rows.values()}
        return "all alike" if len(found) == 1 and None not in found else "not alike"

    def split(self, names: Sequence[str]) -> str:
        """Which models have it right: all, none, only one, all but one, or how many."""
        asked = [name for name in names if name in self.rows]
        right = [name for name in asked if self.rows[name]["correct"]]
        if not right:
            return "none"
        if len(right) == len(asked):
            return "all"
        if len(right) == 1:
            return f"only {right[0]}"
        if len(right) == len(asked) - 1:
            return f"all but {next(name for name in asked if name not in right)}"
        return f"{len(right)} of {len(asked)}"


def gather(evaluations: Sequence[Evaluation]) -> list[Item]:
    """All questions that any model answered, in the order of the first evaluation, then of the next."""
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for evaluation in evaluations:
        for row in evaluation.rows:
            found.setdefault(str(row["id"]), {})[evaluation.name] = row
    return [Item(rows) for rows in found.values()]


def tables(results: Results, evaluations: Sequence[Evaluation]) -> dict[str, str]:
    """The CSV files: name → text. A cell that a spreadsheet would take for a formula is guarded."""
    from sagecraft.reporting.tables import csv_text

    items = gather(evaluations)
    return {
        "models.csv": csv_text(list(_model_rows(results))),
        "pairs.csv": csv_text(list(_pair_rows(results))),
        "items.csv": csv_text(list(_item_rows(items, [evaluation.name for evaluation in evaluations]))),
    }


def _model_rows(results: Results) -> Iterator[list[Cell]]:
    yield [
        "model", "mode", "n", "accuracy", "low", "high", "n_shared", "accuracy_shared", *_OUTCOMES, "other",
        *(f"tokens_{kind}" for kind in _TOKENS), "cost_usd", "usd_per_100k_tokens",
    ]  # fmt: skip
    for m in ordered(results["models"]):
        tokens = m["tokens"] if isinstance(m["tokens"], dict) else {}
        known = [m["outcomes"].get(kind, 0) for kind in _OUTCOMES]
        yield [
            m["name"], m["mode"], m["n"], m["accuracy"], *headline(m), m["n_shared"], m["accuracy_shared"],
            *known, sum(m["outcomes"].values()) - sum(known), *(tokens.get(kind) for kind in _TOKENS),
            m["cost_usd"], m["usd_per_100k_tokens"],
        ]  # fmt: skip


def _pair_rows(results: Results) -> Iterator[list[Cell]]:
    wide = ("ci95", "ci95_bootstrap")
    yield [name for key in _PAIR for name in ([f"{key}_low", f"{key}_high"] if key in wide else [key])]
    for pair in results["pairs"]:
        yield [cell for key in _PAIR for cell in (pair[key] if key in wide else [pair[key]])]


def _item_rows(items: Sequence[Item], names: Sequence[str]) -> Iterator[list[Cell]]:
    """A question a line; of each model its pick and what became of it, both empty where it was not asked."""
    yield ["id", "topic", "kind", "article", "key", "right", *names, *(f"{name}: outcome" for name in names)]
    for item in items:
        row = item.any
        yield [
            *(row.get(key) for key in ("id", "topic", "kind", "article", "key")),
            item.split(names),
            *(item.rows.get(name, {}).get("pick") for name in names),
            *(item.rows.get(name, {}).get("outcome") for name in names),
        ]


def model_list(results: Results) -> Browser:
    """The models, to be sorted; opened, how each was measured and what became of its answers."""
    number = ["accuracy %", "from", "to", "questions", "no answer", "tokens", "USD, run", "USD, 0.1 M"]
    columns = [Column("model"), *(Column(name, "number", minor=place > 0) for place, name in enumerate(number))]
    entries = []
    for m in ordered(results["models"]):
        tokens = m["tokens"] if isinstance(m["tokens"], dict) else {}
        low, high = headline(m)
        silent = sum(count for kind, count in m["outcomes"].items() if kind not in ("correct", "wrong"))
        money = [None if isinstance(value, str) else value for value in (m["cost_usd"], m["usd_per_100k_tokens"])]
        shares: list[Cell] = [100 * m["accuracy"], 100 * low, 100 * high]
        counts = [m["n"], silent, sum(tokens.get(kind, 0) for kind in ("in", "thought", "out")) if tokens else None]
        parts = [(f"tokens {_SAID[kind]}", tokens.get(kind, 0)) for kind in _TOKENS if tokens]
        facts = [
            Grid(
                "Answers and tokens", _PLAIN, [*m["outcomes"].items(), *parts], [[]] * (len(m["outcomes"]) + len(parts))
            )
        ]
        facts.append(Grid("How it was measured", _FACTS, list(m["settings"].items()), [[]] * len(m["settings"])))
        entries.append(Entry([m["name"], *shares, *counts, *money], facts))
    return browser("Models", columns, entries, "Scripts are off: the table above and models.csv tell the same.")


_PLAIN = (Column(""), Column("number", "number"))
_FACTS = (Column("setting"), Column("value"))


def pair_list(results: Results) -> Browser:
    """All pairs that were tested, to be sorted and filtered."""
    numbers = ["difference", "from", "to", "p (Holm)", "visible from"]
    columns = [
        Column("a", "choice"),
        Column("b", "choice"),
        Column("verdict", "choice", tones={"no difference shown": "poor"}),
        *(Column(name, "number", minor=place > 0) for place, name in enumerate(numbers)),
    ]
    entries = []
    names = {m["name"]: _heading(place, m["name"]) for place, m in enumerate(results["models"], start=1)}
    for pair in results["pairs"]:
        points = [100 * value for value in (pair["difference"], *pair["ci95"])]
        better = names[pair["b"] if pair["difference"] > 0 else pair["a"]]
        said = f"{better} is better" if pair["significant"] else "no difference shown"
        visible = None if pair["detectable"] is None else 100 * pair["detectable"]
        cells = [names[pair["a"]], names[pair["b"]], said, *points, pair["p_holm"], visible]
        entries.append(Entry(cells, [_table_of(pair), _tests_of(pair)]))
    return browser("Pairs", columns, entries, "Scripts are off: the table of pairs is in pairs.csv.")


def _table_of(pair: Mapping[str, Any]) -> Grid:
    rows: list[tuple[str, Cell]] = [
        ("answered by both", pair["n"]),
        ("both right", pair["both_right"]),
        (f"only {pair['a']}", pair["only_a"]),
        (f"only {pair['b']}", pair["only_b"]),
        ("both wrong", pair["both_wrong"]),
        ("of these, the same wrong pick", pair["same_wrong"]),
    ]
    return Grid("Questions", (Column("right"), Column("questions", "number")), rows, [[]] * len(rows))


def _tests_of(pair: Mapping[str, Any]) -> Grid:
    """The test, and figures that decide nothing; percentages as points."""
    low, high = (100 * end for end in pair["ci95_bootstrap"])
    rows: list[tuple[str, Cell]] = [
        (f"p, {_TESTS[pair['test']]}", pair["p_value"]),
        ("questions that would show a true difference of this size", pair["items_needed"]),
        ("kappa of picks", pair["kappa"]),
        ("design effect of articles", pair["design_effect"]),
        ("McNemar as if questions were independent, p", pair["p_mcnemar"]),
        ("the same with mid-p", pair["p_mid"]),
        ("bootstrap interval of the difference, from", low),
        ("to", high),
    ]
    return Grid(
        "The test, and figures that decide nothing",
        (Column("figure"), Column("value", "number")),
        rows,
        [[]] * len(rows),
    )


def item_list(evaluations: Sequence[Evaluation]) -> Browser:
    """All questions: who has which right; opened, who picked what, and what each said."""
    labels = {e.name: _heading(place, e.name) for place, e in enumerate(evaluations, start=1)}
    names, many = list(labels), len(labels) > _MAX_COLUMNS
    items, room = gather(evaluations), reply_room(evaluations)
    tones: dict[str, Tone] = {"correct": "good", "wrong": "bad"}
    tones.update(dict.fromkeys(_OUTCOMES[2:], "poor"))
    groups = [name for name in ("topic", "kind") if any(item.any.get(name) for item in items)]
    columns = [
        Column("item"),
        Column("question"),
        Column("who is right", "choice"),
        Column("picks", "choice", hidden=True),
        *(Column(label, "choice", minor=len(names) > 2, hidden=many, tones=tones) for label in labels.values()),
        *(Column(name, "choice", minor=True) for name in groups),
    ]
    entries = [
        Entry(
            [
                str(item.any["id"]),
                _first(item.any.get("question", "")),
                item.split(names),
                item.picks,
                *(item.rows[name]["outcome"] if name in item.rows else "not asked" for name in names),
                *(item.any.get(name) or None for name in groups),
            ],
            list(_opened(item, labels, room)),
        )
        for item in items
    ]
    return browser("Items", columns, entries, "Scripts are off: who picked what is in items.csv.")


def _heading(number: int, name: str) -> str:
    """A name as a heading: long ones are cut, and the number tells apart what is then alike."""
    text = " ".join(name.split())
    return text if len(text) <= _MAX_NAME else f"{number} {text[:_MAX_NAME]}…"


def _first(text: str) -> str:
    """The beginning of a question: the whole of it stands in the opened entry."""
    text = " ".join(str(text).split())
    return text if len(text) <= 160 else text[:160] + "…"


def _opened(item: Item, labels: Mapping[str, str], room: int) -> Iterator[Text | Grid]:
    row = item.any
    yield Text("Question", [str(row.get("question", ""))])
    options = row.get("options") or []
    picked = {name: str(found.get("pick")) for name, found in item.rows.items()}
    if options:
        letters = [str(option.get("letter")) for option in options]
        marks = [
            [
                *(["key"] if letter == row.get("key") else []),
                *(f"by {label}" for name, label in labels.items() if picked.get(name) == letter),
            ]
            for letter in letters
        ]
        texts = [[letter, str(option.get("text", ""))] for letter, option in zip(letters, options, strict=True)]
        yield Grid("Options, and who picked them", (Column(""), Column("option")), texts, marks)
    else:
        yield Text("Right", [str(row.get("key"))])
    rows: list[list[Cell]] = [[name, row["outcome"], row.get("pick"), _spent(row)] for name, row in item.rows.items()]
    columns = [Column("model"), Column("outcome"), Column("pick"), Column("tokens", "number")]
    if room:
        columns.append(Column("reply"))
        rows = [[*cells, _said(row, room)] for cells, row in zip(rows, item.rows.values(), strict=True)]
    yield Grid("Models", columns, rows, [[]] * len(rows))


def reply_room(evaluations: Sequence[Evaluation]) -> int:
    """Characters of a reply for which the page has room, 0 if nothing was written, or if they would be no use."""
    written = sum("raw" in row or "error" in row for evaluation in evaluations for row in evaluation.rows)
    room = min(MAX_REPLY, _REPLY_CHARS // written) if written else 0
    return room if room >= _MIN_REPLY else 0


def _said(row: Mapping[str, Any], room: int) -> str | None:
    """What was written, or why there is nothing."""
    text = str(row.get("raw") or row.get("error") or "").strip()
    return (text if len(text) <= room else text[: room - 1] + "…") or None


def _spent(row: Mapping[str, Any]) -> int | None:
    tokens = row.get("tokens")
    return sum(tokens.get(kind, 0) for kind in ("in", "thought", "out")) if isinstance(tokens, dict) else None
