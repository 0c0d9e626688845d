r"""Acronyms and glossary entries: `\gls{ism}` becomes "interstellar medium (ISM)" where it first stands, then "ISM".

The commands are those of the packages glossaries, acronym and acro.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sagecraft.corpus.readers.latex_macros import argument_name
from sagecraft.corpus.readers.latex_text import Typesetter
from sagecraft.corpus.readers.latex_tokens import name_of


@dataclass(frozen=True)
class Entry:
    """Short and long forms as tokens; a name without a long form is always set as it is."""

    short: list[str]
    long: list[str] = field(default_factory=list)
    short_plural: list[str] = field(default_factory=list)
    long_plural: list[str] = field(default_factory=list)


def settings(tokens: list[str]) -> dict[str, list[str]]:
    """`key=value, key={value}` as tokens."""
    found: dict[str, list[str]] = {}
    part: list[str] = []
    depth = 0
    for token in [*tokens, ","]:
        depth += (token == "{") - (token == "}")
        pieces = token.split(",") if depth == 0 and token[0] not in "\\{}" else [token]
        for index, piece in enumerate(pieces):
            if index:
                _setting(part, found)
                part = []
            if piece:
                part.append(piece)
    return found


def _setting(part: list[str], found: dict[str, list[str]]) -> None:
    while part and not part[0].strip():
        part.pop(0)
    if not part:
        return
    key, equals, rest = part[0].partition("=")
    if not equals:
        return
    value = ([rest.lstrip()] if rest.strip() else []) + part[1:]
    while value and not value[-1].strip():
        value.pop()
    while value and not value[0].strip():
        value.pop(0)
    if len(value) > 1 and value[0] == "{" and value[-1] == "}":
        value = value[1:-1]
    found[key.strip()] = value


def _new_acronym(setter: Typesetter, _token: str) -> None:
    options = settings(setter.gullet.read_optional() or [])
    key = argument_name(setter.gullet)
    short, long = setter.gullet.read_arg(), setter.gullet.read_arg()
    setter.glossary[key] = Entry(short, long, options.get("shortplural", []), options.get("longplural", []))


def _new_entry(setter: Typesetter, token: str) -> None:
    key = argument_name(setter.gullet)
    options = settings(setter.gullet.read_arg())
    if token == "\\longnewglossaryentry":
        setter.gullet.read_arg()
    short, long = options.get("short") or options.get("name") or [key], options.get("long", [])
    setter.glossary[key] = Entry(short, long, options.get("plural", []), options.get("long-plural-form", []))


def _acro(setter: Typesetter, _token: str) -> None:
    r"""`\acro{key}[short]{long}` of the package acronym."""
    key = argument_name(setter.gullet)
    short = setter.gullet.read_optional() or [key]
    setter.glossary[key] = Entry(short, setter.gullet.read_arg())


def _use(setter: Typesetter, token: str) -> None:
    gullet = setter.gullet
    gullet.read_star()
    gullet.read_optional()
    key = argument_name(gullet)
    if gullet.stack and gullet.stack[-1] == "[":
        gullet.read_optional()
    entry = setter.glossary.get(key)
    if entry is None:  # defined in a file that is not there: the key is the best that is known
        setter.out.append(key)
        return
    form, plural = _USES[token[1:].lower()]
    short = (entry.short_plural or [*entry.short, "s"]) if plural else entry.short
    long = (entry.long_plural or [*entry.long, "s"]) if plural and entry.long else entry.long
    if not long:
        form = "short"
    elif form == "first":
        form = "short" if key in setter.glossary_used else "full"
        setter.glossary_used.add(key)
    tokens = {"short": short, "long": long, "full": [*long, " (", *short, ")"]}[form]
    gullet.spend(len(tokens))
    text = setter.render(tokens)
    if token[1].isupper() and text:
        text = text[0].upper() + text[1:]
    setter.out.append(text)


def _text_of(setter: Typesetter, _token: str) -> None:
    r"""`\glslink{key}{text}`, `\glsdisp{key}{text}`: the text."""
    setter.gullet.read_optional()
    setter.gullet.read_arg()
    setter.gullet.push(setter.gullet.read_arg())


def _description(setter: Typesetter, _token: str) -> None:
    key = name_of(setter.gullet.read_arg())
    entry = setter.glossary.get(key)
    setter.gullet.push(entry.long or entry.short if entry is not None else [key] if key else [])


_FORMS = [
    ("gls glsfmttext ac cgls", "first", False),
    ("glspl acp cglspl acpl", "first", True),
    ("acrshort acs glsentryshort glsxtrshort glstext glsname glsentryname glsentrytext glssymbol iac", "short", False),
    ("acrshortpl acsp glsxtrshortpl glsplural", "short", True),
    ("acrlong acl glsentrylong glsxtrlong", "long", False),
    ("acrlongpl aclp glsxtrlongpl", "long", True),
    ("acrfull acf glsfirst glsxtrfull glsentryfull", "full", False),
    ("acrfullpl acfp glsfirstplural glsxtrfullpl", "full", True),
]
_USES = {name: (form, plural) for names, form, plural in _FORMS for name in names.split()}

GLOSSARY: dict[str, Callable[[Typesetter, str], None]] = {
    "\\newacronym": _new_acronym,
    "\\newabbreviation": _new_acronym,
    "\\newglossaryentry": _new_entry,
    "\\longnewglossaryentry": _new_entry,
    "\\DeclareAcronym": _new_entry,
    "\\acro": _acro,
    "\\acrodef": _acro,
    "\\newacro": _acro,
    "\\glslink": _text_of,
    "\\glsdisp": _text_of,
    "\\glsdesc": _description,
    "\\glsentrydesc": _description,
    **{f"\\{name}": _use for name in _USES},
    **{f"\\{name[0].upper()}{name[1:]}": _use for name in _USES if name.startswith(("gls", "ac", "cgls"))},
    "\\GLS": _use,
}
_USES["GLS".lower()] = ("first", False)
