"""Files of questions as rows: CSV, TSV, JSONL, JSON lists and Parquet, in bounded memory, with the place of every row.

A file is a stranger's: a row that cannot be read is a fault with its place and the reading goes on, so that all faults are
told at once; what cannot be read at all ends it.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sagecraft.errors import UserError
from sagecraft.evaluation import forms
from sagecraft.evaluation.columns import Columns, is_whole, normalised

SUFFIXES = (".jsonl", ".csv", ".tsv", ".json", ".parquet")
#: Faults that are told of a file; further ones are counted.
MAX_FAULTS = 20
#: Largest file: a corpus given by mistake stops here. A JSON list is read whole, and takes some eight times its size.
_MAX_FILE_BYTES, _MAX_JSON_BYTES = 512 << 20, 128 << 20
#: Bytes of a line of JSONL, and characters of a cell of CSV: an article in a column that is not asked about has its place.
_MAX_LINE = 16 << 20
#: Bytes of a Parquet file when unpacked, and of so many of its rows: a dictionary of one text can stand for gigabytes.
_MAX_UNPACKED, _MAX_ROWS_UNPACKED, _PARQUET_ROWS = 1 << 30, 128 << 20, 64
_UTF16 = (b"\xff\xfe", b"\xfe\xff")

#: Place ("file: line 3"), and the columns, or what is wrong with the row.
_Read = tuple[str, dict[str, Any] | UserError]


class Faults:
    """What is wrong with a file: the first faults, and how many there are."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._count = 0

    def add(self, fault: str) -> None:
        """One more."""
        self._count += 1
        if len(self._told) < MAX_FAULTS:
            self._told.append(_one_line(fault))

    def end(self) -> None:
        """Raises what there is.

        Raises:
            UserError: a line a fault.
        """
        if self._count:
            more = self._count - len(self._told)
            raise UserError("\n".join([*self._told, *([f"… and {more:,} more"] if more else [])]))


def _one_line(fault: str) -> str:
    """A fault that may quote a stranger: no line breaks, no control characters, nothing that a terminal cannot show."""
    return "".join(char if char.isprintable() else " " for char in fault)


