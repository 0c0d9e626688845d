import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagecraft.corpus.documents import (
    Document,
    Dropped,
    read_documents,
    read_dropped,
    write_documents,
    write_dropped,
)
from sagecraft.errors import UserError

DOCUMENTS = [
    Document(
        id="a/1",
        text="# Title\n\nMass $m$ and λ.",
        title="Title",
        authors=["Ada Lovelace", "Émilie du Châtelet"],
        year=1843,
        categories=["physics"],
        license="CC-BY-4.0",
        source="papers/1.md",
        format="markdown",
        withheld=True,
        extra='{"doi": "10.1/x"}',
    ),
    Document(id="a/2", text="only the needed columns"),
]


def test_what_is_written_is_read(tmp_path):
    assert write_documents(tmp_path, DOCUMENTS) == 2
    assert list(read_documents(tmp_path)) == DOCUMENTS
    assert list(read_documents(tmp_path))[1].year is None
    assert list(read_documents(tmp_path))[1].withheld is None


def test_equal_documents_give_equal_bytes(tmp_path):
    write_documents(tmp_path / "one", DOCUMENTS)
    write_documents(tmp_path / "two", [dataclasses.replace(document) for document in DOCUMENTS])
    name = "documents/part-00000.parquet"
    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_shards_are_read_in_order(tmp_path):
    write_documents(tmp_path, DOCUMENTS[1:], "part-00001")
    write_documents(tmp_path, DOCUMENTS[:1], "part-00000")
    assert [document.id for document in read_documents(tmp_path)] == ["a/1", "a/2"]


def test_an_empty_shard_is_read(tmp_path):
    write_documents(tmp_path, [])
    assert list(read_documents(tmp_path)) == []


def test_dropped_rows(tmp_path):
    rows = [Dropped("x", "papers/x.md", "too-short", "3 words", "a b c"), Dropped("y", "y.pdf", "no-reader")]
    assert list(read_dropped(tmp_path)) == []
    write_dropped(tmp_path, rows)
    assert list(read_dropped(tmp_path)) == rows


def test_a_folder_without_documents_is_named(tmp_path):
    with pytest.raises(UserError, match=r"holds no documents.*sagecraft ingest"):
        list(read_documents(tmp_path))


def test_a_damaged_shard_is_named(tmp_path):
    write_documents(tmp_path, DOCUMENTS)
    shard = tmp_path / "documents/part-00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"part-00000.parquet: damaged Parquet"):
        list(read_documents(tmp_path))


def test_a_shard_of_something_else_is_named(tmp_path):
    write_dropped(tmp_path, [Dropped("x", "y", "z")])
    (tmp_path / "dropped").rename(tmp_path / "documents")
    with pytest.raises(UserError, match="column `title` is missing"):
        list(read_documents(tmp_path))


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("year", pa.array(["soon", "1999"]), "column `year` holds string and not int32"),
        ("authors", pa.array([{"a": 1}, {"a": 2}]), "column `authors` holds struct"),
        ("text", pa.array([None, "a"]), "column `text` has empty rows"),
        ("title", pa.array([b"\xff", b"a"]).view(pa.utf8()), "damaged Parquet"),
    ],
)
def test_a_column_of_another_type_is_named(tmp_path, name, column, said):
    write_documents(tmp_path, DOCUMENTS[:2])
    shard = tmp_path / "documents/part-00000.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), shard)
    with pytest.raises(UserError, match=rf"part-00000\.parquet: .*{said}"):
        list(read_documents(tmp_path))


def test_a_column_of_a_wider_type_is_read(tmp_path):
    write_documents(tmp_path, DOCUMENTS)
    shard = tmp_path / "documents/part-00000.parquet"
    table = pq.read_table(shard)
    years = table["year"].cast(pa.int64())
    pq.write_table(table.set_column(table.column_names.index("year"), "year", years), shard)
    assert list(read_documents(tmp_path)) == DOCUMENTS
