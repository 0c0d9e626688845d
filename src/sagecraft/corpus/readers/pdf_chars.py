"""A page of a PDF as words with their places, sizes and fonts. Runs in the child process only.

Every character is asked for its code, its text object and its box; what the object says (size, font, direction) is asked
once an object. pdfium invents spaces and line ends; they are left aside, since places say more.
"""

from __future__ import annotations

import ctypes
import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Gap between two letters, in units of the font size, from which it is a space between words. TeX's smallest space between
#: words is 0.22 em, kerning stays under 0.1 em.
WORD_GAP = 0.16
#: Baselines that differ by less than this share of the size are one.
SAME_BASELINE = 0.08
_MATH_FONT = re.compile(
    r"CM(?:MI|SY|EX|BSY|MIB)\d|MSAM|MSBM|EUFM|EURM|RSFS|Math|(?:tx|px|new)\w*(?:mi|sy|ex)\b|MT(?:MI|SY|EX)|Symbol|"
    r"MathematicalPi|stmary|wasy|esint",
    re.IGNORECASE,
)
_BOLD_FONT = re.compile(r"bold|black|heavy|demi|medi(?!um)|cmbx|cmssbx|sfbx|\bcmb\d|bx\d", re.IGNORECASE)
_ITALIC_FONT = re.compile(r"ital|obli|cmti|cmsl|sfti|slanted", re.IGNORECASE)
#: Their letters are pictures.
_ICON_FONT = re.compile(r"awesome|dingbat|wingding|webding|marvosym|academicon|icons?\b|emoji", re.IGNORECASE)
#: Fonts of large operators, and what stands in them at the places of letters.
_OPERATOR_FONT = re.compile(r"CMEX|MathExt|LMEX|\b[tp]xex|MTEX", re.IGNORECASE)
_OPERATORS = dict(zip("PXQYRZHIpqrst", "∑∑∏∏∫∫∮∮√√√√√", strict=True))
_FORCE_BOLD = 1 << 18
_ITALIC_FLAG = 1 << 6
_TEXT, _FORM = 1, 5
_MAX_FORM_DEPTH = 8
#: Accents that a font sets as letters of their own, over or under the letter that they belong to.
_ACCENTS = {
    "´": "\u0301", "`": "\u0300", "ˋ": "\u0300", "ˊ": "\u0301", "¨": "\u0308", "ˆ": "\u0302", "˜": "\u0303", "¯": "\u0304",
    "ˉ": "\u0304", "˘": "\u0306", "ˇ": "\u030c", "˚": "\u030a", "¸": "\u0327", "˙": "\u0307", "˝": "\u030b", "˛": "\u0328",
}  # fmt: skip
#: Ligatures of fonts that do not say what their letters are, as old TeX made them: by their places in its two encodings.
_LIGATURES = (
    dict(zip(range(11, 16), ("ff", "fi", "fl", "ffi", "ffl"), strict=True)),
    dict(zip(range(27, 32), ("ff", "fi", "fl", "ffi", "ffl"), strict=True)),
)
_HYPHENS = {0x02: "-", 0xAD: "-", 0xFFFE: "-", 0x2010: "-", 0x2011: "-"}


@dataclass(slots=True)
class Word:
    """Letters without a space between them, on one baseline.

    Attributes:
        text: the letters.
        x0: left end, in points.
        x1: right end.
        y: baseline, upwards from the foot of the page.
        size: of the font, as it is seen.
        bold: by the font's name or flag.
        math: set in a font made for formulas.
        italic: by the font's name or flag.
        spaced: a space character stands before it.
    """

    text: str
    x0: float
    x1: float
    y: float
    size: float
    bold: bool
    math: bool
    italic: bool
    spaced: bool


@dataclass
class Page:
    """What a page holds.

    Attributes:
        width: in points, as it is seen.
        height: in points.
        words: in the order of the page's content.
        turned: text that does not run like the rest of the page, such as stamps on the margin.
        counts: characters that were left out, by reason.
    """

    width: float
    height: float
    words: list[Word] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _Font(NamedTuple):
    bold: bool = False
    math: bool = False
    italic: bool = False
    icon: bool = False
    operators: bool = False


@dataclass(frozen=True, slots=True)
class _Style:
    """What letters of one text object share: font with its address, size, direction, whether it is in a drawing."""

    size: float
    quarter: int
    figure: bool
    font: _Font
    address: int


