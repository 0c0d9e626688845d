"""What a run says at its end: what each step did, the scores, and where things are."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagecraft import artifact, console
from sagecraft.steps import Step


def summarise(recipe: Sequence[Step], journal: Sequence[tuple[Step, str, float]], out: Path) -> dict[str, Any]:
    """The result of a run as plain values; seconds of a skipped step are those of the run that made it.

    Args:
        recipe: all steps of the recipe, in order: the last one that makes a model makes the best to talk to.
        journal: the steps that were looked at, what became of them, and seconds.
        out: the folder of the run.
    """
    steps = []
    for step, status, seconds in journal:
        spent = seconds if status == "ran" else artifact.seconds(out / step.name)
        steps.append({"step": step.name, "status": status, "seconds": spent, "path": str(out / step.name)})
    results = out / "report" / "results.json"
    reported = any(step.name == "report" for step, _, _ in journal) and results.is_file()
    models = artifact.read_json(results).get("models", {}) if reported else {}
    folders = [out / step.name for step in recipe if step.gives == "model"]
    made = [folder for folder in folders if (folder / "config.json").is_file()]
    return {
        "out": str(out),
        "steps": steps,
        "models": models,
        "report": str(out / "report" / "report.html") if reported else None,
        "chat": shlex.join([_program(), "chat", str(made[-1])]) if made else None,
    }


def _program() -> str:
    """How this program is called from here: by its name if the shell finds it, else by its path."""
    beside, found = Path(sys.executable).with_name("sagecraft"), shutil.which("sagecraft")
    if not beside.is_file() or (found is not None and beside.samefile(found)):
        return "sagecraft"
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def print_summary(result: dict[str, Any]) -> None:
    """The table at the end of a run, the paths, and the next command."""
    rows = [[row["step"], row["status"], _time(row["seconds"]), row["path"]] for row in result["steps"]]
    console.table("steps", ["step", "", "time", "artifact"], rows)
    if result["models"]:
        scores = [[name, *_scores(values)] for name, values in result["models"].items()]
        columns = ["model", "accuracy", "95 % interval", "questions", "perplexity: domain", "general"]
        console.table("\nscores", columns, scores)
    if result["report"]:
        console.out.print(f"\nreport:  {result['report']}", markup=False)
    if result["chat"]:
        console.out.print(f"to talk: {result['chat']}", markup=False)


def _scores(values: dict[str, Any]) -> list[str]:
    low, high = values["ci95"]
    perplexity = values.get("perplexity", {})
    return [
        f"{100 * values['accuracy']:.1f} %",
        f"{100 * low:.1f} to {100 * high:.1f} %",
        str(values.get("n", "")),
        *(f"{perplexity[name]:.2f}" if perplexity.get(name) else "not measured" for name in ("domain", "general")),
    ]


def _time(seconds: float | None) -> str:
    return "?" if seconds is None else console.duration(seconds)
