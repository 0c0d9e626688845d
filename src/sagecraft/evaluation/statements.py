"""Statements of an answer in English prose: "the answer is B", "**Answer:** (C)", "I choose D", "Option A is correct"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sagecraft.evaluation.claims import Choices

#: Words that deny what stands in the same sentence.
NEGATION = re.compile(
    r"\b(?:not|no|none|never|neither|nor|without|except|unlike|incorrect(?:ly)?|wrong(?:ly)?|false|rather\sthan|instead\sof|"
    r"ruled?\sout|eliminated?|cannot|unlikely|if|whether|unless|would|might|may|could)\b|n't\b",
    re.IGNORECASE,
)
_IS = (
    r"(?:(?:is|was|are|(?:would|should|must|will)\s(?:\w{1,12}\s)?be|has\sto\sbe|seems\sto\sbe|appears\sto\sbe)\b(?:\s?:)?"
    r"|:|=|→|-{1,2}>|[–—-](?=\s))"
)
#: What a claim follows.
_BEFORE = re.compile(
    rf"\b(?:answer|(?:correct|right|best|final|chosen|likely|appropriate|accurate)\s(?:option|choice|letter|one|statement|response|answer))"
    rf"\b[*_\"`]{{0,3}}(?:\s(?:to|for|here|of|among|in)\b[^.?!\n:]{{0,80}}?)?[*_\"`)]{{0,3}}\s{{0,4}}{_IS}"
    rf"|\\boxed\{{|####|</?answer>|\b(?:correct|right)\s?:|\b(?:my\s)?(?:choice|selection|pick|selected|verdict)\s?(?:is\b|:)"
    rf"|(?m:^[ \t#*_>]{{0,8}}(?:(?:my|the)\s)?(?:final\s|correct\s)?answer[ \t:*_#]{{0,6}}\n)"
    rf"|\bI(?:\s(?:would|will)|'d|'ll)?\s(?:choose|chose|pick|picked|select|selected|go\swith|opt\sfor|answer\swith|say)\b"
    rf"|\bI(?:\s(?:think|believe|am\ssure)|'m\ssure)\s(?:that\s)?(?:it\sis|it's|its)\b",
    re.IGNORECASE,
)
#: A letter of which something follows that makes it the answer.
_LETTER_IS = re.compile(
    r"(?P<head>\A|[.!?:;,\n>]\s{0,8}|\b(?:option|choice|answer|letter|so|thus|hence|therefore|that|only|and|but|because|since)\s{1,4})"
    r"[(\[*_\"'`]{0,4}(?P<letter>[A-J])[)\]*_\"'`.:]{0,4}(?:\s{1,4}\([^()\n]{1,80}\))?\s{1,4}"
    r"(?:is|would\sbe|must\sbe|should\sbe|has\sto\sbe|seems|appears)\s{1,4}"
    r"(?:(?:clearly|definitely|therefore|thus|probably|likely|obviously|indeed|most\slikely)\s{1,4})?(?:the\s{1,4})?"
    r"(?:(?:only|single|one|most|best|likely)\s{1,4}){0,2}(?:correct|right|best|true|accurate|appropriate|answer)\b(?!\s(?:of|about|for|in)\s(?:the\s)?other)",
    re.IGNORECASE,
)
#: A letter that ends a conclusion: "So B.", "It must be (C)".
_CONCLUDED = re.compile(
    r"\b(?:so|thus|hence|therefore|it's|it\sis|that's|it\smust\sbe|it\shas\sto\sbe)[,:]?\s{1,3}(?:(?:option|choice)\s)?"
    r"(?=[(\[*_\"'`]{0,4}[A-J][)\]*_\"'`]{0,4}\s{0,2}(?:[.!,;\n]|\Z))",
    re.IGNORECASE,
)
#: A letter that is pointed at: "Option B", "(B)". It counts where no other is.
_POINTED = re.compile(
    r"\b(?:[Oo]ption|OPTION|[Cc]hoice|[Aa]nswer)\s{1,3}[(\[*_\"'`]{0,4}([A-J])(?![\w'+]|-\w)|(?<![\w\\])\(([A-J])\)"
)
_SENTENCE_ENDS = re.compile(r"[.!?](?=[\s\"'*_)\]}]|\Z)|\n")
#: Beginnings of a sentence after which it states nothing, or something else.
_HYPOTHETICAL = re.compile(r"\b(?:if|whether|unless|suppose|supposing|assuming)\b[^,]{0,80}\Z", re.IGNORECASE)
_DOUBTED = re.compile(
    r"\bdoubt\b[^,.]{0,40}\Z|(?:\bnot|n't)\s(?:think|believe|say|sure|mean|know|certain|claim)\b[^,.]{0,40}\Z|\bfrom\sbeing\b[^,.]{0,20}\Z",
    re.IGNORECASE,
)
_OTHER = re.compile(
    r"\b(?:wrong|incorrect|false|worst|bad|other|previous|your|another|first|initial|student's|example|sample|possible|no|every|each|least\s\w{1,20})"
    r"\s{1,4}(?:final\s|correct\s)?\Z",
    re.IGNORECASE,
)
_LOOK_BACK, _LOOK_AHEAD = 120, 400


@dataclass(frozen=True)
class Statement:
    """One statement: the letter (None: several, none of the options, or contradictory), where it begins and ends."""

    letter: str | None
    begin: int
    end: int


def stated(text: str, choices: Choices, cut: bool, pointing: bool = True) -> Statement | None:
    """The last statement; None if there is none. Two that differ in one sentence are none of the options.

    Args:
        text: tidied.
        choices: the options.
        cut: the text was cut off, so a claim that reaches its end may be the beginning of another word.
        pointing: take a letter that is merely pointed at, where nothing is stated.
    """
    found = [one for one in _statements(text, choices) if not (cut and one.end >= len(text.rstrip()))]
    if not found:
        return _pointed(text, choices, cut) if pointing else None
    found.sort(key=lambda one: one.end)
    last = found[-1]
    start, _ = sentence_of(text, last.begin)
    for other in found[:-1]:
        if other.begin >= start and other.letter != last.letter:
            return Statement(None, last.begin, last.end)
    return last


def _statements(text: str, choices: Choices) -> Iterator[Statement]:
    for match in (*_BEFORE.finditer(text), *_CONCLUDED.finditer(text)):
        claim = choices.claim_at(text, match.end())
        if claim is not None and _is_meant(text, match.start(), claim.end):
            yield Statement(claim.letter, match.start(), claim.end)
    for match in _LETTER_IS.finditer(text):
        letter = match["letter"]
        if letter.isupper() and _is_meant(text, match.start("letter"), match.end()):
            joined = re.search(
                r"[A-J]\)?\s{1,3}(?:and|or|/|&)\s{1,3}\Z",
                text[max(0, match.start("letter") - 12) : match.start("letter")],
            )
            yield Statement(
                letter if letter in choices.letters and not joined else None, match.start("letter"), match.end()
            )


def _pointed(text: str, choices: Choices, cut: bool) -> Statement | None:
    """The one letter that the text points at, if no sentence denies it or asks."""
    found: list[Statement] = []
    for match in _POINTED.finditer(text):
        begin, end = match.span()
        start, stop = sentence_of(text, begin)
        denied = NEGATION.search(text, start, begin) or NEGATION.search(text, end, min(stop, end + _LOOK_AHEAD))
        if denied or text[stop - 1 : stop] == "?" or (cut and end >= len(text.rstrip())):
            return None
        found.append(Statement(match[1] or match[2], begin, end))
    letters = {one.letter for one in found}
    return found[-1] if len(letters) == 1 and letters <= set(choices.letters) else None


def _is_meant(text: str, begin: int, end: int) -> bool:
    """Whether a statement is one: not asked, not supposed, not denied, and not about another answer."""
    start, stop = sentence_of(text, begin, end)
    before = text[start:begin]
    if text[stop - 1 : stop] == "?":
        return False
    return not (_HYPOTHETICAL.search(before) or _DOUBTED.search(before) or _OTHER.search(before))


def sentence_of(text: str, begin: int, end: int | None = None) -> tuple[int, int]:
    """Where the sentence around a place begins and ends, looking a few hundred characters far."""
    back = max(0, begin - _LOOK_BACK)
    ends = [match.end() for match in _SENTENCE_ENDS.finditer(text, back, begin)]
    ahead = begin if end is None else end
    stop = _SENTENCE_ENDS.search(text, ahead, min(len(text), ahead + _LOOK_AHEAD))
    return (ends[-1] if ends else back), (stop.end() if stop else min(len(text), ahead + _LOOK_AHEAD))
