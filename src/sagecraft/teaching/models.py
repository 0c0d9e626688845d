"""What the models of a stage are: folders and files here, or endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sagecraft.errors import UserError
from sagecraft.evaluation.inputs import resolve_model
from sagecraft.teaching.config import ModelConfig


@dataclass(frozen=True)
class Resolved:
    """A model that a stage asks.

    Attributes:
        inputs: `model` and, of `folder+adapter`, `adapter`; none of an endpoint.
        endpoint: provider:model, or None.
    """

    inputs: Mapping[str, Path]
    endpoint: str | None

    @property
    def identity(self) -> tuple[str, ...]:
        """What two roles that are the same model share, also through two providers."""
        if self.endpoint:
            return (self.endpoint.partition(":")[2],)
        return tuple(str(path.resolve()) for path in self.inputs.values())


def resolved(stage: str, asked: Mapping[str, ModelConfig | None]) -> dict[str, Resolved]:
    """What the roles of a stage are; those that are None are left out.

    Raises:
        UserError: no such model, or settings of an endpoint for one that runs here.
    """
    found: dict[str, Resolved] = {}
    for role, config in asked.items():
        if config is None:
            continue
        inputs, endpoint = resolve_model(config.model)
        if endpoint is None and (config.base_url is not None or config.limits.max_usd is not None):
            raise UserError(
                f"{stage}.{role}: base_url and limits.max_usd are for an endpoint; {config.model} runs here"
            )
        found[role] = Resolved(inputs, endpoint)
    return found


def inputs_of(models: Mapping[str, Resolved]) -> dict[str, Path]:
    """The inputs of a stage that its models are: `role`, and `role-adapter`."""
    return {
        role if name == "model" else f"{role}-{name}": path
        for role, model in models.items()
        for name, path in model.inputs.items()
    }
