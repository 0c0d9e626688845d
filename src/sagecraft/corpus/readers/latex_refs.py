r"""Counters and labels: what `\ref` and its kin resolve to.

References may point forward, so the interpreter leaves a mark in the text and `Late.resolve` fills it in at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from sagecraft.corpus.readers.result import ReaderError

#: What stands in the text for something that is known only at the end: NUL cannot come from a file.
_MARK = re.compile("\0(\\d+)\0")

#: Characters that references, citations and code may come to.
MAX_LATE_CHARS = 48_000_000
#: Counters that count within others; a document has a dozen.
MAX_WITHIN = 200

SECTION_LEVELS = {
    "part": -1,
    "chapter": 0,
    "section": 1,
    "subsection": 2,
    "subsubsection": 3,
    "paragraph": 4,
    "subparagraph": 5,
}
_WORDS = {
    "equation": "Equation",
    "figure": "Figure",
    "table": "Table",
    "chapter": "Chapter",
    "appendix": "Appendix",
    "part": "Part",
    "algorithm": "Algorithm",
    "listing": "Listing",
    "enumi": "item",
}


class Late:
    """Pieces of text that are settled when the whole document has been read."""

    def __init__(self) -> None:
        self._pieces: list[Callable[[], str]] = []
        self._left = MAX_LATE_CHARS

    def mark(self, piece: Callable[[], str]) -> str:
        """A mark for the text; `piece` is asked for its replacement at the end."""
        self._pieces.append(piece)
        return f"\0{len(self._pieces) - 1}\0"

    def resolve(self, text: str, depth: int = 0) -> str:
        """Fills in every mark, also those inside replacements."""
        if "\0" not in text or depth > 4:
            return text

        def fill(match: re.Match[str]) -> str:
            text = self.resolve(self._pieces[int(match[1])](), depth + 1)
            self._left -= len(text)
            if self._left < 0:
                raise ReaderError("too-large", f"its references stand for more than {MAX_LATE_CHARS:,} characters")
            return text

        return _MARK.sub(fill, text)


@dataclass
class Target:
    """What a label points to."""

    number: str
    kind: str
    title: str = ""


def roman(value: int) -> str:
    """A number in capital Roman figures."""
    out = ""
    for size, letters in (
        (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
        (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
    ):  # fmt: skip
        count, value = divmod(min(value, 10_000), size)
        out += letters * count
    return out


_SMALL_ROMAN = re.compile(r"(?:x{0,3}(?:ix|iv|v?i{0,3}))(?![a-z])")


def roman_capitals(text: str) -> str:
    """Roman figures set in small capitals (ionisation states) as capitals; other text as it is."""
    core = text.strip()
    return text.upper() if core and _SMALL_ROMAN.fullmatch(core) else text


def letter(value: int) -> str:
    """A number as a capital letter: A, B, …, Z, AA."""
    out = ""
    while value > 0:
        value, rest = divmod(value - 1, 26)
        out = chr(65 + rest) + out
    return out


STYLES: dict[str, Callable[[int], str]] = {
    "\\arabic": str,
    "\\roman": lambda value: roman(value).lower(),
    "\\Roman": roman,
    "\\alph": lambda value: letter(value).lower(),
    "\\Alph": letter,
    "\\fnsymbol": lambda value: "*" * min(value, 9),
}


class Numbering:
    """LaTeX's counters, and the labels that point at their values.

    Args:
        custom: Renders a document's own `\\theequation` and the like; None where it has none.
    """

    def __init__(self, custom: Callable[[str], str | None]) -> None:
        self._custom = custom
        self.values: dict[str, int] = {}
        self.within = {"subsection": "section", "subsubsection": "subsection", "paragraph": "subsubsection"}
        self._children: dict[str, list[str]] | None = None
        self.styles: dict[str, Callable[[int], str]] = {}
        self.chapters = False
        self.appendix = False
        self.depth = 3
        self.labels: dict[str, Target] = {}
        self.current = Target("", "section")

    def tie(self, counter: str, parent: str) -> None:
        """From here a counter begins anew whenever another steps."""
        if counter != parent and len(self.within) < MAX_WITHIN:
            self.within[counter] = parent
            self._children = None

    def use_chapters(self) -> None:
        """The document is a book: sections, equations and floats count within chapters."""
        if not self.chapters:
            self.chapters = True
            for counter in ("section", "equation", "figure", "table"):
                if counter not in self.within:
                    self.tie(counter, "chapter")

    def start_appendix(self) -> None:
        """From here the highest headings are letters."""
        self.appendix = True
        top = "chapter" if self.chapters else "section"
        self.values[top] = 0
        self.styles[top] = letter

    def set(self, counter: str, value: int) -> None:
        """Sets a counter and, as LaTeX does not, nothing below it."""
        if counter == "secnumdepth":
            self.depth = value
        self.values[counter] = max(-10_000, min(value, 1_000_000))

    def step(self, counter: str, kind: str | None = None) -> str:
        """Adds one, resets what counts within, and makes it what `\\label` takes."""
        self.values[counter] = self.values.get(counter, 0) + 1
        self._reset(counter, 0)
        number = self.number(counter)
        kind = kind or counter
        if self.appendix and kind == ("chapter" if self.chapters else "section"):
            kind = "appendix"
        self.current = Target(number, kind)
        return number

    def upcoming(self, counter: str) -> str:
        """The number that the next step of a counter will give."""
        value = self.values.get(counter, 0)
        self.values[counter] = value + 1
        number = self.number(counter)
        self.values[counter] = value
        return number

    def _reset(self, parent: str, depth: int) -> None:
        if self._children is None:
            self._children = {}
            for child, above in self.within.items():
                self._children.setdefault(above, []).append(child)
        for child in self._children.get(parent, ()):
            self.values[child] = 0
            if depth < 10:
                self._reset(child, depth + 1)

    def number(self, counter: str, depth: int = 0) -> str:
        """A counter's value as it is printed."""
        custom = self._custom(f"\\the{counter}") if depth < 5 else None
        if custom is not None:
            return custom
        own = self.styles.get(counter, str)(self.values.get(counter, 0))
        parent = self.within.get(counter)
        if parent is None or depth > 8 or not self.values.get(parent):
            return own
        return f"{self.number(parent, depth + 1)}.{own}"

    def label(self, name: str, target: Target | None = None) -> None:
        """Ties a label to what was numbered last."""
        if name:
            self.labels.setdefault(name, target or self.current)


