"""What can be guessed from the options alone, and the choice of items on which none of these guesses pays.

Choosing by a guess makes that guess no evidence any more. So there is one that nothing is chosen by: a classifier that
learns, from the items of other articles, which features of an option go with being right.
"""

from __future__ import annotations

import functools
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.drafts import Draft
from sagecraft.benchmark.guesses import CHANCE, SCORES, Option, hits, numbers_of
from sagecraft.literature.figures import digits_of

#: Fewer items than this are not chosen among: three points of a hundred are three items.
MIN_SELECTED = 100
#: On fewer, what a classifier seems to learn is mostly noise: 226 of 352 items went for it.
_MIN_TAUGHT = 400
#: At most this share is taken out.
_MAX_REMOVED = 0.4
_FOLDS = 5
_ROUNDS = 4
#: Of the conditional logit: fewest options that must have a feature, steps, their size, and the ridge.
_MIN_SEEN = 8
_NEIGHBOURS = 40
#: Items that the nearest neighbours are sought among, drawn by a key: each with each took 184 MB for 3,000. A standard error of
#: one point is enough.
_MAX_LEARNED, _BLOCK = 2_000, 64
_STEPS = 150
#: Options whose features are held: those of 4,096 items.
_HELD = 16_384
_RATE = 1.0
_RIDGE = 0.01


def accuracies(drafts: Sequence[Draft]) -> dict[str, float]:
    """Share of items that each guess gets right."""
    table = np.array([hits(draft.options) for draft in drafts])
    return {name: round(float(value), 4) for name, value in zip(SCORES, table.mean(axis=0), strict=True)}


def select(drafts: Sequence[Draft], points: float) -> list[Draft]:
    """Leaves items out until no guess is further than `points` (percent) from chance.

    Points count as one standard error at least. Greedy: the item goes that most favours the guesses which are off, above or below. Items of equal weight go from the
    end of the list, so that the order decides. What two classifiers learn counts as four more guesses: the option that is right
    by them, and the one that is wrong; these count where they pay. As they learn other things from what is left, that is done a few
    times. Where it cannot be reached, the rest is what was nearest.
    """
    if len(drafts) < MIN_SELECTED:
        return list(drafts)
    least = (1 - _MAX_REMOVED) * len(drafts)
    kept = list(drafts)
    for round_number in range(_ROUNDS):
        rows = [hits(draft.options) for draft in kept]
        if len(kept) >= _MIN_TAUGHT:
            taught = zip(*bayes_hits(kept, round_number), *logit_hits(kept, round_number), strict=True)
            rows = [[*row, *each] for row, each in zip(rows, taught, strict=True)]
        # Nearer than one standard error would be a choice by noise.
        tolerance = max(points / 100, math.sqrt(CHANCE * (1 - CHANCE) / len(kept)))
        live = _greedy(np.array(rows) - CHANCE, tolerance, least)
        if live.all():
            break
        kept = [draft for draft, is_kept in zip(kept, live, strict=True) if is_kept]
    return kept


def _greedy(table: npt.NDArray[np.float64], tolerance: float, least: float) -> npt.NDArray[np.bool_]:
    """Which rows stay. Table: items × guesses, probability of being right over chance."""
    live = np.ones(len(table), dtype=bool)
    while live.sum() > least:
        mean = table[live].mean(axis=0)
        # A classifier that is wrong too often is right turned around, which is a guess of its own.
        off = np.where(np.abs(mean) > tolerance, mean, 0.0)
        off[len(SCORES) :] = off[len(SCORES) :].clip(0.0)
        gain = table @ off
        gain[~live] = -np.inf
        worst = len(gain) - 1 - int(np.argmax(gain[::-1]))
        if not off.any() or gain[worst] <= 0:
            break
        live[worst] = False
    return live


def _folds(drafts: Sequence[Draft], seed: int) -> npt.NDArray[np.int64]:
    """Items in fifths by article, so that nothing is learned from an item of the same article, or of the same titles.

    Of four titles each is right once: who knows three keys of a block knows the fourth, and would learn just that.
    """
    places = [keyed_hash(seed, "fold", draft.block or draft.document.id) % _FOLDS for draft in drafts]
    return np.array(places, dtype=np.int64)


def bayes_hits(drafts: Sequence[Draft], seed: int) -> tuple[list[float], list[float]]:
    """For each item the probability that naive Bayes over features of options is right, and that its worst option is.

    It is learned on the other folds.
    """
    seen = [[features(option, draft) for option in draft.options] for draft in drafts]
    folds = _folds(drafts, seed)
    scores = np.zeros((len(drafts), len(seen[0])))
    for fold in range(_FOLDS):
        weights = _weights(row for row, number in zip(seen, folds, strict=True) if number != fold)
        for place in np.flatnonzero(folds == fold):
            scores[place] = [sum(weights.get(each, 0.0) for each in option) for option in seen[place]]
    return _hits_of(scores).tolist(), _hits_of(-scores).tolist()


