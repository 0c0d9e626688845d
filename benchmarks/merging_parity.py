"""Values of sagecraft's merges beside mergekit's, with dtype float32 and out_dtype bfloat16 on both sides.

    python benchmarks/merging_parity.py [--json FILE] [--types F32 BF16] [JOB…]

A base and three fine-tunes of 52 M parameters (weights N(0, 0.02), changes N(0, 0.002)) are made in float32 and in bf16. mergekit is a black
box. Where the two have other defaults, ours are set to its own (docs/merging.md says which and why). For each job: the share of equal bf16
values, the largest distance in units in the last place, and why values differ by more than one:

- tied: the magnitude of a delta is exactly the one at the cut, and one of several that are (which are kept is arbitrary);
- threshold: the element lies at a cut or threshold, taken on one side and not on the other;
- cancelled: terms cancel; the values differ by no more than one unit of the largest term.

The methods on a sphere are also held against their formula with inner products in float64. The random methods are compared in
distribution: share kept, factor, share kept in quarters of magnitude, mean and deviation of the merged delta, and a
two-sample Kolmogorov-Smirnov test of merged deltas at different places.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import merging
import numpy as np
from peers import cache_folder, environment

from sagecraft.merging import geometry
from sagecraft.models.tensors import list_tensors

SIZE = "52M"
merging.SIZES[SIZE] = (512, 1536, 6, 8, 4)
WEIGHTS, DENSITIES = [0.5, 0.3, 0.4], [0.6, 0.25, 0.8]
PEER = """
import json, sys
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
for name, config in json.load(open(sys.argv[1])).items():
    run_merge(MergeConfiguration.model_validate(config), f"{sys.argv[2]}/{name}", MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True, random_seed=7))
