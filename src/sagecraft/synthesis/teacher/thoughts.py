"""Chains of thought asked of a teacher, kept where their own result agrees with the reference.

The teacher sees the question alone, neither source nor answer: that its result is the right one is what speaks for the way to
it. Questions whose answer holds a result that can be compared (a quantity with its unit, a letter) are asked; with a grader,
which then says whether two results are one, those that take reasoning and are answered in prose, too.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.evaluation.claims import is_placeholder
from sagecraft.synthesis.chains.agreement import agrees
from sagecraft.synthesis.grading.same import Proposed, verdict_row
from sagecraft.teaching.asking import Ask, ask_all
from sagecraft.teaching.fields import said

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.teaching.desk import Desk
    from sagecraft.teaching.writers import Writer

_AT_ONCE = 512
#: Kinds whose answers are found by thinking; what a term means is known, or not.
REASONED = frozenset({"cause", "comparison", "consequence", "critique", "derivation", "number", "relation", "what-if"})


class Thought(BaseModel):
    """A way to a result."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)
    thought: str = Field(min_length=40, max_length=20_000)
    answer: str = Field(min_length=1, max_length=600)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"thought": {"type": "string"}, "answer": {"type": "string"}},
    "required": ["thought", "answer"],
    "additionalProperties": False,
}


_PROMPTS = Path(__file__).parent / "prompts"


@cache
def _prompt() -> str:
    return (_PROMPTS / "thoughts.md").read_text(encoding="utf-8").strip()


@cache
def _example() -> tuple[list[dict[str, str]], str]:
    """A finished request that stands before each, and its thought."""
    made = yaml.safe_load((_PROMPTS / "thought_example.yaml").read_text(encoding="utf-8"))
    reply = json.dumps(made["reply"], ensure_ascii=False)
    asked = _prompt().format_map({"question": made["question"]})
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}], made["reply"]["thought"]


def read_thought(value: Mapping[str, Any]) -> Thought | str:
    """The thought in an object of a reply, or what is wrong with it."""
    try:
        found = Thought.model_validate(value)
    except ValidationError as error:
        return said(error)
    if found.thought == _example()[1]:
        return "it repeats the example instead of answering the question"
    return "it repeats the form instead of filling it in" if is_placeholder(found.answer) else found


def with_thoughts(desk: Desk[SynthConfig], writer: Writer, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same rows; pairs whose result the teacher found by itself have its thought.

    Of a chain that is decided `agreement` of its row says how; with a grader `proposed` holds one that is not, for `settled`.

    Args:
        desk: of the stage.
        writer: the teacher.
        rows: of a part.
    """
    teacher = desk.config.teacher
    assert teacher is not None
    while batch := list(itertools.islice(rows, _AT_ONCE)):
        asked = [row for row in batch if "pair" in row and _can_be_held(row["pair"], desk.config.grader is not None)]
        asks = []
        for row in asked:
            pair = row["pair"]
            name = f"thought-{pair['id']}"
            text = _prompt().format_map({"question": pair["candidate"]["question"]})
            if attempt := desk.attempts.get(name, 0):
                text += f"\n\n(This is attempt {attempt + 1}; keep to the form.)"
            asks.append(Ask(name, [*_example()[0], {"role": "user", "content": text}], "thought", read_thought))
        for row, answer in zip(asked, ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "thoughts"), strict=True):
            desk.add("thought", answer)
            if not answer.failed:
                _hold(row, answer.objects[-1], desk)
        yield from batch


def _can_be_held(pair: Mapping[str, Any], is_graded: bool) -> bool:
    """Whether it can be said if a chain came to the reference: by rules, or by the grader, where the way is worth asking for."""
    reference = _reference(pair)
    return agrees(reference, reference) is True or (is_graded and pair["candidate"]["kind"] in REASONED)


def _hold(row: dict[str, Any], found: Thought, desk: Desk[SynthConfig]) -> None:
    """Holds a chain against the reference of its pair."""
    pair, thought = row["pair"], " ".join(found.thought.split())
    reference = _reference(pair)
    verdict = agrees(found.answer, reference)
    if verdict is None and desk.config.grader is not None:
        row["proposed"] = asdict(Proposed(thought, found.answer, reference))
        return
    name = "agreed" if verdict else "unclear" if verdict is None else "disagreed"
    desk.counts[f"num_thoughts_{name}"] += 1
    row["agreement"] = verdict_row(pair, found.answer, reference, name, "rule")
    if verdict:
        pair["candidate"]["thought"] = thought


def _reference(pair: Mapping[str, Any]) -> str:
    """What a result is held against."""
    candidate = pair["candidate"]
    return str(candidate["key"] or candidate["answer"])
