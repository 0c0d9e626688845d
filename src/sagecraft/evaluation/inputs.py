"""What an evaluation is made from: what a MODEL means, and whether inputs and settings go together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.inference.engine import is_gguf
from sagecraft.models.adapter import split_name
from sagecraft.settings import explained

TEXTS = ("domain", "general")


def resolve_model(model: str) -> tuple[dict[str, Path], str | None]:
    """What a MODEL on the command line means.

    Returns:
        The inputs `model` and, of `folder+adapter`, `adapter`; or none and the `endpoint`, `provider:model`.

    Raises:
        UserError: neither.
    """
    path, adapter = split_name(model)
    if path.is_dir():
        return {"model": path} | ({"adapter": adapter} if adapter is not None else {}), None
    if is_gguf(path):
        if not path.is_file():
            raise UserError(f"{model}: no such file")
        return {"model": path}, None
    if ":" in model and not path.exists():
        return {}, model
    raise UserError(f"{model}: neither a model folder, a GGUF file nor provider:model")


def from_options(model: str, settings: Mapping[str, Any]) -> tuple[EvaluateConfig, dict[str, Path]]:
    """Configuration and inputs of a MODEL and of options, of which those that are None keep their defaults."""

    def given(options: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: given(value) if isinstance(value, Mapping) else value
            for name, value in options.items()
            if value is not None
        }

    with explained(EvaluateConfig, "eval"):
        inputs, endpoint = resolve_model(model)
        return EvaluateConfig.model_validate(given({**settings, "endpoint": endpoint})), inputs


def check(config: EvaluateConfig, inputs: Mapping[str, Path]) -> None:
    """All that can be known before anything is loaded."""
    known = {"model", "adapter", "task", "shots", "providers", *TEXTS}
    unknown = sorted(set(inputs) - known)
    if unknown:
        raise UserError(f"inputs.{unknown[0]}: evaluation takes {', '.join(sorted(known))}")
    if "task" not in inputs:
        raise UserError("inputs.task: missing; give a file of questions")
    if (config.endpoint is None) == ("model" not in inputs):
        raise UserError("model: give either a model folder or endpoint: provider:model, not both")
    if "adapter" in inputs and "model" not in inputs:
        raise UserError("inputs.adapter: an adapter is added to a model folder; an endpoint takes none")
    if config.permutations != "none" and set(config.modes) == {"continuation"}:
        raise UserError(
            "permutations: continuation shows no options, so they have no order; add mode letter or generate"
        )
    if config.thinking == "both" and "generate" not in config.modes:
        raise UserError("thinking: both states are asked in mode generate only; add it to the modes")
    if config.endpoint is None:
        if config.base_url is not None:
            raise UserError("base_url: only used together with endpoint")
        if config.limits.max_usd is not None:
            raise UserError("max_usd: only used together with endpoint; a local model is paid by the hour")
        if is_gguf(inputs["model"]):
            _check_gguf(config, inputs)
        return
    if config.processes > 1:
        raise UserError(
            "processes: only for a model that runs here; an endpoint is asked many at once by limits.concurrency"
        )
    scored = [mode for mode in config.modes if mode != "generate"]
    if scored:
        raise UserError(
            f"modes: {scored[0]} needs the probabilities of given tokens, which chat endpoints do not tell; use generate"
        )
    for text in TEXTS:
        if text in inputs:
            raise UserError(
                f"inputs.{text}: perplexity needs the probabilities of given tokens, which {config.endpoint} "
                "does not tell; leave it out"
            )


def _check_gguf(config: EvaluateConfig, inputs: Mapping[str, Path]) -> None:
    """What llama.cpp's server cannot do is said before it is started."""
    name = inputs["model"].name
    if "adapter" in inputs:
        raise UserError(f"inputs.adapter: an adapter is added to a model folder; {name} is a GGUF file")
    if "dtype" in config.model_fields_set:
        raise UserError(f"dtype: {name} is a GGUF file, which brings its own arithmetic; leave it out")
    if config.processes > 1:
        raise UserError(f"processes: {name} is a GGUF file, which llama.cpp runs in one process; leave it out")
    for text in TEXTS:
        if text in inputs:
            raise UserError(
                f"inputs.{text}: perplexity of a GGUF file would take a request a token; make a folder of {name} with "
                "`sagecraft model fetch`, and measure that"
            )
