"""What is watched while a model is trained, and that watching changes nothing."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pico import pico_watcher, write_tokens
from sagecraft import artifact, console
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.evaluation.perplexity import perplexity
from sagecraft.inference.local import LocalEngine
from sagecraft.models.tokenizer import Tokenizer
from sagecraft.training import trackers, watch
from sagecraft.training.held_out import HeldOut
from sagecraft.training.loop import Trainer
from sagecraft.training.schedule import OptimizerConfig
from sagecraft.training.train import TrainConfig, run
from sagecraft.training.watch import Machine, Records, WatchConfig

LENGTHS = [20, 45, 31, 7, 64, 22, 50, 13, 40]
DOCUMENTS = [Document(f"d{n}", f"A star of mass {n} shines. " * 12) for n in range(4)]


@pytest.fixture
def inputs(tmp_path: Path, pico: Path) -> dict[str, Path]:
    """Model, tokens and two held-out texts."""
    texts = {name: tmp_path / name for name in ("domain", "general")}
    write_documents(texts["domain"], DOCUMENTS)
    write_documents(texts["general"], [Document("g", "The train left late and nobody minded. " * 9)])
    return {"model": pico, "tokens": write_tokens(tmp_path / "tokens", pico, LENGTHS), **texts}


def settings(**watched: Any) -> TrainConfig:
    optimizer = OptimizerConfig(learning_rate=3e-3)
    return TrainConfig(
        optimizer=optimizer, epochs=2, rows_per_step=3, checkpoint_minutes=0, watch=WatchConfig(**watched)
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return list(artifact.read_jsonl(path))


def test_watching_changes_no_weight(tmp_path: Path, inputs: dict[str, Path]) -> None:
    watched = run(settings(tokens=100, every_steps=1), inputs, tmp_path / "watched")
    alone = run(settings(tokens=0), {name: inputs[name] for name in ("model", "tokens")}, tmp_path / "alone")
    for name in ("model.safetensors", "metrics.jsonl"):
        assert watched.files[name] == alone.files[name]
    assert "held_out.jsonl" not in alone.files
    measured = rows(tmp_path / "watched" / "held_out.jsonl")
    assert [row["step"] for row in measured] == list(range(watched.stats["num_steps"] + 1))
    assert measured[0]["domain"]["perplexity"] != measured[-1]["domain"]["perplexity"]
    page = (tmp_path / "watched" / "report.html").read_text()
    assert page.count("<svg") == 6
    assert (tmp_path / "alone" / "report.html").read_text().count("<svg") == 5


def test_held_out_text_is_measured_as_an_evaluation_does(inputs: dict[str, Path], pico: Path) -> None:
    engine = LocalEngine(pico, "float32")
    tokenizer = Tokenizer.from_folder(pico)
    held_out = HeldOut({"domain": inputs["domain"]}, 90, 32, 7, tokenizer, 512)
    found = held_out.measure(engine.sequence_logprobs)["domain"]
    expected = perplexity(engine, DOCUMENTS, 90, 32, seed=7)
    assert found["num_tokens"] == expected["num_tokens"] == 90
    assert found["nats_per_token"] == pytest.approx(expected["nats_per_token"], abs=1e-6)


class Killed(Exception):
    """Stands in for SIGKILL."""


@pytest.mark.parametrize("kill_at", [0, 3, 4])
def test_records_of_a_run_taken_up_are_those_of_a_straight_one(
    kill_at: int, tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tokens=60)
    straight = run(config, inputs, tmp_path / "straight")
    step = Trainer.step

    def dies(self: Trainer, number: int) -> dict[str, Any]:
        if number == kill_at:
            raise Killed
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", dies)
    with pytest.raises(Killed):
        run(config, inputs, tmp_path / "killed")
    monkeypatch.setattr(Trainer, "step", step)
    live = tmp_path / "killed.work" / "scratch" / "watch"
    assert len(rows(live / "metrics.jsonl")) == kill_at, "a killed run leaves its records"
    with (live / "metrics.jsonl").open("a") as file:  # what came behind the checkpoint, and half a line
        file.write('{"step": 99}\n{"step": 100, "lo')
    assert run(config, inputs, tmp_path / "killed") == straight
    for name in ("metrics.jsonl", "held_out.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()


def test_a_checkpoint_holds_no_history(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    after = watch.Watcher.after_step

    def measured(self: watch.Watcher, record: dict[str, Any]) -> bool:
        folder = self.metrics.path.parents[1] / "checkpoints"
        sizes.extend(path.stat().st_size for path in folder.glob(f"step-{record['step']:08d}/state.json"))
        return after(self, record)

    monkeypatch.setattr(watch.Watcher, "after_step", measured)
    run(settings(tokens=0), inputs, tmp_path / "out")
    assert len(sizes) >= 3
    assert max(sizes) - min(sizes) < 20


def test_a_lost_record_is_said_and_costs_no_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    watcher = pico_watcher(tmp_path, 10)
    watcher.start(5, lambda batch: [])
    watcher.close()
    assert "steps before 5 are missing" in capsys.readouterr().err


def test_records_are_cut_at_the_first_that_is_not_wanted(tmp_path: Path) -> None:
    records = Records(tmp_path / "r.jsonl")
    for step in range(4):
        records.add({"step": step, "text": "naïve"})
    assert records.cut(lambda record: record["step"] < 2) == {"step": 1, "text": "naïve"}
    assert [row["step"] for row in rows(records.path)] == [0, 1]
    records.path.write_bytes(records.path.read_bytes()[:-3])
    assert records.cut(lambda record: True) == {"step": 0, "text": "naïve"}


@pytest.mark.parametrize("on_general_loss", ["warn", "stop"])
def test_general_loss_above_its_limit_warns_or_stops(
    on_general_loss: str, tmp_path: Path, inputs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Random tokens teach a model to forget all it knew: the limit is half-way of what one run saw."""
    free = run(settings(tokens=100, every_steps=1), inputs, tmp_path / "free")
    losses = [row["general"]["nats_per_token"] for row in rows(tmp_path / "free" / "held_out.jsonl")]
    limit = (losses[0] + max(losses)) / 2
    first = next(step for step, loss in enumerate(losses) if loss > limit)
    assert 0 < first < free.stats["num_steps"]
    config = settings(tokens=100, every_steps=1, max_general_loss=limit, on_general_loss=on_general_loss)
    capsys.readouterr()
    made = run(config, inputs, tmp_path / "out")
    assert f"after {first} of" in capsys.readouterr().err
    if on_general_loss == "warn":
        assert made.files["model.safetensors"] == free.files["model.safetensors"]
        assert "stopped" not in made.stats
        return
    assert made.stats["stopped"] == {
        "step": first,
        "num_steps": free.stats["num_steps"],
        "general_loss": losses[first],
        "max_general_loss": limit,
    }
    assert made.stats["num_steps"] == len(rows(tmp_path / "out" / "metrics.jsonl")) == first
    assert "Training was stopped" in (tmp_path / "out" / "report.html").read_text()
    again = run(config, inputs, tmp_path / "again")
    assert again == made


