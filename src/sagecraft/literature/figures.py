"""Figures: numbers with a meaning in running text and in simple formulas, and others that could stand in their place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from sagecraft.corpus.sentences import formulas_in
from sagecraft.literature import english
from sagecraft.literature.lexicon import word_list

#: A number in running text: no part of a name, a date, a range of digits or a reference.
_PLAIN = re.compile(
    r"(?<![\w.,$\\^{}()\[\]/:–−+<>=~-])(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?![\w,/:–−-]|\.\d|\s?[–−-]\s?\d)"
)
_UNIT = re.compile(
    r"^(?: (?:million|billion|trillion|thousand|hundred))?\s?((?:[A-Za-zµ°%Å][\w°/⁻¹²³.-]*|\\?%|\$\\?\w)[^\s,;:)]*)"
)
#: A formula that is one number, with at most a sign of about, a power of ten and a unit; or a symbol that equals one.
_FORMULA = re.compile(
    r"^\$(?:(?P<symbol>[A-Za-z\\][\w\\{}, ]{0,40}?)\s*(?P<relation>=|\\approx|\\simeq|\\sim)\s*|(?:\\sim|\\approx|\\simeq|~)\s*)?"
    r"(?P<number>\d{1,3}(?:(?:\{,\}|,)\d{3})+|\d+(?:\.\d+)?)"
    r"(?P<power>\s*(?:\\times|\\cdot)\s*10\^(?:\{-?\d+\}|\d))?"
    r"(?P<unit>\s*(?:\\?%|\^\{?\\circ\}?|(?:\\[,;:! ]|~)?\s*\\(?:mathrm|text|rm|mathit)\b.{0,40}))?\s*\$$"
)
_NO_UNITS = word_list("no_units")
_BOUND_BEFORE = re.compile(
    r"(?:\b(?:th[ae]n|at least|at most|up to|over|under|below|above|beyond|exceed(?:s|ed|ing)?|within|between|from|only|nearly|"
    r"almost|to|and|or|as (?:much|many|little|few|low|high|large|small|long|short) as|(?:maximum|minimum|limits?|top|peak) of)|"
    r"[<>≲≳±≤≥+]|\d(?:\\?%)?\$? ?(?:[–−-]{1,2}|\\pm) ?)\s*"
    r"(?:about |roughly |some |a |approximately |~ ?|\$\\?(?:sim|approx|simeq|gtrsim|lesssim|leq|geq|<|>)\$? ?)?$",
    re.IGNORECASE,
)
_BOUND_BEHIND = re.compile(
    r"^(?: [A-Za-zµ°%]+|\\?%)? ?(?:to|and|or|[–−-]{1,2}|±|\$?\\pm)\s*(?:about )?\$?\d|^\s*(?:±|\$?\\pm|\+|\$?\^)|"
    r"^ ?[^\s=]{1,30} ?(?:=|equals?\b)|^\S{0,3}(?: [a-z]+)? or (?:more|less|so|fewer|greater|higher|lower)\b"
)
#: Characters before a figure that can tell a bound: the longest of the forms above.
_MAX_BOUND_CHARS = 32
_HEDGES = frozenset(
    {
        "About",
        "Roughly",
        "Some",
        "Approximately",
        "Around",
        "Typically",
        "In",
        "After",
        "Every",
        "Only",
        "The",
        "A",
        "At",
    }
)
#: Factors between a figure and what could stand for it: clearly wrong, still thinkable.
_FACTORS = (Fraction(2, 5), Fraction(3, 5), Fraction(17, 10), Fraction(12, 5))


@dataclass(frozen=True)
class Figure:
    """A number in a sentence.

    Attributes:
        start: first character of the number.
        end: behind its last one.
        text: as it is written, without power of ten and unit.
        value: of the text, without them.
        unit: the word behind it, or what the formula has behind it; empty if it counts nothing.
        symbol: left of an equals sign, if it stands there.
        is_bound: whether the sentence says only "more than", "from … to" or the like.
    """

    start: int
    end: int
    text: str
    value: Fraction
    unit: str
    symbol: str
    is_bound: bool

    @property
    def decimals(self) -> int:
        """Digits behind the point."""
        return len(self.text.partition(".")[2])

    def others(self) -> tuple[str, ...]:
        """Smaller and larger figures in the same form: as many decimals, as many significant digits, round if this one is."""
        found = (self.scaled(factor) for factor in _FACTORS)
        is_share = self.unit.lstrip("\\").startswith("%") and self.value <= 100
        return tuple(
            dict.fromkeys(
                other for other in found if other and not (is_share and Fraction(other.replace(",", "")) > 100)
            )
        )

    def scaled(self, factor: Fraction) -> str | None:
        """This figure times a factor, in the same form; None where no other figure of that form is near.

        A figure that ends in zeros stays as round; one of units stays in units.
        """
        digits = self.text.replace(",", "").replace(".", "").strip("0")
        whole = self.text.replace(",", "").partition(".")[0]
        zeros = len(whole) - len(whole.rstrip("0")) if not self.decimals else 0
        step = Fraction(10) ** (zeros - self.decimals)
        if zeros and len(digits) == 1 and self.value * factor < step:
            step /= 10
        if digits.endswith("5") and len(digits) > 1:
            step *= 5
        scaled = round(self.value * factor / step) * step
        if (
            scaled <= 0
            or scaled == self.value
            or not Fraction(5, 4) <= max(scaled, self.value) / min(scaled, self.value)
        ):
            return None
        text = f"{float(scaled):,.{self.decimals}f}" if "," in self.text else f"{float(scaled):.{self.decimals}f}"
        return text if Fraction(text.replace(",", "")) == scaled else None


def figures_of(sentence: str) -> tuple[Figure, ...]:
    """The figures of a sentence in order: numbers with a unit, and simple formulas; years, names and zero are none."""
    return tuple(sorted((*_plain(sentence), *_formulas(sentence)), key=lambda figure: figure.start))


def _plain(sentence: str) -> Iterator[Figure]:
    formulas = formulas_in(sentence)
    for found in _PLAIN.finditer(sentence):
        if any(first <= found.start() < last for first, last in formulas):
            continue
        behind = _UNIT.match(sentence[found.end() :])
        unit = behind.group(1).rstrip(".") if behind else ""
        is_year = (
            not unit.startswith("%") and re.fullmatch(r"1[5-9]\d\d|20\d\d", found.group(1)) and unit not in _COUNTED
        )
        if not unit or not _is_unit(unit) or is_year or (unit[:1].isupper() and unit.istitle() and len(unit) > 3):
            continue
        if _names(sentence[: found.start()]) or Fraction(found.group(1).replace(",", "")) == 0:
            continue
        yield _figure(sentence, found.start(), found.end(), unit, "")


#: A number between 1500 and 2099 with one of these behind it is no year.
_COUNTED = word_list("counted_units")


def _is_unit(word: str) -> bool:
    """Whether a word behind a number can say what it counts: no adverb, and no verb ("bridge 2 carries")."""
    is_verb = word in english.THIRD and word not in english.NOUN_LIKE
    return word not in _NO_UNITS and not word.endswith("ly") and not is_verb


def _formulas(sentence: str) -> Iterator[Figure]:
    for first, last in formulas_in(sentence):
        found = _FORMULA.match(sentence[first:last])
        if not found or Fraction(found.group("number").replace("{,}", "").replace(",", "")) == 0:
            continue
        unit = (found.group("unit") or "").strip()
        symbol = (found.group("symbol") or "").strip()
        if not unit:
            behind = _UNIT.match(sentence[last:])
            word = behind.group(1).rstrip(".") if behind else ""
            # Behind "$s = 2$" any word may follow; behind "$2$" it is what is counted.
            is_sure = not symbol or word in _COUNTED or not re.fullmatch(r"[a-z]{2,}", word)
            unit = word if is_sure and _is_unit(word) else ""
        unit = (found.group("power") or "").strip() + unit
        is_year = re.fullmatch(r"1[5-9]\d\d|20\d\d", found.group("number")) and not unit
        if (unit or symbol) and not is_year:
            yield _figure(
                sentence, first + found.start("number"), first + found.end("number"), unit, symbol, (first, last)
            )


def _figure(
    sentence: str, start: int, end: int, unit: str, symbol: str, around: tuple[int, int] | None = None
) -> Figure:
    first, last = around or (start, end)
    text = sentence[start:end]
    is_bound = bool(
        _BOUND_BEFORE.search(sentence[max(0, first - _MAX_BOUND_CHARS) : first]) or _BOUND_BEHIND.match(sentence[last:])
    )
    return Figure(start, end, text, Fraction(text.replace("{,}", "").replace(",", "")), unit, symbol, is_bound)


def _names(before: str) -> bool:
    """Whether the word before a number makes a name of it: "Bridge 11", "order 66"."""
    last = before[-40:].rpartition(" ")[0].rpartition(" ")[2] if before.endswith(" ") else ""
    opens = before.strip() == last and last in _HEDGES
    return (last[:1].isupper() and not opens and not last.endswith((",", ";"))) or last.lower() in _NUMBERED


#: Words behind which a number tells which one, not how many.
_NUMBERED = word_list("numbered_words")
