"""Merge methods: what each computes from one block of values, and which parameters it reads.

A method is a pure function in float32: block in, block out. What needs a look at a whole tensor first (the k-th largest
magnitude, angles, an L1 norm) is measured beforehand and arrives as numbers or masks (`stream.Merger.measure`), so that a
tensor of any size passes through in blocks. Nothing here depends on threads or on how tensors are sharded.

TIES, DARE-TIES and their kin are one function with another way of making deltas sparse; SLERP and its kin are one sum with
factors that follow from the tensors' inner products (`geometry.py`); the table says which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sagecraft.merging import geometry, rows
from sagecraft.merging.geometry import Options

#: A float32 block; only operators and methods are used, so importing this module needs no numpy.
Array = Any

#: A divisor of an election that is smaller than this is taken as 1 (weights that cancel out).
_TINY = 1e-8


@dataclass(frozen=True)
class Numbers:
    """What a method knows of one tensor besides its values.

    Attributes:
        weights: of each model, in order.
        scales: what each tensor or delta is multiplied by.
        normalize: divide by the weights that took part.
        lambda_: factor of the merged delta.
        sign_ties: what an election without a winner does (`elect`).
        t: SLERP's way from base (0) to the other model (1); nearswap's distance.
    """

    weights: tuple[float, ...]
    scales: tuple[float, ...] = ()
    normalize: bool = False
    lambda_: float = 1.0
    sign_ties: Literal["none", "positive"] = "none"
    t: float = 0.0

    @property
    def divisor(self) -> float:
        """Sum of the weights; the plan refuses those that cancel out where it is divided by."""
        return sum(self.weights)


def linear(base: Array | None, tensors: Sequence[Array], numbers: Numbers) -> Array:  # noqa: ARG001
    """Weighted sum Σ wᵢ·xᵢ, divided by Σ wᵢ if `normalize` (model soups, arXiv:2203.05482); the base takes no part.

    Each step is a fused multiply-add. It matters for bfloat16 checkpoints: averages on their coarse grid often lie
    half-way between two values.
    """
    total = tensors[0] * numbers.weights[0]
    for tensor, weight in zip(tensors[1:], numbers.weights[1:], strict=True):
        total = fused(tensor, float(tensor.dtype.type(weight)), total)
    return total / numbers.divisor if numbers.normalize else total


def fused(tensor: Array, factor: float, total: Array) -> Array:
    """Adds tensor · factor to `total` with one rounding, as processors with such an instruction do it, on every machine.

    The product is exact in float64, the sum is not; rounded a second time it would come out wrong where the first rounding
    met the middle between two float32. So what the sum lost, which is known exactly, is put into its last bit: it is rounded
    to odd, and from there to float32 without harm (Boldo and Melquiond, 10.1109/TC.2007.70819).
    """
    product, start = tensor.astype("float64") * factor, total.astype("float64")
    exact = start + product
    back = exact - start
    lost = (start - (exact - back)) + (product - back)
    bits = exact.view("int64")
    bits += ((lost != 0) & (bits % 2 == 0)) * (1 - 2 * ((lost > 0) != (exact > 0)))
    return exact.astype("float32")


def combine(base: Array | None, tensors: Sequence[Array], numbers: Numbers) -> Array:  # noqa: ARG001
    """The sum Σ sᵢ·xᵢ with factors that were worked out beforehand."""
    return _weighted_sum(tensors, numbers.scales)


def nearswap(base: Array, tensors: Sequence[Array], numbers: Numbers) -> Array:
    """Takes what lies within `t` of the base from the other model, and of the rest the share t / distance."""
    gap = abs(base - tensors[0])
    near = gap <= gap.dtype.type(numbers.t)
    gap[near] = 1
    share = gap.dtype.type(numbers.t) / gap
    share[near] = 1
    return share * tensors[0] + (1 - share) * base


def add_deltas(base: Array, deltas: Sequence[Array], numbers: Numbers) -> Array:
    """Adds the weighted deltas: base + λ·Σ sᵢ·δᵢ, the sum divided by Σ wᵢ if `normalize` (task arithmetic, arXiv:2212.04089)."""
    mixed = _weighted_sum(deltas, numbers.scales)
    if numbers.normalize:
        mixed /= numbers.divisor
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
    mixed, divisor = abs(total) * 0, abs(total) * 0
    for part, weight in zip(weighted, numbers.weights, strict=True):
        agreeing = ((part > 0) & plus) | ((part < 0) & minus)
        mixed[agreeing] += part[agreeing]
        if numbers.normalize:
            divisor[agreeing] += total.dtype.type(weight)
    if numbers.normalize:
        divisor[abs(divisor) < _TINY] = 1
        mixed /= divisor
    return base + mixed * numbers.lambda_


def _weighted_sum(tensors: Sequence[Array], factors: Sequence[float]) -> Array:
    total = tensors[0] * factors[0]
    for tensor, factor in zip(tensors[1:], factors[1:], strict=True):
        total += tensor * factor
    return total


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        function: (base, tensors or sparse deltas, numbers) → merged block.
        url: the paper, or the page where the method was first described.
        parameters: names it reads.
        base: whether `base_model` is needed, may be given, or makes no sense.
        way: its name in blocks.cpp; None: it has no native form.
        sparsify: how deltas are thinned out.
        deltas: the function takes differences from the base: always, never, or if there is a base.
        sees_base: the base is the first of the tensors that the function takes.
        factors: works out the factors of `combine` or `add_deltas` from the tensors' (or deltas') inner products.
        whole: works on the whole tensor instead (`rows.py`); with `whole_if`, only if the options say so.
        whole_if: see `whole`.
        normalize: default of that parameter.
        rescale: default of that parameter.
        num_models: smallest and largest number of models besides the base (None: no limit).
    """

    function: Callable[[Any, Sequence[Any], Numbers], Any]
    url: str
    parameters: tuple[str, ...]
    base: Literal["needed", "optional", "none"]
    way: Literal["linear", "combine", "add", "elect", "nearswap"] | None = None
    sparsify: Literal["magnitude", "random", "band"] | None = None
    deltas: Literal["always", "never", "with_base"] = "never"
    sees_base: bool = False
    factors: Callable[[Any, tuple[float, ...], Any], tuple[float, ...]] | None = None
    whole: Callable[..., Any] | None = None
    whole_if: Callable[[Options], bool] | None = None
    normalize: bool = False
    rescale: Literal["inverse_density", "l1", "off"] = "off"
    num_models: tuple[int, int | None] = (1, None)

    def is_whole(self, options: Options) -> bool:
        """True if a tensor has to be in memory as a whole."""
        return self.whole is not None and (self.whole_if is None or self.whole_if(options))

    @property
    def draws(self) -> bool:
        """True if elements are drawn at random, so that the seed changes the result."""
        return self.sparsify == "random" or self.whole in (rows.della_ties, rows.della_linear)


