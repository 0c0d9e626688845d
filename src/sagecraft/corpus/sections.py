"""What a block of a document is: prose, or one of the many things around it that state nothing by themselves.

The readers write captions, exercises, glossaries and lists of references as Markdown between the paragraphs. A sentence of
a caption speaks of a picture that no reader of the sentence sees, and one of an exercise is an assumption, not a fact:
17 of the first 301 benchmark items made of a textbook described the axes of a figure, and two took an exercise for a fact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sagecraft.corpus.readers.blocks import END_OF_PART

PROSE = "prose"
CAPTION = "caption"
EXERCISE = "exercise"
REFERENCE = "reference"
GLOSSARY = "glossary"
#: A line that only announces what follows ("… you will be able to:").
LEAD = "lead"

_NUMBERED = r"[A-Z]{0,2}\.?\d+(?:[.–-]\d+)*[a-z]?"
_CAPTION = re.compile(
    rf"(?:\*{{1,2}})?(?:Supplementary |Extended Data )?(?:Figure|Fig|Table|Plate|Box|Scheme|Map|Chart|Video|Listing|Algorithm)s?\.? "
    rf"{_NUMBERED}(?:\*{{1,2}})?[.:|](?:\*{{1,2}})?(?:\s|$)"
)
_PICTURE = re.compile(
    r"(?:\*{1,2})?\(?(?:Photo|Photograph|Image|Illustration|Picture|Diagram|Drawing|Graph|Plot|Map|Painting|Portrait|Chart|Sketch|"
    r"Screenshot|Composite|Artist[’']s (?:conception|impression|rendering|illustration|concept))s? "
    r"(?:of|showing|shows|comparing|with|from|illustrating|depicting) "
)
#: A longer paragraph that begins with "Maps of" is prose: the whole of an abstract was lost.
_MAX_PICTURE_WORDS = 60
#: A description of a picture goes on in paragraphs of its own: "The box at left is labeled …".
_DESCRIPTION = re.compile(r"\b(?:is|are) labell?ed\b")
_EXERCISE = re.compile(r"\*\*(?:Exercise|Example)(?: [\d.]+)?\.")
_PART = re.compile(r"\*\*(?:Strategy|Solution|Significance|Check Your Learning|Answer|Hint)[.:]?\*\*", re.IGNORECASE)
_GLOSS = re.compile(r"\*\*[^*\n]+(?:\*[^*\n]+\*[^*\n]*)*\*\*: ?(?=[a-z(\d])")
_URL = re.compile(r"https?://|\bwww\.|\bdoi:", re.IGNORECASE)
_LINK_TARGET = re.compile(r"(?<=\])\([^)\s]*\)")
#: A block with a link and fewer words is an entry of a list.
_MAX_LINK_WORDS = 30

_NUMBERING = r"(?:(?:[\d.]+|[A-Z]\.|Chapter \d+:?|Appendix [A-Z]?\d*:?) *)?"
_SECTIONS = {
    EXERCISE: r"exercises?|problems?|(?:additional|challenge|conceptual|review|thought|self[- ]check|discussion|multiple choice|test|"
    r"practice|study|critical thinking) (?:exercises|problems|questions|items)|questions|problem sets?|figuring for yourself|"
    r"(?:collaborative|group) (?:group )?activities|homework|quiz|solutions?(?: to .*)?|answers?(?: to .*)?|answer key",
    REFERENCE: r"references?(?: cited)?|bibliography|literature(?: cited)?|works cited|(?:for )?further (?:reading|exploration|"
    r"resources)|suggested reading|articles|books|websites|videos|links|acknowledge?ments?|credits?|(?:author )?contributions?|"
    r"(?:conflicts?|declarations?) of (?:competing )?interests?|funding|data availability(?: statement)?|index|contents|"
    r"table of contents|contributors|(?:contributing )?(?:authors|reviewers)|about the authors?|(?:copyright|licen[cs]e)s?",
    GLOSSARY: r"glossary|key terms|terminology|nomenclature|list of (?:symbols|abbreviations|acronyms)|abbreviations|acronyms",
}
_SECTION_KINDS = {
    kind: re.compile(rf"{_NUMBERING}(?:{names})[.:]?$", re.IGNORECASE) for kind, names in _SECTIONS.items()
}
#: Headings over a list, behind which the section that they open goes on.
_TRANSPARENT = re.compile(rf"{_NUMBERING}(?:learning )?(?:objectives|goals|outcomes|aims)[.:]?$", re.IGNORECASE)

#: Below every heading that is marked as one.
_PLAIN_LEVEL = 7


@dataclass
class Sections:
    """Follows the headings of one document and tells what stands under them."""

    _open: list[tuple[int, str, str]] = field(default_factory=list)
    _in_exercise: bool = False
    _follows_caption: bool = False

    def enter(self, heading: str, level: int = _PLAIN_LEVEL) -> None:
        """A heading begins a section, which ends those of its level and below.

        Args:
            heading: without marks.
            level: 1 to 6; `_PLAIN_LEVEL` for one without a mark.
        """
        while self._open and self._open[-1][0] >= level:
            self._open.pop()
        above = self._open[-1][2] if self._open else PROSE
        own = next((kind for kind, names in _SECTION_KINDS.items() if names.match(heading)), above)
        self._open.append((level, heading, own))
        self._in_exercise = False
        self._follows_caption = False

    @property
    def heading(self) -> str:
        """Of the innermost section that has one of its own; empty before the first."""
        return next((heading for _, heading, _ in reversed(self._open) if not _TRANSPARENT.match(heading)), "")

    def kind_of(self, block: str) -> str:
        """What a block of this section is, which is no heading.

        Args:
            block: Markdown, with its emphasis.
        """
        follows_caption, self._follows_caption = self._follows_caption, False
        if block == END_OF_PART:
            self._in_exercise = False
            return LEAD
        if _EXERCISE.match(block):
            self._in_exercise = True
        if self._in_exercise or _PART.match(block):
            return EXERCISE
        section = self._open[-1][2] if self._open else PROSE
        if section != PROSE:
            return section
        is_picture = _PICTURE.match(block) is not None and len(block.split()) <= _MAX_PICTURE_WORDS
        if is_picture or _CAPTION.match(block) or (follows_caption and _DESCRIPTION.search(block)):
            self._follows_caption = True
            return CAPTION
        if _GLOSS.match(block):
            return GLOSSARY
        is_entry = len(block.split()) < _MAX_LINK_WORDS and _URL.search(_LINK_TARGET.sub("", block))
        return REFERENCE if is_entry else PROSE
