r"""Content MathML to LaTeX: what a formula means (`<apply><plus/>…`), written the usual way.

Operators are rows of literal dicts; what is applied and not in one of them is a function, `f(x, y)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sagecraft.corpus.readers.symbols import FUNCTIONS, letter_to_latex

Convert = Callable[[Any, int], str]

#: Operator → sign between its arguments, and how tightly it binds (a looser one inside is put in brackets).
_INFIX: dict[str, tuple[str, int]] = {
    "eq": (" = ", 1), "neq": (r" \neq ", 1), "lt": (" < ", 1), "gt": (" > ", 1), "leq": (r" \leq ", 1), "geq": (r" \geq ", 1),
    "equivalent": (r" \equiv ", 1), "approx": (r" \approx ", 1), "implies": (r" \Rightarrow ", 0), "tendsto": (r" \to ", 1),
    "in": (r" \in ", 1), "notin": (r" \notin ", 1), "subset": (r" \subseteq ", 1), "prsubset": (r" \subset ", 1),
    "notsubset": (r" \not\subseteq ", 1), "and": (r" \wedge ", 2), "or": (r" \vee ", 2), "xor": (r" \oplus ", 2),
    "union": (r" \cup ", 3), "intersect": (r" \cap ", 3), "setdiff": (r" \setminus ", 3), "plus": ("+", 4), "minus": ("-", 4),
    "times": (r" \cdot ", 5), "rem": (r" \bmod ", 5), "vectorproduct": (r" \times ", 5), "scalarproduct": (r" \cdot ", 5),
    "outerproduct": (r" \otimes ", 5), "cartesianproduct": (r" \times ", 5), "compose": (r" \circ ", 5), "factorof": (r" \mid ", 1),
}  # fmt: skip
#: Operator → what stands before and behind its argument.
_AROUND: dict[str, tuple[str, str]] = {
    "abs": (r"\left|", r"\right|"), "floor": (r"\lfloor ", r" \rfloor"), "ceiling": (r"\lceil ", r" \rceil"), "card": ("|", "|"),
    "conjugate": (r"\overline{", "}"), "mean": (r"\langle ", r" \rangle"), "not": (r"\neg ", ""), "factorial": ("", "!"),
    "transpose": ("", "^{T}"), "inverse": ("", "^{-1}"), "grad": (r"\nabla ", ""), "divergence": (r"\nabla \cdot ", ""),
    "curl": (r"\nabla \times ", ""), "laplacian": (r"\nabla^{2} ", ""), "forall": (r"\forall ", ""), "exists": (r"\exists ", ""),
}  # fmt: skip
_NAMED = {"arcsinh": "arsinh", "arccosh": "arcosh", "real": "Re", "imaginary": "Im", "determinant": "det"}
_BIG = {"sum": r"\sum", "product": r"\prod", "int": r"\int", "limit": r"\lim", "max": r"\max", "min": r"\min"}
_CONSTANTS = {
    "pi": r"\pi", "exponentiale": "e", "imaginaryi": "i", "infinity": r"\infty", "emptyset": r"\emptyset", "eulergamma": r"\gamma",
    "true": r"\text{true}", "false": r"\text{false}", "notanumber": r"\text{NaN}", "integers": r"\mathbb{Z}", "reals": r"\mathbb{R}",
    "rationals": r"\mathbb{Q}", "naturalnumbers": r"\mathbb{N}", "complexes": r"\mathbb{C}", "primes": r"\mathbb{P}",
}  # fmt: skip
_BRACKETS = {"open": "()", "closed": "[]", "open-closed": "(]", "closed-open": "[)"}
_NEXT_ROW = r" \\ "
_QUALIFIERS = (
    "bvar",
    "lowlimit",
    "uplimit",
    "condition",
    "degree",
    "logbase",
    "domainofapplication",
    "interval",
    "momentabout",
)

#: Elements of Content MathML that `content_to_latex` reads.
CONTENT = frozenset(
    (
        "apply",
        "reln",
        "ci",
        "cn",
        "csymbol",
        "vector",
        "matrix",
        "set",
        "list",
        "interval",
        "piecewise",
        "lambda",
        *_CONSTANTS,
    )
)


def _name(element: Any) -> str:
    tag = element.tag
    return tag.rpartition("}")[2].rpartition(":")[2].lower() if isinstance(tag, str) else ""


def content_to_latex(element: Any, depth: int, convert: Convert) -> str:
    """LaTeX of one element of `CONTENT`; its content is handed to `convert`."""
    name = _name(element)
    parts = [child for child in element if _name(child)]
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    if name in ("ci", "csymbol", "cn"):
        return _token(element, parts, depth, convert)
    latex = (
        [convert(part, depth + 1).strip() for part in parts]
        if name not in ("apply", "reln", "piecewise", "lambda")
        else []
    )
    if name == "vector":
        return rf"\begin{{pmatrix}} {_NEXT_ROW.join(latex)} \end{{pmatrix}}"
    if name == "matrix":
        rows = [" & ".join(convert(cell, depth + 2).strip() for cell in row if _name(cell)) for row in parts]
        return rf"\begin{{pmatrix}} {_NEXT_ROW.join(rows)} \end{{pmatrix}}"
    if name in ("set", "list"):
        return rf"\{{{', '.join(latex)}\}}" if name == "set" else f"({', '.join(latex)})"
    if name == "interval":
        brackets = _BRACKETS.get(element.get("closure") or "closed", "[]")
        return f"{brackets[0]}{', '.join(latex)}{brackets[1]}"
    if name == "piecewise":
        return _cases(parts, depth, convert)
    if name == "lambda":
        variables = [
            convert(child, depth + 2) for part in parts if _name(part) == "bvar" for child in part if _name(child)
        ]
        body = "".join(convert(part, depth + 1) for part in parts if _name(part) != "bvar")
        return rf"{', '.join(variables)} \mapsto {body}"
    return _apply(parts, depth, convert)


def _token(element: Any, parts: Sequence[Any], depth: int, convert: Convert) -> str:
    kind = element.get("type") or ""
    seps = [part for part in parts if _name(part) == "sep"]
    if seps:
        first, second = (element.text or "").strip(), (seps[0].tail or "").strip()
        return {
            "rational": rf"\frac{{{first}}}{{{second}}}",
            "e-notation": rf"{first} \times 10^{{{second}}}",
            "complex-polar": f"{first}e^{{i{second}}}",
        }.get(kind, f"{first}+{second}i")
    if parts:
        return "".join(convert(part, depth + 1) for part in parts)
    text = " ".join((element.text or "").split())
    if text in FUNCTIONS:
        return rf"\{text} "
    latex = "".join(letter_to_latex(character) for character in text)
    if kind in ("vector", "matrix"):
        return rf"\mathbf{{{latex}}}"
    return latex if len(text) == 1 or not text.isalpha() or not text.isascii() else rf"\mathrm{{{text}}}"


def _cases(parts: Sequence[Any], depth: int, convert: Convert) -> str:
    rows: list[str] = []
    for part in parts:
        cells = [convert(cell, depth + 2).strip() for cell in part if _name(cell)]
        rows.append(" & ".join(cells) + (r" & \text{otherwise}" if _name(part) == "otherwise" else ""))
    return rf"\begin{{cases}} {_NEXT_ROW.join(rows)} \end{{cases}}"


def _apply(parts: Sequence[Any], depth: int, convert: Convert) -> str:
    if not parts:
        return ""
    head, name = parts[0], _name(parts[0])
    # An interval is the range of an integral, and elsewhere an argument.
    qualifiers = _QUALIFIERS if name in _BIG else [kind for kind in _QUALIFIERS if kind != "interval"]
    marks = {_name(part): part for part in reversed(parts[1:]) if _name(part) in qualifiers}
    arguments = [part for part in parts[1:] if _name(part) not in qualifiers]

    def of(part: Any) -> str:
        """LaTeX of a qualifier's content."""
        return "".join(convert(child, depth + 2) for child in part if _name(child)).strip()

    latex = [convert(part, depth + 1).strip() for part in arguments]
    if name in _INFIX:
        return _infix(name, arguments, latex)
    if name == "divide" and len(latex) == 2:
        return rf"\frac{{{latex[0]}}}{{{latex[1]}}}"
    if name == "power" and len(latex) == 2:
        return f"{_bracketed(arguments[0], latex[0], 6)}^{{{latex[1]}}}"
    if name == "root" and latex:
        degree = of(marks["degree"]) if "degree" in marks else ""
        return rf"\sqrt[{degree}]{{{latex[0]}}}" if degree not in ("", "2") else rf"\sqrt{{{latex[0]}}}"
    if name == "selector" and latex:
        return f"{latex[0]}_{{{','.join(latex[1:])}}}"
    if name in ("diff", "partialdiff"):
        return _derivative(name, marks, [part for part in parts if _name(part) == "bvar"], latex, of)
    if name in _BIG and (marks or name not in ("max", "min")):
        return _big(name, marks, latex, of)
    if name == "log" and "logbase" in marks:
        return rf"\log_{{{of(marks['logbase'])}}} {_argument(arguments, latex)}"
    if name in _AROUND:
        before, behind = _AROUND[name]
        inner = (
            latex[0]
            if latex and behind not in ("!", "^{T}", "^{-1}")
            else _bracketed(arguments[0], latex[0], 6)
            if latex
            else ""
        )
        return f"{before}{inner}{behind}"
    if name in FUNCTIONS or name in _NAMED:
        command = _NAMED.get(name, name)
        known = command in FUNCTIONS or command in ("Re", "Im")
        return (rf"\{command}" if known else rf"\operatorname{{{command}}}") + f" {_argument(arguments, latex)}"
    function = convert(head, depth + 1).strip() or rf"\operatorname{{{name}}}"
    return f"{function}({', '.join(latex)})" if latex else function


