"""Published runs, held against what a plan says of the same recipe."""

from __future__ import annotations

from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from sagecraft.models.flops import flop_per_token_causal, flop_per_token_full
from sagecraft.planning.architecture import find_architecture


class PublishedRun(BaseModel):
    """One row of `published_runs.yaml`.

    Attributes:
        model: base model, by a known name.
        sequence_length: tokens a row.
        corpus_tokens: of one epoch.
        epochs: passes over them.
        device_hours: reported for the training.
        source: who reports it.
        machine: what one device is.
        published_tflops: lowest and highest rate published for large models on that machine, per device.
        published_tflops_source: who reports that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    sequence_length: int
    corpus_tokens: float
    epochs: float
    device_hours: float
    source: str
    machine: str
    published_tflops: tuple[float, float]
    published_tflops_source: str


def published_run(recipe_name: str) -> PublishedRun | None:
    """The run that a recipe follows, if it was published."""
    text = resources.files("sagecraft.planning").joinpath("published_runs.yaml").read_text(encoding="utf-8")
    row = yaml.safe_load(text).get(recipe_name)
    return None if row is None else PublishedRun.model_validate(row)


def compare_with_published(run: PublishedRun) -> dict[str, Any]:
    """What the reported hours and tokens imply, against the rates published for the same machine."""
    model = find_architecture(run.model)
    assert model is not None, f"published_runs.yaml names {run.model}, which known_models.yaml does not hold"
    tokens = run.corpus_tokens * run.epochs
    seconds = 3600 * run.device_hours
    causal = flop_per_token_causal(model, run.sequence_length)
    full = flop_per_token_full(model, run.sequence_length)
    low, high = run.published_tflops
    implied = {"causal": causal * tokens / seconds / 1e12, "full": full * tokens / seconds / 1e12}
    bought = [rate * 1e12 * seconds / causal for rate in (low, high)]
    expected = [tokens * causal / (rate * 1e12) / 3600 for rate in (high, low)]
    agrees = low <= implied["causal"] <= high
    text = (
        f"published: {run.device_hours:,.0f} device-hours for {tokens / 1e9:.3g} B tokens "
        f"({run.corpus_tokens / 1e9:.3g} B × {run.epochs:g} epochs) = {implied['causal']:.1f} TFLOP/s a device "
        f"(causal convention; {implied['full']:.1f} in full). {run.machine} reaches {low:g} to {high:g} with large models "
        f"({run.published_tflops_source}). "
    )
    text += (
        "They agree."
        if agrees
        else (
            f"They disagree: at that rate these tokens take {expected[0]:,.0f} to {expected[1]:,.0f} device-hours, and those "
            f"hours train {bought[0] / 1e9:.0f} to {bought[1] / 1e9:.0f} B tokens. Either the corpus was larger than "
            "reported or the hours hold much else; the plan is not calibrated on them."
        )
    )
    return {
        "tokens": tokens,
        "device_hours": run.device_hours,
        "implied_tflops": implied,
        "published_tflops": [low, high],
        "tokens_at_published_rate": bought,
        "device_hours_at_published_rate": expected,
        "agrees": agrees,
        "text": text,
        "source": run.source,
    }
