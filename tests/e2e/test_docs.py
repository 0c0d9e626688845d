"""The documentation's code blocks run, as they stand, on a pico model in place of the real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pico import pico_model

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
#: Needs the network; the pico model stands where it would write.
FETCH = re.compile(r"sagecraft model fetch \S+ --out (\S+)")


def commands(page: Path) -> list[str]:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks, f"{page.name} has no code to run"
    return [line for block in blocks for line in block.splitlines() if line.strip()]


PAGES = sorted(str(page.relative_to(ROOT)) for page in [*ROOT.glob("docs/*.md"), ROOT / "README.md"])


@pytest.mark.parametrize("name", [name for name in PAGES if BLOCK.search((ROOT / name).read_text(encoding="utf-8"))])
def test_code_blocks_run(name: str, tmp_path: Path) -> None:
    for folder in ("examples", "recipes"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PATH": path}
    for command in commands(ROOT / name):
        fetch = FETCH.fullmatch(command)
        if fetch:
            pico_model(tmp_path / fetch[1])
            continue
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
