from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from sagecraft import hardware
from sagecraft.planning import doctor as module
from sagecraft.planning.doctor import doctor, print_doctor


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "matrix_tflops", lambda dtype: {"bfloat16": 0.5, "float32": 0.25}[dtype])


@pytest.mark.usefixtures("quick")
def test_the_report_is_json_and_complete(capsys: pytest.CaptureFixture[str]) -> None:
    report = doctor()
    assert json.loads(json.dumps(report)) == report
    assert report["cores"] >= 1
    assert 0.1 < report["memory_gib"] < 1e5
    assert report["disk_free_gib"] >= 0
    assert report["torch"]["bf16_tflops"] == 0.5
    assert report["torch"]["kernels"] in ("all", "all but attention", "none")
    assert report["parts"]["torch"]["version"] == report["torch"]["version"].split("+")[0] or report["torch"]["version"]
    print_doctor(report)
    assert "matrix rate" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_what_is_missing_names_its_stages_and_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.util.find_spec

    def without(name: str, *rest: Any) -> Any:
        return None if name in ("fastapi", "uvicorn", "torch") else real(name, *rest)

    monkeypatch.setattr(module.importlib.util, "find_spec", without)
    report = doctor()
    assert report["torch"] is None
    missing = {entry["extra"]: entry for entry in report["missing"]}
    assert missing["serve"]["parts"] == ["fastapi", "uvicorn"]
    assert missing["serve"]["stages"] == ["serve"]
    assert missing["serve"]["command"] == "pip install 'sagecraft[serve]'"
    assert "cpt" in missing["train"]["stages"]
    print_doctor(report)
    assert "pip install 'sagecraft[serve]'" in capsys.readouterr().err


def test_the_rate_is_that_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that ticks one tenth of a second a reading: 2·2048³ FLOP in 0.1 s would be 0.17 TFLOP/s; the trial
    product says that a large one takes 6.4 s, so the small one is measured: 2·512³ in 0.1 s."""
    now = iter(range(10**6))
    monkeypatch.setattr(hardware.time, "perf_counter", lambda: next(now) / 10)
    rate = hardware.matrix_tflops.__wrapped__("float32")
    assert rate == pytest.approx(2 * 512**3 / 0.1 / 1e12)


def test_the_best_product_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other work makes products slow and none fast: of 0.1, 0.4 and 0.2 s the first is the machine's rate."""
    seconds = iter([1.0, 9.0, 9.0, 9.0, 0.4, 0.1, 0.2, 0.2, 0.2])
    now = [0.0]

    def clock() -> float:
        return now[0]

    class Product:
        def __matmul__(self, other: object) -> None:
            now[0] += next(seconds)

    monkeypatch.setattr(hardware.time, "perf_counter", clock)
    monkeypatch.setattr("torch.ones", lambda *_, **__: Product())
    assert hardware.matrix_tflops.__wrapped__("float32") == pytest.approx(2 * 512**3 / 0.1 / 1e12)


def test_a_container_has_what_its_groups_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path
    group = tmp_path / "fs/job/step"
    group.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/job/step\n")
    (tmp_path / "fs/job/cpu.max").write_text("50000 100000\n")
    (group / "cpu.max").write_text("max 100000\n")
    (tmp_path / "fs/job/memory.max").write_text(f"{3 << 27}\n")
    (group / "memory.max").write_text("max\n")
    places = {"/proc/self/cgroup": tmp_path / "cgroup", "/sys/fs/cgroup": tmp_path / "fs"}
    monkeypatch.setattr(hardware, "Path", lambda text: places.get(text) or real(text))
    assert hardware.machine_cores() == 0.5
    assert hardware.machine_memory_gib() == 0.375


def test_every_extra_exists(request: pytest.FixtureRequest) -> None:
    import tomllib

    extras = tomllib.loads((request.config.rootpath / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, (extra, _) in module.PARTS.items():
        assert any(name in line for line in extras[extra]), name
