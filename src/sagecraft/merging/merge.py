"""Stage `merge`: several checkpoints of one architecture become one, exactly and in little memory.

Two ways in, one way through: a recipe's `merge:` section names models by their role (`base`, `cpt`, `sft`), mergekit's
YAML names folders. Both become a `Job`; it is planned from headers alone, streamed, and its result is loaded and run.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError
from sagecraft.merging.config import (
    Dtype,
    GlobalParameters,
    Job,
    MergekitConfig,
    ModelEntry,
    ModelParameters,
    RescaleSetting,
    Setting,
    Source,
    find_method,
    read_merge_config,
)
from sagecraft.merging.geometry import Options

VERSION = 4


class RoleModel(BaseModel):
    """One model of a recipe's merge.

    Attributes:
        model: its role: `base`, `cpt` or `sft`.
        weight: factor of its delta (a number, a gradient over the layers, or a list of {filter, value}).
        density: share of its delta's elements that are kept; 1 keeps all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    weight: Setting = 1.0
    density: Setting | None = None


class MergeConfig(BaseModel):
    """The `merge:` section of a recipe.

    Attributes:
        method: DARE-TIES by default: random thinning and a sign election, so that specialised models interfere least.
        seed: of the random masks; each element's draw is keyed by (seed, role, tensor name, index).
        base: role of the model that deltas are taken from.
        models: those that contribute.
        normalize: divide by the weights; None is the method's default (on for linear and ties).
        rescale: of thinned deltas, see `GlobalParameters`; None is the method's default (inverse_density for DARE).
        lambda_: factor of the merged delta; `lambda` in YAML. 1 adds the deltas as weighted.
        t: SLERP's way from base (0) to the other model (1).
        sign_ties: what an exactly tied sign election does, see `GlobalParameters`; None: the element stays at its base.
        tokenizer: role whose tokenizer and chat template the result gets; by default that of the first model, since
            the base seldom has a chat template.
        out_dtype: type of the merged weights; bfloat16 is what they are trained and served in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str = "dare_ties"
    seed: int = 0
    base: str | None = "base"
    models: tuple[RoleModel, ...] = Field(min_length=1)
    normalize: bool | None = None
    rescale: RescaleSetting | None = None
    lambda_: float = Field(default=1.0, validation_alias=AliasChoices("lambda", "lambda_"), allow_inf_nan=False)
    t: Setting | None = None
    sign_ties: Literal["none", "positive"] | None = None
    tokenizer: str | None = None
    out_dtype: Dtype | None = "bfloat16"

    @model_validator(mode="after")
    def _check(self) -> MergeConfig:
        self.as_mergekit()
        return self

    def roles(self) -> list[str]:
        """The models it needs, by role."""
        return list(dict.fromkeys([*([self.base] if self.base else []), *(entry.model for entry in self.models)]))

    def as_mergekit(self) -> MergekitConfig:
        """The same merge in mergekit's form, with roles for folders."""
        reads = find_method(self.method).parameters
        entries = []
        for entry in self.models:
            weight = entry.weight if "weight" in reads or "weight" in entry.model_fields_set else None
            entries.append(
                ModelEntry(model=entry.model, parameters=ModelParameters(weight=weight, density=entry.density))
            )
        given: dict[str, Any] = {
            "normalize": self.normalize,
            "rescale": self.rescale,
            "lambda": self.lambda_ if "lambda" in reads or self.lambda_ != 1 else None,
            "t": self.t,
            "sign_ties": self.sign_ties,
        }
        return MergekitConfig(
            merge_method=self.method,
            models=tuple(entries),
            base_model=self.base,
            parameters=GlobalParameters(**given),
            out_dtype=self.out_dtype,
            tokenizer_source=self.tokenizer or self.models[0].model,
            seed=self.seed,
        )


