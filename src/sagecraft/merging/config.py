"""Merge configurations: mergekit's YAML read strictly.

An unknown key or parameter is an error that names the nearest valid one, and so is a parameter that the chosen method
does not read: a misspelt `desnity` must not quietly merge at density 1.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sagecraft.errors import UserError
from sagecraft.merging.methods import METHODS, Method
from sagecraft.merging.parameters import (
    Dtype,
    GlobalParameters,
    ModelParameters,
    parameter_faults,
    parameter_names,
)
from sagecraft.merging.tokenizer import TokenizerSettings, unknown_key
from sagecraft.settings import printable, read_yaml_mapping

#: What mergekit calls the only module of a model that is no mixture of several.
_MODULE = "default"
#: Models that are merged at once, and slices: each holds open files, and results of the native kernel name a source by number.
_MOST = 500
#: Characters of a faulty value that a message shows.
_SHOWN = 200


def _check_name(name: str) -> str:
    if not name.isprintable():
        raise ValueError(f"{name!r} holds control characters; give the name of a folder")
    return name


ModelName = Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_check_name)]


#: A key without anything behind it, as in mergekit's own examples.
_EMPTY = BeforeValidator(lambda value: {} if value is None else value)


class ModelEntry(BaseModel):
    """One model of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: ModelName
    parameters: Annotated[ModelParameters, _EMPTY] = ModelParameters()


class SliceSource(ModelEntry):
    """A stretch of one model's layers."""

    layer_range: tuple[int, int] = Field(description="first layer, and the one behind the last")


class Slice(BaseModel):
    """A stretch of the result's layers, made from as many layers of each source.

    Attributes:
        sources: models with their layers; one for `passthrough`.
        base_model: of this slice, instead of the whole merge's.
        parameters: for all of them; a source's own come first, the whole merge's last.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sources: tuple[SliceSource, ...] = Field(min_length=1, max_length=_MOST)
    base_model: ModelName | None = None
    parameters: Annotated[GlobalParameters, _EMPTY] = GlobalParameters()


class Module(BaseModel):
    """What mergekit's long form says of a model's only module."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    models: tuple[ModelEntry, ...] = Field((), max_length=_MOST)
    slices: tuple[Slice, ...] = Field((), max_length=_MOST)
    parameters: Annotated[GlobalParameters, _EMPTY] = GlobalParameters()


@dataclass(frozen=True)
class Stretch:
    """What a slice and a list of whole models have in common.

    Attributes:
        where: its place in the file, for messages.
        entries: models, in order.
        base_model: what deltas are taken from.
        levels: parameters of all of them, the closest first.
    """

    where: str
    entries: tuple[ModelEntry, ...]
    base_model: str | None
    levels: tuple[GlobalParameters, ...]

    def is_base(self, entry: ModelEntry) -> bool:
        """True of the first entry of the base: it lends its weights, and the method's parameters mean nothing for it."""
        return entry is next((one for one in self.entries if one.model == self.base_model), None)

    def contributing(self, method: Method) -> tuple[ModelEntry, ...]:
        """Those whose weights or deltas are merged."""
        return tuple(entry for entry in self.entries if not (method.base == "needed" and self.is_base(entry)))


