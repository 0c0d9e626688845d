"""Rules that grade a question and its answer before any model would: each returns the reason to drop it, or None."""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.corpus.sentences import mask_math
from sagecraft.literature import english
from sagecraft.synthesis.candidate import Candidate

_LEAK = re.compile(
    r"\b(?:(?:this|the present|the current|our) (?:paper|article|study|work|review|chapter|section|text|book|letter|analysis)|"
    r"(?:section|table|figure|fig\.|chapter|appendix|eq\.|equation|eqs\.|equations) ?(?:\(?\d+|\(\??\)|\?)|we (?:show|find|present|discuss|describe)|"
    r"the authors?|et al)\b|\(see ",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
MIN_LATIN_SHARE = 0.8


def _length(candidate: Candidate, _ground: str) -> str | None:
    question, answer = len(candidate.question.split()), len(candidate.answer.split())
    if question < 3 or len(candidate.question) > 330:
        return "question-length"
    return "answer-length" if answer < 5 or answer > 140 else None


def _leak(candidate: Candidate, _ground: str) -> str | None:
    if candidate.kind == "metadata":
        return None
    return "leak" if _LEAK.search(f"{candidate.question} {candidate.answer}") else None


def _numbers(candidate: Candidate, ground: str) -> str | None:
    missing = set(_NUMBER.findall(candidate.answer)) - set(_NUMBER.findall(ground))
    return "number-not-in-source" if missing else None


def _words(candidate: Candidate, ground: str) -> str | None:
    """The answer may use no content word that its source does not: it is a quotation or a rewriting."""
    spare = {"is", "was", "were", "are", "published", "appeared", "written", "by", "in", "the"}
    missing = set(english.words(mask_math(candidate.answer)[0])) - set(english.words(mask_math(ground)[0])) - spare
    return "word-not-in-source" if missing else None


def _language(candidate: Candidate, _ground: str) -> str | None:
    plain = mask_math(f"{candidate.question} {candidate.answer}")[0]
    letters = [c for c in plain if not c.isspace()]
    latin = sum(c.isascii() or c in "“”’‘–—×±°µμéèüöäáíóñçÅåøØ−′″²³" for c in letters)
    if latin < MIN_LATIN_SHARE * len(letters):
        return "language"
    return (
        "markup" if re.search(r"\\[A-Za-z]{2,}|[{}|]|https?://|\[\d|�", re.sub("\ue000\\d+\ue001", "", plain)) else None
    )


def _repetition(candidate: Candidate, _ground: str) -> str | None:
    found = english.words(candidate.answer)
    triples = [tuple(found[i : i + 3]) for i in range(len(found) - 2)]
    if any(found[i] == found[i + 1] == found[i + 2] for i in range(len(found) - 2)):
        return "repetition"
    return "repetition" if triples and len(set(triples)) < 0.7 * len(triples) else None


def _form(candidate: Candidate, _ground: str) -> str | None:
    question = candidate.question
    if not question.endswith(("?", ".")) or "$$" in question or not question[:1].isupper():
        return "form"
    for text in (question, candidate.answer):
        if text.count("$") % 2 or text.count("(") != text.count(")") or text.count("“") != text.count("”"):
            return "unbalanced"
    if candidate.answer.rstrip().endswith((":", ",")) or re.search(r"\s$|\s\s", candidate.answer):
        return "form"
    return None


def _pronoun(candidate: Candidate, _ground: str) -> str | None:
    if candidate.kind in ("account", "metadata"):
        return None
    bare = re.sub("“[^”]*”", "", candidate.question)
    return (
        "pronoun"
        if english.PRONOUN.search(bare) or re.search(r"\b(?:this|these|those|that \w+ (?:is|are)\?)\b", bare)
        else None
    )


def _given_away(candidate: Candidate, _ground: str) -> str | None:
    """A question whose answer stands in it."""
    key = (candidate.key or "").lower()
    digits = _NUMBER.findall(key)
    if candidate.kind == "number" and digits and all(digit in candidate.question for digit in digits):
        return "answer-in-question"
    return (
        "answer-in-question"
        if candidate.kind != "term" and len(key) > 3 and key in candidate.question.lower()
        else None
    )


GRADERS: tuple[Callable[[Candidate, str], str | None], ...] = (
    _length, _leak, _numbers, _words, _language, _repetition, _form, _pronoun, _given_away,
)  # fmt: skip


def grade(candidate: Candidate, ground: str) -> str | None:
    """The first reason to drop a pair, or None.

    Args:
        candidate: question and answer.
        ground: the sentences it is grounded in.
    """
    return next((reason for grader in GRADERS if (reason := grader(candidate, ground)) is not None), None)
