"""The verbs that measure: they serve people who train nothing, and have more options than the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sagecraft.cli.options import Json, ModelPath, Out, Seed, finish
from sagecraft.errors import UserError

#: Options that mean something for another harness; its tasks bring what the others would set.
_FOR_HARNESS = frozenset(
    ["model", "task", "out", "harness", "include", "limit", "chat_template", "device_usd_per_hour", "seed", "json"]
)


def evaluate(
    context: typer.Context,
    model: ModelPath,
    task: Annotated[list[str], typer.Option(help="questions: CSV, JSONL or Parquet; of a harness, its tasks")],
    out: Out,
    mode: Annotated[list[str], typer.Option(help="continuation, letter or generate (repeatable)")] = ["continuation"],  # noqa: B006
    thinking: Annotated[str, typer.Option(help="on, off, both or none (left to the model), for generate")] = "off",
    permutations: Annotated[str, typer.Option(help="other orders of options too: none, cyclic or shuffle")] = "none",
    max_items: Annotated[int | None, typer.Option(help="a keyed sample of this many questions")] = None,
    column: Annotated[list[str], typer.Option(help="OURS=NAME of a column: question=Frage, options=a,b,c,d")] = [],  # noqa: B006
    shots: Annotated[int, typer.Option(help="solved questions shown before each")] = 0,
    shots_from: Annotated[Path | None, typer.Option(help="their file; else the split beside the task")] = None,
    shots_by_topic: Annotated[bool, typer.Option("--shots-by-topic", help="of the same topic")] = False,
    thought_tokens: Annotated[int | None, typer.Option(help="tokens of a thought at most, for generate")] = None,
    answer_tokens: Annotated[int | None, typer.Option(help="tokens of an answer at most, for generate")] = None,
    base_url: Annotated[str | None, typer.Option(help="address of a server of your own, for an endpoint")] = None,
    providers: Annotated[Path | None, typer.Option(help="YAML file of presets and prices for endpoints")] = None,
    store: Annotated[Path | None, typer.Option(help="folder that keeps replies for other runs")] = None,
    concurrency: Annotated[int | None, typer.Option(help="requests under way at once, for an endpoint")] = None,
    requests_per_minute: Annotated[float | None, typer.Option(help="limit of requests, for an endpoint")] = None,
    tokens_per_minute: Annotated[float | None, typer.Option(help="limit of tokens, for an endpoint")] = None,
    timeout_seconds: Annotated[float | None, typer.Option(help="longest wait for one reply of an endpoint")] = None,
    max_usd: Annotated[float | None, typer.Option(help="USD that an endpoint may cost; stops before that")] = None,
    device_usd_per_hour: Annotated[float | None, typer.Option(help="USD an hour of your own device")] = None,
    chat_template: Annotated[bool, typer.Option("--chat-template", help="for what is scored, too")] = False,
    harness: Annotated[str | None, typer.Option(help="lm-eval: run that harness's own tasks (repeat --task)")] = None,
    include: Annotated[Path | None, typer.Option(help="of a harness: folder of more tasks as YAML")] = None,
    limit: Annotated[int | None, typer.Option(help="of a harness: the first so many questions of each task")] = None,
    processes: Annotated[int | None, typer.Option(help="processes for a local model: one a card, or a core")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a model on questions."""
    if harness is not None:
        finish(_by_harness(context, harness, model, include, out), out, json)
        return
    if include is not None or limit is not None or len(task) != 1:
        raise UserError("--include, --limit and several --task need --harness lm-eval; --max-items samples a file")
    from sagecraft.evaluation.evaluate import run
    from sagecraft.evaluation.inputs import from_options

    limits = {"concurrency": concurrency, "requests_per_minute": requests_per_minute, "max_usd": max_usd}
    limits |= {"tokens_per_minute": tokens_per_minute, "timeout_seconds": timeout_seconds}
    settings: dict[str, Any] = {"modes": mode, "thinking": thinking, "max_items": max_items, "base_url": base_url}
    settings |= {"chat_template": chat_template}
    settings |= {"reply": {"thought_tokens": thought_tokens, "answer_tokens": answer_tokens}, "limits": limits}
    settings |= {"device_usd_per_hour": device_usd_per_hour, "permutations": permutations, "seed": seed}
    settings["processes"] = processes
    settings["questions"] = {"columns": _columns(column), "shots": shots, "shots_by_topic": shots_by_topic}
    config, inputs = from_options(model, settings)
    inputs |= {"task": Path(task[0])} | ({"shots": shots_from} if shots_from is not None else {})
    inputs |= {"providers": providers} if providers is not None else {}
    finish(run(config, inputs, out, store=store), out, json)


