"""Exit codes and one-line errors of the entry point itself; the commands are run in tests/e2e."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sagecraft import cli
from sagecraft.errors import MachineError, UserError
from sagecraft.recipe import load_recipe
from sagecraft.steps import Step, plan_steps
from sagecraft.summary import summarise

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("fault", "code", "text"),
    [
        (UserError("a.yaml: wrong"), 2, "error: a.yaml: wrong"),
        (MachineError("no"), 1, "error: no"),
        (KeyboardInterrupt(), 1, "error: stopped; run the same command again to go on"),
        (OSError(errno.ENOSPC, "x", "/d/f"), 1, "error: /d/f: the disk is full"),
        (OSError("8192 requested and 512 written"), 1, "error: the disk is full"),
        (NotADirectoryError(errno.ENOTDIR, "x", "/d/f"), 2, "error: /d/f: a part of this path is a file"),
        (MemoryError(), 1, "error: the machine is out of memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            1,
            "error: the machine is out of memory",
        ),
        (
            ModuleNotFoundError("x", name="fastapi"),
            1,
            "error: fastapi is not installed, and this needs it: pip install",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_is_one_line_and_a_code(
    fault: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails() -> None:
        raise fault

    monkeypatch.setattr("sagecraft.planning.doctor.doctor", fails)
    monkeypatch.setattr(sys, "argv", ["sagecraft", "doctor"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code
    shown = capfd.readouterr()
    assert shown.err.startswith(text)
    assert shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize("fault", [RuntimeError("shapes differ"), ModuleNotFoundError("x", name="sagecraft.lost")])
def test_a_fault_of_ours_keeps_its_traceback(fault: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise fault

    monkeypatch.setattr("sagecraft.planning.doctor.doctor", fails)
    monkeypatch.setattr(sys, "argv", ["sagecraft", "doctor"])
    with pytest.raises(type(fault)):
        cli.main()


@pytest.mark.parametrize(("given", "expected"), [(None, "passive"), ("active", "active")])
def test_waiting_threads_do_not_spin_unless_asked_to(given: str | None, expected: str) -> None:
    code = "import sagecraft, os, sys; assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == expected


def journal(folder: Path, recipe: list[Step], *names: str) -> list[tuple[Step, str, float]]:
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "config.json").write_text("{}")
    return [(step, "ran", 1.0) for step in recipe if step.name in names]


def test_the_model_to_talk_to_is_the_last_that_the_recipe_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    out = tmp_path / "my runs"
    whole = plan_steps(load_recipe(Path("recipes/quickstart.yaml")), Path("recipes"))
    result = summarise(whole, journal(out, whole, "fetch", "cpt", "sft", "merge"), out)
    program, *rest = shlex.split(result["chat"])
    assert rest == ["chat", str(out / "merge")]
    assert program == "sagecraft" or Path(program).is_file()
    short = plan_steps(load_recipe(Path("recipes/quickstart.yaml"), ["merge=null"]), Path("recipes"))
    assert "sft" in summarise(short, [], out)["chat"], "what an older recipe left in the folder is not this one's"
    monkeypatch.setenv("PATH", str(tmp_path))
    program = shlex.split(summarise(whole, [], out)["chat"])[0]
    beside = Path(sys.executable).with_name("sagecraft")
    assert not beside.is_file() or Path(program).samefile(beside)
    assert json.loads(json.dumps(result)) == result
