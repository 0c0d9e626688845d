"""The main job on a pico model: whole, resumed, killed, and with every kind of bad input."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pico import pico_model
from sagecraft import artifact

ROOT = Path(__file__).parents[2]
STEPS_THAT_TRAIN = ("cpt", "sft")


def sagecraft(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sagecraft", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=280, env=environment())


def environment() -> dict[str, str]:
    return {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def recipe_arguments(base: Path, out: Path) -> list[str]:
    """The quickstart itself on another base: small rows, since the pico model's context is 512 tokens."""
    return [
        "run", "recipes/quickstart.yaml", "--out", str(out),
        "--set", f"base.name={base}",
        "--set", "corpus.paths=[examples/astronomy/cosmology, examples/astronomy/instrumentation]",
        "--set", "mix.max_tokens=12000", "--set", "cpt.optimizer.learning_rate=0.02",
        "--set", "cpt.checkpoint_minutes=0", "--set", "sft.checkpoint_minutes=0",
        "--set", "synth.max_pairs=24",
        "--set", "evaluate.max_items=24", "--set", "evaluate.perplexity.tokens=2048", "--set", "evaluate.perplexity.window=256",
    ]  # fmt: skip


def digests(out: Path) -> dict[str, str]:
    """Everything that must be the same bytes: each artifact's files, times and pages aside."""
    found = {}
    for folder in sorted(p for p in out.iterdir() if (p / "manifest.json").is_file()):
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = file.relative_to(out).as_posix()
            if file.name in ("timing.json", "manifest.json") or file.suffix in (".html", ".png"):
                continue
            if file.name == "results.json":
                value = json.loads(file.read_text())
                value.pop("seconds", None)
                found[name] = artifact.digest_of(value)
            else:
                found[name] = artifact.sha256_file(file)
    return found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_model(tmp_path_factory.mktemp("base") / "pico")


@pytest.fixture(scope="module")
def finished(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One straight run, shared by the tests that look at it."""
    out = tmp_path_factory.mktemp("run") / "straight"
    done = sagecraft(*recipe_arguments(base, out))
    assert done.returncode == 0, done.stderr
    assert "scores" in done.stdout
    said = [
        r"\d+ documents of [\d,]+ words; none dropped",
        r"\d+ documents to train on, \d+ withheld \(flagged \d+",
        r"\d+ documents; (leaked|no) question",
    ]
    assert all(re.search(rf"^  {line}", done.stderr, re.MULTILINE) for line in said), done.stderr
    assert re.search(rf"^to talk: \S*sagecraft chat {out}/merge$", done.stdout, re.MULTILINE)
    return out


def test_report_holds_the_whole_ladder(finished: Path) -> None:
    results = json.loads((finished / "report/results.json").read_text())
    assert list(results["models"]) == ["base", "cpt", "sft", "merged"]
    for values in results["models"].values():
        assert 0 <= values["ci95"][0] <= values["accuracy"] <= values["ci95"][1] <= 1
        assert values["perplexity"]["domain"] > 1
        assert values["perplexity"]["general"] > 1
    page = (finished / "report/report.html").read_text()
    assert page.count("<svg") >= 3
    assert "http-equiv" in page


def test_training_learned_the_domain(finished: Path) -> None:
    models = json.loads((finished / "report/results.json").read_text())["models"]
    assert models["cpt"]["perplexity"]["domain"] < 0.9 * models["base"]["perplexity"]["domain"]


def test_nothing_withheld_was_trained_on(finished: Path) -> None:
    withheld = {row["id"] for row in artifact.read_jsonl(finished / "withhold/withheld.jsonl")}
    assert withheld
    trained = {row["id"] for row in artifact.read_jsonl(finished / "pack/items.jsonl")}
    taught = {
        entry["document"]
        for row in artifact.read_jsonl(finished / "synth/conversations.jsonl")
        for entry in row["lineage"]
    }
    assert trained
    assert taught
    assert not withheld & (trained | taught)


def test_a_second_run_skips_everything(finished: Path, base: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("manifest.json")}
    done = sagecraft(*recipe_arguments(base, finished))
    assert done.returncode == 0
    assert done.stderr.count("skipped") == len(before)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("manifest.json")} == before


def test_a_change_runs_only_what_depends_on_it(finished: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "changed"
    shutil.copytree(finished, out)
    done = sagecraft(*recipe_arguments(base, out), "--set", "merge.seed=5")
    assert done.returncode == 0, done.stderr
    ran = [line for line in done.stderr.splitlines() if line.startswith("[") and "skipped" not in line]
    assert [line.split()[1] for line in ran] == ["merge", "evaluate-merged", "report"]


def kill_when(out: Path, arguments: list[str], step: str) -> None:
    """Starts a run and kills it, with SIGKILL, soon after `step` has begun to write."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sagecraft", *arguments],
        cwd=ROOT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        work, deadline = out / f"{step}.work", time.monotonic() + 200
        while not work.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
        if step in STEPS_THAT_TRAIN:  # in the middle: behind the first checkpoint
            while not list(work.glob("scratch/checkpoints/step-*/state.json")) and process.poll() is None:
                time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (out / step).exists(), "killed too late to prove anything"


