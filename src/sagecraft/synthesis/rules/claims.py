"""Claims about an article, right or with one word or figure exchanged: is it so, and what is wrong with it?

Right and wrong ones are asked in the same words and come about equally often, so that neither answer is the likelier one.
"""

from __future__ import annotations

from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import FIGURE, Slot, slots_of
from sagecraft.synthesis.candidate import Candidate, Rule, fill, judged
from sagecraft.synthesis.rules.reported import Told, article_of

#: Claims an article at most: two right, two wrong.
_MAX_CLAIMS = 4
_MAX_WORDS = 50
_MIN_WORDS = 8
_QUESTIONS = (
    "Someone says of {T}: “{C}” Is that right?",
    "Is the following statement about {T} correct? “{C}”",
    "A summary of {T} says: “{C}” Does it agree with the article?",
    "Check the following statement against {T}: “{C}”",
    "“{C}” Is that what {T} says?",
    "In a talk on {T}, somebody claims: “{C}” Is anything wrong with that?",
)
_RIGHT = (
    "That is right. {S}",
    "That is correct. {S}",
    "The statement is true. {S}",
    "The statement is right. {S}",
    "The statement is correct. {S}",
)
_WRONG = (
    "That is wrong: it is “{true}”, not “{false}”. {S}",
    "The statement is wrong in “{false}”: it is “{true}”. {S}",
    "That is not correct. It is “{true}”, not “{false}”: {S}",
    "The statement is not right: it is “{true}”, not “{false}”. {S}",
    "That is false in “{false}”. It is “{true}”: {S}",
)


def claims(reading: Reading) -> Iterator[Candidate]:
    """Right and wrong claims about an article, in turn, of sentences in which a word or a figure could be exchanged."""
    article = article_of(reading)
    if article is None:
        return
    seed, name = reading.seed, article.document.id
    usable: list[tuple[Told, list[Slot]]] = []
    for told in article.told:
        text = told.plain()
        if article.company(told) != (told,):
            continue  # what the next sentence takes back is no statement to be called right
        if not _MIN_WORDS <= len(text.split()) <= _MAX_WORDS or any(mark in text for mark in '“”"') or " we " in text:
            continue
        slots = [slot for slot in slots_of(text) if _is_sure(slot)]
        if slots:
            usable.append((told, slots))
    drawn = sorted(usable, key=lambda one: keyed_hash(seed, "claim", name, str(one[0].place)))
    for number, (told, slots) in enumerate(drawn[:_MAX_CLAIMS]):
        # Of articles with a single usable sentence every second one gets a right claim.
        is_right = (number + keyed_hash(seed, "claim-first", name)) % 2 == 0
        yield _claim(reading, article.title, told, slots, is_right)


def _is_sure(slot: Slot) -> bool:
    """Whether the exchange makes a false statement of a true one that reads as well."""
    if slot.kind == FIGURE:
        return bool(slot.others)
    return (
        slot.is_strict
        and bool(slot.others)
        and not any(" " in other and slot.true.endswith("ed") for other in slot.others)
    )


def _claim(reading: Reading, title: str, told: Told, slots: list[Slot], is_right: bool) -> Candidate:
    name = reading.document.id
    pick = keyed_hash(reading.seed, "claim-form", name, str(told.place))
    text = told.plain()
    slot = slots[pick % len(slots)]
    false = slot.others[pick // 7 % len(slot.others)]
    claim = text if is_right else slot.put(text, false)
    form = _QUESTIONS[pick // 11 % len(_QUESTIONS)]
    question = fill(form, T=title, C=claim)
    forms = _RIGHT if is_right else _WRONG
    answer = judged(form, is_right, fill(forms[pick // 13 % len(forms)], S=text, true=slot.true, false=false))
    return Candidate(
        kind="critique", question=question, focus=f"whether “{claim}” is right of {title}", answer=answer,
        key=None if is_right else f"“{slot.true}”, not “{false}”", rule="article-claim-right" if is_right else "article-claim-wrong",
        positions=(told.position,), scope=name, recall=text,
    )  # fmt: skip


RULES: dict[str, Rule] = {"article-claim": claims}
