"""Near-equal questions."""

from __future__ import annotations

import re
from collections import defaultdict

_WORD = re.compile(r"\w+")
_NOISE = frozenset(
    [
        "what",
        "which",
        "who",
        "when",
        "where",
        "why",
        "how",
        "is",
        "are",
        "was",
        "were",
        "does",
        "do",
        "did",
        "the",
        "a",
        "an",
        "of",
        "in",
        "on",
        "to",
        "by",
        "for",
        "and",
        "or",
    ]
)
#: Questions that share this part of their content words are one question.
MAX_OVERLAP = 0.8


class QuestionIndex:
    """Knows the questions that were kept; asks only those that share a rare word, so a million fit."""

    def __init__(self) -> None:
        self._sets: list[frozenset[str]] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)

    def add(self, question: str) -> bool:
        """Adds a question; False (and nothing added) if one like it is there.

        The first word of a question counts: "When was X found?" and "Who found X?" are two questions.
        """
        parts = [word.lower() for word in _WORD.findall(question)]
        content = frozenset([parts[0], *(word for word in parts if word not in _NOISE)]) if parts else frozenset()
        # Two sets that overlap by 0.8 share all but a few words: any one of the rarest words is enough to meet.
        rarest = sorted(content, key=lambda word: (len(self._by_word.get(word, ())), word))
        seen = {number for word in rarest[: max(1, len(content) // 3 + 1)] for number in self._by_word.get(word, ())}
        if any(self._overlap(content, self._sets[number]) >= MAX_OVERLAP for number in seen):
            return False
        for word in content:
            self._by_word[word].append(len(self._sets))
        self._sets.append(content)
        return True

    @staticmethod
    def _overlap(one: frozenset[str], two: frozenset[str]) -> float:
        return len(one & two) / max(1, len(one | two))
