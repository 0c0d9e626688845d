"""From a recipe to its steps: what each takes and gives, verified before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sagecraft.benchmark import models as bench_models
from sagecraft.benchmark.items import ITEMS
from sagecraft.corpus.harvest import local_files
from sagecraft.corpus.ingest import IngestConfig, SourceConfig
from sagecraft.corpus.reference import read_reference
from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.shots import read_asked
from sagecraft.evaluation.tasks import read_task
from sagecraft.merging.merge import ROLES, MergeConfig
from sagecraft.models.config import check_context, read_config
from sagecraft.models.fetch import FetchConfig, find
from sagecraft.models.tensors import list_tensors
from sagecraft.recipe import Recipe, resolve
from sagecraft.settings import dump
from sagecraft.synthesis.chains.word_problems import check_problems
from sagecraft.synthesis.mixing import check_source, named_sets
from sagecraft.synthesis.teacher.teach import model_inputs, models_of
from sagecraft.teaching.config import ModelConfig
from sagecraft.teaching.purse import prices_of
from sagecraft.training.trackers import require
from sagecraft.training.train import TrainConfig

#: stage → (module that holds its `run` and `VERSION`, kind of artifact it makes).
STAGES: dict[str, tuple[str, str]] = {
    "fetch": ("sagecraft.models.fetch", "model"),
    "harvest": ("sagecraft.corpus.harvest", "literature"),
    "ingest": ("sagecraft.corpus.ingest", "documents"),
    "withhold": ("sagecraft.corpus.withhold", "documents"),
    "bench": ("sagecraft.benchmark.build", "benchmark"),
    "decontaminate": ("sagecraft.benchmark.decontaminate", "documents"),
    "mix": ("sagecraft.tokens.mix", "mixture"),
    "pack": ("sagecraft.tokens.pack", "tokens"),
    "cpt": ("sagecraft.training.train", "model"),
    "synth": ("sagecraft.synthesis.synth", "conversations"),
    "render": ("sagecraft.tokens.render", "tokens"),
    "sft": ("sagecraft.training.train", "model"),
    "merge": ("sagecraft.merging.merge", "model"),
    "evaluate": ("sagecraft.evaluation.evaluate", "evaluation"),
    "report": ("sagecraft.publishing.run_report", "report"),
}


@dataclass(frozen=True)
class Ref:
    """An input that another step makes: the step's name, and a folder or file inside its artifact."""

    step: str
    kind: str
    inside: str = ""


@dataclass(frozen=True)
class Step:
    """One stage with its configuration and inputs: what it takes and what it gives."""

    name: str
    stage: str
    config: BaseModel
    inputs: Mapping[str, Ref | Path] = field(default_factory=dict)

    @property
    def gives(self) -> str:
        """The kind of artifact it makes."""
        return STAGES[self.stage][1]


#: The questions that the recipe's own `bench` makes.
_MADE_ITEMS = Ref("bench", "benchmark", ITEMS)


def plan_steps(recipe: Recipe, recipe_folder: Path) -> list[Step]:
    """The steps of a recipe in order, verified: every file exists, every input is made by an earlier step.

    Raises:
        UserError: one line a fault, all faults at once.
    """
    faults: list[str] = []
    steps = list(_steps(recipe, recipe_folder, faults))
    faults += _broken_links(steps)
    if recipe.providers is not None and not faults and not any("providers" in step.inputs for step in steps):
        faults.append("providers: no stage of this recipe asks an endpoint; leave it out")
    if faults:
        raise UserError("\n".join(faults))
    return steps


