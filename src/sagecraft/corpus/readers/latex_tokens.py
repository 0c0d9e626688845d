r"""The scanner: LaTeX source to a flat list of tokens, in linear time.

A token is a plain string, told by its first character, which keeps the interpreter's loop short and fast:

- `\name` or `\?`: a control word or symbol;
- `{ } [ ] & ~ ^ _ $ $$ #1`: themselves;
- a single space: any white space; `PAR`: an empty line;
- `RAW` + a letter + text: what TeX would not tokenise (`v` verbatim block, `c` inline code, `u` piece of an address);
- `END`: the end of a piece that is rendered on its own (never made by the scanner);
- anything else: a run of ordinary characters of one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

PAR = "\n\n"
RAW = "\x01"
END = "\x02"
#: Marks a control word that keeps its built-in meaning whatever the document redefines (`\let\old\section`).
BUILTIN = "\x03"

#: Control characters are ours (see above), so none may come from a file.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]+")

#: Runs are cut at a thousand characters, so that a macro of few tokens cannot stand for much text.
_REST = r"|[^\\{}$%&~#^_\[\]\s][^\\{}$%&~#^_\[\]\n]{0,999}|[ \t\n]+|%[^\n]*(?:\n[ \t]*)?|\$\$?|#+[1-9]?|[{}&~^_\[\]]|."
_TOKENS = re.compile(r"\\(?:[A-Za-z]+|.|\Z)" + _REST, re.DOTALL)
_TOKENS_AT = re.compile(r"\\(?:[A-Za-z@]+|.|\Z)" + _REST, re.DOTALL)

_VERBATIM = "verbatim|verbatim\\*|Verbatim|BVerbatim|lstlisting|minted|alltt|comment|filecontents|filecontents\\*"
#: Everything that changes how the following characters are read; any other escape or comment is stepped over.
_SWITCH = re.compile(
    r"\\(?:begin[ \t]*\{(?P<env>" + _VERBATIM + r")\}"
    r"|(?P<verb>verb|lstinline)(?![A-Za-z])\*?"
    r"|(?P<url>url|href|nolinkurl|path|urldef)(?![A-Za-z])[ \t]*\{"
    r"|(?P<at>makeatletter|makeatother|ExplSyntaxOn)(?![A-Za-z])"
    r"|.)|%[^\n]*",
    re.DOTALL,
)
_MAY_SWITCH = re.compile(
    r"\\begin[ \t]*\{(?:" + _VERBATIM + r")\}|\\verb|\\lstinline|\\makeat|\\ExplSyntaxOn"
    r"|\\(?:url|href|nolinkurl|path)[ \t]*\{[^}\n%]{0,2000}%"
)
_UNSEEN = frozenset(["comment", "filecontents", "filecontents*"])
_OPTION = re.compile(r"[ \t]*\[[^\]\n]*\]")


def normalise(text: str) -> str:
    """Unix line ends, no control characters: what `scan` works on."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL.sub("", text)


def scan(text: str, at_letter: bool = False) -> list[str]:
    """Tokens of a whole file.

    Args:
        text: The source.
        at_letter: Whether `@` belongs to control words from the start, as it does in packages.
    """
    text = normalise(text)
    if "ShortVerb" in text:
        text = _short_verbatim(text)
    if not _MAY_SWITCH.search(text):
        return _plain(text, at_letter)
    tokens: list[str] = []
    start = position = 0
    unclosed: set[str] = set()  # a search that failed once fails for the rest of the file: keeps this linear
    while True:
        match = _SWITCH.search(text, position)
        if match is None:
            break
        position = match.end()
        if match.lastgroup is None:
            continue
        if match.lastgroup == "at":
            tokens += _plain(text[start : match.start()], at_letter)
            start = position
            if match["at"] == "ExplSyntaxOn":  # another language: nothing in it is text
                start = position = _after(text, "\\ExplSyntaxOff", position, unclosed)
            else:
                at_letter = match["at"] == "makeatletter"
            continue
        found = _raw(text, match, unclosed)
        if found is not None:
            piece, end = found
            tokens += _plain(text[start : match.start()], at_letter)
            tokens += piece
            start = position = end
    return tokens + _plain(text[start:], at_letter)


