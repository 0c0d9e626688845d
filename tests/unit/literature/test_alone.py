"""Sentences that can be read without their neighbours."""

from __future__ import annotations

import pytest

from sagecraft.literature.alone import is_clear, why_not_alone


@pytest.mark.parametrize(
    "sentences",
    [
        ["Steel bridges need paint, since they rust."],
        ["It is known that steel bends before it breaks."],
        ["The piers of the Old Bridge stand on rock.", "They are of granite.", "However, the deck is of steel."],
        ["In 1901, the town of Ems built a bridge of 250 meters."],
        ["$E$ is a modulus of steel."],
        ["Galileo saw that he was right."],
        ["For most of his life, Carl Weir built bridges."],
        ["In 1901, Ada Weir built the Old Bridge with her sister."],
    ],
)
def test_what_stands_alone(sentences: list[str]) -> None:
    assert why_not_alone(sentences) is None


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("What carries the deck?", "question"),
        ("Suppose a bridge carries 3 tons.", "hypothetical"),
        ("Now take a bridge of steel.", "hypothetical"),
        ("If you load a bridge of steel, steel bends.", "hypothetical"),
        ("Recall that steel bends.", "imperative"),
        ("(Recall that steel bends.)", "imperative"),
        ("Steel bends, as Figure 2 tells.", "shown"),
        ("The diagram shows a bridge of steel.", "shown"),
        ("Steel bridges carry our roads.", "address"),
        ("However, steel bends.", "tied"),
        ("For these bridges steel is used.", "tied"),
        ("Whatever its age, a bridge needs paint.", "pronoun"),
        ("True to form, she built bridges of steel.", "pronoun"),
        ("Most of all he liked bridges of steel.", "pronoun"),
        ("The carpenter measured the length of the gap.", "definite"),
        ("There are three kinds of bridge:", "unfinished"),
        ("Bridges (of steel are light.", "unfinished"),
    ],
)
def test_why_a_sentence_does_not_stand_alone(sentence: str, reason: str) -> None:
    assert why_not_alone([sentence]) == reason


def test_a_later_sentence_is_held_to_what_it_says_itself() -> None:
    first = "Steel bridges bend in strong wind."
    assert why_not_alone([first, "They do not break."]) is None
    assert why_not_alone([first, "We like them."]) == "address"
    assert why_not_alone([first, "The former is why they do not break."]) == "tied"


def test_a_topic_tells_what_the_is() -> None:
    sentence = "The deck carries roads."
    assert why_not_alone([sentence]) == "definite"
    assert why_not_alone([sentence], frozenset({"deck"})) is None


def test_the_own_things_of_an_article_are_known() -> None:
    sentence = "The load exceeds what steel bears."
    assert why_not_alone([sentence]) == "definite"
    assert why_not_alone([sentence], own=True) is None
    assert why_not_alone(["The sample is small."], own=True) == "definite"
    assert why_not_alone(["The second load is small."], own=True) is not None
    assert why_not_alone(["The target is small."], own=True) == "definite"


def test_what_was_told_before_is_known() -> None:
    sentence = "The measurements took place in winter."
    assert why_not_alone([sentence]) == "definite"
    assert why_not_alone([sentence], frozenset({"measurement"})) == "definite"
    assert why_not_alone([sentence], told=frozenset({"measurement", "measurements"})) is None


def test_every_definite_phrase_is_held_against_the_topic() -> None:
    topic = frozenset({"bridge", "bridges"})
    assert is_clear("The bridge needs paint.", topic)
    assert is_clear("The paint of bridges keeps off rust.", topic)
    assert not is_clear("The bridge rests on the northern bank.", topic)
    assert not is_clear("The sample needs paint.", topic)
