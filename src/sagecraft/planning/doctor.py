"""What this machine has, and what is missing for which stage."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from sagecraft import console

#: Part → (the modules it needs, the stages that need it).
_PARTS = {
    "corpus": (("lxml",), "ingest"),
    "train": (("torch", "transformers", "tokenizers", "safetensors"), "pack, cpt, render, sft, merge, evaluate, chat"),
    "gguf files": (("gguf", "accelerate"), "fetch of quantised models, publish --gguf"),
    "hub": (("huggingface_hub",), "fetch from the hub, publish --push"),
    "eval": (("scipy", "matplotlib", "httpx"), "report, compare, endpoints"),
    "serve": (("fastapi", "uvicorn"), "serve"),
    "llama.cpp": (("llama_cpp",), "nothing yet"),
}
_SIZE = 2048
_REPEATS = 5
_FLAGS = ("amx_bf16", "amx_tile", "avx512_bf16", "avx512f", "avx2")


def doctor() -> dict[str, Any]:
    """Examines the machine; takes a few seconds, most of them for the matrix rates.

    Returns:
        cores, memory in GiB, free disk in GiB, versions, matrix rates in TFLOP/s, CPU flags, GPUs, and for each optional
        part which modules are missing and which stages need it.
    """
    parts = {
        name: {"missing": [m for m in modules if importlib.util.find_spec(m) is None], "needed_for": stages}
        for name, (modules, stages) in _PARTS.items()
    }
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": memory_gib(),
        "disk_free_gib": round(shutil.disk_usage(Path()).free / 2**30, 1),
        "cpu_flags": _flags(),
        "parts": parts,
    }
    if not parts["train"]["missing"]:
        report |= _torch_facts()
    return report


def memory_gib() -> float | None:
    """Memory of this machine in GiB, where the system tells."""
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)


def _flags() -> list[str]:
    """Instructions that decide how fast matrices are multiplied, where the system tells."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return []
    words = set(path.read_text(encoding="utf-8", errors="replace").split())
    return [flag for flag in _FLAGS if flag in words]


def _torch_facts() -> dict[str, Any]:
    import torch

    return {
        "torch": torch.__version__,
        "torch_threads": torch.get_num_threads(),
        "matrix_tflops": {name: matrix_rate(name) for name in ("float32", "bfloat16")},
        "gpus": [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())],
    }


def matrix_rate(dtype: str) -> float:
    """TFLOP/s of a 2048³ product on the CPU: the median of five, after one to warm up."""
    import torch

    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(_SIZE, _SIZE, generator=generator).to(getattr(torch, dtype))
    times = []
    for _ in range(_REPEATS + 1):
        began = time.perf_counter()
        torch.mm(matrix, matrix)
        times.append(time.perf_counter() - began)
    return round(2 * _SIZE**3 / statistics.median(times[1:]) / 1e12, 3)


def print_doctor(report: dict[str, Any]) -> None:
    """Prints what `doctor` found."""
    rates = report.get("matrix_tflops", {})
    rows: list[list[object]] = [
        ["Python", report["python"]],
        ["cores", report["cores"]],
        ["memory", f"{report['memory_gib']} GiB"],
        ["disk, free here", f"{report['disk_free_gib']} GiB"],
        ["CPU instructions", ", ".join(report["cpu_flags"]) or "unknown"],
        ["GPU", ", ".join(report.get("gpus", [])) or "none"],
        ["torch", f"{report['torch']}, {report['torch_threads']} threads" if "torch" in report else "missing"],
    ]
    rows += [[f"matrix product, {name}", f"{rate} TFLOP/s"] for name, rate in rates.items()]
    console.table("this machine", ["", ""], rows)
    states = [
        [name, "there" if not part["missing"] else f"missing: {', '.join(part['missing'])}", part["needed_for"]]
        for name, part in report["parts"].items()
    ]
    console.table("\noptional parts", ["part", "", "needed for"], states)
    if any(part["missing"] for name, part in report["parts"].items() if name != "llama.cpp"):
        console.out.print('\nto install all of them: pip install -c constraints.txt -e ".[all]"', markup=False)
