"""Abbreviations that a document spells out: “long form (ABC)” and “ABC (long form)”, where the letters agree with the words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sagecraft.corpus.sentences import Sentence, formulas_in
from sagecraft.literature import english

_SHORT = r"[A-Z][A-Za-z]*(?:[-/&][A-Z][A-Za-z]*)*[A-Z][A-Za-z]*s?|[A-Z]{2,}s?"
_BEHIND = re.compile(rf"(?<= )\((?:hereafter |henceforth |or |the )?(?P<short>{_SHORT})(?=[);,])")
_BEFORE = re.compile(rf"(?<![\w-])(?P<short>{_SHORT}) \((?:the )?(?P<long>[A-Za-z][\w’'/-]*(?: [\w’'/-]+){{1,9}})\)")
#: Words that lend no letter unless the letters ask for it.
_SMALL = frozenset(
    {"of", "the", "and", "for", "in", "on", "to", "a", "an", "at", "with", "by", "from", "or", "de", "la"}
)
#: Words and characters before a bracket that are looked at.
_MAX_WORDS = 14
_MAX_CHARS = 240
_MAX_LETTERS = 8
_MIN_LETTERS = 2


@dataclass(frozen=True)
class Abbreviation:
    """An abbreviation with what it stands for.

    Attributes:
        short: without a plural s.
        long: as the document has it, without an article.
        position: of the sentence that spells it out.
    """

    short: str
    long: str
    position: int


def abbreviations_of(sentences: Iterable[Sentence]) -> Iterator[Abbreviation]:
    """The abbreviations that sentences spell out, each with its first long form; those with two are left out.

    What two long forms of a document stand for is told apart by no question.
    """
    forms: dict[str, dict[str, Abbreviation]] = {}
    for sentence in sentences:
        for found in _in_sentence(sentence):
            forms.setdefault(found.short, {}).setdefault(_key(found.long), found)
    for spelled in forms.values():
        if len(spelled) == 1:
            yield next(iter(spelled.values()))


def _key(long: str) -> str:
    return re.sub(r"s\b|[\s-]", "", long.lower())


def _in_sentence(sentence: Sentence) -> Iterator[Abbreviation]:
    formulas = formulas_in(sentence.text)
    for pattern in (_BEHIND, _BEFORE):
        for found in pattern.finditer(sentence.text):
            start = found.start("short")
            if any(first <= start < last for first, last in formulas):
                continue
            short = found.group("short")
            letters = re.sub(r"[^A-Za-z]", "", short.removesuffix("s") if len(short) > _MIN_LETTERS else short)
            if not _MIN_LETTERS <= len(letters) <= _MAX_LETTERS or sum(c.isupper() for c in letters) < _MIN_LETTERS:
                continue
            if pattern is _BEHIND:
                before = sentence.text[max(0, found.start() - _MAX_CHARS) : found.start()]
                long = _ending(before.split()[-_MAX_WORDS:], letters)
            else:
                long = _ending(found.group("long").split(), letters, whole=True)
            if long and not english.PRONOUN.search(long):
                yield Abbreviation(short.removesuffix("s") if letters[-1] != "s" else short, long, sentence.position)


def _ending(words: list[str], letters: str, whole: bool = False) -> str | None:
    """The shortest run of words at the end whose initials are the letters, or None.

    Args:
        words: before the bracket, or in it.
        letters: of the abbreviation.
        whole: whether all the words must be used.
    """
    wanted = letters.upper()
    for count in [len(words)] if whole else range(1, len(words) + 1):
        run = words[-count:]
        if not re.fullmatch(r"[\w’'/-]+", run[0]):
            return None
        if run[0].lower() in _SMALL:
            continue
        if _initials(run, wanted):
            return re.sub(r"[’']s?$", "", " ".join(run))
    return None


def _initials(run: list[str], wanted: str) -> bool:
    """Whether the initials of the words are the letters: parts of compounds may lend one, small words need not."""
    parts = [
        (part, index > 0 or word.lower() in _SMALL)
        for word in run
        for index, part in enumerate(re.split(r"[-/]", word))
        if part
    ]
    # Which prefixes of the letters the parts so far can spell.
    reached = {0}
    for part, may_be_silent in parts:
        following = {count + 1 for count in reached if count < len(wanted) and part[0].upper() == wanted[count]}
        reached = following | (reached if may_be_silent else set())
    return len(wanted) in reached
