"""Numbers with their units, read out of text and formulas and brought to base units.

Texts are a stranger's: patterns are linear and bounded, and numbers are floats, which a tolerance makes good enough.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

#: Relative difference that constants (9.8 or 9.81) and rounding on the way make.
TOLERANCE = 0.01
#: Largest relative difference that the last written digit may excuse: "2" is no evidence against 2.4, nor for it.
_MAX_TOLERANCE = 0.05
#: Whole numbers below this without a unit are counts, which are right or wrong.
_COUNTS = 1_000_000
#: Longest unit that may be two symbols.
_MAX_PRODUCT_CHARS = 3
#: Longest result that is looked at: behind it stands more than a quantity.
_MAX_CHARS = 4_000
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_NO_LETTER = r"(?![a-zA-Z])"
_LATEX = (
    (re.compile(r"\{,\}"), ","),
    (re.compile(r"[⁰¹²³⁴-⁹⁻⁺]+"), lambda found: f"^{{{found.group(0).translate(_SUPERSCRIPTS)}}}"),
    (re.compile(rf"\\times{_NO_LETTER}|×"), " x "),
    (re.compile(rf"\\cdot{_NO_LETTER}|⋅|·|(?<!\*)\*(?!\*)"), " · "),
    (re.compile(rf"\\(?:approx|simeq|sim|cong){_NO_LETTER}|≈|≃"), " = "),
    (re.compile(rf"\\pm{_NO_LETTER}|\+/-|\+-"), " ± "),
    (re.compile(rf"\\mu{_NO_LETTER}|μ"), "µ"),
    (re.compile(rf"\\pi{_NO_LETTER}"), "π"),
    (re.compile(rf"\\Omega{_NO_LETTER}|Ω"), "Ω"),
    (re.compile(r"\^\{?\s?\\circ\s?\}?|\\degree\b|\bº"), "°"),
    (re.compile(r"\\hat\s?\{?(?:\\(?:mathbf|boldsymbol|text|mathrm)\s?\{){0,2}\\?([ijk])(?:math)?\}{0,3}"), r"‹\1›"),
    (
        re.compile(r"\\(?:text|mathrm|textrm|operatorname|mathbf|boldsymbol)\s?\{((?:[^{}]|\{[^{}]{0,9}\}){0,200})\}"),
        r"\1",
    ),
    (re.compile(r"\\[dt]?frac\{((?:[^{}]|\{[^{}]{0,9}\}){1,40})\}\{((?:[^{}]|\{[^{}]{0,9}\}){1,40})\}"), r" (\1)/(\2)"),
    (re.compile(r"\\(?:left|right|displaystyle|hfill|!)"), ""),
    (re.compile(r"\\[,;:> ]|\\q?quad\b|~|\{\}"), " "),
    (re.compile(r"\\%"), "%"),
    (re.compile(r"[−–—]"), "-"),
    (re.compile(r"\bminus (?=[\d.])"), "-"),
    (re.compile(r"(?<=\d)\s?(?:''|\"|″|”)"), " arcsec"),
    (re.compile(r"(?<=\d)\s?(?:'|′|’)(?!\w)"), " arcmin"),
    (re.compile(r"\bper cent\b"), "percent"),
    (re.compile(r"\b[Dd]eg(?:rees?|\.)? ([CF])(?:elsius|ahrenheit)?\b"), r"°\1"),
    (re.compile(r"\b(?:square|sq\.?) ([a-z]{1,20})"), r"\1^2"),
    (re.compile(r"\bcubic ([a-z]{1,20})"), r"\1^3"),
    (re.compile(r"([a-z]{1,20}) squared\b"), r"\1^2"),
    (re.compile(r"([a-z]{1,20}) cubed\b"), r"\1^3"),
    (re.compile(r"(?:\\\$|¤) ?(\d[\d,]*(?:\.\d+)?)"), r"\1 USD"),
    (re.compile(r"[€] ?(\d[\d,]*(?:\.\d+)?)"), r"\1 EUR"),
    (re.compile(r"(?<=\d) ?€"), " EUR"),
    (re.compile(r"[$&]|\*\*"), " "),
    (re.compile(r"° ?([CF])\b"), r"°\1"),
)
#: Fractions that are one sign.
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅛": "1/8"}
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:[ \u00a0\u202f\u2009]\d{3}){1,6}(?![\d-])")
_NUMBER = re.compile(
    r"(?P<sign>[-+] ?)?(?P<digits>\d{1,3}(?:,\d{3}){1,6}(?!\d)|\d{1,25})?(?P<part>\.\d{1,25})?"
    r"(?:e(?P<e>[-+]?\d{1,3})(?![\w.])| ?[x·] ?10(?:\^ ?\{?|(?=-))\s?(?P<power>[-+]? ?\d{1,3})\}?)?",
    re.IGNORECASE,
)
_POWER_ALONE = re.compile(r"(?P<sign>[-+] ?)?10\^ ?\{?(?P<power>[-+]? ?\d{1,3})\}?")
_PLAIN = r"\d{1,25}(?:\.\d{1,25})?"
#: What a number may be divided by, multiplied with, or spread by before its unit: "(1)/(3)", "2π/3", "5.1 ± 0.3".
_ABOVE = rf"(?:{_PLAIN}|(?:{_PLAIN})? ?π)"
_FRACTION = re.compile(
    rf"(?P<sign>[-+] ?)?(?:\((?P<inner>{_ABOVE})\)|(?P<above>{_ABOVE})) ?[/:] ?(?:\((?P<bracketed>{_PLAIN})\)|(?P<below>{_PLAIN}))(?![\d.])"
)
_MIXED = re.compile(r"(?P<whole>\d{1,6}) (?P<above>\d{1,4})/(?P<below>\d{1,4})(?![\d.])")
_PI = re.compile(r" ?π")
_SPREAD = re.compile(rf" ?± ?(?P<spread>{_PLAIN})")
_UNIT = re.compile(r"(?:[/·]|per\b)? ?\(?(?P<name>°[CF]?|%|[A-Za-zµΩÅ]{1,20})(?:\^?\{?(?P<power>-?\d)\}?)?\)?")
#: "6y" in a formula is six times y, and no six years.
_SYMBOL_BEHIND = re.compile(r"(?<![A-Za-z_{])\d[a-zA-Z](?![a-zA-Z\d+{-])")
_TEXT = re.compile(r"\\(?:text|mathrm|textrm|operatorname)\s?\{[^{}]*\}")
#: What stands behind a quantity and says nothing of it: "(rounded)".
_REMARK = re.compile(r"(?<=\S)\s+\((?=[^()]{0,60}[a-z]{3})[^()\d/]{1,60}\)$")
#: Two quantities that make one: "2 h 30 min", "5 ft, 10 in".
_SUM = re.compile(rf"{_PLAIN} ?[a-zA-Z°]{{1,10}}\.?(?:,? (?:and )?{_PLAIN} ?[a-zA-Z°]{{1,10}}\.?){{1,2}}")


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
        spread: uncertainty that is given, relative to the number.
    """

    value: float
    number: float
    dimensions: tuple[tuple[str, int], ...]
    unit: str
    rounding: float
    is_known: bool
    spread: float = 0.0


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
    return _product(name)


