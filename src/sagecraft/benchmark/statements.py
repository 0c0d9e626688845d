"""Statements that can be asked about with a part left open: which sentences, what is open in them, and whose they are."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sagecraft.benchmark.words import ClassWord, DocumentWords, WordClasses, class_blanks
from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature import english
from sagecraft.literature.alone import is_clear, why_not_alone
from sagecraft.literature.figures import Figure, count_numbers, figures_of, number_of, ranges_of
from sagecraft.literature.lexicon import word_list
from sagecraft.literature.passages import Passage
from sagecraft.literature.reading import Reading
from sagecraft.literature.slots import Word, words_of

_HYPOTHETICAL = word_list("hypothetical")
_RELATED = word_list("related")
_CONNECTIVE = re.compile(
    r"^(?:However|Furthermore|Moreover|In addition|Additionally|Finally|Overall|Notably|Interestingly|In particular|Specifically|"
    r"Lastly|Further|Importantly|Remarkably|Also|In summary|In conclusion|Here|In this (?:paper|work|study|article|letter)),? (?=[A-Za-z])"
)
#: A remark that points to a picture says nothing that the statement needs.
_REFERENCE = re.compile(
    r" ?\((?:see |shown in |cf\. )?(?:Figure|Fig\.|Table|Section|Appendix|Chapter)s?\.? ?[A-Z]?[\d.]+[a-z]?\)"
)
#: Where a macro of the paper was lost, a preposition stands before a stop.
_LOST = re.compile(r"\b(?:of|for|at|by|with|to|from|the|an?|and|than)\s?[.,;:)]|\(\s*[,;)]|\s,|\b(?:in|on) ?,|  ")
_SMALL_CAPITALS = re.compile(r"\{\\sc [ivx]+\}")
#: "The γ-ray bright source": the formula is part of an adjective.
_MATH_COMPOUND = re.compile("\ue000\\d+\ue001(?=-[a-z])")
_OWN = re.compile(
    r"\b(?:we|our|us|ours|this (?:paper|work|study|article|letter|analysis|survey|sample|dataset))\b", re.IGNORECASE
)
#: Words that point into the sentence before, and such that may point further back.
_NEAR = re.compile(
    r"^(?:In contrast|For example|For instance|Similarly|Likewise|In turn),|\b(?:[Tt]his|[Tt]hese|[Tt]hose|[Ss]uch|[Tt]he (?:same|resulting|other|remaining))(?= )|\b(?:[Tt]hus|[Tt]herefore|[Hh]ence|[Aa]lso|[Mm]oreover|[Hh]owever)\b,?|^(?:It|Its|They|Their)\b"
)
_FAR = re.compile(r"\b(?:former|latter|respectively|above|below|previously|third|second|following)\b", re.IGNORECASE)
#: "The planet transits": of a chapter on planets it may be any of them.
_THE_ONE = re.compile(
    rf"\b[Tt]he ([a-z]+)\b(?=[,.;:]|$| (?:{english.AUXILIARIES}|and|or|as|at|by|for|from|in|than|to|with|[a-z]+ed|[a-z]+s)\b)"
)
_NEEDS_CONTEXT = frozenset(["tied", "pronoun", "definite"])
#: Exchanging both words of such a statement says the same again: "the hotter, the shorter", "increases with decreasing".
_COORDINATED = re.compile(r"(?:\band\b|\bbut\b|\bwhile\b|\bwhereas\b|\byet\b|;)")
_CORRELATIVE = re.compile(
    r"\bthe (?:more|less|\w+er)\b[^,]*, the (?:more|less|\w+er)\b|(?:increas|decreas)\w+ (?:with|as|when)\b|^As \w|"
    r"\bfrom\b.*\bto\b|\bbetween\b.*\band\b|\b(?:in|de)creasing(?:ly)? \w+ (?:and|with)|\bboth\b|\b(?:either|neither|or|than|respectively|correlat\w+)\b|"
    r"\bwith (?:in|de)creasing\b",
    re.IGNORECASE,
)


Blank = Figure | Word


@dataclass(frozen=True)
class Statement:
    """A sentence with one or two parts open.

    Attributes:
        document: it is of.
        passage: it stands in.
        context: the one or two sentences before it, where it leans on them.
        sentence: as it stands there.
        text: what is shown of it: without a connective at its beginning, unless its context is shown.
        blanks: the open parts, in order.
    """

    document: Document
    passage: Passage
    context: tuple[Sentence, ...]
    sentence: Sentence
    text: str
    blanks: tuple[Blank, ...]

    @property
    def support(self) -> tuple[Sentence, ...]:
        """The sentences it rests on."""
        return (*self.context, self.sentence)

    @property
    def open_text(self) -> str:
        """The text with its blanks: “____”, or “____ (1)” and “____ (2)”. A formula is closed in front of one."""
        text = self.text
        for number, blank in reversed(list(enumerate(self.blanks, start=1))):
            mark = "____" if len(self.blanks) == 1 else f"____ ({number})"
            before, after = text[: blank.start], text[blank.end :]
            if before.count("$") % 2:
                before = before[:-1] if before.endswith("$") else f"{before.rstrip()}$ "
                after = after[1:] if after.startswith("$") else f" ${after.lstrip()}"
            text = f"{before}{mark}{after}"
        return " ".join((*(sentence.text for sentence in self.context), text))


def is_article(document: Document) -> bool:
    """Whether a document is the word of its authors ("we find"), who can be named by its title."""
    return bool(document.title and (document.authors or document.year))


def statements_of(
    reading: Reading, min_words: int, max_words: int, classes: WordClasses | None = None
) -> Iterator[Statement | str]:
    """Statements of a document that stand alone, or the reason why a sentence with something to leave open does not.

    Args:
        reading: the document.
        min_words: of a sentence.
        max_words: of a sentence.
        classes: words that others of their class could replace; without them values and opposites are left open.
    """
    document = dataclasses.replace(reading.document, text="")  # a statement must not hold the whole of it
    own = is_article(document)
    held = DocumentWords(reading) if classes else None
    for passage in reading.passages:
        topic = f"{passage.title} {passage.section}"
        for place, sentence in enumerate(passage.sentences):
            is_open = figures_of(sentence.text) or ranges_of(sentence.text)
            if classes is None and not is_open and len(words_of(sentence.text)) < 2:
                continue
            text = _shown(sentence.text)
            reason = why_not(text, topic, own, min_words, max_words)
            context: tuple[Sentence, ...] = ()
            if reason in _NEEDS_CONTEXT:
                text = _REFERENCE.sub("", sentence.text)
                context = _context(passage.sentences[:place], sentence, topic, own, max_words)
                reason = None if context else reason
            if reason is not None:
                yield reason
                continue
            around = " ".join((topic, *(before.text for before in context)))
            classed = tuple(classes.words_in(text, around, held, sentence.position)) if classes and held else ()
            for blanks in _choices(text, classed):
                if not any(is_told(before.text, blank.text) for before in context for blank in blanks):
                    yield Statement(document, passage, context, sentence, text, blanks)


def is_told(text: str, part: str) -> bool:
    """Whether a text holds a number or a word for itself."""
    return re.search(rf"(?<![\d.,\w]){re.escape(part)}(?![\d\w])", text) is not None


def _context(
    before: Sequence[Sentence], sentence: Sentence, topic: str, own: bool, max_words: int
) -> tuple[Sentence, ...]:
    """The one or two sentences behind which a sentence is clear: the first of them stands alone. () if there are none."""
    for count in (1, 2):
        context = tuple(before[-count:])
        if len(context) < count or context[0].paragraph != sentence.paragraph:
            break
        known = topic
        clear = why_not(context[0].text, topic, own, 4, max_words) is None
        for each, follower in itertools.pairwise((*context, sentence)):
            known = f"{known} {each.text}"
            clear = clear and _follows(follower.text, known, own, max_words)
        num_words = sum(len(each.text.split()) for each in (*context, sentence))
        if clear and num_words <= 2 * max_words:
            return context
    return ()


def _follows(text: str, known: str, own: bool, max_words: int) -> bool:
    """Whether a sentence is clear to whoever has read what is known."""
    masked, _ = mask_math(text)
    if _FAR.search(masked) or not (_NEAR.search(masked) or own):
        return False
    return why_not(_NEAR.sub("Some", text), known, own, 4, max_words, told=_known(known)) is None


def _shown(sentence: str) -> str:
    sentence = _REFERENCE.sub("", sentence)
    bare = _CONNECTIVE.sub("", sentence)
    return bare[:1].upper() + bare[1:] if bare != sentence else sentence


def why_not(
    text: str, topic: str, own: bool, min_words: int, max_words: int, told: frozenset[str] = frozenset()
) -> str | None:
    """Why a sentence cannot be asked about, or None: it is no whole sentence, supposes something, or does not stand alone.

    Args:
        text: the sentence.
        topic: title, heading and whatever else says what it is about.
        own: whether "we" and "our" are the authors of an article that the question names.
        min_words: of the sentence.
        max_words: of the sentence.
        told: words of the sentences that are shown before it.

    Returns:
        `length`, `form`, `hypothetical`, or a reason of `why_not_alone`.
    """
    masked, _ = mask_math(text)
    words = masked.split()
    if not min_words <= len(words) <= max_words:
        return "length"
    is_open = (
        any(text.count(left) != text.count(right) for left, right in ("()", "{}"))
        or text.count("$") % 2
        or text[-1:] != "."
        or '"' in text
        or "“" in text
    )
    if is_open or _LOST.search(masked) or not (masked[:1].isupper() or masked[:1].isdigit() or masked[:1] == "\ue000"):
        return "form"
    if _HYPOTHETICAL & set(english.words(masked)) or "?" in text or "http" in text:
        return "hypothetical"
    masked = _MATH_COMPOUND.sub("X", _SMALL_CAPITALS.sub("", _OWN.sub("Authors", masked)))
    known = _known(topic)
    reason = why_not_alone([masked], known, own=own, told=told)
    if reason is not None or own:
        return reason
    is_one_of_many = any(f"{found[1]}s" in known and found[1] not in told for found in _THE_ONE.finditer(masked))
    return "definite" if is_one_of_many or not is_clear(masked, known | told) else None


def _known(text: str) -> frozenset[str]:
    return frozenset(form for word in english.words(text) for form in (word, word.rstrip("s")))


def _choices(text: str, classed: Sequence[ClassWord]) -> Iterator[tuple[Blank, ...]]:
    """What can be left open in a sentence."""
    words = [word for word in words_of(text) if not _article_tells(text, word)]
    follows = count_numbers(text) > 1 and _RELATED & set(english.words(text))
    figures = [] if follows else [figure for figure in figures_of(text) if not _completes(text, figure)]
    ranges = ranges_of(text)
    if ranges and len(figures) < 2:
        yield ranges[0]
    units = [figure.unit for figure in figures]
    alone = [figure for figure in figures if "=" in figure.unit or units.count(figure.unit) == 1]
    if len(alone) == 1:
        yield (alone[0],)
    elif alone:
        yield alone[0], alone[1]
    is_correlative = _CORRELATIVE.search(text) is not None
    yield from class_blanks(text, classed, () if is_correlative else words[:1], alone[:1])
    if is_correlative:
        return
    if words and alone:
        word, figure = words[0], alone[0]
        first: Blank
        second: Blank
        first, second = (word, figure) if word.start < figure.start else (figure, word)
        if len(text[first.end : second.start].split()) > 1:
            yield first, second
    pairs = [(one, other) for one, other in itertools.pairwise(words) if _are_apart(text, one, other)]
    if pairs:
        yield pairs[0]


def _completes(text: str, figure: Figure) -> bool:
    """Whether two other numbers of the sentence add up to a value, or it and another share make up a whole."""
    found = re.findall(r"\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?", f"{text[: figure.start]} {text[figure.end :]}")
    others = [number_of(other) for other in found]
    value = number_of(figure.text)
    sums = {round(one + other, 6) for one, other in itertools.combinations(others, 2)}
    sums |= {round(abs(one - other), 6) for one, other in itertools.combinations(others, 2)}
    return value in sums or (figure.scale == "share" and round(100 - value, 6) in others)


def _article_tells(text: str, word: Word) -> bool:
    """Whether "a" or "an" in front of a word tells it from its opposite."""
    before = text[: word.start].split()[-1:]
    return before in (["a"], ["an"]) and (word.text[0] in "aeiou") != (word.other[0] in "aeiou")


def _are_apart(text: str, one: Word, other: Word) -> bool:
    """Whether two words belong to two claims, so that exchanging both says something else.

    In "larger stars burn faster" they do not: smaller stars burn slower, and that is true as well. Two claims are joined
    by a conjunction.
    """
    return bool(_COORDINATED.search(text[one.end : other.start])) and one.text != other.text and one.text != other.other
