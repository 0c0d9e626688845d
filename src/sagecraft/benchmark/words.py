"""Names that can be left open because others of their class could stand there: of instruments, surveys, places, lines.

The classes are learned from the literature (`literature.coordinates`). What keeps an option from being right as well: it
stands nowhere in the document, nor does what it abbreviates; it is no near-synonym of the key, as far as spelling, a list
of general English and the documents' abbreviations tell; and the literature joins it with the key by "and", "or" or a comma
or both with the same third ones, or both stand before the same head noun ("X survey"). Terms that a sentence introduces are
left open among terms of other documents.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sagecraft.literature import english
from sagecraft.literature.coordinates import Classes, Coordinates, Token, inside, tokens_of
from sagecraft.literature.figures import Figure
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import Word

_LISTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))
_GENERIC = frozenset(_LISTS["generic"].split())
#: Macros of TeX that formulas may have; others are an author's own, and nobody else can read them.
MACROS = frozenset(_LISTS["macros"].split())
_ALIKE = [frozenset(group.split("/")) for group in _LISTS["alike"].split()]
_FUNCTION = (
    english.DETERMINERS
    | english.PREPOSITIONS
    | english.OPENERS
    | frozenset(english.AUXILIARIES.split("|"))
    | frozenset(
        [
            "than",
            "not",
            "no",
            "only",
            "and",
            "or",
            "but",
            "be",
            "been",
            "being",
            "via",
            "due",
            "per",
            "based",
            "well",
            "same",
            "own",
            "out",
            "up",
            "off",
            "et",
            "al",
        ]
    )
)
_VERBS = (english.BASES | frozenset(english.THIRD) | frozenset(english.PAST) | english.PARTICIPLES) - english.NOUN_LIKE
#: Endings of adjectives that name a kind ("optical", "magnetic", "nuclear"), where they have no degrees.
_KIND = re.compile(r"(?:al|ic|ar|ary|ive)$")
#: What one discipline is about, its neighbours are about as well.
_DISCIPLINE = re.compile(r"(?:logy|nomy|istry|ics)$")
_MIN_CHARS = 3
#: Other options of a question.
NUM_OTHERS = 3
_STEM_CHARS = 5
#: From these shares on a word has degrees, is a verb, is a unit.
_MAX_GRADED, _MAX_VERBAL, _MAX_COUNTED = 0.03, 0.05, 0.1
#: Least likeness of an option to the key, and where no list joins them.
_LEAST, _LEAST_UNLISTED = 0.03, 0.06
#: Words that lists join with both, where none joins them.
_MIN_SHARED = 2
#: From this share on a neighbour tells the word ("angular momentum").
_MAX_TOLD = 0.1
_MAX_RATIO = 2.0
_SIMILAR_SPELLING = 0.75
#: Words up to this length share a stem of one character less ("person", "personal").
_SHORT = 8
#: Pairs of a sentence that are tried, those that stand furthest apart.
_MAX_PAIRS = 3
#: A noun and the words before it at most; the likest others of a kind that are kept; kinds that are counted.
_MAX_RUN = 4
_NUM_KINDS = 30
_MAX_KINDS = 300_000
_MAX_TERMS = 5_000
_NO_NOUN = re.compile(r"(?:ing|ed|ly|al|ic|ar|ary|ive|ous|able|ible|ent|ant)$")
#: A name. Other words have neighbours in meaning ("moons" and "satellites", "origin" and "formation") and fill most sentences
#: truly: with them two readers found another right option in 9 and 7 of 34 questions.
_NAME = re.compile(r"[A-Z][\w.+-]*")


@dataclass(frozen=True)
class ClassWord(Word):
    """A word that others of its class could replace.

    Attributes:
        others: these, the likest first; `other` is one of them.
    """

    others: tuple[str, ...] = ()


class DocumentWords:
    """What stands in a document, so that it is no option."""

    def __init__(self, reading: Reading) -> None:
        text = f" {reading.document.title} {reading.document.text}".lower()
        self.text = text
        self.words = frozenset(re.findall(r"[^\W\d_][\w’'-]*", text))
        self.stems = frozenset(word[:_STEM_CHARS] for word in self.words)
        #: Position of a sentence → the terms that it introduces.
        self.terms: dict[int, list[str]] = {}
        for term in reading.terms:
            self.terms.setdefault(term.position, []).append(term.text)
        self.parts = frozenset(part for word in self.words for part in word.split("-"))


class WordClasses:
    """Classes of words over documents, and what stands in the way of an option."""

    def __init__(self) -> None:
        self._coordinates = Coordinates()
        self._before: dict[str, Counter[str]] = {}
        self._num_before = 0
        self._terms: dict[str, str] = {}
        self._long: dict[str, set[str]] = {}
        self._classes: Classes | None = None
        self._askable: dict[str, bool] = {}

    def add(self, reading: Reading) -> None:
        """Counts a document."""
        sentences = [sentence.text for passage in reading.passages for sentence in passage.sentences]
        self._coordinates.add(sentences)
        for sentence in sentences:
            tokens = tokens_of(sentence)
            for first, head in _runs(tokens):
                counter = self._before.setdefault(tokens[head].text, Counter())
                kind = sentence[tokens[first].start : tokens[head - 1].end]
                if kind in counter or self._num_before < _MAX_KINDS:
                    self._num_before += kind not in counter
                    counter[kind] += 1
        for term in reading.terms:
            if len(self._terms) < _MAX_TERMS:
                self._terms.setdefault(term.text.lower(), term.text)
        for spelled in reading.abbreviations:
            self._long.setdefault(spelled.short.lower(), set()).add(spelled.long.lower())
        self._classes = None

    @property
    def classes(self) -> Classes:
        """What was counted so far."""
        if self._classes is None:
            self._classes = self._coordinates.classes()
            self._askable.clear()
        return self._classes

    def commonness(self, text: str) -> int:
        """How often a word occurs in the documents, or the rarest word of several."""
        return min(self.classes.commonness(word) for word in text.split(" "))

    def words_in(self, text: str, around: str, document: DocumentWords, position: int) -> Iterator[ClassWord]:
        """The words of a sentence that can be left open, in order, each with what could stand there instead.

        Args:
            text: the sentence, as it is shown.
            around: what else the question shows: title, heading, sentences before.
            document: it is of.
            position: of the sentence in the document.
        """
        tokens = tokens_of(text)
        found = [self._term(text, term, document) for term in document.terms.get(position, ())]
        found += [self._kind(text, tokens, first, head, document) for first, head in _runs(tokens)]
        found += [self._word(text, tokens, place, document) for place in range(1, len(tokens))]
        kept: list[ClassWord] = []
        for word in found:
            is_free = word is not None and all(word.end <= other.start or other.end <= word.start for other in kept)
            if word is not None and is_free and not _is_told(word, text, around):
                kept.append(word)
        yield from sorted(kept, key=lambda word: word.start)

    def _term(self, text: str, term: str, document: DocumentWords) -> ClassWord | None:
        """A term that a sentence introduces, with terms that other documents introduce: a gloss is of one term only."""
        place = re.search(rf"(?<![\w-]){re.escape(term)}(?![\w-])", text)
        if place is None:
            return None
        article = (text[: place.start()].split()[-1:] or [""])[0].lower()
        near = sorted(
            (-self.likeness(term, other), other)
            for other in self._terms.values()
            if _is_of_shape(other, term, article)
            and _form(other) == _form(term)
            and other.count(" ") == term.count(" ")
        )
        others = [
            other
            for likeness, other in near
            if -likeness >= _LEAST and not self._is_right_too(term, other, document) and not _are_alike(term, other)
        ][:_NUM_KINDS]
        return ClassWord(*place.span(), term, others[0], others=tuple(others)) if len(others) >= NUM_OTHERS else None

    def _word(self, text: str, tokens: list[Token], place: int, document: DocumentWords) -> ClassWord | None:
        """A single word, with others that lists join with it."""
        token = tokens[place]
        if not _NAME.fullmatch(token.text) or not self._is_open(text, tokens, place):
            return None
        others = tuple(
            other
            for other in self.classes.others(token.text, _LEAST)
            if _NAME.fullmatch(other)
            and self._fits(tokens, place, other)
            and not self._is_right_too(token.text, other, document)
        )
        return ClassWord(token.start, token.end, token.text, others[0], others=others) if others else None

    def _kind(self, text: str, tokens: list[Token], first: int, head: int, document: DocumentWords) -> ClassWord | None:
        """A name before a noun, with others that stand before the same noun elsewhere."""
        start, end = tokens[first].start, tokens[head - 1].end
        kind, noun = text[start:end], tokens[head].text
        before = self._before.get(noun, Counter())
        is_told = before[kind] > _MAX_TOLD * max(before.total(), 10)
        if is_told or not _NAME.fullmatch(kind) or not self._is_askable(kind):
            return None
        article = tokens[first - 1].text.lower()
        # The dear tests come last: a common noun has thousands of kinds.
        alike = [
            other
            for other in before
            if _NAME.fullmatch(other) and _is_of_shape(other, kind, article) and self._is_askable(other)
        ]
        near = sorted((-self.likeness(kind, other), other) for other in alike)
        others: list[str] = []
        for likeness, other in near:
            if -likeness < _LEAST or len(others) >= _NUM_KINDS:
                break
            if not self._is_right_too(kind, other, document) and not _are_alike(kind, other):
                others.append(other)
        return ClassWord(start, end, kind, others[0], others=tuple(others)) if len(others) >= NUM_OTHERS else None

    def are_one_class(self, one: str, other: str) -> bool:
        """Whether two options can stand beside each other."""
        return (
            not _are_alike(one, other) and other.lower() not in self._same(one) and one.lower() not in self._same(other)
        )

    def likeness(self, one: str, other: str) -> float:
        """How like two words are, the larger of both directions; of several, the likest two."""
        classes = self.classes
        pairs = [(first, second) for first in one.split(" ") for second in other.split(" ")]
        return round(max(max(classes.likeness(*pair), classes.likeness(*pair[::-1])) for pair in pairs), 6)

    def total_likeness(self, word: str, texts: Sequence[str]) -> float:
        """How like a word is to the other options together."""
        return round(sum(self.likeness(word, other) for other in texts if other != word), 6)

    def _is_open(self, text: str, tokens: Sequence[Token], place: int) -> bool:
        """Whether the word at a place stands for itself and is not told by its neighbours."""
        token, word = tokens[place], tokens[place].text
        if not token.is_word or not self._is_askable(word):
            return False
        left, right = inside(list(tokens), place - 1), tokens[place + 1].text if place + 1 < len(tokens) else "."
        is_apart = text[token.start - 1] == " " and text[token.end : token.end + 1] in ("", " ", ",", ".", ";", ":")
        if not is_apart or any(side[:1] in "(#)" or side[:1].isdigit() for side in (left, right)):
            return False
        if (left[:1].isupper() and place > 1) or right[:1].isupper():
            return False  # part of a longer name
        classes = self.classes
        told_by_left = _is_content(left) and classes.num_before(left, word) > _MAX_TOLD * max(
            classes.commonness(left), 10
        )
        told_by_right = _is_content(right) and classes.num_before(word, right) > _MAX_TOLD * max(
            classes.commonness(right), 10
        )
        return not told_by_left and not told_by_right

    def _is_askable(self, word: str) -> bool:
        """Whether a question can ask for a name, or have it as an option."""
        if word not in self._askable:
            self._askable[word] = self._is_of_topic(word)
        return self._askable[word]

    def _is_of_topic(self, word: str) -> bool:
        low, classes = word.lower(), self.classes
        if len(word) < _MIN_CHARS or not classes.is_known(word) or re.search(r"[’'-]s?$|(?:ly|ing|ed|est)$", low):
            return False
        if _DISCIPLINE.search(low):
            return False
        singular = low.removesuffix("s")
        if {low, singular} & (_FUNCTION | _GENERIC) or low in _VERBS:
            return False
        if classes.graded(word) >= _MAX_GRADED or classes.graded(low) >= _MAX_GRADED:
            return False
        if classes.verbal(word) >= _MAX_VERBAL or classes.counted(word) >= _MAX_COUNTED:
            return False
        return not classes.commonness(low) > classes.commonness(word)

    def _fits(self, tokens: Sequence[Token], place: int, other: str) -> bool:
        """Whether an option is of the key's form and could stand in its place."""
        key = tokens[place].text
        if (
            not self._is_askable(other)
            or _form(other) != _form(key)
            or _are_alike(key, other)
            or other in self._same(key)
        ):
            return False
        if max(len(other), len(key)) > _MAX_RATIO * min(len(other), len(key)):
            return False
        left, right = inside(list(tokens), place - 1), tokens[place + 1].text if place + 1 < len(tokens) else "."
        if left.lower() in ("a", "an") and (other[0].lower() in "aeiou") != (key[0].lower() in "aeiou"):
            return False
        classes = self.classes
        if _is_content(left) and not classes.num_before(left, other):
            return False
        if _is_content(right) and not classes.num_before(other, right):
            return False
        if classes.num_listed(key, other):
            return True
        return classes.likeness(key, other) >= _LEAST_UNLISTED and classes.num_shared(key, other) >= _MIN_SHARED

    def _is_right_too(self, key: str, other: str, document: DocumentWords) -> bool:
        """Whether a document speaks of an option, by one of its words, by its stem, or by what it stands for."""
        for low in other.lower().split(" "):
            if low in document.parts or low[:_STEM_CHARS] in document.stems or low.rstrip("s") in document.words:
                return True
            if low in key.lower() or any(long in document.text for long in self._long.get(low, ())):
                return True
        return False

    def _same(self, word: str) -> set[str]:
        """What a word abbreviates, or what is abbreviated by it, as single words."""
        low = word.lower()
        found = {part for long in self._long.get(low, ()) for part in re.split(r"[ -]", long)}
        return found | {low}


