"""The recipe: one strict file that says everything, checked whole before anything starts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.corpus.ingest import IngestConfig, SourceConfig
from sagecraft.corpus.withhold import WithholdConfig
from sagecraft.errors import UserError
from sagecraft.evaluation.evaluate import EvaluateConfig
from sagecraft.merging.merge import MergeConfig
from sagecraft.publishing.run_report import ReportConfig
from sagecraft.settings import explain, model_of, read_yaml_mapping
from sagecraft.synthesis.synth import SynthConfig
from sagecraft.tokens.pack import PackConfig
from sagecraft.tokens.render import RenderConfig
from sagecraft.training.train import TrainConfig

#: Version of the recipe's form. Raise it when an old recipe would mean something else.
RECIPE_VERSION = 1


class BaseSection(BaseModel):
    """The model that is specialised.

    Attributes:
        name: a name known to `sagecraft model fetch`, `owner/repository` of the hub, or a local folder.
        revision: branch, tag or commit on the hub.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    revision: str = "main"


class GeneralSection(BaseModel):
    """General text, against forgetting and to measure it.

    Attributes:
        replay: sources mixed into continued pre-training.
        held_out: sources never trained on, on which general perplexity is measured; they must not be those of `replay`.
        chat: JSONL file of general conversations mixed into fine-tuning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    replay: list[str | SourceConfig] = []
    held_out: list[str | SourceConfig] = []
    chat: str | None = None


class EvaluateSection(EvaluateConfig):
    """What every model of the ladder is measured on; the other fields are those of `sagecraft eval`."""

    task: str = Field(description="questions: CSV, JSONL or Parquet")


class Recipe(BaseModel):
    """A whole run. A section left out is a stage left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    recipe: int = Field(description="version of the recipe's form")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the folder under runs/")
    seed: int = Field(default=0, description="seed of every stage that does not set its own")
    base: BaseSection
    corpus: IngestConfig
    general: GeneralSection = GeneralSection()
    withhold: WithholdConfig
    pack: PackConfig | None = None
    cpt: TrainConfig | None = None
    synth: SynthConfig | None = None
    render: RenderConfig | None = None
    sft: TrainConfig | None = None
    merge: MergeConfig | None = None
    evaluate: EvaluateSection | None = None
    report: ReportConfig | None = ReportConfig()


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads a recipe and lays `a.b=value` overrides (values in YAML) on it.

    Raises:
        UserError: one line a fault, all faults at once, each with its dotted path and the nearest valid name.
    """
    if not path.is_file():
        known = sorted(str(p) for p in Path("recipes").glob("*.yaml"))
        near = difflib.get_close_matches(str(path), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UserError(f"{path}: no such recipe{hint}")
    value = read_yaml_mapping(path, "a recipe is a mapping of sections")
    version = value.get("recipe")
    if isinstance(version, int) and version > RECIPE_VERSION:
        raise UserError(
            f"{path}: recipe: version {version} is newer than this sagecraft reads ({RECIPE_VERSION}); upgrade sagecraft"
        )
    for override in overrides:
        _override(value, override)
    _spread_seed(value)
    try:
        return Recipe.model_validate(value)
    except ValidationError as error:
        raise UserError("\n".join(f"{path}: {line}" for line in explain(error, Recipe))) from error


def _override(value: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    if not separator or not name:
        raise UserError(f"--set {override!r}: expected key.key=value")
    *parents, last = name.split(".")
    place = value
    for parent in parents:
        inner = place.get(parent)
        if inner is None:
            inner = place[parent] = {}
        if not isinstance(inner, dict):
            raise UserError(f"--set {name}: {parent} is a value, not a section")
        place = inner
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"--set {name}: {text!r} is not valid YAML") from error


def _spread_seed(value: dict[str, Any]) -> None:
    """Gives the recipe's seed to the sections that have one and do not set it."""
    for section, field in Recipe.model_fields.items():
        model = model_of(field.annotation)
        inner = value.get(section)
        if model is not None and "seed" in model.model_fields and isinstance(inner, dict) and "seed" in value:
            inner.setdefault("seed", value["seed"])


def resolve(written: str, recipe_folder: Path) -> Path | None:
    """A path of the recipe: as seen from the working directory, or else from the recipe's folder."""
    for start in (Path(), recipe_folder):
        path = start / Path(written).expanduser()
        if path.exists():
            return path
    return None
