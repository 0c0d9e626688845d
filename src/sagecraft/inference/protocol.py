"""What evaluation, chat and server ask of an engine that runs a model here, however it computes.

Tokens are the request: callers pass ids, never text, so that no engine adds a second BOS or another template. An endpoint is none
of these: it takes messages, tells no probabilities, and is waited for (`endpoint.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.chat.template import ChatTemplate
    from sagecraft.models.tokenizer import Tokenizer

#: The ids before several continuations, and the ids of these.
Question = tuple[Sequence[int], Sequence[Sequence[int]]]
#: Takes the next token of a reply (its number, the token); False ends the reply.
Take = Callable[[int, int], bool]


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


class Engine(Protocol):
    """A model that is ready to generate and to score."""

    @property
    def name(self) -> str:
        """What it is called in results and by clients."""

    @property
    def path(self) -> Path:
        """Its folder or file."""

    @property
    def identity(self) -> str:
        """Weights, and whatever else its figures depend on: what records of them are keyed by."""

    @property
    def max_positions(self) -> int:
        """Tokens of its context, prompt and reply together."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""

    @property
    def template(self) -> ChatTemplate:
        """The chat template that travels with the model, rendered by us."""

    def stream(self, prompt_ids: Sequence[int], sampling: Sampling) -> Iterator[int]:
        """Yields token ids until a stop token (not yielded), `max_tokens`, or the end of the context."""

    def write_each(self, prompts: Sequence[Sequence[int]], sampling: Sampling, take: Take) -> None:
        """Writes a reply to each prompt, several at once; each token goes to `take`, which may end the reply."""

    def score(self, questions: Sequence[Question], shared: int = 0) -> list[list[list[float]]]:
        """Log-probabilities (natural) of the tokens of each continuation of each question."""


def room_for(engine: Engine, prompt_ids: Sequence[int]) -> int:
    """Tokens that a reply to this prompt can have.

    Raises:
        UserError: the prompt is empty or longer than the model's context.
    """
    if not prompt_ids:
        raise UserError("the prompt has no tokens; ask something")
    room = engine.max_positions - len(prompt_ids)
    if room <= 0:
        raise UserError(
            f"the prompt has {len(prompt_ids):,} tokens, {engine.name} takes {engine.max_positions:,}; shorten it"
        )
    return room