_SHORT_VERB = re.compile(r"\\(?:Make|Define)ShortVerb\*?\s*\{?\\([|\"!+])\}?")


def _short_verbatim(text: str) -> str:
    r"""Text in which `|…|` is `\verb|…|`, after a document has said that it means that."""
    match = _SHORT_VERB.search(text)
    if match is None:
        return text
    mark = re.escape(match[1])
    before, after = text[: match.start()], text[match.end() :]
    return before + re.sub(mark + "([^\n" + mark + "]*)" + mark, lambda found: f"\\verb{found[0]}", after)


def _after(text: str, mark: str, position: int, unclosed: set[str]) -> int:
    """The position behind `mark`, or `position` itself when it never comes."""
    end = -1 if mark in unclosed else text.find(mark, position)
    if end < 0:
        unclosed.add(mark)
        return position
    return end + len(mark)


def _raw(text: str, match: re.Match[str], unclosed: set[str]) -> tuple[list[str], int] | None:
    """The raw tokens that start at a match and where they end; None when nothing raw is there after all."""
    position = match.end()
    env = match["env"]
    if env is not None:
        closing = f"\\end{{{env}}}"
        end = _after(text, closing, position, unclosed)
        if end == position:
            return None
        if env in _UNSEEN:
            return [], end
        content = text[position : end - len(closing)]
        option = _OPTION.match(content)
        if option:
            content = content[option.end() :]
        if env == "minted" and content.startswith("{"):
            content = content.partition("}")[2]
        return [RAW + "v" + content.strip("\n").rstrip()], end
    limit = position + 2000
    if match["verb"] is not None:
        if match["verb"] == "lstinline" and (option := _OPTION.match(text, position, limit)):
            position = option.end()
        mark = text[position : position + 1]
        if not mark or mark.isspace():
            return None
        end = text.find("}" if mark == "{" else mark, position + 1, limit)
        content = text[position + 1 : end]
        return None if end < 0 or "\n" in content else ([RAW + "c" + content], end + 1)
    end = text.find("}", position, limit)
    content = text[position:end]
    if end < 0 or "\n" in content or "%" not in content or "{" in content:
        return None
    return ["\\" + str(match["url"]), "{", RAW + "u" + content, "}"], end + 1


def _plain(text: str, at_letter: bool) -> list[str]:
    """Tokens of a stretch without anything raw: comments go, white space becomes a space or `PAR`."""
    tokens: list[str] = []
    append = tokens.append
    after_comment = False
    for token in (_TOKENS_AT if at_letter else _TOKENS).findall(text):
        first = token[0]
        if first == "%":
            after_comment = True
            continue
        if first in " \t\n":
            append(PAR if token.count("\n") > (0 if after_comment else 1) else " ")
        elif first == "\\":
            append("\\ " if token in ("\\\n", "\\\t", "\\") else token)
        else:
            append(token)
        after_comment = False
    return tokens


def source_of(tokens: Iterable[str]) -> str:
    """Tokens back to LaTeX; a control word before a letter gets its space."""
    parts: list[str] = []
    word = False
    for token in tokens:
        if token == END:
            continue
        if token[0] == RAW:
            token = token[2:]
        elif token[0] == "\\":
            token = token.replace(BUILTIN, "")
        if word and token[:1].isalpha():
            parts.append(" ")
        parts.append(token)
        word = len(token) > 1 and token[0] == "\\" and token[-1].isalpha()
    return "".join(parts)


def is_word(token: str) -> bool:
    r"""Whether a token is a control word (`\name`), after which TeX skips white space."""
    return token[0] == "\\" and (token[-1].isalpha() or (token[-1] == "@" and len(token) > 2))


def name_of(tokens: Sequence[str]) -> str:
    """The plain characters of an argument that is a name (environment, label, key, file)."""
    plain = (
        token[2:] if token[0] == RAW else token if token != PAR else " " for token in tokens if token[0] not in "{}"
    )
    return "".join(plain).strip()
