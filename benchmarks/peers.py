"""Virtual environments for the peers of a benchmark: one a benchmark, kept in the cache folder, apart from sagecraft's own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def cache_folder() -> Path:
    """Where peers are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sagecraft" / "benchmarks"


def environment(name: str, packages: list[str]) -> Path:
    """The interpreter of an environment that has exactly these packages (pinned, `name==version`); made when it is not there."""
    folder = cache_folder() / name
    python, stamp = folder / "bin" / "python", folder / "packages.txt"
    wanted = "\n".join(packages)
    if not (python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        print(f"setting up {', '.join(packages)} in {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *packages], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python
