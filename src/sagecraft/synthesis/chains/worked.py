"""Worked examples of textbooks as chains: the problem is asked, strategy and steps are the thought, the result is the answer.

Only a problem is taken that says everything itself: none that speaks of a figure, a table or another problem, and none whose
solution does. What a part asks must come to one quantity, with which its steps end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sagecraft.corpus.exercises import Exercise, exercises_of
from sagecraft.corpus.sentences import clean_markdown, mask_math, split_sentences
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import Candidate, Rule
from sagecraft.synthesis.chains.quantities import plain, quantity_of

#: Longest chain: a longer one is a section of its own.
_MAX_THOUGHT_CHARS, _MAX_PROBLEM_CHARS = 4_000, 600
_MIN_PROBLEM_WORDS = 8
#: What speaks of something that whoever reads only this does not see.
_POINTS = re.compile(
    r"\b(?:figures?|figs?\.|diagrams?|graphs?|sketch(?:ed)?|drawing|illustration|photo(?:graph)?s?|picture[ds]?|image shown|tables?|appendix|"
    r"chapters?|sections?|modules?|textbook|(?:in|of) (?:the|this) text|hint|exercises?|problems?|examples?|preceding|previous(?:ly)?|earlier|foregoing|"
    r"aforementioned|(?:Equation|Eq\.|Equations|Part|Step|Law) \(?\d|shown|depicted|(?:as|from|given|described|discussed|derived|listed|found|seen|"
    r"defined|mentioned|stated) (?:above|below|before)|(?:the|our|results?) (?:above|below)|the following|check your understanding|simulation)\b"
    r"|\]\(|\bas in part\b",
    re.IGNORECASE,
)
#: Titles of other chapters where they are linked: "(given in Relativity)", "in Capacitors in Series".
_TITLE = re.compile(
    r"\b(?:given|derived|discussed|found|seen|described|introduced|learned|studied|presented|shown|covered) in [A-Z]|"
    r"\b(?:[Ff]rom|[Ii]n|[Ss]ee|[Rr]ecall) (?:the )?[A-Z][a-z]+ (?:(?:and|of|in|the|on|to|for|with|a|an) )*[A-Z][A-Za-z]+\b|"
    r"\([A-Z][a-z]{4,}(?: (?:and|of|in|the|[A-Z][a-z]+))*\)"
)
#: Things that were named before, and nothing else in the problem names them.
_BEFORE = re.compile(
    r"\b(?:the same|again|still|now|another|instead|this (?:time|case|situation)|that (?:time|case)|as before)\b",
    re.IGNORECASE,
)
#: Two things asked at once come to two results.
_TWO = re.compile(
    r"\b(?:find|calculate|compute|determine|what (?:is|are|was|were|would)|how|where|when|which|why)\b[^.?;]*,? and (?:what|how|the|an?|its|their|his|her|at what|"
    r"find|calculate|determine|describe|explain|show|compare|which|where|when|why)\b|\bboth\b|\brespectively\b|\beach\b|\bwhat (?:are|were)\b|\bcompare\b|\bshow that\b|"
    r"\b(?:explain|describe|sketch|plot|draw|prove|derive|verify|discuss|write|express)\b|\bvectors?\b|\bcomponents?\b|\bcomponent form\b",
    re.IGNORECASE,
)
_COMMANDS = r"\b(?:find|calculate|determine|compute|estimate|evaluate)\b"
#: A sentence that asks.
_ASKS = re.compile(rf"\?\W*$|{_COMMANDS}", re.IGNORECASE)
#: Several results by one command: "the lowest three levels", "the amplitude, period, and speed".
_SEVERAL = re.compile(
    rf"(?:{_COMMANDS}|\bwhat (?:is|was)\b)[^.?]*?(?:\b(?:two|three|four|five|several|values|energies|speeds|forces|masses|angles)\b|"
    rf", [\w ]{{1,40}},? and\b)|(?:{_COMMANDS}|\bwhat (?:is|was)):? (?:\(a\) )?(?:the|its) [\w -]{{1,40}} and [\w -]{{1,30}} of\b|before and after",
    re.IGNORECASE,
)
#: Words of a sentence that remarks on a result.
_REMARKS = frozenset(
    {"also", "too", "well", "reasonable", "reasonably", "typical", "surprising", "surprisingly", "compared"}
)
_PART = re.compile(r"(?:^|(?<=\s))(?:- )?\(([a-h])\)\s")
_DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
#: "Therefore, the energy released is" as the head of a sentence with the result.
_LEAD = re.compile(
    r"^(?:(?:Therefore|Thus|Hence|So|Then|Now|Finally|Consequently|As a result|Accordingly|We find that|We see that|And),? )*"
    r"((?:[Tt]he|[Ii]ts|[Aa]n?) [^,.;:$\ue000]{4,110}? (?:is|are|was|were|equals|becomes|must be|would be|will be|is equal to|is about|is approximately))"
    r"(?: then| thus| therefore| given by| simply| just| now)*[ :,]*$"
)
_LEFT = re.compile(r"[^\d=<>]{1,24}(?:\d?[^\d=<>]{0,24}){0,2}")


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
    """Each worked example that stands alone, as a chain."""
    for exercise in exercises_of(reading.document.text):
        if exercise.label.startswith("Example") and (problem := problem_of(exercise)):
            yield Candidate(
                kind="derivation", question=problem.question, focus=exercise.title or "the result", answer=problem.answer,
                ground=(problem.ground,), thought=problem.steps, shows_steps=True,
            )  # fmt: skip


def problem_of(exercise: Exercise) -> Problem | None:
    """The problem of a worked example, or None where it does not stand alone or its result cannot be told."""
    solution = exercise.parts.get("solution", "")
    question = question_of(exercise)
    if question is None or not solution:
        return None
    steps = _steps(exercise.parts.get("strategy", ""), drops=True)
    way = _steps(solution)
    if steps is None or not way:
        return None
    answer = _answer(question, "\n\n".join(way))
    if answer is None:
        return None
    thought = "\n\n".join((*steps, *way))
    if len(thought) > _MAX_THOUGHT_CHARS:
        return None
    return Problem(question, thought, answer, " ".join(solution.split()))


def question_of(exercise: Exercise) -> str | None:
    """The problem on one line, or None where it does not stand alone."""
    text = re.sub(
        r"(?m)^\s*[-*] (?=\()", "", _DISPLAY.sub(lambda found: f"${found.group(1).strip()}$", exercise.problem)
    )
    masked = mask_math(text)[0]
    if (
        _POINTS.search(masked)
        or _TITLE.search(masked)
        or len(text) > _MAX_PROBLEM_CHARS
        or re.search(r"\$\$|(?m:^\|)|!\[", text)
    ):
        return None
    question = clean_markdown(text)
    if (
        len(question.split()) < _MIN_PROBLEM_WORDS
        or not question.endswith(("?", "."))
        or (not question[:1].isalnum() and question[:1] != "(")
    ):
        return None
    if question.startswith("(a)"):
        question = f"Answer each part. {question}"
    first = next(iter(split_sentences(question)), "")
    return (
        None
        if _BEFORE.search(first) or re.match(r"(?:It|They|This|These|He|She|The (?:same|other|second))\b", first)
        else question
    )


def _steps(text: str, drops: bool = False) -> list[str] | None:
    """The paragraphs of a solution, without sentences that only point elsewhere; None where a formula's sentence does.

    Args:
        text: Markdown.
        drops: leave out what points elsewhere, formulas or not (strategies are no steps).
    """
    kept: list[str] = []
    text = re.sub(r"(?m)^(?=(?:- |\d\. )\S)", "\n", text)  # an entry of a list is a paragraph of its own
    for block in re.split(r"\n\s*\n", text):
        block = re.sub(r"(?m)^\s*(?:- (?=\())?", "", block).strip()
        if not block or block.startswith("|"):
            if block:
                return None
            continue
        if block.startswith("$$"):
            kept.append(block)
            continue
        sentences = split_sentences(clean_markdown(block))
        told = [sentence for sentence in sentences if not points(sentence)]
        if not drops and any(
            points(sentence) and ("$" in sentence or re.search(r"\d", sentence)) for sentence in sentences
        ):
            return None
        paragraph = " ".join(told)
        if paragraph.count("(") != paragraph.count(")") and not drops:
            return None
        if told and paragraph.count("(") == paragraph.count(")"):
            kept.append(paragraph)
    return kept


def points(sentence: str) -> bool:
    """Whether a sentence speaks of a figure, an equation by number, another exercise or chapter."""
    masked = mask_math(sentence)[0]
    return _POINTS.search(masked) is not None or _TITLE.search(masked) is not None


def _answer(question: str, way: str) -> str | None:
    """The result, in a sentence a part; None unless each part of the question has one."""
    asked, done = _by_part(question), _by_part(way)
    if asked.keys() != done.keys():
        return None
    if not asked:
        return None if _asks_more(question) else _conclusion(way)
    told = []
    for part, text in asked.items():
        conclusion = None if _asks_more(text) else _conclusion(done[part])
        if conclusion is None:
            return None
        told.append(f"({part}) {conclusion}")
    return " ".join(told)


def _asks_more(text: str) -> bool:
    masked = mask_math(text)[0]
    num_asked = sum(_ASKS.search(sentence) is not None for sentence in re.split(r"(?<=[.?!]) ", masked))
    return num_asked > 1 or masked.count("?") > 1 or bool(_TWO.search(masked) or _SEVERAL.search(masked))


def _by_part(text: str) -> dict[str, str]:
    """The texts of the parts (a), (b), …; empty where there are none."""
    marks = list(_PART.finditer(text))
    letters = "".join(mark.group(1) for mark in marks)
    if len(letters) < 2 or not "abcdefgh".startswith(letters):
        return {}
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {mark.group(1): text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)}


def _conclusion(way: str) -> str | None:
    """The sentence that steps end with: their last formula with its value, or their last sentence if it states one."""
    blocks = re.split(r"\n\n", way)
    last = blocks[-1]
    display = re.fullmatch(r"\$\$(.+?)\$\$", last, re.DOTALL)
    if display is None:
        return _last_sentence(last)
    result = _result(display.group(1))
    if result is None:
        return None
    before = split_sentences(blocks[-2])[-1:] if len(blocks) > 1 and not blocks[-2].startswith("$$") else []
    lead = _LEAD.match(before[0]) if before else None
    said = lead.group(1)[0].upper() + lead.group(1)[1:] if lead else "The result is"
    return f"{said} ${result}$."


def _result(formula: str) -> str | None:
    """`a = 3.39\\,\\text{m/s}^{2}` of a chain of equalities that ends with a number; None where it ends with anything else."""
    if r"\begin{array}" in formula or re.search(r"\\(?:hat|vec)\b|\\begin\{(?:p|b)?matrix", formula):
        return None
    rows = re.split(r"\\\\", re.sub(r"\\(?:begin|end)\{aligned\}", "", formula))
    rows = [row.replace("&", "").strip() for row in rows]
    last = rows[-1]
    if (
        len(rows) > 1
        and any(row.partition("=")[0].strip() for row in rows[1:-1])
        and not last.partition("=")[0].strip()
    ):
        return None
    left = last.partition("=")[0].strip() or rows[0].partition("=")[0].strip()
    right = re.split(r"=|\\approx|\\simeq|\\cong", last)[-1].strip().rstrip(" .,;")
    right = re.sub(r"(?:[.,;]|\\[,;])+(\}*)$", r"\1", right)
    if "=" not in last or quantity_of(right) is None or not _LEFT.fullmatch(plain(left)):
        return None
    return f"{left} = {right}"


def _last_sentence(block: str) -> str | None:
    sentence = (split_sentences(block) or [""])[-1]
    sentence = re.sub(
        r"^(?:Therefore|Thus|Hence|So|Then|Finally|Consequently|Now|As a result|Accordingly),? ", "", sentence
    )
    if alone := re.fullmatch(r"\$([^$]+)\$\.?", sentence):
        return f"The result is ${result}$." if (result := _result(alone.group(1))) else None
    masked = mask_math(sentence)[0]
    is_whole = (
        sentence.endswith(".") and 5 <= len(sentence.split()) <= 40 and sentence.count("(") == sentence.count(")")
    )
    is_tied = re.match(
        r"(?:To help|This|These|That|It|They|He|She|Which|Note|Notice|Since|If|We|Using|Solving|Substitut|Here|Where|Therefore|Because|However|But|From|Recall|Or)\b",
        sentence[:1].upper() + sentence[1:],
    )
    states = any(quantity_of(formula.strip("$")) for formula in re.findall(r"\$[^$]+\$", sentence)) or re.search(
        r"\d [a-zA-Z%]", masked
    )
    found = set(english.words(masked))
    has_verb = "=" in sentence or found & (
        set(english.AUXILIARIES.split("|")) | english.THIRD.keys() | english.PAST.keys()
    )
    if (
        not is_whole
        or is_tied
        or not states
        or not has_verb
        or found & _REMARKS
        or re.search(r"\b(?:you|your|we|us|our)\b", masked)
    ):
        return None
    return sentence[:1].upper() + sentence[1:]


RULES: dict[str, Rule] = {"worked-example": worked_examples}
