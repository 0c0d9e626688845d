"""The model card: README.md with the hub's front matter, filled from manifests and measurements, nothing from memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sagecraft import __version__
from sagecraft.chat.thinking import SWITCH
from sagecraft.errors import UserError
from sagecraft.merging import card as merge_card
from sagecraft.models.fetch import find
from sagecraft.publishing.lineage import OUTSIDE, History, Step, scalars, shown_inputs
from sagecraft.reporting.markdown import HUB_NAME, escape, front_matter, license_entries, table
from sagecraft.synthesis.mixing import DOCUMENTS

#: Beginnings of licences that ask for no more than a mention.
_OPEN_LICENSES = ("CC-BY-4", "CC0", "MIT", "APACHE")


@dataclass(frozen=True)
class Exported:
    """A GGUF beside the model: its file, type, the difference that was measured and the largest that passes."""

    file: str
    kind: str
    difference: float
    tolerance: float


@dataclass(frozen=True)
class Base:
    """The model everything started from; an empty text is unknown."""

    title: str = ""
    license: str = ""
    quantisation: str = ""
    repository: str = ""


def write_card(name: str, config: Mapping[str, Any], history: History, exported: Exported | None) -> str:
    """The text of README.md.

    Args:
        name: what the model is called.
        config: its config.json.
        history: what it was made of and how it measured.
        exported: the GGUF beside it, if any.
    """
    base = _base(history)
    blocks = [
        front_matter(_front(base, history, exported)),
        f"# {escape(name)}",
        _summary(config, history, base),
        *_making(history),
        *_data(history),
        *_measured(history),
        *_usage(history, exported),
        *_limits(history, base),
    ]
    return "\n\n".join(blocks) + "\n"


def _base(history: History) -> Base:
    own = (step for step in history.steps if step.manifest.stage == "fetch" and step.name == "fetch")
    fetched = next(own, history.last("fetch"))  # a merge may have fetched more models beside the one it began with
    if fetched is None:
        return Base()
    stats = fetched.manifest.stats
    name = str(stats.get("name", ""))
    try:
        repository = find(name).repository or ""
    except UserError:  # the catalogue of the version that fetched it may have had other names
        repository = ""
    return Base(
        title=str(stats.get("title") or name),
        license=str(stats.get("license") or ""),
        quantisation=str(stats.get("quantisation") or ""),
        repository=repository if HUB_NAME.fullmatch(repository) else "",
    )


def _trained(history: History) -> list[Step]:
    return [step for step in history.steps if step.manifest.stage in ("cpt", "sft", "merge")]


def _front(base: Base, history: History, exported: Exported | None) -> dict[str, Any]:
    front: dict[str, Any] = {**license_entries(base.license)}
    front |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    merged = history.last("merge")
    models = merged.manifest.stats.get("models", {}) if merged is not None else {}
    bases = merge_card.repositories(models) or ([base.repository] if base.repository else [])
    if bases:
        front["base_model"] = bases if len(bases) > 1 else bases[0]
        if steps := _trained(history):
            front["base_model_relation"] = "merge" if steps[-1].manifest.stage == "merge" else "finetune"
    front["tags"] = ["sagecraft", *(["gguf"] if exported else [])]
    return front


def _summary(config: Mapping[str, Any], history: History, base: Base) -> str:
    stages = " → ".join(step.manifest.stage for step in history.steps if step.manifest.kind == "model")
    rows: list[tuple[str, object]] = [
        ("Base model", base.title or "not recorded"),
        ("Licence of the base model", base.license or "not recorded"),
    ]
    if base.quantisation:
        rows.append(("Precision of the base model", f"de-quantised from {base.quantisation}: not the original weights"))
    rows += [
        ("Architecture", config.get("model_type", "unknown")),
        ("Layers × width", f"{config.get('num_hidden_layers', '?')} × {config.get('hidden_size', '?')}"),
        ("Context, tokens", config.get("max_position_embeddings", "unknown")),
        ("Type of the weights", config.get("dtype") or config.get("torch_dtype") or "unknown"),
        ("Stages", stages or "not recorded: the folder has no manifest"),
    ]
    return f"Made with sagecraft {__version__}.\n\n" + table(("", ""), rows)


def _making(history: History) -> list[str]:
    if not history.steps:
        return []
    rows = [
        (
            step.name,
            step.manifest.kind,
            ", ".join(_origin(name, *found) for name, found in shown_inputs(step).items()) or "—",
            step.manifest.digest[:12],
        )
        for step in history.steps
    ]
    blocks = [
        "## How it was made",
        "Each row is an artifact; the digest is the hash of its contents. `lineage.json` has them whole.",
        table(("Step", "Holds", "Made from", "Digest"), rows),
    ]
    for step in _trained(history):
        if "configuration" in step.manifest.stats:
            told = merge_card.sections(step.manifest.stats, step.manifest.inputs, shorten=True)
            blocks += [f"### {escape(step.name)}", *(f"##{line}" if line.startswith("## ") else line for line in told)]
            continue
        facts = {**scalars(step.manifest.config), **scalars(step.manifest.stats)}
        blocks += [f"### {escape(step.name)}", table(("Setting or figure", "Value"), list(facts.items()))]
    return blocks


def _origin(name: str, origin: str, digest: str) -> str:
    """An input of a step; one from elsewhere is known by its digest alone."""
    return f"{name}: {origin}" if origin != OUTSIDE else f"{name}: from outside ({digest[:12]})"


def _data(history: History) -> list[str]:
    """Documents and their licences, as the ingest steps counted them."""
    rows, licenses = [], Counter[str]()
    for step in history.steps:
        if step.manifest.stage != "ingest":
            continue
        stats = step.manifest.stats
        stated = {str(k): int(v) for k, v in (stats.get("licenses") or {}).items()}
        licenses.update(stated)
        listed = ", ".join(f"{stated_as} ({count:,})" for stated_as, count in sorted(stated.items())) or "not recorded"
        rows.append((step.name, _count(stats.get("num_documents")), _count(stats.get("num_words")), listed))
    if not rows:
        return []
    blocks = ["## Training data", table(("Source", "Documents", "Words", "Licences (documents)"), rows)]
    withheld = history.last("withhold")
    if withheld is not None and (number := withheld.manifest.stats.get("num_withheld")):
        blocks.append(f"{_count(number)} of these documents were withheld from training.")
    made = history.last("synth")
    if made is not None:
        blocks += _conversations(made.manifest.stats)
        for part in (made.manifest.stats.get("mixture") or {}).values():
            licenses.update({str(name): int(count) for name, count in part["licenses"].items()})
    needs_care = sorted(name for name in licenses if not name.upper().startswith(_OPEN_LICENSES))
    if needs_care:
        blocks.append(f"Look at these licences before the model is used further: {escape(', '.join(needs_care))}.")
    return blocks


def _conversations(stats: Mapping[str, Any]) -> list[str]:
    """What fine-tuning used, as `synth` counted it; of several sources a table."""
    mixture: Mapping[str, Mapping[str, Any]] = stats.get("mixture") or {}
    if not mixture:
        return []
    own = int(mixture.get(DOCUMENTS, {}).get("rows", 0))
    by = (
        "by rules and by a model that was asked" if stats.get("num_teacher_asked") else "by rule, without another model"
    )
    blocks = [
        f"Fine-tuning used {stats['num_conversations']:,} conversations, {own:,} of them made from these documents {by}."
    ]
    if len(mixture) > 1:
        rows = [
            (
                "these documents" if name == DOCUMENTS else name,
                _count(part["rows"]),
                _count(part["tokens"]),
                ", ".join(f"{stated} ({count:,})" for stated, count in part["licenses"].items()) or "none taken",
            )
            for name, part in mixture.items()
        ]
        blocks.append(table(("Conversations", "Rows", "Tokens, estimated", "Licences (rows)"), rows))
    return blocks


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "unknown"


def _measured(history: History) -> list[str]:
    if not history.results:
        return ["## Evaluation", "No evaluation stands beside this model."]
    rows = []
    for name, results in history.results.items():
        interval = f"{100 * results.ci95[0]:.1f} to {100 * results.ci95[1]:.1f}" if results.ci95 else "—"
        texts = [results.perplexity.get("domain"), results.perplexity.get("general")]
        rows.append(
            (
                name,
                f"{100 * results.accuracy:.1f}" if results.accuracy is not None else "—",
                interval,
                results.n,
                results.mode or "—",
                *(f"{text.perplexity:.2f}" if text else "—" for text in texts),
            )
        )
    columns = ("Model", "Accuracy, %", "95 % interval", "Questions", "Mode", "Perplexity, domain", "general")
    closing = (
        "Whether two models differ is for a paired test on the same questions to say (`sagecraft compare`, or the run's "
        "report): intervals of single models that overlap decide nothing, either way."
    )
    return ["## Evaluation", table(columns, rows), closing]


def _usage(history: History, exported: Exported | None) -> list[str]:
    blocks = ["## Use", "```\nsagecraft chat FOLDER\nsagecraft serve FOLDER\n```"]
    if history.last("sft") is not None:
        rendered = history.last("render")
        variable = rendered.manifest.stats.get("switch_variable") if rendered is not None else None
        if variable:
            how = f"The chat template's variable `{variable}` is the switch: true"
            off = "false"
        else:
            how = f"The first line of the system prompt is the switch: `{SWITCH['on']}`"
            off = f"`{SWITCH['off']}`"
        blocks.append(f"{how} makes the model think before it answers, {off} makes it answer at once.")
    if exported is not None:
        blocks.append(
            f"`{exported.file}` holds the same model for llama.cpp ({exported.kind}). It was read back and its logits "
            f"compared with the folder's: they differ by {exported.difference:g} of their spread (root mean square; "
            f"{exported.tolerance:g} is the most that passes)."
        )
    return blocks


def _limits(history: History, base: Base) -> list[str]:
    limits = [
        "It can be wrong, and it sounds no less sure when it is: check what matters in the literature.",
        "No safety evaluation was made beyond what is stated above.",
    ]
    if not history.results:
        limits.append("Nothing here says how good it is.")
    if not base.license:
        limits.append("The licence of the base model is not recorded; its terms apply to this model as well.")
    return ["## Limits", "\n".join(f"- {line}" for line in limits)]
