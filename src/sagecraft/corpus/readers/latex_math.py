r"""Mathematics: kept as LaTeX, with the document's own macros expanded, labels taken out and rows numbered."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sagecraft.corpus.readers.latex_formula import CASES, DISPLAY, INNER, STOPS, TEXT, THREE_COLUMNS, Formula, bare
from sagecraft.corpus.readers.latex_macros import argument_name
from sagecraft.corpus.readers.latex_marks import mark_citation, mark_reference
from sagecraft.corpus.readers.latex_primitives import PRIMITIVES
from sagecraft.corpus.readers.latex_refs import Target, letter
from sagecraft.corpus.readers.latex_registers import skip_dimension
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, PAR, RAW, is_word, source_of
from sagecraft.corpus.readers.latex_units import quantity

if TYPE_CHECKING:
    from sagecraft.corpus.readers.latex_macros import Gullet
    from sagecraft.corpus.readers.latex_text import Typesetter


class Maths:
    """Reads formulas from the interpreter's token stack."""

    def __init__(self, setter: Typesetter) -> None:
        self._setter = setter
        self._gullet: Gullet = setter.gullet
        self._sub: list[tuple[str, int]] = []

    def inline(self, closer: str) -> str:
        """The formula up to `closer`, without its dollars."""
        formula = Formula(closer)
        self._read(formula)
        return self._text(formula)

    def display(self, closer: str, base: str = "", starred: bool = True) -> str:
        """A displayed formula without its dollars; `base` is the environment without its star."""
        columns = prefix = ""
        if base == "empheq":  # `\begin{empheq}[left=…]{align}`
            self._gullet.read_optional()
            inner = argument_name(self._gullet)
            base, starred = inner.rstrip("*"), inner.endswith("*")
        wrapper, by_row = DISPLAY.get(base, ("", False))
        if wrapper == "alignedat":
            columns = argument_name(self._gullet)
        elif base == "IEEEeqnarray":
            self._gullet.read_spec("om")
        elif base in CASES:
            prefix = self._piece(self._gullet.read_arg())
        formula = Formula(closer, wrapper, by_row, not starred)
        self._read(formula)
        self._end_row(formula)
        text = self._text(formula)
        while text.endswith("\\\\"):
            text = text[:-2].rstrip()
        if formula.has_rows or formula.columns:
            wrapper = formula.wrapper or "aligned"
            begin = f"\\begin{{{wrapper}}}" + (f"{{{columns}}}" if columns else "")
            text = f"{begin}\n{text}\n\\end{{{wrapper}}}"
        return f"{prefix} {text}" if prefix else text

    def _piece(self, tokens: list[str]) -> str:
        """A formula of its own, as an argument holds it."""
        fence = self._gullet.begin_piece()
        self._gullet.push(tokens)
        formula = Formula("")
        unclosed = self._gullet.counts["math_unclosed"]
        self._read(formula)
        self._gullet.counts["math_unclosed"] = unclosed  # the fence, at which it stops, is no fault of the document
        if self._gullet.stack and self._gullet.stack[-1] == END:
            self._gullet.stack.pop()
        self._gullet.end_piece(fence)
        return self._text(formula)

    def _text(self, formula: Formula) -> str:
        lines = (" ".join(line.split(" ")).strip() for line in self._setter.joined(formula.parts).split("\n"))
        return "\n".join(" ".join(line.split()) for line in lines if line)

    def start_sub(self) -> None:
        """`subequations`: one number, its rows get letters."""
        self._sub.append((self._setter.numbering.step("equation"), 0))

    def end_sub(self) -> None:
        """The end of `subequations`."""
        if self._sub:
            self._sub.pop()

    # ---- reading ----

    def _read(self, formula: Formula) -> None:
        gullet = self._gullet
        stack, macros = gullet.stack, gullet.macros
        hooks, fallback = HOOKS, gullet.data.math
        arguments = gullet.data.math_arguments
        add = formula.add
        gullet.math_depth += 1
        while stack and not formula.done:
            token = stack.pop()
            if token[0] != "\\":
                if token in _SPECIAL or token[0] == RAW:
                    self._special(formula, token)
                else:
                    add(token)
                continue
            if token == formula.closer:
                break
            macro = macros.get(token)
            if macro is not None:
                gullet.expand(token, macro, wrap=formula.after_script())
                continue
            if token[1:2] == BUILTIN and token not in PRIMITIVES and token not in hooks:
                token = "\\" + token[2:]
            hook = hooks.get(token)
            if hook is not None:
                hook(self, formula, token)
            elif token in PRIMITIVES:
                PRIMITIVES[token](gullet, token)
            elif token in fallback:
                gullet.expand(token, fallback[token], wrap=formula.after_script())
            else:
                if token in arguments:
                    self._brace_arguments(arguments[token])
                add(token)
        gullet.math_depth -= 1

    def _special(self, formula: Formula, token: str) -> None:
        """Braces, dollars, columns, ends: everything but control sequences and plain characters."""
        stack = self._gullet.stack
        if token == "{":
            formula.braces.append("")
            formula.add(token)
        elif token == "}":
            if not formula.braces:
                if formula.closer == "$":  # the group around the formula ends: so does the formula
                    stack.append(token)
                    self._unclosed(formula)
                return
            if not formula.braces.pop().startswith("$"):
                self._close_text(formula)
        elif token in ("$", "$$"):
            self._dollar(formula, token)
        elif token == "&":
            if not formula.environments and not formula.braces:
                formula.columns += 1
                if formula.closer.startswith(THREE_COLUMNS) and formula.columns % 2 == 0:
                    return  # eqnarray's second column mark; `aligned` has one
            formula.add(token)
        elif token == PAR:
            if formula.closer in ("$", "\\)"):
                stack.append(token)
                self._unclosed(formula)
            else:
                formula.add(" ")
        elif token == END:
            stack.append(token)
            self._unclosed(formula)
        elif len(token) > 2:
            formula.add(token[2:])

    def _unclosed(self, formula: Formula) -> None:
        formula.done = True
        self._gullet.counts["math_unclosed"] += 1

    @staticmethod
    def _close_text(formula: Formula) -> None:
        """Ends a group; `\\mbox{}` that lost its formula to the outside is not kept."""
        if formula.parts[-2:-1] and formula.parts[-2] in TEXT and formula.parts[-1] == "{":
            del formula.parts[-2:]
            formula.word = bool(formula.parts) and is_word(formula.parts[-1])
        else:
            formula.add("}")

    def _dollar(self, formula: Formula, token: str) -> None:
        stack = self._gullet.stack
        if formula.closer in CASES and not formula.braces:
            return  # the second column is text there, with formulas of its own
        top = formula.braces[-1] if formula.braces else ""
        if not any(formula.braces):
            if token == "$$" and formula.closer == "$":
                stack.append("$")
            formula.done = True
        elif top.startswith("$"):  # back to the text that the formula interrupted
            command = top[1:]
            formula.braces[-1] = command
            formula.add(command)
            formula.add("{")
        elif top:
            formula.braces[-1] = "$" + top
            self._close_text(formula)
        else:  # a group inside text inside a formula: dollars would end the formula in Markdown
            formula.add("\\(" if formula.parts.count("\\(") == formula.parts.count("\\)") else "\\)")

    def _brace_arguments(self, count: int) -> None:
        r"""Braces around macros that stand as arguments: `\frac\Msun\Lsun` must survive expansion."""
        gullet = self._gullet
        pieces: list[str] = []
        for _ in range(count):
            token = gullet.peek()
            if token == "{" and count > 1 and not pieces:
                pieces += ["{", *gullet.read_arg(), "}"]
                continue
            macro = gullet.macros.get(token) or gullet.data.math.get(token)
            if macro is None or macro.spec or macro.pattern is not None:
                if count > 1 and token not in (END, PAR, "{", "}") and token[0] not in "\\$&":
                    pieces += gullet.read_arg()
                    continue
                break
            gullet.stack.pop()
            pieces += ["{", token, "}"]
        gullet.push(pieces)

    # ---- rows and labels ----

    def _end_row(self, formula: Formula) -> None:
        """Numbers the row and ties its labels to the number."""
        numbering = self._setter.numbering
        empty = not any(part.strip() for part in formula.parts[formula.row_start :])
        if formula.tag:
            numbering.current = Target(formula.tag, "equation")
        elif formula.numbered and not (formula.by_row and formula.silent) and not (empty and not formula.labels):
            if self._sub:
                number, count = self._sub[-1]
                self._sub[-1] = (number, count + 1)
                numbering.current = Target(number + letter(count + 1).lower(), "equation")
            else:
                numbering.step("equation")
        for name in formula.labels:
            numbering.label(name)
        formula.labels, formula.silent, formula.tag = [], False, ""
        formula.row_start = len(formula.parts)


