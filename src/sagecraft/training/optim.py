"""AdamW (arXiv:1711.05101) on master weights of at least float32 behind a model that computes in bf16."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sagecraft.training.schedule import OptimizerConfig


class MasterAdamW:
    """torch's fused AdamW on masters of at least float32; the model's own parameters are copies in compute precision."""

    def __init__(self, model: nn.Module, config: OptimizerConfig, masters: dict[str, Tensor]) -> None:
        """Takes the exact weights.

        Args:
            model: the model that computes.
            config: settings.
            masters: name (of the model's parameter) → exact initial value, of those that learn; others have none.
        """
        self.config = config
        self.parameters = {name: value for name, value in model.named_parameters() if name in masters}
        self.masters = {name: nn.Parameter(masters[name]) for name in self.parameters}
        matrices = [p for p in self.masters.values() if p.ndim >= 2]
        vectors = [p for p in self.masters.values() if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=config.learning_rate,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            fused=True,
        )

    @torch.no_grad()
    def collect(self) -> None:
        """Adds the model's gradients to the masters' in their precision, and frees the model's."""
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            master = self.masters[name]
            if master.grad is None:
                master.grad = parameter.grad.to(master.dtype)
            else:
                master.grad += parameter.grad
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """Clips, moves the masters, refreshes the model. Returns the norm of the gradient before clipping."""
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        norm = torch.nn.utils.clip_grad_norm_(self.masters.values(), self.config.clip_norm, foreach=True)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        for name, parameter in self.parameters.items():
            parameter.copy_(self.masters[name])
        return float(norm)

    def state(self) -> dict[str, Tensor]:
        """Masters and moments by name, for a checkpoint."""
        tensors = {f"master.{name}": master.detach() for name, master in self.masters.items()}
        for name, master in self.masters.items():
            for key, value in self.adamw.state.get(master, {}).items():
                tensors[f"{key}.{name}"] = value
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Takes what `state` gave, bit for bit."""
        for name, master in self.masters.items():
            master.copy_(tensors[f"master.{name}"])
            held = {key: tensors.get(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if any(value is not None for value in held.values()):  # one that no loss has reached yet has no moments
                self.adamw.state[master] = {key: tensors[f"{key}.{name}"].clone() for key in held}
            self.parameters[name].copy_(master)
