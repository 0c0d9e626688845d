"""Fields of objects as models write them, read leniently, and what is wrong with an object in one line."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationError

from sagecraft.evaluation.plain_text import UNSEEN

#: Sentences that a range may span; more is no claim to rest on them.
_MAX_RANGE = 20
_RANGE = re.compile(r"(\d{1,6})\]?\s?(?:[-–—]|to)\s?\[?(\d{1,6})")
#: "[1], [2]", "sentences 1 and 3", "1-3": nothing that is quoted, whose figures are no numbers of sentences.
_NUMBERS = re.compile(r"(?:sentences?|nos?\.?|to|and|[\d\s,;.\[\]()#-]|–|—){0,120}", re.IGNORECASE)
_INLINE_MATH, _DISPLAY_MATH = re.compile(r"\\\((.{1,2000}?)\\\)"), re.compile(r"\\\[(.{1,4000}?)\\\]")
_MATH = re.compile(r"\$\$?[^$]{1,4000}\$\$?")
#: A command whose backslash was escaped once too often.
_DOUBLED = re.compile(r"(?<!\\)\\\\(?=[A-Za-z]{2})")
_BOLD = re.compile(r"(\*\*|__)(?=\S)([^*_$\n]{1,200}?)(?<=\S)\1")


def _numbers(value: Any) -> Any:
    """Numbers as models write them: 3, "1, 2", ["[1]", "2"], "1-3"."""
    found: list[int] = []
    for part in value if isinstance(value, list) else [value]:
        text = str(part)
        if not _NUMBERS.fullmatch(text):
            raise ValueError("give numbers alone, such as [1, 3]")
        for one in _RANGE.finditer(text):
            first, last = int(one[1]), int(one[2])
            found += range(first, min(last, first + _MAX_RANGE) + 1)
        found += [int(number) for number in re.findall(r"\d{1,6}", _RANGE.sub(" ", text))]
    return list(dict.fromkeys(found))


def _line(value: Any) -> Any:
    r"""A text on one line, formulas between dollar signs (models write `\( … \)` too), nothing in bold, no sign without a width."""
    if not isinstance(value, str):
        return value
    text = _INLINE_MATH.sub(lambda found: f"${found[1].strip()}$", " ".join(UNSEEN.sub("", value).split()))
    text = _DISPLAY_MATH.sub(lambda found: f"$${found[1].strip()}$$", text)
    if "\\\\" in text and "\\begin" not in text:
        text = _MATH.sub(lambda found: _DOUBLED.sub(lambda _: "\\", found[0]), text)
    return _BOLD.sub(r"\2", text)


#: A text on one line.
Line = Annotated[str, BeforeValidator(_line)]
#: Numbers, of sentences as a rule.
Numbers = Annotated[tuple[int, ...], BeforeValidator(_numbers)]


def said(error: ValidationError) -> str:
    """The first thing that is wrong with an object, as it is told to who wrote it."""
    first = error.errors()[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the object'}: {first['msg']}"
