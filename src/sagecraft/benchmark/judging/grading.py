"""A grader's word on each draft: which options are right by the passage, and whether the question stands alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sagecraft.benchmark.config import BenchConfig, JudgeConfig
from sagecraft.benchmark.judging.answers import ordered, source_of
from sagecraft.teaching.fields import Line, said

if TYPE_CHECKING:
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.teaching.asking import Answer, Ask
    from sagecraft.teaching.desk import Desk

LETTERS = "ABCD"
_HERE = Path(__file__).parent / "prompts"
#: Characters of a passage that are shown; longer than any that `literature.passages` makes of prose.
_MAX_PASSAGE_CHARS = 8_000
_LETTER = re.compile(r"\b[A-D]\b")


def _letters(value: Any) -> Any:
    """Letters as models write them: "A", "A, C", ["a"], ["A. 5 km"], []."""
    parts = value if isinstance(value, list) else [value]
    found: list[str] = []
    for part in parts:
        text = str(part).strip()
        alone = re.match(r"\(?([A-Da-d])\)?(?:[.):,\s]|$)", text)
        several = _LETTER.findall(text) if len(text) < 20 else []
        found += several or ([alone.group(1).upper()] if alone else [])
        if not several and not alone and text.lower() not in ("", "none", "null"):
            raise ValueError(f"{text[:20]!r} is none of the letters A to D")
    return sorted(set(found))


class Word(BaseModel):
    """What a grader says of a draft."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    right: Annotated[tuple[str, ...], BeforeValidator(_letters)]
    stands_alone: bool
    reason: Line = Field(default="", max_length=2000)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "right": {"type": "array", "items": {"type": "string", "enum": list(LETTERS)}},
        "stands_alone": {"type": "boolean"},
        "reason": {"type": "string"},
    },
    "required": ["right", "stands_alone", "reason"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Graded:
    """A grader's word, in terms of the draft.

    Attributes:
        right: texts of the options that it calls right.
        one_right: it calls the key right and nothing else.
        stands_alone: the question needs nothing else.
        reason: in its words.
        tokens: read and written.
    """

    right: tuple[str, ...]
    one_right: bool
    stands_alone: bool
    reason: str
    tokens: tuple[int, int]


@cache
def _texts() -> tuple[str, list[dict[str, Any]]]:
    examples = yaml.safe_load((_HERE / "examples.yaml").read_text(encoding="utf-8"))
    return (_HERE / "grading.md").read_text(encoding="utf-8").strip(), examples


def messages(passage: str, question: str, options: Sequence[str]) -> list[dict[str, str]]:
    """What a grader is asked, in OpenAI's form."""
    prompt, examples = _texts()
    asked = [{"role": "system", "content": prompt}]
    for case in examples:
        asked.append({"role": "user", "content": _shown(case["passage"], case["question"], case["options"])})
        asked.append({"role": "assistant", "content": json.dumps(case["reply"], ensure_ascii=False)})
    return [*asked, {"role": "user", "content": _shown(passage[:_MAX_PASSAGE_CHARS], question, options)}]


def _shown(passage: str, question: str, options: Sequence[str]) -> str:
    lettered = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"Passage: {passage}\n\nQuestion: {question}\n{lettered}"


def read_word(value: Mapping[str, Any]) -> Word | str:
    """The word in an object of a reply, or what is wrong with it."""
    try:
        return Word.model_validate(value)
    except ValidationError as error:
        return said(error)


def ask_words(desk: Desk[BenchConfig], role: str, judge: JudgeConfig, drafts: Sequence[Draft]) -> dict[str, Graded]:
    """A grader's word on each draft, by id; drafts of which it said nothing that can be read are left out.

    Raises:
        UserError: the cost limit is reached, or no request can succeed; what came is kept.
        MachineError: the endpoint is down.
    """
    from sagecraft.teaching.asking import ask_all

    pairs = [_ask(desk, role, draft) for draft in drafts]
    with desk.writer(role, judge) as writer:
        answers = ask_all(writer, [ask for ask, _ in pairs], SCHEMA, judge.repair_attempts, "which are right")
        desk.tell_spending(role, writer)
    found: dict[str, Graded] = {}
    for draft, (_, options), answer in zip(drafts, pairs, answers, strict=True):
        desk.add(role, answer)
        if not answer.failed:
            found[draft.id] = _graded(draft, options, answer)
    return found


def _ask(desk: Desk[BenchConfig], role: str, draft: Draft) -> tuple[Ask[Word], tuple[str, ...]]:
    from sagecraft.teaching.asking import Ask

    name = f"{role}-graded-{draft.id}"
    options = ordered(draft, desk.config.seed, desk.attempts.get(name, 0))
    return Ask(name, messages(source_of(draft), draft.question, options), "stands_alone", read_word), options


def _graded(draft: Draft, options: Sequence[str], answer: Answer[Word]) -> Graded:
    word = answer.objects[-1]
    right = tuple(options[LETTERS.index(letter)] for letter in word.right)
    return Graded(right, right == (draft.key.text,), word.stands_alone, word.reason, answer.tokens)
