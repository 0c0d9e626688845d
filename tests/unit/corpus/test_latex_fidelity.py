"""What survives of real papers, counted by the benchmark's own code, which shares nothing with the reader."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

import pytest

from sagecraft.corpus.readers.latex import find_main, read_latex

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))

import latex_score
import latex_source

ROOT = Path(__file__).parents[3]


def _assert_faithful(main: Path, root: Path, *, has_bibliography: bool = True) -> None:
    counts = latex_score.score(latex_source.load(main, root), read_latex(main, root).text, True, None)
    least = {"display_equations": 0.99, "inline_equations": 0.98, "table_cells": 0.98, "macros_expanded": 0.99}
    if has_bibliography:
        least["citations"] = 0.95
    for name, share in least.items():
        assert (counts[name].share or 1) >= share, (name, counts[name])
    assert (counts["left_over_commands"].share or 0) < 0.005


def test_the_sample_corpus() -> None:
    mains = sorted((ROOT / "examples" / "astronomy").glob("*/*/main.tex"))
    assert len(mains) >= 10
    for main in mains:
        _assert_faithful(main, main.parent)


@pytest.mark.parametrize("name", ["LEGWORK-paper", "araa-gps"])
def test_papers_as_they_were_submitted(shared_data: Path, tmp_path: Path, name: str) -> None:
    with tarfile.open(shared_data / "arxiv-papers" / name / "arxiv.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    main = find_main(tmp_path)
    assert main is not None
    assert main.name == "ms.tex"
    _assert_faithful(main, tmp_path)


@pytest.mark.parametrize(
    "name", ["arxiv-papers/emcee/document/ms.tex", "latex-books/krumholz-star-formation/sfnotes.tex"]
)
def test_other_sources(shared_data: Path, name: str) -> None:
    main = shared_data / name
    _assert_faithful(main, main.parent, has_bibliography="emcee" in name)


def test_the_counts_see_a_loss(tmp_path: Path) -> None:
    """A reading that lost a formula, a citation, a cell and kept a command must not pass."""
    (tmp_path / "main.tex").write_text(
        "\\documentclass{article}\\newcommand{\\x}{y_1}\\begin{document}\\[ a = b \\] $\\x$ and $c$ \\citep{k} \\begin{tabular}{ll}one & two\\end{tabular}"
        "\\begin{thebibliography}{1}\\bibitem[Bee et al.(2001)]{k} B.\\end{thebibliography}\\end{document}"
    )
    source = latex_source.load(tmp_path / "main.tex", tmp_path)
    good = latex_score.score(source, "$$a = b$$ $y_1$ and $c$ (Bee et al. 2001)\n\n| one | two |\n", True, None)
    assert [good[name].kept for name in ("display_equations", "inline_equations", "citations", "table_cells")] == [
        1,
        2,
        1,
        2,
    ]
    bad = latex_score.score(source, "$a = b$ $\\x$ (Bee 1999) \\emph{d} one two", True, None)
    assert [bad[name].kept for name in ("display_equations", "inline_equations", "citations", "table_cells")] == [
        0,
        1,
        0,
        0,
    ]
    assert (bad["left_over_commands"].kept, bad["macros_expanded"].kept, bad["macros_expanded"].total) == (1, 0, 1)
