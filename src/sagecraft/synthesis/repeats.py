"""Near-equal questions: found by MinHash, told apart by their words.

A question is held as the hashes of its words and a few keys, about 300 bytes, and never as text.

Source: banding as in J. Leskovec, A. Rajaraman, J. Ullman, "Mining of Massive Datasets", section 3.4.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.minhash import UInt64, band_keys, shingle_hashes, signatures, word_hashes

#: Questions that share this part of their content words are one question, unless a name or a number tells them apart.
MAX_OVERLAP = 0.8
#: 16 bands of 4 hashes: two questions that share 0.8 of their words meet in a band with a chance of 0.9998.
_BANDS, _ROWS = 16, 4
#: Of more questions in one band, each is compared with so many before it.
_MAX_COMPARED = 64
_BATCH = 4096
_WORD = re.compile(r"[^\W_]+(?:[’'-][^\W_]+)*")
_QUOTED = re.compile("“[^”]*”")
#: Words that only frame a question.
_NOISE = frozenset(
    [
        "what",
        "which",
        "who",
        "whose",
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
        "with",
        "from",
        "that",
        "can",
        "be",
        "been",
        "has",
        "have",
        "had",
        "it",
        "its",
        "there",
        "about",
        "at",
        "as",
        "context",
        "subject",
        "concerning",
        "according",
        "comes",
        "said",
        "say",
        "tell",
        "told",
        "me",
        "give",
        "given",
        "gives",
        "listed",
        "known",
        "know",
        "worth",
        "knowing",
        "mean",
        "means",
        "meant",
        "article",
        "authors",
    ]
)
_ASKING = re.compile(r"\b(?:what|which|who|whose|when|where|why|how)\b", re.IGNORECASE)


def essence(question: str, title: str) -> tuple[list[str], list[str], bool]:
    """What tells a question from others.

    Args:
        question: as it is asked.
        title: of its document. Where the question names it, it counts as the scope and not as words: two questions about
            one article would share most of their words with it.

    Returns:
        content words in small letters (the asking word first: "When was X found?" and "Who found X?" are two questions),
        names and numbers among them, and whether the title was named.
    """
    wanted = [word.casefold() for word in _WORD.findall(title)]
    parts = [part for part in _QUOTED.findall(question) if [w.casefold() for w in _WORD.findall(part)] == wanted]
    bare = question
    for part in parts:
        bare = bare.replace(part, " ")
    asking = _ASKING.search(bare)
    found = list(_WORD.finditer(bare))
    content: list[str] = [asking.group(0).casefold() if asking else ""]
    names: list[str] = []
    for number, match in enumerate(found):
        word = match.group(0)
        if word.casefold() in _NOISE:
            continue
        content.append(word.casefold())
        # The first word of a sentence has a capital anyway.
        is_first = number == 0 or bare[: match.start()].rstrip(" “(").endswith((".", "?", ":"))
        if any(c.isdigit() for c in word) or (not is_first and word[0].isupper()):
            names.append(word.casefold())
    return content, names, bool(parts)


class Questions:
    """Questions, and which of them repeat another."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._scopes: list[int] = []
        self._order = array("Q")
        self._bands: list[UInt64] = []
        self._names: list[UInt64] = []
        self._words = array("Q")
        self._bounds = array("Q", [0])

    def __len__(self) -> int:
        return len(self._order)

    def add(self, question: str, key: str | None, title: str, document: str, scope: str, order: int) -> None:
        """Adds a question.

        Args:
            question: as it is asked.
            key: what decides its answer. Questions about one document with different keys are two: a table's cells.
            title: of its document.
            document: identifier of the document.
            scope: questions are compared within it; `""` of those that name nothing but their subject.
            order: of several near-equal ones the one with the least is kept; unique.
        """
        words, names, is_named = essence(question, title)
        distinct = sorted(set(words))
        is_name = set(names)
        if is_named and key:
            distinct.append(f"key {key.casefold()}")
            is_name.add(distinct[-1])
        hashes = [keyed_hash("question", word) & ~1 | (word in is_name) for word in distinct]
        self._words.extend(sorted(hashes))
        self._bounds.append(len(self._words))
        self._texts.append(" ".join(sorted(set(words))))
        self._scopes.append(keyed_hash("scope", document if is_named else scope))
        self._order.append(order)
        if len(self._texts) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        if not self._texts:
            return
        made = signatures(*shingle_hashes(*word_hashes(self._texts), 1), _BANDS * _ROWS, seed=0)
        scopes = np.array(self._scopes, dtype=np.uint64)
        keys = [band_keys(made[:, band * _ROWS : (band + 1) * _ROWS]) ^ scopes for band in range(_BANDS)]
        self._bands.append(np.stack(keys, axis=1))
        self._texts, self._scopes = [], []

    def repeats(self) -> npt.NDArray[np.bool_]:
        """Which questions are near-equal to one that is kept, (n,) in the order they were added."""
        self._flush()
        repeated = np.zeros(len(self), dtype=np.bool_)
        if not len(self):
            return repeated
        bands = np.concatenate(self._bands)
        # Equal in all bands is equal: taken out at once, so that a thousand times the same is not compared in pairs.
        order = np.lexsort((np.frombuffer(self._order, dtype=np.uint64), *bands.T))
        same = (bands[order[1:]] == bands[order[:-1]]).all(axis=1)
        equal = [
            int(two) for one, two, alike in zip(order, order[1:], same, strict=False) if alike and self._near(one, two)
        ]
        repeated[equal] = True
        rivals: dict[int, set[int]] = {}
        for band in range(_BANDS):
            for one, two in self._meeting(bands[:, band], repeated):
                if self._near(one, two):
                    rivals.setdefault(two, set()).add(one)
        for two in sorted(rivals, key=lambda number: self._order[number]):
            repeated[two] = any(not repeated[one] for one in rivals[two])
        return repeated

    def order(self) -> npt.NDArray[np.int64]:
        """The numbers of the questions in their order."""
        return np.argsort(np.frombuffer(self._order, dtype=np.uint64), kind="stable")

    def _meeting(self, keys: UInt64, taken: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Pairs of questions that share a key, the one to keep first."""
        order = np.lexsort((np.frombuffer(self._order, dtype=np.uint64), keys))
        order = order[~taken[order]]
        edges = np.flatnonzero(np.diff(keys[order])) + 1
        for group in np.split(order, edges):
            for at in range(1, len(group)):
                for one in group[max(0, at - _MAX_COMPARED) : at]:
                    yield int(one), int(group[at])

    def _near(self, one: int, two: int) -> bool:
        first, second = (self._words[self._bounds[n] : self._bounds[n + 1]] for n in (one, two))
        mine, others = {word | 1 for word in first}, {word | 1 for word in second}
        differing = mine ^ others
        if any(word & 1 and word in differing for word in (*first, *second)):
            return False
        return len(mine & others) >= MAX_OVERLAP * len(mine | others)
