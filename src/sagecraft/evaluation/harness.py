"""lm-evaluation-harness on a model of ours: its own tasks, run by it in this process, its figures as an evaluation.

Its questions, prompts, examples and metrics are used as they are; what is added is what every evaluation here has:
intervals, tokens counted, one row a question, so that two models can be compared in pairs.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import MachineError, UserError
from sagecraft.evaluation.harness_rows import drop_options_unless_all, plain, rows_of

VERSION = 1

#: Benchmarks by their names → the harness's tasks, as the public leaderboard asked them.
PRESETS = {
    "IFEval": "leaderboard_ifeval",
    "BBH": "leaderboard_bbh",
    "MATH": "leaderboard_math_hard",
    "GPQA": "leaderboard_gpqa",
    "MuSR": "leaderboard_musr",
    "MMLU-Pro": "leaderboard_mmlu_pro",
}
#: Characters of another program's complaint that a message shows.
_SHOWN = 200


class HarnessConfig(BaseModel):
    """Which tasks of the harness are run, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    tasks: tuple[str, ...] = Field(
        min_length=1,
        description="names of the harness's tasks or groups, of local ones, or IFEval, BBH, MATH, GPQA, MuSR, MMLU-Pro; "
        "the first is the one on top of results.json",
    )
    limit: int | None = Field(
        default=None, ge=1, description="the first so many questions of each task; null takes all"
    )
    chat_template: bool = Field(
        default=False, description="put prompts into the chat template; examples become turns of the conversation"
    )
    batch_size: int = Field(default=16, ge=1, description="sequences the harness runs at once")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="bfloat16", description="arithmetic of the model; bfloat16 is what models are served in"
    )
    seed: int = Field(default=0, description="key of what is drawn: examples shown, resamples")
    device_usd_per_hour: float = Field(
        default=0.0, ge=0, description="USD an hour of the device that runs the model; 0: it is paid for anyway"
    )


