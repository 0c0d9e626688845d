"""What is asked of books: paragraphs, terms, glossaries, tables and claims. Invented chapters of no field."""

from __future__ import annotations

import re
import time
from collections import Counter
from fractions import Fraction

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.literature.tables import number_of
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.grading.rules import grade
from sagecraft.synthesis.rules import RULES, critique, explanations, gaps, glossary, tables, textbook

TITLE = "Bridges of Stone and Wood"
T = f"“{TITLE}”"
TABLE = """Table 1. Bridges of the Lower Valley

| Bridge | Length (m) | Built of | Mean load (t) |
|---|---|---|---|
| Aldmoor | 40 | oak | 12 |
| Brenhurst | 120 | granite | 30 |
| Corvale | 66.5 | brick | 9 |
| Dunwick | 300 | iron | 45 |
| Elmstead | — | rope | 5 |"""
PROSE = """## Arches

Masons of the valley cut the stones of an arch to a wedge. The wedges press on each other and hold without mortar. Lime came
into use with later builders. Kilns for it stood at every ford.

The keystone of an arch carries no more load than its neighbours. The keystone is set last because it closes the ring, and
the frame below is then taken away from the arch without any danger to the masons.

A **spandrel** is a wall above an arch that carries a road. Old spandrels hold rubble. A low pier of a bridge that is built in
the water of a river is called a starling.

She wrote that it was so. It carries them over the river in winter, when the fords are closed and nobody can cross.

Stone bridges are much heavier than wooden bridges of equal strength. The bridge at Aldmoor has a length of 40 meters.

## Builders

In 1741, the young mason Agnes Miller became the first woman to build a bridge of stone alone.

Because ice comes down rivers every winter, the piers of bridges are built with sharp edges.

Arches of brick carry light carts, while arches of granite carry any load.

Why do bridges of granite outlast bridges of oak? Granite does not rot in water, and frost cannot split it.

## Key Concepts and Summary

Bridges of stone carry their load by pressure alone. Wooden bridges bend, and their beams must be replaced after some
decades. The oldest bridges of the valley are made of oak."""
GLOSSARY = """## Glossary

**abutment**: the mass of stone at the end of a bridge that takes up the push of its arch

**pier**: an upright support in the water between two spans of a crossing

**girder**: a long beam of wood or iron that carries the floor of a crossing

**joist**: a short beam that is laid across others below a floor

**starling**: a pointed wall around a support in a river

**ford**: today, a road; in ancient times, a shallow place of a river"""


def reading(text: str = f"{PROSE}\n\n{TABLE}\n\n{GLOSSARY}", title: str = TITLE, seed: int = 0) -> Reading:
    return Reading(Document(id="bridges", text=f"# {title}\n\n{text}", title=title), seed=seed)


def asked(rule: Rule, text: str | None = None, seed: int = 0) -> list[Candidate]:
    return list(rule(reading(seed=seed) if text is None else reading(text, seed=seed)))


OWN: dict[str, Rule] = {
    **textbook.RULES,
    **explanations.RULES,
    **glossary.RULES,
    **tables.RULES,
    **critique.RULES,
    **gaps.RULES,
}


@pytest.mark.parametrize("name", sorted(OWN))
def test_every_rule_asks_of_the_chapter_and_names_it_and_passes_the_graders(name: str) -> None:
    assert RULES[name] is OWN[name]
    made = [candidate for seed in range(4) for candidate in asked(OWN[name], seed=seed)]
    assert made
    texts = {sentence.position: sentence.text for passage in reading().passages for sentence in passage.sentences}
    for candidate in made:
        assert T in candidate.question
        ground = " ".join((*(texts[position] for position in candidate.positions), *candidate.ground))
        assert ground
        assert grade(candidate, ground, TITLE) is None, candidate
    assert len({re.sub(r"\W*Bridges.*?Wood\W*|“.*?”", "", one.question)[:24] for one in made}) > 1, (
        "one wording for all"
    )


@pytest.mark.parametrize("name", sorted(OWN))
def test_nothing_is_asked_of_a_text_that_has_nothing_for_a_rule(name: str) -> None:
    assert asked(OWN[name], "It did. They went there, and we saw her do this.\n\nWhy? Look at Figure 2.") == []


def test_a_paragraph_is_asked_about_by_its_subject_and_answered_in_its_own_sentences() -> None:
    made = {candidate.focus: candidate for candidate in asked(textbook.paragraphs)}
    keystone = made[f"the keystone of an arch in the context of {T}"]
    assert keystone.answer.startswith(
        "The keystone of an arch carries no more load than its neighbours. The keystone is set last"
    )
    assert not any("wrote" in candidate.answer for candidate in made.values())
    assert not any("Masons of the valley" in candidate.answer for candidate in made.values()), (
        "a section's first paragraph"
    )


