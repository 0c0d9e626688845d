r"""What a LaTeX source holds, counted apart from sagecraft's reader: formulas, citations, table cells, macros.

Nothing here imports sagecraft. Where the reader walks tokens, this searches the text with regular expressions and replaces macros
as strings, so that a fault of the one is not hidden by the other.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

_INPUT = re.compile(r"\\(?:input|include|subfile|subimport\s*\{[^{}]*\}|import\s*\{[^{}]*\})\s*\{([^{}]+)\}")
_VERBATIM = re.compile(
    r"\\begin\{(verbatim\*?|Verbatim|lstlisting|minted|comment|filecontents\*?|alltt)\}.*?\\end\{\1\}|\\verb\*?([^\sA-Za-z*]).*?\2|\\iffalse\b.*?\\fi\b",
    re.DOTALL,
)
_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*(?:\n[ \t]*)?")
_DISPLAY_NAMES = r"(?:equation|align|alignat|flalign|eqnarray|gather|multline|displaymath|dmath)\*?"
_FORMULA = re.compile(
    r"\\\$|\\\\(?=\[)|\\\\"  # an escaped dollar, a line break, and `\\[2pt]`, which is no display
    r"|\$\$(?P<d1>.+?)\$\$|\\\[(?P<d2>.+?)\\\]|\\begin\{(?P<env>" + _DISPLAY_NAMES + r")\}(?P<d3>.+?)\\end\{(?P=env)\}"
    r"|\$(?P<i1>(?:\\.|[^$\\])+)\$|\\\((?P<i2>.+?)\\\)",
    re.DOTALL,
)
_DEFINITION = re.compile(
    r"\\(?:re|provide)?(?:newcommand|command)\*?\s*\{?\s*(\\[A-Za-z]+)\s*\}?\s*(?:\[(\d)\])?\s*(?:\[([^\]]*)\])?\s*(?=\{)"
    r"|\\def\s*(\\[A-Za-z]+)((?:#\d)*)\s*(?=\{)|\\(DeclareMathOperator)\*?\s*\{?\s*(\\[A-Za-z]+)\s*\}?\s*(?=\{)"
)
_CITE = re.compile(
    r"\\(?!citeauthor|citeyear|citetalias|citepalias|nocite|defcite)[A-Za-z]*cite[a-zA-Z]*\*?\s*(?:\[[^\]]*\]\s*){0,2}\{([^{}]+)\}"
)
_TABLE = re.compile(r"\\begin\{(tabular[xy*]?|longtable|deluxetable\*?|supertabular|tblr)\}(.+?)\\end\{\1\}", re.DOTALL)
_ACKNOWLEDGEMENT = re.compile(
    r"\\section\*?\s*\{\s*acknowledge?ments?\s*\}.*?(?=\\section|\\appendix|\\bibliography|\\begin\{thebib|\Z)"
    r"|\\begin\{(ack\w*)\}.*?\\end\{\1\}|\\acknowledge?ments?\b.*?(?=\\(?:section|appendix|bibliography|facilit|software|begin\{thebib)|\Z)",
    re.DOTALL | re.IGNORECASE,
)


@dataclass
class Source:
    """A paper's source as text.

    Attributes:
        raw: Body without comments, bibliography and acknowledgements; macros as the authors wrote them.
        expanded: The same with the document's own macros replaced.
        macros: Name to (number of arguments, default of the first, body).
        bibliography: Text of every bibliography that lies beside the document or in it.
        dropped: Passages that a PDF prints and no reader is asked for: thanks, addresses, keywords.
    """

    raw: str
    expanded: str
    macros: dict[str, tuple[int, str | None, str]] = field(default_factory=dict)
    bibliography: str = ""
    dropped: list[str] = field(default_factory=list)


def braces(text: str, start: int) -> int:
    """The position behind the group that opens at `start`."""
    depth = 0
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.end()
    return len(text)


def read(path: Path) -> str:
    """Text of a file in either of the two encodings that papers come in."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace").replace("\r\n", "\n")


