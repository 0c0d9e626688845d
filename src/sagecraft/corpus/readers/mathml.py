r"""MathML to LaTeX.

A formula is converted bottom-up: every element is a small function from itself to LaTeX, found in one literal dict.
TeX that the page carries along (`<annotation encoding="application/x-tex">`, LaTeXML's `alttext`) is preferred, since it
is what the author wrote. What has no LaTeX is kept as its text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from sagecraft.corpus.readers.blocks import inside_display
from sagecraft.corpus.readers.mathml_content import CONTENT, content_to_latex
from sagecraft.corpus.readers.symbols import (
    ACCENTS_OVER,
    ACCENTS_UNDER,
    CLOSE_FENCES,
    FUNCTIONS,
    GREEK,
    INVISIBLE,
    LIMITS,
    OPEN_FENCES,
    OPERATORS,
    VARIANTS,
    letter_to_latex,
)

#: Deeper than any formula; what is nested deeper is taken as its text.
_MAX_DEPTH = 60
_TALL = frozenset({"mfrac", "mtable", "munderover", "munder", "msqrt", "mroot"})
_MATRICES = {("(", ")"): "pmatrix", ("[", "]"): "bmatrix", ("|", "|"): "vmatrix", ("{", "}"): "Bmatrix"}
_TEXT_ESCAPES = {
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "&": r"\&",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "\\": r"\backslash ",
}
_ADJACENT_TEXT = re.compile(r"\\text\{((?:[^{}\\]|\\.)*)\}\s*\\text\{")
#: Bases that take a script without braces: a letter, a command, a number, something in brackets.
_SIMPLE_BASE = re.compile(r"\w|\\[A-Za-z]+|[\d.,]+|[)\]|]|\\left.*\\right.*|\(.*\)|\[.*\]", re.DOTALL)
_DEGREES = re.compile(r"^[°º]\s*(.*)$", re.DOTALL)


def local_name(element: Any) -> str:
    """Tag of an element without its namespace; empty for comments and entities."""
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(tag, str) else ""


def to_latex(math: Any) -> str:
    """LaTeX of a `<math>` element, without dollar signs; empty if it shows nothing."""
    alt = math.get("alttext")
    for annotation in math.iter():
        if local_name(annotation) == "annotation" and "tex" in (annotation.get("encoding") or "").lower():
            alt = annotation.text or alt
            break
    if alt and alt.strip():
        return " ".join(tidy_tex(alt).split())
    return _finish(_row(math, _children(math), 0))


def is_display(math: Any) -> bool:
    """True if a `<math>` stands on a line of its own."""
    return bool(math.get("display") == "block" or math.get("mode") == "display")


def tidy_tex(tex: str) -> str:
    """TeX as pages carry it, without the wrapping that only sets the style."""
    tex = tex.strip()
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if tex.startswith(opening) and tex.endswith(closing) and len(tex) > len(opening) + len(closing):
            tex = tex[len(opening) : -len(closing)].strip()
            break
    # A percent sign at the end of a line is LaTeXML's way to break the line.
    tex = re.sub(r"(?<!\\)%\s*\n\s*", "", tex)
    wrapped = re.fullmatch(r"\{\\(?:display|text)style\s*(.*)\}", tex, re.DOTALL)
    tex = wrapped.group(1) if wrapped and _balanced(wrapped.group(1)) else tex
    return inside_display(re.sub(r"^\\(?:display|text)style\b\s*", "", tex.strip()))


def _balanced(tex: str) -> bool:
    depth = 0
    for found in re.finditer(r"\\.|[{}]", tex, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(found.group(), 0)
        if depth < 0:
            return False
    return depth == 0


def _finish(latex: str) -> str:
    """Joins neighbouring texts and sets spaces once."""
    before = None
    while before != latex:
        before, latex = latex, _ADJACENT_TEXT.sub(r"\\text{\1", latex)
    latex = latex.replace("\n", " ").replace(r"\text{ }", " ")
    latex = re.sub(r"(?<!\\) +([,.;)\]}])", r"\1", latex)
    return re.sub(r" {2,}", " ", latex).strip()


def _children(element: Any) -> list[Any]:
    return [
        child for child in element if local_name(child) and local_name(child) not in ("annotation", "annotation-xml")
    ]


def _text_of(element: Any) -> str:
    return " ".join("".join(element.itertext()).replace("\u00a0", " ").split())


def _convert(element: Any, depth: int) -> str:
    if depth > _MAX_DEPTH:
        return rf"\text{{{_escape(_text_of(element))}}}"
    name = local_name(element)
    if name in CONTENT:
        return content_to_latex(element, depth, _convert)
    handler = _HANDLERS.get(name)
    return handler(element, depth) if handler else _row(element, _children(element), depth)


def _row(parent: Any, children: Sequence[Any], depth: int) -> str:
    """Children side by side; fences around something tall become `\\left … \\right`."""
    fenced = _fenced_row(children, depth)
    if fenced is not None:
        return fenced
    if not children:
        return _identifier(parent, depth) if (parent.text or "").strip() else ""
    pieces = [_space(children, position, depth) for position in range(len(children))]
    return _join(pieces)


def _fenced_row(children: Sequence[Any], depth: int) -> str | None:
    if len(children) < 2 or local_name(children[0]) != "mo":
        return None
    opening = _text_of(children[0])
    closing = _text_of(children[-1]) if local_name(children[-1]) == "mo" else ""
    inner = children[1:-1] if closing in CLOSE_FENCES else children[1:]
    if opening not in OPEN_FENCES:
        return None
    table = inner[0] if len(inner) == 1 else None
    while table is not None and local_name(table) in ("mrow", "mstyle") and len(_children(table)) == 1:
        table = _children(table)[0]
    if table is not None and local_name(table) == "mtable":
        if closing in CLOSE_FENCES and (opening, closing) in _MATRICES:
            return _table(table, depth, _MATRICES[(opening, closing)])
        if opening == "{" and not closing:
            return _table(table, depth, "cases")
    if closing not in CLOSE_FENCES or not any(local_name(node) in _TALL for child in inner for node in child.iter()):
        return None
    # Only one pair: `(a/b)(c/d)` in one row begins and ends with fences that do not belong together.
    if any(local_name(child) == "mo" and _text_of(child) in (opening, closing) for child in inner):
        return None
    body = _join([_space(inner, position, depth) for position in range(len(inner))])
    return rf"\left{OPEN_FENCES[opening]} {body} \right{CLOSE_FENCES[closing]}"


def _space(children: Sequence[Any], position: int, depth: int) -> str:
    """LaTeX of a child; narrow spaces next to an operator are typesetting, elsewhere they part number and unit."""
    child = children[position]
    if local_name(child) != "mspace":
        return _convert(child, depth + 1)
    width = _em(child.get("width", ""))
    if width >= 1:
        return r"\quad" if width < 2 else r"\qquad"
    beside = [children[index] for index in (position - 1, position + 1) if 0 <= index < len(children)]
    if width < 0.15 or len(beside) < 2 or any(_is_sign(node) for node in beside):
        return ""
    return r"\,"


def _is_sign(element: Any) -> bool:
    """True if an element sets its own space in LaTeX: an operator, a function name, another space."""
    if local_name(element) in ("mo", "mspace"):
        return True
    text = _text_of(element)
    return text in FUNCTIONS or text in OPERATORS or text in ("+", "=", "/", "<", ">")


def _em(width: str) -> float:
    found = re.match(r"\s*(\d*\.?\d+)\s*em", width)
    return float(found.group(1)) if found else 0.0


def _join(pieces: Sequence[str]) -> str:
    """Puts pieces side by side; a command is kept apart from a letter that follows it."""
    result = ""
    for piece in pieces:
        if not piece:
            continue
        if piece[0].isalpha() and re.search(r"\\[A-Za-z]+$", result):
            result += " "
        result += piece
    return result


def _group(element: Any, depth: int) -> str:
    return _convert(element, depth + 1)


def _identifier(element: Any, depth: int) -> str:  # noqa: ARG001 - the signature of every handler
    text = _text_of(element)
    if not text or text in INVISIBLE:
        return ""
    variant = VARIANTS.get(element.get("mathvariant") or "")
    if text in FUNCTIONS:
        return rf"\{text} "
    if len(text) == 1:
        latex = letter_to_latex(text)
        return _styled(variant, latex) if variant else latex
    if not text.isalpha() or not text.isascii():
        return "".join(letter_to_latex(character) for character in text)
    return f"{variant or chr(92) + 'mathrm'}{{{text}}}"


def _styled(command: str, latex: str) -> str:
    # \mathbf and \mathcal have no effect on commands such as \omega.
    if command == r"\mathcal" and latex.startswith("\\"):
        return latex
    bold = command == r"\mathbf" and latex.startswith("\\") and not latex.startswith(r"\vec")
    return rf"\boldsymbol{{{latex}}}" if bold else f"{command}{{{latex}}}"


def _number(element: Any, depth: int) -> str:  # noqa: ARG001
    text = _text_of(element)
    return text if text.isascii() and text.isalnum() else "".join(letter_to_latex(character) for character in text)


def _operator(element: Any, depth: int) -> str:
    text = _text_of(element)
    if not text or text in INVISIBLE:
        return ""
    if text in OPERATORS:
        command = OPERATORS[text]
        return f" {command} " if command[0] == "\\" and command[-1].isalpha() and not _is_fence(text) else command
    if text in GREEK:
        return GREEK[text]
    if text in FUNCTIONS:
        return rf"\{text} "
    if text in ("=", "<", ">"):
        return f" {text} "
    if len(text) > 1 and any(character.isalpha() for character in text):
        return _words(element, depth)
    return "".join(letter_to_latex(character) for character in text)


def _is_fence(text: str) -> bool:
    return text in OPEN_FENCES or text in CLOSE_FENCES


def _words(element: Any, depth: int) -> str:
    """`<mtext>`: words; signs and function names in it are what they look like."""
    raw = "".join(element.itertext()).replace("\u00a0", " ")
    text = " ".join(raw.split())
    if not text:
        return " " if raw else ""
    if text in FUNCTIONS:
        return rf"\{text} "
    if len(text) == 1 and (text in OPERATORS or text in GREEK):
        return letter_to_latex(text) if text in GREEK or text in "°º" else _operator_text(text)
    if not any(character.isalnum() or character == " " for character in text) and text.isascii():
        return _escape(text)
    if re.fullmatch(r"[−–+-]?\d[\d.,]*", text):
        return _number(element, depth)
    if found := _DEGREES.match(text):
        rest = found.group(1)
        return r"^{\circ}" + (rf"\text{{{_escape(rest)}}}" if rest else "")
    lead = " " if raw[0].isspace() else ""
    tail = " " if raw[-1].isspace() else ""
    return rf"\text{{{lead}{_escape(text)}{tail}}}"


def _operator_text(text: str) -> str:
    command = OPERATORS[text]
    return f" {command} " if command[0] == "\\" and command[-1].isalpha() else command


def _escape(text: str) -> str:
    return "".join(_TEXT_ESCAPES.get(character, character) for character in text)


def _fraction(element: Any, depth: int) -> str:
    parts = _children(element)
    if len(parts) != 2:
        return _row(element, parts, depth)
    over, under = _group(parts[0], depth).strip(), _group(parts[1], depth).strip()
    if element.get("bevelled") == "true":
        return f"{over}/{under}"
    if (element.get("linethickness") or "").strip() in ("0", "0pt", "0em"):
        return rf"\binom{{{over}}}{{{under}}}"
    return rf"\frac{{{over}}}{{{under}}}"


def _base(element: Any, depth: int) -> str:
    """The base of a script, in braces where LaTeX would otherwise take its last letter only."""
    latex = _group(element, depth).strip()
    if not latex:
        return "{}"
    if latex.endswith(")") and latex.count(")") > latex.count("("):
        return latex  # the bracket was opened outside: braces would tear the pair apart
    command = re.fullmatch(r"\\[A-Za-z]+\{(.*)\}", latex, re.DOTALL)
    if command and _balanced(command.group(1)):
        return latex
    return latex if _SIMPLE_BASE.fullmatch(latex) else f"{{{latex}}}"


def _leading_space(base: Any) -> str:
    """A space that opens the base of a script parts it from what is before: `5 (space m/s) squared`."""
    inner = _children(base) if local_name(base) in ("mrow", "mstyle") else []
    is_space = len(inner) > 1 and local_name(inner[0]) == "mspace" and 0.15 <= _em(inner[0].get("width", "")) < 1
    return r"\," if is_space else ""


def _script(element: Any, depth: int, marks: str) -> str:
    parts = _children(element)
    if len(parts) != len(marks) + 1:
        return _row(element, parts, depth)
    result = _leading_space(parts[0]) + _base(parts[0], depth)
    for mark, part in zip(marks, parts[1:], strict=True):
        latex = _group(part, depth).strip()
        if latex in (r"^{\circ}", r"\circ"):
            latex = r"\circ"
        elif set(latex) == {"'"}:
            latex = r"\prime" * len(latex)
        result += f"{mark}{{{latex}}}" if latex else ""
    return result


def _over_under(element: Any, depth: int, marks: str) -> str:
    """`munder`, `mover`, `munderover`: accents, limits of operators, else stacked signs."""
    parts = _children(element)
    if len(parts) != len(marks) + 1:
        return _row(element, parts, depth)
    base_text = _text_of(parts[0])
    base = _group(parts[0], depth).strip()
    result, limits = (
        base,
        base_text in LIMITS or base_text in FUNCTIONS or base.startswith((r"\lim", r"\underbrace", r"\overbrace")),
    )
    for mark, part in zip(marks, parts[1:], strict=True):
        sign = _text_of(part)
        accents = ACCENTS_OVER if mark == "^" else ACCENTS_UNDER
        latex = _group(part, depth).strip()
        if sign in accents and not limits:
            result = f"{_widened(accents[sign], base_text)}{{{result}}}"
        elif limits:
            result += f"{mark}{{{latex}}}" if latex else ""
        elif latex:
            result = rf"\{'over' if mark == '^' else 'under'}set{{{latex}}}{{{result}}}"
    return result


def _widened(command: str, base: str) -> str:
    if len(base) < 2:
        return command
    wide = {r"\vec": r"\overrightarrow", r"\hat": r"\widehat", r"\tilde": r"\widetilde", r"\bar": r"\overline"}
    return wide.get(command, command)


def _square_root(element: Any, depth: int) -> str:
    return rf"\sqrt{{{_row(element, _children(element), depth).strip()}}}"


def _root(element: Any, depth: int) -> str:
    parts = _children(element)
    if len(parts) != 2:
        return _square_root(element, depth)
    return rf"\sqrt[{_group(parts[1], depth).strip()}]{{{_group(parts[0], depth).strip()}}}"


def _fenced(element: Any, depth: int) -> str:
    opening, closing = element.get("open", "("), element.get("close", ")")
    separators = (element.get("separators", ",") or "").replace(" ", "")
    parts = _children(element)
    if len(parts) == 1 and local_name(parts[0]) == "mtable" and (opening, closing) in _MATRICES:
        return _table(parts[0], depth, _MATRICES[(opening, closing)])
    body = ""
    for position, part in enumerate(parts):
        if position and separators:
            body += separators[min(position - 1, len(separators) - 1)] + " "
        body += _group(part, depth)
    left, right = OPEN_FENCES.get(opening, opening), CLOSE_FENCES.get(closing, closing)
    if any(local_name(node) in _TALL for node in element.iter()):
        return rf"\left{left or '.'} {body.strip()} \right{right or '.'}"
    return f"{left}{body.strip()}{right}"


def _table(element: Any, depth: int, environment: str = "") -> str:
    rows = []
    for row in _children(element):
        stated = _children(row)[1:] if local_name(row) == "mlabeledtr" else _children(row)
        cells = [_children(cell) if local_name(cell) == "mtd" else [cell] for cell in stated]
        latex = [_row(row, cell, depth + 1).strip() if cell else "" for cell in cells]
        if any(latex):
            rows.append(_merge_relation(latex))
    columns = max((len(row) for row in rows), default=0)
    if not columns:
        return ""
    if len(rows) == 1 and not environment:
        return r" \quad ".join(cell for cell in rows[0] if cell)
    body = r" \\ ".join(" & ".join(row) for row in rows)
    if environment:
        return rf"\begin{{{environment}}} {body} \end{{{environment}}}"
    aligns = _alignment(element, columns)
    if aligns[:1] == "r" or (columns > 1 and any(row[1:2] and row[1].startswith("=") for row in rows)):
        return rf"\begin{{aligned}} {body} \end{{aligned}}"
    return rf"\begin{{array}}{{{aligns}}} {body} \end{{array}}"


def _merge_relation(cells: list[str]) -> list[str]:
    """`a & = & b` (three columns, the relation in the middle) becomes `a & = b`."""
    if len(cells) == 3 and cells[1] in ("=", r"\to", r"\approx", r"\leq", r"\geq", "<", ">", r"\propto", r"\equiv"):
        return [cells[0], f"{cells[1]} {cells[2]}".strip()]
    return cells


def _alignment(table: Any, columns: int) -> str:
    """One letter a column, from the table's `columnalign` or that of its first full row."""
    stated = (table.get("columnalign") or "").split()
    for row in _children(table):
        cells = _children(row)
        if not stated and len(cells) == columns and any(cell.get("columnalign") for cell in cells):
            stated = [cell.get("columnalign") or "center" for cell in cells]
    letters = [name[:1] if name[:1] in "lcr" else "c" for name in stated] or ["c"]
    return "".join(letters[min(position, len(letters) - 1)] for position in range(columns))


