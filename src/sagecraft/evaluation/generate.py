"""The mode that lets the model write: greedy, asked for JSON, with separate budgets for the thought and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.chat.thinking import CLOSE, OPEN, split_thought
from sagecraft.evaluation import numeric, prompts
from sagecraft.evaluation.extract import extract
from sagecraft.evaluation.score import Request, outcome_of
from sagecraft.evaluation.tasks import Item
from sagecraft.evaluation.unread import outcome_of_unread

if TYPE_CHECKING:
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.inference.local import LocalEngine

#: Tokens that are looked at for the closing tag: it is at most eight characters, so at most eight tokens.
_TAIL_TOKENS = 12


def local_request(engine: LocalEngine, item: Item, config: EvaluateConfig) -> Request:
    """The question through the checkpoint's chat template, with the switch."""
    from sagecraft.chat.masks import encode_prompt
    from sagecraft.chat.messages import Message

    messages = [Message.model_validate(turn) for turn in prompts.generate_turns(item)]
    shown = engine.template.render(messages, thinking=config.switch, add_generation_prompt=True)
    ids = encode_prompt(engine.tokenizer, engine.template, messages, config.switch)
    body = {
        "mode": "generate",
        "prompt": ids,
        "opened": shown.rstrip().endswith(OPEN),
        "thought_tokens": config.reply.thought_tokens,
        "answer_tokens": config.reply.answer_tokens,
    }
    room = engine.max_positions - len(ids)
    error = None if room > 0 else f"{len(ids):,} tokens do not fit into the model's context of {len(ids) + room:,}"
    return Request(shown, body, error)


class _Writer:
    """What a local model has written so far, and in which part of its turn it is."""

    def __init__(self, engine: LocalEngine, request: Request) -> None:
        self.engine, self.body = engine, request.body
        self.ids: list[int] = []
        self.part = "thought" if self.body["opened"] else "start"
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
            begun = self.text(self.ids).lstrip()
            if begun.startswith(OPEN):
                self.part = "thought"
            elif not OPEN.startswith(begun):
                self.part = "answer"
        if self.part == "thought":
            self.num_thought = len(self.ids)
            if CLOSE in self.text(self.ids[-_TAIL_TOKENS:]):
                self.part = "answer"
        return True

    def close(self) -> list[int]:
        """Ends the thought where it is, and returns what was written of it."""
        self.closed = self.ids
        self.ids, self.num_thought, self.part = [], 0, "answer"
        return self.closed

    def value(self, num_in: int) -> dict[str, Any]:
        """What the reply was; `num_in` are the tokens of the prompt."""
        if self.closed is None:
            thought, answer, _ = split_thought(self.text(self.ids), self.body["opened"])
            num_thought = self.num_thought
        else:
            thought, _, _ = split_thought(self.text(self.closed), self.body["opened"])
            answer, num_thought = self.text(self.ids), len(self.closed)
        return {
            "thought": thought,
            "answer": answer,
            "closed_by_us": self.closed is not None,
            "cut": self.cut,
            "finish": "length" if self.cut else "stop",
            "tokens": {"in": num_in, "thought": num_thought, "out": len(self.ids) - self.num_thought},
        }


def measure_each(engine: LocalEngine, requests: Sequence[Request], shared: int = 0) -> list[dict[str, Any]]:  # noqa: ARG001
    """Writes greedily, several at once; a thought that outruns its budget is closed and the answer still asked for."""
    writers = [_Writer(engine, request) for request in requests]
    prompts: list[list[int]] = [request.body["prompt"] for request in requests]
    _write(writers, prompts, [body["thought_tokens"] + body["answer_tokens"] for body in (w.body for w in writers)])
    closing = engine.tokenizer.encode(f"\n{CLOSE}\n\n", parse_special=True)
    closed = [(writer, prompt) for writer, prompt in zip(writers, prompts, strict=True) if writer.part == "thought"]
    continued = [[*prompt, *writer.close(), *closing] for writer, prompt in closed]
    _write([writer for writer, _ in closed], continued, [writer.body["answer_tokens"] for writer, _ in closed])
    return [writer.value(len(prompt)) for writer, prompt in zip(writers, prompts, strict=True)]


def _write(writers: Sequence[_Writer], prompts: Sequence[list[int]], budgets: Sequence[int]) -> None:
    """Lets the engine write; one token beyond the budget tells a reply that ends there from one that is cut there."""
    from sagecraft.inference.batch import write_each
    from sagecraft.inference.local import Sampling

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

    write_each(asked[0][0].engine, [prompt for _, prompt in asked], Sampling(max_tokens=max(budgets) + 1), take)
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
