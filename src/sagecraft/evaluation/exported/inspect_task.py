"""A task of Inspect, made by sagecraft: `inspect eval inspect_task.py --model PROVIDER/MODEL`.

The questions are in `items.json` as data; letters and numbers are read by the modules in `readers/`,
which are sagecraft's own.
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

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import CORRECT, INCORRECT, NOANSWER, Score, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState, generate

HERE = Path(__file__).parent
DATA: dict[str, Any] = json.loads((HERE / "items.json").read_text(encoding="utf-8"))
#: Questions on one article hang together.
CLUSTER = "article" if all(item["metadata"]["article"] for item in DATA["items"]) else None
METRICS = [accuracy(), stderr(cluster=CLUSTER)] if DATA["keyed"] else []


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


extract, numeric, thinking = _reader("extract"), _reader("numeric"), _reader("thinking")


@scorer(metrics=METRICS)  # type: ignore[untyped-decorator]
def pick() -> Any:
    """The letter or the number that a reply gives; without a readable one there is no answer, which counts as wrong."""

    async def score(state: TaskState, target: Target) -> Score:
        _, text, _ = thinking.split_thought(state.output.completion)
        cut = state.output.stop_reason in ("max_tokens", "model_length")
        if DATA["numbers"]:
            found, stage = numeric.read(text, cut)
            answer = None if found is None else str(found)
            right = found is not None and numeric.same(found, numeric.numbers(target.text)[0])
        else:
            options = [choice.value for choice in state.choices]
            read = extract.extract(text, options, cut)
            answer, stage = read.letter, read.stage
            # by its text: an option that stands there twice is right under both letters
            right = answer is not None and options["ABCDEFGHIJ".index(answer)] == state.metadata["right"]
        value = NOANSWER if answer is None else CORRECT if right else INCORRECT if DATA["keyed"] else answer
        return Score(value=value, answer=answer, explanation=state.output.completion, metadata={"stage": stage})

    return score


@task  # type: ignore[untyped-decorator]
def questions() -> Task:
    """The questions, each as one prompt; temperature 0."""
    samples = [Sample(**item) for item in DATA["items"]]
    config = GenerateConfig(temperature=0.0, max_tokens=DATA["max_tokens"])
    dataset = MemoryDataset(samples, name=DATA["name"])
    return Task(dataset=dataset, solver=generate(), scorer=pick(), config=config, name=DATA["name"])
