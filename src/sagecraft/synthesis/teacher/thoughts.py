"""Chains of thought asked of a teacher, kept where their own result agrees with the reference.

The teacher sees the question alone, neither source nor answer: that its result is the right one is what speaks for the way to
it. Only questions whose answer holds a result that can be compared (a quantity with its unit, a letter) are asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.evaluation.claims import is_placeholder
from sagecraft.synthesis.chains.agreement import agrees
from sagecraft.teaching.asking import Ask, ask_all
from sagecraft.teaching.fields import said

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.teaching.desk import Desk
    from sagecraft.teaching.writers import Writer

_AT_ONCE = 512


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


@cache
def _prompt() -> str:
    return (Path(__file__).parent / "prompts" / "thoughts.md").read_text(encoding="utf-8").strip()


def read_thought(value: Mapping[str, Any]) -> Thought | str:
    """The thought in an object of a reply, or what is wrong with it."""
    try:
        found = Thought.model_validate(value)
    except ValidationError as error:
        return said(error)
    return "it repeats the form instead of filling it in" if is_placeholder(found.answer) else found


def with_thoughts(desk: Desk[SynthConfig], writer: Writer, rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same rows; pairs whose result the teacher found by itself have its thought.

    Args:
        desk: of the stage.
        writer: the teacher.
        rows: of a part.
    """
    teacher = desk.config.teacher
    assert teacher is not None
    while batch := list(itertools.islice(rows, _AT_ONCE)):
        asked = [
            row["pair"] for row in batch if "pair" in row and agrees(_reference(row["pair"]), _reference(row["pair"]))
        ]
        asks = []
        for pair in asked:
            name = f"thought-{pair['id']}"
            text = _prompt().format_map({"question": pair["candidate"]["question"]})
            if attempt := desk.attempts.get(name, 0):
                text += f"\n\n(This is attempt {attempt + 1}; keep to the form.)"
            asks.append(Ask(name, [{"role": "user", "content": text}], "thought", read_thought))
        for pair, answer in zip(asked, ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "thoughts"), strict=True):
            desk.add("thought", answer)
            if answer.failed:
                continue
            found = answer.objects[-1]
            verdict = agrees(found.answer, _reference(pair))
            desk.counts[f"num_thoughts_{'agreed' if verdict else 'unclear' if verdict is None else 'disagreed'}"] += 1
            if verdict:
                pair["candidate"]["thought"] = " ".join(found.thought.split())
        yield from batch


def _reference(pair: Mapping[str, Any]) -> str:
    """What a result is held against."""
    candidate = pair["candidate"]
    return str(candidate["key"] or candidate["answer"])
