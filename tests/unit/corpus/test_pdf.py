"""The PDF reader, on pages made on the fly."""

import dataclasses
import random
import re

import pytest

from pdf_pages import ACUTE, BOLD, BULLET, FF, FI, ITALIC, ROMAN, SYMBOL, Text, assemble, column, write
from sagecraft.corpus.readers import pdf_chars
from sagecraft.corpus.readers.pdf import read_pdf

WORDS = (
    "river stone winter garden letter window silver bridge market forest candle harbour meadow copper orchard lantern "
    "valley kettle pepper saddle timber velvet walnut anchor basket cellar dragon engine feather glacier hammer island"
).split()


def prose(seed: int, num_words: int) -> str:
    """Sentences of eight to fourteen words; no two are alike."""
    rng = random.Random(seed)
    found: list[str] = []
    while len(found) < num_words:
        sentence = [rng.choice(WORDS) for _ in range(rng.randint(8, 14))]
        sentence[0] = sentence[0].capitalize()
        sentence[-1] += "."
        found += sentence
    return " ".join(found)


def read(tmp_path, pages, **stated):
    path = write(tmp_path / "a.pdf", pages, **stated)
    return read_pdf(path, tmp_path)


def squeeze(text: str) -> str:
    return " ".join(text.split())


def cut_in_mid_sentence(text: str, place: int) -> tuple[str, str]:
    words = text.split()
    cut = next(i for i in range(place, place + 20) if not words[i - 1].endswith("."))
    return " ".join(words[:cut]), " ".join(words[cut:])


def paper():
    """Two pages of two columns, with title, abstract, heads, feet, a wide caption, a footnote and references."""
    names = {"abstract": 60, "ab": 260, "c": 90, "d": 80}
    texts = {name: prose(seed, count) for seed, (name, count) in enumerate(names.items())}
    left, right = cut_in_mid_sentence(texts["ab"], 110)
    first = [
        Text(150, 740, "Slow changes of faint sources", 16, BOLD),
        Text(190, 715, "Ada Byron, Emmy Noether, and Max Born", 11),
        Text(180, 700, "University of Somewhere, Old Street 5", 9),
        Text(280, 680, "Abstract", 10, BOLD),
        *column(110, 664, 65, texts["abstract"]),
        Text(50, 560, "1 Introduction", 12, BOLD),
        *column(50, 540, 40, left, indent=2),
        *column(320, 560, 40, right),
        Text(300, 30, "1"),
    ]
    second = [
        Text(50, 770, "Slow changes of faint sources", 8),
        Text(540, 770, "2", 8),
        *column(90, 740, 75, "Figure 1. A drawing of everything that was seen in all the years of the survey.", 9),
        Text(50, 690, "2 Methods", 12, BOLD),
        *column(50, 672, 40, texts["c"], indent=2),
        *column(320, 690, 40, texts["d"], indent=2),
        Text(320, 480, "References", 12, BOLD),
        *column(320, 462, 40, "Byron A., 1843, Notes, 3, 666. Noether E., 1918, Nachr., 235."),
        Text(300, 30, "2"),
    ]
    third = [Text(50, 770, "Byron et al.", 8), Text(540, 770, "3", 8), Text(320, 740, "Appendix A", 12, BOLD)]
    third += [*column(320, 720, 40, prose(77, 40), indent=2), Text(300, 30, "3")]
    return [first, second, third], texts


def test_a_paper_in_two_columns(tmp_path):
    pages, texts = paper()
    result = read(tmp_path, pages)
    assert result.title == "Slow changes of faint sources"
    assert result.authors == ["Ada Byron", "Emmy Noether", "Max Born"]
    blocks = result.text.split("\n\n")
    assert blocks[0] == "# Slow changes of faint sources"
    assert blocks[1:4] == ["## Abstract", texts["abstract"], "## 1 Introduction"]
    # The column's break does not end the paragraph, and the caption over both columns stands by itself.
    assert [squeeze(block) for block in blocks[4:]] == [
        texts["ab"],
        "Figure 1. A drawing of everything that was seen in all the years of the survey.",
        "## 2 Methods",
        texts["c"],
        texts["d"],
        "## Appendix A",
        prose(77, 40),
    ]
    assert result.counts["references_cut"] == 1
    assert (
        result.counts["heads_and_feet"] == 3 + 2 + 2 + 1 - 1
    )  # page numbers twice, the title's head; "Byron et al." with its number


