"""Stage `report`: one page and one file of figures on a whole run, and the plain sentence that they allow."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.errors import UserError
from sagecraft.publishing.lineage import origins
from sagecraft.publishing.measured import Scores, read_results
from sagecraft.training.curves import read_held_out

if TYPE_CHECKING:
    from sagecraft.reporting.run_facts import CorpusFacts, LineageRow, ModelFacts, RunFacts
    from sagecraft.reporting.verdict import Comparison

VERSION = 3

_ROLES = ("base", "cpt", "sft", "merged")
_CORPUS_STEPS = (
    "fetch",
    "ingest",
    "ingest-replay",
    "ingest-held-out",
    "withhold",
    "bench",
    "decontaminate",
    "decontaminate-replay",
)
_TRAINING_STEPS = ("mix", "pack", "cpt", "synth", "render", "sft", "merge")
#: Steps in the order of a run; an input that is not among them is refused.
STEPS = (*_CORPUS_STEPS, *_TRAINING_STEPS, *(f"evaluate-{role}" for role in _ROLES))
#: Steps whose absence a reader should know of, and what it means.
_ABSENCE = {
    "cpt": "Continued pre-training was not run (no `cpt:` in the recipe): the model read none of the literature.",
    "synth": "No conversations were made from the literature (no `synth:` in the recipe).",
    "sft": "Fine-tuning was not run (no `sft:` in the recipe).",
    "merge": "Nothing was merged (no `merge:` in the recipe).",
    "ingest-replay": "No general text was replayed during training (no `general.replay` in the recipe).",
    "ingest-held-out": "No general text was held out (no `general.held_out`), so forgetting was not measured.",
    "evaluate-base": "The base model was not evaluated (no `evaluate:` in the recipe), so there is nothing to compare with.",
}


class ReportConfig(BaseModel):
    """What the report of a run shows."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: str = Field(default="", description="title of the page; empty: named after the base model")
    max_items_shown: int = Field(default=8, ge=0, le=500, description="questions shown with every model's answer")
    max_rows_shown: int = Field(default=4, ge=0, le=500, description="conversations of the fine-tuning set shown")
    seed: int = Field(default=0, description="keys the samples shown and the bootstrap of the paired tests")


