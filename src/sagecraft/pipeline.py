"""From a recipe to its steps, and a loop over them: order, skip, resume, dry run."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.corpus.harvest import local_files
from sagecraft.corpus.ingest import IngestConfig, SourceConfig
from sagecraft.corpus.reference import read_reference
from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.shots import read_asked
from sagecraft.evaluation.tasks import read_task
from sagecraft.lock import locked
from sagecraft.merging.merge import ROLES, MergeConfig
from sagecraft.models.config import check_context, read_config
from sagecraft.models.fetch import FetchConfig, find
from sagecraft.models.tensors import list_tensors
from sagecraft.recipe import Recipe, resolve
from sagecraft.settings import dump
from sagecraft.synthesis.chains.word_problems import check_problems
from sagecraft.synthesis.mixing import check_source, named_sets
from sagecraft.synthesis.teacher.teach import model_inputs
from sagecraft.training.trackers import require
from sagecraft.training.train import TrainConfig

#: stage → (module that holds its `run` and `VERSION`, kind of artifact it makes).
STAGES: dict[str, tuple[str, str]] = {
    "fetch": ("sagecraft.models.fetch", "model"),
    "harvest": ("sagecraft.corpus.harvest", "literature"),
    "ingest": ("sagecraft.corpus.ingest", "documents"),
    "withhold": ("sagecraft.corpus.withhold", "documents"),
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
    """An input that another step makes: the step's name, and a folder inside its artifact."""

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


def plan_steps(recipe: Recipe, recipe_folder: Path) -> list[Step]:
    """The steps of a recipe in order, verified: every file exists, every input is made by an earlier step.

    Raises:
        UserError: one line a fault, all faults at once.
    """
    faults: list[str] = []
    steps = list(_steps(recipe, recipe_folder, faults))
    faults += _broken_links(steps)
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


def _asked(recipe: Recipe, folder: Path, faults: list[str]) -> dict[str, Path]:
    """Files that every evaluation reads, by the name of the input: the questions, and those that are shown solved."""
    section = recipe.evaluate
    task = _file(section.task, "evaluate.task", folder, faults) if section else None
    if section is None or task is None:
        return {}
    files = {"task": task}
    if section.shots_from is not None:
        found = _file(section.shots_from, "evaluate.shots_from", folder, faults)
        files |= {"shots": found} if found else {}
    _check(lambda: read_asked(section, files), "evaluate.task", faults)
    if section.questions.columns and (recipe.decontaminate or recipe.synth):
        told = "decontaminate and synth look for leaks of questions under their usual names; rename the columns"
        faults.append(f"evaluate.questions.columns: {told}")
    return files


def _benchmarks(recipe: Recipe, folder: Path, faults: list[str], task: Path | None) -> dict[str, Ref | Path]:
    """Files of questions that must not be trained on, by the name of the input."""
    benchmarks: dict[str, Ref | Path] = {"benchmark": task} if task else {}
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
    """Withholding, and taking benchmarks out of what is trained on. Returns the documents and the general text to train on."""
    inputs: dict[str, Ref | Path] = {"documents": Ref("ingest", "documents")}
    if recipe.withhold.file:
        listed = _file(recipe.withhold.file, "withhold.file", folder, faults)
        inputs |= {"file": listed} if listed else {}
    yield Step("withhold", "withhold", recipe.withhold, inputs)
    training = Ref("withhold", "documents", "training")
    replay = Ref("ingest-replay", "documents") if recipe.general.replay else None
    config = recipe.decontaminate
    if config is None or not benchmarks:
        return training, replay
    yield Step("decontaminate", "decontaminate", config, {"documents": training, **benchmarks})
    if replay is not None:
        yield Step("decontaminate-replay", "decontaminate", config, {"documents": replay, **benchmarks})
        replay = Ref("decontaminate-replay", "documents")
    return Ref("decontaminate", "documents"), replay


