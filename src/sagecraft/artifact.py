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
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sagecraft.errors import UserError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TIMING = "timing.json"
_CLAIM = "claim.json"
_BLOCK_BYTES = 1 << 20


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
        files: relative path → size and sha256; pages (`.html`) may print times and are not listed.
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
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file, read in blocks of 1 MiB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


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
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
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
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not valid JSON ({error.msg}); mend or remove the line") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
            yield row


def load(path: Path, kind: str | None = None) -> Manifest:
    """Reads the manifest of a finished artifact.

    Raises:
        UserError: there is none, it cannot be read, it is of a newer format, or of another kind.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise UserError(f"{path}: not a sagecraft artifact (no {MANIFEST}); run the stage that makes it first")
    value = read_json(manifest_path)
    version = value.get("format_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise UserError(
            f"{manifest_path}: format {version} is newer than this sagecraft reads ({FORMAT_VERSION}); upgrade sagecraft"
        )
    try:
        manifest = Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise UserError(f"{manifest_path}: {where}: {first['msg']}; the artifact is damaged, delete it") from error
    if kind is not None and manifest.kind != kind:
        raise UserError(f"{path}: holds {manifest.kind}, but {kind} is needed here")
    return manifest


def is_finished(path: Path, fingerprint: str) -> bool:
    """True if `path` is a whole artifact made for this fingerprint (every file there, at its recorded size)."""
    if not (path / MANIFEST).is_file():
        return False
    try:
        manifest = load(path)
    except UserError:
        return False
    if manifest.fingerprint != fingerprint:
        return False
    return all(
        (path / name).is_file() and record.num_bytes in (None, (path / name).stat().st_size)
        for name, record in manifest.files.items()
    )


def input_digest(path: Path) -> str:
    """Digest of an input: of an artifact from its manifest, of other files and folders from their bytes."""
    if (path / MANIFEST).is_file():
        return load(path).digest
    if path.is_file():
        return sha256_file(path)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.is_symlink())
        return digest_of({file.relative_to(path).as_posix(): sha256_file(file) for file in files})
    raise UserError(f"{path}: no such file or folder")


def fingerprint(stage: str, version: int, config: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """What a stage's result depends on, as one hash. Raise a stage's `version` when its code changes its bytes."""
    return digest_of({"stage": stage, "version": version, "config": config, "inputs": inputs})


class Build:
    """An artifact in the making. Write below `path`, fill `stats`; `manifest` is there once it is finished.

    Attributes:
        path: the work folder.
        resumed: the folder holds what an interrupted run of the same fingerprint left.
        stats: counts and figures for the manifest.
        timed: JSON files whose top-level `seconds` is a time: their hash leaves it out.
    """

    def __init__(self, path: Path, resumed: bool) -> None:
        self.path = path
        self.resumed = resumed
        self.stats: dict[str, Any] = {}
        self.timed: set[str] = set()
        self._scratch: set[str] = set()
        self._manifest: Manifest | None = None

    @property
    def manifest(self) -> Manifest:
        """The manifest of the finished artifact."""
        assert self._manifest is not None, "the artifact is not finished yet"
        return self._manifest

    def scratch(self, name: str) -> Path:
        """A folder for state that resumes an interrupted run and is deleted when the artifact is finished."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        self._scratch.add(name)
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
        resumable: keep what an interrupted run with the same fingerprint wrote; otherwise start afresh.
    """
    _recover(out)
    if out.exists() and not (out / MANIFEST).is_file() and any(out.iterdir()):
        raise UserError(f"{out}: exists and is not an artifact of sagecraft; choose another --out")
    settings = config.model_dump(mode="json")
    digests = {name: input_digest(path) for name, path in sorted(inputs.items())}
    mark = fingerprint(stage, version, settings, digests)
    work = out.with_name(f"{out.name}.work")
    resumed = _claim(work, mark, resumable)
    started = time.time()
    result = Build(work, resumed)
    yield result
    files = {
        name: _record(work / name, name in result.timed)
        for name in sorted(file.relative_to(work).as_posix() for file in work.rglob("*") if file.is_file())
        if name != _CLAIM and name.split("/")[0] not in result._scratch and not name.endswith(".html")
    }
    manifest = Manifest(
        kind=kind, stage=stage, fingerprint=mark, config=settings, inputs=digests, files=files, stats=result.stats
    )
    finished = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    write_json(work / TIMING, {"finished": finished, "seconds": round(time.time() - started, 3)})
    write_json(work / MANIFEST, manifest.model_dump(mode="json"))
    # The claim and the scratch go last: killed while hashing gigabytes, the stage still resumes from its scratch.
    (work / _CLAIM).unlink()
    for name in result._scratch:
        shutil.rmtree(work / name)
    _replace(work, out)
    result._manifest = manifest


def _record(path: Path, timed: bool) -> FileRecord:
    if timed:
        value = {key: part for key, part in read_json(path).items() if key != "seconds"}
        return FileRecord(sha256=digest_of(value), num_bytes=None)
    return FileRecord(sha256=sha256_file(path), num_bytes=path.stat().st_size)


def _claim(work: Path, mark: str, resumable: bool) -> bool:
    """Takes the work folder; True if it holds an interrupted run of the same fingerprint that may be continued."""
    claim = work / _CLAIM
    if resumable and claim.is_file():
        with contextlib.suppress(UserError):
            if read_json(claim) == {"fingerprint": mark}:
                return True
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(parents=True)
    write_json(claim, {"fingerprint": mark})
    return False


def _stale(out: Path) -> Path:
    return out.with_name(f"{out.name}.stale")


def _recover(out: Path) -> None:
    """Puts an artifact back that a run killed between two renames had moved aside."""
    stale = _stale(out)
    if stale.exists() and out.exists():
        shutil.rmtree(stale)
    elif stale.exists():
        stale.rename(out)


def _replace(work: Path, out: Path) -> None:
    """Puts the finished folder in place. fsync first, so that a power cut cannot leave a whole-looking shell."""
    for file in work.rglob("*"):
        if file.is_file():
            _fsync(file)
    _fsync(work)
    if out.exists():
        stale = _stale(out)
        out.rename(stale)
        work.rename(out)
        shutil.rmtree(stale)
    else:
        work.rename(out)
    _fsync(out.parent)


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
