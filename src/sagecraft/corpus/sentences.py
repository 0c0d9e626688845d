"""Documents as sentences: Markdown in, sentences with their headings out, mathematics kept whole.

A formula is one word here: `mask_math` puts one character sequence without spaces in place of `$…$` and `$$…$$`, so that
neither the splitter nor the rules of `questions` look inside it; `unmask` puts it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sagecraft.corpus.readers.blocks import END_OF_PART
from sagecraft.corpus.sections import LEAD, PROSE, Sections

#: Private-use characters around the number of a formula; they occur in no text (`clean_markdown` removes them).
MATH = re.compile("\ue000(\\d+)\ue001")
#: A mark before a digit may open a price ("$5 or $6") and closes a formula only if that has a sign of mathematics: "$\sim$5".
_FORMULA = re.compile(
    r"\$\$.+?\$\$|(?<!\\)\$(?!\s)(?:[^$\n]++(?<![\s\\])\$(?!\d)|[-+=<>~−–]{1,3}\$|[^$\n\\^_<>=]*+[\\^_<>=][^$\n]*+(?<![\s\\])\$)",
    re.DOTALL,
)
_ONLY_FORMULAS = re.compile(r"^(?:\$[^$]+\$[\s,;.]*)+$")
#: A stop behind one of these ends no sentence, whatever follows.
_ABBREVIATIONS = frozenset(
    [
        "a.k.a",
        "aka",
        "approx",
        "c.f",
        "ca",
        "cf",
        "dr",
        "e.g",
        "ed",
        "eds",
        "eq",
        "eqs",
        "esp",
        "fig",
        "figs",
        "i.e",
        "lt",
        "mr",
        "mrs",
        "ms",
        "mt",
        "op",
        "prof",
        "refs",
        "resp",
        "sect",
        "st",
        "tab",
        "univ",
        "viz",
        "vs",
    ]
)
#: One of these ends none unless a word follows that opens sentences.
_OPEN_ABBREVIATIONS = frozenset(["al", "co", "col", "corp", "dept", "et", "inc", "jr", "ltd", "obs", "sq", "sr"])
#: One of these ends none where a number or a bracket follows ("no. 5"), else it is a word.
_NUMBERED_ABBREVIATIONS = frozenset(
    [
        "art",
        "ch",
        "est",
        "gen",
        "no",
        "nos",
        "p",
        "pp",
        "ref",
        "sec",
        "vol",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sept",
        "oct",
        "nov",
        "dec",
    ]
)
#: Words that open sentences and are seldom names: behind "U.S." or "position A." they tell the end of one.
_OPENING = re.compile(
    r"(?:A|After|All|Although|An|And|Another|Any|As|At|Because|Before|Both|But|By|During|Each|Every|Few|Finally|Further|For|From|Given|He|Hence|Her|Here|His|How|"
    r"However|If|In|Indeed|Instead|Its?|Like|Many|Meanwhile|Moreover|Much|Most|Next|No|Nor|Not|Now|On|Once|One|Only|Or|Our|Perhaps|Recently|Several|She|Since|So|Some|Still|"
    r"Such|That|The|Their|Then|There|Therefore|These|They|This|Those|Though|Thus|To|Today|Two|Under|Unlike|Until|Using|We|What|When|Whenever|Where|Whereas|"
    r"Whether|Which|While|Who|Why|With|Within|Without|Yet|You|Your|[A-Z][a-z]+ly)(?:,? (?!et al|and\b|& |[A-Z]\.)|$)"
)
_END = re.compile(r"[.!?][\"'”’)\]]*(?=\s)")
_FENCE = re.compile(r"^(```|~~~)")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$")
_NOT_PROSE = re.compile(r"^(\||[-*+] |\d+[.)] |>|!\[|<|\[\^|:::|\s{4,}\S)")
_CITATION = re.compile(r"\s*\[(?:@[^\]]+|\d+(?:\s*[,–-]\s*\d+)*)\]")
#: "(Figure 2)", "(see the chapter on …)": where to look, as a citation says; a sentence read alone has no figure beside it.
_POINTER = re.compile(
    r"\s?\((?:(?:(?:see|cf\.|e\.g\.,?) (?:also )?)?(?:the )?(?:Figures?|Figs?\.?|Tables?|Sections?|Sect\.|§|Appendix|Appendices|"
    r"Chapters?|Equations?|Eqs?\.?|Box|Boxes|Examples?|Panels?)\b[^()]{0,60}|[Ss]ee (?!,)[^()]{1,100}|"
    r"(?:as )?(?:shown|seen|discussed|described|illustrated|given|listed|mentioned) (?:in|by|on) [^()]{1,80})\)"
)
_LINK = re.compile(r"!?\[([^\]]{0,500})\]\([^)\s]*(?:\s\"[^\"]*\")?\)")
#: Bounded, as links are: a page of openings without an end would take time that grows with its square.
_EMPHASIS = re.compile(r"(?<![\w*\\])(\*{1,3}|_{1,3})(?=\S)(.{1,300}?)(?<=\S)\1(?![\w*])")
_ALL_EMPHASIS = re.compile(r"(\*{1,3}|_{1,3})([^*_]+)\1")

MAX_SENTENCE_CHARS = 700
#: Characters beside a stop that are looked at.
_MAX_LOOK = 40
#: How a sentence begins: with a capital, a digit, a mark, a formula, a name such as "eBook", a command of TeX.
_BEGINS = re.compile(r"[A-Z\d\"'“‘(\[\ue000]|[a-z]{1,4}[A-Z]|\\[a-z]+\{")


@dataclass(frozen=True)
class Sentence:
    """One sentence of a document.

    Attributes:
        text: as it stands there, citations, pointers ("(Figure 2)") and emphasis removed, white space single.
        heading: of its section; empty before the first.
        position: running number in the document.
        paragraph: running number of the paragraph that it stands in.
    """

    text: str
    heading: str
    position: int
    paragraph: int = 0


def mask_math(text: str) -> tuple[str, list[str]]:
    """The text with every formula as one word, and the formulas."""
    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        formulas.append(re.sub(r"\s+", " ", found.group(0)))
        return f"\ue000{len(formulas) - 1}\ue001"

    return _FORMULA.sub(keep, text), formulas


def formulas_in(text: str) -> list[tuple[int, int]]:
    """Where the formulas of a text stand: first character, and behind the last one."""
    return [found.span() for found in _FORMULA.finditer(text)]


def unmask(text: str, formulas: list[str]) -> str:
    """Puts the formulas back."""
    return MATH.sub(lambda found: formulas[int(found.group(1))], text)


def clean_markdown(text: str) -> str:
    """One paragraph without citations, pointers to figures and chapters, links and emphasis, on one line."""
    text = text.replace("\ue000", "").replace("\ue001", "").replace("\u00a0", " ")
    # Runs of spaces first: the pattern of citations would begin at each of them and go on to the last.
    text = re.sub(r"[ \t]{2,}", " ", text)
    masked, formulas = mask_math(text)
    masked = _POINTER.sub("", _LINK.sub(r"\1", _CITATION.sub("", masked)))
    if found := _ALL_EMPHASIS.fullmatch(masked):
        masked = found.group(2)
    masked = _EMPHASIS.sub(r"\2", masked).replace("`", "").replace("**", "")
    return unmask(re.sub(r"\s+", " ", masked).strip(), formulas)


def paragraphs(text: str) -> Iterator[tuple[str, str]]:
    """Paragraphs of prose of a Markdown text as (heading, paragraph), cleaned (`clean_markdown`)."""
    for heading, block in prose_blocks(text):
        yield heading, clean_markdown(block)


def prose_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Paragraphs of prose of a Markdown text as (heading, Markdown).

    Tables, lists, code and quotations are left out, and so is what `sections` tells from prose: captions, exercises,
    glossaries, references. A displayed formula belongs to the sentence that it stands in, though blank lines part them.
    """
    sections = Sections()
    for block in _joined(_blocks(text)):
        if heading := heading_of(block):
            sections.enter(*heading)
            continue
        kind = sections.kind_of(block)
        if kind == PROSE and _is_short_line(block):
            kind = LEAD
            if not block.rstrip("*_ ").endswith((":", ",", ";", ")", "-", "–")):
                # A short line without a full stop is a heading of a plain text.
                sections.enter(clean_markdown(block))
        if kind == PROSE:
            yield sections.heading, block


