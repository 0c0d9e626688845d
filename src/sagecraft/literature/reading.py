"""A document as rules see it: passages, names, and what else is worked out once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sagecraft.corpus.documents import Document
from sagecraft.literature.names import Names
from sagecraft.literature.passages import Passage, passages_of


@dataclass(frozen=True)
class Reading:
    """One document, read.

    Attributes:
        document: the document.
        seed: keys the choice of words.
    """

    document: Document
    seed: int

    @cached_property
    def passages(self) -> tuple[Passage, ...]:
        """All passages, in order."""
        return tuple(passages_of(self.document))

    @cached_property
    def names(self) -> Names:
        """Tells names from words that only begin a sentence."""
        return Names(self.document.text)
