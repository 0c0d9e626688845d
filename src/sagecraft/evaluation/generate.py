"""The mode that lets the model write: greedy, asked for JSON, with separate budgets for the thought and the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.chat.thinking import TAGS, Tags, opened_by, split_thought
from sagecraft.evaluation import numeric, prompts
from sagecraft.evaluation.extract import extract
from sagecraft.evaluation.score import Request, outcome_of
from sagecraft.evaluation.tasks import Item
from sagecraft.evaluation.unread import outcome_of_unread

if TYPE_CHECKING:
    from sagecraft.chat.thinking import Switch
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.inference.protocol import Engine

#: Tokens that are looked at for a closing tag: the longest has 18 characters, so at most as many tokens.
_TAIL_TOKENS = max(len(tags.close) for tags in TAGS) + 4
#: Tokens that closing a thought takes at most: one a character.
_CLOSING_TOKENS = max(len(tags.closing) for tags in TAGS)
#: Shown for the bytes of a character that is not whole yet.
_BROKEN = "\ufffd"


def local_request(engine: Engine, item: Item, config: EvaluateConfig) -> Request:
    """The question through the checkpoint's chat template, with the switch."""
    budgets = (config.reply.thought_tokens, config.reply.answer_tokens)
    return local_request_of(engine, prompts.generate_turns(item), config.switch, budgets)


def local_request_of(
    engine: Engine, turns: Sequence[Mapping[str, str]], thinking: Switch | None, budgets: tuple[int, int]
) -> Request:
    """Chat messages as a request; `budgets` are the tokens of the thought and of the answer."""
    from sagecraft.chat.masks import encode_prompt
    from sagecraft.chat.messages import Message

    messages = [Message.model_validate(turn) for turn in turns]
    shown = engine.template.render(messages, thinking=thinking, add_generation_prompt=True)
    ids = encode_prompt(engine.tokenizer, engine.template, messages, thinking)
    opened = opened_by(shown, engine.template.thoughts)
    room = engine.max_positions - len(ids)
    # a thought must leave the context the room that closing it and the answer take
    thought_tokens = min(budgets[0], max(0, room - budgets[1] - _CLOSING_TOKENS))
    body = {
        "mode": "generate",
        "prompt": ids,
        "opened": None if opened is None else opened.open,
        "thought_tokens": thought_tokens,
        "answer_tokens": budgets[1],
    }
    error = None if room > 0 else f"{len(ids):,} tokens do not fit into the model's context of {len(ids) + room:,}"
    return Request(shown, body, error)