class MergekitConfig(BaseModel):
    """A merge as mergekit's YAML writes it, and our `seed`.

    Attributes:
        merge_method: a name of `METHODS`.
        models: folders with their parameters; the base may stand among them, without parameters. `folder+adapter` is
            a folder with a LoRA adapter of peft added.
        slices: stretches of layers instead, which are stacked in their order.
        modules: `default`, in which models or slices stand instead: mergekit's form for models of several modules.
        base_model: what deltas are taken from; SLERP's starting point.
        parameters: for all models.
        dtype: mergekit's type of computation. Here everything is computed in float32; it is the output's type if
            `out_dtype` is not given.
        out_dtype: type of the merged weights; without either, each tensor has the type it has in the base.
        tokenizer_source: short for `tokenizer` with this `source`.
        tokenizer: the result's vocabulary, to which the rows of all models are aligned by token. Without it, vocabularies
            must be equal, and the tokenizer is that of the base, or of the first model.
        chat_template: `auto` (the one most models have), a built-in name, or Jinja text. Default: the tokenizer's own.
        seed: of the random masks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    merge_method: str
    models: tuple[ModelEntry, ...] = Field((), max_length=_MOST)
    slices: tuple[Slice, ...] = Field((), max_length=_MOST)
    modules: dict[str, Module] = Field(default_factory=dict)
    base_model: ModelName | None = None
    parameters: Annotated[GlobalParameters, _EMPTY] = GlobalParameters()
    dtype: Dtype | None = None
    out_dtype: Dtype | None = None
    tokenizer_source: str | None = None
    tokenizer: TokenizerSettings | None = None
    chat_template: str | None = None
    seed: int = 0

    @property
    def vocabulary(self) -> TokenizerSettings | None:
        """What is said of the tokenizer, in whichever way."""
        return TokenizerSettings(source=self.tokenizer_source) if self.tokenizer_source is not None else self.tokenizer

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """What is merged, in whichever form it was written."""
        module = self.modules.get(_MODULE)
        inside, own = (f"modules.{_MODULE}.", module) if module is not None else ("", self)
        levels = (self.parameters,) if module is None else (module.parameters, self.parameters)
        if not own.slices:
            return (Stretch(f"{inside}models", own.models, self.base_model, levels),)
        return tuple(
            Stretch(
                f"{inside}slices[{number}].sources",
                part.sources,
                part.base_model if part.base_model is not None else self.base_model,
                (part.parameters, *levels),
            )
            for number, part in enumerate(own.slices)
        )

    @property
    def model_names(self) -> tuple[str, ...]:
        """Every model, once each: the base first; and whose tokenizer it is, if that is another."""
        found = [self.base_model] if self.base_model is not None else []
        for stretch in self.stretches:
            found += [stretch.base_model] if stretch.base_model is not None else []
            found += [entry.model for entry in stretch.entries]
        if self.vocabulary is not None and self.vocabulary.source not in ("base", "union"):
            found.append(self.vocabulary.source)
        return tuple(dict.fromkeys(found))

    @model_validator(mode="after")
    def _check(self) -> MergekitConfig:
        method = find_method(self.merge_method)
        faults = list(_faults(self, method))
        if faults:
            raise ValueError("\n".join(faults))
        return self


def find_method(name: str) -> Method:
    """The row of a method; ValueError with the nearest name if there is none."""
    if name in METHODS:
        return METHODS[name]
    near, known = _nearest(name.lower().replace("-", "_"), METHODS), ", ".join(METHODS)
    raise ValueError(f"merge_method {name!r} is unknown; {near}" + ("" if known in near else f" (available: {known})"))


def _nearest(name: str, valid: Iterable[str]) -> str:
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names)}"


def _faults(config: MergekitConfig, method: Method) -> Iterator[str]:
    """Everything that is wrong with a configuration whose keys and types are right."""
    if config.modules and list(config.modules) != [_MODULE]:
        named = ", ".join(config.modules)
        yield f"modules: {named}: only one module, {_MODULE}, is merged; models of several (that see or hear) are not"
        return
    module = config.modules.get(_MODULE, Module())
    ways = [bool(way) for way in (config.models, config.slices, module.models, module.slices)]
    if sum(ways) != 1:
        yield "models: give either models (whole) or slices (of layers), not " + ("both" if any(ways) else "neither")
        return
    if config.tokenizer is not None and config.tokenizer_source is not None:
        yield "tokenizer: tokenizer_source says the same; keep one of them"
    if config.vocabulary is not None and config.vocabulary.source == "base" and config.base_model is None:
        yield "tokenizer source: base, but there is no base_model; name a model or write union"
    inside = f"modules.{_MODULE}." if config.modules else ""
    levels = {"parameters": config.parameters, f"modules.{_MODULE}.parameters": module.parameters}
    for where, level in levels.items():
        yield from parameter_faults(where, level, config.merge_method, method.parameters)
    for number, part in enumerate(config.slices or module.slices):
        where = f"{inside}slices[{number}]"
        yield from parameter_faults(f"{where}.parameters", part.parameters, config.merge_method, method.parameters)
        yield from _range_faults(where, part)
    missing = [stretch for stretch in config.stretches if stretch.base_model is None and method.base == "needed"]
    if missing:
        yield f"base_model: is missing; {config.merge_method} needs one"
    for stretch in config.stretches:
        yield from _stretch_faults(config.merge_method, method, stretch)


def _range_faults(where: str, part: Slice) -> Iterator[str]:
    lengths = {entry.layer_range[1] - entry.layer_range[0] for entry in part.sources}
    for number, entry in enumerate(part.sources):
        first, last = entry.layer_range
        if not 0 <= first <= last:
            yield (
                f"{where}.sources[{number}].layer_range: [{first}, {last}] is no range; write [first layer, the one behind "
                "the last], counted from 0"
            )
            return
    if len(lengths) > 1:
        ranges = ", ".join(f"{list(entry.layer_range)} of {entry.model}" for entry in part.sources)
        yield (
            f"{where}.sources: {ranges}: the sources of a slice are merged layer by layer and need equally many; to stack "
            "layers, give each range a slice of its own"
        )


def _stretch_faults(name: str, method: Method, stretch: Stretch) -> Iterator[str]:
    where, base = stretch.where, stretch.base_model
    if method.base == "none" and base is not None:
        yield f"base_model: {name} uses none; leave it out"
    listed = [(entry.model, getattr(entry, "layer_range", None)) for entry in stretch.entries]
    for model in sorted({model for model, layers in listed if listed.count((model, layers)) > 1}):
        yield f"{where}: {model} is listed more than once; give it one entry with the sum of the weights"
    ranges = {layers for _, layers in listed}
    if base is not None and base not in (model for model, _ in listed) and len(ranges) > 1:
        yield f"{where}: the sources have different layers, and those of the base {base} are not said; list it with its own"
    contributing = stretch.contributing(method)
    fewest, most = method.num_models
    if len(contributing) < fewest or (most is not None and len(contributing) > most):
        wanted = f"exactly {most}" if most == fewest else f"at least {fewest}"
        besides = " besides the base" if method.base == "needed" else ""
        yield f"{where}: {name} takes {wanted}{besides}, found {len(contributing)}"
    for number, entry in enumerate(stretch.entries):
        here = f"{where}[{number}].parameters"
        if entry not in contributing and entry.parameters != ModelParameters():
            yield f"{here}: {entry.model} is the base, whose delta is zero; it takes no parameters"
            continue
        yield from parameter_faults(here, entry.parameters, name, method.parameters)
        unweighted = all(level.weight is None for level in (entry.parameters, *stretch.levels))
        if unweighted and entry in contributing and "weight" in method.parameters:
            yield f"{here}.weight: is missing for {entry.model}; {name} needs one (here or in parameters)"
    if "t" in method.parameters and all(level.t is None for level in stretch.levels):
        yield f"parameters.t: is missing; {name} needs it (0 is the base)"


def read_merge_config(path: Path) -> MergekitConfig:
    """Reads mergekit's YAML.

    Raises:
        UserError: one line a fault, all faults of form at once, each with its dotted path and the nearest valid name.
    """
    return parse_merge_config(read_merge_mapping(path), path)


def read_merge_mapping(path: Path) -> dict[str, Any]:
    """Mergekit's YAML as it is, before any check; the values of a search are written into it."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a merge configuration in YAML")
    return read_yaml_mapping(path, "expected a mapping with merge_method and models")


