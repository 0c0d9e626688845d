"""Parameters of a merge: what may be given where, and the value of each for one tensor.

Every parameter may be one value, a gradient over the layers, or a list of {filter, value} by the tensor's name, and it may
stand at several levels, of which the closest to the tensor counts: a slice's model, a slice, a model, the whole merge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

Dtype = Literal["float32", "bfloat16", "float16"]
Rescale = Literal["inverse_density", "l1", "off"]
SignTies = Literal["none", "positive"]
Value = bool | float | str


class FilteredValue(BaseModel):
    """A value for the tensors whose name contains `filter` (none, or `*`: all the others)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    filter: str | None = Field(
        default=None, description="part of a tensor's name, such as `self_attn`; null or `*` is all others"
    )
    value: Value | tuple[Value, ...] = Field(description="a value, or several that are spread over the layers")


@dataclass(frozen=True)
class _Kind:
    """What the values of a parameter are: in words, and a function that reads one or raises ValueError."""

    one: str
    many: str
    read: Callable[[object], Value]

    def __call__(self, value: object) -> object:
        """Says in words what a setting may be, where pydantic would list the failures of three alternatives."""
        if value is None or isinstance(value, FilteredValue):
            return value
        if isinstance(value, list | tuple) and value:
            if all(isinstance(item, dict | FilteredValue) for item in value):
                return tuple(self._filtered(item) for item in value)
            if not any(isinstance(item, dict | FilteredValue) for item in value):
                return tuple(self._read(item) for item in value)
        elif isinstance(value, dict):
            return (self._filtered(value),)
        elif not isinstance(value, list | tuple):
            return self._read(value)
        raise ValueError(
            f"expected {self.one}, {self.many} (a gradient over the layers) or a list of {{filter, value}}"
        )

    def _read(self, value: object) -> Value:
        try:
            return self.read(value)
        except ValueError as error:
            raise ValueError(
                f"expected {self.one}, {self.many} (a gradient over the layers) or a list of {{filter, value}}, "
                f"found {value!r}"
            ) from error

    def _filtered(self, item: dict[str, Any] | FilteredValue) -> FilteredValue:
        if isinstance(item, FilteredValue):
            return item
        unknown = [key for key in item if key not in ("filter", "value")]
        if unknown:
            raise ValueError(f"key {unknown[0]!r} is unknown here; valid: filter, value")
        name, value = item.get("filter"), item.get("value")
        if name is not None and (not isinstance(name, str) or not name):
            raise ValueError(
                f"filter {name!r} is no part of a tensor's name; write text such as self_attn, or leave it out"
            )
        try:
            if isinstance(value, list | tuple) and value:
                return FilteredValue(filter=name, value=tuple(self.read(part) for part in value))
            return FilteredValue(filter=name, value=self.read(value))
        except ValueError as error:
            raise ValueError(f"value {value!r} of filter {name!r} is neither {self.one} nor {self.many}") from error


def _number(value: object) -> float:
    """A number; also in quotes, as mergekit takes it."""
    if isinstance(value, str):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise ValueError


def _switch(value: object) -> bool:
    if isinstance(value, bool) or value in (0, 1):
        return bool(value)
    raise ValueError


def _rescale(value: object) -> Value:
    """YAML's bare true, false, on and off arrive as booleans; true is the DARE paper's 1/density."""
    if isinstance(value, bool):
        return "inverse_density" if value else "off"
    if value in ("inverse_density", "l1", "off"):
        return str(value)
    raise ValueError


def _sign_ties(value: object) -> Value:
    if value in ("none", "positive"):
        return str(value)
    raise ValueError


_NUMBER = _Kind("a number", "a list of numbers", _number)
_SWITCH = _Kind("true or false", "a list of them", _switch)
_RESCALE = _Kind("'inverse_density', 'l1' or 'off'", "a list of them", _rescale)
_SIGN_TIES = _Kind("'none' or 'positive'", "a list of them", _sign_ties)

Setting = Annotated[float | tuple[float, ...] | tuple[FilteredValue, ...], BeforeValidator(_NUMBER)]
Switch = Annotated[bool | tuple[bool, ...] | tuple[FilteredValue, ...], BeforeValidator(_SWITCH)]
#: `true` is `inverse_density` (1/density, arXiv:2311.03099); mergekit's `true` since 2025 is `l1`.
RescaleSetting = Annotated[Rescale | tuple[Rescale, ...] | tuple[FilteredValue, ...], BeforeValidator(_RESCALE)]
SignTiesSetting = Annotated[SignTies | tuple[SignTies, ...] | tuple[FilteredValue, ...], BeforeValidator(_SIGN_TIES)]


