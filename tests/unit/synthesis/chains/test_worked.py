"""Worked examples as chains: which are taken, what is asked, thought and answered."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate
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


def chains(text: str) -> list[Candidate]:
    return list(worked_examples(Reading(Document(id="d", title="T", text=text), 0)))


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
    assert chain.answer == r"(a) The work is $W = 5.9\,\text{kJ}$. (b) The result is $P = 98\,\text{W}$."
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


def test_a_part_without_a_result_leaves_the_whole_out():
    assert not chains(PARTS.replace("What is the power of the pump?", "Explain what a pump is."))
    assert not chains(PARTS.replace("- (b) In a minute", "- In a minute"))