def run(config: ReportConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Writes `report.html` and `results.json` from the artifacts of a run.

    Args:
        config: what is shown.
        inputs: name of a step → its artifact; steps that the recipe leaves out are not there.
        out: the artifact.
    """
    unknown = sorted(set(inputs) - set(STEPS))
    if unknown:
        raise UserError(f"inputs.{unknown[0]}: no step of a run; known: {', '.join(STEPS)}")
    from sagecraft.reporting.run_page import render

    with artifact.build(out, kind="report", stage="report", version=VERSION, config=config, inputs=inputs) as build:
        facts = gather(config, {step: inputs[step] for step in STEPS if step in inputs})
        results = summarise(facts)
        artifact.write_json(build.path / "results.json", results)
        artifact.write_text(build.path / "report.html", render(facts))
        build.stats.update(verdict=facts.verdict, models=results["models"])
    console.say(f"  {facts.verdict}")
    return build.manifest


def gather(config: ReportConfig, inputs: Mapping[str, Path]) -> RunFacts:
    """Reads what the page tells from the artifacts, in the order of the steps."""
    from sagecraft.reporting.run_facts import RunFacts

    manifests = {step: artifact.load(path) for step, path in inputs.items()}
    models = [_model(role, inputs[f"evaluate-{role}"]) for role in _ROLES if f"evaluate-{role}" in inputs]
    base = _base(manifests.get("fetch"))
    facts = RunFacts(title=config.title or f"From {base[0]} to a specialist", base=base[1], models=models)
    facts.chance = _chance(models)
    facts.comparisons, facts.by_kind = _tests(models, config.seed)
    facts.verdict = _verdict(facts)
    facts.corpora = {step: _corpus(made) for step, made in manifests.items() if step.startswith("ingest")}
    if "withhold" in inputs:
        facts.withheld = _withheld(inputs["withhold"])
    facts.tokens = {step: manifests[step].stats for step in ("pack", "render") if step in inputs}
    facts.training = {step: _metrics(inputs[step]) for step in ("cpt", "sft") if step in inputs}
    facts.held_out = {step: curves for step in facts.training if (curves := read_held_out(inputs[step]))}
    facts.stopped = {
        step: manifests[step].stats["stopped"] for step in facts.training if "stopped" in manifests[step].stats
    }
    withheld = None if facts.withheld is None else frozenset(row[0] for row in facts.withheld)
    facts.checks = [*_checks(inputs, manifests, withheld)]
    if "synth" in inputs and config.max_rows_shown:
        rows = artifact.read_jsonl(inputs["synth"] / "conversations.jsonl")
        facts.conversations = _draw(rows, config.max_rows_shown, config.seed)
    if models:
        shown = _draw(models[0].items.values(), config.max_items_shown, config.seed)
        facts.shown_items = [str(row["id"]) for row in shown]
    facts.lineage = _lineage(manifests)
    times = {step: artifact.seconds(path) for step, path in inputs.items()}
    facts.seconds = {step: time for step, time in times.items() if time is not None}
    facts.not_run = [sentence for step, sentence in _ABSENCE.items() if step not in inputs]
    return facts


def summarise(facts: RunFacts) -> dict[str, Any]:
    """`results.json`: the figures of the page without times, the same bytes for the same run."""
    return {
        "verdict": facts.verdict,
        "models": {
            model.name: {
                "accuracy": model.accuracy,
                "ci95": model.ci95,
                "n": model.n,
                "mode": model.mode,
                "modes": model.modes,
                "by_kind": model.by_kind,
                "by_topic": model.by_topic,
                "perplexity": {text: found["perplexity"] for text, found in model.perplexity.items()},
                "perplexity_details": model.perplexity,
            }
            for model in facts.models
        },
        "chance": facts.chance,
        "comparisons": [asdict(comparison) for comparison in facts.comparisons],
        "comparisons_by_kind": {kind: asdict(comparison) for kind, comparison in facts.by_kind},
        "corpora": {step: asdict(corpus) for step, corpus in facts.corpora.items()},
        "withheld": None if facts.withheld is None else [row[0] for row in facts.withheld],
        "tokens": {step: stats.get("tokens_by_source", {}) for step, stats in facts.tokens.items()},
        "training": {
            step: {"num_steps": len(rows), "first_loss": rows[0]["loss"], "last_loss": rows[-1]["loss"]}
            | ({"stopped": facts.stopped[step]} if step in facts.stopped else {})
            for step, rows in facts.training.items()
            if rows
        },
        "checks": [{"step": step, "check": what, "result": value} for step, what, value in facts.checks],
        "lineage": {
            row.step: {
                "kind": row.kind,
                "fingerprint": row.fingerprint,
                "digest": row.digest,
                "inputs": row.inputs,
            }
            for row in facts.lineage
        },
        "not_run": facts.not_run,
    }


def _base(manifest: Manifest | None) -> tuple[str, str]:
    """Name of the base model, and what there is to say about it."""
    if manifest is None:
        return "the base model", "a model of the user, not fetched by this run"
    stats = manifest.stats
    name = str(stats.get("title") or stats.get("name") or "the base model")
    quantised = f"de-quantised from {stats['quantisation']}" if stats.get("quantisation") else ""
    plain = name.removesuffix(f", {quantised}")  # the catalogue's title may say it already
    licensed = f"licence {stats['license']}" if stats.get("license") else ""
    return plain, ", ".join(part for part in (plain, quantised, licensed) if part)


def _model(role: str, path: Path) -> ModelFacts:
    from sagecraft.reporting.run_facts import ModelFacts

    results = read_results(path)
    items = {}
    for number, row in enumerate(artifact.read_jsonl(path / "items.jsonl"), start=1):
        if "id" not in row or "correct" not in row:
            raise UserError(f"{path / 'items.jsonl'}:{number}: has no id or no correct; run the evaluation again")
        if row.get("mode", results.mode) == results.mode:
            items[str(row["id"])] = row
    return ModelFacts(
        name=role,
        n=results.n,
        mode=results.mode,
        accuracy=results.accuracy,
        ci95=results.ci95,
        by_kind=_keyed(results.by_kind),
        by_topic=_keyed(results.by_topic),
        modes=_keyed(results.modes or {results.mode: results}),
        perplexity={text: found.model_dump() for text, found in results.perplexity.items()},
        cost_usd=results.cost_usd if isinstance(results.cost_usd, float) else None,
        items=items,
    )


def _keyed(groups: Mapping[str, Scores]) -> dict[str, dict[str, Any]]:
    """Groups that have an accuracy, in the order of their names."""
    return {
        name: {"accuracy": scores.accuracy, "ci95": scores.ci95, "n": scores.n}
        for name, scores in sorted(groups.items())
        if scores.accuracy is not None and scores.ci95 is not None
    }


def _chance(models: Sequence[ModelFacts]) -> float | None:
    """What guessing gives on the questions asked."""
    if not models or models[0].accuracy is None:
        return None
    counts = [len(row["options"]) for row in models[0].items.values() if row.get("options")]
    return sum(1 / count for count in counts) / len(counts) if counts else None


def _tests(models: Sequence[ModelFacts], seed: int) -> tuple[list[Comparison], list[tuple[str, Comparison]]]:
    """Each model against the base, and the last one against the base for each kind of question.

    The tests against the base are a table of their own, and so are those by kind: each is corrected for its number.
    """
    if not models or models[0].name != "base" or models[0].accuracy is None:
        return [], []
    base = models[0]
    others = [model for model in models[1:] if model.accuracy is not None]
    whole = _corrected([(m.name, base.name, m.items.values(), base.items.values()) for m in others], seed)
    if not others or len(base.by_kind) < 2:
        return whole, []
    kinds = list(base.by_kind)
    last = others[-1]
    pairs = [(last.name, base.name, _of_kind(last, kind), _of_kind(base, kind)) for kind in kinds]
    return whole, list(zip(kinds, _corrected(pairs, seed), strict=True))


def _of_kind(model: ModelFacts, kind: str) -> list[Mapping[str, Any]]:
    return [row for row in model.items.values() if row.get("kind") == kind]


def _corrected(
    pairs: Sequence[tuple[str, str, Collection[Mapping[str, Any]], Collection[Mapping[str, Any]]]], seed: int
) -> list[Comparison]:
    from sagecraft.evaluation.compare import paired
    from sagecraft.evaluation.statistics import holm
    from sagecraft.reporting.verdict import Comparison

    tested = []
    for model, against, rows, rows_against in pairs:
        try:
            tested.append(paired(rows_against, rows, seed=seed))
        except UserError as error:
            raise UserError(f"evaluate-{model}, evaluate-{against}: {error}") from error
    adjusted = holm([result.p_value for result in tested])
    return [
        Comparison(
            model=model,
            against=against,
            n=result.n,
            accuracy=result.accuracy_b,
            accuracy_against=result.accuracy_a,
            difference=result.difference,
            ci95=result.ci95,
            only_model=result.only_b,
            only_against=result.only_a,
            p=result.p_value,
            p_adjusted=p,
            detectable=result.detectable,
        )
        for (model, against, _, _), result, p in zip(pairs, tested, adjusted, strict=True)
    ]


def _verdict(facts: RunFacts) -> str:
    from sagecraft.reporting.verdict import nothing_compared, verdict

    names = [model.name for model in facts.models]
    if len(names) < 2 or names[0] != "base":
        return nothing_compared(names)
    final = names[-1]
    comparison = next((c for c in facts.comparisons if c.model == final), None)
    intervals = [m.ci95 for m in (facts.models[0], facts.models[-1]) if m.ci95]
    perplexity = {m.name: {text: f["perplexity"] for text, f in m.perplexity.items()} for m in facts.models}
    return verdict("base", final, perplexity, comparison, intervals, facts.chance)


def _corpus(manifest: Manifest) -> CorpusFacts:
    from sagecraft.reporting.run_facts import CorpusFacts

    stats = manifest.stats
    return CorpusFacts(
        num_documents=stats["num_documents"],
        num_words=stats["num_words"],
        licenses=stats["licenses"],
        formats=stats["formats"],
        dropped=stats["dropped"],
    )


def _withheld(path: Path) -> list[tuple[str, str, str, int]]:
    from sagecraft.corpus.documents import read_documents

    folder = path / "withheld"
    if not folder.is_dir():
        return []
    return [(d.id, d.title, d.license, len(d.text.split())) for d in read_documents(folder)]


def _metrics(path: Path) -> list[dict[str, Any]]:
    file = path / "metrics.jsonl"
    if not file.is_file():
        raise UserError(f"{file}: no such file; the model is damaged, run its training again")
    rows = list(artifact.read_jsonl(file))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row.get("step"), int) or not isinstance(row.get("loss"), int | float):
            raise UserError(f"{file}:{number}: has no step or no loss; run the training again")
    return rows


def _checks(
    inputs: Mapping[str, Path], manifests: Mapping[str, Manifest], withheld: frozenset[str] | None
) -> list[tuple[str, str, str | int]]:
    """Whether withheld text or questions came into training: what the stages kept out, and what lineage says."""
    rows: list[tuple[str, str, str | int]] = []
    if "withhold" in inputs:
        for rule, number in manifests["withhold"].stats.get("rules", {}).items():
            rows.append(("withhold", f"documents withheld by the rule {rule}", number))
    if "bench" in inputs:
        made, dropped = manifests["bench"].stats["num_items"], manifests["bench"].stats["dropped_by_reason"]
        leaked = sum(number for reason, number in dropped.items() if reason.endswith("in-training"))
        rows.append(("bench", "questions made of withheld documents", made))
        rows.append(("bench", "questions left out since they or their passage stand in a training document", leaked))
    for step in ("decontaminate", "decontaminate-replay"):
        if step in inputs:
            stats = manifests[step].stats
            rows.append((step, "documents that held text of a benchmark question", stats["num_documents_hit"]))
            rows.append((step, "places where they did (hits.jsonl has both texts)", stats["num_hits"]))
    if "synth" in inputs:
        asked = "questions dropped since the benchmark asks them too"
        if "benchmark" in manifests["synth"].inputs:
            rows.append(("synth", asked, manifests["synth"].stats.get("dropped_by_reason", {}).get("in-benchmark", 0)))
        else:
            rows.append(("synth", asked, "not checked: no benchmark was given"))
    if withheld is not None:
        for step in ("pack", "render"):
            if step in inputs:
                entries = artifact.read_jsonl(inputs[step] / "items.jsonl")
                traced = sum(not withheld.isdisjoint(entry.get("lineage", [])) for entry in entries)
                rows.append((step, "training items whose lineage names a withheld document (must be 0)", traced))
    return rows


def _draw(rows: Iterable[Mapping[str, Any]], count: int, seed: int) -> list[Mapping[str, Any]]:
    """`count` rows at random, by a key: the smallest hashes of their ids."""
    return heapq.nsmallest(count, rows, key=lambda row: (keyed_hash(seed, "shown", row.get("id")), str(row.get("id"))))


def _lineage(manifests: Mapping[str, Manifest]) -> list[LineageRow]:
    """Which step each input came from, found by its digest."""
    from sagecraft.reporting.run_facts import LineageRow

    origin = origins(manifests)
    return [
        LineageRow(
            step=step,
            kind=manifest.kind,
            digest=manifest.digest,
            fingerprint=manifest.fingerprint,
            inputs={name: origin.get(digest, f"outside ({digest[:12]})") for name, digest in manifest.inputs.items()},
        )
        for step, manifest in manifests.items()
    ]
