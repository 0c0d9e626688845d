"""The evaluation stage: one model on one task, in one mode or several, and on running text.

A run writes every measurement down as it is made (`store.py`), so a killed run goes on, and the bytes of the results do not
depend on where it was interrupted. The only times in the files are `seconds` in `results.json`, and the USD of a
local run if a rate is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.evaluation.config import WITH_THOUGHT, EvaluateConfig, ModeName
from sagecraft.evaluation.inputs import TEXTS, check
from sagecraft.evaluation.measuring import Measuring
from sagecraft.evaluation.processes import open_helpers
from sagecraft.evaluation.subject import Subject, open_subject

if TYPE_CHECKING:
    from sagecraft.evaluation.columns import Names
    from sagecraft.evaluation.cost import Tokens
    from sagecraft.evaluation.score import Mode, Request
    from sagecraft.evaluation.store import Store
    from sagecraft.evaluation.tasks import Item, Task
    from sagecraft.inference.prices import Unknown

VERSION = 8

#: Share of replies without a readable answer from which on the line that tells the result says so.
_MUCH_UNREAD = 0.02


def run(config: EvaluateConfig, inputs: Mapping[str, Path], out: Path, *, store: Path | None = None) -> Manifest:
    """Runs the stage.

    Args:
        config: what is measured.
        inputs: `task` (file or folder of questions); `model` (a Hugging Face folder) unless `endpoint` is set, and
            `adapter` (LoRA in peft's format) if one is to be added to it; `shots` (a file of solved questions) if some
            are shown and are not from a split beside the task;
            optionally `domain` and `general` (folders of documents), and `providers` (a YAML file of presets and
            prices).
        out: the artifact.
        store: folder that keeps the measurements for other runs. By default local ones are kept until this run ends;
            replies of an endpoint were paid for, and stay in the folder `OUT.replies`.
    """
    check(config, inputs)
    from sagecraft.evaluation import task_facts
    from sagecraft.evaluation.shots import read_asked

    asked = read_asked(config, inputs)
    task, inputs = asked.task, asked.inputs
    if task.items[0].target and set(config.modes) != {"generate"}:
        raise UserError(f"{inputs['task']}: its answers are numbers, which have to be written; use mode generate alone")
    facts = task_facts.describe_task(task.items)
    for line in task_facts.notable(facts):
        console.say_once(f"  {task.name}: {line}")  # not again at each model of a run
    with artifact.build(
        out, kind="evaluation", stage="evaluate", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        from sagecraft.evaluation.store import Store

        folder = store or (build.scratch("store") if config.endpoint is None else replies_folder(out))
        purpose = artifact.digest_of({"config": config.model_dump(mode="json"), "task": task.sha256})
        with open_subject(config, inputs) as subject, open_helpers(config, inputs, folder) as helpers:
            measuring = Measuring(subject, helpers, inputs.get("providers"))
            modes: dict[str, Asked] = {}
            for name, (mode, settings) in config.passes.items():
                with closing(Store(folder, subject.identity, purpose)) as kept:
                    modes[name] = _ask(measuring, name, mode, asked.items, settings, kept)
            with closing(Store(folder, subject.identity, purpose)) as kept:
                spent = _spending(subject, config, kept)
                texts = _texts(subject, config, inputs, kept)
                seconds = kept.seconds + sum(mode.seconds for mode in modes.values())
        results = _results(subject, task, modes, texts, seconds) | spent
        results |= {"task_facts": facts} | ({} if asked.shots is None else {"shots": asked.shots})
        build.timed.add("results.json")
        _write(build.path, results, [row for mode in modes.values() for row in mode.rows], config.questions.columns)
        if config.permutations != "none":
            others = (row for mode in modes.values() for row in mode.others)
            artifact.write_jsonl(build.path / "permutations.jsonl", others)
        build.stats.update({key: results[key] for key in ("model", "mode", "n", "accuracy", "ci95", "perplexity")})
    console.say(f"  {subject.name}: {describe(results)}")
    if not task.keyed:
        missing = sum(row["pick"] is None for row in modes[results["mode"]].rows)
        told = f"{len(asked.items):,} of {len(task.items):,} questions, {missing:,} without an answer"
        console.say(f"  {out / 'predictions.csv'}: {told}")
    return build.manifest


def replies_folder(out: Path) -> Path:
    """Where the replies of an endpoint are kept, beside the artifact that is made from them."""
    return out.with_name(f"{out.name}.replies")


@dataclass(frozen=True)
class Asked:
    """All items in one mode: rows, rows of other orders of the options, what they add up to, and how long it took."""

    rows: list[dict[str, Any]]
    others: list[dict[str, Any]]
    summary: dict[str, Any]
    seconds: float


def _ask(
    measuring: Measuring,
    name: str,
    mode_name: ModeName,
    items: list[Item],
    config: EvaluateConfig,
    kept: Store,
) -> Asked:
    from sagecraft.evaluation import permute
    from sagecraft.evaluation.cost import add_up
    from sagecraft.evaluation.summary import summarise

    subject = measuring.subject
    mode = subject.modes[mode_name]
    rows = []
    variants = permute.variants(items, "none" if mode_name == "continuation" else config.permutations, config.seed)
    asked = [*items, *(variant.item for variant in variants)]
    with console.progress(f"{subject.name}, {name}", len(asked)) as tick:
        requests = [mode.request(subject.engine, item, config) for item in asked]
        values = measuring.values(mode_name, requests, config, kept, tick)
        for item, request, value in zip(asked, requests, values, strict=True):
            rows.append(_row(mode, name, item, request, value))
    every, rows, others = rows, rows[: len(items)], rows[len(items) :]
    summary, tokens = summarise(mode_name, rows, config.seed)
    if mode_name == "generate":
        summary["thinking"] = config.switch
    if variants:
        summary["permutations"] = permute.summarise_orders(rows, others, variants)
        others = [{**row, "order": variant.order} for row, variant in zip(others, variants, strict=True)]
        tokens = add_up(row["tokens"] for row in every)
        summary["tokens"] = "unknown" if tokens is None else tokens.as_dict()
    summary |= {"example_prompt": rows[0]["prompt"], **_costs(subject, config, every, tokens, kept)}
    return Asked(rows, others, summary, kept.seconds)


def _costs(
    subject: Subject, config: EvaluateConfig, rows: list[dict[str, Any]], tokens: Tokens | None, kept: Store
) -> dict[str, Any]:
    """What the replies cost."""
    from sagecraft.evaluation.cost import endpoint_cost, local_cost, usd_per_100k_tokens

    if config.endpoint is None:
        cost: float | Unknown = local_cost(kept.seconds, config.device_usd_per_hour)
        return {"cost_usd": cost, "usd_per_100k_tokens": usd_per_100k_tokens(cost, tokens)}
    preset = subject.engine.preset
    if preset.price is None and preset.provider.own_hardware:
        cost = local_cost(kept.seconds, config.device_usd_per_hour)
    else:
        cost = endpoint_cost(tokens, preset.price)
    return {
        "cost_usd": cost,
        "usd_per_100k_tokens": usd_per_100k_tokens(cost, tokens),
        "price": None if preset.price is None else preset.price.model_dump(mode="json", by_alias=True),
        "num_uncounted": sum(bool(row["tokens"].get("uncounted")) for row in rows),
    }


def _spending(subject: Subject, config: EvaluateConfig, kept: Store) -> dict[str, Any]:
    """Over an endpoint, what was spent on all modes together, with all failures: one purse pays for them."""
    if config.endpoint is None:
        return {}
    from sagecraft.evaluation import remote

    spent = remote.spending(kept.account(), subject.engine.preset.price)
    console.say(f"  {subject.name}: {remote.told(spent)}; replies are kept in {kept.path.parent}")
    return {"spending": spent}


def _row(mode: Mode, name: str, item: Item, request: Request, value: Any) -> dict[str, Any]:
    """One line of items.jsonl: what the model saw, what it said, and what became of it."""
    from sagecraft.inference.replies import Failed

    row: dict[str, Any] = {
        "id": item.id,
        "mode": name,
        "topic": item.topic,
        "kind": item.kind,
        "article": item.article,
        "key": item.key,
        "question": item.question,
        "prompt": request.prompt,
        "digest": item.digest,
    }
    error = value.why if isinstance(value, Failed) else request.error
    if error is not None:
        failed = {"correct": None if item.key is None else False, "outcome": "failed", "error": error}
        graded: dict[str, Any] = {"pick": None, **failed, "tokens": {"in": 0, "thought": 0, "out": 0}}
    else:
        graded = {**mode.grade(item, value), "tokens": value["tokens"]}
    scores = graded.pop("options", [{}] * len(item.options))
    row["options"] = [
        {"letter": letter, "text": text, **score}
        for letter, text, score in zip(item.letters, item.options, scores, strict=True)
    ]
    return {**row, **graded, "extra": item.extra}


def _texts(
    subject: Subject, config: EvaluateConfig, inputs: Mapping[str, Path], kept: Store
) -> dict[str, dict[str, Any]]:
    """Perplexity of each text that was given."""
    given = [name for name in TEXTS if name in inputs]
    if not given:
        return {}
    from sagecraft.corpus.documents import read_documents
    from sagecraft.evaluation.perplexity import perplexity

    return {
        name: perplexity(
            subject.engine,
            read_documents(inputs[name]),
            config.perplexity.tokens,
            config.perplexity.window,
            seed=config.seed,
            store=kept,
            label=f"{subject.name}, {name} text",
        )
        for name in given
    }


def _results(
    subject: Subject, task: Task, modes: Mapping[str, Asked], texts: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    from sagecraft.evaluation.agreement import between

    first = next(iter(modes))
    return {
        "model": subject.name,
        "mode": first,
        **modes[first].summary,
        "perplexity": dict(texts),
        "task": task.name,
        "task_sha256": task.sha256,
        "template_sha256": subject.template_sha256,
        "modes": {name: asked.summary for name, asked in modes.items()},
        "agreement": between({name: asked.rows for name, asked in modes.items()}),
        **_thought_helps(modes),
        "seconds": round(seconds, 3),
    }


def _thought_helps(modes: Mapping[str, Asked]) -> dict[str, Any]:
    """Where both states of the switch were asked: the same items with thought against without."""
    if WITH_THOUGHT not in modes or modes[WITH_THOUGHT].rows[0]["key"] is None:
        return {}
    from sagecraft.evaluation.compare import paired

    found = asdict(paired(modes["generate"].rows, modes[WITH_THOUGHT].rows))
    return {"thinking_difference": {"a": "generate", "b": WITH_THOUGHT, **found}}


def _write(folder: Path, results: dict[str, Any], rows: list[dict[str, Any]], names: Names) -> None:
    from sagecraft.evaluation import report
    from sagecraft.evaluation.predictions import predictions_csv

    artifact.write_jsonl(folder / "items.jsonl", rows)
    if rows[0]["key"] is None:
        first = [row for row in rows if row["mode"] == results["mode"]]
        artifact.write_text(folder / "predictions.csv", predictions_csv(first, names))
    artifact.write_json(folder / "results.json", results)
    report.write(folder, results, rows)


def _unread(mode: Mapping[str, Any]) -> str:
    """What was not read, where that is enough to move the accuracy."""
    lost = {name: mode["outcomes"].get(name, 0) for name in ("truncated", "unparsed", "refused", "failed")}
    if sum(lost.values()) <= _MUCH_UNREAD * mode["n"]:
        return ""
    told = ", ".join(f"{count} {name}" for name, count in lost.items() if count)
    of_answered = (
        "" if mode["accuracy_answered"] is None else f"; {100 * mode['accuracy_answered']:.1f} % of those read"
    )
    return f", {100 * sum(lost.values()) / mode['n']:.1f} % without a readable answer: {told}{of_answered}"


def describe(results: Mapping[str, Any]) -> str:
    """The result in one line."""
    parts = []
    for name, mode in results["modes"].items():
        if mode["accuracy"] is None:
            parts.append(f"{name}: {mode['n']} picks (no key)")
            continue
        low, high = mode["ci95"]
        share = f"{100 * mode['accuracy']:.1f} % of {mode['n']} ({100 * low:.1f} to {100 * high:.1f})"
        parts.append(f"{name}: {share}{_unread(mode)}")
    parts += [f"{name} perplexity {text['perplexity']:.2f}" for name, text in results["perplexity"].items()]
    return "; ".join(parts)
