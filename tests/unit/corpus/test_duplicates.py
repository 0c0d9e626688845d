from __future__ import annotations

import dataclasses
import json
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from sagecraft.corpus import duplicates
from sagecraft.corpus.dedup import DedupConfig
from sagecraft.corpus.documents import Document
from sagecraft.corpus.duplicates import Decisions, decide
from sagecraft.corpus.marks import Marks, as_guests, mark
from sagecraft.corpus.planted import plant

CONFIG = DedupConfig()


def prose(name: str, count: int = 200) -> str:
    return " ".join(f"{name}{n}" for n in range(count))


def copy_of(text: str, low: float, high: float, key: str = "copy") -> str:
    found = plant(text, (low, high), "substitution", prose("donor").split(), 5, (key,))
    assert found is not None
    return found[0]


def decided(
    documents: list[Document], sources: Sequence[int] | None = None, config: DedupConfig = CONFIG
) -> dict[int, tuple[str, int]]:
    numbers = sources or [0] * len(documents)
    parts = [mark([document], config, source) for document, source in zip(documents, numbers, strict=True)]
    decisions = decide(parts, config, None, lambda positions: [documents[p].text for p in positions])
    found = {}
    for position in decisions:
        duplicate = decisions.get(position)
        assert duplicate is not None
        assert duplicate.kept not in decisions, "what stays in the place of a copy is kept itself"
        found[position] = (duplicate.reason, duplicate.kept)
    return found


def test_of_equal_texts_the_first_stays() -> None:
    documents = [Document("a", prose("x")), Document("b", prose("y")), Document("c", prose("X") + "\n")]
    assert decided(documents) == {2: ("duplicate-text", 0)}


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["2404.12345v1", "2404.12345v3", "2404.12345v2"], {0: ("older-version", 1), 2: ("older-version", 1)}),
        (["hep-th/9901001v2", "hep-th/9901001v1"], {1: ("older-version", 0)}),
        (["2404.12345v7", "2404.12345"], {0: ("duplicate-id", 1)}),
        (["a/x", "a/x"], {1: ("duplicate-id", 0)}),
        (["2404.12345", "2404.12346"], {}),
    ],
)
def test_of_one_identifier_the_newest_version_stays(ids: list[str], expected: dict[int, tuple[str, int]]) -> None:
    documents = [Document(name, prose(f"text{n}x")) for n, name in enumerate(ids)]
    assert decided(documents) == expected


def test_versions_can_be_left_alone_but_equal_ids_cannot() -> None:
    documents = [
        Document(name, prose(f"text{n}x")) for n, name in enumerate(["2404.1v1", "2404.12345v1", "2404.12345v2"])
    ]
    documents.append(Document("2404.12345v2", prose("other")))
    assert decided(documents, config=DedupConfig(versions=False)) == {3: ("duplicate-id", 2)}


def test_an_abstract_does_not_stand_for_the_paper_though_it_is_newer_and_first() -> None:
    documents = [
        Document("2404.12345v2", prose("abstract", 60)),
        Document("papers/2404.12345v1/main", prose("paper", 900)),
    ]
    assert decided(documents, [0, 1]) == {0: ("duplicate-id", 1)}


def test_sections_that_state_the_identifier_of_their_paper_stay() -> None:
    stated = json.dumps({"doi": "10.1234/book"})
    documents = [Document(f"book/{n}", prose(f"section{n}x"), extra=stated) for n in range(3)]
    assert decided(documents) == {}
    # Editions that state it, in one source or in two, are copies.
    edition = copy_of(documents[0].text, 0.4, 0.6)
    editions = [documents[0], Document("book/other", edition, extra=stated)]
    assert decided(editions) == {1: ("duplicate-id", 0)}
    other = [documents[0], Document("else", prose("different"), extra=stated)]
    assert decided(other, [0, 1]) == {1: ("duplicate-id", 0)}


def test_identifiers_link_through_a_document_that_states_both() -> None:
    documents = [
        Document("2404.12345", prose("a")),
        Document("x/1", prose("b"), extra=json.dumps({"identifier": "10.1234/y", "eprint": "2404.12345"})),
        Document("10.1234/y", prose("c", 190)),
    ]
    assert decided(documents, [2, 1, 0]) == {0: ("duplicate-id", 2), 1: ("duplicate-id", 2)}


