"""Claims to be judged, right or with one thing exchanged: a gloss, a value of a table, a word or figure of a sentence.

Right and wrong ones are asked in the same words and come about equally often, so that neither answer is the likelier one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.literature import english
from sagecraft.literature.glossary import Gloss
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import FIGURE, Slot, is_correlative, slots_of
from sagecraft.synthesis.candidate import Candidate, Rule, fill, judged, quoted
from sagecraft.synthesis.rules.glossary import entry, named, usable
from sagecraft.synthesis.rules.prose import Told, tellings
from sagecraft.synthesis.rules.tables import read_tables

#: Claims of a table, and how far a wrong value is from the right one at least.
_MAX_OF_TABLE = 8
_MIN_FACTOR = 1.25
#: Glosses that share more of their words may both be right.
_MAX_SHARED = 0.5

_QUESTIONS = (
    "In the context of {topic}, is the following right? “{claim}”",
    "Someone who studies {topic} writes: “{claim}” Is that right?",
    "On the subject of {topic}, somebody claims: “{claim}” Is anything wrong with that?",
    "Check this statement, which concerns {topic}: “{claim}”",
    "“{claim}” Is that correct, in the context of {topic}?",
    "A note on {topic} says: “{claim}” Would you let it stand?",
)
_RIGHT = (
    "That is right. {proof}",
    "That is correct. {proof}",
    "The statement is true. {proof}",
    "The statement is right. {proof}",
)
_WRONG = (
    "That is wrong: {fault}. {proof}",
    "The statement is wrong: {fault}. {proof}",
    "That is not correct: {fault}. {proof}",
    "The statement is false: {fault}. {proof}",
)  # fmt: skip
#: Conditions and abilities: the opposite of what can or would be may be true as well.
_OPEN = re.compile(
    r"\b(?:if|unless|can|could|may|might|would|should|sometimes|some|either|perhaps|possibly|often|about half)\b",
    re.IGNORECASE,
)


def _claim(
    reading: Reading,
    rule: str,
    claim: str,
    proof: str,
    fault: str,
    key: str | None,
    positions: tuple[int, ...],
    ground: tuple[str, ...],
) -> Candidate:
    """A claim with its judgement; without a fault it is right."""
    pick = keyed_hash(reading.seed, "critique", reading.document.id, claim)
    topic = quoted(reading.document.title)
    form = _QUESTIONS[pick % len(_QUESTIONS)]
    answer = judged(form, not fault, fill((_WRONG if fault else _RIGHT)[pick // 7 % 4], proof=proof, fault=fault))
    return Candidate(
        kind="critique",
        question=fill(form, topic=topic, claim=claim),
        focus=f"whether it is right that “{claim.rstrip('.')}”",
        answer=answer,
        key=key,
        rule=f"{rule}-{'wrong' if fault else 'right'}",
        positions=positions,
        scope=reading.document.id,
        ground=ground,
    )


def _is_right(reading: Reading, *parts: str) -> bool:
    return keyed_hash(reading.seed, "critique-right", reading.document.id, *parts) % 2 == 0


def glosses(reading: Reading) -> Iterator[Candidate]:
    """A term with its own gloss, or with that of another term of the document, of the same sort where there is one."""
    phrases = [gloss for gloss in usable(reading) if gloss.is_phrase]
    for gloss in phrases:
        others = [other for other in phrases if _is_another(gloss, other)]
        if not others:
            continue
        is_kin = [other for other in others if other.head is not None and other.head == gloss.head]
        other = min(is_kin or others, key=lambda one: keyed_hash(reading.seed, "swap", gloss.term, one.term))
        proof = f"By {named(gloss)} is meant {gloss.brief}."
        if _is_right(reading, gloss.term):
            yield _claim(
                reading,
                "gloss-claim",
                f"By {_bare(gloss)} is meant {gloss.brief}.",
                proof,
                "",
                None,
                (),
                (entry(gloss),),
            )
        else:
            fault = f"that is {named(other)}"
            yield _claim(
                reading, "gloss-claim", f"By {_bare(gloss)} is meant {other.brief}.", proof, fault, gloss.brief, (), (entry(gloss), entry(other)),
            )  # fmt: skip


def _bare(gloss: Gloss) -> str:
    """A term as it stands in a statement that is itself between quotation marks."""
    return f"‘{gloss.term}’{f' ({gloss.domain})' if gloss.domain else ''}"


def _is_another(gloss: Gloss, other: Gloss) -> bool:
    """Whether another gloss cannot be right of this term: few words are the same, and neither speaks of the other's term."""
    if gloss is other or "“" in gloss.brief + other.brief:
        return False
    one, two = set(english.words(gloss.brief)), set(english.words(other.brief))
    names = [name.lower() for name in (gloss.term, *gloss.aliases)]
    is_told = (
        any(name in other.text.lower() or name in other.term.lower() for name in names)
        or other.term.lower() in gloss.text.lower()
    )
    return not is_told and len(one & two) <= _MAX_SHARED * min(len(one), len(two))


