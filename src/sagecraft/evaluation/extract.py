"""Reads the chosen letter out of a reply, by stages from the strict to the lenient; which stage it was is counted.

A reply is hostile text of any length: only its ends are looked at, every pattern is linear, and nested brackets cannot
exhaust the stack. The last statement counts at each stage: a model that corrects itself means its correction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sagecraft.evaluation.tasks import LETTERS

Stage = Literal["json", "phrase", "letter", "none"]
STAGES: tuple[Stage, ...] = ("json", "phrase", "letter", "none")

#: Characters looked at, at the beginning and at the end.
_END_CHARS = 20_000
#: Opening braces that are tried as the beginning of an object (the last ones).
_MAX_OBJECTS = 64
_FIELD = re.compile(r"""["']answer["']\s{0,8}:\s{0,8}["']?[(\[*]{0,3}([A-J])\s{0,4}(?=["'.)\]}*,:])""", re.IGNORECASE)
_STATED = re.compile(
    r"\b(?:answer|(?:correct|right|best)\s(?:option|choice|letter))\b[*_`]{0,3}\s{0,4}(?:is|:|=)[\s:*_`]{0,8}"
    r"(?:(?:the\s)?(?:option|choice|letter)\s{1,3})?[(\[{\"'*_`$]{0,4}(?P<letter>[A-J])(?![\w'’])(?P<next>[ \t]{1,4}[a-z]+)?",
    re.IGNORECASE,
)
#: Words after "the answer is A" that leave the A a letter. Before any other it is the article: "the answer is A star".
_AFTER_LETTER = frozenset(
    [
        "because",
        "since",
        "as",
        "and",
        "for",
        "due",
        "is",
        "which",
        "that",
        "with",
        "not",
        "but",
        "given",
        "from",
        "when",
    ]
)
_LONE = re.compile(r"[\s(\[{\"'*_`#]{0,8}(?:(?:option|answer)\s)?([A-J])[\s)\]}\"'*_`.:,;!]{0,8}", re.IGNORECASE)
_LEADING = re.compile(r"[\s(\[*_]{0,4}([A-J])[)\].:][*_]{0,2}\s")


@dataclass(frozen=True)
class Extraction:
    """What was read.

    Attributes:
        letter: the chosen letter, or None.
        stage: how it was found.
    """

    letter: str | None
    stage: Stage


def extract(text: str, options: Sequence[str], cut: bool = False) -> Extraction:
    """Reads the chosen letter.

    Args:
        text: the answer, without any thought.
        options: the texts of the options; a JSON answer may name one of them instead of its letter.
        cut: the reply was cut off: a lone letter in it is then no answer.
    """
    letters = LETTERS[: len(options)]
    if len(text) > 2 * _END_CHARS:
        text = text[:_END_CHARS] + "\n" + text[-_END_CHARS:]
    stages: tuple[tuple[Stage, Callable[[], str | None]], ...] = (
        ("json", lambda: _from_json(text, options)),
        ("phrase", lambda: _from_phrase(text, options)),
        ("letter", lambda: None if cut else _from_letter(text)),
    )
    for stage, find in stages:
        letter = find()
        if letter is not None and letter in letters:
            return Extraction(letter, stage)
    return Extraction(None, "none")


def _from_json(text: str, options: Sequence[str]) -> str | None:
    """The `answer` of the last JSON object that has a usable one, or of an object that was cut off."""
    decoder = json.JSONDecoder()
    starts = [match.start() for match in re.finditer(r"\{", text)][-_MAX_OBJECTS:]
    for start in reversed(starts):
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        letter = _named(value, options)
        if letter is not None:
            return letter
    fields = _FIELD.findall(text)
    return fields[-1].upper() if fields else None


def _named(value: Any, options: Sequence[str]) -> str | None:
    """The letter that a parsed object names."""
    given = next((v for k, v in value.items() if k.lower() == "answer"), None) if isinstance(value, dict) else None
    if not isinstance(given, str):
        return None
    given = given.strip()
    same = [letter for letter, option in zip(LETTERS, options, strict=False) if option.casefold() == given.casefold()]
    if len(same) == 1:
        return same[0]
    found = _LONE.fullmatch(given[:40]) or _LEADING.match(given)
    return found[1].upper() if found else None


def _from_phrase(text: str, options: Sequence[str]) -> str | None:
    """The last "answer is X", "Answer: X"."""
    letter = None
    for match in _STATED.finditer(text):
        found, follows = match["letter"], (match["next"] or "").strip()
        behind = text[match.end("letter") :][: len(options[0]) + 1].strip()
        article = found == "A" and follows and follows.lower() not in _AFTER_LETTER
        if not found.isupper() or (article and behind.casefold() != options[0].casefold()):
            continue
        letter = found
    return letter


def _from_letter(text: str) -> str | None:
    """A line that is one letter, or begins like "B. …": of the first and the last line, the last."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in (lines[-1], lines[0]) if lines else ():
        found = _LONE.fullmatch(line)
        if found and (found[1].isupper() or len(line.strip()) > 1):
            return found[1].upper()
        if leading := _LEADING.match(line):
            return leading[1]
    return None
