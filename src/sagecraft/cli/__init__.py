"""The command line: verbs only. Each imports its stage when it is called, so `--help` needs no torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from sagecraft import __version__, console
from sagecraft.cli import benchmark, evaluation
from sagecraft.cli.options import Json, Out, Seed, app, finish
from sagecraft.errors import SagecraftError, UserError, from_system_error

if TYPE_CHECKING:
    from sagecraft.training.world import World

model_app = typer.Typer(help="Base models.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(model_app, name="model")

#: What typer exits with after Ctrl-C.
_INTERRUPTED = 130


def main() -> None:
    """Entry point: faults become one line and an exit code (0 done, 1 the machine or the run, 2 the user's input)."""
    try:
        app()
    except SystemExit as error:
        if error.code == _INTERRUPTED:
            _fail("stopped; run the same command again to go on", 1)
        raise
    except SagecraftError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        from sagecraft.planning.doctor import how_to_install

        command = how_to_install(error.name or "")
        if command is None:
            raise
        _fail(f"{error.name} is not installed, and this needs it: {command}", 1)
    except (OSError, MemoryError, RuntimeError) as error:
        fault = from_system_error(error)
        if fault is None:
            raise
        _fail(str(fault), fault.exit_code)


def _fail(text: str, code: int) -> NoReturn:
    for line in text.splitlines():
        console.say(f"error: {line}", style="red")
    sys.exit(code)


def _version(wanted: bool) -> None:
    if wanted:
        console.out.print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")] = False,
) -> None:
    pass


@app.command()
def run(
    recipe: Annotated[Path, typer.Argument(help="recipe file, for instance recipes/quickstart.yaml")],
    set_: Annotated[list[str], typer.Option("--set", help="override: section.key=value (repeatable)")] = [],  # noqa: B006
    only: Annotated[str | None, typer.Option(help="run this stage or step alone")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="run this stage and all behind it afresh")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/<recipe> if not given")] = None,
    json: Json = False,
) -> None:
    """Run or resume a recipe."""
    from sagecraft.pipeline import run_steps
    from sagecraft.recipe import load_recipe
    from sagecraft.steps import plan_steps
    from sagecraft.summary import print_summary, summarise
    from sagecraft.training.world import joined

    with joined() as world:
        if world.is_first:
            loaded = load_recipe(recipe, set_)
            steps = plan_steps(loaded, recipe.parent)
            target = out or Path("runs") / loaded.name
            journal = run_steps(steps, target, only, from_)
            result = summarise(steps, journal, target)
        else:
            exit_code = _assist(world)
    if not world.is_first:
        sys.exit(exit_code)
    if json:
        console.emit(result)
    else:
        print_summary(result)


def _assist(world: World) -> int:
    """What the other processes of a run do; what they alone find wrong they say with their number."""
    from sagecraft.training.train import assist

    try:
        return assist()
    except SagecraftError as error:
        _fail(f"process {world.rank} of {world.size}: {error}", error.exit_code)


@app.command()
def launch(
    recipe: Annotated[Path, typer.Argument(help="recipe file")],
    processes: Annotated[int | None, typer.Option(help="processes here; one for each device if not given")] = None,
    slurm: Annotated[Path | None, typer.Option(help="write a job script for Slurm here, and start nothing")] = None,
    nodes: Annotated[int, typer.Option(help="with --slurm: machines")] = 1,
    gpus_per_node: Annotated[int, typer.Option(help="with --slurm: devices of each")] = 8,
    time: Annotated[str, typer.Option(help="with --slurm: limit of one job")] = "24:00:00",
    account: Annotated[str | None, typer.Option(help="with --slurm: whose allocation")] = None,
    partition: Annotated[str | None, typer.Option(help="with --slurm: queue")] = None,
    set_: Annotated[list[str], typer.Option("--set", help="override: section.key=value (repeatable)")] = [],  # noqa: B006
    only: Annotated[str | None, typer.Option(help="run this stage or step alone")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="run this stage and all behind it afresh")] = None,
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/<recipe> if not given")] = None,
) -> None:
    """Run a recipe in several processes, one a device, or write the job script that does."""
    from sagecraft.launch import local
    from sagecraft.launch import slurm as job
    from sagecraft.recipe import load_recipe
    from sagecraft.settings import explained

    loaded = load_recipe(recipe, set_)
    command = [sys.executable, "-m", "sagecraft", "run", str(recipe)]
    command += [part for override in set_ for part in ("--set", override)]
    for option, value in (("--only", only), ("--from", from_), ("--out", out)):
        command += [option, str(value)] if value else []
    if slurm is None:
        local.start(command, local.num_devices() if processes is None else processes)
        return
    with explained(job.SlurmConfig, "launch"):
        config = job.SlurmConfig(
            nodes=nodes, gpus_per_node=gpus_per_node, time=time, account=account, partition=partition
        )
    job.write(slurm, config, loaded.name, command)
    console.say(f"{slurm}: {nodes * gpus_per_node} processes on {nodes} node(s); submit it with: sbatch {slurm}")


