"""Numbers with their units, read out of text and formulas and brought to base units.

Texts are a stranger's: patterns are linear and bounded, and numbers are floats, which a tolerance makes good enough.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

#: Longest result that is looked at: behind it stands more than a quantity.
_MAX_CHARS = 4_000
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_LATEX = (
    (re.compile(r"\\[dt]?frac\{([^{}]{1,40})\}\{([^{}]{1,40})\}"), r"(\1)/(\2)"),
    (re.compile(r"\\(?:text|mathrm|textrm|operatorname|mathbf|boldsymbol)\s?\{([^{}]{0,200})\}"), r"\1"),
    (re.compile(r"\\(?:left|right|displaystyle|hfill|!)"), ""),
    (re.compile(r"\\[,;:> ]|\\q?quad\b|~|\{\}"), " "),
    (re.compile(r"\^\{?\s?\\circ\s?\}?|\\degree\b"), "°"),
    (re.compile(r"\\(?:times)\b|×"), " x "),
    (re.compile(r"\\cdot\b|⋅|·|\*"), " · "),
    (re.compile(r"\\(?:approx|simeq|sim|cong)\b|≈|≃"), " = "),
    (re.compile(r"\\mu\b|μ"), "µ"),
    (re.compile(r"\\Omega\b|Ω"), "Ω"),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"[−–]"), "-"),
    (re.compile(r"\\\$|[$€£&]"), " "),
    (re.compile(r"° ?([CF])\b"), r"°\1"),
)
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:[ \u00a0\u202f\u2009]\d{3}){1,6}(?![\d-])")
_NUMBER = re.compile(
    r"(?P<sign>[-+] ?)?(?P<digits>\d{1,3}(?:,\d{3}){1,6}(?!\d)|\d{1,25})?(?P<part>\.\d{1,25})?"
    r"(?:e(?P<e>[-+]?\d{1,3})(?![\w.])| ?x ?10(?:\^\{?|(?=[-⁻⁰¹²³⁴-⁹]))\s?(?P<power>[-+⁻]? ?[\d⁰¹²³⁴-⁹]{1,3})\}?)?",
    re.IGNORECASE,
)
_POWER_ALONE = re.compile(r"(?P<sign>[-+] ?)?10\^\{?(?P<power>[-+]? ?\d{1,3})\}?")
_UNIT = re.compile(r"(?:[/·]|per\b)? ?\(?(?P<name>°[CF]?|%|[A-Za-zµΩÅ]{1,20})(?:\^?\{?(?P<power>-?\d)\}?)?\)?")


@dataclass(frozen=True)
class Quantity:
    """A number with its unit.

    Attributes:
        value: in base units; as it stands where the unit is unknown.
        number: as it stands.
        dimensions: base symbol → exponent, sorted; those of a pure number are none.
        unit: as it stands, without spaces.
        rounding: half a unit of the last digit that is written, relative to the number.
        is_known: every part of the unit is in `units.yaml`; a word that counts ("clips") is not.
    """

    value: float
    number: float
    dimensions: tuple[tuple[str, int], ...]
    unit: str
    rounding: float
    is_known: bool


@cache
def _units() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(Path(__file__).with_name("units.yaml").read_text(encoding="utf-8"))
    return loaded


@cache
def _unit(name: str) -> tuple[float, Mapping[str, int]] | None:
    """Factor and dimensions of a unit's symbol or name, with a prefix and in the plural too."""
    units = _units()
    for one in dict.fromkeys((name, name.removesuffix("s") if len(name) > 3 else name)):
        for table in (units["plain"], units["prefixed"]):
            if one in table:
                factor, dimensions = table[one]
                return float(factor), dimensions
        for prefix, scale in units["prefixes"].items():
            rest = one.removeprefix(prefix)
            if rest != one and rest in units["prefixed"] and (len(prefix) == 1) == (len(rest) <= 3):
                factor, dimensions = units["prefixed"][rest]
                return float(factor) * float(scale), dimensions
    return None


def ungrouped(text: str) -> str:
    """Text with the spaces taken out of numbers such as "11 400"."""
    return _GROUPED.sub(lambda found: re.sub(r"\D", "", found.group(0)), text)


def plain(text: str) -> str:
    """LaTeX and typographic signs as plain ones."""
    text = text[-_MAX_CHARS:]
    for pattern, by in _LATEX:
        text = pattern.sub(by, text)
    return ungrouped(" ".join(text.split()))


def quantity_of(text: str) -> Quantity | None:
    """The quantity that a text is ("$a = 39.6\\,\\text{m/s}^{2}$", "4.08 m", "-3,120 J."), or None.

    Behind the last sign of equality there may be nothing but a number and its unit.
    """
    text = plain(text).rstrip(" .,;").rpartition("=")[2].strip()
    power = _POWER_ALONE.match(text)
    found = None if power else _NUMBER.match(text)
    if power:
        number = float(f"{'-' if '-' in (power['sign'] or '') else ''}1e{_digits(power['power'])}")
        return _with_unit(number, 0.0, text[power.end() :].strip()) if math.isfinite(number) else None
    if not found or not (found["digits"] or found["part"]):
        return None
    digits = (found["digits"] or "0").replace(",", "") + (found["part"] or "")
    number = float(
        f"{'-' if '-' in (found['sign'] or '') else ''}{digits}e{_digits(found['e'] or found['power'] or '0')}"
    )
    # Zeros at the end of an integer count as digits: "110" says no less than that.
    rounding = 0.5 * 10.0 ** -len(digits.partition(".")[2]) / float(digits) if float(digits) else 0.0
    return _with_unit(number, rounding, text[found.end() :].strip()) if math.isfinite(number) else None


def _digits(text: str) -> str:
    return text.translate(_SUPERSCRIPTS).replace(" ", "")


def _with_unit(number: float, rounding: float, rest: str) -> Quantity | None:
    for word, scale in _units()["scales"].items():
        if rest.startswith(word) and not rest[len(word) : len(word) + 1].isalpha():
            number, rest = number * float(scale), rest[len(word) :].strip()
    shown = rest.replace(" ", "")
    if shifted := _units()["shifted"].get(shown):
        factor, zero, dimensions = shifted
        return Quantity(number * factor + zero, number, _sorted(dimensions), shown, rounding, True)
    factor, dimensions, is_known, position = 1.0, Counter[str](), True, 0
    while position < len(rest):
        part = _UNIT.match(rest, position)
        if part is None:
            return None
        # What stands behind a slash is below it, up to the next dot that no bracket holds: "W/(m^2 · K)", "kg/m · s".
        sign = _sign_of(rest, part.start("name"))
        unit = _unit(part["name"])
        if unit is None:
            is_known = False
        else:
            power = int(part["power"] or 1) * sign
            factor *= unit[0] ** power
            dimensions.update({name: exponent * power for name, exponent in unit[1].items()})
        position = part.end() + len(rest[part.end() :]) - len(rest[part.end() :].lstrip())
    if not is_known:
        return Quantity(number, number, (), shown, rounding, False)
    value = number * factor
    return Quantity(value, number, _sorted(dimensions), shown, rounding, True) if math.isfinite(value) else None


def _sign_of(unit: str, position: int) -> int:
    """-1 for a part of a unit that is divided by."""
    before = unit[:position]
    slash = max(before.rfind("/"), before.rfind("per "))
    if slash < 0:
        return 1
    between = before[slash:]
    return 1 if "·" in between and "(" not in between else -1


def _sorted(dimensions: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted((name, exponent) for name, exponent in dimensions.items() if exponent))
