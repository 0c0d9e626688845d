"""Sentences with a gap: the figure, the word or the term that belongs there.

Which of two opposites stands in a sentence can be asked even where the other would not make a false statement of it, so
more sentences serve than for claims (`critique`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.sentences import Sentence, formulas_in, mask_math
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import OPPOSITE, is_correlative, slots_of
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted
from sagecraft.synthesis.rules.critique import figure_slots
from sagecraft.synthesis.rules.reported import article_of
from sagecraft.synthesis.rules.textbook import can_be_claimed, topic_words

_GAP = "___"
_FIGURE = (
    "In the context of {topic}, which figure is missing here? “{gap}”",
    "Concerning {topic}, put in the missing figure: “{gap}”",
    "“{gap}” Which figure belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the right figure. “{gap}”",
)
_WORD = (
    "In the context of {topic}, which is right in the gap, “{one}” or “{other}”? “{gap}”",
    "Concerning {topic}, choose between “{one}” and “{other}”: “{gap}”",
    "“{gap}” Is it “{one}” or “{other}” that belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with “{one}” or “{other}”. “{gap}”",
)
_TERM = (
    "In the context of {topic}, which term is missing here? “{gap}”",
    "Concerning {topic}, put in the missing term: “{gap}”",
    "“{gap}” Which term belongs in the gap, in the context of {topic}?",
    "On the subject of {topic}: complete the sentence with the right term. “{gap}”",
)
#: Opposites that only point or belong to a phrase ("before", "most of"): nobody would ask for them.
_WEAK = frozenset(
    {
        "most",
        "least",
        "above",
        "below",
        "before",
        "after",
        "toward",
        "away from",
        "maximum",
        "minimum",
        "upper",
        "inside",
        "outside",
    }
)
#: "The planet must be …", "the detector is": one of those that the chapter is about, and only its neighbours say which.
_MEANS_ONE = re.compile(rf"\bthe [a-z]+(?: (?:{english.AUXILIARIES})\b|,)|\bthe system\b")
#: A sentence that says what something is called has one term for its gap.
_NAMES = r"(?:called|known as|termed|named|referred to as) (?:an? |the )?"


def _sentences(reading: Reading) -> Iterator[Sentence]:
    """The sentences of a book that state something alone; of an abstract none."""
    if article_of(reading) is not None or not reading.document.title:
        return
    for passage in reading.passages:
        topic = topic_words(reading, passage.section)
        for sentence in passage.sentences:
            if can_be_claimed(sentence.text, topic) and not _MEANS_ONE.search(mask_math(sentence.text)[0]):
                yield sentence


def _gap(
    reading: Reading, rule: str, kind: str, forms: tuple[str, ...], sentence: Sentence, start: int, end: int, answer: str, one: str = "", other: str = "",
) -> Candidate:  # fmt: skip
    text = sentence.text
    pick = keyed_hash(reading.seed, rule, reading.document.id, str(sentence.position))
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
        positions=(sentence.position,),
        scope=reading.document.id,
    )


def figures(reading: Reading) -> Iterator[Candidate]:
    """Which figure a sentence has."""
    for sentence in _sentences(reading):
        for slot in figure_slots(sentence.text):
            # Half of a formula is none.
            if not any(start < slot.end and slot.start < end for start, end in formulas_in(sentence.text)):
                yield _gap(
                    reading,
                    "gap-figure",
                    "number",
                    _FIGURE,
                    sentence,
                    slot.start,
                    slot.end,
                    f"The figure is {slot.true}",
                )


def words(reading: Reading) -> Iterator[Candidate]:
    """Which of two opposites a sentence has."""
    for sentence in _sentences(reading):
        text = sentence.text
        slots = [slot for slot in slots_of(text) if slot.kind == OPPOSITE]
        if len(slots) != 1 or is_correlative(text):
            continue
        slot = slots[0]
        other = slot.others[0]
        if (
            slot.true.lower() in _WEAK
            or slot.start == 0
            or len(re.findall(rf"\b(?:{re.escape(other)}|{re.escape(slot.true)})\b", text, re.IGNORECASE)) > 1
        ):
            continue
        # "20 meters high": of a measure there is one word.
        if re.search(r"\d[\d,.]* [\w-]+ $|[Hh]undreds of \w+ $", text[: slot.start]) or text[slot.end :].startswith(
            " school"
        ):
            continue
        # "an older": the article would tell.
        if re.search(r"\ban? $", text[: slot.start]) and (slot.true[0] in "aeiou") != (other[0] in "aeiou"):
            continue
        yield _gap(
            reading, "gap-word", "comparison", _WORD, sentence, slot.start, slot.end, f"“{slot.true}” is right", slot.true, other,
        )  # fmt: skip


def terms(reading: Reading) -> Iterator[Candidate]:
    """Which term of the chapter a sentence names."""
    known = {gloss.term for gloss in reading.glossary} | {term.text for term in reading.terms}
    by_length = sorted(known, key=lambda term: (-len(term), term))
    for sentence in _sentences(reading):
        text = sentence.text
        lowered = text.lower()
        for term in (term for term in by_length if term.lower() in lowered):
            found = list(re.finditer(rf"(?<![\w-]){re.escape(term)}s?(?![\w-])", text, re.IGNORECASE))
            if len(found) != 1:
                continue
            start, end = found[0].span()
            before, behind = text[:start], text[end:]
            is_named = re.search(_NAMES + "$", before)
            is_defined = re.fullmatch(r"(?:An? |The )?", before) and re.match(
                r" (?:is|are) (?:an?|the|any|all)\b", behind
            )
            if is_named or is_defined:
                yield _gap(reading, "gap-term", "term", _TERM, sentence, start, end, f"The term is “{text[start:end]}”")
            break


RULES: dict[str, Rule] = {"gap-figure": figures, "gap-word": words, "gap-term": terms}
