"""The audit of a corpus: what went in and what was kept aside, counted while it passes by.

Counts only, so memory does not grow with the corpus but with the number of its sources, categories and years.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from sagecraft.corpus.documents import Document, Dropped
from sagecraft.corpus.facts import Facts
from sagecraft.corpus.licenses import is_arxiv_default, may_republish

#: Characters of a token: what small English byte-pair vocabularies make of papers, about. The audit says so beside it.
CHARS_PER_TOKEN = 4.3
#: Groups of each kind that the manifest holds.
_STATED_GROUPS = 200
_SAMPLES_PER_REASON = 5
_SAMPLE_CHARS = 500
#: Bins of lengths: five a decade, evenly on a logarithmic scale and in round numbers. Of 10 to 99 words they start here.
_BIN_STARTS = (10, 16, 25, 40, 63)
NONE_STATED = "none stated"
#: What may be done with a licence, in the order in which it is shown.
FREE, LIMITED, TRAIN_ONLY, SILENT = (
    "may be republished",
    "other licence: read it before you republish",
    "arXiv's own: to train on if you may, never to be republished",
    "states no licence",
)
_GROUPS = ("source", "category", "year", "language", "format", "license", "use")


class Group:
    """Documents of one kind.

    Attributes:
        documents: how many.
        words: their words.
    """

    __slots__ = ("documents", "words")

    def __init__(self) -> None:
        self.documents = self.words = 0


class Audit:
    """Counts what passes by.

    Attributes:
        groups: kind (`source`, `category`, …) → name → its documents and words. A document of several categories counts
            in each of them.
        lengths: bin (`length_bin`) → its documents and words.
        counts: format → what its reader counted.
        reasons: reason → documents that were kept aside.
        samples: reason → the first of them.
        checked: figures of the duplicates that were planted, if that was asked for.
    """

    def __init__(self, checked: dict[str, Any] | None = None) -> None:
        self.checked = checked or {}
        self.num_documents = self.num_words = self.num_chars = 0
        self.num_display = self.num_inline = self.num_commands = 0
        self.groups: dict[str, dict[str, Group]] = {kind: {} for kind in _GROUPS}
        self.lengths: dict[int, Group] = {}
        self.counts: dict[str, Counter[str]] = {}
        self.health: Counter[str] = Counter()
        self.withheld: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.samples: dict[str, list[Dropped]] = {}

    def keep(self, document: Document, facts: Facts, source: str) -> None:
        """Counts a document that was kept; `source` is the label of the one that it came from."""
        self.num_documents += 1
        self.num_words += facts.num_words
        self.num_chars += facts.num_chars
        self.num_display += facts.num_display
        self.num_inline += facts.num_inline
        self.num_commands += facts.num_commands
        names = {
            "source": [source],
            "category": list(dict.fromkeys(document.categories)) or [NONE_STATED],
            "year": [str(document.year) if document.year else NONE_STATED],
            "language": [facts.language],
            "format": [document.format],
            "license": [document.license],
            "use": [use_of(document.license)],
        }
        for kind, values in names.items():
            for value in values:
                _count(self.groups[kind], value, facts.num_words)
        _count(self.lengths, length_bin(facts.num_words), facts.num_words)
        if facts.counts:
            self.counts.setdefault(document.format, Counter()).update(facts.counts)
        self.health["no_title"] += not document.title.strip()
        self.health["no_year"] += document.year is None
        self.health["no_authors"] += not document.authors
        self.health["no_categories"] += not document.categories
        self.health["with_commands"] += facts.num_commands > 0
        self.withheld[{True: "withheld", False: "training", None: "undecided"}[document.withheld]] += 1

    def drop(self, dropped: Dropped) -> None:
        """Counts what was kept aside; the first of each reason are samples for the page."""
        self.reasons[dropped.reason] += 1
        samples = self.samples.setdefault(dropped.reason, [])
        if len(samples) < _SAMPLES_PER_REASON:
            text = dropped.text[:_SAMPLE_CHARS]
            samples.append(Dropped(dropped.id, dropped.source, dropped.reason, dropped.detail, text))

    @property
    def num_tokens(self) -> int:
        """Estimated from the characters (`CHARS_PER_TOKEN`)."""
        return round(self.num_chars / CHARS_PER_TOKEN)

    @property
    def totals(self) -> Counter[str]:
        """What the readers of all formats counted."""
        return sum(self.counts.values(), Counter())

    def share_of_words(self, kind: str, name: str) -> float:
        """Share of all words that a group has."""
        group = self.groups[kind].get(name)
        return group.words / max(self.num_words, 1) if group else 0.0

    def largest(self, kind: str) -> list[str]:
        """Names of the groups of a kind, those with most words first; without those that state nothing."""
        groups = self.groups[kind]
        return sorted((name for name in groups if name != NONE_STATED), key=lambda name: (-groups[name].words, name))

    def years(self) -> list[int]:
        """Years that documents state, ascending."""
        return sorted(int(name) for name in self.groups["year"] if name != NONE_STATED)

    def stats(self) -> dict[str, Any]:
        """The figures of the manifest."""
        plural = {"source": "sources", "category": "categories", "year": "years", "language": "languages"}
        return {
            "num_documents": self.num_documents,
            "num_words": self.num_words,
            "num_chars": self.num_chars,
            "num_tokens_estimated": self.num_tokens,
            "num_equations_display": self.num_display,
            "num_equations_inline": self.num_inline,
            "num_commands_left": self.num_commands,
            "formats": {name: group.documents for name, group in sorted(self.groups["format"].items())},
            "licenses": {name: group.documents for name, group in sorted(self.groups["license"].items())},
            **{name: self._stated(kind) for kind, name in plural.items()},
            "uses": self._stated("use"),
            "lengths": {
                f"{bin_start(number)}": group.documents for number, group in sorted(self.lengths.items())
            },
            "health": dict(sorted(self.health.items())),
            "reader_counts": {name: dict(sorted(counts.items())) for name, counts in sorted(self.counts.items())},
            "withheld": dict(sorted(self.withheld.items())),
            "num_dropped": self.reasons.total(),
            "dropped": dict(sorted(self.reasons.items())),
            **self.checked,
        }  # fmt: skip

    def _stated(self, kind: str) -> dict[str, dict[str, int]]:
        groups = self.groups[kind]
        order = sorted(groups, key=lambda name: (-groups[name].words, name))[:_STATED_GROUPS]
        return {name: {"documents": groups[name].documents, "words": groups[name].words} for name in sorted(order)}


def _count(groups: dict[Any, Group], name: Any, words: int) -> None:
    group = groups.get(name)
    if group is None:
        group = groups[name] = Group()
    group.documents += 1
    group.words += words


def use_of(license_name: str) -> str:
    """What may be done with a text of this licence."""
    if may_republish(license_name):
        return FREE
    if is_arxiv_default(license_name):
        return TRAIN_ONLY
    return SILENT if license_name == "unknown" else LIMITED


def length_bin(num_words: int) -> int:
    """The bin of a length, five a decade: 0 for one word, 5 for ten."""
    number = len(_BIN_STARTS) * (len(str(max(num_words, 1))) - 1)
    while bin_start(number + 1) <= num_words:
        number += 1
    return number


def bin_start(number: int) -> int:
    """The least number of words of a bin."""
    decade, step = divmod(number, len(_BIN_STARTS))
    return -(-_BIN_STARTS[step] * int(10**decade) // 10)  # rounded up
