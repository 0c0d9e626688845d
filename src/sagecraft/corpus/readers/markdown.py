"""Markdown with optional YAML front matter. Mathematics in `$…$`, `$$…$$`, `\\(…\\)` and `\\[…\\]` is kept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.blocks import TEX_DISPLAY, TEX_INLINE
from sagecraft.corpus.readers.files import read_text
from sagecraft.corpus.readers.result import ReaderError, ReadResult
from sagecraft.corpus.readers.rows import list_of, names_of, year_of

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,2}[ \t]+(.{1,300}?)[ \t]*#*[ \t]*$", re.MULTILINE)
_SETEXT = re.compile(r"\A\s*(\S.{0,200})\n=+[ \t]*$", re.MULTILINE)
_IMAGE = re.compile(r"!\[([^\[\]\n]*)\]\([^()\n]*\)")
#: Front matter larger than this is not front matter.
_MAX_FRONT_MATTER_CHARS = 100_000


def read_markdown(path: Path, root: Path) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads a Markdown file.

    Raises:
        ReaderError: the file cannot be read, or its front matter is not a YAML mapping.
    """
    return parse_markdown(read_text(path).replace("\r\n", "\n"))


def parse_markdown(text: str) -> ReadResult:
    """Markdown that has been read already.

    Raises:
        ReaderError: its front matter is not a YAML mapping.
    """
    meta, body = _split_front_matter(text)
    body = _without_comments(body)
    body = _IMAGE.sub(lambda found: found.group(1), body)
    body = TEX_INLINE.sub(lambda found: f"${found.group(1).strip()}$", body)
    body = TEX_DISPLAY.sub(lambda found: f"$${found.group(1).strip()}$$", body)
    return ReadResult(
        text=body.strip("\n"),
        title=_string(meta, "title") or _heading(body),
        authors=names_of(meta.get("authors", meta.get("author"))),
        year=year_of(meta.get("year", meta.get("date"))),
        categories=list_of(meta.get("categories", meta.get("tags"))),
        license=_string(meta, "license") or _string(meta, "licence"),
        identifier=_string(meta, "id") or _string(meta, "doi"),
    )


def _split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    import yaml

    found = _FRONT_MATTER.match(text)
    if not found:
        return {}, text
    if len(found.group(1)) > _MAX_FRONT_MATTER_CHARS or ("&" in found.group(1) and re.search(r"\*\w", found.group(1))):
        # A few lines of anchors and aliases can stand for gigabytes; no front matter needs them.
        raise ReaderError("bad-front-matter", "too long, or made of YAML aliases")
    try:
        meta = yaml.safe_load(found.group(1))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ReaderError("bad-front-matter", " ".join(str(error).split())[:200]) from error
    if meta is None:
        return {}, text[found.end() :]
    if not isinstance(meta, dict):
        # A text may open with a rule: then there is no front matter.
        return {}, text
    return meta, text[found.end() :]


def _without_comments(text: str) -> str:
    kept: list[str] = []
    start = 0
    while (opening := text.find("<!--", start)) >= 0:
        closing = text.find("-->", opening + 4)
        if closing < 0:
            break
        kept.append(text[start:opening])
        start = closing + 3
    return "".join([*kept, text[start:]])


def _heading(body: str) -> str | None:
    found = _SETEXT.search(body) or _HEADING.search(body)
    return found.group(1).strip() if found else None


def _string(meta: dict[str, Any], key: str) -> str | None:
    value = meta.get(key)
    return str(value).strip() or None if isinstance(value, str | int | float) else None
