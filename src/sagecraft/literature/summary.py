"""A short account of a whole document in its own sentences: the abstract, the section that sums up, or how it begins."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sagecraft.corpus.sentences import Sentence
from sagecraft.literature.passages import Passage

#: Characters of a summary at most: beside a passage it must leave room in a small model's context.
MAX_CHARS = 1_200
_ABSTRACT = re.compile(
    r"^(?:[\d.]+ *)?(?:abstract|summary of (?:the )?(?:paper|article)|synopsis|overview)[.:]?$", re.IGNORECASE
)
_SUMMARY = re.compile(
    r"^(?:[\d.]+ *)?(?:(?:key (?:concepts|points) and )?summary|key (?:concepts|points)|conclusions?|concluding remarks|"
    r"summary and (?:conclusions?|discussion|outlook)|(?:discussion|results) and conclusions?)[.:]?$",
    re.IGNORECASE,
)


def summary_of(passages: Sequence[Passage]) -> str:
    """Whole sentences of a document that tell what it is about, in order; empty for a document without prose.

    Args:
        passages: all of the document.
    """
    for wanted in (_ABSTRACT, _SUMMARY):
        if found := [passage for passage in passages if wanted.match(passage.section)]:
            return _opening(sentence for passage in found for sentence in passage.sentences)
    # A document of one section is an abstract already; of a longer one, each section's first sentence is a better account
    # than the whole of the first section, which introduces.
    sections: dict[str, list[Sentence]] = {}
    for passage in passages:
        sections.setdefault(passage.section, []).extend(passage.sentences)
    if len(sections) == 1:
        return _opening(sentence for passage in passages for sentence in passage.sentences)
    return _opening(sentences[0] for sentences in sections.values())


def is_summary(section: str) -> bool:
    """Whether a heading says that its section sums up the document."""
    return _SUMMARY.match(section) is not None


def _opening(sentences: Iterable[Sentence]) -> str:
    """As many sentences from the first on as there is room for; at least one."""
    kept: list[str] = []
    length = 0
    for sentence in sentences:
        if kept and length + len(sentence.text) > MAX_CHARS:
            break
        kept.append(sentence.text)
        length += len(sentence.text) + 1
    return " ".join(kept)
