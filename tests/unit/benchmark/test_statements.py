from __future__ import annotations

import random

import pytest

from sagecraft.benchmark.ladder import Ladders
from sagecraft.benchmark.statements import Statement, statements_of, why_not
from sagecraft.corpus.documents import Document
from sagecraft.literature.figures import Figure, number_of
from sagecraft.literature.reading import Reading


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Lake Arn is 240 metres deep in its western half.", None),
        ("We find that Lake Arn is 240 metres deep in the west.", None),
        ("It is 240 metres deep in the western half of Arn.", "tied"),
        ("The depth of Lake Arn is given in Table 2 of the book.", "shown"),
        ("the lake is deep in the western half of all Arn.", "form"),
        ("And yet the ferry of Arn takes 12 days for the trip.", "tied"),
        ("Explain why the ferry to Arn takes 12 days in winter.", "imperative"),
        ("Suppose that a ferry to Arn takes 12 days in winter.", "hypothetical"),
        ("In addition, assume that the ferry to Arn takes 12 days.", "hypothetical"),
        ("The share of , and of tugs is 54 % for the port of Arn.", "form"),
        ("The depth of Lake Arn} is 240 metres in the west.", "form"),
        ("Lake Arn is deep.", "length"),
    ],
)
def test_sentences_that_need_their_context(sentence: str, reason: str | None) -> None:
    assert why_not(sentence, "Arn", True, 8, 45) == reason


def test_one_of_the_things_that_a_chapter_is_about_is_not_named() -> None:
    sentence = "The ferry crosses the lake of Arn in 12 days of winter."
    assert why_not(sentence, "Ferries of Lake Arn", False, 8, 45) == "definite"
    assert why_not(sentence, "The ferry of Lake Arn", False, 8, 45) is None
    assert why_not(sentence, "Ferries of Lake Arn", True, 8, 45) is None


def read(text: str, title: str = "Ferries of Arn", year: int | None = 2021) -> list[Statement]:
    reading = Reading(Document(id="a", title=title, year=year, text=text), 0)
    return [found for found in statements_of(reading, 8, 45) if not isinstance(found, str)]


def test_a_sentence_that_points_back_is_shown_with_the_one_before_it() -> None:
    (found,) = read(
        "Steam ferries cross Lake Arn in every month of the year. These ferries carry 240 tons of coal on each day."
    )
    assert [sentence.position for sentence in found.support] == [0, 1]
    assert found.open_text.endswith("These ferries carry ____ tons of coal on each day.")
    assert (
        read("Steam ferries carry 240 tons over Lake Arn each day. These ferries carry 240 tons of coal on Sundays.")[
            0
        ].context
        == ()
    )
    assert not read("It has many ferries. These ferries carry 240 tons of coal on each day.")


def test_two_words_are_open_only_in_two_claims() -> None:
    (found,) = read(
        "Steam ferries have a larger crew and need a shorter landing than the sailing ferries of Arn.".replace(
            " than the sailing ferries", ""
        )
    )
    assert [blank.text for blank in found.blanks] == ["larger", "shorter"]
    assert found.open_text.count("____ (") == 2
    assert not read("The larger ferries of Lake Arn have a shorter life in the salt water.")
    assert not read("The larger the ferries of Lake Arn are, the shorter is their life in water.")
    assert not read("The load of ferries on Lake Arn increases with decreasing water and larger crews.")


def test_an_article_in_front_of_a_word_does_not_tell() -> None:
    (found,) = read("Steam ferries brought an increase in trade and a stronger town to all of Lake Arn.")
    assert [blank.text for blank in found.blanks] == ["an increase", "stronger"]
    assert not read("Steam ferries had an older hull and a stronger keel to cross all of Lake Arn.")


def test_a_gap_does_not_open_a_formula() -> None:
    (found,) = read("The draught of the ferries of Lake Arn is $d = 2.4 \\pm 0.1$ metres.")
    assert found.open_text == "The draught of the ferries of Lake Arn is $d =$ ____ $\\pm 0.1$ metres."


@pytest.mark.parametrize("value", ["12", "90", "240", "1,250", "0.47", "3.14", "12000"])
@pytest.mark.parametrize("rank", range(4))
def test_rungs_are_three_other_values_of_the_same_form(value: str, rank: int) -> None:
    ladders = Ladders()
    ladders.add([Figure(0, 1, text, "m") for text in ("60", "120", "0.9", "500")])
    figure = Figure(0, len(value), value, "m", "share" if value == "90" else "ratio")
    for seed in range(20):
        others = ladders.rungs(figure, rank, random.Random(seed))
        assert others is not None
        assert len({*others, value}) == 4, others
        assert all(0 < number_of(text) <= (100 if value == "90" else 1e9) for text in others)
        assert all(len(text.partition(".")[2]) == len(value.partition(".")[2]) for text in others)
        assert sum(number_of(text) < number_of(value) for text in others) == rank


def test_a_value_that_could_not_stand_at_every_rank_is_not_asked_for() -> None:
    ladders = Ladders()
    for text, scale in (("1", "ratio"), ("2", "ratio"), ("9.2", "mantissa")):
        assert all(ladders.rungs(Figure(0, 1, text, "m", scale), rank, random.Random(1)) is None for rank in range(4))  # type: ignore[arg-type]


def test_years_are_a_few_apart_and_none_is_to_come() -> None:
    ladders = Ladders()
    ladders.last_year = 2026
    for seed in range(20):
        others = ladders.rungs(Figure(0, 4, "1984", "year", "year"), 2, random.Random(seed)) or []
        assert len(others) == 3
        assert all(1960 < int(text) < 2000 for text in others)
    assert ladders.rungs(Figure(0, 4, "2024", "year", "year"), 2, random.Random(1)) is None


def test_values_that_occur_are_taken_first_and_as_often_as_they_occur() -> None:
    ladders = Ladders()
    ladders.add([Figure(0, 2, "40", "m")] * 30 + [Figure(0, 2, "35", "m")])
    drawn = [ladders.neighbour(Figure(0, 2, "60", "m"), False, random.Random(seed)) for seed in range(60)]
    assert drawn.count("40") > 45
    assert set(drawn) == {"40", "35"}
