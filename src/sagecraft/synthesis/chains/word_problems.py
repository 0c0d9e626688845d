"""Word problems with their steps, as GSM8K has them, as conversations: each once with its steps as a thought, once without one.

With the switch on the steps are the thought and the answer is the result; with it off the answer shows the steps. A row
is taken only if its own arithmetic holds and its last step comes to the answer that it states.

A file is a stranger's: a row that cannot be used is dropped with its reason.
"""

from __future__ import annotations

import ast
import heapq
import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.artifact import keyed_hash
from sagecraft.chat.messages import Conversation, Lineage, Message
from sagecraft.errors import UserError
from sagecraft.evaluation.columns import Columns, is_whole
from sagecraft.evaluation.numeric import numbers
from sagecraft.evaluation.rows import Faults, read_rows
from sagecraft.synthesis.chains.agreement import agrees
from sagecraft.synthesis.synth import WORD_PROBLEM

if TYPE_CHECKING:
    from sagecraft.corpus.overlap import Leaks

#: "48/2 = <<48/2=24>>24": a sum and what a calculator made of it.
_CALCULATOR = re.compile(r"<<([^<>=]{0,200})=([^<>=]{0,100})>>")
_MAX_CHARS = 8_000
_MAX_DEPTH = 20
#: Rows of which one must be usable before a run starts.
_TRIED = 20
#: A calculator of the sets rounds: "1/3=0.33".
_ROUNDED = Fraction(1, 100)
_ANSWERS = (
    "The answer is {n}.",
    "So the answer is {n}.",
    "The result is {n}.",
    "That makes {n}.",
    "It comes to {n}.",
    "{n}",
    "**{n}**",
    "Answer: {n}",
    "The final answer is {n}.",
    "This gives {n}.",
    "Result: **{n}**",
    "Hence {n}.",
)
#: One in so many has its result in a box, as sets of competition problems do.
_BOXED_ONE_IN = 13
#: "3 * 4" and "3 x 4", which the sets mix.
_TIMES = re.compile(r"(?<=[\d)])(?:\s*\*\s*|\s+x\s+)(?=\$?[\d(])")
KIND = RULE = WORD_PROBLEM


@dataclass(frozen=True)
class WordProblem:
    """A problem in words.

    Attributes:
        question: the problem.
        steps: the way, a step a line.
        result: a number, as it is stated.
        source: name of its file.
        license: where the row states one.
    """

    question: str
    steps: str
    result: str
    source: str
    license: str = ""


