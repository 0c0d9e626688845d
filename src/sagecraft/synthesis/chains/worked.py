"""Worked examples of textbooks as chains: the problem is asked, strategy and steps are the thought, the result is the answer.

Only a problem is taken that says everything itself: none that needs a figure, a table or another problem, and none whose
solution does. What a part asks must come to one result, with which its steps end; parts behind one that does not are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sagecraft.corpus.exercises import Exercise, exercises_of
from sagecraft.corpus.sentences import mask_math
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.chains.results import (
    asks,
    asks_more,
    before_parts,
    conclusion,
    is_of_kind,
    parts_of,
    told_beside,
)
from sagecraft.synthesis.chains.standing import (
    MAX_READ_CHARS,
    equations_of,
    question_of,
    says_all,
    steps_of,
    without_pictures,
)

#: Longest chain: a longer one is a section of its own.
_MAX_THOUGHT_CHARS = 4_000


@dataclass(frozen=True)
class Problem:
    """A problem with its way to the result.

    Attributes:
        question: on one line.
        steps: Markdown, by paragraph.
        answer: sentences with the result, of each part if there are several.
        ground: the solution, as it stands in the document.
    """

    question: str
    steps: str
    answer: str
    ground: str


def worked_examples(reading: Reading) -> Iterator[Candidate]:
    """Each worked example that stands alone, as a chain; others with the reason to leave them out."""
    equations = equations_of(reading.document.text)
    for exercise in _examples(reading.document.text):
        problem = problem_of(exercise, equations)
        yield (
            refused(exercise, problem)
            if isinstance(problem, str)
            else Candidate(
                kind="derivation", question=problem.question, focus=exercise.title or "the result", answer=problem.answer,
                ground=(problem.ground,), thought=problem.steps, shows_steps=True,
            )
        )  # fmt: skip


def _examples(text: str) -> Iterator[Exercise]:
    """The examples of a document, and what is asked of the reader behind them, where it is answered."""
    for exercise in exercises_of(text):
        if exercise.label.startswith("Example"):
            yield exercise
            asked, answer = (exercise.parts.get(name, "") for name in ("check your learning", "answer"))
            if asked and answer:
                yield Exercise(exercise.label, exercise.title, asked, {"solution": answer})


def refused(exercise: Exercise, reason: str, kind: str = "derivation") -> Candidate:
    """A problem that is not asked, for what is dropped."""
    solution = " ".join(exercise.parts.get("solution", "").split())
    question = " ".join(exercise.problem.split())
    return Candidate(kind=kind, question=question, focus="", answer=solution, ground=(solution,), drop=reason)


def problem_of(exercise: Exercise, equations: Mapping[str, str]) -> Problem | str:
    """The problem of a worked example, or the reason why it is not asked.

    Args:
        exercise: the example.
        equations: of its document (`equations_of`).

    Returns:
        A reason is one of `question_of`, or `no-solution`, `steps-point-elsewhere`, `several-results`, `no-result`, `another-result`, `picture`
        (a number of the solution stands nowhere else), `too-long`.
    """
    solution = exercise.parts.get("solution", "")
    if max(map(len, exercise.parts.values()), default=0) > MAX_READ_CHARS:
        return "too-long"
    found = question_of(exercise.problem, equations)
    if isinstance(found, str):
        return found
    question, had_picture = found
    if not asks(question):
        return "no-question"
    way = steps_of(solution, equations)
    if not solution or way == []:
        return "no-solution"
    if way is None:
        return "steps-point-elsewhere"
    plan = steps_of(exercise.parts.get("strategy", ""), equations, drops=True) or []
    told = _told(question, way, plan)
    if isinstance(told, str):
        return told
    question, thought, answer = told
    if len(thought) > _MAX_THOUGHT_CHARS:
        return "too-long"
    pictured = without_pictures("\n\n".join((exercise.problem, *exercise.parts.values())))[1]
    if had_picture and not says_all(question, thought, pictured):
        return "picture"
    return Problem(question, thought, answer, " ".join(solution.split()))


def _told(question: str, way: list[str], plan: list[str]) -> tuple[str, str, str] | str:
    """Question, thought and answer of all parts that come to a result, up to the first that does not."""
    steps = "\n\n".join(way)
    asked, done = parts_of(question), parts_of(steps)
    if not asked:
        if asks_more(question):
            return "several-results"
        # "(a) Identify the knowns. (b) …": steps of one way, not parts of the problem.
        steps = re.sub(r"(?m)^\(([a-k])\) ", lambda found: f"{'abcdefghijk'.index(found.group(1)) + 1}. ", steps)
        answer = conclusion(steps, question)
        if answer is None:
            return "no-result"
        return (question, "\n\n".join((*plan, steps)), answer) if is_of_kind(answer, question) else "another-result"
    if not done:
        return "several-results"
    stem = before_parts(question)
    answers: dict[str, str] = {}
    for part, text in asked.items():
        if part not in done or asks_more(text):
            break
        said = conclusion(done[part], f"{stem} {text}")
        if said is None or not is_of_kind(said, text):
            break
        answers[part] = said
    if not answers:
        return "no-result"
    left = [text for part, text in asked.items() if part not in answers]
    if not left and asked.keys() == done.keys():
        told = " ".join(f"({part}) {answer}" for part, answer in answers.items())
        return question, "\n\n".join((*plan, steps)), told
    beside = [told_beside(text) for text in left]
    if None in beside:
        return "several-results"
    return _first_parts(stem, asked, done, answers, before_parts(steps), " ".join(text for text in beside if text))


def _first_parts(
    stem: str, asked: Mapping[str, str], done: Mapping[str, str], answers: Mapping[str, str], opening: str, beside: str
) -> tuple[str, str, str] | str:
    """The problem with its first parts only; their plan goes, since it is one for all parts."""
    if "(b)" in opening:
        return "several-results"
    ends = "?" if re.search(r"\b(?:[Ww]hat|[Hh]ow|[Ww]hich|[Ww]here)\b[^.?!]*$", mask_math(stem)[0]) else "."
    texts = {part: re.sub(r"(?:[,;]| and|,? or|, and)$", "", asked[part]) for part in answers}
    last = list(answers)[-1]
    if not texts[last].endswith((".", "?", ".)", "?)")):
        texts[last] += ends
    if len(answers) == 1 and re.search(r"\b(?:[Ww]hat are|values of|positions|following|these)\b[^.?]*$", stem):
        return "several-results"  # its words count on more than one
    if len(answers) == 1:
        question, steps, answer = f"{stem} {texts['a']} {beside}".strip(), done["a"], answers["a"]
    else:
        question = " ".join((stem, *(f"({part}) {text}" for part, text in texts.items()), beside)).strip()
        steps = "\n\n".join(f"({part}) {done[part]}" for part in answers)
        answer = " ".join(f"({part}) {said}" for part, said in answers.items())
    if question.startswith("Answer each part.") and len(answers) == 1:
        question = question.removeprefix("Answer each part. ")
    return question, "\n\n".join(text for text in (opening, steps) if text), answer


RULES: dict[str, Rule] = {"worked-example": worked_examples}
