"""Tables with their orientation and units: rows are things, columns are properties, whichever way the page had them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from sagecraft.corpus.documents import Document
from sagecraft.corpus.sections import CAPTION, PROSE, Sections
from sagecraft.corpus.sentences import clean_markdown, heading_of
from sagecraft.literature import english
from sagecraft.literature.lexicon import LISTS, word_list
from sagecraft.literature.names import Names

_PROPERTY_HEADERS = word_list("property_headers")
_VALUE_HEADERS = word_list("value_headers")
_SKIPPED_HEADERS = word_list("skipped_headers")
_COUNTING_HEADERS = word_list("counting_headers")
_NAME_HEADERS = word_list("name_headers")
_TIME_HEADERS = word_list("time_headers")
_CAPITALISED = word_list("capitalised")
_UNIT_WORDS: dict[str, str] = LISTS["unit_words"]

_CELL_BREAK = re.compile(r"(?<!\\)\|")
_MISSING = re.compile(r"^(?:[—–?.…-]+|n/?a|none|unknown|\(\?\)|no data)?$", re.IGNORECASE)
_LABEL = re.compile(r"^(?:\*\*)?Table [A-Z]?[\d.]+[.:]?\s*")
_OF = re.compile(
    r"\b(?:properties|characteristics|parameters|features|facts|data) (?:of|for|about) (?:the |a |an )?(.+)$",
    re.IGNORECASE,
)
_BRACKET = re.compile(r"\s*\(([^()]*(?:\([^()]*\)[^()]*)*)\)")
_BRACKET_IN_MATH = re.compile(r"\$\(([^$]+)\)\$")
_POWER = r"(?:10\$?\^\{?([−–-]?\d+)\}?\$?)"
_NUMBER = re.compile(r"^([+−–-]?)(\d{1,3}(?:,\d{3})+|\d+)(\.\d*)?(?:\s*(?:×|x|\\times)\s*" + _POWER + r")?$")
_ONLY_POWER = re.compile(f"^{_POWER}$")
_COUNTED_UNIT = re.compile(r"(?:year|month|week|day|hour|minute|second|meter|metre|mile|gram|ton|degree)$")
#: What may stand in a cell beside digits when its column has a unit: a range or a bound.
_NO_NAMES = frozenset({"only", "other", "others", "all", "total", "sum", "average", "mean", "becomes"})
_RANGE_WORDS = re.compile(
    r"\b(?:less|more|greater|fewer|than|to|about|over|under|up|out|at|least|most|always|and|or|from|minimum|maximum|estimate|now)\b"
)
_POINTING = re.compile(r"\b(?:this|these|that|it|its|their|here)\b", re.IGNORECASE)
#: A bracket of more words is a remark and no unit; a name of more characters is a sentence.
_MAX_UNIT_WORDS = 4
_MAX_NAME_CHARS = 64
_MAX_HEADER_CHARS = 60
_MAX_CELL_CHARS = 1_000
_MIN_ROWS = 3


@dataclass(frozen=True)
class Column:
    """A property.

    Attributes:
        name: without its unit and remarks, as it stands within a sentence ("mean density").
        unit: as the header has it ("km", "%", "10$^{23}$ kg", "Earth = 1"); empty if the cells carry theirs, or have none.
        is_number: whether most cells are plain numbers (`number_of`).
        is_comparable: whether it makes sense to ask which of two is larger: numbers that neither count nor date nor place.
    """

    name: str
    unit: str
    is_number: bool
    is_comparable: bool

    def with_unit(self, cell: str) -> str:
        """A cell of this column with its unit: "4,878 km", "0.055 (Earth = 1)", "48.8 billion years", "3.3 × 10$^{23}$ kg"."""
        unit = self.unit
        if not unit or not _is_numeric(cell) or unit in cell:
            return cell
        if plural := re.match(r"^(thousand|million|billion|trillion)s of (.+)$", unit):
            return f"{cell} {plural.group(1)} {plural.group(2)}"
        if "=" in unit or not re.search(r"[\d$}+]$", cell):
            return f"{cell} ({unit})"
        if unit in {"%", "°"}:
            return f"{cell}{unit}"
        if factor := re.match(r"^(.+) [×x] ?(1[\d,]*(?:\$\^.*)?)$", unit):
            return f"{cell} × {factor.group(2)} {factor.group(1)}"
        if re.match(r"^(?:× ?)?\$?10(?:\$?\^| \\)|^\$?\d+ \\times", unit):
            return f"{cell} × {unit.removeprefix('×').strip()}"
        unit = _UNIT_WORDS.get(unit, unit)
        return f"{cell} {unit}s" if _COUNTED_UNIT.search(unit) and number_of(cell) != 1 else f"{cell} {unit}"


@dataclass(frozen=True)
class Row:
    """A thing.

    Attributes:
        name: what it is called.
        cells: one for each column; empty where the table tells nothing.
    """

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table, oriented.

    Attributes:
        document: id of the document.
        number: running number among the document's tables.
        title: its caption without "Table N."; empty if none.
        section: heading that it stands under.
        label: what the rows are ("Planet"); empty if the table does not say.
        columns: properties; those of remarks and links are left out.
        rows: things, each named once.
        is_transposed: whether the page had the things as columns.
    """

    document: str
    number: int
    title: str
    section: str
    label: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    is_transposed: bool

    def values(self, column: int) -> list[tuple[Row, Fraction]]:
        """The rows that have a plain number in a column, with it."""
        found = ((row, number_of(row.cells[column])) for row in self.rows)
        return [(row, value) for row, value in found if value is not None]


