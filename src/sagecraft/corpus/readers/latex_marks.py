r"""References and citations as the interpreter meets them: their arguments are read at once, their text is settled at the end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagecraft.corpus.readers.latex_refs import reference
from sagecraft.corpus.readers.latex_tokens import name_of

if TYPE_CHECKING:
    from sagecraft.corpus.readers.latex_text import Typesetter

CITATION_STYLES = {
    "cite": "cite",
    **dict.fromkeys(["citet", "Citet", "textcite", "Textcite", "citeN", "shortcite", "shortciteN", "citeasnoun", "citeonline", "possessivecite",
                     "citeA", "shortciteA", "newcite"], "textual"),
    **dict.fromkeys(["citep", "Citep", "parencite", "Parencite", "autocite", "Autocite", "footcite", "smartcite", "supercite", "onlinecite", "footcitetext",
                     "inlinecite", "upcite", "citeaffixed"], "parenthetical"),
    **dict.fromkeys(["citealt", "Citealt", "citealp", "Citealp", "citeNP", "shortciteNP", "fullcite", "footfullcite", "bibentry", "citetitle", "citen", "citenum",
                     "rcite", "notecite"], "bare"),
    **dict.fromkeys(["citeauthor", "Citeauthor", "citefullauthor", "citename", "shortciteauthor"], "author"),
    **dict.fromkeys(["citeyear", "citedate", "citeyearNP", "shortciteyear", "citeurl"], "year"),
    "citeyearpar": "year_parenthetical",
}  # fmt: skip
#: biblatex's commands that take several citations, each with notes of its own.
MULTIPLE_CITATIONS = {
    **dict.fromkeys(["textcites", "Textcites"], "textual"),
    **dict.fromkeys(["parencites", "Parencites", "autocites", "Autocites", "smartcites", "supercites", "footcites"], "parenthetical"),
    "cites": "bare",
}  # fmt: skip
_SEVERAL = frozenset(
    ["\\cref", "\\Cref", "\\labelcref", "\\zcref", "\\namecref", "\\nameCref", "\\namecrefs", "\\nameCrefs"]
)
_RANGES = frozenset(["\\crefrange", "\\Crefrange", "\\cpagerefrange"])
_KEY_NOTES = re.compile(r"\*?(?:\[[^\]]*\])*")


def mark_reference(setter: Typesetter, token: str) -> str:
    r"""A mark for `\ref` and its kin, whose argument is read."""
    gullet = setter.gullet
    gullet.read_star()
    gullet.read_optional()
    argument = name_of(gullet.read_arg())
    # Only these take several labels; elsewhere a comma belongs to the name.
    names = [part.strip() for part in argument.split(",")] if token in _SEVERAL else [argument]
    if token in _RANGES:
        names.append(name_of(gullet.read_arg()))
    if setter.in_body:
        setter.counts["references"] += len(names)

    def piece() -> str:
        targets = [setter.numbering.labels.get(name) for name in names]
        setter.counts["references_resolved"] += sum(target is not None for target in targets)
        return reference(token[1:], targets, setter.word_for)

    return setter.late.mark(piece)


def _keys(tokens: list[str]) -> list[str]:
    """The keys of a citation; revtex puts a star or notes before one."""
    names = (_KEY_NOTES.sub("", key.strip(), count=1).strip() for key in name_of(tokens).split(","))
    return [name for name in names if name]


def _notes(setter: Typesetter) -> tuple[str, str]:
    gullet = setter.gullet
    notes = [note for note in (gullet.read_optional(), gullet.read_optional()) if note is not None]
    before = setter.line(notes[0]) if len(notes) == 2 else ""
    return before, setter.line(notes[-1]) if notes else ""


def mark_citation(setter: Typesetter, token: str) -> str:
    r"""A mark for `\cite` and its kin, whose arguments are read."""
    gullet = setter.gullet
    name = token[1:]
    gullet.read_star()
    before, after = _notes(setter)
    keys = _keys(gullet.read_arg())
    if name == "citeaffixed":
        before = setter.line(gullet.read_arg())
    setter.citations.cite(keys)

    def piece() -> str:
        style = CITATION_STYLES[name]
        if style == "cite":
            style = "textual" if setter.citations.author_year else "parenthetical"
        return setter.citations.text(style, before, after, keys, setter.main)

    return setter.late.mark(piece)


def mark_citations(setter: Typesetter, token: str) -> str:
    r"""A mark for `\parencites(see)()[a][b]{key}{key}…`."""
    gullet = setter.gullet
    gullet.read_star()
    outer = [setter.line(note) for note in gullet.read_spec("((")]
    parts: list[tuple[str, str, list[str]]] = []
    while len(parts) < 100 and gullet.stack and gullet.stack[-1] in ("[", "{"):
        before, after = _notes(setter)
        if gullet.peek() != "{":
            break
        keys = _keys(gullet.read_arg())
        setter.citations.cite(keys)
        parts.append((before, after, keys))

    def piece() -> str:
        style = MULTIPLE_CITATIONS[token[1:]]
        each = "textual" if style == "textual" else "bare"
        texts = [setter.citations.text(each, before, after, keys, setter.main) for before, after, keys in parts]
        joined = "; ".join(texts)
        if outer[0]:
            joined = f"{outer[0]} {joined}"
        if outer[1]:
            joined = f"{joined}, {outer[1]}"
        return f"({joined})" if style == "parenthetical" else joined

    return setter.late.mark(piece)
