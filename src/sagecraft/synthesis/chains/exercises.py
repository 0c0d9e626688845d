"""Exercises of textbooks with their solutions: those that explain in sentences, those that show a sum, and results alone.

An exercise with nothing but a number in its solution is not asked, since no way leads there that anyone could learn; it is a
reference for the way that a teacher finds (`references`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sagecraft.corpus.exercises import Exercise, exercises_of
from sagecraft.corpus.sentences import clean_markdown, mask_math, split_sentences
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule, quoted
from sagecraft.synthesis.chains.agreement import agrees
from sagecraft.synthesis.chains.quantities import quantity_of
from sagecraft.synthesis.chains.results import asks_more, is_of_kind, parts_of
from sagecraft.synthesis.chains.standing import MAX_READ_CHARS, equations_of, points, question_of, says_all
from sagecraft.synthesis.chains.worked import problem_of

_MIN_WORDS, _MAX_WORDS, _MAX_QUESTION_WORDS = 10, 120, 60
_MAX_REFERENCE_CHARS = 200
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
#: "a. 3.8 V; b. 2.2 V" as solutions name their parts.
_PART_LABEL = re.compile(r"(?:^|(?<=[\s;.,]))\(?([a-k])[.)]\s+(?=\S)")
_VALUE_ASKED = re.compile(
    r"\b(?:[Ww]hat|[Hh]ow (?:far|fast|long|high|deep|tall|wide|many|much|large|small)|[Ff]ind|[Cc]alculate|[Dd]etermine|[Cc]ompute|[Aa]t what)\b"
)


@dataclass(frozen=True)
class Reference:
    """A problem and its result, without a way.

    Attributes:
        question: on one line; it stands alone.
        result: as it stands, with its unit.
    """

    question: str
    result: str


def exercises(reading: Reading) -> Iterator[Candidate]:
    """Each exercise whose solution explains in sentences, or shows how its result is reckoned."""
    equations = equations_of(reading.document.text)
    title = quoted(reading.document.title)
    focus = f"what one learns under {title}" if title else "an explanation"
    for exercise in _solved(reading):
        if found := _explained(exercise, equations):
            kind = next((kind for kind, pattern in _KINDS if pattern.search(mask_math(found[0])[0])), "account")
            yield Candidate(
                kind=kind, question=found[0], focus=focus, answer=found[1], rule="explained-exercise",
                ground=(found[1],), scope=reading.document.id,
            )  # fmt: skip
        elif candidate := _reckoned(exercise, equations):
            yield candidate


def references(reading: Reading) -> Iterator[Reference]:
    """Each exercise with one result that can be compared, as a problem for a teacher."""
    equations = equations_of(reading.document.text)
    for exercise in _solved(reading):
        solution = clean_markdown(exercise.parts["solution"])
        found = question_of(exercise.problem, equations)
        if isinstance(found, str) or found[1] or len(solution) > _MAX_REFERENCE_CHARS or "$$" in solution:
            continue
        question = found[0]
        if "(a)" in question or asks_more(question) or not _VALUE_ASKED.search(mask_math(question)[0]):
            continue
        result = _single_result(solution)
        if result and is_of_kind(f"${result.strip('$')}$", question):
            yield Reference(question, result)


def _solved(reading: Reading) -> Iterator[Exercise]:
    for exercise in exercises_of(reading.document.text):
        if exercise.label.startswith("Exercise") and 0 < len(exercise.parts.get("solution", "")) <= MAX_READ_CHARS:
            yield exercise


def _single_result(solution: str) -> str:
    """A solution that is one quantity with its unit: "4.08 m", "$v = 3.0\\,\\text{m/s}$"; empty where it says more."""
    text = solution.strip().rstrip(".;, ")
    words = re.findall(r"[A-Za-z]{2,}", mask_math(text)[0])
    if text.count("$") not in (0, 2) or len(words) > 3 or text.count("=") > 1 or not re.search(r"\d", text):
        return ""
    return text if agrees(text, text) else ""


def _reckoned(exercise: Exercise, equations: Mapping[str, str]) -> Candidate | None:
    """An exercise whose solution shows its sum, as a chain."""
    solution = exercise.parts["solution"]
    labelled = (
        _PART_LABEL.sub(lambda found: f"\n\n({found.group(1)}) ", solution) if "(b)" in exercise.problem else solution
    )
    steps = re.sub(r"[;,]\s*(?=\n\n\([b-k]\))", ".", labelled).strip()
    problem = problem_of(Exercise(exercise.label, "", exercise.problem, {"solution": steps}), equations)
    if isinstance(problem, str):
        return None
    parts = parts_of(problem.steps) or {"a": problem.steps}
    if not all(_shows_sum(text) for text in parts.values()) or not says_all(problem.question, problem.steps, ""):
        return None
    # A problem with numbers comes to numbers.
    answers = (parts_of(problem.answer) or {"a": problem.answer}).values()
    if re.search(r"\d|\b[Hh]ow (?:many|much|far|long|fast)\b", mask_math(problem.question)[0]) and not all(
        _ends_in_quantity(answer) for answer in answers
    ):
        return None
    return Candidate(
        kind="derivation", question=problem.question, focus="the result", answer=problem.answer, rule="solved-exercise",
        ground=(problem.ground,), thought=problem.steps, shows_steps=True,
    )  # fmt: skip


def _ends_in_quantity(answer: str) -> bool:
    formulas = re.findall(r"\$([^$]+)\$", answer)
    return quantity_of(f"${formulas[-1]}$") is not None if formulas else re.search(r"\d", answer) is not None


def _shows_sum(text: str) -> bool:
    """Whether the result stands right behind the numbers that it comes from: a law and a result are no way, and books err there."""
    formulas = re.findall(r"\$([^$]+)\$", text)
    if not formulas or r"\begin{array}" in formulas[-1]:
        return False
    *_, before, _ = ["", *re.split(r"=|\\approx", formulas[-1])]
    numbers = re.findall(r"\d+(?:\.\d+)?", re.sub(r"[\^_](?:\{[^{}]*\}|\w)", "", before))
    return len(set(numbers)) > 1 and not re.search(r"\\[,;]\s*[a-zA-Z]|\\\\", before)


def _explained(exercise: Exercise, equations: Mapping[str, str]) -> tuple[str, str] | None:
    """Question and answer of an exercise whose solution explains in sentences."""
    solution = exercise.parts["solution"]
    if "$$" in solution or "\n- " in solution:
        return None
    found = question_of(exercise.problem, equations)
    answer = clean_markdown(solution)
    if isinstance(found, str) or found[1] or not _is_question(found[0]) or not _explains(answer):
        return None
    return found[0], answer


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


RULES: dict[str, Rule] = {"exercise": exercises}
