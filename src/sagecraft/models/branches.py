"""Token sequences that share a beginning: several questions at once, each run once with all its possible answers behind it.

The tokens of all lie end to end without padding, so that every product of the model is taken once for each token; only attention, which
is small beside them at these lengths, looks at them as rows of equal length under a mask.

Shape letters: N tokens in all, B questions, T tokens of the longest with its answers, P tokens that all begin with, H query heads,
G key-value heads, K head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sagecraft.models.decoder import Cache

#: Segment of a place that holds no token; what stands before the answers is segment 0, they are 1, 2, …
_NOTHING = -1


class Branches:
    """Where each token stands and what it sees: its question up to itself, and of the answers its own.

    Attributes:
        positions: [N] of the tokens in their sequences.
        past: keys and values of what all questions begin with; None if that is nothing.
    """

    def __init__(self, questions: Sequence[tuple[int, Sequence[int]]], past: Cache | None = None) -> None:
        """Lays questions out.

        Args:
            questions: of each, the tokens before its answers (not those of `past`), and those of each answer.
            past: what all begin with, as one row.
        """
        self.past = past
        num_past = past.length if past is not None else 0
        rows = [_row(num_past, before, answers) for before, answers in questions]
        lengths = [len(segments) for segments, _ in rows]
        self._segments = torch.full((len(rows), max(lengths)), _NOTHING)
        places = torch.zeros_like(self._segments)
        for index, (segments, positions) in enumerate(rows):
            self._segments[index, : len(segments)] = torch.tensor(segments)
            places[index, : len(positions)] = torch.tensor(positions)
        self._places = places
        held = self._segments != _NOTHING
        self.positions = places[held]
        self._tokens = torch.zeros_like(self._segments)
        self._tokens[held] = torch.arange(int(held.sum()))
        self._back = held.flatten().nonzero()[:, 0]
        self._masks: dict[int | None, Tensor] = {}

    def mask(self, window: int | None) -> Tensor:
        """[B, 1, T, P + T]: true where a token (third axis) sees another; `window` is how many it sees, itself included."""
        if window not in self._masks:
            segments, places = self._segments, self._places
            same = (segments[:, None, :] == 0) | (segments[:, None, :] == segments[:, :, None])
            seen = same & (places[:, None, :] <= places[:, :, None])
            if self.past is not None:
                before = torch.arange(self.past.length).expand(*segments.shape, -1)
                places = torch.cat((torch.arange(self.past.length).expand(len(segments), -1), places), dim=1)
                seen = torch.cat((torch.ones_like(before, dtype=torch.bool), seen), dim=2)
            if window is not None:
                seen = seen & (self._places[:, :, None] - places[:, None, :] < window)
            self._masks[window] = seen[:, None]
        return self._masks[window]

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, scale: float | None, window: int | None
    ) -> Tensor:
        """[N, H, K], keys and values [N, G, K] with their positions applied, to [N, H, K]."""
        queries, keys, values = (t[self._tokens].transpose(1, 2) for t in (queries, keys, values))
        past = self.past.layers[layer] if self.past is not None else None
        if past is not None:
            keys, values = (
                torch.cat((old.expand(len(new), -1, -1, -1), new), dim=2)
                for old, new in zip(past, (keys, values), strict=True)
            )
        mixed = F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=self.mask(window), scale=scale, enable_gqa=True
        )
        return mixed.transpose(1, 2).flatten(0, 1)[self._back]


def _row(num_past: int, before: int, answers: Sequence[int]) -> tuple[list[int], list[int]]:
    """Segment and position of each token of a question with its answers."""
    segments, positions = [0] * before, list(range(num_past, num_past + before))
    for number, length in enumerate(answers, start=1):
        segments += [number] * length
        positions += range(num_past + before, num_past + before + length)
    return segments, positions


def common_start(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens that all sequences begin with; of each at least one is left."""
    first, last = min(map(list, sequences)), max(map(list, sequences))  # what these two share, those between share too
    limit = min(map(len, sequences)) - 1
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return max(0, min(limit, sum(1 for _ in pairs)))
