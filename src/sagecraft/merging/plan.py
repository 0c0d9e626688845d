"""The plan of a merge, from headers and configurations only: every fault is found before any weight is read."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sagecraft.errors import UserError
from sagecraft.merging.alignment import is_indexed
from sagecraft.merging.geometry import Options
from sagecraft.merging.job import Job, Source
from sagecraft.merging.layout import Placed, compare_layers, place_tensors, stacked_config
from sagecraft.merging.parameters import Dtype, Rescale, SignTies, value_at
from sagecraft.merging.vocabulary import VocabularyPlan, each_source, listing, plan_vocabulary
from sagecraft.models.adapter import read_adapter
from sagecraft.models.config import read_config
from sagecraft.models.tensors import DTYPE_BYTES, TensorRecord, list_tensors

#: Types of weights that are merged, and the names configurations use for them.
FLOATS: dict[str, Dtype] = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
#: Types of masks and positions that older checkpoints hold: taken over where all models have the same, never merged.
COPIED = ("I64", "I32", "U8", "BOOL")
CODES = {name: code for code, name in FLOATS.items()}
#: Of the parameters of one tensor that may be left out.
DEFAULTS: dict[str, Any] = {
    "density": 1.0,
    "gamma": 0.01,
    "scale": 1.0,
    "epsilon": 0.15,
    "lambda": 1.0,
    "sign_ties": "none",
    **{name: value for name, value in vars(Options()).items() if name not in ("t", "epsilon")},
}

#: Entries of config.json that must agree because they decide what the weights mean, whatever the family.
_SAME = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "hidden_act",
    "tie_word_embeddings",
)
#: Of these, what older configurations leave out; if it matters, the tensors differ, which is found too.
_MAY_BE_ABSENT = ("head_dim", "num_key_value_heads", "tie_word_embeddings", "hidden_act")
#: Entries that change the computation but not the weights: the result has the reference's, and the plan says so.
_NOTED = ("rope_theta", "rope_scaling", "rope_parameters", "rms_norm_eps", "max_position_embeddings", "sliding_window")


#: Weights whose sum is smaller cancel out.
_NO_SUM = 1e-8
#: The native way reads so many elements at a time (blocks.cpp).
_PIECE_ELEMENTS = 1 << 16


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of the result.

    Attributes:
        name: in the result.
        shape: the same in every model.
        dtype: safetensors code of the output.
        records: label of each source → where it is stored; the base first.
        origins: label → (model, the tensor's name there), which keys its masks: a layer that is stacked twice, or
            somewhere else, is thinned out alike.
        base: label of the base.
        models: labels of those that contribute, in order.
        weights: of each of them.
        densities: likewise.
        t: SLERP's way, nearswap's distance.
        gammas: share of the largest elements that breadcrumbs drop, of each model.
        scales: passthrough's factor, of each model.
        epsilons: half the range of DELLA's probabilities, of each model.
        normalize: divide by the weights.
        rescale: of thinned deltas.
        lambda_: factor of the merged delta.
        sign_ties: what a tied election does.
        options: of the methods that work with angles or whole tensors.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    records: Mapping[str, TensorRecord]
    origins: Mapping[str, tuple[str, str]]
    base: str | None
    models: tuple[str, ...]
    weights: tuple[float, ...]
    densities: tuple[float, ...]
    t: float = 0.0
    gammas: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    epsilons: tuple[float, ...] = ()
    normalize: bool = False
    rescale: Rescale = "off"
    lambda_: float = 1.0
    sign_ties: SignTies = "none"
    options: Options = field(default_factory=Options)

    @property
    def reference(self) -> str:
        """Label of the model from which deltas are reported."""
        return self.base if self.base is not None else self.models[0]

    @property
    def num_elements(self) -> int:
        """Number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class MergePlan:
    """Everything a merge will do.

    Attributes:
        tensors: in the order of writing.
        config: the result's config.json.
        vocabulary: see there.
        notes: differences that are no faults.
        num_input_bytes: of all weights that will be read.
        num_output_bytes: of the weights that will be written.
        peak_bytes: estimate of the memory of the merge itself, whatever the size of the model.
    """

    tensors: tuple[TensorPlan, ...]
    config: Mapping[str, Any]
    vocabulary: VocabularyPlan
    notes: tuple[str, ...]
    num_input_bytes: int
    num_output_bytes: int
    peak_bytes: int


