r"""TeX's conditionals and those of packages: which branch of a document is read."""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.corpus.readers.latex_data import Macro
from sagecraft.corpus.readers.latex_macros import Gullet, argument_name, control_name
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, name_of

_COMPARISON = re.compile(r"\s*(-?\d+)\s*([<=>])\s*(-?\d+)\s?")


def _newif(gullet: Gullet, _name: str) -> None:
    target = control_name(gullet)
    if not target.startswith("\\if") or target in table():
        return
    gullet.conditionals.add(target)
    base = target[3:]
    gullet.macros[target] = Macro("", ["\\" + BUILTIN + "ifflag", "{", base, "}"], has_params=False)
    for value in ("true", "false"):
        body = ["\\" + BUILTIN + "setflag", "{", f"{value[0]}{base}", "}"]
        gullet.macros[f"\\{base}{value}"] = Macro("", body, has_params=False)


def _setflag(gullet: Gullet, _name: str) -> None:
    value = argument_name(gullet)
    gullet.flags["\\if" + value[1:]] = value[:1] == "t"


def choose(gullet: Gullet, holds: bool) -> None:
    r"""Goes on with the branch that a condition selects; its `\else` part is skipped later, by `_else`."""
    if not holds:
        gullet.skip_branch(to_else=True)


def _else(gullet: Gullet, _name: str) -> None:
    gullet.skip_branch(to_else=False)


def _ifx(gullet: Gullet, _name: str) -> None:
    choose(gullet, _meaning(gullet, following(gullet)) == _meaning(gullet, following(gullet)))


def _meaning(gullet: Gullet, token: str) -> Macro | str:
    r"""What `\ifx` compares: two names that mean nothing mean the same, and a name may stand for a character."""
    macro = gullet.macros.get(token)
    if macro is not None:
        return macro.body[0] if not macro.spec and len(macro.body) == 1 and len(macro.body[0]) == 1 else macro
    return token if token[:1] != "\\" or is_known(gullet, token) else ""


def following(gullet: Gullet) -> str:
    """The next token, whatever it is; of a run of characters, the first."""
    if gullet.peek() == END:
        return ""
    token = gullet.stack[-1]
    return gullet.stack.pop() if token[0] in "\\{}" else (gullet.read_arg() or [""])[0]


def _ifnum(gullet: Gullet, _name: str) -> None:
    match = _COMPARISON.match(gullet.peek())
    if match is None:  # a register: its value is not known here
        for _ in range(4):
            token = gullet.peek()
            if token == END or token in ("\\else", "\\fi"):
                break
            gullet.stack.pop()
            if re.search(r"[<=>]\s*-?[\d.]*", token):
                break
        choose(gullet, False)
        return
    rest = gullet.stack.pop()[match.end() :]
    if rest:
        gullet.stack.append(rest)
    left, relation, right = int(match[1][:9]), match[2], int(match[3][:9])
    choose(gullet, {"<": left < right, "=": left == right, ">": left > right}[relation])


def _ifcase(gullet: Gullet, _name: str) -> None:
    match = re.match(r"\s*(\d{1,4})\s?", gullet.peek())
    if match is None:
        following(gullet)
        return
    rest = gullet.stack.pop()[match.end() :]
    if rest:
        gullet.stack.append(rest)
    for _ in range(int(match[1])):
        if gullet.skip_branch(to_else=True) != "\\or":
            return


def _iftoken(gullet: Gullet, _name: str) -> None:
    choose(gullet, following(gullet) == following(gullet))


def _ifdefined(gullet: Gullet, _name: str) -> None:
    choose(gullet, is_known(gullet, following(gullet)))


def is_known(gullet: Gullet, name: str) -> bool:
    """Whether a control sequence means anything here."""
    return name in gullet.macros or name in gullet.protected or name in gullet.data.text or name in gullet.data.symbols


def _ifflag(gullet: Gullet, _name: str) -> None:
    choose(gullet, gullet.flags.get("\\if" + argument_name(gullet), False))


def _ifcsname(gullet: Gullet, _name: str) -> None:
    parts: list[str] = []
    while gullet.peek() != END and len(parts) < 100:
        token = gullet.stack.pop()
        if token == "\\endcsname":
            break
        parts.append(token)
    choose(gullet, is_known(gullet, "\\" + "".join(parts)))


def _iffalse(gullet: Gullet, _name: str) -> None:
    choose(gullet, False)


def _two_ways(gullet: Gullet, holds: bool) -> None:
    """`{yes}{no}`: one of the two arguments goes on."""
    yes, no = gullet.read_arg(), gullet.read_arg()
    gullet.push_expansion(yes if holds else no, "\\ifthenelse")


