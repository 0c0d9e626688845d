"""What the page of a run shows of costs."""

from __future__ import annotations

from typing import Any

from sagecraft.reporting.run_facts import ModelFacts, RunFacts
from sagecraft.reporting.run_page import render


def model(name: str, accuracy: float, cost_usd: float | None) -> ModelFacts:
    found: dict[str, Any] = {"accuracy": accuracy, "ci95": (accuracy - 0.05, accuracy + 0.05), "n": 100}
    return ModelFacts(
        name=name, n=100, mode="letter", accuracy=accuracy, ci95=found["ci95"], by_kind={}, by_topic={},
        modes={"letter": found}, perplexity={}, cost_usd=cost_usd, items={},
    )  # fmt: skip


def test_accuracy_against_cost_where_two_models_have_one() -> None:
    models = [model("base", 0.4, 0.2), model("cpt", 0.5, None), model("sft", 0.6, 3.0), model("merged", 0.7, 0.0)]
    page = render(RunFacts(title="run", models=models, chance=0.25))
    assert "Dashed, the Pareto front (base, sft)" in page
    assert "Of unknown cost, or none: cpt, merged." in page
    assert "Accuracy against what the evaluation cost" not in render(RunFacts(title="run", models=models[:2]))
