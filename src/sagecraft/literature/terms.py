"""Terms that the prose introduces: set in bold, in a sentence that says what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import Sentence, clean_markdown, prose_blocks

_BOLD = re.compile(r"(?<![\w*])\*\*(?=\S)([^*\n]{2,60})(?<=\S)\*\*(?![\w*])")
#: Before a term: somebody calls something so.
_CALLED = r"\b(?:called|known as|termed|named|dubbed|referred to as|designated|call (?:it|them|this|these)|we call|by the name of|what is) (?:simply |an? |the )?[“\"]?"
#: Behind a term that a sentence begins with: what it is.
_IS = r"s?[”\"]?(?: \([^()]{1,40}\))? (?:is|are|was|were|means|refers to) (?:an?|the|any|those|simply|essentially|the name|defined|what)\b"
#: Behind a term anywhere: the gloss after a dash.
_DASH = r"s?[”\"]? ?[—–] ?(?:an?|the) "


@dataclass(frozen=True)
class Term:
    """A term at the place where it is introduced.

    Attributes:
        text: as it stands in the sentence.
        position: of that sentence.
        is_called: whether the sentence tells what is called so; otherwise it goes on from the term to what it is.
    """

    text: str
    position: int
    is_called: bool


def terms_of(document: Document, sentences: Sequence[Sentence]) -> Iterator[Term]:
    """The terms in bold whose own sentence explains them, in order, each once.

    A word in bold is often only stressed; without one of the forms "called X", "X is a …", "X—a …" around it, it is no term.

    Args:
        document: with its Markdown.
        sentences: all of its prose (`corpus.sentences.sentences_of`).
    """
    paragraphs: dict[int, list[Sentence]] = {}
    for sentence in sentences:
        paragraphs.setdefault(sentence.paragraph, []).append(sentence)
    seen: set[str] = set()
    for number, (_, block) in enumerate(prose_blocks(document.text)):
        for found in _BOLD.finditer(block):
            text = clean_markdown(found.group(1)).strip(",.;:")
            if text.lower() in seen or not re.search(r"[^\W\d_]{3}", text):
                continue
            term = _introduced(text, paragraphs.get(number, []))
            if term:
                seen.add(text.lower())
                yield term


def _introduced(text: str, paragraph: Sequence[Sentence]) -> Term | None:
    """The term, if the first sentence of a paragraph that holds it explains it."""
    sentence = next((sentence for sentence in paragraph if re.search(rf"\b{re.escape(text)}", sentence.text)), None)
    if sentence is None:
        return None
    if re.search(rf"{_CALLED}{re.escape(text)}", sentence.text):
        return Term(text, sentence.position, is_called=True)
    if re.search(
        rf"^(?:[Tt]he |An? |[“\"])?{re.escape(text)}{_IS}|\b{re.escape(text)}{_DASH}", sentence.text, re.IGNORECASE
    ):
        return Term(text, sentence.position, is_called=False)
    return None
