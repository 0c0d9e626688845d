"""TensorBoard, Weights & Biases, trackio: one line in the recipe. None of them can stop a run that has begun."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact, console
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.training.watch import WatchConfig


@dataclass(frozen=True)
class Place:
    """Where a run stands among others.

    Attributes:
        folder: holds the files of the tracker (beside the artifact, which holds no times).
        name: of the run, for instance `quickstart/cpt`.
        state: file that names the run to a run that is taken up.
    """

    folder: Path
    name: str
    state: Path


#: Writes named values at a step; ends the run.
Log = Callable[[int, Mapping[str, float]], object]
End = Callable[[], object]


class Tracker:
    """An open run of a tracker. The first thing that fails is said, and then nothing more is sent."""

    def __init__(self, name: str, opened: tuple[Log, End] | None) -> None:
        self.name = name
        self._opened = opened

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Sends values; `step` is the number of steps done."""
        if self._opened is not None:
            self._try(lambda: self._opened and self._opened[0](step, values))

    def close(self) -> None:
        """Ends the run."""
        if self._opened is not None:
            self._try(self._opened[1])
        self._opened = None

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as error:  # training is worth more than its picture, whatever a tracker does
            self._opened = None
            console.warn(f"{self.name}: {_first_line(error)}; training goes on without it")


def open_tracker(config: WatchConfig, place: Place, step: int) -> Tracker:
    """Opens the run of `place`, or goes on with it from `step` on."""
    name = str(config.tracker)
    try:
        return Tracker(name, TRACKERS[name].open(config, place, _run_id(place, step), step))
    except Exception as error:
        console.warn(f"{name}: {_first_line(error)}; training goes on without it")
        return Tracker(name, None)


def require(config: WatchConfig) -> None:
    """Says before training what the tracker lacks.

    Raises:
        UserError: its package is not installed, or its key is not in the environment.
    """
    if config.tracker is None:
        return
    kind = TRACKERS[config.tracker]
    if importlib.util.find_spec(kind.package) is None:
        raise UserError(f"watch.tracker: {config.tracker} is not installed: pip install {kind.package}")
    online = not config.offline and os.environ.get("WANDB_MODE", "online") == "online"
    if config.tracker == "wandb" and online and not os.environ.get("WANDB_API_KEY"):
        raise UserError(
            "watch.tracker: wandb needs its key in the environment (WANDB_API_KEY), or set watch.offline: true"
        )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Numbers under names with slashes: `loss_by_source/domain`."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and (prefix or name != "step"):
            found[f"{prefix}{name}"] = value
    return found


def _run_id(place: Place, step: int) -> str:
    """Names this run to a tracker; one that begins at its first step is a new run."""
    if step and place.state.is_file():
        with contextlib.suppress(UserError, KeyError, TypeError):
            return str(artifact.read_json(place.state)["run_id"])
    run_id = uuid.uuid4().hex[:12]
    artifact.write_json(place.state, {"run_id": run_id})
    return run_id


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _tensorboard(config: WatchConfig, place: Place, run_id: str, step: int) -> tuple[Log, End]:  # noqa: ARG001
    """https://pytorch.org/docs/stable/tensorboard.html; steps that a killed run had written are purged."""
    from torch.utils.tensorboard import SummaryWriter

    folder = place.folder / "tensorboard" / place.name
    if not step and folder.exists():  # of an earlier run: curves of two would be drawn as one
        shutil.rmtree(folder)
    writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)

    def log(step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def _wandb(config: WatchConfig, place: Place, run_id: str, step: int) -> tuple[Log, End]:
    """https://docs.wandb.ai/models/runs/resuming; steps that were sent before are refused by its server."""
    wandb: Any = importlib.import_module("wandb")
    place.folder.mkdir(parents=True, exist_ok=True)
    run = wandb.init(
        project=config.project,
        name=place.name,
        id=run_id,
        resume="allow" if step else None,
        dir=str(place.folder),
        mode="offline" if config.offline else None,
    )
    return lambda at, values: run.log(dict(values), step=at), run.finish


def _trackio(config: WatchConfig, place: Place, run_id: str, step: int) -> tuple[Log, End]:
    """https://huggingface.co/docs/trackio; a run is found by its name."""
    trackio: Any = importlib.import_module("trackio")
    run = trackio.init(project=config.project, name=f"{place.name}-{run_id}", resume="allow" if step else "never")
    return lambda at, values: run.log(dict(values), step=at), run.finish


@dataclass(frozen=True)
class Kind:
    """A tracker: its package, and how its run is opened."""

    package: str
    open: Callable[[WatchConfig, Place, str, int], tuple[Log, End]]


TRACKERS = {
    "tensorboard": Kind("tensorboard", _tensorboard),
    "wandb": Kind("wandb", _wandb),
    "trackio": Kind("trackio", _trackio),
}
