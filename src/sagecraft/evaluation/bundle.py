"""Our readers of replies as a package that needs no sagecraft: an export brings the very code that reads them here."""

from __future__ import annotations

import ast
from importlib import resources
from pathlib import Path

from sagecraft import artifact
from sagecraft.evaluation.tasks import LETTERS

#: The folder of an export that holds them.
READERS = "readers"
#: Parts of sagecraft that have readers; no two of their modules share a name.
_PARTS = ("evaluation", "chat")


def bring(folder: Path, *names: str) -> None:
    """Writes modules (`evaluation.extract`), and those of ours that they use, into `folder/readers`."""
    wanted, sources = list(names), {}
    while wanted:
        name = wanted.pop()
        if name not in sources:
            sources[name], used = standalone(name)
            wanted += used
    for name, text in sorted(sources.items()):
        artifact.write_text(folder / READERS / f"{name.rpartition('.')[2]}.py", text)
    artifact.write_text(
        folder / READERS / "__init__.py", '"""Readers of replies, copied from sagecraft (Apache-2.0)."""\n'
    )


def standalone(name: str) -> tuple[str, list[str]]:
    """A module's text with its imports of ours made relative, and the modules that these are.

    Raises:
        ValueError: it uses a part of sagecraft that reads no replies.
    """
    part, _, module = name.rpartition(".")
    text = resources.files(f"sagecraft.{part}").joinpath(f"{module}.py").read_text(encoding="utf-8")
    lines = text.splitlines(keepends=True)
    tree = ast.parse(text)
    for_types = {
        id(inner)
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    used: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.startswith("sagecraft") for alias in node.names):
            raise ValueError(f"{module}.py, line {node.lineno}: write it as `from sagecraft… import …`")
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("sagecraft"):
            continue
        new, more = ("pass", []) if id(node) in for_types else _relative(module, node)
        used += more
        lines[node.lineno - 1] = f"{' ' * node.col_offset}{new}\n"
        for number in range(node.lineno, node.end_lineno or node.lineno):
            lines[number] = ""
    return "".join(lines), used


def _relative(module: str, node: ast.ImportFrom) -> tuple[str, list[str]]:
    """The import as it stands in the copy, and the modules it needs there."""
    names = [alias.name for alias in node.names]
    shown = ", ".join(alias.name + (f" as {alias.asname}" if alias.asname else "") for alias in node.names)
    _, *path = str(node.module).split(".")
    if path == ["evaluation", "tasks"] and names == ["LETTERS"]:
        return f'LETTERS = "{LETTERS}"', []
    if len(path) == 1 and path[0] in _PARTS:
        return f"from . import {shown}", [f"{path[0]}.{name}" for name in names]
    if len(path) == 2 and path[0] in _PARTS and path[1] != "tasks":
        return f"from .{path[1]} import {shown}", [".".join(path)]
    raise ValueError(f"{module}.py, line {node.lineno}: an export cannot bring {node.module}")
