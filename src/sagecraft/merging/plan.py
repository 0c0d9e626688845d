"""The plan of a merge, from headers and configurations only: every fault is found before any weight is read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.errors import UserError
from sagecraft.merging.config import Dtype, Job, Source, depths, value_at
from sagecraft.merging.vocabulary import VocabularyPlan, compare_vocabularies, each_source, listing
from sagecraft.models.adapter import read_adapter
from sagecraft.models.config import read_config
from sagecraft.models.tensors import TensorRecord, list_tensors

#: Types of weights that are merged, and the names configurations use for them.
FLOATS: dict[str, Dtype] = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
#: Of the parameters of one tensor that may be left out.
DEFAULTS = {"weight": 1.0, "density": 1.0, "gamma": 0.01, "scale": 1.0, "epsilon": 0.15}
CODES = {name: code for code, name in FLOATS.items()}

#: Entries of config.json that must agree because they decide what the weights mean, whatever the family.
_SAME = (
    "model_type",
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
#: Faults of one kind that are spelt out; the rest are counted.
_MAX_LISTED = 20


@dataclass(frozen=True)
class TensorPlan:
    """One tensor of the result.

    Attributes:
        name: in the checkpoint.
        shape: the same in every model.
        dtype: safetensors code of the output.
        records: model label → where it is stored.
        weights: of each contributing model, in order.
        densities: likewise.
        t: SLERP's way, nearswap's distance.
        gammas: share of the largest elements that breadcrumbs drop, of each model.
        scales: passthrough's factor, of each model.
        epsilons: half the range of DELLA's probabilities, of each model.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    records: Mapping[str, TensorRecord]
    weights: tuple[float, ...]
    densities: tuple[float, ...]
    t: float
    gammas: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()
    epsilons: tuple[float, ...] = ()

    @property
    def num_elements(self) -> int:
        """Number of values."""
        return next(iter(self.records.values())).num_elements


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
    notes: list[str] = []
    _compare_configs(job, configs, faults, notes)
    for source in job.sources:
        _drop_derived(configs[source.label], records[source.label])
        if source.adapter is not None:
            faults += _adapter_faults(source, records[source.label])
    _compare_tensors(job, records, faults)
    vocabulary = compare_vocabularies(job, records, faults)
    tensors = _plan_tensors(job, records, faults) if not faults else ()
    if faults:
        raise UserError("\n".join(faults))
    notes += [f"{token} differs: {listing(texts)}" for token, texts in vocabulary.special.items()]
    return MergePlan(
        tensors=tensors,
        config=_result_config(configs[job.reference.label], tensors),
        vocabulary=vocabulary,
        notes=tuple(notes),
        num_input_bytes=sum(record.end - record.start for row in tensors for record in row.records.values()),
        num_output_bytes=sum(output_bytes(row) for row in tensors),
        peak_bytes=_peak_bytes(job, tensors, block_elements, num_threads) + _adapter_bytes(job),
    )


def output_bytes(row: TensorPlan) -> int:
    """Size of one tensor of the result."""
    return row.num_elements * (4 if row.dtype == "F32" else 2)


def _peak_bytes(job: Job, tensors: Sequence[TensorPlan], block_elements: int, num_threads: int) -> int:
    """Memory of the merge itself.

    For each thread a block of each model, its mask and hash, some ten temporaries, and, where magnitudes are counted, their
    histograms (2^19 bins of 4 bytes). Methods of whole tensors hold one of all models, and temporaries.
    """
    if job.row.is_whole(job.options):
        return max((row.num_elements for row in tensors), default=0) * 4 * (3 * len(job.sources) + 8)
    blocks = block_elements * 4 * (4 * len(job.sources) + 10)
    counts = (4 << 19) * len(job.models) if job.row.sparsify in ("magnitude", "band") else 0
    return num_threads * (blocks + counts)


