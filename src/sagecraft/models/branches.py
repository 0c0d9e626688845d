"""Token sequences that share a beginning: several questions at once, each run once with all its possible answers behind it.

The tokens of all lie end to end without padding, so that every product of the model is taken once for each token; only attention, which
is small beside them at these lengths, looks at them as rows of equal length under a mask. Answers that begin alike share those tokens too:
on ARC that is one token in seven of all answers, and one in four where the answers of many questions stand behind one prompt.

Shape letters: N tokens in all, B rows, T tokens of the longest, P tokens that all begin with, H query heads,
G key-value heads, K head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from sagecraft.models.decoder import Cache

#: Tokens of a row that holds answers alone: longer rows cost attention, shorter ones share fewer beginnings.
_ROW_TOKENS = 64


@dataclass
class Tree:
    """Sequences that begin alike, each shared token once, in the order of one who follows every branch to its end.

    Attributes:
        ids: of the tokens.
        depths: how many tokens of the tree stand before each in its sequence.
        ends: of each token the place behind the last one that sees it: it is seen by itself and all up to there.
        foretelling: of each continuation, and each of its tokens, the place of the token that foretells it; -1: it stands
            before the tree.
    """

    ids: list[int] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    foretelling: list[list[int]] = field(default_factory=list)

    def rows(self) -> Iterator[tuple[list[int], list[int]]]:
        """Depths and ends, the latter from the row's beginning; cut between trees that stand side by side."""
        roots = [place for place, depth in enumerate(self.depths) if depth == 0]
        start = 0
        for root, following in itertools.pairwise([*roots, len(self.ids)]):
            if following - start > _ROW_TOKENS and root > start:
                yield self.depths[start:root], [end - start for end in self.ends[start:root]]
                start = root
        if start < len(self.ids):
            yield self.depths[start:], [end - start for end in self.ends[start:]]


def grow(before: Sequence[int], continuations: Sequence[Sequence[int]]) -> Tree:
    """The tree of the continuations of one beginning; the last token of each is only foretold, so it has no place.

    Args:
        before: ids that all begin with; if there are none, trees stand side by side, each of about a row at most.
        continuations: ids, at least one of each.
    """
    tree = Tree(list(before), list(range(len(before))), [0] * len(before), [[] for _ in continuations])
    path = list(range(len(before)))  # places of the tokens that lead to the one that was added last
    for number in sorted(range(len(continuations)), key=lambda number: list(continuations[number])):
        fed = continuations[number][:-1]
        led = [tree.ids[place] for place in path[len(before) :]]
        same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(led, fed, strict=False)))
        if not before and path and len(tree.ids) - path[0] + len(fed) - same > _ROW_TOKENS:
            same = 0  # what it shares is repeated, lest a row grow without end
        kept = len(before) + same
        for place in path[kept:]:
            tree.ends[place] = len(tree.ids)
        path = [*path[:kept], *range(len(tree.ids), len(tree.ids) + len(fed) - same)]
        tree.ids += fed[same:]
        tree.depths += range(kept, len(path))
        tree.ends += [0] * (len(path) - kept)
        tree.foretelling[number] = [path[len(before) - 1] if before else -1, *path[len(before) :]]
    for place in path:
        tree.ends[place] = len(tree.ids)
    return tree


class Branches:
    """Where each token stands and what it sees: itself, and those that lead to it.

    Attributes:
        positions: [N] of the tokens in their sequences.
        past: keys and values of what all begin with; None if that is nothing.
    """

    def __init__(self, trees: Sequence[Tree], past: Cache | None = None, device: torch.device | None = None) -> None:
        """Lays trees out.

        Args:
            trees: their tokens, end to end, are what the model is given.
            past: what all begin with, as one row.
            device: where the model is.
        """
        self.past = past
        rows = [row for tree in trees for row in tree.rows()]
        shape = len(rows), max(len(depths) for depths, _ in rows)
        places, held = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
        self._ends = torch.arange(1, shape[1] + 1).repeat(shape[0], 1)  # what holds no token sees itself alone
        for index, (depths, ends) in enumerate(rows):
            places[index, : len(depths)] = torch.tensor(depths)
            held[index, : len(depths)] = True
            self._ends[index, : len(ends)] = torch.tensor(ends)
        tokens = torch.zeros_like(places)
        tokens[held] = torch.arange(int(held.sum()))
        places += past.length if past is not None else 0
        self._ends, self._places, self._tokens = (t.to(device) for t in (self._ends, places, tokens))
        self._back = held.flatten().nonzero()[:, 0].to(device)
        self.positions = self._places.flatten()[self._back]
        self._masks: dict[int | None, Tensor] = {}

    def mask(self, window: int | None) -> Tensor:
        """[B, 1, T, P + T]: true where a token (third axis) sees another; `window` is how many it sees, itself included."""
        if window not in self._masks:
            places = self._places
            order = torch.arange(places.shape[1], device=places.device)
            seen = (order <= order[:, None]) & (order[:, None] < self._ends[:, None, :])
            if self.past is not None:
                before = torch.arange(self.past.length, device=places.device).expand(len(places), -1)
                seen = torch.cat((seen.new_ones((*places.shape, self.past.length)), seen), dim=2)
                places = torch.cat((before, places), dim=1)
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
        # in bfloat16 torch rounds between blocks of keys, so that sums moved by 0.42 with the length of the longest row; in
        # float32 by 0.16, for 2 % of the time (60 questions of ARC, SmolLM2-135M)
        exact = torch.promote_types(queries.dtype, torch.float32)
        mixed = F.scaled_dot_product_attention(
            queries.to(exact),
            keys.to(exact),
            values.to(exact),
            attn_mask=self.mask(window),
            scale=scale,
            enable_gqa=True,
        )
        return mixed.to(queries.dtype).transpose(1, 2).flatten(0, 1)[self._back]


def common_start(sequences: Sequence[Sequence[int]]) -> int:
    """Tokens that all sequences begin with; of each at least one is left."""
    first, last = min(map(list, sequences)), max(map(list, sequences))  # what these two share, those between share too
    limit = min(map(len, sequences)) - 1
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return max(0, min(limit, sum(1 for _ in pairs)))
