"""What of a benchmark stands in training documents: a question with its answer, a passage, a cell of a table.

Words in a row find sentences, also changed ones: of 129 items whose article was put into training with a fifth of its words
exchanged at random, 123 were found. A cell is told by no words in a row, and its table may stand there turned, or with other
columns; so the cells of tables are compared, and a thing that has the value goes, whatever the property is called.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagecraft.benchmark.drafts import Draft
from sagecraft.corpus.overlap import Leaks, words_of

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Leak:
    """Why an item goes.

    Attributes:
        reason: `in-training` or `passage-in-training`.
        detail: the document, and its words.
    """

    reason: str
    detail: str


def leaks_of(drafts: Sequence[Draft], training: Iterable[Document]) -> dict[str, Leak]:
    """Id of a draft → where it stands, for those that stand in training. The documents are streamed."""
    leaks = Leaks(
        {"id": draft.id, "question": draft.question, "A": draft.key.text, "answer": "A", "support": draft.passage_text}
        for draft in drafts
    )
    cells: dict[tuple[str, str], list[str]] = {}
    for draft in drafts:
        if draft.form == "property":
            cells.setdefault(_cell(draft.support[0][1].partition(": ")[0], draft.key.text), []).append(draft.id)
    found: dict[str, Leak] = {}
    for document in training:
        for hit in leaks.find(document.text, document.id):
            reason = "in-training" if hit.part == "question" else "passage-in-training"
            found.setdefault(hit.item, Leak(reason, f"{hit.document}: {hit.document_text}"))
        for name, value in _values(document) if cells else ():
            for item in cells.get(_cell(name, value), ()):
                found.setdefault(item, Leak("in-training", f"{document.id}: {name}: {value}"))
    return found


def _cell(name: str, value: str) -> tuple[str, str]:
    """A thing by its words, and the number that a cell begins with: the unit may stand in the cell, in the header or in no place."""
    number = _NUMBER.search(value)
    return " ".join(words_of(name)), number[0].replace(",", "") if number else " ".join(words_of(value))


def _values(document: Document) -> Iterator[tuple[str, str]]:
    """The cells of a document's tables, each with the head of its row and with that of its column: one of them is the thing."""
    for block in document.text.split("\n\n") if "|" in document.text else ():
        grid = [
            [cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines() if "|" in line
        ]
        for row in grid[1:]:
            for place, cell in enumerate(row[1:], start=1):
                yield row[0], cell
                if place < len(grid[0]):
                    yield grid[0][place], cell
