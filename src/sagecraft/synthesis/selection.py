"""Which of all questions are taken: no repeats, no kind above its share, no more than were asked for.

Decided from a few hundred bytes a question; the questions themselves stay in their files.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sagecraft.artifact import keyed_hash
from sagecraft.synthesis.repeats import Questions, essence

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig

KEPT, REPEAT, TOO_MANY_OF_KIND, TOO_MANY, REFUSED, SAME_FACT = range(6)  # as `Selection.fate` tells them

#: Kinds whose focus names the thing that is asked about; that of others is the article ("what its authors find").
_OF_THINGS = frozenset({"definition", "term", "number", "event", "person", "place", "superlative", "equation"})


@dataclass(frozen=True)
class Selection:
    """What becomes of each question.

    Attributes:
        fates: (n,) `KEPT` or why not, in the order of the questions.
        kinds: names of the kinds.
        kind_of: (n,) number of each question's kind.
        refused: number of a question → why a grader would not have it.
    """

    fates: npt.NDArray[np.uint8]
    kinds: list[str]
    kind_of: npt.NDArray[np.uint8]
    refused: Mapping[int, str]

    @property
    def num_kept(self) -> int:
        """Questions that are kept."""
        return int((self.fates == KEPT).sum())

    def fate(self, number: int) -> tuple[str, str] | None:
        """The step that drops a question and its reason, or None if it is kept."""
        match int(self.fates[number]):
            case 0:
                return None
            case 1:
                return "repeat", "near-duplicate"
            case 2:
                return "share", f"enough-of-{self.kinds[self.kind_of[number]]}"
            case 3:
                return "share", "enough"
            case 5:
                return "repeat", "same-fact"
            case _:
                return "model", self.refused[number]


@dataclass(frozen=True)
class Index:
    """What is known of each question when it is decided.

    Attributes:
        questions: the questions, by their keys.
        kinds: names of the kinds.
        kind_of: (n,) number of each question's kind.
        repeats: (n,) whether it is near-equal to one that is kept.
        facts: (n,) what it asks and what answers it, as a hash; 0 where another article would be another fact.
    """

    questions: Questions
    kinds: list[str]
    kind_of: npt.NDArray[np.uint8]
    repeats: npt.NDArray[np.bool_]
    facts: npt.NDArray[np.uint64]


def index_of(config: SynthConfig, pairs: Iterable[Mapping[str, Any]]) -> Index:
    """Reads all questions.

    Args:
        config: of the stage.
        pairs: rows of `Pair.as_row`; only one is held at a time. Their order decides nothing.
    """
    questions = Questions()
    kinds: list[str] = []
    kind_of = bytearray()
    facts = array("Q")
    for row in pairs:
        candidate = row["candidate"]
        order = keyed_hash(config.seed, "select", row["id"])
        questions.add(candidate["question"], candidate["key"], row["title"], row["document"], candidate["scope"], order)
        if candidate["kind"] not in kinds:
            kinds.append(candidate["kind"])
        kind_of.append(kinds.index(candidate["kind"]))
        facts.append(_fact(candidate, row["title"]))
    return Index(
        questions,
        kinds,
        np.frombuffer(bytes(kind_of), dtype=np.uint8),
        questions.repeats(),
        np.frombuffer(facts.tobytes(), dtype=np.uint64),
    )


def _fact(candidate: Mapping[str, Any], title: str) -> int:
    """A hash of what is asked for and of what answers it, without the title; 0 where the title is what is asked about.

    Forty articles that write out one abbreviation teach one fact forty times, each time under another title.
    """
    if candidate["kind"] not in _OF_THINGS or not candidate["key"]:
        return 0
    words, _, _ = essence(candidate["focus"], title)
    return keyed_hash("fact", candidate["rule"], *sorted(set(words)), candidate["key"].casefold())


def select(config: SynthConfig, index: Index, refused: Mapping[int, str] = MappingProxyType({})) -> Selection:
    """Decides over all questions.

    Args:
        config: of the stage.
        index: what is known of them.
        refused: number of a question → why a grader would not have it.
    """
    kinds, kind_of = index.kinds, index.kind_of
    fates = np.where(index.repeats, REPEAT, KEPT).astype(np.uint8)
    fates[list(refused)] = REFUSED
    order = index.questions.order()
    left = order[fates[order] == KEPT]
    known = left[index.facts[left] != 0]
    is_first = np.zeros(len(known), dtype=np.bool_)
    is_first[np.unique(index.facts[known], return_index=True)[1]] = True
    fates[known[~is_first]] = SAME_FACT
    left = left[fates[left] == KEPT]
    counts = Counter(kinds[number] for number in kind_of[left])
    total, caps = share_out(config, counts)
    for number, kind in enumerate(kinds):
        fates[left[kind_of[left] == number][caps.get(kind, 0) :]] = TOO_MANY_OF_KIND
    fates[left[fates[left] == KEPT][total:]] = TOO_MANY
    return Selection(fates, kinds, kind_of, refused)


def share_out(config: SynthConfig, counts: Mapping[str, int]) -> tuple[int, dict[str, int]]:
    """How many questions there can be, and how many of each kind.

    Args:
        config: `max_pairs`, `shares`, `max_kind_share`.
        counts: how many there are of each kind.

    Returns:
        the largest total in which no kind has more than its share, and each kind's part in it. Where there are so few kinds
        that `max_kind_share` of each would not make a whole, they may have equal shares.
    """
    given = {kind: share for kind, share in config.shares.items() if counts.get(kind)}
    others = [kind for kind, count in counts.items() if count and kind not in given]
    equal = (1 - sum(given.values())) / len(others) if others else 0.0
    shares: dict[str, float] = dict.fromkeys(others, max(config.max_kind_share, equal)) | given
    total = sum(counts.values())
    total = min(total, config.max_pairs or total)
    while True:
        # Each round takes away what was too much; what is left of a kind then is more than its share of less.
        caps = {kind: min(counts[kind], _part(share, total)) for kind, share in shares.items()}
        possible = min(total, sum(caps.values()))
        if possible == total:
            return total, caps
        total = possible


def _part(share: float, total: int) -> int:
    """Questions of a share; of a handful of questions, one of a kind is not too many."""
    return max(int(share * total + 1e-9), 1 if share else 0)
