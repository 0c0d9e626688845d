"""Which capitalised words of a document are names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from sagecraft.literature import english


class Names:
    """Which capitalised words of a document are names and which only begin a sentence."""

    def __init__(self, text: str, known: frozenset[str] = frozenset()) -> None:
        self._text = text
        self._known = known

    def with_names(self, phrases: Iterable[str]) -> Names:
        """The same, knowing that the capitalised words of these phrases are names."""
        return Names(
            self._text, self._known | {word for phrase in phrases for word in re.findall(r"[A-Z][\w'’]*", phrase)}
        )

    @cached_property
    def _common(self) -> Counter[str]:
        return Counter(re.findall(r"(?<![\w.\\-])[a-z][a-z'’-]*(?!\w)", self._text))

    @cached_property
    def _proper(self) -> set[str]:
        """Words that stand with a capital inside sentences more often than without one."""
        inside = Counter(re.findall(r"(?<=[a-z,] )[A-Z][\w'’-]*", self._text))
        proper = {word for word, count in inside.items() if count > self._common[word[0].lower() + word[1:]]}
        return proper | self._known

    def lower_first(self, phrase: str) -> str | None:
        """The phrase as it stands within a sentence; None if it cannot be told whether its first word is a name."""
        first = re.split(r"[ ,]", phrase, maxsplit=1)[0]
        if not first[:1].isupper():
            return phrase
        lowered = first[0].lower() + first[1:]
        is_odd = any(c.isupper() or c.isdigit() for c in first[1:]) or not first.isascii() or len(first) == 1
        following = phrase[len(first) + 1 :].split(" ")[0]
        seen = any(form in self._common for form in (lowered, lowered.removesuffix("s"), f"{lowered}s"))
        is_common = seen and not is_odd and first not in self._proper and not following[:1].isupper()
        if lowered in english.DETERMINERS or is_common:
            return lowered + phrase[len(first) :]
        if is_odd or first in self._proper or following[:1].isupper() or following[:1].isdigit():
            return phrase
        # "Blackbody", "Photons-": a hyphenated compound of common words is no name.
        if "-" in first and first.split("-")[0].lower() in self._common:
            return lowered + phrase[len(first) :]
        return None
