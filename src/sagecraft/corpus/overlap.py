"""Overlap of texts: shared word n-grams, for near-duplicates and for questions that leaked into training text.

Texts are compared as words in lower case without punctuation, so that a hyphen or a line break hides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sagecraft.corpus.documents import Document
from sagecraft.corpus.minhash import shingle_sets

#: Words of a near-duplicate shingle: thirteen words in a row do not meet by chance (the usual length since GPT-3).
SHINGLE_WORDS = 13
_WORD = re.compile(r"[^\W_]+")
#: Questions and answers shorter than this say nothing: their words meet anywhere.
_LEAST_WORDS = 5
_CONTEXT_WORDS = 12

Part = Literal["question", "support"]


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.casefold())


def ngrams(text: str, n: int) -> Iterator[str]:
    """The word n-grams of a text in their order; nothing if it has fewer than n words."""
    words = words_of(text)
    return (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))


def shared_ngrams(texts_a: Iterable[str], texts_b: Iterable[str], n: int = SHINGLE_WORDS) -> set[str]:
    """The word n-grams that occur in both of two collections of texts. Only those of the first are held in memory."""
    held = {ngram for text in texts_a for ngram in ngrams(text, n)}
    return {ngram for text in texts_b for ngram in ngrams(text, n) if ngram in held}


@dataclass(frozen=True)
class Hit:
    """Text of a benchmark item that stands in a training document.

    Attributes:
        item: identifier of the item.
        kind: of the item, `withheld` or `taught`.
        part: what was found, `question` (with its right option) or `support`.
        document: identifier of the document.
        num_ngrams: how many n-grams they share.
        item_text: the part of the item.
        document_text: words of the document around the first of them.
    """

    item: str
    kind: str
    part: Part
    document: str
    num_ngrams: int
    item_text: str
    document_text: str


@dataclass(frozen=True)
class _Probe:
    item: str
    kind: str
    part: Part
    text: str
    expected: str = ""


def leak_report(items: Iterable[Mapping[str, Any]], documents: Iterable[Document], n: int = 8) -> list[Hit]:
    """Items whose text stands in training documents.

    Looked for are the question with its right option, of every item, and the support sentence of withheld items. The
    support of a taught item is expected in training (see `untaught`), and so are words that its question takes from it.

    Args:
        items: rows of a benchmark (`id`, `question`, `A`…, `answer`, `kind`, `support`).
        documents: what is trained on; streamed.
        n: words that must agree in a row; a shorter question must agree whole.

    Returns:
        One hit for each part of an item and each document, in the order of the documents, then of the items.
    """
    probes = [probe for item in items for probe in _probes(item)]
    hits: list[Hit] = []
    for document, found in _search(probes, documents, n):
        for number in sorted(found):
            probe, (count, context) = probes[number], found[number]
            hits.append(Hit(probe.item, probe.kind, probe.part, document.id, count, probe.text, context))
    return hits


def untaught(items: Iterable[Mapping[str, Any]], documents: Iterable[Document], n: int = 8) -> list[str]:
    """Identifiers of taught items whose support sentence stands in no training document."""
    probes = [
        _Probe(str(item["id"]), "taught", "support", str(item.get("support") or ""))
        for item in items
        if item.get("kind") == "taught"
    ]
    found = {number for _, hits in _search(probes, documents, n) for number in hits}
    return [probe.item for number, probe in enumerate(probes) if number not in found]


def _probes(item: Mapping[str, Any]) -> Iterator[_Probe]:
    identifier, kind = str(item["id"]), str(item.get("kind") or "withheld")
    right = item.get(str(item.get("answer"))) or ""
    support = str(item.get("support") or "")
    expected = support if kind == "taught" else ""
    yield _Probe(identifier, kind, "question", f"{item['question']} {right}".strip(), expected)
    if kind != "taught" and support:
        yield _Probe(identifier, kind, "support", support)


def _search(
    probes: Sequence[_Probe], documents: Iterable[Document], n: int
) -> Iterator[tuple[Document, dict[int, tuple[int, str]]]]:
    """For every document that shares n-grams with a probe: number of the probe → (how many, words around the first)."""
    owners: dict[int, dict[str, list[int]]] = {}
    for number, probe in enumerate(probes):
        length = min(n, len(words_of(probe.text)))
        if length >= _LEAST_WORDS:
            for ngram in set(ngrams(probe.text, length)) - set(ngrams(probe.expected, length)):
                owners.setdefault(length, {}).setdefault(ngram, []).append(number)
    for document in documents:
        words = words_of(document.text)
        found: dict[int, tuple[int, str]] = {}
        for length, table in sorted(owners.items(), reverse=True):
            seen: set[str] = set()
            for start in range(len(words) - length + 1):
                ngram = " ".join(words[start : start + length])
                if ngram not in table or ngram in seen:
                    continue
                seen.add(ngram)
                around = words[max(0, start - _CONTEXT_WORDS) : start + length + _CONTEXT_WORDS]
                for number in table[ngram]:
                    count, context = found.get(number, (0, " ".join(around)))
                    found[number] = (count + 1, context)
        if found:
            yield document, found


class ShingleIndex:
    """Which texts a shingle occurs in; finds near-duplicates of the texts that were added. 12 bytes a shingle."""

    def __init__(self, n: int = SHINGLE_WORDS) -> None:
        self._n = n
        self._parts: list[Any] = []
        self._names: list[str] = []
        self._table: tuple[Any, Any] | None = None

    def add(self, name: str, text: str) -> None:
        """Adds a text."""
        self._parts.append(shingle_sets([text], self._n)[0])
        self._names.append(name)
        self._table = None

    def _sorted(self) -> tuple[Any, Any]:
        """All shingles in order, and the number of the text that each is of."""
        if self._table is None:
            shingles = np.concatenate([np.empty(0, dtype=np.uint64), *self._parts])
            owners = np.repeat(np.arange(len(self._parts), dtype=np.int32), [len(part) for part in self._parts])
            order = np.argsort(shingles, kind="stable")
            self._table = shingles[order], owners[order]
        return self._table

    def nearest(self, text: str) -> tuple[str, float]:
        """The text that shares most with `text`, and the share.

        The share is that of the smaller of the two sets of shingles, so that an abstract inside a paper counts
        whole, whichever of them was added. ("", 0.0) if nothing is shared.
        """
        shingles, owners = self._sorted()
        wanted = shingle_sets([text], self._n)[0]
        first, last = np.searchsorted(shingles, wanted, "left"), np.searchsorted(shingles, wanted, "right")
        hits = [owners[start:end] for start, end in zip(first[first < last], last[first < last], strict=True)]
        if not hits:
            return "", 0.0
        counts = np.bincount(np.concatenate(hits), minlength=len(self._names))
        sizes = np.array([len(part) for part in self._parts])
        shares = counts / np.maximum(1, np.minimum(len(wanted), sizes))
        best = int(np.argmax(shares))
        return self._names[best], float(shares[best])
