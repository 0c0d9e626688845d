"""What a merge did to each tensor: norms of the deltas, conflicts of sign, cosines between models.

Sums are those of `blocks.chunk_totals`, added up in the order of chunks: they depend on no block, thread or processor.
Figures are rounded to six digits, which is what float32 lanes are good for.
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


def summarise(row: TensorPlan, labels: Sequence[str], blocks: Iterable[NDArray[np.float64]]) -> TensorSummary:
    """Adds a tensor's chunks up, one after the other.

    Args:
        row: the tensor.
        labels: of the models.
        blocks: for each block its chunks' totals: products of the deltas in the order (0,0) (0,1) … (1,1) …, conflicts of
            sign, squares of the merged delta.
    """
    count = len(labels)
    total = np.zeros(count * (count + 1) // 2 + 2)
    for block in blocks:
        total = np.add.accumulate(np.concatenate([total[None], block]), axis=0)[-1]
    products = np.zeros((count, count))
    products[np.triu_indices(count)] = total[:-2]
    conflicts, merged = total[-2], total[-1]
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
    labels = list(
        dict.fromkeys(label for row in tensors for label in row.delta_norms)
    )  # slices have models of their own
    conflicts = sum(row.sign_conflict_share * row.num_elements for row in tensors)
    return {
        "num_tensors": len(tensors),
        "num_parameters": num_elements,
        "delta_norms": {label: _norm(row.delta_norms.get(label, 0.0) for row in tensors) for label in labels},
        "merged_delta_norm": _norm(row.merged_delta_norm for row in tensors),
        "sign_conflict_share": _rounded(conflicts / max(num_elements, 1)),
    }


def _norm(parts: Iterable[float]) -> float:
    return _rounded(math.sqrt(math.fsum(part * part for part in parts)))


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
