"""How faithful a reading of a paper is: counts of its output against the source (`latex_source`) and against its PDF."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import latex_source as source_side
from latex_source import Source


@dataclass(frozen=True)
class Count:
    """So many of so many; `share` is None where there is nothing to count."""

    kept: int
    total: int

    @property
    def share(self) -> float | None:
        """Kept over total."""
        return self.kept / self.total if self.total else None


def score(source: Source, output: str, dollars_only: bool, pdf: list[str] | None) -> dict[str, Count]:
    """All counts of one output.

    Args:
        source: The paper's source.
        output: What a reader made of it.
        dollars_only: Whether `\\[` in the output is an escaped bracket, as in Markdown, rather than a formula.
        pdf: Words of the PDF's prose in their order, if there is a PDF.
    """
    bare = without_code(output)
    counts = {
        **_formulas(source, bare, dollars_only),
        "citations": _citations(source, bare),
        "left_over_commands": _left_over(bare, dollars_only),
        "macros_expanded": _macros(source, bare),
        "table_cells": _cells(source, output.replace("`", "")),
    }
    if pdf:
        own = prose(bare, dollars_only)
        common = common_subsequence(own, pdf)
        counts["pdf_words_found"] = Count(common, len(pdf))
        counts["words_in_pdf"] = Count(common, len(own))
    return counts


def without_code(text: str) -> str:
    """Without blocks and spans of code, where a backslash is a character like any other."""
    text = re.sub(r"^(```|~~~)[^\n]*\n.*?^\1[^\n]*$", " ", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<!`)`[^`\n]+`(?!`)", " ", text)


def _output_formulas(text: str, dollars_only: bool) -> tuple[list[str], list[str]]:
    if dollars_only:
        text = re.sub(
            r"\\(?=[\[\]()])", "", re.sub(r"(?<!\\)(\$\$?)(.+?)(?<!\\)\1", _hide, text, flags=re.DOTALL)
        ).replace("\0", "\\")
    return source_side.formulas(text)


def _hide(match: re.Match[str]) -> str:
    return match[0].replace("\\", "\0")


def _formulas(source: Source, output: str, dollars_only: bool) -> dict[str, Count]:
    """Formulas whose content survives, with or without the authors' macros in it."""
    raw, expanded = source_side.formulas(source.raw), source_side.formulas(source.expanded)
    found = _output_formulas(output, dollars_only)
    return {
        "display_equations": _matched(expanded[0], raw[0], found[0]),
        "inline_equations": _matched(expanded[1], raw[1], found[1]),
    }


def _matched(wanted: Sequence[str], raw: Sequence[str], found: Sequence[str]) -> Count:
    left = Counter(found)
    pairs = list(zip(wanted, raw, strict=True)) if len(wanted) == len(raw) else [(form, form) for form in wanted]
    missing: list[str] = []
    for form, alternative in pairs:
        hit = form if left[form] > 0 else alternative
        if left[hit] > 0:
            left[hit] -= 1
        else:
            missing.append(form)
    # Two formulas that touch may have become one, and a formula inside `\mbox` belongs to the one around it.
    rest = "\n".join(form for form, count in left.items() for _ in range(count))
    kept = len(pairs) - len(missing)
    for form in missing:
        if form in rest:
            rest = rest.replace(form, "\n", 1)
            kept += 1
    return Count(kept, len(pairs))


def missing_formulas(source: Source, output: str, dollars_only: bool = True) -> tuple[list[str], list[str]]:
    """Formulas of the source that the output does not hold: to find out why."""
    wanted, found = source_side.formulas(source.expanded), _output_formulas(without_code(output), dollars_only)
    pools = [Counter(part) for part in found]
    out: tuple[list[str], list[str]] = ([], [])
    for kind in (0, 1):
        for form in wanted[kind]:
            if pools[kind][form] > 0:
                pools[kind][form] -= 1
            else:
                out[kind].append(form)
    return out


_PLAIN = str.maketrans(
    {
        "ø": "o",
        "Ø": "O",
        "ł": "l",
        "Ł": "L",
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "å": "a",
        "ı": "i",
        "ð": "d",
        "’": "'",
        "–": "-",
    }
)


def plain(text: str) -> str:
    """Letters without their accents."""
    return "".join(
        char for char in unicodedata.normalize("NFKD", text.translate(_PLAIN)) if not unicodedata.combining(char)
    )


def _name(latex: str) -> str:
    text = re.sub(r"\\(?:o|O|l|L|ss|ae|oe|aa|i|j)(?![A-Za-z])\s*", lambda match: match[0][1:].strip(), latex)
    text = re.sub(r"\\[A-Za-z]+\s*|\\.|[{}]", "", text.replace("\\&", " & ")).replace("~", " ").replace("--", "-")
    return " ".join(plain(text).split())