_ARITHMETIC = ("weight", "normalize", "lambda")
_SPARSE = (*_ARITHMETIC, "density", "rescale")
_DARE, _TIES = "https://arxiv.org/abs/2311.03099", "https://arxiv.org/abs/2306.01708"
_CRUMBS = "https://arxiv.org/abs/2312.06795"


def _added(url: str, parameters: tuple[str, ...], **more: Any) -> Method:
    return Method(add_deltas, url, parameters, base="needed", way="add", deltas="always", **more)


def _elected(url: str, parameters: tuple[str, ...], **more: Any) -> Method:
    return Method(elect, url, (*parameters, "sign_ties"), base="needed", way="elect", deltas="always", **more)


def _whole(function: Callable[..., Any], url: str, parameters: tuple[str, ...], **more: Any) -> Method:
    return Method(add_deltas, url, parameters, base="needed", deltas="always", whole=function, **more)


METHODS: dict[str, Method] = {
    "linear": Method(
        linear,
        "https://arxiv.org/abs/2203.05482",
        ("weight", "normalize"),
        base="optional",
        way="linear",
        normalize=True,
    ),
    "slerp": Method(
        combine,
        "https://dl.acm.org/doi/10.1145/325165.325242",
        ("t",),
        base="needed",
        way="combine",
        sees_base=True,
        factors=geometry.slerp,
        num_models=(1, 1),
    ),
    "nuslerp": Method(
        combine,
        "https://dl.acm.org/doi/10.1145/325165.325242",
        ("weight", "nuslerp_flatten", "nuslerp_row_wise"),
        base="optional",
        way="combine",
        deltas="with_base",
        factors=geometry.nuslerp,
        whole=rows.nuslerp,
        whole_if=lambda options: not options.nuslerp_flatten,
        num_models=(2, 2),
    ),
    "multislerp": Method(
        combine,
        "https://goddard.blog/posts/multislerp-wow-what-a-cool-idea",
        ("weight", "normalize_weights", "eps"),
        base="optional",
        way="combine",
        deltas="with_base",
        factors=geometry.multislerp,
        num_models=(2, None),
    ),
    "karcher": Method(
        combine,
        "https://doi.org/10.1002/cpa.3160300502",
        ("max_iter", "tol"),
        base="none",
        way="combine",
        factors=geometry.karcher,
        num_models=(2, None),
    ),
    "model_stock": _added(
        "https://arxiv.org/abs/2403.19522",
        ("filter_wise",),
        factors=geometry.model_stock,
        whole=rows.model_stock,
        whole_if=lambda options: options.filter_wise,
        num_models=(2, None),
    ),
    "task_arithmetic": _added("https://arxiv.org/abs/2212.04089", _ARITHMETIC),
    "ties": _elected(_TIES, _SPARSE, sparsify="magnitude", normalize=True),
    "dare_linear": _added(_DARE, _SPARSE, sparsify="random", rescale="inverse_density"),
    "dare_ties": _elected(_DARE, _SPARSE, sparsify="random", rescale="inverse_density"),
    "breadcrumbs": _added(_CRUMBS, (*_SPARSE, "gamma"), sparsify="band"),
    "breadcrumbs_ties": _elected(_CRUMBS, (*_SPARSE, "gamma"), sparsify="band"),
    "della": _whole(
        rows.della_ties,
        "https://arxiv.org/abs/2406.11617",
        (*_SPARSE, "epsilon", "sign_ties"),
        normalize=True,
        rescale="inverse_density",
    ),
    "della_linear": _whole(
        rows.della_linear, "https://arxiv.org/abs/2406.11617", (*_SPARSE, "epsilon"), rescale="inverse_density"
    ),
    "sce": _whole(rows.sce, "https://arxiv.org/abs/2408.07990", ("select_topk", "sign_ties")),
    "ram": _whole(rows.ram, "https://arxiv.org/abs/2601.13572", ("epsilon",)),
    "ramplus_tl": _whole(rows.ramplus_tl, "https://arxiv.org/abs/2601.13572", ("epsilon", "r", "alpha")),
    "arcee_fusion": _whole(
        rows.arcee_fusion,
        "https://www.arcee.ai/blog/meet-mergekit-v0-1-arcee-fusion-expanded-model-support-multi-gpu-acceleration",
        (),
        num_models=(1, 1),
    ),
    "nearswap": Method(
        nearswap,
        "https://huggingface.co/alchemonaut/QuartetAnemoi-70B-t0.0001",
        ("t",),
        base="needed",
        way="nearswap",
        num_models=(1, 1),
    ),
    "passthrough": Method(
        combine,
        "https://arxiv.org/abs/2312.15166",
        ("scale",),
        base="none",
        way="combine",
        num_models=(1, 1),
    ),
}
