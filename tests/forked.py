"""Runs that tests kill and take up again: the test's side of killed.py."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagecraft import artifact

SCRIPT = Path(__file__).with_name("killed.py")


class Forks:
    """A process that forks runs into a folder."""

    def __init__(self, folder: Path, process: subprocess.Popen[str]) -> None:
        self.folder = folder
        self._process = process

    def start(self, name: str, case: dict[str, Any]) -> dict[str, Any]:
        """Runs a case, whose results go to `folder/name`, to its end; what killed.py answers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        case = {**case, "out": str(self.folder / name), "log": str(self.folder / f"{name}.txt")}
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def said(self, name: str) -> str:
        """What the last run of this name printed."""
        return (self.folder / f"{name}.txt").read_text()


@contextmanager
def forks(folder: Path, prepared: str = "models") -> Iterator[Forks]:
    """Starts the process, with what it imports: `models`, or `literature`, which takes a fifth of the time."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), prepared],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        yield Forks(folder, process)
        assert process.stdin is not None
        process.stdin.close()


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file but those that hold times."""
    timed = (".html", ".png")
    files = (
        path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json" and path.suffix not in timed
    )
    return {path.relative_to(folder).as_posix(): artifact.sha256_file(path) for path in files}
