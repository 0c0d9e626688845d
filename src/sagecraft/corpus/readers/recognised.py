r"""Markdown made by recognisers of pages (Nougat, Docling, Marker): told by its marks, and repaired.

Every rule is a pure function of the text and gives back the text and in how many places it changed something; `repair`
applies them in their order. Each is linear in the length of the text.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from pathlib import Path

from sagecraft.corpus.clean import Rule, drop_repetitions, normalize_layout
from sagecraft.corpus.readers.blocks import collapse, raise_or_lower
from sagecraft.corpus.readers.files import read_text
from sagecraft.corpus.readers.markdown import parse_markdown, read_markdown
from sagecraft.corpus.readers.pdf_front import identify
from sagecraft.corpus.readers.pdf_paragraphs import Vocabulary, is_note_mark
from sagecraft.corpus.readers.recognised_math import (
    drop_math_loops,
    drop_spacing_runs,
    drop_tags,
    normalize_delimiters,
)
from sagecraft.corpus.readers.recognised_tables import tables_to_markdown
from sagecraft.corpus.readers.result import ReaderError, ReadResult

_MISSING_PAGE = re.compile(r"\[MISSING_PAGE(?:_[A-Z]{1,20})?(?::\d{1,6})?\]")
_PAGE_ANCHOR = re.compile(r'<span id="page-\d{1,6}-\d{1,6}"></span>')
_PAGE_LINK = re.compile(r"(?<!!)\[([^\[\]\n]{0,300})\]\(#page-\d{1,6}-\d{1,6}\)")
_PAGE_RULE = re.compile(
    r"^(?:\{\d{1,6}\}-{10,}|<!-- ?page[ -]?(?:break|\d{0,6})[^\n>]{0,40}-->|-{3,} ?page \d{1,6} ?-{3,})[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_PICTURE_MARK = re.compile(r"<!-- ?(?:image|picture|figure|chart)[^\n>]{0,40}-->")
_FORMULA_MARK = re.compile(r"<!-- ?formula-not-decoded[^\n>]{0,40}-->")
#: Embedded pictures are megabytes of base64; the scan of one ends at the next bracket at the latest.
_IMAGE = re.compile(r"!\[([^\[\]\n]{0,2000})\]\([^\s()]*+\)")
_PAGE_IMAGE = re.compile(r"_page_\d{1,6}_[A-Za-z]{2,20}_\d{1,6}\.(?:jpe?g|png|webp)")
_GLYPH = re.compile(r"(?:GLYPH|glyph)(?:<|&lt;)[^<>&\n]{0,80}(?:>|&gt;)")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|nbsp|#\d{2,6}|#x[0-9A-Fa-f]{2,6});")
_SCRIPT = re.compile(r"<(sup|sub)>([^<>\n]{0,80})</\1>")
#: A raised mark behind nothing: an exponent has its base in the formula.
_RAISED = re.compile(r"\$(?:\{\})?\^(?:\{([^{}$\n]{1,12})\}|([\d*†‡§]))\$")
_BREAK = re.compile(r"[ ]*<br ?/?>[ ]*")
_HEADING = re.compile(r"^(#{1,6})[ \t]+([^\n]{1,300}?)[ \t]*#*[ \t]*$")
_BOLD_HEADING = re.compile(r"^\*\*([^*\n]{1,80})\*\*:?$")
_CUT_HEADING = re.compile(
    r"[\W_\dIVX]{0,12}(references(?: cited| and notes)?|bibliography|literature cited|works cited|acknowledge?ments?)[\W_]{0,6}",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"^\s*(?:[-*+]|\[\d|\d{1,3}[.)]|\(\d)|(?<!\d)(?:1[89]|20)\d\d(?!\d)")
#: Marks of one recogniser alone; one of them is enough. `\(…\)` is not among them: people write it too.
_MARKS = (
    _MISSING_PAGE, _PAGE_ANCHOR, _PAGE_IMAGE, _GLYPH, _FORMULA_MARK, re.compile(r"<!-- ?image ?-->"),
    re.compile(r"^\\begin\{table\*?\}", re.MULTILINE),
)  # fmt: skip
#: Nougat and Marker put their marks on every page: a file without one at its beginning has none.
_SEARCHED_CHARS = 200_000
_TERMINAL = re.compile(r"[.!?:;…][\"'”’)\]*_]*$|[$|`>)\]*_]$")
_SENTENCE_END = re.compile(r"[.!?][\"'”’)\]]{0,3}(?=\s)")
_FRONT_CHARS = 2_000
_BROKEN = re.compile(r"(?<![\w-])([^\W\d_]{2,40})-(\n|[ ]\n?)([a-zß-ÿ]{2,40})(?![\w-])")


def is_recognised(text: str) -> bool:
    """True if Markdown bears the mark of a recogniser."""
    head = text[:_SEARCHED_CHARS]
    return any(mark.search(head) for mark in _MARKS)


def read_recognised(path: Path, root: Path) -> ReadResult:
    """Reads a Markdown file that may have been made by a recogniser: `.mmd` always is, `.md` if it bears a mark.

    Raises:
        ReaderError: it cannot be read, or nothing is left after its repair.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    if path.suffix.lower() != ".mmd" and not is_recognised(text):
        return read_markdown(path, root)
    repaired, counts = repair(text)
    if not repaired.strip():
        raise ReaderError("no-text", "nothing is left of it after its repair")
    result = parse_markdown(repaired)
    identifier, year, categories = identify(repaired[:_FRONT_CHARS], ())
    return ReadResult(
        text=result.text,
        title=result.title,
        authors=result.authors,
        year=result.year or year,
        categories=result.categories or categories,
        license=result.license,
        identifier=result.identifier or identifier,
        counts=counts,
    )


