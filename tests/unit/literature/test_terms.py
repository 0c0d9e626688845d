"""Terms that the prose introduces."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Long beams carry it. They are called **girders**.", [("girders", 1, True)]),
        ("A support in water, known as a **pier**, needs rock.", [("pier", 0, True)]),
        ("A **truss** is a frame of bars. The **truss** is light.", [("truss", 0, False)]),
        ("It rests on an **abutment**—the end of a bridge.", [("abutment", 0, False)]),
        # Stressed, not explained; in a caption.
        ("The **Old Bridge** was built by **Smith** in 1901.", []),
        ("It is **not** a beam. Oak is a wood called oak.", []),
        ("Figure 1. A beam called a **girder**. It is red.", []),
    ],
)
def test_terms(text: str, terms: list[tuple[str, int, bool]]) -> None:
    reading = Reading(Document(id="d", text=f"# Bridges\n\n{text}", title="Bridges"), 0)
    assert [(term.text, term.position, term.is_called) for term in reading.terms] == terms
