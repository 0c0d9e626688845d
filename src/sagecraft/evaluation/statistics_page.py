"""The statistics of one mode, in words, tables and plots; docs/statistics.md explains each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.evaluation.tasks import LETTERS
from sagecraft.reporting import answer_plots

if TYPE_CHECKING:
    from sagecraft.reporting.page import Page

#: Below this p-value a preference for a position, or a difference of topics, is called one.
_LEVEL = 0.05


def percent(value: float | None) -> str:
    """A share as text."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(bounds: Sequence[float] | None) -> str:
    """An interval as text."""
    return "–" if bounds is None else f"{100 * bounds[0]:.1f} to {100 * bounds[1]:.1f}"


def p_value(value: float | None) -> str:
    """A p-value as text."""
    return "–" if value is None else "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def headline(mode: Mapping[str, Any]) -> tuple[float, float]:
    """The interval of a keyed mode or group to trust: by article where articles are named, else Wilson's."""
    low, high = mode.get("ci95_by_article") or mode["ci95"]
    return low, high


def uncertainty(mode: Mapping[str, Any]) -> list[str]:
    """Sentences on how sure the accuracy is, and what differences the set can show."""
    found = []
    if mode.get("ci95_by_article"):
        effect = mode["design_effect"]
        counted = (
            f"say as much as {mode['n'] / effect:,.0f} independent ones"
            if effect and effect > 1
            else "do not hang together"
        )
        found.append(
            f"The questions stand on {mode['num_articles']:,} articles and {counted}: 95 % interval "
            f"{interval(mode['ci95_by_article'])}, taken as independent {interval(mode['ci95'])}; bootstrap over articles "
            f"{interval(mode['ci95_bootstrap'])}."
        )
    if mode["num_answered"] < mode["n"]:
        found.append(
            f"{mode['n'] - mode['num_answered']:,} questions have no readable answer and count as not right; of those that "
            f"have one, {percent(mode['accuracy_answered'])} are right."
        )
    return [*found, *_power(mode["power"])]


def _power(power: Mapping[str, Any]) -> list[str]:
    shown = [row for row in power["paired"] if row["difference"] is not None]
    if not shown:
        return ["So few questions show no difference between models."]
    points = ", ".join(f"{100 * row['difference']:.1f} ({row['discordant_share']:.0%})" for row in shown)
    other = power["unpaired"]
    unpaired = "" if other is None else f" Of a model asked other questions: {100 * other:.1f} points."
    return [
        f"Power: of a model asked the same questions, this set shows (at {power['power']:.0%} power) differences from "
        f"{points} points, by the share of questions on which only one of the two is right.{unpaired}"
    ]


def topics(page: Page, mode: Mapping[str, Any]) -> None:
    """What must be known before the best and the worst of many topics are looked at."""
    count, test = len(mode["by_topic"]), mode.get("by_topic_test")
    if count < 2:
        return
    missed = 1 - 0.95**count
    text = (
        f"{count} topics are looked at: that at least one interval misses the truth has a chance of up to {missed:.0%} "
        "(the intervals in the last column hold for all at once). "
    )
    if test is not None:
        differ = (
            "topics differ by more than chance"
            if test["p_value"] < _LEVEL
            else "chance explains how far the topics differ"
        )
        text += f"Taken together, {differ} (χ² {test['chi_square']:.1f}, {p_value(test['p_value'])})."
    page.paragraph(text)


