"""What a plan says of models that are asked over endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagecraft.planning.asked import told
from sagecraft.synthesis.synth import SynthConfig


def config(**settings: Any) -> dict[str, Any]:
    return SynthConfig.model_validate(settings).model_dump(mode="json")


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    path = tmp_path / "prices.yaml"
    path.write_text('models: {"local:wise": {price: {in: 1, out: 2}}}\n', encoding="utf-8")
    return path


def test_passages_tokens_and_price_are_told(prices: Path) -> None:
    teacher = {"model": "local:wise", "questions_per_passage": 2}
    assert told(config(), prices, 1.8e9) == ""
    assert (
        told(config(teacher=teacher), prices, 1.8e9) == "1,000,000 passages asked about, 1,250 M tokens, 1,400.00 USD"
    )
    assert told(config(teacher=teacher), None, 1.8e6) == "1,000 passages asked about, 1.25 M tokens"
    few = {**teacher, "max_passages": 100}
    assert told(config(teacher=few), prices, 1.8e6) == "100 passages asked about, 0.12 M tokens, 0.14 USD"


def test_chains_and_grades_are_counted(prices: Path) -> None:
    teacher, grader = {"model": "local:wise"}, {"model": "local:strict"}
    plain = told(config(teacher=teacher), prices, 1.8e6)
    graded = told(config(teacher=teacher, grader=grader), prices, 1.8e6)
    chains = told(config(teacher={**teacher, "thoughts": True}), prices, 1.8e6)
    sums = [float(text.split()[4]) for text in (plain, graded, chains)]
    assert sums[0] < sums[1]
    assert sums[0] < sums[2]
    assert graded.endswith(f"{plain.rpartition(', ')[2]} without the grader")
    assert told(config(grader=grader), prices, 1.8e6) == "grader not counted"