def test_killed_at_five_stages_it_ends_with_the_same_bytes(finished: Path, base: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    arguments = recipe_arguments(base, out)
    for step in ("ingest", "cpt", "synth", "sft", "evaluate-merged"):
        kill_when(out, arguments, step)
    done = sagecraft(*arguments)
    assert done.returncode == 0, done.stderr
    assert digests(out) == digests(finished)
    assert not list(out.glob("*.work")), "nothing is left lying about"


def one_line(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def damaged(base: Path, folder: Path, data: bytes) -> Path:
    shutil.copytree(base, folder)
    (folder / "model.safetensors").write_bytes(data)
    return folder


def test_damaged_models_are_one_line(base: Path, tmp_path: Path) -> None:
    whole = (base / "model.safetensors").read_bytes()
    questions = str(ROOT / "examples/astronomy/questions.jsonl")
    for name, data in {"empty": b"", "cut": whole[:-9], "header": b"\xff" * 16 + whole[16:]}.items():
        model = damaged(base, tmp_path / name, data)
        done = sagecraft("eval", str(model), "--task", questions, "--out", str(tmp_path / f"out-{name}"))
        one_line(done, 2, "model.safetensors")
        assert not (tmp_path / f"out-{name}").exists()


def test_an_empty_corpus_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    one_line(sagecraft("ingest", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")), 2, "nothing")
    one_line(sagecraft("ingest", str(tmp_path / "missing"), "--out", str(tmp_path / "out")), 2, "missing")
    assert not (tmp_path / "out").exists()


def test_a_recipe_of_a_newer_version_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "new.yaml").write_text("recipe: 99\nname: new\n")
    one_line(sagecraft("run", str(tmp_path / "new.yaml")), 2, "new.yaml", "99", "upgrade")


def test_output_that_cannot_be_written_is_the_machine(finished: Path) -> None:
    corpus = str(ROOT / "examples/astronomy/cosmology")
    # /proc takes no folders, whoever asks: a read-only place on every Linux
    done = sagecraft("ingest", corpus, "--out", "/proc/sagecraft-out")
    assert done.returncode in (1, 2)
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    before = digests(finished)
    done = sagecraft("ingest", corpus, "--out", str(finished / "pack" / "tokens.npy" / "out"))
    assert done.stderr.count("error:") == 1
    assert digests(finished) == before


def test_show_colours_what_is_learned(finished: Path) -> None:
    for step in ("pack", "render", "synth", "withhold", "merge", "evaluate-base"):
        done = sagecraft("show", str(finished / step))
        assert done.returncode == 0, done.stderr
        assert step.split("-")[0] in done.stdout
    value = json.loads(sagecraft("show", str(finished / "pack"), "--json").stdout)
    assert value["kind"] == "tokens"


def test_show_is_read_by_a_person(finished: Path) -> None:
    mix, report = (sagecraft("show", str(finished / step)).stdout for step in ("mix", "report"))
    assert "{" not in mix + report
    assert f"report: {finished / 'mix/report.html'}" in mix
    assert max(len(line) for line in report.splitlines()) < 180


def test_two_processes_train_what_one_does(finished: Path, base: Path, tmp_path: Path) -> None:
    """The launcher, a training stage of the recipe in two processes, and the same command again."""
    out = tmp_path / "two"
    shutil.copytree(finished, out)
    shutil.rmtree(out / "cpt")
    command = ["launch", *recipe_arguments(base, out)[1:], "--only", "cpt", "--processes", "2"]
    done = sagecraft(*command)
    assert done.returncode == 0, done.stderr
    one, two = ([row["loss"] for row in artifact.read_jsonl(run / "cpt/metrics.jsonl")] for run in (finished, out))
    assert len(one) > 3
    assert two == pytest.approx(one, rel=0.02), "bf16 rounds the sums of two processes in another way"
    again = sagecraft(*command)
    assert again.returncode == 0, again.stderr
    assert "skipped" in again.stderr
    refused = sagecraft(*command, "--set", "cpt.learning_rate=1")
    assert refused.returncode == 2
    assert refused.stderr.count("error:") == 1, refused.stderr
    assert "did you mean" in refused.stderr


def test_torchrun_starts_a_recipe(finished: Path, base: Path) -> None:
    """Nothing is left to do: process 0 says so, the other is sent home."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "sagecraft"]
    command += recipe_arguments(base, finished)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, env=environment())
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("] cpt: finished before") == 1
