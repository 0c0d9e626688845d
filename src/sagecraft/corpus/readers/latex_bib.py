r"""Bibliographies as data: `.bib` files and the `.bbl` files of biblatex and BibTeX. Text stays LaTeX here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_ENTRY = re.compile(r"@[ \t\n]*([A-Za-z]+)[ \t\n]*[{(][ \t\n]*")
_FIELD = re.compile(r"[\s,]*([A-Za-z_][\w:.-]*)\s*=\s*")
_BARE = re.compile(r"[^\s,#{}\"]+")
#: Longest value of a field that is kept; abstracts in `.bib` files are longer, names and years never are.
_MAX_VALUE = 20_000


@dataclass(frozen=True)
class BibEntry:
    """Authors (surname parts as LaTeX), whether more follow, and the year."""

    surnames: list[str]
    others: bool
    year: str


def _balanced(text: str, start: int, limit: int) -> int:
    """The position behind the brace that closes the one at `start`; `limit` when none does."""
    depth = 0
    position = start
    while True:
        opening, closing = text.find("{", position, limit), text.find("}", position, limit)
        if closing < 0:
            return limit
        if 0 <= opening < closing:
            depth += 1
            position = opening + 1
        else:
            depth -= 1
            position = closing + 1
            if depth <= 0:
                return position


def _value(text: str, position: int, end: int, strings: dict[str, str]) -> tuple[str, int]:
    """One field's value: pieces joined by `#`, each in braces, in quotes, a number or an abbreviation."""
    parts: list[str] = []
    while position < end:
        char = text[position]
        if char == "{":
            stop = _balanced(text, position, end)
            parts.append(text[position + 1 : stop - 1])
        elif char == '"':
            stop, depth = position + 1, 0
            while stop < end and (text[stop] != '"' or depth):
                depth += (text[stop] == "{") - (text[stop] == "}")
                stop += 1
            parts.append(text[position + 1 : stop])
            stop += 1
        else:
            match = _BARE.match(text, position, end)
            if match is None:
                break
            parts.append(strings.get(match[0].lower(), match[0]))
            stop = match.end()
        position = stop
        while position < end and text[position] in " \t\n":
            position += 1
        if position >= end or text[position] != "#":
            break
        position += 1
        while position < end and text[position] in " \t\n":
            position += 1
    return "".join(parts)[:_MAX_VALUE], position


def _fields(text: str, position: int, end: int, strings: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    while match := _FIELD.match(text, position, end):
        value, position = _value(text, match.end(), end, strings)
        if position <= match.start():
            break
        found.setdefault(match[1].lower(), value)
    return found


def parse_bib(text: str, wanted: set[str]) -> dict[str, BibEntry]:
    """The wanted entries of a `.bib` file; `@string` is known, `@comment` is skipped."""
    entries: dict[str, BibEntry] = {}
    strings: dict[str, str] = {}
    starts = list(_ENTRY.finditer(text))
    for index, match in enumerate(starts):
        kind, start = match[1].lower(), match.end()
        # An entry ends where the next one begins: one unbalanced brace then costs one entry, not the file.
        end = starts[index + 1].start() if index + 1 < len(starts) else len(text)
        if kind == "string":
            strings.update(_fields(text, start, end, strings))
            continue
        key = re.compile(r"[^\s,]+").match(text, start, end)
        if key is None or key[0] not in wanted or kind in ("comment", "preamble"):
            continue
        fields = _fields(text, key.end(), end, strings)
        year = fields.get("year") or fields.get("date") or ""
        digits = re.search(r"\d{4}", year)
        surnames, others = split_names(fields.get("author") or fields.get("editor") or fields.get("organization") or "")
        entries.setdefault(key[0], BibEntry(surnames, others, digits[0] if digits else year.strip()))
    return entries


def _split_top(text: str, word: re.Pattern[str]) -> list[str]:
    """Splits where a pattern matches outside braces."""
    parts: list[str] = []
    depth = start = 0
    for match in word.finditer(text):
        char = match[0]
        if char in "{}":
            depth += 1 if char == "{" else -1
        elif depth <= 0:
            parts.append(text[start : match.start()])
            start = match.end()
    return [*parts, text[start:]]


_AND = re.compile(r"[{}]|\s+and\s+")
_COMMA = re.compile(r"[{}]|\s*,\s*")
_SPACE = re.compile(r"[{}]|[\s~]+")


def split_names(names: str) -> tuple[list[str], bool]:
    """BibTeX's `First von Last and Last, First and others`: surnames, and whether others follow."""
    surnames: list[str] = []
    others = False
    for name in _split_top(names.strip(), _AND):
        name = name.strip()
        if not name:
            continue
        if name.lower().rstrip(".") in ("others", "et al", "et~al"):
            others = True
            continue
        surnames.append(_surname(name))
    return surnames, others


def _surname(name: str) -> str:
    parts = _split_top(name, _COMMA)
    if len(parts) > 1:
        return parts[0].strip()
    words = [word for word in _split_top(name, _SPACE) if word]
    for index, word in enumerate(words[:-1]):
        if index and word[:1].islower():  # de Mink, van der Marel
            return " ".join(words[index:])
    return words[-1] if words else name


def parse_biblatex(text: str, wanted: set[str]) -> dict[str, BibEntry]:
    r"""The wanted entries of a biblatex `.bbl`: `\entry{key}… \endentry`."""
    entries: dict[str, BibEntry] = {}
    for block in text.split("\\entry{")[1:]:
        block = block.partition("\\endentry")[0]
        key = block.partition("}")[0]
        if key not in wanted:
            continue
        start = block.find("\\name{author}")
        if start < 0:
            start = block.find("\\name{")
        stop = next((p for p in (block.find("\\name{", start + 6), block.find("\\field{", start)) if p > 0), len(block))
        surnames = list(_families(block, start, stop)) if start >= 0 else []
        year = re.search(r"\\field\{(?:labelyear|year)\}\{(\d+)\}", block) or re.search(
            r"\\field\{(?:date|labeldate)\}\{(\d{4})", block
        )
        suffix = re.search(r"\\field\{extra(?:date|year)\}\{(\d+)\}", block)
        letter = chr(96 + min(int(suffix[1][:3]), 26)) if suffix and int(suffix[1][:3]) else ""
        entries[key] = BibEntry(surnames, "\\true{moreauthor}" in block, year[1] + letter if year else "")
    return entries


def _families(block: str, start: int, stop: int) -> Iterator[str]:
    """The `family={…}` values of a biblatex name list."""
    position = start
    while True:
        position = block.find("family=", position, stop)
        if position < 0:
            return
        position += len("family=")
        end = _balanced(block, position, stop) if block[position : position + 1] == "{" else position + 1
        yield block[position + 1 : end - 1]
        position = max(end, position + 1)
