"""Search among merges: several seeds or settings of one configuration, each evaluated, and the best of them kept.

Candidates are merged one at a time, evaluated on half of the questions and deleted; the best is merged once more to where
the result belongs, since the same configuration gives the same bytes and a second copy need not lie around for hours.
The other half of the questions then says what the best is worth. What was evaluated is kept, and found again when the
search was killed or is widened.
"""

from __future__ import annotations

import gc
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Build, Manifest, keyed_hash
from sagecraft.errors import UserError
from sagecraft.evaluation import evaluate
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.inputs import TEXTS
from sagecraft.merging import merge
from sagecraft.merging.candidates import Candidate, make_candidates
from sagecraft.merging.config import read_merge_mapping
from sagecraft.merging.spread import Scored, against, by_setting, choose_best, choose_median, spread, verdicts
from sagecraft.settings import explained

if TYPE_CHECKING:
    from sagecraft.evaluation.tasks import Item

VERSION = 2
#: Half of fewer questions says nothing about any model.
_MIN_ITEMS = 20
_MAX_SLUG = 60
#: Scored tokens of the text: candidates are compared on the same ones, so that fewer than for a perplexity's own sake do.
_TEXT_TOKENS = 5000
#: What an artifact inside another does not bring along: the same search gives the same bytes.
_TIMES = shutil.ignore_patterns(artifact.TIMING)


class SearchConfig(BaseModel):
    """What is tried, and how it is measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    config: dict[str, Any] = Field(description="a merge configuration as YAML holds it")
    seeds: int | None = Field(default=None, description="seeds of each setting, counted up from the configuration's")
    sweep: tuple[str, ...] = Field(default=(), description="PARAMETER=FROM..TO[:POINTS] or PARAMETER=A,B,C each")
    measure: EvaluateConfig = Field(
        default=EvaluateConfig(),
        description="how candidates are measured; the first mode's accuracy decides, of equals the perplexity",
    )
    keep: bool = Field(default=False, description="keep every candidate's model, not the best alone")


@dataclass(frozen=True)
class Subject:
    """A model that is measured beside the candidates.

    Attributes:
        name: what results call it.
        role: `base` or `input`.
        inputs: `model`, and `adapter` if it has one.
    """

    name: str
    role: str
    inputs: dict[str, Path]


@dataclass(frozen=True)
class Plan:
    """A search whose every candidate was checked; nothing has run yet.

    Attributes:
        candidates: in the order of settings, then seeds.
        prepared: the merge of each.
        select: questions that choose.
        confirm: questions kept back.
        subjects: the base and the other models.
        task: name of the task.
    """

    candidates: list[Candidate]
    prepared: list[merge.Prepared]
    select: list[Item]
    confirm: list[Item]
    subjects: list[Subject]
    task: str


def run(config: SearchConfig, config_path: Path, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Searches; the best merge is `out`, what was found lies beside it in `search_folder(out)`.

    Args:
        config: what is tried.
        config_path: where its `config` was read: model folders are seen from there.
        inputs: `task` (questions with a key) and, for perplexity, `text` (a folder of documents).
        out: folder of the best merge.

    Raises:
        UserError: all that can be known before a weight is read, a line a fault.
    """
    plan = make_plan(config, config_path, inputs, out)
    folder = search_folder(out)
    models = {f"model {name}": path for name, path in plan.prepared[0].inputs.items()}
    console.say(
        f"  {len(plan.candidates)} candidates, one at a time; {len(plan.select)} questions choose, "
        f"{len(plan.confirm)} are kept back for what the best is worth"
    )
    with artifact.build(
        folder,
        kind="merge-search",
        stage="merge_search",
        version=VERSION,
        config=config,
        inputs={**inputs, **models},
        resumable=True,
    ) as build:
        work = Work(build, folder, config, inputs.get("text"))
        work.write_halves(plan)
        candidates = [_candidate(work, plan, number) for number in range(len(plan.candidates))]
        found = _found(work, plan, candidates, config, out)
        work.finish(found)
    return build.manifest


def search_from_yaml(
    config_path: Path,
    out: Path,
    seeds: int | None,
    sweep: Sequence[str],
    inputs: Mapping[str, Path | None],
    measured: Mapping[str, Any],
    keep: bool,
) -> dict[str, Any]:
    """`sagecraft merge` with `--seeds` or `--sweep`; returns what `search.json` holds.

    Args:
        config_path: mergekit's YAML.
        out: folder of the best merge.
        seeds: see `SearchConfig`.
        sweep: likewise.
        inputs: `task` and `text`, as far as they were given.
        measured: keys of `EvaluateConfig`.
        keep: see `SearchConfig`.
    """
    given = {name: path for name, path in inputs.items() if path is not None}
    if "task" not in given:
        raise UserError("--task: is missing; a search needs keyed questions to choose by")
    with explained(EvaluateConfig, "merge"):
        measure = EvaluateConfig.model_validate({"perplexity": {"tokens": _TEXT_TOKENS}} | dict(measured))
    value = read_merge_mapping(config_path)
    config = SearchConfig(config=value, seeds=seeds, sweep=tuple(sweep), measure=measure, keep=keep)
    run(config, config_path, given, out)
    found: dict[str, Any] = artifact.read_json(search_folder(out) / "search.json")
    return found


