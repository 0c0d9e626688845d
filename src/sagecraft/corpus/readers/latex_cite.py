r"""Citations: keys to "Author et al. (Year)", by whatever bibliography lies beside the document."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sagecraft.corpus.readers.latex_bib import BibEntry, parse_bib, parse_biblatex
from sagecraft.corpus.readers.latex_macros import Gullet, read_source
from sagecraft.corpus.readers.latex_tokens import PAR, name_of, scan
from sagecraft.corpus.readers.result import ReaderError

_YEAR_IN_LABEL = re.compile(r"\(([^()]*\d{4}[^()]*|in prep[^()]*|submitted[^()]*|n\.?\s?d\.?|in press[^()]*)\)")
_ANY_PARENTHESIS = re.compile(r"\(([^()]*)\)")
_YEAR = re.compile(r"(?<!\d)((?:1[5-9]|20)\d\d[a-z]?)(?!\d)")
#: A year between commas or in brackets is the year of publication; "Survey 2018" is part of a title.
_YEAR_APART = re.compile(r"(?:[.,;:(]\s*)((?:1[5-9]|20)\d\d[a-z]?)(?=\s*[.,;:)]|\s*$)")
_INITIALS = re.compile(r"^(?:[A-Z]\.?|[A-Z][a-z]\.)(?:[ -]?(?:[A-Z]\.?|[A-Z][a-z]\.)){0,2}$")


@dataclass(frozen=True)
class Reference:
    """What a citation prints: the short form of the authors, and the year."""

    authors: str
    year: str


@dataclass(frozen=True)
class BibItem:
    r"""One `\bibitem` as tokens."""

    label: list[str] | None
    content: list[str]


def short_form(surnames: Sequence[str], others: bool = False) -> str:
    """The short form of authors: "A", "A & B", "A et al."."""
    if not surnames:
        return ""
    if others or len(surnames) > 2:
        return f"{surnames[0]} et al."
    return " & ".join(surnames)


def bibitems(tokens: list[str]) -> dict[str, BibItem]:
    r"""The `\bibitem`s of a `thebibliography` environment."""
    items: dict[str, BibItem] = {}
    starts = [index for index, token in enumerate(tokens) if token == "\\bibitem"] + [len(tokens)]
    for start, end in pairwise(starts):
        label, index = _bracket(tokens, start + 1, end)
        while index < end and tokens[index] != "{":
            index += 1
        stop = next((i for i in range(index, end) if tokens[i] == "}"), end)
        key = name_of(tokens[index + 1 : stop])
        if key:
            items.setdefault(key, BibItem(label, tokens[stop + 1 : end]))
    items.update({key: item for key, item in _harvard_items(tokens).items() if key not in items})
    return items


def _harvard_items(tokens: list[str]) -> dict[str, BibItem]:
    r"""The package harvard's `\harvarditem[Short]{Long}{year}{key}`."""
    items: dict[str, BibItem] = {}
    for start in [index for index, token in enumerate(tokens) if token == "\\harvarditem"]:
        _short, index = _bracket(tokens, start + 1, min(start + 400, len(tokens)))
        arguments: list[list[str]] = []
        while len(arguments) < 3:
            while index < len(tokens) and tokens[index] in (" ", PAR):
                index += 1
            if index >= len(tokens) or tokens[index] != "{":
                break
            depth, stop = 0, index
            while stop < len(tokens) and (depth := depth + (tokens[stop] == "{") - (tokens[stop] == "}")) > 0:
                stop += 1
            arguments.append(tokens[index + 1 : stop])
            index = stop + 1
        if len(arguments) == 3 and name_of(arguments[2]):
            items.setdefault(name_of(arguments[2]), BibItem([*arguments[0], "(", *arguments[1], ")"], []))
    return items


def _bracket(tokens: list[str], index: int, end: int) -> tuple[list[str] | None, int]:
    """An optional argument in a token list, and where it ends."""
    while index < end and tokens[index] == " ":
        index += 1
    if index >= end or tokens[index] != "[":
        return None, index
    depth = 0
    for stop in range(index + 1, end):
        token = tokens[stop]
        depth += (token == "{") - (token == "}")
        if token == "]" and depth <= 0:
            return tokens[index + 1 : stop], stop + 1
    return None, index + 1


def from_label(label: str) -> Reference | None:
    """Natbib's `Short(Year)Long`; None when the label holds no year, as numeric styles have it."""
    match = _YEAR_IN_LABEL.search(label) or _ANY_PARENTHESIS.search(label)
    if match is None or not label[: match.start()].strip():
        return None
    short = " ".join(label[: match.start()].split())
    return Reference(short.rstrip(" ,"), match[1].strip())


def _without_initials(words: list[str]) -> list[str]:
    start, end = 0, len(words)
    while start < end and _INITIALS.match(words[start]):
        start += 1
    while end > start and _INITIALS.match(words[end - 1]):
        end -= 1
    return words[start:end]