def _tuning(
    recipe: Recipe,
    folder: Path,
    faults: list[str],
    start: Ref | Path,
    given: Mapping[str, Ref | Path],
    training: Ref,
    asked: Mapping[str, Path],
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
        _check(partial(lambda config: inputs.update(model_inputs(config)), recipe.synth), "synth", faults)
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
    recipe: Recipe, models: Mapping[str, Ref | Path], asked: Mapping[str, Path], has_benchmarks: bool
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
            **{name: getattr(recipe, name) is not None for name in ("pack", "cpt", "synth", "render", "sft", "merge")},
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


def choose(steps: Sequence[Step], only: str | None, start: str | None) -> tuple[set[str], set[str]]:
    """Names of the steps to consider, and of those to run even if they are finished.

    `only` takes a stage (`evaluate`) or one step (`evaluate-sft`); `start` runs that step and all behind it afresh.
    """
    names = [step.name for step in steps]
    for key, wanted in (("--only", only), ("--from", start)):
        if wanted is not None and not any(wanted in (step.name, step.stage) for step in steps):
            raise UserError(f"{key} {wanted}: no such stage in this recipe; its steps are {', '.join(names)}")
    considered = {s.name for s in steps if only is None or only in (s.name, s.stage)}
    forced: set[str] = set()
    if start is not None:
        first = next(n for n, step in enumerate(steps) if start in (step.name, step.stage))
        forced = set(names[first:])
        if not considered & forced:
            raise UserError(f"--only {only} lies before --from {start}: nothing would run; leave one of them out")
    return considered, forced


def run_steps(
    steps: Sequence[Step], out: Path, only: str | None = None, start: str | None = None
) -> list[tuple[Step, str, float]]:
    """Runs what is not finished. Returns each step with what became of it (`ran` or `skipped`) and its seconds."""
    considered, forced = choose(steps, only, start)
    journal = []
    with locked(out / "run.lock", f"{out}: another sagecraft runs here; wait for it or choose another --out"):
        for number, step in enumerate(steps, start=1):
            target = out / step.name
            artifact.settle(target)  # of every step: with --only the others are inputs
            if step.name not in considered:
                continue
            inputs = {name: _locate(ref, out, step) for name, ref in step.inputs.items()}
            label = f"[{number}/{len(steps)}] {step.name}"
            if step.name not in forced and _is_done(step, inputs, target):
                console.say(f"{label}: finished before, nothing it depends on has changed; skipped", style="dim")
                journal.append((step, "skipped", 0.0))
                continue
            console.say(label, style="bold")
            began = time.monotonic()
            manifest = _run(step, inputs, target)
            if manifest.kind == "documents":
                console.say(f"  {_sorted_out(step.stage, manifest.stats)}")
            journal.append((step, "ran", time.monotonic() - began))
    return journal


def _is_done(step: Step, inputs: Mapping[str, Path], target: Path) -> bool:
    if not artifact.is_finished(target, _mark(step, inputs)):
        return False
    # A harvest that lacks what did not arrive asks for it again, and for nothing else.
    return step.stage != "harvest" or not artifact.load(target).stats["num_failed"]


def _run(step: Step, inputs: Mapping[str, Path], target: Path) -> Manifest:
    run: Callable[..., Manifest] = importlib.import_module(STAGES[step.stage][0]).run
    # the two training stages share one function and differ in their name
    extra: dict[str, Any] = {"stage": step.stage} if step.stage in ("cpt", "sft") else {}
    return run(step.config, inputs, target, **extra)


def _sorted_out(stage: str, stats: Mapping[str, Any]) -> str:
    """What a step that sorts documents did, in a line; the others say their own."""
    if stage == "withhold":
        rules = ", ".join(f"{rule} {number:,}" for rule, number in stats["rules"].items() if number)
        return (
            f"{stats['num_training']:,} documents to train on, {stats['num_withheld']:,} withheld ({rules or 'none'})"
        )
    if stage == "decontaminate":
        found = f"leaked questions: {stats['num_items_hit']:,}, in {stats['num_documents_hit']:,} of them; hits.jsonl has both texts"
        return f"{stats['num_documents']:,} documents; {found if stats['num_hits'] else 'no question stands in them'}"
    dropped = ", ".join(f"{reason} {number:,}" for reason, number in stats["dropped"].items())
    kept = f"{stats['num_documents']:,} documents of {stats['num_words']:,} words"
    return f"{kept}; {stats['num_dropped']:,} dropped: {dropped}" if dropped else f"{kept}; none dropped"


def _mark(step: Step, inputs: Mapping[str, Path]) -> str:
    version = importlib.import_module(STAGES[step.stage][0]).VERSION
    digests = {name: artifact.input_digest(path) for name, path in sorted(inputs.items())}
    return artifact.fingerprint(step.stage, version, step.config.model_dump(mode="json"), digests)


def _locate(ref: Ref | Path, out: Path, step: Step) -> Path:
    if isinstance(ref, Path):
        return ref
    folder = out / ref.step
    if not (folder / artifact.MANIFEST).is_file():
        raise UserError(f"{step.name}: needs {folder}, which is not there yet; run the recipe without --only first")
    return folder / ref.inside if ref.inside else folder


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
