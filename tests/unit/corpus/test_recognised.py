r"""Repair of recognised Markdown: each rule on a planted fault and on what it must leave alone."""

import time

import pytest

from sagecraft.corpus.clean import REPETITION_RULES, drop_repetitions
from sagecraft.corpus.readers import recognised, recognised_math
from sagecraft.corpus.readers.recognised import (
    convert_scripts,
    cut_open_end,
    cut_references,
    decode_entities,
    drop_missing_formulas,
    drop_missing_pages,
    drop_page_marks,
    drop_pictures,
    is_recognised,
    read_recognised,
    repair,
    undo_hyphens,
)
from sagecraft.corpus.readers.recognised_math import (
    drop_math_loops,
    drop_spacing_runs,
    drop_tags,
    normalize_delimiters,
)
from sagecraft.corpus.readers.recognised_tables import tables_to_markdown
from sagecraft.corpus.readers.result import ReaderError

WORDS = "the flux of the second source was found to be larger than that of the first one in every band"


@pytest.mark.parametrize(
    ("rule", "planted", "mended", "count"),
    [
        (drop_missing_pages, "a\n\n[MISSING_PAGE_EMPTY:12]\n\nb [MISSING_PAGE_POST] c", "a\n\n\n\nb  c", 2),
        (drop_page_marks, '<span id="page-3-0"></span>## Data [Table 1](#page-4-2)', "## Data Table 1", 2),
        (drop_page_marks, "a\n\n{3}------------------------\n\nb", "a\n\n\n\nb", 1),
        (drop_page_marks, "a\n<!-- page break -->\nb", "a\n\nb", 1),
        (drop_pictures, "a <!-- image --> b ![](_page_0_Figure_1.jpeg) c", "a  b  c", 2),
        (drop_pictures, "![Image](data:image/png;base64," + "iVBOR" * 1000 + "=)", "", 1),
        (drop_pictures, "![A map of the sky](a.png)", "A map of the sky", 1),
        (drop_missing_formulas, "We have <!-- formula-not-decoded --> here", "We have  here", 1),
        (decode_entities, "a &lt; b &amp; c GLYPH<c=3,font=/AB> d glyph&lt;12&gt;", "a < b & c  d ", 4),
        (convert_scripts, "H<sub>2</sub>O, 10<sup>5</sup> and sources<sup>12</sup> in a<br>cell", "H$_{2}$O, 10$^{5}$ and sources in a cell", 4),
        (convert_scripts, "was found${}^{12,13}$ by others.$^{4}$", "was found by others.", 2),
        (drop_tags, r"$$a = b \tag{3.1}$$", "$$a = b$$", 1),
        (drop_spacing_runs, r"$a \quad \quad \quad b$ and \,\,\,\, c", r"$a \quad b$ and \, c", 2),
        (drop_spacing_runs, r"\[x\hskip 1.0pt\hskip 1.0pt\hskip -2em y\]", r"\[x\hskip 1.0pt y\]", 1),
        (drop_spacing_runs, r"$a\ \ \ b~~~c$", r"$a\ b~c$", 2),
        (drop_math_loops, "$$x = " + r"\alpha + \beta_{2} + " * 30 + "$$", r"$$x = \alpha + \beta_{2} +$$", 1),
        (drop_math_loops, "so $" + r"\bar{" * 40 + "x$ is", "so  is", 1),
        (drop_math_loops, "$$" + "ab + c = d - e " * 4000 + "$$", "", 1),
        (cut_references, "## A\ntext\n\n## References\n* Byron A. (1843) Notes\n* Noether, 1918\n\n## Appendix\nmore", "## A\ntext\n\n## Appendix\nmore", 1),
        (cut_references, "text\n\n**Bibliography**\n\n[1] A. Byron. Notes.\n[2] E. Noether.", "text\n", 1),
        (cut_references, "text\n\n### Acknowledgments\nWe thank the cook.\n\n## B\nx", "text\n\n## B\nx", 1),
        (undo_hyphens, "the reion-\nization epoch", "the reionization epoch", 1),
        (undo_hyphens, "the reionization of gas and the re- ionization", "the reionization of gas and the reionization", 1),
        (undo_hyphens, "a well-known star and a well-\nknown galaxy", "a well-known star and a well-known galaxy", 1),
        (cut_open_end, f"First part.\n\nIt ends here. But {WORDS} and", "First part.\n\nIt ends here.\n", 1),
        (cut_open_end, f"First part.\n\nBut {WORDS} and", "First part.\n", 1),
    ],
)  # fmt: skip
def test_a_planted_fault_is_mended(rule, planted, mended, count):
    assert rule(planted) == (mended, count)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (drop_missing_pages, "See [MISSING] and [1] on the missing page."),
        (drop_page_marks, '<span id="note">x</span> [Table 1](#table-1) and ---\n\n----------'),
        (drop_pictures, "Wow![1](x y) and [a](b.png) !"),
        (drop_missing_formulas, "<!-- a formula --> formula-not-decoded"),
        (decode_entities, "AT&T; a < b && c &undefined;"),
        (convert_scripts, "a < sup > b, x^2"),
        (convert_scripts, "photons$^{-1}$ cm$^{2}$ and $x^{2}$ and 10$^{5}$"),
        (drop_tags, r"the tag {3} and \tagged{x}"),
        (drop_spacing_runs, r"$a \quad b \, c$ \\, d ~~struck~~ \\\\[2pt] $x~y$"),
        (drop_math_loops, "$$" + "0 & " * 40 + r"\\ 1$$"),
        (drop_math_loops, "$$" + r"\cdot" * 30 + "$$"),
        (drop_math_loops, "$" + "x + " * 6 + "y$ costs 5 and $" + "1" * 60 + "$"),
        (cut_references, "The references of this book are many.\n\n## Reference frames\nA frame (1905) is."),
        (
            cut_references,
            "## References\nThis section says how references are made.\nIt has no list.\nNone at all.\n## B",
        ),
        (undo_hyphens, "mass- and size-dependent; X-\nray"),
        (undo_hyphens, "a - b and x-- y"),
        (cut_open_end, f"One.\n\n- {WORDS} and"),
        (cut_open_end, f"One.\n\n| {WORDS} | b |"),
        (cut_open_end, f"One.\n\n{WORDS} (see above)."),
        (cut_open_end, f"One.\n\n## {WORDS}"),
        (cut_open_end, f"One.\n\n{WORDS} is $x$"),
        (cut_open_end, "One.\n\nA short line"),
        (tables_to_markdown, r"a table \begin{tabular}{c} without an end"),
    ],
)
def test_what_is_no_fault_stays(rule, text):
    assert rule(text) == (text, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"Let \(x\) be \[ a = b \\[2pt] c \] so", ("Let $x$ be $$a = b \\\\[2pt] c$$ so", 2, 0)),
        (r"It costs $5, and \(x\) is", (r"It costs \$5, and $x$ is", 1, 0)),
        ("open \\(x + y\n\nnext \\(z\\)", ("open x + y\n\nnext $z$", 1, 1)),
        (r"open \[x and \(y\)", (r"open x and $y$", 1, 1)),
        (r"last \[x = \frac", (r"last x = \frac", 0, 1)),
        (r"\(\mbox{$x$}\)", (r"$\mbox{x}$", 1, 0)),
        (r"empty \(\) one", ("empty  one", 1, 0)),
        ("$x$ and $$y$$ stay", ("$x$ and $$y$$ stay", 0, 0)),
        (r"a\\(b) and c\\[1pt] d", (r"a\\(b) and c\\[1pt] d", 0, 0)),
    ],
)
def test_delimiters(text, expected):
    assert normalize_delimiters(text) == expected


