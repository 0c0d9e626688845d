"""Pages of a PDF to one Markdown document. Runs in the child process only."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from sagecraft.corpus.readers.pdf_blocks import (
    Block,
    make_blocks,
    measure,
    note_of,
    numbering_depth,
    set_levels,
    table_text,
)
from sagecraft.corpus.readers.pdf_chars import Page
from sagecraft.corpus.readers.pdf_columns import in_reading_order
from sagecraft.corpus.readers.pdf_front import Front, identify, read_front
from sagecraft.corpus.readers.pdf_lines import (
    Line,
    join_drop_caps,
    segments,
    without_line_numbers,
    without_running_heads,
)
from sagecraft.corpus.readers.pdf_paragraphs import Paragraphs, rejoin
from sagecraft.corpus.readers.result import ReaderError

#: Fewer letters than this on a page, on average, are no text: the page is a picture.
_LEAST_LETTERS = 25
_REFERENCES = re.compile(
    r"(?:references(?: cited| and notes)?|bibliography|literature cited|works cited)\W*", re.IGNORECASE
)
_CONTENTS = re.compile(r"(?:table of )?contents\W*", re.IGNORECASE)
_THANKS = re.compile(r"acknowledge?ments?\b", re.IGNORECASE)
_APPENDIX = re.compile(r"appendi|supplement|[A-H](?:\.|\s|$)", re.IGNORECASE)
_REFERENCE = re.compile(r"\[(\d{1,3})\]\s*\S")
#: A list of numbered references is at least so long.
_LEAST_REFERENCES = 5
_BULLET = re.compile(r"^[•◦▪‣·∙]\s+")


def compose(pages: list[Page], meta_title: str, meta_author: str) -> dict[str, Any]:
    """Makes the document.

    Args:
        pages: as read; they are emptied, since the lines hold the words from then on.
        meta_title: title that the file states of itself.
        meta_author: authors that it states.

    Returns:
        The fields of `ReadResult`.

    Raises:
        ReaderError: `no-text` or `pdf-no-encoding`.
    """
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update(page.counts)
    _check_text(pages, counts)
    pieces: list[list[Line]] = []
    for number, page in enumerate(pages):
        words, dropped = without_line_numbers(page.words)
        counts["line_numbers"] += dropped
        counts["drop_caps"] += join_drop_caps(words)
        pieces.append(segments(words, number))
        page.words = []
    first = "\n".join(line.plain() for line in pieces[0])
    identifier, year, categories = identify(first, pages[0].turned)
    pieces, counts["heads_and_feet"] = without_running_heads(pieces)
    lines = in_reading_order(pieces)
    usual = measure(lines)
    blocks = make_blocks(lines, usual)
    front = read_front(blocks, usual, meta_title, meta_author)
    used = set(map(id, front.used))
    blocks = _without_list([block for block in blocks if id(block) not in used], counts)
    blocks = _cut(blocks, usual.size, counts)
    set_levels(blocks)
    text = Paragraphs(blocks, usual, counts)
    counts["paragraphs_rejoined"] = rejoin(blocks, usual)
    body = _render(blocks, text, front, counts)
    if not blocks:
        raise ReaderError("no-text", "nothing but titles, running heads and references")
    counts["pages"] = len(pages)
    return {
        "text": body,
        "title": front.title,
        "authors": front.authors,
        "year": year,
        "categories": categories,
        "identifier": identifier,
        "counts": {name: counts[name] for name in sorted(counts) if counts[name]},
    }


def _check_text(pages: list[Page], counts: Counter[str]) -> None:
    letters = sum(len(word.text) for page in pages for word in page.words)
    if counts["chars_unmapped"] > max(letters, _LEAST_LETTERS):
        raise ReaderError("pdf-no-encoding", "its fonts do not say which letters they draw; recognise it instead")
    if letters < _LEAST_LETTERS * max(1, len(pages)):
        detail = f"{len(pages)} pages with {letters} letters: pictures of text; recognise it first"
        raise ReaderError("no-text", detail)


def _without_list(blocks: list[Block], counts: Counter[str]) -> list[Block]:
    """Leaves out references that stand under no heading: blocks that begin with [1], [2], [3], … in this order."""
    numbers = [_REFERENCE.match(block.lines[0].plain()) for block in blocks]
    places = [(index, int(found[1])) for index, found in enumerate(numbers) if found]
    start = next((place for place, (_, number) in enumerate(places) if number == 1), None)
    if start is None:
        return blocks
    chain = [places[start]]
    for index, number in places[start + 1 :]:
        if 1 <= number - chain[-1][1] <= 3:
            chain.append((index, number))
    if len(chain) < _LEAST_REFERENCES:
        return blocks
    size = blocks[chain[0][0]].size
    ours = {index for index, _ in chain}
    ours |= {
        i for i in range(chain[0][0], chain[-1][0]) if blocks[i].kind == "body" and abs(blocks[i].size - size) < 0.2
    }
    if len(ours) > 2 * len(chain):
        return blocks
    counts["references_cut"] += 1
    return [block for index, block in enumerate(blocks) if index not in ours]


def _cut(blocks: list[Block], usual_size: float, counts: Counter[str]) -> list[Block]:
    """Leaves out references, acknowledgements and pages of contents."""
    kept: list[Block] = []
    cutting = ""
    looks: tuple[object, ...] = ()
    for block in blocks:
        text = " ".join(line.plain() for line in block.lines)
        bare = re.sub(r"^(?:\d+|[IVX]+|[A-Z])\.?\s+", "", text).strip()
        if block.kind == "heading" and (_REFERENCES.fullmatch(bare) or _THANKS.match(bare)):
            cutting = "references" if _REFERENCES.fullmatch(bare) else "acknowledgements"
            looks = (block.size, block.bold)
            counts[f"{cutting}_cut"] += 1
            continue
        if cutting and block.kind == "heading" and (_ends_cut(block, text, cutting, looks, usual_size)):
            cutting = ""
        if cutting and block.kind == "caption":
            kept.append(block)
        elif not cutting and block.kind == "body" and _THANKS.match(text) and len(text) < 3000:
            counts["acknowledgements_cut"] += 1
        elif block.kind == "contents" or (block.kind == "heading" and _CONTENTS.fullmatch(bare)):
            counts["contents_dropped"] += len(block.lines)
        elif not cutting:
            kept.append(block)
    return kept


def _ends_cut(block: Block, text: str, cutting: str, looks: tuple[object, ...], usual_size: float) -> bool:
    """References end at an appendix, or at a heading that looks like theirs; acknowledgements at any heading."""
    if cutting == "acknowledgements" or _APPENDIX.match(text):
        return True
    return looks == (block.size, block.bold) and (numbering_depth(text) > 0 or block.bold or block.size > usual_size)


def _render(blocks: list[Block], text: Paragraphs, front: Front, counts: Counter[str]) -> str:
    parts = [f"# {text.finish(front.title)}"] if front.title else []
    pages_with_math: set[int] = set()
    waiting: list[tuple[int, Block]] = []
    for block in blocks:
        if block.kind == "note":
            waiting.append((len(parts), block))
            parts.append("")
        elif block.kind == "fragment":
            counts["fragments_dropped"] += 1
        elif block.kind != "placed":
            if block.kind == "math":
                pages_with_math.add(block.lines[0].page)
            parts.append(_block_text(block, text, counts))
    for place, block in waiting:
        if block.kind != "note":
            continue
        # Its mark was not found: it stays where it stands. On the first page such are affiliations and addresses.
        mark = note_of(block)[0]
        if block.lines[0].page == 0 and not mark.isdigit():
            counts["front_notes_dropped"] += 1
        else:
            parts[place] = text.finish(text.note(block))
    counts["math_pages"] = len(pages_with_math)
    return "\n\n".join(part for part in parts if part)


def _block_text(block: Block, text: Paragraphs, counts: Counter[str]) -> str:
    if block.kind == "table":
        table, made = table_text(block, text.finish)
        counts["tables" if made else "tables_as_lines"] += 1
        return table
    plain_text = text.finish(text.raw(block.lines))
    if block.kind == "heading":
        counts["headings"] += 1
        return f"{'#' * block.level} {plain_text}"
    if block.kind in ("caption", "math"):
        counts["captions" if block.kind == "caption" else "math_blocks"] += 1
        return plain_text
    counts["paragraphs"] += 1
    return _BULLET.sub("- ", plain_text)
