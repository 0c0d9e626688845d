"""What is hashed once is known again, in this process and the next, and never when it changed."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from sagecraft import digests


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache" / "digests.json"
    monkeypatch.setattr(digests, "CACHE", path)
    monkeypatch.setattr(digests, "_LARGE_BYTES", 10)
    monkeypatch.setattr(digests, "_SETTLED_NS", -1)
    return path


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(digests, "_hashed", {})


def test_hashes_are_those_of_the_bytes(tmp_path: Path) -> None:
    files = {tmp_path / f"{n}.bin": os.urandom(n) for n in (0, 1, 1 << 20, (1 << 20) + 1)}
    for path, value in files.items():
        path.write_bytes(value)
    wanted = {path: hashlib.sha256(value).hexdigest() for path, value in files.items()}
    assert digests.sha256_files(files) == wanted
    assert {path: digests.sha256_file(path) for path in files} == wanted


def test_a_large_file_is_read_once_by_two_processes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(b"x" * 20)
    small.write_bytes(b"y")
    first = digests.sha256_files([large, small])
    read: list[Path] = []
    original = digests.sha256_file
    monkeypatch.setattr(digests, "sha256_file", lambda path: read.append(path) or original(path))
    forget(monkeypatch)
    assert digests.sha256_files([large, small]) == first
    assert read == [small], "small files are not worth an entry"
    large.write_bytes(b"z" * 20)  # the same size
    assert digests.sha256_files([large])[large] == hashlib.sha256(b"z" * 20).hexdigest()
    assert len(json.loads(cache.read_text())) == 2


def test_a_file_with_an_older_time_set_on_it_is_another_file(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20)
    stat = path.stat()
    first = digests.sha256_files([path])[path]
    path.write_bytes(b"y" * 20)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    forget(monkeypatch)
    assert digests.sha256_files([path])[path] != first


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1, "b": "short"}', "{" * 10_000, "\ud800"])
def test_a_broken_cache_is_no_cache(tmp_path: Path, cache: Path, text: str) -> None:
    cache.parent.mkdir()
    cache.write_text(text, errors="surrogatepass")
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20)
    assert digests.sha256_files([path])[path] == hashlib.sha256(b"x" * 20).hexdigest()
    assert len(json.loads(cache.read_text())) == 1


def test_a_cache_that_cannot_be_written_is_no_fault(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(digests, "CACHE", tmp_path / "file" / "digests.json")
    path = tmp_path / "large"
    path.write_bytes(b"x" * 20)
    assert digests.sha256_files([path])[path] == hashlib.sha256(b"x" * 20).hexdigest()
