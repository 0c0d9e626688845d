from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from sagecraft import artifact
from sagecraft.errors import MachineError, UserError, from_os_error


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    size: int = 3


def make(out: Path, size: int = 3, source: Path | None = None, resumable: bool = False) -> artifact.Manifest:
    inputs = {"source": source} if source else {}
    with artifact.build(
        out, kind="thing", stage="make", version=1, config=Config(size=size), inputs=inputs, resumable=resumable
    ) as build:
        (build.path / "sub").mkdir()
        (build.path / "sub" / "data.txt").write_text("x" * size)
        build.stats["size"] = size
    return build.manifest


def test_manifest_is_a_pure_function_of_the_inputs(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b")
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "b/manifest.json").read_bytes()
    loaded = artifact.load(tmp_path / "a", "thing")
    assert loaded.files["sub/data.txt"].num_bytes == 3
    assert artifact.seconds(tmp_path / "a") is not None
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"sub", "manifest.json", "timing.json"}


def test_fingerprint_follows_config_inputs_and_version(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("one")
    first = make(tmp_path / "a", source=source)
    assert artifact.is_finished(tmp_path / "a", first.fingerprint)
    source.write_text("two")
    assert make(tmp_path / "b", source=source).fingerprint != first.fingerprint
    assert make(tmp_path / "c", size=4).fingerprint != make(tmp_path / "d").fingerprint
    settings = {"size": 3}
    assert artifact.fingerprint("make", 1, settings, {}) != artifact.fingerprint("make", 2, settings, {})


def test_a_failure_leaves_the_earlier_artifact_whole(tmp_path: Path) -> None:
    make(tmp_path / "a")
    before = (tmp_path / "a/manifest.json").read_bytes()

    def fail() -> None:
        with artifact.build(
            tmp_path / "a", kind="thing", stage="make", version=1, config=Config(size=9), inputs={}
        ) as build:
            (build.path / "half.txt").write_text("…")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        fail()
    assert (tmp_path / "a/manifest.json").read_bytes() == before
    assert (tmp_path / "a/sub/data.txt").read_text() == "xxx"


def test_missing_or_shortened_files_are_not_finished(tmp_path: Path) -> None:
    mark = make(tmp_path / "a").fingerprint
    (tmp_path / "a/sub/data.txt").write_text("x")
    assert not artifact.is_finished(tmp_path / "a", mark)
    (tmp_path / "a/sub/data.txt").unlink()
    assert not artifact.is_finished(tmp_path / "a", mark)


def test_killed_between_two_renames_the_old_artifact_comes_back(tmp_path: Path) -> None:
    make(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.stale")
    with (
        pytest.raises(RuntimeError),
        artifact.build(tmp_path / "a", kind="thing", stage="make", version=1, config=Config(size=5), inputs={}),
    ):
        raise RuntimeError
    assert artifact.load(tmp_path / "a").stats["size"] == 3


def test_resumable_work_is_kept_for_the_same_fingerprint_only(tmp_path: Path) -> None:
    def attempt(size: int, fail: bool) -> bool:
        with artifact.build(
            tmp_path / "a", kind="thing", stage="make", version=1, config=Config(size=size), inputs={}, resumable=True
        ) as build:
            resumed = build.resumed
            (build.scratch("state") / "progress").write_text("half")
            if fail:
                raise RuntimeError
        return resumed

    with pytest.raises(RuntimeError):
        attempt(3, fail=True)
    assert attempt(3, fail=False)
    assert not (tmp_path / "a/state").exists()
    with pytest.raises(RuntimeError):
        attempt(4, fail=True)
    assert not attempt(5, fail=False)


def test_a_folder_of_the_user_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="not an artifact"):
        make(tmp_path / "a")
    assert (tmp_path / "a/thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"format_version": 99}', "newer than this sagecraft reads"),
        ('{"format_version": 1}', "damaged"),
    ],
)
def test_unreadable_manifests_are_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        artifact.load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_load_checks_the_kind(tmp_path: Path) -> None:
    make(tmp_path / "a")
    with pytest.raises(UserError, match="holds thing, but model is needed"):
        artifact.load(tmp_path / "a", "model")


def test_jsonl_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n\n[1]\n')
    rows = artifact.read_jsonl(path)
    assert next(rows) == {"a": 1}
    with pytest.raises(UserError, match=r"rows\.jsonl:3"):
        next(rows)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, MachineError),
        (errno.EROFS, MachineError),
        (errno.EACCES, MachineError),
        (errno.ENOENT, UserError),
    ],
)
def test_system_errors_say_whose_fault_it_is(number: int, kind: type[Exception]) -> None:
    fault = from_os_error(OSError(number, os.strerror(number), "/some/file"))
    assert isinstance(fault, kind)
    assert "/some/file" in str(fault)


def test_keyed_hash_is_stable_and_spread() -> None:
    assert artifact.keyed_hash(0, "epoch", 1) == artifact.keyed_hash(0, "epoch", 1)
    assert artifact.keyed_hash("a", "bc") != artifact.keyed_hash("ab", "c")
    bits = sum(artifact.keyed_hash(0, n) >> 63 for n in range(1000))
    assert 430 < bits < 570


def test_canonical_json_ignores_order() -> None:
    assert artifact.digest_of({"a": 1, "b": 2}) == artifact.digest_of(json.loads('{"b": 2, "a": 1}'))
