"""Machines: what they hold, how fast they are, what they cost."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.errors import UserError
from sagecraft.hardware import TRAINING_SHARE
from sagecraft.settings import explained, read_yaml_mapping


class Cluster(BaseModel):
    """A machine or an allocation; one YAML file in `clusters/`.

    Attributes:
        name: what it is called in the plan.
        devices: number of accelerators (or 1, for a machine that trains on its processor).
        memory_gib: memory of one device; null takes this machine's.
        peak_tflops: dense bf16 rate of one device, in 10¹² FLOP per second; null measures this machine's.
        mfu: share of the peak that training reaches, in the `causal` convention of `models.flops`.
        bandwidth_gb_per_second: memory bandwidth of one device, which bounds generation; null takes 20, a laptop's.
        usd_per_device_hour: price; null is unknown, and every sum with it is unknown too.
        source: where the figures come from.
        date: of the price.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: str = Field(min_length=1)
    devices: int = Field(ge=1)
    memory_gib: float | None = Field(gt=0)
    peak_tflops: float | None = Field(gt=0)
    mfu: float = Field(gt=0, le=1)
    bandwidth_gb_per_second: float | None = Field(default=None, gt=0)
    usd_per_device_hour: float | None = Field(ge=0)
    source: str = Field(min_length=1)
    date: str | None

    @property
    def is_this_machine(self) -> bool:
        """True if the figures are those of the machine that plans."""
        return self.peak_tflops is None


#: Used where no file is given.
THIS_MACHINE = Cluster(
    name="this machine",
    devices=1,
    memory_gib=None,
    peak_tflops=None,
    mfu=TRAINING_SHARE,
    usd_per_device_hour=None,
    source="measured by sagecraft doctor's matrix product",
    date=None,
)


def read_cluster(path: Path | None) -> Cluster:
    """Reads a cluster file; None is this machine.

    Raises:
        UserError: no such file, not YAML, or a key that is unknown, missing or wrong.
    """
    if path is None:
        return THIS_MACHINE
    if not path.is_file():
        near = sorted(str(file) for file in Path("clusters").glob("*.yaml"))
        known = f"; there are {', '.join(near)}" if near else "; give a YAML file with devices, memory_gib, mfu, …"
        raise UserError(f"{path}: no such cluster file{known}")
    value = read_yaml_mapping(path, "a cluster is a mapping of keys")
    with explained(Cluster, str(path)):
        return Cluster.model_validate(value)
