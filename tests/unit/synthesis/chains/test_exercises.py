"""Exercises whose solutions explain."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.chains.exercises import explained_exercises
from sagecraft.synthesis.grading.rules import grade

WAX = """# Candles

**Exercise 4.** Why does the wax of a candle melt while the wick of a candle burns?

**Solution.** Wax melts since the flame heats the wax around the wick. The wick burns because wax vapor feeds its flame.

**Exercise 5.** And then?
"""


def asked(text: str) -> list[Candidate]:
    return list(explained_exercises(Reading(Document(id="d", title="Candles and Lamps", text=text), 0)))


def test_the_solution_is_the_answer():
    (found,) = asked(WAX)
    assert found.kind == "cause"
    assert found.question == "Why does the wax of a candle melt while the wick of a candle burns?"
    assert found.answer.startswith("Wax melts since")
    assert found.ground == (found.answer,)
    assert "“Candles and Lamps”" in found.focus
    assert grade(found, found.answer, "Candles and Lamps") is None


@pytest.mark.parametrize(
    ("kind", "question"),
    [
        ("what-if", "What would happen to a burning candle if the air around it held no oxygen at all?"),
        ("comparison", "What is the difference between the wax of a candle and the oil of a lamp?"),
        ("method", "How does the wick of a candle bring molten wax up to a flame?"),
        ("account", "Does the wax of a candle burn before a wick burns?"),
    ],
)
def test_kinds(kind: str, question: str):
    (found,) = asked(WAX.replace("Why does the wax of a candle melt while the wick of a candle burns?", question))
    assert found.kind == kind


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Why does the wax", "Looking at Figure 2, why does the wax"),
        ("Why does", "(a) Why does"),
        ("Why does the wax of a candle melt", "Sketch why the wax of a candle melts"),
        ("Why does the wax of a candle melt", "In the preceding problem, why does the wax melt"),
        ("Wax melts since", "As in Exercise 2, wax melts since"),
        ("Wax melts since", "Answers will vary: wax melts since"),
        ("Wax melts since", "It melts since"),
        ("Wax melts since the flame heats the wax around the wick. The wick burns because wax vapor feeds its flame.", "4.08 m"),
        ("**Solution.**", "**Hint.**"),
        ("Exercise 4.", "Example 4."),
    ],
)  # fmt: skip
def test_silent(old: str, new: str):
    assert old in WAX
    assert not asked(WAX.replace(old, new))