def parse_merge_config(value: Mapping[str, Any], path: Path) -> MergekitConfig:
    """Checks what mergekit's YAML holds; as `read_merge_config`, whose file is `path`."""
    try:
        return MergekitConfig.model_validate(value)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in _explain(error))) from error


#: What pydantic says in Python's words.
_TYPES = {
    "model_type": "expected a mapping of keys",
    "tuple_type": "expected a list",
    "dict_type": "expected a mapping",
}


def _explain(error: ValidationError) -> list[str]:
    """A line for each fault."""
    lines: list[str] = []
    faults = error.errors()
    for fault in faults:
        inner = (other["loc"] for other in faults if len(other["loc"]) > len(fault["loc"]))
        if fault["type"] == "too_short" and any(loc[: len(fault["loc"])] == fault["loc"] for loc in inner):
            continue  # its only item is the one with a fault
        parts = [part for part in fault["loc"] if not (isinstance(part, str) and re.search(r"[\[(]", part))]
        dotted = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, parts)))
        if fault["type"] == "extra_forbidden":
            lines.append(f"{dotted}: {_unknown(str(parts[-1]), parts[:-1])}")
        elif fault["type"] == "missing":
            lines.append(f"{dotted}: is missing; it must be given")
        elif fault["type"] == "value_error":
            lines += [f"{dotted}: {line}" if dotted else line for line in str(fault["ctx"]["error"]).split("\n")]
        else:
            said = _TYPES.get(fault["type"], fault["msg"])
            found = repr(fault["input"])
            found = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}…"
            lines.append(f"{dotted}: {said[0].lower()}{said[1:]} (found {found})")
    return printable(list(dict.fromkeys(lines)))


def _unknown(key: str, parents: Sequence[int | str]) -> str:
    """What to say of a key that is not known, with the nearest that is."""
    if parents and parents[0] == "tokenizer":
        return unknown_key(key, tuple(parents))
    per_model = "models" in parents or "sources" in parents
    if "parameters" in parents:
        names = parameter_names(ModelParameters if per_model else GlobalParameters)
        if per_model and key in parameter_names(GlobalParameters):
            return "is not a parameter of one model; it belongs under the `parameters` of the merge or of a slice"
        return f"unknown key; {_nearest(key, names)}"
    if "sources" in parents:
        return f"unknown key; {_nearest(key, SliceSource.model_fields)}"
    if "models" in parents:
        return f"unknown key; {_nearest(key, ModelEntry.model_fields)}"
    if "modules" in parents and "slices" not in parents:
        return f"unknown key; {_nearest(key, Module.model_fields)}"
    if "slices" in parents:
        if key in MergekitConfig.model_fields and key != "models":
            return "is not a key of a slice; it holds for the whole merge and stands at the top"
        return f"unknown key; {_nearest(key, Slice.model_fields)}"
    return f"unknown key; {_nearest(key, MergekitConfig.model_fields)}"