def test_a_paragraph_goes_on_over_pages(tmp_path):
    text = prose(5, 160)
    begin, rest = cut_in_mid_sentence(text, 80)  # a footnote stands between the halves
    pages = [
        [
            Text(72, 770, "A head that returns", 8),
            *column(72, 740, 70, begin),
            Text(72, 100, "3", 5),
            Text(77, 98, "Notes are small and stand at the foot.", 7),
        ],
        [Text(72, 770, "A head that returns", 8), *column(72, 740, 70, rest)],
    ]
    result = read(tmp_path, pages)
    assert text in squeeze(result.text)
    assert "head that returns" not in result.text
    assert "Notes are small" in result.text


@pytest.mark.parametrize("indent", [0, 2])
def test_the_indent_tells_whether_a_paragraph_goes_on_after_a_full_stop(tmp_path, indent):
    """The last line of the first page is full and ends a sentence: only the next line's place says more."""

    def paragraphs(y: float) -> list[Text]:
        return [piece for n in range(4) for piece in column(72, y - 60 * n, 70, prose(20 + n, 22), indent=2)]

    lines = [
        "A line that is as long as the column is wide and goes on with another",
        "one of the same length that ends with a full stop at the right edges.",
    ]
    assert {len(line) for line in lines} == {69}
    last = [Text(84, 400, lines[0][2:]), Text(72, 388, lines[0]), Text(72, 376, lines[1])]
    first = [*paragraphs(740), *last]
    second = [*column(72, 740, 70, prose(31, 30), indent=indent), *paragraphs(600)]
    blocks = [squeeze(block) for block in read(tmp_path, [first, second]).text.split("\n\n")]
    begin = f"{lines[0][2:]} {lines[0]} {lines[1]}"
    assert (f"{begin} {prose(31, 30)}" in blocks) == (indent == 0)
    assert (begin in blocks) == (indent == 2)


def test_a_footnote_stands_where_its_mark_was(tmp_path):
    body = column(72, 740, 70, prose(3, 40))
    last = body[-1]
    mark_x = last.x + len(last.text) * 6
    follow = column(72, last.y - 12, 70, prose(4, 40))
    page = [
        *body,
        Text(mark_x, last.y + 3.5, "1", 6),
        *follow,
        Text(72, 103, "1", 5),
        Text(76, 100, "See the archive.", 7.5),
    ]
    text = squeeze(read(tmp_path, [page]).text)
    assert f"{prose(3, 40)} (See the archive.)" in text
    assert text.count("archive") == 1


def test_exponents_become_mathematics_and_other_marks_go(tmp_path):
    page = column(72, 740, 70, prose(8, 60))
    page += [
        Text(72, 600, "It holds 10"),
        Text(72 + 66, 604, "5", 6),
        Text(72 + 78, 600, "stones, as others"),
        Text(72 + 78 + 102, 604, "12", 6),
    ]
    page += [Text(72 + 78 + 102 + 14, 600, "found in water, H"), Text(368, 597.5, "2", 6), Text(372, 600, "O.")]
    result = read(tmp_path, [page])
    assert "It holds 10$^{5}$ stones, as others found in water, H$_{2}$O." in squeeze(result.text)
    assert result.counts["marks_dropped"] == 1


def test_hyphens_at_line_ends(tmp_path):
    lines = [
        "The light-curve of a lantern was seen again and a re-",
        "markable thing is that its copper was a well-",
        "known metal. It was remarkable. As is well-known, X-",
        "rays pass through the candle and the window gar-",
        "den, and the Navier-",
        "Stokes equation holds in light-",
        "curve work of this kind and in every other kind of it.",
    ]
    page = [Text(72, 740 - 12 * number, line) for number, line in enumerate(lines)]
    text = squeeze(read(tmp_path, [page]).text)
    for whole in (
        "a remarkable thing",
        "a well-known metal",
        "X-rays pass",
        "window garden,",
        "Navier-Stokes",
        "in light-curve work",
    ):
        assert whole in text


def test_ligatures_accents_and_drop_caps(tmp_path):
    page = [
        Text(72, 728, "W", 27, BOLD),
        Text(96, 740, f"e {FI}nd the e{FF}ect of the lantern on the silver garden and on"),
        Text(96, 728, f"the Poincar{ACUTE}"),
        Text(96 + 66, 728, "e map, which readers do not know at all."),
        *column(72, 716, 70, prose(1, 60)),
    ]
    result = read(tmp_path, [page])
    text = squeeze(result.text)
    assert text.startswith(
        "We find the effect of the lantern on the silver garden and on the Poincaré map, which readers"
    )
    assert result.counts["drop_caps"] == 1


