"""Glossaries."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.glossary import Gloss, glosses_of


def _glosses(text: str) -> list[Gloss]:
    return list(glosses_of(Document(id="d", text=text)))


def test_entries_of_a_glossary_and_lines_of_that_form() -> None:
    text = """# Bridges

**Piers** carry the deck. **Note**: Read this twice.

**span**: the distance between two piers; measured in meters

## Key Terms

**load factor (*L*)**: ratio of the load to the strength

- girder – a long beam that carries others.

- **truss**: (or lattice) a frame of bars

## References

**Smith**: a book about bridges
"""
    found = _glosses(text)
    assert [(gloss.term, gloss.symbol, gloss.aliases, gloss.text) for gloss in found] == [
        ("span", "", (), "the distance between two piers; measured in meters"),
        ("load factor", "L", (), "ratio of the load to the strength"),
        ("girder", "", (), "a long beam that carries others"),
        ("truss", "", ("lattice",), "a frame of bars"),
    ]
    assert found[0].brief == "the distance between two piers"


def test_brackets_are_a_symbol_a_domain_or_another_name() -> None:
    entries = ("head (of a bridge)**: the end", "steel bar (SB)**: a bar of steel", "pin**: (plural: pins) a thin bolt")
    found = _glosses("## Glossary\n\n" + "\n\n".join(f"**{entry} of it" for entry in entries))
    assert [(gloss.term, gloss.symbol, gloss.domain, gloss.aliases) for gloss in found] == [
        ("head", "", "of a bridge", ()),
        ("steel bar", "SB", "", ()),
        ("pin", "", "", ()),
    ]


@pytest.mark.parametrize(
    ("gloss", "head"),
    [
        ("a long, straight beam that carries others", "beam"),
        ("one of a class of bridges with cables", "bridges"),
        ("the study of bridges", "study"),
        ("when a bridge moves in the wind", None),
        ("each load is carried by two piers", None),
        ("placed on two piers", None),
        ("toward the river", None),
    ],
)
def test_head_of_a_gloss(gloss: str, head: str | None) -> None:
    assert _glosses(f"**thing**: {gloss}")[0].head == head


def test_what_a_gloss_gives_away() -> None:
    given, other = _glosses("**girder bridge**: a bridge of girders\n\n**arch**: a curved row of stones")
    assert given.holds_term
    assert not other.holds_term
    assert not _glosses("**bridge**: today, a road over water; in ancient times, any ford")[0].has_one_sense