def _steps(recipe: Recipe, folder: Path, faults: list[str]) -> Iterator[Step]:
    base: Ref | Path = Ref("fetch", "model")
    local = resolve(recipe.base.name, folder)
    if local is not None and local.is_dir():
        base = local
        _check(lambda: _read_headers(local), "base.name", faults)
        faults += [] if faults else _too_long_rows(recipe, local)
    else:
        # a GGUF file may stand beside the recipe, as every other file
        name = str(local) if local is not None and local.suffix == ".gguf" else recipe.base.name
        _check(lambda: find(name), "base.name", faults)
        yield Step("fetch", "fetch", FetchConfig(name=name, revision=recipe.base.revision))
    # first of all: what a server may refuse is known before a week of training
    others = (yield from _other_models(recipe.merge, folder, faults)) if recipe.merge is not None else {}
    corpus = _ingest("ingest", "corpus.paths", recipe.corpus, folder, faults)
    if recipe.harvest is not None:
        files = {
            key: _file(path, f"harvest: {key}", folder, faults) for key, path in local_files(recipe.harvest).items()
        }
        yield Step("harvest", "harvest", recipe.harvest, {key: found for key, found in files.items() if found})
        corpus = replace(corpus, inputs={**corpus.inputs, "harvest": Ref("harvest", "literature")})
    elif not recipe.corpus.paths:
        faults.append("corpus.paths: names nothing to read; give files or folders, or a harvest")
    yield corpus
    general = recipe.general
    for name, key, sources in (
        ("ingest-replay", "general.replay", general.replay),
        ("ingest-held-out", "general.held_out", general.held_out),
    ):
        if sources:
            yield _ingest(name, key, IngestConfig(paths=sources), folder, faults)
    faults += _measured_and_trained_on(recipe, folder)
    asked = _asked(recipe, folder, faults)
    benchmarks = _benchmarks(recipe, folder, faults, asked.get("task"))
    training, replay = yield from _sorting(recipe, folder, faults, benchmarks)
    tuned = base
    if recipe.pack is not None:
        inputs: dict[str, Ref | Path] = {"documents": training, "model": base}
        if replay is not None:
            inputs["general"] = replay
        elif recipe.mix.general_share:
            faults.append("mix.general_share: needs general.replay; name general text there, or set the share to 0")
        yield Step("mix", "mix", recipe.mix, inputs)
        yield Step("pack", "pack", recipe.pack, {**inputs, "mixture": Ref("mix", "mixture")})
    if recipe.cpt is not None:
        watched = _watched(recipe, "cpt", recipe.cpt, faults)
        yield Step("cpt", "cpt", recipe.cpt, {"model": tuned, "tokens": Ref("pack", "tokens"), **watched})
        tuned = Ref("cpt", "model")
    yield from _tuning(recipe, folder, faults, tuned, {"base": base, **others}, training, asked, benchmarks)


def _asked(recipe: Recipe, folder: Path, faults: list[str]) -> dict[str, Ref | Path]:
    """What every evaluation reads, by the name of the input: the questions, and those that are shown solved."""
    section = recipe.evaluate
    if section is None:
        return {}
    files: dict[str, Path] = {}
    for name, key, written in (("task", "task", section.task), ("shots", "shots_from", section.shots_from)):
        if written is not None and (found := _file(written, f"evaluate.{key}", folder, faults)):
            files[name] = found
    if section.task is None:
        if recipe.bench is None:
            faults.append(
                "evaluate.task: names no questions; give a file, or add `bench:` to make them of what is withheld"
            )
        return {"task": _MADE_ITEMS, **files}
    if "task" not in files:
        return {}
    _check(lambda: read_asked(section, files), "evaluate.task", faults)
    if section.questions.columns and (recipe.decontaminate or recipe.synth):
        told = "decontaminate and synth look for leaks of questions under their usual names; rename the columns"
        faults.append(f"evaluate.questions.columns: {told}")
    return {**files}


def _benchmarks(recipe: Recipe, folder: Path, faults: list[str], task: Ref | Path | None) -> dict[str, Ref | Path]:
    """Questions that must not be trained on, by the name of the input."""
    benchmarks: dict[str, Ref | Path] = {"benchmark": task} if task else {}
    if recipe.bench is not None and task != _MADE_ITEMS:
        benchmarks["benchmark-made"] = _MADE_ITEMS
    for number, written in enumerate(recipe.decontaminate.benchmarks if recipe.decontaminate else ()):
        key = f"decontaminate.benchmarks[{number}]"
        found = _file(written, key, folder, faults)
        if found:
            _check(partial(read_task, found), key, faults)
            benchmarks[f"benchmark{number}"] = found
    return benchmarks


