"""Artifacts: what a stage leaves behind, and how it is finished, recognised and traced.

An artifact is a folder with its data, `manifest.json` and nothing hidden. The manifest is a pure function of
the inputs (no times, no host names), so that two runs of one recipe can be compared byte by byte; when it was
made and how long it took stands beside it in `timing.json`.

A stage writes into a work folder beside its target and the folder is renamed when it is whole, so a reader
never sees half an artifact and a killed stage loses nothing that was finished before.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sagecraft import digests
from sagecraft.errors import MachineError, UserError
from sagecraft.lock import locked

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TIMING = "timing.json"
#: In a work folder: whose it is (gone once it is whole), and what resumes it (gone when it is in place).
_CLAIM, _SCRATCH = "claim.json", "scratch"
sha256_file = digests.sha256_file


class FileRecord(BaseModel):
    """One file of an artifact; `num_bytes` is null where the file holds a time, which is then left out of the hash."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str
    num_bytes: int | None


class Manifest(BaseModel):
    """What an artifact is, from what it was made, and what it holds.

    Attributes:
        kind: the noun, for instance `documents`, `tokens`, `conversations`, `model`, `evaluation`.
        stage: the stage that made it.
        fingerprint: hash of stage, code version, configuration and inputs: what it *should* hold.
        config: the resolved configuration of the stage.
        inputs: name of each input → its digest.
        files: relative path → size and sha256; pages (`.html`, `plots/`) may show times and are not listed.
        stats: counts and figures; every one is a pure function of the inputs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format_version: int = FORMAT_VERSION
    kind: str
    stage: str
    fingerprint: str
    config: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, FileRecord]
    stats: dict[str, Any]

    @property
    def digest(self) -> str:
        """Hash of the contents (not of how they came to be)."""
        return digest_of({name: record.sha256 for name, record in sorted(self.files.items())})


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def digest_of(value: object) -> str:
    """sha256 (hex) of a JSON-like value."""
    # "surrogatepass": a stranger's file may have a name that is not UTF-8
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def keyed_hash(*parts: object) -> int:
    """A 64-bit number from `parts`: the only source of randomness (DESIGN.md, convention 6)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def write_text(path: Path, text: str) -> None:
    """Writes a file atomically: beside, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    with beside.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_json(path: Path, value: object) -> None:
    """Writes pretty JSON atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON; a broken file is the user's to look at."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # its syntax; bytes that are no text; a number of 5,000 digits
        raise UserError(f"{path}: not valid JSON ({error}); delete it or restore it") from error


