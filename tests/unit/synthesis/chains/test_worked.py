"""Worked examples as chains: which are taken, what is asked, thought and answered."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
from sagecraft.synthesis.chains.results import said
from sagecraft.synthesis.chains.worked import worked_examples
from sagecraft.synthesis.grading.rules import grade
from sagecraft.synthesis.pairs import pair_of
from sagecraft.synthesis.rows import conversations_of
from sagecraft.synthesis.synth import SynthConfig

SLED = r"""# Sleds

**Example 1. A Sled.** A sled with a mass of 20 kg is pulled over ice at $0^{\circ}\text{C}$ with a force of 50 N. Ignoring friction, what is its acceleration?

**Strategy.** The net force is the pull. Figure 3 shows it.

**Solution.** Newton’s second law gives

$$a = \frac{F}{m}.$$

The acceleration of the sled is

$$a = \frac{50\,\text{N}}{20\,\text{kg}} = 2.5\,\text{m/s}^{2}.$$

**Significance.** It is a lot.

* * *

Prose.
"""
PARTS = r"""**Example 2. A Pump.** A pump lifts 60 kg of water by 10 m in one minute.

- (a) How much work does the pump do?
- (b) What is the power of the pump?

**Solution.** - (a) The work is

  $$W = mgh = (60\,\text{kg})(9.8\,\text{m/s}^{2})(10\,\text{m}) = 5.9\,\text{kJ}.$$
- (b) In a minute of 60 s, the power is

  $$P = W/t = 98\,\text{W}.$$
