"""Methods that look along the rows or columns of a matrix, or across all models at once: a tensor is in memory as a whole here.

Each is a pure function over one group of tensors in float32: (base [rows, columns] or None, models likewise, `Settings`) → merged.
A vector is one row. They have no native form; peak memory is some ten times the largest tensor of one model in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sagecraft.merging import geometry
from sagecraft.merging.geometry import Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

_WORD = 1 << 32


@dataclass(frozen=True)
class Settings:
    """What is known of one tensor besides its values.

    Attributes:
        weights: of each model.
        densities: share of elements that DELLA keeps, of each model.
        epsilons: half the range of DELLA's probabilities, of each model.
        keys: of the random masks, of each model.
        normalize: see `methods.Numbers`.
        lambda_: likewise.
        sign_ties: likewise.
        rescale: likewise.
        options: of the whole merge.
    """

    weights: tuple[float, ...]
    densities: tuple[float, ...] = ()
    epsilons: tuple[float, ...] = ()
    keys: tuple[int, ...] = ()
    normalize: bool = False
    lambda_: float = 1.0
    sign_ties: Literal["none", "positive"] = "none"
    rescale: Literal["inverse_density", "l1", "off"] = "off"
    options: Options = field(default_factory=Options)


def della(base: Matrix, tensors: Sequence[Matrix], settings: Settings, combine: Callable[..., Any]) -> Matrix:
    """Keeps each element with a probability that rises with its magnitude's rank in its row (arXiv:2406.11617, section 3.1).

    From density − ε for the smallest of a row to density + ε for the largest; what is kept is divided by its own probability
    (`inverse_density`, as the paper's p), by what keeps the L1 norm of the tensor (`l1`), or not at all.
    """
    import numpy as np

    from sagecraft.merging.methods import Numbers
    from sagecraft.merging.sparsify import hash_words

    kept = []
    for tensor, density, epsilon, key in zip(
        tensors, settings.densities, settings.epsilons, settings.keys, strict=True
    ):
        delta = tensor - base
        if density < 1:
            columns = delta.shape[1]
            ranks = np.empty(delta.shape, dtype=np.int32)
            order = np.argsort(abs(delta), axis=1, kind="stable")
            np.put_along_axis(ranks, order, np.arange(columns, dtype=np.int32)[None], axis=1)
            chance = density - epsilon + ranks * (2 * epsilon / max(columns - 1, 1))
            drawn = hash_words(key, 0, delta.size).reshape(delta.shape) < np.minimum(chance * _WORD, _WORD - 1)
            thinned = np.where(drawn, delta, np.float32(0))
            if settings.rescale == "inverse_density":
                thinned = thinned / chance.astype(np.float32)
            elif settings.rescale == "l1" and thinned.any():
                thinned = thinned * np.float32(abs(delta).sum(dtype=np.float64) / abs(thinned).sum(dtype=np.float64))
            delta = thinned
        kept.append(delta)
    numbers = Numbers(
        settings.weights, settings.weights, settings.normalize, settings.lambda_, sign_ties=settings.sign_ties
    )
    merged: Matrix = combine(base, kept, numbers)
    return merged


def della_ties(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """DELLA with TIES's election of signs."""
    from sagecraft.merging.methods import elect

    return della(base, tensors, settings, elect)


def della_linear(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """DELLA, added up."""
    from sagecraft.merging.methods import add_deltas

    return della(base, tensors, settings, add_deltas)


def sce(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """Select by variance, calculate weights from squares, erase what disagrees in sign (arXiv:2408.07990, section 3.3)."""
    import numpy as np

    from sagecraft.merging.sparsify import num_kept

    deltas = [tensor - base for tensor in tensors]
    share = settings.options.select_topk
    if share < 1:
        variance = np.var(np.stack(deltas), axis=0).ravel()
        chosen = np.argsort(-variance, kind="stable")[: num_kept(share, variance.size)]
        mask = np.zeros(variance.size, dtype=np.bool_)
        mask[chosen] = True
        deltas = [np.where(mask.reshape(base.shape), delta, np.float32(0)) for delta in deltas]
    squares = [float(np.mean(np.square(delta, dtype=np.float32), dtype=np.float64)) for delta in deltas]
    total = sum(squares)
    weights = tuple(square / total if total else 1 / len(squares) for square in squares)
    # the sign of an element is that of the plain sum: a weight of one for all elects, the calculated ones average
    total_delta = deltas[0].copy()
    for delta in deltas[1:]:
        total_delta += delta
    signs = np.sign(total_delta)
    if settings.sign_ties == "positive":
        signs[signs == 0] = 1
    mixed, divisor = np.zeros_like(base), np.zeros_like(base)
    for delta, weight in zip(deltas, weights, strict=True):
        agreeing = delta * signs > 0
        mixed[agreeing] += delta[agreeing] * np.float32(weight)
        divisor[agreeing] += np.float32(weight)
    divisor[divisor == 0] = 1
    merged: Matrix = base + mixed / divisor
    return merged


#: Rows whose divergence is worked out at a time: bounds what is held in float64.
_DIVERGED_ROWS = 256


def arcee_fusion(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:  # noqa: ARG001
    """Takes the elements whose importance stands out: |difference| times the divergence of the rows' softmax.

    "Standing out" is median + 1.5 times the distance between the quartiles, each the lower of two neighbours. The
    divergence is taken in float64: its terms cancel to one or two digits of float32.
    """
    import numpy as np

    delta = tensors[0] - base
    blocks = range(0, len(base), _DIVERGED_ROWS)
    divergence = [_divergence(tensors[0][n : n + _DIVERGED_ROWS], base[n : n + _DIVERGED_ROWS]) for n in blocks]
    importance = abs(delta) * np.concatenate(divergence).astype(np.float32)
    low, middle, high = np.quantile(importance, (0.25, 0.5, 0.75), method="lower")
    mask = importance >= middle + 1.5 * (high - low)
    return base + np.where(mask, delta, np.float32(0))


def _divergence(left: Matrix, right: Matrix) -> Matrix:
    """Kullback and Leibler's, of the softmax of each row: [rows, 1] in float64; 1e-8 keeps logarithms finite."""
    import numpy as np

    ours, theirs = _softmax(left.astype(np.float64)), _softmax(right.astype(np.float64))
    result: Matrix = (ours * np.log((ours + 1e-8) / (theirs + 1e-8))).sum(axis=1, keepdims=True)
    return result


def _softmax(matrix: Matrix) -> Matrix:
    import numpy as np

    powers = np.exp(matrix - matrix.max(axis=1, keepdims=True))
    result: Matrix = powers / powers.sum(axis=1, keepdims=True)
    return result


def ram(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """Averages what several models changed, keeps whole what only one changed (arXiv:2601.13572, section 4.2)."""
    return _ram(base, tensors, settings, rescaled=False)


def ramplus_tl(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """RAM, with what only one model changed enlarged by 1 + r · min(overlap, α) (section 4.3), overlap within the tensor."""
    return _ram(base, tensors, settings, rescaled=True)


def _ram(base: Matrix, tensors: Sequence[Matrix], settings: Settings, rescaled: bool) -> Matrix:
    import numpy as np

    options = settings.options
    deltas = [tensor - base for tensor in tensors]
    changed = [abs(delta) > np.float32(options.epsilon) for delta in deltas]
    count = np.sum(changed, axis=0, dtype=np.int32)
    shared = np.maximum(count, 1).astype(np.float32)
    total, alone = np.zeros_like(base), np.zeros_like(base)
    for delta, mask in zip(deltas, changed, strict=True):
        unique = mask & (count == 1)
        factor = 1.0
        if rescaled:
            num_unique, num_shared = int(unique.sum()), int((mask & (count > 1)).sum())
            overlap = num_shared / num_unique if num_unique else 0.0
            factor = 1 + options.r * min(max(overlap, 0.0), options.alpha)
        total += np.where(mask & (count > 1), delta / shared, np.float32(0))
        alone += np.where(unique, delta * np.float32(factor), np.float32(0))
    return base + np.where(count > 1, total, alone)


def nuslerp(base: Matrix | None, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """NuSLERP along the last axis (each row of the matrix by itself), or, `nuslerp_row_wise`, along the first.

    The names are mergekit's, and so is what its outputs show them to mean: its "rows" run along the first axis.
    """
    import numpy as np

    axis = 0 if settings.options.nuslerp_row_wise and tensors[0].shape[0] > 1 else 1
    pair = [tensor if base is None else tensor - base for tensor in tensors]
    products = [np.einsum("rc,rc->" + "rc"[1 - axis], a, b, dtype=np.float64) for a, b in _pairs(pair)]
    coefficients = [
        geometry.nuslerp([[aa, ab], [ab, bb]], settings.weights, settings.options)
        for aa, ab, bb in zip(*products, strict=True)
    ]
    left, right = np.array(coefficients, dtype=np.float32).T
    mixed: Matrix = pair[0] * np.expand_dims(left, axis) + pair[1] * np.expand_dims(right, axis)
    return mixed if base is None else base + mixed


def model_stock(base: Matrix, tensors: Sequence[Matrix], settings: Settings) -> Matrix:
    """Model stock with a share of its own for each row (arXiv:2403.19522, section 4.3: filter-wise)."""
    import numpy as np

    deltas = [tensor - base for tensor in tensors]
    count = len(deltas)
    products = {}
    for left in range(count):
        for right in range(left, count):
            products[left, right] = np.einsum("rc,rc->r", deltas[left], deltas[right], dtype=np.float64)
    shares = []
    for row in range(len(base)):
        gram = [[float(products[min(a, b), max(a, b)][row]) for b in range(count)] for a in range(count)]
        shares.append(geometry.model_stock(gram, settings.weights, settings.options)[0])
    total = deltas[0].copy()
    for delta in deltas[1:]:
        total += delta
    return base + total * np.array(shares, dtype=np.float32)[:, None]


def _pairs(pair: Sequence[Any]) -> list[tuple[Any, Any]]:
    return [(pair[0], pair[0]), (pair[0], pair[1]), (pair[1], pair[1])]
