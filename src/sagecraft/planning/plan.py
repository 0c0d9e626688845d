"""The plan: what a recipe will take on a machine, before anything is downloaded or trained.

Estimates, not promises: tokens come from file sizes, FLOP from the architecture, time from a share of the peak that
comparable runs reached. Waiting, failures and repeated runs come on top; a project costs more than its steps.
"""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sagecraft import console
from sagecraft.hardware import machine_cores, machine_memory_gib, matrix_tflops
from sagecraft.models.config import DecoderConfig
from sagecraft.models.flops import CONVENTION, CONVENTIONS
from sagecraft.planning.architecture import find_architecture
from sagecraft.planning.cluster import Cluster, read_cluster
from sagecraft.planning.estimate import ESTIMATES, Estimate, Machine, Made, Result, Situation, train
from sagecraft.planning.published import compare_with_published, published_run
from sagecraft.training.preflight import advice
from sagecraft.training.train import TrainConfig

__all__ = ["Cluster", "plan_recipe", "print_plan", "read_cluster"]

_TRAINING = ("cpt", "sft")
#: Row length where no step says one.
_SEQUENCE_LENGTH = 1024


def plan_recipe(name: str, base: str, steps: Sequence[Mapping[str, Any]], cluster: Cluster) -> dict[str, Any]:
    """Estimates every step of a recipe; reads file sizes and configurations only.

    Args:
        name: the recipe's.
        base: the base model: a known name, a hub name or a local folder.
        steps: in order, each `{"name", "stage", "config", "inputs"}`; an input is a path or the name of a step.
        cluster: the machine.

    Returns:
        Rows, totals, warnings, the convention of the FLOP, and the published run of that name if there is one.
    """
    machine = _machine(cluster)
    model = _base_architecture(base, steps)
    made: dict[str, Made] = {}
    configs = {step["name"]: step["config"] for step in steps}
    rows = []
    for step in steps:
        estimate, made[step["name"]] = _estimate(step, made, configs, model, machine)
        rows.append(_row(step, estimate, cluster))
    run = published_run(name)
    return {
        "recipe": name,
        "base": base,
        "num_parameters": None if model is None else model.num_parameters(),
        "cluster": {**cluster.model_dump(), "memory_gib": machine.memory_gib, "peak_tflops": machine.peak_tflops},
        "convention": f"{CONVENTION}: {CONVENTIONS[CONVENTION][0]}",
        "steps": rows,
        "totals": _totals(rows),
        "warnings": [*_warnings(rows, machine, model, base), *_advice(steps, rows, model, configs)],
        "published": None if run is None else compare_with_published(run),
    }


def _machine(cluster: Cluster) -> Machine:
    memory = machine_memory_gib() if cluster.memory_gib is None else cluster.memory_gib
    peak = matrix_tflops("bfloat16") if cluster.peak_tflops is None else cluster.peak_tflops
    return Machine(cluster, memory, peak)


def _base_architecture(base: str, steps: Sequence[Mapping[str, Any]]) -> DecoderConfig | None:
    """By the folder that the steps were given, if there is one, else by name."""
    for step in steps:
        written = step["inputs"].get("model")
        if written is not None and (Path(written) / "config.json").is_file():
            return find_architecture(written)
    return find_architecture(base)


def _estimate(
    step: Mapping[str, Any],
    made: Mapping[str, Made],
    configs: Mapping[str, Mapping[str, Any]],
    model: DecoderConfig | None,
    machine: Machine,
) -> Result:
    inputs = {name: made.get(value, Path(value)) for name, value in step["inputs"].items()}
    if step["stage"] == "evaluate" and "domain" in inputs:
        domain = made.get(step["inputs"]["domain"], Made())
        inputs["domain"] = dataclasses.replace(domain, tokens=domain.withheld_tokens)
    situation = Situation(step["config"], inputs, model, machine)
    if step["stage"] in _TRAINING:
        source = configs.get(step["inputs"].get("tokens", ""), {})
        return train(situation, int(source.get("sequence_length", _SEQUENCE_LENGTH)))
    if step["stage"] in ESTIMATES:
        return ESTIMATES[step["stage"]](situation)
    return Estimate(), Made()


def _row(step: Mapping[str, Any], estimate: Estimate, cluster: Cluster) -> dict[str, Any]:
    price, hours = cluster.usd_per_device_hour, estimate.device_hours
    return {
        "name": step["name"],
        "stage": step["stage"],
        **dataclasses.asdict(estimate),
        "hours": None if hours is None else hours / estimate.num_devices,
        "usd": None if price is None or hours is None else hours * price,
    }


