import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagecraft.corpus.documents import Document
from sagecraft.corpus.share import take_share


def take(texts, share):
    documents = [Document(id=f"d{number}", text=text) for number, text in enumerate(texts)]
    return list(take_share(documents, sum(map(len, texts)), share))


def test_a_document_is_cut_between_paragraphs_and_named_for_it():
    text = "aaaa\n\nbbbb\n\ncccc\n\ndddd"
    assert [(d.id, d.text) for d in take([text], (0.0, 0.5))] == [("d0#0-0.5", "aaaa\n\nbbbb")]
    assert [(d.id, d.text) for d in take([text], (0.5, 1.0))] == [("d0#0.5-1", "cccc\n\ndddd")]


def test_whole_documents_keep_their_identifiers():
    assert [d.id for d in take(["aaaa", "bbbb", "cccc", "dddd"], (0.25, 0.75))] == ["d1", "d2"]


def test_a_document_of_one_paragraph_is_never_in_two_shares():
    assert [d.id for d in take(["a" * 100], (0.0, 0.5))] == ["d0"]
    assert take(["a" * 100], (0.5, 1.0)) == []


@given(
    st.lists(st.lists(st.text("ab", min_size=1, max_size=9), min_size=1, max_size=6), min_size=1, max_size=6),
    st.lists(st.floats(0.01, 0.99), max_size=3),
)
def test_shares_that_meet_are_disjoint_and_complete(documents, cuts):
    texts = ["\n\n".join(paragraphs) for paragraphs in documents]
    borders = [0.0, *sorted(set(cuts)), 1.0]
    parts = [
        paragraph
        for share in itertools.pairwise(borders)
        for document in take(texts, share)
        for paragraph in document.text.split("\n\n")
    ]
    assert parts == [paragraph for paragraphs in documents for paragraph in paragraphs]


def test_bad_shares_are_refused():
    from sagecraft.corpus.ingest import SourceConfig

    for share in [(0.5, 0.5), (0.6, 0.2), (-0.1, 0.5), (0.0, 1.1)]:
        with pytest.raises(ValueError, match="two fractions"):
            SourceConfig(path="x", share=share)
