"""The model card of a merge: what was merged, the configuration that does it again, what was checked and what changed.

It is made of the manifest's figures alone, so that a published model can tell the same: `sections` are part of its card.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import yaml

from sagecraft import __version__, artifact
from sagecraft.artifact import MANIFEST
from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.geometry import Options
from sagecraft.merging.job import Job
from sagecraft.merging.plan import DEFAULTS
from sagecraft.models.fetch import find
from sagecraft.reporting.markdown import HUB_NAME, escape, fenced, front_matter, license_entries, table

#: The configuration in a file of its own, beside the card.
CONFIGURATION = "merge.yml"
ADAPTER = " (adapter)"
_CACHED = re.compile(r"(?:^|/)models--([\w.-]+?)--([\w.-]+)(?=/|$)")
_MAX_CARD_BYTES = 1 << 16
_UNKNOWN = "not recorded"


def full_configuration(config: MergekitConfig, job: Job) -> dict[str, Any]:
    """The merge in mergekit's form with every default of the method written out."""
    value: dict[str, Any] = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    for key in ("models", "slices", "modules"):
        if not value.get(key):
            value.pop(key, None)
    entries = [entry.parameters for stretch in config.stretches for entry in stretch.contributing(job.row)]
    given: dict[str, Any] = value.get("parameters", {})
    defaults = {**DEFAULTS, "normalize": job.row.normalize, "rescale": job.row.rescale}
    if job.row.sparsify is None:
        defaults["epsilon"] = Options().epsilon
    for name in job.row.parameters:
        stated = bool(entries) and all(getattr(entry, name, None) is not None for entry in entries)
        if name in defaults and name not in given and not stated:
            given[name] = defaults[name]
    value["parameters"] = {name: given[name] for name in given if name in job.row.parameters or name != "int8_mask"}
    return value


def as_yaml(configuration: Mapping[str, Any]) -> str:
    """Its text."""
    return yaml.safe_dump(dict(configuration), sort_keys=False, allow_unicode=True)


def read_facts(name: str, folder: Path, inputs: Mapping[str, str]) -> dict[str, str]:
    """What is known of a model, nothing guessed: `license`, `title`, `repository` on the hub, and what it was made of.

    Args:
        name: in the configuration.
        folder: where it is.
        inputs: all models of the merge and their digests.
    """
    facts: dict[str, str] = {}
    if (folder / MANIFEST).is_file() and artifact.is_artifact(folder):
        manifest = artifact.load(folder)
        stats = manifest.stats
        facts = {key: str(stats[key]) for key in ("license", "title") if stats.get(key)}
        origin = next((other for other, digest in inputs.items() if digest in manifest.inputs.values()), None)
        facts |= {"stage": manifest.stage, **({"made_of": origin} if origin is not None else {})}
        with contextlib.suppress(UserError):
            facts["repository"] = find(str(stats.get("name", ""))).repository or ""
    facts = {**_front_facts(folder / "README.md"), **facts}
    if not facts.get("repository") and (cached := _CACHED.search(name)):
        facts["repository"] = f"{cached[1]}/{cached[2]}"
    if not HUB_NAME.fullmatch(facts.get("repository", "")):
        facts.pop("repository", None)
    return facts


def _front_facts(path: Path) -> dict[str, str]:
    """The licence that a card's front matter states; a card that cannot be read states none."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MAX_CARD_BYTES)
        value = yaml.safe_load(text.split("---\n")[1]) if text.startswith("---\n") else None
    except (OSError, ValueError, IndexError, RecursionError, yaml.YAMLError):
        return {}
    if not isinstance(value, dict):
        return {}
    name = value.get("license_name") if value.get("license") == "other" else value.get("license")
    return {"license": " ".join(name.split())[:100]} if isinstance(name, str) and name.strip() else {}


def agreed_license(models: Mapping[str, Mapping[str, str]]) -> str:
    """The licence of all models; empty if it is not the same, or not known of one."""
    found = [facts.get("license", "") for facts in models.values()]
    return found[0] if len({name.lower() for name in found}) == 1 else ""


def repositories(models: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Where on the hub the models are, as far as that is known."""
    return sorted({facts["repository"] for facts in models.values() if facts.get("repository")})


def title_of(stats: Mapping[str, Any]) -> str:
    """What the result is called: by its models, since one that is made again elsewhere must be the same bytes."""
    names = short_names(list(stats["models"]))
    merged = " + ".join(renamed(label, names) for label in list(stats["delta_norms"])[:5])
    more = len(stats["delta_norms"]) - 5
    return f"{merged} + {more} more" if more > 0 else merged


