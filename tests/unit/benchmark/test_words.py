"""Words of one class as options, their balance, and findings among titles."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections import Counter

from sagecraft.benchmark.balance import Balance
from sagecraft.benchmark.drafts import is_readable
from sagecraft.benchmark.ladder import Ladders
from sagecraft.benchmark.studies import Report, blocks_of, reports_of
from sagecraft.benchmark.words import ClassWord, DocumentWords, WordClasses, class_blanks
from sagecraft.corpus.documents import Document
from sagecraft.literature.figures import Figure
from sagecraft.literature.reading import Reading

METALS = ["Antimony", "Copper", "Zinc", "Nickel", "Bismuth", "Cobalt", "Silver"]


def reading_of(number: int, text: str, **more: object) -> Reading:
    return Reading(Document(id=f"d{number}", title=f"Report {number}", year=2020, text=text, **more), 0)  # type: ignore[arg-type]


def classes() -> WordClasses:
    """Three documents of each pair of metals."""
    known = WordClasses()
    for number, (one, other) in enumerate(itertools.permutations(METALS, 2)):
        known.add(
            reading_of(
                number,
                f"The miners dug {one} and {other} from the hill. The furnace melted {one} in spring, for {one} was wanted. "
                + f"Until {one} was sold, smiths were poor. " * (METALS.index(one) + 1),
            )
        )
    return known


def test_a_word_is_offered_with_others_of_its_class_that_the_document_does_not_speak_of() -> None:
    text = "The furnace of the abbey burned until Zinc was found."
    held = DocumentWords(reading_of(99, f"{text} No Silver was there, and Coppery roofs were rare."))
    (word,) = classes().words_in(text, "", held, 0)
    assert text[word.start : word.end] == word.text == "Zinc"
    assert set(word.others) <= set(METALS) - {"Zinc", "Silver", "Copper"}, "the document speaks of two"
    assert len(word.others) >= 3


def test_what_the_question_tells_is_not_asked_for() -> None:
    text = "The furnace of the abbey burned until Zinc was found."
    held = DocumentWords(reading_of(99, text))
    assert not list(classes().words_in(text, "Zinc in old abbeys", held, 0))


def test_blanks_are_one_word_or_pairs_that_stand_apart() -> None:
    text = "Furnaces melted Zinc in the spring and they sold Nickel to smiths."
    words = [
        ClassWord(text.index(name), text.index(name) + len(name), name, "Cobalt", others=("Cobalt", "Silver", "Copper"))
        for name in ("Zinc", "Nickel")
    ]
    blanks = list(class_blanks(text, words, (), ()))
    assert {(words[0],), (words[1],), tuple(words)} == set(blanks)
    side_by_side = [ClassWord(0, 4, "Zinc", "Cobalt"), ClassWord(5, 11, "Nickel", "Cobalt")]
    assert not list(class_blanks("Zinc Nickel", side_by_side, (), ()))


def test_the_right_word_takes_each_rank_and_is_not_always_right() -> None:
    known = classes()
    balance = Balance(known)
    rng = random.Random(0)
    keys: Counter[str] = Counter()
    for number in range(60):
        key = METALS[number % 2]  # only two are ever asked for
        others = tuple(metal for metal in METALS if metal != key)
        chosen = balance.three(ClassWord(0, 4, key, others[0], others=others), rng)
        if chosen is not None:
            keys[key] += 1
            assert len({key, *chosen}) == 4
    assert sum(keys.values()) >= 8
    assert max(keys.values()) < 30, "a word that is asked for again and again is worn out"


def findings(text: str) -> list[Report]:
    start = "Bridges are old. Many bridges of the valley were built of stone by the monks. "
    return list(reports_of(reading_of(1, start + text), 0, 45, lambda word: 9 if word == "AGE" else 1))


def test_findings_are_told_without_their_authors_and_what_authors_do_in_their_words() -> None:
    text = "stone bridges of the northern valley outlast iron bridges by two centuries and carry heavier carts."
    (told,) = findings(f"We find that {text}")
    assert told.question == f"Which of these studies reports this: “{text[0].upper()}{text[1:]}”?"
    (quoted,) = findings(f"Results: We measured 40 carts, and {text}")
    assert quoted.question == f"In which of these articles do the authors write: “We measured 40 carts, and {text}”?"
    assert not findings(text.replace("outlast", "may outlast").capitalize()), "what may be is no finding"
    assert not findings(f"We measured both carts, and {text}"), "which carts stands elsewhere"
    assert findings(f"We measured the AGE of 40 carts, and {text}")
    assert not findings(f"We measured the QRX of 40 carts, and {text}"), "a short form that nobody else uses"


def report(number: int, title: str, text: str, year: int = 2020, subject: str = "a") -> Report:
    document = Document(id=f"d{number}", title=title, year=year, categories=[subject], text="")
    (told,) = findings(
        "We find that stone bridges of the northern valley outlast iron bridges by two centuries and more."
    )
    return dataclasses.replace(told, document=document, text=text)


def test_four_titles_are_the_options_of_four_questions() -> None:
    things = [
        "stone bridges",
        "timber roofs",
        "glass windows",
        "iron gates",
        "clay tiles",
        "lead pipes",
        "brick vaults",
        "oak doors",
    ]
    reports = [report(n, f"Old {thing}", f"Most {thing} last.") for n, thing in enumerate(things)]
    blocks = list(blocks_of(reports, lambda title, text: 0.0))
    assert [len(block.reports) for block in blocks] == [4, 4]
    assert {each.document.id for block in blocks for each in block.reports} == {f"d{n}" for n in range(8)}
    apart = [
        report(9, "Old tiles of the west", "Tiles.", subject="b"),
        report(10, "Old slates of old barns", "Slates.", 1990),
    ]
    assert not list(blocks_of([*reports[:2], *apart], lambda title, text: 0.0)), (
        "other subjects and years do not stand beside"
    )
    parts = [report(n, f"Stone bridges of western towns {'I' * n}", "They last.") for n in range(1, 5)]
    assert not list(blocks_of(parts, lambda title, text: 0.0)), "parts of one work"


def test_titles_that_share_most_with_their_finding_are_not_asked_for_again_and_again() -> None:
    reports = [report(n, f"Old {'abcdefgh'[n % 8] * 6}{n} of western towns", f"Text {n}.") for n in range(80)]
    shared = lambda title, text: float(text.strip("?”.").split()[-1] in title)  # noqa: E731
    blocks = list(blocks_of(reports, shared))
    assert len(blocks) <= 2, "each title would be told by its number"


def test_a_year_that_is_to_come_has_no_ladder() -> None:
    ladders = Ladders()
    ladders.last_year = 2024
    figure = Figure(0, 4, "2034", "year", "year")
    assert ladders.rungs(figure, 1, random.Random(0)) is None
    assert ladders.neighbour(figure, True, random.Random(0)) is None


def test_macros_of_an_author_and_labels_of_references_are_not_shown() -> None:
    assert is_readable("The span is $L \\simeq 3.2 \\times 10^{2}$ m.")
    assert not is_readable("The span is $\\spanof = 3$ m.")
    assert not is_readable("The {\\HI} flux is low.")
    assert not is_readable("The grid, following C21, is of 30 cells.")
