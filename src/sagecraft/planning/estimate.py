"""What each stage will take: one function a stage, from its settings and what its inputs will hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagecraft.errors import UserError
from sagecraft.models.config import DecoderConfig
from sagecraft.models.flops import flop_per_training_token
from sagecraft.models.memory import GIB, inference_gib, linear_shapes, training_gib
from sagecraft.planning.asked import told, told_of_bench
from sagecraft.planning.cluster import Cluster
from sagecraft.planning.corpus_size import BYTES_PER_TOKEN, num_rows, num_tokens, withheld_shares
from sagecraft.synthesis.mixing import files_of
from sagecraft.training.lora import LoraConfig, choose_layers
from sagecraft.training.parallel import Layout, ParallelConfig, arrange
from sagecraft.training.preflight import CHECKPOINT_BYTES, NUM_CHECKPOINTS

#: Characters a second that one core reads and cleans (LaTeX and CNXML; Markdown is faster).
_READ_BYTES_PER_SECOND = 0.4e6
#: Characters a second in which one core looks for 7,400 questions: 10 M were measured in a textbook, and documents are
#: read and written besides.
_SEARCH_BYTES_PER_SECOND = 5e6
#: Tokens of a question and its answer with template, and of source text for each that the offline teacher finds.
_TOKENS_PER_CONVERSATION = 155
_TOKENS_PER_PAIR = 110
#: Tokens of withheld text behind each question that is made of it: 270 were measured for abstracts, 1,900 for chapters, and of an
#: article come five at most.
_TOKENS_PER_MADE_ITEM = 1_500
#: Tokens of a question with four options, and of the four options' continuations.
_TOKENS_PER_ITEM = 90
#: Of its options, which continuation scores once more without their question: 14 to 41 in three tests of physics, 27 in a benchmark of `bench`.
_TOKENS_OF_OPTIONS = 30
#: Bytes of weights that a merge reads and computes a second: 3 × 0.54 GB took 7.2 s.
_MERGE_BYTES_PER_SECOND = 0.2e9
_DEFAULT_BANDWIDTH = 20e9


@dataclass(frozen=True)
class Made:
    """What a step will have made, as far as later steps need it.

    Attributes:
        tokens: of text; for withhold, of the part to train on.
        withheld_tokens: of the part set aside.
        items: questions.
        paths: sources that were read.
        model: architecture.
    """

    tokens: float | None = None
    withheld_tokens: float | None = None
    items: int | None = None
    paths: tuple[Path, ...] = ()
    model: DecoderConfig | None = None


@dataclass(frozen=True)
class Estimate:
    """What a step takes. None is not known.

    Attributes:
        tokens: processed, repetitions included.
        flop: floating-point operations of models.
        memory_gib: of one device.
        device_hours: of all devices together.
        num_devices: that work at once.
        disk_gib: that stays.
        scratch_gib: needed on top while it runs.
        note: what the reader should know.
        fault: what would go wrong, or go to waste, with these settings.
    """

    tokens: float | None = None
    flop: float | None = None
    memory_gib: float | None = None
    device_hours: float | None = None
    num_devices: int = 1
    disk_gib: float | None = None
    scratch_gib: float = 0.0
    note: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Machine:
    """A cluster with its measured values filled in."""

    cluster: Cluster
    memory_gib: float
    peak_tflops: float

    @property
    def flop_per_second(self) -> float:
        """What training reaches on one device."""
        return self.peak_tflops * 1e12 * self.cluster.mfu

    @property
    def bytes_per_second(self) -> float:
        """Memory bandwidth of one device."""
        known = self.cluster.bandwidth_gb_per_second
        return _DEFAULT_BANDWIDTH if known is None else known * 1e9


@dataclass(frozen=True)
class Situation:
    """A step among the others: its settings, and what its inputs will hold."""

    config: Mapping[str, Any]
    inputs: Mapping[str, Path | Made]
    base: DecoderConfig | None
    machine: Machine

    def made(self, name: str) -> Made:
        """What the step behind an input will have made; nothing if it is a file or not there."""
        value = self.inputs.get(name)
        return value if isinstance(value, Made) else Made()

    def path(self, name: str) -> Path | None:
        """The file or folder of an input; None if a step makes it."""
        value = self.inputs.get(name)
        return value if isinstance(value, Path) else None

    @property
    def model(self) -> DecoderConfig | None:
        """The model it works on."""
        return self.made("model").model or self.base


Result = tuple[Estimate, Made]
_UNKNOWN = "unknown until the base model is fetched"


def fetch(step: Situation) -> Result:
    """Downloads a model; catalogue models are stored as float32."""
    if step.base is None:
        return Estimate(note=_UNKNOWN), Made()
    size = step.base.num_parameters()
    note = f"{size / 1e9:.3g} B parameters"
    memory = (8.0 * size) / GIB + 0.5  # the parity gate holds two copies, or a layer of each where they do not fit
    if memory > step.machine.memory_gib:
        tables = step.base.vocab_size * step.base.hidden_size * (1 if step.base.tied_embeddings else 2)
        memory = 8.0 * (tables + (size - tables) / step.base.num_layers) / GIB + 0.5
    return Estimate(memory_gib=memory, disk_gib=4.0 * size / GIB, note=note), Made(model=step.base)


def harvest(step: Situation) -> Result:  # noqa: ARG001 - the signature of every estimate
    """Servers say what they have when they are asked, and a plan asks nobody."""
    return Estimate(memory_gib=0.5, note="size unknown until it is listed"), Made()


def ingest(step: Situation) -> Result:
    """Reads every source once; a `share` takes its part."""
    paths, tokens = [], 0.0
    for number, entry in enumerate(step.config.get("paths", [])):
        path = step.path(f"path{number}")
        first, last = (entry.get("share") or (0.0, 1.0)) if isinstance(entry, dict) else (0.0, 1.0)
        if path is not None:
            paths.append(path)
            tokens += num_tokens(path) * (last - first)
    text = tokens * BYTES_PER_TOKEN
    hours = text / _READ_BYTES_PER_SECOND / 3600
    note = "without what harvest brings" if "harvest" in step.inputs else ""
    estimate = Estimate(tokens=tokens, memory_gib=0.5, device_hours=hours, disk_gib=0.5 * text / GIB, note=note)
    # what a harvest will bring is the larger part, and not known
    return estimate, Made(tokens=None if note else tokens, paths=tuple(paths))


def withhold(step: Situation) -> Result:
    """Sets a part aside; what sidecars mark is counted by documents."""
    source = step.made("documents")
    if source.tokens is None:
        return Estimate(), Made()
    flagged, undecided = withheld_shares(list(source.paths)) if step.config.get("flagged", True) else (0.0, 1.0)
    share = flagged + undecided * float(step.config.get("fraction", 0.0))
    named = any(step.config.get(key) for key in ("ids", "file", "categories", "years"))
    estimate = Estimate(
        tokens=source.tokens,
        memory_gib=0.5,
        disk_gib=0.5 * source.tokens * BYTES_PER_TOKEN / GIB,
        note=f"{share:.0%} withheld" + ("; what lists, categories and years add is not counted" if named else ""),
    )
    return estimate, Made(tokens=source.tokens * (1 - share), withheld_tokens=source.tokens * share)


def bench(step: Situation) -> Result:
    """Questions of what is withheld; how many is a guess until it has read. Training text is searched for them."""
    source, limit = step.made("documents").withheld_tokens, step.config.get("max_items")
    if source is None:
        return Estimate(), Made(items=limit)
    found = int(source / _TOKENS_PER_MADE_ITEM)
    items = found if limit is None else min(found, int(limit))
    text = (source + (step.made("training").tokens or 0.0)) * BYTES_PER_TOKEN
    hours = text / _READ_BYTES_PER_SECOND / 3600
    note = f"about {items:,} questions, a guess"
    if asked := told_of_bench(step.config, step.path("providers"), source * BYTES_PER_TOKEN, items):
        note += f"; {asked}"
    estimate = Estimate(source, None, 0.5, hours, disk_gib=5000 * items / GIB, note=note)
    return estimate, Made(items=items)


def decontaminate(step: Situation) -> Result:
    """Reads documents once and writes nearly all of them."""
    tokens = step.made("documents").tokens
    if tokens is None:
        return Estimate(), Made()
    text = tokens * BYTES_PER_TOKEN
    hours = text / _SEARCH_BYTES_PER_SECOND / 3600
    return Estimate(tokens=tokens, memory_gib=0.5, device_hours=hours, disk_gib=0.5 * text / GIB), Made(tokens=tokens)


def mix(step: Situation) -> Result:
    """Domain text by passes, tokens and weights up to its budget, and general text up to its share."""
    domain = step.made("documents").tokens
    sources = step.config.get("sources", [])
    limit = step.config.get("max_tokens")
    known = domain is not None
    if domain is None:
        if limit is None:
            return Estimate(), Made()
        domain = float(limit)
    elif limit is not None:
        # Weights repeat their sources until the budget is full, or each as often as it may be.
        repeats = any(source.get("weight") for source in sources)
        domain = min(domain * float(step.config.get("max_epochs", 1.0)) if repeats else domain, float(limit))
    share = float(step.config.get("general_share", 0.0))
    general = min(step.made("general").tokens or 0.0, domain * share / (1 - share))
    tokens = domain + general
    note = f"{general / tokens:.0%} of them general text" if tokens else "no text"
    if not known:
        note += "; the documents are not counted yet: at most max_tokens"
    if sources:
        note += "; what each source gives is known when its documents are counted"
    return Estimate(tokens=tokens, memory_gib=0.5, disk_gib=0.0, note=note), Made(tokens=tokens)


def pack(step: Situation) -> Result:
    """The documents of the mix as rows of tokens."""
    tokens = step.made("mixture").tokens
    if tokens is None:
        return Estimate(), Made()
    return Estimate(tokens=tokens, memory_gib=0.5, disk_gib=10 * tokens / GIB), Made(tokens=tokens)


def synth(step: Situation) -> Result:
    """Conversations of the offline teacher; how many it finds is a guess until it has read."""
    source, limit = step.made("documents").tokens, step.config.get("max_pairs")
    if source is None and limit is None:
        return Estimate(), Made()
    found = math.inf if source is None else source / _TOKENS_PER_PAIR
    pairs = found if limit is None else min(found, float(limit))
    own = pairs * (1 + float(step.config.get("share_thinking", 0.0)))
    share = float(step.config.get("general", {}).get("share", 0.0))
    sets = [path for name, path in step.inputs.items() if name.startswith("general") and isinstance(path, Path)]
    general = min(float(sum(num_rows(file) for path in sets for file in files_of(path))), own * share / (1 - share))
    share = float(step.config.get("chains_share", 0.0))
    sets = [path for name, path in step.inputs.items() if name.startswith("chains") and isinstance(path, Path)]
    chains = min(2.0 * sum(num_rows(path) for path in sets), own * share / (1 - share))
    general += chains
    tokens = (own + general) * _TOKENS_PER_CONVERSATION
    note = f"about {own + general:,.0f} conversations, a guess"
    if source is not None and (asked := told(step.config, step.path("providers"), source * BYTES_PER_TOKEN)):
        note += f"; {asked}"
    hours = None if source is None else source * BYTES_PER_TOKEN / _READ_BYTES_PER_SECOND / 3600
    return Estimate(tokens, None, 0.5, hours, disk_gib=5 * tokens / GIB, note=note), Made(tokens=tokens)


def render(step: Situation) -> Result:
    """Conversations as tokens."""
    tokens = step.made("conversations").tokens
    disk = None if tokens is None else 10 * tokens / GIB
    return Estimate(tokens=tokens, memory_gib=0.5, disk_gib=disk), Made(tokens=tokens)


def train(step: Situation, sequence_length: int) -> Result:
    """Continued pre-training and fine-tuning: FLOP, states, activations, checkpoints."""
    model, machine = step.model, step.machine
    tokens = step.made("tokens").tokens
    if model is None:
        return Estimate(note=_UNKNOWN), Made()
    dtype = str(step.config.get("compute_dtype", "bfloat16"))
    devices = machine.cluster.devices
    size = int(step.config.get("rows_per_pass", 1)) * sequence_length
    layout, fault = _layout(step, model)
    recompute = step.config.get("activation_checkpointing", "none") == "layers"
    lora = step.config.get("lora")
    learning = model.num_parameters() if lora is None else _num_in_pairs(LoraConfig.model_validate(lora), model)
    shared = layout.shards * layout.tensor
    memory = training_gib(model, dtype, size, shared, recompute, learning, layout.tensor)
    notes = [f"{layout.replicas} × {layout.shards} × {layout.tensor} replicas × shards × tensor"] if devices > 1 else []
    if not recompute and memory > machine.memory_gib:
        less = training_gib(model, dtype, size, shared, True, learning, layout.tensor)
        fault = fault or f"with activation_checkpointing: layers it would need {less:,.1f} GiB a device"
    if (rows := int(step.config.get("rows_per_step", 1))) < layout.num_data:
        fault = (
            fault or f"rows_per_step: {rows} rows leave some of the {layout.num_data} groups of devices without work"
        )
    stored = 2.0 if step.config.get("save_dtype") == "bfloat16" else 4.0
    disk, scratch = stored * model.num_parameters() / GIB, NUM_CHECKPOINTS * CHECKPOINT_BYTES * learning / GIB
    made = Made(model=model)
    if tokens is None:
        return Estimate(None, None, memory, None, devices, disk, scratch, "; ".join(notes), fault), made
    seen = tokens * float(step.config.get("epochs", 1.0))
    per_token = flop_per_training_token(model, sequence_length, frozen=lora is not None)
    flop = seen * per_token
    hours = flop / machine.flop_per_second / 3600
    rate = machine.flop_per_second / per_token
    notes.insert(0, f"{rate:,.0f} tokens/s a device")
    return Estimate(seen, flop, memory, hours, devices, disk, scratch, "; ".join(notes), fault), made


def _num_in_pairs(lora: LoraConfig, model: DecoderConfig) -> int:
    """Parameters of LoRA's pairs; a target that is none is found here, before anything is fetched."""
    shapes = linear_shapes(model)
    return sum(lora.rank * sum(shapes[name]) for name in choose_layers(lora, shapes, "lm_head", "the base model"))


