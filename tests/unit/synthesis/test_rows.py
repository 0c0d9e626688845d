"""Order on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.synthesis import rows


def written(path: Path, values: list[dict[str, Any]]) -> bytes:
    made = rows.Sorted(path / "buckets")
    for value in values:
        made.add(keyed_hash("test", value["id"]), value)
    assert made.write(path / "out.jsonl") == len(values)
    assert not (path / "buckets").exists()
    return (path / "out.jsonl").read_bytes()


def test_rows_through_buckets_are_those_sorted_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [{"id": f"r{n}", "text": f"a\u2028b\r {n}"} for n in range(2000)]
    straight = written(tmp_path, values)
    monkeypatch.setattr(rows, "_HELD_CHARS", 5_000)
    assert written(tmp_path, values[::-1]) == straight
    assert list(artifact.read_jsonl(tmp_path / "out.jsonl")) == sorted(
        values, key=lambda row: keyed_hash("test", row["id"])
    )


def test_what_a_killed_run_left_in_buckets_goes(tmp_path: Path) -> None:
    (tmp_path / "buckets").mkdir()
    (tmp_path / "buckets" / "00.jsonl").write_text('0000000000000000\t{"id": "old"}\n')
    assert b"old" not in written(tmp_path, [{"id": "new"}])
