"""The evaluation stage: one model on one task, in one mode or several, and on running text.

A run writes every measurement down as it is made (`store.py`), so a killed run goes on, and the bytes of the results do not
depend on where it was interrupted. The only times in the files are `seconds` in `results.json`, and the USD of a
local run if a rate is set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.inference.limits import LimitsConfig
from sagecraft.models.adapter import split_name
from sagecraft.settings import explained

if TYPE_CHECKING:
    from sagecraft.evaluation.cost import Tokens
    from sagecraft.evaluation.score import Mode, Request
    from sagecraft.evaluation.store import Store
    from sagecraft.evaluation.tasks import Item, Task
    from sagecraft.inference.prices import Unknown

VERSION = 6

ModeName = Literal["continuation", "letter", "generate"]
TEXTS = ("domain", "general")


class EvaluateConfig(BaseModel):
    """What is measured, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    modes: tuple[ModeName, ...] = Field(
        default=("continuation",),
        min_length=1,
        description="ways to ask, each on the same items; the first is the one on top of results.json. continuation "
        "is the default because it needs no instruction following, so base and tuned models compare",
    )
    thinking: Literal["on", "off"] | None = Field(
        default="off",
        description="state of the switch in generate mode; null (on the command line: none) leaves it to the model",
    )
    chat_template: bool = Field(
        default=False,
        description="put continuation and letter prompts into the chat template; off, since it moves scores and base "
        "models have none",
    )
    max_items: int | None = Field(default=None, ge=1, description="questions at most, drawn by seed; null takes all")
    permutations: Literal["none", "cyclic", "shuffle"] = Field(
        default="none",
        description="letter and generate modes ask again with the options in every rotation (cyclic, which cancels a "
        "preference for a position) or in one other order drawn by seed and item (shuffle, which only shows it)",
    )
    seed: int = Field(default=0, description="key of everything drawn: items, documents, orders, resamples")
    dtype: Literal["float32", "bfloat16"] = Field(
        default="bfloat16", description="arithmetic of a local model; bfloat16 is what models are served in"
    )
    thought_tokens: int = Field(
        default=1024, ge=1, description="tokens a thought may take before it is closed and the answer asked for"
    )
    answer_tokens: int = Field(
        default=256, ge=1, description="tokens of an answer: a JSON object with two sentences takes about 100"
    )
    perplexity_tokens: int = Field(
        default=20_000, ge=1, description="scored tokens of each text: 20,000 give perplexity to about 2 %"
    )
    perplexity_window: int = Field(
        default=1024, ge=2, description="tokens of a window, the first being context only; at most the model's context"
    )
    device_usd_per_hour: float = Field(
        default=0.0, ge=0, description="USD an hour of the device that runs a local model; 0: it is paid for anyway"
    )
    endpoint: str | None = Field(
        default=None, description="provider:model of an OpenAI-compatible endpoint, instead of the input `model`"
    )
    base_url: str | None = Field(
        default=None, description="address of the endpoint, where it is a server of your own (local, vllm, ollama)"
    )
    limits: LimitsConfig = Field(
        default=LimitsConfig(),
        exclude=True,  # results do not depend on it, so a run that goes on with another pace is the same run
        description="pace, patience and money for an endpoint",
    )

    @field_validator("thinking", mode="before")
    @classmethod
    def _yaml_switch(cls, value: object) -> object:
        """YAML reads a bare `on` and `off` as booleans; the command line cannot write null."""
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else None if value == "none" else value

    @field_validator("modes", mode="before")
    @classmethod
    def _one_mode(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value

    @field_validator("modes")
    @classmethod
    def _different(cls, value: tuple[ModeName, ...]) -> tuple[ModeName, ...]:
        if len(set(value)) != len(value):
            raise ValueError("a mode stands there twice")
        return value


@dataclass(frozen=True)
class Subject:
    """The model under test.

    Attributes:
        name: what it is called in results.
        identity: what the store's records are keyed by.
        engine: a LocalEngine or an Endpoint.
        modes: how it can be asked.
        template_sha256: hash of its chat template; None if it is not ours to see.
    """

    name: str
    identity: str
    engine: Any
    modes: Mapping[str, Mode]
    template_sha256: str | None


def resolve_model(model: str) -> tuple[dict[str, Path], str | None]:
    """What a MODEL on the command line means.

    Returns:
        The inputs `model` and, of `folder+adapter`, `adapter`; or none and the `endpoint`, `provider:model`.

    Raises:
        UserError: neither.
    """
    path, adapter = split_name(model)
    if path.is_dir():
        return {"model": path} | ({"adapter": adapter} if adapter is not None else {}), None
    if path.suffix == ".gguf":
        raise UserError(
            f"{model}: GGUF files are not evaluated directly; make a folder of it with `sagecraft model fetch`"
        )
    if ":" in model and not path.exists():
        return {}, model
    raise UserError(f"{model}: neither a model folder nor provider:model")


def from_options(
    model: str, settings: Mapping[str, Any], limits: Mapping[str, Any]
) -> tuple[EvaluateConfig, dict[str, Path]]:
    """Configuration and inputs of a MODEL and of options, of which those that are None keep their defaults."""

    def given(options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value is not None}

    with explained(EvaluateConfig, "eval"):
        inputs, endpoint = resolve_model(model)
        values = given(settings) | given({"endpoint": endpoint}) | {"limits": given(limits)}
        return EvaluateConfig.model_validate(values), inputs


def run(config: EvaluateConfig, inputs: Mapping[str, Path], out: Path, *, store: Path | None = None) -> Manifest:
    """Runs the stage.

    Args:
        config: what is measured.
        inputs: `task` (file or folder of questions); `model` (a Hugging Face folder) unless `endpoint` is set, and
            `adapter` (LoRA in peft's format) if one is to be added to it;
            optionally `domain` and `general` (folders of documents), and `providers` (a YAML file of presets and
            prices).
        out: the artifact.
        store: folder that keeps the measurements for other runs. By default local ones are kept until this run ends;
            replies of an endpoint were paid for, and stay in the folder `OUT.replies`.
    """
    _check(config, inputs)
    from sagecraft.evaluation.tasks import choose, read_task

    task = read_task(inputs["task"])
    if task.items[0].target and set(config.modes) != {"generate"}:
        raise UserError(f"{inputs['task']}: its answers are numbers, which have to be written; use mode generate alone")
    items = choose(task.items, config.max_items, config.seed)
    with artifact.build(
        out, kind="evaluation", stage="evaluate", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        from sagecraft.evaluation.store import Store

        folder = store or (build.scratch("store") if config.endpoint is None else replies_folder(out))
        purpose = artifact.digest_of({"config": config.model_dump(mode="json"), "task": task.sha256})
        with _subject(config, inputs) as subject:
            modes: dict[str, Asked] = {}
            for name in config.modes:
                with closing(Store(folder, subject.identity, purpose)) as kept:
                    modes[name] = _ask(subject, name, items, config, kept, inputs.get("providers"))
            with closing(Store(folder, subject.identity)) as kept:
                texts = _texts(subject, config, inputs, kept)
                seconds = kept.seconds + sum(mode.seconds for mode in modes.values())
        results = _results(subject, task, modes, texts, seconds)
        build.timed.add("results.json")
        _write(build.path, results, [row for mode in modes.values() for row in mode.rows])
        if config.permutations != "none":
            others = (row for mode in modes.values() for row in mode.others)
            artifact.write_jsonl(build.path / "permutations.jsonl", others)
        build.stats.update({key: results[key] for key in ("model", "mode", "n", "accuracy", "ci95", "perplexity")})
    console.say(f"  {subject.name}: {describe(results)}")
    return build.manifest


def replies_folder(out: Path) -> Path:
    """Where the replies of an endpoint are kept, beside the artifact that is made from them."""
    return out.with_name(f"{out.name}.replies")


def _check(config: EvaluateConfig, inputs: Mapping[str, Path]) -> None:
    """All that can be known before anything is loaded."""
    known = {"model", "adapter", "task", "providers", *TEXTS}
    unknown = sorted(set(inputs) - known)
    if unknown:
        raise UserError(f"inputs.{unknown[0]}: evaluation takes {', '.join(sorted(known))}")
    if "task" not in inputs:
        raise UserError("inputs.task: missing; give a file of questions")
    if (config.endpoint is None) == ("model" not in inputs):
        raise UserError("model: give either a model folder or endpoint: provider:model, not both")
    if "adapter" in inputs and "model" not in inputs:
        raise UserError("inputs.adapter: an adapter is added to a model folder; an endpoint takes none")
    if config.permutations != "none" and set(config.modes) == {"continuation"}:
        raise UserError(
            "permutations: continuation shows no options, so they have no order; add mode letter or generate"
        )
    if config.endpoint is None:
        if config.base_url is not None:
            raise UserError("base_url: only used together with endpoint")
        if config.limits.max_usd is not None:
            raise UserError("max_usd: only used together with endpoint; a local model is paid by the hour")
        return
    scored = [mode for mode in config.modes if mode != "generate"]
    if scored:
        raise UserError(
            f"modes: {scored[0]} needs the probabilities of given tokens, which chat endpoints do not tell; use generate"
        )
    for text in TEXTS:
        if text in inputs:
            raise UserError(
                f"inputs.{text}: perplexity needs the probabilities of given tokens, which {config.endpoint} "
                "does not tell; leave it out"
            )


@contextmanager
def _subject(config: EvaluateConfig, inputs: Mapping[str, Path]) -> Iterator[Subject]:
    from sagecraft.evaluation import generate, score

    if config.endpoint is not None:
        from sagecraft.evaluation import remote
        from sagecraft.inference.endpoint import Endpoint

        endpoint = Endpoint(config.endpoint, config.base_url, inputs.get("providers"))
        endpoint.preset.asked(config.thinking)  # whether the model has this state, before anything is made
        endpoint.preset.check_limit(config.limits.max_usd)
        asked = score.Mode(remote.request, None, generate.grade_generate)
        yield Subject(endpoint.name, endpoint.identity, endpoint, {"generate": asked}, None)
        return
    from sagecraft.inference.local import LocalEngine

    engine = LocalEngine(inputs["model"], config.dtype, inputs.get("adapter"))
    modes = {
        "continuation": score.Mode(score.continuation_request, score.measure_continuation, score.grade_continuation),
        "letter": score.Mode(score.letter_request, score.measure_letter, score.grade_letter),
        "generate": score.Mode(generate.local_request, generate.measure_each, generate.grade_generate),
    }
    weights = [artifact.input_digest(inputs[name]) for name in ("model", "adapter") if name in inputs]
    identity = f"{'+'.join(weights)} {config.dtype}"
    yield Subject(engine.name, identity, engine, modes, engine.template.sha256)


@dataclass(frozen=True)
class Asked:
    """All items in one mode: rows, rows of other orders of the options, what they add up to, and how long it took."""

    rows: list[dict[str, Any]]
    others: list[dict[str, Any]]
    summary: dict[str, Any]
    seconds: float


def _ask(
    subject: Subject, name: str, items: list[Item], config: EvaluateConfig, kept: Store, providers: Path | None
) -> Asked:
    from sagecraft.evaluation import permute
    from sagecraft.evaluation.cost import add_up
    from sagecraft.evaluation.summary import summarise

    mode = subject.modes[name]
    rows = []
    variants = permute.variants(items, "none" if name == "continuation" else config.permutations, config.seed)
    asked = [*items, *(variant.item for variant in variants)]
    with console.progress(f"{subject.name}, {name}", len(asked)) as tick:
        requests = [mode.request(subject.engine, item, config) for item in asked]
        values = _measured(subject, mode, requests, config, kept, providers, tick)
        for item, request, value in zip(asked, requests, values, strict=True):
            rows.append(_row(mode, name, item, request, value))
    every, rows, others = rows, rows[: len(items)], rows[len(items) :]
    summary, tokens = summarise(name, rows, config.seed)
    if variants:
        summary["permutations"] = permute.summarise_orders(rows, others, variants)
        others = [{**row, "order": variant.order} for row, variant in zip(others, variants, strict=True)]
        tokens = add_up(row["tokens"] for row in every)
        summary["tokens"] = "unknown" if tokens is None else tokens.as_dict()
    summary |= {"example_prompt": rows[0]["prompt"], **_costs(subject, config, every, tokens, kept)}
    return Asked(rows, others, summary, kept.seconds)


def _measured(
    subject: Subject,
    mode: Mode,
    requests: list[Request],
    config: EvaluateConfig,
    kept: Store,
    providers: Path | None,
    tick: console.Tick,
) -> Iterable[Any]:
    """What each request brought: a value, a `Failed`, or None where it cannot be asked."""
    if mode.measure is None:
        from sagecraft.evaluation.remote import measure_all

        def ended(usd: float | None) -> None:
            tick.advance(1, "" if usd is None else f"{usd:.4f} USD")

        return measure_all(subject.engine, requests, kept, config, providers, ended)
    from sagecraft.evaluation.batches import measure_in_batches

    return measure_in_batches(subject.engine, mode.measure, requests, kept, tick.advance)


def _costs(
    subject: Subject, config: EvaluateConfig, rows: list[dict[str, Any]], tokens: Tokens | None, kept: Store
) -> dict[str, Any]:
    """What the replies cost, and, over an endpoint, what was spent on them with all failures."""
    from sagecraft.evaluation.cost import endpoint_cost, local_cost, usd_per_100k_tokens

    if config.endpoint is None:
        cost: float | Unknown = local_cost(kept.seconds, config.device_usd_per_hour)
        return {"cost_usd": cost, "usd_per_100k_tokens": usd_per_100k_tokens(cost, tokens)}
    from sagecraft.evaluation import remote

    preset = subject.engine.preset
    if preset.price is None and preset.provider.own_hardware:
        cost = local_cost(kept.seconds, config.device_usd_per_hour)
    else:
        cost = endpoint_cost(tokens, preset.price)
    spent = remote.spending(kept.account(), preset.price)
    console.say(f"  {subject.name}: {remote.told(spent)}; replies are kept in {kept.path.parent}")
    return {
        "cost_usd": cost,
        "usd_per_100k_tokens": usd_per_100k_tokens(cost, tokens),
        "price": None if preset.price is None else preset.price.model_dump(mode="json", by_alias=True),
        "num_uncounted": sum(bool(row["tokens"].get("uncounted")) for row in rows),
        "spending": spent,
    }


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
            config.perplexity_tokens,
            config.perplexity_window,
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
        "seconds": round(seconds, 3),
    }


def _write(folder: Path, results: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    from sagecraft.evaluation.predictions import predictions_csv
    from sagecraft.evaluation.report import render
    from sagecraft.reporting import png

    artifact.write_jsonl(folder / "items.jsonl", rows)
    if rows[0]["key"] is None:
        first = [row for row in rows if row["mode"] == results["mode"]]
        artifact.write_text(folder / "predictions.csv", predictions_csv(first))
    artifact.write_json(folder / "results.json", results)
    artifact.write_text(folder / "report.html", render(results, rows))
    png.write_figures(folder / "report.html")


def describe(results: Mapping[str, Any]) -> str:
    """The result in one line."""
    parts = []
    for name, mode in results["modes"].items():
        if mode["accuracy"] is None:
            parts.append(f"{name}: {mode['n']} picks (no key)")
            continue
        low, high = mode["ci95"]
        parts.append(f"{name}: {100 * mode['accuracy']:.1f} % of {mode['n']} ({100 * low:.1f} to {100 * high:.1f})")
    parts += [f"{name} perplexity {text['perplexity']:.2f}" for name, text in results["perplexity"].items()]
    return "; ".join(parts)
