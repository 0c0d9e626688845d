"""Whether a given result agrees with a reference: numbers with units and tolerance, or the letter of an option.

Prose that is neither is not decided here: the answer is then None, and whoever asks may let a grader judge.
"""

from __future__ import annotations

import re

from sagecraft.synthesis.chains.quantities import Quantity, quantity_of, same_quantity, ungrouped

#: Characters at the end of a reply in which its result is looked for.
_END_CHARS = 20_000
_LETTER = re.compile(r"\(?([A-J])\)?[.:]?")
_STATED_LETTER = re.compile(r"\b(?:answer|option|choice)(?: is|:)? \(?([A-J])\b")
_PARTS = re.compile(r"(?:^|(?<=[\s;,.]))\(?([a-h])[.)]\s")
#: What introduces a result at the end of a solution; a result without it stands alone in its text.
_STATED = re.compile(r"(?:####|\banswer\b[*_`]{0,3}\s{0,4}(?:is|:|=)|\bresult (?:is|:))\s{0,4}", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{((?:[^{}]|\{[^{}]{0,200}\}){1,400})\}")
_MATH = re.compile(r"\$\$([^$]{1,2000})\$\$|\$([^$\n]{1,2000})\$")
#: "$3.0 \\times 10^{8}$ m/s"
_UNIT_BESIDE = re.compile(r" ?(°[CF]?|%|[A-Za-zµΩ]{1,12}(?:[/·^][A-Za-zµΩ\d^-]{1,12})?)")
_PROSE_QUANTITY = re.compile(
    r"(?<![\w.])-?\d[\d,.]*(?:\s?[×x]\s?10\^?\{?[-−⁻\d⁰¹²³⁴-⁹]+\}?)?(?:\s?(?:°[CF]?|%|[A-Za-zµΩÅ/·^²³\d-]{1,20}))?"
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
    whole = _LETTER.fullmatch(given.strip())
    stated = [whole.group(1)] if whole else _STATED_LETTER.findall(given)
    return stated[-1] == letter if stated else None


def _by_part(text: str) -> dict[str, str]:
    """The parts "(a) … (b) …" of a text, which begin with a and go on without gaps; empty where there are none."""
    marks = list(_PARTS.finditer(text))
    letters = "".join(mark.group(1) for mark in marks)
    if len(letters) < 2 or not "abcdefgh".startswith(letters):
        return {}
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    return {mark.group(1): text[mark.end() : end].strip(" ;,.") for mark, end in zip(marks, ends, strict=True)}


def _agrees_in_one(given: str, reference: str) -> bool | None:
    wanted = quantity_of(reference) or result_of(reference)
    found = quantity_of(given) or result_of(given)
    return None if wanted is None or found is None else same_quantity(found, wanted)


def result_of(text: str) -> Quantity | None:
    """The last result that a text states: in a box, behind "the answer is", or the last number in a formula or in words."""
    text = ungrouped(text[-_END_CHARS:])
    if boxed := _BOXED.findall(text):
        return quantity_of(boxed[-1])
    if stated := list(_STATED.finditer(text)):
        text = text[stated[-1].end() :].partition("\n")[0]
        if whole := quantity_of(text):
            return whole
    formula = next(iter(reversed(list(_MATH.finditer(text)))), None)
    end = 0 if formula is None else formula.end()
    for found in reversed(list(_PROSE_QUANTITY.finditer(text, end))):
        if whole := quantity_of(found.group(0)):
            return whole
    if formula is None:
        return None
    whole = quantity_of(formula.group(1) or formula.group(2))
    beside = _UNIT_BESIDE.match(text, end)
    if whole and not whole.unit and beside:
        return quantity_of(f"{formula.group(1) or formula.group(2)} {beside.group(1)}") or whole
    return whole
