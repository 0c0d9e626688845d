"""Overlap of texts: shared word n-grams, for near-duplicates and for questions that leaked into training text.

Texts are compared as words in lower case without punctuation, so that a hyphen or a line break hides nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sagecraft.corpus.minhash import UInt64, shingle_hashes, shingle_sets, word_hashes

#: Words of a near-duplicate shingle: thirteen words in a row do not meet by chance (the usual length since GPT-3).
SHINGLE_WORDS = 13
#: Words that must agree in a row: thirteen would miss most questions, which are shorter.
NGRAM_WORDS = 8
#: One run of eight words is no leak: of 113 such hits of 3,500 questions in two textbooks, 45 were read and none was.
MIN_SHARE = 0.5
#: Different questions that make their common words a turn of phrase.
_PHRASE_QUESTIONS = 3
_WORD = re.compile(r"[^\W_]+")
#: Questions and answers shorter than this say nothing: their words meet anywhere.
_LEAST_WORDS = 5
#: A gap in a statement, with its number where there are several; what stands in several: "(1) 12, (2) warmer".
_GAP = re.compile(r"_{3,}(?: ?\((\d)\))?")
_NUMBERED_PART = re.compile(r"\((\d)\) (.*?)(?=,? \(\d\) |$)")
_QUOTED = re.compile("“([^”]*)”")
_NOWHERE = "gapofaquestion"
_CONTEXT_WORDS = 12

Part = Literal["question", "support"]


def words_of(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return _WORD.findall(text.casefold())


def ngrams(text: str, n: int) -> Iterator[str]:
    """The word n-grams of a text in their order; nothing if it has fewer than n words."""
    words = words_of(text)
    return (" ".join(words[start : start + n]) for start in range(len(words) - n + 1))


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
    """What is looked for: n-grams of `text` but those of `expected`; shorter ones where `core` alone is shorter."""

    item: str
    kind: str
    part: Part
    text: str
    expected: str = ""
    core: str = ""


class Leaks:
    """Looks for text of benchmark items in other texts: in documents, in conversations.

    Looked for are the question with its right option, of every item, and the support sentence of withheld items. The
    support of a taught item is expected in training, and so are words that its question takes from it.

    Args:
        items: rows of a benchmark (`id`, `question`, `A`…, `answer`, `kind`, `support`).
        n: words that must agree in a row; a shorter question must agree whole.
        min_share: of the words of the question, or of the question with its answer, that such runs in one place of a
            text must cover, unless there are thirteen in a row. (PaLM asks for 70 % of the 8-grams, arXiv:2204.02311.)
    """

    def __init__(self, items: Iterable[Mapping[str, Any]], n: int = NGRAM_WORDS, min_share: float = MIN_SHARE) -> None:
        self._probes = _Probes([probe for item in items for probe in _probes(item)], n, min_share)

    def find(self, text: str, name: str = "") -> list[Hit]:
        """What of the items stands in a text, one hit for each part of an item, in the order of the items.

        Args:
            text: where to look.
            name: identifier of the document or conversation, for the hit.
        """
        found = self._probes.find(text)
        return [
            Hit(probe.item, probe.kind, probe.part, name, found[number][0], probe.text, found[number][1])
            for number, probe in enumerate(self._probes.probes)
            if number in found
        ]


def _probes(item: Mapping[str, Any]) -> Iterator[_Probe]:
    identifier, kind = str(item["id"]), str(item.get("kind") or "withheld")
    right = item.get(str(item.get("answer"))) or ""
    support = str(item.get("support") or "")
    expected = support if kind == "taught" else ""
    yield _Probe(identifier, kind, "question", f"{item['question']} {right}".strip(), expected, str(item["question"]))
    if statement := _filled(str(item["question"]), right):
        yield _Probe(identifier, kind, "question", statement, expected, statement)
    if kind != "taught" and support:
        yield _Probe(identifier, kind, "support", support)


def _filled(question: str, right: str) -> str:
    """The statement of a question that leaves gaps in one, as it stands in its document; nothing if there is no gap.

    With a gap no words in a row run over it, and with the question around it the statement is the lesser part: of 1,938 questions
    made of the same documents 18 rested on a sentence that one of 139 items asks, where the file had no support; with the
    statement none did. Without a right option the gaps stay, and what stands on both sides of them is looked for (9 did).
    """
    if not _GAP.search(question):
        return ""
    quoted = next((text for text in _QUOTED.findall(question) if _GAP.search(text)), question)
    parts = dict(_NUMBERED_PART.findall(right)) or {"": right}
    # a word that no text has, where it is not known what stands in the gap
    return _GAP.sub(lambda gap: parts.get(gap[1] or "") or _NOWHERE, quoted)


@dataclass(frozen=True)
class _Wanted:
    """Where evidence of a probe would stand in its own words.

    Attributes:
        core: words of the question that an n-gram of evidence covers.
        all: words of the whole text that one covers.
        span: words of a text within which n-grams belong together.
    """

    core: frozenset[int]
    all: frozenset[int]
    span: int

    def is_found(self, words: set[int], min_share: float) -> bool:
        """Whether so many words are found in one place that chance and common phrases are out of the question."""
        enough = any(part and len(words & part) >= min_share * len(part) for part in (self.core, self.all))
        return enough or _longest_run(words) >= SHINGLE_WORDS


def _longest_run(numbers: set[int]) -> int:
    ends = (number for number in numbers if number + 1 not in numbers)
    longest = 0
    for end in ends:
        start = end
        while start - 1 in numbers:
            start -= 1
        longest = max(longest, end - start + 1)
    return longest


class _Probes:
    """The n-grams of short texts, found in long ones: by their hashes first, word by word only where one is there."""

    def __init__(self, probes: Sequence[_Probe], n: int, min_share: float) -> None:
        self.probes = probes
        self._min_share = min_share
        self._wanted: dict[int, _Wanted] = {}
        #: words of an n-gram → n-gram → (number of a probe, where it stands in its words)
        self._owners: dict[int, dict[str, list[tuple[int, int]]]] = {}
        phrases = _phrases(probes, n)
        for number, probe in enumerate(probes):
            length, starts = _evidence(probe, n, phrases)
            words = words_of(probe.text)
            for start in starts:
                ngram = " ".join(words[start : start + length])
                self._owners.setdefault(length, {}).setdefault(ngram, []).append((number, start))
            covered = frozenset(start + offset for start in starts for offset in range(length))
            num_core = len(words_of(probe.core))
            core = frozenset(position for position in covered if position < num_core)
            if " ".join(words[:num_core]) in phrases:
                covered -= core  # its answer must be there
                core = frozenset[int]()
            large = core if len(core) >= _LEAST_WORDS else frozenset()
            self._wanted[number] = _Wanted(large, covered, len(words) + n)
        self._hashes = {
            length: np.unique(np.concatenate(shingle_sets(sorted(table), length)))
            for length, table in self._owners.items()
        }

    def find(self, text: str) -> dict[int, tuple[int, str]]:
        """Number of a probe → how many n-grams of it stand in one place of the text, and the words around the first."""
        hashes, bounds = word_hashes([text])
        found: dict[int, tuple[int, str]] = {}
        words: list[str] | None = None
        for length in sorted(self._owners, reverse=True):
            shingles, _ = shingle_hashes(hashes, bounds, length)
            table = self._hashes[length]
            # `isin` would sort what is looked for again for every text: 140 ms with 10,000 questions, and this takes 0.4.
            if not (table[np.minimum(np.searchsorted(table, shingles), len(table) - 1)] == shingles).any():
                continue
            words = words_of(text) if words is None else words
            found |= self._in_words(words, length)
        return found

    def _in_words(self, words: list[str], length: int) -> dict[int, tuple[int, str]]:
        places: dict[int, list[tuple[int, int]]] = {}
        table = self._owners[length]
        for at in range(len(words) - length + 1):
            for number, start in table.get(" ".join(words[at : at + length]), ()):
                places.setdefault(number, []).append((at, start))
        found: dict[int, tuple[int, str]] = {}
        for number, hits in places.items():
            wanted = self._wanted[number]
            for group in _together(hits, wanted.span):
                starts = {start for _, start in group}
                covered = {start + offset for start in starts for offset in range(length)}
                if wanted.is_found(covered, self._min_share):
                    first = group[0][0]
                    around = words[max(0, first - _CONTEXT_WORDS) : first + length + _CONTEXT_WORDS]
                    found[number] = (len(starts), " ".join(around))
                    break
        return found


def _phrases(probes: Sequence[_Probe], n: int) -> set[str]:
    """N-grams of several different questions: turns of phrase ("which of the following is the best"), and no evidence."""
    counts: Counter[str] = Counter()
    for text in {" ".join(words_of(probe.core or probe.text)) for probe in probes if probe.part == "question"}:
        counts.update({ngram for length in range(_LEAST_WORDS, n + 1) for ngram in ngrams(text, length)})
    return {ngram for ngram, count in counts.items() if count >= _PHRASE_QUESTIONS}


def _evidence(probe: _Probe, n: int, phrases: set[str]) -> tuple[int, list[int]]:
    """Length of the n-grams that are looked for, and where they stand in the words of the probe."""
    words, num_core = words_of(probe.text), len(words_of(probe.core))
    length = min(n, len(words))
    # A short question agrees whole; one that many ask ("Which statement is true?") only together with its answer.
    if _LEAST_WORDS <= num_core < n and " ".join(words[:num_core]) not in phrases:
        return num_core, [] if " ".join(words[:num_core]) in set(ngrams(probe.expected, num_core)) else [0]
    if length < _LEAST_WORDS:
        return length, []
    expected = set(ngrams(probe.expected, length))
    table = [" ".join(words[start : start + length]) for start in range(len(words) - length + 1)]
    return length, [start for start, ngram in enumerate(table) if ngram not in expected and ngram not in phrases]


def _together(hits: list[tuple[int, int]], span: int) -> Iterator[list[tuple[int, int]]]:
    """Cuts hits, in the order of the text, where more than `span` words lie between two of them."""
    group: list[tuple[int, int]] = []
    for hit in hits:
        if group and hit[0] - group[-1][0] > span:
            yield group
            group = []
        group.append(hit)
    if group:
        yield group


class ShingleIndex:
    """Which texts a shingle occurs in; finds near-duplicates of the texts that were added. 12 bytes a shingle."""

    def __init__(self, n: int = SHINGLE_WORDS) -> None:
        self._n = n
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._added: list[UInt64] = []
        #: all shingles in order, and the number of the text that each is of
        self._shingles: UInt64 = np.empty(0, dtype=np.uint64)
        self._owners: npt.NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def add(self, name: str, text: str) -> None:
        """Adds a text."""
        shingles = shingle_sets([text], self._n)[0]
        self._added.append(shingles)
        self._names.append(name)
        self._sizes.append(len(shingles))

    def _sort(self) -> None:
        if not self._added:
            return
        first = len(self._names) - len(self._added)
        numbers = np.arange(first, len(self._names), dtype=np.int32)
        owners = np.concatenate([self._owners, np.repeat(numbers, self._sizes[first:])])
        shingles = np.concatenate([self._shingles, *self._added])
        self._added = []
        order = np.argsort(shingles, kind="stable")
        self._shingles, self._owners = shingles[order], owners[order]

    def nearest(self, text: str) -> tuple[str, float]:
        """The text that shares most with `text`, and the share.

        The share is that of the smaller of the two sets of shingles, so that an abstract inside a paper counts
        whole, whichever of them was added. ("", 0.0) if nothing is shared.
        """
        self._sort()
        wanted = shingle_sets([text], self._n)[0]
        first = np.searchsorted(self._shingles, wanted, "left")
        last = np.searchsorted(self._shingles, wanted, "right")
        found = first < last
        if not found.any():
            return "", 0.0
        hits = [self._owners[start:end] for start, end in zip(first[found], last[found], strict=True)]
        others, counts = np.unique(np.concatenate(hits), return_counts=True)
        sizes = np.array([self._sizes[other] for other in others])
        shares = counts / np.minimum(len(wanted), sizes)
        best = int(np.argmax(shares))
        return self._names[others[best]], float(shares[best])
