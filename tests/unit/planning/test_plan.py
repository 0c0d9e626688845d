from __future__ import annotations

from pathlib import Path

import pytest
from pico import pico_model

from sagecraft.errors import UserError
from sagecraft.pipeline import describe, plan_steps
from sagecraft.planning.doctor import doctor
from sagecraft.planning.plan import (
    ClusterConfig,
    architecture,
    count_tokens,
    flop_causal,
    flop_full,
    plan_recipe,
    read_cluster,
)
from sagecraft.recipe import load_recipe

ROOT = Path(__file__).parents[3]
CLUSTER = ClusterConfig(name="test", memory_gib=80, peak_tflops=100, mfu=0.5, usd_per_device_hour=2.0)


@pytest.mark.parametrize(("name", "published"), [("8B", 51.48e9), ("70B", 448.8e9)])
def test_flop_as_nvidia_counts_them(name: str, published: float) -> None:
    """Megatron-Bridge's tables: TFLOP/s over tokens/s at 8,192 tokens."""
    config = architecture(f"meta-llama/Llama-3.1-{name}")
    assert config is not None
    flop = flop_causal(config.num_parameters(embedding=False), config.num_layers, config.hidden_size, 8192)
    assert flop == pytest.approx(published, rel=2e-3)


def test_flop_as_torchtitan_counts_them() -> None:
    """Its README: 8B at 5,762 and 6,667 tokens/s on an H100 are 33 to 39 % of 989 TFLOP/s."""
    config = architecture("meta-llama/Llama-3.1-8B")
    assert config is not None
    flop = flop_full(config.num_parameters(embedding=False), config.num_layers, config.hidden_size, 8192)
    assert 6667 * flop / 989e12 == pytest.approx(0.39, abs=0.005)
    assert 5762 * flop / 989e12 == pytest.approx(0.337, abs=0.005)


def test_parameters_of_known_models() -> None:
    smollm = architecture("smollm2-135m-instruct-q4_1")
    assert smollm is not None
    assert smollm.num_parameters() == 134_515_008
    assert architecture("owner/unknown") is None


def plan(*overrides: str) -> dict[str, object]:
    path = ROOT / "recipes/quickstart.yaml"
    recipe = load_recipe(path, overrides)
    steps = describe(plan_steps(recipe, ROOT))
    return plan_recipe(recipe.name, recipe.base.name, steps, CLUSTER)


def test_quickstart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    result = plan()
    rows = {row["step"]: row for row in result["steps"]}  # type: ignore[attr-defined, union-attr]
    assert 40_000 < rows["pack"]["tokens"] < 100_000
    assert rows["cpt"]["memory_gib"] > 134_515_008 * 16 / 2**30
    seconds = rows["cpt"]["tokens"] * 6 * 134_515_008 / 50e12
    assert rows["cpt"]["device_hours"] * 3600 == pytest.approx(seconds, rel=0.3, abs=2)
    twice = {row["step"]: row for row in plan("cpt.epochs=2")["steps"]}  # type: ignore[attr-defined, union-attr]
    assert twice["cpt"]["tokens"] == 2 * rows["cpt"]["tokens"]
    assert result["cost_usd"] is not None


def test_a_model_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert plan()["notes"] == []
    assert "unknown until it is fetched" in str(plan("base.name=owner/unknown")["notes"])
    recipe = load_recipe(ROOT / "recipes/quickstart.yaml", [f"base.name={pico_model(tmp_path / 'pico')}"])
    steps = describe(plan_steps(recipe, ROOT))
    small = CLUSTER.model_copy(update={"memory_gib": 0.0001})
    assert "will not fit" in str(plan_recipe("quickstart", recipe.base.name, steps, small)["notes"])


def test_tokens_are_counted_from_files(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("x" * 4300)
    (tmp_path / "b.png").write_bytes(b"x" * 100_000)
    assert count_tokens(tmp_path) == 1000


@pytest.mark.parametrize("path", sorted((ROOT / "clusters").glob("*.yaml")), ids=lambda p: p.stem)
def test_clusters_are_valid(path: Path) -> None:
    cluster = read_cluster(path)
    assert cluster.name == path.stem
    assert cluster.peak_tflops
    assert cluster.memory_gib


def test_faulty_cluster_files_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("name: c\ndevice: 8\n")
    with pytest.raises(UserError, match=r"device: unknown key; did you mean 'devices'"):
        read_cluster(path)
    with pytest.raises(UserError, match="no such cluster file"):
        read_cluster(tmp_path / "missing.yaml")


def test_doctor_says_what_is_here() -> None:
    report = doctor()
    assert report["cores"] >= 1
    assert report["matrix_tflops"]["float32"] > 0
    assert report["parts"]["train"]["missing"] == []
    assert set(report["parts"]) >= {"corpus", "train", "serve"}
