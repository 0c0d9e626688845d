"""What a run says at its end: what each step did, the scores, and where things are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagecraft import artifact, console
from sagecraft.pipeline import Step

#: Models of the ladder, best to talk to last.
_LADDER = ("base", "cpt", "sft", "merged")


def summarise(journal: Sequence[tuple[Step, str, float]], out: Path) -> dict[str, Any]:
    """The result of a run as plain values; seconds of a skipped step are those of the run that made it."""
    steps = []
    for step, status, seconds in journal:
        spent = seconds if status == "ran" else artifact.seconds(out / step.name)
        steps.append({"step": step.name, "status": status, "seconds": spent, "path": str(out / step.name)})
    results = out / "report" / "results.json"
    reported = any(step.name == "report" for step, _, _ in journal) and results.is_file()
    models = artifact.read_json(results).get("models", {}) if reported else {}
    folders = {"base": "fetch", "cpt": "cpt", "sft": "sft", "merged": "merge"}
    made = [out / folders[name] for name in _LADDER if (out / folders[name] / "config.json").is_file()]
    return {
        "out": str(out),
        "steps": steps,
        "models": models,
        "report": str(out / "report" / "report.html") if reported else None,
        "chat": f"sagecraft chat {made[-1]}" if made else None,
    }


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
    if seconds is None:
        return "?"
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