def _is_content(word: str) -> bool:
    return word[:1].isalpha() and word.lower() not in _FUNCTION


def _is_of_shape(other: str, kind: str, article: str) -> bool:
    """Whether words before a noun look like others: in capitals, number, length, and behind "a" or "an"."""
    is_other_article = article in ("a", "an") and (other[0].lower() in "aeiou") != (kind[0].lower() in "aeiou")
    lengths = sorted((len(other), len(kind)))
    return (
        not is_other_article
        and lengths[1] <= _MAX_RATIO * lengths[0]
        and abs(other.count(" ") - kind.count(" ")) <= 1
        and _form(other)[:2] == _form(kind)[:2]
    )


def _runs(tokens: Sequence[Token]) -> Iterator[tuple[int, int]]:
    """Nouns with one to three words before them, from function word or sign to the next: places of the first and the noun."""
    place = 1
    while place < len(tokens):
        last = place
        while last < len(tokens) and _is_of_run(tokens, last, last > place):
            last += 1
        before, behind = tokens[place - 1], tokens[last] if last < len(tokens) else None
        noun = tokens[last - 1].text
        is_free = (before.is_word or before.text in ",;:") and (
            behind is None or behind.is_word or behind.text in ".,;)"
        )
        if 2 <= last - place <= _MAX_RUN and is_free and noun.islower() and not _NO_NOUN.search(noun):
            yield place, last - 1
        place = max(last, place + 1)


