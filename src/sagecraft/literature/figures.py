r"""The figures of a sentence: which of its numbers are measured values, and which names, bounds, dates, parts of a range or of a sum.

What a figure is used for (a gap, a claim with another value, an option) needs one thing of it: that another value in its place
says something else. So a number that only bounds a value, tells which one of several is meant, or is one term of an expression
("12 + \log x", "65 %/35 %", an exponent) is none. A formula is read as its terms, plain text as words; a value may begin in the one
and end in the other ("$\sim$ 12 tons", "2.4 $\times$ 10$^{5}$ years").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from sagecraft.corpus.sentences import formulas_in
from sagecraft.literature import english
from sagecraft.literature.lexicon import word_list

_DESIGNATORS = word_list("numbered_words")
_CONFIDENCE = word_list("confidence")
_NO_UNIT = word_list("no_units")
#: A number between 1500 and 2099 with one of these behind it is no year.
_COUNTED = word_list("counted_units")
_CAPITAL_UNITS = word_list("capital_units")
#: Behind a number a factor, not a unit.
_GREEK = word_list("greek")
_HEDGES = word_list("hedges")

#: Characters in front of a number that are looked at: the longest bound, symbol or name.
_MAX_BEFORE = 80
#: Between thousands: "1,250", "1{,}250", "1\,250".
_SEPARATOR = re.compile(r"\{,\}|\\,|,")
_DIGITS = rf"(?:\d{{1,3}}(?:(?:{_SEPARATOR.pattern})\d{{3}})+|\d+(?:\.\d+)?)"
#: A number that is no part of a word, an exponent, an index, a name with a hyphen or a date with strokes.
_NUMBER = re.compile(rf"(?<![\w.,^{{}})\[\]/:–−+\\-])({_DIGITS})(?!\d|,\d|\.\d|\{{,\}}|[A-Za-z/:–−-]|\(\d)")
#: What may stand between a number and its unit: an error, a power of ten, spaces of TeX.
_ERROR = r"(?:\s*(?:\\pm|±|\+\\?/?[-−])\s*\d+(?:\.\d+)?|(?:\s*[\^_]\s*\{?\s*[+−-]\s*\d+(?:\.\d+)?\s*\}?){2}|\s?\+\d+(?:\.\d+)?\s?[-−]\d+(?:\.\d+)?)?"
_POWER = r"\s*(?:\\times|\\cdot|×)\s*10\s*\^\s*(?:\{\s*[−-]?\d+\s*\}|[−-]?\d+)"
_TIMES_TEN = re.compile(_ERROR + _POWER)
_VALUE_TAIL = re.compile(f"{_ERROR}(?:{_POWER})?")
_UNIT = re.compile(
    r"(?:\s|\\(?:rm|mathrm|text|mbox|textrm|mathit)\b|\{|\})*(?:(?:million|billion|thousand|trillion|hundred) )?"
    r"(?P<unit>\\?%|per ?cent\b|\^\s*\{?\s*\\circ\b\s*\}?|\\?[A-Za-zµμσ°″′Å⊙][\w⊙]*)"
)
#: "Gyr", "Hz": capitals and no vowel; "Her", "Cnc" are parts of names.
_CAPITAL_UNIT = re.compile(r"[A-Z][a-z]|[MGTPE][bcdfghj-np-tv-z]{1,3}")
#: "170 Galactic clusters" are counted; "14 Her b", "the 55 Cancri system" and "6400 College Avenue" are names.
_COUNTS = re.compile(r"(?:[ -][\w.-]+){0,2} (?!as\b|is\b|was\b|has\b|its\b|this\b|does\b)[a-z-]{2,}s\b")
_RELATION = re.compile(r"(?:(?P<equals>(?<![<>])=)|\\(?:sim|simeq|approx|equiv|thicksim)|[∼≈≃])\s*$")
#: What a relation stands behind, and whether it is a symbol where the relation is "about": "z ∼ 2", no "is ∼ 2".
_TOKEN = re.compile(r"[^\s({]*(?:\{[^{}]*\}|\([^()\s]*\))?\S*$")
_SYMBOL = re.compile(r"(?![aAI]$)(?:\\?[^\W\d_]|\\[A-Za-z]+)(?:[_({].*)?")
_BOUND = re.compile(
    r"(?:\d|[<>]=|[<>≤≥≲≳±×^_*/+−–-]|\b(?:x|by a factor)|\\(?:lesssim|gtrsim|leqslant|geqslant|leq?|geq?|lt|gt|ll|gg|pm|mp|times|cdot|gtrapprox|lessapprox|log|ln|exp|"
    r"sqrt|over|in)|[\w\])}]\() $"
)
_ONE_SIDED = re.compile(
    r"\b(?:than|at least|at most|up to|down to|over|under|below|above|beyond|exceed(?:s|ed|ing)?|within|between|from|"
    r"only|nearly|almost|out to|until|less or more|reach(?:es|ing)?|(?:maximum|minimum|limits?|top|peak) of|"
    r"as (?:much|many|little|few|low|high|large|small|long|short) as|to) (?:about |roughly |around |some |a |approximately )?$",
    re.IGNORECASE,
)
#: Behind a figure, or behind its unit: the other end of a range, a list, or what makes a bound of it.
_RANGE = re.compile(
    r"\s*(?:(?:and|:|,)|(?:\\?[A-Za-zµ°%]+\s+)?(?:to|or|–|—|−|-{1,3}))\s*(?:about )?(?:\\sim\s*)?\d|\s*(?:to|and) [^\s\d]{1,12}\s*(?:=|\\sim|\\approx|\\simeq)\s*\d|"
    r"\s*(?:hour|minute|day|year|degree)s? and \d|"
    r"\s*(?:\S{1,12}\s+)?(?:or (?:more|less|fewer|greater|higher|lower)|at most|at least)\b"
)
_ABOUT = re.compile(r"\b(?:about|roughly|around|some|approximately|perhaps) $")
_IN_A_RANGE = re.compile(
    r"\d[^\w]*(?:to|and|or|–|-|,)[^\w]*$|\bbetween\b[^,;]{1,40}\band $|\d (?:hour|minute|day|year|degree)s? and $"
)
#: "11 of 21 (52 %)".
_OF_ALL = re.compile(r"\d (?:out )?of (?:the )?$")
_LAST = re.compile(r"\b(?:past|last|next|first|top) $", re.IGNORECASE)
#: Behind a number what makes it one term of more, or the left side of a definition; the same behind its unit.
_GOES_ON = re.compile(
    r"\s+\d{3}(?!\d)|\s*(?:[+*/=<>≤≥±×]|\^(?!\s*\{?\s*\\circ)|[−–-]+\s?[\d\\(A-Za-z]|\\(?:times|cdot|over|leq?|geq?|log|ln|sqrt|pm|frac|(?:left)?rightarrow|to)\b|x\s*\d)"
)
_UNIT_GOES_ON = re.compile(
    r"\s+\d{3}(?!\d)|\s*(?:[+*=≈∼<>≤≥]|/\s*\d|[−–-]{1,3}\s*\d|x \d|\\(?:approx|simeq|sim|equiv|times|leq?|geq?|lt|gt|lesssim)\b)"
)
#: Within a formula, behind a value: what makes it a term, and what ends its side.
_OPERATOR = re.compile(r"[+*]|\\(?:times|log|ln|sqrt|frac|(?:left)?rightarrow|to)\b|/\s*\d|(?<!\^)[−-]\s*[\w\\(]")
_ENDS_TERM = re.compile(r"[,;=<>∼≈≲≳≤≥]|\\(?:sim|simeq|approx|equiv|thicksim|leq?|geq?|lesssim|gtrsim|quad|qquad)\b")
_BRACES = re.compile(r"[\^_]?\s*\{[^{}]*\}")
_DATED = re.compile(
    r"\b(?:[Ii]n|[Ss]ince|until|by|of|during) (?:(?:early|late|mid|January|February|March|April|May|June|July|August|September|October|November|December)[ -])?$"
)
#: "2019, 2020 and 2021": the others tell it.
_OF_A_LIST = re.compile(r"\w|[’']s|\s*[–—-]|(?:,| and| or| to)\s+\d{4}\b")
#: "a slope of 2.3": a value without a unit.
_BARE = re.compile(r"\b(?:of|is|was|are|were|about|approximately|around|roughly) $")
_BOTH_ENDS = re.compile(
    rf"\b(?:from|between|range|spanning|of|in|at|covering|with)\s+(?:about |approximately |roughly |~)?\$?(?P<low>{_DIGITS})\$?\s*(?:-{{1,3}}|–|to|and)\s*\$?(?P<high>{_DIGITS})(?![\d^])"
)
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")
_SPACES = re.compile(r"\\[,;:! ]|[$~]")
#: Factors between a figure and what could stand for it: clearly wrong, still thinkable.
_FACTORS = (Fraction(2, 5), Fraction(3, 5), Fraction(17, 10), Fraction(12, 5))


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

    @property
    def value(self) -> Fraction:
        """Of the digits, without unit and power of ten."""
        return Fraction(_bare(self.text))

    def others(self) -> tuple[str, ...]:
        """Smaller and larger figures in the same form: as many decimals, as many significant digits, round if this one is.

        None for a year: which others are thinkable, this sentence alone does not tell.
        """
        if self.scale == "year":
            return ()
        limit = {"share": Fraction(100), "mantissa": Fraction(9999, 1000)}.get(self.scale)
        least = 1 if self.scale == "mantissa" else 0
        found = (self._scaled(factor) for factor in _FACTORS)
        return tuple(
            dict.fromkeys(
                other
                for other in found
                if other and least <= Fraction(_bare(other)) and (limit is None or Fraction(_bare(other)) <= limit)
            )
        )

    def _scaled(self, factor: Fraction) -> str | None:
        """This figure times a factor, in the same form; None where no other figure of that form is near.

        A figure that ends in zeros stays as round; one of units stays in units.
        """
        bare, decimals, value = _bare(self.text), decimals_of(self.text), self.value
        digits = bare.replace(".", "").strip("0")
        whole = bare.partition(".")[0]
        zeros = len(whole) - len(whole.rstrip("0")) if not decimals else 0
        step = Fraction(10) ** (zeros - decimals)
        if zeros and len(digits) == 1 and value * factor < step:
            step /= 10
        if digits.endswith("5") and len(digits) > 1:
            step *= 5
        scaled = round(value * factor / step) * step
        if scaled <= 0 or scaled == value or not Fraction(5, 4) <= max(scaled, value) / min(scaled, value):
            return None
        separator = _SEPARATOR.search(self.text)
        text = f"{float(scaled):,.{decimals}f}" if separator else f"{float(scaled):.{decimals}f}"
        if Fraction(_bare(text)) != scaled:
            return None
        return text.replace(",", separator.group(0)) if separator else text


def _bare(text: str) -> str:
    return _SEPARATOR.sub("", text)


def number_of(text: str) -> float:
    """The number that a value's text stands for."""
    return float(_bare(text))


