"""Measures of a text: one number each, or None where the text gives no ground to judge.

They look at prose. Mathematics, code, tables and addresses are taken out before anything is counted, so that a paper
full of equations is not thrown away for them. The measures of repetition and the rules of quality follow the MassiveText
filters (arXiv:2112.11446, table A1 and appendix A.1.1), changed where those count equations, headings or lists as faults.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sagecraft.corpus import language
from sagecraft.corpus.clean import PROTECTED

_TABLE_LINE = re.compile(r"^[^\S\n]*\|.*\|[^\S\n]*$", re.MULTILINE)
_URL = re.compile(r"\b(?:https?://|www\.)\S+")
_COMMAND = re.compile(r"\\[A-Za-z]{2,}")
#: Neither letters, digits and spaces nor ordinary punctuation.
_ODD = re.compile(r"[^\w\s.,;:!?'\"()\[\]\-–—‘’“”/%*#&°+=<>…]")
#: Marks of markup and code, which prose has few of. Emphasis (`*`, `_`) is Markdown's own.
_SYMBOLS = "#{}<>\\^~|@=…"
#: What a sentence, a list or a formula may end with at the end of a paragraph, and a sentence inside of one.
_ENDS = tuple(".!?:;…\"'”’»)]*_\x00。！？：；」』）؟۔।")
_STOPS = (". ", "? ", "! ", ".\n", "?\n", "!\n", "。", "！", "？", "।", "۔")
#: Stands for a formula or a piece of code; cleaned text holds no control characters.
_FORMULA = "\x00"
#: A run of characters without a space that is longer than any word (a URL aside) is data, not prose.
_LONGEST_WORD = 60
#: Shares of fewer characters or words than this say nothing.
_LEAST_CHARACTERS, _LEAST_WORDS = 200, 40
#: Scripts that put no spaces between words: kana, Han, Thai, Lao, Burmese, Khmer, Tibetan.
_UNSPACED = re.compile("[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
#: Characters of such a script that make one word, about.
_CHARACTERS_PER_WORD = 2
#: A line of so many words is no entry of a menu.
_SENTENCE_WORDS = 10
#: Odd, so that multiplying loses no bits.
_FACTOR = np.array(0x9E3779B97F4A7C15, dtype=np.uint64)
#: Words of a run that a healthy text hardly ever says twice, and of one that nothing should be made of.
_LONG_RUN, _SHORT_RUN = 10, 3


class Prose:
    """A cleaned text and what is counted in it, each taken once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.num_display = self.num_inline = 0
        bare = PROTECTED.sub(self._count, text)
        if "|" in bare:
            bare = _TABLE_LINE.sub("", bare)
        if "http" in bare or "www." in bare:
            bare = _URL.sub(" ", bare)
        #: without tables and addresses, a NUL for every formula and piece of code
        self.bare = bare
        #: without formulas and code, too
        self.prose = bare.replace(_FORMULA, " ")

    def _count(self, found: re.Match[str]) -> str:
        sign = found.group()
        self.num_display += sign.startswith("$$")
        self.num_inline += sign[0] == "$" and sign[1] != "$"
        return _FORMULA

    @cached_property
    def words(self) -> list[str]:
        """Runs of characters between spaces, of the prose."""
        return self.prose.split()

    @cached_property
    def spaced_words(self) -> list[str]:
        """The same; none if there are too few to judge or the script puts no spaces between words."""
        if len(self.words) < _LEAST_WORDS or 10 * count_unspaced(self.prose) > len(self.prose):
            return []
        return self.words

    @cached_property
    def lettered(self) -> list[str]:
        """Words with a letter in them."""
        return [word for word in self.spaced_words if word.isalpha() or any(map(str.isalpha, word))]

    @cached_property
    def numbers(self) -> npt.NDArray[np.uint64]:
        """A number for each word, the same for the same word; another one in the next process."""
        return np.fromiter(map(hash, self.words), dtype=np.int64, count=len(self.words)).view(np.uint64)

    @cached_property
    def language(self) -> str:
        """ISO 639-1 code, `und` if it cannot be told."""
        return language.identify(self.prose)

    @property
    def num_commands(self) -> int:
        """LaTeX commands that were left outside mathematics."""
        return len(_COMMAND.findall(self.prose)) if "\\" in self.prose else 0


