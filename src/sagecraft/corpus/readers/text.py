"""Plain text: taken as it stands; a short first line on its own is the title."""

from __future__ import annotations

import re
from pathlib import Path

from sagecraft.corpus.readers.files import read_text
from sagecraft.corpus.readers.result import ReadResult

_FIRST_LINE = re.compile(r"\A\s*(\S[^\n]{0,149})\n[^\S\n]*\n")


def read_plain(path: Path, root: Path) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads a plain text file. Lines broken at a fixed width are joined to paragraphs.

    Raises:
        ReaderError: the file cannot be read.
    """
    text = read_text(path).replace("\r\n", "\n").replace("\r", "\n")
    found = _FIRST_LINE.match(text)
    first = found.group(1).strip() if found else ""
    title = first if first and first[-1] not in ".!?:;," else None
    return ReadResult(text=_join_lines(text), title=title)


def _join_lines(text: str) -> str:
    """Joins the lines of paragraphs that were broken at a fixed width (several lines, all but the last long)."""
    return "\n\n".join(_join_paragraph(block) for block in re.split(r"\n[^\S\n]*\n", text))


def _join_paragraph(block: str) -> str:
    # Up to three spaces at the beginning of a paragraph are its indentation; more is the layout of a table or of code.
    block = re.sub(r"\A(?:[^\S\n]*\n)* {0,3}(?=\S)", "", block)
    lines = block.split("\n")
    width = max(len(line) for line in lines)
    is_prose = 50 <= width <= 100 and all(
        len(line) > 0.7 * width and line[:1].isalnum() and "  " not in line.strip() for line in lines[:-1]
    )
    return " ".join(line.strip() for line in lines) if len(lines) > 1 and is_prose else block
