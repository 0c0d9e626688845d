"""The verbs that measure: they serve people who train nothing, and have more options than the others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from sagecraft.cli.options import Json, ModelPath, Out, Seed, finish
from sagecraft.errors import UserError


def evaluate(
    model: ModelPath,
    task: Annotated[Path, typer.Option(help="questions: CSV, JSONL or Parquet")],
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
    processes: Annotated[int | None, typer.Option(help="processes for a local model: one a card, or a core")] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a model on questions."""
    from sagecraft.evaluation.evaluate import run
    from sagecraft.evaluation.inputs import from_options

    limits = {"concurrency": concurrency, "requests_per_minute": requests_per_minute, "max_usd": max_usd}
    limits |= {"tokens_per_minute": tokens_per_minute, "timeout_seconds": timeout_seconds}
    settings: dict[str, Any] = {"modes": mode, "thinking": thinking, "max_items": max_items, "base_url": base_url}
    settings |= {"reply": {"thought_tokens": thought_tokens, "answer_tokens": answer_tokens}, "limits": limits}
    settings |= {"device_usd_per_hour": device_usd_per_hour, "permutations": permutations, "seed": seed}
    settings["processes"] = processes
    settings["questions"] = {"columns": _columns(column), "shots": shots, "shots_by_topic": shots_by_topic}
    config, inputs = from_options(model, settings)
    inputs |= {"task": task} | ({"shots": shots_from} if shots_from is not None else {})
    inputs |= ({"providers": providers} if providers is not None else {})
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


def compare(
    evaluations: Annotated[list[Path], typer.Argument(metavar="DIR…", help="folders that eval wrote")],
    out: Out,
    mode: Annotated[list[str], typer.Option(help="mode compared; repeatable: of each the first it has")] = [],  # noqa: B006
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