def test_tables():
    text = (
        "Before.\n\n\\begin{table}\n\\begin{tabular}{l c} \\hline Name & \\(x\\) \\\\ \\hline\n"
        "A \\& B & \\textbf{1} \\\\ \\multicolumn{2}{c}{both} \\\\ \\end{tabular}\n"
        "\\caption{Values of {all} kinds.}\n\\end{table}\n\nAfter."
    )
    text, _, _ = normalize_delimiters(text)
    table = "| Name | $x$ |\n| --- | --- |\n| A & B | 1 |\n| both |  |"
    assert tables_to_markdown(text) == (f"Before.\n\nValues of {{all}} kinds.\n\n{table}\n\nAfter.", 1)


def test_repetition_faults_of_the_published_pipeline():
    sentence = f"We see that {WORDS}. "
    planted = {
        "repeated_sentences": "It begins. " + 5 * sentence + "It ends.",
        "repeated_phrases": "It is " + "larger, and " * 9 + "it ends.",
        "char_runs": "It is laaaaaaaaaaaaaaaaaaaaaaaarge.",
        "repeated_lines": "\n\n".join(
            ["It begins.", *([sentence.strip(), "And then another line comes."] * 4), "It ends."]
        ),
    }
    for name, text in planted.items():
        mended, counts = drop_repetitions(text)
        assert len(mended) < len(text)
        assert mended.endswith(("ends.", "laaarge."))
        assert counts[name] == 1, name


@pytest.mark.parametrize("num_words", [2, 3, 7, 22])
def test_phrases_of_two_to_twenty_two_words(num_words):
    phrase = " ".join(f"{WORDS.split()[n % 18]}{n}" for n in range(num_words))
    text = f"Now {' '.join([phrase] * 5)} it ends."
    assert drop_repetitions(text)[0] == f"Now {phrase} it ends."


def test_phrases_with_signs_and_formulas_repeat_too():
    text = "where $x + y$ is the mass, " * 6 + "where $x + y$ is the mass."
    assert drop_repetitions(text)[0] == "where $x + y$ is the mass."


