"""Merging: sagecraft beside mergekit, on the same checkpoints, in one run.

    python benchmarks/merging.py [--json FILE] [--small] [--repeats N] [--scaling] [--plot FILE] [METHOD…]

A base and three fine-tunes with the shapes of a 1.1 B Llama (random weights, bf16, shards of 1 GB) are made in the cache folder and deleted
at the end; `--small` takes 0.1 B. Both sides read and write files; every input is read once beforehand, so that caches are warm for
both. mergekit gets the fastest of its options that concern a CPU (`OPTIONS`), tried at the size measured with `linear`, which
does the least arithmetic, so that how files are read and written counts most.

Three times of sagecraft: `weights` is what the peer's command does (plan, merge, tokenizer, configuration), `command` is the whole
`sagecraft merge`, which besides hashes every input and output for the manifest and runs the result beside transformers (measured for the
first method only), and `copy` is the limit: reading all inputs and writing the output once. Peak memory is the largest resident set of the side's process, started by a
small one, since what a process holds when it starts another counts as the other's. `ratio`
is the least, over the methods, of (mergekit's time over that of `weights`) over the method's goal: 1 and more is the goal met.

`--scaling` measures `weights` and `copy` from 0.1 B to 3 B (a base and one fine-tune) and extrapolates to five checkpoints of 70 B, at the
rate measured and at that of this machine's disk, which it measures too. The models of 3 B take 17 GB of disk, those of 1.1 B 11 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import merging_scaling as scaling
import numpy as np
import yaml
from peers import cache_folder, environment

from sagecraft.models.tensors import plan_shards, write_index

#: mergekit and what it needs, without what only a GPU or a dialogue with the hub needs.
PEERS = ["torch==2.13.0", "mergekit==0.1.5"]
SHARD = 1_000_000_000
#: hidden size, inner size, layers, heads, key-value heads.
SIZES = {
    "0.1B": (768, 2048, 8, 12, 4),
    "0.4B": (1024, 2816, 24, 16, 4),
    "1.1B": (2048, 5632, 22, 32, 4),
    "3B": (3072, 8192, 26, 24, 8),
}
VOCABULARY = 32_000
WEIGHTS, DENSITIES = (0.5, 0.3, 0.4), (0.6, 0.25, 0.8)
#: Times faster than mergekit; and of the first, the share of its memory.
GOALS = {"dare_ties": 15.0, "linear": 5.0, "slerp": 5.0, "ties": 5.0}
MEMORY_GOAL = 0.25
#: The peer's options that may speed up a CPU; it has no others.
OPTIONS: list[list[str]] = [[], ["--lazy-unpickle"], ["--async-write"], ["--lazy-unpickle", "-j", "2"]]


def main() -> None:
    """Makes models, runs both sides, prints the table."""
    options = arguments()
    folder = cache_folder() / "merging-models"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        result = run(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.plot and "scaling" in result:
        scaling.draw(result["scaling"], options.plot)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", default=list(GOALS), help=f"of {', '.join(GOALS)}")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--small", action="store_true", help="0.1 B parameters instead of 1.1 B")
    parser.add_argument("--repeats", type=int, default=3, help="runs of sagecraft and of the copy; mergekit runs once")
    parser.add_argument("--scaling", action="store_true", help="memory and time over the size of the model")
    parser.add_argument("--plot", type=Path, help="draw the scaling here, as SVG or PNG")
    parser.add_argument("--no-peer", action="store_true", help="sagecraft and the copy only")
    return parser.parse_args()


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All figures."""
    size = "0.1B" if options.small else "1.1B"
    result: dict[str, Any] = {"size": size, "cores": len(os.sched_getaffinity(0)), "methods": {}}
    python = None if options.no_peer else environment("merging", PEERS)
    best: list[str] = []
    make_family(folder / size, size, 3)
    if python is not None:
        best, result["peer_options"] = choose_options(python, folder, size)
    for method in options.methods:
        config = write_config(folder, method, folder / size)
        row: dict[str, Any] = {}
        for side in ("copy", "weights"):
            row[side] = median([run_side(side, config, folder / "out") for _ in range(options.repeats)])
        if method == options.methods[0]:  # hashes and check cost the same whatever the method
            row["command"] = run_side("command", config, folder / "out")
        if python is not None:
            row["mergekit"] = run_side("mergekit", config, folder / "out", [str(python), *best])
            row["ratio"] = row["mergekit"]["seconds"] / row["weights"]["seconds"]
            if "command" in row:
                row["command_ratio"] = row["mergekit"]["seconds"] / row["command"]["seconds"]
            row["memory"] = row["weights"]["peak_mb"] / row["mergekit"]["peak_mb"]
        row["over_copy"] = row["weights"]["seconds"] / row["copy"]["seconds"]
        result["methods"][method] = row
        print(method, json.dumps(row), file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    if options.scaling:
        result["scaling"] = scaling.measure(folder)
    if python is not None:
        result["ratio"] = min(row["ratio"] / GOALS[name] for name, row in result["methods"].items())
        memory = result["methods"].get("dare_ties", {}).get("memory")
        result["met"] = {
            **{name: row["ratio"] >= GOALS[name] for name, row in result["methods"].items()},
            **({"memory": memory <= MEMORY_GOAL} if memory else {}),
        }
    return result


def shapes(size: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """The tensors of a Llama."""
    hidden, inner, layers, heads, groups = SIZES[size]
    narrow = hidden // heads * groups
    yield "lm_head.weight", (VOCABULARY, hidden)
    yield "model.embed_tokens.weight", (VOCABULARY, hidden)
    for layer in range(layers):
        for name, shape in {
            "input_layernorm": (hidden,),
            "mlp.down_proj": (hidden, inner),
            "mlp.gate_proj": (inner, hidden),
            "mlp.up_proj": (inner, hidden),
            "post_attention_layernorm": (hidden,),
            "self_attn.k_proj": (narrow, hidden),
            "self_attn.o_proj": (hidden, hidden),
            "self_attn.q_proj": (hidden, hidden),
            "self_attn.v_proj": (narrow, hidden),
        }.items():
            yield f"model.layers.{layer}.{name}.weight", shape
    yield "model.norm.weight", (hidden,)


def make_family(root: Path, size: str, num_tunes: int) -> None:
    """A base and fine-tunes: noise of 0.02 and changes of 0.002, from a pool of normal draws that is read from many places."""
    if root.is_dir():
        return
    rng = np.random.default_rng(0)
    pool = rng.standard_normal(1 << 22, dtype=np.float32)
    sizes = dict(shapes(size))
    for model in range(num_tunes + 1):
        folder = root / ("base" if model == 0 else f"tune{model}")
        folder.mkdir(parents=True)
        write_texts(folder, size)
        shards = plan_shards({name: 2 * int(np.prod(shape)) for name, shape in sizes.items()}, SHARD)
        for file, names in shards.items():
            write_shard(folder / file, {name: sizes[name] for name in names}, pool, model)
        write_index(folder, shards, sum(2 * int(np.prod(shape)) for shape in sizes.values()))


def write_shard(path: Path, tensors: dict[str, tuple[int, ...]], pool: np.ndarray, model: int) -> None:
    """One file in bf16, tensor by tensor."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, shape in tensors.items():
        end = at + 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors.items():
            count, key = int(np.prod(shape)), sum(name.encode())
            for start in range(0, count, 1 << 21):
                part = min(1 << 21, count - start)
                place = (key * 7919 + start * 31) % (1 << 21)
                values = pool[place : place + part] * np.float32(0.02)
                if model:
                    other = (place + model * 262_147 + 13) % (1 << 21)
                    values = values + pool[other : other + part] * np.float32(0.002)
                file.write(((values.view(np.uint32) + np.uint32(0x8000)) >> np.uint32(16)).astype("<u2").tobytes())


def write_texts(folder: Path, size: str) -> None:
    """Configuration and a tokenizer of bytes and numbered words."""
    hidden, inner, layers, heads, groups = SIZES[size]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "dtype": "bfloat16",
    }
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<s>", *letters, *(f"<{n}>" for n in range(VOCABULARY - len(letters) - 1))]
    tokenizer = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=[]))
    tokenizer.add_special_tokens(["<s>"])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "<s>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def write_config(folder: Path, method: str, family: Path, num_tunes: int = 3) -> Path:
    """The same configuration for both sides; computation in bf16 is the peer's fast way, and float32 is ours."""
    models = []
    for number in range(1 if method == "slerp" else num_tunes):
        parameters: dict[str, float] = {}
        if method != "slerp":
            parameters["weight"] = WEIGHTS[number]
        if method in ("dare_ties", "ties"):
            parameters["density"] = DENSITIES[number]
        models.append({"model": str(family / f"tune{number + 1}"), "parameters": parameters})
    value: dict[str, Any] = {"merge_method": method, "models": models, "dtype": "bfloat16"}
    if method == "linear":
        models.insert(0, {"model": str(family / "base"), "parameters": {"weight": 0.2}})
    else:
        value["base_model"] = str(family / "base")
    if method == "slerp":
        value["parameters"] = {"t": 0.3}
    path = folder / f"{method}-{family.name}.yml"
    path.write_text(yaml.safe_dump(value), encoding="utf-8")
    return path


#: Starts a command and measures it. It is small: the largest resident set of a process counts that of its parent at the start.
LAUNCHER = """
import json, os, sys, time
started = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)])
_, status, usage = os.wait4(process, 0)
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss * 1024 / 1e6}))
sys.exit(os.waitstatus_to_exitcode(status) and 1)
"""


def run_side(side: str, config: Path, out: Path, peer: list[str] | None = None) -> dict[str, float]:
    """Seconds by the clock and the largest resident set of one merge, its inputs in the page cache; the output is deleted."""
    shutil.rmtree(out, ignore_errors=True)
    os.sync()  # what earlier runs wrote is not written during this one
    warm(config)
    if peer is not None:
        command = [str(Path(peer[0]).with_name("mergekit-yaml")), str(config), str(out), "--quiet", *peer[1:]]
    elif side == "command":
        command = [sys.executable, "-m", "sagecraft", "merge", str(config), str(out)]
    else:
        command = [sys.executable, str(Path(__file__).with_name("merging_worker.py")), side, str(config), str(out)]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, *command], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-2000:]}")
    shutil.rmtree(out, ignore_errors=True)
    return json.loads(done.stdout)