class _Writer:
    """What a local model has written so far, and in which part of its turn it is."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self.engine, self.body, self.known = engine, request.body, engine.template.thoughts
        self.ids: list[int] = []
        self.opened = next((tags for tags in self.known if tags.open == self.body["opened"]), None)
        self.tags: Tags = self.opened or self.known[0]  # those of its thought, once it has begun
        self.part = "thought" if self.opened else "start"
        self.num_thought = 0
        self.cut = False
        self.closed: list[int] | None = None  # the thought that was closed for it; `ids` is then the answer alone

    def text(self, ids: Sequence[int]) -> str:
        return self.engine.tokenizer.decode(list(ids), skip_special=False)

    def take(self, token: int) -> bool:
        """Takes the next token; False if the budget of its part is used up."""
        if self.part == "thought" and len(self.ids) >= self.body["thought_tokens"]:
            return False
        if self.part != "thought" and len(self.ids) - self.num_thought >= self.body["answer_tokens"]:
            self.cut = True
            return False
        self.ids.append(token)
        if self.part == "start":
            begun = self.text(self.ids).lstrip().rstrip(_BROKEN)
            found = next((tags for tags in self.known if begun.startswith(tags.open)), None)
            if found is not None:
                self.part, self.tags = "thought", found
            elif not any(tags.open.startswith(begun) for tags in self.known):
                self.part = "answer"
        if self.part == "thought":
            self.num_thought = len(self.ids)
            if self.tags.close in self.text(self.ids[-_TAIL_TOKENS:]):
                self.part = "answer"
        return True

    def close(self) -> list[int]:
        """Ends the thought where it is, and returns what was written of it and what closes it."""
        self.closed = self.ids
        self.ids, self.num_thought, self.part = [], 0, "answer"
        return [*self.closed, *self.engine.tokenizer.encode(self.tags.closing, parse_special=True)]

    def value(self, num_in: int) -> dict[str, Any]:
        """What the reply was; `num_in` are the tokens of the prompt."""
        if self.closed is None:
            thought, answer, _ = split_thought(self.text(self.ids), self.opened, self.known)
            num_thought = self.num_thought
        else:
            thought, _, _ = split_thought(self.text(self.closed), self.opened, self.known)
            answer, num_thought = self.tags.answer_of(self.tags.answer_open + self.text(self.ids)), len(self.closed)
        return {
            "thought": thought,
            "answer": answer,
            "closed_by_us": self.closed is not None,
            "cut": self.cut,
            "finish": "length" if self.cut else "stop",
            "tokens": {"in": num_in, "thought": num_thought, "out": len(self.ids) - self.num_thought},
        }


def measure_each(engine: Engine, requests: Sequence[Request], shared: int = 0) -> list[dict[str, Any]]:  # noqa: ARG001
    """Writes greedily, several at once; a thought that outruns its budget is closed and the answer still asked for."""
    writers = [_Writer(engine, request) for request in requests]
    prompts: list[list[int]] = [request.body["prompt"] for request in requests]
    _write(writers, prompts, [body["thought_tokens"] + body["answer_tokens"] for body in (w.body for w in writers)])
    closed = [(writer, prompt) for writer, prompt in zip(writers, prompts, strict=True) if writer.part == "thought"]
    continued = [[*prompt, *writer.close()] for writer, prompt in closed]
    _write([writer for writer, _ in closed], continued, [writer.body["answer_tokens"] for writer, _ in closed])
    return [writer.value(len(prompt)) for writer, prompt in zip(writers, prompts, strict=True)]


def _write(writers: Sequence[_Writer], prompts: Sequence[list[int]], budgets: Sequence[int]) -> None:
    """Lets the engine write; one token beyond the budget tells a reply that ends there from one that is cut there."""
    from sagecraft.inference.protocol import Sampling

    asked = []
    for writer, prompt in zip(writers, prompts, strict=True):
        if len(prompt) < writer.engine.max_positions:
            asked.append((writer, prompt))
        else:
            writer.cut = True
    if not asked:
        return
    stopped = set[int]()

    def take(number: int, token: int) -> bool:
        goes_on = asked[number][0].take(token)
        if not goes_on:
            stopped.add(number)
        return goes_on

    asked[0][0].engine.write_each([prompt for _, prompt in asked], Sampling(max_tokens=max(budgets) + 1), take)
    for number, (writer, prompt) in enumerate(asked):
        if number not in stopped:  # the context ended, not the reply
            room = writer.engine.max_positions - len(prompt)
            writer.cut = writer.part != "thought" and len(writer.ids) >= room


def grade_generate(item: Item, value: dict[str, Any]) -> dict[str, Any]:
    """Reads the letter; what cannot be read is truncated, refused or unparsed, and never passed off as wrong."""
    if item.target:
        kept = {"thought": value["thought"], "raw": value["answer"]}
        kept |= {"cut": value["cut"], "closed_by_us": value["closed_by_us"]}
        return {**kept, **numeric.grade(item.target, value)}
    read = extract(value["answer"], item.options, value["cut"])
    row = {"pick": read.letter, "stage": read.stage, "thought": value["thought"], "raw": value["answer"]}
    row |= {"cut": value["cut"], "closed_by_us": value["closed_by_us"]}
    if read.letter is not None:
        return {**row, **outcome_of(item, read.letter)}
    return {**row, "correct": None if item.answer is None else False, "outcome": outcome_of_unread(value)}
