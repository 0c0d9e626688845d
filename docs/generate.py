"""Writes docs/recipe.md from the configuration classes, so that the reference cannot drift from the code.

python docs/generate.py
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sagecraft.recipe import Recipe
from sagecraft.settings import model_of

HEAD = """# Every key of a recipe

Written by `docs/generate.py` from the classes that read the keys; do not edit it. A section that is left out is a stage that is left out.
Any key can be overridden: `sagecraft run RECIPE --set section.key=value`, the value in YAML.
An unknown key, a wrong type, a missing file or a stage that needs what none makes is reported before anything starts, all faults at once.
"""


def explanations(model: type[BaseModel]) -> dict[str, str]:
    """Field → explanation, from the class docstrings' `Attributes:` and from `Field(description=…)`."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        text = inspect.cleandoc(base.__doc__ or "") if issubclass(base, BaseModel) and base is not BaseModel else ""
        _, _, attributes = text.partition("Attributes:\n")
        for entry in re.split(r"\n(?=    \w+:)", attributes.rstrip()):
            name, _, rest = entry.strip().partition(":")
            if rest:
                found[name] = " ".join(rest.split())
    for name, field in model.model_fields.items():
        if field.description:
            found[name] = " ".join(field.description.split())
    return found


def type_name(annotation: Any) -> str:
    """A type as a reader of YAML would say it."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(parts[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_name(part) for part in parts))
    if origin is typing.Literal:
        return " or ".join(str(part) for part in parts)
    if origin is not None:
        inner = ", ".join(type_name(part) for part in parts if part is not Ellipsis)
        return f"{origin.__name__} of {inner}"
    if annotation is type(None):
        return "null"
    return str(getattr(annotation, "__name__", annotation))


def is_setting(annotation: Any) -> bool:
    """True of a value that may also be a list, or a list of values by filter (`merging.parameters`)."""
    return typing.get_origin(annotation) is typing.Annotated or any(map(is_setting, typing.get_args(annotation)))


def table(model: type[BaseModel], prefix: str, settings: list[type[BaseModel]]) -> list[str]:
    """Rows of one class, and of the classes inside it; those of `settings` have been explained."""
    explained = explanations(model)
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    later: list[str] = []
    for name, field in model.model_fields.items():
        inner = model_of(field.annotation)
        default = "required" if field.is_required() else field.get_default(call_default_factory=True)
        if isinstance(default, BaseModel) or default is PydanticUndefined:
            default = "see below"
        label = f"{prefix}{name.rstrip('_')}"  # `lambda_` is `lambda` in YAML
        kind = type_name(field.annotation)
        if inner is not None and is_setting(field.annotation):
            kind = f"{kind.partition(' or tuple')[0]}, a list over the layers, or a list of {inner.__name__}"
        text = explained.get(name, "").replace("|", "\\|")
        rows.append(f"| `{label}` | {kind} | {default if default == 'required' else f'`{default}`'} | {text} |")
        if inner is not None and inner not in settings:
            settings += [inner] if is_setting(field.annotation) else []
            many = kind.startswith(("list", "tuple")) or is_setting(field.annotation)
            later += ["", *table(inner, f"{label}[]." if many else f"{label}.", settings)]
    return rows + later


def render() -> str:
    """The whole page."""
    parts = [HEAD]
    top = ["| key | |", "|---|---|"]
    for name, field in Recipe.model_fields.items():
        inner = model_of(field.annotation)
        if inner is None:
            top.append(f"| `{name}` | {field.description or ''} |")
            continue
        summary = inspect.cleandoc(inner.__doc__ or "").splitlines()[0]
        parts.append(f"\n## `{name}`: {summary}\n\n" + "\n".join(table(inner, f"{name}.", [])) + "\n")
    return parts[0] + "\n" + "\n".join(top) + "\n" + "".join(parts[1:])


if __name__ == "__main__":
    (Path(__file__).parent / "recipe.md").write_text(render(), encoding="utf-8")