def _enclosed(element: Any, depth: int) -> str:
    inner = _row(element, _children(element), depth).strip()
    notation = element.get("notation", "")
    if "strike" in notation:
        return rf"\cancel{{{inner}}}"
    return rf"\boxed{{{inner}}}" if "box" in notation else inner


def _style(element: Any, depth: int) -> str:
    inner = _row(element, _children(element), depth)
    command = VARIANTS.get(element.get("mathvariant") or "")
    if (
        not command
        or not inner.strip()
        or command == r"\mathrm"
        or inner.lstrip().startswith((r"\mathbf", r"\boldsymbol"))
    ):
        return inner
    accent = re.fullmatch(r"(\\(?:vec|hat|bar|dot|overrightarrow|tilde))\{(.*)\}", inner.strip(), re.DOTALL)
    if accent and _balanced(accent.group(2)):
        return f"{accent.group(1)}{{{_styled(command, accent.group(2))}}}"
    return _styled(command, inner.strip())


def _multiscripts(element: Any, depth: int) -> str:
    parts = _children(element)
    names = [local_name(part) for part in parts]
    split = names.index("mprescripts") if "mprescripts" in names else len(parts)
    after, before = parts[1:split], parts[split + 1 :]

    def scripts(items: Sequence[Any]) -> str:
        latex = ["" if local_name(item) == "none" else _group(item, depth).strip() for item in items]
        return "".join(f"{'_^'[position % 2]}{{{piece}}}" for position, piece in enumerate(latex) if piece)

    lead = scripts(before)
    return (f"{{}}{lead}" if lead else "") + (_base(parts[0], depth) if parts else "") + scripts(after)


