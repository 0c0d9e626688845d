"""Documents as passages."""

from __future__ import annotations

from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import sentences_of
from sagecraft.literature.passages import MAX_CHARS
from sagecraft.literature.reading import Reading

TEXT = "# One\n\n" + "A sentence that says something plain. " * 90 + "\n\n# Two\n\nAnother section says little."


def test_each_sentence_stands_in_one_passage_of_its_section() -> None:
    document = Document(id="d", text=TEXT, title="T")
    passages = Reading(document, 0).passages
    assert [sentence for passage in passages for sentence in passage.sentences] == list(sentences_of(TEXT))
    assert {passage.section for passage in passages} == {"One", "Two"}
    assert all(sentence.heading == passage.section for passage in passages for sentence in passage.sentences)
    assert all(len(passage.text) <= MAX_CHARS for passage in passages)
    assert len(passages) == 3
    assert [passage.id for passage in passages] == ["d#0", "d#1", "d#2"]


def test_a_paragraph_that_fits_is_not_divided() -> None:
    text = "# One\n\n" + "\n\n".join(["A sentence that says something plain. " * 30] * 3)
    passages = Reading(Document(id="d", text=text, title="T"), 0).passages
    assert [[len(paragraph) for paragraph in passage.paragraphs] for passage in passages] == [[30], [30], [30]]


def test_captions_and_exercises_are_in_no_passage() -> None:
    text = "# One\n\nIt is plain. It holds.\n\nFigure 1. A thing. It is red.\n\n**Exercise 1.** Take a thing of 3 kg. Lift it."
    passages = Reading(Document(id="d", text=text, title="T"), 0).passages
    assert [passage.text for passage in passages] == ["It is plain. It holds."]