def write_card(stats: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The text of README.md.

    Args:
        stats: of the manifest.
        inputs: its inputs and their digests.
    """
    front: dict[str, Any] = license_entries(agreed_license(stats["models"]))
    front |= {"library_name": "transformers", "pipeline_tag": "text-generation"}
    if bases := repositories(stats["models"]):
        front |= {"base_model": bases, "base_model_relation": "merge"}
    front["tags"] = ["merge", "sagecraft", str(stats["method"])]
    blocks = [
        front_matter(front),
        f"# {escape(title_of(stats))}",
        f"A merge of language models, made with sagecraft {__version__}.",
        *sections(stats, inputs),
        "## Files",
        f"`{CONFIGURATION}` is the configuration above, `merge.html` shows what was done to each tensor, `summary.json` has "
        "it as numbers, `manifest.json` the digests of everything.",
        "## Use",
        fenced("sagecraft chat FOLDER\nsagecraft serve FOLDER"),
        "## Limits",
        "Merging keeps some of what the models can do and loses some, and nothing here says which: measure it "
        "(`sagecraft eval`). It can be wrong, and it sounds no less sure when it is.",
    ]
    return "\n\n".join(blocks) + "\n"


def sections(stats: Mapping[str, Any], inputs: Mapping[str, str], *, shorten: bool = False) -> list[str]:
    """The part of a card that is about a merge.

    Args:
        stats: of the merge's manifest.
        inputs: its inputs and their digests.
        shorten: names are paths of the machine where it was made, which are nobody's business: their last parts do.
    """
    models: Mapping[str, Mapping[str, str]] = stats["models"]
    names = short_names(list(models))
    rows = [
        (
            names[label] if shorten else label,
            _known_as(facts, names),
            facts.get("license") or _UNKNOWN,
            inputs.get(label, "")[:12] or "—",
            inputs.get(f"{label}{ADAPTER}", "")[:12] or "—",
        )
        for label, facts in models.items()
    ]
    blocks = [
        "## Models",
        f"Merged by `{stats['method']}` ([where it is described]({stats['paper']})). The digest is the hash of all of a "
        "model's files.",
        table(("Model", "Known as", "Licence", "Digest", "Digest of its adapter"), rows),
    ]
    if not agreed_license(models):
        blocks.append("Their licences are not all known, or not the same: look at each before the result is used.")
    blocks += [
        "## Configuration",
        "With this `sagecraft merge` makes the same bytes of the same models. Random draws are keyed by the seed and by the "
        "names as they stand here" + (", which were shortened." if shorten and draws(stats) else "."),
        fenced(as_yaml(_renamed(stats["configuration"], names if shorten else {})), "yaml"),
        *_vocabulary(stats, names),
        *_checked(stats),
        *_changed(stats, names),
    ]
    return blocks


def _known_as(facts: Mapping[str, str], names: Mapping[str, str]) -> str:
    if known := facts.get("repository") or facts.get("title"):
        return known
    origin = facts.get("made_of", "")
    return f"{facts['stage']} of {names.get(origin, origin)}" if origin else "—"


def draws(stats: Mapping[str, Any]) -> bool:
    """Whether the method of a merge is a random one."""
    from sagecraft.merging.config import find_method

    return find_method(str(stats["method"])).draws


def short_names(labels: Sequence[str]) -> dict[str, str]:
    """Label → its last part, with a number where two are the same."""
    found: dict[str, str] = {}
    for label in labels:
        short = "+".join(PurePath(part).name or part for part in label.split("+"))
        taken = sum(1 for other in found.values() if other == short or other.startswith(f"{short} ("))
        found[label] = short if not taken else f"{short} ({taken + 1})"
    return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {_renamed(key, names): _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def _vocabulary(stats: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    found = stats["vocabulary"]
    text = f"{found['num_tokens']:,} tokens in {found['num_rows']:,} rows, "
    text += "the same in all models." if found["action"] == "same" else "aligned by token: see `summary.json`."
    tokenizer = renamed(str(stats["tokenizer"]), names)
    lines = [f"{text} Special tokens and chat template are those of {escape(tokenizer)}."]
    lines += [f"- {escape(renamed(note, names))}" for note in stats["notes"]]
    return ["## Vocabulary and configuration", "\n".join(lines)]


def renamed(text: str, names: Mapping[str, str]) -> str:
    """A text with labels in their short form."""
    for label in sorted(names, key=len, reverse=True):
        text = text.replace(label, names[label])
    return text


def _checked(stats: Mapping[str, Any]) -> list[str]:
    lines = [
        "Before any weight was read: architectures, shapes, types, vocabularies and special tokens of all models.",
        "While it was written: every value read is a finite number, and so is every value written.",
    ]
    if "parity_difference" in stats:
        lines.append(
            f"Afterwards: the result was run, and its logits compared with those of transformers at "
            f"{stats['parity_positions']} positions: they differ by {stats['parity_difference']:g} of their spread "
            f"({stats['parity_tolerance']:g} is allowed)."
        )
    else:
        lines.append("Afterwards: nothing; the result did not fit into memory and was not run.")
    return ["## What was checked", "\n".join(f"- {line}" for line in lines)]


def _changed(stats: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    rows: list[tuple[object, object]] = [
        (f"Norm of the difference of {renamed(label, names)}", f"{norm:.4g}")
        for label, norm in stats["delta_norms"].items()
    ]
    rows += [
        ("Norm of the difference of the result", f"{stats['merged_delta_norm']:.4g}"),
        ("Elements that two models moved in opposite directions", f"{100 * stats['sign_conflict_share']:.1f} %"),
        ("Parameters", f"{stats['num_parameters']:,} in {stats['num_tensors']:,} tensors"),
    ]
    reference = renamed(str(stats["reference"]), names)
    return ["## What changed", f"Differences are from {escape(reference)}.", table(("Figure", "Value"), rows)]
