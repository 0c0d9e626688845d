r"""What works alike in text and mathematics: definitions, conditionals, files, and the few primitives that macros lean on."""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.corpus.readers.latex_data import Macro
from sagecraft.corpus.readers.latex_macros import Gullet, argument_name
from sagecraft.corpus.readers.latex_registers import table as registers
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, name_of, scan

Primitive = Callable[[Gullet, str], None]

_COMPARISON = re.compile(r"\s*(-?\d+)\s*([<=>])\s*(-?\d+)\s?")


def _control(gullet: Gullet) -> str:
    """The control sequence that a definition names, with or without braces."""
    tokens = [token for token in gullet.read_arg() if token != " "]
    return tokens[0] if tokens else ""


def _macro(spec: str, body: list[str], defaults: tuple[tuple[str, ...], ...] = ()) -> Macro:
    return Macro(spec, body, defaults, None, any(token[0] == "#" for token in body))


def _signature(gullet: Gullet) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """The `[2][default]` of a definition as a specification."""
    count = name_of(gullet.read_optional() or [])
    num_args = min(int(count), 9) if count.isdecimal() else 0
    default = gullet.read_optional() if num_args else None
    if default is None:
        return "m" * num_args, ()
    return "o" + "m" * (num_args - 1), (tuple(default),)


def _newcommand(gullet: Gullet, name: str) -> None:
    gullet.read_star()
    target = _control(gullet)
    spec, defaults = _signature(gullet)
    gullet.define(target, _macro(spec, gullet.read_arg(), defaults), keep=name == "\\providecommand")


def _def(gullet: Gullet, _name: str) -> None:
    gullet.skip_space()
    if not gullet.stack or gullet.stack[-1][0] != "\\":
        return
    target = gullet.stack.pop()
    gullet.skip_space()
    pattern: list[str] = []
    while gullet.stack and gullet.stack[-1] not in ("{", END) and len(pattern) < 40:
        pattern.append(gullet.stack.pop())
    if pattern and pattern[-1] == " ":
        pattern.pop()
    body = gullet.read_arg()
    if all(token[0] == "#" and len(token) == 2 for token in pattern):
        gullet.define(target, _macro("m" * len(pattern), body))
    else:
        gullet.define(target, Macro("", body, (), tuple(pattern), True))


def _let(gullet: Gullet, _name: str) -> None:
    gullet.skip_space()
    target = _control(gullet)
    if gullet.peek().startswith("="):
        rest = gullet.stack.pop()[1:].lstrip(" ")
        if rest:
            gullet.stack.append(rest)
    source = gullet.read_arg() if gullet.peek() not in ("{", "}") else [gullet.stack.pop()]
    if not source or not target or target == source[0]:
        return
    if source[0] in gullet.macros:
        gullet.define(target, gullet.macros[source[0]])
    elif source[0][0] == "\\":  # the meaning at this moment, which a later redefinition does not change
        gullet.define(target, Macro("", ["\\" + BUILTIN + source[0][1:].replace(BUILTIN, "")], has_params=False))
    else:
        gullet.define(target, Macro("", source, has_params=False))


def _operator(gullet: Gullet, _name: str) -> None:
    star = ["*"] if gullet.read_star() else []
    target = _control(gullet)
    body = ["\\operatorname", *star, "{", *gullet.read_arg(), "}"]
    gullet.define(target, Macro("", body, has_params=False))


def _newenvironment(gullet: Gullet, _name: str) -> None:
    gullet.read_star()
    target = argument_name(gullet)
    spec, defaults = _signature(gullet)
    begin, end = gullet.read_arg(), gullet.read_arg()
    _store_environment(gullet, target, _macro(spec, begin, defaults), end)


def _store_environment(gullet: Gullet, target: str, begin: Macro, end: list[str]) -> None:
    if target in gullet.protected:  # what it looks like does not matter; how many arguments it takes does
        gullet.environment_args[target] = begin
        return
    gullet.macros[f"\\{target}"] = begin
    gullet.macros[f"\\end{target}"] = _macro("", end)
    gullet.environment_args[target] = begin


def _parse_spec(tokens: list[str]) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """A specification of `\\NewDocumentCommand`: `s m o O{default}`."""
    spec = ""
    defaults: list[tuple[str, ...]] = []
    letters = re.findall(r"\{[^{}]*\}|\S", "".join(tokens))
    for index, letter in enumerate(letters):
        if letter[0] == "{":
            continue
        if letter in "oO":
            following = letters[index + 1] if letter == "O" and index + 1 < len(letters) else "{}"
            defaults.append(tuple(scan(following[1:-1])))
            spec += "o"
        elif letter in "ms":
            spec += letter
    return spec, tuple(defaults)


def _document_command(gullet: Gullet, name: str) -> None:
    target = _control(gullet)
    spec, defaults = _parse_spec(gullet.read_arg())
    gullet.define(target, _macro(spec, gullet.read_arg(), defaults), keep=name.startswith("\\Provide"))


