"""Blocks that are prose, and those that are not."""

from __future__ import annotations

import pytest

from sagecraft.corpus.sections import CAPTION, EXERCISE, GLOSSARY, LEAD, PROSE, REFERENCE, Sections
from sagecraft.corpus.sentences import paragraphs, sentences_of


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ("Figure 1. Old bridge. It spans a river. (Photograph of a bridge)", CAPTION),
        ("Figure 2: The same bridge in winter.", CAPTION),
        ("**Table 3. Bridges**", CAPTION),
        ("Photograph of a bridge with people on it.", CAPTION),
        ("Maps of the river. The bridges are " + "red, " * 40 + "and blue.", CAPTION),
        ("Maps of the river show where it bends. " + "Old bridges rust there. " * 20, PROSE),
        ("Figure 1 shows a bridge. It is old.", PROSE),
        ("Tables turn slowly. They squeak.", PROSE),
        ("Image processing of old plates takes a day. It costs much.", PROSE),
        ("**Exercise 4.** How long is the bridge?", EXERCISE),
        ("**Solution.** Ten metres.", EXERCISE),
        ("**girder**: a beam that carries others", GLOSSARY),
        ("**Girders** carry the deck. They are made of steel.", PROSE),
        ("Bridges of the world: https://example.org/bridges. A list with pictures.", REFERENCE),
        ("The *bridge* [of the town](https://example.org) was built in 1901.", PROSE),
        ("* * *", LEAD),
    ],
)
def test_kind_of_a_block(block: str, kind: str) -> None:
    assert Sections().kind_of(block) == kind


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("Review Questions", EXERCISE),
        ("4.2 Problems", EXERCISE),
        ("Key Terms", GLOSSARY),
        ("References", REFERENCE),
        ("Further Reading", REFERENCE),
        ("Problems of Old Bridges", PROSE),
        ("Key Concepts and Summary", PROSE),
    ],
)
def test_sections_lend_their_kind_to_what_stands_in_them(heading: str, kind: str) -> None:
    sections = Sections()
    sections.enter("Bridges", 1)
    sections.enter(heading, 2)
    assert sections.kind_of("Bridges carry roads. They are old.") == kind
    sections.enter("A part", 3)
    assert sections.kind_of("Bridges carry roads. They are old.") == kind
    sections.enter("Arches", 2)
    assert sections.kind_of("Bridges carry roads. They are old.") == PROSE


TEXT = """# Bridges

## Learning Objectives

By the end of this section, you will be able to:

- name the parts of a bridge.

Bridges carry roads over rivers. Most are of steel.

Figure 1. A bridge. It is red. (Drawing of a bridge)

The box at left is labeled “deck”.

## Loads

The deck carries the load.

**Example 1. A load.** Assume a load of 3 tons.

It rests on two piers.

* * *

Piers stand on rock.

**Table 1. Loads by kind**

| kind | load (t) |
| --- | --- |
| car | 1.5 |

Trucks weigh more.

## Exercises

**Exercise 1.** Take a bridge of 10 tons.

## Glossary

**pier**: a support

Exercises of other books are omitted here.
"""


def test_only_prose_is_left_under_headings_of_its_own() -> None:
    assert list(paragraphs(TEXT)) == [
        ("Bridges", "Bridges carry roads over rivers. Most are of steel."),
        ("Loads", "The deck carries the load."),
        ("Loads", "Piers stand on rock."),
        ("Loads", "Trucks weigh more."),
    ]


def test_sentences_know_their_paragraph() -> None:
    assert [(s.position, s.paragraph) for s in sentences_of(TEXT)] == [(0, 0), (1, 0), (2, 1), (3, 2), (4, 3)]
