"""What the YAML files beside this one ask of lm-evaluation-harness, with nothing but `readers/` and `items.jsonl`.

Prompts stand in the data as they are asked; no template is rendered, so nothing in a question can be taken for one.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent


def load(**_: Any) -> dict[str, Any]:
    """The questions, from beside this file wherever the harness was started."""
    import datasets

    with (HERE / "items.jsonl").open(encoding="utf-8") as file:  # `splitlines` would split at U+2028 in a question too
        rows = [json.loads(line) for line in file]
    return {"test": datasets.Dataset.from_list(rows)}


def _reader(name: str) -> ModuleType:
    """A module of the folder `readers` beside this file, under a name that no other export's has."""
    package = f"sagecraft_readers_{zlib.crc32(str(HERE).encode()):08x}"
    if package not in sys.modules:
        place = HERE / "readers"
        spec = importlib.util.spec_from_file_location(
            package, place / "__init__.py", submodule_search_locations=[str(place)]
        )
        assert spec is not None
        assert spec.loader is not None
        sys.modules[package] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[package])
    return importlib.import_module(f"{package}.{name}")


def number(doc: dict[str, Any], replies: list[str]) -> dict[str, float]:
    """Whether a reply states the right number; a thought in front of the answer is left aside."""
    numeric = _reader("numeric")
    _, answer, _ = _reader("thinking").split_thought(replies[0])
    found, _ = numeric.read(answer)
    return {"exact_match": float(found is not None and numeric.same(found, numeric.numbers(doc["target"])[0]))}


def unkeyed(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, int]:  # noqa: ARG001
    """The pick of a set without a key, for the log of samples: there is no score."""
    return {"bypass": max(range(len(results)), key=lambda index: (results[index][0], -index))}


def unkeyed_per_char(doc: dict[str, Any], results: list[tuple[float, bool]]) -> dict[str, int]:
    """The same, per character of the option."""
    scores = [total / len(option) for (total, _), option in zip(results, doc["options"], strict=True)]
    return {"bypass": max(range(len(scores)), key=lambda index: (scores[index], -index))}