def test_an_accent_over_its_letter(tmp_path):
    page = [
        *column(72, 740, 70, prose(1, 60)),
        Text(72, 600, "The caf"),
        Text(114, 600, ACUTE),
        Text(114, 600, "e of Poincar"),
        Text(186, 600, "e"),
        Text(186, 600, ACUTE),
    ]
    assert "The café of Poincaré" in read(tmp_path, [page]).text


@pytest.mark.parametrize("step", [1, 5])
def test_line_numbers_of_a_manuscript(tmp_path, step):
    pages = []
    for number in range(2):
        body = [Text(110, 740 - 24 * line, prose(number * 40 + line, 8)[:70], 10) for line in range(25)]
        numbers = [
            Text(80, 740 - 24 * line, f"{number * 25 + line + 1:>3}", 6) for line in range(25) if (line + 1) % step == 0
        ]
        pages.append(body + numbers)
    result = read(tmp_path, pages)
    assert result.counts["line_numbers"] == 50 // step
    assert not re.search(r"\d", result.text)


def test_numbers_of_a_table_stay(tmp_path):
    rows = [(f"{n}", f"{n * 3.5:.1f}", WORDS[n]) for n in range(1, 11)]
    page = column(72, 740, 70, prose(1, 80))
    page += [
        Text(72 + 120 * place, 500 - 12 * line, cell)
        for line, row in enumerate([("No", "Width", "Name"), *rows])
        for place, cell in enumerate(row)
    ]
    page += column(72, 340, 70, prose(2, 80))
    result = read(tmp_path, [page])
    assert "| No | Width | Name |\n| --- | --- | --- |\n| 1 | 3.5 | stone |" in result.text
    assert result.counts["tables"] == 1
    assert "line_numbers" not in result.counts


def test_headings_by_their_looks_and_numbers(tmp_path):
    page = [
        Text(72, 740, "3. Results", 14, BOLD),
        *column(72, 715, 70, prose(1, 30)),
        Text(72, 652, "3.1 A first result", 10, ITALIC),
        Text(72, 640, "3.1.1 The first part of it", 10, ITALIC),
        *column(72, 620, 70, prose(2, 30)),
        Text(72, 560, "DISCUSSION"),
        *column(72, 540, 70, prose(3, 30)),
        Text(72, 480, "In bold", 10, BOLD),
        Text(72 + 48, 480, "words begin this paragraph, which is no heading at all."),
    ]
    headings = re.findall(r"^#+ .*$", read(tmp_path, [page]).text, re.MULTILINE)
    assert headings == ["# 3. Results", "### 3.1 A first result", "#### 3.1.1 The first part of it", "## DISCUSSION"]


def test_levels_of_headings_without_numbers_go_by_size(tmp_path):
    page = [Text(100, 750, "A Title That Is Large", 20, BOLD)]
    for n, (size, heading) in enumerate(
        [(14, "First part"), (12, "A piece of it"), (12, "Another piece"), (14, "Second part")]
    ):
        page += [Text(72, 700 - 100 * n, heading, size, BOLD), *column(72, 680 - 100 * n, 70, prose(n, 30))]
    headings = re.findall(r"^#+ .*$", read(tmp_path, [page]).text, re.MULTILINE)
    assert headings == [
        "# A Title That Is Large", "## First part", "### A piece of it", "### Another piece", "## Second part"
    ]  # fmt: skip


def test_what_a_page_states_of_itself(tmp_path):
    page = [
        Text(30, 200, "arXiv:2105.01234v2 [math.NA] 3 Jun 2021", 16, turned=True),
        Text(100, 740, "A Title That The File Knows", 18, BOLD),
        *column(72, 700, 70, prose(1, 100)),
        Text(72, 60, "Published 2019 in the Journal, https://doi.org/10.1234/abc.567."),
    ]
    result = read(tmp_path, [page], title="A title that the file knows", author="Ada Byron; Emmy Noether")
    assert (result.title, result.authors) == ("A title that the file knows", ["Ada Byron", "Emmy Noether"])
    assert (result.identifier, result.year, result.categories) == ("10.1234/abc.567", 2021, ["math.NA"])
    assert "arXiv" not in result.text


