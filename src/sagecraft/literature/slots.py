"""Slots: the places of a sentence where another word or figure would make a true statement false.

A slot of kind `opposite` holds a word that has an opposite; one of kind `figure` holds a number. Exactly one slot changed
makes a false statement of a true one, unless the sentence bounds the figure or denies the word: such places are no slots.
Two opposites changed in a correlative ("the higher, the lower") say the same thing again: `is_correlative` tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sagecraft.corpus.sentences import formulas_in
from sagecraft.literature import english
from sagecraft.literature.figures import figures_of
from sagecraft.literature.lexicon import LISTS

OPPOSITE = "opposite"
FIGURE = "figure"


@dataclass(frozen=True)
class Word:
    """A word that has an opposite.

    Attributes:
        start: first character.
        end: behind the last one.
        text: what stands there; a noun of change with its article.
        other: the opposite, in the same form.
        is_strict: whether the exchange is sure to change what is said: a comparative with "than", or a verb or noun of change.
    """

    start: int
    end: int
    text: str
    other: str
    is_strict: bool = False


@dataclass(frozen=True)
class Slot:
    """One place of a sentence.

    Attributes:
        start: first character.
        end: behind the last one.
        kind: `opposite` or `figure`.
        true: what stands there.
        others: what would be false there, in the same form; of a figure, smaller and larger ones, of a year none.
        is_strict: as of a `Word`; a figure always is.
    """

    start: int
    end: int
    kind: str
    true: str
    others: tuple[str, ...]
    is_strict: bool

    def put(self, sentence: str, other: str) -> str:
        """The sentence with something else in this slot; a capital at its beginning is kept."""
        if self.start == 0:
            other = other[0].upper() + other[1:]
        return sentence[: self.start] + other + sentence[self.end :]


def _verb_forms(verb: str) -> tuple[str, ...]:
    """Base, third person, past, participle, form in -ing."""
    if verb in LISTS["opposite_forms"]:
        return (verb, *LISTS["opposite_forms"][verb])
    return (verb, *english.FORMS[verb], verb.removesuffix("e") + "ing")


def _pairs(name: str) -> dict[str, str]:
    """Each word with its opposite; of several the first one listed."""
    pairs: dict[str, str] = {}
    for one, other in LISTS[name]:
        pairs.setdefault(one, other)
        pairs.setdefault(other, one)
    return pairs


def _verb_pairs() -> dict[str, str]:
    pairs: dict[str, str] = {}
    for one, other in LISTS["opposite_verbs"]:
        for here, there in zip(_verb_forms(one), _verb_forms(other), strict=True):
            pairs.setdefault(here, there)
            pairs.setdefault(there, here)
    return pairs


_COMPARATIVES = _pairs("comparatives")
_VERBS = _verb_pairs()
_NOUNS = _pairs("opposite_nouns")
_WORDS = _pairs("opposite_words")


def _any(words: dict[str, str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


#: "higher than", "higher in the north than": up to five words between. A bound ("higher than 5") is no comparison.
_THAN = re.compile(
    rf"\b(?:(?P<comparative>{_any(_COMPARATIVES)})|(?P<degree>more|less)(?= (?!than\b)[a-z-]+ ))"
    r"(?=(?: (?!(?:than|and|or|but|while)\b)[\w’'-]+){0,5} than (?!(?:about |roughly |the )?"
    r"(?:\$|\d|one\b|two\b|three\b|twice\b|expected|previously|half|usual|normal|ever|a (?:few|factor))))"
)
#: What makes a statement of a comparative; without it, it may only tell which things are meant ("bridges longer than …").
_STATES = re.compile(
    r"\b(?:is|are|was|were|be|been|being|becomes?|became|becoming|appears?|seems?|remains?|an?|has|have|had|shows?|yields?|exhibits?|"
    r"produces?|gets?|find|found|rotates?|moves?|travels?|runs?)(?: (?:[a-z]+ly|much|far|even|still|times|somewhat|several|many|about|"
    r"almost|nearly|a|factor|of|bit|little|[\d,.$\\~]+|two|three|ten|hundreds?|thousands?|orders?|magnitude)){0,5} $"
)
_CHANGE = re.compile(
    rf"(?<![\w-])(?:(?P<noun>(?:[Aa]n? |[Tt]he )(?:[a-z]+ )?(?:{_any(_NOUNS)}))(?= (?:in|of) )|(?P<verb>{_any(_VERBS)}))(?![\w-])"
)
_WORD = re.compile(rf"(?<![\w-])(?:{_any(_WORDS)})(?![\w-])")
#: Before a verb of change that is one: a form of "be" or "have", a modal, "to"; else it may be an adjective or a noun.
_VERBAL = re.compile(
    r"\b(?:is|are|was|were|be|been|being|has|have|had|can|could|will|would|may|might|must|should|to|does|do|did|that|which)"
    r"(?: (?:[a-z]+ly|also|further|not|even|still))? $"
)
#: Behind one that stands without such a word.
_VERB_TAIL = re.compile(
    r"^(?:,? (?:by|with|from|to|as|when|until|for|toward|towards|over|during|the|their|its|our)\b|[.,;])"
)
#: A negated word exchanged may stay true: "no higher than" and "no lower than".
_NEGATION = re.compile(
    r"\b(?:no|not|never|neither|nor|hardly|without|whether|cannot|n[’']t|if any|more or|less or)\b[^,;]*$",
    re.IGNORECASE,
)
#: Characters before a word that are looked at.
_MAX_CHARS = 40
_CORRELATIVE = re.compile(
    r"\b[Tt]he (?:\w+er|more|less)\b[^.;]*, the (?:\w+er|more|less)\b|\b(?:with|for|at|toward|towards) (?:an )?(?:increasing|decreasing|higher|lower|larger|smaller|"
    r"rising|falling|growing|greater|shorter|longer)\b|\b[Aa]s\b[^,.;]*\b(?:increas|decreas|rise|fall|grow|shrink|drop|becom|get|mov|approach|cool|heat|expand|contract)\w*\b|"
    r"\b(?:proportional|proportionally|correlat\w+|anti-?correlat\w+|inversely)\b"
)
#: Behind one of these a verb of change is a noun or an adjective.
_NOUN_MARK = re.compile(
    r"(?:\b(?:an?|the|this|that|these|its|their|our|any|no|of|by|in|with|from|for|and|or|[a-z]+(?:al|ic|ive|ous|ed|ar|ant|ent|ing))) $",
    re.IGNORECASE,
)


def slots_of(sentence: str) -> tuple[Slot, ...]:
    """The slots of a sentence, in order, none over another: its words with opposites and its figures.

    Args:
        sentence: as it stands in a document, with its formulas.
    """
    words = (
        Slot(word.start, word.end, OPPOSITE, word.text, (word.other,), word.is_strict) for word in words_of(sentence)
    )
    figures = (Slot(one.start, one.end, FIGURE, one.text, one.others(), is_strict=True) for one in figures_of(sentence))
    return tuple(sorted((*words, *figures), key=lambda slot: slot.start))


def words_of(sentence: str) -> tuple[Word, ...]:
    """The words of a sentence that have an opposite, in order, none over another.

    None stands in a formula or a compound, is denied, or has its opposite beside it.
    """
    found = sorted(_all_words(sentence), key=lambda word: (not word.is_strict, word.start))
    kept: list[Word] = []
    for word in found:
        if not _names_both(sentence, word) and all(
            word.end <= other.start or other.end <= word.start for other in kept
        ):
            kept.append(word)
    return tuple(sorted(kept, key=lambda word: word.start))


def _names_both(sentence: str, word: Word) -> bool:
    """Whether the sentence has the opposite beside the word ("either higher or lower"): exchanged, it says the same."""
    other = re.escape(word.other)
    between = r"(?:and|or|to|versus|vs\.?|rather than|not)"
    behind = re.match(rf",? {between} (?:[a-z]+ )?{other}\b", sentence[word.end :])
    before = re.search(rf"\b{other},? {between} (?:[a-z]+ )?$", sentence[max(0, word.start - _MAX_CHARS) : word.start])
    return behind is not None or before is not None


def is_correlative(sentence: str) -> bool:
    """Whether two opposites of a sentence hang together, so that both exchanged say the same thing again."""
    return _CORRELATIVE.search(sentence) is not None


def _all_words(sentence: str) -> Iterator[Word]:
    formulas = formulas_in(sentence)

    def is_free(start: int, end: int) -> bool:
        if any(start < last and first < end for first, last in formulas):
            return False
        return _NEGATION.search(sentence[max(0, start - _MAX_CHARS) : start]) is None

    for found in _THAN.finditer(sentence):
        word = found.group(0)
        other = {"more": "less", "less": "more"}.get(word) if found.group("degree") else _COMPARATIVES[word]
        if other and is_free(*found.span()):
            is_strict = _STATES.search(sentence[max(0, found.start() - _MAX_CHARS) : found.start()]) is not None
            yield Word(*found.span(), word, other, is_strict)
    for found in _CHANGE.finditer(sentence):
        text = found.group(0)
        if not is_free(*found.span()):
            continue
        if found.group("noun"):
            *before, noun = text.split(" ")
            yield Word(*found.span(), text, _with_article([*before, _NOUNS[noun]]), is_strict=True)
        elif _is_verb(sentence, *found.span()):
            yield Word(*found.span(), text, _VERBS[text], is_strict=True)
    for found in _WORD.finditer(sentence):
        # A comparative with "than" that is no comparison by `_THAN` is a bound.
        if is_free(*found.span()) and not sentence.startswith(" than ", found.end()):
            yield Word(*found.span(), found.group(0), _WORDS[found.group(0)])


def _is_verb(sentence: str, start: int, end: int) -> bool:
    """Whether a form of a verb of change is used as one."""
    before, behind = sentence[max(0, start - _MAX_CHARS) : start], sentence[end : end + _MAX_CHARS]
    if _VERBAL.search(before):
        return not sentence[start:end].endswith("ed") or not re.match(r" (?!and\b|or\b)[a-z]+s\b", behind)
    if sentence[start:end].endswith("ing"):
        return False
    return start > 0 and not _NOUN_MARK.search(before) and _VERB_TAIL.match(behind) is not None


def _with_article(words: list[str]) -> str:
    """The words with the article that the second one asks for."""
    if words[0].lower() in {"a", "an"}:
        article = "an" if words[1][0] in "aeiou" else "a"
        words = [article if words[0].islower() else article.capitalize(), *words[1:]]
    return " ".join(words)