def strip(text: str) -> str:
    """Without what is read as it stands, and without comments."""
    return _COMMENT.sub(r"\1", _VERBATIM.sub(" ", text))


def joined(path: Path, root: Path, depth: int = 0) -> str:
    """A file with the files it takes in."""

    def follow(match: re.Match[str]) -> str:
        name = match[1].strip()
        for folder in (path.parent, root):
            for candidate in (folder / f"{name}.tex", folder / name):
                if candidate.is_file() and depth < 8:
                    return inside(joined(candidate, root, depth + 1))
        return " "

    return _INPUT.sub(follow, strip(read(path)))


def inside(text: str) -> str:
    """What a subfile that can stand alone gives to the document."""
    match = re.search(r"\\begin\{document\}(.*)\\end\{document\}", text, re.DOTALL)
    return match[1] if match and "\\documentclass" in text[: match.start()] else text


def definitions(text: str) -> tuple[dict[str, tuple[int, str | None, str]], str]:
    """The document's macros, and the text without their definitions."""
    found: dict[str, tuple[int, str | None, str]] = {}
    kept: list[str] = []
    position = 0
    for match in _DEFINITION.finditer(text):
        if match.start() < position:
            continue
        end = braces(text, match.end())
        body = text[match.end() + 1 : end - 1]
        if match[6]:
            found[match[7]] = (0, None, f"\\operatorname{{{body}}}")
        else:
            count = int(match[2] or 0) if match[1] else len(match[5]) // 2
            found[match[1] or match[4]] = (count, match[3], body)
        kept.append(text[position : match.start()])
        position = end
    kept.append(text[position:])
    return found, "".join(kept)


def expand(text: str, macros: dict[str, tuple[int, str | None, str]], rounds: int = 6) -> str:
    """Replaces the macros as strings, some rounds deep."""
    own = {name: macro for name, macro in macros.items() if "@" not in macro[2] and "\\if" not in macro[2]}
    if not own:
        return text
    names = re.compile(
        "|".join(re.escape(name) for name in sorted(own, key=len, reverse=True)).join(["(?:", ")(?![A-Za-z])"])
    )
    for _ in range(rounds):
        out: list[str] = []
        position = 0
        for match in names.finditer(text):
            if match.start() < position:
                continue
            end, replaced = _replacement(text, match, own[match[0]])
            out += [text[position : match.start()], replaced]
            position = end
        if not out:
            break
        text = "".join(out) + text[position:]
    return text


def _replacement(text: str, match: re.Match[str], macro: tuple[int, str | None, str]) -> tuple[int, str]:
    count, default, body = macro
    end = match.end()
    arguments: list[str] = []
    if default is not None:
        optional = re.compile(r"\s*\[([^\]]*)\]").match(text, end)
        arguments.append(optional[1] if optional else default)
        end = optional.end() if optional else end
    while len(arguments) < count:
        blank = re.compile(r"\s*").match(text, end)
        start = blank.end() if blank else end
        if text[start : start + 1] == "{":
            end = braces(text, start)
            arguments.append(text[start + 1 : end - 1])
        else:
            word = re.compile(r"\\[A-Za-z]+|.|\Z", re.DOTALL).match(text, start)
            arguments.append(word[0] if word else "")
            end = word.end() if word else start
    for index, argument in enumerate(arguments, 1):
        body = body.replace(f"#{index}", argument)
    if not count:
        blank = re.compile(r"[ \t]*\n?[ \t]*").match(text, end)
        end = blank.end() if blank and not re.match(r"\s*\n\s*\n", text[end:]) else end
    # Braces keep what follows apart, as TeX's tokens do; the comparison drops them.
    return end, body if "\\begin" in body or "\\end" in body else "{" + body + "}"


