"""The processes of a run: who is there, and the little that they say to each other outside of the model.

A single process is a world of its own, in which every exchange is the identity and `torch.distributed` is not imported.
Several are started by torchrun or `sagecraft launch`, which give RANK, LOCAL_RANK, WORLD_SIZE and an address. Process 0
runs the recipe; the others wait until it calls them to a training stage, help, and wait again. What is said is JSON over
gloo, also where the model talks over NCCL: no pickle, and no wait for a device.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.errors import SagecraftError

if TYPE_CHECKING:
    import torch
    from torch.distributed import ProcessGroup

#: Process 0 may read literature for days before it trains; that somebody died is seen by their connection, or by the
#: launcher, and not by waiting.
_PATIENCE = datetime.timedelta(days=365)
#: Within a step everybody arrives within minutes; a device that hangs is given up after this.
_STEP_PATIENCE = datetime.timedelta(minutes=30)


class World:
    """The processes of this run.

    Attributes:
        rank: this process, from 0.
        size: number of processes.
        local_rank: number among those of this machine, which is the number of its device.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_rank: int = 0, group: ProcessGroup | None = None) -> None:
        self.rank, self.size, self.local_rank = rank, size, local_rank
        self._group = group
        self._together = False

    @property
    def is_first(self) -> bool:
        """True for the process that writes what there is once, and speaks to the user."""
        return self.rank == 0

    @property
    def device(self) -> torch.device:
        """Where this process computes: its own accelerator, or the processor."""
        import torch

        return torch.device("cuda", self.local_rank) if torch.cuda.is_available() else torch.device("cpu")

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes, in float64: exact for counts, the same on every process."""
        if self._group is None:
            return list(values)
        import torch
        import torch.distributed as dist

        summed = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(summed, group=self._group)
        return [float(value) for value in summed.tolist()]

    def barrier(self) -> None:
        """Returns when everybody has come here."""
        self.total([0.0])

    def tell(self, value: dict[str, Any] | None = None) -> dict[str, Any]:
        """What process 0 says, on every process; the others pass nothing."""
        if self._group is None:
            return value or {}
        import torch
        import torch.distributed as dist

        raw = bytearray(json.dumps(value).encode()) if self.is_first else bytearray()
        length = torch.tensor([len(raw)])
        dist.broadcast(length, 0, group=self._group)
        text = (
            torch.frombuffer(raw, dtype=torch.uint8) if self.is_first else torch.empty(int(length), dtype=torch.uint8)
        )
        dist.broadcast(text, 0, group=self._group)
        said: dict[str, Any] = json.loads(bytes(text.tolist()))
        return said

    def common_fault(self, error: SagecraftError) -> BaseException:
        """To be raised for a fault that everybody sees at once: process 0 says it, the others leave with its exit code."""
        return error if self.is_first else SystemExit(error.exit_code)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """While everybody works: a fault of process 0 in here finds nobody waiting to be told of it."""
        self._together = True
        yield
        self._together = False

    def dismiss(self, exit_code: int) -> None:
        """Process 0 sends the waiting ones home."""
        if self.size > 1 and not self._together:
            self.tell({"end": exit_code})


_ALONE = World()
_joined: list[World] = []


def current() -> World:
    """The world of this process."""
    return _joined[-1] if _joined else _ALONE


def num_started() -> int:
    """Processes that torchrun or `sagecraft launch` started for this run; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def joined() -> Iterator[World]:
    """Connects the processes of this run for as long as the block lasts."""
    if num_started() == 1:
        yield _ALONE
        return
    import torch
    import torch.distributed as dist

    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_STEP_PATIENCE)
    world = World(rank, num_started(), local, dist.new_group(backend="gloo", timeout=_PATIENCE))
    _joined.append(world)
    code = 1
    try:
        yield world
        code = 0
    except SagecraftError as error:
        code = error.exit_code
        raise
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
        raise
    finally:
        _joined.pop()
        if world.is_first:
            world.dismiss(code)
        if code == 0 or (world.is_first and not world._together):
            dist.destroy_process_group()