def _is_of_run(tokens: Sequence[Token], place: int, is_inside: bool) -> bool:
    token = tokens[place]
    is_joined = not is_inside or token.start - tokens[place - 1].end == 1
    low = token.text.lower()
    return token.is_word and is_joined and low not in _FUNCTION and low not in _VERBS


def _is_told(word: ClassWord, text: str, around: str) -> bool:
    """Whether the rest of a question has one of the words in it, or one of its stem."""
    rest = f"{around} {text[: word.start]} {text[word.end :]}".lower()
    shown = set(re.findall(r"[^\W\d_][\w’'-]*", rest))
    stems = {each[:_STEM_CHARS] for each in shown}
    keys = word.text.lower().split(" ")
    return any(key[:_STEM_CHARS] in stems or any(key in each for each in shown) for key in keys)


def _are_alike(one: str, other: str) -> bool:
    """Whether two options may stand for one thing, by the spelling of one of their words or by a list of general English."""
    return any(_is_alike(first, second) for first in one.split(" ") for second in other.split(" "))


def _is_alike(one: str, other: str) -> bool:
    first, second = one.lower(), other.lower()
    stem = _STEM_CHARS if min(len(first), len(second)) > _SHORT else _STEM_CHARS - 1
    if first[:stem] == second[:stem] or first in second or second in first:
        return True
    if any(first in group and second in group for group in _ALIKE):
        return True
    matcher = difflib.SequenceMatcher(None, first, second)
    return one.islower() and matcher.real_quick_ratio() >= _SIMILAR_SPELLING <= matcher.ratio()


