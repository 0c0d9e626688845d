"""The comparison stage: evaluations of several models on the items they share, tested in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.evaluation import power as sizes
from sagecraft.evaluation import resampling, statistics
from sagecraft.evaluation.agreement import agreement
from sagecraft.evaluation.compare_verdict import reference_of, verdict
from sagecraft.evaluation.compared import Evaluation, read, shared_ids, unlike
from sagecraft.evaluation.cost import Tokens, usd_per_100k_tokens
from sagecraft.reporting.score_plots import POINTS_PER_DECADE

VERSION = 3

Row = Mapping[str, Any]

#: What else an evaluation's results may say of how sure its accuracy is.
_SPREAD = ("ci95_by_article", "num_articles", "design_effect", "standard_error_by_article", "guessing")


class CompareConfig(BaseModel):
    """Which tests are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    modes: tuple[str, ...] = Field(
        default=(),
        description="modes whose items are compared: of each evaluation the first one that it has; by default the first "
        "mode of the first evaluation, which all must then have; all: each evaluation once a mode",
    )
    against: Literal["all", "first"] = Field(
        default="all", description="test every pair, or every model against the first only (fewer tests, more power)"
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="level of the tests after Holm's correction")
    power: float = Field(
        default=0.8, gt=0, lt=1, description="probability at which the smallest detectable difference is found"
    )
    num_resamples: int = Field(
        default=10_000, ge=100, description="bootstrap resamples: 10,000 settle an interval's ends to about 0.1 points"
    )
    seed: int = Field(default=0, description="key of the resamples")
    points_per_decade: float = Field(
        default=POINTS_PER_DECADE,
        gt=0,
        description="slope of the lines of equal value in the plot of accuracy against cost: percentage points that a "
        "price ten times as high is worth",
    )


@dataclass(frozen=True)
class PairedResult:
    """Two models on the same items.

    Attributes:
        n: items both answered.
        accuracy_a: share that the first has right, on these items.
        accuracy_b: of the second.
        difference: b − a.
        ci95: interval of the difference (`statistics.paired_interval`), by article where all items name theirs.
        ci95_bootstrap: the same by the paired percentile bootstrap; articles are drawn whole.
        standard_error: of the difference, cluster-robust where articles are named; None for a single item.
        only_a: items only the first has right.
        only_b: items only the second has right.
        both_right: items both have right.
        both_wrong: items neither has right.
        same_wrong: items on which both made the same wrong pick; None if the rows tell no picks.
        kappa: Cohen's kappa of the picks as letters; None if the rows tell no picks, or they never vary.
        p_value: two-sided, exact; what Holm's correction and the verdict are made from.
        test: which test that is: `mcnemar`, or `mcnemar_by_article` where articles are named.
        p_mcnemar: exact McNemar test as if items were independent.
        p_mid: the same with mid-p.
        design_effect: how far articles widen the difference's variance, at least 1; 1 without articles.
        detectable: the smallest true difference that this comparison finds with the power asked for; None if so few
            items, or articles, show none.
        items_needed: items at which a true difference of the size seen would be found with that power.
    """

    n: int
    accuracy_a: float
    accuracy_b: float
    difference: float
    ci95: tuple[float, float]
    ci95_bootstrap: tuple[float, float]
    standard_error: float | None
    only_a: int
    only_b: int
    both_right: int
    both_wrong: int
    same_wrong: int | None
    kappa: float | None
    p_value: float
    test: Literal["mcnemar", "mcnemar_by_article"]
    p_mcnemar: float
    p_mid: float
    design_effect: float
    detectable: float | None
    items_needed: int | None