def from_entry(text: str) -> Reference | None:
    """Authors and year read off a formatted entry: "Smith, J., Jones, B. 2001, …" or "J. Smith and B. Jones, … (2001)"."""
    text = re.sub(r"^\s*\[[^\[\]]{2,80}\]\s*", "", text)  # "[Some Collaboration] A. Bee et al."
    year = _YEAR_APART.search(text) or _YEAR.search(text)
    if year is None:
        return None
    head = re.split(r"[\"“”:;*]|\(\d{4}|(?<!\d)(?:1[5-9]|20)\d\d", text[:400], maxsplit=1)[0]
    more = bool(re.search(r"\bet\.? ?al\b|\bcollaborat", head, re.IGNORECASE))
    head = re.split(r"\bet\.? ?al\b", head, maxsplit=1)[0]
    parts = [part.split() for part in re.split(r",|\band\b|&|(?<=[a-z]{2})\.\s(?=[A-Z][a-z]{2,})", head)]
    surnames: list[str] = []
    leads = False
    for index, words in enumerate(part for part in parts if part):
        name = _without_initials(words)
        if not name:
            continue  # the initials of the surname before
        following = next((part for part in parts[parts.index(words) + 1 :] if part), [])
        leads = leads if surnames else name[0] != words[0]  # "J. Smith", or "Smith, J."
        is_person = (
            name[0] != words[0]
            if leads
            else len(name) < len(words) or (bool(following) and not _without_initials(following))
        )
        if len(name) > 4 or not name[0][0].isalpha() or (index and not is_person):
            break
        surnames.append(" ".join(name).strip(" ."))
    return Reference(short_form(surnames, more), year[1]) if surnames else None


class Citations:
    """The keys a document cites, and at the end what they stand for.

    Args:
        gullet: Finds files within the document's folder.
        plain: Renders tokens to plain text.
    """

    def __init__(self, gullet: Gullet, plain: Callable[[list[str]], str]) -> None:
        self._gullet = gullet
        self._plain = plain
        self.files: list[str] = []
        self.items: dict[str, BibItem] = {}
        self.cited: dict[str, int] = {}
        self.aliases: dict[str, str] = {}
        self.author_year = False
        self._references: dict[str, Reference] | None = None

    def cite(self, keys: Sequence[str]) -> None:
        """Counts keys as cited."""
        for key in keys:
            self.cited[key] = self.cited.get(key, 0) + 1

    def references(self, main: Path) -> dict[str, Reference]:
        """All cited keys that can be resolved; looked up once, in the order .bbl, inline list, .bib."""
        if self._references is None:
            self._references = {}
            for path in self._bbl_files(main):
                self._read_bbl(path)
            self._resolve_items(self.items)
            missing = set(self.cited) - set(self._references)
            if missing:
                for path in self._bib_files(main):
                    self._store(parse_bib(_text(path), missing))
            counts = self._gullet.counts
            counts["citations"] = sum(self.cited.values())
            counts["citations_resolved"] = sum(n for key, n in self.cited.items() if key in self._references)
        return self._references

    def _bbl_files(self, main: Path) -> list[Path]:
        own = main.with_suffix(".bbl")
        candidates = [own] if own.is_file() else sorted(main.parent.glob("*.bbl"))[:4]
        return [path for path in candidates if path.resolve().is_relative_to(self._gullet.root) and path.is_file()]

    def _bib_files(self, main: Path) -> list[Path]:
        found = [self._gullet.find_file(name, [".bib", ""]) for name in self.files if name]
        paths = [path for path in found if path is not None]
        if not paths:
            paths = [p for p in sorted(main.parent.glob("*.bib"))[:8] if p.resolve().is_relative_to(self._gullet.root)]
        return [path for path in paths if path.is_file()]

    def _read_bbl(self, path: Path) -> None:
        text = _text(path)
        if "\\entry{" in text:
            self._store(parse_biblatex(text, set(self.cited)))
        else:
            self._resolve_items(bibitems(scan(text)))

    def _store(self, entries: dict[str, BibEntry]) -> None:
        if self._references is None:
            return
        for key, entry in entries.items():
            surnames = [self._plain(scan(name)) for name in entry.surnames[:3]]
            if surnames:
                self._references.setdefault(key, Reference(short_form(surnames, entry.others), entry.year or "n.d."))

    def _resolve_items(self, items: dict[str, BibItem]) -> None:
        if self._references is None:
            return
        for key, item in items.items():
            if key not in self.cited or key in self._references:
                continue
            found = from_label(self._plain(item.label)) if item.label else None
            if found is None:
                found = from_entry(self._plain(item.content[:300]))
            if found is not None:
                self._references[key] = found

    def text(self, style: str, before: str, after: str, keys: Sequence[str], main: Path) -> str:
        """A citation as it stands in the text.

        Args:
            style: `textual`, `parenthetical`, `bare`, `author`, `year`, `year_parenthetical`.
            before: The note before ("see"), rendered.
            after: The note after ("p. 3"), rendered.
            keys: The keys.
            main: The main file, beside which the bibliography lies.
        """
        known = self.references(main)
        groups: list[tuple[str, list[str]]] = []
        for key in keys:
            reference = known.get(key, Reference("", f"[{key}]"))
            if groups and groups[-1][0] == reference.authors and reference.authors:
                groups[-1][1].append(reference.year)
            else:
                groups.append((reference.authors, [reference.year]))
        if not any(authors for authors, _years in groups):
            return "; ".join(year for _authors, years in groups for year in years)
        before, after = (before + " " if before else ""), (", " + after if after else "")
        if style == "author":
            return "; ".join(authors or years[0] for authors, years in groups)
        if style in ("year", "year_parenthetical"):
            inside = before + ", ".join(year for _authors, years in groups for year in years) + after
            return f"({inside})" if style == "year_parenthetical" else inside
        if style == "textual":
            last = len(groups) - 1
            return "; ".join(
                f"{authors} ({before if not n else ''}{', '.join(years)}{after if n == last else ''})"
                if authors
                else years[0]
                for n, (authors, years) in enumerate(groups)
            )
        inside = before + "; ".join(f"{authors} {', '.join(years)}".strip() for authors, years in groups) + after
        return f"({inside})" if style == "parenthetical" else inside


def _text(path: Path) -> str:
    try:
        return read_source(path)
    except ReaderError:
        return ""