_HANDLERS: dict[str, Callable[[Any, int], str]] = {
    "mi": _identifier,
    "mn": _number,
    "mo": _operator,
    "mtext": _words,
    "ms": _words,
    "mfrac": _fraction,
    "msup": lambda element, depth: _script(element, depth, "^"),
    "msub": lambda element, depth: _script(element, depth, "_"),
    "msubsup": lambda element, depth: _script(element, depth, "_^"),
    "mover": lambda element, depth: _over_under(element, depth, "^"),
    "munder": lambda element, depth: _over_under(element, depth, "_"),
    "munderover": lambda element, depth: _over_under(element, depth, "_^"),
    "msqrt": _square_root,
    "mroot": _root,
    "mfenced": _fenced,
    "mtable": _table,
    "menclose": _enclosed,
    "mstyle": _style,
    "mmultiscripts": _multiscripts,
    # The first of several presentations, the number of a row, and what was meant beside what is shown.
    "maction": lambda element, depth: "".join(_group(part, depth) for part in _children(element)[:1]),
    "semantics": lambda element, depth: "".join(_group(part, depth) for part in _children(element)[:1]),
    "mlabeledtr": lambda element, depth: _row(element, _children(element)[1:], depth),
    "mglyph": lambda element, depth: _escape(element.get("alt") or ""),  # noqa: ARG005
    "mphantom": lambda element, depth: "",  # noqa: ARG005
    "none": lambda element, depth: "",  # noqa: ARG005
    "mspace": lambda element, depth: "",  # noqa: ARG005
}