def _binding(element: Any) -> int:
    """How tightly an expression binds; 9 for what needs no brackets."""
    if _name(element) not in ("apply", "reln"):
        return 9
    head = next((_name(part) for part in element if _name(part)), "")
    return _INFIX[head][1] if head in _INFIX else 9


def _bracketed(element: Any, latex: str, binding: int) -> str:
    return rf"\left( {latex} \right)" if _binding(element) < binding else latex


def _infix(name: str, arguments: Sequence[Any], latex: Sequence[str]) -> str:
    sign, binding = _INFIX[name]
    if len(latex) == 1:
        return f"{sign.strip()}{_bracketed(arguments[0], latex[0], binding + 1)}"
    pieces = [
        _bracketed(argument, text, binding + (name == "minus" and position > 0))
        for position, (argument, text) in enumerate(zip(arguments, latex, strict=True))
    ]
    if name == "times" and not any(piece[:1].isdigit() for piece in pieces[1:]):
        sign = " "  # letters and brackets side by side
    return sign.join(pieces)


def _argument(arguments: Sequence[Any], latex: Sequence[str]) -> str:
    if len(latex) == 1 and (_name(arguments[0]) in ("ci", "cn", "mi", "mn") or latex[0].startswith("\\frac")):
        return latex[0]
    return rf"\left( {', '.join(latex)} \right)"