def search_folder(out: Path) -> Path:
    """Where the search for a merge is written down."""
    return out.with_name(f"{out.name}-search")


def make_plan(config: SearchConfig, config_path: Path, inputs: Mapping[str, Path], out: Path) -> Plan:
    """Everything that can be known before anything runs."""
    faults: list[str] = []
    candidates = _caught(faults, lambda: make_candidates(config.config, config_path, config.sweep, config.seeds)) or []
    prepared: list[merge.Prepared] = []
    if candidates:
        prepared = _caught(faults, lambda: [merge.prepare(c.config, config_path) for c in candidates]) or []
    if prepared:
        _caught(faults, lambda: _check_models(prepared[0], candidates[0], out))
    halves = _caught(faults, lambda: _halves(inputs["task"], config.measure))
    if "text" in inputs:
        _caught(faults, lambda: _check_text(inputs["text"]))
    if faults or halves is None:
        raise UserError("\n".join(faults))
    select, confirm, task = halves
    return Plan(candidates, prepared, select, confirm, _subjects(prepared[0]), task)


def _caught(faults: list[str], check: Callable[[], Any]) -> Any:
    """What a check returns, or None and its faults among the others."""
    try:
        return check()
    except UserError as error:
        faults += str(error).split("\n")
        return None


def _check_models(prepared: merge.Prepared, candidate: Candidate, out: Path) -> None:
    """The models' headers, the place of the result, and a sweep that division by the weights would undo."""
    from sagecraft.merging import plan
    from sagecraft.merging.finish import chat_template_text
    from sagecraft.merging.stream import default_block, default_threads

    artifact.check_place(out, prepared.inputs)
    made = plan.make_plan(prepared.job, default_block(), default_threads())
    if all(row.normalize for row in made.tensors) and any(name == "weight" for name, _ in candidate.setting):
        model = prepared.job.models[-1].label
        raise UserError(
            f"--sweep weight: {prepared.job.method} divides by the sum of the weights, so that the same weight for all "
            f"changes nothing; sweep that of one model, for instance models.{Path(model).name}.weight"
        )
    chat_template_text(prepared.job)


def _check_text(folder: Path) -> None:
    from sagecraft.corpus.documents import read_documents

    next(read_documents(folder), None)


def _halves(path: Path, config: EvaluateConfig) -> tuple[list[Item], list[Item], str]:
    """Questions that choose and questions kept back, by key; those on one article are in the same half."""
    from sagecraft.evaluation.tasks import choose, read_task

    if config.questions.columns or config.questions.shots:
        raise UserError("measure.questions: a search reads columns under their usual names, and shows no examples")
    task = read_task(path)
    if not task.keyed:
        raise UserError(f"{path}: has no answers, so that nothing can be chosen by it; give keyed questions")
    items = choose(task.items, config.max_items, config.seed)
    if len(items) < _MIN_ITEMS:
        raise UserError(
            f"{path}: {len(items)} questions are too few to choose by, since half of them are kept back; give at least "
            f"{_MIN_ITEMS} (some hundreds tell merges apart)"
        )
    whole = all(item.article for item in items)
    groups: dict[str, int] = {}
    for item in items:
        name = item.article if whole else item.id
        groups[name] = groups.get(name, 0) + 1
    chosen, count = set(), 0
    for name in sorted(groups, key=lambda name: (keyed_hash(config.seed, "merge-search", name), name)):
        if count + groups[name] / 2 <= len(items) / 2:
            chosen.add(name)
            count += groups[name]
    select = [item for item in items if (item.article if whole else item.id) in chosen]
    confirm = [item for item in items if (item.article if whole else item.id) not in chosen]
    if not select or not confirm:
        raise UserError(f"{path}: all questions are on one article, so that none can be kept back; give others")
    return select, confirm, task.name


def _subjects(prepared: merge.Prepared) -> list[Subject]:
    """The models that went in; by the last part of their path where that is clear."""
    base = prepared.job.base.label if prepared.job.base else None
    short = [Path(label).name for label in prepared.folders]
    found = []
    for label, folder in prepared.folders.items():
        name = Path(label).name if short.count(Path(label).name) == 1 else label
        adapter = {"adapter": prepared.adapters[label]} if label in prepared.adapters else {}
        found.append(Subject(name, "base" if label == base else "input", {"model": folder} | adapter))
    return found


