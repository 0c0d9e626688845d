"""The page of a search: what it comes to, how the candidates lie, how the best holds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation.statistics_page import interval, percent
from sagecraft.reporting import candidates as plots
from sagecraft.reporting.page import Page
from sagecraft.reporting.plots import differences

#: How sentences begin that must not be missed: nothing was found.
_PLAIN = ("The spread lies within noise", "All ", "Only ")


def render(found: Mapping[str, Any]) -> str:
    """`search.json` as HTML."""
    confirmed = found["confirm"]["models"][0]
    page = Page(
        f"{len(found['candidates'])} candidates of a merge",
        f"{found['method']} on {found['task']}, {found['mode']}",
    )
    page.metrics(
        [
            ("chosen", found["best"]["name"], "the best on the questions that choose"),
            (
                "accuracy",
                percent(confirmed["accuracy"]),
                f"95 % interval {interval(confirmed['ci95'])}, on {confirmed['n']} questions kept back",
            ),
            ("standard deviation", _points(found["spread"]["sd"]), "of the candidates' accuracies"),
        ]
    )
    for line in found["verdicts"]:
        page.note(line) if line.startswith(_PLAIN) else page.paragraph(line)
    _spread(page, found)
    _confirmed(page, found)
    page.heading("How this was measured")
    page.paragraph(
        f"Half of the questions ({found['best']['n']}) chose, the other half ({confirmed['n']}) was kept back and saw only the "
        "best, the base, the inputs and the median candidate; questions on one article are in the same half. Intervals of a "
        "single accuracy are Wilson's; those of means and differences are bootstraps over questions, or over articles where "
        "questions name theirs. Whether candidates differ is Cochran's Q by permutation; pairs are exact tests (McNemar's, "
        "or its form for articles) with Holm's correction."
    )
    page.links(
        [
            ("all figures", "search.json"),
            ("questions that chose", "select.jsonl"),
            ("questions kept back", "confirm.jsonl"),
        ]
    )
    return page.render()


def _points(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} points"


def _spread(page: Page, found: Mapping[str, Any]) -> None:
    """Candidates and settings on the half that chooses."""
    page.heading("Spread")
    candidates, settings = found["candidates"], found["settings"]
    with_text = "mean_perplexity" in found["spread"]
    if len(settings) > 1:
        scores = [[100 * row["accuracy"] for row in candidates if row["setting"] == s["setting"]] for s in settings]
        bounds = [_percents(s["ci95"]) for s in settings]
        caption = "Accuracy of each candidate (a dot) by setting, and the 95 % interval of the setting's mean"
        if len(found["sweep"]) == 1:
            values = found["sweep"][0]["values"]
            page.figure(plots.scores_over_values(values, scores, bounds, found["sweep"][0]["name"]), caption)
            if with_text:
                texts = [[row["perplexity"] for row in candidates if row["setting"] == s["setting"]] for s in settings]
                ends = [(min(group), max(group)) for group in texts]
                drawn = plots.scores_over_values(values, texts, ends, found["sweep"][0]["name"], "perplexity")
                page.figure(drawn, "Perplexity of the text; a line joins lowest and highest")
        else:
            _rows(page, [s["setting"] for s in settings], scores, bounds, None, caption)
        _settings(page, settings, with_text)
    else:
        chosen = [row["name"] for row in candidates].index(found["best"]["name"])
        scores = [[100 * row["accuracy"]] for row in candidates]
        caption = "Accuracy of each candidate with its 95 % interval; the dashed line is their mean, the chosen one is set off"
        names = [row["name"] for row in candidates]
        _rows(page, names, scores, [_percents(row["ci95"]) for row in candidates], chosen, caption)
    page.details("every candidate", lambda inner: _candidates(inner, candidates, with_text))


def _rows(
    page: Page,
    names: Sequence[str],
    scores: Sequence[Sequence[float]],
    bounds: Sequence[tuple[float, float]],
    chosen: int | None,
    caption: str,
) -> None:
    """A drawing of rows, in parts if they are many."""
    for start in range(0, len(names), plots.MAX_ROWS):
        part = slice(start, start + plots.MAX_ROWS)
        own = chosen - start if chosen is not None and 0 <= chosen - start < plots.MAX_ROWS else None
        page.figure(plots.scores_by_row(names[part], scores[part], bounds[part], own), caption)


def _percents(bounds: Sequence[float]) -> tuple[float, float]:
    return 100 * bounds[0], 100 * bounds[1]


def _settings(page: Page, settings: Sequence[Mapping[str, Any]], with_text: bool) -> None:
    columns = ["setting", "seeds", "mean accuracy", "95 % interval", "sd over seeds", "lowest", "highest"]
    rows = [
        [
            row["setting"],
            row["num_candidates"],
            percent(row["mean"]),
            interval(row["ci95"]),
            _points(row["sd"]),
            percent(row["min"]),
            percent(row["max"]),
            *([f"{row['mean_perplexity']:.2f}"] if with_text else []),
        ]
        for row in settings
    ]
    page.table([*columns, *(["mean perplexity"] if with_text else [])], rows)


def _candidates(page: Page, candidates: Sequence[Mapping[str, Any]], with_text: bool) -> None:
    columns = ["candidate", "questions", "accuracy", "95 % interval", *(["perplexity"] if with_text else []), "model"]
    rows = [
        [
            row["name"],
            row["n"],
            percent(row["accuracy"]),
            interval(row["ci95"]),
            *([f"{row['perplexity']:.2f}"] if with_text else []),
            row["model_digest"][:12],
        ]
        for row in candidates
    ]
    page.table(columns, rows)


def _confirmed(page: Page, found: Mapping[str, Any]) -> None:
    """The best beside the others on the half that was kept back."""
    models, pairs = found["confirm"]["models"], found["confirm"]["pairs"]
    page.heading("On the questions kept back")
    page.figure(
        differences(
            [model["role"] if model["role"] == "median candidate" else model["name"] for model in models[1:]],
            [-pair["difference"] for pair in pairs],
            [(-pair["ci95"][1], -pair["ci95"][0]) for pair in pairs],
            "the chosen one",
        ),
        f"Difference of each from the chosen {found['best']['name']}, with paired 95 % intervals",
    )
    with_text = "perplexity" in models[0]
    rows = [
        [
            model["name"],
            model["role"],
            percent(model["accuracy"]),
            interval(model["ci95"]),
            *([f"{model['perplexity']:.2f}"] if with_text else []),
        ]
        for model in models
    ]
    page.table(["model", "role", "accuracy", "95 % interval", *(["perplexity"] if with_text else [])], rows)
    columns = [
        "chosen against",
        "difference (points)",
        "95 % interval",
        "only it",
        "only chosen",
        "p",
        "p (Holm)",
        "visible from",
    ]
    page.table(
        columns,
        [
            [
                pair["than"],
                f"{100 * pair['difference']:+.1f}",
                interval(pair["ci95"]),
                pair["only_a"],
                pair["only_b"],
                f"{pair['p_value']:.3g}",
                f"{pair['p_holm']:.3g}",
                "–" if pair["detectable"] is None else f"{100 * pair['detectable']:.1f}",
            ]
            for pair in pairs
        ],
    )