@pytest.mark.parametrize(
    "text",
    [
        "0 1 0 1 0 1 0 1 0 1 0 1",
        "| a b | a b | a b | a b | a b |",
        "ha ha ha he said. Very very good. No, no, no.",
        "$x y$ $x y$ $x y$ $x y$ $x y$ $x y$ $x y$ $x y$",
        "\n".join(f"Step {n} of the recipe is to stir the pot." for n in range(6)),
    ],
)
def test_what_repeats_and_is_no_fault(text):
    assert drop_repetitions(text) == (text, {})


NOUGAT = r"""# A title of a paper

Ada Byron

###### Abstract

We find \(x = 1\,\,\,\). [MISSING_PAGE_FAIL:1]

## 1 Introduction

The reioniza-
tion was seen.

\[E = mc^{2} \tag{1}\]

## References

* Byron (1843) Byron, A. 1843, Notes
"""

MARKER = """<span id="page-0-0"></span># A title of a paper

![](_page_0_Picture_2.jpeg)

We find $x$, see [Table 1](#page-3-0). Sources<sup>1</sup> are here.
"""


def test_a_file_of_nougat(tmp_path):
    path = tmp_path / "a.mmd"
    path.write_text(NOUGAT)
    result = read_recognised(path, tmp_path)
    assert result.title == "A title of a paper"
    assert result.text == (
        "# A title of a paper\n\nAda Byron\n\n###### Abstract\n\nWe find $x = 1\\,$.\n\n## 1 Introduction\n\n"
        "The reionization was seen.\n\n$$E = mc^{2}$$"
    )
    assert result.counts == {
        "formulas": 2, "hyphens_undone": 1, "missing_pages": 1, "references_cut": 1, "spacing_runs": 1, "tags": 1,
    }  # fmt: skip


def test_a_file_of_marker_is_told_by_its_marks(tmp_path):
    path = tmp_path / "a.md"
    path.write_text(MARKER)
    result = read_recognised(path, tmp_path)
    assert result.text == "# A title of a paper\n\nWe find $x$, see Table 1. Sources are here."
    assert result.counts["pictures"] == 1


def test_what_a_person_wrote_is_not_repaired(tmp_path):
    text = "# Notes\n\nLet \\(x\\) be.\n\n## References\n\n* Byron 1843\n\nThe last line has many words but no full stop at its end at all"
    path = tmp_path / "a.md"
    path.write_text(text)
    assert not is_recognised(text)
    assert read_recognised(path, tmp_path).text == text.replace("\\(", "$").replace("\\)", "$")
    assert read_recognised(path, tmp_path).counts == {}


def test_a_file_of_which_nothing_is_left(tmp_path):
    path = tmp_path / "a.mmd"
    path.write_text("[MISSING_PAGE_EMPTY:1]\n\n[MISSING_PAGE_EMPTY:2]\n")
    with pytest.raises(ReaderError, match="no-text"):
        read_recognised(path, tmp_path)


#: What could make a careless pattern take quadratic time.
HOSTILE = {
    "images": "![](data:",
    "images with an end": "![](a",
    "spans": '<span id="page-1-1">',
    "openings": r"\(",
    "displays": r"\[x ",
    "dollars": "$a ",
    "double dollars": "$$ a",
    "escapes": "\\",
    "tables": r"\begin{table}\begin{tabular}{c}",
    "braces": r"$\frac{",
    "cells": r"a & {b \\ ",
    "spacing": r"\quad \, ",
    "tildes": "$~ ~",
    "hskip": r"\hskip 1",
    "words": "ab ab cd ",
    "letters": "a",
    "hyphens": "ab- ",
    "sentences": "It is so. ",
    "lines": "a line of five short words\n",
    "headings": "## References\n",
    "fences": "```\n",
    "scripts": "<sup>1",
    "comments": "<!-- image ",
    "blank lines": "\n \n",
    "entities": "&amp;lt;",
    "numbers": "1 2 3 ",
}
RULES = [
    *recognised._BEFORE.values(),
    *recognised._RULES.values(),
    *recognised._AFTER.values(),
    *REPETITION_RULES.values(),
    recognised_math.normalize_delimiters,
]


def seconds(rule, text: str) -> float:
    best = float("inf")
    for _ in range(2):
        start = time.process_time()
        rule(text)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_work_grows_with_the_text_and_not_with_its_square(name):
    piece = HOSTILE[name]
    short, long = (piece * (size // len(piece)) + "x" for size in (8_000, 64_000))
    for rule in RULES:
        # Eight times the text: quadratic work is 64 times as much. Under ten milliseconds there is nothing to compare.
        assert seconds(rule, long) < 24 * max(seconds(rule, short), 0.002), rule.__name__


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_ten_megabytes_of_anything_are_repaired(name):
    piece = HOSTILE[name]
    start = time.process_time()
    repair(piece * (10_000_000 // len(piece)))
    assert time.process_time() - start < 120
