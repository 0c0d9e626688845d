"""Made-up evaluations, as `sagecraft eval` leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.evaluation.statistics import wilson


def rows(right: list[bool], **changes: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": f"q{n}",
            "correct": value,
            "digest": f"d{n}",
            "mode": "letter",
            "outcome": "correct" if value else "wrong",
            **changes,
        }
        for n, value in enumerate(right)
    ]


def evaluation(folder: Path, name: str, right: list[bool], cost: float | str = 0.5, **changes: Any) -> Path:
    """An evaluation as `sagecraft eval` leaves it, of a model that has these questions right; changes are its rows'."""
    mode_name = changes.get("mode", "letter")
    share = sum(right) / len(right)
    mode = {
        "n": len(right), "accuracy": share, "ci95": list(wilson(sum(right), len(right))),
        "outcomes": {"correct": sum(right), "wrong": len(right) - sum(right)},
        "tokens": {"in": 600, "cached": 100, "thought": 300, "out": 100}, "cost_usd": cost,
    }  # fmt: skip
    results = {"model": name, "mode": mode_name, "modes": {mode_name: mode}, "perplexity": {}, "task": "t.csv"}
    artifact.write_json(folder / "results.json", results)
    artifact.write_jsonl(folder / "items.jsonl", rows(right, **changes))
    return folder
