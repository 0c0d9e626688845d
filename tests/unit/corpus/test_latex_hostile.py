"""The LaTeX reader's files, limits and hostile input: it ends, within its folder, and raises nothing but `ReaderError`."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagecraft.corpus.readers.latex import find_main, read_latex
from sagecraft.corpus.readers.result import ReaderError, ReadResult

Reader = Callable[..., ReadResult]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Reads a document made of a preamble, a body and further files."""

    def run(body: str, preamble: str = "", document_class: str = "article", **files: str) -> ReadResult:
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
        main = tmp_path / "main.tex"
        text = f"\\documentclass{{{document_class}}}\n{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
        main.write_text(text, encoding="utf-8")
        return read_latex(main, tmp_path)

    return run


# ---- files ----


def test_included_files(read: Reader, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "deep.tex").write_text("deep")
    (tmp_path / "stand.tex").write_text("\\documentclass[main]{subfiles}\\begin{document}alone\\end{document}")
    result = read(
        "\\input{a} \\include{a.tex} \\input a \\import{parts/}{deep} \\subfile{stand} \\input{missing}",
        a__tex="part% c\n",
    )
    assert result.text == "part part partdeep alone\n"
    assert (result.counts["inputs"], result.counts["inputs_missing"]) == (5, 1)


def test_input_never_leaves_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.tex").write_text("SECRET")
    (root / "link.tex").symlink_to(tmp_path / "secret.tex")
    body = (
        "x \\input{../secret} \\input{../../../../etc/passwd} \\input{/etc/passwd} \\input{link} \\import{../}{secret}"
    )
    (root / "main.tex").write_text(f"\\documentclass{{article}}\\begin{{document}}{body}\\end{{document}}")
    result = read_latex(root / "main.tex", root)
    assert result.text == "x\n"
    assert result.counts["inputs_refused"] == 5


def test_files_that_include_each_other_end(read: Reader) -> None:
    result = read("\\input{a}", a__tex="A\\input{b}", b__tex="B\\input{a}\\input{main}")
    assert result.text == "AB\n"
    assert result.counts["inputs_refused"] == 2


def test_old_encodings(tmp_path: Path) -> None:
    (tmp_path / "main.tex").write_bytes("\\documentclass{a}\\begin{document}Köln\\end{document}".encode("latin-1"))
    assert read_latex(tmp_path / "main.tex", tmp_path).text == "Köln\n"


def test_find_main(tmp_path: Path) -> None:
    assert find_main(tmp_path) is None
    document = "\\documentclass{article}\\begin{document}x\\end{document}"
    (tmp_path / "zz.tex").write_text(document)
    (tmp_path / "macros.tex").write_text("\\newcommand{\\x}{y}" * 100)
    (tmp_path / "old-referee.tex").write_text(document + "%" * 900)
    assert find_main(tmp_path) == tmp_path / "zz.tex"
    (tmp_path / "ms.tex").write_text(document)
    assert find_main(tmp_path) == tmp_path / "ms.tex"
    (tmp_path / "00README.XXX").write_text("../../etc/passwd.tex toplevelfile\nzz.tex toplevelfile\n")
    assert find_main(tmp_path) == tmp_path / "zz.tex"
    (tmp_path / "00README.json").write_text('{"sources": [{"filename": "ms.tex", "usage": "toplevel"}]}')
    assert find_main(tmp_path) == tmp_path / "ms.tex"


# ---- hostile ----


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("\\def\\a{\\a\\a}\\a", "macro-recursion"),
        ("\\def\\a{x\\a}\\a", "macro-recursion"),
        ("$\\def\\a{\\a}\\a$", "macro-recursion"),
        ("\\def\\a#1{\\a}\\a " + "x" * 300_000, "macro-recursion"),
        ("{" * 30_000 + "x", "nesting"),
        ("", "no-text"),
    ],
)
def test_hostile_documents_end_in_a_reader_error(read: Reader, body: str, reason: str) -> None:
    with pytest.raises(ReaderError) as caught:
        read(body)
    assert caught.value.reason == reason


