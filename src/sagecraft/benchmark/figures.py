"""The figures of a sentence: which of its numbers are measured values, and which names, bounds, dates or parts of a range."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

LISTS: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("slots.yaml").read_text(encoding="utf-8"))
_DESIGNATORS = frozenset(LISTS["designators"].split())
_CONFIDENCE = frozenset(LISTS["confidence"].split())

#: A number that is no part of a word, an exponent, an index, a name with a hyphen or a date with strokes.
_NUMBER = re.compile(r"(?<![\w.,^{})\[\]/:–−+\\-])(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?!\d|,\d|\.\d|[A-Za-z/:–−-])")
#: What may stand between a number and its unit: the end of a formula, an error, spaces of TeX.
_ERROR = r"(?:\s*(?:\\pm|±)\s*\d+(?:\.\d+)?|\s*(?:[\^_]\{?[+−-]\s*\d+(?:\.\d+)?\}?){2})?"
_UNIT = re.compile(
    _ERROR
    + r"(?:[\s$~]|\\[,;:! ]|\\(?:rm|mathrm|text|mbox|textrm)\b|\{|\})*(?:(?:million|billion|thousand|trillion) )?(?P<unit>\\?%|\\?[A-Za-zµμσ°″′Å⊙][\w⊙]*)"
)
_NO_UNIT = frozenset(LISTS["no_unit"].split())
_SYMBOL = re.compile(r"(?P<symbol>\\?[A-Za-zα-ωΑ-Ω][\w\\{}.,α-ω ]*?)\s*(?:=|\\sim|\\simeq|\\approx|∼|≈)\s*$")
_BOUND = re.compile(
    r"(?:[<>≤≥≲≳±]|\\(?:lesssim|gtrsim|leq?|geq?|lt|gt|ll|gg|pm|mp|times|gtrapprox|lessapprox)|[×x^_])\s*\$?\s*(?:\\sim|≈)?\s*$"
)
_ONE_SIDED = re.compile(
    r"\b(?:more than|less than|fewer than|greater than|larger than|smaller than|higher than|lower than|longer than|older than|at least|at most|up to|down to|over|under|below|above|beyond|exceed(?:s|ed|ing)?|within|between|from|"
    r"only|than|nearly|almost|out to|until|less or more|reach(?:es|ing)?|limit of|minimum of|maximum of|as (?:low|high|small|large|few|many|little|much) as|to)\s+(?:about |roughly |around |some |a |approximately )?\$?(?:\\sim|\\approx|~|≈)?\s*$",
    re.IGNORECASE,
)
_RANGE = re.compile(
    r"\s*\$?\s*(?:[A-Za-z%]+ )?(?:to|and|or|–|—|−|-|--|or more|or less|:|,)\s*\$?\s*(?:\\sim\s*)?\d|\s*(?:or (?:more|less|fewer)|at most)\b"
)
_POWER = re.compile(r"\s*\$?\s*(?:\\times|×|\\cdot|x\s*10)|\s*\^(?!\{?[+])|\s*[\\/*]\s*\d|\$\^")
_ABOUT = re.compile(r"(?:\$?\s*\\(?:sim|simeq|approx)\s*\$?|\$?[~∼≈]\$?)\s*$")
_LAST = re.compile(r"\b(?:past|last|next|first|top)\s+$", re.IGNORECASE)
_DATED = re.compile(
    r"\b(?:[Ii]n|[Ss]ince|until|by|of|during) (?:(?:early|late|mid|January|February|March|April|May|June|July|August|September|October|November|December)[ -])?$"
)
#: "2019, 2020 and 2021": the others tell it.
_OF_A_LIST = re.compile(r"\w|[’']s|\s*[–—-]|(?:,| and| or| to)\s+\d{4}\b")
_TIMES_TEN = re.compile(_ERROR + r"\s*\$?\s*(?:\\times|×)\s*\$?\s*10\s*\$?\s*\^\s*\{?[−-]?\d+\}?")
#: "a slope of 2.3": a value without a unit.
_BARE = re.compile(r"\b(?:of|is|was|are|were|about|approximately|around|roughly)(?: ≈| \$?\\sim\$?)? ?\$?$")
_END = r"(?:\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)"
_BOTH_ENDS = re.compile(
    rf"\b(?:from|between|range|spanning|of|in|at|covering|with)\s+(?:about |approximately |roughly |~)?\$?(?P<low>{_END})\$?\s*(?:-{{1,3}}|–|to|and)\s*\$?(?P<high>{_END})(?![\d^])"
)
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")


Scale = Literal["ratio", "share", "mantissa", "year"]


@dataclass(frozen=True)
class Figure:
    """A measured value in a sentence.

    Attributes:
        start: where its digits begin.
        end: where they end.
        text: the digits, with their separators.
        unit: the first word or sign behind it, or the symbol that it is the value of: what other values it compares with.
        scale: `ratio`; `share` (a percentage, within 100); `mantissa` (before a power of ten, below 10); `year`.
    """

    start: int
    end: int
    text: str
    unit: str
    scale: Scale = "ratio"


def number_of(text: str) -> float:
    """The number that a value's text stands for."""
    return float(text.replace(",", ""))


