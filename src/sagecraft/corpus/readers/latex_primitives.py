r"""What works alike in text and mathematics: definitions, conditionals, files, and the few primitives that macros lean on."""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.corpus.readers.latex_conditions import following as _next
from sagecraft.corpus.readers.latex_conditions import is_known
from sagecraft.corpus.readers.latex_conditions import table as conditions
from sagecraft.corpus.readers.latex_data import Macro
from sagecraft.corpus.readers.latex_macros import Gullet, argument_name, control_name
from sagecraft.corpus.readers.latex_registers import table as registers
from sagecraft.corpus.readers.latex_tokens import BUILTIN, END, PAR, name_of, scan, source_of

Primitive = Callable[[Gullet, str], None]


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
    target = control_name(gullet)
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
    target = control_name(gullet)
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
    target = control_name(gullet)
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


#: An argument of `\\NewDocumentCommand`: its letter, then delimiters (`d()`), a default (`O{x}`) or marks (`e{_^}`).
_ARGUMENT = re.compile(
    r"[+!]*(?:>\s*\{[^{}]*\}\s*)?(?:([dr])(\S)(\S)|([DR])(\S)(\S)\s*(\{(?:[^{}]|\{[^{}]*\})*\})|([OG])\s*(\{(?:[^{}]|\{[^{}]*\})*\})|(e)\s*\{([^{}]*)\}|(t)(\S)|([mosvbg]))"
)


def _parse_spec(tokens: list[str]) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """A specification of `\\NewDocumentCommand`: `s m o O{default} d() g`."""
    spec = ""
    defaults: list[tuple[str, ...]] = []
    for match in _ARGUMENT.finditer(source_of(tokens)):
        letter = next(match[group] for group in (1, 4, 8, 10, 12, 14) if match[group])
        if letter in "oO" or (letter in "dDrR" and (match[2] or match[5]) == "["):
            default = match[9] or match[7] or "{}"
            defaults.append(tuple(scan(default[1:-1])))
            spec += "o"
        elif letter in "dDrR":
            spec += "("
        elif letter == "e":  # what follows keeps its `_` and `^`, which then stand where the author put them
            spec += "n" * len(match[11])
        else:
            spec += {"v": "m", "g": "b", "G": "b", "t": "s"}.get(letter, letter)
    return spec, tuple(defaults)


def _document_command(gullet: Gullet, name: str) -> None:
    target = control_name(gullet)
    spec, defaults = _parse_spec(gullet.read_arg())
    gullet.define(target, _macro(spec, gullet.read_arg(), defaults), keep=name.startswith("\\Provide"))


def _document_environment(gullet: Gullet, _name: str) -> None:
    target = argument_name(gullet)
    spec, defaults = _parse_spec(gullet.read_arg())
    begin, end = gullet.read_arg(), gullet.read_arg()
    _store_environment(gullet, target, _macro(spec, begin, defaults), end)


def _futurelet(gullet: Gullet, _name: str) -> None:
    r"""`\futurelet\next\do`: looks at what follows `\do`, then does it."""
    target, action = _next(gullet), _next(gullet)
    following = gullet.stack[-1] if gullet.stack else END
    seen = following[:1] if following[0] not in "\\{}$" and following != PAR else following
    gullet.define(target, Macro("", [] if seen == END else [seen], has_params=False))
    if action:
        gullet.push_expansion([action], "\\futurelet")


def _gobble(gullet: Gullet, name: str) -> None:
    gullet.read_arg()
    if name == "\\@gobbletwo":
        gullet.read_arg()


def _one_of_two(gullet: Gullet, name: str) -> None:
    first, second = gullet.read_arg(), gullet.read_arg()
    gullet.push_expansion(first if name == "\\@firstoftwo" else second, name)


def _excludecomment(gullet: Gullet, _name: str) -> None:
    gullet.excluded.add(argument_name(gullet))


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


def _if_file(gullet: Gullet, name: str) -> None:
    r"""`\InputIfFileExists{file}{yes}{no}`; `\IfFileExists` does not read the file."""
    file = argument_name(gullet)
    yes, no = gullet.read_arg(), gullet.read_arg()
    counts = gullet.counts.copy()
    found = gullet.find_file(file, ["", ".tex"]) is not None
    gullet.counts.clear()
    gullet.counts.update(counts)  # a file that may be missing is not missed
    gullet.push_expansion(yes if found else no, name)
    if found and name == "\\InputIfFileExists":
        gullet.input(file)


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


def harvest_beside(gullet: Gullet) -> None:
    """Takes what the document class and the larger packages beside the document define and nothing else here knows."""
    before = dict(gullet.macros)
    for package in list(gullet.packages):
        name, suffix = (package[6:], ".cls") if package.startswith("class:") else (package, ".sty")
        tokens = gullet.own_package(name, suffix, max_bytes=600_000)
        if tokens:
            _harvest(gullet, tokens)
    for name in [name for name in gullet.macros if name not in before and _is_data(gullet, name)]:
        del gullet.macros[name]
    gullet.macros.update(before)


def _is_data(gullet: Gullet, name: str) -> bool:
    return name in gullet.data.text or name in gullet.data.symbols


_DEFINERS = frozenset(
    f"\\{name}"
    for name in (
        "newcommand", "renewcommand", "providecommand", "DeclareRobustCommand", "def", "gdef", "DeclareMathOperator",
        "newenvironment", "renewenvironment", "NewDocumentCommand", "DeclareDocumentCommand",
    )
)  # fmt: skip


def _is_inner(token: str) -> bool:
    """Whether a token belongs to TeX's machinery rather than to what an author writes."""
    return token[0] == "\\" and (("@" in token and len(token) > 2) or token.startswith("\\if") or token in _INNER)


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
        (BUILTIN + "closefile", _close),
        ("futurelet", _futurelet),
        ("@gobble @gobbletwo", _gobble),
        ("@firstoftwo @secondoftwo", _one_of_two),
        ("excludecomment", _excludecomment),
        ("expandafter", _expandafter),
        ("csname", _csname),
        ("input include subfile subfileinclude @input", _input),
        ("import subimport inputfrom includefrom subincludefrom", _import),
        ("IfFileExists InputIfFileExists", _if_file),
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


PRIMITIVES: dict[str, Primitive] = {**registers(), **conditions(), **_table()}
