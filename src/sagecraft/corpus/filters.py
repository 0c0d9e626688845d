"""Filters: what a document must be like. One table says for every rule which measure it looks at and which threshold.

`judge` drops by it, `ingest --measure` draws what it would keep at every threshold, and the audit explains it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft.corpus.documents import Document
from sagecraft.corpus.licenses import is_allowed
from sagecraft.corpus.measures import MEASURES


def _threshold(default: float | None, description: str, highest: float | None = 1.0) -> Any:
    return Field(default=default, ge=0.0, le=highest, description=f"{description}; null switches the rule off")


class FilterConfig(BaseModel):
    """What a document must be like to be kept.

    The defaults drop what is no text; of the textbooks, papers and abstracts they were tried on, nothing. Numbers look
    at prose without mathematics, code and tables, and a text that has too little of it is not judged by them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_words: int | None = Field(
        default=20,
        ge=0,
        description="shortest document, in words; stubs and empty pages have under 15, the shortest abstracts 22",
    )
    max_words: int | None = Field(default=None, ge=1, description="longest document, in words; no limit by default")
    max_non_text_share: float | None = _threshold(
        0.25, "largest share of characters that are no text; prose has under 0.02, damaged or binary text over 0.4"
    )
    min_alphabetic_share: float | None = _threshold(
        0.4,
        "smallest share of words with a letter or formulas; prose has over 0.85, a numbered list of formulas 0.5, numbers 0",
    )
    min_mean_word_length: float | None = _threshold(
        3.0, "smallest mean length of a word in characters; prose has 4.5 to 7, text of scattered letters 1", None
    )
    max_mean_word_length: float | None = _threshold(
        12.0, "largest mean length of a word; prose of any language has under 9, text without its spaces over 15", None
    )
    max_symbols_per_word: float | None = _threshold(
        0.6, "most marks of markup and code (`# { } < > \\ ^ ~ | @ =`) a word; prose has under 0.1, HTML over 1", None
    )
    min_sentence_share: float | None = _threshold(
        0.1, "smallest share of text that stands in sentences; prose has over 0.8, menus and indexes 0"
    )
    min_function_word_share: float | None = _threshold(
        0.06, "smallest share of the language's 22 commonest words; prose has 0.2 to 0.45, lists of keywords under 0.03"
    )
    max_duplicate_line_share: float | None = _threshold(
        0.3, "largest share of text in lines or paragraphs that the document has already had; prose has under 0.05"
    )
    max_duplicate_ngram_share: float | None = _threshold(
        0.5, "largest share of runs of ten words that the document has already had; prose has under 0.05, a text that "
        "stands in it twice just under 0.5"
    )  # fmt: skip
    max_top_ngram_share: float | None = _threshold(
        0.35, "largest share of words that one run of three words makes up; prose has under 0.1, spam over 0.5"
    )
    languages: list[str] | None = Field(
        default=None,
        description="allow-list of languages (`en`, `de`; ISO 639-1), `und` for texts too short or mixed to tell. Everything "
        "is kept by default, and the report counts",
    )
    licenses: list[str] | None = Field(
        default=None,
        description="allow-list of licences (`CC-BY-4.0`, `CC-BY-*`); everything is kept by default, since what may be "
        "trained on is the user's to say",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for field in ("words", "mean_word_length"):
            low, high = getattr(self, f"min_{field}"), getattr(self, f"max_{field}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{field} is {low:g}, more than max_{field} ({high:g}); nothing would be kept")
        for code in self.languages or ():
            if not (code.isascii() and code.islower() and len(code) in (2, 3)):
                raise ValueError(f"languages: {code!r} is no code of ISO 639-1; write `en`, `de`, …")
        return self

    @classmethod
    def none(cls) -> FilterConfig:
        """Rules that keep everything."""
        return cls(**dict.fromkeys(cls.model_fields))


@dataclass(frozen=True)
class Filter:
    """A rule: a measure and the bound it must keep.

    Attributes:
        reason: of what is dropped.
        measure: name in `measures.MEASURES`.
        bound: whether the threshold is the least or the most.
        field: of the configuration, which holds the threshold.
    """

    reason: str
    measure: str
    bound: Literal["at least", "at most"]
    field: str

    def threshold(self, rules: FilterConfig) -> float | None:
        """The threshold of these rules; None if the rule is off."""
        value: float | None = getattr(rules, self.field)
        return value

    def keeps(self, value: float | None, threshold: float | None) -> bool:
        """True if a document of this measure passes; what was not measured does."""
        if value is None or threshold is None:
            return True
        return value >= threshold if self.bound == "at least" else value <= threshold

    def detail(self, value: float, threshold: float) -> str:
        """Why it does not pass, for the person who looks."""
        measure = MEASURES[self.measure]
        verb = "asks for" if self.bound == "at least" else "allows"
        return f"{measure.said(value)} {measure.label}; {self.field} {verb} {self.bound} {measure.said(threshold)}"


#: All rules about numbers, in the order in which they are tried; the first that fails gives the reason.
FILTERS = (
    Filter("too-short", "words", "at least", "min_words"),
    Filter("too-long", "words", "at most", "max_words"),
    Filter("non-text", "non_text_share", "at most", "max_non_text_share"),
    Filter("few-letters", "alphabetic_share", "at least", "min_alphabetic_share"),
    Filter("short-words", "mean_word_length", "at least", "min_mean_word_length"),
    Filter("long-words", "mean_word_length", "at most", "max_mean_word_length"),
    Filter("markup", "symbols_per_word", "at most", "max_symbols_per_word"),
    Filter("no-sentences", "sentence_share", "at least", "min_sentence_share"),
    Filter("few-function-words", "function_word_share", "at least", "min_function_word_share"),
    Filter("repeated-lines", "duplicate_line_share", "at most", "max_duplicate_line_share"),
    Filter("repeated-runs", "duplicate_ngram_share", "at most", "max_duplicate_ngram_share"),
    Filter("repeated-phrase", "top_ngram_share", "at most", "max_top_ngram_share"),
)


@dataclass(frozen=True)
class Drop:
    """Why a document is not kept."""

    reason: str
    detail: str


def faults(
    license_name: str, language: str, measures: Mapping[str, float | None], rules: FilterConfig
) -> Iterator[Drop]:
    """Every rule that drops a document, in their order.

    Args:
        license_name: of the document.
        language: of its text, as `language.identify` gives it.
        measures: of its text, as `measures.measure_all` gives them.
        rules: thresholds and allow-lists.
    """
    if rules.licenses is not None and not is_allowed(license_name, rules.licenses):
        yield Drop("license", f"{license_name} is not among {', '.join(rules.licenses)}")
    if rules.languages is not None and language not in rules.languages:
        yield Drop("language", f"it is in {language}, allowed are {', '.join(rules.languages)}")
    for rule in FILTERS:
        value, threshold = measures[rule.measure], rule.threshold(rules)
        if value is not None and threshold is not None and not rule.keeps(value, threshold):
            yield Drop(rule.reason, rule.detail(value, threshold))


def judge(document: Document, language: str, measures: Mapping[str, float | None], rules: FilterConfig) -> Drop | None:
    """Why a document is not kept, by the first rule that drops it; None if it is kept."""
    return next(faults(document.license, language, measures, rules), None)
