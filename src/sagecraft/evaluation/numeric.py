"""Questions whose answer is a number: read out of a reply by stages, compared as exact fractions, units left aside.

A reply is hostile text: only its ends are looked at, every pattern is linear, and numbers are of bounded length. The last
statement counts at each stage: a chain of steps ends with its result.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

from sagecraft.evaluation.unread import outcome_of_unread

STAGES = ("json", "stated", "number", "none")

#: How far off a reply may be, relative to a right answer that is no integer: 0.333 is one third, 0.33 is not quite.
_TOLERANCE = Fraction(1, 500)
_END_CHARS = 20_000
_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,9}(?!\d)|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40}"
#: A minus behind a digit or a bracket subtracts.
_NUMBER = re.compile(
    rf"(?P<sign>(?<![\d)\w])[-+−])?[$€£]?\s?(?:\\[dt]?frac\{{(?P<top>\d{{1,40}})\}}\{{(?P<bottom>\d{{1,40}})\}}"
    rf"|(?:(?P<whole>\d{{1,9}})\s(?=\d{{1,9}}\s?/\s?\d))?(?P<value>{_DIGITS})(?:[eE](?P<exponent>[-+]?\d{{1,3}})(?!\d))?"
    rf"(?:\s?/\s?(?P<over>\d{{1,40}}))?)"
)
_FIELD = re.compile(r"""["']answer["']\s{0,8}:\s{0,8}["']?""", re.IGNORECASE)
_STATED = re.compile(r"(?:####|\\boxed\{|\banswer\b[*_`]{0,3}\s{0,4}(?:is|:|=))", re.IGNORECASE)
#: Characters behind such a statement in which its number stands, perhaps behind a sum: "the answer is 3 + 4 = 7".
_REACH = 80
_SUM = re.compile(r"(?:(?:[\s\d.,+*/×÷^()$€£%−–-]|\b[A-Za-z]\b)*=)*")


def numbers(text: str) -> list[Fraction]:
    """The numbers in a text: with separators of thousands, a currency, an exponent, as a fraction or a mixed one."""
    return [value for match in _NUMBER.finditer(text) if (value := _value(match)) is not None]


def _value(match: re.Match[str]) -> Fraction | None:
    top = Fraction(int(match["top"])) if match["top"] else Fraction(match["value"].replace(",", ""))
    bottom = int(match["bottom"] or match["over"] or 1)
    if bottom == 0:
        return None
    found = top * Fraction(10) ** int(match["exponent"] or 0) / bottom + int(match["whole"] or 0)
    return -found if match["sign"] in ("-", "−") else found


def read(text: str, cut: bool = False) -> tuple[Fraction | None, str]:
    """The number a reply gives, and the stage it was read at.

    Args:
        text: the answer, without any thought.
        cut: the reply was cut off: the last number in it is then a step of the way.
    """
    if len(text) > 2 * _END_CHARS:
        text = text[:_END_CHARS] + "\n" + text[-_END_CHARS:]
    for stage, pattern in (("json", _FIELD), ("stated", _STATED)):
        for stated in reversed([match.end() for match in pattern.finditer(text)]):
            begin = stated + len(_SUM.match(text[stated : stated + _REACH])[0])  # type: ignore[index]  # it may be empty
            line = text[begin : begin + _REACH].partition("\n")[0]
            first = next((match for match in _NUMBER.finditer(line) if _value(match) is not None), None)
            if first is not None and not (
                cut and begin + first.end() >= len(text.rstrip(".,"))
            ):  # a digit may be missing
                return _value(first), stage
    found = [] if cut else numbers(text)
    return (found[-1], "number") if found else (None, "none")


def same(given: Fraction, target: Fraction) -> bool:
    """Whether a number is the right one: exactly where that is an integer, else to two parts in a thousand."""
    return given == target or (target.denominator > 1 and abs(given - target) <= _TOLERANCE * abs(target))


def grade(target: str, value: dict[str, Any]) -> dict[str, Any]:
    """`pick`, `stage`, `correct`, `outcome` of a reply; what cannot be read is never passed off as wrong."""
    found, stage = read(value["answer"], value["cut"])
    if found is not None:
        correct = same(found, numbers(target)[0])
        outcome = "correct" if correct else "wrong"
        return {"pick": shown(found), "stage": stage, "correct": correct, "outcome": outcome}
    return {"pick": None, "stage": stage, "correct": False, "outcome": outcome_of_unread(value)}


def shown(number: Fraction) -> str:
    """A number as it stands in rows: exact, but never long."""
    text = str(number)
    return text if len(text) <= 40 else f"{text[:37]}…"