@pytest.mark.parametrize(
    "paragraph",
    [
        "Many people like the old bridges. The old bridges of many people are a common sight, and they draw visitors in summer and autumn every year.",
        "The bell of Aldmoor rings at noon. Fish swim upstream in spring, and the farmers then bring in their nets and go home to their families for the day.",
        "Suppose that a bridge is loaded. The bridge then bends a little, and the load of the bridge is carried over to both of its ends, where it stays.",
    ],
)
def test_a_paragraph_whose_subject_is_loose_or_left_at_once_or_supposed_is_not_asked_about(paragraph: str) -> None:
    assert asked(textbook.paragraphs, f"## Arches\n\nFirst things come first.\n\n{paragraph}") == []


def test_a_summary_answers_for_the_whole_chapter() -> None:
    (found,) = asked(textbook.summaries)
    assert found.answer.startswith("Bridges of stone carry")
    assert found.answer.endswith("made of oak.")
    assert asked(textbook.summaries, "## Arches\n\nBridges of stone carry their load. They are heavy.") == []


def test_a_term_is_explained_where_the_prose_introduces_it() -> None:
    made = {candidate.focus: candidate for candidate in asked(textbook.terms)}
    spandrel, starling = (made[f"what “{term}” means in the context of {T}"] for term in ("spandrel", "starling"))
    assert spandrel.answer.startswith("A spandrel is a wall")
    assert starling.answer.startswith("The term “starling” means a pointed wall"), "its gloss, then the prose"
    assert starling.answer.endswith("is called a starling.")
    assert asked(textbook.terms, "## Arches\n\nThe **spandrel** fell in a storm.") == []


def test_a_term_of_the_glossary_that_the_prose_only_points_at_is_not_explained_again() -> None:
    text = "## Arches\n\nIt fell on the pier. That was a pier, he wrote.\n\n## Glossary\n\n**pier**: a support in the water between two spans"
    assert asked(textbook.terms, text) == []


def test_glosses_are_asked_both_ways_and_kin_are_told_apart() -> None:
    meanings = {candidate.focus: candidate for candidate in asked(glossary.meanings)}
    assert "the meaning of “pier”" in meanings
    assert "the meaning of “ford”" not in meanings, "a gloss of two times"
    assert {candidate.key for candidate in asked(glossary.names)} == {"abutment", "pier", "girder", "joist", "starling"}
    (contrast,) = asked(glossary.contrasts)
    assert {"girder", "joist"} <= set(re.findall(r"\w+", contrast.question)), "both are beams"
    assert "a long beam" in contrast.answer
    assert "a short beam" in contrast.answer


def test_a_gloss_that_holds_its_term_gives_it_away() -> None:
    text = "## Glossary\n\n**toll bridge**: a bridge over which only those may go who have paid for it"
    assert asked(glossary.names, text) == []
    assert len(asked(glossary.meanings, text)) == 1


def test_a_cell_is_told_with_its_unit_and_an_empty_one_is_not_asked_for() -> None:
    made = {candidate.focus: candidate for candidate in asked(tables.cells)}
    assert made["the length of the bridge Corvale"].answer == "The length of the bridge Corvale is 66.5 m."
    assert "the length of the bridge Elmstead" not in made


def test_a_cell_with_a_number_of_something_else_in_brackets_is_not_asked_for() -> None:
    counted = TABLE.replace("| iron |", "| iron (95) |").replace("Built of", "Material")
    made = {candidate.focus: candidate.key for candidate in tables.cells(reading(counted))}
    assert made["the material of the bridge Brenhurst"] == "granite"
    assert "the material of the bridge Dunwick" not in made


def _values(text: str) -> dict[str, Fraction]:
    found = re.findall(r"bridge (\w+)[^.;,:(]*?(?: is | \(| has |: )([\d.]+) [mt]\b", text)
    return {name: value for name, number in found if (value := number_of(number)) is not None}


def test_what_a_table_compares_and_computes_is_right() -> None:
    length = {
        "Aldmoor": Fraction(40),
        "Brenhurst": Fraction(120),
        "Corvale": Fraction(133, 2),
        "Dunwick": Fraction(300),
    }
    made = [candidate for rule in tables.RULES.values() for seed in range(6) for candidate in asked(rule, seed=seed)]
    seen: Counter[str] = Counter()
    for candidate in made:
        named = re.findall(r"bridge (\w+)", candidate.answer)
        if "length" not in candidate.question or any(name not in length for name in named):
            continue
        seen[candidate.rule] += 1
        if candidate.rule == "table-comparison":
            assert (length[named[0]] > length[named[1]]) == ("greater" in candidate.answer)
        elif candidate.rule == "table-most":
            best = (max if "greatest" in candidate.question else min)(set(named), key=lambda name: length[name])
            assert named[0] == best
        elif candidate.rule == "table-order":
            assert named == sorted(named, key=lambda name: length[name])
        elif candidate.rule == "table-ratio":
            assert candidate.key == tables.rounded(length[named[0]] / length[named[1]])
        elif candidate.rule == "table-difference":
            assert Fraction((candidate.key or "").split()[0]) == length[named[0]] - length[named[1]]
    assert set(seen) == set(tables.RULES)