def decimals_of(text: str) -> int:
    """How many digits stand behind the point."""
    return len(text.partition(".")[2])


def digits_of(text: str) -> int:
    """Significant digits, the zeros at the end of a whole number left out."""
    bare = _bare(text)
    return len((bare.replace(".", "") if "." in bare else bare.rstrip("0")).lstrip("0")) or 1


def count_numbers(sentence: str) -> int:
    """How many numbers stand in a sentence, whatever they are."""
    return len(re.findall(r"\d+(?:[.,]\d+)*", sentence))


def figures_of(sentence: str) -> tuple[Figure, ...]:
    """The numbers of a sentence that are measured values or counts, in order.

    Args:
        sentence: as it stands in a document, with its formulas.
    """
    return tuple(_figures(sentence))


def ranges_of(sentence: str) -> list[tuple[Figure, Figure]]:
    """Ranges with both ends in figures ("from 80 to 260 km"), in order; the unit is that of the upper end."""
    found = []
    flat = _flat(sentence)
    for match in _BOTH_ENDS.finditer(sentence):
        low, high, after = match["low"], match["high"], flat[match.end() :]
        name = "" if _is_part(after) else _unit(after)
        if name and 0 < number_of(low) < number_of(high) and not (_is_year(low) or _is_year(high)):
            scale: Scale = "share" if name == "%" else "ratio"
            ends = (match.span("low"), low), (match.span("high"), high)
            first, second = (Figure(*span, text, name, scale) for span, text in ends)
            found.append((first, second))
    return found


