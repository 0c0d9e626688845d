"""What one evaluation shows, in the sentences that stand on top of its page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagecraft.evaluation.statistics_page import headline, interval, p_value, percent

#: Below this p-value an accuracy is told from guessing, and one mode from another.
LEVEL = 0.05

Mode = Mapping[str, Any]


def verdict(results: Mapping[str, Any]) -> str:
    """How good, against guessing; with thought; what could not be read; what it cost."""
    modes: Mapping[str, Mode] = results["modes"]
    first = results["mode"]
    sentences = [_accuracy(results, first, modes[first])]
    others = [f"{name} {percent(mode['accuracy'])}{_aside(mode)}" for name, mode in modes.items() if name != first]
    if others and modes[first]["accuracy"] is not None:
        sentences.append(f"In other modes: {', '.join(others)}.")
    sentences += [_thought(results["thinking_difference"])] if results.get("thinking_difference") else []
    return " ".join([*sentences, _silent(modes), _cost(results)])


def against_guessing(mode: Mode) -> str | None:
    """`better than guessing`, `worse than guessing`, `not told from guessing`; None where nothing is guessed."""
    guessing = mode.get("guessing")
    if guessing is None:
        return None
    if guessing["p_value"] >= LEVEL:
        return "not told from guessing"
    return f"{'better' if mode['accuracy'] > guessing['accuracy'] else 'worse'} than guessing"


def total_cost(results: Mapping[str, Any]) -> float | None:
    """USD of all modes together; None if it is not known."""
    costs = [mode["cost_usd"] for mode in results["modes"].values()]
    return None if any(isinstance(cost, str) for cost in costs) else sum(costs)


def is_priced(results: Mapping[str, Any]) -> bool:
    """Whether a cost of nothing is one: tokens have a price, or the device's hours do."""
    return bool(total_cost(results)) or any(mode.get("price") for mode in results["modes"].values())


def num_silent(mode: Mode) -> int:
    """Items without a readable answer, which count as not right."""
    return sum(count for outcome, count in mode["outcomes"].items() if outcome not in ("correct", "wrong", "unkeyed"))


def _accuracy(results: Mapping[str, Any], name: str, mode: Mode) -> str:
    if mode["accuracy"] is None:
        return (
            f"This set has no key, so how good {results['model']} is on its {mode['n']:,} questions is not known here: its "
            "picks are in predictions.csv for the keepers of the set."
        )
    told = (
        f"{results['model']} answers {percent(mode['accuracy'])} of {mode['n']:,} questions right "
        f"({name}, 95 % interval {interval(headline(mode))})"
    )
    guessing = mode.get("guessing")
    if guessing is None:
        return f"{told}."
    compared = {
        "better than guessing": "this is better than guessing",
        "worse than guessing": "this is worse than guessing",
        "not told from guessing": "this cannot be told from guessing",
    }[against_guessing(mode) or ""]
    return f"{told}: {compared}, which gives {percent(guessing['accuracy'])} ({p_value(guessing['p_value'])})."


def _aside(mode: Mode) -> str:
    found = against_guessing(mode)
    return "" if found is None else f" ({found})"


def _thought(found: Mapping[str, Any]) -> str:
    points = f"{abs(100 * found['difference']):.1f} points"
    if found["p_value"] >= LEVEL:
        return f"Thought makes no difference that this set shows ({points}, {p_value(found['p_value'])})."
    way = "more" if found["difference"] > 0 else "less"
    return f"With thought it is {points} {way} ({p_value(found['p_value'])})."


def _silent(modes: Mapping[str, Mode]) -> str:
    """Every question counts, so what has no answer is told where the accuracy is."""
    told = []
    for name, mode in modes.items():
        kinds = [f"{n:,} {kind}" for kind, n in mode["outcomes"].items() if kind not in ("correct", "wrong", "unkeyed")]
        if kinds:
            read = mode.get("accuracy_answered")
            rest = "" if read is None else f"; of those read, {percent(read)} are right"
            told.append(f"{num_silent(mode):,} of {mode['n']:,} in {name} ({', '.join(kinds)}{rest})")
    if not told:
        return "Every question has a readable answer."
    return f"Without a readable answer, and so not right: {'; '.join(told)}."


def _cost(results: Mapping[str, Any]) -> str:
    cost = total_cost(results)
    if cost is None:
        return "What it cost is not known."
    if not is_priced(results):
        return "No price is set for this device, so no cost is told."
    return f"It cost {cost:.4f} USD."
