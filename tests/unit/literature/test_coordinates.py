"""Classes of words that are learned by counting."""

from __future__ import annotations

import pytest

from sagecraft.literature import coordinates as module
from sagecraft.literature.coordinates import Coordinates, inside, tokens_of

METALS = ["iron", "copper", "zinc", "nickel"]
TOWNS = ["Arnby", "Brill", "Corvale", "Esker"]


def counted() -> Coordinates:
    """Documents in which metals are mined and melt, and towns lie on rivers."""
    coordinates = Coordinates()
    for number in range(12):
        metal, other, town = METALS[number % 4], METALS[(number + 1) % 4], TOWNS[number % 4]
        coordinates.add(
            [
                f"Miners dug {metal} and {other} from the hill near {town} in spring.",
                f"The smelter melts {metal} slowly, and {metal} plates are very heavy.",
                f"We travel to {town} by river, and the market of {town} sells 20 tonnes.",
            ]
        )
    return coordinates


def test_words_in_the_same_places_are_of_one_class() -> None:
    classes = counted().classes()
    assert {"copper", "zinc", "nickel"} & set(classes.others("iron", 0.1))
    assert max(classes.likeness("iron", town) for town in TOWNS) < classes.likeness("iron", "copper")
    assert classes.num_listed("iron", "copper") > 0 == classes.num_listed("iron", "Brill")
    assert classes.num_shared("iron", "zinc") > 0, "copper is listed with both"
    assert classes.num_before("iron", "plates") == 3
    assert classes.num_before("plates", "iron") == 0


def test_what_a_word_is_like_is_counted() -> None:
    classes = counted().classes()
    assert (classes.graded("heavy"), classes.graded("iron")) == (1.0, 0.0)
    assert (classes.verbal("travel"), classes.verbal("market")) == (1.0, 0.0)
    assert classes.counted("tonnes") == 1.0
    assert not classes.is_known("granite")
    assert classes.commonness("granite") == 0


def test_merges_do_not_matter_and_a_full_table_forgets_what_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = counted().classes()
    monkeypatch.setattr(module, "_BUFFER", 10)  # many small merges
    assert counted().classes().others("iron", 0.0) == whole.others("iron", 0.0)
    monkeypatch.setattr(module, "_MAX_PAIRS", 20)
    small = counted().classes()
    assert small.num_before("iron", "plates") <= whole.num_before("iron", "plates")
    assert len(small.others("iron", 0.0)) <= len(whole.others("iron", 0.0))


def test_a_formula_is_one_token_and_the_first_word_loses_its_capital() -> None:
    tokens = tokens_of("Iron of $m = 3$ kg, X-ray-bright.")
    assert [token.text for token in tokens] == ["Iron", "of", "#######", "kg", ",", "X-ray-bright", "."]
    assert [inside(tokens, place) for place in (0, 5, 9)] == ["iron", "X-ray-bright", ""]


def test_no_documents_give_no_classes() -> None:
    assert Coordinates().classes().others("iron", 0.0) == []
