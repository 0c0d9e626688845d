"""What the rows of one mode add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation import statistics
from sagecraft.evaluation.cost import Tokens, add_up
from sagecraft.evaluation.extract import STAGES
from sagecraft.evaluation.tasks import LETTERS

Row = Mapping[str, Any]


def summarise(mode: str, rows: Sequence[Row], seed: int) -> tuple[dict[str, Any], Tokens | None]:
    """`n`, `accuracy`, `ci95`, … of one mode (accuracy None without a key), and the tokens.

    Every item counts in `n`: what was truncated, unparsed, refused or failed is not correct, and `outcomes` says how
    much of that there was.
    """
    tokens = add_up(row["tokens"] for row in rows)
    keyed = rows[0]["key"] is not None
    num_correct = sum(row["correct"] is True for row in rows)
    summary: dict[str, Any] = {
        "n": len(rows),
        "accuracy": num_correct / len(rows) if keyed else None,
        "ci95": list(statistics.wilson(num_correct, len(rows))) if keyed else None,
    }
    if keyed:
        summary |= _by_article(rows, seed)
        if mode == "continuation":
            summary |= {"accuracy_sum": _share(rows, "sum"), "accuracy_per_byte": _share(rows, "per_byte")}
        summary["by_kind"] = statistics.accuracy_by(rows, "kind")
        summary["by_topic"] = statistics.accuracy_by(rows, "topic")
        if mode == "letter":
            summary["calibration"] = _calibration(rows)
    summary["outcomes"] = dict(sorted(Counter(row["outcome"] for row in rows).items()))
    if mode == "generate":
        found = Counter(row["stage"] for row in rows if "stage" in row)
        summary["stages"] = {stage: found[stage] for stage in STAGES}
        summary["num_cut"] = sum(bool(row.get("cut")) for row in rows)
        summary["num_thoughts_closed"] = sum(bool(row.get("closed_by_us")) for row in rows)
    summary["picks"] = dict(sorted(Counter(str(row["pick"]) for row in rows).items()))
    summary["tokens"] = "unknown" if tokens is None else tokens.as_dict()
    return summary, tokens


def _by_article(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """The interval that allows for questions on one article hanging together; only where articles are named."""
    clusters = [row["article"] for row in rows]
    if not all(clusters) or len(set(clusters)) < 2:
        return {}
    interval = statistics.clustered_bootstrap([float(row["correct"]) for row in rows], clusters, seed)
    return {"ci95_by_article": list(interval), "num_articles": len(set(clusters))}


def _share(rows: Sequence[Row], normalisation: str) -> float:
    right = [row for row in rows if "picks" in row and row["picks"][normalisation] == row["key"]]
    return len(right) / len(rows)


def _calibration(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Does confidence track correctness? On letters' shares of the probability that fell on letters."""
    asked = [row for row in rows if "confidence" in row]
    if not asked:
        return None
    error, bins = statistics.expected_calibration_error(
        [row["confidence"] for row in asked], [bool(row["correct"]) for row in asked]
    )
    shares = [[option["share"] for option in row["options"]] for row in asked]
    score = statistics.brier(shares, [LETTERS.index(row["key"]) for row in asked])
    return {"ece": error, "brier": score, "mean_mass": sum(row["mass"] for row in asked) / len(asked), "bins": bins}
