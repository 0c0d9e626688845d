"""Sentences of books that are told by themselves, and what is asked of one or two of them. Invented chapters of no field."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.rules import explanations, gaps, sentences, tables, textbook
from sagecraft.synthesis.rules.prose import can_be_claimed, impersonal, is_clear, leans, tellings, untied

TITLE = "Bridges of the Valley"
TOPIC = frozenset({"bridge", "valley"})


def asked(rule: Rule, text: str, title: str = TITLE) -> list[Candidate]:
    return list(rule(Reading(Document(id="bridges", text=f"# {title}\n\n## Bridges\n\n{text}", title=title), seed=0)))


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("However, the lake is deep.", "The lake is deep."),
        ("But of course, oak rots.", "Oak rots."),
        ("Oak rots, however, in water.", "Oak rots in water."),
        ("In winter, however, oak splits.", "In winter, oak splits."),
        ("Granite is also used for piers.", "Granite is used for piers."),
        ("So the mason waits for spring.", "The mason waits for spring."),
        ("So far, no pier of granite has failed.", "So far, no pier of granite has failed."),
        ("Instead, the mason used oak.", "Instead, the mason used oak."),
    ],
)
def test_words_that_only_join_are_left_out_and_nothing_else(sentence: str, told: str) -> None:
    assert untied(sentence) == told


@pytest.mark.parametrize(
    ("sentence", "plain"),
    [
        ("We know that our valley floods.", "People know that people’s valley floods."),
        ("The river gives us fish.", "The river gives people fish."),
        ("As we saw, our valley floods.", "As we saw, our valley floods."),
        ("Our example shows the arch.", "Our example shows the arch."),
        ("We will measure the arch.", "We will measure the arch."),
    ],
)
def test_people_at_large_are_told_from_an_author_with_readers(sentence: str, plain: str) -> None:
    assert impersonal(sentence) == plain


@pytest.mark.parametrize(
    "sentence",
    [
        "We know that the bridges of our valley stand on piles of oak.",
        "The strength of granite is the reason for the long life of bridges in cold water.",
        "When masons build a bridge of stone, they begin with its piers.",
    ],
)
def test_a_sentence_about_people_at_large_or_an_explained_thing_can_be_claimed(sentence: str) -> None:
    assert can_be_claimed(sentence, TOPIC)


@pytest.mark.parametrize(
    "sentence",
    [
        "The mason’s hammers are kept in a hut beside the oldest bridge.",
        "In the two villages the bridges of the valley are older than the mills.",
        "People know that it carries the old road across the valley.",
        "Bridges of the valley were somewhat longer in the days of sail.",
        "(The bridges of the valley are older than all of its mills.)",
        "A video of the valley shows the bridges being built from oak.",
        "Bridges of oak are described in the chapter on trees and timber.",
        "If you cross the valley, the bridges of oak will bend a little.",
        "To do so, masons of the valley carried stones for bridges on barges.",
        "For a while, bridges of the valley will be made of oak and rope.",
    ],
)
def test_a_sentence_that_leans_or_is_torn_cannot_be_claimed(sentence: str) -> None:
    assert not can_be_claimed(sentence, TOPIC)


def test_a_pronoun_is_free_behind_somebody_who_acts() -> None:
    assert not leans("In 1741, Agnes Miller built a bridge when she was young.")
    assert leans("At the age of ten she built a bridge.")
    assert not leans("A pier stands deep, and the pier’s edge is sharp.")
    assert leans("The pier’s edge is sharp.")
    assert is_clear("The strength of granite is known.", TOPIC)
    assert not is_clear("The strong pier is known.", TOPIC)


def test_a_sentence_is_told_with_the_one_that_it_needs_and_no_more() -> None:
    text = "Masons of Aldmoor set a keystone last in every arch. It closes a ring of stones in an arch of granite."
    reading = Reading(Document(id="b", text=f"# {TITLE}\n\n## Arches\n\n{text}", title=TITLE), seed=0)
    one, two = tellings(reading)
    assert (len(one.texts), len(two.texts)) == (1, 2)
    assert two.text[two.last :] == two.texts[-1]
    alone = Reading(
        Document(
            id="b",
            text=f"# {TITLE}\n\n## Arches\n\nIt closed. It closes the ring of stones in every arch.",
            title=TITLE,
        ),
        seed=0,
    )
    assert list(tellings(alone)) == []


def test_a_sentence_about_a_thing_that_the_one_before_does_not_name_is_not_told_with_it() -> None:
    text = "Masons of Aldmoor set a keystone last in every arch. It was the answer that the sample gave to them."
    reading = Reading(Document(id="b", text=f"# {TITLE}\n\n## Arches\n\n{text}", title=TITLE), seed=0)
    assert [len(told.texts) for told in tellings(reading)] == [1]


ASKED: list[tuple[Rule, str, str]] = [
    (explanations.whys, "Because rivers rise in spring, bridges of oak are built on piles.", "are bridges of oak built on piles?"),
    (explanations.whys, "Granite is a heavy stone, so bridges of granite require deep piles of oak.", "do bridges of granite require deep piles of oak?"),
    (explanations.whys, "Bridges of oak carry heavy loads of stones. As a result, floors of oak are renewed every spring.", "are floors of oak renewed every spring?"),
    (explanations.years, "In 1741, masons from Aldmoor built a bridge of granite for carts.", "1741"),
    (explanations.years, "A bridge over the River Ald was opened in 1802 by masons of Aldmoor.", "1802"),
    (explanations.years, "Masons have renewed the floors of bridges in the valley. In 1911, masons used iron for the first time.", "1911"),
    (explanations.people, "In 1741, the mason Agnes Miller became the first woman to build a bridge of granite.", "Agnes Miller"),
    (explanations.people, "Johann Weber invented a floating crane for bridges. He sold it to masons of Aldmoor.", "Johann Weber"),
    (explanations.people, "A bridge of cast iron was designed by the engineer Peter van Loon in 1802.", "Peter van Loon"),
    (explanations.contrasts, "Bridges of oak carry little load, while bridges of granite carry heavy carts.", "bridges of granite"),
    (explanations.contrasts, "While bridges of oak carry little load, bridges of granite carry heavy carts.", "bridges of oak"),
    (explanations.contrasts, "Bridges of oak carry little load in spring. In contrast, bridges of granite carry heavy carts.", "bridges of granite"),
    (explanations.dialogues, "Why do bridges of oak bend? Oak gives way under a load of stones or grain.", "why do bridges of oak bend?"),
    (explanations.dialogues, "How is a bridge of granite built? Masons set up a frame of oak and lay the stones on it.", "how is a bridge of granite built?"),
    (explanations.dialogues, "What holds a bridge of granite together? Stones of an arch carry their neighbours without mortar.", "what holds a bridge of granite together?"),
    (gaps.years, "In 1741, masons from Aldmoor built a bridge of granite for carts.", "In ___, masons"),
    (gaps.years, "A bridge over the River Ald was opened in 1802 by masons of Aldmoor.", "opened in ___ by"),
    (gaps.years, "Since 1911, masons of Aldmoor have used iron for floors of bridges.", "Since ___, masons"),
    (gaps.people, "In 1741, the mason Agnes Miller became the first woman to build a bridge of granite.", "the mason ___ became"),
    (gaps.people, "A bridge of cast iron was designed by the engineer Peter van Loon in 1802.", "the engineer ___ in"),
    (gaps.people, "Johann Weber invented a floating crane for bridges of granite.", "___ invented"),
    (textbook.paragraphs, "Bridges of granite carry heavy carts for several centuries without much repair of floors.", "bridges of granite"),
    (textbook.paragraphs, "Oak from Aldmoor is used for piles of bridges that stand in deep water.", "oak from Aldmoor"),
    (textbook.paragraphs, "Masons of Aldmoor carry stones of granite on barges to places far away.", "masons of Aldmoor"),
    (sentences.explained, "Bridges of oak carry heavy loads of stones. These floors of oak rot, so they are weak, and planks of oak are renewed because oak rots in water.", "planks"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text", "question"), ASKED)
def test_prose_is_asked_about(rule: Rule, text: str, question: str) -> None:
    first = "Chapters on bridges, masons and oak begin with something else."
    made = [one for one in asked(rule, f"{first}\n\n{text}") if question in one.question]
    assert len(made) == 1, [one.question for one in asked(rule, text)]
    assert TITLE in made[0].question
    assert text.split(". ")[-1].rstrip(".") in made[0].answer or made[0].rule == "dialogue"


SILENT: list[tuple[Rule, str]] = [
    (explanations.whys, "Since the flood of spring, bridges of oak are built on piles."),
    (explanations.whys, "The weight of so great a bridge would press the piles into the mud."),
    (explanations.whys, "Because the valley floods, it is built on piles of oak and granite."),
    (explanations.whys, "Granite from Aldmoor is a stone for bridges that lasts because it is hard and dense."),
    (explanations.years, "Born in 1741 on a farm, Agnes Miller built bridges of granite across the valley."),
    (explanations.years, "In 1741 and in 1802, masons built bridges of granite across the valley."),
    (explanations.years, "In 1741, they built it of granite and of oak from the hills."),
    (explanations.years, "Between 1741 and 1745 bridges of granite were built across the valley."),
    (explanations.people, "The Long Bridge carried the road of the valley over the river."),
    (explanations.people, "Masons of Aldmoor invented the floating crane for bridges of the valley."),
    (explanations.people, "It was she who invented it, and Johann Weber sold it to them."),
    (explanations.contrasts, "Bridges of oak bend, while they stay as they are in winter."),
    (explanations.contrasts, "Bridges of oak bend under load while the masons watch it."),
    (explanations.contrasts, "Bridges of oak bend under load, but bridges of oak do not break."),
    (explanations.dialogues, "Why did it bend? Oak gives way under a load of stones or grain."),
    (explanations.dialogues, "Why do bridges of oak bend? We will come back to it later."),
    (explanations.dialogues, "When do masons of Aldmoor build bridges of oak? At noon, or long before it."),
    (explanations.dialogues, "Have you seen a bridge? Oak gives way under a load of stones or grain."),
    (gaps.years, "Between 1741 and 1745 bridges of granite were built across the valley."),
    (gaps.years, "Bridge 1741 is built of granite from the hills of the valley."),
    (gaps.years, "The bridges of the valley carry 1500 people each day of the year."),
    (gaps.people, "Agnes Miller built a bridge, and Miller’s bridge carries the road of the valley."),
    (gaps.people, "The Long Bridge carried the road of the valley over the river."),
    (gaps.people, "She built it when Johann Weber was a child of the valley."),
    (textbook.paragraphs, "A bridge was built by masons of the coast from granite and oak."),
    (textbook.paragraphs, "Everyone and anyone can cross the bridges of the valley in winter and spring."),
    (textbook.paragraphs, "They cross the bridges of the valley in winter and in spring and in summer."),
    (sentences.explained, "They bend under a load. Their floors are renewed often because oak rots in water."),
    (sentences.explained, "Bridges of oak bend under a load of stones. Their floors are twelve meters long in most places."),
    (sentences.explained, "Bridges of oak bend. It was because of them that she left the valley."),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "text"), SILENT)
def test_prose_that_does_not_say_it_is_not_asked_about(rule: Rule, text: str) -> None:
    assert asked(rule, f"Chapters begin with something else.\n\n{text}") == []


def test_a_paragraph_is_left_where_it_turns_to_something_else() -> None:
    text = (
        "## Introduction\n\nBridges of granite carry heavy carts for several centuries without much repair of floors. They need no paint and hardly any "
        "care from masons, even in salt water or in frost. Fish swim upstream in spring when the snow of the hills has melted."
    )
    (found,) = (one for one in asked(textbook.paragraphs, f"Chapters on bridges.\n\n{text}") if one.rule == "paragraph")
    assert "bridges of granite" in found.question
    assert found.answer.endswith("or in frost.")


@pytest.mark.parametrize(
    "start", ["A second way to build bridges", "The main way to build bridges", "Another way to build bridges"]
)
def test_a_section_that_goes_on_from_the_one_before_is_not_asked_about(start: str) -> None:
    rest = "begins with piers of granite in deep water near the banks. Bridges of granite then rest on them for several centuries of use."
    assert asked(sentences.sections, f"{start} {rest}") == []
    assert len(asked(sentences.sections, f"A good way to build bridges {rest}")) == 1


def test_a_caption_that_names_another_thing_than_the_rows_qualifies_them() -> None:
    table = "Table 1. Properties of the Floor Planks\n\n| Bridge | Width (cm) |\n|---|---|\n| Aldmoor | 20 |\n| Corvale | 25 |\n| Dunwick | 30 |"
    made = asked(tables.cells, table)
    assert {one.focus for one in made} >= {"the width of the floor plank of the bridge Aldmoor"}
    same = asked(tables.cells, table.replace("Floor Planks", "Old Bridges"))
    assert {one.focus for one in same} >= {"the width of the bridge Aldmoor"}


def test_a_name_among_common_words_of_a_table_keeps_its_capital() -> None:
    text = "We saw Aldmoor from the hill of Aldmoor. Barges and ferries cross here. Punts do, too: barges, ferries and punts.\n\n"
    table = "Table 1. What Crosses\n\n| | Crossings |\n|---|---|\n| Barges | 20 |\n| Ferries | 25 |\n| Aldmoor | 30 |\n| Punts | 41 |"
    made = " ".join(one.question for one in asked(tables.cells, text + table))
    assert "Aldmoor" in made
    assert "aldmoor" not in made
    assert "ferries" in made
