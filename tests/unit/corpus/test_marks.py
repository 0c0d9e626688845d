from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from sagecraft.corpus.dedup import DedupConfig
from sagecraft.corpus.documents import Document
from sagecraft.corpus.marks import UNSTATED, Marks, identifier_of, identifiers, join, mark, text_hash


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("2404.12345", ("arxiv:2404.12345", UNSTATED)),
        ("2404.12345v2", ("arxiv:2404.12345", 2)),
        ("arXiv:2404.12345v12", ("arxiv:2404.12345", 12)),
        ("https://arxiv.org/abs/2404.12345v3", ("arxiv:2404.12345", 3)),
        ("10.48550/arXiv.2404.12345", ("arxiv:2404.12345", UNSTATED)),
        ("hep-th/9901001v3", ("arxiv:hep-th/9901001", 3)),
        ("math.GT/0309136", ("arxiv:math/0309136", UNSTATED)),
        ("10.1234/ABC-d.5", ("doi:10.1234/abc-d.5", UNSTATED)),
        ("https://doi.org/10.1234/abc", ("doi:10.1234/abc", UNSTATED)),
        ("10.21203/rs.3.rs-123/v2", ("doi:10.21203/rs.3.rs-123", 2)),
        ("10.26434/chem-2021-x-v4", ("doi:10.26434/chem-2021-x", 4)),
        ("notes", None),
        ("chapter-3", None),
        ("2404.12345v2 and more", None),
    ],
)
def test_identifier_of(name: str, expected: tuple[str, int] | None) -> None:
    assert identifier_of(name) == expected


def test_a_document_has_its_own_identifier_and_stated_ones() -> None:
    document = Document(
        "papers/arXiv-2404.12345v2.tar.gz", "text", extra=json.dumps({"identifier": "10.1/x", "doi": 7})
    )
    assert identifiers(document, versions=True) == [
        ("id:papers/arXiv-2404.12345v2.tar.gz", UNSTATED, True),
        ("arxiv:2404.12345", 2, False),
    ]
    document = dataclasses.replace(document, extra=json.dumps({"identifier": "2404.12345", "doi": "10.1234/x"}))
    found = identifiers(document, versions=True)
    assert found[1:] == [("arxiv:2404.12345", 2, False), ("doi:10.1234/x", UNSTATED, False)]
    assert identifiers(document, versions=False) == [("id:" + document.id, UNSTATED, True)]
    assert identifiers(Document("2404.12345v1", "text"), versions=True) == [("arxiv:2404.12345", 1, True)]


@pytest.mark.parametrize("extra", ["{", "[]", '{"identifier": {"a": 1}, "doi": null}'])
def test_what_strangers_wrote_beside_a_document_breaks_nothing(extra: str) -> None:
    assert identifiers(Document("a/b", "text", extra=extra), versions=True) == [("id:a/b", UNSTATED, True)]


def test_text_hash_sees_words_and_signs_but_not_case_and_spaces() -> None:
    assert text_hash("An  \ufb01eld\n\tof $x$") == text_hash("an field of $X$ ")
    assert text_hash("$a+b$") != text_hash("$a-b$")
    assert text_hash("\ud800") == text_hash("\ud800"), "a lone surrogate has a hash too"


def documents(count: int) -> list[Document]:
    texts = [" ".join(f"w{n}x{k}" for k in range(5 + 7 * n)) + (" $x$" if n % 3 == 0 else "") for n in range(count)]
    return [Document(f"id{n}", text) for n, text in enumerate(texts)]


def test_marks_do_not_depend_on_how_the_documents_are_cut_and_survive_a_file(tmp_path: Path) -> None:
    config = DedupConfig()
    all_documents = documents(20)
    whole = mark(all_documents, config, source=3)
    parts = [mark(all_documents[start : start + 6], config, source=3) for start in range(0, 20, 6)]
    parts[1].write(tmp_path / "part.npz")
    parts[1] = Marks.read(tmp_path / "part.npz")
    joined = join(parts)
    for name in Marks.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name), err_msg=name)
        assert getattr(joined, name).dtype == getattr(whole, name).dtype
    assert whole.words[:2].tolist() == [6, 12]
    assert whole.formulas[:4].tolist() == [True, False, False, True]
    assert set(whole.sources.tolist()) == {3}
    assert whole.signatures.shape == (20, 96)


def test_without_a_threshold_there_are_no_signatures() -> None:
    assert mark(documents(3), DedupConfig(near=None)).signatures.shape == (3, 0)
    assert len(mark([], DedupConfig())) == 0
