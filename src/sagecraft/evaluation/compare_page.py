"""The page of a comparison: who is ahead and what it costs, then the plots, then models, pairs and every question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.evaluation import compare_tables
from sagecraft.evaluation.compare_verdict import cut, listed, ordered, unanswered, usd, versus
from sagecraft.evaluation.statistics_page import headline, interval, percent
from sagecraft.reporting import answer_plots, heat_maps, plots, score_plots
from sagecraft.reporting.page import Page

if TYPE_CHECKING:
    from sagecraft.evaluation.compare import CompareConfig
    from sagecraft.evaluation.compared import Evaluation

#: Of more models a matrix has room for whole points only, and only for those that count.
_MAX_WRITTEN = 10
_MAX_TOPICS = 24
#: Points of a lead up to which its colour is not the darkest, however small all others are.
_PALE = 5.0

Results = Mapping[str, Any]


def render(results: Results, evaluations: Sequence[Evaluation], config: CompareConfig) -> str:
    """The page as HTML.

    Args:
        results: what `compare.compare` returns.
        evaluations: what was compared, for the list of questions.
        config: levels of the tests, and the slope of the lines of equal value.
    """
    models = ordered(results["models"])
    page = Page(f"{len(models)} models compared", _subtitle(results))
    page.note(" ".join(results["verdict"]))
    for sentence in _cautions(results):
        page.note(sentence)
    _summary(page, models)
    _leads(page, results, models)
    _cost(page, models, config.points_per_decade)
    _outcomes(page, models)
    _topics(page, results, models)
    page.heading("Models")
    page.paragraph("A heading sorts; a model opens to how it was measured and what became of its answers.")
    page.browser(compare_tables.model_list(results))
    page.heading("Pairs")
    page.paragraph(_explanation(results, config.alpha, config.power))
    page.browser(compare_tables.pair_list(results))
    _agreement(page, results, models)
    page.heading("Questions")
    page.paragraph(_questions(compare_tables.reply_room(evaluations)))
    page.browser(compare_tables.item_list(evaluations))
    tables = [(name, f"{name}.csv") for name in ("models", "pairs", "items")]
    page.links([*((f"{name} as a table", file) for name, file in tables), ("all figures", "results.json")])
    return page.render()


def _questions(room: int) -> str:
    replies = f", and the first {room:,} characters of what each wrote" if room else ""
    return (
        f"Choose “only …” to see what one model alone has right, outcomes of single models, or a topic. A question opens to "
        f"its options, who picked which{replies}. All that a model saw and said, its thoughts too, stands on the page of its "
        "own evaluation and in the items.jsonl beside it."
    )


def _subtitle(results: Results) -> str:
    modes = dict.fromkeys(m["mode"] for m in results["models"])
    shared = results["shared"]
    asked = f"{shared['n']:,} questions" if shared["n"] == shared["of"] else f"{shared['n']:,} questions in common"
    return f"{asked}, mode {' and '.join(modes)}"


def _cautions(results: Results) -> list[str]:
    """What was not the same for all models."""
    found, shared = [], results["shared"]
    if shared["n"] < shared["of"]:
        own = [f"{m['name']} {m['n']:,}" for m in results["models"]]
        found.append(
            f"Not all models answered the same questions: {shared['n']:,} of {shared['of']:,} were answered by all ("
            f"{', '.join(own)}). Each pair is tested on the questions that both answered; an accuracy is that of a model's "
            "own questions, topics are of those that all answered."
        )
    if results["unlike"]:
        said = [
            f"{row['setting']} ({'; '.join(f'{value}: {listed(names)}' for value, names in row['values'].items())})"
            for row in results["unlike"]
        ]
        found.append(f"Not measured alike: {', '.join(said)}. A difference may be one of these, not of the models.")
    return found


def _summary(page: Page, models: Sequence[Mapping[str, Any]]) -> None:
    fewer = any(m["n_shared"] not in (0, m["n"]) for m in models)
    columns = ["model", "accuracy", "95 % interval", *(["in common"] if fewer else []), "questions", "no answer"]
    rows = [
        [
            cut(m["name"]), percent(m["accuracy"]), interval(headline(m)),
            *([percent(m["accuracy_shared"])] if fewer else []),
            m["n"], unanswered(m), _most(m, "cost_usd"), _most(m, "usd_per_100k_tokens"),
        ]
        for m in models
    ]  # fmt: skip
    columns += ["USD, run", "USD, 0.1 M tokens"]
    page.table(columns, rows, numeric=[False] + [True] * (len(columns) - 1))


def _most(model: Mapping[str, Any], key: str) -> str:
    """A cost; where replies came without a count of tokens it is the most that it can be."""
    at_most = "at most " if model["num_uncounted"] and not isinstance(model[key], str) else ""
    return at_most + usd(model[key]).removesuffix(" USD")


def _leads(page: Page, results: Results, models: Sequence[Mapping[str, Any]]) -> None:
    rows = versus(results)
    shown = [pair["significant"] for *_, pair in rows]
    page.figure(
        plots.differences(
            [name for name, *_ in rows],
            [difference for _, difference, _, _ in rows],
            [ends for _, _, ends, _ in rows],
            results["reference"],
            shown,
        ),
        f"Paired differences from {results['reference']}, on the same questions, with 95 % intervals. "
        + ("Full dots are more than chance after Holm's correction, empty ones are not." if any(shown) else "None is more than chance."),
    )  # fmt: skip
    page.figure(
        plots.accuracy_bars(
            [m["name"] for m in models],
            [m["accuracy"] for m in models],
            [headline(m) for m in models],
            next((m["guessing"]["accuracy"] for m in models if m.get("guessing")), None),
        ),
        "Accuracy with 95 % intervals. Intervals that overlap say little: the models answered the same questions, "
        "so the paired differences decide.",
    )


def _cost(page: Page, models: Sequence[Mapping[str, Any]], points_per_decade: float) -> None:
    """Accuracy against both costs, and a note on whom the plots cannot show."""
    alike = len({m["n"] for m in models}) == 1
    axes = [("usd_per_100k_tokens", "USD for 0.1 million tokens, as mixed here (logarithmic)")]
    if alike:  # else the run that asked less would look cheap
        axes.insert(0, ("cost_usd", "USD for the run (logarithmic)"))
    drawn = False
    for key, label in axes:
        priced = [m for m in models if not isinstance(m[key], str) and m[key] > 0]
        if len(priced) > 1:  # one alone says no more than the table
            points = [(m["name"], m[key], m["accuracy"], headline(m)) for m in priced]
            page.figure(
                score_plots.cost_value(points, points_per_decade, label),
                f"Accuracy against {label.partition(' (')[0]}. {score_plots.caption(points, points_per_decade)}",
            )
            drawn = True
    unknown = [m["name"] for m in models if isinstance(m["cost_usd"], str)]
    free = [m["name"] for m in models if m["cost_usd"] == 0]
    said = [f"that of {listed(unknown)} is unknown (no price, or tokens that were not counted)"] if unknown else []
    if free:
        said.append(f"{listed(free)} cost nothing by the prices configured (see --device-usd-per-hour)")
    if not alike:
        said.append("the models answered different numbers of questions, so that costs of runs do not compare")
    if said:
        page.paragraph(f"{'Of costs' if drawn else 'No costs are plotted'}: {'; '.join(said)}.")


def _outcomes(page: Page, models: Sequence[Mapping[str, Any]]) -> None:
    counted = [m for m in models if sum(m["outcomes"].values())]
    if counted:
        page.figure(
            answer_plots.outcomes([m["name"] for m in counted], [m["outcomes"] for m in counted]),
            "What became of the answers. All but correct ones count as not right.",
        )


def _topics(page: Page, results: Results, models: Sequence[Mapping[str, Any]]) -> None:
    topics = results["by_topic"][:_MAX_TOPICS]
    if not topics:
        return
    names = [m["name"] for m in models]
    values = [[100 * row["accuracy"][name] for name in names] for row in topics]
    ends = [value for line in values for value in line]
    more = len(results["by_topic"]) - len(topics)
    page.figure(
        heat_maps.heat_map(
            [f"{_cut(row['topic'])} ({row['n']:,})" for row in topics],
            [str(number) for number in range(1, len(names) + 1)],
            values,
            "accuracy (%)",
            limits=(min(ends), max(ends)),
            texts=[[f"{value:.0f}" for value in line] for line in values],
        ),
        f"Accuracy by topic (number of questions) and model: {_numbered(names)}. A topic of 100 questions has an interval "
        f"of about 10 points either way.{f' The {_MAX_TOPICS} largest topics; results.json has all.' if more else ''}",
    )


def _cut(topic: str) -> str:
    """A topic of which the number behind it is still written (`plots` cuts labels at 30 characters)."""
    text = " ".join(topic.split())
    return text if len(text) <= 20 else text[:19].rstrip() + "…"


def _numbered(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {cut(name)}" for number, name in enumerate(names, start=1))


def _explanation(results: Results, alpha: float, power: float) -> str:
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
        "Differences (b − a), their 95 % intervals and “visible from” are percentage points. “Visible from” is the smallest "
        f"true difference that would be found, after the correction, with a probability of {power:g}: what is smaller may "
        "exist and cannot be seen here. “Items needed” is how many would show a true difference of the size seen. Intervals "
        "are not corrected for there being several."
    )


def _agreement(page: Page, results: Results, models: Sequence[Mapping[str, Any]]) -> None:
    """Matrices of differences and of kappa, where every pair was tested."""
    names, pairs = [m["name"] for m in models], {}
    for pair in results["pairs"]:
        pairs[pair["a"], pair["b"]], pairs[pair["b"], pair["a"]] = (pair, -1), (pair, 1)
    if len(names) < 3 or len(pairs) < len(names) * (len(names) - 1):
        return
    rows, columns = [f"{n} {name}" for n, name in enumerate(names, start=1)], [str(n + 1) for n in range(len(names))]
    leads = [[None if a == b else 100 * pairs[a, b][1] * pairs[a, b][0]["difference"] for b in names] for a in names]
    reach = max(_PALE, *(abs(value) for line in leads for value in line if value is not None))
    sure = [[a != b and pairs[a, b][0]["significant"] for b in names] for a in names]
    texts = [
        [_lead(value, shown, len(names)) for value, shown in zip(*lines, strict=True)]
        for lines in zip(leads, sure, strict=True)
    ]
    stars = "a star: more than chance" if len(names) <= _MAX_WRITTEN else "written where it is more than chance"
    page.figure(
        heat_maps.heat_map(rows, columns, leads, "row − column (points)", limits=(-reach, reach), two_ways=True, texts=texts),
        f"Lead of each row over each column, in points ({stars}).",
    )  # fmt: skip
    kappas = [[None if a == b else pairs[a, b][0]["kappa"] for b in names] for a in names]
    if any(value is not None for line in kappas for value in line):
        written = [["" if value is None else f"{value:.2f}".removeprefix("0") for value in line] for line in kappas]
        low = min(0.0, *(value for line in kappas for value in line if value is not None))
        page.figure(
            heat_maps.heat_map(rows, columns, kappas, "kappa of picks", limits=(low, 1.0), texts=written),
            "Agreement of picks beyond chance: 1 is full. Models that agree where both are wrong share a source of error.",
        )


def _lead(value: float | None, shown: bool, count: int) -> str:
    if value is None or (not shown and count > _MAX_WRITTEN):
        return ""
    value += 0.0  # never "−0.0"
    text = f"{value:+.1f}{'*' if shown else ''}" if count <= _MAX_WRITTEN else f"{value:+.0f}"
    return text.replace("-", "\N{MINUS SIGN}")
