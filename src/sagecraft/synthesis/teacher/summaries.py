"""Summaries of long documents, written by the teacher: notes on stretches of passages, then one summary of the notes.

A passage from the middle of a long text does not say what it belongs to, and a long text often has no abstract. What is said of
the whole is told with each of its passages (`questions.ask_about`); questions are still grounded in sentences of the passage alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.evaluation.claims import is_placeholder
from sagecraft.teaching.asking import Ask, ask_all
from sagecraft.teaching.fields import Line, said

if TYPE_CHECKING:
    from sagecraft.literature.reading import Reading
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.teaching.desk import Desk
    from sagecraft.teaching.writers import Writer

#: Characters that are summarised at once: some 3,000 tokens, so that models of short contexts can do it.
_STRETCH_CHARS = 12_000
_MAX_CHARS = 1_500


class Summary(BaseModel):
    """What the teacher writes."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    summary: Line = Field(min_length=40, max_length=4_000)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"summary": {"type": "string"}},
    "required": ["summary"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class _Open:
    """A document whose texts are still to be brought down to one."""

    reading: Reading
    texts: Sequence[str]
    level: int


@cache
def _prompt() -> str:
    return (Path(__file__).parent / "prompts" / "summary.md").read_text(encoding="utf-8").strip()


def read_summary(value: Mapping[str, Any]) -> str | Summary:
    """The summary in an object of a reply, or what is wrong with it."""
    try:
        found = Summary.model_validate(value)
    except ValidationError as error:
        return said(error)
    return "it repeats the form instead of filling it in" if is_placeholder(found.summary) else found


def summaries_of(desk: Desk[SynthConfig], writer: Writer, readings: Iterable[Reading]) -> dict[str, str]:
    """Id of each long document → its summary; one of which a stretch could not be summarised has none.

    Args:
        desk: of the stage, whose teacher says from how many passages a document is long (`summarise_from`).
        writer: the teacher.
        readings: of the documents.
    """
    teacher = desk.config.teacher
    assert teacher is not None
    least = teacher.summarise_from
    if least is None:
        return {}
    found: dict[str, str] = {}
    open_ = [
        _Open(reading, [passage.text for passage in reading.passages], 0)
        for reading in readings if len(reading.passages) >= least
    ]  # fmt: skip
    while open_:
        asks: list[Ask[Summary]] = []
        counts: list[int] = []
        for one in open_:
            stretches = _stretches(one.texts)
            counts.append(len(stretches))
            asks += [_ask(desk, one, number, text, len(stretches)) for number, text in enumerate(stretches)]
        answers = iter(ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "summaries"))
        following: list[_Open] = []
        for one, count in zip(open_, counts, strict=True):
            own = [next(answers) for _ in range(count)]
            for answer in own:
                desk.add("summary", answer)
            if any(answer.failed for answer in own):
                continue
            texts = [answer.objects[-1].summary[:_MAX_CHARS] for answer in own]
            if len(texts) == 1:
                found[one.reading.document.id] = texts[0]
            else:
                following.append(_Open(one.reading, texts, one.level + 1))
        open_ = following
    return found


def _stretches(texts: Sequence[str]) -> list[str]:
    """Texts joined as far as they may be read at once; each holds two at least, so that there are ever fewer."""
    joined: list[list[str]] = []
    for text in texts:
        if joined and (len(joined[-1]) < 2 or sum(map(len, joined[-1])) + len(text) <= _STRETCH_CHARS):
            joined[-1].append(text)
        else:
            joined.append([text])
    return ["\n\n".join(part) for part in joined]


def _ask(desk: Desk[SynthConfig], one: _Open, number: int, text: str, count: int) -> Ask[Summary]:
    title = one.reading.document.title or "(untitled)"
    name = f"summary-{one.reading.document.id}-{one.level}-{number}"
    whole = "the whole text" if count == 1 else f"part {number + 1} of {count}"
    what = f"This is {whole} of “{title}”:" if one.level == 0 else f"These are notes on {whole} of “{title}”:"
    told = _prompt().format_map({"what": what, "parts": text, "title": title, "length": "three or four sentences"})
    if attempt := desk.attempts.get(name, 0):
        told += f"\n\n(This is attempt {attempt + 1}; keep to the form.)"
    return Ask(name, [{"role": "user", "content": told}], "summary", read_summary)