def run(config: HarnessConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Runs the stage.

    Args:
        config: what is run.
        inputs: `model` (a Hugging Face folder); optionally `include`, a folder of YAML tasks.
        out: the artifact.

    Raises:
        UserError: a task that is not known, or that the harness cannot load.
        MachineError: its questions cannot be had, or the harness stopped.
    """
    _check(config, inputs)
    import lm_eval  # noqa: F401 - whoever lacks it hears so before the model's files are read

    with artifact.build(
        out, kind="evaluation", stage="harness", version=VERSION, config=config, inputs=inputs
    ) as build:
        started = time.monotonic()
        loaded = _load(config.tasks, inputs.get("include"))
        model = _open(inputs["model"], config)
        console.say(f"  {inputs['model'].name}: {', '.join(loaded)} by lm-eval {_version()}")
        logged = {name: _evaluate(model, name, tasks, config) for name, tasks in loaded.items()}
        results, rows = _results(config, inputs, model, logged, time.monotonic() - started)
        build.timed.add("results.json")
        from sagecraft.evaluation import report
        from sagecraft.evaluation.evaluate import describe
        from sagecraft.evaluation.predictions import predictions_csv

        artifact.write_jsonl(build.path / "items.jsonl", rows)
        if results["accuracy"] is None:
            first = [row for row in rows if row["mode"] == results["mode"]]
            artifact.write_text(build.path / "predictions.csv", predictions_csv(first))
        artifact.write_json(build.path / "results.json", results)
        report.write(build.path, results, rows)
        build.stats.update({key: results[key] for key in ("model", "mode", "n", "accuracy", "ci95")})
    console.say(f"  {results['model']}: {describe(results)}")
    return build.manifest


def model_folder(model: str) -> Path:
    """The folder that a MODEL means, since the harness takes nothing else.

    Raises:
        UserError: it means something else.
    """
    from sagecraft.evaluation.inputs import resolve_model

    inputs, endpoint = resolve_model(model)
    if endpoint is not None or set(inputs) != {"model"} or not inputs["model"].is_dir():
        raise UserError(
            f"{model}: a harness runs a model folder here; merge an adapter, fetch a GGUF as a folder first"
        )
    return inputs["model"]


def _check(config: HarnessConfig, inputs: Mapping[str, Path]) -> None:
    known = {"model", "include"}
    unknown = sorted(set(inputs) - known)
    if unknown:
        raise UserError(f"inputs.{unknown[0]}: the harness takes {', '.join(sorted(known))}")
    if "model" not in inputs:
        raise UserError("inputs.model: missing; the harness runs a model folder")
    include = inputs.get("include")
    if include is not None and not include.is_dir():
        raise UserError(f"{include}: no such folder; --include takes a folder of lm-eval's YAML tasks")
    if len(set(config.tasks)) != len(config.tasks):
        raise UserError("tasks: a task stands there twice")


def _version() -> str:
    return importlib.metadata.version("lm_eval")


def _load(names: Sequence[str], include: Path | None) -> dict[str, Any]:
    """The tasks behind each name, with their questions."""
    import logging

    from lm_eval.tasks import TaskManager

    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of every metric that takes its default
    place = None if include is None else str(include)
    # reading the harness's own 14,000 files takes some seconds, which local tasks need not wait for
    manager = None if place is None else TaskManager(include_path=place, include_defaults=False)
    if manager is None or not all(_is_whole(manager.task_index, name) for name in names):
        manager = TaskManager(include_path=place)
    for name in names:
        if PRESETS.get(name, name) not in manager.all_tasks:
            near = difflib.get_close_matches(name, [*PRESETS, *manager.all_tasks], n=1)
            meant = f"; did you mean {near[0]}?" if near else ""
            raise UserError(
                f"--task {name}: lm-eval {_version()} has no task of this name{meant} (--include names a folder of more)"
            )
    return {name: _load_one(manager, name) for name in names}


def _is_whole(index: Mapping[str, Any], name: str) -> bool:
    """Whether a task is there, and, if it is a group, all its parts."""
    if name not in index:
        return False
    parts = (index[name].cfg or {}).get("task") if index[name].kind.name == "GROUP" else []
    named = [part for part in ([parts] if isinstance(parts, str) else parts or []) if isinstance(part, str)]
    return all(part != name and _is_whole(index, part) for part in named)


def _load_one(manager: Any, name: str) -> Any:
    try:
        return manager.load([PRESETS.get(name, name)])
    except ModuleNotFoundError as error:
        raise MachineError(
            f"--task {name}: it needs what is not installed ({_line(error)}); IFEval's and MATH's parts come with "
            "pip install 'sagecraft[harness]', others are the task's own"
        ) from error
    except (OSError, EOFError) as error:
        raise MachineError(
            f"--task {name}: its questions cannot be had ({_line(error)}); where there is no hub, or no leave to it, write "
            "the task as YAML with local data (`sagecraft export` shows how) and name its folder with --include"
        ) from error
    except Exception as error:  # a stranger's YAML, and the functions it names, may fail in any way
        raise UserError(f"--task {name}: lm-eval cannot load it ({type(error).__name__}: {_line(error)})") from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:_SHOWN]


def _open(path: Path, config: HarnessConfig) -> Any:
    """The model as the harness holds it; code of a model's folder is never run."""
    import torch
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=str(path),
        dtype=config.dtype,
        batch_size=config.batch_size,
        device="cuda:0" if torch.cuda.is_available() else "cpu",
    )


def _evaluate(model: Any, name: str, loaded: Any, config: HarnessConfig) -> Any:
    """What the harness found, with the log of each question."""
    import random

    import numpy as np
    import torch
    from lm_eval.evaluator import evaluate

    for draw in (random.seed, np.random.seed, torch.manual_seed):  # tasks that sample draw from the global generators
        draw(config.seed)
    for task in loaded["tasks"].values():
        if task.get_config("num_fewshot") is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=config.seed)
    try:
        return evaluate(
            lm=model,
            task_dict=loaded,
            limit=config.limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=config.chat_template,
            fewshot_as_multiturn=config.chat_template,
        )
    except (OSError, MemoryError, RuntimeError, ModuleNotFoundError):
        raise
    except Exception as error:  # a task's own functions, or a model that it does not suit
        raise MachineError(f"--task {name}: lm-eval stopped ({type(error).__name__}: {_line(error)})") from error