def _totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def known(key: str) -> list[float]:
        return [row[key] for row in rows if row[key] is not None]

    disk = known("disk_gib")
    usd = known("usd")
    return {
        "memory_gib": max(known("memory_gib"), default=None),
        "device_hours": sum(known("device_hours")),
        "hours": sum(known("hours")),
        "disk_gib": sum(disk),
        "peak_disk_gib": _peak_disk(rows),
        "usd": sum(usd) if usd else None,
    }


def _peak_disk(rows: Sequence[Mapping[str, Any]]) -> float:
    """The most that stands on the disk at once: what was kept so far, and what a step needs while it runs."""
    kept = peak = 0.0
    for row in rows:
        kept += row["disk_gib"] or 0.0
        peak = max(peak, kept + row["scratch_gib"])
    return peak


def _warnings(rows: Sequence[Mapping[str, Any]], machine: Machine, model: DecoderConfig | None, base: str) -> list[str]:
    warnings = []
    if model is None:
        warnings.append(f"{base}: architecture unknown until it is fetched; its steps have no figures")
    for row in rows:
        if row["memory_gib"] is not None and row["memory_gib"] > machine.memory_gib:
            warnings.append(
                f"{row['name']}: needs {row['memory_gib']:,.1f} GiB a device, {machine.cluster.name} has "
                f"{machine.memory_gib:,.1f}; lower rows_per_pass or sequence_length, or take a larger machine"
            )
    warnings += [f"{row['name']}: {row['fault']}" for row in rows if row["fault"]]
    free, load = shutil.disk_usage(Path.cwd()).free / 2**30, os.getloadavg()[0]
    if machine.cluster.is_this_machine and load > 0.5 * machine_cores():
        warnings.append(
            f"this machine is busy (load {load:.1f}): its rate was measured beside other work, so times are too long"
        )
    if machine.cluster.is_this_machine and _peak_disk(rows) > free:
        warnings.append(f"disk: {_peak_disk(rows):,.1f} GiB are needed, {free:,.1f} are free here")
    return warnings


def _advice(
    steps: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    model: DecoderConfig | None,
    configs: Mapping[str, Mapping[str, Any]],
) -> list[str]:
    """What training will say of its settings before it starts."""
    found = []
    for step, row in zip(steps, rows, strict=True):
        if step["stage"] not in _TRAINING or model is None:
            continue
        config = TrainConfig.model_validate(step["config"])
        length = configs.get(step["inputs"].get("tokens", ""), {}).get("sequence_length", _SEQUENCE_LENGTH)
        num_steps = None if row["tokens"] is None else math.ceil(row["tokens"] / length / config.rows_per_step)
        found += advice(
            step["name"],
            config.optimizer.learning_rate,
            config.epochs,
            model.num_parameters(),
            config.lora is not None,
            num_steps,
            config.rows_per_step,
        )
    return found


def print_plan(plan: Mapping[str, Any]) -> None:
    """Shows a plan as a table, with its totals, conventions and warnings."""
    cluster, totals = plan["cluster"], plan["totals"]
    columns = ("step", "tokens", "GiB/device", "device-h", "disk GiB", "USD", "note")
    rows = [
        (
            row["name"],
            _show(row["tokens"]),
            _show(row["memory_gib"]),
            _show(row["device_hours"]),
            _show(row["disk_gib"]),
            _show(row["usd"]),
            row["note"],
        )
        for row in plan["steps"]
    ]
    total = ("total", "", *(_show(totals[key]) for key in ("memory_gib", "device_hours", "disk_gib", "usd")), "")
    console.table(f"{plan['recipe']} on {cluster['name']}", columns, [*rows, total])
    price = cluster["usd_per_device_hour"]
    lines = [
        f"about {console.duration(3600 * totals['hours'])} on {cluster['devices']} device(s), "
        f"{_show(totals['peak_disk_gib'])} GiB of disk at most",
        f"rate: {cluster['peak_tflops']:.3g} TFLOP/s bf16 a device × {cluster['mfu']:.0%} in training; "
        f"FLOP per token {plan['convention']}",
        "price unknown: set usd_per_device_hour in a cluster file"
        if price is None
        else f"price: {price:g} USD a device-hour, {cluster['date'] or 'no date'} ({cluster['source']})",
    ]
    for line in lines:
        console.say(line)
    if plan["published"] is not None:
        console.say(plan["published"]["text"])
        console.say(f"  source: {plan['published']['source']}", style="dim")
    for warning in plan["warnings"]:
        console.warn(warning)


def _show(value: float | None) -> str:
    """Three significant figures, with thousands and millions in words; a dash for what is not known."""
    if value is None:
        return "–"
    for size, suffix in ((1e12, " T"), (1e9, " B"), (1e6, " M")):
        if abs(value) >= size:
            return f"{value / size:,.3g}{suffix}"
    if 0 < abs(value) < 0.005:
        return "<0.01"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
