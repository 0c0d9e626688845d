"""What a merge did to each tensor: norms of the deltas, conflicts of sign, cosines between models.

Sums over a block are float32 lanes added up in float64 from block to block, always in the order of blocks; figures are
rounded to six digits, so that another processor's vector width does not show.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagecraft.merging.plan import TensorPlan

    Floats = NDArray[np.float32]


@dataclass(frozen=True)
class BlockSums:
    """Sums over one block (or one tensor).

    Attributes:
        products: inner products of all pairs of deltas, [models, models].
        conflicts: elements on which two deltas have opposite signs.
        merged: squares of the merged delta.
    """

    products: NDArray[np.float64]
    conflicts: int
    merged: float


@dataclass(frozen=True)
class TensorSummary:
    """Figures of one tensor.

    Attributes:
        name: of the tensor.
        num_elements: of the tensor.
        delta_norms: model label → Euclidean norm of its difference from the reference.
        merged_delta_norm: the same of the result.
        sign_conflict_share: share of elements on which two models moved in opposite directions.
        cosines: "a | b" → cosine between the deltas of two models; None if one did not move.
    """

    name: str
    num_elements: int
    delta_norms: dict[str, float]
    merged_delta_norm: float
    sign_conflict_share: float
    cosines: dict[str, float | None]


def measure_block(deltas: Sequence[Floats], merged: Floats) -> BlockSums:
    """The sums of one block. einsum, not dot: BLAS splits a dot product by the number of threads."""
    count = len(deltas)
    products = np.zeros((count, count))
    for left, right in itertools.combinations_with_replacement(range(count), 2):
        products[left, right] = products[right, left] = np.einsum("i,i->", deltas[left], deltas[right])
    conflicts = 0
    if count > 1:
        lowest, highest = deltas[0], deltas[0]
        for delta in deltas[1:]:
            lowest, highest = np.minimum(lowest, delta), np.maximum(highest, delta)
        conflicts = int(np.count_nonzero((lowest < 0) & (highest > 0)))
    return BlockSums(products, conflicts, float(np.einsum("i,i->", merged, merged)))


def summarise(row: TensorPlan, labels: Sequence[str], blocks: Iterable[BlockSums]) -> TensorSummary:
    """Adds the blocks of a tensor up, in their order."""
    products, conflicts, merged = np.zeros((len(labels), len(labels))), 0, 0.0
    for block in blocks:
        products += block.products
        conflicts += block.conflicts
        merged += block.merged
    norms = [math.sqrt(products[n, n]) for n in range(len(labels))]
    cosines: dict[str, float | None] = {}
    for left, right in itertools.combinations(range(len(labels)), 2):
        size = norms[left] * norms[right]
        cosines[f"{labels[left]} | {labels[right]}"] = _rounded(products[left, right] / size) if size else None
    return TensorSummary(
        row.name,
        row.num_elements,
        {label: _rounded(norm) for label, norm in zip(labels, norms, strict=True)},
        _rounded(math.sqrt(merged)),
        _rounded(conflicts / max(row.num_elements, 1)),
        cosines,
    )


def totals(tensors: Sequence[TensorSummary]) -> dict[str, Any]:
    """Figures of the whole model."""
    num_elements = sum(row.num_elements for row in tensors)
    labels = list(tensors[0].delta_norms) if tensors else []
    conflicts = sum(row.sign_conflict_share * row.num_elements for row in tensors)
    return {
        "num_tensors": len(tensors),
        "num_parameters": num_elements,
        "delta_norms": {label: _norm(row.delta_norms[label] for row in tensors) for label in labels},
        "merged_delta_norm": _norm(row.merged_delta_norm for row in tensors),
        "sign_conflict_share": _rounded(conflicts / max(num_elements, 1)),
    }


def _norm(parts: Iterable[float]) -> float:
    return _rounded(math.sqrt(math.fsum(part * part for part in parts)))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
