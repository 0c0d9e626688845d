"""Merge configurations: mergekit's YAML read strictly, and the values of a parameter for one tensor.

An unknown key or parameter is an error that names the nearest valid one, and so is a parameter that the chosen method
does not read: a misspelt `desnity` must not quietly merge at density 1.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sagecraft.errors import UserError
from sagecraft.merging.geometry import Options
from sagecraft.merging.methods import METHODS, Method
from sagecraft.merging.tokenizer import TokenizerSettings, unknown_key
from sagecraft.settings import read_yaml_mapping

Dtype = Literal["float32", "bfloat16", "float16"]
Rescale = Literal["inverse_density", "l1", "off"]

#: Keys of mergekit that are understood but not offered: the message says so instead of "unknown".
_NOT_OFFERED = ("slices", "modules")


class FilteredValue(BaseModel):
    """A value for the tensors whose name contains `filter` (none, or `*`: all the others)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    filter: str | None = Field(
        default=None, description="part of a tensor's name, such as `self_attn`; null or `*` is all others"
    )
    value: float | tuple[float, ...] = Field(description="a number, or several that are spread over the layers")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_setting(value: object) -> object:
    """Says in words what a setting may be, where pydantic would list the failures of three alternatives."""
    if value is None or _is_number(value) or isinstance(value, FilteredValue):
        return value
    if isinstance(value, list | tuple) and value:
        if all(_is_number(item) for item in value):
            return tuple(value)
        if all(isinstance(item, dict | FilteredValue) for item in value):
            return tuple(_filtered(item) for item in value)
    raise ValueError("expected a number, a list of numbers (a gradient over the layers) or a list of {filter, value}")


def _filtered(item: dict[str, Any] | FilteredValue) -> FilteredValue:
    if isinstance(item, FilteredValue):
        return item
    unknown = [key for key in item if key not in ("filter", "value")]
    if unknown:
        raise ValueError(f"key {unknown[0]!r} is unknown here; valid: filter, value")
    value = item.get("value")
    if not (_is_number(value) or (isinstance(value, list | tuple) and value and all(map(_is_number, value)))):
        raise ValueError(f"value {value!r} of filter {item.get('filter')!r} is neither a number nor a list of numbers")
    return FilteredValue(filter=item.get("filter"), value=tuple(value) if isinstance(value, list | tuple) else value)


def _parse_rescale(value: object) -> object:
    """YAML's bare true, false, on and off arrive as booleans; true is the DARE paper's 1/density."""
    if isinstance(value, bool):
        return "inverse_density" if value else "off"
    return value


Setting = Annotated[float | tuple[float, ...] | tuple[FilteredValue, ...], BeforeValidator(_check_setting)]
#: `true` is `inverse_density` (1/density, arXiv:2311.03099); mergekit's `true` since 2025 is `l1`.
RescaleSetting = Annotated[Rescale, BeforeValidator(_parse_rescale)]


