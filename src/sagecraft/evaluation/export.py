"""The export stage: a task of ours as a task of another harness, asked with the same prompts and scored the same way.

What a question says travels as data only. The files that another program runs (`exported/`) are the same for every
task, and the names in them are letters, digits and underscores: a question that holds Jinja, YAML or Python is asked
as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.evaluation import prompts
from sagecraft.evaluation.bundle import bring
from sagecraft.evaluation.config import EvaluateConfig, QuestionsConfig

if TYPE_CHECKING:
    from sagecraft.evaluation.shots import Asked
    from sagecraft.evaluation.tasks import Item

VERSION = 1

Harness = Literal["lm-eval", "inspect"]


class ExportConfig(BaseModel):
    """For which harness, and what is to be known there beside the questions."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    to: Harness = Field(
        description="lm-eval: YAML files for lm-evaluation-harness, one a mode; inspect: a Python file for Inspect"
    )
    max_tokens: int = Field(
        default=256,
        ge=1,
        description="tokens of a reply, where one is written; models that think need their thoughts' tokens as well",
    )
    questions: QuestionsConfig = Field(
        default=QuestionsConfig(), description="how the file is read, and what is shown before each question"
    )
    max_items: int | None = Field(default=None, ge=1, description="questions at most, drawn by seed; null takes all")
    seed: int = Field(default=0, description="key of what is drawn: questions, examples")


