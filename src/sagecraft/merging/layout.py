"""Which tensors of which models make each tensor of the result: whole models side by side, or stretches of layers stacked.

A slice of layers is merged as if it were a model: gradients run over its own layers, and every source brings as many. What
belongs to no layer comes along with a slice, as in mergekit: embeddings with the first, the last norm and the head with the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.merging.job import Job, Part, Source
from sagecraft.models.tensors import TensorRecord

Records = Mapping[str, Mapping[str, TensorRecord]]

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)(?=\.)")
_EMBEDDING = re.compile(r"(?:^|\.)(?:embed_tokens|embed_in|embed_positions|wte|wpe|word_embeddings\w*)\.")
#: Names of the number of layers in config.json.
_NUM_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
#: Entries that say by position which layers are special: a stack needs them spelt out as a list.
_BY_POSITION = (
    "sliding_window_pattern",
    "no_rope_layer_interval",
    "full_attention_interval",
    "global_attn_every_n_layers",
)


@dataclass(frozen=True)
class Placed:
    """One tensor of the result.

    Attributes:
        name: its name there.
        names: label of each source → the tensor's name in that model.
        part: what merges it.
        depth: 0 for the first layer of its part and 1 for the last, also if it is the only one; 0 for what belongs to no layer.
    """

    name: str
    names: Mapping[str, str]
    part: Part
    depth: float


def split_layer(name: str) -> tuple[str, int, str] | None:
    """What stands before a layer's number, the number, and the rest; None for what belongs to no layer."""
    match = _LAYER.search(name)
    return (name[: match.start(1)], int(match.group(1)), name[match.end(1) :]) if match else None


def depths(names: Sequence[str]) -> dict[str, float]:
    """Tensor name → how deep it sits, 0 to 1; embedding, last norm and head get a gradient's first value."""
    found = {name: split_layer(name) for name in names}
    count = 1 + max((split[1] for split in found.values() if split), default=0)
    return {name: _depth(split[1], count) if split else 0.0 for name, split in found.items()}


def _depth(index: int, count: int) -> float:
    return index / (count - 1) if count > 1 else 1.0


def place_tensors(job: Job, records: Records, faults: list[str]) -> list[Placed]:
    """Every tensor that any source brings, whether all have it or not."""
    if not job.sliced:
        part = job.parts[0]
        names = list(dict.fromkeys(name for source in part.sources for name in records[source.label]))
        deep = depths(names)
        return [Placed(name, {source.label: name for source in part.sources}, part, deep[name]) for name in names]
    found = list(_stack_faults(job, records))
    faults += found
    return [] if found else list(_stacked(job, records))


def _stack_faults(job: Job, records: Records) -> Iterator[str]:
    for source in job.sources:
        splits = [split for name in records[source.label] if (split := split_layer(name))]
        stacks = sorted({prefix for prefix, _, _ in splits})
        if len(stacks) != 1:
            found = f"has {len(stacks)} stacks of layers ({', '.join(stacks)})" if stacks else "has no layers"
            yield f"{source.folder}: {found}; slices need a model with one, merge whole models with `models`"
    if job.reference.layers is not None and not sum(_length(part) for part in job.parts):
        yield "slices: no layer is left; give a layer_range of at least one"
    for part in job.parts:
        for source in part.sources:
            count = num_layers(records[source.label])
            if source.layers is not None and source.layers[1] > count:
                yield (
                    f"{source.folder}: layer_range {list(source.layers)} goes beyond its {count} layers; "
                    f"the largest is [0, {count}]"
                )


def _length(part: Part) -> int:
    layers = part.reference.layers
    return layers[1] - layers[0] if layers is not None else 0


def num_layers(records: Mapping[str, TensorRecord]) -> int:
    """How many layers a model has."""
    return max((split[1] + 1 for name in records if (split := split_layer(name))), default=0)