def _product(name: str) -> tuple[float, Mapping[str, int]] | None:
    """Two symbols that are written as one: "Nm", "Pas"."""
    known = _units()["prefixed"]
    for end in range(1, len(name)) if len(name) <= _MAX_PRODUCT_CHARS else ():
        if name[:end] in known and name[end:] in known:
            both = Counter(known[name[:end]][1])
            both.update(known[name[end:]][1])
            return float(known[name[:end]][0]) * float(known[name[end:]][0]), both
    return None


def ungrouped(text: str) -> str:
    """Text with the spaces taken out of numbers such as "11 400"."""
    return _GROUPED.sub(lambda found: re.sub(r"\D", "", found.group(0)), text)


def plain(text: str) -> str:
    """LaTeX and typographic signs as plain ones."""
    text = text[-_MAX_CHARS:]
    if len(re.findall(r"(?<!\\)\$", text)) == 1:  # no formula: dollars
        text = re.sub(r"(?<!\\)\$(?= ?\d)", "¤", text)
    for sign, fraction in _VULGAR.items():
        text = text.replace(sign, f" {fraction}")
    for pattern, by in _LATEX:
        text = pattern.sub(by, text)
    return ungrouped(" ".join(text.split()))


def quantity_of(text: str) -> Quantity | None:
    """The quantity that a text is ("$a = 39.6\\,\\text{m/s}^{2}$", "4.08 m", "-3,120 J.", "1/3", "2 h 30 min"), or None.

    Behind the last sign of equality there may be nothing but a number and its unit.
    """
    if _SYMBOL_BEHIND.search(_TEXT.sub(" ", text.rpartition("=")[2])) and re.search(r"[$\\]", text):
        return None
    words = _words_of(text)
    text = plain(text).rstrip(" .,;").rpartition("=")[2].strip()
    text = _REMARK.sub("", text)
    if found := _sum_of(text):
        return found
    # "(5.1 ± 0.3) m", "(12) kg"
    text = re.sub(rf"^\(([-+]? ?{_PLAIN}(?: ?± ?{_PLAIN})?(?: ?x ?10\^ ?\{{?-?\d+\}}?)?)\)", r"\1", text)
    read = _read_number(text)
    if read is None:
        return None
    number, rounding, end = read
    spread = _SPREAD.match(text, end)
    found = _with_unit(number, rounding, text[spread.end() if spread else end :].strip(), words)
    if found is None or not math.isfinite(number) or not spread:
        return found if math.isfinite(number) else None
    return replace(found, spread=float(spread["spread"]) / abs(found.number) if found.number else 0.0)


