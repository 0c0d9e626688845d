"""Which study it is: a finding of an article without its authors, or a sentence in their words, and the titles of four articles of its subject.

Articles are asked about by fours, and the titles of all four are the options of each question.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.choices import stems
from sagecraft.benchmark.ladder import NUM_RUNGS
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
#: Questions of one article.
MAX_STUDIES = 3
#: Articles whose titles share most with a finding, among which the others are sought.
_NUM_NEAR = 12
#: Articles among which these are sought, so that the work does not grow with the square of all; what is kept of it.
_WINDOW, _NUM_CACHED = 400, 200_000
#: Questions over or under chance.
_SLACK = 8.0
#: A short form that stands so often is known in the field.
_MIN_KNOWN = 6
_FINDING = re.compile(
    r"^(?:(?:However|Moreover|Furthermore|In addition|Additionally|Finally|Overall|Notably|Interestingly|In particular|Here|In this \w+),? )?"
    r"(?:[Ww]e (?:also )?(?:find|found|show|showed|conclude|demonstrate|confirm|report|discover)|"
    r"[Oo]ur (?:results|analysis|findings|simulations|models?|observations|measurements|data) (?:also )?(?:show|shows|"
    r"demonstrate|demonstrates|reveal|reveals|confirm)) that "
)
#: What leans on other sentences.
_LEANS = re.compile(
    r"^\w+ly,|^(?:Meanwhile|Compared|In (?:addition|contrast|particular|summary|fact|turn|both|each))\b|\b(?:here|th(?:is|ese|ose) \w+|"
    r"proposed|presented|former|latter|respectively|companion|previous|earlier|both (?!\w+ and\b)\w+|"
    r"the (?:required|resulting|corresponding|remaining|other|same)|in particular|the domain)\b",
    re.IGNORECASE,
)
#: What could be said by anybody of the subject.
_GENERAL = re.compile(
    r"\b(?:remains?|unclear|poorly|could|would|may|might|will|can|should|important|crucial|expected|needed|potential(?:ly)?|often|studies)\b",
    re.IGNORECASE,
)
#: A second clause that "we find that" governs as well.
_AND_THAT = re.compile(r"\b(?:and|but|while) that\b")
_AUTHORS = re.compile(r"\b(?:[Ww]e|[Oo]urs?|[Uu]s)\b")
#: The heads of parts of an abstract.
_HEAD = re.compile(r"^(?:Results?|Methods?|Aims?|Conclusions?|Context)\b[.:]? +(?=[A-Z])")
_SHORT_FORM = re.compile(r"\b[A-Z]{2,}s?\b")


@dataclass(frozen=True)
class Report:
    """A finding that an article reports, or what its authors say they do.

    Attributes:
        document: the article.
        passage: the finding stands in.
        sentence: it is told in.
        text: of it, without "we find that".
        is_quoted: whether the authors speak in it.
    """

    document: Document
    passage: Passage
    sentence: Sentence
    text: str
    is_quoted: bool = False

    @property
    def question(self) -> str:
        """As it is asked."""
        if self.is_quoted:
            return f"In which of these articles do the authors write: “{self.text}”?"
        return f"Which of these studies reports this: “{self.text}”?"


@dataclass(frozen=True)
class Block:
    """Four findings of four articles of one subject, whose titles are the options of all four questions.

    So each title is right once and wrong three times, and neither its length, nor its words, nor how often it is seen can tell.
    """

    reports: tuple[Report, ...]

    @property
    def name(self) -> str:
        """Of its own."""
        return f"{self.reports[0].document.id}: {self.reports[0].text}"


def blocks_of(reports: Iterable[Report], shared: Callable[[str, str], float]) -> Iterator[Block]:
    """Puts findings of articles together by fours.

    What is left to go by is what a title shares with the question, and most findings share most with their own title. So of an
    article those come first that share least, of the other articles those that share most, and a block is left out after which the
    right title would have a rank in what it shares too often or too seldom.

    Args:
        reports: of all articles, in keyed order.
        shared: how much a title shares with a text.
    """
    of_subject: dict[str, dict[str, list[Report]]] = defaultdict(lambda: defaultdict(list))
    for report in reports:
        if report.document.categories and report.document.year:
            of_subject[report.document.categories[0]][report.document.id].append(report)
    shared = functools.lru_cache(_NUM_CACHED)(shared)
    taken = (0.0,) * NUM_RUNGS
    for _, articles in sorted(of_subject.items()):
        for held in articles.values():
            held.sort(key=lambda report: shared(report.document.title, report.text))
        for turn in range(MAX_STUDIES):
            left = [held[turn] for held in articles.values() if len(held) > turn]
            while len(left) >= NUM_RUNGS:
                first = left.pop(0)
                near = [other for other in left[:_WINDOW] if _can_stand(first.document, other.document)]
                near.sort(key=lambda other: -_crossing(first, other, shared))
                groups = [
                    (first, *three)
                    for three in itertools.combinations(near[:_NUM_NEAR], NUM_RUNGS - 1)
                    if all(_can_stand(one.document, two.document) for one, two in itertools.combinations(three, 2))
                ]
                sums = [tuple(map(sum, zip(taken, _ranks(group, shared), strict=True))) for group in groups]
                best = min(range(len(groups)), key=lambda place: sum(each * each for each in sums[place]), default=None)
                if best is None or max(map(abs, sums[best])) > max(_SLACK, *map(abs, taken)):
                    continue
                taken = sums[best]
                chosen = set(map(id, groups[best]))
                left = [report for report in left if id(report) not in chosen]
                yield Block(groups[best])


def _crossing(one: Report, other: Report, shared: Callable[[str, str], float]) -> float:
    """How much two titles share with each other's finding, beside what the other one shares with its own."""
    across = shared(other.document.title, one.text) + shared(one.document.title, other.text)
    return across - shared(other.document.title, other.text)