def _flat(sentence: str) -> str:
    """The sentence with spaces for the marks of formulas and for spaces of TeX, as long as before."""
    return _SPACES.sub(lambda found: " " * len(found.group(0)), sentence)


def _is_year(text: str) -> bool:
    return _YEAR.fullmatch(text) is not None


def _figures(sentence: str) -> Iterator[Figure]:
    flat, formulas = _flat(sentence), formulas_in(sentence)
    for found in _NUMBER.finditer(sentence):
        (start, end), text = found.span(), found[1]
        before, after = flat[max(0, start - _MAX_BEFORE) : start], flat[end:]
        if _is_year(text) and _unit(after) not in _COUNTED:
            if _DATED.search(before) and not _OF_A_LIST.match(after):
                yield Figure(start, end, text, "year", "year")
            continue
        inside = next(((first, last) for first, last in formulas if first < start < last), None)
        head, tail = (flat[inside[0] : start], flat[end : inside[1]]) if inside else ("", "")
        if number_of(text) == 0 or _is_glued(sentence, start, inside is not None) or not _is_term(head, tail):
            continue
        lead, symbol = _lead(before, head)
        if not _is_bound(lead, symbol) and (symbol or not _is_name(lead, _unit(after))):
            key, scale = _key(text, lead, symbol, after)
            if key is not None:
                yield Figure(start, end, text, key, scale)


