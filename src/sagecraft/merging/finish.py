"""What surrounds the weights of a merge: the plan that is shown before, and what the result is checked and described by."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sagecraft import console
from sagecraft.artifact import Build, write_json
from sagecraft.errors import MachineError, UserError
from sagecraft.merging.config import Job
from sagecraft.merging.plan import MergePlan
from sagecraft.merging.summary import TensorSummary, totals

if TYPE_CHECKING:
    from sagecraft.models.parity import Parity

#: What the merged model continues, to see that it runs; any plain text does.
_PROBE = "The answer to the question is"
_PROBE_TOKENS = 12


def finish(build: Build, job: Job, plan: MergePlan, summaries: list[TensorSummary], template: str | None) -> None:
    """Makes a model folder of merged weights: tokenizer, configuration, summary, and the check that it runs."""
    from sagecraft.models.tokenizer import copy_tokenizer

    copy_tokenizer(job.tokenizer.folder, build.path, template)
    write_json(build.path / "config.json", plan.config)
    _write_summary(build, job, plan, summaries)
    parity = check(build.path, plan)
    build.stats.update(
        method=job.method,
        paper=job.row.url,
        tokenizer=job.tokenizer.label,
        num_bytes=plan.num_output_bytes,
        **totals(summaries),
        **(parity.stats() if parity else {}),
    )


def show_plan(job: Job, plan: MergePlan) -> None:
    """Says what will be merged, before any weight is read."""
    vocabulary = plan.vocabulary
    console.say(
        f"  {job.method} ({job.row.url}) of {', '.join(source.label for source in job.models)}"
        + (f" on {job.base.label}" if job.base else "")
    )
    console.say(
        f"  vocabulary: {vocabulary.action} in all ({max(vocabulary.num_tokens.values()):,} tokens, "
        f"{vocabulary.num_rows:,} rows); tokenizer and chat template of {job.tokenizer.label}"
    )
    for note in plan.notes:
        console.warn(note)
    console.say(
        f"  {len(plan.tensors):,} tensors, reads {plan.num_input_bytes / 1e9:.2f} GB, writes "
        f"{plan.num_output_bytes / 1e9:.2f} GB, about {plan.peak_bytes / 1e6:,.0f} MB of memory"
    )


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


def _write_summary(build: Build, job: Job, plan: MergePlan, summaries: list[TensorSummary]) -> None:
    """What was done to each tensor, and what the plan found out."""
    vocabulary = plan.vocabulary
    value = {
        "method": job.method,
        "reference": job.reference.label,
        "vocabulary": {
            "action": vocabulary.action,
            "num_tokens": dict(vocabulary.num_tokens),
            "num_rows": vocabulary.num_rows,
        },
        "notes": list(plan.notes),
        "tensors": [vars(row) for row in summaries],
    }
    write_json(build.path / "summary.json", value)


def check(folder: Path, plan: MergePlan) -> Parity | None:
    """Runs the result, shows what it says, and compares its logits with those of transformers.

    Returns:
        The comparison, layer by layer where this machine has not the memory for the model; None for a family that only
        transformers computes, if it does not fit.

    Raises:
        MachineError: the merged model gives logits that are not finite, or others than transformers.
    """
    from sagecraft.models.config import supported
    from sagecraft.models.parity import check_folder
    from sagecraft.models.streaming import free_bytes

    dtype: Literal["bfloat16", "float32"] = "bfloat16" if plan.config["dtype"] == "bfloat16" else "float32"
    needed = 1.1 * sum(row.num_elements for row in plan.tensors) * (2 if dtype == "bfloat16" else 4)
    if needed > free_bytes():
        console.warn(
            f"no text is made for a test: it takes {needed / 1e9:.1f} GB of memory; try `sagecraft chat` elsewhere"
        )
        if not supported(plan.config):
            return None
    else:
        _say_something(folder, dtype)
    parity = check_folder(folder)
    console.say(f"  {parity}")
    return parity


def _say_something(folder: Path, dtype: Literal["bfloat16", "float32"]) -> None:
    """Continues a probe."""
    import torch

    from sagecraft.models.load import load_model

    loaded = load_model(folder, dtype)
    ids = loaded.tokenizer.encode(_PROBE)
    ids = [loaded.tokenizer.bos_id, *ids] if loaded.tokenizer.bos_id is not None else ids
    start = len(ids)
    with torch.inference_mode():
        for _ in range(_PROBE_TOKENS):
            logits = loaded.model.logits(loaded.model(torch.tensor([ids])))
            if not bool(torch.isfinite(logits).all()):
                raise MachineError("the merged model gives logits that are not finite; lower the weights or lambda")
            ids.append(int(logits[0, -1].argmax()))
    console.say(f"  it runs; after {_PROBE!r} it says {loaded.tokenizer.decode(ids[start:])!r}")
