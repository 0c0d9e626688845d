"""The prose of a paper's PDF against that of its LaTeX, on papers that nobody wrote for this test."""

import re
import unicodedata

import pytest

from sagecraft.corpus.readers.latex import find_main, read_latex
from sagecraft.corpus.readers.pdf import read_pdf

FORMULA = re.compile(r"\$\$.*?\$\$|(?<!\\)\$[^$\n]*?(?<!\\)\$", re.DOTALL)
NO_PROSE = re.compile(r"[|#!`]|(?:\*\*)?(?:Figure|Fig\.|Table|Algorithm|Listing)\s*\d")


def words_of(text: str) -> list[str]:
    """Words without formulas and addresses, in compatibility form and lower case."""
    text = unicodedata.normalize("NFKC", FORMULA.sub(" ", text)).casefold().replace("’", "'")
    return re.findall(r"[^\W_]+(?:[-'][^\W_]+)*", re.sub(r"https?://\S+", " ", text))


def prose_of(markdown: str) -> str:
    """Paragraphs that are no tables, headings, captions or code."""
    return "\n".join(block for block in FORMULA.sub(" ", markdown).split("\n\n") if not NO_PROSE.match(block.strip()))


def common_in_order(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence (Hyyrö 2004: one addition of long integers for each word)."""
    places: dict[str, int] = {}
    for place, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(first)) - 1
    row = full
    for word in second:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & full
    return len(first) - row.bit_count()


def test_the_measure_itself():
    assert common_in_order("a b c d e".split(), "x b a c y e".split()) == 3
    assert words_of("A re-read $x$ of the **star’s** light, https://x.y/z") == "a re-read of the star's light".split()


@pytest.mark.data
@pytest.mark.parametrize(
    ("paper", "least", "year", "authors"),
    [
        ("LEGWORK-paper", 0.99, 2022, ["T. Wagg", "K. Breivik", "S. E. de Mink"]),
        ("araa-gps", 0.97, 2022, ["Suzanne Aigrain", "Daniel Foreman-Mackey"]),
    ],
)
def test_prose_of_a_pdf_is_that_of_its_latex(shared_data, paper, least, year, authors):
    folder = shared_data / "arxiv-papers" / paper
    source = read_latex(find_main(folder / "src/tex"), folder / "src/tex")
    result = read_pdf(folder / "ms.pdf", folder)
    expected, found = words_of(prose_of(source.text)), words_of(result.text)
    assert len(expected) > 5000
    assert common_in_order(expected, found) / len(expected) >= least
    assert "".join(words_of(result.title)) == "".join(words_of(source.title))
    assert (result.year, result.authors) == (year, authors)
    # Nothing but the pages' own words: no running heads, no references, no formulas that are taken for prose.
    assert len(found) < 1.35 * len(expected)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\ufb00-\ufb06\ufffd]", result.text)
