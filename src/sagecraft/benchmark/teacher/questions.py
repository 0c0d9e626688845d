"""A passage as a request for items, and an object of the reply as an item."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sagecraft.evaluation.claims import is_placeholder
from sagecraft.literature.passages import Passage
from sagecraft.teaching.asking import Ask
from sagecraft.teaching.fields import Line, Numbers, said

LETTERS = "ABCD"
_HERE = Path(__file__).parent / "prompts"
#: "A. ", "(b) " in front of an option.
_LABEL = re.compile(r"^\(?[A-Da-d][.):]\s+")


def _options(value: Any) -> Any:
    """Four texts: an object by letters, a list, or a list of objects with a text."""
    if isinstance(value, Mapping):
        value = [text for _, text in sorted(value.items())]
    if isinstance(value, list):
        value = [
            next((each[name] for name in ("text", "option") if name in each), "") if isinstance(each, Mapping) else each
            for each in value
        ]
        return [_LABEL.sub("", " ".join(str(each).split())) for each in value]
    return value


Option = Annotated[str, Field(min_length=1, max_length=300)]


class _Written(BaseModel):
    """An item as a model writes it."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)
    question: Line = Field(min_length=15, max_length=600)
    options: Annotated[tuple[Option, Option, Option, Option], BeforeValidator(_options)]
    answer: Line = Field(min_length=1, max_length=310)
    explanation: Line = Field(min_length=10, max_length=2000)
    sentences: Numbers = Field(min_length=1, max_length=20)


@dataclass(frozen=True)
class Written:
    """An item that can be read; whether it is a good one, rules and judges say.

    Attributes:
        passage: that it is from.
        question: as it is asked.
        options: the right one first.
        explanation: why it is right.
        numbers: places in the passage of the sentences that show it, from 0.
    """

    passage: Passage
    question: str
    options: tuple[str, ...]
    explanation: str
    numbers: tuple[int, ...]

    @property
    def support(self) -> str:
        """The sentences that show it."""
        return " ".join(self.passage.sentences[number].text for number in self.numbers)


#: Schema of a whole reply, for endpoints that take one: every key required and no other, as the strict form wants it.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "question": {"type": "string"},
                    "options": {
                        "type": "object",
                        "properties": {letter: {"type": "string"} for letter in LETTERS},
                        "required": list(LETTERS),
                        "additionalProperties": False,
                    },
                    "answer": {"type": "string", "enum": list(LETTERS)},
                    "explanation": {"type": "string"},
                    "sentences": {"type": "array", "items": {"type": "integer"}},
                },
                "required": ["question", "options", "answer", "explanation", "sentences"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["items"],
    "additionalProperties": False,
}


def ask_about(passage: Passage, summary: str, count: int, attempt: int) -> Ask[Written]:
    """The request for the items of a passage.

    Args:
        passage: what is asked about.
        summary: of its document, in its own sentences.
        count: items wanted.
        attempt: how often it was asked before in vain; each time it is said in the request, which makes it another.
    """
    told = "" if not summary or summary in passage.text else f"What it is about: {summary}\n"
    sentences = [sentence.text for sentence in passage.sentences]
    text = _text(passage.title, passage.section, told, sentences, count)
    if attempt:
        text += f"\n\n(This is attempt {attempt + 1}; keep to the form.)"
    turns = [*_example()[0], {"role": "user", "content": text}]
    return Ask(passage.id, turns, "question", partial(read_item, passage))


def _text(title: str, section: str, summary: str, sentences: Sequence[str], count: int) -> str:
    prompt = (_HERE / "items.md").read_text(encoding="utf-8").strip()
    return prompt.format_map(
        {
            "title": title or "(untitled)",
            "section": f", section “{section}”" if section else "",
            "summary": summary,
            "sentences": "\n".join(f"[{n}] {sentence}" for n, sentence in enumerate(sentences, start=1)),
            "count": count,
            "s": "" if count == 1 else "s",
        }
    )


@cache
def _example() -> tuple[list[dict[str, str]], frozenset[str], frozenset[str]]:
    """A finished request that stands before each, its questions, and the names in its sentences."""
    made = yaml.safe_load((_HERE / "example.yaml").read_text(encoding="utf-8"))
    items = made["reply"]["items"]
    text = _text(made["title"], "", "", made["sentences"], len(items))
    turns = [
        {"role": "user", "content": text},
        {"role": "assistant", "content": json.dumps(made["reply"], ensure_ascii=False)},
    ]
    names = re.findall(r"(?<=[a-z] )[A-Z]\w+", " ".join(made["sentences"]))
    return turns, frozenset(item["question"] for item in items), frozenset(names)


def read_item(passage: Passage, value: Mapping[str, Any]) -> Written | str:
    """The item in an object of a reply, or what is wrong with it."""
    try:
        written = _Written.model_validate(value)
    except ValidationError as error:
        return said(error)
    if any(map(is_placeholder, (written.question, written.explanation, *written.options))):
        return "it repeats the form instead of filling it in"
    if written.question in _example()[1]:
        return "it repeats the example instead of asking about the sentences"
    words = set(re.findall(r"\w+", " ".join((written.question, *written.options))))
    if (words & _example()[2]) - set(re.findall(r"\w+", f"{passage.title} {passage.text}")):
        return "it speaks of the example instead of the sentences"
    if len({_bare(option) for option in written.options}) < len(LETTERS):
        return "options: two of them say the same"
    if all(_bare(option) in ("a", "b", "c", "d") for option in written.options):  # seen of a small model
        return "options: they are letters without their texts"
    key = _key(written)
    if key is None:
        return f"answer: {written.answer[:40]!r} is none of the letters A to D"
    numbers = sorted(set(written.sentences))
    if not 1 <= numbers[0] <= numbers[-1] <= len(passage.sentences):
        return f"sentences: there are only the numbers 1 to {len(passage.sentences)}"
    options = (written.options[key], *(text for n, text in enumerate(written.options) if n != key))
    return Written(passage, written.question, options, written.explanation, tuple(number - 1 for number in numbers))


def _bare(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


def _key(written: _Written) -> int | None:
    """Which option the answer names: by its letter ("B", "(b)", "B. …"), or by its text."""
    if named := re.match(r"\(?([A-Da-d])\)?(?:[.):\s]|$)", written.answer):
        rest = _bare(written.answer[named.end() :])
        number = LETTERS.index(named.group(1).upper())
        if not rest or rest == _bare(written.options[number]):
            return number
    same = [n for n, text in enumerate(written.options) if _bare(text) == _bare(written.answer)]
    return same[0] if len(same) == 1 else None