def make_plan(job: Job, block_elements: int, num_threads: int) -> MergePlan:
    """Compares the models of a job.

    Raises:
        UserError: one line a fault, all faults at once.
    """
    faults: list[str] = []
    configs = each_source(job, read_config, faults)
    records = each_source(job, list_tensors, faults)
    if faults:
        raise UserError("\n".join(faults))
    _compare_families(job, configs)
    notes: list[str] = []
    _compare_configs(job, configs, faults, notes)
    compare_layers(job, configs, faults)
    for source in job.sources:
        _drop_derived(configs[source.label], records[source.label])
        if source.adapter is not None:
            faults += _adapter_faults(source, records[source.label])
    placed = place_tensors(job, records, faults)
    faults += _compare_tensors(placed, records, any_rows=job.vocabulary is not None)
    vocabulary = plan_vocabulary(job, configs, records, faults)
    tensors = _plan_tensors(job, placed, records, vocabulary, faults) if not faults else ()
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    notes += _compare_dtypes(job, tensors)
    notes += [f"{token} differs: {listing(texts)}" for token, texts in vocabulary.special.items()]
    notes += vocabulary.notes
    return MergePlan(
        tensors=tensors,
        config=_result_config(vocabulary.result_config(stacked_config(job, configs)), tensors),
        vocabulary=vocabulary,
        notes=tuple(notes),
        num_input_bytes=sum(record.end - record.start for row in tensors for record in row.records.values()),
        num_output_bytes=sum(output_bytes(row) for row in tensors),
        peak_bytes=_peak_bytes(job, tensors, block_elements, num_threads) + _adapter_bytes(job),
    )


def output_bytes(row: TensorPlan) -> int:
    """Size of one tensor of the result."""
    return row.num_elements * DTYPE_BYTES[row.dtype]


def _peak_bytes(job: Job, tensors: Sequence[TensorPlan], block_elements: int, num_threads: int) -> int:
    """Memory of the merge itself.

    For each thread a piece of each model, its mask and hash, some ten temporaries; three merged blocks of each of two tensors that
    are not yet written; and, where magnitudes are counted, their histograms (2^19 bins of 4 bytes). Methods of whole tensors hold
    one of all models, and temporaries.
    """
    whole = [row for row in tensors if job.row.is_whole(row.options)]
    held = max((row.num_elements * 4 * (3 * len(row.records) + 8) for row in whole), default=0)
    if len(whole) == len(tensors):
        return held
    pieces = min(block_elements, _PIECE_ELEMENTS) * 4 * (4 * max(len(row.records) for row in tensors) + 10)
    waiting = 2 * 3 * block_elements * 4
    counts = (4 << 19) * len(job.models) if job.row.sparsify in ("magnitude", "band") else 0
    return max(held, num_threads * (pieces + waiting + counts))


def _adapter_bytes(job: Job) -> int:
    """Adapters are held whole, in float32."""
    folders = {source.model: source.adapter for source in job.sources if source.adapter is not None}
    pairs = [pair for folder in folders.values() for pair in read_adapter(folder).pairs.values()]
    return sum(4 * (down.num_elements + up.num_elements) for down, up, _ in pairs)


def _compare_families(job: Job, configs: Mapping[str, dict[str, Any]]) -> None:
    """Models of different families have nothing else to compare: one line."""
    found: dict[str, list[str]] = defaultdict(list)
    for source in job.sources:
        found[str(configs[source.label].get("model_type"))].append(source.label)
    if len(found) > 1:
        shown = ", ".join(f"{family!r} ({', '.join(labels)})" for family, labels in found.items())
        raise UserError(f"config.json: model_type differs: {shown}; only models of one family are merged")


def _compare_configs(job: Job, configs: Mapping[str, dict[str, Any]], faults: list[str], notes: list[str]) -> None:
    for key in (*_SAME, *_NOTED):
        if key == "num_hidden_layers" and job.sliced:
            continue
        values = {source.label: configs[source.label].get(key) for source in job.sources}
        if len({json.dumps(value, sort_keys=True) for value in values.values()}) == 1:
            continue
        if key in _SAME and not (key in _MAY_BE_ABSENT and None in values.values()):
            faults.append(f"config.json: {key} differs: {listing(values)}; only models of one architecture are merged")
        else:
            notes.append(f"{key} differs: {listing(values)}; the result has that of {job.reference.label}")