def warm(config: Path) -> None:
    """Reads every input once."""
    value = yaml.safe_load(config.read_text(encoding="utf-8"))
    names = [row["model"] for row in value["models"]] + ([value["base_model"]] if "base_model" in value else [])
    for name in names:
        for file in Path(name).glob("*.safetensors"):
            with file.open("rb", buffering=0) as stream:
                while stream.read(1 << 24):
                    pass


def median(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Median times, the largest memory, and all times."""
    return {
        "seconds": statistics.median(run["seconds"] for run in runs),
        "cpu_seconds": statistics.median(run["cpu_seconds"] for run in runs),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "all_seconds": [round(run["seconds"], 2) for run in runs],
    }


def choose_options(python: Path, folder: Path, size: str) -> tuple[list[str], dict[str, float]]:
    """The peer's fastest options for a linear merge; its modules are compiled and in the page cache."""
    config = write_config(folder, "linear", folder / size)
    subprocess.run([Path(python).with_name("mergekit-yaml"), "--help"], capture_output=True, check=True)
    times = {
        " ".join(row): run_side("mergekit", config, folder / "out", [str(python), *row])["seconds"] for row in OPTIONS
    }
    best = min(OPTIONS, key=lambda row: times[" ".join(row)])
    return best, times


def show(result: dict[str, Any]) -> None:
    """The table."""
    print(f"{result['size']} parameters, bf16, {result['cores']} cores; mergekit's options, seconds of a linear merge: "
          f"{result.get('peer_options', 'not run')}")  # fmt: skip
    print(
        f"{'method':12}{'mergekit':>18}{'weights':>18}{'command':>18}{'copy':>9}{'ratio':>8}{'command':>9}{'over copy':>11}"
    )
    for name, row in result["methods"].items():
        cells = [f"{row[side]['seconds']:7.1f} s {row[side]['peak_mb']:6.0f} MB" if side in row else "-"
                 for side in ("mergekit", "weights", "command")]  # fmt: skip
        ratios = "".join(
            f"{row[key]:{width}.1f}" if key in row else f"{'-':>{width}}"
            for key, width in (("ratio", 8), ("command_ratio", 9))
        )
        print(f"{name:12}" + "".join(f"{cell:>18}" for cell in cells)
              + f"{row['copy']['seconds']:7.1f} s{ratios}{row['over_copy']:11.2f}")  # fmt: skip
    if "scaling" in result:
        print("\n".join(scaling.lines(result["scaling"])))
    if "ratio" in result:
        print(f"ratio {result['ratio']:.2f} of the goals: " + ", ".join(f"{k} {'met' if v else 'missed'}" for k, v in result["met"].items()))  # fmt: skip


if __name__ == "__main__":
    main()