@dataclass(slots=True)
class _Glyph:
    text: str
    x0: float
    x1: float
    y: float
    style: _Style
    spaced: bool


class Library:
    """The functions of pdfium that are used, with addresses as plain numbers (structures cost half a microsecond a call)."""

    def __init__(self) -> None:
        import pypdfium2_raw as raw

        self.raw = raw
        raw.FPDF_InitLibrary()
        raw.FPDFText_GetTextObject.restype = ctypes.c_void_p
        raw.FPDFPage_GetObject.restype = ctypes.c_void_p
        raw.FPDFFormObj_GetObject.restype = ctypes.c_void_p
        raw.FPDFTextObj_GetFont.restype = ctypes.c_void_p
        for function in (
            raw.FPDFTextObj_GetFontSize, raw.FPDFTextObj_GetFont, raw.FPDFPageObj_GetType,
            raw.FPDFFormObj_CountObjects, raw.FPDFFormObj_GetObject, raw.FPDFFont_GetBaseFontName, raw.FPDFFont_GetFlags,
        ):  # fmt: skip
            function.argtypes = (ctypes.c_void_p, *function.argtypes[1:])
        self.fonts: dict[int, _Font] = {}

    def font(self, address: int) -> _Font:
        """What the name and the flags of a font say."""
        if address not in self.fonts:
            buffer = ctypes.create_string_buffer(128)
            self.raw.FPDFFont_GetBaseFontName(address, buffer, 128)
            name = buffer.value.decode("utf-8", errors="replace").partition("+")
            flags = self.raw.FPDFFont_GetFlags(address)
            known = name[2] or name[0]
            flags = max(flags, 0)
            self.fonts[address] = _Font(
                bool(_BOLD_FONT.search(known)) or bool(flags & _FORCE_BOLD),
                bool(_MATH_FONT.search(known)),
                bool(_ITALIC_FONT.search(known)) or bool(flags & _ITALIC_FLAG),
                bool(_ICON_FONT.search(known)),
                bool(_OPERATOR_FONT.search(known)),
            )
        return self.fonts[address]


def read_page(library: Library, page: Any, max_chars: int) -> Page:
    """Reads an open page.

    Args:
        library: pdfium.
        page: its handle.
        max_chars: what is beyond is left out and counted.
    """
    raw = library.raw
    text_page = raw.FPDFText_LoadPage(page)
    result = Page(raw.FPDF_GetPageWidthF(page), raw.FPDF_GetPageHeightF(page))
    if not text_page:
        result.counts["pages_unreadable"] += 1
        return result
    try:
        library.fonts.clear()
        glyphs = _glyphs(library, page, text_page, max_chars, result)
    finally:
        raw.FPDFText_ClosePage(text_page)
    quarters = Counter(glyph.style.quarter for glyph in glyphs)
    main = max(quarters, key=lambda quarter: (quarters[quarter], -quarter), default=0)
    result.turned = [
        _plain(_words([glyph for glyph in glyphs if glyph.style.quarter == quarter]))
        for quarter in sorted(quarters)
        if quarter != main
    ]
    result.counts["chars_turned"] = sum(count for quarter, count in quarters.items() if quarter != main)
    if main % 2:
        result.width, result.height = result.height, result.width
    result.words = _words([glyph for glyph in glyphs if glyph.style.quarter == main])
    return result


