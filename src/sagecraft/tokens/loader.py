"""From packed rows to batches, in a keyed order that can be taken up anywhere."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sagecraft.artifact import keyed_hash
from sagecraft.tokens.packed import LENGTH, SOURCE, START, Packed


@dataclass(frozen=True)
class Batch:
    """Pieces laid end to end, without padding.

    Attributes:
        input_ids: int64 [N].
        boundaries: piece i is [boundaries[i], boundaries[i+1]).
        predicting: int64 [S], positions whose next token is to be learned.
        targets: int64 [S], those tokens.
        sources: int64 [S], number of each target's source in `Packed.sources`.
        num_tokens: tokens of the rows, the ones without a prediction included.
    """

    input_ids: NDArray[np.int64]
    boundaries: list[int]
    predicting: NDArray[np.int64]
    targets: NDArray[np.int64]
    sources: NDArray[np.int64]
    num_tokens: int


class Loader:
    """The rows of `epochs` passes, each pass in an order of its own; `epochs` may be a fraction (2.5)."""

    def __init__(self, packed: Packed, rows_per_step: int, epochs: float, seed: int) -> None:
        self.packed = packed
        self.rows_per_step = rows_per_step
        self.seed = seed
        self.num_rows = max(1, round(epochs * packed.num_rows))
        self.num_steps = math.ceil(self.num_rows / rows_per_step)
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def _shuffled(self, epoch: int) -> list[int]:
        order = list(range(self.packed.num_rows))
        random.Random(keyed_hash(self.seed, "epoch", epoch)).shuffle(order)  # noqa: S311
        return order

    def rows(self, step: int) -> list[int]:
        """The rows of one optimizer step; a step may reach over the edge of an epoch."""
        first = step * self.rows_per_step
        last = min(first + self.rows_per_step, self.num_rows)
        size = self.packed.num_rows
        return [self._order(n // size)[n % size] for n in range(first, last)]

    def count(self, rows: Sequence[int]) -> tuple[int, int]:
        """Tokens of some rows, and how many of them are learned: known to every process, whoever's rows they are."""
        num_tokens = num_learned = 0
        for row in rows:
            pieces = self.packed.pieces_of(row)
            num_tokens += int(pieces[:, LENGTH].sum())
            mask = self.packed.mask[row]
            num_learned += int(np.count_nonzero(mask)) - int(np.count_nonzero(mask[pieces[:, START]]))
        return num_tokens, num_learned

    def batch(self, rows: Sequence[int]) -> Batch:
        """Lays the pieces of some rows end to end."""
        ids: list[NDArray[np.int64]] = []
        predicting: list[NDArray[np.int64]] = []
        targets: list[NDArray[np.int64]] = []
        sources: list[NDArray[np.int64]] = []
        boundaries = [0]
        num_tokens = 0
        for row in rows:
            for piece in self.packed.pieces_of(row):
                start, length = int(piece[START]), int(piece[LENGTH])
                num_tokens += length
                tokens = self.packed.tokens[row, start : start + length].astype(np.int64)
                learned = np.flatnonzero(self.packed.mask[row, start + 1 : start + length])
                if not len(learned):
                    continue
                ids.append(tokens[:-1])  # the last token predicts nothing
                predicting.append(learned + boundaries[-1])
                targets.append(tokens[1:][learned])
                sources.append(np.full(len(learned), piece[SOURCE]))
                boundaries.append(boundaries[-1] + length - 1)
        return Batch(
            np.concatenate(ids) if ids else np.zeros(0, np.int64),
            boundaries,
            np.concatenate(predicting) if predicting else np.zeros(0, np.int64),
            np.concatenate(targets) if targets else np.zeros(0, np.int64),
            np.concatenate(sources) if sources else np.zeros(0, np.int64),
            num_tokens,
        )
