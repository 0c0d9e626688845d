"""From what documents hold to questions with four options."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.balance import Balance
from sagecraft.benchmark.choices import Choice, three_of
from sagecraft.benchmark.guesses import CHANCE, SCORES, Option, hits
from sagecraft.benchmark.ladder import NUM_RUNGS, Ladders
from sagecraft.benchmark.statements import Blank, Statement, is_article, is_told
from sagecraft.benchmark.studies import Block, Report
from sagecraft.benchmark.words import MACROS, ClassWord, WordClasses
from sagecraft.corpus.documents import Document
from sagecraft.literature.figures import Figure, number_of, ranges_of
from sagecraft.literature.slots import Word

FIGURE, TWO_FIGURES, WORD_AND_FIGURE, TWO_WORDS = "figure", "two-figures", "word-and-figure", "two-words"
WORD, TERM, PROPERTY, STUDY = "word", "term", "property", "study"
#: Form of an item that a model wrote, and who wrote what no model did.
WRITTEN, RULES = "written", "rules"
#: The forms whose four options are all combinations of two alternatives.
PAIRS = frozenset((TWO_FIGURES, WORD_AND_FIGURE, TWO_WORDS))
_TRIES = 4
#: Sets of other options that are drawn, of which the fairest is taken.
_DRAWS = 16
_NAME_PATTERN = re.compile(r"[^\W\d_]{3,}|\d{3,}")
#: Rarer words name one thing.
_MIN_KNOWN = 5
_STEM_CHARS = 5
_WORD_PATTERN = re.compile(r"[^\W\d_]{3,}")
_MACRO = re.compile(r"\\([A-Za-z]+)")
_LABEL_OF_REFERENCE = re.compile(r"\b(?:following|from|by|in|of|with) [A-Z][A-Za-z]{0,2}\d{2}[a-z]?\b")
_LABEL = re.compile(r"\([12]\) ")
_VALUE_FORMS = (
    "Which value completes {whose}: “{text}”?",
    "Which value stands in the gap of {whose}: “{text}”?",
    "What is the missing value in {whose}: “{text}”?",
)
_WORD_FORMS = (
    "Which of these completes {whose}: “{text}”?",
    "Which of these stands in the gap of {whose}: “{text}”?",
    "What is missing in {whose}: “{text}”?",
)
_PAIR_FORMS = (
    "Which pair completes {whose}: “{text}”?",
    "What stands in the gaps (1) and (2) of {whose}: “{text}”?",
    "Which words or values are missing in {whose}: “{text}”?",
)


@dataclass(frozen=True)
class Draft:
    """A question with its options, the right one first.

    Attributes:
        written_by: the model that wrote it, or `rules`.
        explanation: of who wrote it; rules leave it to the support.
        block: what it shares its options with; empty if with no other question.
    """

    document: Document
    form: str
    question: str
    options: tuple[Option, ...]
    support: tuple[tuple[int, str], ...]
    section: str
    passage: str
    passage_text: str
    told: tuple[str, ...] = ()
    written_by: str = RULES
    explanation: str = ""
    block: str = ""

    @property
    def key(self) -> Option:
        """The right option."""
        return self.options[0]

    @property
    def id(self) -> str:
        """Of the content, so that a verdict on it holds in every benchmark that has it."""
        return f"bench-{keyed_hash(self.document.id, self.form, self.question) % 16**8:08x}"


def form_of(blanks: tuple[Blank, ...]) -> str:
    """The form of a statement by what is open in it."""
    num_words = sum(isinstance(blank, Word) for blank in blanks)
    if len(blanks) == 1:
        return WORD if num_words else FIGURE
    return (TWO_FIGURES, WORD_AND_FIGURE, TWO_WORDS)[num_words]


def whose(document: Document, section: str) -> str:
    """Whose statement it is: an article's by title and year, a text's by title and section."""
    year = f" ({document.year})" if document.year else ""
    if not document.title:
        return "the statement"
    if is_article(document):
        return f"the statement from “{document.title}”{year}"
    inside = f" (section “{section}”)" if section and section != document.title and "$" not in section else ""
    return f"the statement from the text “{document.title}”{inside}"


class Drafter:
    """Makes drafts; what it draws is keyed by the document and the sentence."""

    def __init__(
        self, seed: int, ladders: Ladders, words: Counter[str], classes: WordClasses, balance: Balance
    ) -> None:
        self._seed = seed
        self._ladders = ladders
        self._words = words
        self._classes = classes
        self._balance = balance
        self._patterns: Counter[tuple[bool, ...]] = Counter()
        #: What each guess at a form paid so far, in questions over chance.
        self._paid: dict[str, list[float]] = defaultdict(lambda: [0.0] * len(SCORES))

    def of_statement(self, statement: Statement, rank: int) -> Draft | str:
        """A draft, or the reason why there are no four options.

        Args:
            statement: with one or two blanks.
            rank: how many options shall be smaller than the right one, where it is one value.
        """
        form = form_of(statement.blanks)
        if not is_readable(statement.open_text):
            return "unread-macro"
        document, sentence = statement.document, statement.sentence
        key = ("options", document.id, sentence.text, form)
        rng = random.Random(keyed_hash(self._seed, *key))  # noqa: S311
        shown = f"{document.title} {document.year}"
        if any(isinstance(blank, Figure) and is_told(shown, blank.text) for blank in statement.blanks):
            return "in-title"
        options = self._options(statement, form, rank, rng)
        if options is None:
            return "no-options"
        forms = {FIGURE: _VALUE_FORMS, WORD: _WORD_FORMS}.get(form, _PAIR_FORMS)
        question = forms[keyed_hash(self._seed, "form", *key[1:]) % len(forms)].format(
            whose=whose(document, statement.passage.section), text=statement.open_text
        )
        support = tuple((each.position, each.text) for each in statement.support)
        passage = statement.passage
        options = tuple(self._weighed(option, question) for option in options)
        told = tuple(blank.text for blank in statement.blanks if isinstance(blank, ClassWord))
        if form in PAIRS:
            self._patterns[options[0].pattern] += 1
        return Draft(document, form, question, options, support, passage.section, passage.id, passage.text, told=told)

    def _options(self, statement: Statement, form: str, rank: int, rng: random.Random) -> tuple[Option, ...] | None:
        """Four options, the right one first; of several draws those by which no guess at the form pays.

        Words of a class are balanced by `Balance`, which counts each draw.
        """
        is_counted = any(isinstance(blank, ClassWord) for blank in statement.blanks)
        drawn: list[tuple[Option, ...]] = []
        for _ in range(_TRIES if is_counted else _DRAWS):
            if form == WORD:
                made = self._word(statement, rng)
            else:
                made = self._one(statement, rank, rng) if form == FIGURE else self._pair(statement, rank, rng)
            # an option that the question shows is out of the game, or seems to be
            if made and not _are_shown(statement, made) and not _are_to_come(statement, made):
                drawn.append(made)
                if is_counted:
                    break
        return self._fairest(form, drawn) if drawn else None

    def _fairest(self, form: str, drawn: Sequence[tuple[Option, ...]]) -> tuple[Option, ...]:
        """The draw after which all guesses at a form are nearest to chance."""
        paid = self._paid[form]
        sums = [[held + hit - CHANCE for held, hit in zip(paid, hits(options), strict=True)] for options in drawn]
        best = min(range(len(drawn)), key=lambda place: sum(held * held for held in sums[place]))
        self._paid[form] = sums[best]
        return drawn[best]

    def of_report(self, report: Report, block: Block) -> Draft:
        """A draft of a finding with the titles of its block."""
        document, question = report.document, report.question
        titles = [document.title, *(other.document.title for other in block.reports if other is not report)]
        options = tuple(self._weighed(Option(title), question) for title in titles)
        support = ((report.sentence.position, report.sentence.text),)
        passage = report.passage
        return Draft(
            document, STUDY, question, options, support, passage.section, passage.id, passage.text, block=block.name
        )

    def names_itself(self, report: Report) -> bool:
        """Whether a finding has a number or a rare word of its title, which no other title has."""
        shown = set(_NAME_PATTERN.findall(report.text))
        count = self._classes.commonness
        told = [word for word in _NAME_PATTERN.findall(report.document.title) if word in shown]
        return any(word.isdigit() or count(word) < _MIN_KNOWN for word in told)

    def of_choice(self, choice: Choice, rank: int) -> Draft:
        """A draft of a question that brings its options."""
        key = ("options", choice.document.id, choice.question)
        rng = random.Random(keyed_hash(self._seed, *key))  # noqa: S311
        texts = [choice.key, *three_of(choice, rng, rank)]
        options = tuple(self._weighed(Option(text), choice.question) for text in texts)
        support = ((-1, choice.support),)
        place = choice.document.id
        return Draft(
            choice.document, choice.form, choice.question, options, support, choice.section, place, choice.support
        )

    def _weighed(self, option: Option, question: str) -> Option:
        """An option with what it shares with the question."""
        return replace(option, overlap=self.shared(option.text, question))

    def shared(self, text: str, question: str) -> float:
        """What a text shares with a question: a shared stem counts the less, the commoner its word."""
        shown = {word[:_STEM_CHARS] for word in _WORD_PATTERN.findall(question.lower())}
        shared = {word for word in _WORD_PATTERN.findall(text.lower()) if word[:_STEM_CHARS] in shown}
        return round(sum(1 / math.log(8 + self._classes.commonness(word)) for word in sorted(shared)), 6)

    def _word(self, statement: Statement, rng: random.Random) -> tuple[Option, ...] | None:
        """The key and three others of its class."""
        word = statement.blanks[0]
        assert isinstance(word, ClassWord)
        others = self._balance.three(word, rng)
        if others is None:
            return None
        texts = (word.text, *others)
        likeness, count = self._classes.total_likeness, self._classes.commonness
        return tuple(Option(text, float(count(text)), likeness=likeness(text, texts)) for text in texts)

    def _one(self, statement: Statement, rank: int, rng: random.Random) -> tuple[Option, ...] | None:
        figure = statement.blanks[0]
        assert isinstance(figure, Figure)
        others = self._ladders.rungs(figure, rank, rng)
        if others is None or len({figure.text, *others}) < NUM_RUNGS:
            return None
        return tuple(self._option(figure, text) for text in (figure.text, *others))

    def _option(self, figure: Figure, text: str) -> Option:
        return Option(text, self._ladders.commonness(figure.unit, text), (), (number_of(text),))

    def _pair(self, statement: Statement, rank: int, rng: random.Random) -> tuple[Option, ...] | None:
        """The right pair first, and the three others of two alternatives each."""
        sides: list[tuple[_Part, _Part]] = []
        due = self._pattern_due(statement, rank)
        for blank, is_up in zip(statement.blanks, due, strict=True):
            if isinstance(blank, Word):
                is_of_class = isinstance(blank, ClassWord)
                alternative = self._balance.one(blank, is_up, rng) if isinstance(blank, ClassWord) else blank.other
                if alternative is None:
                    return None
                count = self._classes.commonness if is_of_class else self._words.__getitem__
                counts = (count(blank.text), count(alternative))
                is_high = (counts[0], blank.text) > (counts[1], alternative)
                sides.append((_Part(blank.text, counts[0], is_high), _Part(alternative, counts[1], not is_high)))
                continue
            other = self._ladders.neighbour(blank, is_up, rng)
            if other is None:
                return None
            both = (blank.text, other)
            first, second = (
                _Part(text, self._ladders.commonness(blank.unit, text), True, number_of(text)) for text in both
            )
            is_high = first.value > second.value
            sides.append((replace(first, is_high=is_high), replace(second, is_high=not is_high)))
        is_range = (statement.blanks[0], statement.blanks[-1]) in ranges_of(statement.text)
        if is_range and max(part.value for part in sides[0]) >= min(part.value for part in sides[1]):
            return None  # an end that passes the other cannot be
        return tuple(_combined(parts) for parts in itertools.product(*sides))

    def _pattern_due(self, statement: Statement, rank: int) -> tuple[bool, ...]:
        """For each blank whether its alternative is to be the commoner word or the larger value.

        A word with one opposite has no choice, and is mostly the commoner of the two; so the other blank makes the pattern of the
        key that came least often: "both common" was right in 39 % of 193 pairs of words.
        """
        fixed = [
            self._words[blank.text] > self._words[blank.other]
            if isinstance(blank, Word) and not isinstance(blank, ClassWord)
            else None
            for blank in statement.blanks
        ]
        drawn = tuple(bool(rank >> place & 1) for place in range(len(fixed)))
        open_to = [
            pattern
            for pattern in itertools.product((False, True), repeat=len(fixed))
            if all(held is None or held is high for held, high in zip(fixed, pattern, strict=True))
        ]
        # Of patterns that came equally often the one whose turn it is.
        least = min(
            open_to, key=lambda pattern: (self._patterns[pattern], [not high for high in pattern] != list(drawn))
        )
        return tuple(not high for high in least)


def is_readable(text: str) -> bool:
    """Whether a statement has no macro of its author's own, and no label of a reference ("following C21") instead of a name."""
    outside = re.sub(r"\$[^$]*\$", " ", text)
    return "\\" not in outside and not _LABEL_OF_REFERENCE.search(outside) and set(_MACRO.findall(text)) <= MACROS