def _drop_derived(config: Mapping[str, Any], records: dict[str, TensorRecord]) -> None:
    """Takes out what a checkpoint may hold twice: a tied head, and frequencies that follow from the configuration."""
    for name in [name for name in records if name.endswith("rotary_emb.inv_freq")]:
        del records[name]
    if config.get("tie_word_embeddings") and any(name.endswith("embed_tokens.weight") for name in records):
        records.pop("lm_head.weight", None)


def _adapter_faults(source: Source, records: Mapping[str, TensorRecord]) -> list[str]:
    assert source.adapter is not None
    try:
        adapter = read_adapter(source.adapter)
    except UserError as error:
        return [str(error)]
    return adapter.faults({name: record.shape for name, record in records.items()}, source.folder)


def _compare_tensors(
    placed: Sequence[Placed], records: Mapping[str, Mapping[str, TensorRecord]], *, any_rows: bool
) -> Iterator[str]:
    """What the models have in common and what not: tensors that differ in one way are one line, with the first as example.

    With `any_rows`, those with a row for each token may have any number of rows: they are aligned.
    """
    missing: dict[tuple[str, str], list[str]] = defaultdict(list)
    shapes: dict[tuple[tuple[str, ...], ...], list[str]] = defaultdict(list)
    dtypes: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in placed:
        found = {label: records[label].get(name) for label, name in row.names.items()}
        here = {label: record for label, record in found.items() if record is not None}
        absent = [label for label in found if label not in here]
        if absent:
            missing[", ".join(here), ", ".join(absent)].append(row.names[absent[0]])
        groups: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for label, record in here.items():
            groups[record.shape[1:] if any_rows and is_indexed(row.name) else record.shape].append(label)
            copied = record.dtype in COPIED and len({other.dtype for other in here.values()}) == 1
            if record.dtype not in FLOATS and not copied:
                dtypes[label, record.dtype].append(row.names[label])
        if len(groups) > 1:
            shown = "; ".join(f"{list(shape)} in {', '.join(labels)}" for shape, labels in groups.items())
            shapes[tuple(map(tuple, groups.values()))].append(f"{row.name}: {shown}")
    for (holders, lacking), names in missing.items():
        yield f"{_counted(names)} of {holders}, but not of {lacking}; nothing is skipped"
    for examples in shapes.values():
        yield f"{len(examples)} tensors differ in shape, such as {examples[0]}; nothing is cut or skipped"
    for (label, dtype), names in dtypes.items():
        yield f"{label}: {_counted(names)} of type {dtype}; only {', '.join(FLOATS)} are merged"