"""
#: Methods whose sign election mergekit gives to plus when it is tied.
ELECTED = ("ties", "breadcrumbs_ties", "dare_ties", "della", "sce")
#: job → (method, fine-tunes, base, parameters of each model, parameters of all).
JOBS: dict[str, tuple[str, str, bool, dict[str, list[float]], dict[str, Any]]] = {
    "linear": ("linear", "abc", False, {"weight": WEIGHTS}, {}),
    "linear, not normalised": ("linear", "abc", False, {"weight": WEIGHTS}, {"normalize": False}),
    "linear, equal weights": ("linear", "abc", False, {"weight": [1, 1, 1]}, {}),
    "task_arithmetic": ("task_arithmetic", "abc", True, {"weight": WEIGHTS}, {"lambda": 0.9}),
    "task_arithmetic, normalised": ("task_arithmetic", "abc", True, {"weight": WEIGHTS}, {"normalize": True}),
    "ties, density 1": ("ties", "abc", True, {"weight": WEIGHTS}, {}),
    "ties": ("ties", "abc", True, {"weight": WEIGHTS, "density": DENSITIES}, {}),
    "ties, l1": ("ties", "abc", True, {"weight": WEIGHTS, "density": DENSITIES}, {"rescale": True, "normalize": False}),
    "breadcrumbs": ("breadcrumbs", "abc", True, {"weight": WEIGHTS, "density": DENSITIES, "gamma": [0.01, 0.1, 0.05]}, {}),
    "breadcrumbs_ties": ("breadcrumbs_ties", "abc", True, {"weight": WEIGHTS, "density": DENSITIES, "gamma": [0.01, 0.1, 0.05]}, {}),
    "nearswap": ("nearswap", "a", True, {}, {"t": 0.001}),
    "sce": ("sce", "abc", True, {}, {}),
    "sce, select_topk": ("sce", "abc", True, {}, {"select_topk": 0.3}),
    "ram": ("ram", "abc", True, {}, {"epsilon": 0.002}),
    "ramplus_tl": ("ramplus_tl", "abc", True, {}, {"epsilon": 0.002, "r": 0.1, "alpha": 0.2}),
    "passthrough": ("passthrough", "b", False, {"scale": [0.7]}, {}),
    "arcee_fusion": ("arcee_fusion", "a", True, {}, {}),
    "slerp": ("slerp", "a", True, {}, {"t": 0.3}),
    "nuslerp": ("nuslerp", "ab", False, {"weight": [0.7, 0.2]}, {}),
    "nuslerp, deltas": ("nuslerp", "ab", True, {"weight": [0.7, 0.2]}, {}),
    "nuslerp, by rows": ("nuslerp", "ab", True, {"weight": [0.7, 0.2]}, {"nuslerp_flatten": False, "nuslerp_row_wise": True}),
    "multislerp": ("multislerp", "abc", False, {"weight": WEIGHTS}, {}),
    "karcher": ("karcher", "abc", False, {}, {}),
    "model_stock": ("model_stock", "abc", True, {}, {}),
    "model_stock, by rows": ("model_stock", "abc", True, {}, {"filter_wise": True}),
    "dare_linear": ("dare_linear", "a", True, {"weight": [1.0], "density": [0.4]}, {}),
    "dare_ties": ("dare_ties", "abc", True, {"weight": WEIGHTS, "density": DENSITIES}, {}),
    "della_linear": ("della_linear", "a", True, {"weight": [1.0], "density": [0.5], "epsilon": [0.3]}, {}),
}  # fmt: skip
RANDOM = ("dare_linear", "dare_ties", "della_linear")
#: Jobs whose factors follow from inner products: the formula, and whether it takes deltas.
SPHERES: dict[str, Any] = {
    "slerp": lambda g: geometry.slerp(g, (), geometry.Options(t=0.3)),
    "nuslerp": lambda g: geometry.nuslerp(g, (0.7, 0.2), geometry.Options()),
    "multislerp": lambda g: geometry.multislerp(g, tuple(WEIGHTS), geometry.Options()),
    "karcher": lambda g: geometry.karcher(g, (), geometry.Options()),
}


def main() -> None:
    """Makes models, runs both sides, prints a row a job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", nargs="*", default=list(JOBS))
    parser.add_argument("--types", nargs="+", default=["F32", "BF16"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    folder = cache_folder() / "merging-parity"
    python = environment("merging", merging.PEERS)
    result: dict[str, Any] = {}
    for kind in options.types:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            make_models(folder, kind)
            for name in options.jobs:
                result[f"{kind} {name}"] = row = compare(python, folder, name)
                print(f"{kind:5}{name:28}" + "; ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def make_models(folder: Path, kind: str) -> None:
    """base, a, b and c, each one file."""
    shapes = dict(merging.shapes(SIZE))
    for number, name in enumerate(("base", "a", "b", "c")):
        (folder / name).mkdir(parents=True)
        merging.write_texts(folder / name, SIZE)
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        parts, at = [], 0
        for place, (tensor, shape) in enumerate(shapes.items()):
            values = np.random.default_rng([0, place]).normal(0, 0.02, shape).astype(np.float32)
            if number:
                values += np.random.default_rng([number, place]).normal(0, 0.002, shape).astype(np.float32)
            data = values.tobytes() if kind == "F32" else to_bf16(values).tobytes()
            header[tensor] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + len(data)]}
            parts.append(data)
            at += len(data)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        (folder / name / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def read(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors in float32."""
    for name, record in sorted(list_tensors(folder).items()):
        kind = "<f4" if record.dtype == "F32" else "<u2"
        raw = np.fromfile(record.file, kind, record.num_elements, offset=record.start)
        yield name, raw if record.dtype == "F32" else (raw.astype(np.uint32) << 16).view(np.float32)


def config_of(folder: Path, name: str) -> dict[str, Any]:
    """The configuration of a job as the peer gets it."""
    method, tunes, base, own, common = JOBS[name]
    models = [
        {"model": str(folder / tune), "parameters": {key: values[n] for key, values in own.items()}}
        for n, tune in enumerate(tunes)
    ]
    out = "float32" if name in RANDOM else "bfloat16"
    value = {"merge_method": method, "models": models, "parameters": dict(common), "dtype": "float32", "out_dtype": out}
    return {**value, "base_model": str(folder / "base")} if base else value


def compare(python: Path, folder: Path, name: str) -> dict[str, Any]:
    """Runs both sides of a job."""
    from sagecraft.merging.config import MergekitConfig
    from sagecraft.merging.job import make_job
    from sagecraft.merging.plan import make_plan
    from sagecraft.merging.stream import default_block, default_threads, write_merged

    config = config_of(folder, name)
    jobs, theirs, ours = folder / "jobs.json", folder / "theirs", folder / "ours"
    jobs.write_text(json.dumps({"out": config}), encoding="utf-8")
    shutil.rmtree(theirs, ignore_errors=True)
    shutil.rmtree(ours, ignore_errors=True)
    done = subprocess.run([python, "-c", PEER, jobs, theirs], capture_output=True, text=True, check=False)
    if done.returncode:
        return {"the peer fails": done.stderr.strip().splitlines()[-1][:200]}
    common = config["parameters"]
    if common.get("rescale") or name in RANDOM:  # the peer's rescaling keeps the L1 norm
        common["rescale"] = "l1"
    if config["merge_method"] in ELECTED:
        common["sign_ties"] = "positive"
    read_config = MergekitConfig.model_validate(config)
    names = [*(row["model"] for row in config["models"]), *([config["base_model"]] if "base_model" in config else [])]
    job = make_job(read_config, {folder_name: Path(folder_name) for folder_name in names})
    ours.mkdir()
    write_merged(job, make_plan(job, default_block(), default_threads()), ours, lambda _: None)
    pairs = [(key, own, dict(read(theirs / "out"))[key]) for key, own in read(ours)] if name in RANDOM else None
    return distribution(folder, name, pairs) if pairs else values_of(folder, name, ours, theirs / "out")


def values_of(folder: Path, name: str, ours: Path, theirs: Path) -> dict[str, Any]:
    """Equal values, distances, and reasons."""
    _, tunes, base, own, _ = JOBS[name]
    others = dict(read(theirs))
    inputs = {source: dict(read(folder / source)) for source in (*tunes, *(["base"] if base else []))}
    total = differ = far = largest = 0
    reasons = {"tied": 0, "threshold": 0, "cancelled": 0}
    sphere = {"ours": 0, "theirs": 0}
    for key, merged in read(ours):
        peer = others[key]
        ordered = [ordinal(values) for values in (merged, peer)]
        gap = abs(ordered[0] - ordered[1])
        total, differ, largest = total + gap.size, differ + int((gap > 0).sum()), max(largest, int(gap.max(initial=0)))
        at = np.flatnonzero(gap > 1)
        far += len(at)
        tensors = {source: values[key] for source, values in inputs.items()}
        if len(at):
            term = np.max([abs(values[at]) for values in tensors.values()], axis=0)
            cancelled = abs(merged[at] - peer[at]) <= unit(term)
            tied = np.zeros(len(at), dtype=bool)
            for n, density in enumerate(own.get("density", [])):
                sizes = abs(tensors[tunes[n]] - tensors["base"])
                tied |= tied_at(sizes, at, density, own["gamma"][n] if "gamma" in own else 0.0)
            reasons["tied"] += int(tied.sum())
            reasons["cancelled"] += int((cancelled & ~tied).sum())
            reasons["threshold"] += int((~cancelled & ~tied).sum())
        if name in SPHERES:
            exact = to_bf16(on_sphere(name, tensors))
            for side, values in (("ours", merged), ("theirs", peer)):
                sphere[side] += int((to_bf16(values) != exact).sum())
    row: dict[str, Any] = {
        "equal": f"{1 - differ / total:.5%}",
        "differ": f"{differ} of {total}",
        "largest distance": largest,
        "more than one": far,
    }
    row |= {key: value for key, value in reasons.items() if value}
    if name in SPHERES:
        row |= {f"{side} other than with float64 products": f"{count / total:.4%}" for side, count in sphere.items()}
    return row


def ordinal(values: np.ndarray) -> np.ndarray:
    """Numbers of bf16 values in their order, both zeros the same."""
    bits = (values.view(np.uint32) >> 16).astype(np.int32)
    return np.where(bits >= 0x8000, 0x8000 - bits, bits)


def unit(values: np.ndarray) -> np.ndarray:
    """The last place of bf16 at these magnitudes."""
    return np.ldexp(1.0, np.frexp(np.maximum(values, 1e-38))[1] - 8)


def tied_at(sizes: np.ndarray, at: np.ndarray, density: float, gamma: float) -> np.ndarray:
    """Which elements' magnitude is one of several that equal a cut."""
    kept, top = int(density * sizes.size + 1e-6), int(gamma * sizes.size + 1e-6)
    top = min(top, sizes.size - kept)
    found = np.zeros(len(at), dtype=bool)
    for rank in {top, top + kept} - {0, sizes.size}:
        bound = np.partition(sizes, sizes.size - rank)[sizes.size - rank]
        if (sizes == bound).sum() > 1:
            found |= sizes[at] == bound
    return found


def on_sphere(name: str, tensors: dict[str, np.ndarray]) -> np.ndarray:
    """The sum with factors from float64 inner products."""
    order = [tensors["base"], tensors["a"]] if name == "slerp" else [tensors[k] for k in JOBS[name][1]]
    wide = [values.astype(np.float64) for values in order]
    factors = SPHERES[name]([[float(a @ b) for b in wide] for a in wide])
    return sum(factor * values for factor, values in zip(factors, wide, strict=True)).astype(np.float32)


def distribution(folder: Path, name: str, pairs: list[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Figures of merged deltas on both sides, ours first."""
    from scipy.stats import ks_2samp

    base = dict(read(folder / "base"))
    deltas = [np.concatenate([values[1 + side] - base[values[0]] for values in pairs]) for side in range(2)]
    row: dict[str, Any] = {"kept": [f"{np.mean(delta != 0):.4%}" for delta in deltas]}
    if len(JOBS[name][1]) == 1:
        tune = dict(read(folder / "a"))
        own = np.concatenate([tune[key] - base[key] for key, _, _ in pairs])
        edges = np.quantile(abs(own[:: max(1, own.size >> 20)]), (0.25, 0.5, 0.75))
        quarter = np.searchsorted(edges, abs(own))
        moved = [(delta != 0) & (own != 0) for delta in deltas]
        row["factor"] = [f"{np.median(delta[m] / own[m]):.4f}" for delta, m in zip(deltas, moved, strict=True)]
        row["kept in quarters"] = [" ".join(f"{(d != 0)[quarter == q].mean():.3f}" for q in range(4)) for d in deltas]
    row["mean"] = [f"{delta.mean(dtype=np.float64):.3g}" for delta in deltas]
    row["deviation"] = [f"{delta.std(dtype=np.float64):.6g}" for delta in deltas]
    # at different places, so that the two samples are independent
    test = ks_2samp(deltas[0][::53], deltas[1][26::53])
    row["Kolmogorov-Smirnov"] = f"D {test.statistic:.5f}, p {test.pvalue:.3f}"
    return row


if __name__ == "__main__":
    sys.exit(main())