def _results(
    config: HarnessConfig, inputs: Mapping[str, Path], model: Any, logged: Mapping[str, Any], seconds: float
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    from sagecraft.chat.template import ChatTemplate
    from sagecraft.models.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(inputs["model"])

    def count(text: str) -> int:
        return len(tokenizer.encode(text))

    by_name = {name: _rows(name, found, count) for name, found in logged.items()}
    every = [row for rows in by_name.values() for row in rows]
    spent = sum(row["tokens"]["in"] + row["tokens"]["out"] for row in every)
    modes = {name: _mode(name, rows, config, seconds * _share(rows, spent)) for name, rows in by_name.items()}
    first = config.tasks[0]
    shown = model.chat_template(True) if config.chat_template else None
    results = {
        "model": inputs["model"].resolve().name,
        "mode": first,
        **modes[first],
        "perplexity": {},
        "task": ", ".join(config.tasks),
        "task_sha256": artifact.digest_of([row["digest"] for row in every]),
        "template_sha256": ChatTemplate.from_folder(inputs["model"]).sha256,
        "modes": modes,
        "agreement": [],
        "harness": {
            "name": "lm-eval",
            "version": _version(),
            "command": _command(config, inputs),
            "chat_template_sha": None if shown is None else hashlib.sha256(shown.encode()).hexdigest(),
            "tasks": {leaf: figures for found in logged.values() for leaf, figures in _figures(found).items()},
            "groups": {
                group: _numbers(figures)
                for found in logged.values()
                for group, figures in found.get("groups", {}).items()
            },
        },
        "seconds": round(seconds, 3),
    }
    return results, every


def _share(rows: Sequence[Mapping[str, Any]], spent: int) -> float:
    own: int = sum(row["tokens"]["in"] + row["tokens"]["out"] for row in rows)
    return own / max(spent, 1)


def _rows(name: str, found: Any, count: Any) -> list[dict[str, Any]]:
    """The rows of one name; tasks without a metric that is 0 or 1 are left to the harness's own figures."""
    rows = []
    for leaf, samples in found["samples"].items():
        config = found["configs"][leaf]
        delimiter = str(config.get("target_delimiter", " "))
        rows += rows_of(name, leaf, sorted(samples, key=lambda sample: sample["doc_id"]), delimiter, count)
    keyed = [row for row in rows if row["key"] is not None]
    if 0 < len(keyed) < len(rows):
        left = sorted({row["topic"] for row in rows if row["key"] is None})
        console.warn(f"{', '.join(left)}: has no metric that is 0 or 1, so it does not count in {name}; see `harness`")
        rows = keyed
    drop_options_unless_all(rows)
    return rows


def _mode(name: str, rows: Sequence[Mapping[str, Any]], config: HarnessConfig, seconds: float) -> dict[str, Any]:
    from sagecraft.evaluation.cost import local_cost, usd_per_100k_tokens
    from sagecraft.evaluation.guessing import against_guessing
    from sagecraft.evaluation.summary import summarise

    # most tasks score options without their letters, and some have more than ten: positions are not looked at
    summary, tokens = summarise(name, [{**row, "options": []} for row in rows], config.seed)
    if rows[0]["options"] and rows[0]["key"] is not None:
        summary["guessing"] = against_guessing(rows, summary.get("design_effect") or 1.0)
    if rows[0]["options"]:
        summary["picks"] = dict(sorted(Counter(str(row["pick"]) for row in rows).items()))
    cost = local_cost(seconds, config.device_usd_per_hour)
    price = {"cost_usd": cost, "usd_per_100k_tokens": usd_per_100k_tokens(cost, tokens)}
    return summary | {"example_prompt": rows[0]["prompt"]} | price


def _figures(found: Any) -> dict[str, Any]:
    """What the harness itself says of each task."""
    return {
        leaf: {
            "version": found["versions"].get(leaf),
            "num_fewshot": found["n-shot"].get(leaf),
            "n": found["n-samples"].get(leaf),
            "metrics": _numbers(found["results"][leaf]),
        }
        for leaf in found["samples"]
    }


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    """Metrics as numbers, without the standard errors that were not asked for."""
    found = {name: plain(value) for name, value in figures.items() if "_stderr" not in name}
    return {name: float(value) for name, value in found.items() if value is not None}


def _command(config: HarnessConfig, inputs: Mapping[str, Path]) -> str:
    """The harness's own command for the same."""
    names = ",".join(PRESETS.get(name, name) for name in config.tasks)
    model = f"pretrained={inputs['model'].resolve().name},dtype={config.dtype}"
    parts = [f"lm_eval --model hf --model_args {model} --tasks {names} --batch_size {config.batch_size}"]
    parts += [f"--seed {config.seed}"]
    parts += [f"--limit {config.limit}"] if config.limit is not None else []
    parts += [f"--include_path {inputs['include'].resolve().name}"] if "include" in inputs else []
    parts += ["--apply_chat_template", "--fewshot_as_multiturn"] if config.chat_template else []
    return " ".join(parts)