class Work:
    """The search's folder in the making: evaluations that are done, and how to make others.

    Evaluations are named by what they depend on, so that those of an interrupted search, and of a finished one that
    stands where this one will, are found again.
    """

    def __init__(self, build: Build, before: Path, config: SearchConfig, text: Path | None) -> None:
        self.build = build
        self.config = config
        self._before = before / "evaluations"
        self._evaluations = build.scratch("evaluations")
        self._text = {} if text is None else {TEXTS[0]: text}
        self._used: list[Path] = []

    def write_halves(self, plan: Plan) -> None:
        """The two halves of the questions as tasks of their own."""
        for name, items in (("select", plan.select), ("confirm", plan.confirm)):
            rows = [
                {key: getattr(item, key) for key in ("id", "question", "answer", "topic", "kind", "article")}
                | {"choices": list(item.options)}
                for item in items
            ]
            artifact.write_jsonl(self.build.path / f"{name}.jsonl", rows)

    def name_of(self, label: str, half: str, identity: object) -> str:
        """The folder of one evaluation."""
        settings = self.config.measure.model_dump(mode="json")
        files = [self.build.path / f"{half}.jsonl", *self._text.values()]
        depends = [evaluate.VERSION, settings, [artifact.input_digest(file) for file in files], identity]
        return f"{half}-{_slug(label)}-{artifact.digest_of(depends)[:12]}"

    def finished(self, name: str) -> Path | None:
        """The evaluation if it is there and whole."""
        for place in (self._evaluations / name, self._before / name):
            if artifact.is_artifact(place) and artifact.is_finished(place, artifact.load(place).fingerprint):
                return place
        return None

    def measure(self, name: str, half: str, inputs: Mapping[str, Path]) -> Path:
        """Evaluates a model on one half, if that is not done yet."""
        found = self.finished(name)
        if found is None:
            found = self._evaluations / name
            task = {"task": self.build.path / f"{half}.jsonl"}
            evaluate.run(
                self.config.measure, {**task, **self._text, **inputs}, found, store=self.build.scratch("store")
            )
            gc.collect()  # an engine's model lies in cycles: without this two are in memory at a time
        return found

    def scored(self, folder: Path, name: str) -> Scored:
        """What an evaluation found, in the mode that decides; the evaluation becomes part of the search."""
        self._used.append(folder)
        mode, results = self.config.measure.modes[0], artifact.read_json(folder / "results.json")
        rows = [row for row in artifact.read_jsonl(folder / "items.jsonl") if row["mode"] == mode]
        text = results["perplexity"].get(TEXTS[0])
        digest = artifact.load(folder).inputs["model"]
        return Scored(name, rows, None if text is None else text["perplexity"], digest=digest)

    def finish(self, found: dict[str, Any]) -> None:
        """Writes what was found, and takes over the evaluations and models that belong to it."""
        from sagecraft.merging.search_page import render

        for folder in self._used:
            target = self.build.path / "evaluations" / folder.name
            shutil.copytree(folder, target, ignore=_TIMES, dirs_exist_ok=True)
            self.build.timed.add(f"evaluations/{folder.name}/results.json")
        if self.config.keep:
            models = self.build.scratch("models").rename(self.build.path / "models")
            for timing in models.glob(f"*/{artifact.TIMING}"):
                timing.unlink()
        artifact.write_json(self.build.path / "search.json", found)
        artifact.write_text(self.build.path / "report.html", render(found))
        confirmed = found["confirm"]["models"][0]
        self.build.stats.update(
            method=found["method"],
            num_candidates=len(found["candidates"]),
            best=found["best"]["name"],
            sd=found["spread"]["sd"],
            p_value=found["spread"]["p_value"],
            accuracy=confirmed["accuracy"],
            ci95=confirmed["ci95"],
        )


def _slug(label: str) -> str:
    """A label as the name of a folder; what a long one loses stands in its hash."""
    text = re.sub(r"[^A-Za-z0-9._=-]+", "-", label).strip("-.")
    return text if len(text) <= _MAX_SLUG else f"{text[:_MAX_SLUG]}-{artifact.digest_of(label)[:8]}"


def _mark(prepared: merge.Prepared) -> str:
    """The fingerprint of a merge: what its bytes depend on."""
    digests = {name: artifact.input_digest(path) for name, path in sorted(prepared.inputs.items())}
    return artifact.fingerprint("merge", merge.VERSION, prepared.config.model_dump(mode="json"), digests)


def _merge(prepared: merge.Prepared, folder: Path) -> None:
    """Merges if that is not done yet."""
    if not artifact.is_finished(folder, _mark(prepared)):
        merge.merge_prepared(prepared, folder)