def write_jsonl(path: Path, rows: Iterator[Mapping[str, Any]] | list[dict[str, Any]]) -> int:
    """Writes one JSON object a line and returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, default=str) + "\n")
            count += 1
    return count


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Reads one JSON object a line; the error names the line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                raise UserError(f"{path}:{number}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
            except (ValueError, RecursionError) as error:
                raise UserError(f"{path}:{number}: not valid JSON ({error}); mend or remove the line") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
            yield row


def load(path: Path, kind: str | None = None) -> Manifest:
    """Reads the manifest of a finished artifact.

    Raises:
        UserError: there is none, it cannot be read, it is of a newer format, or of another kind.
    """
    manifest_path = path / MANIFEST
    if not path.exists():
        raise UserError(f"{path}: no such folder")
    if not manifest_path.is_file():
        raise UserError(f"{path}: not a sagecraft artifact (no {MANIFEST}); run the stage that makes it first")
    value = read_json(manifest_path)
    if not isinstance(value, dict) or "format_version" not in value:
        raise UserError(f"{path}: not a sagecraft artifact (its {MANIFEST} is another program's)")
    _refuse_newer(manifest_path, value)
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{manifest_path}: {where}: {first['msg']}; the artifact is damaged, delete it") from error
    if kind is not None and manifest.kind != kind:
        raise UserError(f"{path}: holds {manifest.kind}, but {kind} is needed here")
    return manifest


def _refuse_newer(path: Path, manifest: Mapping[str, Any]) -> None:
    version = manifest["format_version"]
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{path}: format {version} is newer than this sagecraft reads ({FORMAT_VERSION}); upgrade sagecraft"
        )


def is_artifact(path: Path) -> bool:
    """True if `path` holds a manifest of ours, whole or not; other programs write a `manifest.json` too."""
    try:
        value = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and {"format_version", "kind", "stage", "fingerprint"} <= value.keys()


def is_work(path: Path) -> bool:
    """True if `path` is an artifact in the making, or what an interrupted stage left of one."""
    return path.suffix == ".work" and (path / _CLAIM).is_file()


def is_finished(path: Path, fingerprint: str) -> bool:
    """True if `path` is a whole artifact made for this fingerprint.

    Every file is there at its recorded size, and one that was written after the manifest still has its recorded hash.
    Untouched files are believed: hashing 100 GB at every start would take minutes to find what happens almost never.
    """
    if not (path / MANIFEST).is_file():
        return False
    try:
        manifest = load(path)
    except UserError:
        return False
    return manifest.fingerprint == fingerprint and _changed(path, manifest) is None


def _changed(path: Path, manifest: Manifest) -> str | None:
    """The first file that is missing or not what the manifest says."""
    finished = (path / MANIFEST).stat().st_mtime_ns
    names = (name for name, record in manifest.files.items() if not _is_whole(path / name, record, finished))
    return next(names, None)


def _is_whole(path: Path, record: FileRecord, finished: int) -> bool:
    if not path.is_file() or record.num_bytes not in (None, path.stat().st_size):
        return False
    if path.stat().st_mtime_ns <= finished:
        return True
    try:
        return _record(path, timed=record.num_bytes is None) == record
    except UserError:
        return False


def input_digest(path: Path, out: Path | None = None) -> str:
    """Digest of an input: of an artifact from its manifest, of other files and folders from their bytes.

    Args:
        path: the input.
        out: what is being made of it; if it lies in the input's folder it does not count.

    Raises:
        UserError: a file of an artifact is not the one that its manifest names, so that lineage would be another's.
    """
    if is_artifact(path):
        manifest = load(path)
        if changed := _changed(path, manifest):
            raise UserError(
                f"{path / changed}: is not what {MANIFEST} says; make the artifact again, or delete its {MANIFEST} to use "
                "the folder as your own"
            )
        return manifest.digest
    files = _input_files(path, out)
    return _digest_of_files(path, files, digests.sha256_files(files))


def input_digests(inputs: Mapping[str, Path], out: Path) -> dict[str, str]:
    """Digests of all inputs of what is made at `out`; their files are hashed side by side."""
    files = {path: _input_files(path, out) for path in inputs.values() if not is_artifact(path)}
    hashes = digests.sha256_files(file for each in files.values() for file in each)
    return {
        name: _digest_of_files(path, files[path], hashes) if path in files else input_digest(path)
        for name, path in sorted(inputs.items())
    }


def _digest_of_files(path: Path, files: list[Path], hashes: Mapping[Path, str]) -> str:
    if path.is_file():
        return hashes[path]
    return digest_of({file.relative_to(path).as_posix(): hashes[file] for file in files})


def _input_files(path: Path, out: Path | None) -> list[Path]:
    """The files whose bytes are an input's, in order."""
    if path.is_file():
        return [path]
    if path.is_dir():
        own = () if out is None else tuple(place.resolve() for place in (out, _work(out), _stale(out), _lock(out)))
        own = tuple(place for place in own if path.resolve() in place.parents)
        # a link to a file counts as the file: the folders of the hub's cache consist of links
        files = (file for file in sorted(path.rglob("*")) if file.is_file())
        if own:
            files = (file for file in files if not any(file.resolve().is_relative_to(place) for place in own))
        return list(files)
    raise UserError(f"{path}: no such file or folder")