_SPECIAL = frozenset(["{", "}", "$", "$$", "&", PAR, END])
Hook = Callable[[Maths, Formula, str], None]


def _newline(maths: Maths, formula: Formula, token: str) -> None:
    gullet = maths._gullet
    if gullet.stack and gullet.stack[-1] == "[":
        gullet.read_optional()
    elif gullet.stack and gullet.stack[-1].startswith("*"):
        gullet.read_star()
    if formula.environments or formula.braces or formula.closer in ("$", "\\)"):
        formula.add(token)
        return
    if formula.by_row:
        maths._end_row(formula)
    if formula.columns:
        formula.columns += formula.columns % 2  # eqnarray counts its marks anew in each row
    formula.has_rows = True
    formula.add(" \\\\\n")
    formula.row_start = len(formula.parts)


def _begin(maths: Maths, formula: Formula, _token: str) -> None:
    gullet = maths._gullet
    name = argument_name(gullet)
    macro = gullet.macros.get(f"\\{name}")
    if macro is not None and name in gullet.environment_args:
        gullet.expand(f"\\{name}", macro)
        return
    if name == "subequations":
        maths.start_sub()
        return
    formula.environments.append(name)
    formula.add(f"\\begin{{{INNER.get(name.rstrip('*'), name)}}}")
    formula.word = False