def _stacked(job: Job, records: Records) -> Iterator[Placed]:
    place = 0
    for number, part in enumerate(job.parts):
        count = _length(part)
        for index in range(count):
            yield from _layer(part, index, place + index, _depth(index, count), records)
        place += count
        names = dict.fromkeys(name for source in part.sources for name in records[source.label])
        for name in (name for name in names if not split_layer(name)):
            if number == (0 if _EMBEDDING.search(name) else len(job.parts) - 1):
                yield Placed(name, {source.label: name for source in part.sources}, part, 0.0)


def _layer(part: Part, index: int, place: int, depth: float, records: Records) -> Iterator[Placed]:
    """The tensors of one layer of the result."""
    own = {source.label: source.layers[0] + index for source in part.sources if source.layers is not None}
    ends: dict[tuple[str, str], None] = {}
    for source in part.sources:
        for name in records[source.label]:
            if (split := split_layer(name)) and split[1] == own[source.label]:
                ends[split[0], split[2]] = None
    for before, after in ends:
        names = {label: f"{before}{layer}{after}" for label, layer in own.items()}
        yield Placed(f"{before}{place}{after}", names, part, depth)


def compare_layers(job: Job, configs: Mapping[str, Mapping[str, Any]], faults: list[str]) -> None:
    """Entries of config.json with a value for each layer: those that are merged into one layer have to agree."""
    for part in job.parts:
        for key in _listed(configs[source.label] for source in part.sources):
            values = {source.label: _own(configs[source.label], key, source) for source in part.sources}
            present = {label: value for label, value in values.items() if value is not None}
            if len({tuple(map(str, value)) for value in present.values()}) > 1:
                shown = ", ".join(f"{list(value)!r} in {label}" for label, value in present.items())
                faults.append(f"config.json: {key} differs: {shown}; layers of one kind are merged with one another")
    shifted = job.sliced and [layer for part in job.parts for layer in _numbers(part.reference)] != list(
        range(sum(_length(part) for part in job.parts))
    )
    for source in job.sources:
        config = configs[source.label]
        special = next((key for key in _BY_POSITION if config.get(key)), None)
        if shifted and special is not None and not list(_listed([config])):
            faults.append(
                f"{source.folder / 'config.json'}: {special} says by position which layers are special, and slices move them; "
                "write the list of all layers (layer_types) into it"
            )


def describe_layers(job: Job) -> str:
    """Which layers of the result come from which of the models, for a person."""
    said, place = [], 0
    for part in job.parts:
        count = _length(part)
        sources = ", ".join(f"{source.model}{list(source.layers or ())}" for source in part.sources)
        said.append(f"{f'{place} to {place + count - 1}' if count else 'none'} from {sources}")
        place += count
    return "; ".join(said)


def _numbers(source: Source) -> range:
    return range(*source.layers) if source.layers is not None else range(0)


def _listed(configs: Any) -> Iterator[str]:
    """Keys with a value for each layer."""
    seen = set()
    for config in configs:
        count = next((config[key] for key in _NUM_LAYERS if key in config), None)
        for key, value in config.items():
            if key not in seen and "layer" in key and isinstance(value, list) and len(value) == count:
                seen.add(key)
                yield key


def _own(config: Mapping[str, Any], key: str, source: Source) -> Sequence[Any] | None:
    """A source's part of such a list."""
    value = config.get(key)
    if not isinstance(value, list):
        return None
    return value if source.layers is None else [value[n] for n in _numbers(source) if n < len(value)]


def stacked_config(job: Job, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The reference's config.json with the number of layers, and what it lists for each, of the stack."""
    config = dict(configs[job.reference.label])
    if not job.sliced:
        return config
    for key in _listed([config]):
        config[key] = [
            value for part in job.parts for value in _own(configs[part.reference.label], key, part.reference) or ()
        ]
    for key in _NUM_LAYERS:
        if key in config:
            config[key] = sum(_length(part) for part in job.parts)
    return config