def reference(command: str, targets: list[Target | None], words: Callable[[str], str | None]) -> str:
    """The text of a reference.

    Args:
        command: Without its backslash: `ref`, `eqref`, `autoref`, `cref`, …
        targets: What its labels point to; None where a label does not exist.
        words: A document's own word for a kind of thing, if it has one.
    """
    if command in ("pageref", "cpageref"):
        return "??"
    if command.lower().startswith("namecref"):
        word = _word(targets[0].kind, words) if targets and targets[0] is not None else "??"
        word += "s" if command.endswith("s") else ""
        return word if command[4] == "C" else word.lower()
    groups: list[tuple[str, list[str]]] = []
    with_words = command in _WITH_WORDS
    for target in targets:
        word = _word(target.kind, words) if with_words and target is not None else ""
        if not groups or groups[-1][0] != word:
            groups.append((word, []))
        groups[-1][1].append(_number(command, target))
    joint = "–" if "range" in command else " and "
    pieces = []
    for word, numbers in groups:
        joined = numbers[0] if len(numbers) == 1 else ", ".join(numbers[:-1]) + joint + numbers[-1]
        pieces.append(f"{word}{'s' if len(numbers) > 1 else ''} {joined}" if word else joined)
    return pieces[0] if len(pieces) == 1 else ", ".join(pieces[:-1]) + " and " + pieces[-1]


_WITH_WORDS = frozenset(
    ["autoref", "cref", "Cref", "Autoref", "fullref", "vref", "Vref", "zcref", "crefrange", "Crefrange"]
)


def _number(command: str, target: Target | None) -> str:
    if target is None:
        return "??"
    if command in ("nameref", "titleref"):
        return target.title or target.number
    if command == "eqref" or (target.kind == "equation" and command in ("cref", "Cref", "crefrange", "Crefrange")):
        return f"({target.number})"
    return target.number


def _word(kind: str, words: Callable[[str], str | None]) -> str:
    own = words(kind) or _WORDS.get(kind)
    if own is not None:
        return own
    return "Section" if kind in SECTION_LEVELS else kind.capitalize()