def _glyphs(library: Library, page: Any, text_page: Any, max_chars: int, result: Page) -> list[_Glyph]:
    raw = library.raw
    get_code, get_object, get_box = raw.FPDFText_GetUnicode, raw.FPDFText_GetTextObject, raw.FPDFText_GetLooseCharBox
    total = raw.FPDFText_CountChars(text_page)
    if total > max_chars:
        result.counts["chars_over_limit"] += total - max_chars
    figures = _figure_objects(library, page)
    styles: dict[int, _Style] = {}
    letters: dict[int, str] = {}
    box, x, y = raw.FS_RECTF(), ctypes.c_double(), ctypes.c_double()
    glyphs: list[_Glyph] = []
    last, style, spaced, base = -1, None, False, 0.0
    for index in range(min(total, max_chars)):
        address = get_object(text_page, index)
        if address is None:
            continue  # a space or a line end that pdfium made up
        code = get_code(text_page, index)
        if address != last:
            last = address
            style = styles.get(address) or styles.setdefault(
                address, _style(library, text_page, index, address in figures)
            )
            raw.FPDFText_GetCharOrigin(text_page, index, x, y)
            base = _turned(x.value, y.value, style.quarter)[1]
        assert style is not None
        if code in (0x20, 0xA0, 0x09, 0x0A) or 0x2000 <= code <= 0x200B:
            spaced = True
            continue
        text = letters.get(code)
        if text is None:
            text = letters[code] = _HYPHENS.get(code) or _letter(code)
        if style.font.operators:
            text = _OPERATORS.get(text, text)
        if not text and (11 <= code <= 15 or 27 <= code <= 31):
            text = chr(code)
        if not text or style.font.icon:
            result.counts["chars_of_pictures" if text else "chars_unmapped"] += 1
            continue
        get_box(text_page, index, box)
        left, right = box.left, box.right
        if style.quarter:
            ends = (_turned(left, box.bottom, style.quarter)[0], _turned(right, box.top, style.quarter)[0])
            left, right = min(ends), max(ends)
        glyphs.append(_Glyph(text, left, right, base, style, spaced))
        spaced = False
    return _without_figures(_with_ligatures(glyphs, result), result)


def _with_ligatures(glyphs: list[_Glyph], result: Page) -> list[_Glyph]:
    """Reads ligatures without a name: which of TeX's encodings it is, the places that occur on the page tell."""
    codes = Counter(ord(glyph.text) for glyph in glyphs if glyph.text < " ")
    if not codes:
        return glyphs
    table = max(_LIGATURES, key=lambda places: sum(codes[code] for code in places))
    kept: list[_Glyph] = []
    for glyph, after in zip(glyphs, [*glyphs[1:], None], strict=True):
        if glyph.text < " ":
            # Big brackets of formulas have such codes too; a ligature is part of a word.
            beside = any(_is_neighbour(glyph, other) for other in (kept[-1] if kept else None, after))
            glyph.text = table.get(ord(glyph.text), "") if beside else ""
        if glyph.text:
            kept.append(glyph)
        else:
            result.counts["chars_unmapped"] += 1
    return kept


def _is_neighbour(glyph: _Glyph, other: _Glyph | None) -> bool:
    """True if a letter of the same font stands next to a glyph (`α` has the place of `ff`, in another font)."""
    if (
        other is None
        or not other.text[0].isalpha()
        or other.style.address != glyph.style.address
        or abs(other.y - glyph.y) > 0.05 * glyph.style.size
    ):
        return False
    gap = max(other.x0 - glyph.x1, glyph.x0 - other.x1)
    return gap < WORD_GAP * glyph.style.size


def _turned(x: float, y: float, quarter: int) -> tuple[float, float]:
    """A point of the page, seen with the page turned so that text of this direction runs from left to right."""
    return ((x, y), (y, -x), (-x, -y), (-y, x))[quarter]


def _letter(code: int) -> str:
    if (
        code < 0x20
        or 0x7F <= code < 0xA0
        or 0xE000 <= code <= 0xF8FF
        or 0xD800 <= code <= 0xDFFF
        or code in (0xFFFD, 0xFFFF)
    ):
        return ""
    text = chr(code)
    return unicodedata.normalize("NFKC", text) if 0xFB00 <= code <= 0xFB06 or 0x1D400 <= code <= 0x1D7FF else text


def _style(library: Library, text_page: Any, index: int, figure: bool) -> _Style:
    raw = library.raw
    matrix, size = raw.FS_MATRIX(), ctypes.c_float()
    address = raw.FPDFText_GetTextObject(text_page, index)
    raw.FPDFText_GetMatrix(text_page, index, matrix)  # that of the object lacks what the form around it does
    raw.FPDFTextObj_GetFontSize(address, size)
    font = raw.FPDFTextObj_GetFont(address)
    scale = math.hypot(matrix.c, matrix.d) or 1.0
    angle = math.degrees(math.atan2(matrix.b, matrix.a))
    # Slanted labels of diagrams are no running text; they go with the nearest quarter turn.
    quarter = round(angle / 90.0) % 4 if math.isfinite(angle) else 0
    seen = abs(size.value) * scale
    size_seen = round(seen, 1) if 0.1 < seen < 1000 else 10.0
    return _Style(size_seen, quarter, figure, library.font(font) if font else _Font(), font or 0)