def _document_environment(gullet: Gullet, _name: str) -> None:
    target = argument_name(gullet)
    spec, defaults = _parse_spec(gullet.read_arg())
    begin, end = gullet.read_arg(), gullet.read_arg()
    _store_environment(gullet, target, _macro(spec, begin, defaults), end)


def _newif(gullet: Gullet, _name: str) -> None:
    target = _control(gullet)
    if not target.startswith("\\if") or target in PRIMITIVES:
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
    choose(gullet, _meaning(gullet, _next(gullet)) == _meaning(gullet, _next(gullet)))


def _meaning(gullet: Gullet, token: str) -> Macro | str:
    r"""What `\ifx` compares: two names that mean nothing mean the same."""
    macro = gullet.macros.get(token)
    if macro is not None:
        return macro
    return token if token[:1] != "\\" or is_known(gullet, token) else ""


def _next(gullet: Gullet) -> str:
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
        _next(gullet)
        return
    rest = gullet.stack.pop()[match.end() :]
    if rest:
        gullet.stack.append(rest)
    for _ in range(int(match[1])):
        if gullet.skip_branch(to_else=True) != "\\or":
            return


def _iftoken(gullet: Gullet, _name: str) -> None:
    choose(gullet, _next(gullet) == _next(gullet))


def _ifdefined(gullet: Gullet, _name: str) -> None:
    choose(gullet, is_known(gullet, _next(gullet)))


def is_known(gullet: Gullet, name: str) -> bool:
    """Whether a control sequence means anything here."""
    return name in gullet.macros or name in gullet.protected or name in gullet.data.text or name in gullet.data.symbols


def _ifflag(gullet: Gullet, _name: str) -> None:
    choose(gullet, gullet.flags.get("\\if" + argument_name(gullet), False))


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
    _two_ways(gullet, empty if "NoValue" in name else not empty)


def _ifboolean(gullet: Gullet, _name: str) -> None:
    _two_ways(gullet, gullet.read_arg() == ["\\BooleanTrue"])


def _ifundefined(gullet: Gullet, _name: str) -> None:
    _two_ways(gullet, not is_known(gullet, "\\" + argument_name(gullet)))


def _ifnextchar(gullet: Gullet, _name: str) -> None:
    wanted = _next(gullet)
    wanted = {"\\bgroup": "{", "\\egroup": "}"}.get(wanted, wanted)
    yes, no = gullet.read_arg(), gullet.read_arg()
    found = gullet.peek()
    gullet.push_expansion(
        yes if found == wanted or (wanted.isalnum() and found.startswith(wanted)) else no, "\\@ifnextchar"
    )


def _ifstar(gullet: Gullet, _name: str) -> None:
    yes, no = gullet.read_arg(), gullet.read_arg()
    gullet.push_expansion(yes if gullet.read_star() else no, "\\@ifstar")


def _expandafter(gullet: Gullet, _name: str) -> None:
    first = _next(gullet)
    second = gullet.peek()
    if second == "\\csname":
        gullet.stack.pop()
        _csname(gullet, second)
    elif second in gullet.macros:
        gullet.stack.pop()
        gullet.expand(second, gullet.macros[second])
    if first:
        gullet.push_expansion([first], "\\expandafter")


def _csname(gullet: Gullet, _name: str) -> None:
    parts: list[str] = []
    while gullet.peek() != END and len(parts) < 100:
        token = gullet.stack.pop()
        if token == "\\endcsname":
            name = "\\" + "".join(parts)
            if is_known(gullet, name):
                gullet.push_expansion([name], name)
            return
        if token in gullet.macros:
            gullet.expand(token, gullet.macros[token])
        else:
            parts.append(token)


def _input(gullet: Gullet, _name: str) -> None:
    if gullet.peek() == "{":
        gullet.input(argument_name(gullet))
        return
    token = gullet.peek()  # plain TeX: the name ends at a space
    if token == END or token[0] in "\\}":
        return
    gullet.stack.pop()
    while gullet.stack and gullet.stack[-1][0] in "_~^":
        token += gullet.stack.pop() + (gullet.stack.pop() if gullet.stack and gullet.stack[-1] != END else "")
    first, _, rest = token.partition(" ")
    if rest:
        gullet.stack.append(rest)
    gullet.input(first)


def _import(gullet: Gullet, _name: str) -> None:
    gullet.read_star()
    folder, name = argument_name(gullet), argument_name(gullet)
    gullet.input(f"{folder.rstrip('/')}/{name}" if folder else name)


def _usepackage(gullet: Gullet, _name: str) -> None:
    options = name_of(gullet.read_optional() or [])
    names = [part.strip() for part in argument_name(gullet).split(",")]
    gullet.read_optional()
    for name in names:
        known = name in gullet.packages
        gullet.packages[name] = options
        tokens = None if known else gullet.own_package(name)
        if tokens:
            _harvest(gullet, tokens)