def read_rows(path: Path, columns: Columns, faults: Faults) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a file in our columns, each with its place; what is wrong with the others goes to `faults`."""
    try:
        _check(path)
        for place, row in _READERS[path.suffix](path):
            try:
                if isinstance(row, UserError):
                    raise row
                adapted = forms.adapt(columns.rename(row), place)
            except UserError as error:
                faults.add(str(error))
                continue
            yield place, adapted
    except UserError as error:
        faults.add(str(error))


def _check(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: unknown kind of file; questions are read from {', '.join(SUFFIXES)}")
    size, limit = path.stat().st_size, _MAX_JSON_BYTES if path.suffix == ".json" else _MAX_FILE_BYTES
    if size > limit:
        raise UserError(
            f"{path}: {size >> 20:,} MB is too large for questions (limit {limit >> 20} MB); is it the right file?"
        )
    with path.open("rb") as file:
        if path.suffix != ".parquet" and file.read(2) in _UTF16:
            raise UserError(f"{path}: is UTF-16, not UTF-8; save it as UTF-8 (of a spreadsheet: CSV UTF-8)")


def _csv_rows(path: Path) -> Iterator[_Read]:
    # Bytes that are no UTF-8 come as lone surrogates, which `_row_of_cells` finds: so their line and column are known.
    with path.open(encoding="utf-8-sig", newline="", errors="surrogateescape") as file:
        delimiter = "\t" if path.suffix == ".tsv" else _delimiter(file.readline(_MAX_LINE))
        file.seek(0)
        before = csv.field_size_limit(_MAX_LINE)
        line = 1
        try:
            reader = csv.reader(file, strict=True, delimiter=delimiter)
            first = next(reader, [])
            unnamed = forms.headerless(first)
            if not all(map(is_whole, first)):
                raise UserError(f"{path}: line 1: not UTF-8; save the file as UTF-8")
            header = list(normalised(((name, None) for name in unnamed or first), f"{path}: line 1"))
            if unnamed:
                yield f"{path}: line 1", _row_of_cells(header, first, f"{path}: line 1")
            line = reader.line_num + 1
            for cells in reader:
                place = f"{path}: line {line}"
                if any(cell.strip() for cell in cells):
                    yield place, _row_of_cells(header, cells, place)
                line = reader.line_num + 1
        except csv.Error as error:
            raise UserError(f"{path}: line {line}: not valid CSV ({error}); mend the quotes from there on") from error
        finally:
            csv.field_size_limit(before)


def _delimiter(line: str) -> str:
    """Spreadsheets write semicolons where a comma is the decimal point."""
    return ";" if ";" in line and "," not in line else ","


def _row_of_cells(header: list[str], cells: list[str], place: str) -> dict[str, Any] | UserError:
    if len(cells) != len(header):
        return UserError(f"{place}: {len(cells)} columns, the header has {len(header)}; quote the commas")
    for name, cell in zip(header, cells, strict=True):
        if not is_whole(cell):
            return UserError(f"{place}, column {name}: not UTF-8; save the file as UTF-8")
    return dict(zip(header, cells, strict=True))


def _jsonl_rows(path: Path) -> Iterator[_Read]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            place = f"{path}: line {number}"
            if len(line) > _MAX_LINE:
                raise UserError(f"{place}: longer than {_MAX_LINE >> 20} MB; is it the right file?")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                yield place, _object(line, place)


def _json_rows(path: Path) -> Iterator[_Read]:
    value = parse_json(path.read_bytes().removeprefix(b"\xef\xbb\xbf"), str(path))
    if not isinstance(value, list):
        raise UserError(f"{path}: expected a JSON list of questions, found {type(value).__name__}")
    for number, row in enumerate(value, start=1):
        place = f"{path}: entry {number}"
        yield place, _named(row, place)


def _object(line: bytes, place: str) -> dict[str, Any] | UserError:
    try:
        return _named(parse_json(line, place), place)
    except UserError as error:
        return error


def _named(value: Any, place: str) -> dict[str, Any] | UserError:
    if not isinstance(value, dict):
        return UserError(f"{place}: expected a JSON object, found {type(value).__name__}")
    try:
        return normalised(value.items(), place)
    except UserError as error:
        return error


def parse_json(text: str | bytes, place: str) -> Any:
    """One value.

    Raises:
        UserError: it is none, is no UTF-8, or is nested beyond what can be read.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise UserError(f"{place}: not UTF-8 (byte {error.start + 1} of it); save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not valid JSON ({error}); mend or remove it") from error


def _parquet_rows(path: Path) -> Iterator[_Read]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            texts = [file.schema.column(n) for n in range(len(file.schema))]
            names = [column.path for column in texts if column.physical_type == "BYTE_ARRAY"]
            groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        unpacked = sum(group.total_byte_size for group in groups)
        if unpacked > _MAX_UNPACKED:
            limit = _MAX_UNPACKED >> 20
            raise UserError(f"{path}: {unpacked >> 20:,} MB when unpacked (limit {limit:,} MB); is it the right file?")
        # As dictionaries, texts take what they take in the file, so their size is known before they are made.
        with pq.ParquetFile(path, read_dictionary=names, pre_buffer=False) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                place = f"{path}: row {number + 1}"
                if sum(map(_unpacked, batch.columns)) > _MAX_ROWS_UNPACKED:
                    limit = _MAX_ROWS_UNPACKED >> 20
                    raise UserError(f"{place}: {_PARQUET_ROWS} rows take more than {limit} MB; is it the right file?")
                for row in batch.to_pylist():
                    number += 1
                    place = f"{path}: row {number}"
                    yield place, _named(row, place)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        told = (str(error).splitlines() or [""])[0][:200]
        raise UserError(f"{path}: not a Parquet file, or a damaged one ({told})") from error


def _unpacked(column: Any) -> int:
    """Bytes of a column, each text counted as often as it stands there."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(column, pa.DictionaryArray):
        lengths = pc.binary_length(column.dictionary)
        return 8 * len(column) + (pc.sum(lengths.take(column.indices)).as_py() or 0)
    if isinstance(column, pa.StructArray):
        return sum(map(_unpacked, column.flatten()))
    if isinstance(column, pa.ListArray | pa.LargeListArray):
        return 8 * len(column) + _unpacked(column.flatten())
    return int(column.nbytes)


_READERS = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
    ".tsv": _csv_rows,
    ".json": _json_rows,
    ".parquet": _parquet_rows,
}