def expected(bibliography: str, keys: set[str]) -> dict[str, tuple[str, str]]:
    """First author and year of each key that the bibliography explains."""
    found: dict[str, tuple[str, str]] = {}
    for match in re.finditer(
        r"\\bibitem\s*(\[(?:[^\[\]{}]|\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\})*\])?\s*\{([^{}]+)\}", bibliography
    ):
        label = re.search(r"^(.*?)\((\d{4})", _name(match[1][1:-1]) if match[1] else "")
        if label and match[2] in keys:
            found.setdefault(match[2], (re.split(r" et al| & | and |,", label[1])[0].strip(), label[2]))
    for chunk in re.split(r"\\entry\{", bibliography)[1:]:
        family, year = re.search(r"family=\{(.*?)\},", chunk), re.search(r"\\field\{(?:label)?year\}\{(\d{4})", chunk)
        key = chunk.partition("}")[0]
        if family and year and key in keys:
            found.setdefault(key, (_name(family[1]), year[1]))
    for chunk in re.split(r"^\s*@(?=\w+\s*[{(])", bibliography, flags=re.MULTILINE)[1:]:
        key = re.match(r"\w+\s*[{(]\s*([^\s,]+)", chunk)
        author = re.search(
            r"\bauthor\s*=\s*[{\"](.*?)[}\"]\s*,?\s*\n\s*(?:\w+\s*=|\})", chunk, re.DOTALL | re.IGNORECASE
        )
        year = re.search(r"\b(?:year|date)\s*=\s*[{\"]*(\d{4})", chunk, re.IGNORECASE)
        if key and author and year and key[1] in keys:
            found.setdefault(key[1], (_surname(author[1]), year[1]))
    return {key: pair for key, pair in found.items() if pair[0]}


def _surname(authors: str) -> str:
    first = re.split(r"\s+and\s+", authors.strip())[0]
    if first.startswith("{") and first.endswith("}") and first.count("{") == 1:
        return _name(first)
    return _name(first.partition(",")[0]) if "," in first else _name(first).rpartition(" ")[2]


def _citations(source: Source, output: str) -> Count:
    """Citations that stand as author and year; those that no bibliography explains are not counted."""
    keys = source_side.citations(source)
    known = expected(source.bibliography, set(keys))
    wanted = Counter(known[key] for key in keys if key in known)
    text = " ".join(plain(output).replace("*", "").split())
    kept = 0
    for surname in {surname for surname, _year in wanted}:
        groups = re.findall(r"(?<![A-Za-z])" + re.escape(surname) + _BEHIND_SURNAME, text)
        years = Counter(year for group in groups for year in re.findall(r"\d{4}", group))
        kept += sum(min(count, years[year]) for (name, year), count in wanted.items() if name == surname)
    return Count(kept, sum(wanted.values()))


#: What may stand between the first author and the years: "et al.", a second author, a note; not the initials of a list of references.
_BEHIND_SURNAME = r"(?:,? (?:et al\.?|(?:&|and) [^,;()\d]{1,50}?))?(?:'s)?,? ?\(?(?:[^()\d;]{0,40} )?((?:\d{4}[a-z]?(?:\), \(|, ?)?)+)"


def without_formulas(text: str, dollars_only: bool) -> str:
    """Text without its mathematics."""
    text = re.sub(r"(?<!\\)\$\$.+?(?<!\\)\$\$|(?<!\\)\$(?:\\.|[^$\\])+\$", " ", text, flags=re.DOTALL)
    if not dollars_only:
        names = source_side._DISPLAY_NAMES
        text = re.sub(
            r"\\begin\{(" + names + r")\}.+?\\end\{\1\}|(?<!\\)\\\[.+?\\\]|(?<!\\)\\\(.+?\\\)",
            " ",
            text,
            flags=re.DOTALL,
        )
    return text


def _left_over(output: str, dollars_only: bool) -> Count:
    """Commands among the words (fewer is better), addresses and raw HTML aside."""
    text = re.sub(r"https?://\S+", " ", without_formulas(output, dollars_only))
    return Count(len(re.findall(r"\\[A-Za-z]{2,}", text)), len(text.split()))


def _macros(source: Source, output: str) -> Count:
    """Uses of the document's own macros that are gone from the output."""
    used = Counter(re.findall(r"\\[A-Za-z]+", source.raw))
    named = [name for name in source.macros if used[name]]
    left = Counter(re.findall(r"\\[A-Za-z]+", output))
    standard = Counter(re.findall(r"\\[A-Za-z]+", source.expanded))
    # A macro that redefines a command of LaTeX's is left where its body still holds that name.
    total = sum(used[name] for name in named if not standard[name])
    if not output.strip():  # a reader that failed expanded nothing
        return Count(0, total)
    return Count(total - sum(min(left[name], used[name]) for name in named if not standard[name]), total)


