"""What a reply claims at one place: a letter, an option by its text, several of them, or nothing.

All patterns are of bounded length, so a look at one place takes bounded time whatever stands there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.evaluation.plain_text import tidy
from sagecraft.evaluation.tasks import LETTERS

#: Options longer than this are not looked for in replies: nobody writes them out word by word.
_MAX_OPTION_CHARS = 300
#: What may stand around a letter: brackets, quotes, Markdown, LaTeX.
_MARKS = r"(?:[\s(\[{\"'*_`$<>#:]|\\(?:text(?:bf|it|rm)?|math(?:rm|bf|it)|boxed|bf|rm|left|,)(?![a-z])){0,12}"
_ONLY_MARKS = re.compile(_MARKS)
_LEAD = re.compile(
    rf"{_MARKS}(?:(?:either|both|only|clearly|definitely|probably|most\slikely|likely|indeed|simply|therefore|thus|hence|obviously|then)\s{{1,4}}){{0,2}}"
    rf"(?:(?:the\s{{1,4}})?(?:(?:correct|right|best|final)\s{{1,4}})?"
    rf"(?:option|choice|letter|answer|alternative)s?(?:\s{{1,4}}(?:is|are|was)(?!\w)|\s?:)?(?=[\s*_(\[\"'`:$])(?!\s{{1,4}}not\b))?{_MARKS}",
    re.IGNORECASE,
)
_LETTER = re.compile(r"([A-Z])(?![\w'+]|-\w)(?=([)\]}\"'*_`$.>:,;!]{0,8})(?:[ \t]{1,4}([a-z]+))?)")
#: Words behind "the answer is A" that leave it a letter. Before any other it may be a word of its own: "a star", "T cells".
_AFTER_LETTER = frozenset(
    re.findall(
        r"\w+",
        "because since as and for due is are was which that with not but given from when where while it this these in by on at to "
        "the so if they we you there would will can has or of i",
    )
)
_NEXT_LETTER = re.compile(
    r"[)\]}\"'*_`$]{0,6}\s{0,4}(?:[,/&+;]|\b(?:or|and)\b){1,3}\s{0,4}(?:(?:or|and|also)\s{1,4})?(?:(?:option|choice)s?\s{1,4})?[(\[\"'*_`$]{0,4}"
    r"([A-Z])(?![\w'+]|-\w)(?:[)\]}\"'*_`$]{0,4}[ \t]{1,4}([a-z]+))?",
    re.IGNORECASE,
)
#: Words that make a second letter the beginning of a thought of its own: "the answer is A, B is too hot".
_OWN_THOUGHT = frozenset(re.findall(r"\w+", "is was cannot does has would seems can will looks refers describes means"))
_BETWEEN = re.compile(r"[\s.):(\-–—*_\"'\]},=`$]{1,8}")
_NEXT_TEXT = re.compile(
    r"[\"'*_`)]{0,4}\s{0,4}(?:[,/&]|\b(?:or|and)\b)\s{0,4}(?:(?:or|and)\s{1,4})?[\"'*_`(]{0,4}", re.IGNORECASE
)
_ENDS = re.compile(r"\s{0,4}(?:\Z|\n|[.,;:)\"'*_\]}!?`$]|because\b|since\b)", re.IGNORECASE)
_NEXT_WORD = re.compile(r"\s{1,4}([a-z]+)")
_LONE = re.compile(
    rf"{_MARKS}(?:(?:option|answer|choice|letter)\s?:?{_MARKS})?([A-Z])[\s)\]}}\"'*_`$.:,;!>]{{0,12}}", re.IGNORECASE
)
_LABEL = re.compile(r"[\s(\[*_\"'`]{0,6}([A-Za-z])[)\]*_]{0,3}[).:\]][*_\"'`]{0,3}(?=\s|\Z)")
_PLACEHOLDER = re.compile(r"\s*(?:<[^<>]{0,80}>|\[[^\[\]]{0,80}\]|\.{2,3}|…|_{2,})?\s*")
_ARTICLE = re.compile(r"(?:an?|the)\s(?!(?:and|or)\b)", re.IGNORECASE)


def plain(text: str) -> str:
    """An option as it is compared: case, spaces, quotes, an article and a full stop aside."""
    words = " ".join(tidy(text).split()).strip("\"'*_`").rstrip(".").lower().strip()
    return _ARTICLE.sub("", words, count=1) if _ARTICLE.match(words) else words


@dataclass(frozen=True)
class Claim:
    """What is claimed.

    Attributes:
        letter: of the one option; None where it is none of them, several, or letter and text contradict each other.
        end: where the claim ends in the text.
    """

    letter: str | None
    end: int


class Choices:
    """The options of one question, ready to be found in texts that went through `tidy`."""

    def __init__(self, options: Sequence[str]) -> None:
        self.letters = LETTERS[: len(options)]
        texts = [plain(option) for option in options]
        counts = Counter(texts)
        #: Text → letter, of options that no other equals.
        self.by_text = {
            text: letter for text, letter in zip(texts, self.letters, strict=True) if counts[text] == 1 and text
        }
        known = sorted(
            {text for text in texts if 0 < len(text) <= _MAX_OPTION_CHARS}, key=lambda text: (-len(text), text)
        )
        self._pattern = re.compile("|".join(map(_found_as, known)), re.IGNORECASE) if known else None

    def texts_in(self, text: str) -> Iterator[tuple[int, int, str | None]]:
        """Where options are written out: begin, end, and the letter (None if two options have this text)."""
        for found in self._pattern.finditer(text) if self._pattern else ():
            yield found.start(), found.end(), self.by_text.get(plain(found[0]))

    def text_at(self, text: str, at: int) -> tuple[int, str | None] | None:
        """The end and the letter of the option that is written out at a place."""
        found = self._pattern.match(text, at) if self._pattern else None
        return None if found is None else (found.end(), self.by_text.get(plain(found[0])))

    def claim_at(self, text: str, at: int) -> Claim | None:
        """What is claimed at a place, behind marks and words such as "option"; None if nothing is."""
        marked, lead = _ONLY_MARKS.match(text, at), _LEAD.match(text, at)
        begins = [found.end() for found in (marked, lead) if found]  # an option may begin with "both" or "the answer"
        for begin in begins:
            written = self.text_at(text, begin)
            if written is not None and written[0] - begin > 1 and _is_whole(text, written[0]):
                is_own = plain(text[begin : written[0]]).startswith("a ")  # "A and B" is an option's text
                if text.startswith("A ", begin) and written[1] != "A" and not is_own:  # an article, or the letter?
                    return Claim(None, written[0])
                return self._with_others_by_text(text, *written)
        begin = begins[-1]
        written = self.text_at(text, begin)
        letter = _LETTER.match(text, begin)
        if letter is not None and not self._is_a_word(text, letter):
            return self._of_letter(text, letter)
        if written is not None and _is_whole(text, written[0]):  # a lone sign that is no letter: "The answer is 5"
            return self._with_others_by_text(text, *written)
        return None

    def _is_a_word(self, text: str, letter: re.Match[str]) -> bool:
        """Whether a letter is the beginning of words: "A star", "T cells"."""
        if letter[2] or not letter[3] or letter[3] in _AFTER_LETTER:
            return False
        own = self.text_at(text, letter.start(3))
        return own is None or own[1] != letter[1]

    def _of_letter(self, text: str, found: re.Match[str]) -> Claim:
        letter, end = found[1], found.end(1)
        between = _BETWEEN.match(text, end)
        named = self.text_at(text, between.end()) if between else None
        if named is not None and named[1] not in (letter, None) and _ENDS.match(text, named[0]):
            return Claim(None, named[0])
        for place in (end, *(named[:1] if named else ())):
            if self._another_at(text, place, letter):
                return Claim(None, place)
        same = self.by_text.get(letter.lower(), letter)  # options that are letters themselves
        return Claim(letter if letter in self.letters and same == letter else None, end)

    def _another_at(self, text: str, at: int, letter: str) -> bool:
        """Whether another letter is joined on: "A or B", "(A) ice, (B) fire"."""
        second = _NEXT_LETTER.match(text, at)
        if second is None or not second[1].isupper() or second[1] not in self.letters or second[1] == letter:
            return False
        follows = (second[2] or "").lower()
        named = self.text_at(text, second.start(2)) if follows else None
        is_named = named is not None and named[1] == second[1]
        return is_named or not follows or (follows in _AFTER_LETTER and follows not in _OWN_THOUGHT)

    def _with_others_by_text(self, text: str, end: int, letter: str | None) -> Claim:
        joined = _NEXT_TEXT.match(text, end)
        other = self.text_at(text, joined.end()) if joined else None
        return Claim(None if other is not None and other[1] != letter else letter, end)

    def label_of(self, line: str) -> Claim | None:
        """What a line claims that is one letter, or begins like "B. …"."""
        lone = _LONE.fullmatch(line) if len(line) <= 80 else None
        if lone and (lone[1].isupper() or len(line.strip()) > 1):
            letter = lone[1].upper()
            same = self.by_text.get(letter.lower(), letter)
            return Claim(letter if letter in self.letters and same == letter else None, lone.end(1))
        label = _LABEL.match(line)
        if label is None or label[1].upper() not in self.letters:
            return None
        letter = label[1].upper()
        found = _LETTER.match(letter + line[label.end(1) :])
        assert found is not None
        return self._of_letter(letter + line[label.end(1) :], found)

    def named_by(self, value: Any) -> str | None:
        """The letter that a value of JSON names: a letter, an option's text, or both where they agree."""
        if isinstance(value, list | tuple) and len(value) == 1:
            return self.named_by(value[0])
        if isinstance(value, bool | int | float):
            return self.by_text.get(plain(str(value)))
        if not isinstance(value, str):
            return None
        text = tidy(value[: 2 * _MAX_OPTION_CHARS]).strip()
        lone = _LONE.fullmatch(text)
        if lone:
            return lone[1].upper() if lone[1].upper() in self.letters else self.by_text.get(plain(text))
        if (same := self.by_text.get(plain(text))) is not None:
            return same
        claim = self.label_of(text) or self.claim_at(text, 0)
        return None if claim is None else claim.letter


def _is_whole(text: str, end: int) -> bool:
    """Whether an option's text that ends here is meant, and not the beginning of another: "ice cream"."""
    follows = _NEXT_WORD.match(text, end)
    return _ENDS.match(text, end) is not None or (follows is not None and follows[1] in _AFTER_LETTER)


def is_placeholder(value: Any) -> bool:
    """Whether a value is the form's own, repeated: `<one letter>`, `…`."""
    return isinstance(value, str) and bool(value.strip()) and len(value) < 100 and bool(_PLACEHOLDER.fullmatch(value))


def _found_as(text: str) -> str:
    """The pattern that finds an option's text as whole words, and a number that is not a part of another."""
    body = r"\s{1,8}".join(re.escape(word) for word in text.split())
    before = r"(?<!\w)" if re.match(r"\w", text) else ""
    before += r"(?<!\d[.,])(?<![-−])" if text[0].isdigit() else ""
    after = r"(?!\w)" if re.search(r"\w\Z", text) else ""
    after += r"(?![.,]\d)" if text[-1].isdigit() else ""
    return rf"(?:(?<!\w)(?:an?|the)\s{{1,8}})?{before}{body}{after}"
