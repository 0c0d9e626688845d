"""Shares of a source: cutting documents, in order, at paragraph borders by cumulative characters.

A paragraph belongs to the share in which its first character falls, so shares that meet in one number are disjoint
and together complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from sagecraft.corpus.documents import Document

_BORDER = re.compile(r"\n{2,}")


def take_share(documents: Iterable[Document], total_chars: int, share: tuple[float, float]) -> Iterator[Document]:
    """The part of `documents` between two fractions of their text.

    Args:
        documents: in their order.
        total_chars: sum of `len(document.text)`.
        share: fractions (from, to), 0.0 to 1.0.

    Yields:
        Documents; one that is cut gets the share as a suffix of its id, so that its parts stay distinct.
    """
    first, last = share[0] * total_chars, share[1] * total_chars
    offset = 0
    for document in documents:
        if first <= offset and offset + len(document.text) <= last:
            yield document
        elif offset < last and offset + len(document.text) > first:
            text = _cut(document.text, first - offset, last - offset)
            if text == document.text:
                yield document
            elif text:
                yield replace(document, id=f"{document.id}#{share[0]:g}-{share[1]:g}", text=text)
        offset += len(document.text)


def _cut(text: str, first: float, last: float) -> str:
    """Paragraphs of `text` that begin at a character in [first, last)."""
    starts = [0, *(found.end() for found in _BORDER.finditer(text))]
    chosen = [start for start in starts if first <= start < last]
    if not chosen:
        return ""
    following = [start for start in starts if start > chosen[-1]]
    return text[chosen[0] : following[0] if following else len(text)].rstrip("\n")