def _compare_dtypes(job: Job, tensors: Sequence[TensorPlan]) -> Iterator[str]:
    """Says which model is stored in which type, if that differs: a delta is as coarse as the coarser of the two."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in tensors:
        for label, record in row.records.items():
            if record.dtype in FLOATS:
                found[label].add(FLOATS[record.dtype])
    groups: dict[str, list[str]] = defaultdict(list)
    for label, dtypes in found.items():
        groups[" and ".join(sorted(dtypes))].append(label)
    if len(groups) > 1:
        shown = "; ".join(f"{dtypes} in {', '.join(labels)}" for dtypes, labels in groups.items())
        own = job.out_dtype or f"the types of {job.reference.label}"
        yield f"weights are stored as {shown}; the result has {own}"


def _counted(names: Sequence[str]) -> str:
    return f"{names[0]} is a tensor" if len(names) == 1 else f"{len(names)} tensors, such as {names[0]}, are"


class _Values:
    """Values of the parameters for one tensor."""

    def __init__(self, job: Job, placed: Placed, faults: list[str]) -> None:
        self.job = job
        self.placed = placed
        self.faults = faults
        self.defaults = {**DEFAULTS, "normalize": job.row.normalize, "rescale": job.row.rescale}

    def of(self, name: str, source: Source | None = None) -> Any:
        """The value at the closest level that has one for this tensor, else the default.

        Filters look at the model's own name for the tensor, or at the result's where a value is no model's, as mergekit's
        do. What the method does not read is its default, too.
        """
        tensor = self.placed.names[source.label] if source else self.placed.name
        levels = [*([source.parameters] if source else []), *self.placed.part.levels]
        settings = [getattr(level, "lambda_" if name == "lambda" else name, None) for level in levels]
        settings = [setting for setting in settings if setting is not None]
        if name in self.job.row.parameters:
            for setting in settings:
                value = value_at(setting, tensor, self.placed.depth)
                if value is not None:
                    return value
            if name not in self.defaults and settings:
                whose = f"{name} of {source.label}" if source else name
                self.fault(f"{whose}: no filter fits", f"{tensor}; end the list with a `value` without filter")
        return self.defaults.get(name, 0.0 if name == "t" else 1.0)

    def fault(self, start: str, rest: str) -> None:
        """Notes a fault of the first tensor that has it."""
        if not any(old.startswith(start) for old in self.faults):
            self.faults.append(f"{start} {rest}")

    def chances(self) -> None:
        """DELLA's chances, from density - epsilon to density + epsilon, have to be some."""
        for source in self.placed.part.models if "epsilon" in self.job.row.parameters else ():
            density, epsilon = self.of("density", source), self.of("epsilon", source)
            if density < 1 and "density" in self.job.row.parameters and not epsilon < min(density, 1 - density):
                self.fault(
                    f"epsilon of {source.label}: density ± epsilon has to lie between 0 and 1;",
                    f"{self.placed.names[source.label]} has {density:g} ± {epsilon:g}; take a smaller epsilon",
                )

    def divisor(self) -> None:
        """Weights that are divided by must not cancel out; an election divides by those that agree, element by element."""
        reads = self.job.row.parameters
        switch = "normalize_weights" if "normalize_weights" in reads else "normalize"
        if "weight" not in reads or "sign_ties" in reads or not (switch in reads and self._switched_on(switch)):
            return
        if abs(math.fsum(self.each("weight"))) < _NO_SUM:
            self.fault(
                f"weight: the weights add up to 0, and {switch} divides by their sum;",
                f"{self.placed.name} has {', '.join(f'{weight:g}' for weight in self.each('weight'))}; change one, or switch "
                f"{switch} off",
            )

    def _switched_on(self, switch: str) -> bool:
        return bool(self.of(switch) if switch == "normalize" else self.options().normalize_weights)

    def each(self, name: str) -> tuple[Any, ...]:
        """For each model that contributes."""
        return tuple(self.of(name, source) for source in self.placed.part.models)

    def options(self) -> Options:
        """Those of the methods that work with angles or whole tensors."""
        names = [name for name in vars(Options()) if name != "epsilon"]
        values = {name: self.of(name) for name in names}
        if "epsilon" in self.job.row.parameters and self.job.row.sparsify is None:
            given = next((level.epsilon for level in self.placed.part.levels if level.epsilon is not None), None)
            value = value_at(given, self.placed.name, self.placed.depth) if given is not None else None
            values |= {"epsilon": value} if value is not None else {}
        return replace(Options(), **{**values, "max_iter": int(values["max_iter"])})


def _plan_tensors(
    job: Job,
    placed: Sequence[Placed],
    records: Mapping[str, Mapping[str, TensorRecord]],
    vocabulary: VocabularyPlan,
    faults: list[str],
) -> tuple[TensorPlan, ...]:
    rows = []
    for place in placed:
        values, part = _Values(job, place, faults), place.part
        own = {source.label: records[source.label][place.names[source.label]] for source in part.sources}
        record = own[part.reference.label]
        values.chances()
        values.divisor()
        rows.append(
            TensorPlan(
                name=place.name,
                shape=vocabulary.shape(place.name, record.shape),
                dtype=CODES[job.out_dtype] if job.out_dtype and record.dtype in FLOATS else record.dtype,
                records=own,
                origins={source.label: (source.model, place.names[source.label]) for source in part.sources},
                base=part.base.label if part.base else None,
                models=tuple(source.label for source in part.models),
                weights=values.each("weight"),
                densities=values.each("density"),
                t=values.of("t"),
                gammas=values.each("gamma"),
                scales=values.each("scale"),
                epsilons=values.each("epsilon"),
                normalize=values.of("normalize"),
                rescale=values.of("rescale"),
                lambda_=values.of("lambda"),
                sign_ties=values.of("sign_ties"),
                options=values.options(),
            )
        )
    # wide types first, so that every tensor starts at a multiple of its element's size; then by name
    return tuple(sorted(rows, key=lambda row: (-DTYPE_BYTES[row.dtype], row.name)))


def _result_config(config: Mapping[str, Any], tensors: Sequence[TensorPlan]) -> dict[str, Any]:
    settings = {key: value for key, value in config.items() if key != "torch_dtype"}
    dtypes = {row.dtype for row in tensors if row.dtype in FLOATS}
    settings["dtype"] = FLOATS[dtypes.pop()] if len(dtypes) == 1 else "float32"
    return settings
