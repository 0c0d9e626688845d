"""Text of blocks: line ends joined, hyphens undone, notes set where their marks stand, paragraphs rejoined over columns and pages."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from sagecraft.corpus.readers.blocks import collapse, escape_text, raise_or_lower
from sagecraft.corpus.readers.pdf_blocks import Block, Measures, note_of
from sagecraft.corpus.readers.pdf_lines import END, LOWERED, RAISED, Line

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_BROKEN = re.compile(r"([^\W\d_]+(?:-[^\W\d_]+)*)-$")
_MOVED = re.compile(rf"([{RAISED}{LOWERED}])([^{END}]*){END}")
#: A raised number after a word of four letters and more, or after a closing sign, is the mark of a note or a citation.
_MARK_PLACE = re.compile(r"(?:[^\W\d_]{4,}|[.,;:!?)\]”’])$")
_NOTE_PLACE = re.compile(r"(?:[^\W\d_]{3,}|[.,;:!?)\]”’])$")
#: So many letters of the second half of a compound tell it apart.
_STEM = 4
_MARK = re.compile(r"\d[\d,;–\- ]{0,11}|[a-z]|[*†‡§¶∗]{1,3}")
_OPEN_END = re.compile(r"[.!?:][\"'”’)\]]*$")
#: Blocks between two parts of a paragraph that is broken by a column or a page.
_PASSED_OVER = frozenset({"caption", "note", "table", "contents", "fragment"})
_FARTHEST = 12


def is_note_mark(before: str, mark: str) -> bool:
    """True if what is raised behind `before` is the mark of a note or a citation, not an exponent."""
    return bool(_MARK.fullmatch(mark) and _MARK_PLACE.search(before))


class Vocabulary:
    """Words of a document, by which a hyphen at a line end is judged."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.words: Counter[str] = Counter()
        self.stems: set[str] = set()
        tail = False
        for line in lines:
            found = _WORD.findall(line)
            if tail and found:
                found = found[1:]  # the second half of a broken word is none
            tail = line.endswith("-")
            if tail and found:
                found.pop()
            for word in found:
                self.words[word.casefold()] += 1
                if "-" in word:
                    parts = word.casefold().split("-")
                    self.words.update(part + "-" for part in parts[:-1])
                    self.stems.update(f"{a}-{b[:_STEM]}" for a, b in itertools.pairwise(parts))

    def knows(self, first: str, second: str) -> bool:
        """True if two halves are found elsewhere as one word, with or without a hyphen."""
        return bool(self.words[(first + second).casefold()] or self.words[f"{first}-{second}".casefold()])

    def joined(self, first: str, second: str) -> str:
        """Two halves of a word as one, with its hyphen if it is a real one.

        A hyphen stays if the hyphenated form is found elsewhere and the joined one is not, before a capital or after a
        single letter; and after a word that is seen with a hyphen but never takes part in the joined form.
        """
        whole, hyphened = (first + second).casefold(), f"{first}-{second}".casefold()
        if self.words[whole]:
            return first + second
        if self.words[hyphened] or second[:1].isupper() or len(first.rpartition("-")[2]) == 1:
            return f"{first}-{second}"
        last = first.rpartition("-")[2].casefold()
        if f"{last}-{second.casefold()[:_STEM]}" in self.stems:  # `re-emit` tells of `re-emission`
            return f"{first}-{second}"
        compound = self.words[last + "-"] >= 2 and self.words[second.casefold()] >= 2 and len(last) > 3
        return f"{first}-{second}" if compound else first + second


def join_lines(texts: Sequence[str], vocabulary: Vocabulary, counts: Counter[str]) -> str:
    """Lines to running text."""
    out = ""
    for text in texts:
        text = text.strip()
        if not out:
            out = text
            continue
        broken = _BROKEN.search(out[-80:])
        following = _WORD.match(text)
        if broken and following:
            counts["hyphens_undone"] += 1
            start = len(out) - len(broken[0])
            out = out[:start] + vocabulary.joined(broken[1], following[0]) + text[following.end() :]
        elif (
            out.endswith(("—", "/"))
            or (out.endswith("-") and text[:1].isdigit())
            or (out.endswith("–") and out[-2:-1].isalnum())
        ):
            out += text
        else:
            out = f"{out} {text}"
    return out


