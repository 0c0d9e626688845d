"""From the records of a run to the page that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.reporting import png
from sagecraft.reporting.training_page import Curves, render


def read_curves(folder: Path) -> Curves:
    """Reads `metrics.jsonl`, and `held_out.jsonl` and `timing.jsonl` where they are, line by line."""
    curves = Curves()
    for record in artifact.read_jsonl(folder / "metrics.jsonl"):
        step = record["step"] + 1
        curves.loss.append((step, record["loss"]))
        curves.learning_rate.append((step, record["learning_rate"]))
        curves.gradient_norm.append((step, record["gradient_norm"]))
        for source, loss in record["loss_by_source"].items():
            curves.by_source.setdefault(source, []).append((step, loss))
        curves.num_tokens += record["num_tokens"]
        curves.num_learned += record["num_learned"]
    curves.perplexity = read_held_out(folder)
    for record in _lines(folder / "held_out.jsonl")[:1]:
        curves.held_out_tokens = {text: value["num_tokens"] for text, value in record.items() if text != "step"}
    for record in _lines(folder / "timing.jsonl"):
        if "measuring_seconds" in record:
            curves.measuring_seconds += record["measuring_seconds"]
            continue
        curves.training_seconds += record["seconds"]
        curves.rate.append((record["step"] + 1, record["tokens_per_second"]))
        curves.matrix_share = record["matrix_share"]
        curves.memory_gib = max(curves.memory_gib, record["memory_gib"])
    return curves


def read_held_out(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Text → `(steps done, perplexity)` of `held_out.jsonl`; nothing if nothing was measured."""
    found: dict[str, list[tuple[float, float]]] = {}
    for record in _lines(folder / "held_out.jsonl"):
        for text, measured in record.items():
            if text != "step":
                found.setdefault(text, []).append((record["step"], measured["perplexity"]))
    return found


def _lines(path: Path) -> list[dict[str, Any]]:
    return list(artifact.read_jsonl(path)) if path.is_file() else []


def write_page(path: Path, label: str, num_steps: int, folder: Path, stopped: Mapping[str, Any] | None) -> None:
    """Writes the page of a run from the records in `folder`."""
    artifact.write_text(path, render(label, num_steps, read_curves(folder), stopped))
    png.write_figures(path)
