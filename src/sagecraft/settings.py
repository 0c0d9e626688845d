"""Faults in settings, said so that a person can mend them: dotted path, what is wrong, the nearest valid name."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

import yaml
from pydantic import BaseModel, ValidationError

from sagecraft.errors import UserError

#: Characters of a faulty value, or of a parser's complaint, that a message shows.
_SHOWN = 200
#: Characters of a message, and messages of one file.
_LINE, _MAX_LINES = 1000, 100
#: Characters of a settings file, and values in it when every alias stands for what it names: ours have some 100 lines.
_MAX_CHARACTERS, _MAX_VALUES = 2_000_000, 200_000


class _Loader(yaml.SafeLoader):
    """YAML without two of its traps: a key given twice, of which the first is lost, and `2e-4`, which is a text in YAML 1.1."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As the base class; a key that stands twice in one mapping is an error."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE_KEY:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value!r} is given twice; keep one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


_MERGE_KEY = "tag:yaml.org,2002:merge"
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def parse_yaml(text: str, where: str) -> Any:
    """One YAML value; `where` names the file or the option in the error."""
    if len(text) > _MAX_CHARACTERS:
        raise UserError(f"{where}: {len(text):,} characters are too many for settings; at most {_MAX_CHARACTERS:,}")
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return None
        num_values = _num_values(root, {})
        if num_values > _MAX_VALUES:
            raise UserError(
                f"{where}: holds {num_values:,} values, aliases counted; settings have at most {_MAX_VALUES:,}"
            )
        return loader.construct_document(root)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2026-99-99
        raise UserError(f"{where}: not valid YAML ({' '.join(str(error).split())[:_SHOWN]})") from error


def _num_values(node: yaml.Node, counted: dict[int, int | None]) -> int:
    """How many values a tree has when every alias stands for what it names: nine lists of nine aliases have 3.9e8."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = None  # it is being counted
        parts = [part for pair in node.value for part in pair] if isinstance(node, yaml.MappingNode) else node.value
        counted[id(node)] = 1 + sum(_num_values(part, counted) for part in parts)
    number = counted[id(node)]
    if number is None:
        raise ValueError("an alias stands inside of what it names")
    return number


def read_yaml_mapping(path: Path, expected: str) -> dict[str, Any]:
    """A settings file as a mapping; `expected` says what its top level is ("a recipe is a mapping of sections")."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_CHARACTERS + 1)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not valid YAML ({error})") from error
    value = parse_yaml(text, str(path))
    if not isinstance(value, dict):
        raise UserError(f"{path}: {expected}, found {type(value).__name__}")
    return value


def printable(lines: Sequence[str]) -> list[str]:
    """Messages that quote a stranger's file: each stays one line of a sensible length, and they stay countable."""
    shown = [
        "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in line[:_LINE])
        + ("…" if len(line) > _LINE else "")
        for line in lines[:_MAX_LINES]
    ]
    return shown if len(lines) <= _MAX_LINES else [*shown, f"and {len(lines) - _MAX_LINES:,} more faults"]


def explain(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """A line for each fault: dotted path, what is wrong, and for an unknown key the nearest one."""
    lines = []
    for fault in error.errors():
        place = _place(model, fault["loc"])
        # of `str | SourceConfig` pydantic tries both: who wrote a mapping meant the second
        if place.branch == "value" and isinstance(fault["input"], dict):
            continue
        if place.branch == "model" and fault["type"] == "model_type":
            continue
        lines.append(f"{place.dotted}: {_said(fault, place)}" if place.path else _said(fault, place))
    return printable(list(dict.fromkeys(lines)))


def _said(fault: Any, place: _Place) -> str:
    if fault["type"] == "extra_forbidden":
        return f"unknown key; {_nearest(str(place.path[-1]), place.owner)}"
    if fault["type"] == "missing":
        return "is missing; it must be given"
    found = repr(fault["input"])
    shown = found if len(found) <= _SHOWN else f"{found[:_SHOWN]}…"
    if fault["type"] == "model_type":
        return f"expected a mapping of keys (found {shown})"
    text = str(fault["ctx"]["error"]) if fault["type"] == "value_error" else fault["msg"]
    return f"{text[:1].lower()}{text[1:]} (found {shown})"


def _nearest(key: str, owner: type[BaseModel] | None) -> str:
    """What an unknown key may have been: a key of this section, or of a section inside it."""
    fields = owner.model_fields if owner is not None else {}
    for name, field in fields.items():
        inner = model_of(field.annotation)
        if inner is not None and key in (part.rstrip("_") for part in inner.model_fields):
            return f"did you mean {f'{name}.{key}'!r}?"
    names = [name.rstrip("_") for name in fields]  # `lambda_` is `lambda` in YAML
    near = difflib.get_close_matches(key.replace("-", "_"), names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(sorted(names))}"


@dataclass
class _Place:
    """Where a fault is.

    Attributes:
        path: keys and list positions, as the user wrote them.
        owner: the model whose key the last part is.
        branch: `model` or `value` if it is a fault of one alternative of `value | model`.
    """

    path: list[str | int]
    owner: type[BaseModel] | None = None
    branch: str | None = None

    @property
    def dotted(self) -> str:
        """`a.b[0].c`."""
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path).removeprefix(".")


def _place(model: type[BaseModel], loc: Sequence[str | int]) -> _Place:
    """Follows pydantic's `loc` along the annotations: it names the alternatives of a union, which nobody wrote."""
    place, annotation = _Place([]), cast(Any, model)
    for part in loc:
        alternatives = _alternatives(annotation)
        if len(alternatives) > 1:
            chosen = [one for one in alternatives if (inner := model_of(one)) and inner.__name__ in str(part)]
            place.branch = "model" if chosen else "value"
            annotation = chosen[0] if chosen else None
            continue
        place.path.append(part)
        annotation = alternatives[0] if alternatives else None
        inner = model_of(annotation)
        if inner is not None and isinstance(part, str):
            place.owner = inner
            field = inner.model_fields.get(part, inner.model_fields.get(f"{part}_"))  # `lambda` in YAML is `lambda_`
            annotation = field.annotation if field is not None else None
        else:
            inside = [one for one in typing.get_args(annotation) if one is not Ellipsis]
            annotation = inside[-1] if inside else None
    return place


def _alternatives(annotation: Any) -> list[Any]:
    """The members of a union without None; of anything else itself."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return [annotation]
    return [part for part in typing.get_args(annotation) if part is not type(None)]


def model_of(annotation: Any) -> type[BaseModel] | None:
    """The model behind `Model`, `Model | None`, `list[str | Model]` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, Annotated, list, tuple):
        found = (model_of(part) for part in typing.get_args(annotation))
        return next((model for model in found if model is not None), None)
    return None


@contextmanager
def explained(model: type[BaseModel], where: str) -> Iterator[None]:
    """Turns a faulty setting into one clear line a fault."""
    try:
        yield
    except ValidationError as error:
        raise UserError("\n".join(f"{where}: {line}" for line in explain(error, model))) from error


def dump(config: BaseModel) -> dict[str, Any]:
    """All of a configuration as plain values, also what its fingerprint leaves out (fields with `exclude`)."""
    values = config.model_dump(mode="json")
    for name in type(config).model_fields:
        value = getattr(config, name)
        values[name] = dump(value) if isinstance(value, BaseModel) else values.get(name, value)
    return values
