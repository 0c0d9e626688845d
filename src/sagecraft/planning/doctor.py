"""What this machine has, and what is missing for which stage."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft import console
from sagecraft.hardware import machine_cores, machine_memory_gib

#: optional part → (extra that brings it, stages that need it)
PARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lxml": ("corpus", ("ingest of HTML, CNXML and JATS", "harvest of arXiv and of dumps")),
    "pypdfium2": ("corpus", ("ingest of PDF",)),
    "mwparserfromhell": ("corpus", ("harvest of dumps",)),
    "py3langid": ("corpus", ("ingest",)),
    "torch": ("train", ("cpt", "sft", "merge", "evaluate", "chat", "serve", "model fetch")),
    "transformers": ("train", ("model fetch", "families without a decoder of our own")),
    "tokenizers": ("train", ("pack", "render", "evaluate", "chat", "serve")),
    "safetensors": ("train", ("cpt", "sft", "merge")),
    "gguf": ("train", ("model fetch of GGUF models", "publish --gguf")),
    "accelerate": ("train", ("families without a decoder of our own",)),
    "huggingface_hub": ("train", ("model fetch from the hub", "publish --push", "harvest of data sets")),
    "matplotlib": ("eval", ("ingest", "cpt", "sft", "report", "compare")),
    "httpx": ("eval", ("evaluate of an endpoint", "harvest")),
    "lm_eval": ("harness", ("eval --harness lm-eval",)),
    "fastapi": ("serve", ("serve",)),
    "uvicorn": ("serve", ("serve",)),
    "datatrove": ("slurm", ("ingest on Slurm or Ray",)),
    "xllamacpp": ("gguf", ("evaluate, chat and serve of a GGUF file",)),
}
#: Processor flag → what it does for us.
_FLAGS = {
    "avx2": "AVX2",
    "avx512f": "AVX512",
    "avx512_bf16": "AVX512-bf16",
    "amx_bf16": "AMX-bf16",
}


def doctor() -> dict[str, Any]:
    """Examines the machine; takes some five seconds, most of them for two matrix products."""
    parts = _parts()
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": machine_cores(),
        "load": round(os.getloadavg()[0], 2),
        "memory_gib": round(machine_memory_gib(), 2),
        "disk_free_gib": round(shutil.disk_usage(Path.cwd()).free / 2**30, 2),
        "cpu": _processor(),
        "torch": _torch() if parts["torch"]["version"] else None,
        "parts": parts,
        "missing": _missing(parts),
    }
    return report


def _processor() -> dict[str, Any]:
    """Name and the instructions that matter; an unknown system names none."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    fields = dict(line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", "").split())
    return {
        "name": fields.get("model name") or platform.processor() or platform.machine(),
        "instructions": {label: flag in flags for flag, label in _FLAGS.items()} if flags else {},
    }


def _torch() -> dict[str, Any]:
    import torch

    from sagecraft.hardware import matrix_tflops
    from sagecraft.models.kernels.library import available, has_products

    devices = [torch.cuda.get_device_properties(number) for number in range(torch.cuda.device_count())]
    gpus = [{"name": device.name, "memory_gib": round(device.total_memory / 2**30, 1)} for device in devices]
    return {
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "gpus": gpus,
        "kernels": "all" if has_products() else "all but attention" if available() else "none",
        "bf16_tflops": round(matrix_tflops("bfloat16"), 4),
        "fp32_tflops": round(matrix_tflops("float32"), 4),
    }


def _parts() -> dict[str, dict[str, Any]]:
    return {
        name: {"version": _version(name), "extra": extra, "stages": list(stages)}
        for name, (extra, stages) in PARTS.items()
    }


def _version(name: str) -> str | None:
    """Version of an importable package, without importing it; None if it is not there."""
    if importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def how_to_install(part: str) -> str | None:
    """The command that brings an optional part; None if it is none of ours."""
    if part.partition(".")[0] not in PARTS:
        return None
    extra, _ = PARTS[part.partition(".")[0]]
    return f"pip install 'sagecraft[{extra}]'"


def _missing(parts: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry an extra: what is not there, which stages need it, and the command that brings it."""
    missing: dict[str, dict[str, Any]] = {}
    for name, part in parts.items():
        if part["version"] is not None:
            continue
        extra = str(part["extra"])
        entry = missing.setdefault(extra, {"extra": extra, "parts": [], "stages": [], "command": how_to_install(name)})
        entry["parts"].append(name)
        entry["stages"] += [stage for stage in part["stages"] if stage not in entry["stages"]]
    return list(missing.values())


def print_doctor(report: Mapping[str, Any]) -> None:
    """Shows what `doctor` found."""
    cpu, torch = report["cpu"], report["torch"]
    has = [name for name, there in cpu["instructions"].items() if there]
    lacks = [name for name, there in cpu["instructions"].items() if not there]
    rows = [
        ("processor", f"{cpu['name']}, {report['cores']:g} cores, load {report['load']:g}"),
        ("instructions", f"{', '.join(has) or 'unknown'}" + (f"; not {', '.join(lacks)}" if lacks else "")),
        ("memory", f"{report['memory_gib']:,.1f} GiB"),
        ("disk free here", f"{report['disk_free_gib']:,.1f} GiB"),
        ("Python", f"{report['python']} ({sys.executable})"),
    ]
    if torch is not None:
        rate = f"bf16 {torch['bf16_tflops']:.3g}, fp32 {torch['fp32_tflops']:.3g} TFLOP/s (matrix product)"
        rows += [
            ("torch", f"{torch['version']}, {torch['threads']} threads"),
            ("matrix rate", rate),
            ("native kernels", f"{torch['kernels']} (bf16 training on a processor; built with g++)"),
            ("GPU", ", ".join(f"{gpu['name']}, {gpu['memory_gib']:g} GiB" for gpu in torch["gpus"]) or "none"),
        ]
    console.table("this machine", ("what", "found"), rows)
    console.table(
        "optional parts",
        ("part", "version", "extra", "needed for"),
        [
            (name, part["version"] or "missing", part["extra"], ", ".join(part["stages"]))
            for name, part in report["parts"].items()
        ],
    )
    for entry in report["missing"]:
        console.warn(
            f"{', '.join(entry['parts'])} missing, needed for {', '.join(entry['stages'])}: {entry['command']}"
        )
    if not report["missing"]:
        console.say("nothing is missing")
    if report["load"] > 0.5 * report["cores"]:
        console.warn(f"the machine is busy (load {report['load']:g}): the matrix rates are lower bounds")
    elif torch is not None and torch["bf16_tflops"] < torch["fp32_tflops"]:
        console.warn("bf16 is slower than float32 here: set compute_dtype: float32 in cpt and sft")