def _derivative(
    name: str, marks: dict[str, Any], variables: Sequence[Any], latex: Sequence[str], of: Callable[[Any], str]
) -> str:
    sign = "d" if name == "diff" else r"\partial "
    body = latex[0] if latex else ""
    total, below = 0, ""
    for variable in variables:
        degree = next((of(child) for child in variable if _name(child) == "degree"), "")
        letter = of([child for child in variable if _name(child) != "degree"])
        total += int(degree) if degree.isdigit() and len(degree) < 4 else 1
        below += f"{sign}{letter}" + (f"^{{{degree}}}" if degree else "")
    if not variables:
        return f"{body}'"
    order = of(marks["degree"]) if "degree" in marks else str(total)
    power = f"^{{{order}}}" if order not in ("", "1") else ""
    return rf"\frac{{{sign.strip()}{power}{' ' if sign != 'd' and not power else ''}{body}}}{{{below}}}"


def _big(name: str, marks: dict[str, Any], latex: Sequence[str], of: Callable[[Any], str]) -> str:
    variable = of(marks["bvar"]) if "bvar" in marks else ""
    low, high = (of(marks[key]) if key in marks else "" for key in ("lowlimit", "uplimit"))
    if "interval" in marks:
        ends = [of([child]) for child in marks["interval"] if _name(child)]
        low, high = ends if len(ends) == 2 else (low, high)
    below = (
        of(marks["condition"])
        if "condition" in marks
        else of(marks["domainofapplication"])
        if "domainofapplication" in marks
        else ""
    )
    if name == "limit":
        below = below or (rf"{variable} \to {low}" if low else variable)
    elif name == "int":
        below = below or low
    else:
        below = below or (f"{variable} = {low}" if variable and low else low or variable)
    result = _BIG[name] + (f"_{{{below}}}" if below else "") + (f"^{{{high}}}" if high else "") + f" {' '.join(latex)}"
    return result + (rf"\,d{variable}" if name == "int" and variable else "")
