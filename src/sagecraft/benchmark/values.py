"""Measured values in sentences, and other values of the same form."""

from __future__ import annotations

import random
import re

#: A plain number in running text (not in mathematics, a name, a date or a reference) with a unit word behind it.
_VALUE = re.compile(
    r"(?<![\w.,$\\^{}()\[\]/:–−-])(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?= (?:million |billion |thousand )?(?P<unit>[A-Za-zµ°%Å][\w°/⁻¹²³]*))"
)
#: Words behind a number that are no unit: then it counts or names something.
_NO_UNIT = frozenset(
    [
        "and",
        "or",
        "of",
        "in",
        "to",
        "on",
        "at",
        "the",
        "a",
        "an",
        "is",
        "are",
        "was",
        "were",
        "by",
        "from",
        "with",
        "for",
        "as",
        "but",
        "times",
        "st",
        "nd",
        "rd",
        "th",
        "which",
        "that",
        "per",
        "than",
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ]
)
_POINTING = re.compile(
    r"\b(this|these|those|such|it|its|they|their|them|he|she|his|her|former|latter|above|below|here|table|figure|fig|section|"
    r"equation|chapter|appendix|our|we|us|you|your|previous|following|another|others?|same|one|both|also|however|thus|"
    r"therefore|hence|then|instead|image|picture|photograph|diagram|graph)\b|\(see ",
    re.IGNORECASE,
)
#: "The crossing was begun …", "And yet …", "Suppose that …": of which crossing, after what, and no statement at all.
_LEANING = re.compile(
    r"^The [a-z]+ (?:is|are|was|were|has|have|had|can|could|will|would|may|must|does|did)\b|^(?:And|But|Yet|So|Or)\b|"
    r"(?i:(?:^|, )(?:assume|explain|describe|suppose|consider|imagine|use|take|let|find|calculate|compute|estimate|compare|recall|note|think)\b)"
)
#: Factors between neighbouring options: far enough to be clearly wrong, near enough to be thinkable.
_STEPS = (1.6, 1.9, 2.3, 2.8)
_ONE_SIDED = re.compile(
    r"\b(?:more than|less than|fewer than|at least|at most|up to|over|under|below|above|beyond|exceeds?|within|between|from|"
    r"only|than|nearly|almost)\s+(?:about |roughly |some |a )?$",
    re.IGNORECASE,
)
_RANGE = re.compile(r" ?(?:to|and|or|–|-|±)\s*\d")
#: The lower end bounds the upper: of the options some would be impossible.
_RANGE_BEFORE = re.compile(r"\d[\d.,]*(?: [a-z]+)? (?:to|and|or)\s+(?:about |roughly )?$")
_HEDGES = frozenset(
    ["About", "Roughly", "Some", "Approximately", "Around", "Typically", "In", "After", "Every", "Only"]
)
#: A definite thing ("The globule") is known only to its own text unless a name says which.
_NAMED = re.compile(r"(?<=[a-z,] )[A-Z][\w’'-]+|^(?!The |A |An )[A-Z]")
_MATH = re.compile(r"\$|\\")


def find_value(sentence: str) -> tuple[int, int] | None:
    """Where the one value to ask for stands, or None; a sentence with several is not asked about."""
    found = [match for match in _VALUE.finditer(sentence) if match["unit"] not in _NO_UNIT and not _is_year(match)]
    if len(found) != 1 or number_of(found[0][1]) == 0:
        return None
    if _ONE_SIDED.search(sentence[: found[0].start()]) or _RANGE.match(sentence[found[0].end() :]):
        return None  # several options would be right
    if _RANGE_BEFORE.search(sentence[: found[0].start()]):
        return None
    before = sentence[: found[0].start()].split()
    opens = len(before) == 1 and before[0] in _HEDGES
    if before and before[-1][0].isupper() and not opens:  # a name with a number: Apollo 11, Order 66
        return None
    return found[0].span(1)


def _is_year(match: re.Match[str]) -> bool:
    return bool(re.fullmatch(r"1[5-9]\d\d|20\d\d", match[1]))


def tied_to_its_context(sentence: str) -> str | None:
    """Why a sentence does not stand alone, or None if it does."""
    if not re.match(r"(?:The|A|An|[A-Z][a-z]+s?) ", sentence) or sentence[-1:] != ".":
        return "form"
    if _MATH.search(sentence):
        return "mathematics"
    if _POINTING.search(sentence) or _LEANING.search(sentence) or not _NAMED.search(sentence):
        return "not-alone"
    return None


def number_of(text: str) -> float:
    """The number that a value's text stands for."""
    return float(text.replace(",", ""))


def is_share(sentence: str, end: int) -> bool:
    """Whether the value that ends at `end` is a percentage, which stays within 100."""
    return bool(re.match(r" ?(?:%|per ?cent\b)", sentence[end:]))


def distractors(value: str, rank: int, rng: random.Random, limit: float = float("inf")) -> list[str]:
    """Three other values in the form of `value`, none over `limit`.

    `rank` of them (0 to 3) are smaller; where the form has no room on one side (1 has no smaller whole number, 90 % no
    three larger shares), values of the other side are taken.
    """
    exact = number_of(value)
    below, above = _neighbours(value, exact, rng, limit, down=True), _neighbours(value, exact, rng, limit, down=False)
    num_below = max(min(rank, len(below)), 3 - len(above))
    return below[:num_below] + above[: 3 - num_below]


def _neighbours(value: str, exact: float, rng: random.Random, limit: float, down: bool) -> list[str]:
    """Up to three different texts on one side of `value`."""
    made: list[str] = []
    number = exact
    for _ in range(40):  # small whole numbers need several steps before the text differs
        number = number / rng.choice(_STEPS) if down else number * rng.choice(_STEPS)
        text = _in_form(value, number)
        if not 0 < number_of(text) <= limit or len(made) == 3:
            break
        if text != value and text not in made and (number_of(text) < exact) == down:
            made.append(text)
    return made


def _in_form(value: str, number: float) -> str:
    """`number` written like `value`: as many decimals, separators and about as many significant digits."""
    decimals = len(value.partition(".")[2])
    digits = len(value.replace(",", "").replace(".", "").strip("0")) or 1
    magnitude = len(str(int(number)))
    if not decimals and magnitude > digits:
        number = round(number, digits - magnitude)
    text = f"{number:,.{decimals}f}"
    return text if "," in value else text.replace(",", "")