@app.command()
def plan(
    recipe: Annotated[Path, typer.Argument(help="recipe file")],
    cluster: Annotated[Path | None, typer.Option(help="cluster file; this machine if not given")] = None,
    set_: Annotated[list[str], typer.Option("--set", help="override: section.key=value (repeatable)")] = [],  # noqa: B006
    json: Json = False,
) -> None:
    """Check a recipe whole, then say what it will take; downloads and trains nothing."""
    from sagecraft.planning.plan import plan_recipe, print_plan, read_cluster
    from sagecraft.recipe import load_recipe
    from sagecraft.steps import describe, plan_steps

    loaded = load_recipe(recipe, set_)
    steps = describe(plan_steps(loaded, recipe.parent))
    result = plan_recipe(loaded.name, loaded.base.name, steps, read_cluster(cluster))
    if json:
        console.emit(result)
    else:
        print_plan(result)


@app.command()
def harvest(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yml", help="what to get from where (docs/harvest.md)")],
    out: Out,
    json: Json = False,
) -> None:
    """Get literature from servers, or what an earlier harvest is missing."""
    from sagecraft.corpus.harvest import harvest_from_yaml

    finish(harvest_from_yaml(config, out), out, json)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="files, folders, archives")],
    out: Out,
    settings: Annotated[
        Path | None, typer.Option("--config", help="YAML with the keys of a recipe's section corpus, but for paths")
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="drop nothing by filters; draw what each would keep at each threshold")
    ] = False,
    license_: Annotated[
        list[str], typer.Option("--license", help="keep only this licence, for instance 'CC-BY-*' (repeatable)")
    ] = [],  # noqa: B006
    reference: Annotated[
        Path | None, typer.Option(help="distribution to be held against: CSV or JSONL of key and share, or documents")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="processes; the cores of this machine if not given")] = None,
    json: Json = False,
) -> None:
    """Read literature into documents, filtered, without duplicates, and audited."""
    from sagecraft.corpus import ingest as stage

    config, inputs = stage.from_command(paths, settings, measure, license_, reference, workers)
    finish(stage.run(config, inputs, out), out, json)


