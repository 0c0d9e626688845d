"""What a plan says of models that are asked over endpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sagecraft.benchmark.config import BenchConfig
from sagecraft.planning.asked import told, told_of_bench
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


def test_judges_and_teacher_of_a_benchmark_are_told(prices: Path, tmp_path: Path) -> None:
    def bench(**settings: Any) -> dict[str, Any]:
        return BenchConfig.model_validate(settings).model_dump(mode="json")

    assert told_of_bench(bench(), prices, 1.8e6, 1000) == ""
    graded = told_of_bench(bench(judges=[{"model": "local:wise"}]), prices, 1.8e6, 1000)
    assert graded == "judges: 1, 1.98 M tokens, 2.20 USD"
    plain = told_of_bench(bench(judges=[{"model": "local:wise", "grades": False}]), prices, 1.8e6, 1000)
    assert plain == "judges: 1, 1.02 M tokens, 1.20 USD"
    here = told_of_bench(bench(judges=[{"model": str(tmp_path)}]), prices, 1.8e6, 1000)
    assert here == "judges: 1, 0.84 M tokens"
    teacher = {"model": "local:wise", "items_per_passage": 2}
    both = told_of_bench(bench(teacher=teacher, judges=[{"model": "local:strict"}]), prices, 1.8e6, 1000)
    assert both == "at most 1,000 passages asked about, judges: 1, 7.66 M tokens, 1.96 USD without the judge1"
