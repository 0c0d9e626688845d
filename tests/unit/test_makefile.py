"""`make setup` with a Python that only writes down what it is asked: nothing is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Makes a .venv with a copy of itself; `broken` beside it means that pip cannot be called, `failing` that it fails.
PYTHON = """#!/bin/sh
case "$*" in
  "-m venv"*) echo venv >> log; rm -rf .venv; mkdir -p .venv/bin; cp python .venv/bin/python ;;
  "-m pip --version") test ! -e .venv/broken ;;
  "-m pip install"*) echo "pip" >> log; test ! -e failing ;;
  "-c"*) test ! -e old ;;
esac
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return tmp_path


def setup(clone: Path, python: str = "./python") -> tuple[int, str, list[str]]:
    """Exit code, errors, and what was done since the last call."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["make", "setup", f"PYTHON={python}"], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    log = clone / "log"
    calls = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return done.returncode, done.stderr, calls


def test_a_second_call_installs_nothing_until_the_packages_change(clone: Path) -> None:
    assert setup(clone) == (0, "", ["venv", "pip", "pip"])
    assert setup(clone) == (0, "", [])
    earlier = (clone / "constraints.txt").stat().st_mtime - 10
    os.utime(clone / ".venv/.installed", (earlier, earlier))
    assert setup(clone) == (0, "", ["pip", "pip"])


def test_an_interrupted_set_up_goes_on(clone: Path) -> None:
    (clone / "failing").touch()
    code, _, calls = setup(clone)
    assert (code, calls) == (2, ["venv", "pip"])
    (clone / "failing").unlink()
    assert setup(clone) == (0, "", ["pip", "pip"]), "the environment is there, the packages are not"
    (clone / ".venv/.installed").unlink()
    (clone / ".venv/broken").touch()
    assert setup(clone) == (0, "", ["venv", "pip", "pip"]), "an environment without pip is made again"


def test_a_python_that_is_missing_or_old_is_one_line(clone: Path) -> None:
    (clone / "old").touch()
    for python in ("no-such-python", "./python"):
        code, errors, calls = setup(clone, python)
        assert (code, calls) == (2, [])
        assert errors.startswith(f"error: {python} is not Python 3.11 or newer; install it, or set PYTHON=\n")
