r"""Mathematics of recognised Markdown: delimiters to `$…$` and `$$…$$`, runs of spacing, formulas that loop.

Every rule is a pure function of the text that gives back the text and in how many places it changed something. Each is
linear: it scans the text once, and never past the next mark of the same kind.
"""

from __future__ import annotations

import re

from sagecraft.corpus.clean import find_loops

#: What may open, close or forbid a formula: an escaped backslash, the four delimiters, a blank line.
_DELIMITER = re.compile(r"\\\\|\\[()\[\]]|\n[ \t]*\n")
_SPACING = (
    r"\\(?:quad|qquad|enspace|enskip|thinspace|medspace|thickspace)(?![A-Za-z])|\\[,;:! ]|"
    r"\\[hk](?:skip|ern)[ ]?-?[\d.]{1,12}[ ]?(?:pt|em|ex|mm|cm|in|mu)|\\hspace\*?\{[^{}\n]{0,20}\}"
)
#: Two and more spaces in a row. An escaped backslash is taken first, so that `\\,` is a line end and a comma.
_SPACING_RUN = re.compile(rf"(\\\\)|((?:{_SPACING})(?:[ \n]?(?:{_SPACING}))+)")
_ONE_SPACING = re.compile(_SPACING)
# Possessive: what has been read is never tried again, and no place to go back to is kept in memory.
_FORMULA = re.compile(r"\$\$((?:[^$\\]|\\.)++)\$\$|(?<![\\$])\$((?:[^$\\\n]|\\.)++)\$", re.DOTALL)
_TILDES = re.compile(r"~(?:[ ]?~)+")
_MATH_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[^\s]", re.DOTALL)
_TAG = re.compile(r"[ ]*\\tag\*?[ ]?\{[^{}\n]{0,40}\}")
#: A formula in which a sequence of at most so many tokens stands so often in a row was not read but made up.
_LONGEST_PERIOD, _LEAST_REPEATS = 22, 10
#: Nobody writes a formula of so many characters.
_LONGEST_FORMULA = 50_000
_HARMLESS = frozenset("&0123456789.,-+ ") | {
    r"\\",
    r"\cdot",
    r"\ldots",
    r"\cdots",
    r"\dots",
    r"\vdots",
    r"\ddots",
    r"\hline",
}


def normalize_delimiters(text: str) -> tuple[str, int, int]:
    r"""Makes `$…$` of `\(…\)` and `$$…$$` of `\[…\]`.

    A formula that a blank line or another opening interrupts lost its end: its opening is taken out, what it holds stays.
    Where these delimiters are used, a bare dollar sign is money and is escaped.

    Returns:
        The text, how many formulas there are, and how many had lost their end.
    """
    marks = [(found.start(), found.end(), found.group()) for found in _DELIMITER.finditer(text)]
    if not any(mark in (r"\(", r"\[") for _, _, mark in marks):
        return text, 0, 0
    pieces: list[str] = []
    escape = "$$" not in text
    end = num_formulas = num_open = 0
    opened: tuple[int, int, str] | None = None
    for mark in marks:
        start, stop, sign = mark
        if sign in (r"\(", r"\[") or (sign[0] == "\n" and opened):
            if opened:  # what was open stays so
                pieces += [_plain(text[end : opened[0]], escape), _plain(text[opened[1] : start], escape)]
                end = start
                num_open += 1
            opened = mark if sign[0] == "\\" else None
        elif sign in (r"\)", r"\]") and opened and (opened[2] == r"\(") == (sign == r"\)"):
            dollars = "$" if sign == r"\)" else "$$"
            inner = text[opened[1] : start].replace("$", "").strip()
            pieces += [_plain(text[end : opened[0]], escape), f"{dollars}{inner}{dollars}" if inner else ""]
            end, opened = stop, None
            num_formulas += 1
    if opened:
        pieces += [_plain(text[end : opened[0]], escape), text[opened[1] :]]
        return "".join(pieces), num_formulas, num_open + 1
    return "".join([*pieces, _plain(text[end:], escape)]), num_formulas, num_open


def _plain(text: str, escape: bool) -> str:
    return re.sub(r"(?<!\\)\$", r"\\$", text) if escape and "$" in text else text


def drop_tags(text: str) -> tuple[str, int]:
    r"""Takes `\tag{…}` out of formulas: the readers of LaTeX do not print numbers of equations either."""
    return _TAG.subn("", text)


def drop_spacing_runs(text: str) -> tuple[str, int]:
    r"""Of two and more commands for space in a row (`\quad \quad`, `\,\,\,`, `\hskip 1pt\hskip 1pt`) the first stays."""
    count = 0

    def shorten(found: re.Match[str]) -> str:
        nonlocal count
        if found[1]:
            return found[0]
        count += 1
        first = _ONE_SPACING.match(found[0])
        return first[0] if first else found[0]

    def tie(found: re.Match[str]) -> str:
        nonlocal count
        inner, num_runs = _TILDES.subn("~", found[0])
        count += num_runs
        return inner

    text = _SPACING_RUN.sub(shorten, text)
    # In running text `~~` begins and ends what is struck out.
    return (_FORMULA.sub(tie, text) if "~" in text else text), count


def drop_math_loops(text: str) -> tuple[str, int]:
    r"""A formula in which the same tokens stand ten times in a row keeps them once; if that breaks its braces, it goes.

    Rows of zeros, dots, alignment marks and digits are how matrices and numbers look, and stay.
    """
    count = 0

    def repair(found: re.Match[str]) -> str:
        nonlocal count
        inner = found[1] or found[2]
        if len(inner) < 2 * _LEAST_REPEATS:
            return found[0]
        mended = _without_loops(inner) if len(inner) <= _LONGEST_FORMULA else ""
        if mended is None:
            return found[0]
        count += 1
        dollars = "$$" if found[1] else "$"
        return f"{dollars}{mended}{dollars}" if mended and _is_balanced(mended) else ""

    return _FORMULA.sub(repair, text), count


def _without_loops(formula: str) -> str | None:
    tokens = list(_MATH_TOKEN.finditer(formula))
    keys = [token.group() for token in tokens]
    pieces: list[str] = []
    end, found = 0, False
    for start, period, stop in find_loops(keys, 1, _LONGEST_PERIOD, _LEAST_REPEATS):
        if all(key in _HARMLESS for key in keys[start : start + period]):
            continue
        found = True
        pieces.append(formula[end : tokens[start + period - 1].end()])
        end = tokens[stop - 1].end()
    return "".join([*pieces, formula[end:]]).strip() if found else None


def _is_balanced(formula: str) -> bool:
    depth = 0
    for token in _MATH_TOKEN.finditer(formula):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if depth < 0:
            return False
    lefts, rights = len(re.findall(r"\\left(?![A-Za-z])", formula)), len(re.findall(r"\\right(?![A-Za-z])", formula))
    begins, ends = formula.count(r"\begin{"), formula.count(r"\end{")
    return depth == 0 and lefts == rights and begins == ends
