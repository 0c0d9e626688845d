"""Rules that a written item passes before a judge sees it: each returns the reason to drop it, or None."""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.benchmark.teacher.questions import Written
from sagecraft.literature import english
from sagecraft.literature.alone import why_not_alone
from sagecraft.literature.pointing import AUTHORS, POINTS_OUTSIDE

_QUOTED = re.compile('“[^”]*”|"[^"]*"')
#: Words for the source that who is examined does not see.
_SOURCE = re.compile(
    r"\b(?:the|this|that|these) (?:given |above |following |provided )?(?:passage|text|sentences?|excerpt|source|article|paper|study|"
    r"abstract|author|authors)\b|\b(?:mentioned|described|given|stated) above\b",
    re.IGNORECASE,
)
_OF_OTHERS = re.compile(
    r"\b(?i:all|none|both|neither|any|some) of (?i:the|these|those|them|above)\b|\b(?i:both|neither) \(?[A-D]\)? (?:and|nor)\b|"
    r"\b[A-D] and [A-D]\b"
)
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|he|him|his|she|her|hers|this|these|those)\b", re.IGNORECASE)
#: Words in front of a pronoun that name nothing.
_NAMELESS = (
    frozenset(("what", "which", "who", "whom", "whose", "why", "how", "when", "where", "much", "many", "far", "long"))
    | english.DETERMINERS
    | english.OPENERS
    | english.PREPOSITIONS
    | frozenset(english.AUXILIARIES.split("|"))
)
_ARTICLE = re.compile(r"\b(?:a|an)\s*(?:\?|:|…|_+|\.\.\.)*$", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_SUFFIX = re.compile(r"(?:ies|ied|ing|es|ed|s|ly|e|y)$")
#: A number with its unit and nothing else.
_QUANTITY = re.compile(r"[$~≈<>+−-]*\d[\d.,]*(?: ?[^\s]{1,12}){0,3}")
_WORDS = (5, 70)
#: Longest option against the shortest, and the key against the longest of the others, in characters; a few characters more are no hint.
_MAX_SPREAD, _MAX_KEY_SPREAD, _FEW_CHARS = 2.0, 1.3, 10
#: Share of the key's content words that its support, or the question, has.
_MIN_SUPPORTED = 0.5
#: Reasons of `why_not_alone` that hold for a question; others are about how statements begin.
_ALONE = ("shown", "address", "pronoun", "hypothetical")


def _length(written: Written) -> str | None:
    if not written.question.endswith(("?", "?”", ":")):
        return "no-question"
    return None if _WORDS[0] <= len(written.question.split()) <= _WORDS[1] else "question-length"


def _source(written: Written) -> str | None:
    """It speaks of a source, a figure or authors that are not there."""
    bare = _QUOTED.sub("‹›", written.question)
    texts = " ".join((bare, *written.options))
    if POINTS_OUTSIDE.search(texts) or AUTHORS.search(bare) or _SOURCE.search(texts):
        return "points-outside"
    return None


def _alone(written: Written) -> str | None:
    bare = _QUOTED.sub("‹›", written.question).rstrip("?”: ")
    pronoun = _PRONOUN.search(bare)
    if pronoun and not {word for word in english.words(bare[: pronoun.start()]) if word not in _NAMELESS}:
        return "not-alone"
    return "not-alone" if why_not_alone([f"{bare}."]) in _ALONE else None


def _alike(written: Written) -> str | None:
    """Options of like length and kind: nothing but what they say tells the key."""
    lengths = [len(text) for text in written.options]
    if max(lengths) > _MAX_SPREAD * min(lengths) + _FEW_CHARS:
        return "unlike-options"
    if lengths[0] > _MAX_KEY_SPREAD * max(lengths[1:]) + _FEW_CHARS:
        return "unlike-options"
    if any(_OF_OTHERS.search(text) for text in written.options):
        return "option-of-options"
    kinds = {(bool(_NUMBER.search(text)), text.endswith("."), text.endswith("?")) for text in written.options}
    if len(kinds) > 1:
        return "unlike-options"
    if not all(_QUANTITY.fullmatch(text) for text in written.options):
        return None
    units = {re.sub(r"[\s\d.,+−–-]+", "", text) for text in written.options}  # an odd unit out would tell
    return "unlike-options" if len(units) > 1 else None


def _hint(written: Written) -> str | None:
    """The question shows its key, or its grammar does."""
    asked, key = (" ".join(re.findall(r"\w+", text.lower())) for text in (written.question, written.options[0]))
    if key and f" {key} " in f" {asked} ":
        return "question-shows-key"
    if _ARTICLE.search(written.question):
        return "grammar-hint"
    stems = [_stems(text) for text in written.options]
    echoes = (_stems(written.question) & stems[0]) - stems[1] - stems[2] - stems[3]
    return "question-shows-key" if len(echoes) > len(stems[0]) / 2 else None


def _numbers(written: Written) -> str | None:
    """Numbers of the question, the key and the explanation stand in the passage or in its title."""
    passage = written.passage
    known = set(_NUMBER.findall(f"{passage.title} {passage.section} {passage.text}"))
    used = set(_NUMBER.findall(f"{written.question} {written.options[0]} {written.explanation}"))
    if set(_NUMBER.findall(written.options[0])) - set(_NUMBER.findall(written.support)):
        return "key-not-in-support"
    return "number-not-in-passage" if used - known else None


def _supported(written: Written) -> str | None:
    """The key is in the words of the sentences that are named for it."""
    key = written.options[0]
    stems = _stems(key)
    if len(stems) <= 1 and _NUMBER.search(key):
        return None  # "about 29–46 %" where a sentence has two formulas for it: its numbers were looked for
    if not stems:  # a formula
        return None if key.rstrip(".") in written.support else "key-not-in-support"
    found = stems & (_stems(written.support) | _stems(written.question))
    return "key-not-in-support" if len(found) < _MIN_SUPPORTED * len(stems) else None


def _stems(text: str) -> set[str]:
    words = (
        word for word in english.words(text) if len(word) > 2 and word not in english.DETERMINERS | english.PREPOSITIONS
    )
    return {_SUFFIX.sub("", word) if len(word) > 4 else word for word in words}


CHECKS: tuple[Callable[[Written], str | None], ...] = (
    _length, _source, _alone, _alike, _hint, _numbers, _supported,
)  # fmt: skip


def why_not(written: Written) -> str | None:
    """The first reason to drop an item, or None."""
    return next((reason for check in CHECKS if (reason := check(written)) is not None), None)