def _ranks(group: Sequence[Report], shared: Callable[[str, str], float]) -> tuple[float, ...]:
    """How often the right title has each rank in what it shares, over chance; ranks of equal titles are shared between them."""
    taken = [-len(group) / NUM_RUNGS] * NUM_RUNGS
    for report in group:
        values = [shared(other.document.title, report.question) for other in group]
        own = shared(report.document.title, report.question)
        lowest, num_equal = sum(value < own for value in values), values.count(own)
        for rank in range(lowest, lowest + num_equal):
            taken[rank] += 1 / num_equal
    return tuple(taken)


def _can_stand(one: Document, other: Document) -> bool:
    """Whether two titles can stand side by side: of the same years, about as long, of different works."""
    own, others = stems(one.title), stems(other.title)
    return (
        abs((one.year or 0) - (other.year or 0)) <= _YEARS_APART
        and len(own & others) <= _MAX_SHARED * min(len(own), len(others))
        and max(len(one.title), len(other.title)) <= _MAX_RATIO * min(len(one.title), len(other.title))
    )


def reports_of(reading: Reading, seed: int, max_words: int, counts: Callable[[str], int]) -> Iterator[Report]:
    """The findings of an article that can be asked about, in keyed order.

    Args:
        reading: of the document.
        seed: keys the order.
        max_words: of a sentence.
        counts: how often a word stands in the documents; short forms that hardly anybody uses are not shown.
    """
    document = dataclasses.replace(reading.document, text="")
    if not is_article(document):
        return
    found: list[Report] = []
    for passage in reading.passages:
        for sentence in passage.sentences:
            text = _HEAD.sub("", sentence.text).replace("\\%", "%").replace("\\&", "&")
            text = text if _AND_THAT.search(text) else _FINDING.sub("", text)
            text = text[:1].upper() + text[1:]
            masked, _ = mask_math(text)
            is_quoted = _AUTHORS.search(masked) is not None
            is_early = passage.number == 0 and sentence.position < _NUM_OPENING and not is_quoted
            if is_early or _LEANS.search(masked) or (not is_quoted and _GENERAL.search(masked)):
                continue
            if why_not(text, "", True, _MIN_WORDS, max_words) is not None:
                continue
            if all(counts(word.removesuffix("s")) >= _MIN_KNOWN for word in _SHORT_FORM.findall(masked)):
                found.append(Report(document, passage, sentence, text, is_quoted))
    yield from sorted(found, key=lambda report: keyed_hash(seed, "report", document.id, report.text))