def number_of(cell: str) -> Fraction | None:
    """The value of a cell that is one plain number ("12,756", "−243.", "4 × 10$^{-4}$"), else None: no ranges, bounds or units."""
    text = cell.replace("$", "").replace("{,}", ",").strip()
    if found := _ONLY_POWER.match(text):
        return _power(found.group(1))
    found = _NUMBER.match(text)
    if not found:
        return None
    value = Fraction(found.group(2).replace(",", "") + (found.group(3) or "").rstrip("."))
    if found.group(4):
        power = _power(found.group(4))
        if power is None:
            return None
        value *= power
    return -value if found.group(1) in {"−", "–", "-"} else value


def _power(exponent: str) -> Fraction | None:
    value = int(exponent.replace("−", "-").replace("–", "-"))
    # A hostile exponent would make an integer of that many digits.
    return Fraction(10) ** value if abs(value) <= 400 else None


def tables_of(document: Document) -> Iterator[Table]:
    """The tables of a document whose rows are things with names and whose columns are properties, in order.

    Tables whose cells belong to two things each (a matrix), those of dates, and those of exercises are left out.
    """
    blocks = document.text.split("\n\n")
    # Headers and headings are in title case: what is a name, the rest of the text tells.
    names = Names("\n\n".join(block for block in blocks if block[:1] not in {"|", "#"} and not _LABEL.match(block)))
    sections = Sections()
    title = ""
    number = 0
    for block in blocks:
        if heading := heading_of(block):
            sections.enter(*heading)
            continue
        kind = sections.kind_of(block)
        if block.startswith("|"):
            grid = _grid(block) if kind == PROSE else []
            table = _table(document.id, number, title, sections.heading, grid, names)
            number += 1
            if table is not None:
                yield table
        title = _LABEL.sub("", clean_markdown(block)) if kind == CAPTION and _LABEL.match(block) else ""


def _grid(block: str) -> list[list[str]]:
    """The cells of a Markdown table, the rule below the header left out; rows of another length are not read."""
    lines = [line.strip() for line in block.split("\n")]
    rows = [_CELL_BREAK.split(line)[1:-1] for line in lines if line.startswith("|")]
    body = [row for row in rows[2:] if len(row) == len(rows[0])] if rows else []
    return [[_clean(cell) for cell in row] for row in (rows[0], *body)] if body else []


def _clean(cell: str) -> str:
    """A cell without escapes and emphasis; empty for a longer text than a header or a value can be."""
    # Looking for brackets takes time that grows with the square of a cell's length.
    return clean_markdown(cell.replace("\\|", "|")) if len(cell) <= _MAX_CELL_CHARS else ""


