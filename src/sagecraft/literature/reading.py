"""A document as rules see it: passages, names, and what else is worked out once for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from sagecraft.corpus.documents import Document
from sagecraft.literature.abbreviations import Abbreviation, abbreviations_of
from sagecraft.literature.glossary import Gloss, glosses_of
from sagecraft.literature.names import Names
from sagecraft.literature.passages import Passage, passages_of
from sagecraft.literature.summary import summary_of
from sagecraft.literature.tables import Table, tables_of
from sagecraft.literature.terms import Term, terms_of


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

    @cached_property
    def glossary(self) -> tuple[Gloss, ...]:
        """Terms with their glosses, in order; a term may have several."""
        return tuple(glosses_of(self.document))

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Tables of things with properties, oriented, in order."""
        return tuple(tables_of(self.document))

    @cached_property
    def abbreviations(self) -> tuple[Abbreviation, ...]:
        """Abbreviations with the one long form that the prose spells out."""
        return tuple(abbreviations_of(sentence for passage in self.passages for sentence in passage.sentences))

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Terms that the prose sets in bold and explains, in order."""
        return tuple(terms_of(self.document, [sentence for passage in self.passages for sentence in passage.sentences]))

    @cached_property
    def summary(self) -> str:
        """What the document is about, in its own sentences."""
        return summary_of(self.passages)