def _end(maths: Maths, formula: Formula, _token: str) -> None:
    gullet = maths._gullet
    name = argument_name(gullet)
    if name == "document":
        gullet.push(["\\end", "{", "document", "}"])
        maths._unclosed(formula)
    elif name in formula.environments:
        while formula.environments:
            inner = formula.environments.pop()
            formula.add(f"\\end{{{INNER.get(inner.rstrip('*'), inner)}}}")
            if inner == name:
                break
        formula.word = False
    elif name == formula.closer:
        formula.done = True
    elif f"\\end{name}" in gullet.macros:
        gullet.push(["\\end" + name, "\\" + BUILTIN + "leave", "{", name, "}"])
    elif name == "subequations":
        maths.end_sub()
    elif formula.closer in ("$", "\\)"):
        gullet.push(["\\end", "{", name or " ", "}"])  # no token is empty
        maths._unclosed(formula)


def _label(maths: Maths, formula: Formula, _token: str) -> None:
    formula.labels.append(argument_name(maths._gullet))


def _nonumber(_maths: Maths, formula: Formula, _token: str) -> None:
    formula.silent = True


def _tag(maths: Maths, formula: Formula, _token: str) -> None:
    maths._gullet.read_star()
    formula.tag = maths._setter.plain(maths._gullet.read_arg()).replace("$", "")


def _counter(maths: Maths, _formula: Formula, token: str) -> None:
    maths._setter.handlers[token](maths._setter, token)


def _equation_number(maths: Maths, formula: Formula, _token: str) -> None:
    gullet = maths._gullet
    tokens = gullet.read_arg() if gullet.peek() == "{" else gullet.read_spec("(")[0]
    formula.tag = source_of(tokens).strip("() ")


def _content(maths: Maths, _formula: Formula, _token: str) -> None:
    maths._gullet.push(bare(maths._gullet.read_arg()))


def _coloured(maths: Maths, _formula: Formula, _token: str) -> None:
    maths._gullet.read_optional()
    maths._gullet.read_arg()
    maths._gullet.push(["{", *maths._gullet.read_arg(), "}"])


def _text_command(maths: Maths, formula: Formula, token: str) -> None:
    gullet = maths._gullet
    formula.add("\\mbox" if token == "\\hbox" else token)
    if gullet.peek() == "{":
        gullet.stack.pop()
        formula.add("{")
        formula.braces.append(formula.parts[-2])


