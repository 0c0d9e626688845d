"""One reply while it is made: tokens in, whole characters out, the thought apart from the answer.

The terminal and the server share it, so that what one says the other says too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from sagecraft.chat.masks import encode_prompt
from sagecraft.chat.messages import Message
from sagecraft.chat.thinking import Kind, Switch, Tags, ThoughtStream, opened_by
from sagecraft.errors import UserError
from sagecraft.inference.protocol import Sampling

if TYPE_CHECKING:
    from sagecraft.inference.protocol import Engine
    from sagecraft.models.tokenizer import Tokenizer

#: What a thinking model samples with, unless told otherwise: greedy thoughts fall into loops. Without thought the
#: likeliest tokens give the plainest answer.
THINKING_TEMPERATURE = 0.6
THINKING_TOP_P = 0.95

#: Shown for bytes that are no character (yet).
_REPLACEMENT = "\ufffd"
#: Tokens at the end of a prompt among which an opened thought is looked for; the longest opening tag has 34 characters.
_TAIL_TOKENS = 40


def suggested_sampling(
    thinking: Switch | None, *, max_tokens: int, temperature: float | None, top_p: float | None, seed: int
) -> Sampling:
    """Sampling settings; what is None gets the value that suits the state of the switch."""
    thinks = thinking == "on"
    if temperature is None:
        temperature = THINKING_TEMPERATURE if thinks else 0.0
    if top_p is None:
        top_p = THINKING_TOP_P if thinks else 1.0
    return Sampling(max_tokens=max_tokens, temperature=temperature, top_p=top_p, seed=seed)


class Detokenizer:
    """Text of tokens that arrive one by one; a character whose bytes are not all there yet is held back."""

    def __init__(self, tokenizer: Tokenizer, thoughts: Sequence[Tags] = ()) -> None:
        """Begins a text; special tokens are left out of it, but for those that the tags of a thought are made of."""
        self._tokenizer = tokenizer
        marks = "".join(f"{tags.open}{tags.close}{tags.answer_open}{tags.answer_close}" for tags in thoughts)
        special = tokenizer.special_tokens.items()
        self._left_out = frozenset(token_id for token, token_id in special if token not in marks)
        self._ids: list[int] = []
        self._begin = 0  # the window that is decoded starts here, at the start of the last text that was given out
        self._shown = 0  # tokens before this one have been given out

    def feed(self, token: int) -> str:
        """The text that this token completes, often empty."""
        self._ids.append(token)
        before, text = self._window()
        if text.endswith(_REPLACEMENT) or len(text) <= len(before):
            return ""
        self._begin, self._shown = self._shown, len(self._ids)
        return text[len(before) :]

    def finish(self) -> str:
        """What is left, broken characters included."""
        before, text = self._window()
        self._begin = self._shown = len(self._ids)
        return text[len(before) :]

    def _window(self) -> tuple[str, str]:
        # Some decoders drop the space before the first token: the tokens before give it something to stand behind.
        return self._text(self._ids[self._begin : self._shown]), self._text(self._ids[self._begin :])

    def _text(self, ids: Sequence[int]) -> str:
        shown = [token_id for token_id in ids if token_id not in self._left_out]
        return self._tokenizer.decode(shown, skip_special=False)


class StopSearch:
    """Ends a text at the first of some strings, which is not given out; what may become one is held back."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""
        self.found = False

    def feed(self, text: str) -> str:
        """The part of the text that can be shown."""
        if not self._stops:
            return text
        if self.found:
            return ""
        self._held += text
        hits = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if hits:
            self.found = True
            shown, self._held = self._held[: min(hits)], ""
            return shown
        keep = max(self._overlap(stop) for stop in self._stops)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def finish(self) -> str:
        """What was held back at the end."""
        rest, self._held = self._held, ""
        return rest

    def _overlap(self, stop: str) -> int:
        """Length of the longest beginning of `stop` that the text ends with."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)


class Reply:
    """A reply in the making: iterate over it once for its parts, then read what it became.

    Attributes:
        thought: the thought so far; None if there is none.
        answer: the answer so far.
        num_tokens: tokens made, and `num_thought_tokens` of them in the thought.
        finish_reason: `stop` (the model ended it, or a stop string), `length` (the limit did), None while it runs
            or if it was abandoned.
    """

    def __init__(
        self, engine: Engine, prompt_ids: Sequence[int], sampling: Sampling, stops: Sequence[str] = ()
    ) -> None:
        self._engine = engine
        self._prompt_ids = list(prompt_ids)
        self._sampling = sampling
        self._stops = stops
        self.thought: str | None = None
        self.answer = ""
        self.num_tokens = 0
        self.num_thought_tokens = 0
        self.finish_reason: Literal["stop", "length"] | None = None
        self._abandoned = threading.Event()

    def abandon(self) -> None:
        """Ends the reply before its next token; may be called from any thread."""
        self._abandoned.set()

    def __iter__(self) -> Iterator[tuple[Kind, str]]:
        if self._abandoned.is_set():
            return
        thoughts = self._engine.template.thoughts
        detokenizer = Detokenizer(self._engine.tokenizer, thoughts)
        search = StopSearch(self._stops)
        splitter = ThoughtStream(self._opened(), thoughts)
        room = self._engine.max_positions - len(self._prompt_ids)
        for token in self._engine.stream(self._prompt_ids, self._sampling):
            self.num_tokens += 1
            yield from self._take(splitter.feed(search.feed(detokenizer.feed(token))))
            self.num_thought_tokens += splitter.thinking
            if self._abandoned.is_set():
                return
            if search.found:
                break
        yield from self._take(splitter.feed(search.feed(detokenizer.finish())))
        yield from self._take(splitter.feed(search.finish()))
        yield from self._take(splitter.finish())
        whole = search.found or self.num_tokens < min(self._sampling.max_tokens, room)
        self.finish_reason = "stop" if whole else "length"

    def _take(self, parts: list[tuple[Kind, str]]) -> Iterator[tuple[Kind, str]]:
        for kind, text in parts:
            if kind == "thought":
                self.thought = (self.thought or "") + text
            else:
                self.answer += text
            yield kind, text

    def _opened(self) -> Tags | None:
        """The tags of a thought that the template itself opens, so that the reply begins inside it."""
        tail = self._engine.tokenizer.decode(self._prompt_ids[-_TAIL_TOKENS:], skip_special=False)
        return opened_by(tail, self._engine.template.thoughts)


def fit_prompt(
    engine: Engine, messages: Sequence[Message], thinking: Switch | None, reserve: int
) -> tuple[list[int], int]:
    """The prompt, with the oldest turns left out until `reserve` tokens of the context are free for the reply.

    Returns:
        Token ids, and how many messages were left out. The system message and the last one always stay.

    Raises:
        UserError: the last message alone does not fit.
    """
    system = [message for message in messages[:1] if message.role == "system"]
    turns = messages[len(system) :]
    limit = engine.max_positions
    reserve = min(reserve, limit // 2)
    first = 0
    while True:
        ids = encode_prompt(engine.tokenizer, engine.template, [*system, *turns[first:]], thinking)
        if len(ids) + reserve <= limit:
            return ids, first
        later = [n for n in range(first + 1, len(turns)) if turns[n].role == "user"]
        if not later:
            break
        first = later[0]
    if len(ids) >= limit:
        raise UserError(f"the message makes {len(ids):,} tokens, {engine.name} takes {limit:,}; shorten it")
    return ids, first
