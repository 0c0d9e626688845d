"""Which study reports it: a finding of an article, told without its authors, and the titles of four articles of its subject.

A title that repeats the words of the finding would tell; so of the four the right one takes each rank in the words that it
shares with the question, and findings that no other title comes near are not asked about.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.statements import is_article, why_not
from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import Sentence, mask_math
from sagecraft.literature.passages import Passage
from sagecraft.literature.reading import Reading

#: Shorter findings could be of many articles.
_MIN_WORDS = 12
#: The first sentences of an article tell what was known before.
_NUM_OPENING = 2
_YEARS_APART = 2
_MAX_RATIO = 2.0
#: Titles that share so many of their words may be parts of one work.
_MAX_SHARED = 0.4
_STEM_CHARS = 5
_MAX_TITLES = 20_000
_FINDING = re.compile(
    r"^(?:(?:However|Moreover|Furthermore|In addition|Additionally|Finally|Overall|Notably|Interestingly|In particular|Here|In this \w+),? )?"
    r"(?:[Ww]e (?:also )?(?:find|found|show|showed|conclude|demonstrate|confirm|report|discover|infer|argue)|"
    r"[Oo]ur (?:results|analysis|findings|simulations|models?|observations|measurements|data) (?:also )?(?:show|shows|indicate|indicates|suggest|suggests|"
    r"demonstrate|demonstrates|reveal|reveals|imply|confirm)) that "
)
_OWN = re.compile(
    r"^\w+ly,|^(?:Meanwhile|Compared|In (?:addition|contrast|particular|summary|fact|turn|both|each))\b|\b(?:remains?|unclear|poorly|could|would|may|might|will|can|should|important|crucial|expected|needed|"
    r"potential(?:ly)?|often|studies|we|our|us|ours|here|th(?:is|ese|ose) \w+|proposed|presented|former|latter|respectively)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Report:
    """A finding that an article reports.

    Attributes:
        document: the article.
        passage: the finding stands in.
        sentence: it is told in.
        text: of it, without "we find that".
    """

    document: Document
    passage: Passage
    sentence: Sentence
    text: str

    @property
    def question(self) -> str:
        """As it is asked."""
        return f"Which of these studies reports this: “{self.text}”?"


class Studies:
    """Titles of articles by their first category."""

    def __init__(self) -> None:
        self._titles: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._num = 0

    def add(self, document: Document) -> None:
        """Adds an article; what is none is left out."""
        if is_article(document) and document.year and document.categories and self._num < _MAX_TITLES:
            self._num += 1
            self._titles[document.categories[0]].append((document.title, document.year))

    def others(self, document: Document) -> list[str]:
        """Titles that can stand beside that of an article: of its subject and its years, about as long, of another work."""
        own = _stems(document.title)
        return sorted(
            title
            for title, year in self._titles.get(document.categories[0] if document.categories else "", ())
            if abs(year - (document.year or 0)) <= _YEARS_APART
            and len(_stems(title) & own) <= _MAX_SHARED * min(len(own), len(_stems(title)))
            and max(len(title), len(document.title)) <= _MAX_RATIO * min(len(title), len(document.title))
        )


def _stems(text: str) -> set[str]:
    return {word[:_STEM_CHARS] for word in re.findall(r"[^\W\d_]{4,}", text.lower())}


def reports_of(reading: Reading, seed: int, max_words: int) -> Iterator[Report]:
    """The findings of an article that can be asked about, in keyed order.

    Args:
        reading: of the document.
        seed: keys the order.
        max_words: of a sentence.
    """
    document = dataclasses.replace(reading.document, text="")
    if not is_article(document):
        return
    found: list[Report] = []
    for passage in reading.passages:
        for sentence in passage.sentences:
            text = _FINDING.sub("", sentence.text)
            text = text[:1].upper() + text[1:]
            masked, _ = mask_math(text)
            is_early = passage.number == 0 and sentence.position < _NUM_OPENING
            if not is_early and not _OWN.search(masked) and why_not(text, "", True, _MIN_WORDS, max_words) is None:
                found.append(Report(document, passage, sentence, text))
    yield from sorted(found, key=lambda report: keyed_hash(seed, "report", document.id, report.text))
