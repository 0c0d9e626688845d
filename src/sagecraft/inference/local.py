"""The local engine: our decoder on this machine, for generation and for scoring.

Tokens are the request: callers pass ids, never text, so that no engine adds a second BOS or another template.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sagecraft.artifact import keyed_hash
from sagecraft.chat.template import ChatTemplate
from sagecraft.errors import UserError
from sagecraft.models.load import Dtype, load_model

#: Tokens of one forward pass when whole sequences are scored: bounds the logits to 2,048 × vocabulary.
_SCORE_TOKENS = 2048


class Sampling(BaseModel):
    """How a reply is drawn.

    Attributes:
        max_tokens: tokens at most.
        temperature: 0 takes the likeliest token; above, logits are divided by it.
        top_p: draw from the smallest set of tokens that holds this probability (arXiv:1904.09751).
        seed: the draw at each position is keyed by it, so a reply can be had again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=0.0, ge=0.0)
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    seed: int = 0


class LocalEngine:
    """A model folder, with a LoRA adapter if one is given, ready to generate and to score."""

    def __init__(self, path: Path, dtype: Dtype = "bfloat16", adapter: Path | None = None) -> None:
        loaded = load_model(path, dtype, adapter)
        self.model = loaded.model
        self.max_positions = loaded.model.max_positions
        self.tokenizer = loaded.tokenizer
        self.path = path
        self.name = "+".join(part.resolve().name for part in (path, adapter) if part is not None)

    @cached_property
    def template(self) -> ChatTemplate:
        """The checkpoint's chat template."""
        return ChatTemplate.for_tokenizer(self.tokenizer)

    @torch.inference_mode()
    def stream(
        self, prompt_ids: Sequence[int], sampling: Sampling, stop_ids: Sequence[int] | None = None
    ) -> Iterator[int]:
        """Yields token ids until a stop token (not yielded), `max_tokens`, or the end of the context.

        Raises:
            UserError: the prompt is empty or longer than the model's context.
        """
        if not prompt_ids:
            raise UserError("the prompt has no tokens; ask something")
        room = self.max_positions - len(prompt_ids)
        if room <= 0:
            raise UserError(
                f"the prompt has {len(prompt_ids):,} tokens, {self.name} takes {self.max_positions:,}; shorten it"
            )
        stops = set(self.tokenizer.stop_ids if stop_ids is None else stop_ids)
        cache = self.model.new_cache()
        ids = torch.tensor([list(prompt_ids)])
        for position in range(min(sampling.max_tokens, room)):
            hidden = self.model(ids, cache=cache)
            token = draw(self.model.logits(hidden[0, -1]), sampling, position)
            if token in stops:
                return
            yield token
            ids = torch.tensor([[token]])

    @torch.inference_mode()
    def next_logprobs(self, prompt_ids: Sequence[int]) -> Tensor:
        """Log-probabilities [V] of the next token."""
        hidden = self.model(torch.tensor([list(prompt_ids)]))
        return self.model.logits(hidden[0, -1]).log_softmax(-1)

    @torch.inference_mode()
    def score(self, prefix_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities (natural) of each continuation's tokens after a shared prefix, which runs once."""
        if not prefix_ids or not all(continuations):
            raise ValueError("a prefix and continuations of at least one token are needed")
        cache = self.model.new_cache()
        prefix_hidden = self.model(torch.tensor([list(prefix_ids)]), cache=cache)
        first = self.model.logits(prefix_hidden[0, -1]).log_softmax(-1)
        # The last token of a continuation is only predicted, never fed. Padding behind it is invisible: attention is
        # causal.
        longest = max(len(ids) for ids in continuations) - 1
        later: Tensor | None = None
        if longest:
            fed = torch.zeros(len(continuations), longest, dtype=torch.long)
            for row, ids in enumerate(continuations):
                fed[row, : len(ids) - 1] = torch.tensor(ids[:-1])
            later = self.model.logits(self.model(fed, cache=cache.fork())).log_softmax(-1)
        scores = []
        for row, ids in enumerate(continuations):
            values = [first[ids[0]].item()]
            if later is not None:
                values += [later[row, step, token].item() for step, token in enumerate(ids[1:])]
            scores.append(values)
        return scores

    @torch.inference_mode()
    def sequence_logprobs(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of each token given those before it; a sequence's first token has none."""
        results: list[list[float]] = []
        group: list[Sequence[int]] = []
        filled = 0
        for ids in [*batch, None]:
            if group and (ids is None or filled + len(ids) > _SCORE_TOKENS):
                results += self._packed_logprobs(group)
                group, filled = [], 0
            if ids is not None:
                group.append(ids)
                filled += len(ids)
        return results

    def _packed_logprobs(self, group: Sequence[Sequence[int]]) -> list[list[float]]:
        flat = torch.tensor([token for ids in group for token in ids])
        boundaries = [0]
        for ids in group:
            boundaries.append(boundaries[-1] + len(ids))
        hidden = self.model(flat, boundaries=boundaries)
        results = []
        for ids, start in zip(group, boundaries, strict=False):
            logits = self.model.logits(hidden[start : start + len(ids) - 1])
            targets = flat[start + 1 : start + len(ids)]
            results.append((logits.gather(1, targets[:, None])[:, 0] - logits.logsumexp(-1)).tolist())
        return results


def draw(logits: Tensor, sampling: Sampling, position: int) -> int:
    """The next token from logits [V]; the draw is keyed by (seed, position)."""
    if sampling.temperature == 0:
        return int(logits.argmax())
    probabilities = (logits.double() / sampling.temperature).softmax(-1)
    ordered, order = probabilities.sort(descending=True, stable=True)
    kept = ordered.cumsum(0) - ordered < sampling.top_p
    weights = ordered[kept].cumsum(0)
    point = keyed_hash(sampling.seed, "draw", position) / 2**64 * weights[-1].item()
    return int(order[torch.searchsorted(weights, point, right=True).clamp(max=len(weights) - 1)])