def problem_rows(
    paths: Sequence[Path], seed: int, wanted: int, leaks: Leaks | None, drop: Callable[[dict[str, Any]], None]
) -> Iterator[Conversation]:
    """Conversations of word problems, two of each, drawn by a hash of their texts from all files.

    Args:
        paths: CSV, JSON, JSONL or Parquet with `question` and `answer`, steps first and the result behind "####".
        seed: of the draw and the wording.
        wanted: rows, at most.
        leaks: what may not be asked.
        drop: takes rows of `dropped.jsonl`.

    Raises:
        UserError: a file that cannot be read, or holds no such problem.
    """
    drawn: list[int] = []  # keys negative: the largest, which goes first, stands first
    seen: set[int] = set()
    for path in paths:
        number = 0
        for key, problem in _read(path, seed):
            if reason := why_not(problem):
                drop(_as_drop(problem, "chain", reason))
                continue
            number += 1
            if key in seen or wanted < 2 or (len(drawn) == wanted // 2 and key > -drawn[0]):
                continue
            hits = leaks.find(f"{problem.question}\n{problem.steps}") if leaks is not None else []
            if hits:
                drop(_as_drop(problem, "leak", "in-benchmark", item=hits[0].item, item_text=hits[0].item_text))
                continue
            seen.add(key)
            heapq.heappush(drawn, -key)
            if len(drawn) > wanted // 2:
                seen.discard(-heapq.heappop(drawn))
        if not number:
            raise UserError(_none_in(path))
    left = {-key for key in drawn}
    for path in paths:
        for key, problem in _read(path, seed):
            if key in left:
                left.discard(key)
                yield from conversations_of(problem, seed, key)


def check_problems(path: Path) -> None:
    """Reads the first rows of a file, so that a wrong one is found before a run.

    Raises:
        UserError: it cannot be read, or holds no problem with steps in its first rows.
    """
    if not any(not why_not(problem) for _, problem in itertools.islice(_read(path, 0), _TRIED)):
        raise UserError(_none_in(path))


def _none_in(path: Path) -> str:
    return f"{path}: no word problem with steps in it; give rows with `question` and an `answer` that ends with #### and a number"


def conversations_of(problem: WordProblem, seed: int, key: int) -> Iterator[Conversation]:
    """The two rows of a problem."""
    steps = plain_steps(problem.steps)
    if keyed_hash(seed, "word-problem-sign", key) % 2:
        steps = _TIMES.sub(" × ", steps)
    result = _told(problem, seed, key)
    lineage = (Lineage(document=problem.source, sentence=steps),)
    for state in ("on", "off"):
        answer = (
            Message(role="assistant", content=result, thinking=steps)
            if state == "on"
            else Message(role="assistant", content=f"{steps}\n{result}")
        )
        yield Conversation(
            id=f"{KIND}-{key:016x}-{state}", messages=(Message(role="user", content=problem.question), answer),
            thinking=state, kind=KIND, rule=RULE, source=problem.source, license=problem.license, lineage=lineage,
        )  # fmt: skip


def _told(problem: WordProblem, seed: int, key: int) -> str:
    """The result in a sentence, by itself, or in a box."""
    draw = keyed_hash(seed, "word-problem-answer", key)
    if draw % _BOXED_ONE_IN == 0:
        return f"The final answer is $\\boxed{{{problem.result.replace('%', chr(92) + '%')}}}$."
    return _ANSWERS[(draw >> 32) % len(_ANSWERS)].replace("{n}", with_unit(problem))


def with_unit(problem: WordProblem) -> str:
    """The result with the unit that the last step gives it: a currency, a percentage, or what the question counts."""
    number = re.escape(problem.result)
    last = plain_steps(problem.steps).splitlines()[-1]
    if not re.fullmatch(r"[\d,.]+", problem.result):
        return problem.result
    if re.search(rf"\${number}(?![\d.,]*\d)|(?<![\d.,]){number}\$", last):
        return f"${problem.result}"
    if re.search(rf"(?<![\d.,]){number} ?%", last):
        return f"{problem.result}%"
    counted = re.findall(rf"(?<![\d.,$]){number} ([a-z]{{2,}}s)\b", last)
    is_asked = counted and re.search(rf"\b[Hh]ow many\b[^.?]{{0,40}}\b{counted[-1]}\b", problem.question)
    return f"{problem.result} {counted[-1]}" if is_asked else problem.result


def _read(path: Path, seed: int) -> Iterator[tuple[int, WordProblem]]:
    """The rows of a file as problems, each with its key."""
    faults = Faults()
    for _, row in read_rows(path, Columns({}), faults):
        question, steps, result, license_ = (
            _text(row.get(name)) for name in ("question", "chain", "target", "license")
        )
        yield keyed_hash(seed, KIND, question, steps, result), WordProblem(question, steps, result, path.name, license_)
    faults.end()


def _text(value: Any) -> str:
    return re.sub(r"[ \t]+", " ", value).strip() if isinstance(value, str) and is_whole(value) else ""


def plain_steps(steps: str) -> str:
    """Steps without what a calculator was told."""
    return "\n".join(line.strip() for line in _CALCULATOR.sub("", steps).splitlines() if line.strip())


def why_not(problem: WordProblem) -> str:
    """Why a problem cannot be used, or nothing.

    Returns:
        `no-steps`, `too-long`, `no-number` (the result), `wrong-step` (a sum that is not what it says), or `no-agreement` (the
        last step does not come to the result).
    """
    if not problem.question or not problem.steps:
        return "no-steps"
    if len(problem.question) + len(problem.steps) + len(problem.result) > _MAX_CHARS:
        return "too-long"
    if len(numbers(problem.result)) != 1:
        return "no-number"
    sums = _CALCULATOR.findall(problem.steps)
    if not all(_holds(left, right) for left, right in sums):
        return "wrong-step"
    last = plain_steps(problem.steps).splitlines()[-1]
    is_told = numbers(problem.result)[0] in numbers(last) or (sums and agrees(sums[-1][1], problem.result))
    return "" if is_told else "no-agreement"


def _holds(left: str, right: str) -> bool:
    """Whether a sum comes to what is said, up to rounding."""
    told = numbers(right)
    value = value_of(left)
    if value is None or len(told) != 1:
        return False
    return abs(value - told[0]) <= max(_ROUNDED * abs(value), Fraction(1, 200))


def value_of(expression: str) -> Fraction | None:
    """A sum of numbers, `+ - * /` and brackets, exactly; None for anything else. It is parsed, never run."""
    text = re.sub(r"[$€£,\s]", "", expression).replace("×", "*").replace("x", "*").replace("%", "/100")
    text = re.sub(r"(?<![\d.])0+(?=\d)", "", text)
    if not re.fullmatch(r"[\d.+*/()-]{1,200}", text) or "**" in text or "//" in text:
        return None
    try:
        return _evaluated(ast.parse(text, mode="eval").body, 0)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return None


def _evaluated(node: ast.expr, depth: int) -> Fraction:
    if depth > _MAX_DEPTH:
        raise ValueError("too deep")
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return Fraction(str(node.value))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _evaluated(node.operand, depth + 1)
        return -value if isinstance(node.op, ast.USub) else value
    if not isinstance(node, ast.BinOp):
        raise ValueError("no sum")
    left, right = _evaluated(node.left, depth + 1), _evaluated(node.right, depth + 1)
    match node.op:
        case ast.Add():
            return left + right
        case ast.Sub():
            return left - right
        case ast.Mult():
            return left * right
        case ast.Div():
            return left / right
    raise ValueError("no sum")


def _as_drop(problem: WordProblem, step: str, reason: str, **more: str) -> dict[str, Any]:
    said: Mapping[str, Any] = {
        "document": problem.source, "sentence": "", "kind": KIND, "rule": RULE, "question": problem.question,
        "answer": f"{problem.steps}\n#### {problem.result}".strip(), "step": step, "reason": reason,
    }  # fmt: skip
    return {**said, **more}
