"""What the first page of a PDF says about the document: title, authors, year, identifiers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sagecraft.corpus.readers.pdf_blocks import Block, Measures
from sagecraft.corpus.readers.pdf_lines import END, LOWERED, RAISED, text_of

_ARXIV = re.compile(r"arXiv:\s*(\d{4}\.\d{4,5}|[a-z-]+(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?", re.IGNORECASE)
_STAMP = re.compile(r"arXiv:\S+\s*\[([\w.-]+)\]\s*(?:\d{1,2}\s+\w{3,9}\s+(\d{4}))?")
_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>{}|]+")
#: Words on lines that tell the year, surest first: drafts and compilations are of any day.
_DATED = tuple(
    re.compile(words, re.IGNORECASE)
    for words in (
        r"\baccepted|\bpublished|©|\(c\)\s|copyright",
        r"\bvol(?:ume\b|\.)|\bissue\b|\brevised|\breceived|\bsubmitted",
        r"\bdated?\b|\bdraft|\bversion|\bpreprint",
    )
)
_YEAR = re.compile(r"(?<![\d.])((?:19|20)\d\d)(?![\d.]\d|\d)")
_JUNK_TITLE = re.compile(
    r"\.(?:docx?|tex|dvi|pdf|indd|qxd|ps|rtf|pptx?)\b|^untitled|^microsoft word|^arxiv|^manuscript$|^\W*$",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(?:[^\W\d_a-z][\w.’'‐-]*\s+|(?:de|da|di|del|della|van|von|der|den|la|le|el|al|ten|bin|dos)\s+){1,5}[^\W\d_][\w.’'-]+\.?"
)
_PLACES = (
    r"universi|institut|department|school|cent(?:er|re)\b|laborator|observator|college|faculty|division|society|e-?mail|@|"
    r"academy|hospital|ministry|company|council|program|street|avenue"
)
_PLACE = re.compile(_PLACES, re.IGNORECASE)
_NO_NAME = re.compile(rf"{_PLACES}|\d|group\b|\babstract|journal|accepted|received|draft", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[a-z)]{2}\.(?=\s|$)")
_NO_TITLE = re.compile(r"(?:table of )?contents\W*|acknowledge?ments?|references|preface|foreword", re.IGNORECASE)
_ABSTRACT = re.compile(r"(?:abstract|summary)\b\W*", re.IGNORECASE)
_FIRST_SECTION = re.compile(r"(?:\d+\.?|I\.)?\s*(?:introduction|background)\W*$|(?:1|I)\.?\s+\S", re.IGNORECASE)
_MAX_AUTHORS = 3000


@dataclass
class Front:
    """What was found, and the blocks that it was found in.

    Attributes:
        title: of the document.
        authors: names in their order.
        used: blocks that are no part of the running text.
    """

    title: str | None = None
    authors: list[str] = field(default_factory=list)
    used: list[Block] = field(default_factory=list)


def read_front(blocks: Sequence[Block], usual: Measures, meta_title: str, meta_author: str) -> Front:
    """Finds title and authors, by what the file states if the page agrees with it, else by the looks of the first page."""
    front = Front()
    first = [block for block in blocks if block.lines[0].page == 0]
    chosen = _title_blocks(first, usual)
    printed = " ".join(_text(block) for block in chosen)
    stated = " ".join(meta_title.split())
    page = _letters(" ".join(_text(block) for block in first))
    if len(stated) > 5 and not _JUNK_TITLE.search(stated) and _letters(stated) and _letters(stated) in page:
        front.title = stated
    elif printed:
        front.title = printed
    if not chosen:
        front.authors = names(meta_author)
        return front
    start = first.index(chosen[0])
    end = _end_of_front(first, first.index(chosen[-1]) + 1)
    between = [block for block in first[first.index(chosen[-1]) + 1 : end] if block.kind != "contents"]
    before = [block for block in first[:start] if len(_text(block)) < 300]
    front.authors = names(meta_author) or _printed_names(between)
    front.used = [*before, *chosen, *between]
    return front


def _text(block: Block, gap: str = " ") -> str:
    """Text of a block without what is raised or lowered; `gap` stands where there is a wide one."""
    cells = [text_of(cell, line.y, line.size) for line in block.lines for cell in line.cells()]
    text = gap.join(cells) if gap != " " else " ".join(line.text() for line in block.lines)
    text = re.sub(f"{RAISED}[^{END}]*{END}", "", text)
    return " ".join(re.sub(f"[{LOWERED}{RAISED}{END}]", "", text).split())


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _title_blocks(first: list[Block], usual: Measures) -> list[Block]:
    """The largest text in the upper part of the page (more than a letter or two), or its first heading if that is bold."""
    if not first:
        return []
    top = max(line.y for block in first for line in block.lines)
    upper = [
        block
        for block in first
        if block.lines[0].y > 0.4 * top
        and block.kind in ("heading", "body")
        and len(_letters(_text(block))) >= 6
        and not _NO_TITLE.fullmatch(_text(block))
    ]
    if not upper:
        return []
    size = max(block.size for block in upper)
    if size < 1.12 * usual.size:
        heading = next(
            (block for block in upper[:3] if block.kind == "heading" and not _ABSTRACT.match(_text(block))), None
        )
        return [heading] if heading is not None and not _FIRST_SECTION.match(_text(heading)) else []
    chosen: list[Block] = []
    for block in upper:
        if abs(block.size - size) < 0.04 * size and (not chosen or first.index(block) == first.index(chosen[-1]) + 1):
            chosen.append(block)
    return chosen if sum(len(_text(block)) for block in chosen) < 400 else []


def _end_of_front(first: list[Block], start: int) -> int:
    """Where the abstract begins: its heading, else the first paragraph of sentences, else the first section."""
    sections = [
        index
        for index in range(start, len(first))
        if first[index].kind == "heading" and _FIRST_SECTION.match(_text(first[index]))
    ]
    last = sections[0] if sections else len(first)
    for index in range(start, last):
        if _ABSTRACT.match(_text(first[index])):
            return index
    for index in range(start, last):
        if _is_prose(first[index]) or (not sections and first[index].kind == "heading"):
            return index
    return sections[0] if sections else start


def _is_prose(block: Block) -> bool:
    """True for a paragraph of sentences; lists of affiliations are as long, but made of other words."""
    text = _text(block)
    long = len(block.lines) >= 3 and len(text) > 200 and len(_SENTENCE_END.findall(text)) >= 2
    return long and len(_PLACE.findall(text)) <= len(text) / 150


def names(text: str) -> list[str]:
    """Names in a list of authors; nothing if it does not look like one."""
    parts = [part.strip(" .*†‡§¶") for part in re.split(r"[,;&]|\band\b|\n", text)]
    parts = [" ".join(part.split()) for part in parts if part.strip()]
    good = [part for part in parts if _NAME.fullmatch(part) and not _NO_NAME.search(part)]
    return good[:_MAX_AUTHORS] if good and len(good) >= 0.5 * len(parts) else []


def _printed_names(between: Sequence[Block]) -> list[str]:
    found: list[str] = []
    for block in between:
        if block.kind not in ("body", "heading"):
            continue
        part = names(_text(block)) if len(block.lines) > 1 else names(_text(block, ", "))
        if found and not part:
            break
        found += part
    return list(dict.fromkeys(found))


def identify(page: str, turned: Sequence[str]) -> tuple[str | None, int | None, list[str]]:
    """Identifier (DOI before arXiv), year and categories, as far as they are printed on the first page.

    Args:
        page: text of the first page, running heads and feet with it.
        turned: text on its margin.
    """
    stamp = " ".join(turned)
    marked = _STAMP.search(stamp) or _STAMP.search(page)
    arxiv = _ARXIV.search(stamp) or _ARXIV.search(page)
    doi = _DOI.search(page) or _DOI.search(stamp)
    identifier = doi[0].rstrip(".,;)") if doi else arxiv[1] if arxiv else None
    year = int(marked[2]) if marked and marked[2] else None
    if year is None:
        lines = [line for line in page.split("\n") if len(line) < 200]
        for words in _DATED:
            years = [int(found) for line in lines if words.search(line) for found in _YEAR.findall(line)]
            if years:
                year = max(years)
                break
    return identifier, year, [marked[1]] if marked else []