def _table(document: str, number: int, title: str, section: str, grid: list[list[str]], names: Names) -> Table | None:
    if len(grid) <= 2 or len(grid[0]) < 2:
        return None
    title = _BRACKET.sub("", title).strip()
    # A row with its first cell alone heads a group of rows.
    grid = [grid[0], *(row for row in grid[1:] if any(row[1:]))]
    is_transposed = _is_transposed(grid)
    turned = _turned(grid, title) if is_transposed else _named(grid, title)
    if turned is None:
        return None
    label, headers, rows = turned
    # Dates are no things that have properties: such a table lists events.
    if set(label.lower().split()) & _TIME_HEADERS:
        return None
    if not _are_names([row.name for row in rows]) or len(rows) < (1 if is_transposed else _MIN_ROWS):
        return None
    if not is_transposed and _is_matrix(headers, title):
        return None
    names = names.with_names(row.name for row in rows if " " not in row.name)
    columns, kept = [], []
    for place, header in enumerate(headers):
        column = _column(header, [row.cells[place] for row in rows], names)
        if column is not None and column.name != label:
            columns.append(column)
            kept.append(place)
    if not columns:
        return None
    rows = [Row(row.name, tuple(row.cells[place] for place in kept)) for row in rows]
    return Table(document, number, title, section, label, tuple(columns), tuple(rows), is_transposed)


def _is_transposed(grid: Sequence[Sequence[str]]) -> bool:
    """Whether the first column holds properties: by its header, or because it has none and half of its cells carry a unit."""
    header = _plain(grid[0][0]).lower()
    if header in _PROPERTY_HEADERS:
        return True
    with_unit = sum(re.search(r"\((?:[^()]*[=/%°$][^()]*|[a-zµ]{1,3})\)$", row[0]) is not None for row in grid[1:])
    return not header and 2 * with_unit > len(grid) - 1


def _turned(grid: list[list[str]], title: str) -> tuple[str, list[str], list[Row]] | None:
    """A table on its side, put upright: the columns become rows. One of values alone is about what its title names."""
    headers = [_plain(cell) for cell in grid[0]]
    things = [place for place in range(1, len(headers)) if headers[place].lower() not in _SKIPPED_HEADERS]
    values = [place for place in things if headers[place].lower() in _VALUE_HEADERS]
    if not values and len(things) < 2:
        return None
    if values:
        named = _OF.search(title)
        if len(values) != 1 or not named or re.search(r",| and ", named.group(1)):
            return None
        rows = [Row(named.group(1), tuple(_cell(row[values[0]]) for row in grid[1:]))]
    else:
        rows = [Row(headers[place], tuple(_cell(row[place]) for row in grid[1:])) for place in things]
    return "", [row[0] for row in grid[1:]], rows


def _named(grid: list[list[str]], title: str) -> tuple[str, list[str], list[Row]] | None:
    """The rows of an upright table by name. The names are the first column that can hold them, or one that says so."""
    headers = grid[0]
    places = sorted(
        range(min(3, len(headers))), key=lambda place: _plain(headers[place]).lower().split()[-1:] != ["name"]
    )
    for place in places:
        names = [_name(row[place]) for row in grid[1:]]
        if _are_names([name for name in names if name]) and sum(bool(name) for name in names) >= 0.8 * len(names):
            others = [other for other in range(len(headers)) if other != place]
            rows = [
                Row(name, tuple(_cell(row[other]) for other in others))
                for name, row in zip(names, grid[1:], strict=True)
                if name
            ]
            return _label(headers[place], title), [headers[other] for other in others], rows
    return None


def _label(header: str, title: str) -> str:
    """What the rows are, by the header of their names: "Bridge Name" is a bridge if the title speaks of bridges."""
    label = _plain(header)
    kind = re.sub(r" Names?$", "", label)
    is_told = kind == label or re.search(rf"\b{re.escape(kind.split()[-1][:6])}", title, re.IGNORECASE)
    return "" if re.split(r"\W", label.lower())[0] in _NAME_HEADERS or not is_told else kind


def _are_names(names: Sequence[str]) -> bool:
    """Whether texts can be names of different things: letters in each, none twice."""
    return (
        bool(names)
        and len(set(names)) == len(names)
        and all(re.search(r"[^\W\d_]", name) for name in names)
        and (sum(bool(re.search(r"[^\W\d_]{3}", name)) for name in names) >= 0.6 * len(names))
    )


def _is_matrix(headers: Sequence[str], title: str) -> bool:
    """Whether the columns are things too, so that each cell belongs to two of them: their names stand in the title, or all are shares of one whole."""
    names = [_plain(header) for header in headers]
    in_title = sum(bool(name) and re.search(rf"\b{re.escape(name)}\b", title) is not None for name in names)
    if len(names) >= 2 and in_title == len(names):
        return True
    units = [_unit_in(header, is_number=True)[1] for header in headers]
    return len(names) >= 2 and units[0] == "%" and len(set(units)) == 1


