"""What a search found out: how far candidates lie apart, whether that is more than chance, and what the best is worth.

The best of many is chosen for its luck too, so its score on the questions it was chosen by is too high. It is therefore
chosen on one half of the questions and reported on the other.
"""

from __future__ import annotations

import math
import statistics as moments
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sagecraft.artifact import keyed_hash
from sagecraft.evaluation import statistics
from sagecraft.evaluation.compare import paired
from sagecraft.evaluation.resampling import bootstrap

_RESAMPLES = 2000
#: Values drawn at a time while permuting: about 64 MB.
_DRAWS_AT_A_TIME = 8_000_000
ALPHA = 0.05

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Scored:
    """A model and its rows of one mode.

    Attributes:
        name: what it is called.
        rows: of `items.jsonl`, each with its key.
        perplexity: of the text, if one was given.
        setting: of a candidate, the swept values as text.
        seed: of a candidate.
        digest: of the model's files; equal digests are one model.
    """

    name: str
    rows: Sequence[Row]
    perplexity: float | None = None
    setting: str = ""
    seed: int | None = None
    digest: str = ""

    @property
    def num_correct(self) -> int:
        """Questions it has right."""
        return sum(row["correct"] is True for row in self.rows)

    @property
    def accuracy(self) -> float:
        """Share of the questions."""
        return self.num_correct / len(self.rows)

    def facts(self) -> dict[str, Any]:
        """What results say of it."""
        return {
            "name": self.name,
            "n": len(self.rows),
            "accuracy": self.accuracy,
            "ci95": list(statistics.wilson(self.num_correct, len(self.rows))),
            **({} if self.perplexity is None else {"perplexity": self.perplexity}),
        }


def choose_best(candidates: Sequence[Scored]) -> int:
    """The highest accuracy; of equals the lowest perplexity, then the first."""
    order = [(-row.num_correct, row.perplexity or 0.0, index) for index, row in enumerate(candidates)]
    return min(order)[2]


