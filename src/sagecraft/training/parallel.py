"""How one run is spread over processes: the settings, and the layout that a number of processes gives.

Every process is one device. `tensor` of them hold a piece of every matrix and work on the same rows (tensor parallelism,
arXiv:1909.08053); the others each take their own rows and hold a share of all states (FSDP2, arXiv:2304.11277), or, with
`replicas`, a share within their group (hybrid sharding). The number of processes stands in no setting: a run that was
killed on 64 goes on on 32.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.errors import UserError
from sagecraft.models.config import DecoderConfig


class ParallelConfig(BaseModel):
    """How a run is spread over the processes that torchrun or `sagecraft launch` starts; nothing to set for one.

    Attributes:
        tensor: processes that share every matrix. They exchange activations twice a layer, so keep them in one machine.
            Must divide the heads, the key-value heads, the inner width and the vocabulary.
        replicas: groups that each hold all states. 1 shards them over everybody, which takes the least memory; the number
            of machines keeps the gathering of weights inside each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    tensor: int = Field(default=1, ge=1)
    replicas: int = Field(default=1, ge=1)


@dataclass(frozen=True)
class Layout:
    """Degrees whose product is the number of processes."""

    replicas: int
    shards: int
    tensor: int

    @property
    def num_data(self) -> int:
        """Groups that each take rows of their own."""
        return self.replicas * self.shards


def arrange(config: ParallelConfig, num_processes: int, model: DecoderConfig | None) -> Layout:
    """The layout of so many processes.

    Args:
        config: settings.
        num_processes: of the whole run.
        model: the architecture; None is one that runs through transformers, which cannot be cut into tensors.

    Raises:
        UserError: degrees that do not divide the processes or the model, by key.
    """
    wanted = config.tensor * config.replicas
    if num_processes % wanted:
        raise UserError(
            f"parallel: tensor {config.tensor} × replicas {config.replicas} does not divide the {num_processes} "
            f"process(es) of this run; start a multiple of {wanted} (sagecraft launch --processes {wanted}) or lower them"
        )
    if config.tensor > 1 and model is None:
        raise UserError(
            "parallel.tensor: this family runs through transformers and cannot be cut into tensors; set it to 1"
        )
    if config.tensor > 1 and model is not None:
        parts = {
            "heads": model.num_heads,
            "key-value heads": model.num_key_value_heads,
            "columns of the feed-forward part": model.intermediate_size,
            "rows of the vocabulary": model.vocab_size,
        }
        for name, size in parts.items():
            if size % config.tensor:
                raise UserError(f"parallel.tensor: {config.tensor} does not divide the model's {size:,} {name}")
    return Layout(config.replicas, num_processes // wanted, config.tensor)
