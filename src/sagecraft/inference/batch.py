"""Several replies at once: each step of the model takes one token of every reply that is still being written.

A step is bound by reading the weights, so that sixteen rows cost little more than one. Prompts run one by one, as they do
for a single reply: they fill the products by themselves. A reply that ends gives its row to the next prompt.

Shape letters: B replies being written, L tokens of the longest, H query heads, G key-value heads, K head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from sagecraft.inference.local import draw
from sagecraft.inference.protocol import Sampling, Take, room_for
from sagecraft.models.branches import Branches
from sagecraft.models.decoder import Decoder

if TYPE_CHECKING:
    from sagecraft.inference.local import LocalEngine
    from sagecraft.models.decoder import Cache

#: Replies that are written at once.
NUM_ROWS = 16
#: Tokens by which the room for keys and values grows.
_GROWTH = 256
#: Keys that are summed over are a multiple of this.
_LANES = 64


class Rows(Branches):
    """Keys and values of replies of unlike length; a step adds one token to each.

    Attributes:
        positions: [B] of the tokens that the next step adds.
    """

    def __init__(self, device: torch.device) -> None:
        self.past = None
        self.positions = torch.zeros(0, dtype=torch.long, device=device)
        self._held: list[tuple[Tensor, Tensor]] = []  # a pair [rows, G, room, K] a layer
        self._masks: dict[int | None, Tensor] = {}

    def add(self, cache: Cache) -> None:
        """Takes what a prompt left behind as a further row."""
        filled = [pair for pair in cache.layers if pair is not None]
        self._reserve(len(self.positions) + 1, cache.length + 1, filled)
        row = len(self.positions)
        for (keys, values), (new_keys, new_values) in zip(self._held, filled, strict=True):
            keys[row, :, : cache.length] = new_keys[0]
            values[row, :, : cache.length] = new_values[0]
        self.positions = torch.cat((self.positions, self.positions.new_tensor([cache.length])))
        self._masks = {}

    def remove(self, row: int) -> None:
        """Ends a row; the last one moves into its place."""
        last = len(self.positions) - 1
        if row != last:
            length = int(self.positions[last])
            for pair in self._held:
                for held in pair:
                    held[row, :, :length] = held[last, :, :length]
            self.positions[row] = self.positions[last]
        self.positions = self.positions[:last]
        self._masks = {}

    def fed(self, tokens: list[int]) -> list[int]:
        """The tokens of the next step. A row alone gets a twin, which lasts until it ends.

        Products of one row are summed in another order than those of several: in bfloat16 logits moved by 0.19, among two
        to sixteen rows by nothing (SmolLM2-135M), and a reply would hang on how many others are written beside it.
        """
        if len(tokens) > 1:
            return tokens
        if len(self.positions) == 1:
            length = int(self.positions[0])
            self._reserve(2, length + 1, self._held)
            for pair in self._held:
                for held in pair:
                    held[1, :, :length] = held[0, :, :length]
            self.positions = self.positions.repeat(2)
            self._masks = {}
        return tokens * 2

    def advance(self) -> None:
        """Counts the tokens of the step that was made."""
        self.positions = self.positions + 1
        self._masks = {}
        if len(self.positions):
            self._reserve(len(self.positions), int(self.positions.max()) + 1, self._held)

    def _reserve(self, num_rows: int, length: int, like: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Makes room; what is held stays where it is."""
        rows, room = (self._held[0][0].shape[0], self._held[0][0].shape[2]) if self._held else (0, 0)
        if num_rows <= rows and length <= room:
            return
        rows, wider = max(rows, num_rows), max(room, -(-length // _GROWTH) * _GROWTH)
        grown = []
        for index, pair in enumerate(like):
            new = [torch.zeros(rows, t.shape[1], wider, t.shape[3], dtype=t.dtype, device=t.device) for t in pair]
            if self._held:
                for target, old in zip(new, self._held[index], strict=True):
                    target[: old.shape[0], :, : old.shape[2]] = old
            grown.append((new[0], new[1]))
        self._held = grown

    def mask(self, window: int | None) -> Tensor:
        """[B, 1, 1, L]: true for the tokens that a row's new one sees."""
        if window not in self._masks:
            # Sums over keys go by the lane: what is masked adds zeros as long as whole lanes are summed, while a ragged end
            # would be summed in another order, by the longest reply. Two of 24 replies in bfloat16 hung on it.
            longest = -(-(int(self.positions.max()) + 1) // _LANES) * _LANES
            places = torch.arange(min(longest, self._held[0][0].shape[2]), device=self.positions.device)
            seen = places <= self.positions[:, None]
            if window is not None:
                seen = seen & (self.positions[:, None] - places < window)
            self._masks[window] = seen[:, None, None]
        return self._masks[window]

    def attend(
        self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, scale: float | None, window: int | None
    ) -> Tensor:
        """[B, H, K], keys and values [B, G, K] with their positions applied, to [B, H, K]."""
        num_rows, num_heads, head_size = queries.shape
        held_keys, held_values = self._held[layer]
        rows = torch.arange(num_rows, device=queries.device)
        held_keys[rows, :, self.positions] = keys
        held_values[rows, :, self.positions] = values
        mask = self.mask(window)
        length = mask.shape[-1]
        # the heads of a group stand where tokens usually do, so that no key is copied for each of them
        grouped = queries.view(num_rows, keys.shape[1], num_heads // keys.shape[1], head_size)
        mixed = F.scaled_dot_product_attention(
            grouped, held_keys[:num_rows, :, :length], held_values[:num_rows, :, :length], attn_mask=mask, scale=scale
        )
        return mixed.reshape(num_rows, num_heads, head_size)


@torch.inference_mode()
def write_each(
    engine: LocalEngine, prompts: Sequence[Sequence[int]], sampling: Sampling, take: Take, num_rows: int = NUM_ROWS
) -> None:
    """Writes a reply to each prompt, each token of which goes to `take` as it comes.

    A reply ends with a stop token (not given out), with `take`, with `max_tokens`, or with the model's context.

    Args:
        engine: writes; a model that only transformers computes writes one reply after the other.
        prompts: ids, none empty and each shorter than the model's context.
        sampling: how tokens are drawn.
        take: gets the number of the prompt and the token, and says whether the reply goes on.
        num_rows: replies at once; they are the same whatever it is.

    Raises:
        UserError: a prompt is empty or longer than the model's context.
    """
    model = engine.model
    if not isinstance(model, Decoder):
        for number, prompt in enumerate(prompts):
            for token in engine.stream(prompt, sampling):
                if not take(number, token):
                    break
        return
    stops = set(engine.tokenizer.stop_ids)
    rows, written = Rows(engine.device), list[_Reply]()
    waiting = iter(range(len(prompts)))

    def goes_on(reply: _Reply, logits: Tensor) -> bool:
        token = draw(logits, sampling, reply.count)
        if token in stops or not take(reply.number, token):
            return False
        reply.last, reply.count = token, reply.count + 1
        return reply.count < reply.room

    while True:
        while len(written) < num_rows and (following := next(waiting, None)) is not None:
            room = min(sampling.max_tokens, room_for(engine, prompts[following]))
            cache, reply = model.new_cache(), _Reply(following, room)
            hidden = model(torch.tensor([list(prompts[following])], device=engine.device), cache=cache)
            if goes_on(reply, model.logits(hidden[0, -1])):
                rows.add(cache)
                written.append(reply)
        if not written:
            return
        tokens = rows.fed([reply.last for reply in written])
        hidden = model(torch.tensor(tokens, device=engine.device), boundaries=rows)
        rows.advance()
        logits = model.logits(hidden)
        ended = [row for row, reply in enumerate(written) if not goes_on(reply, logits[row])]
        if ended and len(tokens) > len(written):
            rows.remove(1)
        for row in reversed(ended):
            rows.remove(row)
            written[row] = written[-1]
            written.pop()


class _Reply:
    """A reply that is being written: its prompt's number, tokens it may have, tokens it has, and the last of them."""

    def __init__(self, number: int, room: int) -> None:
        self.number, self.room = number, room
        self.count, self.last = 0, 0
