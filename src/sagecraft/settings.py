"""Faults in settings, said so that a person can mend them: dotted path, what is wrong, the nearest valid name."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sagecraft.errors import UserError


def read_yaml_mapping(path: Path, expected: str) -> dict[str, Any]:
    """A settings file as a mapping; `expected` says what its top level is ("a recipe is a mapping of sections")."""
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: {expected}, found {type(value).__name__}")
    return value


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A line for each fault: dotted path, what is wrong, and for an unknown key the nearest one."""
    lines = []
    for fault in error.errors():
        # pydantic puts the branch of a union into the path; what the user wrote has no such part
        path = [str(part) for part in fault["loc"] if not (isinstance(part, str) and not part.isidentifier())]
        path = [part for part in path if part not in ("str", "SourceConfig")]
        dotted = ".".join(path)
        if fault["type"] == "extra_forbidden":
            names = _valid_names(model, path[:-1])
            near = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(sorted(names))}"
            lines.append(f"{dotted}: unknown key; {hint}")
        elif fault["type"] == "missing":
            lines.append(f"{dotted}: is missing; it must be given")
        else:
            lines.append(f"{dotted}: {fault['msg'][0].lower()}{fault['msg'][1:]} (found {fault['input']!r})")
    return list(dict.fromkeys(lines))


def _valid_names(model: type[BaseModel], path: Iterable[str]) -> list[str]:
    current: type[BaseModel] | None = model
    for part in path:
        if current is None or part not in current.model_fields:
            break
        current = model_of(current.model_fields[part].annotation)
    return list(current.model_fields) if current is not None else []


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model behind `Model` or `Model | None`."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        candidates = [model_of(part) for part in typing.get_args(annotation)]
        return next((candidate for candidate in candidates if candidate is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


@contextmanager
def explained(model: type[BaseModel], where: str) -> Iterator[None]:
    """Turns a faulty setting into one clear line a fault."""
    try:
        yield
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in explain(error, model))) from error
