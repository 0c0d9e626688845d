"""What a recipe will take, before anything is downloaded or trained: tokens, memory, hours, disk, USD.

FLOP per token have three conventions in use, which differ by a tenth and more, so the plan prints which it uses:
6N + 6·L·d·s (causal attention counted once; N without the input embedding), as in NVIDIA's performance tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft import console
from sagecraft.errors import UserError
from sagecraft.models.config import DecoderConfig, parse_config, read_config, supported
from sagecraft.settings import explain

#: Bytes of English prose with mathematics a token (OpenStax Astronomy under SmolLM2's tokenizer: 4.3).
_BYTES_PER_TOKEN = 4.3
#: Bytes of text in a byte of file: markup holds less, gzip about three times more.
_TEXT_SHARE = {".cnxml": 0.7, ".html": 0.6, ".tex": 0.8, ".gz": 3.0}
_SUFFIXES = {".tex", ".md", ".html", ".htm", ".cnxml", ".txt", ".jsonl", ".gz", ".xml"}
#: float32 master weight, gradient and two moments, and the bf16 copy that computes.
_TRAINING_BYTES_PER_PARAMETER = 16 + 2
#: Bytes of an activation kept for the backward pass, per token, layer and unit of width (bf16, no checkpointing):
#: about 34 in arXiv:2205.05198 for its layer; attention runs without its matrix here.
_ACTIVATION_BYTES = 34
#: A checkpoint holds master weights and two moments; two are kept.
_CHECKPOINT_BYTES_PER_PARAMETER = 2 * 12
_MODEL_BYTES_PER_PARAMETER = 4


class ClusterConfig(BaseModel):
    """A machine or a part of one.

    Attributes:
        name: what it is called.
        devices: how many accelerators (or 1 for a CPU).
        memory_gib: memory of one device; null measures this machine's.
        peak_tflops: dense bf16 rate of one device; null measures this machine's 2048³ product.
        mfu: share of the peak that training reaches.
        usd_per_device_hour: price; null is unknown and printed so.
        source: where the figures come from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    devices: int = Field(default=1, ge=1)
    memory_gib: float | None = Field(default=None, gt=0)
    peak_tflops: float | None = Field(default=None, gt=0)
    mfu: float = Field(default=0.35, gt=0, le=1)
    usd_per_device_hour: float | None = Field(default=None, ge=0)
    source: str = ""


def read_cluster(path: Path | None) -> ClusterConfig:
    """A cluster file, or this machine if none is named; what is null is measured."""
    value: Any = {"name": "this machine", "mfu": 0.4, "usd_per_device_hour": 0.0}
    if path is not None:
        if not path.is_file():
            raise UserError(f"{path}: no such cluster file; see clusters/")
        try:
            value = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    try:
        cluster = ClusterConfig.model_validate(value)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in explain(error, ClusterConfig))) from error
    return _measured(cluster)


def _measured(cluster: ClusterConfig) -> ClusterConfig:
    from sagecraft.planning.doctor import matrix_rate, memory_gib

    changes: dict[str, float | None] = {}
    if cluster.peak_tflops is None:
        changes["peak_tflops"] = matrix_rate("bfloat16")
    if cluster.memory_gib is None:
        changes["memory_gib"] = memory_gib()
    return cluster.model_copy(update=changes)


def flop_causal(num_parameters: int, layers: int, width: int, length: int) -> float:
    """6N + 6·L·d·s per token (NVIDIA Megatron-Bridge): causal attention, N without the input embedding."""
    return 6 * num_parameters + 6 * layers * width * length


def flop_full(num_parameters: int, layers: int, width: int, length: int) -> float:
    """6N + 12·L·d·s per token (torchtitan with N as above, llm-foundry with all parameters): full attention."""
    return 6 * num_parameters + 12 * layers * width * length


def architecture(base: str) -> DecoderConfig | None:
    """The architecture of a base model: from its folder, or from what is known by name; None if it is not known."""
    folder = Path(base).expanduser()
    if folder.is_dir():
        config = read_config(folder)
        return parse_config(config, folder / "config.json") if supported(config) else None
    known = _known().get(base)
    if known is None:
        return None
    width, heads = known["hidden_size"], known["num_heads"]
    return DecoderConfig(
        **known, family="llama", head_size=width // heads, max_positions=8192, norm_eps=1e-5, rope_theta=1e5
    )


@cache
def _known() -> dict[str, dict[str, Any]]:
    text = resources.files("sagecraft.planning").joinpath("known_models.yaml").read_text(encoding="utf-8")
    known: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return known


def count_tokens(path: Path) -> int:
    """An estimate from the sizes of the files below `path`; nothing is parsed."""
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    total = 0.0
    for file in files:
        if file.suffix.lower() not in _SUFFIXES:
            continue
        size = file.stat().st_size
        total += size * _TEXT_SHARE.get(file.suffix.lower(), 1.0)
    return round(total / _BYTES_PER_TOKEN)