def choose_median(candidates: Sequence[Scored]) -> int:
    """The middle one by accuracy (of two the lower): what a single merge without a search would give."""
    order = sorted(range(len(candidates)), key=lambda index: (candidates[index].num_correct, -index))
    return order[(len(order) - 1) // 2]


def spread(candidates: Sequence[Scored]) -> dict[str, Any]:
    """Mean, standard deviation and range of several accuracies, and what chance alone would make of them."""
    different = {row.digest: row for row in candidates}
    return {**_moments(candidates), "num_different": len(different), **_noise(list(different.values()))}


def by_setting(candidates: Sequence[Scored]) -> list[dict[str, Any]]:
    """The same for each setting, over its seeds; the interval is that of the questions, for the mean over seeds."""
    groups: dict[str, list[Scored]] = {}
    for row in candidates:
        groups.setdefault(row.setting, []).append(row)
    return [{"setting": name, **_moments(group), "ci95": list(_mean_interval(group))} for name, group in groups.items()]


def _moments(group: Sequence[Scored]) -> dict[str, Any]:
    values = [row.accuracy for row in group]
    perplexities = [row.perplexity for row in group if row.perplexity is not None]
    return {
        "num_candidates": len(group),
        "mean": math.fsum(values) / len(values),
        "sd": moments.stdev(values) if len(values) > 1 else None,
        "min": min(values),
        "max": max(values),
        **({"mean_perplexity": math.fsum(perplexities) / len(perplexities)} if perplexities else {}),
    }


def _mean_interval(group: Sequence[Scored]) -> tuple[float, float]:
    """95 % interval over questions of the mean accuracy over seeds."""
    columns = zip(*(row.rows for row in group), strict=True)
    shares = [sum(row["correct"] is True for row in column) / len(group) for column in columns]
    return bootstrap(shares, 0, clusters=statistics.articles_of(group[0].rows))


def _noise(candidates: Sequence[Scored]) -> dict[str, Any]:
    """Are these candidates equally good? Cochran's Q (Biometrika 37, 256, 1950) by permutation.

    If they are, it is chance which of them has a question right that some have wrong: the outcomes of each question (of
    each article, where questions name theirs) are dealt out anew among the candidates.

    Returns:
        p_value: share of deals in which the scores vary as much as they do. Then what equally good candidates show on
        these questions: `chance_range`, mean distance of best and worst, and `chance_lead`, mean lead of the best
        over the mean, which is how much too high the best of them looks.
    """
    if len(candidates) < 2:
        return {"p_value": 1.0, "chance_range": 0.0, "chance_lead": 0.0}
    import numpy as np

    num_items = len(candidates[0].rows)
    groups: dict[object, list[int]] = {}
    for index, cluster in enumerate(statistics.articles_of(candidates[0].rows) or range(num_items)):
        groups.setdefault(cluster, []).append(index)
    correct = np.array([[row["correct"] is True for row in one.rows] for one in candidates], dtype=np.int64)
    sums = np.array([correct[:, members].sum(axis=1) for members in groups.values()])  # (clusters, candidates)
    sums = sums[sums.min(axis=1) < sums.max(axis=1)]  # what all have alike stays as it is whoever gets it
    if not len(sums):
        return {"p_value": 1.0, "chance_range": 0.0, "chance_lead": 0.0}
    generator = np.random.Generator(np.random.PCG64(keyed_hash(0, "merge-spread", *sums.shape)))
    at_a_time = max(1, _DRAWS_AT_A_TIME // sums.size)
    totals = []
    for start in range(0, _RESAMPLES, at_a_time):
        deals = np.repeat(sums[None], min(at_a_time, _RESAMPLES - start), axis=0)
        totals.append(generator.permuted(deals, axis=2).sum(axis=1))
    dealt, observed = np.concatenate(totals), sums.sum(axis=0)
    # integers: a sum of squares is as good as a variance here, and no rounding makes equal ones differ
    as_far = (dealt**2).sum(axis=1) >= (observed**2).sum()
    return {
        "p_value": float((1 + as_far.sum()) / (1 + _RESAMPLES)),
        "chance_range": float((dealt.max(axis=1) - dealt.min(axis=1)).mean() / num_items),
        "chance_lead": float((dealt.max(axis=1) - dealt.mean(axis=1)).mean() / num_items),
    }


def against(best: Scored, others: Sequence[Scored]) -> list[dict[str, Any]]:
    """The best paired with each of the others on questions that did not choose it: exact McNemar, Holm over all."""
    results = [asdict(paired(other.rows, best.rows)) for other in others]
    adjusted = statistics.holm([result["p_value"] for result in results])
    return [
        {"than": other.name, **result, "p_holm": p, "significant": p < ALPHA}
        for other, result, p in zip(others, results, adjusted, strict=True)
    ]


def verdicts(found: Mapping[str, Any]) -> list[str]:
    """What it comes to, in sentences: the spread, the price of having chosen, the comparisons."""
    facts, best, confirmed = found["spread"], found["best"], found["confirm"]["models"][0]
    lines = [_spread_said(facts, best["n"])]
    if 1 < facts["num_different"] < facts["num_candidates"]:
        lines.append(
            f"Only {facts['num_different']} of the {facts['num_candidates']} candidates differ; the others repeat them "
            "byte for byte."
        )
    low, high = confirmed["ci95"]
    lines.append(
        f"{best['name']} was chosen for being best on {best['n']} questions ({100 * best['accuracy']:.1f} %), which is "
        f"optimistic: by luck alone the best of equals leads their mean by {100 * facts['chance_lead']:.1f} points. "
        f"Quote {100 * confirmed['accuracy']:.1f} % ({100 * low:.1f} to {100 * high:.1f}), from the {confirmed['n']} "
        "questions that had no part in choosing."
    )
    return [*lines, *map(_compared, found["confirm"]["pairs"])]


def _spread_said(facts: Mapping[str, Any], num_items: int) -> str:
    number, width = facts["num_candidates"], 100 * (facts["max"] - facts["min"])
    if facts["num_different"] == 1:
        return f"All {number} candidates are the same model, byte for byte: what was varied changes nothing."
    if not width:
        return f"All {number} candidates have equally many of the {num_items} questions right: these cannot tell them apart."
    chance = (
        f"{facts['num_different']} equally good ones differ by {100 * facts['chance_range']:.1f} on average on these "
        f"{num_items} questions (p = {facts['p_value']:.2g})"
    )
    if facts["p_value"] < ALPHA:
        return f"The {number} candidates differ by more than chance: best and worst by {width:.1f} points; {chance}."
    return (
        f"The spread lies within noise: best and worst of {number} candidates differ by {width:.1f} points, and "
        f"{chance}. These questions cannot tell the candidates apart; more questions, or perplexity, may."
    )


def _compared(pair: Mapping[str, Any]) -> str:
    if not pair["only_a"] + pair["only_b"]:
        return f"Against {pair['than']}: both have the same questions right."
    low, high = pair["ci95"]
    shown = "better" if pair["difference"] > 0 else "worse"
    return (
        f"Against {pair['than']}: {100 * pair['difference']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}), "
        f"p = {pair['p_holm']:.2g} after Holm's correction: "
        + (f"{shown}." if pair["significant"] else f"no difference shown; {_visible(pair['detectable'])}.")
    )


def _visible(detectable: float | None) -> str:
    if detectable is None:
        return "so few questions show none"
    return f"one of {100 * detectable:.1f} points would be"
