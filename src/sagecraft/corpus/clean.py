"""Cleaning: Unicode, spaces and the faults of automatic text recognition. Every step is a pure function of the text.

The repetition rules answer faults that recognised text has (a decoder that repeats a sentence or a letter without
end); each is tested on a planted case. No rule looks into mathematics, tables or code.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable

#: Spaces of other widths (no-break, thin, ideographic …) become a plain one.
_SPACES = dict.fromkeys([0x00A0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000], " ")
#: Marks without width that break words for a tokenizer: soft hyphen, zero-width, direction marks, byte-order mark.
_INVISIBLE = dict.fromkeys([0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])
_LINES = {0x0085: "\n", 0x2028: "\n", 0x2029: "\n", 0x000B: "\n", 0x000C: "\n"}
_CONTROL = {code: None for code in [*range(0x20), *range(0x7F, 0xA0)] if code not in (0x09, 0x0A, 0x0B, 0x0C, 0x85)}
_TABLE = {**_CONTROL, **_INVISIBLE, **_SPACES, **_LINES}
_NEEDS_TABLE = re.compile("[" + "".join(re.escape(chr(code)) for code in _TABLE) + "]")

#: What the repetition rules leave alone: display and inline mathematics, fenced and inline code.
#: A dollar sign before a space opens no formula, one after a space closes none. (That a digit may not follow, as pandoc
#: asks, would lose the `2$\pm$1` of abstracts.)
# A fence ends at the next line that begins with one: no start scans further than that.
_FENCE = r"^```[^\n]*\n(?:(?!```)[^\n]*\n)*```[^\S\n]*$"
PROTECTED = re.compile(
    rf"\$\$.*?\$\$|(?<!\\)\$(?![\s$])[^$\n]*?(?<![\s\\])\$|{_FENCE}|`[^`\n]+`", re.DOTALL | re.MULTILINE
)
_FENCED = re.compile(_FENCE, re.MULTILINE)
_CHAR_RUN = re.compile(r"([^\s\d=\-_*.#~|+<>&^])\1{14,}")
_SENTENCE_END = re.compile(r"[.!?][\"')\]]{0,3} +")
# Words are bounded so that a megabyte without a space costs no more than any other text.
_PHRASE_RUN = re.compile(r"\b((?:\w[\w'’-]{0,40},?[ ]+){1,21}\w[\w'’-]{0,40})(?:,?[ ]+\1\b){3,}")


def normalize_characters(text: str) -> str:
    """NFC; no control or invisible characters; one kind of space and one kind of line end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if _NEEDS_TABLE.search(text):
        text = text.translate(_TABLE)
    return text if unicodedata.is_normalized("NFC", text) else unicodedata.normalize("NFC", text)


def normalize_layout(text: str) -> str:
    """No trailing spaces, no runs of spaces inside a line (indentation and fenced code stay), one blank line at most."""
    lines: list[str] = []
    fenced = False
    for raw in text.replace("\t", "    ").split("\n"):
        line = raw.rstrip()
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced and "  " in line:
            body = line.lstrip(" ")
            line = line[: len(line) - len(body)] + re.sub(" {2,}", " ", body)
        if line or (lines and lines[-1]) or fenced:
            lines.append(line)
    return "\n".join(lines).strip("\n")


def _outside_protected(text: str, rule: re.Pattern[str], replacement: str) -> str:
    pieces: list[str] = []
    end = 0
    for found in PROTECTED.finditer(text):
        pieces += [rule.sub(replacement, text[end : found.start()]), found.group()]
        end = found.end()
    pieces.append(rule.sub(replacement, text[end:]))
    return "".join(pieces)


def drop_char_runs(text: str) -> str:
    """A letter or sign repeated 15 times and more becomes three of it; digits and rules (`----`, `....`) stay."""
    return _outside_protected(text, _CHAR_RUN, r"\1\1\1") if _CHAR_RUN.search(text) else text


def drop_repeated_phrases(text: str) -> str:
    """A phrase of 2 to 22 words that stands four times and more in a row stays once."""
    # Without a word that stands twice at a distance of at most 22 there is no run: the quick test spares the slow one.
    if not _has_near_repeats(text):
        return text
    return _outside_protected(text, _PHRASE_RUN, r"\1")


def _outside_code(text: str, rule: Callable[[str], str]) -> str:
    if "```" not in text:
        return rule(text)
    pieces: list[str] = []
    end = 0
    for found in _FENCED.finditer(text):
        pieces += [rule(text[end : found.start()]), found.group()]
        end = found.end()
    return "".join([*pieces, rule(text[end:])])


def _has_near_repeats(text: str) -> bool:
    """True if some word returns at an equal distance three times in a row: a phrase that repeats must do that."""
    words = text.split()
    last: dict[str, tuple[int, int, int]] = {}
    for position, word in enumerate(words):
        seen = last.get(word)
        if seen is None:
            last[word] = (position, 0, 0)
            continue
        distance = position - seen[0]
        run = seen[2] + 1 if distance == seen[1] else 1
        if run >= 3 and distance <= 22:
            return True
        last[word] = (position, distance, run)
    return False


def drop_repeated_sentences(text: str) -> str:
    """A sentence of at least five words that stands three times and more in a row stays once."""
    return _outside_code(text, _merge_sentences_of_lines)


def _merge_sentences_of_lines(text: str) -> str:
    return "\n".join(_merge_sentences(line) if len(line) > 60 else line for line in text.split("\n"))


def _merge_sentences(line: str) -> str:
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(line)), len(line)]
    sentences = [line[first:last] for first, last in itertools.pairwise(ends) if first < last]
    if len(sentences) < 3:
        return line
    kept: list[str] = []
    start = 0
    while start < len(sentences):
        end = start + 1
        while end < len(sentences) and sentences[end].strip() == sentences[start].strip():
            end += 1
        repeated = end - start >= 3 and len(sentences[start].split()) >= 5
        kept += sentences[start : start + 1] if repeated else sentences[start:end]
        start = end
    return "".join(kept).rstrip()


def drop_repeated_lines(text: str) -> str:
    """A line of at least five words that stands three times and more in a row (blank lines aside) stays once."""
    return _outside_code(text, _merge_lines)


def _merge_lines(text: str) -> str:
    lines = text.split("\n")
    kept: list[str] = []
    start = 0
    while start < len(lines):
        end, last = start + 1, start + 1
        while end < len(lines) and (lines[end] == lines[start] or not lines[end]):
            last = end + 1 if lines[end] else last
            end += 1
        count = sum(line == lines[start] for line in lines[start:last])
        repeated = count >= 3 and len(lines[start].split()) >= 5 and not lines[start].lstrip().startswith("|")
        kept += lines[start : start + 1] if repeated else lines[start:last]
        start = last
    return "\n".join(kept)


def clean(text: str) -> str:
    """Takes all steps in their order."""
    text = normalize_layout(normalize_characters(text))
    text = drop_repeated_lines(drop_repeated_sentences(drop_char_runs(text)))
    return normalize_layout(drop_repeated_phrases(text))
