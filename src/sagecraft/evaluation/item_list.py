"""Items on a page: the row of each, and what is shown when it is opened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.evaluation.calibration import softmax
from sagecraft.evaluation.cost import add_up, endpoint_cost
from sagecraft.reporting.browser import Browser, Column, Entry, Grid, Text, Tone, browser

if TYPE_CHECKING:
    from sagecraft.inference.prices import Price
    from sagecraft.reporting.page import Cell

Row = Mapping[str, Any]

#: Outcomes by how good the news is; poor: no answer could be read.
TONES: dict[str, Tone] = {
    "correct": "good",
    "wrong": "bad",
    "truncated": "poor",
    "unparsed": "poor",
    "refused": "poor",
    "failed": "poor",
}
#: Options shorter than this stand in too many places of a prompt to be looked for.
_MIN_CHARS = 4
#: Figures of an option and other picks, by what a reader calls them; those that are not here go by their own names.
_SCORES = {
    "sum": "log-likelihood",
    "per_char": "per character",
    "per_byte": "per byte",
    "unconditional": "gain by the question",
    "share": "share of letters",
}


def confidence(row: Row) -> float | None:
    """The probability that the mode gives the option it picked; None where it gives none.

    The letter's share of the probability that fell on letters; for continuations by Bayes from the sums of
    log-likelihoods, of the option that is reported (per character), which need not be the likeliest by sum.
    """
    options = row["options"]
    letters = [option["letter"] for option in options]
    if row["pick"] not in letters:
        return None
    at = letters.index(row["pick"])
    if "share" in options[at]:
        return float(options[at]["share"])
    return softmax([option["sum"] for option in options])[at] if "sum" in options[at] else None


def cost_usd(row: Row, price: Price | None) -> float | None:
    """USD of one item's tokens; None without a known price: a device's hours are those of the run."""
    cost = endpoint_cost(add_up([row["tokens"]]), price)
    return None if isinstance(cost, str) else cost


def prices_of(results: Mapping[str, Any]) -> dict[str, Price | None]:
    """The price of each mode's tokens, as `results.json` has it."""
    from sagecraft.inference.prices import Price

    given = {name: mode.get("price") for name, mode in results["modes"].items()}
    return {name: None if price is None else Price.model_validate(price) for name, price in given.items()}


def item_list(rows: Sequence[Row], results: Mapping[str, Any]) -> Browser:
    """Every item in every mode, to be filtered, sorted and opened.

    Args:
        rows: of `items.jsonl`, in its order.
        results: of `results.json`.
    """
    by_item: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_item[row["id"]].append(row)
    prices = prices_of(results)
    several = len(results["modes"]) > 1
    columns: list[tuple[Column, list[Cell]]] = [
        (Column("id"), [row["id"] for row in rows]),
        (Column("question"), [row["question"] for row in rows]),
        (Column("topic", "choice", minor=True), [row["topic"] or None for row in rows]),
        (Column("kind", "choice", hidden=True), [row["kind"] or None for row in rows]),
        (Column("mode", "choice"), [row["mode"] if several else None for row in rows]),
        (Column("key", minor=True), [row["key"] for row in rows]),
        (Column("pick", minor=True), [row["pick"] for row in rows]),
        (Column("outcome", "choice", tones=TONES), [row["outcome"] for row in rows]),
        (Column("modes right", "choice", hidden=True), [_num_right(by_item[row["id"]]) for row in rows]),
        (Column("read from", "choice", hidden=True), [row.get("stage") for row in rows]),
        (Column("confidence", "number", minor=True), [confidence(row) for row in rows]),
        (Column("tokens", "number", minor=True), [_num_tokens(row) for row in rows]),
        (Column("USD", "number", minor=True), [cost_usd(row, prices[row["mode"]]) for row in rows]),
    ]
    kept = [(column, cells) for column, cells in columns if any(cell is not None for cell in cells)]
    entries = [
        Entry(
            [cells[place] for _, cells in kept],
            [*parts(row, prices[row["mode"]]), *_elsewhere(row, by_item[row["id"]])],
            ("items.jsonl", place + 1),
        )
        for place, row in enumerate(rows)
    ]
    instead = (
        "The list of items needs a browser that runs scripts; items.csv and items.jsonl beside this page hold them too."
    )
    return browser("every item", [column for column, _ in kept], entries, instead)