def _columns(given: list[str]) -> dict[str, str]:
    """Names of columns as they are given, `ours=theirs`."""
    found: dict[str, str] = {}
    for text in given:
        ours, equals, theirs = text.partition("=")
        if not equals or ours in found:
            problem = "given twice" if equals else "not of the form OURS=NAME, such as question=Frage"
            raise UserError(f"--column {text[:100]}: {problem}")
        found[ours] = theirs
    return found


def _by_harness(context: typer.Context, harness: str, model: str, include: Path | None, out: Path) -> Any:
    from sagecraft.evaluation import harness as stage
    from sagecraft.settings import explained

    if harness != "lm-eval":
        raise UserError(f"--harness {harness}: only lm-eval is run here; `sagecraft export` writes tasks for Inspect")
    for name in sorted(context.params.keys() - _FOR_HARNESS):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise UserError(f"--{name.replace('_', '-')}: tasks of lm-eval bring their own, or have none; leave it out")
    options = {name: context.params[name] for name in ("limit", "chat_template", "seed", "device_usd_per_hour")}
    with explained(stage.HarnessConfig, "eval"):
        settings = {name: value for name, value in options.items() if value is not None}
        config = stage.HarnessConfig.model_validate({"tasks": context.params["task"], **settings})
    inputs = {"model": stage.model_folder(model)} | ({"include": include} if include is not None else {})
    return stage.run(config, inputs, out)


def export(
    task: Annotated[Path, typer.Argument(metavar="TASK", help="questions: CSV, JSONL or Parquet")],
    to: Annotated[str, typer.Option("--to", help="lm-eval or inspect")],
    out: Out,
    max_tokens: Annotated[int | None, typer.Option(help="tokens of a reply at most, where one is written")] = None,
    max_items: Annotated[int | None, typer.Option(help="a keyed sample of this many questions")] = None,
    column: Annotated[list[str], typer.Option(help="OURS=NAME of a column: question=Frage, options=a,b,c,d")] = [],  # noqa: B006
    shots: Annotated[int, typer.Option(help="solved questions shown before each")] = 0,
    shots_from: Annotated[Path | None, typer.Option(help="their file; else the split beside the task")] = None,
    shots_by_topic: Annotated[bool, typer.Option("--shots-by-topic", help="of the same topic")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Write questions as a task of another harness: lm-evaluation-harness or Inspect."""
    from sagecraft.evaluation import export as stage
    from sagecraft.settings import explained

    questions = {"columns": _columns(column), "shots": shots, "shots_by_topic": shots_by_topic}
    settings: dict[str, Any] = {"to": to, "questions": questions, "max_items": max_items, "seed": seed}
    settings |= {} if max_tokens is None else {"max_tokens": max_tokens}
    with explained(stage.ExportConfig, "export"):
        config = stage.ExportConfig.model_validate(settings)
    inputs = {"task": task} | ({"shots": shots_from} if shots_from is not None else {})
    finish(stage.run(config, inputs, out), out, json)


def compare(
    evaluations: Annotated[list[Path], typer.Argument(metavar="DIR…", help="folders that eval wrote")],
    out: Out,
    mode: Annotated[list[str], typer.Option(help="mode compared; repeatable: of each the first it has; or all")] = [],  # noqa: B006
    against: Annotated[str, typer.Option(help="all pairs, or each against the first only: all or first")] = "all",
    alpha: Annotated[float, typer.Option(help="level of the tests after Holm's correction")] = 0.05,
    points_per_decade: Annotated[float | None, typer.Option(help="points that ten times the price is worth")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Compare evaluations of the same questions."""
    from sagecraft.evaluation import compare as stage
    from sagecraft.settings import explained

    chosen: dict[str, Any] = {"modes": mode, "against": against, "alpha": alpha, "seed": seed}
    chosen |= {} if points_per_decade is None else {"points_per_decade": points_per_decade}
    with explained(stage.CompareConfig, "compare"):
        config = stage.CompareConfig.model_validate(chosen)
    inputs = {str(number): path for number, path in enumerate(evaluations)}
    finish(stage.run(config, inputs, out), out, json)
