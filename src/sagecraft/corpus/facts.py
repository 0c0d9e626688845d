"""Facts of a document: what the audit counts and the filters measure, taken once by whoever reads the document."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from sagecraft.corpus.clean import PROTECTED
from sagecraft.corpus.documents import Document
from sagecraft.corpus.filters import count_words


class Facts(BaseModel):
    """Figures of one document.

    Attributes:
        num_words: words, formulas counted as none.
        num_chars: characters.
        num_display: display formulas.
        num_inline: inline formulas.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    num_words: int
    num_chars: int
    num_display: int
    num_inline: int


def facts_of(document: Document) -> Facts:
    """Counts a document."""
    num_display = num_inline = 0
    for found in PROTECTED.finditer(document.text):
        sign = found.group()
        num_display += sign.startswith("$$")
        num_inline += sign[0] == "$" and sign[1] != "$"
    return Facts(
        num_words=count_words(document.text),
        num_chars=len(document.text),
        num_display=num_display,
        num_inline=num_inline,
    )