def calibration(page: Page, found: Mapping[str, Any]) -> None:
    """Reliability plot and the figures on it."""
    page.figure(
        answer_plots.reliability(found["bins"]),
        "Calibration: how often answers of a confidence are right, with 95 % intervals. Below the line: overconfident.",
    )
    null, parts = found["ece_if_calibrated"], found["brier_parts"]
    verdict = "more than" if null["p_value"] < _LEVEL else "no more than"
    side = "over" if found["confidence"] > found["accuracy"] else "under"
    text = (
        f"Calibration ({found['n']:,} answers): mean confidence {percent(found['confidence'])}, right "
        f"{percent(found['accuracy'])}. ECE {found['ece']:.3f} is {verdict} a calibrated model would show by chance "
        f"({null['mean']:.3f}, up to {null['upper95']:.3f}; {p_value(null['p_value'])})"
        + (f"; the model is {side}confident" if null["p_value"] < _LEVEL else "")
        + f". Without most of that bias, over bins of equal mass: {found['ece_debiased']:.3f}. "
        f"Brier score {found['brier']:.3f} (equal shares: {found['brier_guessing']:.3f}). "
        f"Of the pick alone {parts['score']:.3f} = reliability {parts['reliability']:.3f} − resolution "
        f"{parts['resolution']:.3f} + uncertainty {parts['uncertainty']:.3f} + within bins {parts['within_bins']:+.3f}."
    )
    if found["discrimination"] is not None:
        text += f" A right answer has more confidence than a wrong one in {percent(found['discrimination'])} of cases."
    if "mean_mass" in found:
        text += f" On average {found['mean_mass']:.1%} of the next token's probability falls on a letter."
    page.paragraph(text)


def positions(page: Page, bias: Mapping[str, Any]) -> None:
    """Picks by position, and whether they are those of a model without a preference."""
    rows = bias["positions"]
    letters = [LETTERS[row["position"]] for row in rows]
    page.figure(
        answer_plots.positions(letters, [row["picks"] for row in rows], [row["expected"] for row in rows]),
        "Picks by position, and those of a model as good that prefers none.",
    )
    if bias["p_value"] is None:
        return
    most = max(rows, key=lambda row: row["picks"] - row["expected"])
    if bias["p_value"] < _LEVEL:
        extra = 100 * (most["picks"] - most["expected"]) / bias["n"]
        text = f"Position bias: {LETTERS[most['position']]} is picked {extra:.1f} points more often than without a preference"
    else:
        text = "No position bias is shown"
    text += f" (χ² {bias['chi_square']:.1f}, {bias['degrees']} degrees of freedom, {p_value(bias['p_value'])})."
    if "recall_spread" in bias:
        recalls = ", ".join(f"{letter} {percent(row['recall'])}" for letter, row in zip(letters, rows, strict=True))
        text += f" Right where the key is: {recalls} (spread {100 * bias['recall_spread']:.1f} points)."
    page.paragraph(text)


def permutations(found: Mapping[str, Any]) -> str:
    """What other orders of the options say, in words."""
    text = (
        f"Asked {found['num_presentations']:,} times with the options in several orders, {percent(found['consistency'])} "
        f"of {found['n']:,} questions get the same option in every order"
    )
    if found["num_unread"]:
        text += f" ({found['num_unread']:,} replies could not be read, and agree with none)"
    text += "."
    if "accuracy" in found:
        text += (
            f" Mean over orders: {percent(found['accuracy'])} right (95 % {interval(found['ci95'])}); by majority of "
            f"orders {percent(found['accuracy_majority'])}; right in every order {percent(found['share_all_right'])}."
        )
    return text


def agreement(page: Page, pairs: Sequence[Mapping[str, Any]]) -> None:
    """Modes on the same items, two by two."""
    if not pairs:
        return
    keyed = all("both_right" in pair for pair in pairs)
    columns = ["mode a", "mode b", "same pick", "kappa", "95 % interval"]
    columns += ["both right", "only a", "only b", "both wrong", "same wrong pick"] if keyed else []
    rows = []
    for pair in pairs:
        bounds = pair.get("kappa_ci95")
        kappa = ["–", "–"] if bounds is None else [f"{pair['kappa']:.2f}", f"{bounds[0]:.2f} to {bounds[1]:.2f}"]
        table = [pair[name] for name in ("both_right", "only_a", "only_b", "both_wrong", "same_wrong")] if keyed else []
        rows.append([pair["a"], pair["b"], percent(pair["agreement"]), *kappa, *table])
    page.table(
        columns,
        rows,
        caption="Agreement of the modes on the same questions (kappa: 1 is full, 0 that of two who guess)",
    )