def _adapter_bytes(job: Job) -> int:
    """Adapters are held whole, in float32."""
    adapters = [read_adapter(source.adapter) for source in job.sources if source.adapter is not None]
    pairs = [pair for adapter in adapters for pair in adapter.pairs.values()]
    return sum(4 * (down.num_elements + up.num_elements) for down, up, _ in pairs)


def _compare_configs(job: Job, configs: Mapping[str, dict[str, Any]], faults: list[str], notes: list[str]) -> None:
    for key in (*_SAME, *_NOTED):
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


def _compare_tensors(job: Job, records: Mapping[str, Mapping[str, TensorRecord]], faults: list[str]) -> None:
    reference = records[job.reference.label]
    for source in job.sources:
        own = records[source.label]
        found = []
        for missing in sorted(set(reference) - set(own)):
            found.append(f"{source.folder}: has no tensor {missing}, which {job.reference.label} has")
        for spare in sorted(set(own) - set(reference)):
            found.append(f"{source.folder}: has a tensor {spare}, which {job.reference.label} lacks")
        for name in sorted(set(own) & set(reference)):
            if own[name].shape != reference[name].shape:
                shapes = f"{list(own[name].shape)} here, {list(reference[name].shape)} in {job.reference.label}"
                found.append(f"{source.folder}: {name}: size mismatch, {shapes}; nothing is cut or skipped")
            if own[name].dtype not in FLOATS:
                found.append(f"{source.folder}: {name}: type {own[name].dtype} is not merged; only {', '.join(FLOATS)}")
        faults += found[:_MAX_LISTED]
        if len(found) > _MAX_LISTED:
            faults.append(f"{source.folder}: and {len(found) - _MAX_LISTED} more faults of its tensors")


def _plan_tensors(
    job: Job, records: Mapping[str, Mapping[str, TensorRecord]], faults: list[str]
) -> tuple[TensorPlan, ...]:
    reference = records[job.reference.label]
    deep = depths(list(reference))
    rows = []
    for name, record in reference.items():
        depth = deep[name]
        weights = [_value(source.weight, "weight", name, depth, source, job, faults) for source in job.models]
        densities = [_value(source.density, "density", name, depth, source, job, faults) for source in job.models]
        gammas = [_value(source.gamma, "gamma", name, depth, source, job, faults) for source in job.models]
        scales = [_value(source.scale, "scale", name, depth, source, job, faults) for source in job.models]
        epsilons = [_value(source.epsilon, "epsilon", name, depth, source, job, faults) for source in job.models]
        rows.append(
            TensorPlan(
                name,
                record.shape,
                CODES[job.out_dtype] if job.out_dtype else record.dtype,
                {source.label: records[source.label][name] for source in job.sources},
                tuple(weights),
                tuple(densities),
                _value(job.t, "t", name, depth, job.reference, job, faults),
                tuple(gammas),
                tuple(scales),
                tuple(epsilons),
            )
        )
    # wide types first, so that every tensor starts at a multiple of its element's size; then by name
    return tuple(sorted(rows, key=lambda row: (row.dtype != "F32", row.name)))


def _value(setting: Any, what: str, name: str, depth: float, source: Source, job: Job, faults: list[str]) -> float:
    """A parameter for one tensor; those that the method does not read are 1, others without a value their default."""
    if what not in job.row.parameters:
        return 1.0
    if setting is None and what in DEFAULTS:
        return DEFAULTS[what]
    value = value_at(setting, name, depth)
    if value is None:
        fault = f"{what} of {source.label}: no filter fits {name}; end the list with a `value` without filter"
        if not any(old.startswith(f"{what} of {source.label}: no filter") for old in faults):
            faults.append(fault)
        return 1.0
    return value


def _result_config(config: Mapping[str, Any], tensors: Sequence[TensorPlan]) -> dict[str, Any]:
    settings = {key: value for key, value in config.items() if key != "torch_dtype"}
    dtypes = {row.dtype for row in tensors}
    settings["dtype"] = FLOATS[dtypes.pop()] if len(dtypes) == 1 else "float32"
    return settings