def count_unspaced(text: str) -> int:
    """Characters of scripts without spaces between words."""
    return 0 if text.isascii() else len(_UNSPACED.findall(text))


def count_words(text: str) -> int:
    """Words as a reader counts them: runs of characters between spaces, two characters where a script has none."""
    return len(text.split()) + count_unspaced(text) // _CHARACTERS_PER_WORD


def words(prose: Prose) -> float:
    """Words of the whole text."""
    return count_words(prose.text)


def non_text_share(prose: Prose) -> float | None:
    """Share of the prose that is neither letters, digits, spaces nor ordinary punctuation.

    Characters of endless "words" (encoded data) count as non-text.
    """
    if len(prose.prose) < _LEAST_CHARACTERS:
        return None
    # What a combining mark stands on is a letter; the class of word characters does not have the mark itself.
    odd = sum(not unicodedata.category(character).startswith("M") for character in _ODD.findall(prose.prose))
    if max(map(len, prose.words), default=0) > _LONGEST_WORD:
        odd += sum(
            len(word) - len(_ODD.findall(word)) for word in prose.words if len(word) > _LONGEST_WORD and word.isascii()
        )
    return odd / len(prose.prose)


def alphabetic_share(prose: Prose) -> float | None:
    """Share of words with a letter in them; a formula is one."""
    if not prose.spaced_words:
        return None
    formulas = prose.bare.count(_FORMULA)
    return (len(prose.lettered) + formulas) / (len(prose.spaced_words) + formulas)


def mean_word_length(prose: Prose) -> float | None:
    """Characters of a word that has a letter, on average."""
    return sum(map(len, prose.lettered)) / len(prose.lettered) if len(prose.lettered) >= _LEAST_WORDS else None


def symbols_per_word(prose: Prose) -> float | None:
    """Marks of markup and code for each word; those of headings are not counted."""
    if not prose.spaced_words:
        return None
    found = sum(map(prose.prose.count, _SYMBOLS))
    if "#" in prose.prose:
        found -= sum(len(line) - len(line.lstrip("#")) for line in prose.prose.split("\n") if line.startswith("#"))
    return found / len(prose.spaced_words)


def sentence_share(prose: Prose) -> float | None:
    """Share of the text that stands in sentences: of every paragraph what comes before its last full stop.

    A list and a formula end a paragraph, too, also a formula that follows it, and a line of ten words and more is a
    sentence whatever it ends with. Menus, indexes and lists of names are short lines that end nowhere. Headings are not
    counted.
    """
    total = ended = 0
    blocks = [block for block in (block.strip(" \n") for block in prose.bare.split("\n\n")) if block]
    for block, after in itertools.zip_longest(blocks, blocks[1:], fillvalue=""):
        if block.startswith("#"):
            continue
        total += len(block)
        if block.endswith(_ENDS) or after.startswith(_FORMULA):
            ended += len(block)
            continue
        stop = 1 + max(map(block.rfind, _STOPS))
        ended += stop + sum(len(line) for line in block[stop:].split("\n") if line.count(" ") >= _SENTENCE_WORDS - 1)
    return ended / total if total >= _LEAST_CHARACTERS else None


def function_word_share(prose: Prose) -> float | None:
    """Share of words that are among the commonest of the language; None for a language whose words are not known."""
    common = language.function_words(prose.language) if prose.spaced_words else None
    return sum(map(common.__contains__, prose.words)) / len(prose.words) if common else None


def duplicate_line_share(prose: Prose) -> float | None:
    """Share of the characters that stand in lines which the text has already had.

    A paragraph is a line in Markdown that a reader made, so this is about paragraphs, too.
    """
    seen: set[str] = set()
    total = again = 0
    for line in prose.prose.split("\n"):
        line = line.strip()
        if line:
            total += len(line)
            if line in seen:
                again += len(line)
            seen.add(line)
    return again / total if total >= _LEAST_CHARACTERS else None


