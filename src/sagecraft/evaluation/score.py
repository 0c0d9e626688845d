"""The modes that score given text: continuation (log-likelihood of each option) and letter (the next token).

A mode is three functions: `request` says what the model is shown and which tokens that is, `measure` asks the engine
(the only part that costs time, and what the store keeps), `grade` turns the figures into a row of `items.jsonl`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sagecraft.errors import UserError
from sagecraft.evaluation import prompts
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.finite import require_finite

if TYPE_CHECKING:
    from sagecraft.chat.thinking import Switch
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.inference.protocol import Engine, Question
    from sagecraft.models.tokenizer import Tokenizer

#: How a pick of the continuation mode is normalised; `per_char` is what is reported as `accuracy`.
NORMALISATIONS = ("sum", "per_char", "per_byte", "unconditional")


@dataclass(frozen=True)
class Request:
    """One question as an engine gets it.

    Attributes:
        prompt: the text the model is shown, for people.
        body: tokens or messages, and settings: all that the measurement depends on besides the engine.
        error: why it cannot be asked at all; None if it can.
    """

    prompt: str
    body: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def question(self) -> Question | None:
        """The ids before continuations and those of each, whose probabilities are all that is wanted; None: a reply is."""
        if "continuations" in self.body:
            return self.body["prefix"], self.body["continuations"]
        if "letters" in self.body:
            return self.body["prompt"], [[token] for ids in self.body["letters"] for token in ids]
        return None


#: Asks an engine several requests at once, which begin with so many tokens that are the same.
Measure = Callable[[Any, Sequence[Request], int], Sequence[dict[str, Any]]]

#: Brings the values of requests, in their order.
Ask = Callable[[Sequence[Request]], Sequence[Any]]


@dataclass(frozen=True)
class Mode:
    """One way to ask the questions of a task.

    Attributes:
        request: what the model is asked for an item.
        measure: asks; None where requests go out as they may (`remote.measure_all`).
        grade: makes a row of an item's value.
        second: where values need a second round: engine, requests, their values, settings and who asks, to whole values.
    """

    request: Callable[[Any, Item, EvaluateConfig], Request]
    measure: Measure | None
    grade: Callable[[Item, dict[str, Any]], dict[str, Any]]
    second: Callable[[Any, Sequence[Request], Sequence[Any], EvaluateConfig, Ask], Sequence[Any]] | None = None


def scores(engine: Engine, requests: Sequence[Request], shared: int) -> list[list[list[float]]]:
    """Log-probabilities (natural) of each request's tokens.

    Raises:
        MachineError: they are no numbers.
    """
    questions = [request.question for request in requests]
    found = engine.score([question for question in questions if question is not None], shared)
    require_finite(engine.path, (value for rows in found for row in rows for value in row))
    return found


def encode_prefix(engine: Engine, turns: Sequence[prompts.Turn], config: EvaluateConfig) -> tuple[str, list[int]]:
    """What stands before the answer, as text and ids: plain text behind one BOS where the model has one, or a chat."""
    if config.chat_template:
        from sagecraft.chat.masks import encode_prompt
        from sagecraft.chat.messages import Message

        # What is scored is the answer, so a thought must not come first.
        messages = [Message.model_validate(turn) for turn in turns]
        thinking: Switch | None = None if config.thinking is None else "off"
        shown = engine.template.render(messages, thinking=thinking, add_generation_prompt=True)
        return shown, encode_prompt(engine.tokenizer, engine.template, messages, thinking)
    bos = engine.tokenizer.bos_id
    text = prompts.as_text(turns)
    return text, ([] if bos is None else [bos]) + engine.tokenizer.encode(text)


def encode_continuation(tokenizer: Tokenizer, prefix: str, prefix_ids: Sequence[int], continuation: str) -> list[int]:
    """Token ids of a continuation as it stands behind its prefix.

    Both are encoded together, since a tokenizer may treat the beginning of a text apart (SentencePiece puts a space
    there) or merge across words. Where it merges across the very boundary (the joint tokens do not begin with the
    prefix's), the continuation is encoded alone: options must share one prefix, else their likelihoods would not be
    comparable and the prefix could not be run once.
    """
    joint = tokenizer.encode(prefix + continuation)
    if len(joint) > len(prefix_ids) and joint[: len(prefix_ids)] == list(prefix_ids):
        return joint[len(prefix_ids) :]
    return tokenizer.encode(continuation)


def continuation_request(engine: Engine, item: Item, config: EvaluateConfig) -> Request:
    """The question, and each option as its continuation."""
    turns = prompts.continuation_turns(item)
    shown, prefix = encode_prefix(engine, turns, config)
    if config.chat_template:  # the assistant's turn begins afresh: no space
        continuations = [engine.tokenizer.encode(option) for option in item.options]
    else:
        text = prompts.as_text(turns)
        plain = engine.tokenizer.encode(text)
        continuations = [encode_continuation(engine.tokenizer, text, plain, f" {option}") for option in item.options]
    body = {"mode": "continuation", "prefix": prefix, "continuations": continuations}
    return Request(shown, body, _too_long(engine, len(prefix) + max(map(len, continuations)) - 1))


def _too_long(engine: Engine, num_tokens: int) -> str | None:
    room = engine.max_positions
    return None if num_tokens <= room else f"{num_tokens:,} tokens do not fit into the model's context of {room:,}"


def measure_continuation(engine: Engine, requests: Sequence[Request], shared: int = 0) -> list[dict[str, Any]]:
    """Sums of log-likelihoods (natural log)."""
    return [
        {
            "sums": [math.fsum(row) for row in rows],
            "tokens": {
                "in": len(request.body["prefix"]) + sum(map(len, request.body["continuations"])),
                "thought": 0,
                "out": 0,
            },
        }
        for request, rows in zip(requests, scores(engine, requests, shared), strict=True)
    ]


def grade_continuation(item: Item, value: dict[str, Any]) -> dict[str, Any]:
    """The pick by each normalisation; the first of equals. `unconditional` is the gain by the question (`unconditional.py`)."""
    scores: dict[str, list[float]] = {
        "sum": value["sums"],
        "per_char": [total / len(option) for total, option in zip(value["sums"], item.options, strict=True)],
        "per_byte": [total / len(option.encode()) for total, option in zip(value["sums"], item.options, strict=True)],
        "unconditional": [total - alone for total, alone in zip(value["sums"], value["alone"], strict=True)],
    }
    picks = {name: _best(item, values) for name, values in scores.items()}
    options = [{name: scores[name][index] for name in NORMALISATIONS} for index in range(len(item.options))]
    return {"pick": picks["per_char"], "picks": picks, "options": options, **outcome_of(item, picks["per_char"])}


def _best(item: Item, values: Sequence[float]) -> str:
    return item.letters[max(range(len(values)), key=lambda index: (values[index], -index))]


def outcome_of(item: Item, pick: str | None) -> dict[str, Any]:
    """`correct` and `outcome` of a pick that was read."""
    if item.answer is None:
        return {"correct": None, "outcome": "unkeyed"}
    # an option that stands there twice is right under both letters
    right = pick is not None and item.options[item.letters.index(pick)] == item.options[item.answer]
    return {"correct": right, "outcome": "correct" if right else "wrong"}


def letter_request(engine: Engine, item: Item, config: EvaluateConfig) -> Request:
    """The question with its lettered options; the tokens that mean each letter."""
    shown, prompt = encode_prefix(engine, prompts.letter_turns(item), config)
    body = {"mode": "letter", "prompt": prompt, "letters": letter_ids(engine.tokenizer, item.letters)}
    return Request(shown, body, _too_long(engine, len(prompt)))


def letter_ids(tokenizer: Tokenizer, letters: str) -> list[list[int]]:
    """For each letter the single tokens " A" and "A": their probabilities add up.

    Encoded without special tokens: a harness that took the first token of "A" scored the start-of-text token.
    """
    found = []
    for letter in letters:
        variants = {ids[0] for text in (f" {letter}", letter) if len(ids := tokenizer.encode(text)) == 1}
        if not variants:
            raise UserError(f"{tokenizer.folder}: no single token for the letter {letter}; use the mode continuation")
        found.append(sorted(variants))
    return found


def measure_letter(engine: Engine, requests: Sequence[Request], shared: int = 0) -> list[dict[str, Any]]:
    """Probability of each letter as the next token."""
    found = []
    for request, rows in zip(requests, scores(engine, requests, shared), strict=True):
        values = iter(math.exp(row[0]) for row in rows)
        masses = [math.fsum(next(values) for _ in ids) for ids in request.body["letters"]]
        found.append({"masses": masses, "tokens": {"in": len(request.body["prompt"]), "thought": 0, "out": 0}})
    return found


def grade_letter(item: Item, value: dict[str, Any]) -> dict[str, Any]:
    """The likeliest letter; each letter's share of the probability that fell on letters at all (`mass`)."""
    masses: list[float] = value["masses"]
    mass = math.fsum(masses)
    shares = [part / mass if mass > 0 else 1 / len(masses) for part in masses]
    pick = _best(item, masses)
    options = [{"probability": part, "share": share} for part, share in zip(masses, shares, strict=True)]
    return {"pick": pick, "options": options, "mass": mass, "confidence": max(shares), **outcome_of(item, pick)}