@pytest.mark.timeout(120)  # quadratic would take hours
def test_exponential_macros_stop(read: Reader) -> None:
    names = ["\\x" + "a" * depth for depth in range(13)]
    laughs = "".join(f"\\def{name}{{{(following + ' ') * 10}}}" for name, following in pairwise(names)) + "\\x"
    with pytest.raises(ReaderError, match="macro-recursion"):
        read(laughs)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "body",
    [
        "\\def\\a{" + "x" * 100_000 + "}" + "\\a" * 20_000,
        "\\defcitealias{k}{" + "z " * 100_000 + "}" + "\\citetalias{k}" * 20_000,
        "\\newacronym{k}{A}{" + "z $x$ " * 5_000 + "}" + "\\acrlong{k}" * 20_000,
        "\\renewcommand{\\theequation}{" + "z {} " * 20_000 + "}" + "\\begin{equation}x\\end{equation}" * 5_000,
        "\\newtheorem{t}{" + "z" * 100_000 + "}" + "\\begin{t}\\end{t}" * 20_000,
    ],
    ids=["macro", "alias", "acronym", "number", "theorem"],
)
def test_text_that_is_repeated_is_bounded(read: Reader, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """Each would set gigabytes out of a source of a few hundred kilobytes; a tenth of the budget shows it as well, sooner."""
    monkeypatch.setattr("sagecraft.corpus.readers.latex_macros.WORK_FLOOR", 100_000)
    with pytest.raises(ReaderError) as caught:
        read(body)
    assert caught.value.reason in ("macro-recursion", "too-large")


@pytest.mark.timeout(120)  # quadratic would take minutes
@pytest.mark.parametrize(
    "body",
    [
        "$a$" * 100_000,
        "".join(f"\\newcounter{{c{n}}}[c{n // 2}]" for n in range(1, 1500)) + "\\stepcounter{c1}" * 20_000,
        "\\begin{tabular}{ll}" + "a&b\\\\" * 50_000 + "\\end{tabular}",
        "\\begin{eqn}a\\end{eqn}" * 700,  # each is an environment that must end: 500 may be open
    ],
    ids=["formulas", "counters", "rows", "environments"],
)
def test_much_of_one_thing_is_read_in_linear_time(read: Reader, body: str) -> None:
    assert read("x " + body, "\\newenvironment{eqn}{\\begin{equation}}{\\end{equation}}").text.startswith("x")


@pytest.mark.parametrize(
    "body",
    ["$\\verb||$", "\\H\\verb|a|", '\\"\\ref{x}', "\\SI{1}{\\verb|m|}", "\\label{\\verb|m|}\\cite{\\verb|k|}"],
)
def test_code_in_odd_places_leaves_no_control_characters(read: Reader, body: str) -> None:
    text = read("start " + body).text
    assert text.startswith("start")
    assert not any(ord(char) < 32 and char != "\n" for char in text)


@pytest.mark.parametrize(
    "body",
    [
        "}}} a {{ b",
        "a } b \\emph{c",
        "$x",
        "\\begin{equation} x",
        "\\begin{itemize}\\item x",
        "\\end{foo} a",
        "\\footnote{x",
        "\\cite{",
        "\\def",
    ],
)
def test_unbalanced_documents_are_read(read: Reader, body: str) -> None:
    assert read("start " + body).text.startswith("start")


def test_an_unclosed_argument_costs_a_paragraph_at_most(read: Reader) -> None:
    assert read("\\emph{a\n\nb \\textbf{c}").text == "*a*\n\nb **c**\n"


@pytest.mark.timeout(120)  # quadratic would take hours
def test_a_line_of_five_megabytes(read: Reader) -> None:
    result = read("some plain words of prose, $x$, " * 160_000)
    assert result.counts["equations_inline"] == 160_000


def test_missing_main_file(tmp_path: Path) -> None:
    with pytest.raises(ReaderError) as caught:
        read_latex(tmp_path / "none.tex", tmp_path)
    assert caught.value.reason == "unreadable"


_PIECES = (
    "\\begin{%s} \\end{%s} { } $ $$ & \\\\ # #1 ^ _ ~ [ ] % \\def\\a#1{#1\\a} \\a \\newcommand{\\b}[1][x]{#1} \\b \\section{ \\emph{ \\item \\cite{k} \\ref{l} \\label{l} "
    "\\caption{ \\footnote{ \\verb|x| \\verb \\[ \\] \\( \\) \\' \\hline \\multicolumn{2}{c}{ \\input{main} \\let\\a\\b \\ifx \\else \\fi \\csname \\endcsname "
    "\\mbox{ \\ensuremath{ \\frac \\left( \\abstract{ \\author{ \\title{ \\appendix \\acknowledgments \\bibitem[ \\SI{3e5}{\\km} \\url{ \\href{a}{ \\expandafter \\makeatletter "
    "\\xspace \\par word \x00 \\the \\newif\\ifq \\qtrue \\ifq \\renewcommand{\\theequation}{\\theequation}"
).split(" ")
_NAMES = [
    "equation",
    "align",
    "tabular",
    "itemize",
    "figure",
    "table",
    "verbatim",
    "abstract",
    "thebibliography",
    "document",
    "odd",
    "subequations",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(_PIECES) | st.text(max_size=5), max_size=40), st.randoms(use_true_random=False))
