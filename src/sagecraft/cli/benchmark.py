"""The verb that makes a benchmark: by rules, with models, or of a finished one without what readers found wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sagecraft import console
from sagecraft.cli.options import Json, Out, Seed, finish
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.benchmark.config import BenchConfig

Docs = Annotated[
    Path, typer.Argument(help="documents that were withheld from training; with --verdicts, a finished benchmark")
]
Judges = Annotated[
    list[str], typer.Option(help="MODEL that answers every question with, without and only by its options (repeatable)")
]
Addresses = Annotated[
    list[str],
    typer.Option(help="address of a server of your own, one for each --judge that is an endpoint, or one for all"),
]
Sample = Annotated[
    int | None, typer.Option(help="ask the teacher about this many passages only; show what all would cost")
]
Retry = Annotated[bool, typer.Option("--retry-failed", help="ask anew, in other words, what failed in the last run")]
Verdicts = Annotated[
    list[Path], typer.Option(help="a filled-in review.csv, one for each reader: removes what fails (repeatable)")
]


def bench(
    docs: Docs,
    out: Out,
    seed: Seed = 0,
    max_items: Annotated[int | None, typer.Option(help="at most this many questions")] = None,
    items_per_document: Annotated[
        int | None, typer.Option(help="at most this many of one document; 5 by default")
    ] = None,
    training: Annotated[Path | None, typer.Option(help="training documents, to check that nothing leaked")] = None,
    judge: Judges = [],  # noqa: B006
    judge_url: Addresses = [],  # noqa: B006
    teacher: Annotated[str | None, typer.Option(help="MODEL that writes questions too")] = None,
    base_url: Annotated[str | None, typer.Option(help="address of a server of your own, for the teacher")] = None,
    sample: Sample = None,
    max_passages: Annotated[int | None, typer.Option(help="passages that the teacher is asked about")] = None,
    max_usd: Annotated[float | None, typer.Option(help="USD that all models may cost; stops before that")] = None,
    providers: Annotated[Path | None, typer.Option(help="YAML file of presets and prices for endpoints")] = None,
    retry_failed: Retry = False,
    verdicts: Verdicts = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Make a keyed multiple-choice benchmark from documents, or take what readers found wrong out of one."""
    of_making = (training, max_items, items_per_document, judge, teacher, sample, retry_failed)
    if verdicts and any(value is not None and value not in ([], False) for value in of_making):
        raise UserError("--verdicts judges a finished benchmark: give no option that is for making one")
    if verdicts:
        from sagecraft.benchmark import review

        sheets = {f"verdicts{number:03d}": path for number, path in enumerate(verdicts)}
        finish(review.run(review.VerdictsConfig(), {"benchmark": docs, **sheets}, out), out, json)
        return
    from sagecraft.benchmark import build as stage

    for_teacher = {"base_url": base_url, "max_passages": max_passages, "sample": sample}
    settings = {
        **_given({"seed": seed, "max_items": max_items, "items_per_document": items_per_document, "max_usd": max_usd}),
        **_models(judge, judge_url, teacher, for_teacher, retry_failed, max_usd is not None),
    }
    config = _config(settings)
    inputs = {"documents": docs} | _given({"training": training, "providers": providers})
    if retry_failed:
        from sagecraft.teaching import desk

        console.say(f"  asking anew: {desk.retry_failed(out):,}")
    if sample is not None:
        shown = stage.show_sample(config, inputs, out, sample)
        if json:
            console.emit(shown)
        return
    finish(stage.run(config, inputs, out), out, json)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _config(settings: dict[str, Any]) -> BenchConfig:
    from sagecraft.benchmark.config import BenchConfig
    from sagecraft.settings import explained

    with explained(BenchConfig, "bench"):
        return BenchConfig.model_validate(settings)


def _models(
    judges: list[str],
    urls: list[str],
    teacher: str | None,
    for_teacher: dict[str, Any],
    retry_failed: bool,
    is_limited: bool,
) -> dict[str, Any]:
    """The settings `judges` and `teacher` of options.

    Raises:
        UserError: an option that would do nothing.
    """
    from sagecraft.evaluation.inputs import resolve_model

    for name, value in for_teacher.items():
        if value is not None and teacher is None:
            raise UserError(f"--{name.replace('_', '-')}: is for --teacher, which is not given")
    if for_teacher["sample"] is not None and for_teacher["sample"] < 1:
        raise UserError(f"--sample {for_teacher['sample']}: give a number of passages, such as 20")
    if (is_limited or retry_failed) and teacher is None and not judges:
        name = "--retry-failed" if retry_failed else "--max-usd"
        raise UserError(f"{name}: is for --teacher and --judge, of which none is given")
    remote = [model for model in judges if resolve_model(model)[1] is not None]
    if urls and len(urls) not in (1, len(remote)):
        raise UserError(
            f"--judge-url: {len(urls)} are given for {len(remote)} judges that are endpoints; give one for each, or one"
        )
    if urls and not remote:
        raise UserError("--judge-url: is for a --judge that is an endpoint, of which none is given")
    addresses = iter(urls * len(remote) if len(urls) == 1 else urls)
    found: dict[str, Any] = {"judges": []}
    for model in judges:
        own = {"base_url": next(addresses)} if urls and model in remote else {}
        found["judges"].append({"model": model, **own})
    if teacher is not None:
        own = _given({name: for_teacher[name] for name in ("base_url", "max_passages")})
        found["teacher"] = {"model": teacher, **own}
    return found