def logit_hits(drafts: Sequence[Draft], seed: int) -> tuple[list[float], list[float]]:
    """The same for a conditional logit (McFadden 1974): softmax over an item's options of a linear score of their features."""
    table = _table(drafts)
    folds = _folds(drafts, seed)
    scores = np.zeros(table.shape[:2])
    for fold in range(_FOLDS):
        scores[folds == fold] = table[folds == fold] @ _fit(table[folds != fold])
    return _hits_of(scores).tolist(), _hits_of(-scores).tolist()


def learned(drafts: Sequence[Draft], seed: int) -> float | None:
    """Accuracy of a classifier of options that learns on four fifths of the articles and guesses the rest; None of few.

    Nearest neighbours: an option counts as right as the options of other articles are that share most features with it. No
    item is chosen by it, so it is evidence.
    """
    if len(drafts) < MIN_SELECTED:
        return None
    if len(drafts) > _MAX_LEARNED:
        drafts = sorted(drafts, key=lambda draft: keyed_hash(seed, "learned", draft.id))[:_MAX_LEARNED]
    table = _table(drafts)
    table /= np.sqrt(table.sum(axis=2, keepdims=True) + 1e-9)
    folds = _folds(drafts, seed)
    right = 0.0
    for fold in range(_FOLDS):
        known = table[folds != fold].reshape(-1, table.shape[2])
        labels = np.tile(np.array([1.0, 0.0, 0.0, 0.0]), int((folds != fold).sum()))
        places = np.flatnonzero(folds == fold)
        for block in (places[start : start + _BLOCK] for start in range(0, len(places), _BLOCK)):
            near = np.round(table[block] @ known.T, 9)
            nearest = np.argsort(-near, axis=2, kind="stable")[:, :, :_NEIGHBOURS]
            right += float(_hits_of(labels[nearest].mean(axis=2)).sum())
    return round(right / len(drafts), 4)


def _table(drafts: Sequence[Draft]) -> npt.NDArray[np.float64]:
    """Items × options × features, 1 where an option has one; features of few options are left out."""
    seen = [[set(features(option, draft)) for option in draft.options] for draft in drafts]
    counts = Counter(name for row in seen for option in row for name in option)
    names = {name: place for place, name in enumerate(sorted(each for each in counts if counts[each] >= _MIN_SEEN))}
    table = np.zeros((len(drafts), 4, len(names)))
    for item, row in enumerate(seen):
        for option, held in enumerate(row):
            table[item, option, [names[name] for name in sorted(held) if name in names]] = 1.0
    return table


def _hits_of(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Probability of being right, of items × scores of their options, the right one first; equal scores share it."""
    scores = np.round(scores, 9)
    best = scores == scores.max(axis=1, keepdims=True)
    return np.asarray(best[:, 0] / best.sum(axis=1))


def _fit(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weights of the features under which the first option of each item is likeliest, with a ridge."""
    weights = np.zeros(table.shape[2])
    for _ in range(_STEPS):
        scores = table @ weights
        shares = np.exp(scores - scores.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        shares[:, 0] -= 1.0
        weights -= _RATE * (np.einsum("io,iof->f", shares, table) / len(table) + _RIDGE * weights)
    return weights


def features(option: Option, draft: Draft) -> tuple[str, ...]:
    """What the classifier sees of an option."""
    return _features(option, draft.options, draft.form)


@functools.lru_cache(maxsize=_HELD)
def _features(option: Option, options: tuple[Option, ...], form: str) -> tuple[str, ...]:
    """Kept, since two classifiers look at each option in each round."""
    seen = [f"word {word}" for word in re.findall(r"[a-z]{3,}", option.text.lower())]
    for text in numbers_of(option):
        seen += [f"first {text.lstrip('0.,')[:1]}", f"last {text[-1]}", f"digits {digits_of(text)}"]
    for name, score in SCORES.items():
        values = sorted(score(other, options) for other in options)
        seen.append(f"{form} {name} {values.index(score(option, options))}")
    return tuple(seen)


def _weights(rows: Iterable[Sequence[Sequence[str]]]) -> Mapping[str, float]:
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for row in rows:
        right.update(row[0])
        for option in row[1:]:
            wrong.update(option)
    return {each: math.log((right[each] + 1) / (wrong[each] / 3 + 1)) for each in sorted(right | wrong)}