def _harvest(gullet: Gullet, tokens: list[str]) -> None:
    """Takes the plain definitions out of a package that lies beside the document; nothing else in it is run.

    A definition that leans on TeX's inner commands is left out: half of such machinery does more harm than none.
    """
    before = dict(gullet.macros)
    fence = gullet.begin_piece()
    gullet.push(tokens)
    while gullet.stack[-1] != END:
        token = gullet.stack.pop()
        if token in _DEFINERS:
            PRIMITIVES[token](gullet, token)
        elif token == "{":
            gullet.stack.append(token)
            gullet.read_arg()
    gullet.stack.pop()
    gullet.end_piece(fence)
    for name, macro in list(gullet.macros.items()):
        if before.get(name) is not macro and ("@" in name or any(_is_inner(token) for token in macro.body)):
            if name in before:
                gullet.macros[name] = before[name]
            else:
                del gullet.macros[name]


_DEFINERS = frozenset(
    f"\\{name}"
    for name in (
        "newcommand", "renewcommand", "providecommand", "DeclareRobustCommand", "def", "gdef", "DeclareMathOperator",
        "newenvironment", "renewenvironment", "NewDocumentCommand", "DeclareDocumentCommand",
    )
)  # fmt: skip


def _is_inner(token: str) -> bool:
    """Whether a token belongs to TeX's machinery rather than to what an author writes."""
    return token[0] == "\\" and ("@" in token[2:] or token.startswith("\\if") or token in _INNER)


_INNER = frozenset(
    ["\\expandafter", "\\csname", "\\futurelet", "\\edef", "\\def", "\\let", "\\hbox", "\\vbox", "\\halign"]
)


def _documentclass(gullet: Gullet, _name: str) -> None:
    options = name_of(gullet.read_optional() or [])
    gullet.has_class = True
    gullet.packages["class:" + argument_name(gullet).rpartition("/")[2]] = options
    gullet.read_optional()


def _xspace(gullet: Gullet, _name: str) -> None:
    stack = gullet.stack
    if (
        stack
        and (stack[-1][0].isalnum() or stack[-1][0] in "\\($")
        and stack[-1] not in ("\\ ", "\\/", "\\,", "\\end", "\\item")
    ):
        stack.append(" ")


def _pass(gullet: Gullet, _name: str) -> None:
    gullet.push(gullet.read_arg())


def _nothing(_gullet: Gullet, _name: str) -> None:
    pass


def _bgroup(gullet: Gullet, _name: str) -> None:
    gullet.push_expansion(["{"], "\\bgroup")


def _egroup(gullet: Gullet, _name: str) -> None:
    gullet.push_expansion(["}"], "\\egroup")


def _close(gullet: Gullet, _name: str) -> None:
    gullet.close_file()


def _table() -> dict[str, Primitive]:
    rows: list[tuple[str, Primitive]] = [
        ("newcommand renewcommand providecommand DeclareRobustCommand newrobustcmd renewrobustcmd", _newcommand),
        ("def gdef edef xdef", _def),
        ("let", _let),
        ("DeclareMathOperator", _operator),
        ("newenvironment renewenvironment", _newenvironment),
        ("NewDocumentCommand RenewDocumentCommand ProvideDocumentCommand DeclareDocumentCommand", _document_command),
        ("NewDocumentEnvironment RenewDocumentEnvironment DeclareDocumentEnvironment", _document_environment),
        ("newif", _newif),
        (BUILTIN + "setflag", _setflag),
        (BUILTIN + "closefile", _close),
        ("ifx", _ifx),
        ("ifnum ifdim ifodd", _ifnum),
        ("ifcase", _ifcase),
        ("if ifcat", _iftoken),
        ("ifdefined", _ifdefined),
        ("iftrue", lambda gullet, _name: choose(gullet, True)),
        ("ifmmode", lambda gullet, _name: choose(gullet, gullet.math_depth > 0)),
        (BUILTIN + "ifflag", _ifflag),
        ("iffalse ifhmode ifvmode ifinner ifpdf ifxetex ifluatex ifPDFTeX ifXeTeX ifLuaTeX if@twocolumn", _iffalse),
        ("else or", _else),
        ("ifthenelse", _ifthenelse),
        ("ifstrempty ifblank", _ifempty),
        ("IfNoValueTF IfValueTF", _ifvalue),
        ("IfBooleanTF", _ifboolean),
        ("@ifundefined", _ifundefined),
        ("@ifnextchar kernel@ifnextchar", _ifnextchar),
        ("@ifstar", _ifstar),
        ("expandafter", _expandafter),
        ("csname", _csname),
        ("input include subfile subfileinclude @input", _input),
        ("import subimport inputfrom includefrom subincludefrom", _import),
        ("usepackage RequirePackage", _usepackage),
        ("documentclass documentstyle", _documentclass),
        ("xspace", _xspace),
        ("unexpanded detokenize AtBeginDocument", _pass),
        ("bgroup begingroup", _bgroup),
        ("egroup endgroup", _egroup),
        (
            "fi relax long global protected protect noexpand makeatletter makeatother endcsname ignorespaces unskip",
            _nothing,
        ),
        ("ignorespacesafterend outer leavevmode endinput ExplSyntaxOn ExplSyntaxOff", _nothing),
    ]
    return {f"\\{name}": function for names, function in rows for name in names.split()}


PRIMITIVES: dict[str, Primitive] = {**registers(), **_table()}