def _column(header: str, cells: list[str], names: Names) -> Column | None:
    """What a header says; None for a column of remarks, links or running numbers, and one that points out of itself."""
    filled = [cell for cell in cells if cell]
    if not filled or any("www." in cell or "://" in cell for cell in filled):
        return None
    values = [value for cell in filled if (value := number_of(cell)) is not None]
    is_number = 2 * len(values) > len(filled)
    name, unit = _unit_in(header, 2 * sum(_is_numeric(cell) for cell in filled) > len(filled))
    lowered = name.lower()
    is_odd = (
        ":" in name or not re.search(r"[^\W\d_]{3}", name) or len(name) > _MAX_HEADER_CHARS or _POINTING.search(name)
    )
    steps = sum(later - earlier == 1 for earlier, later in itertools.pairwise(values))
    is_serial = len(values) > _MIN_ROWS and values[0] == 1 and 2 * steps > len(values) and "number" not in lowered
    if is_odd or is_serial or lowered in _SKIPPED_HEADERS:
        return None
    counts = bool(set(re.findall(r"[a-z]+", lowered)) & _COUNTING_HEADERS) and "number of " not in lowered
    is_comparable = is_number and not counts and len(values) >= min(_MIN_ROWS, len(cells)) and len(values) > 1
    if not unit and is_number and re.search(r"%|\bpercent", name, re.IGNORECASE):
        unit = "%"
    name = re.sub(r"%", "percentage", name)
    return Column(_in_sentence(name, names), unit, is_number, is_comparable)


def _in_sentence(header: str, names: Names) -> str:
    """A header in title case as it stands within a sentence; names and abbreviations keep their capitals."""
    return re.sub(r"(?<![\w$\\{])[A-Z][a-z]+(?![A-Za-z])", lambda found: _small(found.group(0), names), header)


def _small(word: str, names: Names) -> str:
    is_name = word in _CAPITALISED or names.lower_first(word) == word
    return word if is_name else word.lower()


def _is_numeric(cell: str) -> bool:
    """Whether a cell is a number, a range or a bound, without a unit of its own."""
    if number_of(cell) is not None:
        return True
    bare = _RANGE_WORDS.sub("", re.sub(r"\$[^$]*\$", "0", cell).lower())
    return any(character.isdigit() for character in bare) and re.search(r"[^\W\d_]|[%°]", bare) is None


def _unit_in(header: str, is_number: bool) -> tuple[str, str]:
    """A header as (name, unit): the first short bracket of a column of numbers; remarks in brackets are left out."""
    unit = ""
    kept = ""
    header = _BRACKET_IN_MATH.sub(r"($\1$)", header)
    for bracket in _BRACKET.findall(header):
        is_condition = re.match(r"(?:by|at|in|of|for|on|per) ", bracket) or (
            "=" in bracket and "1" not in bracket.split("=")[-1]
        )
        inner = bracket.removeprefix("in ")
        is_unit = (
            is_number and not unit and len(inner.split()) <= _MAX_UNIT_WORDS and (inner != bracket or not is_condition)
        )
        if is_unit:
            unit = re.sub(r"\[.*\]$", "", inner).strip()
        elif is_condition and len(bracket.split()) <= 2 * _MAX_UNIT_WORDS:
            kept += f" ({bracket})"
    return (_BRACKET.sub("", header).strip() + kept).strip(), unit


def _plain(header: str) -> str:
    return _BRACKET.sub("", header).strip()


def _name(cell: str) -> str:
    """A cell as a name: long remarks in brackets left out; empty if it cannot be one."""
    text = _BRACKET.sub(lambda found: found.group(0) if len(found.group(1).split()) <= 3 else "", cell).strip()
    first = text.split(" ", 1)[0].lower()
    is_clause = first in english.PREPOSITIONS | _NO_NAMES or (first in english.THIRD and first not in english.NOUN_LIKE)
    return "" if _MISSING.match(text) or len(text) > _MAX_NAME_CHARS or is_clause else text


def _cell(cell: str) -> str:
    """A cell as it is told; empty if it tells nothing."""
    if _MISSING.match(cell) or "?" in cell:
        return ""
    return cell.rstrip(".") if number_of(cell) is not None else cell