def _ifthenelse(gullet: Gullet, _name: str) -> None:
    condition = gullet.read_arg()
    holds = False
    if "\\equal" in condition:
        parts = "".join(condition).partition("\\equal")[2].split("}")
        holds = len(parts) > 1 and parts[0].strip("{ ") == parts[1].strip("{ ")
    elif condition[:1] == ["\\boolean"]:
        holds = gullet.flags.get("\\if" + name_of(condition[1:]), False)
    _two_ways(gullet, holds)


def _ifempty(gullet: Gullet, _name: str) -> None:
    _two_ways(gullet, not name_of(gullet.read_arg()))


def _ifvalue(gullet: Gullet, name: str) -> None:
    empty = not gullet.read_arg()
    _branch(gullet, empty if "NoValue" in name or "Blank" in name else not empty, name)


def _ifboolean(gullet: Gullet, name: str) -> None:
    _branch(gullet, gullet.read_arg() == ["\\BooleanTrue"], name)


def _branch(gullet: Gullet, holds: bool, name: str) -> None:
    """`…TF{yes}{no}`, `…T{yes}` or `…F{no}`."""
    if name.endswith("TF"):
        _two_ways(gullet, holds)
        return
    tokens = gullet.read_arg()
    if holds == name.endswith("T"):
        gullet.push_expansion(tokens, name)


def _ifundefined(gullet: Gullet, _name: str) -> None:
    _two_ways(gullet, not is_known(gullet, "\\" + argument_name(gullet)))


def _ifnextchar(gullet: Gullet, _name: str) -> None:
    wanted = following(gullet)
    wanted = {"\\bgroup": "{", "\\egroup": "}"}.get(wanted, wanted)
    yes, no = gullet.read_arg(), gullet.read_arg()
    found = gullet.peek()
    gullet.push_expansion(
        yes if found == wanted or (len(wanted) == 1 and found.startswith(wanted)) else no, "\\@ifnextchar"
    )


def _ifstar(gullet: Gullet, _name: str) -> None:
    yes, no = gullet.read_arg(), gullet.read_arg()
    gullet.push_expansion(yes if gullet.read_star() else no, "\\@ifstar")


def _ifequal(gullet: Gullet, _name: str) -> None:
    _two_ways(gullet, name_of(gullet.read_arg()) == name_of(gullet.read_arg()))


def _iftoggle(gullet: Gullet, _name: str) -> None:
    _two_ways(gullet, gullet.flags.get("toggle " + argument_name(gullet), False))


def _toggle(gullet: Gullet, name: str) -> None:
    gullet.flags["toggle " + argument_name(gullet)] = name == "\\toggletrue"


def _ifpackage(gullet: Gullet, name: str) -> None:
    wanted = ("class:" if "class" in name else "") + argument_name(gullet)
    _two_ways(gullet, wanted in gullet.packages)


def table() -> dict[str, Callable[[Gullet, str], None]]:
    """The conditionals by name."""
    rows: list[tuple[str, Callable[[Gullet, str], None]]] = [
        ("newif", _newif),
        (BUILTIN + "setflag", _setflag),
        ("ifx", _ifx),
        ("ifnum ifdim ifodd", _ifnum),
        ("ifcase", _ifcase),
        ("if ifcat", _iftoken),
        ("ifdefined", _ifdefined),
        ("ifcsname", _ifcsname),
        ("iftrue", lambda gullet, _name: choose(gullet, True)),
        ("ifmmode", lambda gullet, _name: choose(gullet, gullet.math_depth > 0)),
        (BUILTIN + "ifflag", _ifflag),
        ("iffalse ifhmode ifvmode ifinner ifpdf ifxetex ifluatex ifPDFTeX ifXeTeX ifLuaTeX if@twocolumn", _iffalse),
        ("else or", _else),
        ("ifthenelse", _ifthenelse),
        ("ifstrempty ifblank", _ifempty),
        ("IfNoValueTF IfNoValueT IfNoValueF IfValueTF IfValueT IfValueF IfBlankTF IfBlankT IfBlankF", _ifvalue),
        ("IfBooleanTF IfBooleanT IfBooleanF", _ifboolean),
        ("@ifundefined ifcsundef", _ifundefined),
        ("ifstrequal", _ifequal),
        ("iftoggle", _iftoggle),
        ("toggletrue togglefalse", _toggle),
        ("@ifpackageloaded @ifclassloaded", _ifpackage),
        ("@ifnextchar kernel@ifnextchar", _ifnextchar),
        ("@ifstar", _ifstar),
    ]
    return {f"\\{name}": function for names, function in rows for name in names.split()}