def _candidate(work: Work, plan: Plan, number: int) -> Scored:
    """One candidate: merged, evaluated on the half that chooses, and deleted unless it is kept."""
    candidate, prepared = plan.candidates[number], plan.prepared[number]
    name = work.name_of(candidate.label, "select", _mark(prepared))
    console.say(f"candidate {number + 1} of {len(plan.candidates)}: {candidate.label}", style="bold")
    found, folder = work.finished(name), work.build.scratch("models") / _slug(candidate.label)
    if found is None or work.config.keep:
        _merge(prepared, folder)
        found = work.measure(name, "select", {"model": folder})
    else:
        console.say("  was evaluated before")
    if not work.config.keep:
        shutil.rmtree(folder, ignore_errors=True)  # also what a search killed between the two left
    scored = work.scored(found, candidate.label)
    draws = prepared.job.row.draws
    return replace(scored, setting=candidate.setting_label, seed=candidate.config.seed if draws else None)


def _found(work: Work, plan: Plan, candidates: Sequence[Scored], config: SearchConfig, out: Path) -> dict[str, Any]:
    """Merges the best, measures it and the others on the questions kept back, and adds everything up."""
    best, median = choose_best(candidates), choose_median(candidates)
    console.say(f"best: {candidates[best].name}; it is merged to {out}", style="bold")
    _merge(plan.prepared[best], out)
    rows = list(_confirmed(work, plan, candidates, best, median, out))
    models = [{**scored.facts(), "role": role} for role, scored in rows]
    found: dict[str, Any] = {
        "method": plan.prepared[0].job.method,
        "task": plan.task,
        "mode": config.measure.modes[0],
        "sweep": [
            {"name": name, "values": list(dict.fromkeys(dict(c.setting)[name] for c in plan.candidates))}
            for name, _ in plan.candidates[0].setting
        ],
        "best": candidates[best].facts()
        | {
            "config": yaml.safe_dump(
                plan.candidates[best].config.model_dump(mode="json", by_alias=True, exclude_none=True)
            )
        },
        "median": candidates[median].name,
        "spread": spread(candidates),
        "settings": by_setting(candidates),
        "candidates": [
            {**row.facts(), "setting": row.setting, "seed": row.seed, "model_digest": row.digest} for row in candidates
        ],
        "confirm": {"models": models, "pairs": against(rows[0][1], [scored for _, scored in rows[1:]])},
    }
    return found | {"verdicts": verdicts(found)}


def _confirmed(
    work: Work, plan: Plan, candidates: Sequence[Scored], best: int, median: int, out: Path
) -> Iterator[tuple[str, Scored]]:
    """Role and scores on the questions kept back: the chosen one first, then base, inputs and median candidate."""

    def measure(label: str, inputs: Mapping[str, Path], identity: object) -> Scored:
        folder = work.measure(work.name_of(label, "confirm", identity), "confirm", inputs)
        return work.scored(folder, label)

    yield "chosen", measure(plan.candidates[best].label, {"model": out}, _mark(plan.prepared[best]))
    for subject in plan.subjects:
        digests = [artifact.input_digest(path) for path in subject.inputs.values()]
        yield subject.role, measure(subject.name, subject.inputs, digests)
    if candidates[median].digest == candidates[best].digest:
        return
    label, mark = plan.candidates[median].label, _mark(plan.prepared[median])
    folder = work.build.scratch("median") / _slug(label)
    if work.finished(work.name_of(label, "confirm", mark)) is None:
        _merge(plan.prepared[median], folder)
    yield "median candidate", replace(measure(label, {"model": folder}, mark), name=f"median ({label})")
    if folder.exists():
        shutil.rmtree(folder)


def show(found: Mapping[str, Any], out: Path) -> None:
    """The search on the terminal."""
    with_text = "mean_perplexity" in found["spread"]
    rows: list[list[object]] = []
    for row in found["settings"] if len(found["settings"]) > 1 else [found["spread"] | {"setting": "all candidates"}]:
        shares = [f"{100 * row[key]:.1f}" if row[key] is not None else "–" for key in ("mean", "sd", "min", "max")]
        text = [f"{row['mean_perplexity']:.2f}"] if with_text else []
        rows.append([row["setting"], row["num_candidates"], *shares, *text])
    columns = [
        "accuracy in %",
        "candidates",
        "mean",
        "sd",
        "lowest",
        "highest",
        *(["mean perplexity"] if with_text else []),
    ]
    console.table(f"{len(found['candidates'])} candidates on {found['best']['n']} questions", columns, rows)
    for line in found["verdicts"]:
        console.out.print(console.plain_text(line), markup=False)
    console.say(
        f"model in {out}, search in {search_folder(out)}, report in {search_folder(out) / 'report.html'}", style="bold"
    )
