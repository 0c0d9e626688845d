"""A model spread over processes with PyTorch's own engine: tensor parallelism by DTensor, FSDP2 around it, AdamW on the shards.

The shards are the masters, in float32 or wider; FSDP gathers a layer's weights in compute precision when its turn comes and
sums gradients over the processes in float32. Sums, not means: a step's loss is divided by the learned tokens of all its
rows, so that any number of processes moves the weights by the same amount.

Norms, which tensor parallelism leaves whole, see the whole stream on every process of a tensor group and get the same
gradient on each; those inside the attention (Qwen 3's of q and k) see its heads only, so their gradients are added up.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleInput,
    RowwiseParallel,
    parallelize_module,
)

from sagecraft.errors import UserError
from sagecraft.models.decoder import Decoder
from sagecraft.models.foreign import ForeignDecoder
from sagecraft.models.load import check_tensors, hugging_face_name, list_tensors, parameters_by_file_name
from sagecraft.models.tensors import TensorRecord
from sagecraft.training.checkpoint import Checkpoint, Piece
from sagecraft.training.layers import layers_of
from sagecraft.training.lora_layers import lora_layers
from sagecraft.training.parallel import Layout
from sagecraft.training.schedule import OptimizerConfig
from sagecraft.training.world import World

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Sharding:
    """Where this process stands among the others, and how a model is spread over them.

    Attributes:
        layout: degrees.
        world: the processes.
        source: the model's folder, from which a model on the meta device gets its weights.
        data_rank: which of the `layout.num_data` groups this process belongs to: they take different rows.
        tensor_rank: which piece of every matrix it holds.
    """

    def __init__(self, layout: Layout, world: World, source: Path) -> None:
        self.layout, self.world, self.source = layout, world, source
        # It warns that gathering what FSDP and tensor parallelism both cut takes two collectives: once, at the end.
        logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)
        sizes, names = (layout.replicas, layout.shards, layout.tensor), ("replicate", "shard", "tensor")
        mesh = init_device_mesh(world.device.type, sizes, mesh_dim_names=names)
        self._data_mesh: DeviceMesh = mesh["replicate", "shard"] if layout.replicas > 1 else mesh["shard"]
        self._tensor_mesh: DeviceMesh = mesh["tensor"]
        replica, shard, self.tensor_rank = mesh.get_coordinate() or (0, 0, 0)
        self.data_rank = replica * layout.shards + shard
        self._replica = replica

    @property
    def tensor_group(self) -> ProcessGroup | None:
        """The processes that share every matrix; None if each holds whole ones."""
        return self._tensor_mesh.get_group() if self.layout.tensor > 1 else None

    def shard(self, model: Decoder | ForeignDecoder, compute: torch.dtype, config: OptimizerConfig) -> ShardedAdamW:
        """Spreads a model, real or on the meta device, in place.

        Args:
            model: in float32 or wider, its layers as they shall run (recomputed, compiled).
            compute: precision of forward and backward pass; gradients are summed in float32 or wider.
            config: settings of the optimizer.

        Returns:
            What moves the shards.
        """
        wide = torch.promote_types(compute, torch.float32)
        if self.layout.tensor > 1:
            assert isinstance(model, Decoder), "training.parallel.arrange refuses others"
            self._cut(model)
        policy = MixedPrecisionPolicy(param_dtype=compute, reduce_dtype=wide)
        # transformers runs pieces one after the other, and processes have different numbers of them: a layer that gathers
        # its weights for each would wait for somebody who has none left. There the whole model is gathered once a pass.
        for layer in layers_of(model) if isinstance(model, Decoder) else ():
            fully_shard(layer, mesh=self._data_mesh, mp_policy=policy)
        fully_shard(model, mesh=self._data_mesh, mp_policy=policy)
        for module in model.modules():
            if isinstance(module, FSDPModule):
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)  # gloo has no other
        self._root = cast(FSDPModule, model)
        if isinstance(model, Decoder) and model.norm.weight.is_meta:
            _materialise(model, self)
        return ShardedAdamW(model, config, self)

    def _cut(self, model: Decoder) -> None:
        """Tensor parallelism: each process has some heads, some of the inner columns, some of the vocabulary."""
        mesh, degree = self._tensor_mesh, self.layout.tensor
        outer: dict[str, ParallelStyle] = {
            "embed_tokens": RowwiseParallel(input_layouts=Replicate()),
            "lm_head": ColwiseParallel(),  # its weight only: the loss takes it by vocabulary
        }
        parallelize_module(model, mesh, outer)
        if model.config.tied_embeddings:
            model.lm_head.weight = model.embed_tokens.weight
        whole = Replicate()
        for layer in model.layers:
            # The inputs of a part become one DTensor: its gradient is then summed once and not once a matrix.
            plan: dict[str, ParallelStyle] = {
                "self_attn": PrepareModuleInput(
                    input_layouts=(whole, None, None, None), desired_input_layouts=(whole, None, None, None)
                ),
                "mlp": PrepareModuleInput(input_layouts=(whole,), desired_input_layouts=(whole,)),
                **{f"self_attn.{name}": ColwiseParallel() for name in ("q_proj", "k_proj", "v_proj")},
                "self_attn.o_proj": RowwiseParallel(),
                **{f"mlp.{name}": ColwiseParallel() for name in ("gate_proj", "up_proj")},
                "mlp.down_proj": RowwiseParallel(),
            }
            parallelize_module(layer, mesh, plan)
            attention = cast(Any, layer).self_attn
            attention.num_heads //= degree
            attention.num_groups //= degree

    def begin_pass(self, is_last: bool) -> None:
        """Before each pass of a step: replicas exchange their sums once a step, behind the last."""
        self._root.set_requires_all_reduce(is_last)

    def place(self, tensor: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Where this process's piece of a tensor begins, and its size."""
        start, size = [0] * tensor.ndim, list(tensor.shape)
        if isinstance(tensor, DTensor):
            mesh = tensor.device_mesh
            # The tensor dimension cuts first and FSDP cuts its piece: so from the last dimension of the mesh on.
            for number in reversed(range(mesh.ndim)):
                placement: Any = tensor.placements[number]
                if not hasattr(placement, "dim"):
                    continue
                rank, ways, dim = mesh.get_local_rank(number), mesh.size(number), placement.dim
                width = -(-size[dim] // ways)  # as torch.chunk cuts: the last ones may have less, or nothing
                first = min(width * rank, size[dim])
                start[dim], size[dim] = start[dim] + first, min(width, size[dim] - first)
            assert tuple(size) == tuple(tensor.to_local().shape), (size, tensor)
        return tuple(start), tuple(size)

    def is_owner(self, tensor: Tensor) -> bool:
        """True on exactly one of the processes that hold the same piece."""
        cut = isinstance(tensor, DTensor) and "tensor" in (tensor.device_mesh.mesh_dim_names or ())
        cut = cut and hasattr(cast(DTensor, tensor).placements[-1], "dim")
        return self._replica == 0 and (cut or self.tensor_rank == 0)

    def sum_over_tensor_group(self, tensors: Sequence[Tensor]) -> None:
        """Adds up in place."""
        group = self.tensor_group
        for tensor in tensors if group is not None else ():
            dist.all_reduce(tensor, group=group)


def _materialise(model: Decoder, sharding: Sharding) -> None:
    """Gives a model on the meta device its weights: every process reads its own pieces from the files, by range.

    Raises:
        UserError: the folder's tensors are not those of the architecture, or not finite.
    """
    records = list_tensors(sharding.source)
    check_tensors(sharding.source, model, records)
    model.to_empty(device=sharding.world.device)
    if model.config.tied_embeddings:  # to_empty gave the two names storage of their own
        model.lm_head.weight = model.embed_tokens.weight
    for name, parameter in parameters_by_file_name(model).items():
        with torch.no_grad():
            local(parameter).copy_(_read_piece(records[name], name, *sharding.place(parameter)))
    for layer in lora_layers(model):  # a pair is small: every process makes A whole and keeps its piece
        with torch.no_grad():
            offset, size = sharding.place(layer.lora_A)
            ranges = tuple(slice(first, first + length) for first, length in zip(offset, size, strict=True))
            local(layer.lora_A).copy_(layer.beginning()[ranges])
            local(layer.lora_B).zero_()


def _read_piece(record: TensorRecord, name: str, offset: Sequence[int], size: Sequence[int]) -> Tensor:
    with safe_open(str(record.file), framework="pt") as reader:
        ranges = tuple(slice(first, first + length) for first, length in zip(offset, size, strict=True))
        values = cast(Tensor, reader.get_slice(name)[ranges])
    if not torch.isfinite(values).all():
        raise UserError(f"{record.file}: {name} holds values that are not finite; the checkpoint is damaged")
    return values


def local(tensor: Tensor) -> Tensor:
    """This process's piece."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class ShardedAdamW:
    """AdamW on the shards; the interface of `training.optim.MasterAdamW`, for every process's pieces."""

    def __init__(self, model: nn.Module, config: OptimizerConfig, sharding: Sharding) -> None:
        self.config, self.sharding = config, sharding
        self.masters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        groups = [
            {"params": [p for p in self.masters.values() if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in self.masters.values() if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )

    def collect(self) -> None:
        """Nothing to do: FSDP has summed the gradients into the shards."""

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """Clips over all processes, moves the shards. Returns the norm of the gradient before clipping."""
        reached = {name: p for name, p in self.masters.items() if p.grad is not None}
        heads_only = [name for name in reached if name.endswith(("q_norm.weight", "k_norm.weight"))]
        self.sharding.sum_over_tensor_group([local(cast(Tensor, reached[name].grad)) for name in heads_only])
        gradients = {name: local(cast(Tensor, p.grad)) for name, p in reached.items()}
        squares = [g.double().square().sum() for name, g in gradients.items() if self.sharding.is_owner(reached[name])]
        own = float(torch.stack(squares).sum()) if squares else 0.0
        norm = math.sqrt(self.sharding.world.total([own])[0])
        if norm > self.config.clip_norm:
            torch._foreach_mul_(list(gradients.values()), self.config.clip_norm / (norm + 1e-6))
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Tensor | Piece]:
        """Masters and moments by name, for a checkpoint: of each piece one process gives it."""
        pieces: dict[str, Tensor | Piece] = {}
        for name, master in self.masters.items():
            if not self.sharding.is_owner(master):
                continue
            offset, _ = self.sharding.place(master)
            kept = self.adamw.state.get(master, {})
            for key, value in {"master": master.detach(), **kept}.items():
                if key != "step":
                    if local(value).numel():
                        pieces[f"{key}.{name}"] = Piece(local(value), offset, tuple(master.shape))
                elif self.sharding.world.is_first:
                    pieces[f"step.{name}"] = value
        return pieces

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes what `state` gave on any number of processes."""
        checkpoint = cast(Checkpoint, tensors)
        for name, master in self.masters.items():
            offset, size = self.sharding.place(master)
            local(master).copy_(checkpoint.piece(f"master.{name}", offset, size))
            if f"exp_avg.{name}" not in checkpoint:  # one that no loss has reached yet has no moments
                continue
            moments = {key: torch.zeros_like(master) for key in ("exp_avg", "exp_avg_sq")}
            for key, value in moments.items():
                local(value).copy_(checkpoint.piece(f"{key}.{name}", offset, size))
            step = checkpoint[f"step.{name}"].to(local(master).device)
            self.adamw.state[master] = {"step": step, **moments}

    def weights(self) -> Gathered:
        """Hugging Face name → exact weight, whole and on the host, gathered when it is asked for."""
        return Gathered({hugging_face_name(name): master for name, master in self.masters.items()})


class Gathered(Mapping[str, Tensor]):
    """Whole tensors of shards; every process asks for the same one at the same time."""

    def __init__(self, shards: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> None:
        self._shards, self._dtype = shards, dtype

    def to(self, dtype: torch.dtype) -> Gathered:
        """The same in another precision."""
        return Gathered(self._shards, dtype)

    @property
    def shapes(self) -> dict[str, Tensor]:
        """Name → an empty tensor of that shape and precision."""
        return {
            name: torch.empty(shard.shape, dtype=self._dtype or shard.dtype, device="meta")
            for name, shard in self._shards.items()
        }

    def __getitem__(self, name: str) -> Tensor:
        shard = self._shards[name].detach()
        whole = shard.full_tensor() if isinstance(shard, DTensor) else shard
        return whole.to("cpu", self._dtype or shard.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self._shards)

    def __len__(self) -> int:
        return len(self._shards)
