"""The model under test: an engine here or an endpoint, and the modes it can be asked in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.evaluation.score import Mode


@dataclass(frozen=True)
class Subject:
    """The model under test.

    Attributes:
        name: what it is called in results.
        identity: what the store's records are keyed by.
        engine: an `inference.protocol.Engine` or an Endpoint.
        modes: how it can be asked.
        template_sha256: hash of its chat template; None if it is not ours to see.
    """

    name: str
    identity: str
    engine: Any
    modes: Mapping[str, Mode]
    template_sha256: str | None


@contextmanager
def open_subject(config: EvaluateConfig, inputs: Mapping[str, Path], number: int = 0) -> Iterator[Subject]:
    """Makes the model ready: loads it, or prepares to ask for it; what can be refused without asking is.

    Args:
        config: of the evaluation.
        inputs: of the evaluation.
        number: of the process among `processes` of a local model: the card it takes, where there are some.

    Raises:
        UserError: the endpoint does not have the state of the switch, or has no price where the cost is limited.
    """
    from sagecraft.evaluation import generate, score

    if config.endpoint is not None:
        from sagecraft.evaluation import remote
        from sagecraft.inference.endpoint import Endpoint

        endpoint = Endpoint(config.endpoint, config.base_url, inputs.get("providers"))
        for _, asked_once in config.passes.values():  # whether the model has these states, before anything is made
            endpoint.preset.asked(asked_once.switch)
        endpoint.preset.check_limit(config.limits.max_usd)
        asked = score.Mode(remote.request, None, generate.grade_generate)
        yield Subject(endpoint.name, endpoint.identity, endpoint, {"generate": asked}, None)
        return
    from sagecraft.evaluation.processes import device_of
    from sagecraft.evaluation.unconditional import with_unconditional
    from sagecraft.inference.engine import is_gguf, open_engine

    modes = {
        "continuation": score.Mode(
            score.continuation_request, score.measure_continuation, score.grade_continuation, with_unconditional
        ),
        "letter": score.Mode(score.letter_request, score.measure_letter, score.grade_letter),
        "generate": score.Mode(generate.local_request, generate.measure_each, generate.grade_generate),
    }
    path = inputs["model"]
    device = None if is_gguf(path) else device_of(number, config.processes)
    with open_engine(path, config.dtype, inputs.get("adapter"), device) as engine:
        yield Subject(engine.name, engine.identity, engine, modes, engine.template.sha256)
