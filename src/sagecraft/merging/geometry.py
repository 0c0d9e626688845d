"""Factors of the sums that interpolate on a sphere or weigh by angles: they follow from inner products alone.

Every function takes the inner products G [models, models] of a tensor's models (or of their differences from the base), the
weights, and the method's options, and returns a factor for each model. A direction in the models' span is a vector of coefficients
c, with inner product c·G·d, so nothing of a tensor's size is ever needed a second time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: Above this cosine two tensors count as parallel and SLERP goes in a straight line. There sin(angle) < 0.032 and
#: the arc differs from the chord by less than 1.3e-4 of the value, while its formula loses digits.
PARALLEL = 0.9995

Gram = Sequence[Sequence[float]]
Factors = tuple[float, ...]


@dataclass(frozen=True)
class Options:
    """Parameters of a merge that these methods read; see `config.GlobalParameters`."""

    t: float = 0.0
    normalize_weights: bool = True
    eps: float = 1e-8
    max_iter: int = 10
    tol: float = 1e-5
    nuslerp_flatten: bool = True
    nuslerp_row_wise: bool = False
    filter_wise: bool = False
    select_topk: float = 1.0
    epsilon: float = 1e-5
    r: float = 0.1
    alpha: float = 0.2


def slerp_coefficients(cosine: float, t: float) -> tuple[float, float]:
    """The two factors of a spherical interpolation between vectors of this cosine (Shoemake 1985)."""
    if abs(cosine) > PARALLEL:
        return 1.0 - t, t
    angle = math.acos(cosine)
    return math.sin((1.0 - t) * angle) / math.sin(angle), math.sin(t * angle) / math.sin(angle)


def _cosine(gram: Gram, left: int, right: int) -> float:
    """1 if one of the two is zero: a straight line is all there is."""
    size = math.sqrt(gram[left][left] * gram[right][right])
    return min(1.0, max(-1.0, gram[left][right] / size)) if size else 1.0


def slerp(gram: Gram, weights: Factors, options: Options) -> Factors:  # noqa: ARG001
    """From the base to the other model by `t`."""
    return slerp_coefficients(_cosine(gram, 0, 1), options.t)


def nuslerp(gram: Gram, weights: Factors, options: Options) -> Factors:  # noqa: ARG001
    """SLERP whose way is the second model's share of the weights."""
    total = sum(weights)
    return slerp_coefficients(_cosine(gram, 0, 1), weights[1] / total if total else 0.5)


def model_stock(gram: Gram, weights: Factors, options: Options) -> Factors:  # noqa: ARG001
    """Of each difference from the base: t / k with t = k·cos θ / (1 + (k − 1)·cos θ) (arXiv:2403.19522, equation 2)."""
    count = len(gram)
    pairs = [_pair(gram, left, right) for left in range(count) for right in range(left + 1, count)]
    cosine = sum(pairs) / len(pairs)
    divisor = 1 + (count - 1) * cosine
    share = count * cosine / divisor if divisor else 0.0
    return (share / count,) * count


def _pair(gram: Gram, left: int, right: int) -> float:
    """Their cosine, 0 if one of the two did not move."""
    return _cosine(gram, left, right) if gram[left][left] and gram[right][right] else 0.0


def _dot(gram: Gram, left: Sequence[float], right: Sequence[float]) -> float:
    return math.fsum(a * b * gram[i][j] for i, a in enumerate(left) for j, b in enumerate(right))


def _norm(gram: Gram, vector: Sequence[float]) -> float:
    return math.sqrt(max(_dot(gram, vector, vector), 0.0))


def _units(gram: Gram) -> tuple[list[float], list[list[float]]]:
    """Norms, and the directions as coefficients; a tensor of zeros has none."""
    count = len(gram)
    norms = [math.sqrt(gram[n][n]) for n in range(count)]
    return norms, [[1 / norms[n] if n == at and norms[n] else 0.0 for n in range(count)] for at in range(count)]


def _add(vectors: Sequence[Sequence[float]], factors: Sequence[float]) -> list[float]:
    return [math.fsum(f * v[n] for f, v in zip(factors, vectors, strict=True)) for n in range(len(vectors[0]))]


def _exponential(gram: Gram, mean: Sequence[float], step: Sequence[float]) -> list[float]:
    """The point that lies `step` away from a unit vector along the sphere."""
    length = _norm(gram, step)
    if not length:
        return list(mean)
    return _add([mean, step], [math.cos(length), math.sin(length) / length])


def multislerp(gram: Gram, weights: Factors, options: Options) -> Factors:
    """Barycentric interpolation on the sphere: parts across the weighted mean are averaged there and projected back."""
    total = sum(weights)
    shares = [w / total for w in weights] if options.normalize_weights and total else list(weights)
    norms, units = _units(gram)
    mean = _add(units, shares)
    length = _norm(gram, mean)
    if length < options.eps:  # opposite directions: there is no mean to turn about
        return tuple(shares)
    mean = [c / length for c in mean]
    across = [_add([unit, mean], [1.0, -_dot(gram, unit, mean)]) for unit in units]
    point = _exponential(gram, mean, _add(across, shares))
    size = math.fsum(share * norm for share, norm in zip(shares, norms, strict=True))
    return tuple(size * c for c in point)


def karcher(gram: Gram, weights: Factors, options: Options) -> Factors:  # noqa: ARG001
    """The point on the sphere whose squared angles to the directions are least (Karcher 1977), with the mean norm."""
    norms, units = _units(gram)
    alive = [unit for unit, norm in zip(units, norms, strict=True) if norm]
    if not alive:
        return (0.0,) * len(gram)
    shares = [1 / len(alive)] * len(alive)
    mean = _add(alive, shares)
    length = _norm(gram, mean)
    mean = [c / length for c in mean] if length else alive[0]
    for _ in range(options.max_iter):
        steps = []
        for unit in alive:
            cosine = min(1.0, max(-1.0, _dot(gram, unit, mean)))
            angle, across = math.acos(cosine), _add([unit, mean], [1.0, -cosine])
            # the arc's own length, from its sine: near 1 the inverse cosine has no digits left
            sine = _norm(gram, across)
            angle = math.atan2(sine, cosine)
            steps.append([c * angle / sine for c in across] if sine else [0.0] * len(gram))
        step = _add(steps, shares)
        if _norm(gram, step) < options.tol:
            break
        mean = _exponential(gram, mean, step)
        length = _norm(gram, mean)
        mean = [c / length for c in mean]
    size = math.fsum(norm for norm in norms if norm) / len(alive)
    return tuple(size * c for c in mean)
