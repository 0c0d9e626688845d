"""The training loop. One step: take rows, forward, loss, backward, clip, move, report."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sagecraft import console
from sagecraft.errors import MachineError
from sagecraft.models.decoder import Decoder
from sagecraft.models.foreign import ForeignDecoder
from sagecraft.models.load import hugging_face_name
from sagecraft.tokens.loader import Batch, Loader
from sagecraft.training.checkpoint import load_checkpoint, save_checkpoint
from sagecraft.training.lora_layers import begin_pass
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.optim import MasterAdamW
from sagecraft.training.schedule import learning_rate_at
from sagecraft.training.train import TrainConfig
from sagecraft.training.watch import Watcher


class Trainer:
    """Moves one model along the batches of one loader; resumes from `checkpoints` to the same bytes."""

    def __init__(
        self,
        config: TrainConfig,
        model: Decoder | ForeignDecoder,
        loader: Loader,
        checkpoints: Path,
        watcher: Watcher,
    ) -> None:
        self.config = config
        self.loader = loader
        self.checkpoints = checkpoints
        self.watcher = watcher
        learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        masters = {name: parameter.detach().clone() for name, parameter in learning.items()}
        self.model = model.to(getattr(torch, config.compute_dtype)).train()
        self.optimizer = MasterAdamW(self.model, config.optimizer, masters)

    def fit(self) -> int:
        """Trains to the end, or until the watcher stops it. Returns the number of steps done."""
        done = self._resume()
        written = time.monotonic()
        try:
            stop = self.watcher.start(done, self.sequence_logprobs)
            while done < self.loader.num_steps and not stop:
                record = self.step(done)
                done += 1
                stop = self.watcher.after_step(record)
                if time.monotonic() - written >= 60 * self.config.checkpoint_minutes:
                    self.watcher.before_checkpoint()
                    save_checkpoint(self.checkpoints, done, self.optimizer.state(), {})
                    written = time.monotonic()
        finally:
            self.watcher.close()
        return done

    def step(self, step: int) -> dict[str, Any]:
        """One optimizer step over all its rows.

        The loss is the mean over the step's learned tokens, however they are spread over passes: dividing each pass by
        its own count would weigh a token by the company it keeps.
        """
        rows, size = self.loader.rows(step), self.config.rows_per_pass
        batches = [self.loader.batch(rows[first : first + size]) for first in range(0, len(rows), size)]
        num_learned = sum(len(batch.targets) for batch in batches)
        names = self.loader.packed.sources
        sums, counts = np.zeros(len(names)), np.zeros(len(names), dtype=np.int64)
        for number, batch in enumerate(batches):
            if len(batch.targets):
                begin_pass(self.model, self.config.seed, step, number)
                losses = self._forward_backward(batch, num_learned)
                sums += np.bincount(batch.sources, weights=losses.numpy(), minlength=len(names))
                counts += np.bincount(batch.sources, minlength=len(names))
        learning_rate = learning_rate_at(self.config.optimizer, step, self.loader.num_steps)
        norm = self.optimizer.step(learning_rate) if num_learned else 0.0
        loss = float(sums.sum()) / max(1, num_learned)
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise MachineError(
                f"step {step}: the loss is {loss:g}, the norm of its gradient {norm:g}; "
                "lower optimizer.learning_rate and run again"
            )
        return {
            "step": step,
            "loss": round(loss, 6),
            "loss_by_source": {
                name: round(float(sums[code] / counts[code]), 6)
                for code, name in sorted(enumerate(names), key=lambda source: source[1])
                if counts[code]
            },
            "learning_rate": learning_rate,
            "gradient_norm": round(norm, 6),
            "num_tokens": sum(batch.num_tokens for batch in batches),
            "num_learned": num_learned,
        }

    def _forward_backward(self, batch: Batch, num_learned: int) -> Tensor:
        """Adds one pass's share to the gradients; returns its tokens' losses [S]."""
        hidden = self.model(torch.from_numpy(batch.input_ids), boundaries=batch.boundaries)
        predicting = hidden[torch.from_numpy(batch.predicting)]
        total, losses = cross_entropy_sum(predicting, self.model.lm_head.weight, torch.from_numpy(batch.targets))
        (total / num_learned).backward()  # type: ignore[no-untyped-call]
        self.optimizer.collect()
        return losses

    @torch.no_grad()
    def sequence_logprobs(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of each token given those before it, by the model as it stands; a first token has none."""
        lengths = [len(ids) for ids in batch]
        boundaries = [0, *itertools.accumulate(lengths)]
        ids = torch.tensor([token for row in batch for token in row])
        predicts = torch.ones(len(ids), dtype=torch.bool)
        predicts[torch.tensor(boundaries[1:]) - 1] = False  # a row's last token has no next one
        hidden = self.model(ids, boundaries=boundaries)
        targets = ids.roll(-1)[predicts]
        _, losses = cross_entropy_sum(hidden[predicts], self.model.lm_head.weight, targets)
        return [(-row).tolist() for row in torch.split(losses, [length - 1 for length in lengths])]

    def _resume(self) -> int:
        found = load_checkpoint(self.checkpoints)
        if found is None:
            return 0
        tensors, state = found
        self.optimizer.load_state(tensors)
        console.say(f"  resumed at step {state['step']:,} of {self.loader.num_steps:,}")
        return int(state["step"])

    def weights(self) -> dict[str, Tensor]:
        """The exact weights that learn, under their Hugging Face names."""
        return {hugging_face_name(name): master.detach() for name, master in self.optimizer.masters.items()}