def fingerprint(stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """What a stage's result depends on, as one hash. Raise a stage's `version` when its code changes its bytes."""
    return digest_of({"stage": stage, "version": version, "config": config, "inputs": inputs})


class Build:
    """An artifact in the making. Write below `path`, fill `stats`; `manifest` is there once it is finished.

    Attributes:
        path: the work folder.
        resumed: the scratch folders hold what an interrupted run of the same fingerprint left.
        inputs: name of each input → its digest.
        stats: counts and figures for the manifest.
        timed: JSON files whose top-level `seconds` is a time: their hash leaves it out.
    """

    def __init__(self, path: Path, resumed: bool, inputs: Mapping[str, str]) -> None:
        self.path = path
        self.resumed = resumed
        self.inputs = inputs
        self.stats: dict[str, Any] = {}
        self.timed: set[str] = set()
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest of the finished artifact."""
        assert self._manifest is not None, "the artifact is not finished yet"
        return self._manifest

    def scratch(self, name: str) -> Path:
        """A folder for state that resumes an interrupted run and is deleted when the artifact is finished."""
        folder = self.path / _SCRATCH / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@contextlib.contextmanager
def build(
    out: Path,
    *,
    kind: str,
    stage: str,
    version: int,
    config: BaseModel,
    inputs: Mapping[str, Path],
    resumable: bool = False,
) -> Iterator[Build]:
    """Makes one artifact at `out`: work folder, fingerprint, atomic finish.

    Args:
        out: where the artifact will stand. An artifact that stands there is replaced when the new one is whole;
            any other folder that is not empty is refused.
        kind: the noun it holds.
        stage: the stage that makes it.
        version: version of the stage's code.
        config: its configuration.
        inputs: name → path of artifacts, files or folders it is made from.
        resumable: keep the scratch folders of an interrupted run with the same fingerprint; otherwise start afresh.

    Raises:
        UserError: `out` is taken, or another process writes it.
        MachineError: an input changed while it was read.
    """
    if out.name in ("", ".."):
        raise UserError(f"{out}: --out needs the name of a folder that is not there yet")
    work = _work(out)
    with _locked_artifact(out):
        _settle(out)
        check_place(out, inputs)
        settings = config.model_dump(mode="json")
        hashes = input_digests(inputs, out)
        mark = fingerprint(stage, version, settings, hashes)
        result = Build(work, _claim(work, mark, resumable), hashes)
        started = time.time()
        try:
            yield result
            for name, found in input_digests(inputs, out).items():
                if found != hashes[name]:
                    path = inputs[name]
                    raise MachineError(f"{path}: changed while {stage} read it; run the same command again")
        except BaseException:
            if not any(path.is_file() for path in (work / _SCRATCH).rglob("*")):
                shutil.rmtree(work, ignore_errors=True)  # nothing in it could be resumed; the fault is what matters
            raise
        names = _files_of(work)
        with ThreadPoolExecutor(digests.num_threads()) as pool:
            records = pool.map(lambda name: _record(work / name, name in result.timed), names)
            files = dict(zip(names, records, strict=True))
        result._manifest = Manifest(
            kind=kind, stage=stage, fingerprint=mark, config=settings, inputs=hashes, files=files, stats=result.stats
        )
        _finish(work, out, result.manifest, time.time() - started)


def _files_of(work: Path) -> list[str]:
    """What the manifest lists: all but the claim, the scratch folders, and pages and their plots, which may show times."""
    names = sorted(file.relative_to(work).as_posix() for file in work.rglob("*") if file.is_file())
    return [name for name in names if name.split("/")[0] not in (_CLAIM, _SCRATCH, "plots") and name[-5:] != ".html"]


def _record(path: Path, timed: bool) -> FileRecord:
    if timed:
        value = {key: part for key, part in read_json(path).items() if key != "seconds"}
        return FileRecord(sha256=digest_of(value), num_bytes=None)
    return FileRecord(sha256=digests.sha256_files([path])[path], num_bytes=path.stat().st_size)


def check_place(out: Path, inputs: Mapping[str, Path]) -> None:
    """Refuses to replace what is not ours, what is read, or what an older sagecraft does not know."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; --out names a folder")
    if is_artifact(out):
        _refuse_newer(out / MANIFEST, read_json(out / MANIFEST))
    elif out.exists() and any(out.iterdir()):
        raise UserError(f"{out}: exists and is not an artifact of sagecraft; choose another --out")
    here = out.resolve()
    for path in inputs.values():
        there = path.resolve()
        if here == there or here in there.parents:
            raise UserError(f"{out}: holds {path}, which is read here; choose another --out")
        if there in here.parents and is_artifact(path):
            raise UserError(f"{out}: lies inside the artifact {path}; choose another --out")


