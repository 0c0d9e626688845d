"""Compiles C++ on first use; whoever calls it has a plain way for machines without a compiler.

A library is kept in the user's cache folder under a hash of everything that decides its bytes (sources, compiler, flags,
the processor's features), so a home folder that machines of different kinds share is safe. A build takes seconds and needs
nothing but g++.
"""

from __future__ import annotations

import contextlib
import hashlib
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from sagecraft import console

CACHE = Path.home() / ".cache" / "sagecraft" / "kernels"
_COMPILERS = ("g++", "c++")
_BUILD_SECONDS = 600


class BuildError(Exception):
    """Why there are no kernels, as one clause, and what to do about it."""


def build(sources: Sequence[Path], flags: Sequence[str], cache: Path = CACHE, *others: str) -> Path:
    """A library of these files, compiled for this processor if it is not there yet.

    Args:
        sources: `.cpp` files, and headers, which decide the name only.
        flags: of the compiler, besides the processor's.
        cache: where libraries are kept.
        others: what else decides whether an old one fits, such as the version of a library that it calls.

    Raises:
        BuildError: it cannot be built here.
    """
    if platform.system() != "Linux":
        raise BuildError(f"they are built on Linux only, this is {platform.system()}")
    compiler = next((path for path in map(shutil.which, _COMPILERS) if path), None)
    if compiler is None:
        raise BuildError("there is no C++ compiler; install g++ (`apt install g++`, `dnf install gcc-c++`)")
    version = _run([compiler, "--version"], "the compiler does not run")
    features = _features()
    flags = (*flags, "-mprefer-vector-width=512") if "avx512f" in features.split() else tuple(flags)
    text = "\0".join([version, *others, features, *flags, *(path.read_text("utf-8") for path in sources)])
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    return _build([compiler, *flags], [path for path in sources if path.suffix == ".cpp"], cache, name)


def _build(command: list[str], sources: Sequence[Path], cache: Path, name: str) -> Path:
    """Compiles into the cache, once however many processes ask; one that cannot be written is replaced by a new folder."""
    target = cache / name
    if target.is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="sagecraft-kernels-"))
        target = cache / name
    with _locked(cache / "lock"):
        if target.is_file():  # another process has built it while this one waited
            return target
        console.say("  building kernels for this processor (once, some seconds)")
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _run([*command, "-c", *map(str, sources)], "the compiler fails", folder)
            # Linked without -fopenmp: OpenMP's functions come from the library that torch has loaded. A second one would
            # have threads of its own, and both sets would spin on the same cores.
            objects = [f"{source.stem}.o" for source in sources]
            _run([command[0], "-shared", "-o", name, *objects], "the linker fails", folder)
            (Path(folder) / name).replace(target)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits for its turn; where a file system has no locks, two builds do the same work and the last rename stands."""
    import fcntl

    with path.open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], fault: str, folder: str | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{fault} ({error})") from error
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no output"]
        )
        raise BuildError(f"{fault} ({lines[0].strip()}); install a g++ of version 9 or newer")
    return done.stdout


def _features() -> str:
    """What this processor can do, as Linux says it: `-march=native` compiles for exactly that."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    lines = [
        line.partition(":")[2] for line in text.splitlines() if line.startswith(("flags", "Features", "model name"))
    ]
    return " ".join([platform.machine(), *dict.fromkeys(lines)])