"""


def found(text: str) -> list[Candidate]:
    return list(worked_examples(Reading(Document(id="d", title="T", text=text), 0)))


def chains(text: str) -> list[Candidate]:
    return [candidate for candidate in found(text) if candidate.drop is None]


def reason(text: str) -> str | None:
    (candidate,) = found(text)
    assert candidate.question
    return candidate.drop


def sled(problem: str, steps: str) -> str:
    return f"# Sleds\n\n**Example 1. A Sled.** {problem}\n\n**Solution.** {steps}\n\n* * *\n"


def test_steps_are_the_thought_and_the_result_the_answer():
    (chain,) = chains(SLED)
    assert chain.question.startswith("A sled with a mass of 20 kg")
    assert chain.question.endswith("what is its acceleration?")
    assert chain.answer == r"The acceleration of the sled is $a = 2.5\,\text{m/s}^{2}$."
    assert chain.thought is not None
    # What points to a figure is left out, and so is what was said after the result.
    assert chain.thought.startswith("The net force is the pull.\n\nNewton’s second law gives\n\n$$a = \\frac{F}{m}.$$")
    assert "Figure" not in chain.thought
    assert "a lot" not in chain.thought
    assert grade(chain, " ".join(chain.ground), "T") is None


def test_rows_with_and_without_a_thought():
    (chain,) = chains(SLED)
    document = Document(id="d", title="T", text=SLED)
    on, off = conversations_of(SynthConfig(share_thinking=0.0), pair_of(document, chain, ()))
    assert (on.thinking, on.messages[1].thinking, on.messages[1].content) == ("on", chain.thought, chain.answer)
    # Without a thought, the answer shows the steps.
    assert (off.thinking, off.messages[1].thinking) == ("off", None)
    assert off.messages[1].content == f"{chain.thought}\n\n{chain.answer}"
    assert off.lineage[0].sentence.startswith("Newton’s second law")


def test_every_part_has_its_result():
    (chain,) = chains(PARTS)
    assert chain.answer == r"(a) The work is $W = 5.9\,\text{kJ}$. (b) " + said(r"P = 98\,\text{W}")
    assert "(a) How much work" in chain.question
    assert "- (" not in chain.question
    assert grade(chain, " ".join(chain.ground), "T") is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("over ice at", "as Figure 2 shows, over ice at"),
        ("A sled with", "The sled of the previous problem with"),
        ("what is its acceleration?", "what is its acceleration, and how far does it go?"),
        ("what is its acceleration?", "what is its acceleration? How far does it go?"),
        ("Ignoring friction, what is its acceleration?", "Estimate the acceleration and speed of the sled."),
        ("A sled with", "The capacitor in Capacitor with a Dielectric holds a sled with"),
        ("what is its acceleration?", "where does it stop and what is its acceleration?"),
        (r" = 2.5\,\text{m/s}^{2}", ""),
        (r"a = \frac{50\,\text{N}}{20\,\text{kg}} =", r"\vec{a} = \frac{50\,\text{N}}{20\,\text{kg}} ="),
        ("Newton’s second law gives", r"With $F = 50\,\text{N}$ in Equation 2, we have"),
        ("**Solution.**", "**Hint.**"),
        ("Example 1. A Sled.", "Exercise 1."),
    ],
)
def test_silent(old: str, new: str):
    assert old in SLED
    assert not chains(SLED.replace(old, new))


def test_a_problem_of_nothing_but_parts_opens_with_a_sentence():
    bare = PARTS.replace("A pump lifts 60 kg of water by 10 m in one minute.\n\n", "").replace(
        "does the pump do", "lifts 60 kg by 10 m"
    )
    (chain,) = chains(bare)
    assert chain.question.startswith("Answer each part. (a) How much work")
    assert grade(chain, " ".join(chain.ground), "T") is None


def test_of_parts_those_up_to_the_first_without_a_result_are_asked():
    (chain,) = chains(PARTS.replace("What is the power of the pump?", "Explain what a pump is."))
    assert chain.question == "A pump lifts 60 kg of water by 10 m in one minute. How much work does the pump do?"
    assert chain.answer == r"The work is $W = 5.9\,\text{kJ}$."
    assert chain.thought is not None
    assert "98" not in chain.thought
    # What the part that is left out says beside its question may be needed.
    (chain,) = chains(PARTS.replace("What is the power of the pump?", "Explain it. The water is at rest."))
    assert chain.question.endswith("How much work does the pump do? The water is at rest.")
    assert reason(PARTS.replace("How much work does the pump do?", "Explain what a pump is.")) == "no-result"


def test_an_equation_named_by_its_number_is_written_out():
    text = SLED.replace("Newton’s second law gives", r"With $F = 50\,\text{N}$ in Equation 2, we have")
    assert reason(text) == "steps-point-elsewhere"
    (chain,) = chains(f"$$F = ma. \\tag{{2}}$$\n\n{text}")
    assert chain.thought is not None
    assert r"With $F = 50\,\text{N}$ in the equation $F = ma$, we have" in chain.thought
    # One number of two equations names neither.
    assert reason(f"$$F = ma. \\tag{{2}}$$\n\n$$F = mg. \\tag{{2}}$$\n\n{text}") == "steps-point-elsewhere"


PICTURED = "A sled of 20 kg is pulled over ice with a force of 50 N (Figure 2). What is the acceleration of the sled?\n\nFigure 2. A sled. (The figure shows a sled. A rope of 3 m is at its front.)"


def test_a_picture_that_the_steps_do_without():
    (chain,) = chains(sled(PICTURED, r"$$a = \frac{50\,\text{N}}{20\,\text{kg}} = 2.5\,\text{m/s}^{2}$$"))
    assert (
        chain.question
        == "A sled of 20 kg is pulled over ice with a force of 50 N. What is the acceleration of the sled?"
    )
    read_off = r"$$a = \frac{50\,\text{N}}{20\,\text{kg}}\frac{3\,\text{m}}{3\,\text{m}} = 2.5\,\text{m/s}^{2}$$"
    assert reason(sled(PICTURED, read_off)) == "picture"
    steps = r"$$a = \frac{50\,\text{N}}{20\,\text{kg}} = 2.5\,\text{m/s}^{2}$$"
    assert reason(sled(PICTURED.replace("over ice", "over ice to the point P"), steps)) == "picture"


@pytest.mark.parametrize(
    ("problem", "steps", "answer"),
    [
        (
            "A sled of mass *m* is pulled over ice with a force *F* for a time *t*. What is its final speed?",
            r"From $F = ma$ we get $$a = F/m,$$" "\n\nso that\n\n" r"$$v = at = \frac{Ft}{m}.$$",
            said(r"v = \frac{Ft}{m}"),
        ),
        (
            "A sled of 2.0 kg is pulled over ice with an acceleration of $3.0\\hat{i}$ m/s. Find the force on it.",
            r"$$\vec{F} = m\vec{a} = (6.0\,\text{N})\hat{i}.$$",
            said(r"\vec{F} = (6.0\,\text{N})\hat{i}"),
        ),
        (
            "How long does a sled at 4.0 m/s take for the 20 m of a level track?",
            r"We divide and obtain $t = \frac{20\,\text{m}}{4.0\,\text{m/s}} = 5.0\,\text{s}.$",
            said(r"t = 5.0\,\text{s}"),
        ),
        (
            "How long does a sled at 4.0 m/s take for the 20 m of a level track?",
            r"$$t = \frac{20\,\text{m}}{4.0\,\text{m/s}} = 5.0\,\text{s},$$" "\n\nwhich is not long.",
            said(r"t = 5.0\,\text{s}"),
        ),
    ],
)
def test_results_in_symbols_components_lines_and_before_a_remark(problem: str, steps: str, answer: str):
    (chain,) = chains(sled(problem, steps))
    assert chain.answer == answer


@pytest.mark.parametrize(
    ("problem", "steps", "why"),
    [
        # In symbols that nobody has introduced.
        ("A sled of mass *m* is pulled over ice by a child. What is its acceleration?", r"$$a = F/m$$", "no-result"),
        # A time is no answer to how fast.
        ("What is the speed of a sled that takes 5.0 s for 20 m?", r"$$t = 10\,\text{s}/2 = 5.0\,\text{s}$$", "another-result"),
        # Two values of one quantity.
        ("A sled goes at 3.0 m/s or so. How far does it come in 2 s?", "$$x = 6\\,\\text{m}$$\n\nor\n\n$$x = 7\\,\\text{m}$$", "no-result"),
        ("A sled goes at 3.0 m/s or so. How far does it come in 2 s?", r"$$x = 6\,\text{m},\quad y = 3(2)\,\text{m} = 6\,\text{m}$$", "no-result"),
        # A slip of the book.
        ("A sled goes at 3.0 m/s or so. How far does it come in 2 s?", r"$$x = 3(2)\,\text{m} = 6\,\text{m} = 600\,\text{N}$$", "no-result"),
        ("Find the mass and the speed of a sled that a child pulls over ice.", r"$$v = 3(2)\,\text{m/s} = 6\,\text{m/s}$$", "several-results"),
        ("We noted that a sled goes at 3.0 m/s. How far does it come in 2 s?", r"$$x = 3(2)\,\text{m} = 6\,\text{m}$$", "tied"),
        ("A sled, short", r"$$x = 3(2)\,\text{m} = 6\,\text{m}$$", "too-short"),
    ],
)  # fmt: skip
def test_reasons(problem: str, steps: str, why: str):
    assert reason(sled(problem, steps)) == why


def test_results_are_worded_in_many_ways():
    worded = {said(f"x = {number}").partition(" $")[0] for number in range(100)}
    assert len(worded) == 8
    assert said("x = 1") == said("x = 1")
    assert all(len(said(f"x = {number}").split()) >= 5 for number in range(100))  # shorter answers are graded as none
