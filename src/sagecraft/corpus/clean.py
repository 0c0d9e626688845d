"""Cleaning: Unicode, spaces and the faults of automatic text recognition. Every step is a pure function of the text.

The repetition rules answer faults that recognised text has (a decoder that repeats a sentence or a letter without
end); each is tested on a planted case. No rule looks into mathematics, tables or code.
"""

from __future__ import annotations

import itertools
import operator
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

#: A rule gives back the text, and in how many places it changed something.
Rule = Callable[[str], tuple[str, int]]

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
# A token of running text; a formula or a piece of code is one, a line end stands for itself.
_TOKEN = re.compile(rf"(?:{PROTECTED.pattern})|[^\s$`]+|[$`]|\n", re.DOTALL | re.MULTILINE)
_WORD = re.compile(r"[^\W\d_]{2,}")
#: Longest and shortest phrase, and longest sequences of sentences and of lines, that are looked for.
_PHRASE, _SENTENCES, _LINE_BLOCK = (2, 22), (1, 8), (1, 20)
#: Rounds after which a text that still changes is left as it is; two are the most that were seen to be needed.
_MAX_ROUNDS = 4


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


def _outside_protected(text: str, rule: re.Pattern[str], replacement: str) -> tuple[str, int]:
    pieces: list[str] = []
    end = total = 0
    for found in PROTECTED.finditer(text):
        piece, count = rule.subn(replacement, text[end : found.start()])
        pieces += [piece, found.group()]
        total += count
        end = found.end()
    piece, count = rule.subn(replacement, text[end:])
    return "".join([*pieces, piece]), total + count


def _outside_code(text: str, rule: Rule) -> tuple[str, int]:
    if "```" not in text:
        return rule(text)
    pieces: list[str] = []
    end = total = 0
    for found in _FENCED.finditer(text):
        piece, count = rule(text[end : found.start()])
        pieces += [piece, found.group()]
        total += count
        end = found.end()
    piece, count = rule(text[end:])
    return "".join([*pieces, piece]), total + count


def find_loops(keys: Sequence[Hashable], shortest: int, longest: int, times: int) -> list[tuple[int, int, int]]:
    """Stretches of a sequence in which one period stands at least `times` times in a row.

    Only where every key has been seen at most `longest` places before can there be one, and few places of a healthy
    text are like that: the slow comparison is done there only. Linear in the length of the sequence.

    Args:
        keys: the sequence.
        shortest: least length of a period.
        longest: greatest length of a period.
        times: how often it stands.

    Returns:
        For each stretch its start, its period, and the end of its last whole repeat; in order, none overlaps another.
    """
    last: dict[Hashable, int] = {}
    seen_near = bytearray(len(keys))
    for place, key in enumerate(keys):
        seen_near[place] = place - last.get(key, -1 - longest) <= longest
        last[key] = place
    loops: list[tuple[int, int, int]] = []
    start = seen_near.find(1)
    while start >= 0:
        end = seen_near.find(0, start)
        end = len(keys) if end < 0 else end
        if end - start >= shortest * (times - 1):
            first = max(0, start - longest, loops[-1][2] if loops else 0)
            loops += _loops_of_window(keys[first:end], first, (shortest, longest), times)
        start = seen_near.find(1, end)
    return loops


