"""Grades by a model: a prompt and a schema for each question, and what its grades are held against.

The grader is another model than the teacher: a model finds its own sentences good. It sees source, question and answer, and
two graded examples, drawn for each question, so that no single example sets the scale.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.artifact import canonical_json, keyed_hash
from sagecraft.teaching.fields import said

if TYPE_CHECKING:
    from sagecraft.synthesis.teacher.config import GraderConfig
    from sagecraft.teaching.asking import Answer
    from sagecraft.teaching.writers import Writer

Grade = Annotated[int, Field(ge=1, le=5)]
#: Characters of a source that a grader reads; an account rests on about a thousand.
_MAX_SOURCE_CHARS = 6_000
_HERE = Path(__file__).parent


class Grades(BaseModel):
    """What a grader gives, each from 1 to 5."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    correct: Grade
    alone: Grade
    pertinent: Grade
    overall: Grade


class ThresholdsConfig(BaseModel):
    """The least grades, of five, with which a question is taught."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    correct: Grade = Field(default=4, description="least grade for an answer that says what the source says")
    alone: Grade = Field(default=4, description="least grade for a question that is clear without its source")
    pertinent: Grade = Field(default=3, description="least grade for being worth knowing")
    overall: Grade = Field(default=3, description="least grade for the whole")

    def reason(self, grades: Grades) -> str | None:
        """The first grade that is too low, as a reason ("graded-alone-2"), or None."""
        given = (
            ("correct", grades.correct, self.correct),
            ("alone", grades.alone, self.alone),
            ("pertinent", grades.pertinent, self.pertinent),
            ("overall", grades.overall, self.overall),
        )
        return next((f"graded-{name}-{grade}" for name, grade, least in given if grade < least), None)


@cache
def _texts() -> tuple[str, dict[str, list[dict[str, Any]]]]:
    examples = yaml.safe_load((_HERE / "examples.yaml").read_text(encoding="utf-8"))
    return (_HERE / "prompt.md").read_text(encoding="utf-8").strip(), examples


def messages(pair_id: str, source: str, question: str, answer: str, seed: int) -> list[dict[str, str]]:
    """What a grader is asked, in OpenAI's form.

    Args:
        pair_id: draws the examples.
        source: what the question is grounded in.
        question: as it is asked.
        answer: its answer.
        seed: of the stage.
    """
    prompt, examples = _texts()
    drawn = [cases[keyed_hash(seed, "example", kind, pair_id) % len(cases)] for kind, cases in sorted(examples.items())]
    if keyed_hash(seed, "examples", pair_id) % 2:
        drawn.reverse()
    asked = [{"role": "system", "content": prompt}]
    for case in drawn:
        asked.append({"role": "user", "content": _shown(case["source"], case["question"], case["answer"])})
        asked.append({"role": "assistant", "content": canonical_json(case["grades"])})
    return [*asked, {"role": "user", "content": _shown(source[:_MAX_SOURCE_CHARS], question, answer)}]


def _shown(source: str, question: str, answer: str) -> str:
    return f"Source: {source}\n\nQuestion: {question}\n\nAnswer: {answer}\n\nGrades:"


def read_grades(value: Mapping[str, Any]) -> Grades | str:
    """The grades in an object of a reply, or what is wrong with it."""
    try:
        return Grades.model_validate(value)
    except ValidationError as error:
        return said(error)


#: Questions that are held while they are asked about; a reply that is kept is not asked for again.
_BATCH = 1024


def grade_all(
    writer: Writer,
    pairs: Iterable[tuple[int, Mapping[str, Any]]],
    config: GraderConfig,
    seed: int,
    attempts: Mapping[str, int],
) -> Iterator[tuple[int, str, Answer[Grades]]]:
    """Has questions graded.

    Args:
        writer: the grader.
        pairs: numbers of questions with their rows (`Pair.as_row`).
        config: of the grader.
        seed: of the stage.
        attempts: id of a question → how often it was asked in vain; other examples are drawn each time.

    Returns:
        each number, the id of the pair, and its grades; an answer without any has failed, and says why.
    """
    from sagecraft.synthesis.pairs import Pair
    from sagecraft.teaching.asking import Ask, ask_all

    left = iter(pairs)
    while batch := list(itertools.islice(left, _BATCH)):
        asks = []
        for _, row in batch:
            pair = Pair.from_row(row)
            draw = f"{pair.id}#{attempts[pair.id]}" if pair.id in attempts else pair.id
            turns = messages(draw, pair.ground, pair.candidate.question, pair.candidate.answer, seed)
            asks.append(Ask(pair.id, turns, "correct", read_grades))
        answers = ask_all(writer, asks, Grades.model_json_schema(), config.repair_attempts, "grades")
        for (number, row), answer in zip(batch, answers, strict=True):
            yield number, row["id"], answer