def test_the_source_of_a_paper_stays_and_its_print_goes() -> None:
    source = Document("lit/2208.01234v1", prose("a") + " $x$", format="latex")
    printed = Document("lit/2208.01234", prose("a", 190) + " 10$^{2}$", format="pdf")
    assert decided([printed, source]) == {0: ("duplicate-id", 1)}
    assert decided([source, printed]) == {1: ("duplicate-id", 0)}
    same = dataclasses.replace(printed, id="lit/2208.01234v1")
    assert decided([same, source]) == {0: ("duplicate-id", 1)}


def test_of_one_work_in_two_formats_one_stays() -> None:
    title = "A title that names one work alone"
    paper = prose("paper", 600)
    printed = Document("ms.pdf", copy_of(paper, 0.4, 0.6), title=title, format="pdf")
    source = Document("src/ms", paper + " $x$", title=title.upper() + ".", format="latex")
    assert decided([printed, source]) == {0: ("other-format", 1)}
    assert decided([printed, source], config=DedupConfig(formats=False)) == {}
    assert decided([printed, source], config=DedupConfig(near=None)) == {}
    again = Document("src/v2", paper + " $x$", title=title, format="pdf")
    other = Document("other", prose("other", 600), title=title, format="html")
    untitled = [Document(d.id, d.text, title="Introduction", format=d.format) for d in (printed, source)]
    assert decided([printed, Document("b", source.text, title=title, format="pdf")]) == {}, "one format: two works"
    assert decided([other, source]) == {}, "a title alone says nothing"
    assert decided(untitled) == {}, "a title of one word names no work"
    assert decided([printed, source, again]) == {0: ("other-format", 1), 2: ("duplicate-text", 1)}


def test_near_duplicates_are_dropped_and_the_threshold_is_exact() -> None:
    base = prose("base", 300)
    documents = [Document("base", base)]
    inside = [copy_of(base, 0.751, 0.80, f"in{n}") for n in range(15)]
    outside = [copy_of(base, 0.70, 0.749, f"out{n}") for n in range(15)]
    documents += [Document(f"c{n}", text) for n, text in enumerate(inside + outside)]
    found = decided(documents, [0] + [1] * 30, DedupConfig(near=0.75, num_hashes=512, rows=4))
    assert {position for position, (_, kept) in found.items() if kept == 0} == set(range(1, 16))
    assert all(reason == "near-duplicate" for reason, _ in found.values())


def test_without_texts_the_estimate_decides() -> None:
    base = prose("base", 300)
    documents = [Document("a", base), Document("b", copy_of(base, 0.9, 0.95)), Document("c", copy_of(base, 0.4, 0.5))]
    decisions = decide([mark(documents, CONFIG)], CONFIG)
    assert list(decisions) == [1]
    duplicate = decisions.get(1)
    assert duplicate is not None
    assert duplicate.detail.startswith("Jaccard 0.9")
    assert decisions.get(0) is None


def test_nothing_goes_for_a_document_that_goes_itself() -> None:
    """A resembles B and B resembles C, but A does not resemble C: connected components would keep A alone."""
    words = prose("base", 400).split()
    texts = [" ".join(words[start : start + 300]) for start in (0, 35, 70)]
    documents = [Document(name, text) for name, text in zip("abc", texts, strict=True)]
    assert decided(documents) == {1: ("near-duplicate", 0)}


def test_which_copy_stays() -> None:
    base = prose("base", 300)
    copies = [base + " end", base + " $x$", base + " more words", base + " $y$ longer"]
    documents = [Document(f"d{n}", text) for n, text in enumerate(copies)]

    def kept(sources: list[int]) -> int:
        (only,) = {0, 1, 2, 3} - set(decided(documents, sources))
        return only

    assert kept([0, 0, 0, 0]) == 3, "with mathematics before without, then the longer"
    assert kept([0, 1, 0, 2]) == 1, "the earlier source before the longer text"
    assert {0, 2} - set(decided([documents[0], documents[0], documents[2]], [1, 1, 0])) == {2}


def test_what_somebody_withheld_stays_so_that_its_copy_is_not_trained_on() -> None:
    base = prose("base", 300)
    free, held = Document("2404.12345v2", base + " $x$ longer"), Document("2404.12345v1", base, withheld=True)
    assert decided([free, held]) == {0: ("duplicate-id", 1)}
    assert decided([dataclasses.replace(free, id="a"), dataclasses.replace(held, id="b")], [0, 1]) == {
        0: ("near-duplicate", 1)
    }
    assert decided([Document("a", base), dataclasses.replace(held, id="b")]) == {0: ("duplicate-text", 1)}
    assert decided([free, dataclasses.replace(held, withheld=False)]) == {1: ("older-version", 0)}


