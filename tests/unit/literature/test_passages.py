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
