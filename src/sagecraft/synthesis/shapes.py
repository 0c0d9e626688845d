"""Shapes that several rules share: subjects, inverted clauses, dates, and where a phrase ends."""

from __future__ import annotations

import re

from sagecraft.literature import english
from sagecraft.synthesis.candidate import Clause

AUX = english.AUXILIARIES
_MONTHS = "January|February|March|April|May|June|July|August|September|October|November|December"
#: A date with a year, or a decade.
DATE = rf"(?:(?:\d{{1,2}} )?(?:{_MONTHS}) (?:\d{{1,2}}, )?)?(?:1[3-9]|20)\d\d(?:s)?"
#: After `has`, these tell a perfect tense, or leave it open whether it is one.
_NOT_OBJECTS = frozenset(
    [
        "been",
        "not",
        "never",
        "always",
        "already",
        "long",
        "also",
        "since",
        "to",
        "yet",
        "only",
        "often",
        "largely",
        "recently",
    ]
)
_ADVERBS = re.compile(r"^(?:always|usually|often|never|still|already|now|nearly|almost|generally|commonly|largely)$")


def subject_of(clause: Clause, phrase: str, max_words: int = 11) -> str | None:
    """The phrase as the subject of a question, or None if it cannot be one."""
    phrase = phrase.strip()
    if not english.is_noun_phrase(phrase, max_words) or english.PRONOUN.search(phrase):
        return None
    return clause.names.lower_first(phrase)


_NEXT_CLAUSE = re.compile(
    r"[,;:]| (?:while|whereas|although|though|because|so that|unless|when|until) | (?:and|but) (?=(?P<word>[a-z]+)\b)"
)


def clean_tail(text: str) -> str:
    """A phrase up to where another clause begins."""
    for found in _NEXT_CLAUSE.finditer(text):
        word = found.group("word")
        if (
            word is None
            or word in AUX.split("|")
            or (word in english.THIRD and word not in english.NOUN_LIKE)
            or word == "it"
        ):
            return text[: found.start()].strip()
    return text.strip()


def verb_phrase(text: str) -> bool:
    """Whether a text can follow a verb in a question: no other clause in it, no pronoun."""
    return not re.search(r"[,;:]|\b(?:and|but|or|that|which|who|it|its|they|their|he|his|she|her|him|them)\b", text)


def invert(clause: Clause, text: str) -> tuple[str, str] | None:
    """“The sky is dark” → (“is the sky dark”, “the sky is dark”); with `do` for other verbs; None if unsure."""
    if re.search(r"[,;:()—]", text) or len(text.split()) > 22:
        return None
    found = re.match(rf"^(.{{2,90}}?) ({AUX}) (.+)$", text)
    if found and (subject := subject_of(clause, found.group(1))):
        auxiliary, rest = found.group(2), found.group(3)
        first = rest.split()[0]
        if re.search(r"\b(?:that|which|who)\b", rest):
            return None
        is_main_have = (
            auxiliary in ("has", "have", "had")
            and first not in english.PARTICIPLES
            and not first.endswith("ed")
            and first not in _NOT_OBJECTS
        )
        if not english.PRONOUN.search(rest) and not re.search(rf"\b(?:and|but|that|which)\b.*\b(?:{AUX})\b", rest):
            if is_main_have:
                do = {"has": "does", "have": "do", "had": "did"}[auxiliary]
                return f"{do} {subject} have {rest}", f"{subject} {auxiliary} {rest}"
            if auxiliary == "cannot":
                return f"can {subject} not {rest}", f"{subject} cannot {rest}"
            return f"{auxiliary} {subject} {rest}", f"{subject} {auxiliary} {rest}"
        return None
    parts = text.split()
    for position in range(1, min(len(parts), 12)):
        form = parts[position]
        subject = subject_of(clause, " ".join(parts[:position]))
        if subject is None:
            continue
        rest = " ".join(parts[position + 1 :])
        if english.PRONOUN.search(rest) or re.search(r"\b(?:and|but) \w+(?:s|ed)\b", rest):
            return None
        adverb = ""
        if _ADVERBS.match(form) and position + 1 < len(parts):
            adverb, form, rest = f"{form} ", parts[position + 1], " ".join(parts[position + 2 :])
        plural = english.is_plural(subject)
        if form in english.THIRD and not plural and not re.match(rf"(?:{AUX})\b", rest):
            return (
                f"does {subject} {adverb}{english.THIRD[form]} {rest}".strip(),
                f"{subject} {adverb}{form} {rest}".strip(),
            )
        if form in english.BASES and plural:
            return f"do {subject} {adverb}{form} {rest}".strip(), f"{subject} {adverb}{form} {rest}".strip()
        is_reduced = form in english.PARTICIPLES and re.match(r"(?:by|within|as|from|to|in) ", rest)
        if form in english.PAST and not is_reduced:
            return (
                f"did {subject} {adverb}{english.PAST[form]} {rest}".strip(),
                f"{subject} {adverb}{form} {rest}".strip(),
            )
    return None
