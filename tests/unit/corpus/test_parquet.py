import datetime
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagecraft.corpus.readers import parquet as parquet_reader
from sagecraft.corpus.readers.found import Found
from sagecraft.corpus.readers.jsonl import read_json_documents, read_jsonl_documents
from sagecraft.corpus.readers.parquet import read_parquet_documents
from sagecraft.corpus.readers.registry import READERS, suffix_of
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.rows import names_of


def write(tmp_path, columns, **options):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def read(path):
    return list(read_parquet_documents(path, path.parent))


def test_columns_are_known_by_name(tmp_path):
    columns = {
        "Full Text": ["One $x$.", "Two."],
        "title": pa.array(["T", "T"]).dictionary_encode(),
        "authors": [[{"given": "Ada", "family": "L"}], None],
        "published_date": [datetime.date(2020, 5, 1), None],
        "keywords": [["a", "b"], []],
        "DOI": ["10.1/a", "10.1/b"],
        "License": ["CC0", ""],
        "embedding": [[0.5] * 2000, [0.5]],
        "blob": [b"x", b"y"],
        "n": [1, None],
    }
    first, second = read(write(tmp_path, columns))
    assert isinstance(first, Found)
    result = first.result
    assert (result.text, result.title, result.authors, result.year) == ("One $x$.", "T", ["Ada L"], 2020)
    assert (result.categories, result.identifier, result.license) == (["a", "b"], "10.1/a", "CC0")
    assert (first.row, first.extra) == (1, {"n": 1, "left_out": ["embedding"]})
    assert isinstance(second, Found)
    assert (second.result.authors, second.result.year, second.result.license, second.row) == ([], None, None, 2)


def test_sections_and_bytes_are_text(tmp_path):
    sections = [[{"section": "Intro", "text": "a"}, {"section": None, "text": "b"}]]
    (found,) = read(write(tmp_path, {"body_text": sections}))
    assert found.result.text == "## Intro\n\na\n\nb"
    (found,) = read(write(tmp_path, {"text": [b"caf\xc3\xa9"]}))
    assert found.result.text == "café"


def test_a_missing_text_column_is_named_with_those_there_are(tmp_path):
    (error,) = read(write(tmp_path, {"a": [1], "b": ["x"]}))
    assert isinstance(error, ReaderError)
    assert error.reason == "no-text-column"
    assert "`a`, `b`" in error.detail


def test_bad_rows_do_not_end_the_file(tmp_path):
    bad = pa.Array.from_buffers(pa.string(), 2, [*pa.array(["a", "b"]).buffers()[:2], pa.py_buffer(b"\xff\xfe")])
    path = write(tmp_path, {"text": ["x", "", None, "y"], "note": pa.concat_arrays([bad, pa.array(["c", "d"])])})
    rows = read(path)
    assert [row.reason if isinstance(row, ReaderError) else row.result.text for row in rows] == [
        "bad-value", "bad-value", "no-text", "y",
    ]  # fmt: skip
    assert "row 1: column `note`" in rows[0].detail


def test_no_row_is_lost_between_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_reader, "_BATCH_BYTES", 1)
    rows = read(write(tmp_path, {"text": [f"t{n}" for n in range(50)]}, row_group_size=7))
    assert [row.result.text for row in rows] == [f"t{n}" for n in range(50)]
    assert [row.row for row in rows] == list(range(1, 51))


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"not parquet at all, no"])
def test_damaged_files_are_refused(tmp_path, data):
    path = tmp_path / "a.parquet"
    path.write_bytes(data)
    (error,) = read(path)
    assert error.reason in ("empty", "bad-parquet")


def test_a_dictionary_bomb_is_left(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_reader, "_FLOOR_CHARS", 1_000_000)
    rows = read(write(tmp_path, {"text": ["x" * 100_000] * 2000}))
    assert rows[-1].reason == "parquet-bomb"
    assert len(rows) < 1000


def test_json_arrays_and_packed_lines(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"text": "a"}, 3, {"id": 1}, {"content": ["b", "c"]}]))
    rows = list(read_json_documents(path, tmp_path))
    assert [row.reason if isinstance(row, ReaderError) else row.result.text for row in rows] == [
        "a", "bad-json", "no-text", "b\n\nc",
    ]  # fmt: skip
    packed = tmp_path / "a.jsonl.zst"
    with pa.CompressedOutputStream(str(packed), "zstd") as stream:
        stream.write(b'{"text": "one"}\n{"text": "two"}\n')
    assert [row.result.text for row in read_jsonl_documents(packed, tmp_path)] == ["one", "two"]
    assert suffix_of(packed) in READERS
    packed.write_bytes(b"no zstd")
    (error,) = read_jsonl_documents(packed, tmp_path)
    assert error.reason == "unreadable"


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("Ada Lovelace, Max Born", ["Ada Lovelace", "Max Born"]),
        ("Lovelace, Ada; Born, Max", ["Lovelace, Ada", "Born, Max"]),
        ([["Lovelace", "Ada", ""], ["Born", "Max", "Jr"]], ["Ada Lovelace", "Max Born Jr"]),
        ([{"first": "Ada", "last": "Lovelace"}, {"name": "X"}, 3], ["Ada Lovelace", "X"]),
        ({"name": "Ada"}, ["Ada"]),
        (None, []),
    ],
)
def test_names(value, names):
    assert names_of(value) == names