def run(config: MergeConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Merges the models of a recipe.

    Args:
        config: what to merge.
        inputs: role → model folder.
        out: folder of the merged model.
    """
    missing = [role for role in config.roles() if role not in inputs]
    if missing:
        raise UserError(f"merge: no model for role {missing[0]!r}; there are {', '.join(sorted(inputs))}")
    used = {role: inputs[role] for role in config.roles()}
    return _merge(make_job(config.as_mergekit(), used), config, used, out)


@dataclass(frozen=True)
class Prepared:
    """A merge whose models were found: what to do, and from which folders.

    Attributes:
        config: as read.
        job: with all defaults filled in.
        folders: name in the configuration → model folder.
        adapters: name in the configuration → adapter's folder, of those that have one.
    """

    config: MergekitConfig
    job: Job
    folders: dict[str, Path]
    adapters: dict[str, Path]

    @property
    def inputs(self) -> dict[str, Path]:
        """Everything that is read, for the manifest."""
        return self.folders | {f"{name} (adapter)": path for name, path in self.adapters.items()}


def merge_from_yaml(config_path: Path, out: Path) -> Manifest:
    """Merges what mergekit's YAML says.

    Raises:
        UserError: one line a fault; all faults of the file at once, then all of the models, before weights are read.
    """
    prepared = prepare(read_merge_config(config_path), config_path)
    if prepared.config.parameters.int8_mask:
        console.say("  int8_mask: masks are made block by block and never held, so it changes nothing here")
    return merge_prepared(prepared, out)


def merge_prepared(prepared: Prepared, out: Path) -> Manifest:
    """Merges what `prepare` found."""
    return _merge(prepared.job, prepared.config, prepared.inputs, out)


def prepare(config: MergekitConfig, config_path: Path) -> Prepared:
    """Finds the models of a configuration, seen from its file or from the working directory.

    Raises:
        UserError: one line a model that is not there.
    """
    named = dict.fromkeys([*([config.base_model] if config.base_model else []), *(row.model for row in config.models)])
    folders: dict[str, Path] = {}
    adapters: dict[str, Path] = {}
    faults = []
    for name in named:
        try:
            folders[name], adapter = _folder(name, config_path)
            adapters |= {name: adapter} if adapter is not None else {}
        except UserError as error:
            faults.append(str(error))
    if faults:
        raise UserError("\n".join(faults))
    try:
        job = make_job(config, folders, adapters)
    except UserError as error:
        raise UserError(f"{config_path}: {error}") from error
    return Prepared(config, job, folders, adapters)


def _folder(name: str, config_path: Path) -> tuple[Path, Path | None]:
    """A model's folder and its adapter's, seen from the YAML file or from the working directory."""
    starts = (config_path.parent, Path())
    parts = name.split("+")  # folders may have a plus in their names: the whole is tried first
    for cut in range(len(parts), 0, -1):
        found = [_seen(starts, "+".join(part)) for part in (parts[:cut], parts[cut:]) if part]
        if all(path is not None for path in found):
            model, adapter = (*found, None)[:2]
            assert model is not None
            return model, adapter
    if "+" in name and _seen(starts, parts[0]) is not None:
        raise UserError(
            f"{config_path}: {name}: no folder {'+'.join(parts[1:])!r} here; name an adapter in peft's format"
        )
    raise UserError(
        f"{config_path}: model {parts[0]!r} is no folder here; for a model of the hub run "
        f"`sagecraft model fetch {parts[0]} --out DIR` first and name DIR"
    )


def _seen(starts: Sequence[Path], name: str) -> Path | None:
    paths = [start / Path(name).expanduser() for start in starts]
    return next((path for path in paths if path.is_dir()), None)


def make_job(config: MergekitConfig, folders: Mapping[str, Path], adapters: Mapping[str, Path] | None = None) -> Job:
    """Fills in the defaults and finds the models; `adapters` are added to the weights of some."""
    row, common = find_method(config.merge_method), config.parameters
    adapters = adapters or {}
    base = None
    if config.base_model is not None:
        base = Source(config.base_model, folders[config.base_model], adapter=adapters.get(config.base_model))
    models = tuple(
        Source(
            entry.model,
            folders[entry.model],
            common.weight if entry.parameters.weight is None else entry.parameters.weight,
            common.density if entry.parameters.density is None else entry.parameters.density,
            adapters.get(entry.model),
            common.gamma if entry.parameters.gamma is None else entry.parameters.gamma,
            common.scale if entry.parameters.scale is None else entry.parameters.scale,
            common.epsilon if entry.parameters.epsilon is None else entry.parameters.epsilon,
        )
        for entry in config.models
        if row.base != "needed" or entry.model != config.base_model
    )
    return Job(
        method=config.merge_method,
        base=base,
        models=models,
        tokenizer=_tokenizer_source(config, base or models[0], folders),
        vocabulary=config.vocabulary,
        seed=config.seed,
        normalize=row.normalize if common.normalize is None else common.normalize,
        rescale=common.rescale or row.rescale,
        lambda_=1.0 if common.lambda_ is None else common.lambda_,
        sign_ties=common.sign_ties or "none",
        t=common.t,
        chat_template=config.chat_template,
        out_dtype=config.out_dtype or config.dtype,
        options=_options(common),
    )


def _options(common: GlobalParameters) -> Options:
    """What was given; `t` is one of each tensor, and `epsilon` may be a setting of DELLA's tensors."""
    given = {name: getattr(common, name) for name in vars(Options()) if name != "t"}
    settings: dict[str, Any] = {name: value for name, value in given.items() if isinstance(value, int | float)}
    return replace(Options(), **settings)


def _tokenizer_source(config: MergekitConfig, default: Source, folders: Mapping[str, Path]) -> Source:
    """The model whose special tokens and chat template the result gets."""
    name = config.vocabulary.source if config.vocabulary is not None else "base"
    if name in ("base", "union"):
        return default
    if name not in folders:
        raise UserError(f"tokenizer source: {name!r} is not one of base, union, {', '.join(folders)}")
    return Source(name, folders[name])


def _merge(job: Job, config: BaseModel, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Plans, streams, checks and finishes."""
    from sagecraft.merging.alignment import align
    from sagecraft.merging.finish import chat_template_text, finish, show_plan
    from sagecraft.merging.journal import Journal
    from sagecraft.merging.plan import make_plan, output_bytes
    from sagecraft.merging.stream import default_block, default_threads, write_merged
    from sagecraft.models.tokenizer import Tokenizer

    plan = make_plan(job, default_block(), default_threads())
    template = chat_template_text(job)
    show_plan(job, plan)
    plan.vocabulary.check_template(template or Tokenizer.from_folder(job.tokenizer.folder).chat_template)
    with artifact.build(
        out, kind="model", stage="merge", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        weights, journal = build.scratch("weights"), Journal(build.scratch("journal") / "tensors.jsonl")
        if journal.finished():
            console.say(f"  an interrupted merge made {len(journal.finished()):,} tensors; it goes on with the next")
        try:
            with console.progress("merging", plan.num_output_bytes / 1e6) as tick:
                summaries = write_merged(
                    job,
                    align(plan, build.scratch("aligned"), journal.finished()),
                    weights,
                    lambda row: tick.advance(output_bytes(row) / 1e6, row.name),
                    journal=journal,
                )
        except UserError:  # other inputs or settings are another merge: nothing of this one could be used
            shutil.rmtree(weights)
            shutil.rmtree(journal.path.parent)
            raise
        for file in weights.iterdir():
            file.replace(build.path / file.name)
        finish(build, job, plan, summaries, template)
    return build.manifest
