"""Sentences with a gap: the figure, the word or the term that belongs there.

Which of two opposites stands in a sentence can be asked even where the other would not make a false statement of it, so
more sentences serve than for claims (`critique`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import formulas_in, mask_math
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import FIGURE, OPPOSITE, Slot, is_correlative, slots_of
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted
from sagecraft.synthesis.rules.critique import figure_slots
from sagecraft.synthesis.rules.explanations import actor_in
from sagecraft.synthesis.rules.prose import Told, tellings

_GAP = "___"
_FIGURE = (
    "In the context of {topic}, which figure is missing here? “{gap}”",
    "Concerning {topic}, put in the missing figure: “{gap}”",
    "“{gap}” Which figure belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the right figure. “{gap}”",
)
_WORD = (
    "In the context of {topic}, which word is right in the gap, “{one}” or “{other}”? “{gap}”",
    "Concerning {topic}, choose the right word, “{one}” or “{other}”: “{gap}”",
    "“{gap}” Which word belongs in the gap, “{one}” or “{other}”, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the word “{one}” or “{other}”. “{gap}”",
)
_TERM = (
    "In the context of {topic}, which term is missing here? “{gap}”",
    "Concerning {topic}, put in the missing term: “{gap}”",
    "“{gap}” Which term belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the right term. “{gap}”",
)
_YEAR = (
    "In the context of {topic}, which year is missing here? “{gap}”",
    "Concerning {topic}, put in the missing year: “{gap}”",
    "“{gap}” Which year belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the right year. “{gap}”",
)
_PERSON = (
    "In the context of {topic}, whose name is missing here? “{gap}”",
    "Concerning {topic}, put in the name of the person: “{gap}”",
    "“{gap}” Which name belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the right name. “{gap}”",
)
#: One year, not of a range, a name or an order.
_A_YEAR = re.compile(
    r"(?<![\w–−-])(?<!\$)(?:1[3-9]|20)\d\d(?![\w–−%-]|,\d|\.\d| (?:[a-z]*met|light|m\b|km|K\b|days|years|miles|times|degrees|stars|people))"
)
#: Figures in one sentence; where one is told in two units, or follows from others, it is no question.
_MAX_FIGURES = 3
_TOLD_TWICE = re.compile(
    r"\([^()]*\d|\b(?:or|that is|i\.e\.|equals?|thus|so|hence|therefore|times|twice|ratio|sum|total|percent|half|factor|average)\b|[%=]|from [\d.,]+ to"
)
#: Opposites in one sentence; of more, one gap is a riddle.
_MAX_WORDS = 3
#: "The planet must be …", "the detector is": one of those that the chapter is about, and only its neighbours say which.
_MEANS_ONE = re.compile(rf"\bthe [a-z]+(?: (?:{english.AUXILIARIES})\b|,)|\bthe system\b")
#: A sentence that says what something is called has one term for its gap.
_NAMES = r"(?:called|known as|termed|named|referred to as) (?:an? |the )?"


def _tellings(reading: Reading) -> Iterator[Told]:
    """The sentences of a book that state something, alone or with those before them; of an abstract none."""
    return (told for told in tellings(reading) if not _MEANS_ONE.search(mask_math(told.texts[0])[0]))


def _gap(
    reading: Reading, rule: str, kind: str, forms: tuple[str, ...], told: Told, start: int, end: int, answer: str, one: str = "", other: str = "",
) -> Candidate:  # fmt: skip
    text = told.text
    pick = keyed_hash(reading.seed, rule, reading.document.id, str(told.positions[-1]))
    gap = f"{text[:start]}{_GAP}{text[end:]}"
    if not gap[0].isupper():
        forms = tuple(form for form in forms if not form.startswith("“"))
    if pick // 8 % 2:
        one, other = other, one
    return Candidate(
        kind=kind,
        question=fill(forms[pick % len(forms)], topic=quoted(reading.document.title), gap=gap, one=one, other=other),
        focus=f"what belongs in the gap of “{gap.rstrip('.')}”",
        answer=f"{answer}: {text}",
        key=text[start:end],
        rule=rule,
        positions=told.positions,
        scope=reading.document.id,
    )


def figures(reading: Reading) -> Iterator[Candidate]:
    """Which figure a sentence has: of several, one that the others do not tell."""
    for told in _tellings(reading):
        text = told.text
        slots = [slot for slot in slots_of(text) if slot.kind == FIGURE]
        if len(slots) > _MAX_FIGURES or (len(slots) > 1 and _TOLD_TWICE.search(text)):
            continue
        # Half of a formula is none, and a number that stands twice gives itself away.
        fitting = [
            slot
            for slot in (figure_slots(text, told.last) if len(slots) == 1 else slots)
            if slot.start >= told.last
            and slot.others
            and not any(start < slot.end and slot.start < end for start, end in formulas_in(text))
            and len(re.findall(rf"(?<![\d.,]){re.escape(slot.true)}(?![\d]|[.,]\d)", text)) == 1
        ]
        if fitting:
            pick = keyed_hash(reading.seed, "gap-slot", reading.document.id, str(told.positions[-1]))
            slot = fitting[pick % len(fitting)]
            yield _gap(
                reading, "gap-figure", "number", _FIGURE, told, slot.start, slot.end, f"The figure is {slot.true}"
            )


def words(reading: Reading) -> Iterator[Candidate]:
    """Which of two opposites a sentence has: of several, one whose opposite stands nowhere else."""
    for told in _tellings(reading):
        text = told.text
        slots = [slot for slot in slots_of(text) if slot.kind == OPPOSITE and slot.start >= told.last]
        if len(slots) > _MAX_WORDS or is_correlative(text):
            continue
        fitting = [slot for slot in slots if _is_choice(text, slot)]
        if fitting:
            pick = keyed_hash(reading.seed, "gap-slot", reading.document.id, str(told.positions[-1]))
            slot = fitting[pick % len(fitting)]
            yield _gap(
                reading, "gap-word", "comparison", _WORD, told, slot.start, slot.end, f"The right word is “{slot.true}”", slot.true, slot.others[0],
            )  # fmt: skip


def _is_choice(text: str, slot: Slot) -> bool:
    """Whether one of two opposites is right in a gap, and nothing but the sentence's sense tells which."""
    other = slot.others[0]
    either = rf"\b(?:{re.escape(other)}|{re.escape(slot.true)})\b"
    if slot.start == 0 or len(re.findall(either, text, re.IGNORECASE)) > 1:
        return False
    # "20 meters high": of a measure there is one word.
    if re.search(r"\d[\d,.]* [\w-]+ $|[Hh]undreds of \w+ $", text[: slot.start]) or text[slot.end :].startswith(
        " school"
    ):
        return False
    # "an older": the article would tell.
    is_told = re.search(r"\ban? $", text[: slot.start]) and (slot.true[0] in "aeiou") != (other[0] in "aeiou")
    return not is_told