class ModelParameters(BaseModel):
    """What one model contributes.

    Attributes:
        weight: factor of the model, or of its delta.
        density: share of the delta's elements that are kept, in (0, 1]; 1 keeps all.
        gamma: share of the largest elements that breadcrumbs drop (default 0.01).
        scale: factor of a model that is passed through.
        epsilon: half the range of DELLA's probabilities (default 0.15); RAM's smallest change (default 1e-5) is one for all
            models and stands under the top-level `parameters`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    weight: Setting | None = None
    density: Setting | None = None
    gamma: Setting | None = None
    scale: Setting | None = None
    epsilon: Setting | None = None


class GlobalParameters(ModelParameters):
    """What holds for the whole merge; a weight or density given here is that of every model without its own.

    Attributes:
        normalize: divide by the weights; on by default for linear and ties only, as in mergekit.
        rescale: what a thinned delta is multiplied by: `inverse_density` (1/density, the DARE paper, and what `true`
            means here), `l1` (so that its L1 norm in each tensor is the one before; what mergekit's `true` means) or
            `off`. Default: inverse_density for DARE, off for ties.
        lambda_: factor of the merged delta (`lambda` in YAML).
        t: SLERP's way from base (0) to the other model (1); nearswap's distance from the base.
        sign_ties: what an exactly tied sign election does: `none` leaves the element at its base value, as the
            paper's sgn(0) = 0; `positive` elects plus, as mergekit does.
        normalize_weights: multi-SLERP's weights are divided by their sum (default true).
        eps: length of a mean below which multi-SLERP takes directions as opposite (default 1e-8).
        max_iter: most steps to the Karcher mean (default 10).
        tol: angle in radians below which a step to the Karcher mean is the last (default 1e-5).
        nuslerp_flatten: NuSLERP of the whole tensor (default true), else along its last axis.
        nuslerp_row_wise: without flattening, along the first axis instead (default false).
        filter_wise: model stock with a share of its own for each row (default false).
        select_topk: share of the elements, those of the largest variance, that SCE merges (default 1).
        r: how much RAM+ enlarges what only one model changed, for each unit of overlap (default 0.1).
        alpha: largest overlap that counts there (default 0.2).
        int8_mask: mergekit's way of saving memory; masks here never exist as a whole, so it changes nothing.
    """

    normalize: bool | None = None
    rescale: RescaleSetting | None = None
    lambda_: float | None = Field(default=None, alias="lambda", allow_inf_nan=False)
    t: Setting | None = None
    sign_ties: Literal["none", "positive"] | None = None
    normalize_weights: bool | None = None
    eps: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_iter: int | None = Field(default=None, ge=0)
    tol: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    nuslerp_flatten: bool | None = None
    nuslerp_row_wise: bool | None = None
    filter_wise: bool | None = None
    select_topk: float | None = Field(default=None, gt=0, le=1)
    r: float | None = Field(default=None, allow_inf_nan=False)
    alpha: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    int8_mask: bool = False


class ModelEntry(BaseModel):
    """One model of the list."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    parameters: ModelParameters = ModelParameters()


class MergekitConfig(BaseModel):
    """A merge as mergekit's YAML writes it, and our `seed`.

    Attributes:
        merge_method: a name of `METHODS`.
        models: folders with their parameters; the base may stand among them, without parameters. `folder+adapter` is
            a folder with a LoRA adapter of peft added.
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
    models: tuple[ModelEntry, ...] = Field(min_length=1)
    base_model: str | None = None
    parameters: GlobalParameters = GlobalParameters()
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
    known = ", ".join(METHODS)
    raise ValueError(f"merge_method {name!r} is unknown; {_nearest(name, METHODS)} (available: {known})")


def _nearest(name: str, valid: Iterable[str]) -> str:
    names = list(valid)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names)}"


def _faults(config: MergekitConfig, method: Method) -> Iterable[str]:
    """Everything that is wrong with a configuration whose keys and types are right."""
    name = config.merge_method
    if method.base == "needed" and config.base_model is None:
        yield f"base_model: is missing; {name} needs one"
    if method.base == "none" and config.base_model is not None:
        yield f"base_model: {name} uses none; leave it out"
    if config.tokenizer is not None and config.tokenizer_source is not None:
        yield "tokenizer: tokenizer_source says the same; keep one of them"
    if config.vocabulary is not None and config.vocabulary.source == "base" and config.base_model is None:
        yield "tokenizer source: base, but there is no base_model; name a model or write union"
    listed = [entry.model for entry in config.models]
    for model in sorted({model for model in listed if listed.count(model) > 1}):
        yield f"models: {model} is listed more than once; give it one entry with the sum of the weights"
    contributing = [entry for entry in config.models if not (method.base == "needed" and _is_base(config, entry))]
    fewest, most = method.num_models
    if len(contributing) < fewest or (most is not None and len(contributing) > most):
        wanted = f"exactly {most}" if most == fewest else f"at least {fewest}"
        besides = " besides the base" if method.base == "needed" else ""
        yield f"models: {name} takes {wanted}{besides}, found {len(contributing)}"
    yield from unread_parameters("parameters", config.parameters, name, method)
    for number, entry in enumerate(config.models):
        where = f"models[{number}].parameters"
        if entry not in contributing and entry.parameters != ModelParameters():
            yield f"{where}: {entry.model} is the base, whose delta is zero; it takes no parameters"
            continue
        yield from unread_parameters(where, entry.parameters, name, method)
        unweighted = entry.parameters.weight is None and config.parameters.weight is None
        if unweighted and entry in contributing and "weight" in method.parameters:
            yield f"{where}.weight: is missing for {entry.model}; {name} needs one (here or in parameters)"
    if "t" in method.parameters and config.parameters.t is None:
        yield f"parameters.t: is missing; {name} needs it (0 is the base)"


def _is_base(config: MergekitConfig, entry: ModelEntry) -> bool:
    return entry.model == config.base_model


def unread_parameters(where: str, given: BaseModel, name: str, method: Method) -> Iterable[str]:
    """Parameters that the method would ignore, and shares outside (0, 1]."""
    for key, info in type(given).model_fields.items():
        label = info.alias or key
        value = getattr(given, key)
        if value is None or label == "int8_mask":
            continue
        if label not in method.parameters:
            reads = ", ".join(method.parameters) or "no parameters"
            yield f"{where}.{label}: {name} does not read it; it reads {reads}"
        elif label == "density" and not all(0 < number <= 1 for number in _numbers(value)):
            yield f"{where}.density: {value!r} is not within (0, 1]; it is the share of elements that are kept"


def _numbers(setting: Any) -> list[float]:
    if isinstance(setting, FilteredValue):
        return _numbers(setting.value)
    if isinstance(setting, tuple):
        return [number for item in setting for number in _numbers(item)]
    return [float(setting)]


def value_at(setting: Any, tensor: str, depth: float) -> float | None:
    """The value of a setting for one tensor.

    Args:
        setting: a number, a gradient (points spread evenly over the layers, straight lines between them), or a list of
            {filter, value}, of which the first whose filter is in the name counts.
        tensor: its name.
        depth: 0 for the first layer and 1 for the last; 0 for what belongs to no layer, as in mergekit.

    Returns:
        None if no filter fits.
    """
    if isinstance(setting, tuple) and isinstance(setting[0], FilteredValue):
        for row in setting:
            if row.filter is None or row.filter == "*" or row.filter in tensor:
                return value_at(row.value, tensor, depth)
        return None
    if isinstance(setting, tuple):
        place = depth * (len(setting) - 1)
        left = min(int(place), len(setting) - 1)
        right = min(left + 1, len(setting) - 1)
        return float(setting[left] + (setting[right] - setting[left]) * (place - left))
    return float(setting)


_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")


def depths(names: Sequence[str]) -> dict[str, float]:
    """Tensor name → how deep it sits, 0 to 1 (`value_at`); embedding, last norm and head get a gradient's first value."""
    layers = {name: int(match.group(1)) for name in names if (match := _LAYER.search(f".{name}"))}
    last = max(layers.values(), default=0)
    return {name: layers[name] / last if layers.get(name) else 0.0 for name in names}


@dataclass(frozen=True)
class Source:
    """A model of a merge: its label (keys its masks), its folder and its parameters; `adapter` is added to its weights."""

    label: str
    folder: Path
    weight: Any = None
    density: Any = None
    adapter: Path | None = None
    gamma: Any = None
    scale: Any = None
    epsilon: Any = None


@dataclass(frozen=True)
class Job:
    """A merge with all defaults filled in, whichever form it was written in.

    Attributes:
        method: a name of `METHODS`.
        base: see `MergekitConfig`.
        models: those that contribute; the base is among them only if it is listed for `linear`.
        tokenizer: the model whose special tokens, chat template and tokenizer the result gets.
        vocabulary: how vocabularies are aligned; None: they must be equal.
        chat_template: `auto`, a built-in name, Jinja text, or None (the tokenizer's own).
        out_dtype: None keeps the type of each tensor in the base (or the first model).
        options: of the methods that work with angles.
    """

    method: str
    base: Source | None
    models: tuple[Source, ...]
    tokenizer: Source
    vocabulary: TokenizerSettings | None
    seed: int
    normalize: bool
    rescale: Rescale
    lambda_: float
    sign_ties: Literal["none", "positive"]
    t: Any
    chat_template: str | None
    out_dtype: Dtype | None
    options: Options = field(default_factory=Options)

    @property
    def row(self) -> Method:
        """The method's row of the table."""
        return METHODS[self.method]

    @property
    def reference(self) -> Source:
        """The model whose configuration the result gets and from which deltas are reported."""
        return self.base or self.models[0]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every model that is read, once each: the base first."""
        found = {source.label: source for source in (*((self.base,) if self.base else ()), *self.models)}
        return tuple(found.values())


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


def _explain(error: ValidationError) -> list[str]:
    """A line for each fault."""
    lines: list[str] = []
    for fault in error.errors():
        parts = [part for part in fault["loc"] if not (isinstance(part, str) and re.search(r"[\[(]", part))]
        dotted = re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, parts)))
        if fault["type"] == "extra_forbidden":
            lines.append(f"{dotted}: {_unknown(str(parts[-1]), parts[:-1])}")
        elif fault["type"] == "missing":
            lines.append(f"{dotted}: is missing; it must be given")
        elif fault["type"] == "value_error":
            lines += [f"{dotted}: {line}" if dotted else line for line in str(fault["ctx"]["error"]).split("\n")]
        else:
            lines.append(f"{dotted}: {fault['msg'][0].lower()}{fault['msg'][1:]} (found {fault['input']!r})")
    return list(dict.fromkeys(lines))


def _unknown(key: str, parents: Sequence[int | str]) -> str:
    model: type[BaseModel] = MergekitConfig
    if parents and parents[0] == "tokenizer":
        return unknown_key(key, tuple(parents))
    if parents:
        per_model = parents[0] == "models"
        model = (ModelParameters if "parameters" in parents else ModelEntry) if per_model else GlobalParameters
    if model is MergekitConfig and key in _NOT_OFFERED:
        return "is not supported yet; merge whole models with `models`"
    names = [info.alias or name for name, info in model.model_fields.items()]
    if model is ModelParameters and key in [info.alias or n for n, info in GlobalParameters.model_fields.items()]:
        return "is not a parameter of one model; it belongs under the top-level `parameters`"
    return f"unknown key; {_nearest(key, names)}"