def test_a_copy_of_a_copy_names_what_stays() -> None:
    base = prose("base", 300)
    nearly = base + " end"
    documents = [Document("a", nearly), Document("b", nearly + "\n"), Document("c", base + " and two more")]
    decisions = decide([mark(documents, CONFIG)], CONFIG)
    duplicate = decisions.get(1)
    assert duplicate is not None
    assert (duplicate.reason, duplicate.twin, duplicate.kept) == ("duplicate-text", 0, 2)
    assert decisions.named().tolist() == [0, 2]


def test_the_decision_does_not_depend_on_parts_nor_on_where_signatures_are_kept(tmp_path: Path) -> None:
    documents = [Document(f"d{n}", prose(f"t{n % 9}x", 150) + f" tail{n % 18}") for n in range(40)]

    def outcome(size: int, scratch: Path | None) -> list[object]:
        parts = (mark(documents[start : start + size], CONFIG) for start in range(0, 40, size))
        decisions = decide(parts, CONFIG, scratch)
        return [decisions.get(position) for position in range(40)]

    expected = outcome(40, None)
    assert sum(entry is not None for entry in expected) == 31
    assert outcome(1, None) == outcome(7, tmp_path) == expected
    assert decide([], CONFIG, tmp_path).named().tolist() == []


def test_signatures_in_files_do_not_stay_in_memory(tmp_path: Path) -> None:
    """A view of a part would keep 192 bytes a document alive until all are read: 1.9 GB for ten million."""
    signatures: list[weakref.ref[object]] = []

    def parts() -> Iterator[Marks]:
        for number in range(4):
            part = mark([Document(f"d{number}/{n}", prose(f"t{number}x{n}x")) for n in range(3)], CONFIG)
            signatures.append(weakref.ref(part.signatures))
            yield part
            del part
            assert sum(reference() is not None for reference in signatures) <= 1

    decide(parts(), CONFIG, tmp_path)
    assert len(signatures) == 4


def test_boilerplate_leaves_one_document_of_each_kind_in_less_than_quadratic_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred pages of one form, each of its own words at the end: all meet all others in most bands."""
    looked_at = []
    agreement = duplicates._Table.agreement
    monkeypatch.setattr(
        duplicates._Table, "agreement", lambda self, a, b: looked_at.append(len(a)) or agreement(self, a, b)
    )
    documents = [Document(f"d{n}", prose("form", 300) + f" number{n}") for n in range(300)]
    assert decided(documents) == dict.fromkeys(range(1, 300), ("near-duplicate", 0))
    assert sum(looked_at) < 300 * 299 / 2


def test_what_is_left_of_a_large_group_is_looked_at_again() -> None:
    """In a group of 23 the documents x and y are neither near each other nor to the best; between them stand 11 copies."""
    config = DedupConfig(near=0.7, num_hashes=8, rows=4)
    copies = [f"copy{n}" for n in range(20)]
    names = ["a", *copies[:9], "x", *copies[9:], "y"]
    marks = mark([Document(name, prose(name, 100 - place)) for place, name in enumerate(names)], config)
    # All agree in the first band. In the second the copies agree with a, and y with x, in three of four hashes.
    second = {"a": [1, 1, 1, 1], "x": [2, 2, 2, 2], "y": [2, 2, 2, 3]}
    rows = [[7, 7, 7, 7, *second.get(name, [1, 1, 1, 10 + place])] for place, name in enumerate(names)]
    decisions = decide([dataclasses.replace(marks, signatures=np.array(rows, dtype=np.uint16))], config)
    assert {name for place, name in enumerate(names) if place not in decisions} == {"a", "x"}
    assert decisions.twins[names.index("y")] == names.index("x")


def test_guests_never_displace_a_document() -> None:
    base = prose("base", 300)
    hosts, guests = [Document("a", base)], [Document("g", base + " $x$ longer", withheld=True)]
    decisions = decide([mark(hosts, CONFIG), as_guests(mark(guests, CONFIG))], CONFIG)
    assert list(decisions) == [1]
    assert len(decisions.of_first(1)) == 0


def test_decisions_are_a_mapping() -> None:
    decisions = Decisions(3)
    assert (len(decisions), list(decisions), 1 in decisions) == (0, [], False)
