r"""Markdown with optional front matter (YAML or TOML), its formulas between dollar signs, without links and pictures.

Formulas and code are set aside before anything is changed, so that no rule looks inside them. Footnotes stand where they
are called, links and pictures leave their words, HTML in the text leaves its content.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from sagecraft.corpus.clean import PROTECTED
from sagecraft.corpus.readers.blocks import collapse, dollar_math, raise_or_lower
from sagecraft.corpus.readers.files import read_text
from sagecraft.corpus.readers.result import ReaderError, ReadResult
from sagecraft.corpus.readers.rows import list_of, names_of, year_of

_YAML = re.compile(r"\A---[ \t]*\n(.*?)^(?:---|\.\.\.)[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\A\+\+\+[ \t]*\n(.*?)^\+\+\+[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#{1,2}[ \t]+(.{1,300}?)[ \t]*#*[ \t]*$", re.MULTILINE)
_SETEXT = re.compile(r"\A\s*(\S.{0,200})\n=+[ \t]*$", re.MULTILINE)
#: Front matter larger than this is not front matter.
_MAX_FRONT_MATTER_CHARS = 100_000

_CODE = re.compile(r"^(`{3,20}|~{3,20})[^\n]*\n(?:(?!\1)[^\n]*\n)*\1[^\S\n]*$|`[^`\n]+`", re.MULTILINE)
#: GitLab's formulas: code between dollar signs, and code of the language `math`.
_CODE_MATH = re.compile(r"\$`([^`\n]+)`\$")
_FENCED_MATH = re.compile(r"^```math[ \t]*\n((?:(?!```)[^\n]*\n)*)```[ \t]*$", re.MULTILINE)
#: `\\\\(` for `\\(`: a backslash is escaped by another where a script is to see it.
_ESCAPED_DELIMITER = re.compile(r"\\\\([()\[\]])")
_MASK = re.compile("\ue000(\\d+)\ue001")
_DEFINITION = re.compile(r"^ {0,3}\[([^\[\]\n]{1,200})\]:[ \t]*(.*)$")
_NOTE_CALL = re.compile(r"\[\^([^\[\]\n]{1,200})\]")
_IMAGE = re.compile(r"!\[([^\[\]\n]*)\](?:\([^()\n]*(?:\([^()\n]*\)[^()\n]*)?\)|\[[^\[\]\n]*\])")
_LINK = re.compile(r"(?<![!\\])\[([^\[\]\n]+(?:\n[^\[\]\n]+)?)\]\([^()\n]*(?:\([^()\n]*\)[^()\n]*)?\)(?:\{[^{}\n]*\})?")
_REFERENCE_LINK = re.compile(r"(?<![!\\])\[([^\[\]\n]+)\](?:\[([^\[\]\n]*)\])")
_AUTOLINK = re.compile(r"<((?:https?|ftp)://[^<>\s]+|[\w.+\-]+@[\w\-]+\.[\w.\-]+)>")
_HEADING_ATTRIBUTES = re.compile(r"^(#{1,6} .*?)[ \t]*\{[#.:][^{}\n]*\}[ \t]*$", re.MULTILINE)
_UNSEEN = re.compile(r"<(script|style|iframe|svg|nav|button)\b(?:(?!</?\1\b).)*</\1\s*>", re.DOTALL | re.IGNORECASE)
_TABLE = re.compile(r"<table\b(?:(?!</?table\b).)*</table\s*>", re.DOTALL | re.IGNORECASE)
_RAISED = re.compile(r"<(sup|sub)>([^<>\n]{1,80})</\1>", re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|article|aside|b|big|blockquote|br|center|cite|code|dd|del|details|dfn|div|dl|dt|em|figcaption|figure|font|footer|"
    r"h[1-6]|header|hr|i|img|ins|kbd|li|main|mark|ol|p|picture|pre|q|s|samp|section|small|source|span|strike|strong|sub|summary|"
    r"sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var|video|audio|iframe|input|label)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)


def read_markdown(path: Path, root: Path) -> ReadResult:  # noqa: ARG001 - the signature of every reader
    """Reads a Markdown file.

    Raises:
        ReaderError: the file cannot be read, or its front matter is not a mapping.
    """
    return parse_markdown(read_text(path).replace("\r\n", "\n"))


def parse_markdown(text: str) -> ReadResult:
    """Markdown that has been read already.

    Raises:
        ReaderError: its front matter is not a mapping.
    """
    meta, body = _split_front_matter(text)
    body = _plain_markdown(_without_comments(body))
    return ReadResult(
        text=body.strip("\n"),
        title=_string(meta, "title") or _heading(body),
        authors=names_of(meta.get("authors", meta.get("author"))),
        year=year_of(meta.get("year", meta.get("date"))),
        categories=list_of(meta.get("categories", meta.get("tags", meta.get("keywords")))),
        license=_string(meta, "license") or _string(meta, "licence"),
        identifier=_string(meta, "id") or _string(meta, "doi"),
    )


def _plain_markdown(body: str) -> str:
    """Formulas in one form; links, pictures, notes and HTML as their words."""
    body = body.replace("\ue000", "").replace("\ue001", "")
    body = _FENCED_MATH.sub(lambda found: f"$$\n{found.group(1).strip()}\n$$", body)
    body = _CODE_MATH.sub(lambda found: f"${found.group(1).strip()}$", body)
    body, code = _masked(_CODE, body, 0)
    # In a formula `\\[2pt]` ends a line: only outside is it an escaped delimiter.
    body, formulas = _masked(PROTECTED, body, len(code))
    body = _ESCAPED_DELIMITER.sub(r"\\\1", body)
    body = dollar_math(body)
    body, converted = _masked(PROTECTED, body, len(code) + len(formulas))
    kept = [*code, *formulas, *converted]
    body = _without_html(_without_links(body))
    # Three rounds: what was set aside may stand in what was set aside after it.
    for _ in range(3):
        body = _MASK.sub(lambda found: kept[int(found.group(1))] if int(found.group(1)) < len(kept) else "", body)
    return body


def _masked(what: re.Pattern[str], text: str, first: int) -> tuple[str, list[str]]:
    """The text with a mark in place of everything that matches, and what matched."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(found.group())
        return f"\ue000{first + len(kept) - 1}\ue001"

    return what.sub(keep, text), kept