@app.command()
def dedup(
    docs: Annotated[list[Path], typer.Argument(metavar="DOCS…", help="documents; of copies, those named first stay")],
    out: Out,
    near: Annotated[
        float | None, typer.Option(help="Jaccard similarity from which one of two documents is dropped; 0.7 by default")
    ] = None,
    check: Annotated[int, typer.Option(help="plant so many edited copies and report how many are found")] = 0,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Drop documents that repeat another one."""
    from sagecraft.corpus import dedup as stage
    from sagecraft.settings import explained

    with explained(stage.DedupConfig, "dedup"):
        settings: dict[str, Any] = {"check": check, "seed": seed} | ({} if near is None else {"near": near})
        config = stage.DedupConfig.model_validate(settings)
    finish(stage.run(config, {f"documents{n}": path for n, path in enumerate(docs)}, out), out, json)


@app.command()
def loss(
    docs: Annotated[Path, typer.Argument(help="documents, as ingest left them")],
    model: Annotated[Path, typer.Option(help="Hugging Face folder of a small model")],
    out: Out,
    max_tokens: Annotated[int, typer.Option(help="tokens of each document that are read")] = 512,
    max_loss: Annotated[
        float | None, typer.Option(help="drop above this, in nats per token; by default only report")
    ] = None,
    min_loss: Annotated[float | None, typer.Option(help="drop below this; by default only report")] = None,
    json: Json = False,
) -> None:
    """Measure how surprising each document is to a small model, and drop by it."""
    from sagecraft.corpus import loss as stage
    from sagecraft.settings import explained

    with explained(stage.LossConfig, "loss"):
        config = stage.LossConfig(max_tokens=max_tokens, max_loss=max_loss, min_loss=min_loss)
    finish(stage.run(config, {"documents": docs, "model": model}, out), out, json)


@app.command()
def synth(
    docs: Annotated[Path, typer.Argument(help="documents, as ingest or withhold left them")],
    out: Out,
    seed: Seed = 0,
    max_pairs: Annotated[
        int | None, typer.Option(help="at most this many questions; each makes one or two conversations")
    ] = None,
    benchmark: Annotated[Path | None, typer.Option(help="questions that must not be among them")] = None,
    general: Annotated[
        list[Path] | None, typer.Option(help="general conversations to mix in, JSONL or Parquet (repeatable)")
    ] = None,
    chains: Annotated[
        list[Path] | None, typer.Option(help="word problems with steps to mix in, as GSM8K has them (repeatable)")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="MODEL that writes questions too: a folder or provider:model")
    ] = None,
    grader: Annotated[str | None, typer.Option(help="another MODEL, which grades them")] = None,
    sample: Annotated[
        int | None, typer.Option(help="ask about this many passages only; show what came and what all would cost")
    ] = None,
    max_passages: Annotated[int | None, typer.Option(help="passages that the teacher is asked about")] = None,
    max_usd: Annotated[
        float | None, typer.Option(help="USD that teacher and grader together may cost; stops before that")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="address of a server of your own, for the teacher")] = None,
    grader_url: Annotated[str | None, typer.Option(help="address of a server of your own, for the grader")] = None,
    providers: Annotated[Path | None, typer.Option(help="YAML file of presets and prices for endpoints")] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="ask anew, in other words, what failed in the last run")
    ] = False,
    json: Json = False,
) -> None:
    """Make conversations from documents."""
    from sagecraft.settings import explained
    from sagecraft.synthesis import synth as stage
    from sagecraft.synthesis.teacher import sample as look
    from sagecraft.synthesis.teacher import teach
    from sagecraft.teaching import desk

    settings: dict[str, Any] = {"seed": seed}
    if max_pairs is not None:
        settings["max_pairs"] = max_pairs
    given = {"max_usd": max_usd, "base_url": base_url, "max_passages": max_passages}
    settings |= teach.from_options(teacher, grader, grader_url, sample, retry_failed, given)
    if general:
        settings["general"] = {"sources": [{"path": str(path)} for path in general]}
    inputs = {"documents": docs} | ({"benchmark": benchmark} if benchmark else {})
    inputs |= {"providers": providers} if providers else {}
    inputs |= {f"chains{number}": path for number, path in enumerate(chains or [])}
    with explained(stage.SynthConfig, "synth"):
        config = stage.SynthConfig.model_validate(settings)
    if retry_failed:
        console.say(f"  asking anew: {desk.retry_failed(out):,}")
    if sample is not None:
        shown = look.show_sample(config, inputs, out, sample)
        if json:
            console.emit(shown)
        return
    finish(stage.run(config, inputs, out), out, json)


app.command()(benchmark.bench)


@app.command()
def merge(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.yml", help="merge configuration (mergekit's form)")],
    out: Annotated[Path, typer.Argument(help="folder of the merged model")],
    seeds: Annotated[int | None, typer.Option(help="search: try this many seeds of the random masks")] = None,
    sweep: Annotated[
        list[str],
        typer.Option(
            help="search: PARAMETER=FROM..TO[:POINTS] or PARAMETER=A,B,C; models.NAME.PARAMETER is that of one model "
            "(repeatable: all combinations)"
        ),
    ] = [],  # noqa: B006
    task: Annotated[Path | None, typer.Option(help="of a search: keyed questions to choose by")] = None,
    text: Annotated[Path | None, typer.Option(help="of a search: documents whose perplexity is measured too")] = None,
    mode: Annotated[
        list[str], typer.Option(help="of a search: continuation, letter or generate; the first decides (repeatable)")
    ] = ["continuation"],  # noqa: B006
    max_items: Annotated[int | None, typer.Option(help="of a search: a keyed sample of this many questions")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="of a search: keep every candidate's model")] = False,
    json: Json = False,
) -> None:
    """Merge checkpoints; with --seeds or --sweep, search for the best merge."""
    if seeds is None and not sweep:
        if task or text or max_items or keep or mode != ["continuation"]:
            raise UserError("--task, --text, --mode, --max-items and --keep need a search: --seeds or --sweep")
        from sagecraft.merging.merge import merge_from_yaml

        finish(merge_from_yaml(config, out), out, json, told=True)
        return
    from sagecraft.merging import search

    measured = {"modes": mode, "max_items": max_items}
    found = search.search_from_yaml(config, out, seeds, sweep, {"task": task, "text": text}, measured, keep)
    if json:
        console.emit({"out": str(out), "search": str(search.search_folder(out)), **found})
    else:
        search.show(found, out)


app.command(name="eval")(evaluation.evaluate)
app.command()(evaluation.compare)
app.command()(evaluation.export)


@app.command()
def chat(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Hugging Face folder, folder+adapter, or GGUF file")],
    think: Annotated[str, typer.Option(help="on or off; `/think on|off` switches while talking")] = "off",
    max_tokens: Annotated[int, typer.Option(help="tokens of a reply at most")] = 512,
    seed: Seed = 0,
) -> None:
    """Talk to a model in the terminal."""
    from sagecraft.assistant.terminal import chat as talk

    talk(model, thinking=_switch(think), max_tokens=max_tokens, seed=seed)


@app.command()
def serve(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Hugging Face folder, folder+adapter, or GGUF file")],
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 8000,
) -> None:
    """Serve a model: OpenAI-compatible, with a page to chat on `/`."""
    from sagecraft.assistant.server import serve as listen

    listen(model, host, port)


@app.command()
def publish(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Hugging Face folder")],
    out: Annotated[Path | None, typer.Option(help="folder to write; MODEL-published if not given")] = None,
    gguf: Annotated[str | None, typer.Option(help="also a GGUF of this type: f32, f16, bf16 or q8_0")] = None,
    push: Annotated[str | None, typer.Option(help="hub repository to upload to (token from HF_TOKEN)")] = None,
    json: Json = False,
) -> None:
    """Write a model card, a checked GGUF, and upload."""
    from sagecraft.publishing import publish as stage
    from sagecraft.settings import explained

    target = out or model.with_name(f"{model.name}-published")
    with explained(stage.PublishConfig, "publish"):
        config = stage.PublishConfig.model_validate({"gguf": gguf, "push": push})
    finish(stage.run(config, {"model": model}, target), target, json)


@model_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="known name, or owner/repository of the hub")],
    out: Out,
    json: Json = False,
) -> None:
    """Fetch a base model as a Hugging Face folder, checked against its source."""
    from sagecraft.models import fetch as stage

    finish(stage.run(stage.FetchConfig(name=name), {}, out), out, json)


@app.command()
def show(
    artifact: Annotated[Path, typer.Argument(help="folder of an artifact")],
    count: Annotated[int, typer.Option("--count", "-n", help="how many rows or items to show")] = 3,
    row: Annotated[int | None, typer.Option(help="of tokens: this row")] = None,
    step: Annotated[int | None, typer.Option(help="of tokens, or of a training: the rows of this step")] = None,
    html: Annotated[Path | None, typer.Option(help="of tokens: write a page there")] = None,
    model: Annotated[Path | None, typer.Option(help="folder of the tokenizer, if it is not beside the tokens")] = None,
    name: Annotated[
        str | None, typer.Option("--id", help="a conversation or benchmark item: it and the sentences it rests on")
    ] = None,
    documents: Annotated[
        Path | None, typer.Option(help="with --id: what it was made from, to show the sentences before and after")
    ] = None,
    json: Json = False,
) -> None:
    """Show what an artifact holds; tokens are coloured by document and mask."""
    from sagecraft.show import Choice
    from sagecraft.show import show as display

    display(artifact, count, json, Choice(row, step, html, model, name, documents))


@app.command()
def doctor(json: Json = False) -> None:
    """Say what this machine has, and what is missing for which stage."""
    from sagecraft.planning.doctor import doctor as examine
    from sagecraft.planning.doctor import print_doctor

    report = examine()
    if json:
        console.emit(report)
    else:
        print_doctor(report)


def _switch(value: str) -> Any:
    if value not in ("on", "off"):
        raise typer.BadParameter(f"{value!r} is neither on nor off")
    return value