def _sorting(
    recipe: Recipe, folder: Path, faults: list[str], benchmarks: Mapping[str, Ref | Path]
) -> Generator[Step, None, tuple[Ref, Ref | None]]:
    """Withholding, questions of what is withheld, and taking benchmarks out of what is trained on.

    Returns:
        The documents and the general text to train on.
    """
    inputs: dict[str, Ref | Path] = {"documents": Ref("ingest", "documents")}
    if recipe.withhold.file:
        listed = _file(recipe.withhold.file, "withhold.file", folder, faults)
        inputs |= {"file": listed} if listed else {}
    yield Step("withhold", "withhold", recipe.withhold, inputs)
    training = Ref("withhold", "documents", "training")
    if recipe.bench is not None:
        withheld = Ref("withhold", "documents", "withheld")
        asking: dict[str, Ref | Path] = {"documents": withheld, "training": training}
        bench = recipe.bench
        _check(lambda: asking.update(bench_models.model_inputs(bench)), "bench", faults)
        asking |= _prices("bench", bench_models.models_of(bench), bench.max_usd, recipe, folder, faults)
        yield Step("bench", "bench", recipe.bench, asking)
    replay = Ref("ingest-replay", "documents") if recipe.general.replay else None
    config = recipe.decontaminate
    if config is None or not benchmarks:
        return training, replay
    yield Step("decontaminate", "decontaminate", config, {"documents": training, **benchmarks})
    if replay is not None:
        yield Step("decontaminate-replay", "decontaminate", config, {"documents": replay, **benchmarks})
        replay = Ref("decontaminate-replay", "documents")
    return Ref("decontaminate", "documents"), replay


def _prices(
    stage: str,
    models: Mapping[str, ModelConfig | None],
    max_usd: float | None,
    recipe: Recipe,
    folder: Path,
    faults: list[str],
) -> dict[str, Ref | Path]:
    """The file of presets and prices, for a stage that asks endpoints; a limit without a price is a fault."""
    if faults:
        return {}  # a model that is none is told already
    given = _file(recipe.providers, "providers", folder, faults) if recipe.providers is not None else None
    asked: dict[str, Any] = {}
    if not faults:
        _check(lambda: asked.update(prices_of(stage, models, given, max_usd)), stage, faults)
    return {"providers": given} if given and asked else {}


def _tuning(
    recipe: Recipe,
    folder: Path,
    faults: list[str],
    start: Ref | Path,
    given: Mapping[str, Ref | Path],
    training: Ref,
    asked: Mapping[str, Ref | Path],
    benchmarks: Mapping[str, Ref | Path],
) -> Iterator[Step]:
    """Synthesis, fine-tuning, merge, evaluation and report."""
    models: dict[str, Ref | Path] = {"base": given["base"]}
    if recipe.cpt is not None:
        models["cpt"] = start
    if recipe.synth is not None:
        inputs: dict[str, Ref | Path] = {"documents": training, **benchmarks}
        for name, key, written in named_sets(recipe.synth.general, recipe.general.chat):
            if found := _file(written, key, folder, faults):
                _check(partial(check_source, found), key, faults)
                inputs[name] = found
        for number, written in enumerate(recipe.general.chains):
            if found := _file(written, f"general.chains[{number}]", folder, faults):
                _check(partial(check_problems, found), f"general.chains[{number}]", faults)
                inputs[f"chains{number}"] = found
        synth = recipe.synth
        _check(lambda: inputs.update(model_inputs(synth)), "synth", faults)
        inputs |= _prices("synth", models_of(synth), synth.max_usd, recipe, folder, faults)
        yield Step("synth", "synth", recipe.synth, inputs)
    if recipe.render is not None:
        yield Step("render", "render", recipe.render, {"conversations": Ref("synth", "conversations"), "model": start})
    if recipe.sft is not None:
        watched = _watched(recipe, "sft", recipe.sft, faults)
        yield Step("sft", "sft", recipe.sft, {"model": start, "tokens": Ref("render", "tokens"), **watched})
        models["sft"] = Ref("sft", "model")
    if recipe.merge is not None:
        made = {**given, **models}
        taken = {role: made.get(role, Ref(role, "model")) for role in recipe.merge.wanted()}
        yield Step("merge", "merge", recipe.merge, taken)
        models["merged"] = Ref("merge", "model")
    yield from _measuring(recipe, models, asked, bool(benchmarks))


