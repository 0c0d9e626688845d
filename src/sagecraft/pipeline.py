"""A loop over the steps of a recipe: order, skip, resume."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.lock import locked
from sagecraft.steps import STAGES, Ref, Step


def choose(steps: Sequence[Step], only: str | None, start: str | None) -> tuple[set[str], set[str]]:
    """Names of the steps to consider, and of those to run even if they are finished.

    `only` takes a stage (`evaluate`) or one step (`evaluate-sft`); `start` runs that step and all behind it afresh.
    """
    names = [step.name for step in steps]
    for key, wanted in (("--only", only), ("--from", start)):
        if wanted is not None and not any(wanted in (step.name, step.stage) for step in steps):
            raise UserError(f"{key} {wanted}: no such stage in this recipe; its steps are {', '.join(names)}")
    considered = {s.name for s in steps if only is None or only in (s.name, s.stage)}
    forced: set[str] = set()
    if start is not None:
        first = next(n for n, step in enumerate(steps) if start in (step.name, step.stage))
        forced = set(names[first:])
        if not considered & forced:
            raise UserError(f"--only {only} lies before --from {start}: nothing would run; leave one of them out")
    return considered, forced


def run_steps(
    steps: Sequence[Step], out: Path, only: str | None = None, start: str | None = None
) -> list[tuple[Step, str, float]]:
    """Runs what is not finished. Returns each step with what became of it (`ran` or `skipped`) and its seconds."""
    considered, forced = choose(steps, only, start)
    journal = []
    with locked(out / "run.lock", f"{out}: another sagecraft runs here; wait for it or choose another --out"):
        for number, step in enumerate(steps, start=1):
            target = out / step.name
            artifact.settle(target)  # of every step: with --only the others are inputs
            if step.name not in considered:
                continue
            inputs = {name: _locate(ref, out, step) for name, ref in step.inputs.items()}
            label = f"[{number}/{len(steps)}] {step.name}"
            if step.name not in forced and _is_done(step, inputs, target):
                console.say(f"{label}: finished before, nothing it depends on has changed; skipped", style="dim")
                journal.append((step, "skipped", 0.0))
                continue
            console.say(label, style="bold")
            began = time.monotonic()
            manifest = _run(step, inputs, target)
            if manifest.kind == "documents":
                console.say(f"  {_sorted_out(step.stage, manifest.stats)}")
            journal.append((step, "ran", time.monotonic() - began))
    return journal


def _is_done(step: Step, inputs: Mapping[str, Path], target: Path) -> bool:
    if not artifact.is_finished(target, _mark(step, inputs)):
        return False
    # A harvest that lacks what did not arrive asks for it again, and for nothing else.
    return step.stage != "harvest" or not artifact.load(target).stats["num_failed"]


def _run(step: Step, inputs: Mapping[str, Path], target: Path) -> Manifest:
    run: Callable[..., Manifest] = importlib.import_module(STAGES[step.stage][0]).run
    # the two training stages share one function and differ in their name
    extra: dict[str, Any] = {"stage": step.stage} if step.stage in ("cpt", "sft") else {}
    return run(step.config, inputs, target, **extra)


def _sorted_out(stage: str, stats: Mapping[str, Any]) -> str:
    """What a step that sorts documents did, in a line; the others say their own."""
    if stage == "withhold":
        rules = ", ".join(f"{rule} {number:,}" for rule, number in stats["rules"].items() if number)
        return (
            f"{stats['num_training']:,} documents to train on, {stats['num_withheld']:,} withheld ({rules or 'none'})"
        )
    if stage == "decontaminate":
        found = f"leaked questions: {stats['num_items_hit']:,}, in {stats['num_documents_hit']:,} of them; hits.jsonl has both texts"
        return f"{stats['num_documents']:,} documents; {found if stats['num_hits'] else 'no question stands in them'}"
    dropped = ", ".join(f"{reason} {number:,}" for reason, number in stats["dropped"].items())
    kept = f"{stats['num_documents']:,} documents of {stats['num_words']:,} words"
    return f"{kept}; {stats['num_dropped']:,} dropped: {dropped}" if dropped else f"{kept}; none dropped"


def _mark(step: Step, inputs: Mapping[str, Path]) -> str:
    version = importlib.import_module(STAGES[step.stage][0]).VERSION
    digests = {name: artifact.input_digest(path) for name, path in sorted(inputs.items())}
    return artifact.fingerprint(step.stage, version, step.config.model_dump(mode="json"), digests)


def _locate(ref: Ref | Path, out: Path, step: Step) -> Path:
    if isinstance(ref, Path):
        return ref
    folder = out / ref.step
    if not (folder / artifact.MANIFEST).is_file():
        raise UserError(f"{step.name}: needs {folder}, which is not there yet; run the recipe without --only first")
    return folder / ref.inside if ref.inside else folder
