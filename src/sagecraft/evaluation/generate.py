"""The mode that lets the model write: greedy, asked for JSON, with separate budgets for the thought and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.chat.thinking import CLOSE, OPEN, split_thought
from sagecraft.evaluation import prompts
from sagecraft.evaluation.extract import extract
from sagecraft.evaluation.score import Request, outcome_of
from sagecraft.evaluation.tasks import Item

if TYPE_CHECKING:
    from sagecraft.evaluation.evaluate import EvaluateConfig
    from sagecraft.inference.local import LocalEngine

#: Tokens that are looked at for the closing tag: it is at most eight characters, so at most eight tokens.
_TAIL_TOKENS = 12


def local_request(engine: LocalEngine, item: Item, config: EvaluateConfig) -> Request:
    """The question through the checkpoint's chat template, with the switch."""
    from sagecraft.chat.masks import encode_prompt
    from sagecraft.chat.messages import Message

    messages = [Message(role="user", content=prompts.generate_prompt(item))]
    shown = engine.template.render(messages, thinking=config.thinking, add_generation_prompt=True)
    ids = encode_prompt(engine.tokenizer, engine.template, messages, config.thinking)
    body = {
        "mode": "generate",
        "prompt": ids,
        "opened": shown.rstrip().endswith(OPEN),
        "thought_tokens": config.thought_tokens,
        "answer_tokens": config.answer_tokens,
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


def measure_each(engine: LocalEngine, requests: Sequence[Request], shared: int = 0) -> list[dict[str, Any]]:  # noqa: ARG001
    """A reply to each request, one after the other."""
    return [measure_local(engine, request) for request in requests]


def measure_local(engine: LocalEngine, request: Request) -> dict[str, Any]:
    """Writes greedily; a thought that outruns its budget is closed and the answer still asked for."""
    writer = _Writer(engine, request)
    prompt: list[int] = request.body["prompt"]
    budget = request.body["thought_tokens"] + request.body["answer_tokens"]
    _write(writer, prompt, budget)
    closed_by_us = writer.part == "thought"
    if closed_by_us:
        thought, _, _ = split_thought(writer.text(writer.ids), request.body["opened"])
        closing = engine.tokenizer.encode(f"\n{CLOSE}\n\n", parse_special=True)
        before = writer.ids
        writer.ids, writer.num_thought, writer.part = [], 0, "answer"
        _write(writer, [*prompt, *before, *closing], request.body["answer_tokens"])
        answer, num_thought = writer.text(writer.ids), len(before)
    else:
        thought, answer, _ = split_thought(writer.text(writer.ids), request.body["opened"])
        num_thought = writer.num_thought
    num_out = len(writer.ids) - writer.num_thought
    return {
        "thought": thought,
        "answer": answer,
        "closed_by_us": closed_by_us,
        "cut": writer.cut,
        "finish": "length" if writer.cut else "stop",
        "tokens": {"in": len(prompt), "thought": num_thought, "out": num_out},
    }


def _write(writer: _Writer, prompt: list[int], budget: int) -> None:
    """Lets the engine write; one token beyond the budget tells a reply that ends there from one that is cut there."""
    from sagecraft.inference.local import Sampling

    room = writer.engine.max_positions - len(prompt)
    if room <= 0:
        writer.cut = True
        return
    start = len(writer.ids)
    for token in writer.engine.stream(prompt, Sampling(max_tokens=budget + 1)):
        if not writer.take(token):
            return
    writer.cut = writer.part != "thought" and len(writer.ids) - start >= room  # the context ended, not the reply


def grade_generate(item: Item, value: dict[str, Any]) -> dict[str, Any]:
    """Reads the letter; what cannot be read is truncated, refused or unparsed, and never passed off as wrong."""
    read = extract(value["answer"], item.options, value["cut"])
    row = {"pick": read.letter, "stage": read.stage, "thought": value["thought"], "raw": value["answer"]}
    row |= {"cut": value["cut"], "closed_by_us": value["closed_by_us"]}
    if read.letter is not None:
        return {**row, **outcome_of(item, read.letter)}
    outcome = "refused" if value["finish"] == "refusal" else "truncated" if value["cut"] else "unparsed"
    return {**row, "correct": None if item.answer is None else False, "outcome": outcome}
