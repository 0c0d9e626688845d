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
from torch import Tensor

from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.chat.template import ChatTemplate
from sagecraft.inference.protocol import Question, Sampling, Take, room_for
from sagecraft.models.branches import Branches, Tree, grow
from sagecraft.models.decoder import Cache, Decoder
from sagecraft.models.load import Dtype, load_model

#: Tokens of one forward pass when whole sequences are scored: bounds the logits to 2,048 × vocabulary.
_SCORE_TOKENS = 2048
#: Tokens of the vocabulary whose logits are taken at once: 2,048 places make 67 MB of them, and the head's part is widened once.
_HEAD_TOKENS = 8192
#: Continuations of one prefix that run side by side where transformers computes.
_ROWS = 32


class LocalEngine:
    """A model folder, with a LoRA adapter if one is given, ready to generate and to score.

    Attributes:
        device: where the model computes.
    """

    def __init__(
        self, path: Path, dtype: Dtype = "bfloat16", adapter: Path | None = None, device: str | None = None
    ) -> None:
        """Loads the model.

        Args:
            path: its folder.
            dtype: of its weights and products.
            adapter: added to the weights.
            device: as torch calls it (`cpu`, `cuda:1`); None takes the first card if there is one, else the processor.

        Raises:
            UserError: as `load_model` has it.
        """
        loaded = load_model(path, dtype, adapter)
        self.device = torch.device(device or ("cuda:0" if torch.cuda.is_available() else "cpu"))
        self.model = loaded.model.to(self.device)
        self.max_positions = loaded.model.max_positions
        self.tokenizer = loaded.tokenizer
        self.path = path
        self._shared: tuple[list[int], Cache, Tensor] | None = None
        self._parts, self._dtype = [part for part in (path, adapter) if part is not None], dtype
        self.name = "+".join(part.resolve().name for part in self._parts)

    @cached_property
    def identity(self) -> str:
        """Digests of the weights, and the arithmetic."""
        weights = "+".join(artifact.input_digest(part) for part in self._parts)
        return f"{weights} {self._dtype}"

    @cached_property
    def template(self) -> ChatTemplate:
        """The checkpoint's chat template."""
        return ChatTemplate.for_tokenizer(self.tokenizer)

    def _ids(self, ids: Sequence[int]) -> Tensor:
        """[N], where the model is."""
        return torch.tensor(list(ids), dtype=torch.long, device=self.device)

    @torch.inference_mode()
    def stream(
        self, prompt_ids: Sequence[int], sampling: Sampling, stop_ids: Sequence[int] | None = None
    ) -> Iterator[int]:
        """Yields token ids until a stop token (not yielded), `max_tokens`, or the end of the context.

        Raises:
            UserError: the prompt is empty or longer than the model's context.
        """
        room = room_for(self, prompt_ids)
        stops = set(self.tokenizer.stop_ids if stop_ids is None else stop_ids)
        cache = self.model.new_cache()
        ids = self._ids(prompt_ids)[None]
        for position in range(min(sampling.max_tokens, room)):
            hidden = self.model(ids, cache=cache)
            token = draw(self.model.logits(hidden[0, -1]), sampling, position)
            if token in stops:
                return
            yield token
            ids = self._ids([token])[None]

    def write_each(self, prompts: Sequence[Sequence[int]], sampling: Sampling, take: Take) -> None:
        """Writes a reply to each prompt, several at once; each token goes to `take`, which may end the reply.

        Raises:
            UserError: a prompt is empty or longer than the model's context.
        """
        from sagecraft.inference.batch import write_each

        write_each(self, prompts, sampling, take)

    @torch.inference_mode()
    def next_logprobs(self, prompt_ids: Sequence[int]) -> Tensor:
        """Log-probabilities [V] of the next token."""
        hidden = self.model(self._ids(prompt_ids)[None])
        return self.model.logits(hidden[0, -1]).log_softmax(-1)

    @torch.inference_mode()
    def score(self, questions: Sequence[Question], shared: int = 0) -> list[list[list[float]]]:
        """Log-probabilities (natural) of the tokens of each continuation of each question.

        What stands before the continuations runs once for all of them, and the vocabulary is touched only where one of
        their tokens is foretold.

        Args:
            questions: of each, the ids before its continuations, and the ids of these; none empty.
            shared: tokens that all questions begin with; they run once for all, and not again in the next call. Either all
                prefixes end there or none does.
        """
        if not all(prefix and all(continuations) for prefix, continuations in questions):
            raise ValueError("prefixes and continuations of at least one token are needed")
        whole = bool(shared) and all(len(prefix) == shared for prefix, _ in questions)
        if not whole and any(len(prefix) <= shared for prefix, _ in questions):
            raise ValueError("each question has a token of its own behind what all share, or none has")
        model = self.model
        if not isinstance(model, Decoder):
            return self._score_side_by_side(questions) if whole else [self._score_one(*pair) for pair in questions]
        past, last = self._run_shared(model, questions[0][0][:shared]) if shared else (None, None)
        if whole:  # answers of many questions stand behind one prompt, and share their own beginnings as well
            trees = [grow([], [ids for _, continuations in questions for ids in continuations])]
        else:
            trees = [grow(prefix[shared:], continuations) for prefix, continuations in questions]
        fed = [token for tree in trees for token in tree.ids]
        hidden = self._run(model, trees, fed, past) if fed else None
        if whole and last is not None:
            hidden = last[None] if hidden is None else torch.cat((last[None], hidden))
        assert hidden is not None, "where nothing is fed, what stands before has foretold it"
        starts = itertools.accumulate((len(tree.ids) for tree in trees), initial=int(whole))
        rows = [
            start + place
            for tree, start in zip(trees, starts, strict=False)
            for row in tree.foretelling
            for place in row
        ]
        targets = [token for _, continuations in questions for ids in continuations for token in ids]
        values = iter(self._chosen(model.lm_head.weight, hidden, rows, targets))
        return [[[next(values) for _ in ids] for ids in continuations] for _, continuations in questions]

    def _run(self, model: Decoder, trees: Sequence[Tree], fed: Sequence[int], past: Cache | None) -> Tensor:
        """Hidden states [N, D] of all tokens of trees."""
        # where only one token is foretold nothing branches, and packed attention is faster
        boundaries: Branches | list[int]
        if past is not None or any(tree.depths[-1] < len(tree.ids) - 1 for tree in trees):
            boundaries = Branches(trees, past, self.device)
        else:
            boundaries = list(itertools.accumulate((len(tree.ids) for tree in trees), initial=0))
        hidden: Tensor = model(self._ids(fed), boundaries=boundaries)
        return hidden

    def _run_shared(self, model: Decoder, ids: Sequence[int]) -> tuple[Cache, Tensor]:
        """Keys and values of what questions begin with, and the last hidden state [D]."""
        if self._shared is None or self._shared[0] != list(ids):
            cache = model.new_cache()
            hidden = model(self._ids(ids)[None], cache=cache)
            self._shared = list(ids), cache, hidden[0, -1]
        return self._shared[1:]

    def _chosen(self, head: Tensor, hidden: Tensor, rows: list[int], targets: list[int]) -> list[float]:
        """Log-probability of each target as the token behind its row of [N, D]; the head is [V, D].

        Logits are taken in float32 at least: in bfloat16 one of 20 has steps of 0.125, and picks would turn with them.
        """
        wanted, place = torch.unique(self._ids(rows), return_inverse=True)
        aims = self._ids(targets)
        dtype = torch.promote_types(hidden.dtype, torch.float32)
        known = hidden[wanted].to(dtype)
        total = torch.full((len(wanted),), -math.inf, dtype=dtype, device=self.device)
        found = torch.empty(len(targets), dtype=dtype, device=self.device)
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
        prefix_hidden = self.model(self._ids(prefix_ids)[None], cache=cache)
        first = self.model.logits(prefix_hidden[0, -1]).log_softmax(-1)
        # Padding behind a continuation is invisible: attention is causal.
        longest = max(len(ids) for ids in continuations) - 1
        later: Tensor | None = None
        if longest:
            fed = torch.zeros(len(continuations), longest, dtype=torch.long, device=self.device)
            for row, ids in enumerate(continuations):
                fed[row, : len(ids) - 1] = self._ids(ids[:-1])
            later = self.model.logits(self.model(fed, cache=cache.fork())).log_softmax(-1)
        scores = []
        for row, ids in enumerate(continuations):
            values = [first[ids[0]].item()]
            if later is not None:
                values += [later[row, step, token].item() for step, token in enumerate(ids[1:])]
            scores.append(values)
        return scores

    def _score_side_by_side(self, questions: Sequence[Question]) -> list[list[list[float]]]:
        """The same for questions that have one prefix, many to a pass."""
        flat = [ids for _, continuations in questions for ids in continuations]
        values = iter(
            row
            for start in range(0, len(flat), _ROWS)
            for row in self._score_one(questions[0][0], flat[start : start + _ROWS])
        )
        return [[next(values) for _ in continuations] for _, continuations in questions]

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
        flat = self._ids([token for ids in group for token in ids])
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