class ModelParameters(BaseModel):
    """What one model contributes.

    Attributes:
        weight: factor of the model, or of its delta.
        density: share of the delta's elements that are kept, 0 to 1; 1 keeps all.
        gamma: share of the largest elements that breadcrumbs drop (default 0.01).
        scale: factor of a model that is passed through (default 1).
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
    """What holds for the whole merge, or for a slice; a weight or density given here is that of every model without its own.

    Attributes:
        normalize: divide by the weights; on by default for linear, ties and della only, as in mergekit.
        rescale: what a thinned delta is multiplied by: `inverse_density` (1/density, the DARE paper, and what `true`
            means here), `l1` (so that its L1 norm in each tensor is the one before; what mergekit's `true` means) or
            `off`. Default: inverse_density for DARE and DELLA, off for ties.
        lambda_: factor of the merged delta (`lambda` in YAML); 1 adds the deltas as weighted.
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

    normalize: Switch | None = None
    rescale: RescaleSetting | None = None
    lambda_: Setting | None = Field(
        default=None, validation_alias=AliasChoices("lambda", "lambda_"), serialization_alias="lambda"
    )
    t: Setting | None = None
    sign_ties: SignTiesSetting | None = None
    normalize_weights: Switch | None = None
    eps: Setting | None = None
    max_iter: Setting | None = None
    tol: Setting | None = None
    nuslerp_flatten: Switch | None = None
    nuslerp_row_wise: Switch | None = None
    filter_wise: Switch | None = None
    select_topk: Setting | None = None
    r: Setting | None = None
    alpha: Setting | None = None
    int8_mask: Switch | None = None


#: What a number has to be, and how that is said.
_RANGES: dict[str, tuple[Callable[[float], bool], str]] = {
    "density": (lambda x: 0 <= x <= 1, "within [0, 1]; it is the share of elements that are kept"),
    "gamma": (lambda x: 0 <= x <= 1, "within [0, 1]; it is the share of the largest elements"),
    "epsilon": (lambda x: x >= 0, "0 or more"),
    "eps": (lambda x: x > 0, "above 0"),
    "max_iter": (lambda x: x >= 0 and x == int(x), "a whole number, 0 or more"),
    "tol": (lambda x: x >= 0, "0 or more"),
    "select_topk": (lambda x: 0 < x <= 1, "within (0, 1]; it is the share of elements that are merged"),
    "alpha": (lambda x: x >= 0, "0 or more"),
}


def parameter_names(model: type[BaseModel]) -> list[str]:
    """Names as YAML writes them."""
    return [name.rstrip("_") for name in model.model_fields]


def given(parameters: ModelParameters) -> Iterator[tuple[str, Any]]:
    """What was given, by the names of YAML."""
    for name in type(parameters).model_fields:
        value = getattr(parameters, name)
        if value is not None:
            yield name.rstrip("_"), value


def parameter_faults(where: str, parameters: ModelParameters, method: str, reads: Sequence[str]) -> Iterator[str]:
    """Parameters that the method would ignore, and numbers outside their range."""
    for name, value in given(parameters):
        if name == "int8_mask":
            continue
        if name not in reads:
            yield f"{where}.{name}: {method} does not read it; it reads {', '.join(reads) or 'no parameters'}"
        elif name in _RANGES:
            holds, meaning = _RANGES[name]
            wrong = next((number for number in values_of(value) if not holds(float(number))), None)
            if wrong is not None:
                yield f"{where}.{name}: {wrong!r} is not {meaning}"


def values_of(setting: Any) -> list[Any]:
    """Every value that stands in a setting."""
    if isinstance(setting, FilteredValue):
        return values_of(setting.value)
    if isinstance(setting, tuple):
        return [value for item in setting for value in values_of(item)]
    return [setting]


def value_at(setting: Any, tensor: str, depth: float) -> Any:
    """The value of a setting for one tensor.

    Args:
        setting: a value, a gradient (points spread evenly over the layers, straight lines between them; of what is no
            number the point before), or a list of {filter, value}, of which the first whose filter is in the name counts.
        tensor: its name.
        depth: 0 for the first layer and 1 for the last; 0 for what belongs to no layer.

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
        if not isinstance(setting[left], float):
            return setting[left]
        return setting[left] + (setting[right] - setting[left]) * (place - left)
    return setting
