r"""What a document says about itself: `\title`, `\author`, `\abstract` and the like."""

from __future__ import annotations

import re
from collections.abc import Callable

from sagecraft.corpus.readers.latex_text import Typesetter
from sagecraft.corpus.readers.latex_tokens import PAR


def _title(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_optional()
    title = setter.line(_without_notes(setter.gullet.read_arg()))
    if title and setter.depth == 0:
        setter.meta.title = title


def _subtitle(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_optional()
    text = setter.line(_without_notes(setter.gullet.read_arg()))
    title = setter.meta.title
    if text and title and setter.depth == 0:
        setter.meta.title = f"{title} {text}" if title.endswith((":", ".", "?", "!")) else f"{title}: {text}"


def _without_notes(tokens: list[str]) -> list[str]:
    """A title without its footnotes."""
    out: list[str] = []
    depth = 0
    skipping = False
    for token in tokens:
        if depth == 0 and token == "\\footnote":
            skipping = True
        elif skipping:
            depth += (token == "{") - (token == "}")
            skipping = depth > 0 or token != "}"
        else:
            out.append(token)
    return out


def _author(setter: Typesetter, _token: str) -> None:
    setter.gullet.read_star()
    setter.gullet.read_optional()
    tokens = setter.gullet.read_arg()
    if setter.gullet.stack and setter.gullet.stack[-1] == "[":  # Elsevier's newer classes say who the author is
        setter.gullet.read_optional()
    if setter.depth < 5:
        setter.meta.authors += author_names(setter, tokens)


def author_names(setter: Typesetter, tokens: list[str]) -> list[str]:
    r"""Names out of one `\author`: marks, thanks and affiliations taken off."""
    names: list[str] = []
    for chunk in _split(tokens, ("\\and", "\\And", "\\AND", "\\newauthor")):
        first_line = _split(chunk, ("\\\\", PAR))
        line = next((part for part in first_line if any(t.strip() for t in part)), [])
        count = setter.counts.copy()
        text = setter.late.resolve(setter.line(line))
        setter.counts.clear()
        setter.counts.update(count)
        text = re.sub(r"\$[^$]*\$|\([^()]*\)|<[^<>]*>|[*`†‡§¶]", " ", text)
        for name in re.split(r",|;|&|\band\b", text):
            name = re.sub(r"^\d+\s+", "", " ".join(name.split()).strip(" .,"))
            if len(name) > 1 and len(name) < 80 and not any(c.isdigit() or c in "@{}\\" for c in name):
                names.append(name + "." if re.search(r"\b(?:[A-Z]|Jr|Sr)$", name) else name)
    return names


def _split(tokens: list[str], marks: tuple[str, ...]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token in marks:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _abstract(setter: Typesetter, _token: str) -> None:
    gullet = setter.gullet
    gullet.read_optional()
    parts: list[str] = []
    while len(parts) < 5 and (gullet.peek() == "{"):  # a structured abstract has up to five parts
        parts.append(setter.render(gullet.read_arg()).strip())
    text = PAR.join(part for part in parts if part)
    if text:
        setter.meta.abstract = text


def _keywords(setter: Typesetter, _token: str) -> None:
    text = setter.line(setter.gullet.read_arg())
    if text:
        setter.meta.keywords = text.replace(" ,", ",")


def _date(setter: Typesetter, _token: str) -> None:
    setter.meta.date = setter.line(setter.gullet.read_arg())


def _doi(setter: Typesetter, _token: str) -> None:
    text = setter.line(setter.gullet.read_arg())
    if not setter.in_body or not setter.out:
        setter.meta.doi = text
    else:
        setter.out.append(text)


FRONT: dict[str, Callable[[Typesetter, str], None]] = {
    "\\title": _title,
    "\\subtitle": _subtitle,
    "\\author": _author,
    "\\abstract": _abstract,
    "\\keywords": _keywords,
    "\\date": _date,
    "\\doi": _doi,
}