def run(config: ExportConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Runs the stage: the inputs are `task` and, of few-shot examples, `shots`, as an evaluation takes them.

    Raises:
        UserError: a file cannot be read, or the harness cannot ask what is wanted.
    """
    if "task" not in inputs or set(inputs) - {"task", "shots"}:
        raise UserError(f"inputs: an export takes task and shots, not {', '.join(sorted(inputs)) or 'nothing'}")
    from sagecraft.evaluation.shots import read_asked

    settings = EvaluateConfig(questions=config.questions, max_items=config.max_items, seed=config.seed)
    asked = read_asked(settings, inputs)
    write: dict[str, Callable[[Path, Asked, ExportConfig], list[str]]] = {
        "lm-eval": write_lm_eval,
        "inspect": write_inspect,
    }
    with artifact.build(
        out, kind="export", stage="export", version=VERSION, config=config, inputs=asked.inputs
    ) as build:
        tasks = write[config.to](build.path, asked, config)
        build.stats.update({"to": config.to, "tasks": ", ".join(tasks), "n": len(asked.items)})
        build.stats.update({"keyed": asked.task.keyed, "shots": asked.shots})
    return build.manifest


def safe_name(name: str) -> str:
    """A name of letters, digits and underscores that collides with no task a harness brings."""
    kept = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:60].strip("_")
    return f"sagecraft_{kept or 'questions'}"


def write_lm_eval(folder: Path, asked: Asked, config: ExportConfig) -> list[str]:
    """A YAML file for each mode, the questions, and the functions that the files name.

    Returns:
        The names of the tasks.

    Raises:
        UserError: examples of replies, which are turns of a chat: the harness takes a prompt as one turn.
    """
    numbers = bool(asked.items[0].target)
    if numbers and asked.shots is not None:
        raise UserError(
            "questions.shots: examples of written replies are turns of a chat, and lm-eval takes a prompt as one turn; "
            "export to inspect, or without examples"
        )
    name = safe_name(asked.task.name)
    # an option that stands there twice is right under both letters; lists of answers only where a set has such
    twice = any(len(_right_indices(item)) > 1 for item in asked.items)
    artifact.write_jsonl(folder / "items.jsonl", [_lm_eval_row(item, twice) for item in asked.items])
    _put(folder, "lm_eval_task.py")
    if numbers:
        bring(folder, "evaluation.numeric", "chat.thinking")
        written = {f"{name}_generate": _yaml(f"{name}_generate", _number_lines(config))}
    else:
        written = {
            f"{name}_{mode}": _yaml(f"{name}_{mode}", _choice_lines(mode, asked.task.keyed))
            for mode in ("continuation", "letter")
        }
    for task_name, text in written.items():
        artifact.write_text(folder / f"{task_name}.yaml", text)
    artifact.write_text(folder / "README.md", _LM_EVAL_README.format(names=",".join(written), chat=_chat(numbers)))
    return list(written)


def _lm_eval_row(item: Item, twice: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"id": item.id, "topic": item.topic, "kind": item.kind, "article": item.article}
    row["question"] = item.question
    if item.target:
        return {**row, "prompt": prompts.generate_prompt(item), "target": item.target}
    row |= {
        "continuation_prompt": prompts.continuation_prompt(item),
        "letter_prompt": prompts.letter_prompt(item),
        "options": list(item.options),
        "letters": list(item.letters),
    }
    return {**row, "answer": _right_indices(item) if twice else item.answer or 0}


def _right_indices(item: Item) -> list[int]:
    if item.answer is None:
        return []
    return [index for index, option in enumerate(item.options) if option == item.options[item.answer]]


def _yaml(name: str, lines: list[str]) -> str:
    """The file of one task; every value in it is ours, or a name made safe."""
    head = [f"task: {name}", "custom_dataset: !function lm_eval_task.load", "test_split: test", "num_fewshot: 0"]
    return "\n".join([*head, *lines, "metadata:", f"  version: {VERSION}", ""])


def _choice_lines(mode: str, keyed: bool) -> list[str]:
    lines = [
        "output_type: multiple_choice",
        f"doc_to_text: {mode}_prompt",
        f"doc_to_choice: {'options' if mode == 'continuation' else 'letters'}",
        "doc_to_target: answer",
        'target_delimiter: " "',
    ]
    if not keyed:
        read = "unkeyed_per_char" if mode == "continuation" else "unkeyed"
        return [*lines, f"process_results: !function lm_eval_task.{read}", *_metrics("bypass")]
    return [*lines, *_metrics(*(("acc", "acc_norm") if mode == "continuation" else ("acc",)))]


def _number_lines(config: ExportConfig) -> list[str]:
    return [
        "output_type: generate_until",
        "doc_to_text: prompt",
        "doc_to_target: target",
        "generation_kwargs:",
        "  until: []",
        "  do_sample: false",
        f"  max_gen_toks: {config.max_tokens}",
        "process_results: !function lm_eval_task.number",
        *_metrics("exact_match"),
    ]


def _metrics(*names: str) -> list[str]:
    lines = ["metric_list:"]
    for name in names:
        aggregation = "bypass" if name == "bypass" else "mean"
        lines += [f"  - metric: {name}", f"    aggregation: {aggregation}", "    higher_is_better: true"]
    return lines


def write_inspect(folder: Path, asked: Asked, config: ExportConfig) -> list[str]:
    """The Python file, the questions, and sagecraft's readers of replies.

    Returns:
        The name of the task.
    """
    name = safe_name(asked.task.name)
    artifact.write_json(
        folder / "items.json",
        {
            "name": name,
            "keyed": asked.task.keyed,
            "numbers": bool(asked.items[0].target),
            "max_tokens": config.max_tokens,
            "items": [_inspect_sample(item) for item in asked.items],
        },
    )
    _put(folder, "inspect_task.py")
    bring(folder, "evaluation.extract", "evaluation.numeric", "chat.thinking")
    artifact.write_text(folder / "README.md", _INSPECT_README)
    return [name]


def _inspect_sample(item: Item) -> dict[str, Any]:
    right = None if item.answer is None else item.options[item.answer]
    known = {"topic": item.topic, "kind": item.kind, "article": item.article, "question": item.question}
    turns = prompts.generate_turns(item)
    asked: str | list[prompts.Turn] = turns if len(turns) > 1 else turns[0]["content"]
    sample = {"id": item.id, "input": asked, "target": item.key or ""}
    choices = {"choices": list(item.options)} if item.options else {}
    return {**sample, **choices, "metadata": {**known, "right": right}}


def _put(folder: Path, name: str) -> None:
    """Puts a file of `exported/` there."""
    source = resources.files("sagecraft.evaluation").joinpath("exported", name)
    artifact.write_text(folder / name, source.read_text(encoding="utf-8"))


def _chat(numbers: bool) -> str:
    return " --apply_chat_template" if numbers else ""


_LM_EVAL_README = """\
Questions exported by sagecraft for lm-evaluation-harness:

    lm_eval --model hf --model_args pretrained=MODEL --include_path THIS_FOLDER --tasks {names}{chat}

Prompts are those of `sagecraft eval`, examples included; they stand in `items.jsonl`, so `--num_fewshot` changes
nothing. In the task `…_continuation`, `acc_norm` is sagecraft's `accuracy` and `acc` its `accuracy_sum`; in `…_letter`,
`acc` is its `accuracy`, but for the letter without a space in front of it, whose probability sagecraft adds and the
harness does not know of; in `…_generate`, `exact_match` is its `accuracy`, but that a reply that was cut off is read
like any other. A set without a key logs the picks (`--log_samples`) and scores nothing.
"""
_INSPECT_README = """\
Questions exported by sagecraft for Inspect:

    inspect eval THIS_FOLDER/inspect_task.py --model PROVIDER/MODEL

Prompts, and the way replies are read, are those of `sagecraft eval --mode generate`. A model of transformers is asked
greedily with `--model hf/NAME -M model_path=MODEL -M do_sample=false`; a model that thinks needs `--max-tokens`.
"""
