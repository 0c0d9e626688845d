"""The training loop. One step: take rows, forward, loss, backward, clip, move, report."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from sagecraft import console
from sagecraft.errors import MachineError, StoppedError
from sagecraft.models.decoder import Decoder
from sagecraft.models.foreign import ForeignDecoder
from sagecraft.models.load import hugging_face_name
from sagecraft.tokens.loader import Batch, Loader
from sagecraft.training.checkpoint import CheckpointWriter, load_checkpoint
from sagecraft.training.layers import shape_layers
from sagecraft.training.lora_layers import begin_pass
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.memory import keep_freed_memory
from sagecraft.training.optim import MasterAdamW
from sagecraft.training.schedule import learning_rate_at
from sagecraft.training.signals import Asked, asked_to_stop
from sagecraft.training.train import TrainConfig
from sagecraft.training.watch import Watcher
from sagecraft.training.world import current

if TYPE_CHECKING:
    from sagecraft.training.sharding import ShardedAdamW, Sharding

#: What a process works through when it has no rows for a pass that others have: FSDP needs all of them.
_IDLE = Batch(np.zeros(1, np.int64), [0, 1], np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int64), 0)


class Trainer:
    """Moves one model along the batches of one loader; resumes from `checkpoints` to the same bytes."""

    def __init__(
        self,
        config: TrainConfig,
        model: Decoder | ForeignDecoder,
        loader: Loader,
        checkpoints: Path,
        watcher: Watcher,
        sharding: Sharding | None = None,
    ) -> None:
        """Takes what belongs together.

        Args:
            config: settings.
            model: exact weights, or on the meta device if `sharding` reads them.
            loader: the rows in their order.
            checkpoints: folder of this run's checkpoints.
            watcher: is told of every step.
            sharding: spreads the model over the processes of this run; None is one process.
        """
        self.config = config
        self.loader = loader
        self.watcher = watcher
        self.sharding = sharding
        self.world = current()
        self.device = self.world.device
        compute = getattr(torch, config.compute_dtype)
        keep_freed_memory()
        shape_layers(model, config.activation_checkpointing, config.compile)
        self.optimizer: MasterAdamW | ShardedAdamW
        if sharding is None:
            model = model.to(self.device)
            learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
            masters = {name: parameter.detach().clone() for name, parameter in learning.items()}
            self.model = model.to(compute).train()
            self.optimizer = MasterAdamW(self.model, config.optimizer, masters)
        else:
            self.model = model.train()
            self.optimizer = sharding.shard(model, compute, config.optimizer)
        # one process on a processor would stop for a copy about as long as for writing
        in_background = sharding is not None or self.device.type != "cpu"
        self.writer = CheckpointWriter(checkpoints, self.world, in_background)

    def fit(self) -> int:
        """Trains to the end, or until the watcher stops it. Returns the number of steps done.

        Raises:
            StoppedError: a signal asked for it, and a checkpoint was written.
        """
        done = self._resume()
        written = time.monotonic()
        try:
            with asked_to_stop() as asked:
                stop = self.watcher.start(done, self.sequence_logprobs)
                while done < self.loader.num_steps and not stop:
                    record = self.step(done)
                    done += 1
                    stop = self.watcher.after_step(record)
                    due, leaving = self._agree(time.monotonic() - written, asked)
                    if due or leaving:
                        self.watcher.before_checkpoint()
                        self.writer.save(done, self.optimizer.state(), {})
                        written = time.monotonic()
                    if leaving:
                        self._leave(done, asked)
            self.writer.finish()
        finally:
            self.watcher.close()
        return done

    def _agree(self, seconds: float, asked: Asked) -> tuple[bool, bool]:
        """All processes write at the same step, and leave at the same step, whoever's clock or signal says so first."""
        due = self.world.is_first and seconds >= 60 * self.config.checkpoint_minutes
        said = self.world.total([float(flag) for flag in (due, bool(asked), *self.writer.status())])
        self.writer.advance(int(said[2]), int(said[3]))
        return said[0] > 0, said[1] > 0

    def _leave(self, done: int, asked: Asked) -> None:
        self.writer.finish()
        left = f"stopped by {asked.name or 'a signal'} after step {done:,} of {self.loader.num_steps:,}"
        raise self.world.common_fault(
            StoppedError(f"{left}; a checkpoint is written: run the same command again to go on")
        )

    def step(self, step: int) -> dict[str, Any]:
        """One optimizer step over all its rows.

        The loss is the mean over the step's learned tokens, however they are spread over passes: dividing each pass by
        its own count would weigh a token by the company it keeps.
        """
        rows = self.loader.rows(step)
        num_tokens, num_learned = self.loader.count(rows)
        names = self.loader.packed.sources
        sums, counts = np.zeros(len(names)), np.zeros(len(names), dtype=np.int64)
        penalty = 0.0
        passes = self._passes(rows) if num_learned else []
        for number, batch in enumerate(passes):
            if self.sharding is not None:
                self.sharding.begin_pass(is_last=number == len(passes) - 1)
            begin_pass(self.model, self.config.seed, step, number, self.sharding.data_rank if self.sharding else 0)
            total, losses = self._forward_backward(batch, num_learned if batch is not _IDLE else math.inf)
            if self._counts and batch is not _IDLE:
                penalty += total - float(losses.sum()) if self.config.optimizer.z_loss else 0.0
                sums += np.bincount(batch.sources, weights=losses.cpu().numpy(), minlength=len(names))
                counts += np.bincount(batch.sources, minlength=len(names))
        said = np.array(self.world.total([penalty, *sums.tolist(), *counts.tolist()]))
        penalty, sums, counts = float(said[0]), said[1 : len(names) + 1], said[len(names) + 1 :].astype(np.int64)
        learning_rate = learning_rate_at(self.config.optimizer, step, self.loader.num_steps)
        norm = self.optimizer.step(learning_rate) if num_learned else 0.0
        loss = float(sums.sum()) / max(1, num_learned)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            fault = f"step {step}: the loss is {loss:g}, the norm of its gradient {norm:g}"
            raise self.world.common_fault(MachineError(f"{fault}; lower optimizer.learning_rate and run again"))
        return {
            "step": step,
            "loss": round(loss, 6),
            "loss_by_source": {
                name: round(float(sums[code] / counts[code]), 6)
                for code, name in sorted(enumerate(names), key=lambda source: source[1])
                if counts[code]
            },
            **({"z_loss": round(penalty / max(1, num_learned), 9)} if self.config.optimizer.z_loss else {}),
            "learning_rate": learning_rate,
            "gradient_norm": round(norm, 6),
            "num_tokens": num_tokens,
            "num_learned": num_learned,
        }

    @property
    def _counts(self) -> bool:
        """True on one process of each tensor group: the others work on the same rows."""
        return self.sharding is None or self.sharding.tensor_rank == 0

    def _passes(self, rows: Sequence[int]) -> list[Batch]:
        """This process's share of a step's rows; as many passes on every process, idle ones where it has no rows."""
        size, ways = self.config.rows_per_pass, 1 if self.sharding is None else self.sharding.layout.num_data
        mine = rows if self.sharding is None else rows[self.sharding.data_rank :: ways]
        num_passes = math.ceil(math.ceil(len(rows) / ways) / size)
        batches = [self.loader.batch(mine[n * size : (n + 1) * size]) for n in range(num_passes)]
        if self.sharding is None:
            return [batch for batch in batches if len(batch.targets)]
        return [batch if len(batch.targets) else _IDLE for batch in batches]

    def _forward_backward(self, batch: Batch, num_learned: float) -> tuple[float, Tensor]:
        """Adds one pass's share to the gradients; returns the sum that was minimised, and its tokens' losses [S]."""
        hidden = self.model(torch.from_numpy(batch.input_ids).to(self.device), boundaries=batch.boundaries)
        predicting = hidden[torch.from_numpy(batch.predicting).to(self.device)]
        total, losses = self._cross_entropy(predicting, torch.from_numpy(batch.targets).to(self.device))
        (total / num_learned).backward()  # type: ignore[no-untyped-call]
        self.optimizer.collect()
        return float(total.detach()), losses

    def _cross_entropy(self, hidden: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The head's loss: its sum, and each token's."""
        weight = self.model.lm_head.weight
        if self.sharding is None or self.sharding.tensor_group is None:
            return cross_entropy_sum(hidden, weight, targets, self.config.optimizer.z_loss)
        from sagecraft.training.sharding import local
        from sagecraft.training.vocabulary_loss import sharded_cross_entropy_sum

        group, z_loss = self.sharding.tensor_group, self.config.optimizer.z_loss
        return sharded_cross_entropy_sum(hidden, local(weight), targets, group, z_loss)

    @torch.no_grad()
    def sequence_logprobs(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of each token given those before it, by the model as it stands; a first token has none."""
        lengths = [len(ids) for ids in batch]
        boundaries = [0, *itertools.accumulate(lengths)]
        ids = torch.tensor([token for row in batch for token in row])
        predicts = torch.ones(len(ids), dtype=torch.bool)
        predicts[torch.tensor(boundaries[1:]) - 1] = False  # a row's last token has no next one
        self.model.eval()  # what LoRA drops in training is not dropped here
        hidden = self.model(ids.to(self.device), boundaries=boundaries)
        self.model.train()
        _, losses = self._cross_entropy(hidden[predicts.to(self.device)], ids.roll(-1)[predicts].to(self.device))
        return [(-row).tolist() for row in torch.split(losses, [length - 1 for length in lengths])]

    def _resume(self) -> int:
        found = load_checkpoint(self.writer.folder, self.world)
        if found is None:
            return 0
        self.optimizer.load_state(found)
        if self.world.is_first:
            console.say(f"  resumed at step {found.state['step']:,} of {self.loader.num_steps:,}")
        return int(found.state["step"])

    def weights(self) -> Mapping[str, Tensor]:
        """The exact weights that learn, under their Hugging Face names.

        Of a sharded model each is gathered when it is asked for: all processes go through them together, in their order.
        """
        if self.sharding is not None:
            return cast("ShardedAdamW", self.optimizer).weights()
        return {hugging_face_name(name): master.detach().cpu() for name, master in self.optimizer.masters.items()}
