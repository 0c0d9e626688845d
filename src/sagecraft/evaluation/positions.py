"""Position bias: does a model prefer a letter, whatever stands there? And scores that allow for it.

`position_bias` looks at single answers; `over_permutations` at the same questions asked with their options in several
orders. Plain numbers in and out; positions and options count from 0.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagecraft.evaluation import resampling, statistics
from sagecraft.evaluation.distributions import chi_square_tail, t_quantile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """One answer, as the options stood before the model.

    Attributes:
        pick: position picked.
        num_options: how many there were.
        key: position of the right option; None if the set has no key.
    """

    pick: int
    num_options: int
    key: int | None = None


def position_bias(choices: Sequence[Choice], design_effect: float = 1.0) -> dict[str, Any] | None:
    """How picks are spread over positions, and how an unbiased model's would be.

    An unbiased model of accuracy a picks the position of the key with probability a and each other one with
    (1 − a) / (k − 1). Its expected picks follow the key's positions as far as it is right; comparing picks with 1/k,
    or with the key's shares, would call a good model biased on a set whose key is not balanced.

    Args:
        choices: of the items with a pick; either all are keyed, or none is (then each position is expected alike).
        design_effect: χ² is divided by it if above 1 (items that hang together; Rao and Scott, 1981).

    Returns:
        None without choices. `n`; for each position in `positions`: `picks`, `expected`, and if keyed `keys`, `right`
        (answers there that were right), `recall` (accuracy where the key stands there) and `recall_ci95` (Wilson);
        `recall_spread`, the standard deviation of recalls (RStd of arXiv:2309.03882); `chi_square`, `degrees`,
        `p_value` of the test of no bias (None where nothing can vary).
    """
    import numpy as np

    if not choices:
        return None
    width = max(choice.num_options for choice in choices)
    keyed = choices[0].key is not None
    if any((choice.key is not None) != keyed for choice in choices):
        raise ValueError("either all choices have a key, or none")
    expected, covariance = np.zeros(width), np.zeros((width, width))
    for num_options in sorted({choice.num_options for choice in choices}):
        group = [choice for choice in choices if choice.num_options == num_options]
        mean, spread = _keyed_moments(group, num_options) if keyed else _plain_moments(len(group), num_options)
        expected[:num_options] += mean
        covariance[:num_options, :num_options] += spread
    picks = np.bincount([choice.pick for choice in choices], minlength=width)
    found: dict[str, Any] = {"n": len(choices), "positions": _positions(choices, picks, expected, keyed)}
    if keyed:
        recalls = [row["recall"] for row in found["positions"] if row["recall"] is not None]
        found["recall_spread"] = float(np.std(recalls))
    return found | _test(picks - expected, covariance * max(1.0, design_effect))


def _positions(
    choices: Sequence[Choice], picks: NDArray[np.int64], expected: NDArray[np.float64], keyed: bool
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for position, count in enumerate(picks.tolist()):
        row: dict[str, Any] = {"position": position, "picks": count, "expected": float(expected[position])}
        if keyed:
            keys = [choice for choice in choices if choice.key == position]
            right = sum(choice.pick == position for choice in keys)
            row |= {"keys": len(keys), "right": right, "recall": right / len(keys) if keys else None}
            row["recall_ci95"] = list(statistics.wilson(right, len(keys))) if keys else None
        rows.append(row)
    return rows


def _plain_moments(num_items: int, num_options: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of picks that are uniform over the options."""
    import numpy as np

    share = np.full(num_options, 1 / num_options)
    return num_items * share, num_items * (np.diag(share) - np.outer(share, share))


