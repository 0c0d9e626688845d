"""What surrounds the weights of a merge: the plan that is shown before, and what the result is checked and described by."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sagecraft import console
from sagecraft.artifact import Build, write_json, write_text
from sagecraft.errors import MachineError, UserError
from sagecraft.merging import card
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import Job, Part
from sagecraft.merging.layout import describe_layers
from sagecraft.merging.parameters import ModelParameters
from sagecraft.merging.plan import MergePlan
from sagecraft.merging.summary import TensorSummary, totals
from sagecraft.reporting import merge_page, png

if TYPE_CHECKING:
    from sagecraft.merging.merge import MergeConfig
    from sagecraft.models.decoder import Decoder
    from sagecraft.models.foreign import ForeignDecoder
    from sagecraft.models.parity import Parity

#: What the merged model continues, to see that it runs; any plain text does.
_PROBE = "The answer to the question is"
_PROBE_TOKENS = 12
#: Models of a merge that are listed on the terminal.
_MAX_LINES = 24
#: What its passes read of the weights: a second of two cores. Larger models say fewer tokens, the largest one.
_READ_BYTES = 4_000_000_000


def finish(
    build: Build,
    job: Job,
    config: MergekitConfig | MergeConfig,
    plan: MergePlan,
    summaries: list[TensorSummary],
    template: str | None,
) -> None:
    """Makes a model folder of merged weights: tokenizer, configuration, the check that it runs, and what tells of it."""
    plan.vocabulary.write(job, build.path, template)
    write_json(build.path / "config.json", plan.config)
    parity = check(build.path, plan)
    _describe(build, job, config, plan, summaries, parity)


def _describe(
    build: Build,
    job: Job,
    config: MergekitConfig | MergeConfig,
    plan: MergePlan,
    summaries: list[TensorSummary],
    parity: Parity | None,
) -> None:
    """Writes summary, configuration, card and page, and the manifest's figures, of which the card is made."""
    form = config if isinstance(config, MergekitConfig) else config.as_mergekit()
    folders = {source.model: source.folder for source in (*job.sources, job.tokenizer)}
    vocabulary = plan.vocabulary.describe()
    tensors = [vars(row) for row in summaries]
    models = {label: card.read_facts(label, folder, build.inputs) for label, folder in folders.items()}
    build.stats.update(
        method=job.method,
        paper=job.row.url,
        reference=job.reference.label,
        models=models,
        license=card.agreed_license(models) or None,
        configuration=card.full_configuration(form, job),
        tokenizer=job.tokenizer.label,
        vocabulary={
            "action": vocabulary["action"],
            "num_tokens": len(plan.vocabulary.ids),
            "num_rows": vocabulary["num_rows"],
        },
        notes=list(plan.notes),
        num_bytes=plan.num_output_bytes,
        **totals(summaries),
        **(parity.stats() if parity else {}),
    )
    shared = {key: build.stats[key] for key in ("method", "reference", "notes")}
    write_json(build.path / "summary.json", {**shared, "vocabulary": vocabulary, "tensors": tensors})
    text = card.as_yaml(build.stats["configuration"])
    write_text(build.path / card.CONFIGURATION, text)
    names = card.short_names(list(models))
    write_text(build.path / "README.md", card.write_card(build.stats, build.inputs))
    facts = merge_page.MergeFacts(
        title=card.title_of(build.stats),
        method=job.method,
        paper=job.row.url,
        reference=card.renamed(job.reference.label, names),
        models={source.label: card.renamed(source.label, names) for source in job.models},
        notes=[card.renamed(note, names) for note in plan.notes],
        tensors=[merge_page.tensor_of(row) for row in tensors],
        checked=f"The result was run: {parity}." if parity else "The result was not run: memory did not hold it.",
        configuration=text,
    )
    write_text(build.path / "merge.html", merge_page.render(facts))
    png.write_figures(build.path / "merge.html")
    own = ", ".join(
        f"{names_of} {build.stats['delta_norms'].get(label, 0.0):.4g}" for label, names_of in facts.models.items()
    )
    console.say(
        f"  norms of the changes from {facts.reference}: {own}; of the result {build.stats['merged_delta_norm']:.4g}; "
        f"{100 * build.stats['sign_conflict_share']:.1f} % of the elements moved in opposite directions"
    )


