"""Whether a given result agrees with a reference: numbers with units and tolerance, or the letter of an option.

Prose that is neither is not decided here: the answer is then None, and whoever asks may let a grader judge.
"""

from __future__ import annotations

import re

from sagecraft.synthesis.chains.quantities import Quantity, plain, quantity_of, same_quantity, ungrouped

#: Characters at the end of a reply in which its result is looked for.
_END_CHARS = 20_000
#: Longest text that is read as a range, a vector or alternatives.
_MAX_SHORT_CHARS = 400
#: Numbers of a text that are looked at, from its end.
_MAX_TRIED = 50
_LETTER = re.compile(r"\(?([A-J])\)?[.:]?")
_LETTER_ALONE = re.compile(r"\(?([A-Ja-j])\)?[.:]?|([A-J])[).:]\s.*|\(([A-J])\)\s.*", re.DOTALL)
_STATED_LETTER = re.compile(r"\b(?:[Aa]nswer|[Oo]ption|[Cc]hoice)\b(?: is)?:?\s{0,4}(?:\(([A-Ja-j])\)|([A-J])\b)")
#: What is written around a letter: "**B**", "\\boxed{\\text{B}}".
_DRESS = re.compile(r"\\(?:boxed|text|textbf|mathrm|mathbf)\b|[*_`${}]")
_PARTS = re.compile(r"(?:^|(?<=[\s;,.]))\(?([a-h])[.)]\s")
#: What introduces a result at the end of a solution; a result without it stands alone in its text.
_STATED = re.compile(r"(?:####|\banswer\b[*_`]{0,3}\s{0,4}(?:is|:|=)|\bresult (?:is|:))\s{0,4}", re.IGNORECASE)
_BOXED = "\\boxed{"
_VALUE = r"[-+]? ?\d[\d,]*(?:\.\d+)?(?: ?x ?10\^\{?-?\d+\}?)?"
#: "2-4 m", "between 2 and 4 m", "from 2 m to 4 m"
_RANGE = re.compile(
    rf"(?:.{{0,200}}?\b(?:between|from) )?(?P<low>{_VALUE})(?P<unit>(?: ?[^\d\s,;]{{1,20}})?)(?: ?- ?| to | and )(?P<high>{_VALUE})(?P<rest>(?: ?[^\d\s,;]{{1,20}}){{0,3}})"
)
_OR = re.compile(r",?\s+or\s+")
_COMPONENT = re.compile(rf"(?P<sign>[-+]?) ?\(?(?P<value>[-+]?{_VALUE})?(?P<unit>[^\d‹›+-]{{0,20}})‹(?P<axis>[ijk])›")
_TUPLE = re.compile(rf"\(({_VALUE}(?:, ?{_VALUE}){{1,2}})\)(.{{0,30}})")
_MATH = re.compile(r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$")
#: "$3.0 \\times 10^{8}$ m/s"
_UNIT_BESIDE = re.compile(r" ?(°[CF]?|%|[A-Za-zµΩ]{1,12}(?:[/·^][A-Za-zµΩ\d^-]{1,12})?)")
_PROSE_QUANTITY = re.compile(
    r"(?<![\w.])(?:\d+(?:\.\d+)?\s?(?:h|hr|hours?|min|minutes?|d|days?|weeks?|ft|feet|deg|degrees?|°|m|kg|lb)\.?,?\s(?:and\s)?(?=\d))?"
    r"-?\d[\d,.]*(?:/\d+)?(?:\s?(?:±|\+/-)\s?\d+(?:\.\d+)?)?(?:\s?[×x·*]\s?10\^?\{?[-−⁻\d⁰¹²³⁴-⁹]+\}?)?(?:\s?(?:°[CF]?|%|[A-Za-zµΩÅ/·^²³\d-]{1,20}))?"
)


def agrees(given: str, reference: str) -> bool | None:
    """Whether a result is the reference.

    Args:
        given: a reply, or its end; the last result in it counts.
        reference: the right result: "4.08 m", "$a = 39.6\\,\\text{m/s}^{2}$", "C", "a. 3.8 V; b. 2.2 V".

    Returns:
        None where either cannot be read as a result of the other's sort.
    """
    if letter := _LETTER.fullmatch(reference.strip()):
        return _same_letter(given, letter.group(1))
    wanted, found = _by_part(reference), _by_part(given)
    if len(wanted) > 1:
        if wanted.keys() != found.keys():
            return None
        verdicts = [_agrees_in_one(found[part], wanted[part]) for part in wanted]
        return False if False in verdicts else None if None in verdicts else True
    return _agrees_in_one(given, reference)


def _same_letter(given: str, letter: str) -> bool | None:
    bare = _DRESS.sub("", given).strip()
    stated = [next(filter(None, found)) for found in _STATED_LETTER.findall(bare)]
    if not stated and (whole := _LETTER_ALONE.fullmatch(bare)):
        stated = [next(filter(None, whole.groups()))]
    return stated[-1].upper() == letter if stated else None


def _by_part(text: str) -> dict[str, str]:
    """The parts "(a) … (b) …" of a text, which begin with a and go on without gaps; empty where there are none."""
    marks = list(_PARTS.finditer(text))
    letters = "".join(mark.group(1) for mark in marks)
    if len(letters) < 2 or not "abcdefgh".startswith(letters):
        return {}
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {mark.group(1): text[mark.end() : end].strip(" ;,.") for mark, end in zip(marks, ends, strict=True)}


def _agrees_in_one(given: str, reference: str) -> bool | None:
    for read in (_range_of, _vector_of):
        wanted, found = read(reference), read(given)
        if wanted and found:
            return _all_same(found, wanted)
        if wanted or found:
            return None
    alternatives = _alternatives(reference)
    verdicts = [_same_result(one, alternatives) for one in _alternatives(given)]
    # Who names several results and means one of them has none.
    return verdicts[0] if len(set(verdicts)) == 1 else None


def _alternatives(text: str) -> list[str]:
    """The quantities of "115 m/s or 414 km/h"; the text itself where it is nothing of the kind."""
    parts = _OR.split(text.strip()) if len(text) <= _MAX_SHORT_CHARS else []
    return parts if len(parts) > 1 and all(quantity_of(part) for part in parts) else [text]


def _same_result(given: str, references: list[str]) -> bool | None:
    verdicts: list[bool | None] = []
    found = quantity_of(given) or result_of(given)
    for reference in references:
        wanted = quantity_of(reference) or result_of(reference)
        verdicts.append(None if wanted is None or found is None else same_quantity(found, wanted))
    return True if True in verdicts else None if None in verdicts else False


def _all_same(found: dict[str, Quantity], wanted: dict[str, Quantity]) -> bool | None:
    if found.keys() != wanted.keys():
        return False
    verdicts = [same_quantity(found[name], wanted[name]) for name in wanted]
    return False if False in verdicts else None if None in verdicts else True


def _range_of(text: str) -> dict[str, Quantity] | None:
    """Both ends of "2 to 4 m"; None of anything else."""
    if len(text) > _MAX_SHORT_CHARS:
        return None
    found = _RANGE.fullmatch(plain(text).rstrip(" ."))
    if found is None or (" and " in found.group(0) and "between" not in found.group(0)):
        return None
    low = quantity_of(f"{found['low']} {found['unit'].strip() or found['rest'].strip()}")
    high = quantity_of(f"{found['high']} {found['rest'].strip()}")
    is_range = low is not None and high is not None and low.dimensions == high.dimensions and low.value < high.value
    return {"low": low, "high": high} if is_range and low and high else None


def _vector_of(text: str) -> dict[str, Quantity] | None:
    """The components of "3i + 4j N" and "(3, 4) m"; None of anything else."""
    if len(text) > _MAX_SHORT_CHARS:
        return None
    bare = plain(text).rpartition("=")[2].strip(" .")
    if found := _TUPLE.fullmatch(bare):
        values = [quantity_of(f"{value} {found.group(2)}") for value in re.split(r", ", found.group(1))]
        return None if None in values else {axis: value for axis, value in zip("ijk", values, strict=False) if value}
    parts = list(_COMPONENT.finditer(bare))
    if not parts:
        return None
    behind = re.sub(r"[()]", " ", bare[parts[-1].end() :]).strip()
    vector: dict[str, Quantity] = {}
    for part in parts:
        unit = re.sub(r"[()]", " ", part["unit"]).strip() or behind
        value = quantity_of(f"{part['sign']}{part['value'] or '1'} {unit}")
        if value is None or part["axis"] in vector:
            return None
        vector[part["axis"]] = value
    return vector


def result_of(text: str) -> Quantity | None:
    """The last result that a text states: in a box, behind "the answer is", or the last number in a formula or in words."""
    text = ungrouped(text[-_END_CHARS:])
    if (begin := text.rfind(_BOXED)) >= 0:
        return quantity_of(f"${_within(text, begin + len(_BOXED))}$")
    if stated := list(_STATED.finditer(text)):
        text = text[stated[-1].end() :].partition("\n")[0]
        first = re.split(r"\.\s+(?=[A-Z(])", text, maxsplit=1)[0]
        text = first if re.search(r"\d", first) else text
        if whole := quantity_of(text):
            return whole
    formula = next(iter(reversed(list(_MATH.finditer(text)))), None)
    end = 0 if formula is None else formula.end()
    for found in reversed(list(_PROSE_QUANTITY.finditer(text, end))[-_MAX_TRIED:]):
        if whole := quantity_of(found.group(0)):
            return whole
    if formula is None:
        return None
    whole = quantity_of(f"${formula.group(1) or formula.group(2)}$")
    beside = _UNIT_BESIDE.match(text, end)
    if whole and not whole.unit and beside:
        return quantity_of(f"${formula.group(1) or formula.group(2)}$ {beside.group(1)}") or whole
    return whole


def _within(text: str, begin: int) -> str:
    """What stands up to the brace that closes the one before."""
    depth = 1
    for end in range(begin, min(len(text), begin + _MAX_SHORT_CHARS)):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        if not depth:
            return text[begin:end]
    return ""