def _cells(source: Source, output: str) -> Count:
    """Table cells that stand apart from their neighbours, whatever kind of table the output writes."""
    wanted = Counter(source_side.cells(source.expanded))
    pieces = re.split(r"\n|(?<!\\)\||\s{2,}|</?t[dh][^>]*>|:\s", output.replace("\\|", " "))
    found = Counter(source_side.signature(piece.replace("\\\\", "\\")) for piece in pieces)
    return Count(sum(min(count, found[cell]) for cell, count in wanted.items()), sum(wanted.values()))


# ---- the PDF ----


def words(text: str) -> list[str]:
    """Lower-case words of two letters or more."""
    return re.findall(r"[a-z]{2,}", plain(text).lower())


def prose(output: str, dollars_only: bool) -> list[str]:
    """The words of an output's running text: no formulas, tables, captions, addresses."""
    text = without_formulas(output, dollars_only)
    blocks = [
        block
        for block in re.split(r"\n\s*\n", text)
        if not re.match(r"\s*(?:\||(?:Figure|Table|Algorithm)\s+[A-Z]?[\d.]+[:.]|Keywords:)", block)
    ]
    return words(re.sub(r"\]\([^()\s]*\)|https?://\S+", " ", "\n\n".join(blocks)))


_REFERENCES = re.compile(r"^\s*(?:references|literature cited|bibliography)\s*$", re.IGNORECASE | re.MULTILINE)


def pdf_prose(text: str, source: Source) -> list[str]:
    """The words of a PDF's running text, in its order: references, running heads, lines of formulas and captions taken out.

    Args:
        text: The PDF's text, pages apart by form feeds.
        source: The paper's source, which tells the captions.
    """
    pages = text.replace("\r\n", "\n").split("\f")
    heads = Counter(
        re.sub(r"\d+", "#", line.strip()) for page in pages for line in {*page.split("\n")[:3], *page.split("\n")[-3:]}
    )
    lines = [
        line
        for page in pages
        for line in page.split("\n")
        if heads[re.sub(r"\d+", "#", line.strip())] < 4 and (_is_prose(line) or _REFERENCES.match(line))
    ]
    text = "\n".join(lines)
    parts = _REFERENCES.split(text)
    text = re.sub(r"[-\u00ad\ufffe\x02]\n\s*(?=[a-z])|[\u00ad\ufffe\x02]\s*", "", parts[0])
    return _without_passages(words(text), source)


def _is_prose(line: str) -> bool:
    tokens = line.split()
    return sum(len(re.sub(r"[^A-Za-z]", "", token)) > 1 for token in tokens) >= 0.5 * len(tokens) and len(tokens) > 1


def _without_passages(found: list[str], source: Source) -> list[str]:
    """Captions, thanks, addresses and keywords go: they begin with words that stand in the source as well."""
    passages = list(source.dropped)
    for match in re.finditer(r"\\(?:table)?caption\s*(?:\[[^\]]*\]\s*)?(?=\{)", source.expanded):
        passages.append(source.expanded[match.end() : source_side.braces(source.expanded, match.end())])
    for passage in passages:
        own = words(
            re.sub(r"\$[^$]*\$|\\(?:label|ref|cite[a-z]*|href)\s*(?:\[[^\]]*\])*\{[^{}]*\}|\\[A-Za-z]+", " ", passage)
        )
        for start, head in _heads(own):
            index = next((i for i in range(len(found) - len(head) + 1) if found[i : i + len(head)] == head), None)
            if index is not None:
                del found[index : index + len(own) - start]
                break
    return found


def _heads(own: list[str]) -> list[tuple[int, list[str]]]:
    """By which words a passage may be found: behind the name of its float, or by eight words, of which the first may differ."""
    named = [(-1, [word, *own[:3]]) for word in ("figure", "table", "fig") if len(own) >= 3]
    return named + [(start, own[start : start + 8]) for start in range(0, min(len(own) - 7, 8), 2)]


def common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, by whole numbers as bit rows (Hyyrö 2004): linear steps of long integers."""
    masks: dict[str, int] = {}
    for index, word in enumerate(first):
        masks[word] = masks.get(word, 0) | (1 << index)
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        matches = row & masks.get(word, 0)
        row = ((row + matches) | (row - matches)) & full
    return len(first) - row.bit_count()