def _form(word: str) -> tuple[bool, ...]:
    """The grammatical form: options of another stand out."""
    low = word.lower()
    return (
        word[0].isupper(),
        sum(letter.isupper() for letter in word) > 1,
        low.endswith("s") and not low.endswith(("ss", "us", "is")),
        _KIND.search(low) is not None,
        "-" in word,
        any(letter.isdigit() for letter in word),
    )


def class_blanks(
    text: str, words: Sequence[ClassWord], opposites: Sequence[Word], figures: Sequence[Figure]
) -> Iterator[tuple[ClassWord] | tuple[Word | Figure, Word | Figure]]:
    """What can be left open in a sentence with words of a class: one of them; one beside a figure, an opposite or another.

    Args:
        text: the sentence, as it is shown.
        words: of it, that others of their class could replace.
        opposites: words of it that have an opposite.
        figures: of it, that can be left open.
    """
    alone = [word for word in words if len(word.others) >= NUM_OTHERS]
    yield from ((word,) for word in alone)
    for others in (figures, opposites):
        pairs = [_in_order(word, other) for word in words for other in others if _are_apart(text, word, other)]
        yield from pairs[:_MAX_PAIRS]
    pairs = [_in_order(one, other) for one, other in itertools.combinations(words, 2) if _are_apart(text, one, other)]
    yield from sorted(pairs, key=lambda pair: pair[0].start - pair[1].start)[:_MAX_PAIRS]


def _in_order(one: Word | Figure, other: Word | Figure) -> tuple[Word | Figure, Word | Figure]:
    return (one, other) if one.start < other.start else (other, one)


def _are_apart(text: str, one: Word | Figure, other: Word | Figure) -> bool:
    """Whether two words or more stand between two parts, so that each can be read by itself."""
    first, second = _in_order(one, other)
    return first.end <= second.start and len(text[first.end : second.start].split()) >= 2