def _layout(step: Situation, model: DecoderConfig) -> tuple[Layout, str]:
    """How the machine's devices share the model, and what is wrong with the settings; then as if they were defaults."""
    config, devices = ParallelConfig.model_validate(step.config.get("parallel", {})), step.machine.cluster.devices
    try:
        return arrange(config, devices, model), ""
    except UserError as error:
        return arrange(ParallelConfig(), devices, model), str(error)


def merge(step: Situation) -> Result:
    """Streams tensor by tensor: every model is read once."""
    if step.base is None:
        return Estimate(note=_UNKNOWN), Made()
    sources = max(2, len(step.inputs))
    size = step.base.num_parameters()
    largest = step.base.vocab_size * step.base.hidden_size
    read = 4.0 * size * sources
    estimate = Estimate(
        memory_gib=4.0 * largest * (sources + 2) / GIB + 0.5,
        device_hours=read / _MERGE_BYTES_PER_SECOND / 3600,
        disk_gib=4.0 * size / GIB,
        note=f"reads {sources} models",
    )
    return estimate, Made(model=step.base)


def evaluate(step: Situation) -> Result:
    """Questions in every mode, and running text. Generated tokens come one by one, bounded by memory bandwidth."""
    model, machine, task = step.model, step.machine, step.path("task")
    if model is None:
        return Estimate(note=_UNKNOWN), Made()
    items = num_rows(task) if task is not None and task.exists() else step.made("task").items
    if items is None:
        return Estimate(note="number of questions unknown"), Made()
    items = min(items, int(step.config.get("max_items") or items))
    modes: Sequence[str] = step.config.get("modes", ("continuation",))
    texts = sum(name in step.inputs for name in ("domain", "general"))
    state, room = step.config.get("thinking"), step.config.get("reply", {})
    asked = len(modes) + ("generate" in modes and state == "both")
    alone = items * _TOKENS_OF_OPTIONS * ("continuation" in modes)
    read = alone + items * _TOKENS_PER_ITEM * asked + texts * int(step.config.get("perplexity", {}).get("tokens", 0))
    written = 0
    if "generate" in modes:
        answers, thoughts = 1 + (state == "both"), state in ("on", "both")
        written = items * (answers * int(room.get("answer_tokens", 0)) + thoughts * int(room.get("thought_tokens", 0)))
    width = 2 if step.config.get("dtype", "bfloat16") == "bfloat16" else 4
    flop = 2.0 * model.num_parameters(embedding=False) * (read + written)
    seconds = flop / machine.flop_per_second + written * width * model.num_parameters() / machine.bytes_per_second
    copies, devices = int(step.config.get("processes", 1)), machine.cluster.devices
    one = inference_gib(model, str(step.config.get("dtype", "bfloat16")), 2048)
    note = f"{items:,} questions" + (f", at most {written:,} tokens written" if written else "")
    estimate = Estimate(
        tokens=float(read + written),
        flop=flop,
        # each process has a device for itself, or they share the one there is
        memory_gib=one * (copies if devices == 1 else 1),
        device_hours=seconds / 3600,
        num_devices=min(copies, devices),
        disk_gib=items * 2000 / GIB,
        note=note + (f", {copies} copies of the model" if copies > 1 else ""),
        fault=f"processes: {copies} need a device each, and there are {devices}" if copies > devices > 1 else "",
    )
    return estimate, Made()


#: stage → its estimate; the training stages, which need the length of their rows, are apart.
ESTIMATES: dict[str, Callable[[Situation], Result]] = {
    "fetch": fetch,
    "harvest": harvest,
    "ingest": ingest,
    "withhold": withhold,
    "bench": bench,
    "decontaminate": decontaminate,
    "mix": mix,
    "pack": pack,
    "synth": synth,
    "render": render,
    "merge": merge,
    "evaluate": evaluate,
}
