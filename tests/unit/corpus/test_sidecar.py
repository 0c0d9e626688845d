import json

import pytest

from sagecraft.corpus.sidecar import read_sidecar
from sagecraft.errors import UserError


def write(folder, *rows):
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")


def test_overrides_by_path(tmp_path):
    (tmp_path / "a.md").write_text("x")
    write(tmp_path, {"path": "a.md", "id": "i", "license": "CC BY 4.0", "withheld": False, "telescope": "VLT"})
    override = read_sidecar(tmp_path)[tmp_path / "a.md"]
    assert override.stated() == {"id": "i", "license": "CC-BY-4.0", "withheld": False}
    assert override.extra == {"telescope": "VLT"}


def test_no_sidecar(tmp_path):
    assert read_sidecar(tmp_path) == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "x"}, "entry 1: no `path`"),
        ({"path": "b.md"}, "path 'b.md' is no file below"),
        ({"path": "../a.md"}, "is no file below"),
        ({"path": "/etc/passwd"}, "is no file below"),
        ({"path": "a.md", "withheld": "yes"}, "withheld: input should be a valid boolean"),
        ({"path": "a.md", "year": "2020"}, "year: input should be a valid integer"),
        ({"path": "a.md", "id": ""}, "id: string should have at least 1 character"),
    ],
)
def test_wrong_lines_are_named(tmp_path, row, message):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a.md").write_text("x")
    (tmp_path / "a.md").write_text("x")
    write(folder, row)
    with pytest.raises(UserError, match=message):
        read_sidecar(folder)


def test_one_file_described_twice(tmp_path):
    (tmp_path / "a.md").write_text("x")
    write(tmp_path, {"path": "a.md", "withheld": True}, {"path": "a.md", "withheld": False})
    with pytest.raises(UserError, match="described twice"):
        read_sidecar(tmp_path)


def test_a_sidecar_that_is_not_utf8(tmp_path):
    (tmp_path / "metadata.jsonl").write_bytes(b'{"path": "\xe9.md"}')
    with pytest.raises(UserError, match="not UTF-8"):
        read_sidecar(tmp_path)
