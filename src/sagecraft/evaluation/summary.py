"""What the rows of one mode add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation import calibration, numeric, power, resampling, statistics
from sagecraft.evaluation.cost import Tokens, add_up
from sagecraft.evaluation.extract import STAGES
from sagecraft.evaluation.guessing import against_guessing
from sagecraft.evaluation.positions import Choice, position_bias
from sagecraft.evaluation.tasks import LETTERS

Row = Mapping[str, Any]

#: Power and two-sided level of the smallest detectable differences, and the shares of items on which two models differ
#: for which they are told: what models of one family (0.1) to unlike ones (0.4) show.
POWER, ALPHA = 0.8, 0.05
DISCORDANT_SHARES = (0.1, 0.2, 0.4)


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
        summary |= _spread(rows, seed) | _answered(rows)
        if mode == "continuation":
            others = ("sum", "per_byte", "unconditional")
            summary |= {f"accuracy_{name}": _share(rows, name) for name in others}
        summary["by_kind"] = statistics.accuracy_by(rows, "kind")
        summary["by_topic"] = statistics.accuracy_by(rows, "topic")
        effect = summary.get("design_effect") or 1.0
        summary["by_topic_test"] = _topics_differ(summary["by_topic"], effect)
        summary["guessing"] = against_guessing(rows, effect)
        summary["power"] = _power(len(rows), num_correct / len(rows), effect)
        if mode in _SHARES:
            summary["calibration"] = _calibration(mode, rows, seed)
    chosen = bool(rows[0]["options"])
    if mode != "continuation" and chosen:  # it scores each option without its letter: there is no position to prefer
        summary["position_bias"] = _positions(rows, summary.get("design_effect") or 1.0)
    summary["outcomes"] = dict(sorted(Counter(row["outcome"] for row in rows).items()))
    if mode == "generate":
        found = Counter(row["stage"] for row in rows if "stage" in row)
        summary["stages"] = {stage: found[stage] for stage in (STAGES if chosen else numeric.STAGES)}
        summary |= _budgets(rows)
    if chosen:
        summary["picks"] = dict(sorted(Counter(str(row["pick"]) for row in rows).items()))
    summary["tokens"] = "unknown" if tokens is None else tokens.as_dict()
    return summary, tokens


def _spread(rows: Sequence[Row], seed: int) -> dict[str, Any]:
    """Standard errors and further intervals; where articles are named, those that allow for them."""
    values = [float(row["correct"] is True) for row in rows]
    articles = statistics.articles_of(rows)
    found: dict[str, Any] = {"standard_error": _finite(resampling.standard_error(values))}
    if articles is not None:
        interval = statistics.wilson_by_cluster([value == 1 for value in values], articles)
        found |= {
            "num_articles": len(set(articles)),
            "ci95_by_article": None if interval is None else list(interval),
            "standard_error_by_article": _finite(resampling.standard_error(values, articles)),
            "design_effect": resampling.design_effect(values, articles),
        }
    return found | {"ci95_bootstrap": list(resampling.bootstrap(values, seed, clusters=articles))}


def _finite(error: float) -> float | None:
    return error if error < float("inf") else None


def _answered(rows: Sequence[Row]) -> dict[str, Any]:
    """How good the readable answers were: beside the accuracy, it shows what unreadable ones cost."""
    picked = [row for row in rows if row["pick"] is not None]
    right = sum(row["correct"] is True for row in picked)
    return {
        "num_answered": len(picked),
        "accuracy_answered": right / len(picked) if picked else None,
        "ci95_answered": list(statistics.wilson(right, len(picked))) if picked else None,
    }


def _budgets(rows: Sequence[Row]) -> dict[str, Any]:
    """How often a budget ended an answer or a thought, and how good the answers behind thoughts are that it ended."""
    closed = [row for row in rows if row.get("closed_by_us")]
    right = sum(row["correct"] is True for row in closed)
    return {
        "num_cut": sum(bool(row.get("cut")) for row in rows),
        "num_thoughts_closed": len(closed),
        "accuracy_of_thoughts_closed": right / len(closed) if closed and rows[0]["key"] is not None else None,
    }


def _share(rows: Sequence[Row], normalisation: str) -> float:
    return sum(_right(row, normalisation) for row in rows) / len(rows)


def _right(row: Row, normalisation: str) -> bool:
    """Whether the pick of a normalisation is right; an option that stands there twice is so under both letters."""
    if "picks" not in row:
        return False
    texts = [option["text"] for option in row["options"]]
    return bool(texts[LETTERS.index(row["picks"][normalisation])] == texts[LETTERS.index(row["key"])])


def _topics_differ(by_topic: Mapping[str, Any], effect: float) -> dict[str, float] | None:
    """Whether topics differ at all: the question to ask before looking at the best and the worst of many."""
    groups = list(by_topic.values())
    if len(groups) < 2:
        return None
    return statistics.homogeneity(
        [round(group["accuracy"] * group["n"]) for group in groups], [group["n"] for group in groups], effect
    )


def _power(num_items: int, accuracy: float, effect: float) -> dict[str, Any]:
    """The smallest difference from another model that this set can show."""
    return {
        "power": POWER,
        "alpha": ALPHA,
        "paired": [
            {
                "discordant_share": share,
                "difference": power.detectable_paired(num_items, share, POWER, ALPHA, effect),
            }
            for share in DISCORDANT_SHARES
        ],
        "unpaired": power.detectable_unpaired(num_items, num_items, accuracy, POWER, ALPHA, effect),
    }


def _letter_shares(row: Row) -> list[float]:
    return [option["share"] for option in row["options"]]


def _continuation_shares(row: Row) -> list[float]:
    """By Bayes from sums of log-likelihoods; per character they would be no probabilities."""
    return calibration.softmax([option["sum"] for option in row["options"]])


#: Mode → the probability it gives each option.
_SHARES = {"letter": _letter_shares, "continuation": _continuation_shares}


def _calibration(mode: str, rows: Sequence[Row], seed: int) -> dict[str, Any] | None:
    """Does confidence track correctness? Continuation is looked at by its sums, whose pick may be another one."""
    asked = [row for row in rows if row["pick"] is not None]
    if not asked:
        return None
    shares = [_SHARES[mode](row) for row in asked]
    correct = [bool(row["correct"]) if mode == "letter" else _right(row, "sum") for row in asked]
    found = calibration.calibration(shares, [LETTERS.index(row["key"]) for row in asked], correct, seed)
    return found | ({"mean_mass": sum(row["mass"] for row in asked) / len(asked)} if mode == "letter" else {})


def _positions(rows: Sequence[Row], effect: float) -> dict[str, Any] | None:
    return position_bias(
        [
            Choice(
                LETTERS.index(row["pick"]),
                len(row["options"]),
                None if row["key"] is None else LETTERS.index(row["key"]),
            )
            for row in rows
            if row["pick"] is not None
        ],
        effect,
    )
