"""Stage `merge`: several checkpoints of one architecture become one, exactly and in little memory.

Two ways in, one way through: a recipe's `merge:` section names models by their role (`base`, `cpt`, `sft`), mergekit's
YAML names folders. Both become a `Job`; it is planned from headers alone, streamed, and its result is loaded and run.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import MachineError, SagecraftError, UserError
from sagecraft.merging.config import MergekitConfig, ModelEntry, find_method, read_merge_config
from sagecraft.merging.job import Job, make_job
from sagecraft.merging.parameters import Dtype, GlobalParameters, ModelParameters
from sagecraft.models.tensors import SHARD_BYTES, shown

if TYPE_CHECKING:
    from sagecraft.merging.plan import MergePlan

VERSION = 6
#: Models that a recipe makes or starts from.
ROLES = ("base", "cpt", "sft")
_ROLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class RoleModel(ModelParameters):
    """One model of a recipe's merge, with the parameters that mergekit knows.

    Attributes:
        model: its role: `base`, `cpt`, `sft`, or a name from `roles`.
        weight: factor of its delta; 1 if neither this nor `parameters` says otherwise.
    """

    model: str = Field(min_length=1)


class MergeConfig(BaseModel):
    """The `merge:` section of a recipe.

    Attributes:
        method: DARE-TIES by default: random thinning and a sign election, so that specialised models interfere least.
        seed: of the random masks; each element's draw is keyed by (seed, role, tensor name, index).
        base: role of the model that deltas are taken from.
        models: those that contribute.
        parameters: for all models.
        roles: more models than the recipe makes: name → folder (seen from the recipe), or a name of the hub that
            `sagecraft model fetch` has fetched.
        tokenizer: role whose vocabulary and chat template the result gets, or `union`; by default that of the first model, since
            the base seldom has a chat template.
        out_dtype: type of the merged weights; bfloat16 is what they are trained and served in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    method: str = "dare_ties"
    seed: int = 0
    base: str | None = "base"
    models: tuple[RoleModel, ...] = Field(min_length=1)
    parameters: GlobalParameters = GlobalParameters()
    roles: dict[str, str] = Field(default_factory=dict, exclude=True)  # what they hold is in the digests of the inputs
    tokenizer: str | None = None
    out_dtype: Dtype | None = "bfloat16"

    @model_validator(mode="after")
    def _check(self) -> MergeConfig:
        taken = next((name for name in self.roles if name in ROLES or not _ROLE.fullmatch(name)), None)
        if taken is not None:
            why = "is what the recipe itself makes" if taken in ROLES else "is no name of letters, digits, - and _"
            raise ValueError(f"roles: {taken!r} {why}; choose another")
        spare = [name for name in self.roles if name not in self.wanted()]
        if spare:
            raise ValueError(
                f"roles: {spare[0]!r} is named, but no model of the merge; list it in models or leave it out"
            )
        self.as_mergekit()
        return self

    def wanted(self) -> list[str]:
        """The models it needs, by role; the last may be one whose tokenizer alone is taken."""
        named = [self.base, *(entry.model for entry in self.models), self.tokenizer]
        return list(dict.fromkeys(name for name in named if name not in (None, "union")))

    def as_mergekit(self) -> MergekitConfig:
        """The same merge in mergekit's form, with roles for folders."""
        implied = "weight" in find_method(self.method).parameters and self.parameters.weight is None
        entries = []
        for entry in self.models:
            own = {name: getattr(entry, name) for name in ModelParameters.model_fields}
            if implied and own["weight"] is None and entry.model != self.base:
                own["weight"] = 1.0
            entries.append(ModelEntry(model=entry.model, parameters=ModelParameters(**own)))
        return MergekitConfig(
            merge_method=self.method,
            models=tuple(entries),
            base_model=self.base,
            parameters=self.parameters,
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
    missing = [role for role in config.wanted() if role not in inputs]
    if missing:
        raise UserError(f"merge: no model for role {missing[0]!r}; there are {', '.join(sorted(inputs))}")
    used = {role: inputs[role] for role in config.wanted()}
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
    if any(level.int8_mask for part in prepared.job.parts for level in part.levels):
        console.say("  int8_mask: masks are made block by block and never held, so it changes nothing here")
    manifest = merge_prepared(prepared, out)
    console.say(f"  to talk to it: sagecraft chat {shlex.quote(str(out))}")
    return manifest


def merge_prepared(prepared: Prepared, out: Path) -> Manifest:
    """Merges what `prepare` found."""
    return _merge(prepared.job, prepared.config, prepared.inputs, out)


def prepare(config: MergekitConfig, config_path: Path) -> Prepared:
    """Finds the models of a configuration, seen from its file or from the working directory.

    Raises:
        UserError: one line a model that is not there.
    """
    folders: dict[str, Path] = {}
    adapters: dict[str, Path] = {}
    faults = []
    for name in config.model_names:
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
            f"{config_path}: {name[:100]}: no folder {shown('+'.join(parts[1:]))} here; name an adapter in peft's format"
        )
    raise UserError(
        f"{config_path}: model {shown(parts[0])} is no folder here; for a model of the hub run "
        f"`sagecraft model fetch {parts[0][:100]} --out DIR` first and name DIR"
    )


