"""Filters: pure functions of a document that answer keep (None) or drop (a reason and a detail).

They judge prose. Mathematics, code and tables are taken out before anything is counted, so that a paper full of
equations is not thrown away for them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.corpus.clean import PROTECTED
from sagecraft.corpus.documents import Document
from sagecraft.corpus.licenses import is_allowed

_TABLE_LINE = re.compile(r"^[^\S\n]*\|.*\|[^\S\n]*$", re.MULTILINE)
_URL = re.compile(r"\b(?:https?://|www\.)\S+")
_PUNCTUATION = frozenset(".,;:!?'\"()[]-–—‘’“”/%*_#&°+=<>…")
#: A run of characters without a space that is longer than any word (a URL aside) is data, not prose.
_LONGEST_WORD = 60
#: Shares of fewer characters than this say nothing.
_LEAST_CHARACTERS = 200


class FilterConfig(BaseModel):
    """What a document must be like to be kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_words: int = Field(
        default=50, ge=0, description="shortest document, in words; below 50 there are stubs and empty pages"
    )
    max_non_text_share: float = Field(
        default=0.25,
        ge=0.0,
        le=1.0,
        description="largest share of characters that are no text, outside mathematics, code and tables; "
        "prose has under 0.02, damaged or binary text over 0.4",
    )
    licenses: list[str] | None = Field(
        default=None,
        description="allow-list of licences (`CC-BY-4.0`, `CC-BY-*`); everything is kept by default, since what may be "
        "trained on is the user's to say",
    )


@dataclass(frozen=True)
class Drop:
    """Why a document is not kept."""

    reason: str
    detail: str


def judge(document: Document, rules: FilterConfig) -> Drop | None:
    """Why a document is not kept, by the first rule that drops it; None if it is kept."""
    return (
        not_licensed(document, rules.licenses)
        or too_short(document, rules.min_words)
        or non_text(document, rules.max_non_text_share)
    )


def prose_of(text: str) -> str:
    """The text without mathematics, code, tables and web addresses."""
    return _URL.sub(" ", _TABLE_LINE.sub("", PROTECTED.sub(" ", text)))


def count_words(text: str) -> int:
    """Words as a reader counts them: runs of characters between spaces."""
    return len(text.split())


def too_short(document: Document, min_words: int) -> Drop | None:
    """Drops a document of fewer than `min_words` words."""
    words = count_words(document.text)
    return None if words >= min_words else Drop("too-short", f"{words} words, at least {min_words} are asked for")


def non_text_share(text: str) -> float:
    """Share of the prose that is neither letters, digits, spaces nor ordinary punctuation.

    Characters of endless "words" (encoded data) count as non-text. 0.0 where there is too little prose to judge.
    """
    prose = prose_of(text)
    if len(prose) < _LEAST_CHARACTERS:
        return 0.0
    odd = 0
    for word in prose.split():
        if len(word) > _LONGEST_WORD and word.isascii():
            odd += len(word)
        elif not (word.isascii() and word.isalnum()):
            odd += sum(not _is_text(character) for character in word)
    return odd / len(prose)


def _is_text(character: str) -> bool:
    return character.isalnum() or character in _PUNCTUATION or unicodedata.category(character).startswith("M")


def non_text(document: Document, max_share: float) -> Drop | None:
    """Drops a document whose prose has more than `max_share` characters that are no text."""
    share = non_text_share(document.text)
    return None if share <= max_share else Drop("non-text", f"{share:.0%} of the prose is no text, {max_share:.0%} may")


def not_licensed(document: Document, allowed: Sequence[str] | None) -> Drop | None:
    """Drops a document whose licence is not on the allow-list; without a list everything is kept."""
    if allowed is None or is_allowed(document.license, allowed):
        return None
    return Drop("license", f"{document.license} is not among {', '.join(allowed)}")
