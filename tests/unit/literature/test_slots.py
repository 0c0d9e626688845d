"""Slots of sentences: opposites and figures."""

from __future__ import annotations

import pytest

from sagecraft.literature.slots import FIGURE, OPPOSITE, is_correlative, slots_of


def _strict(sentence: str) -> list[tuple[str, str]]:
    return [(slot.true, slot.others[0]) for slot in slots_of(sentence) if slot.is_strict and slot.kind == OPPOSITE]


@pytest.mark.parametrize(
    ("sentence", "exchanged"),
    [
        ("Steel bridges are much longer than wooden ones.", [("longer", "shorter")]),
        ("The new deck is more stable in the wind than the old one.", [("more", "less")]),
        ("Frost has increased the load on the piers.", [("increased", "decreased")]),
        (
            "The load decreased by half, and the deck was strengthened with steel.",
            [("decreased", "increased"), ("strengthened", "weakened")],
        ),
        ("The survey found an increase in the load of the deck.", [("an increase", "a decrease")]),
        ("Salt can weaken the steel.", [("weaken", "strengthen")]),
        ("The slope is steeper than that of the ramp.", [("steeper", "shallower")]),
    ],
)
def test_strict_opposites(sentence: str, exchanged: list[tuple[str, str]]) -> None:
    assert _strict(sentence) == exchanged


@pytest.mark.parametrize(
    "sentence",
    [
        "The deck is longer than 30 meters.",
        "The load was more than a decade old.",
        "The deck is no longer than the road.",
        "The increased load is a problem.",
        "Bridges longer than this one need piers.",
        "It does not matter whether the load is higher than the limit.",
        "The formula $longer than$ stands here.",
        "The increasing load is known.",
        "It is either higher or lower than the road.",
        "Loads that increase or decrease bend it.",
        "The town opened the bridge.",
    ],
)
def test_no_strict_opposite(sentence: str) -> None:
    assert _strict(sentence) == []


def test_an_exchange_puts_the_other_word_in_its_place() -> None:
    sentence = "An increase in load was seen, and the outer piers are older than the deck."
    changed = [slot.put(sentence, slot.others[0]) for slot in slots_of(sentence)]
    assert changed == [
        "A decrease in load was seen, and the outer piers are older than the deck.",
        "An increase in load was seen, and the inner piers are older than the deck.",
        "An increase in load was seen, and the outer piers are younger than the deck.",
    ]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("The longer the deck, the greater the load.", True),
        ("The load increases with decreasing width.", True),
        ("As the load increases, the deck bends.", True),
        ("The load is proportional to the length.", True),
        ("The outer piers are older than the deck.", False),
    ],
)
def test_correlatives(sentence: str, expected: bool) -> None:
    assert is_correlative(sentence) is expected


@pytest.mark.parametrize(
    ("sentence", "others"),
    [
        ("It is 40 meters long.", ("20", "70", "100")),
        ("It is 1,250 meters long.", ("500", "750", "2,100", "3,000")),
        ("It is 4.5 meters long.", ("2.0", "2.5", "7.5", "11.0")),
        ("It carries 90% of it.", ("40", "50")),
        ("It is $1{,}250$ meters long.", ("500", "750", "2{,}100", "3{,}000")),
        ("It holds $7.5 \\times 10^{3}$ tons.", ("3.0", "4.5")),
        ("It was built in 1984 by two towns.", ()),
    ],
)
def test_other_figures_have_the_form_of_the_true_one(sentence: str, others: tuple[str, ...]) -> None:
    (slot,) = slots_of(sentence)
    assert slot.kind == FIGURE
    assert slot.others == others