def _claim(work: Path, mark: str, resumable: bool) -> bool:
    """Takes the work folder; True if it holds the scratch of an interrupted run of the same fingerprint.

    All but the scratch goes either way: half-written files of the interrupted run would be taken for the new one's.
    """
    resumed = False
    if resumable and (work / _CLAIM).is_file():
        with contextlib.suppress(UserError):
            resumed = read_json(work / _CLAIM) == {"fingerprint": mark}
    if not resumed and work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True, exist_ok=True)
    for path in work.iterdir():
        if path.name not in (_CLAIM, _SCRATCH):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(work / _CLAIM, {"fingerprint": mark})
    return resumed


def _work(out: Path) -> Path:
    return out.with_name(f"{out.name}.work")


def _stale(out: Path) -> Path:
    return out.with_name(f"{out.name}.stale")


def _lock(out: Path) -> Path:
    return out.with_name(f"{out.name}.lock")


def _locked_artifact(out: Path) -> contextlib.AbstractContextManager[None]:
    return locked(_lock(out), f"{out}: another sagecraft writes it; wait for it or choose another --out")


def settle(out: Path) -> None:
    """Puts in place what a run killed at the very end of a stage had finished, or the artifact it had moved aside."""
    if _work(out).exists() or _stale(out).exists():
        with _locked_artifact(out):
            _settle(out)


def _settle(out: Path) -> None:
    work, stale = _work(out), _stale(out)
    if (work / MANIFEST).is_file() and not (work / _CLAIM).exists():
        _put(work, out)
    elif stale.exists() and not out.exists():
        stale.rename(out)
    if stale.exists():
        shutil.rmtree(stale)


def _finish(work: Path, out: Path, manifest: Manifest, spent: float) -> None:
    """Writes the manifest, then commits by deleting the claim: killed before it the stage resumes, after it it is done."""
    finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(work / TIMING, {"finished": finished, "seconds": round(spent, 3)})
    write_json(work / MANIFEST, manifest.model_dump(mode="json"))
    # before the commit, so that a power cut cannot leave a whole-looking shell
    for path in work.rglob("*"):
        if _SCRATCH not in path.relative_to(work).parts[:1]:
            _fsync(path)
    (work / _CLAIM).unlink()
    _fsync(work)
    _put(work, out)


def _put(work: Path, out: Path) -> None:
    """Puts a whole work folder in place of what stands there."""
    stale = _stale(out)
    if (work / _SCRATCH).exists():
        shutil.rmtree(work / _SCRATCH)
    if out.exists():
        if stale.exists():
            shutil.rmtree(stale)
        out.rename(stale)
    work.rename(out)
    _fsync(out.parent)
    if stale.exists():
        shutil.rmtree(stale)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def seconds(path: Path) -> float | None:
    """How long an artifact took to make, or None if that is not known."""
    timing = path / TIMING
    if not timing.is_file():
        return None
    value = read_json(timing).get("seconds")
    return float(value) if isinstance(value, int | float) else None
