from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from sagecraft import artifact, digests
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


def test_a_file_changed_at_the_same_size_is_not_finished(tmp_path: Path) -> None:
    mark = make(tmp_path / "a").fingerprint
    data, untouched = tmp_path / "a/sub/data.txt", (tmp_path / "a/manifest.json").stat()
    later = untouched.st_mtime_ns + 10**9
    os.utime(data, ns=(later, later))
    assert artifact.is_finished(tmp_path / "a", mark), "touched, but with its recorded hash"
    data.write_text("yyy")
    os.utime(data, ns=(later, later))
    assert not artifact.is_finished(tmp_path / "a", mark)


def kill_at(name: str, monkeypatch: pytest.MonkeyPatch, when: Callable[[Path], bool]) -> None:
    """The next call of `artifact.<name>` whose first argument fits ends the process as SIGKILL would: no clean-up."""
    original = getattr(artifact, name)

    def dying(path: Path, *rest: object) -> object:
        if when(path):
            raise SystemExit
        return original(path, *rest)

    monkeypatch.setattr(artifact, name, dying)
    monkeypatch.setattr(artifact.shutil, "rmtree", lambda *_, **__: None)


@pytest.mark.parametrize(
    ("function", "when"),
    [
        ("_record", lambda path: path.name == "data.txt"),
        ("write_json", lambda path: path.name == "timing.json"),
        ("write_json", lambda path: path.name == "manifest.json"),
        ("_fsync", lambda path: path.name == "manifest.json"),
        ("_put", lambda path: True),
    ],
)
def test_killed_while_finishing_it_resumes_to_the_same_bytes(
    function: str, when: Callable[[Path], bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    def attempt(out: Path, stray: str = "") -> bool:
        with artifact.build(
            out, kind="thing", stage="make", version=1, config=Config(), inputs={}, resumable=True
        ) as build:
            (build.scratch("state") / "progress").write_text("half")
            if stray:
                (build.path / stray).write_text("of the run that was killed")
            (build.path / "data.txt").write_text("x")
        return build.resumed

    attempt(tmp_path / "straight")
    with monkeypatch.context() as patch:
        kill_at(function, patch, when)
        with pytest.raises(SystemExit):
            attempt(tmp_path / "a", stray="" if function == "_put" else ".data.txt.part")
    artifact.settle(tmp_path / "a")
    if function != "_put":  # else it was whole: nothing is left to do
        assert attempt(tmp_path / "a")
    assert (tmp_path / "a/manifest.json").read_bytes() == (tmp_path / "straight/manifest.json").read_bytes()
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"data.txt", "manifest.json", "timing.json"}
    assert artifact.is_finished(tmp_path / "a", artifact.load(tmp_path / "a").fingerprint)


def test_a_whole_artifact_is_put_in_place_and_the_old_one_deleted(tmp_path: Path) -> None:
    """Killed between the two renames that put a new artifact in place of an old one, and then behind the second."""
    make(tmp_path / "new", size=5)
    make(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.stale")
    (tmp_path / "new").rename(tmp_path / "a.work")
    artifact.settle(tmp_path / "a")
    assert artifact.load(tmp_path / "a").stats["size"] == 5
    make(tmp_path / "a.stale")
    artifact.settle(tmp_path / "a")
    assert artifact.load(tmp_path / "a").stats["size"] == 5
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "a.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another sagecraft writes it"):
            make(tmp_path / "a")
    make(tmp_path / "a")  # a lock file that nobody holds stops nobody
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_file_system_without_locks_warns_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    make(tmp_path / "a")
    assert "this file system has no locks" in capfd.readouterr().err
    assert artifact.is_artifact(tmp_path / "a")


def test_killed_between_two_renames_the_old_artifact_comes_back(tmp_path: Path) -> None:
    make(tmp_path / "a")
    (tmp_path / "a").rename(tmp_path / "a.stale")
    with (
        pytest.raises(RuntimeError),
        artifact.build(tmp_path / "a", kind="thing", stage="make", version=1, config=Config(size=5), inputs={}),
    ):
        raise RuntimeError
    assert artifact.load(tmp_path / "a").stats["size"] == 3


def test_an_input_that_changes_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.txt").write_text("one")

    def attempt() -> None:
        with artifact.build(
            tmp_path / "out", kind="thing", stage="make", version=1, config=Config(), inputs={"in": tmp_path / "in"}
        ):
            (tmp_path / "in/b.txt").write_text("arrived late")

    with pytest.raises(MachineError, match="in: changed while make read it"):
        attempt()
    assert [p.name for p in tmp_path.iterdir()] == ["in"], "nothing half made is left"
    attempt()


def test_an_artifact_whose_files_were_changed_is_no_input(tmp_path: Path) -> None:
    digest = make(tmp_path / "a").digest
    assert artifact.input_digest(tmp_path / "a") == digest
    copied = shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copyfile)  # newer than its manifest
    assert artifact.input_digest(copied) == digest
    (copied / "sub" / "data.txt").write_text("xxy")
    with pytest.raises(
        UserError, match=r"data\.txt: is not what manifest\.json says; make the artifact again, or delete"
    ):
        artifact.input_digest(copied)
    (copied / artifact.MANIFEST).unlink()
    assert artifact.input_digest(copied) != digest