def _other_models(merge: MergeConfig, folder: Path, faults: list[str]) -> Generator[Step, None, dict[str, Ref | Path]]:
    """Models of a merge that the recipe does not make: role → a folder, or what a step of its own fetches."""
    found: dict[str, Ref | Path] = {}
    for role in merge.wanted():
        if role not in (*ROLES, *merge.roles):
            named = ", ".join((*ROLES, *merge.roles))
            faults.append(f"merge.models: {role!r} is not one of {named}; give its folder or name in merge.roles")
    for role, written in merge.roles.items():
        local = resolve(written, folder)
        if local is not None and local.is_dir():
            found[role] = local
            _check(partial(_read_headers, local), f"merge.roles.{role}", faults)
        else:
            _check(partial(find, written), f"merge.roles.{role}", faults)
            yield Step(f"fetch-{role}", "fetch", FetchConfig(name=written))
            found[role] = Ref(f"fetch-{role}", "model")
    return found


def _watched(recipe: Recipe, key: str, config: TrainConfig, faults: list[str]) -> dict[str, Ref | Path]:
    """The held-out text whose perplexity is measured while a model is trained, as far as the recipe has it."""
    watch, general = config.watch, bool(recipe.general.held_out)
    _check(lambda: require(watch), key, faults)
    if watch.max_general_loss is not None and not (general and watch.tokens):
        faults.append(f"{key}.watch.max_general_loss: needs general text; name it in general.held_out")
    if not watch.tokens:
        return {}
    texts: dict[str, Ref | Path] = {"domain": Ref("withhold", "documents", "withheld")}
    return texts | ({"general": Ref("ingest-held-out", "documents")} if general else {})


def _measuring(
    recipe: Recipe, models: Mapping[str, Ref | Path], asked: Mapping[str, Ref | Path], has_benchmarks: bool
) -> Iterator[Step]:
    evaluations: dict[str, Ref | Path] = {}
    if recipe.evaluate is not None and asked:
        config = EvaluateConfig.model_validate({k: v for k, v in recipe.evaluate if k in EvaluateConfig.model_fields})
        for name, model in models.items():
            inputs: dict[str, Ref | Path] = {
                "model": model,
                **asked,
                "domain": Ref("withhold", "documents", "withheld"),
            }
            if recipe.general.held_out:
                inputs["general"] = Ref("ingest-held-out", "documents")
            yield Step(f"evaluate-{name}", "evaluate", config, inputs)
            evaluations[f"evaluate-{name}"] = Ref(f"evaluate-{name}", "evaluation")
    if recipe.report is not None:
        parts: dict[str, Ref | Path] = {
            "ingest": Ref("ingest", "documents"),
            "withhold": Ref("withhold", "documents"),
            **evaluations,
        }
        cleaned = recipe.decontaminate is not None and has_benchmarks
        present = {
            "fetch": not isinstance(models["base"], Path),
            "decontaminate": cleaned,
            "decontaminate-replay": cleaned and bool(recipe.general.replay),
            "ingest-replay": bool(recipe.general.replay),
            "ingest-held-out": bool(recipe.general.held_out),
            "mix": recipe.pack is not None,
            **{
                name: getattr(recipe, name) is not None
                for name in ("bench", "pack", "cpt", "synth", "render", "sft", "merge")
            },
        }
        parts |= {name: Ref(name, _kind(name)) for name, here in present.items() if here}
        yield Step("report", "report", recipe.report, parts)