def _are_shown(statement: Statement, options: tuple[Option, ...]) -> bool:
    """Whether a number of an option stands in the question as well."""
    numbers = {text for option in options for text in re.findall(r"\d[\d,.]*\d|\d", _LABEL.sub("", option.text))}
    return any(is_told(statement.open_text, text) for text in numbers if len(text) > 1)


def _are_to_come(statement: Statement, options: tuple[Option, ...]) -> bool:
    """Whether a year of an option is later than the document."""
    years = [
        place for place, blank in enumerate(statement.blanks) if isinstance(blank, Figure) and blank.scale == "year"
    ]
    written = statement.document.year
    # Values of a pair keep the places of their blanks; a single value is the only one.
    return bool(written and any(option.values[place] > written for option in options[1:] for place in years))


@dataclass(frozen=True)
class _Part:
    """One side of a pair: how common its text is, and whether it is the commoner word or the larger value of two."""

    text: str
    commonness: float
    is_high: bool
    value: float = 0.0


def _combined(parts: tuple[_Part, ...]) -> Option:
    text = ", ".join(f"({number}) {part.text}" for number, part in enumerate(parts, start=1))
    commonness = float(sum(part.commonness for part in parts))
    return Option(text, commonness, tuple(part.is_high for part in parts), tuple(part.value for part in parts))