def terms(reading: Reading) -> Iterator[Candidate]:
    """Which term of the chapter a sentence names, of those that say what it names or what it is."""
    known = {gloss.term for gloss in reading.glossary} | {term.text for term in reading.terms}
    by_length = sorted(known, key=lambda term: (-len(term), term))
    for told in _tellings(reading):
        text, lowered = told.text, told.text.lower()
        for term in (term for term in by_length if term.lower() in lowered):
            found = list(re.finditer(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", text, re.IGNORECASE))
            if len(found) != 1:
                continue
            start, end = found[0].span()
            before, behind = text[told.last : start], text[end:]
            is_named = re.search(_NAMES + "$", before)
            is_defined = re.fullmatch(r"(?:An? |The )?", before) and re.match(
                r" (?:is|are) (?:an?|the|any|all)\b", behind
            )
            if start >= told.last and (is_named or is_defined):
                yield _gap(reading, "gap-term", "term", _TERM, told, start, end, f"The term is “{text[start:end]}”")
            break


def years(reading: Reading) -> Iterator[Candidate]:
    """Which year a sentence tells, of those that tell one."""
    for told in _tellings(reading):
        found = list(_A_YEAR.finditer(told.text))
        if (
            len(found) != 1
            or found[0].start() < told.last
            or not re.search(r"\b(?:[Ii]n|[Ss]ince|[Uu]ntil|[Bb]y|,|early|late|of) $", told.text[: found[0].start()])
        ):
            continue
        start, end = found[0].span()
        yield _gap(reading, "gap-year", "event", _YEAR, told, start, end, f"The year is {told.text[start:end]}")


def people(reading: Reading) -> Iterator[Candidate]:
    """Of whom a sentence tells, of those that name nobody twice."""
    for told in _tellings(reading):
        name = actor_in(told.texts[-1], reading)
        if name is None or any(len(re.findall(rf"\b{re.escape(part)}", told.text)) > 1 for part in name.split()):
            continue
        start = told.text.index(name, told.last)
        yield _gap(reading, "gap-person", "person", _PERSON, told, start, start + len(name), f"The name is {name}")


RULES: dict[str, Rule] = {
    "gap-figure": figures,
    "gap-word": words,
    "gap-term": terms,
    "gap-year": years,
    "gap-person": people,
}
