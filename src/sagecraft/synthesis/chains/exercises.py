"""Exercises of textbooks whose solution explains: the exercise is the question, the solution the answer.

Exercises with nothing but a number in their solution are not asked: no way leads there that anyone could learn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from sagecraft.corpus.exercises import exercises_of
from sagecraft.corpus.sentences import clean_markdown, mask_math, split_sentences
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule, quoted
from sagecraft.synthesis.chains.worked import points, question_of

_MIN_WORDS, _MAX_WORDS, _MAX_QUESTION_WORDS = 10, 120, 60
_KINDS = (
    ("what-if", re.compile(r"\b(?:[Ii]f|[Ss]uppose|[Ww]hat (?:would )?happen)\b")),
    ("cause", re.compile(r"\b(?:[Ww]hy|[Ww]hat causes|[Ww]hat is the reason)\b")),
    (
        "comparison",
        re.compile(r"\b(?:difference between|differ|compare|[a-z]+er than|more [a-z]+ than|less [a-z]+ than)\b"),
    ),
    ("method", re.compile(r"^How (?:can|could|do|does|would|might)\b")),
    ("definition", re.compile(r"^(?:What is (?:an? |meant by )|Define )")),
)
#: A question that asks for several things, or for a drawing.
_UNFIT = re.compile(
    r"\([a-h]\)|\b(?:give|list|name|identify|draw|sketch|plot|your|you|discuss|suggest|think of|examples?|which of|following|derive|prove|verify|"
    r"calculate|compute|estimate|find|show that)\b",
    re.IGNORECASE,
)
_UNFIT_ANSWER = re.compile(
    r"\b(?:[Aa]nswers? (?:will|may|can)? ?var(?:y|ies)|your|you|we|our|student|Check|above|below)\b|^(?:[a-h]\.|\(?a\)|Some |Any |One example|For example)"
)


def explained_exercises(reading: Reading) -> Iterator[Candidate]:
    """Each exercise in one question that stands alone, with a solution in sentences."""
    title = quoted(reading.document.title)
    focus = f"what one learns under {title}" if title else "an explanation"
    for exercise in exercises_of(reading.document.text):
        solution = exercise.parts.get("solution", "")
        if not exercise.label.startswith("Exercise") or "$$" in solution or "\n- " in solution:
            continue
        question, answer = question_of(exercise), clean_markdown(solution)
        if question is None or not _is_question(question) or not _explains(answer):
            continue
        kind = next((kind for kind, pattern in _KINDS if pattern.search(mask_math(question)[0])), "account")
        yield Candidate(
            kind=kind, question=question, focus=focus, answer=answer, ground=(answer,), scope=reading.document.id
        )


def _is_question(question: str) -> bool:
    masked = mask_math(question)[0]
    sentences = split_sentences(question)
    return (
        masked.count("?") <= 2
        and sentences[-1].endswith(("?", "."))
        and len(question.split()) <= _MAX_QUESTION_WORDS
        and not _UNFIT.search(masked)
        and english.context_need(sentences[0], frozenset())[0] not in ("drop", "topic")
    )


def _explains(answer: str) -> bool:
    masked = mask_math(answer)[0]
    return (
        _MIN_WORDS <= len(answer.split()) <= _MAX_WORDS
        and answer.endswith((".", ".)"))
        and answer[:1].isupper()
        and not points(answer)
        and not _UNFIT_ANSWER.search(masked)
        and not re.match(r"(?:It|They|This|These|That|He|She)\b", masked)
        and any(word in english.words(masked) for word in (*english.AUXILIARIES.split("|"), *english.THIRD))
    )


RULES: dict[str, Rule] = {"explained-exercise": explained_exercises}
