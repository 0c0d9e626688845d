"""Readings of hostile documents end soon, and no document breaks one."""

from __future__ import annotations

import random
import time

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.alone import why_not_alone
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import is_correlative, slots_of

_UNITS = (
    "( (a (a) * **a **a** **a*b* | ( a(b) $ $a $( 1, 12. 5a — [ “ # A A- <tab> \\pm 10^{ ~ % ° / = <nl> ## AB(ab) A(B) "
    "more higher the increase as is much 1,000 http:// Figure&1. if&you **Exercise&1.** Table&1. ::"
).split()
PIECES = [unit.replace("&", " ").replace("<tab>", "\t").replace("<nl>", "\n\n") for unit in _UNITS]
#: Characters: with time that grows with the square, one of them takes minutes.
LENGTH = 120_000
MAX_SECONDS = 10


def _read(text: str) -> Reading:
    reading = Reading(Document(id="d", text=text, title="T"), 0)
    for made in (reading.glossary, reading.tables, reading.abbreviations, reading.terms):
        assert isinstance(made, tuple)
    assert isinstance(reading.summary, str)
    for passage in reading.passages[:20]:
        for sentence in passage.sentences:
            slots_of(sentence.text)
            is_correlative(sentence.text)
            why_not_alone([sentence.text])
    return reading


def _shapes(piece: str, length: int) -> list[str]:
    run = piece * (length // len(piece))
    spaced = f"{piece} " * (length // (len(piece) + 1))
    return [
        run,
        f"A {spaced}.",
        f"## Glossary\n\n**a**: {spaced}",
        f"| {run[:length]} | b |\n|---|---|\n| {spaced} | 5 |\n",
    ]


@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_repeated_pieces(piece: str) -> None:
    for text in _shapes(piece, 3_000):
        _read(text)


@pytest.mark.soak
@pytest.mark.parametrize("piece", PIECES, ids=range(len(PIECES)))
def test_time_does_not_grow_with_the_square(piece: str) -> None:
    for text in _shapes(piece, LENGTH):
        begun = time.monotonic()
        _read(text)
        assert time.monotonic() - begun < MAX_SECONDS


@pytest.mark.soak
def test_mixed_pieces() -> None:
    draw = random.Random(7)
    words = [*PIECES, " ", "\n", "\n\n", "| a | b |\n", "| --- | --- |\n", "is", "than", "a bridge", "."]
    for _ in range(300):
        begun = time.monotonic()
        _read("".join(draw.choice(words) for _ in range(3_000)))
        assert time.monotonic() - begun < MAX_SECONDS
