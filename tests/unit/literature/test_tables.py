"""Tables, oriented and with units."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.literature.tables import Table, number_of, tables_of


def _tables(*tables: str, prose: str = "Bridges carry roads.") -> list[Table]:
    blocks = [table.strip().replace("||", "|\n|") for table in tables]
    return list(tables_of(Document(id="d", text="\n\n".join([f"# Bridges\n\n{prose}", *blocks]))))


UPRIGHT = """**Table 2. Bridges of the Town (a choice)**

| Bridge Name | Length (m) (Between the outer piers, as they were counted in the last survey) | Mass (thousands of tons) | Year Opened | Remarks |
| --- | --- | --- | --- | --- |
| In the north | | | | |
| **Old Bridge** | 1,204 | 1.5 | 1877 | narrow |
| New Bridge (NB) | 98. | — | 1955 | wide |
| Mill Lane Bridge | ? | 20–30 | 1901 | closed |
| Ferry Bridge | 300 | 2 | 1920 | |"""


def test_an_upright_table() -> None:
    (table,) = _tables(UPRIGHT)
    assert (table.title, table.label, table.section, table.is_transposed) == (
        "Bridges of the Town",
        "Bridge",
        "Bridges",
        False,
    )
    assert [(c.name, c.unit, c.is_number, c.is_comparable) for c in table.columns] == [
        ("length", "m", True, True),
        ("mass", "thousands of tons", True, False),
        ("year opened", "", True, False),
    ]
    assert [(row.name, *row.cells) for row in table.rows] == [
        ("Old Bridge", "1,204", "1.5", "1877"),
        ("New Bridge (NB)", "98", "", "1955"),
        ("Mill Lane Bridge", "", "20–30", "1901"),
        ("Ferry Bridge", "300", "2", "1920"),
    ]
    length, mass, _ = table.columns
    assert length.with_unit("1,204") == "1,204 m"
    assert mass.with_unit("20–30") == "20–30 thousand tons"
    assert [(row.name, value) for row, value in table.values(0)][:2] == [("Old Bridge", 1204), ("New Bridge (NB)", 98)]


TRANSPOSED = """**Table 1. Two Bridges**

| Property | Old Bridge | New Bridge |
| --- | --- | --- |
| Length (m) | 100 | 200 |
| Mass (Old Bridge = 1) | 1 | 0.5 |
| Color | red | green |"""


def test_a_table_on_its_side_is_turned() -> None:
    (table,) = _tables(TRANSPOSED)
    assert table.is_transposed
    assert [(row.name, *row.cells) for row in table.rows] == [
        ("Old Bridge", "100", "1", "red"),
        ("New Bridge", "200", "0.5", "green"),
    ]
    assert [(c.name, c.unit) for c in table.columns] == [("length", "m"), ("mass", "Old Bridge = 1"), ("color", "")]
    assert table.columns[1].with_unit("0.5") == "0.5 (Old Bridge = 1)"


def test_a_table_of_one_thing_is_about_what_its_title_names() -> None:
    body = "| Characteristic | How Found | Value |\n| --- | --- | --- |\n| Length | tape | 10 m |\n| Mass | scales | 3 tons |"
    (table,) = _tables(f"**Table 1. Characteristics of the Old Bridge**\n\n{body}")
    assert [(row.name, *row.cells) for row in table.rows] == [("Old Bridge", "10 m", "3 tons")]
    assert _tables(f"**Table 1. What Was Measured**\n\n{body}") == []


def _rows(header: str, *rows: str) -> str:
    width = header.count("|") - 1
    return "\n".join([header, "|" + " --- |" * width, *rows])


@pytest.mark.parametrize(
    "table",
    [
        # Each cell belongs to two things.
        "**Table 1. Traffic of Oldtown and Newtown**\n\n"
        + _rows("| Kind | Oldtown | Newtown |", "| Cars | 5 | 6 |", "| Carts | 7 | 8 |", "| Buses | 1 | 2 |"),
        _rows("| Kind | Day (%) | Night (%) |", "| Cars | 5 | 6 |", "| Carts | 7 | 8 |", "| Buses | 1 | 2 |"),
        # Events by date; names that are numbers; a name twice; too few rows; one column.
        _rows("| Date | Place |", "| May 1 | Mill |", "| May 2 | Ferry |", "| May 3 | Gate |"),
        _rows("| Step | Load (t) |", "| 1 | 5 |", "| 2 | 6 |", "| 3 | 7 |"),
        _rows("| Bridge | Load (t) |", "| Mill | 5 |", "| Mill | 6 |", "| Gate | 7 |"),
        _rows("| Bridge | Load (t) |", "| Mill | 5 |", "| Gate | 6 |"),
        _rows("| Bridge |", "| Mill |", "| Gate |", "| Ferry |"),
        # In an exercise.
        "**Exercise 1.** Take these:\n\n"
        + _rows("| Bridge | Load (t) |", "| Mill | 5 |", "| Ferry | 6 |", "| Gate | 7 |"),
    ],
)
def test_tables_that_no_question_can_be_made_of(table: str) -> None:
    assert _tables(table) == []


def test_headers_stand_as_within_a_sentence() -> None:
    prose = "The river Ems is wide. A bridge crosses the Ems at the mill. The depth of the Ems differs, so the DIN sets a limit."
    table = _rows(
        "| Bridge | Distance from Ems (km) | DIN Class |", "| Mill | 5 | A |", "| Ferry | 6 | B |", "| Gate | 7 | C |"
    )
    (found,) = _tables(table, prose=prose)
    assert [column.name for column in found.columns] == ["distance from Ems", "DIN class"]


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12,756", 12756),
        ("−2.50", Fraction(-5, 2)),
        ("58.", 58),
        ("$5 \\times 10^{3}$", 5000),
        ("4 × 10$^{-2}$", Fraction(1, 25)),
        ("10$^{6}$", 10**6),
        ("1–2", None),
        ("<5", None),
        ("5 km", None),
        ("1,2", None),
        ("10$^{999999999}$", None),
        ("", None),
    ],
)
def test_number_of(cell: str, value: object) -> None:
    assert number_of(cell) == value


def test_units_are_put_where_they_belong() -> None:
    table = _rows(
        "| Bridge | Mass (10$^{3}$ kg) | Reach (km × 1000) | Share (%) | Age (y) | Time (hour) |",
        "| Mill | 5 | 1 | 3 | 2 | 1 |",
        "| Ferry | 6 | 2 | 4 | 3 | 2 |",
        "| Gate | 8 | 4 | 5 | 7 | 3 |",
    )
    (found,) = _tables(table)
    second = found.rows[1]
    assert [column.with_unit(cell) for column, cell in zip(found.columns, second.cells, strict=True)] == [
        "6 × 10$^{3}$ kg",
        "2 × 1000 km",
        "4%",
        "3 years",
        "2 hours",
    ]


def test_hostile_cells_and_spaces_take_no_time_that_grows_with_the_square() -> None:
    begun = time.monotonic()
    open_brackets = "(" * 200_000
    assert (
        _tables(f"| {open_brackets} | b |\n| --- | --- |\n| c | {open_brackets} |", prose="A" + " " * 200_000 + "b.")
        == []
    )
    assert time.monotonic() - begun < 5
