"""The recipe: one strict file that says everything, checked whole before anything starts."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.benchmark.config import BenchConfig
from sagecraft.benchmark.decontaminate import DecontaminateConfig
from sagecraft.corpus.harvest import HarvestConfig
from sagecraft.corpus.ingest import IngestConfig, SourceConfig
from sagecraft.corpus.withhold import WithholdConfig
from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.merging.merge import MergeConfig
from sagecraft.publishing.run_report import ReportConfig
from sagecraft.settings import explained, model_of, parse_yaml, read_yaml_mapping
from sagecraft.synthesis.synth import SynthConfig
from sagecraft.tokens.mix import MixConfig
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
    name: str = Field(min_length=1)
    revision: str = "main"


class GeneralSection(BaseModel):
    """General text, against forgetting and to measure it.

    Attributes:
        replay: sources mixed into continued pre-training.
        held_out: sources never trained on, on which general perplexity is measured; they must not be those of `replay`.
        chat: general conversations mixed into fine-tuning, JSONL or Parquet; several sets, with weights: `synth.general`.
        chains: word problems with steps as GSM8K has them (CSV, JSON, JSONL, Parquet), mixed into fine-tuning.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    replay: list[str | SourceConfig] = []
    held_out: list[str | SourceConfig] = []
    chat: str | None = None
    chains: list[str] = []


class EvaluateSection(EvaluateConfig):
    """What every model of the ladder is measured on; the other fields are those of `sagecraft eval`."""

    task: str | None = Field(
        default=None,
        description="questions: CSV, JSONL or Parquet; null: those that `bench` makes of the withheld documents",
    )
    shots_from: str | None = Field(
        default=None, description="file of the solved questions that are shown; null: the split beside the task"
    )


class Recipe(BaseModel):
    """A whole run. A section left out is a stage left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    recipe: Literal[1] = Field(description="version of the recipe's form")
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="names the folder under runs/")
    seed: int = Field(default=0, description="seed of every stage that does not set its own")
    providers: str | None = Field(
        default=None,
        description="YAML file of presets and prices for the endpoints that synth and bench ask; a limit of cost needs prices",
    )
    base: BaseSection
    harvest: HarvestConfig | None = None
    corpus: IngestConfig
    general: GeneralSection = GeneralSection()
    withhold: WithholdConfig
    bench: BenchConfig | None = None
    decontaminate: DecontaminateConfig | None = DecontaminateConfig()
    mix: MixConfig = MixConfig()
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
    for override in overrides:
        _override(value, override)
    version = value.get("recipe")
    if isinstance(version, int) and version > RECIPE_VERSION:
        raise UserError(
            f"{path}: recipe: version {version} is newer than this sagecraft reads ({RECIPE_VERSION}); upgrade sagecraft"
        )
    _spread_seed(value)
    with explained(Recipe, str(path)):
        recipe = Recipe.model_validate(value)
    endless = [f"{path}: {name}: must be finite" for name in _not_finite(recipe.model_dump(), "")]
    if endless:
        raise UserError("\n".join(endless))
    return recipe


def _not_finite(value: object, name: str) -> Iterator[str]:
    """Dotted paths of infinite numbers: a bound such as `> 0` lets them through, and no run would end."""
    if isinstance(value, float) and not math.isfinite(value):
        yield name
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _not_finite(inner, f"{name}[{number}]")


def _override(value: dict[str, Any], override: str) -> None:
    name, separator, text = override.partition("=")
    keys = name.split(".")
    if not separator or not all(keys):
        raise UserError(f"--set {override!r}: expected key.key=value")
    place = value
    for key in keys[:-1]:
        inner = place.get(key)
        if inner is None:
            inner = place[key] = {}
        if not isinstance(inner, dict):
            what = "a list; set the whole of it" if isinstance(inner, list) else "a value, not a section"
            raise UserError(f"--set {name}: {key} is {what}")
        place = inner
    place[keys[-1]] = parse_yaml(text, f"--set {name}")


def _spread_seed(value: dict[str, Any]) -> None:
    """Gives the recipe's seed to the sections that have one and do not set it."""
    if not isinstance(value.get("seed"), int):
        return  # missing, or a fault that is named once
    for section, field in Recipe.model_fields.items():
        model = model_of(field.annotation)
        inner = value.get(section)
        if model is not None and "seed" in model.model_fields and isinstance(inner, dict):
            inner.setdefault("seed", value["seed"])


def resolve(written: str, recipe_folder: Path) -> Path | None:
    """A path of the recipe: as seen from the working directory, or else from the recipe's folder."""
    if not written:
        return None  # not the working directory
    for start in (Path(), recipe_folder):
        path = start / Path(written).expanduser()
        if path.exists():
            return path
    return None