def _loops_of_window(
    keys: Sequence[Hashable], offset: int, periods: tuple[int, int], times: int
) -> list[tuple[int, int, int]]:
    taken = bytearray(len(keys))
    loops: list[tuple[int, int, int]] = []
    for period in range(periods[0], min(periods[1], len(keys) // times) + 1):
        same = bytes(map(operator.eq, keys[period:], keys))
        needed = b"\x01" * (period * (times - 1))
        start = same.find(needed)
        while start >= 0:
            stop = same.find(0, start)
            stop = len(same) if stop < 0 else stop
            end = start + (stop - start + period) // period * period
            if not any(taken[start:end]):
                taken[start:end] = b"\x01" * (end - start)
                loops.append((start + offset, period, end + offset))
            start = same.find(needed, stop)
    return sorted(loops)


def drop_char_runs(text: str) -> tuple[str, int]:
    """A letter or sign repeated 15 times and more becomes three of it; digits and rules (`----`, `....`) stay."""
    return _outside_protected(text, _CHAR_RUN, r"\1\1\1") if _CHAR_RUN.search(text) else (text, 0)


def drop_repeated_phrases(text: str) -> tuple[str, int]:
    """A phrase of 2 to 22 words that stands four times and more in a row stays once. Rows of tables are left alone."""
    starts, ends = array("Q"), array("Q")
    keys: list[int] = []
    numbers: dict[str, int] = {}
    in_table = at_start = False
    for token in _TOKEN.finditer(text):
        word = token.group()
        if word == "\n":
            in_table, at_start = False, True
        elif at_start or not keys:
            in_table, at_start = word[0] == "|", False
        # What must not be repeated has a number of its own.
        own = word == "\n" or in_table
        keys.append(-len(keys) - 1 if own else numbers.setdefault(word.rstrip(".,;:!?") or word, len(numbers)))
        starts.append(token.start())
        ends.append(token.end())
    pieces: list[str] = []
    end = count = 0
    for start, period, stop in find_loops(keys, *_PHRASE, times=4):
        places = range(start, start + period)
        if not any(text[starts[n]] not in "$`" and _WORD.search(text, starts[n], ends[n]) for n in places):
            continue
        # Of the last repeat its last word stays: the sign that ends the sentence is there.
        pieces += [text[end : ends[start + period - 2]], " "]
        end = starts[stop - 1]
        count += 1
    return ("".join([*pieces, text[end:]]), count) if count else (text, 0)


def drop_repeated_sentences(text: str) -> tuple[str, int]:
    """A sentence of at least five words, or a sequence of up to eight, that stands three times in a row stays once."""
    return _outside_code(text, _merge_sentences_of_lines)


def _merge_sentences_of_lines(text: str) -> tuple[str, int]:
    merged = [_merge_sentences(line) if len(line) > 60 else (line, 0) for line in text.split("\n")]
    return "\n".join(line for line, _ in merged), sum(count for _, count in merged)


def _merge_sentences(line: str) -> tuple[str, int]:
    ends = [0, *(found.end() for found in _SENTENCE_END.finditer(line)), len(line)]
    sentences = [line[first:last] for first, last in itertools.pairwise(ends) if first < last]
    kept, count = _without_loops(sentences, [sentence.strip() for sentence in sentences], _SENTENCES)
    return ("".join(kept).rstrip(), count) if count else (line, 0)


def _without_loops(items: list[str], keys: Sequence[Hashable], periods: tuple[int, int]) -> tuple[list[str], int]:
    """Items without what stands three times in a row, if the repeated part has five words and more."""
    kept: list[str] = []
    end = count = 0
    for start, period, stop in find_loops(keys, *periods, times=3):
        if sum(len(item.split()) for item in items[start : start + period]) >= 5:
            kept += items[end : start + period]
            end = stop
            count += 1
    return ([*kept, *items[end:]], count) if count else (items, 0)


def drop_repeated_lines(text: str) -> tuple[str, int]:
    """A line, or a block of up to twenty, that stands three times in a row (blank lines aside) stays once.

    It must have five words and more; rows of tables are left alone.
    """
    return _outside_code(text, _merge_lines)


def _merge_lines(text: str) -> tuple[str, int]:
    # A blank line goes with the line after it.
    items: list[str] = []
    blanks = ""
    for line in text.split("\n"):
        if line:
            items.append(blanks + line)
            blanks = ""
        else:
            blanks += "\n"
    keys: list[Hashable] = [
        place if item.lstrip().startswith("|") else item.lstrip("\n") for place, item in enumerate(items)
    ]
    kept, count = _without_loops(items, keys, _LINE_BLOCK)
    return ("\n".join([*kept, *([blanks[1:]] if blanks else [])]), count) if count else (text, 0)


#: The repetition rules, in the order in which they are applied.
REPETITION_RULES: dict[str, Rule] = {
    "char_runs": drop_char_runs,
    "repeated_sentences": drop_repeated_sentences,
    "repeated_lines": drop_repeated_lines,
    "repeated_phrases": drop_repeated_phrases,
}


def drop_repetitions(text: str) -> tuple[str, Counter[str]]:
    """Applies the repetition rules until none finds anything more.

    Returns:
        The text, and how often each rule changed something.
    """
    counts: Counter[str] = Counter()
    for _ in range(_MAX_ROUNDS):
        before = text
        for name, rule in REPETITION_RULES.items():
            text, count = rule(text)
            counts[name] += count
        if text == before:
            break
        text = normalize_layout(text)
    return text, +counts


def clean(text: str) -> str:
    """Takes all steps in their order."""
    return normalize_layout(drop_repetitions(normalize_layout(normalize_characters(text)))[0])