def repair(text: str) -> tuple[str, dict[str, int]]:
    """Applies all rules in their order.

    Returns:
        The text, and in how many places each rule changed something (`missing_pages`, `repeated_sentences`, …).
    """
    counts: Counter[str] = Counter()
    for name, rule in _BEFORE.items():
        text, counts[name] = rule(text)
    text, counts["formulas"], counts["formulas_open"] = normalize_delimiters(text)
    for name, rule in _RULES.items():
        text, counts[name] = rule(text)
    text, repeated = drop_repetitions(text)
    counts.update(repeated)
    for name, rule in _AFTER.items():
        text, counts[name] = rule(text)
    return normalize_layout(text), {name: counts[name] for name in sorted(counts) if counts[name]}


# ---- what the recogniser put in ----


def drop_missing_pages(text: str) -> tuple[str, int]:
    """Takes out the marks of pages that could not be read."""
    return _MISSING_PAGE.subn("", text)


def drop_page_marks(text: str) -> tuple[str, int]:
    """Takes out anchors of pages and rules between pages; links to pages keep their words."""
    text, num_anchors = _PAGE_ANCHOR.subn("", text)
    text, num_links = _PAGE_LINK.subn(r"\1", text)
    text, num_rules = _PAGE_RULE.subn("", text)
    return text, num_anchors + num_links + num_rules


def drop_pictures(text: str) -> tuple[str, int]:
    """Takes out what stands for pictures; a description of three words and more stays."""
    text, num_marks = _PICTURE_MARK.subn("", text)
    text, num_images = _IMAGE.subn(lambda found: found[1] if len(found[1].split()) >= 3 else "", text)
    return text, num_marks + num_images


def drop_missing_formulas(text: str) -> tuple[str, int]:
    """Takes out what stands for formulas that could not be read."""
    return _FORMULA_MARK.subn("", text)


def decode_entities(text: str) -> tuple[str, int]:
    """`&lt;`, `&amp;` and the like become their characters; glyphs without a name go."""
    text, num_glyphs = _GLYPH.subn("", text)
    text, num_entities = _ENTITY.subn(lambda found: html.unescape(found[0]), text)
    return text, num_glyphs + num_entities


def convert_scripts(text: str) -> tuple[str, int]:
    """`<sup>` and `<sub>` become mathematics; a number after a word is the mark of a note and goes."""

    def convert(found: re.Match[str]) -> str:
        inner = found[2].strip()
        before = found.string[max(0, found.start() - 8) : found.start()]
        if found[1] == "sup" and is_note_mark(before, inner):
            return ""
        return collapse(raise_or_lower(inner, found[1] == "sup")) if inner else ""

    num_marks = 0

    def drop(found: re.Match[str]) -> str:
        nonlocal num_marks
        before = found.string[max(0, found.start() - 8) : found.start()]
        if not is_note_mark(before, (found[1] or found[2]).strip()):
            return found[0]
        num_marks += 1
        return ""

    text, count = _SCRIPT.subn(convert, text)
    text = _RAISED.sub(drop, text)
    text, num_breaks = _BREAK.subn(" ", text)
    return text, count + num_marks + num_breaks


