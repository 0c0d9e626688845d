"""Exercises and worked examples of a document, as the readers write them, with the parts of their solutions.

A textbook reader writes an exercise as `**Exercise 3.** …` and an example as `**Example 2. Title.** …`; parts follow under
titles in bold (`**Strategy.**`, `**Solution.**`). It ends where the next one begins, at a heading, or at a rule `* * *`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sagecraft.corpus.readers.blocks import END_OF_PART

_BEGIN = re.compile(r"\*\*((?:Exercise|Example)(?: \d+)?)\.(?: (.+?))?\*\*(?: |$)")
_PART = re.compile(r"\*\*(Strategy|Solution|Significance|Check Your Learning|Answer)[.:]?\*\*(?: |$)", re.IGNORECASE)
_HEADING = re.compile(r"#{1,6} ")


@dataclass
class Exercise:
    """One exercise or worked example.

    Attributes:
        label: "Exercise 3", "Example 2".
        title: of an example; empty for most exercises.
        problem: what is asked, Markdown.
        parts: name (`solution`, `strategy`, …, in lower case) → Markdown, in the order of the document.
    """

    label: str
    title: str
    problem: str
    parts: dict[str, str] = field(default_factory=dict)


def exercises_of(text: str) -> Iterator[Exercise]:
    """The exercises and examples of a document, in order, those without a solution too."""
    current: Exercise | None = None
    part = ""
    for block in text.split("\n\n"):
        begins = _BEGIN.match(block)
        if begins or block == END_OF_PART or _HEADING.match(block):
            if current is not None:
                yield current
            current, part = None, ""
            if begins:
                current = Exercise(begins.group(1), (begins.group(2) or "").rstrip("."), block[begins.end() :])
            continue
        if current is None:
            continue
        if named := _PART.match(block):
            part = named.group(1).lower()
            current.parts.setdefault(part, "")
            block = block[named.end() :]
        if part:
            current.parts[part] = f"{current.parts[part]}\n\n{block}".strip()
        else:
            current.problem = f"{current.problem}\n\n{block}".strip()
    if current is not None:
        yield current