def finish(text: str, counts: Counter[str]) -> str:
    """Marked text to Markdown: marks of notes go, other raised and lowered parts become mathematics."""
    parts: list[str] = []
    end = 0
    for found in _MOVED.finditer(text):
        parts.append(escape_text(_plain(text[end : found.start()])))
        end = found.end()
        raised, inner = found[1] == RAISED, _plain(found[2]).strip()
        if raised and is_note_mark("".join(parts[-4:])[-8:], inner):
            counts["marks_dropped"] += 1
        elif inner:
            parts.append(raise_or_lower(escape_text(inner).replace("\\$", ""), raised))
    parts.append(escape_text(_plain(text[end:])))
    return collapse("".join(parts))


def _plain(text: str) -> str:
    return re.sub(f"[{RAISED}{LOWERED}{END}]", "", text)


class Paragraphs:
    """Gives every block its text.

    Args:
        blocks: in reading order; they are changed.
        usual: measures of the document.
        counts: what was done.
    """

    def __init__(self, blocks: list[Block], usual: Measures, counts: Counter[str]) -> None:
        self.usual = usual
        self.counts = counts
        self.vocabulary = Vocabulary(line.plain() for block in blocks for line in block.lines)
        self.notes = self._collect_notes(blocks)

    def _collect_notes(self, blocks: list[Block]) -> dict[tuple[int, str], tuple[Block, str]]:
        notes: dict[tuple[int, str], tuple[Block, str]] = {}
        for block in blocks:
            if block.kind == "note":
                notes.setdefault((block.lines[0].page, note_of(block)[0]), (block, self.note(block)))
        return notes

    def note(self, block: Block) -> str:
        """Text of a note without its mark."""
        texts = [note_of(block)[1], *(line.text() for line in block.lines[1:])]
        return join_lines(texts, self.vocabulary, self.counts)

    def raw(self, lines: Sequence[Line]) -> str:
        """Running text of lines, with footnotes in brackets where their marks stand."""
        return join_lines([self._with_notes(line) for line in lines], self.vocabulary, self.counts)

    def _with_notes(self, line: Line) -> str:
        text = line.text()
        if not self.notes or RAISED not in text:
            return text

        def place(found: re.Match[str]) -> str:
            before = _plain(text[max(0, found.start() - 12) : found.start()])
            if found[1] != RAISED or not _NOTE_PLACE.search(before):
                return found[0]  # an exponent
            known = self.notes.pop((line.page, found[2].strip()), None)
            if known is None:
                return found[0]
            block, note = known
            block.kind = "placed"
            self.counts["notes"] += 1
            return f" ({note})"

        return _MOVED.sub(place, text)

    def finish(self, text: str) -> str:
        """Marked text to Markdown."""
        return finish(text, self.counts)


def rejoin(blocks: list[Block], usual: Measures) -> int:
    """Puts the parts of paragraphs together that a column, a page or a float broke. Returns how many."""
    num_joined = 0
    index = 0
    while index < len(blocks):
        block = blocks[index]
        while block.kind == "body":
            follower = _follower(blocks, index, usual)
            if follower is None:
                break
            block.lines = block.lines + blocks.pop(follower).lines
            num_joined += 1
        index += 1
    return num_joined


def _follower(blocks: list[Block], index: int, usual: Measures) -> int | None:
    block = blocks[index]
    if abs(block.size - usual.size) > 0.15 * usual.size:
        return None
    for other in range(index + 1, min(index + 1 + _FARTHEST, len(blocks))):
        candidate = blocks[other]
        if candidate.kind in _PASSED_OVER or (candidate.kind == "body" and candidate.size < 0.95 * block.size):
            continue
        if candidate.kind != "body":
            return None
        apart = candidate.lines[0].column != block.lines[-1].column or other > index + 1
        return other if _goes_on(block, candidate, usual, apart) else None
    return None


def _goes_on(block: Block, candidate: Block, usual: Measures, apart: bool) -> bool:
    if abs(candidate.size - block.size) > 0.06 * block.size:
        return False
    last, first = block.lines[-1].plain().rstrip(), candidate.lines[0].plain()
    ended = bool(_OPEN_END.search(last))
    if last.endswith("-") and first[:1].isalpha():
        return True
    if not apart:
        return not ended and first[:1].islower() and _is_full(block.lines[-1])
    if not ended:
        return first[:1].islower() or not candidate.indented
    return usual.indents and not candidate.indented and _is_full(block.lines[-1]) and len(block.lines) > 1


def _is_full(line: Line) -> bool:
    return line.x1 > line.right - 1.0 * line.size