def decimals_of(text: str) -> int:
    """How many digits stand behind the point."""
    return len(text.partition(".")[2])


def digits_of(text: str) -> int:
    """Significant digits, the zeros at the end of a whole number left out."""
    bare = text.replace(",", "")
    return len((bare.replace(".", "") if "." in bare else bare.rstrip("0")).lstrip("0")) or 1


def figures_of(sentence: str) -> list[Figure]:
    """The numbers of a sentence that are measured values or counts, in order."""
    return list(_figures(sentence))


def count_numbers(sentence: str) -> int:
    """How many numbers stand in a sentence, whatever they are."""
    return len(re.findall(r"\d+(?:[.,]\d+)*", sentence))


def ranges_of(sentence: str) -> list[tuple[Figure, Figure]]:
    """Ranges with both ends in figures ("from 80 to 260 km"), in order; the unit is that of the upper end."""
    found = []
    for match in _BOTH_ENDS.finditer(sentence):
        low, high = match["low"], match["high"]
        unit = _UNIT.match(sentence[match.end() :])
        name = unit["unit"].lstrip("\\") if unit else ""
        is_plain = name and name not in _NO_UNIT and not _POWER.match(sentence[match.end() :])
        if is_plain and 0 < number_of(low) < number_of(high) and not (_is_year(low) or _is_year(high)):
            scale: Scale = "share" if name == "%" else "ratio"
            ends = (match.span("low"), low), (match.span("high"), high)
            first, second = (Figure(*span, text, name, scale) for span, text in ends)
            found.append((first, second))
    return found


def _figures(sentence: str) -> Iterator[Figure]:
    for found in _NUMBER.finditer(sentence):
        before, after = sentence[: found.start()], sentence[found.end() :]
        if _is_year(found[1]):
            if _DATED.search(before) and not _OF_A_LIST.match(after):
                yield Figure(found.start(), found.end(), found[1], "year", "year")
            continue
        power = _TIMES_TEN.match(after)
        if _is_other(found[1], before, after[power.end() :] if power else after):
            continue
        if power:
            if 1 <= number_of(found[1]) < 10:
                yield Figure(found.start(), found.end(), found[1], "times ten", "mantissa")
            continue
        key = _key(before, after)
        if key is not None:
            is_share = key.endswith("%") or after.lstrip(" ").startswith("per cent")
            yield Figure(found.start(), found.end(), found[1], key, "share" if is_share else "ratio")


def _key(before: str, after: str) -> str | None:
    """What a number is the value of: its unit, the symbol in front of it, or "" for a bare decimal; None if nothing says."""
    unit = _UNIT.match(after)
    name = unit["unit"].lstrip("\\") if unit else ""
    name = "" if name in _NO_UNIT else name
    symbol = _SYMBOL.search(before[-60:].replace("$", ""))
    if symbol is not None:
        return f"{symbol['symbol'].strip()}={name}"
    if name:
        return None if _is_level(after) else name
    return "" if _BARE.search(before) and re.match(r"\.\d", after) is None else None


def _is_year(text: str) -> bool:
    return _YEAR.fullmatch(text) is not None


def _is_other(text: str, before: str, after: str) -> bool:
    """Whether a number is a year, zero, a bound, an end of a range, a factor of a power, or part of a name."""
    before = _ABOUT.sub("≈ ", before)
    if _ONE_SIDED.search(_SYMBOL.sub("", before.replace("$", ""))):  # "up to $e = 0.8$"
        return True
    if number_of(text) == 0 or _POWER.match(after) or _RANGE.match(after):
        return True
    if (
        _LAST.search(before)
        or _BOUND.search(before)
        or _ONE_SIDED.search(before)
        or re.search(r"\d[^\w]*(?:to|and|or|–|-|,)[^\w]*$", before)
    ):
        return True
    words = before.replace("$", " ").split()
    last = words[-1].strip("(,;:~\\") if words else ""
    if re.search(r"\d (?:out )?of (?:the )?(?:≈ )?$", before):  # "11 of 21 (52 %)"
        return True
    if not words or before.endswith(("#", "No. ", "no. ")):
        return not words
    is_name = last[:1].isupper() and len(words) > 1 and "=" not in last
    return is_name or last.lower() in _DESIGNATORS or last[-1:] == "." or bool(re.search(r"[^\W\d_]\$?$", before))


def _is_level(after: str) -> bool:
    """Whether a level of confidence follows, a convention and no finding."""
    return bool(_CONFIDENCE & {word.strip(".,;()-").lower() for word in after.replace("-", " ").split()[:4]})