def _words_of(text: str) -> frozenset[str]:
    """Words that may be counted: in a formula only those that are marked as text, since letters there are symbols."""
    if "$" not in text and "\\" not in text:
        return frozenset(re.findall(r"[A-Za-z]{3,20}", text))
    outside = re.sub(r"\$[^$]*\$", " ", text) if text.count("$") > 1 else ""
    marked = " ".join(re.findall(r"\\(?:text|mathrm|textrm)\s?\{([^{}]{0,200})\}", text))
    return frozenset(re.findall(r"[A-Za-z]{3,20}", f"{outside} {marked}"))


def _sum_of(text: str) -> Quantity | None:
    """The sum of quantities of one sort: "2 h 30 min"."""
    if not _SUM.fullmatch(text):
        return None
    parts = [quantity_of(part) for part in re.findall(rf"{_PLAIN} ?[a-zA-Z°]{{1,10}}", text)]
    known = [part for part in parts if part is not None and part.is_known and part.unit]
    is_one = len(known) == len(parts) and len({part.dimensions for part in known}) == 1
    sizes = [part.value / part.number for part in known if part.number]
    if not is_one or sizes != sorted(sizes, reverse=True) or len(sizes) != len(set(sizes)):
        return None
    value = sum(part.value for part in known)
    return Quantity(value, value / sizes[0], known[0].dimensions, known[0].unit, known[-1].rounding, True)


def _read_number(text: str) -> tuple[float, float, int] | None:
    """The number at the beginning of a text, half a unit of its last digit relative to it, and where it ends."""
    if found := _MIXED.match(text):
        if not float(found["below"]):
            return None
        return float(found["whole"]) + float(found["above"]) / float(found["below"]), 0.0, found.end()
    if found := _FRACTION.match(text):
        above, below = found["inner"] or found["above"], float(found["bracketed"] or found["below"])
        bare = above.replace("π", "").strip()
        value = (float(bare) if bare else 1.0) * (math.pi if "π" in above else 1.0)
        sign = -1.0 if "-" in (found["sign"] or "") else 1.0
        return (sign * value / below, 0.0, found.end()) if below else None
    if found := _POWER_ALONE.match(text):
        return float(f"{'-' if '-' in (found['sign'] or '') else ''}1e{_digits(found['power'])}"), 0.0, found.end()
    if found := re.match(r"([-+]? ?)π", text):
        return (-math.pi if "-" in found.group(1) else math.pi), 0.0, found.end()
    found = _NUMBER.match(text)
    if not found or not (found["digits"] or found["part"]):
        return None
    digits = (found["digits"] or "0").replace(",", "") + (found["part"] or "")
    number = float(
        f"{'-' if '-' in (found['sign'] or '') else ''}{digits}e{_digits(found['e'] or found['power'] or '0')}"
    )
    # Zeros at the end of an integer count as digits: "110" says no less than that.
    rounding = 0.5 * 10.0 ** -len(digits.partition(".")[2]) / float(digits) if float(digits) else 0.0
    if pi := _PI.match(text, found.end()):
        return number * math.pi, rounding, pi.end()
    return number, rounding, found.end()


def _digits(text: str) -> str:
    return text.replace(" ", "")


def _with_unit(number: float, rounding: float, rest: str, words: frozenset[str]) -> Quantity | None:
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
            if part["name"] not in words or part["power"]:
                return None  # a symbol, and no word that counts
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


@cache
def known_symbols() -> frozenset[str]:
    """Symbols that need no introduction: of constants, and of functions and unit vectors."""
    return frozenset(map(str, _units()["symbols"]))