def _runs(numbers: npt.NDArray[np.uint64], length: int) -> npt.NDArray[np.uint64]:
    """A number for each run of words, ascending: the same for the same words in the same order."""
    keys, covered = numbers, 1
    while covered < length:
        step = min(covered, length - covered)  # a run of eight from two of four, one of ten from two of eight
        keys = keys[:-step] * _FACTOR**step + keys[step:]  # a polynomial of the words; overflow is meant
        covered += step
    keys.sort()
    return keys


def duplicate_ngram_share(prose: Prose) -> float | None:
    """Share of the runs of ten words that the text has already had."""
    if len(prose.words) < max(_LEAST_WORDS, _LONG_RUN):
        return None
    runs = _runs(prose.numbers, _LONG_RUN)
    return int(np.count_nonzero(runs[1:] == runs[:-1])) / len(runs)


def top_ngram_share(prose: Prose) -> float | None:
    """Share of the words that the commonest run of three words makes up."""
    if len(prose.words) < _LEAST_WORDS:
        return None
    runs = _runs(prose.numbers, _SHORT_RUN)
    edges = np.flatnonzero(runs[1:] != runs[:-1])  # the last places of all runs but the greatest
    if len(edges) == 0:
        return 1.0
    longest = int(max(edges[0] + 1, len(runs) - 1 - edges[-1], (edges[1:] - edges[:-1]).max(initial=0)))
    return min(1.0, _SHORT_RUN * longest / len(prose.words)) if longest > 1 else 0.0


@dataclass(frozen=True)
class Measure:
    """A measure as it is shown.

    Attributes:
        name: of the column and of the key.
        of: what takes it.
        label: what the number is, said behind it: "12 words".
        is_share: 0 to 1, shown as a percentage.
        usual: the values of good text, said in words.
    """

    name: str
    of: Callable[[Prose], float | None]
    label: str
    is_share: bool
    usual: str

    def said(self, value: float) -> str:
        """The number as a person reads it."""
        if self.is_share:
            percent = f"{100 * value:.3g}" if value >= 0.0995 else f"{100 * value:.2g}"
            return f"{percent}%"
        return f"{value:,.0f}" if value == int(value) or value >= 100 else f"{value:.3g}"


#: Every measure. The filters (`filters.FILTERS`), the facts of a document, `ingest --measure` and the audit use this table.
MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("words", words, "words", False, "a stub has under 15, an abstract 200, a paper 8,000, a book 100,000"),
        Measure("non_text_share", non_text_share, "of the prose is no text", True, "prose under 2%, damage over 40%"),
        Measure("alphabetic_share", alphabetic_share, "of words have a letter", True, "over 85%; columns of numbers 20%"),
        Measure("mean_word_length", mean_word_length, "characters a word", False, "4.5 to 7; scattered letters 1"),
        Measure("symbols_per_word", symbols_per_word, "marks of markup a word", False, "under 0.1; HTML over 1"),
        Measure("sentence_share", sentence_share, "of the text is in sentences", True, "over 80%; menus and indexes 0%"),
        Measure("function_word_share", function_word_share, "of words are function words", True, "20% to 45%; keywords 0%"),
        Measure("duplicate_line_share", duplicate_line_share, "of the text is in repeated lines", True, "under 5%; a form 50%"),
        Measure("duplicate_ngram_share", duplicate_ngram_share, "of runs of ten words are repeated", True, "under 5%; a text that stands twice 50%"),
        Measure("top_ngram_share", top_ngram_share, "of words are one run of three", True, "under 10%"),
    )
}  # fmt: skip


def measure_all(prose: Prose) -> dict[str, float | None]:
    """Every measure, rounded to six decimals."""
    return {name: _rounded(measure.of(prose)) for name, measure in MEASURES.items()}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