@pytest.mark.parametrize(
    ("value", "told"),
    [(Fraction(3, 2), "1.5"), (Fraction(1000, 3), "330"), (Fraction(99, 50), "2"), (Fraction(7, 3), "2.3")],
)
def test_factors_are_told_with_two_digits(value: Fraction, told: str) -> None:
    assert tables.rounded(value) == told


def test_units_with_an_arbitrary_zero_give_no_quotient() -> None:
    text = TABLE.replace("(m)", "(°C)").replace("(t)", "(pH)")
    assert asked(tables.ratios, text) == []
    assert asked(tables.comparisons, text)


@pytest.mark.parametrize("rule", [critique.glosses, critique.values, critique.statements])
def test_claims_are_right_and_wrong_about_equally_often_and_asked_alike(rule: Rule) -> None:
    made = [candidate for seed in range(24) for candidate in asked(rule, seed=seed)]
    right = [candidate for candidate in made if candidate.rule.endswith("-right")]
    assert 0.35 < len(right) / len(made) < 0.65
    openings = [
        {candidate.question[:9] for candidate in made if candidate.rule.endswith(end)} for end in ("-right", "-wrong")
    ]
    assert len(openings[0] & openings[1]) > 2
    for candidate in made:
        bare = re.sub("“[^”]*”", "", candidate.question)
        first = "Yes: " if candidate.rule.endswith("-right") != ("wrong" in bare) else "No: "
        assert candidate.answer.startswith(first + "t" if "?" in bare else "T"), candidate


def test_a_wrong_claim_differs_and_the_answer_says_what_is_right() -> None:
    made = [candidate for seed in range(24) for candidate in asked(critique.statements, seed=seed)]
    for candidate in made:
        claim = re.findall("“(.*?)”", candidate.question.replace(T, ""))[0]
        is_source = claim in PROSE.replace("\n", " ")
        assert is_source == candidate.rule.endswith("-right")
        assert candidate.answer.rsplit(". ", 1)[-1] in PROSE.replace("\n", " ")
    assert {"lighter", "heavier"} & set(re.findall(r"\w+", " ".join(candidate.question for candidate in made)))


@pytest.mark.parametrize(
    "sentence",
    [
        "If the arch is loaded, the frame below it will expand.",
        "She found that stone bridges are heavier than wooden bridges.",
        "After that, stone bridges were heavier than wooden bridges of the valley.",
        "Stone bridges in the valley will expand or contract with the seasons.",
        "The bridge at Aldmoor has a length of 40 meters (131 feet) from bank to bank.",
    ],
)
def test_a_sentence_that_leans_or_may_be_right_either_way_is_not_claimed(sentence: str) -> None:
    assert asked(critique.statements, f"## Arches\n\n{sentence}") == []


def test_a_gap_holds_what_the_sentence_has_and_the_question_does_not_show_it() -> None:
    made = [candidate for rule in gaps.RULES.values() for candidate in asked(rule)]
    assert {candidate.key for candidate in made} >= {"40", "heavier", "starling"}
    for candidate in made:
        gap = re.findall("“([^”]*___[^”]*)”", candidate.question)[0]
        assert gap.replace("___", candidate.key or "") in PROSE.replace("\n", " ").replace("**", "")
        assert f" {candidate.key} " not in gap


def test_both_opposites_are_offered_in_either_order() -> None:
    made = [candidate for seed in range(24) for candidate in asked(gaps.words, seed=seed)]
    asked_for = [candidate.question for candidate in made if candidate.key == "heavier"]
    places = [question.index("heavier") < question.index("lighter") for question in asked_for]
    assert 4 < sum(places) < len(places) - 4


@pytest.mark.parametrize(
    "sentence",
    [
        "The five largest bridges are made of granite from the hills.",
        "From a boat at B, the bridge looks larger and more impressive.",
        "The bridge was 40 meters long until the last flood came.",
        "He built the longest bridge that the valley has ever seen.",
    ],
)
def test_a_sentence_that_points_elsewhere_gets_no_gap(sentence: str) -> None:
    text = f"## Arches\n\n{sentence}"
    assert [candidate for rule in gaps.RULES.values() for candidate in asked(rule, text)] == []


@pytest.mark.soak
def test_a_long_table_and_glossary_take_no_time_that_grows_with_the_square() -> None:
    rows = "\n".join(f"| Bridge{number} | {number + 1} | oak | {number % 9 + 1} |" for number in range(1_000))
    terms = "\n\n".join(
        f"**weir{number}**: a low wall number {number} across a river of the valley" for number in range(1_000)
    )
    text = f"{PROSE}\n\n{TABLE}\n{rows}\n\n## Glossary\n\n{terms}"
    read = reading(text)
    assert (len(read.tables[0].rows), len(read.glossary)) == (1_005, 1_000)
    started = time.process_time()
    assert sum(1 for rule in OWN.values() for _ in rule(read)) < 5_000
    assert time.process_time() - started < 10


def test_an_entry_that_is_a_sentence_about_its_term_gives_no_meaning() -> None:
    for gloss, count in (("old piers are upright supports in the water", 0), ("upright supports in the water", 1)):
        assert len(asked(glossary.meanings, f"## Glossary\n\n**old piers**: {gloss}")) == count