def plan_recipe(name: str, base: str, steps: Sequence[Mapping[str, Any]], cluster: ClusterConfig) -> dict[str, Any]:
    """What each step will take.

    Args:
        name: of the recipe.
        base: the base model, as the recipe names it.
        steps: each with `name`, `stage`, `config` and `inputs` (step names or paths).
        cluster: where it is to run.

    Returns:
        Rows a step, totals, the convention of the FLOP count, and what is not known.
    """
    model = architecture(base)
    tokens = _flow(steps)
    lengths = {step["name"]: step["config"]["sequence_length"] for step in steps if "sequence_length" in step["config"]}
    rows = [_row(step, tokens[step["name"]], model, cluster, lengths) for step in steps]
    hours = [row["device_hours"] for row in rows if row["device_hours"] is not None]
    notes = [] if model else [f"{base}: its architecture is unknown until it is fetched, so training is not estimated"]
    most = max((row["memory_gib"] or 0 for row in rows), default=0)
    room = cluster.memory_gib
    if room is not None and most > room:
        notes.append(f"training needs about {most:.1f} GiB on a device, {cluster.name} has {room:g}: it will not fit")
    if cluster.devices > 1:
        notes.append("training over several devices is not part of this version; the hours assume that it scales")
    price = cluster.usd_per_device_hour
    return {
        "recipe": name,
        "cluster": cluster.model_dump(mode="json"),
        "flop_convention": "6N + 6·L·d·s per token, N without the input embedding",
        "steps": rows,
        "device_hours": round(sum(hours), 3),
        "disk_gib": round(sum(row["disk_gib"] or 0 for row in rows), 2),
        "cost_usd": None if price is None else round(sum(hours) * price, 2),
        "notes": notes,
    }


def _flow(steps: Sequence[Mapping[str, Any]]) -> dict[str, int | None]:
    """Tokens that each step handles, from the files onwards."""
    flow: dict[str, int | None] = {}
    for step in steps:
        stage, config, inputs = step["stage"], step["config"], step["inputs"]
        tokens: int | None = None
        if stage == "ingest":
            tokens = sum(
                round(count_tokens(Path(inputs[f"path{n}"])) * _share(source))
                for n, source in enumerate(config["paths"])
                if f"path{n}" in inputs
            )
        elif stage == "withhold":
            tokens = round((flow.get(inputs["documents"]) or 0) * (1 - config["fraction"]))
        elif stage == "pack":
            domain = min(flow.get("withhold") or 0, config["max_domain_tokens"] or 10**15)
            wanted = domain * config["general_share"] / (1 - config["general_share"])
            tokens = round(domain + min(wanted, flow.get("ingest-replay") or 0))
        elif stage == "synth" and config.get("max_pairs"):
            tokens = 150 * config["max_pairs"]  # question, thought and answer take about 150 tokens
        elif stage in ("render", "sft", "cpt"):
            source = {"render": "conversations", "sft": "tokens", "cpt": "tokens"}[stage]
            before = flow.get(inputs[source])
            tokens = None if before is None else round(before * config.get("epochs", 1))
        flow[step["name"]] = tokens
    return flow


def _share(source: object) -> float:
    return source["share"][1] - source["share"][0] if isinstance(source, Mapping) else 1.0


def _row(
    step: Mapping[str, Any],
    tokens: int | None,
    model: DecoderConfig | None,
    cluster: ClusterConfig,
    lengths: Mapping[str, int],
) -> dict[str, Any]:
    row: dict[str, Any] = {"step": step["name"], "tokens": tokens, "memory_gib": None, "device_hours": None}
    row["disk_gib"] = None if tokens is None else round(tokens * 8 / 2**30, 3)
    if model is None or step["stage"] not in ("fetch", "cpt", "sft", "merge"):
        return row
    size = model.num_parameters()
    row["disk_gib"] = round(size * _MODEL_BYTES_PER_PARAMETER / 2**30, 2)
    if step["stage"] in ("cpt", "sft") and tokens is not None:
        length = lengths[step["inputs"]["tokens"]]
        flop = flop_causal(model.num_parameters(embedding=False), model.num_layers, model.hidden_size, length)
        rate = (cluster.peak_tflops or 0) * 1e12 * cluster.mfu
        in_flight = step["config"]["rows_per_pass"] * length
        activations = _ACTIVATION_BYTES * in_flight * model.num_layers * model.hidden_size
        row["memory_gib"] = round((size * _TRAINING_BYTES_PER_PARAMETER / cluster.devices + activations) / 2**30, 4)
        row["device_hours"] = round(tokens * flop / rate / 3600, 3) if rate else None
        row["disk_gib"] += round(size * _CHECKPOINT_BYTES_PER_PARAMETER / 2**30, 2)
    return row


def print_plan(plan: Mapping[str, Any]) -> None:
    """Prints what `plan_recipe` found."""
    cluster = plan["cluster"]

    def cell(value: object, unit: str = "") -> str:
        return "" if value is None else f"{value:,}{unit}"

    rows = [
        [row["step"], cell(row["tokens"]), cell(row["memory_gib"] and round(row["memory_gib"], 2)), cell(row["device_hours"]), cell(row["disk_gib"])]
        for row in plan["steps"]
    ]
    where = f"{cluster['devices']} × {cluster['peak_tflops']:g} TFLOP/s at {100 * cluster['mfu']:.0f} %"
    console.table(
        f"{plan['recipe']} on {cluster['name']} ({where})",
        ["step", "tokens", "memory GiB", "device-hours", "disk GiB"],
        rows,
    )
    price = "unknown" if plan["cost_usd"] is None else f"{plan['cost_usd']:,.2f} USD"
    total = f"training {plan['device_hours']:,} device-hours, {plan['disk_gib']:,} GiB of disk, cost {price}"
    console.out.print(f"\n{total}\nFLOP: {plan['flop_convention']}; tokens are estimated from file sizes", markup=False)
    for note in plan["notes"]:
        console.warn(note)
    console.out.print("the recipe is sound: every key, file and link between stages was checked", markup=False)