def test_a_limit_below_the_base_model_is_refused(tmp_path: Path, inputs: dict[str, Path]) -> None:
    config = settings(tokens=50, max_general_loss=0.5, on_general_loss="stop")
    with pytest.raises(UserError, match=r"cpt\.watch\.max_general_loss: 0\.5 is passed before training"):
        run(config, inputs, tmp_path / "out")


def test_a_log_gets_a_line_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(watch.hardware, "matrix_tflops", lambda dtype, device: 2.0)
    watcher = pico_watcher(tmp_path, 100)
    watcher.machine = Machine(flop_per_token=1e9)
    watcher.start(0, lambda batch: [])
    for step in range(100):
        clock[0] += 1.0
        record = {"step": step, "loss": 2.5, "num_tokens": 1000, "num_learned": 900}
        watcher.after_step({**record, "loss_by_source": {}, "learning_rate": 1e-4, "gradient_norm": 1.0})
    watcher.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3, "every 30 of 100 seconds"
    assert "test: 30/100 (30 %), 1 min 10 s left  loss 2.500, 1,000 tokens/s, 50% of the matrix rate, " in lines[0]


class Log:
    """A tracker's package, as far as we use it."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.opened: list[dict[str, Any]] = []
        self.logged: list[tuple[int, Mapping[str, float]]] = []
        self.finished = 0
        self.fails_at = fails_at

    def init(self, **values: Any) -> Log:
        self.opened.append(values)
        return self

    def log(self, values: Mapping[str, float], step: int) -> None:
        if step == self.fails_at:
            raise OSError("the network is gone\nand more")
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1

    def install(self, name: str, monkeypatch: pytest.MonkeyPatch) -> Log:
        module = types.ModuleType(name)
        module.__spec__ = types.SimpleNamespace(name=name)  # type: ignore[assignment]
        module.init = self.init  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
        return self


def test_a_tracker_sees_all_and_goes_on_with_its_run(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log().install("wandb", monkeypatch)
    step = Trainer.step

    def dies(self: Trainer, number: int) -> dict[str, Any]:
        if number == 3 and len(log.opened) == 1:
            raise Killed
        return step(self, number)

    monkeypatch.setattr(Trainer, "step", dies)
    config = settings(tokens=50, tracker="wandb", offline=True, project="field")
    with pytest.raises(Killed):
        run(config, inputs, tmp_path / "run" / "cpt")
    made = run(config, inputs, tmp_path / "run" / "cpt")
    first, second = log.opened
    assert (first["id"], first["project"], first["name"], first["mode"]) == (
        second["id"],
        "field",
        "run/cpt",
        "offline",
    )
    assert (first["resume"], second["resume"]) == (None, "allow")
    assert log.finished == 2
    steps = [at for at, values in log.logged if "loss" in values]
    assert steps == list(range(1, made.stats["num_steps"] + 1))
    _, values = next(entry for entry in log.logged if "loss" in entry[1])
    assert {"loss_by_source/domain", "learning_rate", "gradient_norm", "tokens_per_second", "memory_gib"} <= set(values)
    assert any("held_out/general/perplexity" in values for _, values in log.logged)


def test_a_tracker_that_fails_warns_once_and_stops_nothing(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log(fails_at=2).install("trackio", monkeypatch)
    made = run(settings(tokens=0, tracker="trackio"), inputs, tmp_path / "out")
    assert made.stats["num_steps"] > 3
    assert [step for step, _ in log.logged] == [1]
    said = capsys.readouterr().err
    assert said.count("trackio: OSError: the network is gone; training goes on without it") == 1
    assert "and more" not in said


def test_a_tracker_that_does_not_open_stops_nothing(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = Log().install("trackio", monkeypatch)
    monkeypatch.setattr(log, "init", None)
    sys.modules["trackio"].init = None  # type: ignore[attr-defined]
    run(settings(tokens=0, tracker="trackio"), inputs, tmp_path / "out")
    assert "trackio: TypeError" in capsys.readouterr().err


def test_what_a_tracker_lacks_is_said_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^watch\.tracker: tensorboard is not installed: pip install tensorboard$"):
        trackers.require(WatchConfig(tracker="tensorboard"))
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: name)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    with pytest.raises(UserError, match="WANDB_API_KEY"):
        trackers.require(WatchConfig(tracker="wandb"))
    trackers.require(WatchConfig(tracker="wandb", offline=True))
    monkeypatch.setenv("WANDB_API_KEY", "k")
    trackers.require(WatchConfig(tracker="wandb"))


def test_where_figures_are_shown_is_in_no_fingerprint() -> None:
    plain, tracked = settings(), settings(tracker="wandb", project="x", offline=True)
    assert plain.model_dump(mode="json") == tracked.model_dump(mode="json")
    assert "tracker" not in json.dumps(tracked.model_dump(mode="json"))
    assert settings(tokens=1).model_dump() != plain.model_dump(), "what is measured stands in the artifact"


def test_tensorboard_purges_what_a_killed_run_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[tuple[str, int | None]] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int | None) -> None:
            opened.append((folder, purge_step))
            Path(folder).mkdir(parents=True, exist_ok=True)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            (Path(opened[-1][0]) / name.replace("/", "-")).write_text(f"{value} {step}")

        def close(self) -> None:
            pass

    module = types.ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    place = trackers.Place(tmp_path, "run/cpt", tmp_path / "tracker.json")
    config = WatchConfig(tracker="tensorboard")
    for step in (0, 7, 0):
        tracker = trackers.open_tracker(config, place, step)
        tracker.log(step + 1, {"loss": 1.5})
        tracker.close()
    folder = tmp_path / "tensorboard" / "run" / "cpt"
    assert opened == [(str(folder), None), (str(folder), 8), (str(folder), None)]
    assert (folder / "loss").read_text() == "1.5 1"
    assert "warning" not in capsys.readouterr().err