def _keyed_moments(group: Sequence[Choice], num_options: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of an unbiased model's picks, given how many it has right and where the keys stand.

    Which items are right is drawn without replacement (the hypergeometric covariance of right answers by the key's
    position); a wrong pick is uniform over the other positions.
    """
    import numpy as np

    total = len(group)
    keys = np.bincount([choice.key for choice in group if choice.key is not None], minlength=num_options)
    right = sum(choice.pick == choice.key for choice in group)
    share = right / total
    wrong = (1 - np.eye(num_options)) / (num_options - 1)  # row: key's position, column: where a wrong pick falls
    mean = share * keys + (1 - share) * (keys @ wrong)
    which = share * (1 - share) * total / max(1, total - 1) * (np.diag(keys) - np.outer(keys, keys) / total)
    moves = np.eye(num_options) - wrong
    where = (1 - share) * (np.diag(keys @ wrong) - (wrong.T * keys) @ wrong)
    return mean, moves.T @ which @ moves + where


def _test(excess: NDArray[np.float64], covariance: NDArray[np.float64]) -> dict[str, Any]:
    import numpy as np

    degrees = int(np.linalg.matrix_rank(covariance, hermitian=True)) if covariance.any() else 0
    if degrees == 0:
        return {"chi_square": None, "degrees": 0, "p_value": None}
    statistic = float(excess @ np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ excess)
    return {"chi_square": statistic, "degrees": degrees, "p_value": chi_square_tail(statistic, degrees)}


@dataclass(frozen=True)
class Presentation:
    """One question asked once, its options in some order.

    Attributes:
        item: the question's id.
        order: `order[position]` is the option that stood there.
        pick: position picked; None if no pick could be read.
        key: the right option; None if the set has no key.
        article: where the question comes from, if known.
    """

    item: str
    order: tuple[int, ...]
    pick: int | None
    key: int | None = None
    article: str = ""

    @property
    def option(self) -> int | None:
        """The option picked, wherever it stood."""
        return None if self.pick is None else self.order[self.pick]

    @property
    def right(self) -> bool:
        """Whether the right option was picked."""
        return self.option is not None and self.option == self.key


def over_permutations(presentations: Sequence[Presentation]) -> dict[str, Any]:
    """What several orders of the options say about the same questions.

    With all cyclic orders of a question its right option stands once at each position, so a preference for a position
    cannot add to the mean over orders.

    Returns:
        `n` items, `num_presentations`, `num_unread`; `consistency`, the share of items whose pick is the same option
        in every order, and `pair_agreement`, the share of pairs of orders of one item that agree (an unread pick
        agrees with nothing); `bias`, the `position_bias` of the presentations that were read; and, if keyed,
        `accuracy` (mean over orders, then over items) with `standard_error` and `ci95` (by article where all are
        named, else by item), `accuracy_majority` (the option picked most often; t that tie count 1/t),
        `share_all_right`, `share_none_right`.

    Raises:
        ValueError: nothing given, or an `order` is no permutation.
    """
    items: dict[str, list[Presentation]] = {}
    for shown in presentations:
        if sorted(shown.order) != list(range(len(shown.order))):
            raise ValueError(f"{shown.item}: {shown.order} is no order of options")
        items.setdefault(shown.item, []).append(shown)
    if not items:
        raise ValueError("no presentations")
    pairs = [_pair_agreement(group) for group in items.values() if len(group) > 1]
    read = [
        Choice(shown.pick, len(shown.order), None if shown.key is None else shown.order.index(shown.key))
        for shown in presentations
        if shown.pick is not None
    ]
    # Orders of one question are no independent answers: as if each question were one answer, which is cautious.
    found: dict[str, Any] = {
        "n": len(items),
        "num_presentations": len(presentations),
        "num_unread": len(presentations) - len(read),
        "consistency": sum(_pair_agreement(group) == 1 for group in items.values()) / len(items),
        "pair_agreement": math.fsum(pairs) / len(pairs) if pairs else None,
        "bias": position_bias(read, len(presentations) / len(items)),
    }
    return found | (_keyed_scores(items) if presentations[0].key is not None else {})


def _pair_agreement(group: Sequence[Presentation]) -> float:
    """Share of pairs of orders with the same option picked; of a single order, whether it was read."""
    counts = Counter(shown.option for shown in group if shown.option is not None)
    if len(group) == 1:
        return float(bool(counts))
    return sum(count * (count - 1) for count in counts.values()) / (len(group) * (len(group) - 1))


def _keyed_scores(items: Mapping[str, Sequence[Presentation]]) -> dict[str, Any]:
    scores = [sum(shown.right for shown in group) / len(group) for group in items.values()]
    articles = [group[0].article for group in items.values()]
    gathered = resampling.gather(scores, articles if all(articles) else None)
    error = resampling.standard_error_of(gathered)
    accuracy = gathered.mean
    reach = t_quantile(0.975, max(1, gathered.num_clusters - 1)) * error
    return {
        "accuracy": accuracy,
        "standard_error": error if math.isfinite(error) else None,
        "ci95": [max(0.0, accuracy - reach), min(1.0, accuracy + reach)] if math.isfinite(error) else None,
        "accuracy_majority": math.fsum(_majority(group) for group in items.values()) / len(items),
        "share_all_right": sum(score == 1 for score in scores) / len(scores),
        "share_none_right": sum(score == 0 for score in scores) / len(scores),
    }


def _majority(group: Sequence[Presentation]) -> float:
    """Whether the option picked most often is the right one; a tie gives each its part."""
    counts = Counter(shown.option for shown in group if shown.option is not None)
    if not counts:
        return 0.0
    most = [option for option, count in counts.items() if count == max(counts.values())]
    return float(group[0].key in most) / len(most)
