"""The page of a comparison: accuracies, then every pair with its test, then what the pairs have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagecraft.evaluation.report import money
from sagecraft.evaluation.statistics_page import headline, interval, percent
from sagecraft.reporting import plots, score_plots
from sagecraft.reporting.page import Page


def render(results: Mapping[str, Any], alpha: float, power: float, points_per_decade: float) -> str:
    """The page as HTML.

    Args:
        results: what `compare.compare` returns.
        alpha: level of the tests after correction.
        power: of the smallest detectable differences.
        points_per_decade: slope of the lines of equal value, percentage points for a price ten times as high.
    """
    models, pairs = results["models"], results["pairs"]
    page = Page(f"{len(models)} models compared", f"mode {results['mode']}")
    page.table(
        ["model", "questions", "accuracy", "95 % interval", "no answer", "cost (USD)"],
        [
            [m["name"], m["n"], percent(m["accuracy"]), interval(headline(m)), _no_answer(m), money(m["cost_usd"])]
            for m in models
        ],
    )
    page.figure(
        plots.accuracy_bars(
            [m["name"] for m in models], [m["accuracy"] for m in models], [headline(m) for m in models]
        ),
        "Accuracy with 95 % intervals. Intervals that overlap say little: the models answered the same questions, "
        "so the table of pairs decides.",
    )
    priced = [m for m in models if isinstance(m["cost_usd"], float) and m["cost_usd"] > 0]
    if priced:
        points = [(m["name"], m["cost_usd"], m["accuracy"], headline(m)) for m in priced]
        best = ", ".join(name for name, *_ in score_plots.pareto_front(points))
        page.figure(
            score_plots.cost_value(points, points_per_decade),
            f"Accuracy against the cost of this evaluation. Dashed, the Pareto front ({best}): no other is as good for less. "
            f"Grey, lines of equal value: a price ten times as high for {points_per_decade:g} points.",
        )
    page.heading("Pairs")
    page.paragraph(_explanation(results, alpha, power))
    columns = [
        "a",
        "b",
        "items",
        "b − a (points)",
        "95 % interval",
        "p",
        "p (Holm)",
        "verdict",
        "visible from",
        "items needed",
    ]
    page.table(columns, [_test(pair) for pair in pairs])
    page.details("Where the pairs agree, and the tests that decide nothing", lambda inner: _agreement(inner, results))
    page.links([("all figures", "results.json")])
    return page.render()


def _no_answer(model: Mapping[str, Any]) -> int:
    """Items without a readable answer: they count as not right."""
    return sum(count for outcome, count in model["outcomes"].items() if outcome not in ("correct", "wrong"))


def _explanation(results: Mapping[str, Any], alpha: float, power: float) -> str:
    pairs = results["pairs"]
    by_article = sum(pair["test"] == "mcnemar_by_article" for pair in pairs)
    test = "Exact two-sided McNemar tests on the items both answered"
    if by_article:
        test += (
            f"; where questions name their articles ({by_article} of {len(pairs)} pairs), the signs of whole articles are "
            "flipped, since questions on one article stand or fall together"
        )
    return (
        f"{test}. Holm's correction for {len(pairs)} tests: a difference counts where the corrected p is below {alpha:g}. "
        f"“Visible from” is the smallest true difference that would be found, after the correction, with a probability of "
        f"{power:g}: what is smaller may exist and cannot be seen here. “Items needed” is how many would show a true "
        "difference of the size seen. Intervals are not corrected for there being several."
    )


def _test(pair: Mapping[str, Any]) -> list[str | int | None]:
    better = pair["b"] if pair["difference"] > 0 else pair["a"]
    return [
        pair["a"],
        pair["b"],
        pair["n"],
        f"{100 * pair['difference']:+.1f}",
        interval(pair["ci95"]),
        f"{pair['p_value']:.3g}",
        f"{pair['p_holm']:.3g}",
        f"{better} is better" if pair["significant"] else "no difference shown",
        None if pair["detectable"] is None else f"{100 * pair['detectable']:.1f}",
        pair["items_needed"],
    ]


def _agreement(page: Page, results: Mapping[str, Any]) -> None:
    counts = ["both right", "only a", "only b", "both wrong", "same wrong pick", "kappa of picks"]
    tests = ["McNemar", "mid-p", "design effect", "bootstrap interval"]
    rows = [
        [
            pair["a"],
            pair["b"],
            pair["both_right"],
            pair["only_a"],
            pair["only_b"],
            pair["both_wrong"],
            pair["same_wrong"],
            None if pair["kappa"] is None else f"{pair['kappa']:.2f}",
            f"{pair['p_mcnemar']:.3g}",
            f"{pair['p_mid']:.3g}",
            f"{pair['design_effect']:.2f}",
            interval(pair["ci95_bootstrap"]),
        ]
        for pair in results["pairs"]
    ]
    page.table(["a", "b", *counts, *tests], rows)
    page.paragraph(
        "McNemar's test here takes every question as independent; mid-p is its less cautious form. A design effect of 2 "
        "says that the articles double the variance of the difference."
    )
