"""Summaries of documents in their own sentences."""

from __future__ import annotations

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.reading import Reading
from sagecraft.literature.summary import MAX_CHARS


def _summary(text: str) -> str:
    return Reading(Document(id="d", text=text, title="Bridges"), 0).summary


BODY = "# Bridges\n\nBridges carry roads. They are old.\n\n## Steel\n\nSteel rusts. Paint helps.\n\n"


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        (BODY + "## Key Concepts and Summary\n\nSteel is strong. It rusts.", "Steel is strong. It rusts."),
        ("# Bridges\n\n## Abstract\n\nAll of it.\n\n## 5. Conclusions\n\nThe end of it.", "All of it."),
        (BODY + "## 5. Conclusions\n\nThe end of it.", "The end of it."),
        (BODY, "Bridges carry roads. Steel rusts."),
        ("# Bridges\n\nBridges carry roads. They are old.", "Bridges carry roads. They are old."),
        ("# Bridges\n\n| a | b |\n| --- | --- |\n| c | d |", ""),
    ],
)
def test_summary(text: str, summary: str) -> None:
    assert _summary(text) == summary


def test_a_summary_is_whole_sentences_within_its_bound() -> None:
    sentence = "A sentence that says something plain. "
    assert _summary("# Bridges\n\n" + sentence * 200) == (sentence * (MAX_CHARS // len(sentence))).strip()
