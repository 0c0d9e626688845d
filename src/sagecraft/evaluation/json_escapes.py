r"""Backslashes in JSON that models write: LaTeX that they forgot to escape.

`"$\alpha$"` is no JSON, and `"$\times$"` is, but says a tab and "imes". Both mean the formula.
"""

from __future__ import annotations

import re

#: A backslash with what it begins; an escaped one is taken whole, so that what follows it is not read as a command.
_ESCAPE = re.compile(r"\\(?:\\|\"|/|u[0-9a-fA-F]{4}|[A-Za-z]{1,24}|[^A-Za-z]|\Z)", re.DOTALL)
#: Commands that begin like an escape of JSON for the end of a line, a tab, a return. What begins like a backspace or a form feed
#: is always a command: no text has those.
_COMMANDS = re.compile(
    r"n(?:abla|atural|e|earrow|eg|eq|ewline|exists|i|leq|geq|mid|onumber|ot|otin|parallel|subseteq|u)|"
    r"t(?:ag|anh?|au|binom|ext(?:bf|it|rm|sf|tt|subscript|superscript|up)?|frac|herefore|heta|hinspace|ilde|imes|o|op|riangle(?:down|q)?|"
    r"woheadrightarrow)|"
    r"r(?:angle|brace|ceil|floor|ho|ight(?:arrow|harpoonup|leftharpoons)?|m|oot|ule)"
)
_UNESCAPED = re.compile(r"\\(?:(u[0-9a-fA-F]{4})|(.)|\Z)", re.DOTALL)
_SHORT = {"n": "\n", "t": "\t", "r": "\r", "b": "", "f": ""}
_HALVES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def latex_kept(text: str) -> str:
    """A reply with the backslashes of LaTeX escaped as JSON wants it; those that are escapes of JSON stay."""
    return _ESCAPE.sub(_kept, text) if "\\" in text else text


def _kept(found: re.Match[str]) -> str:
    escape = found.group(0)
    rest = escape[1:]
    if rest in ("\\", '"', "/", "'") or (rest[:1] == "u" and len(rest) == 5):
        return escape
    if rest[:1] in "ntr" and not _COMMANDS.fullmatch(rest):
        return escape
    if rest in ("b", "f", "\n"):
        return escape
    return "\\" + escape


def unescaped(text: str) -> str:
    """A text as it stands in JSON, of an object that is not valid, with its escapes read."""
    if "\\" not in text:
        return text
    read = _UNESCAPED.sub(
        lambda found: chr(int(found[1][1:], 16)) if found[1] else _SHORT.get(found[2] or "", found[2] or ""), text
    )
    return _HALVES.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), read)
