"""Exercises whose solutions explain."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.chains.exercises import exercises, references
from sagecraft.synthesis.chains.results import said
from sagecraft.synthesis.grading.rules import grade

WAX = """# Candles

**Exercise 4.** Why does the wax of a candle melt while the wick of a candle burns?

**Solution.** Wax melts since the flame heats the wax around the wick. The wick burns because wax vapor feeds its flame.

**Exercise 5.** And then?
"""


def asked(text: str) -> list[Candidate]:
    return list(exercises(Reading(Document(id="d", title="Candles and Lamps", text=text), 0)))


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


SUM = r"""**Exercise 1.** A candle of 200 g burns down in 4.0 h at an even pace. How much mass does it lose in 3.0 h?

**Solution.** $m = \frac{3.0\,\text{h}}{4.0\,\text{h}}(200\,\text{g}) = 150\,\text{g}$
"""


def test_a_solution_that_shows_its_sum_is_a_chain():
    (found,) = asked(SUM)
    assert (found.rule, found.kind, found.shows_steps) == ("solved-exercise", "derivation", True)
    assert found.answer == said(r"m = 150\,\text{g}")
    assert found.thought is not None
    assert found.thought.startswith(r"$m = \frac{3.0")
    assert not asked(SUM.replace(r"\frac{3.0\,\text{h}}{4.0\,\text{h}}(200\,\text{g}) =", ""))  # no way
    assert not asked(SUM.replace("(200", "(250"))  # a number from elsewhere
    assert not asked(SUM.replace("A candle of", "The candle shown below of"))


def test_parts_of_a_solution_that_are_named_in_another_way():
    parts = SUM.replace(
        "How much mass does it lose in 3.0 h?", "(a) How much mass does it lose in 3.0 h? (b) How much mass is left?"
    )
    parts = parts.replace("$m =", "a. $m =").rstrip() + r"; b. $M = 200\,\text{g}-150\,\text{g} = 50\,\text{g}$" + "\n"
    (found,) = asked(parts)
    first, second = said(r"m = 150\,\text{g}"), said(r"M = 50\,\text{g}")
    assert found.answer == f"(a) {first} (b) {second}"


def test_references_are_problems_with_one_result():
    def of(text: str) -> list[tuple[str, str]]:
        return [(one.question, one.result) for one in references(Reading(Document(id="d", title="T", text=text), 0))]

    bare = SUM.replace(r"m = \frac{3.0\,\text{h}}{4.0\,\text{h}}(200\,\text{g}) =", "m =")
    assert of(bare) == [
        (
            "A candle of 200 g burns down in 4.0 h at an even pace. How much mass does it lose in 3.0 h?",
            r"$m = 150\,\text{g}$",
        )
    ]
    for old, new in (
        ("150\\,\\text{g}$", "150\\,\\text{s}$"),  # no mass
        ("How much", "(a) Why? (b) How much"),
        ("A candle", "The candle of the previous problem"),
        ("lose in 3.0 h?", "lose in 3.0 h? How bright is it?"),
        ("$m = 150\\,\\text{g}$", "It burns down."),
    ):
        assert old in bare
        assert not of(bare.replace(old, new)), new
