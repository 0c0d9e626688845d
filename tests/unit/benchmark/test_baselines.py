from __future__ import annotations

import itertools
import random

import pytest

from sagecraft.benchmark.baselines import CHANCE, SCORES, accuracies, learned, select
from sagecraft.benchmark.choices import Terms, properties_of, terms_of, three_of
from sagecraft.benchmark.drafts import Draft
from sagecraft.benchmark.guesses import Option
from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading


def draft(number: int, options: list[Option], form: str = "figure") -> Draft:
    document = Document(id=f"d{number}", text="")
    return Draft(document, form, f"question {number}", tuple(options), ((0, "s"),), "", "p", "s")


def figures(count: int, bias: float) -> list[Draft]:
    """Four values each; with `bias` the right one is the largest, else any."""
    rng = random.Random(3)
    made = []
    for number in range(count):
        values = sorted(rng.sample(range(100, 999), 4))
        key = values[3] if rng.random() < bias else rng.choice(values)
        others = [value for value in values if value != key]
        made.append(draft(number, [Option(str(value), 1.0, (), (float(value),)) for value in (key, *others)]))
    return made


def test_guesses_that_cannot_tell_options_apart_are_at_chance() -> None:
    same = [draft(n, [Option(text) for text in ("aa", "bb", "cc", "dd")]) for n in range(4)]
    assert set(accuracies(same).values()) == {CHANCE}


def test_a_guess_that_pays_is_seen_and_selected_away() -> None:
    drafts = figures(400, bias=0.2)
    before = accuracies(drafts)
    assert before["largest"] > 0.33
    kept = select(drafts, 2.5)
    after = accuracies(kept)
    assert all(abs(value - CHANCE) <= 0.0251 for value in after.values()), after
    assert len(kept) > 0.6 * len(drafts)
    assert [each.id for each in kept] == [each.id for each in drafts if each in kept], "in their order"


def test_few_items_are_not_chosen_among() -> None:
    drafts = figures(50, bias=1.0)
    assert select(drafts, 2.5) == drafts
    assert learned(drafts, 0) is None


def test_the_classifier_finds_what_no_guess_looks_for() -> None:
    """The right option ends in 7: no guess maximises that."""
    rng = random.Random(1)
    drafts = []
    for number in range(200):
        heads = rng.sample(range(10, 99), 4)
        texts = [f"{heads[0]}7", *(f"{head}3" for head in heads[1:])]
        drafts.append(draft(number, [Option(text, 1.0, (), (float(text),)) for text in texts]))
    found = learned(drafts, 0)
    assert found is not None
    assert found > 0.9
    blind = learned(figures(400, bias=0.0), 0)
    assert blind is not None
    assert abs(blind - CHANCE) < 0.08


def test_pairs_are_balanced_by_pattern() -> None:
    drafts = []
    for number in range(200):
        key = (True, True) if number % 5 < 3 else (number % 2 == 0, number % 3 == 0)
        patterns = [key, *(each for each in itertools.product((True, False), repeat=2) if each != key)]
        options = [Option(f"(1) {a}, (2) {b}".lower(), float(a + b), (a, b)) for a, b in patterns]
        drafts.append(draft(number, options, "two-words"))
    assert accuracies(drafts)["both common or large"] > 0.5
    after = accuracies(select(drafts, 2.5))
    assert after["both common or large"] < accuracies(drafts)["both common or large"]
    assert set(SCORES) == set(after)


GLOSSARY = """# Bridges

## Glossary

**king post**: beam that stands upright in the middle of a frame

**sill**: beam that lies on the wall along the whole of its length

**purlin**: beam that carries the rafters between the two gables

**wall plate**: beam that takes the ends of all the rafters

**tie rod**: rod of iron through the whole of a frame
"""


def test_terms_are_asked_for_among_those_of_their_class() -> None:
    reading = Reading(Document(id="a", title="Bridges", text=GLOSSARY), 0)
    terms = Terms()
    terms.add(reading.glossary)
    found = {choice.key: set(choice.others) for choice in terms_of(reading, terms)}
    assert found.get("sill", {"purlin"}) <= {"king post", "purlin", "wall plate"}
    assert "tie rod" not in found


TABLE = """# Bridges

**Table 1. Some Bridges of the Arn**

| Bridge | Length (m) | Toll (pence) |
|---|---|---|
| Old Bridge | 120 | 3 |
| Long Bridge | 480 | 6 |
| Mill Bridge | 60 | 1 |
| Coal Bridge | 240 | 2 |
| New Bridge | 360 | 9 |
"""


def test_cells_are_asked_for_among_those_of_their_column() -> None:
    reading = Reading(Document(id="a", title="Bridges", text=TABLE), 0)
    found = list(properties_of(reading, 0))
    assert len(found) == 5
    for choice in found:
        assert choice.key in choice.support
        assert choice.key not in choice.others
        assert len(set(three_of(choice, random.Random(1), 2))) == 3


@pytest.mark.parametrize("rank", range(4))
def test_the_rank_of_a_cell_is_kept_where_there_is_room(rank: int) -> None:
    reading = Reading(Document(id="a", title="Bridges", text=TABLE), 0)
    for choice in properties_of(reading, 0):
        values = [float(text.split()[0]) for text in three_of(choice, random.Random(2), rank)]
        key = float(choice.key.split()[0])
        room = sum(float(text.split()[0]) < key for text in choice.others)
        assert sum(value < key for value in values) == max(min(rank, room), 3 - (len(choice.others) - room))