def _late(maths: Maths, formula: Formula, token: str) -> None:
    formula.add(mark_reference(maths._setter, token))


def _cite(maths: Maths, formula: Formula, token: str) -> None:
    formula.add(mark_citation(maths._setter, token))


def _footnote(maths: Maths, _formula: Formula, _token: str) -> None:
    gullet = maths._gullet
    gullet.read_optional()
    maths._setter.after_math.append(gullet.read_arg())


def _stop(maths: Maths, formula: Formula, token: str) -> None:
    maths._gullet.stack.append(token)
    maths._unclosed(formula)


def _wrong_closer(maths: Maths, formula: Formula, token: str) -> None:
    r"""`\]`, `\)` that do not fit, and `\(` inside `\mbox`: closed where a display is meant, else dropped."""
    if token in ("\\]", "\\)") and not any(formula.braces) and formula.closer in ("$", "$$", "\\]", "\\)"):
        maths._unclosed(formula)
    elif token in ("\\(", "\\)") and any(formula.braces):
        maths._dollar(formula, "$")


def _operatorname(maths: Maths, formula: Formula, token: str) -> None:
    formula.add(token)
    if maths._gullet.read_star():
        formula.add("*")
    formula.add("{" + source_of(maths._gullet.read_arg()) + "}")
    formula.word = False


def _quantity(maths: Maths, formula: Formula, token: str) -> None:
    packages = maths._gullet.packages
    if token in ("\\qty", "\\unit") and ("siunitx" not in packages or "physics" in packages):
        formula.add(token)  # physics has the same names for brackets
    else:
        formula.add(quantity(maths._gullet, token))


def _intertext(maths: Maths, formula: Formula, _token: str) -> None:
    maths._gullet.push(["\\text", "{", *maths._gullet.read_arg(), "}", "\\\\"])
    formula.add(" ")


HOOKS: dict[str, Hook] = {
    "\\" + BUILTIN + "leave": lambda maths, _formula, _token: void(maths._gullet.read_arg()),
    "\\\\": _newline,
    "\\cr": _newline,
    "\\begin": _begin,
    "\\end": _end,
    "\\label": _label,
    "\\nonumber": _nonumber,
    "\\notag": _nonumber,
    "\\tag": _tag,
    **dict.fromkeys(["\\addtocounter", "\\setcounter", "\\stepcounter", "\\refstepcounter"], _counter),
    "\\eqno": _equation_number,
    "\\leqno": _equation_number,
    "\\hskip": lambda maths, formula, _token: formula.add("\\;" if skip_dimension(maths._gullet) else " "),
    "\\vskip": lambda maths, _formula, _token: void(skip_dimension(maths._gullet)),
    "\\ensuremath": _content,
    "\\lefteqn": _content,
    "\\texorpdfstring": lambda maths, _formula, _token: maths._gullet.push(maths._gullet.read_spec("mm")[0]),
    "\\textcolor": _coloured,
    "\\color": lambda maths, _formula, _token: void(maths._gullet.read_spec("om")),
    "\\operatorname": _operatorname,
    "\\footnote": _footnote,
    **{
        f"\\{name}": _quantity
        for name in (
            "SI",
            "SIrange",
            "SIlist",
            "si",
            "num",
            "numrange",
            "numlist",
            "ang",
            "qty",
            "qtyrange",
            "qtylist",
            "unit",
        )
    },
    "\\intertext": _intertext,
    "\\shortintertext": _intertext,
    "\\ref": _late,
    "\\eqref": _late,
    "\\autoref": _late,
    "\\cref": _late,
    "\\Cref": _late,
    "\\cite": _cite,
    "\\citep": _cite,
    "\\citet": _cite,
    "\\citealt": _cite,
    "\\citealp": _cite,
    "\\]": _wrong_closer,
    "\\)": _wrong_closer,
    "\\(": _wrong_closer,
    "\\[": _wrong_closer,
    "\\par": lambda _maths, formula, _token: formula.add(" "),
    **dict.fromkeys(TEXT, _text_command),
    **dict.fromkeys(STOPS, _stop),
}


def void(_value: object) -> None:
    """Says that a value is read only to be dropped."""