def paired(
    items_a: Iterable[Row],
    items_b: Iterable[Row],
    *,
    seed: int = 0,
    num_resamples: int = 10_000,
    power: float = 0.8,
    alpha: float = 0.05,
) -> PairedResult:
    """Compares two models on the items they share; rows of `items.jsonl` of one mode each.

    Raises:
        UserError: no item in common, no key, or one id stands for two different questions.
    """
    pairs = _matched(items_a, items_b)
    differences = [int(b["correct"]) - int(a["correct"]) for a, b in pairs]
    only_a, only_b = differences.count(-1), differences.count(1)
    articles = statistics.articles_of([a for a, _ in pairs])
    effect = 1.0 if articles is None else max(1.0, resampling.design_effect(differences, articles) or 1.0)
    gathered = resampling.gather(differences, articles)
    # even if every article speaks for one side, 2 of the 2^G patterns of signs are as far from 0
    hopeless = articles is not None and 2.0 ** (1 - gathered.num_clusters) > alpha
    p_mcnemar = statistics.mcnemar(only_a, only_b)
    share = (only_a + only_b) / len(pairs)
    picks = all("pick" in row for pair in pairs for row in pair)
    alike = agreement([a for a, _ in pairs], [b for _, b in pairs]) if picks else {}
    both_right = sum(bool(a["correct"] and b["correct"]) for a, b in pairs)
    error = resampling.standard_error_of(gathered)
    return PairedResult(
        n=len(pairs),
        accuracy_a=sum(bool(a["correct"]) for a, _ in pairs) / len(pairs),
        accuracy_b=sum(bool(b["correct"]) for _, b in pairs) / len(pairs),
        difference=(only_b - only_a) / len(pairs),
        ci95=statistics.paired_interval(differences, articles),
        ci95_bootstrap=resampling.bootstrap_of(gathered, seed, "percentile", num_resamples=num_resamples),
        standard_error=error if math.isfinite(error) else None,
        only_a=only_a,
        only_b=only_b,
        both_right=both_right,
        both_wrong=len(pairs) - both_right - only_a - only_b,
        same_wrong=alike.get("same_wrong"),
        kappa=alike.get("kappa"),
        p_value=p_mcnemar if articles is None else statistics.mcnemar_by_cluster(differences, articles),
        test="mcnemar" if articles is None else "mcnemar_by_article",
        p_mcnemar=p_mcnemar,
        p_mid=statistics.mcnemar_mid_p(only_a, only_b),
        design_effect=effect,
        detectable=None if hopeless else sizes.detectable_paired(len(pairs), share, power, alpha, effect),
        items_needed=sizes.items_needed_paired((only_b - only_a) / len(pairs), share, power, alpha, effect),
    )


def _matched(items_a: Iterable[Row], items_b: Iterable[Row]) -> list[tuple[Row, Row]]:
    """The rows of the items that both have, in the order of the first."""
    by_id = {row["id"]: row for row in items_b}
    pairs = [(row, by_id[row["id"]]) for row in items_a if row["id"] in by_id]
    if not pairs:
        raise UserError("the two evaluations have no item in common; evaluate both on the same task")
    for a, b in pairs:
        if a.get("digest") != b.get("digest"):
            raise UserError(
                f"item {a['id']}: the two evaluations mean different questions by it; use the same task file"
            )
        if a["correct"] is None or b["correct"] is None:
            raise UserError(f"item {a['id']}: has no key; only keyed tasks can be compared")
    return pairs