def show_plan(job: Job, plan: MergePlan) -> None:
    """Says what will be merged, before any weight is read."""
    console.say(f"  {job.method} ({job.row.url})")
    lines = [line for part in job.parts for line in _part_lines(part)]
    for line in lines[:_MAX_LINES]:
        console.say(f"    {line}")
    if len(lines) > _MAX_LINES:
        console.say(f"    and {len(lines) - _MAX_LINES} more lines of this kind")
    if job.sliced:
        console.say(f"  layers {describe_layers(job)}")
    plan.vocabulary.show(job)
    for note in plan.notes:
        console.warn(note)
    console.say(
        f"  {len(plan.tensors):,} tensors, reads {plan.num_input_bytes / 1e9:.2f} GB, writes "
        f"{plan.num_output_bytes / 1e9:.2f} GB, about {plan.peak_bytes / 1e6:,.0f} MB of memory"
    )


def _part_lines(part: Part) -> list[str]:
    """A line a model, with what is set of it, and what is set of all."""
    rows = [(source, "base" if source == part.base else "model") for source in part.sources]
    lines = [
        f"{role:<5} {source.label}{f' layers {source.layers[0]} to {source.layers[1] - 1}' if source.layers else ''}"
        f"{_settings(source.parameters)}"
        for source, role in rows
    ]
    shared = "".join(_settings(level) for level in part.levels)
    return [*lines, f"all  {shared}"] if shared else lines


def _settings(parameters: ModelParameters) -> str:
    given = parameters.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return "".join(f"  {name} {json.dumps(value, ensure_ascii=False)}" for name, value in given.items())


def chat_template_text(job: Job) -> str | None:
    """The chat template that replaces the tokenizer's own, or None to keep that.

    Raises:
        UserError: the name is not known.
    """
    from sagecraft.chat.template import built_in
    from sagecraft.models.tokenizer import Tokenizer

    wanted = job.chat_template
    if wanted is None or "{" in wanted:
        return wanted
    if wanted == "auto":
        found = [Tokenizer.from_folder(source.folder).chat_template for source in job.sources]
        counted = Counter(text for text in found if text is not None)
        return counted.most_common(1)[0][0] if counted else None  # of equally many, the first
    known = {"chatml": "chatml", "llama3": "llama-3", "llama-3": "llama-3"}
    if wanted not in known:
        raise UserError(f"chat_template: {wanted!r} is not auto, chatml, llama3 or a Jinja text; write one of these")
    return built_in(known[wanted])


def check(folder: Path, plan: MergePlan) -> Parity | None:
    """Runs the result, says what it says, and compares its logits with those of transformers.

    A family of ours is computed layer by layer, whatever its size. What follows the probe's first token is made by more
    passes over the weights, as many as take a moment.

    Returns:
        The comparison; None for a family that only transformers computes, if it does not fit into memory.

    Raises:
        MachineError: the merged model gives values that are not finite, or other logits than transformers.
    """
    import torch

    from sagecraft.models.config import supported
    from sagecraft.models.load import load_model
    from sagecraft.models.parity import check_by_layer, check_folder
    from sagecraft.models.streaming import fits, free_bytes, stream_model
    from sagecraft.models.tokenizer import Tokenizer

    tokenizer = Tokenizer.from_folder(folder)
    opening = tokenizer.encode(_PROBE)
    opening = [tokenizer.bos_id, *opening] if tokenizer.bos_id is not None else opening
    dtype: Literal["bfloat16", "float32"] = "bfloat16" if plan.config["dtype"] == "bfloat16" else "float32"
    said: list[int] = []
    model: Decoder | ForeignDecoder
    if supported(plan.config):
        parity, first = check_by_layer(folder, opening)
        said = [first]
        passes = _READ_BYTES // plan.num_output_bytes if plan.num_output_bytes < free_bytes() else 0
        model = stream_model(folder, getattr(torch, dtype))
    elif fits(folder, torch.float32):
        parity, passes = check_folder(folder), _PROBE_TOKENS
        model = load_model(folder, dtype).model
    else:
        console.warn(
            f"not run for a test: {plan.config.get('model_type')} needs memory for the whole model, which is not free"
        )
        return None
    said += _continue(model, [*opening, *said], min(_PROBE_TOKENS - len(said), passes))
    console.say(f"  it runs; after {_PROBE!r} it says {tokenizer.decode(said)!r}")
    console.say(f"  {parity}")
    return parity


def _continue(model: Decoder | ForeignDecoder, ids: list[int], count: int) -> list[int]:
    """The likeliest next tokens, one after the other."""
    import torch

    cache: Any = model.new_cache()
    new = list(ids)
    with torch.inference_mode():
        for _ in range(count):
            logits = model.logits(model(torch.tensor([new]), cache=cache))[0, -1]
            if not bool(torch.isfinite(logits).all()):
                raise MachineError("the merged model gives logits that are not finite; lower the weights or lambda")
            new = [int(logits.argmax())]
            ids = [*ids, *new]
    return ids[len(ids) - count :] if count else []