def _without_links(text: str) -> str:
    text, notes, targets = _definitions(text)
    told: set[str] = set()

    def note(found: re.Match[str]) -> str:
        key = found.group(1)
        if key not in notes or key in told:
            return "" if key in notes else found.group()
        told.add(key)
        return f" ({notes[key].rstrip('.')})" if notes[key] else ""

    text = _NOTE_CALL.sub(note, text)
    text = _IMAGE.sub(lambda found: found.group(1), text)
    text = _LINK.sub(lambda found: found.group(1), text)
    text = _REFERENCE_LINK.sub(
        lambda found: found.group(1) if (found.group(2) or found.group(1)).lower() in targets else found.group(), text
    )
    text = _HEADING_ATTRIBUTES.sub(r"\1", text)
    return _AUTOLINK.sub(r"\1", text)


def _definitions(text: str) -> tuple[str, dict[str, str], set[str]]:
    """The text without the definitions of notes and of link targets; the notes; the names of the targets."""
    kept: list[str] = []
    notes: dict[str, list[str]] = {}
    targets: set[str] = set()
    current: list[str] | None = None
    for line in text.split("\n"):
        found = _DEFINITION.match(line) if "]:" in line else None
        if found and found.group(1).startswith("^"):
            current = notes.setdefault(found.group(1)[1:], [])
            current.append(found.group(2))
        elif found and found.group(2):
            current = None
            targets.add(found.group(1).lower())
        elif current is not None and line.startswith(("    ", "\t")):
            current.append(line.strip())
        else:
            current = current if not line.strip() else None
            kept.append(line)
    return "\n".join(kept), {key: " ".join(filter(None, lines)) for key, lines in notes.items()}, targets


def _without_html(text: str) -> str:
    """HTML as its content; a table of HTML as one of Markdown."""
    if "<" in text:
        text = _UNSEEN.sub("", text)
        text = _TABLE.sub(lambda found: _table(found.group()), text)
        text = _RAISED.sub(
            lambda found: collapse(raise_or_lower(found.group(2), found.group(1).lower() == "sup")), text
        )
        text = re.sub(r"<br\s*/?>", "\n", text, flags=re.IGNORECASE)
        text = re.sub(r"<img\b[^<>]*?\balt=[\"']([^\"'<>]*)[\"'][^<>]*>", r"\1", text, flags=re.IGNORECASE)
        text = _TAG.sub("", text)
    return html.unescape(text) if "&" in text else text


def _table(markup: str) -> str:
    from sagecraft.corpus.readers.html import fragment_to_markdown

    return f"\n\n{fragment_to_markdown(markup)}\n\n"


def _split_front_matter(text: str) -> tuple[dict[str, Any], str]:
    found = _YAML.match(text) or _TOML.match(text)
    if not found:
        return {}, text
    matter = found.group(1)
    is_toml = text.startswith("+++")
    if len(matter) > _MAX_FRONT_MATTER_CHARS or (not is_toml and "&" in matter and re.search(r"\*\w", matter)):
        # A few lines of anchors and aliases can stand for gigabytes; no front matter needs them.
        raise ReaderError("bad-front-matter", "too long, or made of YAML aliases")
    try:
        meta = _parse(matter, is_toml)
    except (ValueError, RecursionError) as error:
        raise ReaderError("bad-front-matter", " ".join(str(error).split())[:200]) from error
    if meta is None:
        return {}, text[found.end() :]
    if not isinstance(meta, dict):
        # A text may open with a rule: then there is no front matter.
        return {}, text
    # Hugo and Jekyll keep what themes add in a table of its own.
    return {str(key).lower(): value for key, value in meta.items()}, text[found.end() :]


def _parse(matter: str, is_toml: bool) -> Any:
    import tomllib

    import yaml

    if is_toml:
        return tomllib.loads(matter)
    try:
        return yaml.safe_load(matter)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


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
