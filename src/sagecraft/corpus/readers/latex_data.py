r"""What LaTeX's packages and a field's journals define, read from data files.

`latex_macros.yaml` (LaTeX and common packages) and `latex_classes.yaml` (journal and thesis classes) hold what belongs to no field; every
file of `fields/` adds a field's own names, so that no such name is in the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.latex_tokens import scan


@dataclass(frozen=True)
class Macro:
    """A macro as `\\newcommand` or `\\def` makes it.

    Attributes:
        spec: One letter an argument: `m` mandatory, `o` optional in brackets, `b` braces if they follow, `s` star.
        body: Its replacement, with `#1`.
        defaults: For each `o`, the tokens that stand in for it.
        pattern: For `\\def` with delimiters, the whole parameter text; `spec` is then unused.
        has_params: Whether `body` mentions an argument, so that it need not be searched each time.
    """

    spec: str
    body: list[str]
    defaults: tuple[tuple[str, ...], ...] = ()
    pattern: tuple[str, ...] | None = None
    has_params: bool = True


@dataclass
class LatexData:
    """The tables of all data files.

    Attributes:
        text: Macros where text is set.
        math: Macros inside mathematics.
        symbols: Characters that commands stand for in text; mathematics keeps the command.
        environments: Name to (kind, argument specification).
        overprints: Signs that documents set over a tilde by hand, to the command that means it.
        prefixes: Beginnings of commands that are icons, dropped in text.
        classes: Document class to what it implies (`chapters`, `author_year`, …).
        units: Unit macros to their symbols.
        theorems: Names of theorem-like environments that classes bring along.
        math_arguments: Commands of mathematics to the number of arguments they take.
    """

    text: dict[str, Macro] = field(default_factory=dict)
    math: dict[str, Macro] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)
    environments: dict[str, tuple[str, str]] = field(default_factory=dict)
    overprints: dict[str, str] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    classes: dict[str, list[str]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    theorems: frozenset[str] = frozenset()
    math_arguments: dict[str, int] = field(default_factory=dict)


def _macro(spec: str, body: str) -> Macro:
    tokens = scan(body)
    return Macro(spec, tokens, ((),) * spec.count("o"), None, any(token[0] == "#" for token in tokens))


def _merge(data: LatexData, tables: Mapping[str, Any]) -> None:
    """Adds one file's tables; a later file may replace an earlier name."""
    for name, entry in (tables.get("macros") or {}).items():
        if isinstance(entry, str):
            data.text[f"\\{name}"] = data.math[f"\\{name}"] = _macro("", entry)
            continue
        spec = str(entry.get("args", ""))
        if "text" in entry or "body" in entry:
            data.text[f"\\{name}"] = _macro(spec, entry.get("text", entry.get("body")))
        if "math" in entry or "body" in entry:
            data.math[f"\\{name}"] = _macro(spec, entry.get("math", entry.get("body")))
    for table, target in (("drop_text", data.text), ("drop_math", data.math)):
        for spec, names in (tables.get(table) or {}).items():
            for name in names:
                target[f"\\{name}"] = _macro("" if spec == "none" else spec, "")
    data.symbols.update({f"\\{name}": text for name, text in (tables.get("symbols") or {}).items()})
    for kind, names in (tables.get("environments") or {}).items():
        for name, spec in names.items():
            data.environments[name] = (kind, spec or "")
    data.overprints.update(tables.get("overprints") or {})
    data.prefixes += tuple(f"\\{name}" for name in tables.get("drop_prefixes") or [])
    data.theorems |= frozenset(tables.get("theorems") or [])
    data.classes.update(tables.get("classes") or {})
    data.units.update({f"\\{name}": text for name, text in (tables.get("units") or {}).items()})
    for count, names in (tables.get("math_arguments") or {}).items():
        data.math_arguments.update({f"\\{name}": int(count) for name in names})


@lru_cache(maxsize=1)
def load_data() -> LatexData:
    """All data files beside this module, read once a process."""
    import yaml

    # The C loader reads the same YAML about ten times faster; PyYAML may be built without it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    here = Path(__file__).parent
    data = LatexData()
    for path in [here / "latex_macros.yaml", here / "latex_classes.yaml", *sorted((here / "fields").glob("*.yaml"))]:
        _merge(data, yaml.load(path.read_text(encoding="utf-8"), Loader=loader))  # noqa: S506 - both loaders are safe
    return data
