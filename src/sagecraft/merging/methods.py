"""Merge methods: what each computes from one block of values, and which parameters it reads.

A method is a pure, elementwise function in float32: block in, block out. What needs a look at a whole tensor first
(the k-th largest magnitude, an angle, an L1 norm) is measured beforehand and arrives as numbers (`stream.measure`),
so that a tensor of any size passes through in blocks. Nothing here depends on threads or on how tensors are sharded.

TIES, DARE-TIES and their kin are one function with another way of making deltas sparse; the table says which.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

#: A float32 block; only operators and methods are used, so importing this module needs no numpy.
Array = Any

#: Above this cosine two tensors count as parallel and SLERP goes in a straight line. There sin(angle) < 0.032 and
#: the arc differs from the chord by less than 1.3e-4 of the value, while its formula loses digits.
PARALLEL = 0.9995
#: A divisor smaller than this is taken as 1 (weights that cancel out).
_TINY = 1e-8


@dataclass(frozen=True)
class Numbers:
    """What a method knows of one tensor besides its values.

    Attributes:
        weights: of each model, in order.
        scales: what each delta is multiplied by: its weight times the rescaling of its sparsification.
        normalize: divide by the weights that took part.
        lambda_: factor of the merged delta.
        sign_ties: what an election without a winner does (`elect`).
        t: SLERP's way from base (0) to the other model (1).
        cosine: of the two tensors of a SLERP.
    """

    weights: tuple[float, ...]
    scales: tuple[float, ...] = ()
    normalize: bool = False
    lambda_: float = 1.0
    sign_ties: Literal["none", "positive"] = "none"
    t: float = 0.0
    cosine: float = 0.0


def linear(base: Array | None, tensors: Sequence[Array], numbers: Numbers) -> Array:  # noqa: ARG001
    """Weighted sum Σ wᵢ·xᵢ, divided by Σ wᵢ if `normalize` (model soups, arXiv:2203.05482); the base takes no part.

    Each step is a fused multiply-add (one rounding), made in float64 so that it is the same on every machine. It
    matters for bfloat16 checkpoints: averages on their coarse grid often lie half-way between two values.
    """
    total = tensors[0] * numbers.weights[0]
    for tensor, weight in zip(tensors[1:], numbers.weights[1:], strict=True):
        exact = total.astype("float64") + tensor.astype("float64") * float(tensor.dtype.type(weight))
        total = exact.astype("float32")
    return total / _divisor(sum(numbers.weights)) if numbers.normalize else total


def slerp(base: Array, tensors: Sequence[Array], numbers: Numbers) -> Array:
    """The point at `t` on the arc from base to the other model (Shoemake 1985), or on the chord if nearly parallel."""
    from_base, from_other = slerp_coefficients(numbers.cosine, numbers.t)
    return base * from_base + tensors[0] * from_other


def slerp_coefficients(cosine: float, t: float) -> tuple[float, float]:
    """The two factors of a spherical interpolation between vectors of this cosine."""
    if abs(cosine) > PARALLEL:
        return 1.0 - t, t
    angle = math.acos(cosine)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def add_deltas(base: Array, deltas: Sequence[Array], numbers: Numbers) -> Array:
    """Adds the weighted deltas: base + λ·Σ sᵢ·δᵢ, the sum divided by Σ wᵢ if `normalize` (task arithmetic, arXiv:2212.04089)."""
    mixed = _weighted_sum(deltas, numbers.scales)
    if numbers.normalize:
        mixed /= _divisor(sum(numbers.weights))
    return base + mixed * numbers.lambda_


def elect(base: Array, deltas: Sequence[Array], numbers: Numbers) -> Array:
    """Base + λ · the parts of the weighted deltas that have the elected sign (TIES, arXiv:2306.01708, section 4).

    The sign of each element is that of the weighted sum. With `normalize` the agreeing parts are averaged by the
    weights of the models that took part in this element (the paper's disjoint mean), else they are added up.

    An election is tied when the weighted deltas cancel exactly. The paper's sgn(0) = 0 elects nobody and the element
    stays at its base value (`sign_ties="none"`); "positive" elects plus, as mergekit does, which pulls tied elements
    upwards: in bfloat16 checkpoints, whose deltas lie on a coarse grid, that is up to some per cent of all elements.
    """
    weighted = [delta * scale for delta, scale in zip(deltas, numbers.scales, strict=True)]
    total = weighted[0].copy()
    for part in weighted[1:]:
        total += part
    plus, minus = total > 0, total < 0
    if numbers.sign_ties == "positive":
        plus = ~minus
    mixed, divisor = total * 0, total * 0
    for part, weight in zip(weighted, numbers.weights, strict=True):
        agreeing = ((part > 0) & plus) | ((part < 0) & minus)
        mixed += part * agreeing
        if numbers.normalize:
            divisor += agreeing.astype(total.dtype) * weight
    if numbers.normalize:
        divisor[abs(divisor) < _TINY] = 1
        mixed /= divisor
    return base + mixed * numbers.lambda_


def passthrough(base: Array | None, tensors: Sequence[Array], numbers: Numbers) -> Array:
    """The one model as it is."""
    assert base is None
    assert len(tensors) == len(numbers.weights) == 1
    return tensors[0]


def _weighted_sum(tensors: Sequence[Array], factors: Sequence[float]) -> Array:
    total = tensors[0] * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        total += tensor * factor
    return total


def _divisor(total: float) -> float:
    return total if abs(total) >= _TINY else 1.0


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        function: (base, tensors or sparse deltas, numbers) → merged block.
        url: the paper.
        parameters: names it reads.
        base: whether `base_model` is needed, may be given, or makes no sense.
        sparsify: how deltas are thinned out; None with `deltas` false means that models come in whole.
        deltas: the function takes differences from the base.
        normalize: default of that parameter.
        rescale: default of that parameter.
        num_models: smallest and largest number of models besides the base (None: no limit).
    """

    function: Callable[[Any, Sequence[Any], Numbers], Any]
    url: str
    parameters: tuple[str, ...]
    base: Literal["needed", "optional", "none"]
    sparsify: Literal["magnitude", "random"] | None = None
    deltas: bool = False
    normalize: bool = False
    rescale: Literal["inverse_density", "l1", "off"] = "off"
    num_models: tuple[int, int | None] = (1, None)


_ARITHMETIC = ("weight", "normalize", "lambda")
_SPARSE = (*_ARITHMETIC, "density", "rescale")

METHODS: dict[str, Method] = {
    "linear": Method(
        linear, "https://arxiv.org/abs/2203.05482", ("weight", "normalize"), base="optional", normalize=True
    ),
    "slerp": Method(slerp, "https://dl.acm.org/doi/10.1145/325165.325242", ("t",), base="needed", num_models=(1, 1)),
    "task_arithmetic": Method(add_deltas, "https://arxiv.org/abs/2212.04089", _ARITHMETIC, base="needed", deltas=True),
    "ties": Method(
        elect,
        "https://arxiv.org/abs/2306.01708",
        (*_SPARSE, "sign_ties"),
        base="needed",
        sparsify="magnitude",
        deltas=True,
        normalize=True,
    ),
    "dare_linear": Method(
        add_deltas,
        "https://arxiv.org/abs/2311.03099",
        _SPARSE,
        base="needed",
        sparsify="random",
        deltas=True,
        rescale="inverse_density",
    ),
    "dare_ties": Method(
        elect,
        "https://arxiv.org/abs/2311.03099",
        (*_SPARSE, "sign_ties"),
        base="needed",
        sparsify="random",
        deltas=True,
        rescale="inverse_density",
    ),
    "passthrough": Method(passthrough, "https://arxiv.org/abs/2312.15166", (), base="none", num_models=(1, 1)),
}