@cache
def dimensions_of_noun(noun: str) -> frozenset[tuple[tuple[str, int], ...]] | None:
    """The dimensions that a quantity may have by its name ("speed"); None of names that say nothing of it."""
    units = _units()["nouns"].get(noun)
    found = [quantity_of(f"1 {unit}") for unit in units or ()]
    return frozenset(one.dimensions for one in found if one) if units else None


def mantissas(text: str) -> set[str]:
    """The numbers of a text without sign, point and power of ten: "10 cm" and "0.10 m" are one; with those of constants."""
    return {_mantissa(found.group(0)) for found in _PLAIN_NUMBER.finditer(_bare(text))} | set(
        map(str, _units()["constants"])
    )


def stated(text: str) -> Iterator[tuple[str, bool]]:
    """The numbers of a solution in order, without powers of ten, and whether each is what a sum comes to.

    Args:
        text: with formulas between dollar signs. Numbers of one digit without a unit are left out: they count.
    """
    for piece in re.split(r"(\$\$[^$]+\$\$|\$[^$]+\$)", text):
        if not piece.startswith("$"):
            for found in _PLAIN_NUMBER.finditer(_bare(piece)):
                if len(_mantissa(found.group(0))) > 1:
                    yield _mantissa(found.group(0)), False
            continue
        before = ""
        for number, part in enumerate(re.split(r"=|\\approx|\\simeq|\\cong", piece)):
            bare = _bare(part)
            numbers = list(_PLAIN_NUMBER.finditer(bare))
            is_result = number > 0 and len(numbers) == 1 and (number > 1 or re.search(r"\d", before) is not None)
            for found in numbers:
                mantissa = _mantissa(found.group(0))
                has_unit = re.match(r"(?:\\,|\s)*\\(?:text|mathrm)|°", bare[found.end() :]) is not None
                if mantissa and (is_result or len(mantissa) > 1 or has_unit):
                    yield mantissa, is_result
            before = bare


#: Powers and subscripts, which are no values.
_POWER_OF_TEN = re.compile(r"\s?(?:\\times|×)\s?10(?:\^(?:\{[^{}]{1,6}\}|\d)|[⁰¹²³⁴-⁹⁻]+)")
_SCRIPTS = re.compile(r"[\^_](?:\{[^{}]{0,40}\}|\w)|\\tag\{\d+\}|[⁰¹²³⁴-⁹⁻]+")
_PLAIN_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?|\.\d+")


def _bare(text: str) -> str:
    text = re.sub(r"\^\{?\s?\\circ\s?\}?", "°", ungrouped(text))
    return _SCRIPTS.sub("", _POWER_OF_TEN.sub("ᵉ", text))  # a mark, so that no unit stands behind "3.00"


def _mantissa(number: str) -> str:
    return number.replace(",", "").replace(".", "").strip("0")


def same_quantity(given: Quantity, reference: Quantity) -> bool | None:
    """Whether two quantities are equal within the tolerance; None where their units cannot be held against each other."""
    if given.unit == reference.unit:
        return _is_near(given, reference, given.number, reference.number)
    if given.is_known and reference.is_known and given.unit and reference.unit:
        return given.dimensions == reference.dimensions and _is_near(given, reference, given.value, reference.value)
    is_same = _is_near(given, reference, given.number, reference.number)
    if given.is_known and reference.is_known and not given.dimensions and not reference.dimensions:
        # "0.30" for "30%", "3.14" for "180°"; "30" for "30%" says too little.
        return True if _is_near(given, reference, given.value, reference.value) else None if is_same else False
    if not reference.unit:  # "72" for "72 clips"; of "0.072 km", the unit may be what differs
        return is_same or (None if given.unit and given.is_known else False)
    if _is_money(reference) and not given.unit:
        return is_same
    # A unit that was left out, or a word that counts, is no contradiction; nor is it enough to agree.
    return None if reference.is_known or not is_same else (True if not given.unit else None)


def _is_money(quantity: Quantity) -> bool:
    return any(name in ("USD", "EUR") for name, _ in quantity.dimensions)


def _is_near(given: Quantity, reference: Quantity, one: float, other: float) -> bool:
    is_count = not reference.unit and other == int(other) and abs(other) < _COUNTS and not reference.spread
    if is_count and not (given.unit and given.is_known):
        return one == other
    # The spread of a reference counts as it is; who gives one of his own does not agree by it with all that is near.
    loose = max(given.rounding, reference.rounding, given.spread)
    return abs(one - other) <= max(TOLERANCE, min(loose, _MAX_TOLERANCE), reference.spread) * abs(other)