def _figure_objects(library: Library, page: Any) -> set[int]:
    """Addresses of the text objects inside embedded drawings."""
    raw = library.raw
    found: set[int] = set()
    for index in range(max(raw.FPDFPage_CountObjects(page), 0)):
        address = raw.FPDFPage_GetObject(page, index)
        if raw.FPDFPageObj_GetType(address) == _FORM:
            found.update(_texts_of_form(library, address, 0))
    return found


def _without_figures(glyphs: list[_Glyph], result: Page) -> list[_Glyph]:
    """Leaves out the letters of drawings. A form that holds most of the page is the page, wrapped by whoever printed it."""
    kept = [glyph for glyph in glyphs if not glyph.style.figure]
    if len(kept) == len(glyphs) or len(kept) < 0.5 * len(glyphs):
        return glyphs
    result.counts["chars_of_pictures"] += len(glyphs) - len(kept)
    return kept


def _texts_of_form(library: Library, form: int, depth: int) -> list[int]:
    raw = library.raw
    found: list[int] = []
    if depth >= _MAX_FORM_DEPTH:
        return found
    for index in range(max(raw.FPDFFormObj_CountObjects(form), 0)):
        address = raw.FPDFFormObj_GetObject(form, index)
        kind = raw.FPDFPageObj_GetType(address)
        if kind == _TEXT:
            found.append(address)
        elif kind == _FORM:
            found += _texts_of_form(library, address, depth + 1)
    return found


def _words(glyphs: list[_Glyph]) -> list[Word]:
    words: list[Word] = []
    word: Word | None = None
    pending: _Glyph | None = None
    for glyph in glyphs:
        if pending is not None:
            if glyph.text.isalpha() and _overlap(pending, glyph):
                glyph.text = _compose(glyph.text, pending.text)
                glyph.spaced |= pending.spaced
            else:
                word = _add(words, word, pending)
            pending = None
        if glyph.text in _ACCENTS:
            if (
                word is not None
                and word.text[-1].isalpha()
                and glyph.x0 < word.x1 - 0.15 * word.size
                and glyph.x1 > word.x0
            ):
                word.text = word.text[:-1] + _compose(word.text[-1], glyph.text)
            else:
                pending = glyph
            continue
        word = _add(words, word, glyph)
    if pending is not None:
        _add(words, word, pending)
    return words


def _plain(words: list[Word]) -> str:
    """Text of words that follow each other, for a search."""
    parts: list[str] = []
    for before, word in zip([None, *words], words, strict=False):
        apart = before is not None and (abs(word.y - before.y) > 1.0 or word.x0 - before.x1 > WORD_GAP * word.size)
        parts += [" " if word.spaced or apart else "", word.text]
    return "".join(parts).strip()


def _overlap(accent: _Glyph, letter: _Glyph) -> bool:
    middle = (accent.x0 + accent.x1) / 2
    near = abs(accent.y - letter.y) < 0.5 * letter.style.size
    return near and letter.x0 - 0.1 * letter.style.size <= middle <= letter.x1 + 0.1 * letter.style.size


def _compose(letter: str, accent: str) -> str:
    plain = {"ı": "i", "ȷ": "j"}.get(letter, letter)
    return unicodedata.normalize("NFC", plain + _ACCENTS[accent])


def _add(words: list[Word], word: Word | None, glyph: _Glyph) -> Word:
    style = glyph.style
    if word is not None and not glyph.spaced:
        size = style.size if style.size > word.size else word.size
        gap = glyph.x0 - word.x1
        same = abs(glyph.y - word.y) <= SAME_BASELINE * size
        # The letters of a ligature (`ffi`) come with one box for all of them: the gap is minus its width.
        if (
            same
            and -1.2 * size < gap < WORD_GAP * size
            and glyph.x1 >= word.x1 - 0.1 * size
            and style.font.math == word.math
        ):
            word.text += glyph.text
            word.x1 = glyph.x1 if glyph.x1 > word.x1 else word.x1
            word.size = size
            return word
    words.append(Word(glyph.text, glyph.x0, glyph.x1, glyph.y, style.size, *style.font[:3], glyph.spaced))
    return words[-1]
