"""Words of one class as options, their balance, and findings among titles."""

from __future__ import annotations

import itertools
import random
from collections import Counter

from sagecraft.benchmark.balance import Balance
from sagecraft.benchmark.drafts import is_readable
from sagecraft.benchmark.ladder import Ladders
from sagecraft.benchmark.studies import Studies, reports_of
from sagecraft.benchmark.words import ClassWord, DocumentWords, WordClasses, class_blanks
from sagecraft.corpus.documents import Document
from sagecraft.literature.figures import Figure
from sagecraft.literature.reading import Reading

METALS = ["antimony", "copper", "zinc", "nickel", "bismuth", "cobalt", "silver"]


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
    text = "The furnace of the abbey burned until zinc was found."
    held = DocumentWords(reading_of(99, f"{text} No silver was there, and coppery roofs were rare."))
    (word,) = classes().words_in(text, "", held, 0)
    assert text[word.start : word.end] == word.text == "zinc"
    assert set(word.others) <= set(METALS) - {"zinc", "silver", "copper"}, "the document speaks of two"
    assert len(word.others) >= 3


def test_what_the_question_tells_is_not_asked_for() -> None:
    text = "The furnace of the abbey burned until zinc was found."
    held = DocumentWords(reading_of(99, text))
    assert not list(classes().words_in(text, "Zinc in old abbeys", held, 0))
    number = "The furnace of the abbey burned until zinc of 40 tonnes was found."
    assert not list(classes().words_in(number, "", DocumentWords(reading_of(99, number)), 0)), "a unit behind it tells"


def test_blanks_are_one_word_or_pairs_that_stand_apart() -> None:
    text = "Furnaces melted zinc in the spring and they sold nickel to smiths."
    words = [
        ClassWord(text.index(name), text.index(name) + len(name), name, "cobalt", others=("cobalt", "silver", "copper"))
        for name in ("zinc", "nickel")
    ]
    blanks = list(class_blanks(text, words, (), ()))
    assert {(words[0],), (words[1],), tuple(words)} == set(blanks)
    side_by_side = [ClassWord(0, 4, "zinc", "cobalt"), ClassWord(5, 11, "nickel", "cobalt")]
    assert not list(class_blanks("zinc nickel", side_by_side, (), ()))


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


def finding(text: str) -> list[str]:
    start = "Bridges are old. Many bridges of the valley were built of stone by the monks. "
    return [report.text for report in reports_of(reading_of(1, start + text), 0, 45)]


def test_findings_are_told_without_their_authors() -> None:
    text = "stone bridges of the northern valley outlast iron bridges by two centuries and carry heavier carts."
    assert finding(f"We find that {text}") == [text[0].upper() + text[1:]]
    assert finding(f"We built a model, and {text}") == []
    assert finding(text.replace("outlast", "may outlast").capitalize()) == [], "what may be is no finding"


def test_titles_beside_the_right_one_are_of_its_subject_and_of_another_work() -> None:
    studies = Studies()
    rows = [
        ("Stone bridges of the north I. Survey", 2020, "a"),
        ("Stone bridges of the north II. Loads", 2020, "a"),
        ("Timber roofs of southern abbeys", 2021, "a"),
        ("Timber roofs of eastern abbeys", 1990, "a"),
        ("Glass windows of western towns", 2020, "b"),
    ]
    documents = [Document(id=str(n), title=t, year=y, categories=[c], text="") for n, (t, y, c) in enumerate(rows)]
    for document in documents:
        studies.add(document)
    assert studies.others(documents[0]) == ["Timber roofs of southern abbeys"]


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