def test_no_input_raises_anything_else(tmp_path: Path, pieces: list[str], random: random.Random) -> None:
    text = " ".join(piece.replace("%s", random.choice(_NAMES)) if "%s" in piece else piece for piece in pieces)
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\begin{document}" + text, encoding="utf-8", errors="replace"
    )
    with contextlib.suppress(ReaderError):
        assert "\0" not in read_latex(tmp_path / "main.tex", tmp_path).text


_WORDS = re.compile(r"\\[A-Za-z@]+|\\.|[{}$&#\[\]%]|\n\s*\n|\s+|[^\\{}$&#\[\]%\s]+", re.DOTALL)
_SEEDS = [
    *sorted((Path(__file__).parents[3] / "examples" / "astronomy").glob("*/*/*.tex")),
    Path(__file__).parents[2] / "golden" / "latex" / "paper" / "main.tex",
]


def _mutated(seeds: list[list[str]], pool: list[str], rng: random.Random) -> str:
    """A paper with some tokens taken out, doubled, moved or replaced by any command of any paper."""
    tokens = list(rng.choice(seeds))
    for _ in range(rng.randrange(1, 40)):
        index, kind = rng.randrange(len(tokens)), rng.randrange(5)
        if kind == 0:
            del tokens[index : index + rng.randrange(1, 8)]
        elif kind == 1:
            tokens.insert(index, rng.choice(pool))
        elif kind == 2:
            start = rng.randrange(len(tokens))
            tokens[index:index] = tokens[start : start + rng.randrange(1, 20)]
        elif kind == 3:
            tokens.insert(index, rng.choice(_PIECES).replace("%s", rng.choice(_NAMES)))
        else:
            tokens[index] = rng.choice(pool)
        tokens = tokens or ["x"]
    return "".join(tokens)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_thousands_of_damaged_papers(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    seeds = [_WORDS.findall(path.read_text(encoding="utf-8")) for path in _SEEDS]
    pool = sorted({token for tokens in seeds for token in tokens if token[0] == "\\"})
    main = tmp_path / "main.tex"
    for number in range(1000):
        main.write_text(_mutated(seeds, pool, rng), encoding="utf-8", errors="replace")
        start = time.process_time()
        with contextlib.suppress(ReaderError):
            text = read_latex(main, tmp_path).text
            assert not any(mark in text for mark in "\0\x01\x02\x03"), number
        assert time.process_time() - start < 10, number