def load(main: Path, root: Path) -> Source:
    """Reads a paper's source."""
    text = joined(main, root)
    lists = re.findall(r"\\begin\{thebibliography\}.*?\\end\{thebibliography\}", text, re.DOTALL)
    beside = [read(path) for path in sorted({*root.rglob("*.bbl"), *root.rglob("*.bib")})]
    macros, text = definitions(text)
    match = re.search(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", text, re.DOTALL)
    body = match[1] if match else text
    body = re.sub(r"\\begin\{thebibliography\}.*?\\end\{thebibliography\}", " ", body, flags=re.DOTALL)
    front = "".join(
        re.findall(
            r"\\title\s*(?:\[[^\]]*\])?\{[^{}]*\}|\\begin\{abstract\}.*?\\end\{abstract\}",
            text[: match.start()] if match else "",
            re.DOTALL,
        )
    )
    body = re.sub(
        r"(\\(?:caption|part|chapter|(?:sub)*section)\*?)\s*\[[^\]]*\](?=\s*\{)", r"\1", front + body
    )  # for the lists of contents
    dropped = [found[0] for found in _ACKNOWLEDGEMENT.finditer(body)]
    dropped += re.findall(r"\\(?:keywords|(?:alt)?affil(?:iation)?|institute)\s*(\{(?:[^{}]|\{[^{}]*\})*\})", body)
    body = _ACKNOWLEDGEMENT.sub(" ", _front_matter(body))
    body = _without_arguments(body, text[: match.start()] if match else "")
    expanded = expand(body, macros)
    for name in (name for name, macro in macros.items() if "@" in macro[2]):  # TeX's machinery: it sets nothing itself
        expanded = re.sub(re.escape(name) + r"(?![A-Za-z])", "", expanded)
    dropped = [expand(passage, macros) for passage in dropped]
    return Source(body, expanded, macros, "\n".join([*lists, *beside]), dropped)


def _without_arguments(text: str, preamble: str) -> str:
    """Without the arguments that the document's own environments take."""
    for name, count in re.findall(r"\\(?:re)?newenvironment\*?\s*\{(\w+\*?)\}\s*\[(\d)\]", preamble):
        for _ in range(int(count)):
            text = re.sub(
                r"(\\begin\{" + re.escape(name) + r"\})\s*(?:\[[^\]]*\]|\{(?:[^{}]|\{[^{}]*\})*\})", r"\1", text
            )
    return text


def _front_matter(text: str) -> str:
    """Without authors and addresses, whose formulas are only marks."""
    for name in (
        "author",
        "affil",
        "affiliation",
        "address",
        "institute",
        "altaffiltext",
        "thanks",
        "and",
        "email",
        "altaffilmark",
        "inst",
    ):
        pieces: list[str] = []
        position = 0
        for match in re.finditer(r"\\" + name + r"\s*(?:\[[^\]]*\]\s*)?(?=\{)", text):
            if match.start() < position:
                continue
            pieces.append(text[position : match.start()])
            position = braces(text, match.end())
        text = "".join(pieces) + text[position:]
    return text


_ENSURED = re.compile(r"\\ensuremath\s*(?=\{)")


def _ensured(text: str) -> str:
    r"""`\ensuremath` outside mathematics as the formula that it is."""
    out: list[str] = []
    position = 0
    for match in _ENSURED.finditer(text):
        if match.start() < position:
            continue
        end = braces(text, match.end())
        out += [text[position : match.start()], "$", text[match.end() + 1 : end - 1].replace("$", ""), "$"]
        position = end
    return "".join(out) + text[position:]


def formulas(text: str) -> tuple[list[str], list[str]]:
    """Display and inline formulas in their order, in the form in which two writings of one formula are alike."""
    display: list[str] = []
    inline: list[str] = []
    position = 0
    for match in _FORMULA.finditer(text):
        between = text[position : match.start()]
        if match.lastgroup is None:
            continue
        position = match.end()
        if "\\ensuremath" in between:
            inline += [canonical(found[0]) for found in re.findall(r"\$([^$]+)(\$)", _ensured(between))]
        if match.lastgroup.startswith("i"):
            inline.append(canonical(match[match.lastgroup]))
        else:
            display.append(canonical(match["d1"] or match["d2"] or match["d3"] or ""))
    return [part for part in display if part], [part for part in inline if part]


_NOISE = re.compile(
    r"\\(?:label|ref|eqref|tag\*?|cite[a-z]*|color|vspace\*?|hspace\*?|intertext)\s*\{[^{}]*\}|\\(?:begin|end)\s*\{[A-Za-z]+\*?\}(?:\{[rlc@{}|\d ]*\})?"
    r"|\\(?:nonumber|notag|left|right|displaystyle|textstyle|limits|ensuremath|operatorname\*?|mathrm|rm|mbox|hbox|text|textrm|mathit|textit|big|Big|bigg|Bigg"
    r"|quad|qquad|protect|textcolor\s*\{[^{}]*\}|allowbreak|xspace|mathop|mathbin|mathrel|bm|boldsymbol|mathbf|bf|eqno|thinspace|noindent|par|smallskip|newline|lefteqn|tabular)(?![A-Za-z])"
    r"|\\\\(?:\[[^\]]*\])?|\\[,;:!> /]|[{}&$~\s]"
)
_SAME = {
    "\\le": "\\leq",
    "\\ge": "\\geq",
    "\\ne": "\\neq",
    "\\rightarrow": "\\to",
    "\\ast": "*",
    "\\lbrace": "\\{",
    "\\vert": "|",
    "\\Vert": "\\|",
    "\\lvert": "|",
    "\\rvert": "|",
}


def canonical(formula: str) -> str:
    """A formula without labels, spacing, braces, fonts, alignment and final punctuation."""
    text = formula
    while (shorter := _NOISE.sub("", text)) != text:
        text = shorter
    text = re.sub(r"\\[A-Za-z]+", lambda match: _SAME.get(match[0], match[0]), text)
    return text.rstrip(".,;:")


def citations(source: Source) -> list[str]:
    """Keys in the order in which they are cited."""
    return [key.strip() for match in _CITE.finditer(source.raw) for key in match[1].split(",") if key.strip()]


def cells(text: str) -> list[str]:
    """Signatures of all cells of all tables that hold letters or figures and no reference."""
    found: list[str] = []
    for table in _TABLE.finditer(text):
        body = table[2].partition("\\startdata")[2] or table[2]
        body = re.sub(r"^\s*(?:\*?\{[^{}]*\})?\s*(?:\[[^\]]*\])?\s*\{(?:[^{}]|\{[^{}]*\})*\}", "", body)
        body = re.sub(
            r"\\(?:caption|tablecaption|tablenotetext|label)\s*\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}", "", body
        )
        for row in re.split(r"\\\\\*?(?:\[[^\]]*\])?|\\tabularnewline", body):
            for cell in re.split(r"(?<!\\)&", row):
                if not re.search(r"\\[a-z]*(?:cite|ref)\b|\\cite|\\href|\\url|\\footnote", cell):
                    found.append(signature(cell))
    return [cell for cell in found if cell]


_ACCENT = re.compile(r"\\[\"'`^~=.]|[\u0300-\u036f]")
_COMMAND = re.compile(
    r"\\(?:multicolumn\s*\{[^{}]*\}\s*\{(?:[^{}]|\{[^{}]*\})*\}|multirow\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}|c(?:mid)?(?:line|rule)(?:\([^)]*\))?\s*\{[^{}]*\}"
    r"|(?:vspace|hspace|rule|label)\*?\s*\{[^{}]*\}|begin\s*\{[^{}]*\}(?:\{[^{}]*\})?|end\s*\{[^{}]*\}|[A-Za-z]+\*?|.)"
)


def signature(cell: str) -> str:
    """Letters and figures of a cell, commands taken out."""
    text = unicodedata.normalize("NFKD", _COMMAND.sub(" ", _ACCENT.sub("", cell)))
    return "".join(re.findall(r"[A-Za-z0-9]+", text)).lower()
