"""The training loop. One step: take rows, forward, loss, backward, clip, move, report."""

from __future__ import annotations

import math
import time
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

History = list[dict[str, Any]]


class Trainer:
    """Moves one model along the batches of one loader; resumes from `checkpoints` to the same bytes."""

    def __init__(self, config: TrainConfig, model: Decoder | ForeignDecoder, loader: Loader, checkpoints: Path) -> None:
        self.config = config
        self.loader = loader
        self.checkpoints = checkpoints
        learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        masters = {name: parameter.detach().clone() for name, parameter in learning.items()}
        self.model = model.to(getattr(torch, config.compute_dtype)).train()
        self.optimizer = MasterAdamW(self.model, config.optimizer, masters)
        self.history: History = []

    def fit(self, label: str) -> History:
        """Trains to the end and returns one record a step."""
        self._resume()
        written = time.monotonic()
        tokens_per_step = self.config.rows_per_step * self.loader.packed.row_length
        with console.progress(label, self.loader.num_steps * tokens_per_step) as tick:
            tick.start_at(len(self.history) * tokens_per_step)
            for step in range(len(self.history), self.loader.num_steps):
                record = self.step(step)
                self.history.append(record)
                tick.advance(tokens_per_step, f"loss {record['loss']:.3f}")
                if time.monotonic() - written >= 60 * self.config.checkpoint_minutes:
                    save_checkpoint(self.checkpoints, step + 1, self.optimizer.state(), {"history": self.history})
                    written = time.monotonic()
        return self.history

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

    def _resume(self) -> None:
        found = load_checkpoint(self.checkpoints)
        if found is None:
            return
        tensors, state = found
        self.optimizer.load_state(tensors)
        self.history = list(state["history"])
        console.say(f"  resumed at step {state['step']:,} of {self.loader.num_steps:,}")

    def weights(self) -> dict[str, Tensor]:
        """The exact weights that learn, under their Hugging Face names."""
        return {hugging_face_name(name): master.detach() for name, master in self.optimizer.masters.items()}
