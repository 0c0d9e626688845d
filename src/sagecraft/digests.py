"""sha256 of files: several at a time, each once, and of large ones known again the next day.

A checkpoint of some gigabytes takes longer to hash than to merge. A large file that has device, inode, size and both
times (of its content, and of its entry, which no program can set) of one that was hashed before is taken for that file,
as version control does; what was found is kept in the cache folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CACHE = Path.home() / ".cache" / "sagecraft" / "digests.json"
_BLOCK_BYTES = 1 << 20
#: Smaller files are hashed in a hundredth of a second: not worth an entry.
_LARGE_BYTES = 16_000_000
#: Entries that are kept, the latest: a line of 150 bytes each.
_MAX_ENTRIES = 5000
#: A file written this recently may change again without a new time: file systems count in steps of up to two seconds.
_SETTLED_NS = 2_000_000_000
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: What identifies a file's bytes → sha256, of files that were hashed in this process.
_hashed: dict[str, str] = {}


def sha256_file(path: Path) -> str:
    """sha256 (hex) of a file, read in blocks of 1 MiB."""
    digest, block = hashlib.sha256(), bytearray(_BLOCK_BYTES)
    view = memoryview(block)
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(block):
            digest.update(view[:count])
    return digest.hexdigest()


def sha256_files(paths: Iterable[Path]) -> dict[Path, str]:
    """The same of many, on all cores; what this process, or of large files an earlier one, has hashed is not read again.

    A run asks for its corpus and its base model at every step.
    """
    keys = {path: _key(path) for path in paths}
    large = {keys[path] for path in keys if keys[path] not in _hashed and path.stat().st_size >= _LARGE_BYTES}
    kept = _read_cache() if large else {}
    _hashed.update({key: kept[key] for key in large & kept.keys()})
    missing = [path for path, key in keys.items() if key not in _hashed]
    with ThreadPoolExecutor(num_threads()) as pool:
        found = dict(zip(missing, pool.map(sha256_file, missing), strict=True))
    result = {path: found[path] if path in found else _hashed[key] for path, key in keys.items()}
    settled = {keys[path]: digest for path, digest in found.items() if _is_settled(path) and _key(path) == keys[path]}
    _hashed.update(settled)
    if new := {key: digest for key, digest in settled.items() if key in large}:
        _write_cache(kept | new)
    return result


def num_threads() -> int:
    """Files hashed at a time: the cores this process may use, at most 8, beyond which a disk is the limit."""
    return max(1, min(8, len(os.sched_getaffinity(0))))


def _key(path: Path) -> str:
    """What identifies a file's bytes."""
    stat = path.stat()
    return ":".join(map(str, (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)))


def _is_settled(path: Path) -> bool:
    """Whether a change would show in the times."""
    stat = path.stat()
    return time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) > _SETTLED_NS


def _read_cache() -> dict[str, str]:
    try:
        value = json.loads(CACHE.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(value, dict):
        return {}
    return {key: found for key, found in value.items() if isinstance(found, str) and _SHA256.fullmatch(found)}


def _write_cache(entries: dict[str, str]) -> None:
    """Keeps the latest; a folder that cannot be written costs the time of hashing again, nothing else."""
    beside = CACHE.with_name(f".{CACHE.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(dict(list(entries.items())[-_MAX_ENTRIES:]), indent=0), encoding="utf-8")
        beside.replace(CACHE)
