"""Questions from glossaries: what a term means, which term is meant, and how two terms of one sort differ."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

from sagecraft.artifact import keyed_hash
from sagecraft.literature.glossary import Gloss
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule, fill, quoted

#: A gloss of fewer words fits more than one term.
_MIN_WORDS_TO_NAME = 6
#: Two terms under one noun are told apart where few are under it: "a region" says little.
_MAX_CLASS = 4
#: Entries that are compared with each other.
_MAX_ENTRIES = 120
#: Words of a gloss that a question can hold before its verb.
_MAX_WORDS_BETWEEN = 14

#: Question and answer; the answer says no word that neither the gloss nor the question has.
_MEANING = (
    ("In the context of {topic}, what is meant by {term}?", "By {term} is meant {gloss}."),
    ("What does the term {term} mean, in the context of {topic}?", "The term {term} means {gloss}."),
    ("Concerning {topic}: state what the term {term} means.", "The term {term} means {gloss}."),
    (
        "On the subject of {topic}, how would you explain to a beginner what the term {term} means?",
        "The term {term} means {gloss}.",
    ),
    ("Someone who reads about {topic} meets the term {term}. What does it mean?", "The term {term} means {gloss}."),
)
_NAME = (
    ("In the context of {topic}, which term stands for {gloss}?", "The term is {term}: it stands for {gloss}."),
    ("Concerning {topic}: what is the name for {gloss}?", "The name is {term}: {gloss}."),
    ("On the subject of {topic}, what is {gloss} called?", "That is called {term}: {gloss}."),
)
_NAME_OF_LONG = (
    _NAME[0],
    ("Concerning {topic}: which term is meant? {Gloss}.", "The term is {term}: {gloss}."),
    ("Name what is meant, in the context of {topic}: {gloss}.", "What is meant is {term}: {gloss}."),
    ("Which word from the field of {topic} means {gloss}?", "The word is {term}: it means {gloss}."),
)
_CONTRAST = (
    "In the context of {topic}, what is the difference between the terms {a} and {b}?",
    "Concerning {topic}: how do the terms {a} and {b} differ?",
    "On the subject of {topic}, how can what the terms {a} and {b} stand for be told apart?",
    "What sets the term {a} apart from the term {b}, in the context of {topic}?",
)


def usable(reading: Reading) -> list[Gloss]:
    """Glosses of one meaning, of terms that the glossary has once."""
    counts = Counter(gloss.term.lower() for gloss in reading.glossary)
    found = [gloss for gloss in reading.glossary if gloss.has_one_sense and counts[gloss.term.lower()] == 1]
    return found[:_MAX_ENTRIES]


def named(gloss: Gloss) -> str:
    """A term within a sentence, with what it is restricted to."""
    return f"{quoted(gloss.term)}{f' ({gloss.domain})' if gloss.domain else ''}"


def entry(gloss: Gloss) -> str:
    """The entry as a sentence, what an answer is grounded in."""
    return f"{gloss.term}: {gloss.text}."


def _pick(reading: Reading, rule: str, *parts: str) -> int:
    return keyed_hash(reading.seed, rule, reading.document.id, *parts)


def meanings(reading: Reading) -> Iterator[Candidate]:
    """What a term means; not of a gloss that begins with its term, and so is a sentence about it."""
    for gloss in usable(reading):
        if gloss.text.lower().startswith(gloss.term.lower()):
            continue
        question, answer = _MEANING[_pick(reading, "meaning", gloss.term) % len(_MEANING)]
        slots = {"topic": quoted(reading.document.title), "term": named(gloss), "gloss": gloss.text}
        yield Candidate(
            kind="definition",
            question=fill(question, **slots),
            focus=f"the meaning of {named(gloss)}",
            answer=fill(answer, **slots),
            key=gloss.brief,
            rule="glossary-meaning",
            scope=reading.document.id,
            ground=(entry(gloss),),
        )


def names(reading: Reading) -> Iterator[Candidate]:
    """Which term a gloss belongs to."""
    for gloss in usable(reading):
        if not gloss.is_phrase or gloss.holds_term or len(gloss.brief.split()) < _MIN_WORDS_TO_NAME:
            continue
        forms = _NAME if len(gloss.brief.split()) <= _MAX_WORDS_BETWEEN else _NAME_OF_LONG
        question, answer = forms[_pick(reading, "name", gloss.term) % len(forms)]
        slots = {"topic": quoted(reading.document.title), "term": named(gloss), "gloss": gloss.brief}
        slots["Gloss"] = gloss.brief[0].upper() + gloss.brief[1:]
        yield Candidate(
            kind="term",
            question=fill(question, **slots),
            focus=f"the term for {gloss.brief}",
            answer=fill(answer, **slots),
            key=gloss.term,
            rule="glossary-name",
            scope=reading.document.id,
            ground=(entry(gloss),),
        )


def contrasts(reading: Reading) -> Iterator[Candidate]:
    """How two terms under one noun differ, or two that end in the same word."""
    classes: dict[str, list[Gloss]] = {}
    for gloss in usable(reading):
        if not gloss.is_phrase:
            continue
        last = gloss.term.lower().split()[-1] if " " in gloss.term else ""
        for noun in {(gloss.head or "").lower().removesuffix("s"), last.removesuffix("s")} - {""}:
            classes.setdefault(noun, []).append(gloss)
    seen: set[tuple[str, str]] = set()
    for members in classes.values():
        if len(members) > _MAX_CLASS:
            continue
        for one, other in itertools.combinations(members, 2):
            if (one.term, other.term) in seen:
                continue
            seen.add((one.term, other.term))
            pick = _pick(reading, "contrast", one.term, other.term)
            a, b = (one, other) if pick % 2 else (other, one)
            form = _CONTRAST[pick // 2 % len(_CONTRAST)]
            yield Candidate(
                kind="comparison",
                question=fill(form, topic=quoted(reading.document.title), a=named(a), b=named(b)),
                focus=f"the difference between {named(a)} and {named(b)}",
                answer=f"The term {named(a)} is used for {a.text}, and the term {named(b)} for {b.text}.",
                rule="glossary-contrast",
                scope=reading.document.id,
                ground=(entry(a), entry(b)),
            )


RULES: dict[str, Rule] = {"glossary-meaning": meanings, "glossary-name": names, "glossary-contrast": contrasts}
