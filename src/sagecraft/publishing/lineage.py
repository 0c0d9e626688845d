"""From a model back to what it was made of: the manifests of the run folder around it, joined by their digests.

Only what the model's own manifest leads to is told. Settings and figures are passed on, paths are not: they speak of
the machine and its owner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagecraft import artifact, console
from sagecraft.artifact import MANIFEST, Manifest
from sagecraft.errors import UserError
from sagecraft.merging.card import short_names
from sagecraft.publishing.measured import Results, read_results

#: Texts that are passed on: names of methods and types, no paths and no sentences.
_SAFE_TEXT = re.compile(r"[\w.+-]{1,40}")
OUTSIDE = "outside"


@dataclass(frozen=True)
class Step:
    """One artifact in the history of a model.

    Attributes:
        name: of its folder.
        path: of its folder.
        manifest: what it says of itself.
        inputs: name of each input → the step it came from, or `outside`.
    """

    name: str
    path: Path
    manifest: Manifest
    inputs: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class History:
    """The steps that led to a model, in order, the model last; and what was measured of the models among them.

    A model without a manifest has no steps.
    """

    steps: list[Step]
    results: dict[str, Results]

    def last(self, stage: str) -> Step | None:
        """The latest step of a stage."""
        return next((step for step in reversed(self.steps) if step.manifest.stage == stage), None)


def read_history(model: Path) -> History:
    """Walks back from a model folder through the artifacts beside it."""
    if not (model / MANIFEST).is_file():
        return History([], {})
    own = artifact.load(model)
    around = _siblings(model)
    known = {
        digest: origin.partition("/")[0]
        for digest, origin in origins({name: manifest for name, (_, manifest) in around.items()}).items()
    }
    steps: dict[str, Step] = {}

    def visit(name: str, path: Path, manifest: Manifest) -> None:
        inputs = {key: known.get(digest, OUTSIDE) for key, digest in sorted(manifest.inputs.items())}
        step = Step(name, path, manifest, inputs)
        for origin in inputs.values():
            if origin != OUTSIDE and origin not in visited:
                visited.add(origin)
                visit(origin, *around[origin])
        steps[name] = step

    visited = {model.resolve().name}
    visit(model.resolve().name, model, own)
    return History(list(steps.values()), _results(steps, around))


def shown_inputs(step: Step) -> dict[str, tuple[str, str]]:
    """Name of each input → the step it came from, or `outside`, and its digest; a merge's models by the ends of their paths."""
    names = short_names(list(step.inputs))
    return {names[name]: (origin, step.manifest.inputs[name]) for name, origin in step.inputs.items()}


def _siblings(model: Path) -> dict[str, tuple[Path, Manifest]]:
    """Artifacts in the folder around the model; a damaged one is passed over with a warning."""
    found = {}
    for path in sorted(model.resolve().parent.iterdir()):
        if not (path / MANIFEST).is_file():
            continue
        try:
            found[path.name] = (path, artifact.load(path))
        except UserError as error:
            console.warn(f"{error}; the card leaves it out")
    return found


def origins(manifests: Mapping[str, Manifest]) -> dict[str, str]:
    """Digest → `step`, or `step/folder` for a folder inside an artifact, which is an input with a digest of its own."""
    found: dict[str, str] = {}
    for step, manifest in manifests.items():
        found.setdefault(manifest.digest, step)
        folders: dict[str, dict[str, str]] = {}
        for name, record in manifest.files.items():
            folder, slash, rest = name.partition("/")
            if slash:
                folders.setdefault(folder, {})[rest] = record.sha256
        for folder, files in folders.items():
            found.setdefault(artifact.digest_of(files), f"{step}/{folder}")
    return found


def _results(steps: Mapping[str, Step], around: Mapping[str, tuple[Path, Manifest]]) -> dict[str, Results]:
    """Name of a model of the history → its evaluation, in the order of the history.

    The base model may stand outside the run folder: then it is known by the digest that training names.
    """
    models = {step.manifest.digest: name for name, step in steps.items() if step.manifest.kind == "model"}
    for step in steps.values():
        digest = step.manifest.inputs.get("model")
        if digest is not None and step.inputs["model"] == OUTSIDE:
            models.setdefault(digest, "base")
    found = {}
    for path, manifest in around.values():
        subject = models.get(manifest.inputs.get("model", ""))
        if manifest.kind == "evaluation" and subject is not None:
            found[subject] = read_results(path)
    order = ["base", *steps]
    return {name: found[name] for name in sorted(found, key=order.index)}


def scalars(value: Mapping[str, Any], prefix: str = "") -> dict[str, bool | int | float | str]:
    """Numbers, switches and plain words of nested settings, under dotted names; everything else is left out."""
    flat: dict[str, bool | int | float | str] = {}
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if not _SAFE_TEXT.fullmatch(str(key)):  # models of a merge go by their paths
            continue
        if isinstance(inner, Mapping):
            flat |= scalars(inner, f"{name}.")
        elif isinstance(inner, bool | int | float) or (isinstance(inner, str) and _SAFE_TEXT.fullmatch(inner)):
            flat[name] = inner
    return flat


def as_json(history: History) -> list[dict[str, Any]]:
    """The history as plain values, for programs."""
    return [
        {
            "step": step.name,
            "stage": step.manifest.stage,
            "kind": step.manifest.kind,
            "fingerprint": step.manifest.fingerprint,
            "digest": step.manifest.digest,
            "inputs": {
                name: {"step": origin, "digest": digest} for name, (origin, digest) in shown_inputs(step).items()
            },
            "config": scalars(step.manifest.config),
            "stats": scalars(step.manifest.stats),
        }
        for step in history.steps
    ]
