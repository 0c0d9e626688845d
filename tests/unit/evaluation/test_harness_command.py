"""`eval --harness` and `export` as they are typed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sagecraft import cli
from sagecraft.evaluation import harness


def sagecraft(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["sagecraft", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--harness", "lm-eval", "--mode", "letter"], "--mode: tasks of lm-eval bring their own"),
        (["--harness", "lm-eval", "--shots", "3"], "--shots: tasks of lm-eval bring their own"),
        (["--harness", "lm-eval", "--max-usd", "3"], "--max-usd: tasks of lm-eval bring their own"),
        (["--harness", "lm-eval", "--limit", "0"], "limit"),
        (["--harness", "inspect"], "only lm-eval is run here"),
        (["--limit", "3"], "need --harness lm-eval"),
        (["--include", "x"], "need --harness lm-eval"),
        (["--task", "b.csv"], "need --harness lm-eval"),
    ],
)
def test_options_that_nobody_would_read(
    pico: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    code = sagecraft(monkeypatch, "eval", pico, "--task", "a", "--out", tmp_path / "out", *options)
    shown = capfd.readouterr().err
    assert code == 2
    assert said in shown
    assert shown.count("\n") == 1


def test_what_reaches_the_harness(pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr(harness, "run", lambda *given: found.extend(given) or sys.exit(0))
    options = ["--harness", "lm-eval", "--limit", 7, "--chat-template", "--seed", 3, "--device-usd-per-hour", 2]
    tasks = ["--task", "IFEval", "--task", "MuSR", "--include", tmp_path]
    assert sagecraft(monkeypatch, "eval", pico, *tasks, *options, "--out", tmp_path / "out") == 0
    config, inputs, out = found
    wanted = {"limit": 7, "chat_template": True, "seed": 3, "device_usd_per_hour": 2.0}
    assert config == harness.HarnessConfig(tasks=("IFEval", "MuSR"), **wanted)
    assert inputs == {"model": pico, "include": tmp_path}
    assert out == tmp_path / "out"


def test_export_as_it_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [{"Frage": f"Frage {n}?", "choices": ["ja", "nein"], "answer": n % 2} for n in range(6)]
    for name in ("test", "dev"):
        text = "".join(json.dumps({**row, "Frage": f"{name} {row['Frage']}"}) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    options = ["--to", "inspect", "--column", "question=Frage", "--shots", 1, "--max-items", 2, "--max-tokens", 50]
    assert sagecraft(monkeypatch, "export", tmp_path / "test.jsonl", *options, "--json", "--out", tmp_path / "out") == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["kind"], told["stats"]["n"], told["stats"]["shots"]["file"]) == ("export", 2, "dev.jsonl")
    data = json.loads((tmp_path / "out" / "items.json").read_text(encoding="utf-8"))
    assert data["max_tokens"] == 50
    assert [turn["role"] for turn in data["items"][0]["input"]] == ["user", "assistant", "user"]
    assert sagecraft(monkeypatch, "export", tmp_path / "test.jsonl", "--to", "helm", "--out", tmp_path / "x") == 2
    assert "to: input should be 'lm-eval' or 'inspect'" in capfd.readouterr().err