def run(config: CompareConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Runs the stage: `inputs` are evaluations, in the order of their keys ("0", "1", …)."""
    order = sorted(inputs, key=lambda key: (not key.isdigit(), int(key) if key.isdigit() else 0, key))
    evaluations = read([inputs[key] for key in order], config.modes)
    if len(evaluations) < 2:
        raise UserError("compare: give at least two evaluations, or one of several modes with --mode all")
    with artifact.build(
        out, kind="comparison", stage="compare", version=VERSION, config=config, inputs=inputs
    ) as build:
        results = compare(evaluations, config)
        from sagecraft.evaluation import compare_tables
        from sagecraft.evaluation.compare_page import render
        from sagecraft.reporting import png

        artifact.write_json(build.path / "results.json", results)
        for name, text in compare_tables.tables(results, evaluations).items():
            artifact.write_text(build.path / name, text)
        artifact.write_text(build.path / "report.html", render(results, evaluations, config))
        png.write_figures(build.path / "report.html")
        build.stats.update(
            num_models=len(evaluations), num_pairs=len(results["pairs"]), verdict=" ".join(results["verdict"])
        )
    return build.manifest


def compare(evaluations: Sequence[Evaluation], config: CompareConfig) -> dict[str, Any]:
    """What `results.json` holds: the models, the tests of all pairs with Holm's correction, topics, the verdict."""
    ids, total = shared_ids(evaluations)
    models = [_model(evaluation, ids) for evaluation in evaluations]
    results: dict[str, Any] = {
        "mode": evaluations[0].results["mode"],
        "models": models,
        "pairs": _pairs(evaluations, config),
        "reference": reference_of(models, config.against),
        "shared": {"n": len(ids), "of": total},
        "unlike": unlike(evaluations),
        "by_topic": _by_topic(evaluations, ids),
    }
    return results | {"verdict": verdict(results, config.alpha)}


def _pairs(evaluations: Sequence[Evaluation], config: CompareConfig) -> list[dict[str, Any]]:
    chosen = [(a, b) for a, b in combinations(evaluations, 2) if config.against == "all" or a is evaluations[0]]
    tested = []
    for a, b in chosen:
        try:
            found = paired(
                a.rows,
                b.rows,
                seed=config.seed,
                num_resamples=config.num_resamples,
                power=config.power,
                alpha=config.alpha / len(chosen),  # where Holm's correction starts: found whatever the others show
            )
        except UserError as error:
            raise UserError(f"{a.name}, {b.name}: {error}") from error
        tested.append(found)
    adjusted = statistics.holm([result.p_value for result in tested])
    return [
        {"a": a.name, "b": b.name, **asdict(result), "p_holm": p, "significant": p < config.alpha}
        for (a, b), result, p in zip(chosen, tested, adjusted, strict=True)
    ]


def _model(evaluation: Evaluation, shared: Sequence[str]) -> dict[str, Any]:
    """What is told of one model: of its own questions, and of those that all models answered."""
    found, common = evaluation.summary, set(shared)
    right = [bool(row["correct"]) for row in evaluation.rows if row["id"] in common]
    cost, tokens = found["cost_usd"], found["tokens"]
    counted = Tokens.model_validate(tokens) if isinstance(tokens, dict) else None
    price = usd_per_100k_tokens(cost, counted)
    return {
        "name": evaluation.name,
        "mode": evaluation.results["mode"],
        "n": found["n"],
        "accuracy": found["accuracy"],
        "ci95": found["ci95"],
        **{name: found[name] for name in _SPREAD if found.get(name) is not None},
        "n_shared": len(right),
        "accuracy_shared": sum(right) / len(right) if right else None,
        "outcomes": found["outcomes"],
        "tokens": tokens,
        "num_uncounted": found.get("num_uncounted", 0),
        "cost_usd": cost,
        "usd_per_100k_tokens": "unknown" if price is None else price,
        "perplexity": evaluation.results.get("perplexity", {}),
        "settings": dict(evaluation.settings),
    }


def _by_topic(evaluations: Sequence[Evaluation], shared: Sequence[str]) -> list[dict[str, Any]]:
    """Accuracies by topic on the questions that all answered, the largest topics first; none for a single topic."""
    common, topics = set(shared), dict[str, list[dict[str, bool]]]()
    right = [{str(row["id"]): bool(row["correct"]) for row in evaluation.rows} for evaluation in evaluations]
    for row in evaluations[0].rows:
        if row.get("topic") and row["id"] in common:
            one = {e.name: found[str(row["id"])] for e, found in zip(evaluations, right, strict=True)}
            topics.setdefault(str(row["topic"]), []).append(one)
    if len(topics) < 2:
        return []
    order = sorted(topics.items(), key=lambda entry: (-len(entry[1]), entry[0]))
    return [
        {
            "topic": topic,
            "n": len(items),
            "accuracy": {e.name: sum(item[e.name] for item in items) / len(items) for e in evaluations},
        }
        for topic, items in order
    ]
