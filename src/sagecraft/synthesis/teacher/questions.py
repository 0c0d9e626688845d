"""A passage as a request for questions, and an object of the reply as a question."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.artifact import keyed_hash
from sagecraft.evaluation.claims import is_placeholder
from sagecraft.literature.passages import Passage
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.teacher.config import TeacherConfig
from sagecraft.teaching.asking import Ask
from sagecraft.teaching.fields import Line, Numbers, said

#: Rule of candidates that a model wrote.
TEACHER = "teacher"
_HERE = Path(__file__).parent / "prompts"
_NO_FOCUS = "what is asked here"


class _Written(BaseModel):
    """A question as a model writes it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    kind: Line = ""
    question: Line = Field(min_length=10, max_length=600)
    focus: Line = ""
    answer: Line = Field(min_length=10, max_length=4000)
    sentences: Numbers = Field(min_length=1, max_length=20)


#: Schema of a whole reply, for endpoints that take one: every key required and no other, as the strict form wants it.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "questions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    **{key: {"type": "string"} for key in ("kind", "question", "focus", "answer")},
                    "sentences": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["kind", "question", "focus", "answer", "sentences"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["questions"],
    "additionalProperties": False,
}


@cache
def _prompt() -> tuple[str, dict[str, str], list[str]]:
    def read(name: str) -> str:
        return (_HERE / name).read_text(encoding="utf-8")

    return read("questions.md").strip(), yaml.safe_load(read("kinds.yaml")), yaml.safe_load(read("styles.yaml"))


def ask_about(config: TeacherConfig, seed: int, passage: Passage, summary: str, attempt: int) -> Ask[Candidate]:
    """The request for the questions of a passage.

    Args:
        config: of the teacher.
        seed: draws kinds and style.
        passage: what is asked about.
        summary: of its document, in its own sentences.
        attempt: counts how often it was asked before in vain; each time it is worded in another style.
    """
    drawn = sorted(config.kinds, key=lambda kind: keyed_hash(seed, "teach-kind", passage.id, kind))
    kinds = tuple(drawn[: max(2, config.questions_per_passage)])
    style = keyed_hash(seed, "teach-style", passage.id) + attempt
    told = "" if summary in passage.text else f"What it is about: {summary}\n"
    sentences = [sentence.text for sentence in passage.sentences]
    text = _text(passage.title, passage.section, told, sentences, kinds, config.questions_per_passage, style)
    turns = [*_example()[0], {"role": "user", "content": text}]
    return Ask(passage.id, turns, "question", partial(read_question, passage, kinds))


def _text(
    title: str, section: str, summary: str, sentences: Sequence[str], kinds: Sequence[str], count: int, style: int
) -> str:
    prompt, told, styles = _prompt()
    return prompt.format_map(
        {
            "title": title or "(untitled)",
            "section": f", section “{section}”" if section else "",
            "summary": summary,
            "sentences": "\n".join(f"[{n}] {sentence}" for n, sentence in enumerate(sentences, start=1)),
            "count": count,
            "s": "" if count == 1 else "s",
            "kinds": "Kinds to choose from: " + "; ".join(f'"{kind}" ({told[kind]})' for kind in kinds) + ".",
            "style": styles[style % len(styles)],
        }
    )


@cache
def _example() -> tuple[list[dict[str, str]], frozenset[str], frozenset[str]]:
    """A finished request that stands before each, its questions, and the names in its sentences."""
    made = yaml.safe_load((_HERE / "example.yaml").read_text(encoding="utf-8"))
    questions = made["reply"]["questions"]
    text = _text(made["title"], "", "", made["sentences"], made["kinds"], len(questions), 0)
    reply = json.dumps(made["reply"], ensure_ascii=False)
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": reply}]
    names = re.findall(r"(?<=[a-z] )[A-Z]\w+", " ".join(made["sentences"]))
    return turns, frozenset(question["question"] for question in questions), frozenset(names)


def read_question(passage: Passage, kinds: tuple[str, ...], value: Mapping[str, Any]) -> Candidate | str:
    """The candidate in an object of a reply, or what is wrong with it."""
    try:
        written = _Written.model_validate(value)
    except ValidationError as error:
        return said(error)
    if is_placeholder(written.question) or is_placeholder(written.answer):
        return "it repeats the form instead of filling it in"
    if written.question in _example()[1]:
        return "it repeats the example instead of asking about the sentences"
    names = set(re.findall(r"\w+", f"{written.question} {written.answer}")) & _example()[2]
    if names - set(re.findall(r"\w+", f"{passage.title} {passage.text}")):  # a small model went on about its bell
        return "it speaks of the example instead of the sentences"
    kind = written.kind.lower().strip(" .\"'")
    if kind not in kinds:
        if len(kinds) > 1:
            return f"kind: {written.kind[:40]!r} is none of {', '.join(kinds)}"
        kind = kinds[0]
    numbers = sorted(set(written.sentences))
    if not 1 <= numbers[0] <= numbers[-1] <= len(passage.sentences):
        return f"sentences: there are only the numbers 1 to {len(passage.sentences)}"
    names_title = bool(passage.title) and passage.title in written.question
    return Candidate(
        kind=kind,
        question=written.question,
        focus=written.focus.strip(" .?") or _NO_FOCUS,
        answer=written.answer,
        rule=TEACHER,
        positions=tuple(passage.sentences[number - 1].position for number in numbers),
        scope=passage.document if names_title else "",
    )