def test_an_abstract_without_a_heading_stays_and_affiliations_go(tmp_path):
    page = [
        Text(100, 740, "A Title of Some Length", 18, BOLD),
        Text(200, 715, "Ada Byron and Emmy Noether", 11),
        *column(150, 700, 50, "University of Somewhere, Old Street; Institute of Others, New Avenue; e-mail a@b.c", 9),
        *column(110, 650, 65, prose(4, 60)),
        Text(72, 560, "1 Introduction", 12, BOLD),
        *column(72, 540, 70, prose(1, 60)),
        Text(72, 103, "*", 5),
        Text(76, 100, "Now at Elsewhere", 7.5),
    ]
    result = read(tmp_path, [page])
    assert result.authors == ["Ada Byron", "Emmy Noether"]
    assert [squeeze(block) for block in result.text.split("\n\n")[1:]] == [
        prose(4, 60),
        "## 1 Introduction",
        prose(1, 60),
    ]


def test_a_year_of_acceptance_goes_before_that_of_a_draft(tmp_path):
    page = [Text(72, 770, "Preprint 28 November 2026, compiled with care", 8), *column(72, 700, 70, prose(1, 100))]
    assert read(tmp_path, [page]).year == 2026
    assert read(tmp_path, [[*page, Text(72, 740, "Accepted 2015 March 3. Received 2014 May 1", 8)]]).year == 2015


def test_a_title_of_the_file_that_the_page_does_not_have(tmp_path):
    page = [Text(100, 740, "The Printed Title", 18, BOLD), *column(72, 700, 70, prose(1, 100))]
    assert read(tmp_path, [page], title="Microsoft Word - draft3.doc").title == "The Printed Title"
    assert read(tmp_path, [page], title="Something else").title == "The Printed Title"


def test_acknowledgements_and_references_go_and_what_follows_stays(tmp_path):
    page = [
        *column(72, 740, 70, prose(1, 60)),
        Text(72, 600, "Acknowledgements", 12, BOLD),
        *column(72, 580, 70, "We thank the cook."),
        Text(72, 550, "References", 12, BOLD),
        *column(72, 530, 70, "Byron A., 1843, Notes, 3, 666."),
        Text(72, 500, "Appendix A: More", 12, BOLD),
        *column(72, 480, 70, prose(2, 30)),
    ]
    text = read(tmp_path, [page]).text
    assert "cook" not in text
    assert "1843" not in text
    assert prose(2, 30) in squeeze(text)


def test_numbered_references_without_a_heading(tmp_path):
    page = column(72, 740, 70, prose(1, 60))
    y = 600
    for number in range(1, 8):
        page += [Text(72, y, f"[{number}]", 8), *column(95, y, 60, f"A. Byron, Notes {number}, 666 (184{number}).", 8)]
        y -= 11
    result = read(tmp_path, [page])
    assert "Byron" not in result.text
    assert result.counts["references_cut"] == 1


def test_lists_keep_their_items(tmp_path):
    page = column(72, 740, 70, prose(1, 40))
    page += [
        piece
        for n in range(3)
        for piece in (Text(84, 600 - 24 * n, BULLET), *column(96, 600 - 24 * n, 60, prose(n + 10, 8)))
    ]
    blocks = read(tmp_path, [page]).text.split("\n\n")
    assert [squeeze(block) for block in blocks[1:]] == [f"- {prose(n + 10, 8)}" for n in range(3)]


def test_displayed_formulas_are_kept_as_characters_and_counted(tmp_path):
    page = [
        *column(72, 740, 70, prose(1, 40)),
        Text(200, 660, "a", 10, SYMBOL),
        Text(212, 660, "= 3x + b", 10, ROMAN),
        Text(262, 660, "- g", 10, SYMBOL),
        Text(480, 660, "(1)"),
        *column(72, 620, 70, prose(2, 40)),
    ]
    result = read(tmp_path, [page])
    assert (result.counts["math_blocks"], result.counts["math_pages"]) == (1, 1)
    assert re.search(r"α = 3x \+ b − γ \(1\)", result.text)


def test_a_page_of_contents_goes(tmp_path):
    page = [Text(72, 740, "Contents", 14, BOLD)]
    page += [Text(72, 700 - 14 * n, f"{n} {WORDS[n].title()} " + ". " * 25 + f"{n * 7}") for n in range(1, 9)]
    page += [Text(72, 500, "1 Stone", 14, BOLD), *column(72, 480, 70, prose(1, 50))]
    result = read(tmp_path, [page])
    assert ". . ." not in result.text
    assert result.counts["contents_dropped"] >= 8