def _check(read: Callable[[], object], key: str, faults: list[str]) -> None:
    """Reads a file of the user now, so that its fault is known before an hour of training and not behind it."""
    try:
        read()
    except UserError as error:
        faults += [f"{key}: {line}" for line in str(error).split("\n")]


def _read_headers(folder: Path) -> None:
    read_config(folder)
    list_tensors(folder)
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder}: no tokenizer.json; a model folder needs its tokenizer")


def _too_long_rows(recipe: Recipe, base: Path) -> list[str]:
    """Settings that ask for more tokens in a row than the base model reads; the models made from it read as many."""
    wanted = {
        "pack.sequence_length": recipe.pack and recipe.pack.sequence_length,
        "render.sequence_length": recipe.render and recipe.render.sequence_length,
        "evaluate.perplexity.window": recipe.evaluate and recipe.evaluate.perplexity.window,
    }
    faults: list[str] = []
    for key, num_tokens in wanted.items():
        try:
            check_context(base, num_tokens or 0, key)
        except UserError as error:
            faults.append(str(error))
    return faults


def _measured_and_trained_on(recipe: Recipe, folder: Path) -> list[str]:
    """Text that is trained on and measured on would show no forgetting, whatever happens."""
    faults = []
    trained = [(f"corpus.paths[{n}]", *_span(source, folder)) for n, source in enumerate(recipe.corpus.paths)]
    trained += [(f"general.replay[{n}]", *_span(source, folder)) for n, source in enumerate(recipe.general.replay)]
    for number, source in enumerate(recipe.general.held_out):
        path, (first, last) = _span(source, folder)
        for key, other, (start, end) in trained:
            if path is None or other is None:
                continue  # a missing file, which is named already
            same = path == other and first < end and start < last
            if same or path in other.parents or other in path.parents:
                faults.append(
                    f"general.held_out[{number}]: {path} is trained on too ({key}); take other text, or shares that part"
                )
    return faults


def _span(source: str | SourceConfig, folder: Path) -> tuple[Path | None, tuple[float, float]]:
    written, share = (source.path, source.share) if isinstance(source, SourceConfig) else (source, (0.0, 1.0))
    found = resolve(written, folder)
    return (found.resolve() if found else None), share


def _kind(step: str) -> str:
    return STAGES[step.split("-")[0]][1]


def _ingest(name: str, key: str, config: IngestConfig, folder: Path, faults: list[str]) -> Step:
    inputs: dict[str, Ref | Path] = {}
    for number, source in enumerate(config.paths):
        written = source.path if isinstance(source, SourceConfig) else source
        found = _file(written, f"{key}[{number}]", folder, faults)
        if found:
            inputs[f"path{number}"] = found
    if config.reference is not None and (found := _file(config.reference, "corpus.reference", folder, faults)):
        reference = found
        _check(lambda: read_reference(reference), "corpus.reference", faults)
        inputs["reference"] = reference
    return Step(name, "ingest", config, inputs)


def _file(written: str, key: str, folder: Path, faults: list[str]) -> Path | None:
    found = resolve(written, folder)
    if found is None:
        faults.append(f"{key}: {written}: no such file or folder, from here or from {folder}")
    return found


def _broken_links(steps: Sequence[Step]) -> list[str]:
    made: dict[str, str] = {}
    faults = []
    for step in steps:
        for name, ref in step.inputs.items():
            if not isinstance(ref, Ref):
                continue
            if ref.step not in made:
                faults.append(
                    f"{step.name}: needs {name} from {ref.step}, which this recipe does not run; add `{ref.step}:`"
                )
            elif made[ref.step] != ref.kind:
                faults.append(f"{step.name}: needs {ref.kind}, but {ref.step} makes {made[ref.step]}")
        made[step.name] = step.gives
    return faults


def describe(steps: Sequence[Step]) -> list[dict[str, Any]]:
    """The steps as plain values, for the planner."""
    return [
        {
            "name": step.name,
            "stage": step.stage,
            "config": dump(step.config),
            "inputs": {name: ref.step if isinstance(ref, Ref) else str(ref) for name, ref in step.inputs.items()},
        }
        for step in steps
    ]