def _is_glued(sentence: str, start: int, is_inside: bool) -> bool:
    """Whether only a mark of mathematics parts a number from a name or digits before it: "M$2$", "$\\lambda$6087", "49$\\,$959"."""
    if sentence[start - 1 : start] != "$":
        return False
    before = sentence[max(0, start - _MAX_BEFORE) : start - 1]
    return (
        before[-1:].isalnum()
        if is_inside
        else _RELATION.search(_flat(before).rstrip()) is None and not before.endswith(("<", ">", "<="))
    )


def _is_term(head: str, tail: str) -> bool:
    """Whether a number within a formula is a side of it by itself, with its error, power and unit: no term of a sum, no factor.

    Args:
        head: of the formula, in front of the number; empty outside of formulas.
        tail: behind it.
    """
    if "\\begin" in head or _BRACED.fullmatch(head[_end_of_last(_ENDS_TERM, head) :]) is None:
        return False
    value = _VALUE_TAIL.match(tail)
    tail = tail[value.end() :] if value else tail
    for _ in range(2):  # braces within braces
        tail = _BRACES.sub(" ", tail)
    ends = _ENDS_TERM.search(tail)
    return _OPERATOR.search(tail[: ends.start()] if ends else tail) is None


_BRACED = re.compile(r"[\s{}]*")


def _end_of_last(pattern: re.Pattern[str], text: str) -> int:
    return max((found.end() for found in pattern.finditer(text)), default=0)


def _lead(before: str, head: str) -> tuple[str, str]:
    """The words in front of a value, and the symbol that it is the value of; "" if none stands there.

    Args:
        before: the number, formulas flat.
        head: of the formula that the number stands in.
    """
    relation = _RELATION.search(before.rstrip())
    if relation is None:
        return _spaced(before), ""
    left = _RELATION.sub("", head.rstrip()).rstrip()
    if left:
        return _spaced(before[: len(before) - len(head)]), left[_end_of_last(_ENDS_TERM, left) :].strip()
    lead = before[: relation.start()].rstrip()
    token = _TOKEN.search(lead)
    if token and token.group(0).strip("(") and (relation["equals"] or _SYMBOL.fullmatch(token.group(0))):
        return _spaced(lead[: token.start()]), token.group(0)
    return _spaced(lead), ""


def _spaced(text: str) -> str:
    return " ".join(text.split()) + " "


