r"""Tables that a recogniser wrote as LaTeX (`\begin{tabular}`) to Markdown."""

from __future__ import annotations

import re

from sagecraft.corpus.readers.blocks import table_block

_BEGIN = re.compile(r"\\begin\{(tabular|table)(\*?)\}")
_WRAPPER = re.compile(r"\\(?:begin|end)\{table\*?\}(?:\[[^\]\n]{0,20}\])?|\\centering\b|\\label\{[^{}\n]{0,100}\}")
_RULE = re.compile(
    r"\\(?:hline|toprule|midrule|bottomrule|cline\{[^{}\n]{0,20}\}|cmidrule(?:\([lr]{1,2}\))?\{[^{}\n]{0,20}\})"
)
_SPAN = re.compile(r"\\(?:multicolumn|multirow)\s?\{(\d{1,3})\}\s?\{[^{}\n]{0,60}\}\s?\{")
_CAPTION = re.compile(r"\\caption\{")
_STYLE = re.compile(r"\\(?:textbf|textit|textrm|emph|text|mbox)\{([^{}]{0,500})\}")
#: A row ends where `\\` stands, a cell where `&` does; escaped ones and those in braces or formulas do not count.
_SIGN = re.compile(r"\\\\|\\.|[{}&$]", re.DOTALL)
#: A table of more is no table.
_MAX_COLUMNS = 100


def tables_to_markdown(text: str) -> tuple[str, int]:
    r"""Makes Markdown tables of LaTeX ones; a table that has no end or no rows stays as it is.

    Returns:
        The text, and how many tables were converted.
    """
    if r"\begin{tab" not in text:
        return text, 0
    pieces: list[str] = []
    end = count = 0
    for found in _BEGIN.finditer(text):
        if found.start() < end:
            continue
        mark = rf"\end{{{found[1]}{found[2]}}}"
        close = text.find(mark, found.end())
        if close < 0:
            break  # and none that begins later has an end either, or it would have been found
        table = _convert(text[found.start() : close + len(mark)])
        if table:
            pieces += [text[end : found.start()].rstrip(" "), table]
            end = close + len(mark)
            count += 1
    return "".join([*pieces, text[end:]]), count


def _convert(source: str) -> str:
    inner = re.search(r"\\begin\{tabular\*?\}", source)
    last = source.rfind(r"\end{tabular")
    if not inner or last < 0:
        return ""
    body_start = _after_group(source, inner.end())
    rows = _rows(_RULE.sub("", source[body_start:last]))
    table = table_block(rows)
    if not table:
        return ""
    around = _WRAPPER.sub("", source[: inner.start()]) + " " + _WRAPPER.sub("", source[source.find("}", last) + 1 :])
    caption = _CAPTION.search(around)
    title = " ".join(around[caption.end() : _group_end(around, caption.end())].split()) if caption else ""
    return "\n\n".join(part for part in ("\n", title, table, "\n") if part.strip()) if title else table


def _after_group(text: str, start: int) -> int:
    """Where a group in braces that begins at `start` (spaces aside) has ended."""
    opening = re.compile(r"\s{0,5}\{").match(text, start)
    return _group_end(text, opening.end()) + 1 if opening else start


def _group_end(text: str, start: int) -> int:
    depth = 1
    for found in _SIGN.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth == 0:
            return found.start()
    return len(text)


def _rows(body: str) -> list[list[str]]:
    rows: list[list[str]] = [[]]
    depth, formula, start = 0, False, 0
    for found in _SIGN.finditer(body):
        sign = found.group()
        depth += {"{": 1, "}": -1}.get(sign, 0)
        formula ^= sign == "$"
        if depth <= 0 and not formula and sign in ("&", r"\\"):
            rows[-1] += _cell(body[start : found.start()])
            start = found.end()
            if sign == r"\\":
                rows.append([])
    rows[-1] += _cell(body[start:])
    filled = [row for row in rows if any(row)]
    return filled if all(len(row) <= _MAX_COLUMNS for row in filled) else []


def _cell(text: str) -> list[str]:
    """A cell, with the empty ones that it spans."""
    text = text.strip()
    span = _SPAN.match(text)
    width = 1
    if span:
        width = int(span[1]) if text.startswith(r"\multicolumn") else 1
        text = text[span.end() : _group_end(text, span.end())]
    for _ in range(3):
        text = _STYLE.sub(r"\1", text)
    return [text.replace(r"\&", "&").strip(), *[""] * (min(width, _MAX_COLUMNS) - 1)]
