"""Reads the chosen letter out of a reply, by stages from the strict to the lenient; which stage it was is counted.

A reply is hostile text of any length: only its ends are looked at, every pattern is of bounded length, and nested brackets cannot
exhaust the stack. Nothing is guessed: what names several options, none of them, or a letter with another option's text is
unparsed, and so is a list of the options. The last statement counts at each stage: a model that corrects itself means its
correction; only two claims in one sentence are none. Statements are read in English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from sagecraft.evaluation import loose_json
from sagecraft.evaluation.claims import Choices, Claim
from sagecraft.evaluation.plain_text import tidy
from sagecraft.evaluation.statements import NEGATION, sentence_of, stated

Stage = Literal["json", "json_in_text", "json_repaired", "stated", "option_text", "letter", "none"]
STAGES: tuple[Stage, ...] = ("json", "json_in_text", "json_repaired", "stated", "option_text", "letter", "none")

#: Characters looked at, at the beginning and at the end.
_END_CHARS = 20_000
#: Longest reply, in words, in which an option that is merely mentioned is taken for the answer: more words mention anything.
_MAX_WORDS = 60
#: Shortest option that is looked for so in more than a few words: "no", "3", "it" stand everywhere.
_MIN_OPTION_CHARS, _FEW_WORDS = 4, 8
#: A reply that goes on to ask itself another question, as models do that were shown examples.
_NEXT_QUESTION = re.compile(r"\n\s{0,8}[#*]{0,4}\s?(?:Question|Problem)\s?\d{0,4}\s?[:.]")


@dataclass(frozen=True)
class Extraction:
    """What was read.

    Attributes:
        letter: the chosen letter, or None.
        stage: how it was found.
    """

    letter: str | None
    stage: Stage

    @classmethod
    def of(cls, letter: str | None, stage: Stage) -> Extraction:
        """What a stage came to, which may be that no option is meant."""
        return cls(letter, "none" if letter is None else stage)


def extract(text: str, options: Sequence[str], cut: bool = False) -> Extraction:
    """Reads the chosen letter.

    Args:
        text: the answer, without any thought.
        options: the texts of the options; a reply may name one of them instead of its letter.
        cut: the reply was cut off: what reaches its end is not whole, and a lone letter in it is no answer.
    """
    choices = Choices(options)
    text = ends_of(text)
    following = _NEXT_QUESTION.search(text)
    if following and text[: following.start()].strip():
        first = _read(text[: following.start()], choices, cut=False)
        if first is not None:
            return first
    return _read(text, choices, cut) or Extraction(None, "none")


def ends_of(text: str) -> str:
    """The part of a reply that is looked at."""
    return text if len(text) <= 2 * _END_CHARS else text[:_END_CHARS] + "\n" + text[-_END_CHARS:]


def _read(raw: str, choices: Choices, cut: bool) -> Extraction | None:
    """What the first stage says that has anything to say."""
    text = ends_of(tidy(raw))
    if found := loose_json.strict(raw):
        return Extraction.of(choices.named_by(found.value), "json")
    stage: Stage = "json_in_text"
    source, found = raw, loose_json.amid(raw)
    if found is None:
        stage, source, found = "json_repaired", text, loose_json.repaired(text, cut)
    if found is not None:
        corrected = stated(tidy(source[found.end :]), choices, cut, pointing=False)
        if corrected is not None:
            return Extraction.of(corrected.letter, "stated")
        return Extraction.of(choices.named_by(found.value), stage)
    claim = stated(text, choices, cut)
    if claim is not None:
        return Extraction.of(claim.letter, "stated")
    if cut:
        return None
    labelled = _labelled(text, choices)
    if labelled is not None:
        return Extraction.of(labelled.letter, "letter")
    option = _mentioned(text, choices)
    return None if option is None else Extraction(option, "option_text")


def _labelled(text: str, choices: Choices) -> Claim | None:
    """What lines claim that are one letter, or begin like "B. …": of the first and the last line, the last.

    Several such lines with different letters are no claim but a list: small models repeat the options when asked to choose.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    labels = [(number, label) for number, line in enumerate(lines) if (label := choices.label_of(line)) is not None]
    for (number, label), (following, other) in pairwise(labels):
        alone = _is_lone(lines[number]) and _is_lone(lines[following]) and following > number + 1
        if label.letter != other.letter and not alone:
            return Claim(None, 0)
    outer = [label for number, label in labels if number in (0, len(lines) - 1)]
    return outer[-1] if outer else None


def _is_lone(line: str) -> bool:
    return sum(map(str.isalnum, line)) == 1


def _mentioned(text: str, choices: Choices) -> str | None:
    """The one option whose text a short reply holds, in sentences that neither deny it nor ask."""
    num_words = len(text.split())
    if num_words > _MAX_WORDS:
        return None
    found = set()
    for begin, end, letter in choices.texts_in(text):
        if end - begin < _MIN_OPTION_CHARS and num_words > _FEW_WORDS:
            continue
        start, stop = sentence_of(text, begin)
        rest = f"{text[start:begin]} {text[end:stop]}"
        if NEGATION.search(rest) or text[stop - 1 : stop] == "?":
            return None
        found.add(letter)
    return found.pop() if len(found) == 1 else None