def parts(row: Row, price: Price | None = None) -> list[Text | Grid]:
    """What is shown of one row when it is opened: what was asked, what was said, how it was read, what it took.

    Args:
        row: of `items.jsonl`.
        price: of its tokens, where they have one.
    """
    found: list[Text | Grid] = [Text("What the model saw", pieces(row), searched=False)]
    if row["options"]:
        found.append(_options(row))
    if row.get("thought"):
        found.append(Text("Thought", [row["thought"]], folded=True))
    if "raw" in row:
        said = [row["raw"]] if row["raw"] else ["(nothing was written)"]
        found.append(Text("Answer", said, running=not row["raw"]))
    if row.get("error"):
        found.append(Text("Why it failed", [row["error"]]))
    found.append(Text("", [_told(row, price)], searched=False, running=True))
    if row.get("extra"):
        more = "\n".join(f"{name}: {value}" for name, value in row["extra"].items())
        found.append(Text("What else the file says", [more], folded=True, searched=False))
    return found


def pieces(row: Row) -> list[str]:
    """A prompt in pieces, which joined are the prompt: the question, its options, and what stands around them.

    What stands around them, examples included, is the same for all items, so a page holds it once.
    """
    prompt: str = row["prompt"]
    start = prompt.rfind(row["question"])
    if start < 0:
        return [prompt]
    end = start + len(row["question"])
    found = [prompt[:start], row["question"]]
    for option in row["options"]:
        at = prompt.find(option["text"], end) if len(option["text"]) >= _MIN_CHARS else -1
        if at >= 0:
            found += [prompt[end:at], option["text"]]
            end = at + len(option["text"])
    return [*found, prompt[end:]]


def _options(row: Row) -> Grid:
    """The options with their figures; which is the key, which was picked, and by other measures."""
    names = [name for name in row["options"][0] if name not in ("letter", "text")]
    columns = [Column("letter"), Column("option"), *(Column(_said(name), "number") for name in names)]
    marks = []
    for option in row["options"]:
        other = [f"pick by {_said(name)}" for name, pick in row.get("picks", {}).items() if pick == option["letter"]]
        found = ["key"] * (option["letter"] == row["key"]) + ["pick"] * (option["letter"] == row["pick"])
        marks.append(found + (other if option["letter"] != row["pick"] else []))
    cells = [[option["letter"], option["text"], *(option.get(name) for name in names)] for option in row["options"]]
    return Grid("Options", columns, cells, marks)


def _said(name: str) -> str:
    return _SCORES.get(name, name.replace("_", " "))


def _told(row: Row, price: Price | None) -> str:
    """How a reply was read and what it took, in one line."""
    said = [f"{name}: {row[name]}" for name in ("topic", "kind", "article") if row[name]]
    if row.get("stage"):
        said.append("no answer could be read" if row["stage"] == "none" else f"read from {row['stage']}")
    said += ["cut off"] if row.get("cut") else []
    said += ["its thought outran the budget and was closed"] if row.get("closed_by_us") else []
    tokens = row["tokens"]
    if tokens is not None:
        cached = f" ({tokens['cached']:,} from a cache)" if tokens.get("cached") else ""
        thought = f", {tokens['thought']:,} thought" if tokens["thought"] else ""
        counted = " at most, not counted by the endpoint" if tokens.get("uncounted") else ""
        said.append(f"tokens: {tokens['in']:,} read{cached}{thought}, {tokens['out']:,} answered{counted}")
    usd = cost_usd(row, price)
    return " · ".join([*said, *([f"{usd:.3g} USD"] if usd else [])])


def _elsewhere(row: Row, rows: Sequence[Row]) -> list[Text]:
    """What the other modes made of the same question."""
    others = [f"{other['mode']}: {other['pick'] or '–'} ({other['outcome']})" for other in rows if other is not row]
    return [Text("", [f"The same question in other modes: {', '.join(others)}."], searched=False, running=True)] * bool(
        others
    )


def _num_right(rows: Sequence[Row]) -> str | None:
    """In how many modes a question is answered right; None for one mode, or without a key."""
    if len(rows) < 2 or any(row["correct"] is None for row in rows):
        return None
    return f"{sum(row['correct'] for row in rows)} of {len(rows)}"


def _num_tokens(row: Row) -> int | None:
    total = add_up([row["tokens"]])
    return None if total is None else total.total