def test_turned_pages_are_read_along_their_text(tmp_path):
    lines = column(0, 0, 70, prose(1, 60))
    # The page's text runs upwards: x becomes y, and the first line stands at the left.
    page = [Text(100 - piece.y, 60 + piece.x, piece.text, turned=True) for piece in lines]
    assert squeeze(read(tmp_path, [page]).text) == prose(1, 60)


def test_dollars_are_no_mathematics(tmp_path):
    page = column(72, 740, 70, prose(1, 40) + " It costs $5 or $6 a day.")
    assert r"\$5 or \$6" in read(tmp_path, [page]).text


def test_marks_of_three_kinds_of_page_numbers(tmp_path):
    for style in ("- {} -", "Page {} of 4", "{}"):
        pages = [[*column(72, 740, 70, prose(n, 60)), Text(280, 40, style.format(n))] for n in range(1, 5)]
        result = read(tmp_path, pages)
        assert result.counts["heads_and_feet"] == 4
        assert not re.search(r"\d", result.text)


def test_running_heads_alternate_and_change_with_chapters(tmp_path):
    pages = []
    for n in range(10):
        head = [Text(72, 770, str(n + 31), 8), Text(300, 770, "A book of stones", 8)]
        if n % 2:
            head = [Text(72, 770, f"CHAPTER {1 + n // 4}. {WORDS[n // 4].upper()}", 8), Text(540, 770, str(n + 31), 8)]
        pages.append([*head, *column(72, 740, 70, prose(n, 60))])
    text = read(tmp_path, pages).text
    assert "CHAPTER" not in text
    assert "book of stones" not in text
    assert not re.search(r"\d", text)


@pytest.mark.parametrize(("first", "ligatures"), [(11, "ff fi fl ffi ffl"), (27, "ff fi fl ffi ffl")])
def test_ligatures_without_a_name_are_read_by_their_places(first, ligatures):
    """Fonts that are pictures, as TeX made them for years, say nothing of their letters."""
    style = pdf_chars._Style(10.0, 0, False, pdf_chars._Font(), 1)
    text = "".join(f"w{chr(first + n)}e" for n in range(5))
    glyphs = [
        pdf_chars._Glyph(letter, 10.0 + 6 * n, 16.0 + 6 * n, 700.0, style, False) for n, letter in enumerate(text)
    ]
    glyphs.append(pdf_chars._Glyph(chr(first), 300.0, 306.0, 700.0, style, False))  # a bracket, far from any letter
    greek = dataclasses.replace(style, address=2)  # alpha behind an H
    glyphs += [
        pdf_chars._Glyph("H", 400, 406, 700, style, False),
        pdf_chars._Glyph(chr(first), 406, 412, 700, greek, False),
    ]
    page = pdf_chars.Page(612, 792)
    found = "".join(glyph.text for glyph in pdf_chars._with_ligatures(glyphs, page))
    assert found == "".join(f"w{ligature}e" for ligature in ligatures.split()) + "H"
    assert page.counts["chars_unmapped"] == 2


def with_form(path, inside: list[Text], outside: list[Text]):
    """A page with an embedded drawing."""
    drawn, content = (b"".join(piece.operators() for piece in pieces) for pieces in (inside, [*outside]))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R "
        b"/Resources << /Font << /F0 5 0 R >> /XObject << /X0 6 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%sq /X0 Do Q\nendstream" % (len(content) + 11, content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 612 792] /Resources << /Font << /F0 5 0 R >> >> "
        b"/Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
    ]
    path.write_bytes(assemble(objects, "/Root 1 0 R"))
    return read_pdf(path, path.parent)


def test_labels_of_drawings_go_and_a_page_in_a_wrapper_stays(tmp_path):
    labels = [Text(100 + 40 * n, 300, f"{n}.5 mm", 8) for n in range(6)]
    result = with_form(tmp_path / "a.pdf", labels, column(72, 740, 70, prose(1, 60)))
    assert squeeze(result.text) == prose(1, 60)
    assert result.counts["chars_of_pictures"] == 6 * 5
    assert squeeze(with_form(tmp_path / "b.pdf", column(72, 740, 70, prose(1, 60)), []).text) == prose(1, 60)
