"""CSV: formulas of strangers are text, numbers are numbers."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagecraft.reporting.tables import csv_text


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "  =1",
        "＝1",
        "−1",
        "-",
        "=",
        "-1e9999",
    ],
)
def test_formulas_are_guarded(text: str) -> None:
    assert read(csv_text([[text, "x"]])) == [["'" + text.replace("\r", "\n"), "x"]]


@pytest.mark.parametrize(
    ("cell", "written"),
    [(-5, "-5"), (-0.25, "-0.25"), ("-5", "-5"), ("+3.5", "+3.5"), ("-1e-3", "-1e-3"), (None, ""), (float("nan"), ""), (True, "1"),
     (False, "0"), ("it's", "it's"), ("a=b", "a=b"), ("a\x00b\ud800\u202e", "a\ufffdb\ufffd\ufffd"), ('say "x", y', 'say "x", y')],
)  # fmt: skip
def test_other_cells_stay(cell: str | float | None, written: str) -> None:
    assert read(csv_text([[cell, "x"]])) == [[written, "x"]]


def test_long_texts_end() -> None:
    (row,) = read(csv_text([["x" * 1_000_000, "y" * 32_000]]))
    assert (len(row[0]), row[0][-1], row[1]) == (32_000, "…", "y" * 32_000)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(alphabet=st.sampled_from("=+-@'\"\t\r\n ,;a1\x00\ud800"), max_size=8), min_size=2, max_size=2))
def test_no_cell_begins_a_formula_or_breaks_a_row(cells: list[str]) -> None:
    text = csv_text([["a", "b"], cells])
    text.encode()
    rows = read(text)
    assert len(rows) == 2
    for written in rows[1]:
        try:
            float(written)
        except ValueError:
            assert written.lstrip()[:1] not in set("=+-@")
            assert written[:1] not in set("\t\r\n")
