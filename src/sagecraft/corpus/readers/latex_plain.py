r"""What TeX itself and its plain format do in text: characters by number, boxes, headings of papers without a document class."""

from __future__ import annotations

from collections.abc import Callable

from sagecraft.corpus.readers.latex_markdown import emphasise
from sagecraft.corpus.readers.latex_refs import roman, roman_capitals
from sagecraft.corpus.readers.latex_registers import read_number, skip_size
from sagecraft.corpus.readers.latex_text import SMALL_CAPITALS, Typesetter
from sagecraft.corpus.readers.latex_tokens import END, PAR


def _char(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    if gullet.peek() == "{":  # LaTeX's `\symbol{92}`
        gullet.push(gullet.read_arg())
    code = read_number(gullet)
    if code is not None and (32 <= code < 127 or 160 <= code < 0xD800):
        setter.out.append("\\$" if code == 36 else chr(code))


def _string(setter: Typesetter, _token: str) -> None:
    r"""`\string\foo`: the characters of a name."""
    stack = setter.gullet.stack
    if stack and stack[-1] not in (END, PAR):
        token = stack.pop()
        setter.out.append(token if token[0] != "\\" else "\\" + token[1:])


def _number(setter: Typesetter, _token: str) -> None:
    value = read_number(setter.gullet)
    setter.out.append("" if value is None else str(value))


def _romannumeral(setter: Typesetter, _token: str) -> None:
    value = read_number(setter.gullet)
    setter.out.append(roman(value).lower() if value is not None and 0 < value < 4000 else "")


def _uppercase(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    while gullet.peek() in ("\\expandafter", "\\protect"):
        gullet.stack.pop()
    text = setter.render(gullet.read_arg())
    # Formulas and marks must keep their letters.
    setter.out.append(text if "$" in text or "\0" in text or "\\" in text else text.upper())


def _small_capitals(setter: Typesetter, _token: str) -> None:
    setter.out.append(roman_capitals(setter.render(setter.gullet.read_arg())))


def _roman_capitals(setter: Typesetter, _token: str) -> None:
    r"""A state that data files set in Roman figures, whether the author wrote `4`, `iv` or `IV`."""
    text = setter.line(setter.gullet.read_arg())
    setter.out.append(roman(int(text)) if text.isdecimal() and 0 < int(text[:4]) < 1000 else roman_capitals(text))


def _small_capitals_switch(setter: Typesetter, _token: str) -> None:
    setter.switch_style(SMALL_CAPITALS)


def _box(setter: Typesetter, _token: str) -> None:
    skip_size(setter.gullet)
    if setter.gullet.peek() == "{":
        setter.gullet.push(["{", *setter.gullet.read_arg(), "}"])


def _line_of(setter: Typesetter) -> list[str]:
    """The tokens up to the end of the paragraph."""
    stack = setter.gullet.stack
    tokens: list[str] = []
    while stack and stack[-1] not in (END, PAR, "\\par") and len(tokens) < 500:
        tokens.append(stack.pop())
    return tokens


def _beginsection(setter: Typesetter, _token: str) -> None:
    text = setter.line(_line_of(setter))
    if text:
        setter.block(f"## {text}")


def _proclaim(setter: Typesetter, _token: str) -> None:
    r"""`\proclaim Theorem 1. All is fine.\par`."""
    tokens = _line_of(setter)
    text = setter.line(tokens)
    name, stop, rest = text.partition(". ")
    setter.block(f"{emphasise(name + stop.rstrip(), '**')} {rest}".rstrip() if stop else emphasise(text, "**"))


def _unskip(setter: Typesetter, _token: str) -> None:
    while setter.out and setter.out[-1] == " ":
        setter.out.pop()
    if setter.out:
        setter.out[-1] = setter.out[-1].rstrip(" ")


def _bye(setter: Typesetter, _token: str) -> None:
    setter.finished = True


_ROWS: list[tuple[str, Callable[[Typesetter, str], None]]] = [
    ("char symbol", _char),
    ("string", _string),
    ("number", _number),
    ("romannumeral", _romannumeral),
    ("uppercase MakeUppercase MakeTextUppercase", _uppercase),
    ("textsc", _small_capitals),
    ("romancapitals", _roman_capitals),
    ("sc scshape", _small_capitals_switch),
    ("hbox vbox vtop vcenter", _box),
    ("beginsection", _beginsection),
    ("proclaim", _proclaim),
    ("unskip", _unskip),
    ("bye", _bye),
]

PLAIN: dict[str, Callable[[Typesetter, str], None]] = {
    f"\\{name}": handler for names, handler in _ROWS for name in names.split()
}