def _seen(starts: Sequence[Path], name: str) -> Path | None:
    try:
        paths = [start / Path(name).expanduser() for start in starts]
        return next((path for path in paths if path.is_dir()), None)
    except (OSError, RuntimeError):  # too long for a path; the home of a user that is not there
        return None


def _merge(job: Job, config: MergekitConfig | MergeConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Plans, streams, checks and finishes."""
    from sagecraft.merging.alignment import align
    from sagecraft.merging.finish import chat_template_text, finish, show_plan
    from sagecraft.merging.journal import Journal
    from sagecraft.merging.plan import make_plan, output_bytes
    from sagecraft.merging.stream import default_block, default_threads, lay_out, write_merged
    from sagecraft.models.tokenizer import Tokenizer

    plan = make_plan(job, default_block(), default_threads())
    template = chat_template_text(job)
    show_plan(job, plan)
    _check_architecture(plan, job.reference.folder)
    plan.vocabulary.check_template(template or Tokenizer.from_folder(job.tokenizer.folder).chat_template)
    with artifact.build(
        out, kind="model", stage="merge", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        _check_unchanged(plan)
        weights, journal = build.scratch("weights"), Journal(build.scratch("journal") / "tensors.jsonl")
        lay_out(weights, plan.tensors, SHARD_BYTES, journal)  # the journal forgets what is in files that are gone
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
            shutil.rmtree(build.path)
            raise
        _link(weights, build.path)
        try:
            finish(build, job, config, plan, summaries, template)
        except SagecraftError:  # it does not run as it should: the weights are of no use
            shutil.rmtree(build.path)
            raise
    return build.manifest


def _check_architecture(plan: MergePlan, folder: Path) -> None:
    """Refuses weights that are not those of their configuration, which the check behind the merge would find out too late."""
    import torch

    from sagecraft.merging.layout import split_layer
    from sagecraft.models.config import parse_config, supported
    from sagecraft.models.load import check_tensors, empty_model
    from sagecraft.models.tensors import TensorRecord

    if not supported(plan.config):
        return  # transformers knows what it needs
    config = parse_config(plan.config, folder / "config.json")
    layers = {split[1] for row in plan.tensors if (split := split_layer(row.name))}
    if config.num_layers != len(layers):  # before a model with as many layers as somebody wrote is made
        raise UserError(
            f"{folder / 'config.json'}: num_hidden_layers is {config.num_layers:,}, but the weights have {len(layers)} layers; "
            "fetch the model again"
        )
    records = {row.name: TensorRecord(folder, row.dtype, row.shape, 0, 0) for row in plan.tensors}
    check_tensors(folder, empty_model(config, torch.float32), records)


def _check_unchanged(plan: MergePlan) -> None:
    """Refuses files whose headers are no longer those of the plan: what is hashed now would be read by ranges of then."""
    from sagecraft.models.tensors import read_header

    planned = {
        (record.file, row.origins[label][1]): record for row in plan.tensors for label, record in row.records.items()
    }
    headers = {file: read_header(file) for file in sorted({file for file, _ in planned})}
    for (file, name), record in planned.items():
        if headers[file].get(name) != record:
            raise MachineError(f"{file}: changed while the merge was planned; run the same command again")


def _link(weights: Path, folder: Path) -> None:
    """Puts the weights into a folder; they stay in their own as well, so that a merge killed in its check has them again."""
    for file in weights.iterdir():
        try:
            (folder / file.name).hardlink_to(file)
        except OSError:  # a file system without links
            file.replace(folder / file.name)
