"""Documents as passages: sentences that stand together under one heading, which know what they belong to.

Only prose is in a passage (`corpus.sections` tells it from captions, exercises, lists, glossaries and references).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import Sentence, sentences_of

#: Characters of a passage at most, unless one sentence is longer: about 300 words, two or three paragraphs.
MAX_CHARS = 1_800


@dataclass(frozen=True)
class Passage:
    """Consecutive sentences of one section.

    Attributes:
        document: id of the document.
        number: running number in the document.
        title: of the document.
        section: heading that it stands under; empty before the first.
        sentences: whole ones, in order.
    """

    document: str
    number: int
    title: str
    section: str
    sentences: tuple[Sentence, ...]

    @property
    def id(self) -> str:
        """Unique in the corpus."""
        return f"{self.document}#{self.number}"

    @property
    def text(self) -> str:
        """The sentences as one paragraph."""
        return " ".join(sentence.text for sentence in self.sentences)

    @property
    def paragraphs(self) -> tuple[tuple[Sentence, ...], ...]:
        """The sentences by paragraph; the first and the last may be parts of one that is longer than a passage."""
        groups = itertools.groupby(self.sentences, key=lambda sentence: sentence.paragraph)
        return tuple(tuple(group) for _, group in groups)


def passages_of(document: Document) -> Iterator[Passage]:
    """The passages of a document, in order; each sentence stands in one, and so does each paragraph that fits."""
    numbers = itertools.count()
    for section, sentences in itertools.groupby(sentences_of(document.text), key=lambda sentence: sentence.heading):
        held: list[Sentence] = []
        length = 0
        for _, group in itertools.groupby(sentences, key=lambda sentence: sentence.paragraph):
            paragraph = list(group)
            is_over = length + sum(len(sentence.text) + 1 for sentence in paragraph) > MAX_CHARS + 1
            for index, sentence in enumerate(paragraph):
                if held and ((index == 0 and is_over) or length + len(sentence.text) > MAX_CHARS):
                    yield Passage(document.id, next(numbers), document.title, section, tuple(held))
                    held, length = [], 0
                held.append(sentence)
                length += len(sentence.text) + 1
        yield Passage(document.id, next(numbers), document.title, section, tuple(held))
