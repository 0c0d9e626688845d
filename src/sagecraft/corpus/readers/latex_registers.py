r"""TeX's registers and other machinery that sets no words: taken out with their arguments, so that none of these is left in the text.

Also what packages define on the fly: paired delimiters of mathtools and units of siunitx.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.corpus.readers.latex_data import Macro
from sagecraft.corpus.readers.latex_macros import Gullet
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, is_word, name_of

_INTEGER = re.compile(r"\s*=?\s*[-+]?(?:\"[0-9A-F]+|'[0-7]+|\d+)\s?")
_FONT = re.compile(r"\s*=?\s*[\w\-./:]+\s*(?:(?:scaled|at)\s*(?:[\d.]+\s*(?:true)?\s*(?:pt|in|cm|mm|em)?)?)?\s*")
_DIMENSION = re.compile(
    r"\s*=?\s*[-+]?\s*(?:\d*[.,]?\d+\s*(?:true)?\s*(?:pt|pc|in|bp|cm|mm|dd|cc|sp|ex|em|mu|fill?l?|$)?"
    r"(?:\s*(?:plus|minus)\s*-?[\d.]+\s*(?:pt|cm|mm|ex|em|fill?l?|mu)?)*)?"
)


def _rest(gullet: Gullet, end: int) -> None:
    """Takes the first `end` characters of the next token."""
    rest = gullet.stack.pop()[end:]
    if rest:
        gullet.stack.append(rest)


def skip_dimension(gullet: Gullet) -> bool:
    r"""Takes the length or number that follows `\vskip`, `\parindent=` and the like; whether there was one."""
    token = gullet.peek()
    if token == END or token[0] in "{}[]&$#~":
        return False
    if token[0] == "\\":  # `\vskip\baselineskip`
        if token.endswith(("skip", "sep", "width", "height", "size", "indent")):
            gullet.stack.pop()
        return True
    match = _DIMENSION.match(token)
    if match is None or not match[0].strip():
        return False
    rest = gullet.stack.pop()[match.end() :].lstrip(" ")
    if rest:
        gullet.stack.append(rest)
    if not re.search(r"\d", match[0]) and gullet.peek()[0] == "\\":
        gullet.stack.pop()  # `=\textwidth`, `-\baselineskip`
    return True


def read_number(gullet: Gullet) -> int | None:
    r"""A number as TeX reads it: `65`, `"41`, `'101`, `` `A ``, `` `\% ``; None for what is only known to TeX."""
    token = gullet.peek()
    if token.startswith(("`", "=`", " `")):
        _rest(gullet, token.index("`") + 1)
        following = gullet.stack[-1] if gullet.stack else END
        if following == END:
            return None
        if following[0] == "\\":
            gullet.stack.pop()
            return ord(following[1]) if len(following) == 2 else None
        _rest(gullet, 1)
        return ord(following[0])
    match = _INTEGER.match(token)
    if match is None:
        if token[0] == "\\" and is_word(token) and token not in ("\\relax", "\\par"):
            gullet.stack.pop()
        return None
    _rest(gullet, match.end())
    digits = match[0].replace("=", "").strip().lstrip("+")[:8]
    if digits[:1] == '"':
        return int(digits[1:], 16)
    return int(digits[1:], 8) if digits[:1] == "'" else int(digits)


def _code(gullet: Gullet, _name: str) -> None:
    r"""`` \catcode`\@=11 `` and its kin."""
    read_number(gullet)
    if gullet.peek().startswith("="):
        read_number(gullet)


def _new_register(gullet: Gullet, name: str) -> None:
    """A register: where it stands later, an assignment to it is taken with it."""
    tokens = [token for token in gullet.read_arg() if token != " "]
    if tokens and is_word(tokens[0]):
        kind = {"\\newtoks": "skiptokens", "\\newbox": "skipname"}.get(name, "skipvalue")
        gullet.define(tokens[0], Macro("", ["\\" + BUILTIN + kind], has_params=False))


def _skip_value(gullet: Gullet, _name: str) -> None:
    token = gullet.peek()
    if token[0] == "=" or re.match(r"\s*-?[\d.]", token):
        skip_dimension(gullet)


def _skip_tokens(gullet: Gullet, _name: str) -> None:
    r"""`\headline={…}`, `\everymath{…}`."""
    if gullet.peek()[0] == "=":
        _rest(gullet, 1)
    if gullet.peek() == "{":
        gullet.read_arg()


def _skip_name(gullet: Gullet, _name: str) -> None:
    r"""`\box\b`, `\ht\b`, `\chardef\x=3`, `\advance\n by 1`: a register and what is done to it."""
    token = gullet.peek()
    if token[0] == "\\":
        gullet.stack.pop()
    else:
        read_number(gullet)
    token = gullet.peek()
    if token.lstrip().startswith(("by ", "by-")) or token == "by":
        _rest(gullet, token.index("by") + 2)
        skip_dimension(gullet)
    elif token[0] == "=":
        skip_dimension(gullet)


def _set_box(gullet: Gullet, _name: str) -> None:
    r"""`\setbox\b=\hbox to 3cm{…}`: boxes are measured more often than printed, so the content goes."""
    _skip_name_only(gullet)
    if gullet.peek()[0] == "=":
        _rest(gullet, 1)
    if gullet.peek() in ("\\hbox", "\\vbox", "\\vtop"):
        gullet.stack.pop()
        skip_size(gullet)
        if gullet.peek() == "{":
            gullet.read_arg()


def _skip_name_only(gullet: Gullet) -> None:
    if gullet.peek()[0] == "\\":
        gullet.stack.pop()
    else:
        read_number(gullet)


def skip_size(gullet: Gullet) -> None:
    """The `to 3cm` or `spread 2pt` of a box."""
    match = re.match(r"\s*(?:to|spread)(?![a-z])", gullet.peek())
    if match:
        _rest(gullet, match.end())
        skip_dimension(gullet)
        gullet.skip_space()


def _write(gullet: Gullet, name: str) -> None:
    r"""`\write18{…}`, `\openout\file=name`."""
    if gullet.peek() != "{":
        _skip_name_only(gullet)
    if name == "\\write":
        gullet.read_arg()
    elif gullet.peek()[0] == "=":
        gullet.stack[-1] = gullet.stack[-1].partition(" ")[2] or " "


def _font(gullet: Gullet, _name: str) -> None:
    r"""`\font\big=cmr10 scaled \magstep1`: the name then sets nothing."""
    token = gullet.peek()
    if token[0] != "\\":
        return
    gullet.stack.pop()
    gullet.define(token, Macro("", [], has_params=False))
    match = _FONT.match(gullet.peek())
    if match is None or gullet.peek()[0] in "\\{}":
        return
    _rest(gullet, match.end())
    if match[0].rstrip().endswith(("scaled", "at")) and gullet.peek()[0] == "\\":
        gullet.stack.pop()
        read_number(gullet)


def _magstep(gullet: Gullet, _name: str) -> None:
    read_number(gullet)


def _paired(gullet: Gullet, name: str) -> None:
    r"""Mathtools' `\DeclarePairedDelimiter{\abs}{\lvert}{\rvert}` and its kin with a body of their own."""
    target = next((token for token in gullet.read_arg() if token != " "), "")
    count = name_of(gullet.read_optional() or []) if "X" in name else "1"
    num_args = int(count) if count.isdecimal() and count != "0" else 1
    before = gullet.read_arg() if name.endswith("XPP") else []
    left, right = gullet.read_arg(), gullet.read_arg()
    after = gullet.read_arg() if name.endswith("XPP") else []
    body = _shifted(gullet.read_arg()) if "X" in name else ["#3"]
    body = [token for token in body if token != "\\delimsize"]
    tall = ["\\left", *(left or ["."]), *body, "\\right", *(right or ["."])]
    tokens = [
        *_shifted(before),
        "\\IfBooleanTF",
        "{",
        "#1",
        "}",
        "{",
        *tall,
        "}",
        "{",
        *left,
        *body,
        *right,
        "}",
        *_shifted(after),
    ]
    gullet.define(target, Macro("so" + "m" * num_args, tokens, ((),)))


def _shifted(tokens: list[str]) -> list[str]:
    """A body whose arguments come after a star and an optional size."""
    return [
        f"#{int(token[1]) + 2}" if len(token) == 2 and token[0] == "#" and token[1] in "1234567" else token
        for token in tokens
    ]


def _declare_unit(gullet: Gullet, _name: str) -> None:
    gullet.read_optional()
    name = next((token for token in gullet.read_arg() if token != " "), "")
    gullet.units[name] = "".join(gullet.read_arg())


def table() -> dict[str, Callable[[Gullet, str], None]]:
    """The primitives by name."""
    rows: list[tuple[str, Callable[[Gullet, str], None]]] = [
        ("catcode lccode uccode sfcode mathcode delcode", _code),
        ("newcount newdimen newskip newmuskip newtoks newbox newread newwrite newinsert newfam", _new_register),
        (BUILTIN + "skipvalue", _skip_value),
        (BUILTIN + "skiptokens", _skip_tokens),
        (
            "headline footline everypar everymath everydisplay everycr everyjob everyhbox everyvbox output errhelp",
            _skip_tokens,
        ),
        (BUILTIN + "skipname", _skip_value),
        (
            "box copy unhbox unvbox unhcopy unvcopy ht wd dp advance multiply divide chardef mathchardef countdef dimendef skipdef toksdef",
            _skip_name,
        ),
        ("setbox", _set_box),
        ("write openout openin", _write),
        ("font", _font),
        ("magstep", _magstep),
        ("DeclarePairedDelimiter DeclarePairedDelimiterX DeclarePairedDelimiterXPP", _paired),
        ("DeclareSIUnit DeclareSIPrefix", _declare_unit),
    ]
    return {f"\\{name}": function for names, function in rows for name in names.split()}
