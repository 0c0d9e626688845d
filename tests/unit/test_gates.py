"""The house's own rules: sizes, layers, configurations (DESIGN.md)."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "sagecraft"
FILES = sorted(SOURCE.rglob("*.py"))

MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 500
MAX_FIELDS = 15

#: Lowest first; a part may use itself and what stands before it. Parts of one row do not use each other,
#: unless an order is written as a row of its own.
LAYERS = [
    {"errors", "console", "settings", "reporting", "hardware"},
    {"lock", "digests"},
    {"artifact"},
    {"models"},
    {"chat"},
    {"inference"},
    {"corpus", "tokens"},
    {"literature"},
    {"evaluation"},
    {"teaching"},
    {"training", "synthesis", "benchmark", "merging"},
    {"planning", "assistant", "publishing", "launch"},
    {"recipe"},
    {"steps"},
    {"pipeline"},
    {"summary"},
    {"show"},
    {"cli"},
    {"__main__"},
]
#: Uses inside one row that are meant: packing reads documents.
ALLOWED = {("tokens", "corpus"), ("console", "errors"), ("settings", "errors"), ("reporting", "errors")}


def rank(part: str) -> int:
    return next(n for n, row in enumerate(LAYERS) if part in row)


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_sizes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_layers(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "sagecraft" else [f"sagecraft.{a.name}" for a in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if not name.startswith("sagecraft."):
                continue
            other = name.split(".")[1]
            if other in (part, "__version__"):
                continue
            below = rank(other) < rank(part)
            assert below or (part, other) in ALLOWED, f"{part} (line {node.lineno}) may not use {other}"


def config_classes() -> list[type[BaseModel]]:
    found = {}
    for path in FILES:
        if "BaseModel" not in path.read_text(encoding="utf-8"):
            continue
        module = importlib.import_module(".".join(path.relative_to(SOURCE.parent).with_suffix("").parts))
        for _, value in inspect.getmembers(module, inspect.isclass):
            if issubclass(value, BaseModel) and value.__module__ == module.__name__:
                found[f"{value.__module__}.{value.__qualname__}"] = value
    return list(found.values())


def test_configurations_are_frozen_strict_small_and_read() -> None:
    sources = {path: path.read_text(encoding="utf-8") for path in FILES}
    everything = "\n".join(sources.values())
    for model in config_classes():
        name = model.__name__
        if not name.endswith("Config"):
            continue
        assert model.model_config.get("frozen"), f"{name} is not frozen"
        assert model.model_config.get("extra") == "forbid", f"{name} takes unknown keys"
        own = [field for field in model.model_fields if field in model.__annotations__]
        assert len(own) <= MAX_FIELDS or name == "DecoderConfig", f"{name} has {len(own)} fields"
        for field in own:
            assert re.search(rf"[.\"]{field}\b", everything), f"{name}.{field} is read nowhere"


def test_no_field_of_science_in_the_source() -> None:
    """What belongs to a field is a data file: no code names its objects, journals or instruments."""
    words = re.compile(r"astronom|astrophys|galax|telescope|aastex|\bmnras\b|cosmolog|\bstellar\b", re.IGNORECASE)
    for path in FILES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert not words.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
