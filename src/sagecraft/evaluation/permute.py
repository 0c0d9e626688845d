"""The same questions with their options in other orders: what a model picks because of where it stands, shows.

`cyclic` asks in every rotation of the given order, so that the right option stands once at each position and a
preference for a position cannot add to the mean over orders. `shuffle` asks in one other order, drawn by a key of the
seed and the item: cheaper, and enough to see how often a pick moves with its letter, but it does not cancel the bias.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sagecraft import artifact
from sagecraft.evaluation.positions import Presentation, over_permutations
from sagecraft.evaluation.tasks import LETTERS, Item

Permutations = Literal["none", "cyclic", "shuffle"]


@dataclass(frozen=True)
class Variant:
    """A question in another order.

    Attributes:
        item: the question as it is asked; its id is that of the question.
        order: `order[position]` is the index, in the file's order, of the option that stands there.
    """

    item: Item
    order: tuple[int, ...]


def variants(items: Iterable[Item], permutations: Permutations, seed: int) -> list[Variant]:
    """The orders beside the given one; none for `none`."""
    return [_variant(item, order) for item in items for order in _orders(item, permutations, seed)]


def _orders(item: Item, permutations: Permutations, seed: int) -> list[tuple[int, ...]]:
    given = tuple(range(len(item.options)))
    if permutations == "cyclic":
        return [given[shift:] + given[:shift] for shift in given[1:]]
    if permutations == "none" or not given:
        return []
    generator = random.Random(artifact.keyed_hash(seed, "order", item.id))  # noqa: S311
    order = list(given)
    while tuple(order) == given:  # the given order is asked anyway; two options have one other, more have many
        generator.shuffle(order)
    return [tuple(order)]


def _variant(item: Item, order: tuple[int, ...]) -> Variant:
    options = tuple(item.options[index] for index in order)
    return Variant(
        replace(item, options=options, answer=None if item.answer is None else order.index(item.answer)), order
    )


def summarise_orders(
    rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], asked: Sequence[Variant]
) -> dict[str, Any]:
    """`over_permutations` of the rows in the given order and of those in other orders.

    Args:
        rows: in the given order.
        others: one for each of `asked`.
        asked: the variants.
    """
    shown = [_presentation(row, tuple(range(len(row["options"])))) for row in rows]
    shown += [_presentation(row, variant.order) for row, variant in zip(others, asked, strict=True)]
    return over_permutations(shown)


def _presentation(row: Mapping[str, Any], order: tuple[int, ...]) -> Presentation:
    return Presentation(
        item=row["id"],
        order=order,
        pick=None if row["pick"] is None else LETTERS.index(row["pick"]),
        key=None if row["key"] is None else order[LETTERS.index(row["key"])],
        article=row["article"],
    )
