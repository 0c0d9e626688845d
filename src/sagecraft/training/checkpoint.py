"""Checkpoints of a run in progress: written whole or not at all, verified when read, the last two kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from sagecraft import artifact, console
from sagecraft.models.save import write_safetensors

_KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


def save_checkpoint(folder: Path, step: int, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Writes `folder/step-…` beside, then renames; older ones than the last two go.

    Whatever stands at this step or behind it is a damaged one, since the run was taken up before it: it goes too.
    """
    target = folder / f"step-{step:08d}"
    part = folder / f"step-{step:08d}.part"
    for old in folder.glob("*.part"):
        shutil.rmtree(old)
    part.mkdir(parents=True)
    write_safetensors(part / _TENSORS, tensors)
    value = {**state, "step": step, "sha256": artifact.sha256_file(part / _TENSORS)}
    artifact.write_text(part / _STATE, json.dumps(value))
    for damaged in _finished(folder):
        if damaged.name >= target.name:
            shutil.rmtree(damaged)
    part.replace(target)
    for old in _finished(folder)[:-_KEPT]:
        shutil.rmtree(old)


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The newest checkpoint whose bytes are those that were written, or None. A damaged one is named and left alone."""
    for path in reversed(_finished(folder)):
        try:
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            if artifact.sha256_file(path / _TENSORS) == state["sha256"]:
                return load_file(path / _TENSORS), state
            reason = "its bytes are not those that were written"
        except (OSError, ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}"
        console.warn(f"{path}: damaged checkpoint ({reason}); trying the one before it")
    return None


def _finished(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.suffix != ".part")
