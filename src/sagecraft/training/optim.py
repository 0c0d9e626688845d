"""AdamW (arXiv:1711.05101) on master weights of at least float32 behind a model that computes in bf16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sagecraft.models.kernels.adamw import adamw, adamw_ready, gradient_norm
from sagecraft.training.schedule import OptimizerConfig


class MasterAdamW:
    """AdamW on masters of at least float32; the model's own parameters are copies in compute precision.

    On a CPU one kernel reads each gradient, master and moment once and writes master, moments and copy (0.2 s for 135M
    parameters on two cores, where clipping, torch's fused AdamW and the copies one after the other took 0.6 s); elsewhere
    torch's fused AdamW does the same.

    Attributes:
        masters: by the names of the model's parameters.
        gradients: what `collect` has gathered since the last step, by the same names. One pass's gradients stay in their
            own precision; several are summed in the masters'.
    """

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

        self.gradients: dict[str, Tensor] = {}

    @torch.no_grad()
    def collect(self) -> None:
        """Takes the model's gradients over."""
        for name, parameter in self.parameters.items():
            if parameter.grad is None:
                continue
            if name in self.gradients:
                self.gradients[name] = self.gradients[name].to(self.masters[name].dtype).add_(parameter.grad)
            else:
                self.gradients[name] = parameter.grad
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> float:
        """Clips, moves the masters, refreshes the model. Returns the norm of the gradient before clipping."""
        reached = list(self.gradients)
        masters, copies = [self.masters[name] for name in reached], [self.parameters[name] for name in reached]
        gradients = [gradient.contiguous() for gradient in self.gradients.values()]
        self.gradients.clear()
        if adamw_ready(masters, [*copies, *gradients]):
            return self._step_native(learning_rate, masters, copies, gradients)
        return self._step_plain(learning_rate, masters, copies, gradients)

    def _step_native(
        self, learning_rate: float, masters: list[nn.Parameter], copies: list[nn.Parameter], gradients: list[Tensor]
    ) -> float:
        norm = float(gradient_norm(gradients))
        moments, steps = [], []
        for master in masters:
            state = self.adamw.state[master]
            if not state:  # as torch's AdamW begins
                state.update(
                    step=torch.tensor(0.0), exp_avg=torch.zeros_like(master), exp_avg_sq=torch.zeros_like(master)
                )
            state["step"] += 1
            moments.append((state["exp_avg"], state["exp_avg_sq"]))
            steps.append(float(state["step"]))
        config = self.config
        adamw(
            masters,
            [mean for mean, _ in moments],
            [square for _, square in moments],
            copies,
            gradients,
            [config.weight_decay if master.ndim >= 2 else 0.0 for master in masters],
            steps,
            learning_rate,
            config.beta1,
            config.beta2,
            config.eps,
            min(1.0, config.clip_norm / (norm + 1e-6)),
        )
        return norm

    def _step_plain(
        self, learning_rate: float, masters: list[nn.Parameter], copies: list[nn.Parameter], gradients: list[Tensor]
    ) -> float:
        for master, gradient in zip(masters, gradients, strict=True):
            master.grad = gradient.to(master.dtype)
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        norm = torch.nn.utils.clip_grad_norm_(masters, self.config.clip_norm, foreach=True)
        self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        for master, copy in zip(masters, copies, strict=True):
            copy.copy_(master)
        return float(norm)

    def state(self) -> dict[str, Tensor]:
        """Masters and moments by name, for a checkpoint."""
        tensors = {f"master.{name}": master.detach() for name, master in self.masters.items()}
        for name, master in self.masters.items():
            for key, value in self.adamw.state.get(master, {}).items():
                tensors[f"{key}.{name}"] = value
        return tensors

    @torch.no_grad()
    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes what `state` gave, bit for bit."""
        for name, master in self.masters.items():
            master.copy_(tensors[f"master.{name}"])
            held = {key: tensors.get(f"{key}.{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
            if any(value is not None for value in held.values()):  # one that no loss has reached yet has no moments
                self.adamw.state[master] = {key: tensors[f"{key}.{name}"].clone() for key in held}
            self.parameters[name].copy_(master)