# ---- faults of reading ----


def cut_references(text: str) -> tuple[str, int]:
    """References and acknowledgements go, from their heading to the next one of the same or a higher level.

    References must look like some: most of their lines begin like an item or hold a year.
    """
    lines = text.split("\n")
    kept: list[str] = []
    position = count = 0
    while position < len(lines):
        level = _cut_level(lines[position])
        if not level:
            kept.append(lines[position])
            position += 1
            continue
        end = position + 1
        while end < len(lines) and not _ends_section(lines[end], level):
            end += 1
        if _may_go(lines[position], lines[position + 1 : end]):
            count += 1
        else:
            kept += lines[position:end]
        position = end
    return "\n".join(kept), count


def _cut_level(line: str) -> int:
    heading = _HEADING.match(line)
    if heading and _CUT_HEADING.fullmatch(heading[2].strip("*_ ")):
        return len(heading[1])
    bold = _BOLD_HEADING.match(line.strip())
    return 6 if bold and _CUT_HEADING.fullmatch(bold[1]) else 0


def _ends_section(line: str, level: int) -> bool:
    heading = _HEADING.match(line)
    return heading is not None and (len(heading[1]) <= level or not _REFERENCE.search(heading[2]))


def _may_go(heading: str, section: list[str]) -> bool:
    filled = [line for line in section if line.strip()]
    if re.search(r"acknowl", heading, re.IGNORECASE):
        return len(filled) <= 12
    return sum(bool(_REFERENCE.search(line)) for line in filled) >= 0.5 * len(filled)


def undo_hyphens(text: str) -> tuple[str, int]:
    """Words that a line end broke are joined: `reion-` / `ization` always, `reion- ization` if the whole is found elsewhere.

    A real hyphen stays: `well-` / `known` where `well-known` is found and `wellknown` is not. `mass- and size-dependent` is
    left alone.
    """
    if not _BROKEN.search(text):
        return text, 0
    vocabulary = Vocabulary(text.split("\n"))
    count = 0

    def join(found: re.Match[str]) -> str:
        nonlocal count
        first, gap, second = found.groups()
        if "\n" not in gap and not vocabulary.knows(first, second):
            return found[0]
        count += 1
        return vocabulary.joined(first, second)

    return _BROKEN.sub(join, text), count


def cut_open_end(text: str) -> tuple[str, int]:
    """The last paragraph is cut back to its last whole sentence, if the recogniser stopped in the middle of one.

    Left alone are headings, lists, tables, formulas, code and short lines, none of which need a full stop.
    """
    body = text.rstrip()
    start = body.rfind("\n\n") + 2 if "\n\n" in body else 0
    last = body[start:]
    prose = len(last.split()) >= 12 and not re.match(r"\s*(?:#|[-*+|>]|\d+[.)]|```|\$\$)", last)
    if not prose or _TERMINAL.search(last) or last.count("```") % 2:
        return text, 0
    ends = [found.end() for found in _SENTENCE_END.finditer(last)]
    if ends:
        return body[: start + ends[-1]] + "\n", 1
    return body[:start].rstrip() + "\n", 1


_BEFORE: dict[str, Rule] = {
    "missing_pages": drop_missing_pages,
    "page_marks": drop_page_marks,
    "pictures": drop_pictures,
    "formulas_missing": drop_missing_formulas,
    "entities": decode_entities,
}
_RULES: dict[str, Rule] = {
    "tags": drop_tags,
    "tables": tables_to_markdown,
    "scripts": convert_scripts,
    "spacing_runs": drop_spacing_runs,
    "math_loops": drop_math_loops,
    "references_cut": cut_references,
}
_AFTER: dict[str, Rule] = {
    "hyphens_undone": undo_hyphens,
    "open_ends": cut_open_end,
}
