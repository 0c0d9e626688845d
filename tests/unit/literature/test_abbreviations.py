"""Abbreviations that a text spells out."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading


def _found(text: str) -> list[tuple[str, str]]:
    reading = Reading(Document(id="d", text=f"# Bridges\n\n{text}", title="Bridges"), 0)
    return [(found.short, found.long) for found in reading.abbreviations]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("They built a steel arch bridge (SAB) there.", [("SAB", "steel arch bridge")]),
        ("Most long-span bridges (LSBs) are of steel.", [("LSB", "long-span bridges")]),
        ("It meets the Code of Practice (CoP) of the town.", [("CoP", "Code of Practice")]),
        ("The SAB (steel arch bridge) is old.", [("SAB", "steel arch bridge")]),
        ("The Office of Roads and Bridges’ (ORB) seal is red.", [("ORB", "Office of Roads and Bridges")]),
        ("A limit load (LL) is set; the limit loads (LL) differ.", [("LL", "limit load")]),
        # Letters that do not agree, two meanings, formulas, single letters.
        ("They built a steel arch bridge (SB) there.", []),
        ("A limit load (LL) is set. A live load (LL) moves.", []),
        ("The sum of all loads (A) is small.", []),
        ("The quantity $a (AB)$ is small.", []),
    ],
)
def test_abbreviations(text: str, found: list[tuple[str, str]]) -> None:
    assert _found(text) == found