def test_an_output_inside_its_input_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    first = make(tmp_path / "out", source=tmp_path)
    assert make(tmp_path / "out", source=tmp_path).fingerprint == first.fingerprint


def test_links_count_as_the_files_they_lead_to(tmp_path: Path) -> None:
    """The hub's cache keeps a model as links to blobs: two models must not look alike."""
    digests = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.blob").write_text(name)
        (tmp_path / name / "model.safetensors").symlink_to(tmp_path / f"{name}.blob")
        digests.add(artifact.input_digest(tmp_path / name))
    assert len(digests) == 2


def test_an_input_is_hashed_once_and_again_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, hashed = tmp_path / "source.txt", []
    original = digests.sha256_file
    monkeypatch.setattr(digests, "sha256_file", lambda path: hashed.append(path) or original(path))
    source.write_text("one")
    with monkeypatch.context() as later:
        later.setattr(digests, "_SETTLED_NS", -1)
        first = artifact.input_digest(source)
        assert artifact.input_digest(source) == first
        assert len(hashed) == 1
    source.write_text("two")  # just now: may change again within one tick of the file system's clock
    assert artifact.input_digest(source) != first
    artifact.input_digest(source)
    assert len(hashed) == 3


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
    (tmp_path / "a/manifest.json").write_text('{"name": "a web application"}')
    with pytest.raises(UserError, match="not an artifact"):
        make(tmp_path / "a")
    assert (tmp_path / "a/thesis.tex").read_text() == "years of work"
    assert artifact.input_digest(tmp_path / "a"), "its manifest is one file among others"


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    made = tmp_path / "made"
    make(made)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        make(tmp_path / "file")
    with pytest.raises(UserError, match="needs the name of a folder"):
        make(Path())
    with pytest.raises(UserError, match=r"holds .*, which is read here"):
        make(made, source=made)
    with pytest.raises(UserError, match="inside the artifact"):
        make(made / "inner", source=made)
    value = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**value, "format_version": 99}))
    with pytest.raises(UserError, match="format 99 is newer"):
        make(made)
    assert (made / "sub/data.txt").read_text() == "xxx"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ('{"format_version": 99}', "newer than this sagecraft reads"),
        ('{"format_version": 1}', "damaged"),
        ('{"name": "a web application"}', "not a sagecraft artifact"),
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
    ("line", "said"),
    [
        ("é".encode("latin-1"), r"rows\.jsonl:2: not UTF-8 \(byte 0\); save it as UTF-8"),
        (b"[" * 100_000, r"rows\.jsonl:2: not valid JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", r"rows\.jsonl:2: not valid JSON"),
        (b"\0", r"rows\.jsonl:2: not valid JSON"),
    ],
)
def test_a_line_of_a_stranger_is_one_clear_error(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n' + line + b"\r\n")
    rows = artifact.read_jsonl(path)
    assert next(rows) == {"a": 1}, "the mark that some editors put before UTF-8 is none of the text"
    with pytest.raises(UserError, match=said):
        next(rows)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, MachineError),
        (errno.EROFS, MachineError),
        (errno.EACCES, MachineError),
        (errno.ENOENT, UserError),
        (errno.ENOTDIR, UserError),
        (errno.EEXIST, UserError),
        (errno.ENAMETOOLONG, UserError),
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