def heading_of(block: str) -> tuple[str, int] | None:
    """The text and the level of a block that is a marked heading, else None."""
    found = _HEADING.match(block)
    return (clean_markdown(found.group(2)), len(found.group(1))) if found else None


def _is_short_line(block: str) -> bool:
    is_open = "$" not in block and not block.rstrip().endswith((".", "!", "?", '."', ".”", ".)"))
    return is_open and len(block.split()) <= 12


def _blocks(text: str) -> Iterator[str]:
    lines: list[str] = []
    fenced = False
    in_formula = False
    every = [*text.splitlines(), ""]
    marks = _open_marks(every)
    for number, line in enumerate(every):
        if _FENCE.match(line.strip()):
            fenced = not fenced
            continue
        if fenced:
            continue
        in_formula ^= number in marks
        ends = (not line.strip() and not in_formula) or _HEADING.match(line) or line == END_OF_PART
        if ends and lines:
            yield "\n".join(lines)
            lines = []
        if _HEADING.match(line) or line == END_OF_PART:
            yield line
        elif line.strip() and (lines or in_formula or not _NOT_PROSE.match(line)):
            lines.append(line)
        elif line.strip():
            yield ""  # a table or a list ends the paragraph before it


def _open_marks(lines: list[str]) -> set[int]:
    """The lines on which a displayed formula begins or ends on another one.

    Two formulas side by side ("$\\sim$$5$") are no mark of one, and a mark without a partner opens nothing: either took the
    rest of a document with it.
    """
    marked = [number for number, line in enumerate(lines) if "$$" in line and _FORMULA.sub("", line).count("$$") % 2]
    return set(marked[: len(marked) // 2 * 2])


def _joined(blocks: Iterator[str]) -> Iterator[str]:
    """Puts displayed formulas back into the sentence around them."""
    held = ""
    for block in blocks:
        if not block:
            continue
        is_formula = block.lstrip().startswith("$$") or _ONLY_FORMULAS.match(block.strip()) is not None
        runs_on = held and (
            (is_formula and not _HEADING.match(held)) or (held.rstrip().endswith("$$") and block.lstrip()[:1].islower())
        )
        if runs_on:
            held = f"{held} {block}"
        else:
            if held:
                yield held
            held = block
    if held:
        yield held


def split_sentences(paragraph: str) -> list[str]:
    """Splits one paragraph; formulas, abbreviations, initials and decimals do not end a sentence."""
    masked, formulas = mask_math(paragraph)
    # A formula that carries the full stop itself ends the sentence when a capital follows.
    masked = MATH.sub(lambda m: m.group(0) + ("." if _ends(formulas[int(m.group(1))]) else ""), masked)
    masked = re.sub("(\ue001\\.)\\s*\\.", r"\1", masked)
    out: list[str] = []
    start = 0
    for found in _END.finditer(masked):
        if _is_end(masked, start, found):
            out.append(masked[start : found.end()].strip())
            start = found.end()
    out.append(masked[start:].strip())
    return [re.sub(r"(\.\s*\$\$)\.$", r"\1", unmask(part, formulas)) for part in out if part]


def _ends(formula: str) -> bool:
    return formula.startswith("$$") and formula[:-2].rstrip().endswith(".")


def _is_end(text: str, start: int, found: re.Match[str]) -> bool:
    after = text[found.end() : found.end() + _MAX_LOOK].lstrip()
    if not after[:1].isupper() and not _BEGINS.match(after):
        return False
    if text[found.start()] != ".":
        return True
    before = text[max(start, found.start() - _MAX_LOOK) : found.start()]
    word = re.search(r"[\w.]*$", before)
    last = word.group(0) if word else ""
    opens = _OPENING.match(after.lstrip('"“‘(')) is not None
    lowered = last.lower() if not (last.isupper() and len(last) > 1) or "." in last else ""  # "CO" is no company
    if lowered in _ABBREVIATIONS:
        return False
    if lowered in _NUMBERED_ABBREVIATIONS:
        return after[0].isalpha() or opens
    if lowered in _OPEN_ABBREVIATIONS or re.fullmatch(r"(?:[A-Za-z]{1,2}\.)+[A-Za-z]", last):  # "U.S", "Ph.D", "p.m"
        return opens
    if re.fullmatch(r"\d{1,3}", last) and re.match(r"\d+ ?[a-z%°]", after):  # a decimal whose line was broken
        return False
    is_letter = len(last) == 1 and last.isalpha() and last.isupper()
    return not is_letter or opens or _is_no_initial(before, text[found.start() : found.end()])


def _is_no_initial(before: str, stop: str) -> bool:
    """Whether a single capital before a stop is a unit, a part of a longer name or in quotation marks: no letter of somebody's name."""
    return re.search(r"(?:[\d°\ue001]\s?|\w\w[-/*]|[)\ue001][-/*])[A-ZÅ]$", before) is not None or stop.endswith(
        ("”", '"', "’")
    )


def sentences_of(text: str) -> Iterator[Sentence]:
    """All sentences of a document's prose, in order."""
    position = 0
    for number, (heading, paragraph) in enumerate(paragraphs(text)):
        for sentence in split_sentences(paragraph):
            if len(sentence) <= MAX_SENTENCE_CHARS:
                yield Sentence(text=sentence, heading=heading, position=position, paragraph=number)
            position += 1
