"""Candidates of a search: the merges that `--seeds` and `--sweep` make of one configuration.

A sweep changes the YAML's values before they are checked, so a candidate is an ordinary configuration: what a sweep may
name and what a value may be is decided where configurations are checked, and nowhere twice.
"""

from __future__ import annotations

import copy
import difflib
import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig, find_method, parse_merge_config
from sagecraft.merging.methods import METHODS, Method

#: Points of a range without a number, and candidates at most: each is merged and evaluated.
_DEFAULT_POINTS, MAX_CANDIDATES = 5, 256
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
#: The number before the dots must not swallow one of them.
_RANGE = re.compile(rf"([-+]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?)\.\.({_NUMBER})(?::(\d+))?")
_LIST = re.compile(rf"{_NUMBER}(?:,{_NUMBER})*")


@dataclass(frozen=True)
class Sweep:
    """One parameter and the values it takes.

    Attributes:
        text: as written.
        parameter: its name in YAML.
        name: what stands before the equals sign.
        model: the model whose parameter it is, as the configuration names it; None: everybody's.
        values: in the order they are tried.
    """

    text: str
    parameter: str
    name: str
    model: str | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class Candidate:
    """One merge of a search.

    Attributes:
        setting: name of each swept parameter and its value.
        config: the whole configuration, seed included.
    """

    setting: tuple[tuple[str, float], ...]
    config: MergekitConfig

    @property
    def setting_label(self) -> str:
        """The swept values as text; empty if only seeds differ."""
        return ", ".join(f"{name}={value:g}" for name, value in self.setting)

    @property
    def label(self) -> str:
        """Setting and, of a method that draws, seed."""
        parts = [self.setting_label] if self.setting else []
        if METHODS[self.config.merge_method].draws:
            parts.append(f"seed {self.config.seed}")
        return ", ".join(parts)


def make_candidates(
    value: Mapping[str, Any], path: Path, sweeps: Sequence[str], num_seeds: int | None
) -> list[Candidate]:
    """All combinations of the sweeps' values, each with every seed.

    Args:
        value: a merge configuration as YAML holds it.
        path: where it was read, for messages.
        sweeps: `PARAMETER=FROM..TO`, `PARAMETER=FROM..TO:POINTS` or `PARAMETER=A,B,C`; `models.NAME.PARAMETER` is that
            of one model.
        num_seeds: how many seeds, counted up from the configuration's; None takes that one alone.

    Raises:
        UserError: one line a fault, those of all candidates at once.
    """
    method = _method(value, path)
    parsed, faults = [], []
    for text in sweeps:
        try:
            parsed.append(_parse(text, value, method))
        except UserError as error:
            faults.append(str(error))
    targets = [(sweep.model, sweep.parameter) for sweep in parsed]
    twice = {sweep.name for sweep, target in zip(parsed, targets, strict=True) if targets.count(target) > 1}
    faults += [f"--sweep {name}: is given twice; name all its values in one" for name in sorted(twice)]
    faults += _seed_faults(num_seeds, str(value["merge_method"]), method)
    if faults:
        raise UserError("\n".join(faults))
    number = math.prod(len(sweep.values) for sweep in parsed) * (num_seeds or 1)
    if not 2 <= number <= MAX_CANDIDATES:
        hint = "give --seeds 5 or a --sweep" if number < 2 else f"at most {MAX_CANDIDATES}; take fewer points or seeds"
        raise UserError(f"the search has {number:,} candidate{'' if number == 1 else 's'}: {hint}")
    return _checked(value, path, parsed, num_seeds)


def _method(value: Mapping[str, Any], path: Path) -> Method:
    try:
        return find_method(str(value.get("merge_method")))
    except ValueError as error:
        raise UserError(f"{path}: merge_method: {error}") from error


def _seed_faults(num_seeds: int | None, name: str, method: Method) -> Iterator[str]:
    if num_seeds is None:
        return
    if num_seeds < 1:
        yield f"--seeds {num_seeds}: expected at least 1"
    elif not method.draws:
        drawing = ", ".join(other for other, row in METHODS.items() if row.draws)
        yield f"--seeds: {name} draws nothing at random, so that seeds change nothing; these draw: {drawing}"