def _is_bound(lead: str, symbol: str) -> bool:
    """Whether a number is a bound, an end of a range, one of a list, or a term of a sum or a product, by what is before it."""
    if _ONE_SIDED.search(lead):  # "up to $e = 0.8$"
        return True
    lead = _ABOUT.sub("", lead)
    return not symbol and any(pattern.search(lead) for pattern in (_BOUND, _IN_A_RANGE, _OF_ALL, _LAST))


def _is_name(lead: str, unit: str) -> bool:
    """Whether the words around a number make a name of it ("Bridge 11", "phase 2", "the pier 4 carries"), or it comes first."""
    words = lead.split()
    if not words or words[-1].lower() in _SHORT_ABOUT:
        return not words
    last = words[-1].strip("(,;:\\")
    opens = len(words) == 1 and last.lower() in _FUNCTION_WORDS
    is_capital = last[:1].isupper() and not opens and words[-1][-1] not in ",;:"
    is_verb = (
        unit in english.THIRD or (unit in english.PAST and unit not in english.PARTICIPLES)
    ) and unit not in english.NOUN_LIKE
    is_subject = is_verb and last.isalpha() and last.lower() not in _FUNCTION_WORDS
    return is_capital or is_subject or last.lower() in _DESIGNATORS or last.endswith((".", "#"))


_SHORT_ABOUT = frozenset({"approx.", "ca.", "c."})
_FUNCTION_WORDS = english.OPENERS | english.PREPOSITIONS | english.DETERMINERS | _HEDGES


def _key(text: str, lead: str, symbol: str, after: str) -> tuple[str | None, Scale]:
    """What a number is the value of, and its scale.

    That is its unit, the symbol in front of it with it, or "" for a bare number; None if nothing says, or what follows makes
    a part of more of it.
    """
    power = _TIMES_TEN.match(after)
    behind = after[power.end() :] if power else after
    name = _unit(behind)
    if _is_part(behind) or _RANGE.match(behind) or (name and _is_level(behind)):
        return None, "ratio"
    if power:
        return "times ten" if 1 <= number_of(text) < 10 else None, "mantissa"
    scale: Scale = "share" if name == "%" and number_of(text) <= 100 else "ratio"
    if symbol:
        if re.fullmatch(r"[\d.,]+", symbol):  # "2.5 × 2.5 = 6.25": worked out
            return None, scale
        # Behind "$s = 2$" any word may follow.
        return f"{symbol}={'' if len(name) > 3 and name not in _COUNTED else name}", scale
    is_bare = not name and _BARE.search(lead) and re.match(r"\s*[A-Z][a-z]", behind) is None  # "of 14 Her b"
    return name if name or is_bare else None, scale


def _is_part(after: str) -> bool:
    """Whether what stands behind a number makes it a factor, a term of a sum or the left side of a definition."""
    value = _VALUE_TAIL.match(after)
    after = after[value.end() :] if value else after
    if _GOES_ON.match(after):
        return True
    unit = _UNIT.match(after)
    if unit is None:
        return False
    is_factor = unit["unit"].startswith("\\") and unit["unit"][1:] in _GREEK
    return is_factor or _UNIT_GOES_ON.match(after[unit.end() :]) is not None


def _unit(after: str) -> str:
    """The unit behind a number and its error, without marks of TeX; "" where the word there cannot be one."""
    value = _VALUE_TAIL.match(after)
    found = _UNIT.match(after, value.end() if value else 0)
    if found is None:
        return ""
    name = found["unit"].lstrip("\\")
    if name in ("per cent", "percent"):
        return "%"
    if name.startswith("^"):
        return "°"
    is_capital = (
        name[0].isupper()
        and name[1:].islower()
        and not _CAPITAL_UNIT.fullmatch(name)
        and name not in _COUNTED | _CAPITAL_UNITS
    )
    is_name = is_capital and _COUNTS.match(after, found.end()) is None
    return "" if name in _NO_UNIT or (name.endswith("ly") and len(name) > 3) or is_name else name


def _is_level(after: str) -> bool:
    """Whether a level of confidence follows, a convention and no finding."""
    return bool(_CONFIDENCE & {word.strip(".,;()-").lower() for word in after.replace("-", " ").split()[:4]})
