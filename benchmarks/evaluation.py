"""Scoring: sagecraft beside lm-evaluation-harness, on the same questions and the same model, in one run.

    python benchmarks/evaluation.py TASK [--items N] [--model FOLDER] [--json FILE] [--dtypes float32,bfloat16] [--batches 1,8,32]

TASK is a file of multiple-choice questions that `sagecraft eval` reads; the model is SmolLM2-135M out of sagecraft's own `model fetch`. Both sides get the
same prompts, and are timed from the questions to their scores, after loading; the harness is asked with each batch size on a tenth of the
questions first, and the fastest goes on. Its letters are " A", " B" …, of which each has one token; sagecraft adds the form without a space.

`ratio` is questions a second over the harness's, of the continuation mode in the first type, with the same work on both sides: the likelihoods
of all options. `whole_ratio` has on sagecraft's side the likelihoods of the options without their questions as well, which `sagecraft eval` adds.
A difference of picks is explained where the two options that were picked lie closer than the two sides' log-likelihoods do; each stands under
`differences` with both distances. `max_difference` is the largest difference of log-likelihoods.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from peers import cache_folder, environment

from sagecraft.artifact import write_jsonl
from sagecraft.evaluation import prompts
from sagecraft.evaluation.tasks import choose, read_task

PEERS = ["torch==2.13.0", "transformers==5.24.0", "accelerate==1.15.0", "lm-eval[hf]==0.4.13"]
MODEL = "smollm2-135m-instruct-q4_1"
GOALS = {"continuation": 3.0, "letter": 1.5}


def main() -> None:
    """Runs both sides in both modes, prints the table."""
    options = arguments()
    python = environment("evaluation", PEERS)
    model = options.model or fetched()
    result: dict[str, Any] = {"items": options.items, "modes": {}}
    with tempfile.TemporaryDirectory() as folder:
        questions = write_questions(options.task, options.items, Path(folder))
        for dtype in options.dtypes.split(","):
            for mode in GOALS:
                row = compare(python, model, questions, mode, dtype, options.batches.split(","), Path(folder))
                result["modes"][f"{mode} {dtype}"] = row
                print(show(mode, dtype, row), flush=True)
    first = result["modes"][f"continuation {options.dtypes.split(',')[0]}"]
    result["ratio"] = first["ratio"]
    print(f"ratio {first['ratio']:.2f}")
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", type=Path, help="multiple-choice questions")
    parser.add_argument("--items", type=int, default=1000, help="so many of them, drawn by key")
    parser.add_argument("--model", type=Path, help="a model folder instead of SmolLM2")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--batches", default="1,8,32,64", help="batch sizes that the harness is tried with")
    return parser.parse_args()


def fetched() -> Path:
    """The model, fetched once."""
    folder = cache_folder() / MODEL
    if not folder.is_dir():
        subprocess.run([sys.executable, "-m", "sagecraft", "model", "fetch", MODEL, "--out", str(folder)], check=True)
    return folder


def write_questions(task: Path, count: int, folder: Path) -> Path:
    """Items with the prompts of both modes, one a line, as both sides read them."""
    items = choose(read_task(task).items, count, 0)
    rows = [
        {
            "id": item.id,
            "question": item.question,
            "choices": list(item.options),
            "answer": item.answer,
            "letters": list(item.letters),
            "continuation": prompts.continuation_prompt(item),
            "letter": prompts.letter_prompt(item),
        }
        for item in items
    ]
    write_jsonl(folder / "questions.jsonl", rows)
    return folder / "questions.jsonl"


def compare(
    python: Path, model: Path, questions: Path, mode: str, dtype: str, batches: list[str], folder: Path
) -> dict[str, Any]:
    """Both sides on one mode and type."""
    rows = questions.read_text(encoding="utf-8").splitlines(keepends=True)
    some = folder / "some.jsonl"
    some.write_text("".join(rows[: max(1, len(rows) // 10)]), encoding="utf-8")
    peer = Path(__file__).with_name("evaluation_peer.py")
    # the first size pays for what is set up at the first use, so one that is not looked at comes first
    tried = run([str(python), str(peer)], model, some, mode, dtype, ",".join([batches[-1], *batches]))["seconds"]
    best = min(tried, key=lambda size: tried[size])
    theirs = run([str(python), str(peer)], model, questions, mode, dtype, best)
    worker = Path(__file__).with_name("evaluation_worker.py")
    ours = run([sys.executable, str(worker)], model, questions, mode, dtype)
    seconds = theirs["seconds"][best]
    return {
        "tried": tried,
        "batch": best,
        "peer_seconds": seconds,
        "peer_peak_mb": theirs["peak_mb"],
        "seconds": ours["seconds"],
        "peak_mb": ours["peak_mb"],
        "ratio": seconds / ours["seconds"],
        "whole_seconds": ours["whole_seconds"],
        "whole_ratio": seconds / ours["whole_seconds"],
        **agreement([json.loads(row) for row in rows], ours["scores"], theirs["scores"], mode),
    }


def run(command: list[str], model: Path, questions: Path, mode: str, dtype: str, *batches: str) -> dict[str, Any]:
    """One side in a process of its own."""
    quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    arguments = [str(model), str(questions), mode, dtype, *batches]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False, env=quiet)
    if done.returncode:
        raise SystemExit(f"{command[-1]} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def agreement(
    rows: list[dict[str, Any]], ours: list[list[float]], theirs: list[list[float]], mode: str
) -> dict[str, Any]:
    """How far log-likelihoods and picks agree; a pick of the continuation mode is by the sum per character."""
    largest = max(
        abs(a - b) for left, right in zip(ours, theirs, strict=True) for a, b in zip(left, right, strict=True)
    )
    accuracies, differences = [0, 0], []
    for row, left, right in zip(rows, ours, theirs, strict=True):
        lengths = [len(option) if mode == "continuation" else 1 for option in row["choices"]]
        picks = []
        for number, side in enumerate((left, right)):
            values = [value / length for value, length in zip(side, lengths, strict=True)]
            picks.append(values.index(max(values)))
            accuracies[number] += picks[-1] == row["answer"]
        if picks[0] == picks[1]:
            continue
        gap = abs(right[picks[0]] / lengths[picks[0]] - right[picks[1]] / lengths[picks[1]])
        apart = sum(abs(left[pick] - right[pick]) / lengths[pick] for pick in picks)
        differences.append({"id": row["id"], "picks": picks, "gap": gap, "apart": apart, "explained": gap <= apart})
    return {
        "same_picks": 1 - len(differences) / len(rows),
        "explained": sum(entry["explained"] for entry in differences),
        "differing": len(differences),
        "differences": differences,
        "max_difference": largest,
        "accuracy": accuracies[0] / len(rows),
        "peer_accuracy": accuracies[1] / len(rows),
    }


def show(mode: str, dtype: str, row: dict[str, Any]) -> str:
    """A line."""
    goal = GOALS[mode]
    whole = (
        f" ({row['whole_ratio']:.2f} with options alone, {row['whole_seconds']:.1f} s)"
        if mode == "continuation"
        else ""
    )
    return (
        f"{mode} {dtype}: lm-eval {row['peer_seconds']:.1f} s (batch {row['batch']}, {row['peer_peak_mb']:.0f} MB), sagecraft "
        f"{row['seconds']:.1f} s ({row['peak_mb']:.0f} MB): {row['ratio']:.2f} times as fast{whole} (goal {goal:g}); same picks "
        f"{100 * row['same_picks']:.2f} %, {row['explained']} of {row['differing']} differences explained, log-likelihoods within "
        f"{row['max_difference']:.2g}; accuracy {row['accuracy']:.3f} and {row['peer_accuracy']:.3f}"
    )


if __name__ == "__main__":
    main()