def _parse(text: str, value: Mapping[str, Any], method: Method) -> Sweep:
    """One `--sweep`."""
    target, equals, values = text.rpartition("=")
    if not equals:
        raise UserError(f"--sweep {text}: expected PARAMETER=FROM..TO, for instance weight=0.3..0.9")
    model, parameter = _target(text, target.removeprefix("parameters."), value)
    if parameter not in method.parameters:
        name = value["merge_method"]
        reads = ", ".join(method.parameters) or "no parameters"
        if any(parameter in row.parameters for row in METHODS.values()):
            raise UserError(f"--sweep {text}: {name} does not read {parameter}; it reads {reads}")
        near = difflib.get_close_matches(parameter, method.parameters, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"{name} reads {reads}"
        raise UserError(f"--sweep {text}: unknown parameter {parameter!r}; {hint}")
    return Sweep(text, parameter, target, model, _values(text, values))


def _target(text: str, target: str, value: Mapping[str, Any]) -> tuple[str | None, str]:
    """The model, if one is named, and the parameter."""
    if not target.startswith("models."):
        return None, target
    name, _, parameter = target.removeprefix("models.").rpartition(".")
    known = list(dict.fromkeys(str(entry["model"]) for entry in _entries(value)))
    found = [model for model in known if model == name] or [model for model in known if Path(model).name == name]
    if len(found) != 1:
        what = "no model" if not found else "more than one model"
        raise UserError(f"--sweep {text}: {what} is called {name!r}; there are {', '.join(known) or 'none'}")
    return found[0], parameter


def _values(text: str, values: str) -> tuple[float, ...]:
    if match := _RANGE.fullmatch(values):
        start, stop, points = float(match[1]), float(match[2]), int(match[3] or _DEFAULT_POINTS)
        if not 2 <= points <= MAX_CANDIDATES or start == stop:
            raise UserError(f"--sweep {text}: a range has 2 to {MAX_CANDIDATES} points and two different ends")
        step = (stop - start) / (points - 1)
        # ten digits: 0.6000000000000001 is nobody's weight
        return tuple(float(f"{start + step * number:.10g}") for number in range(points))
    if not _LIST.fullmatch(values):
        raise UserError(f"--sweep {text}: expected FROM..TO, FROM..TO:POINTS or numbers such as 0.3,0.5,0.7")
    found = tuple(float(part) for part in values.split(","))
    if len(found) < 2 or len(set(found)) < len(found):
        raise UserError(f"--sweep {text}: expected at least two different values; one belongs into the configuration")
    return found


def _checked(value: Mapping[str, Any], path: Path, sweeps: Sequence[Sweep], num_seeds: int | None) -> list[Candidate]:
    """Every candidate as a configuration; the faults of all of them, each once."""
    found, faults = [], []
    for values in itertools.product(*(sweep.values for sweep in sweeps)):
        changed = copy.deepcopy(dict(value))
        for sweep, number in zip(sweeps, values, strict=True):
            _set(changed, sweep, number)
        try:
            config = parse_merge_config(changed, path)
        except UserError as error:
            faults += str(error).split("\n")
            continue
        setting = tuple((sweep.name, number) for sweep, number in zip(sweeps, values, strict=True))
        seeds = range(config.seed, config.seed + (num_seeds or 1))
        found += [Candidate(setting, config.model_copy(update={"seed": seed})) for seed in seeds]
    if faults:
        raise UserError("\n".join(dict.fromkeys(faults)))
    return found


def _set(value: dict[str, Any], sweep: Sweep, number: float) -> None:
    """Writes one value into a configuration; where it is everybody's, values of single models give way to it."""
    if sweep.model is not None:
        for entry in _entries(value):
            if entry["model"] == sweep.model:
                entry["parameters"] = {**(entry.get("parameters") or {}), sweep.parameter: number}
        return
    for mapping in _mappings(value):
        if isinstance(mapping.get("parameters"), dict):
            mapping["parameters"].pop(sweep.parameter, None)
    value["parameters"] = {**(value.get("parameters") or {}), sweep.parameter: number}


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """The models of a configuration, wherever they are listed."""
    return (mapping for mapping in _mappings(value) if isinstance(mapping.get("model"), str))


def _mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _mappings(part)
