"""The local engine: our decoder on this machine, for generation and for scoring.

Tokens are the request: callers pass ids, never text, so that no engine adds a second BOS or another template.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from sagecraft.artifact import keyed_hash
from sagecraft.chat.template import ChatTemplate
from sagecraft.errors import UserError
from sagecraft.models.branches import Branches
from sagecraft.models.decoder import Cache, Decoder
from sagecraft.models.load import Dtype, load_model

#: Tokens of one forward pass when whole sequences are scored: bounds the logits to 2,048 × vocabulary.
_SCORE_TOKENS = 2048
#: Tokens of the vocabulary whose logits are taken at once: 2,048 places make 67 MB of them, and the head's part is widened once.
_HEAD_TOKENS = 8192

#: The ids before several continuations, and the ids of these.
Question = tuple[Sequence[int], Sequence[Sequence[int]]]


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
        self._shared: tuple[list[int], Cache] | None = None
        self.name = "+".join(part.resolve().name for part in (path, adapter) if part is not None)

    @cached_property
    def template(self) -> ChatTemplate:
        """The checkpoint's chat template."""
        return ChatTemplate.for_tokenizer(self.tokenizer)

    def room_for(self, prompt_ids: Sequence[int]) -> int:
        """Tokens that a reply to this prompt can have.

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
        return room

    @torch.inference_mode()
    def stream(
        self, prompt_ids: Sequence[int], sampling: Sampling, stop_ids: Sequence[int] | None = None
    ) -> Iterator[int]:
        """Yields token ids until a stop token (not yielded), `max_tokens`, or the end of the context.

        Raises:
            UserError: the prompt is empty or longer than the model's context.
        """
        room = self.room_for(prompt_ids)
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
    def score(self, questions: Sequence[Question], shared: int = 0) -> list[list[list[float]]]:
        """Log-probabilities (natural) of the tokens of each continuation of each question.

        What stands before the continuations runs once for all of them, and the vocabulary is touched only where one of
        their tokens is foretold.

        Args:
            questions: of each, the ids before its continuations, and the ids of these; none empty.
            shared: tokens that all questions begin with; they run once for all, and not again in the next call.
        """
        if not all(prefix and all(continuations) for prefix, continuations in questions):
            raise ValueError("prefixes and continuations of at least one token are needed")
        model = self.model
        if not isinstance(model, Decoder):
            return [self._score_one(*question) for question in questions]
        past = self._run_shared(model, questions[0][0][:shared]) if shared else None
        # the last token of a continuation is only foretold, never fed
        fed = [
            [*prefix[shared:], *(token for ids in continuations for token in ids[:-1])]
            for prefix, continuations in questions
        ]
        layout = [
            (len(prefix) - shared, [len(ids) - 1 for ids in continuations]) for prefix, continuations in questions
        ]
        # where only one token is foretold nothing branches, and packed attention is faster
        branch = past is not None or any(any(lengths) for _, lengths in layout)
        ends = list(itertools.accumulate(map(len, fed), initial=0))
        boundaries = Branches(layout, past) if branch else ends
        hidden = model(torch.tensor([token for ids in fed for token in ids]), boundaries=boundaries)
        rows, targets = _foretold(questions, shared)
        values = iter(self._chosen(model.lm_head.weight, hidden, rows, targets))
        return [[[next(values) for _ in ids] for ids in continuations] for _, continuations in questions]

    def _run_shared(self, model: Decoder, ids: Sequence[int]) -> Cache:
        """Keys and values of what questions begin with."""
        if self._shared is None or self._shared[0] != list(ids):
            cache = model.new_cache()
            model(torch.tensor([list(ids)]), cache=cache)
            self._shared = list(ids), cache
        return self._shared[1]

    def _chosen(self, head: Tensor, hidden: Tensor, rows: list[int], targets: list[int]) -> list[float]:
        """Log-probability of each target as the token behind its row of [N, D]; the head is [V, D].

        Logits are taken in float32 at least: in bfloat16 one of 20 has steps of 0.125, and picks would turn with them.
        """
        wanted, place = torch.unique(torch.tensor(rows), return_inverse=True)
        aims = torch.tensor(targets)
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        known = hidden[wanted].to(dtype)
        total = torch.full((len(wanted),), -math.inf, dtype=dtype)
        found = torch.empty(len(targets), dtype=dtype)
        for start in range(0, len(head), _HEAD_TOKENS):
            logits = known @ head[start : start + _HEAD_TOKENS].to(dtype).T
            total = torch.logaddexp(total, logits.logsumexp(-1))
            here = ((aims >= start) & (aims < start + _HEAD_TOKENS)).nonzero()[:, 0]
            found[here] = logits[place[here], aims[here] - start]
        values: list[float] = (found - total[place]).tolist()
        return values

    def _score_one(self, prefix_ids: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[list[float]]:
        """The same for one question, of models that only transformers computes."""
        cache = self.model.new_cache()
        prefix_hidden = self.model(torch.tensor([list(prefix_ids)]), cache=cache)
        first = self.model.logits(prefix_hidden[0, -1]).log_softmax(-1)
        # Padding behind a continuation is invisible: attention is causal.
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


def _foretold(questions: Sequence[Question], shared: int) -> tuple[list[int], list[int]]:
    """For each token of each continuation the row (of the tokens that are fed) that foretells it, and its id."""
    rows, targets = list[int](), list[int]()
    start = 0
    for prefix, continuations in questions:
        last = start + len(prefix) - shared - 1
        start = last + 1
        for ids in continuations:
            rows += [last, *range(start, start + len(ids) - 1)]
            targets += ids
            start += len(ids) - 1
    return rows, targets


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
