"""How far two sets of picks on the same items agree: two modes of one model, or two models."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

from sagecraft.evaluation.distributions import normal_quantile
from sagecraft.evaluation.statistics import mcnemar

Row = Mapping[str, Any]


def cohens_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> tuple[float | None, float | None]:
    """Agreement beyond chance (Cohen, Educ. Psychol. Meas. 20, 37, 1960), and its standard error.

    1 is full agreement, 0 what two independent pickers with these habits reach. The error is that of large samples
    (Fleiss, Cohen and Everitt, Psychol. Bull. 72, 323, 1969).

    Returns:
        (None, None) if chance agrees fully, that is if both always pick one and the same.
    """
    total = len(first)
    if total == 0:
        raise ValueError("no picks")
    cells = Counter(zip(first, second, strict=True))
    rows, columns = Counter(first), Counter(second)
    agreed = sum(count for (a, b), count in cells.items() if a == b) / total
    chance = sum(rows[name] * columns[name] for name in rows) / total**2
    if chance == 1:
        return None, None
    kappa = (agreed - chance) / (1 - chance)
    on = math.fsum(
        count / total * (1 - (rows[a] + columns[a]) / total * (1 - kappa)) ** 2
        for (a, b), count in cells.items()
        if a == b
    )
    off = math.fsum(count / total * ((columns[a] + rows[b]) / total) ** 2 for (a, b), count in cells.items() if a != b)
    variance = on + (1 - kappa) ** 2 * off - (kappa - chance * (1 - kappa)) ** 2
    return kappa, math.sqrt(max(0.0, variance) / total) / (1 - chance)


def agreement(rows_a: Sequence[Row], rows_b: Sequence[Row]) -> dict[str, Any]:
    """Compares the picks of two sets of rows on the items they share (rows of `items.jsonl`: `id`, `pick`, `correct`).

    An item without a pick (unreadable, refused, failed) agrees with nothing, not even with another one.

    Returns:
        `n`; `num_same`, the items on which both made the same pick, and `agreement`, their share; `kappa` of the picks
        as letters with `kappa_ci95`; and, if keyed, the table `both_right`, `only_a`, `only_b`, `both_wrong`, with
        `same_wrong`, the items on which both made the same wrong pick.
    """
    by_id = {row["id"]: row for row in rows_b}
    pairs = [(row, by_id[row["id"]]) for row in rows_a if row["id"] in by_id]
    if not pairs:
        return {"n": 0}
    same = [a["pick"] is not None and a["pick"] == b["pick"] for a, b in pairs]
    kappa, error = cohens_kappa([a["pick"] or "no a" for a, _ in pairs], [b["pick"] or "no b" for _, b in pairs])
    reach = normal_quantile(0.975) * error if error else None  # without an error there is no saying
    found: dict[str, Any] = {
        "n": len(pairs),
        "num_same": sum(same),
        "agreement": sum(same) / len(pairs),
        "kappa": kappa,
        "kappa_ci95": None if kappa is None or reach is None else [max(-1.0, kappa - reach), min(1.0, kappa + reach)],
    }
    if any(a["correct"] is None or b["correct"] is None for a, b in pairs):
        return found
    table = Counter((bool(a["correct"]), bool(b["correct"])) for a, b in pairs)
    wrong = sum(alike and not a["correct"] for alike, (a, _) in zip(same, pairs, strict=True))
    return found | {
        "both_right": table[True, True],
        "only_a": table[True, False],
        "only_b": table[False, True],
        "both_wrong": table[False, False],
        "same_wrong": wrong,
    }


def between(rows_by_name: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """`agreement` of every two modes (or models), each with its names `a` and `b`; keyed ones with McNemar's p-value.

    The p-values are not corrected for being several: between modes of one model they describe, and decide nothing.
    """
    found = []
    for a, b in combinations(rows_by_name, 2):
        row = {"a": a, "b": b, **agreement(rows_by_name[a], rows_by_name[b])}
        if "only_a" in row:
            row["p_value"] = mcnemar(row["only_a"], row["only_b"])
        found.append(row)
    return found