def values(reading: Reading) -> Iterator[Candidate]:
    """A thing with its value, or with that of another row of the table."""
    for words in read_tables(reading):
        table = words.table
        found = []
        for place, column in words.columns:
            numbers = words.numbers(place) if column.is_number else []
            for row, value in numbers:
                wrong = [other for other, rival in numbers if max(value, rival) >= _MIN_FACTOR * min(value, rival)]
                if wrong:
                    found.append((words.order("claim", column.name, row.name), place, column, row, wrong))
        for _, place, column, row, wrong in sorted(found, key=lambda one: one[0])[:_MAX_OF_TABLE]:
            other = min(wrong, key=lambda one: words.order("wrong", column.name, row.name, one.name))
            thing, told = words.names[row.name], words.value(place, row)
            proof = f"The {column.name} of {thing} is {told}."
            if _is_right(reading, str(table.number), column.name, row.name):
                yield _claim(reading, "table-claim", proof, proof, "", None, (), words.ground(place, row))
                continue
            false = words.value(place, other)
            fault = f"{false} is the {column.name} of {words.names[other.name]}"
            yield _claim(
                reading, "table-claim", f"The {column.name} of {thing} is {false}.", proof, fault, f"{told}, not {false}", (), words.ground(place, row, other),
            )  # fmt: skip


def statements(reading: Reading) -> Iterator[Candidate]:
    """A sentence that stands alone, with what it needs before it, as it is or with a word or figure exchanged; of an abstract none."""
    for told in tellings(reading):
        slots = _slots(told)
        if not slots:
            continue
        text, name = told.text, str(told.positions[-1])
        pick = keyed_hash(reading.seed, "slot", reading.document.id, name)
        slot = slots[pick % len(slots)]
        if _is_right(reading, name):
            yield _claim(reading, "statement-claim", text, text, "", None, told.positions, ())
            continue
        false = slot.others[pick // 7 % len(slot.others)]
        fault = f"it is “{slot.true}”, not “{false}”"
        yield _claim(reading, "statement-claim", slot.put(text, false), text, fault, fault, told.positions, ())


def _slots(told: Told) -> list[Slot]:
    """The slots of the last sentence that can be claimed."""
    text, start = told.text, told.last
    figures = figure_slots(text, start)
    words = [
        slot
        for slot in slots_of(text)
        if slot.kind != FIGURE and slot.is_strict and slot.others and " " not in slot.others[0]
    ]
    if (
        _OPEN.search(text[start:])
        or is_correlative(text)
        or len(words) > 1
        or any(word.others[0] in text for word in words)
    ):
        words = []
    return [*figures, *(word for word in words if word.start >= start)]


def figure_slots(text: str, start: int = 0) -> list[Slot]:
    """The slot of the one figure of a text that stands behind a place; none if there are more.

    A figure told twice in two units contradicts itself once one of them is changed, and gives itself away.
    """
    figures = [slot for slot in slots_of(text) if slot.kind == FIGURE and slot.others]
    is_told_twice = len(figures) > 1 or re.search(r"\([^()]*\d", text)
    return [] if is_told_twice or (figures[0:1] and figures[0].start < start) else figures


RULES: dict[str, Rule] = {
    "gloss-claim": glosses,
    "table-claim": values,
    "statement-claim": statements,
}
