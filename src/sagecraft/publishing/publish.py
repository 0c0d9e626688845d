"""Stage `publish`: a model with its card and, if asked for, a checked GGUF, in a folder that can be uploaded."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import MANIFEST, TIMING, Build, Manifest
from sagecraft.errors import MachineError, UserError

if TYPE_CHECKING:
    from sagecraft.publishing.lineage import History

VERSION = 2

_NAMED = (
    "config.json",
    "model.safetensors.index.json",
    "added_tokens.json",
    "merges.txt",
    "vocab.json",
    "tokenizer.model",
)
_LEGAL = ("LICENSE*", "LICENCE*", "NOTICE*")


class PublishConfig(BaseModel):
    """What is published, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    gguf: Literal["f32", "f16", "bf16", "q8_0"] | None = Field(
        default=None, description="also write a GGUF of this type; q8_0 is a quarter of float32 at little loss"
    )
    push: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$",
        description="hub repository (owner/name) to upload to; null uploads nothing",
    )
    name: str = Field(
        default="", max_length=100, description="what the model is called; empty: as the repository, or as the folder"
    )


def run(config: PublishConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Writes the folder and uploads it.

    Args:
        config: what and where.
        inputs: `model`, a Hugging Face folder; the run folder around it gives the lineage.
        out: the folder to write.

    Raises:
        UserError: the folder is no model, was changed after it was made, or cannot be a GGUF; no token to push with.
        MachineError: the GGUF does not compute what the model does, or the upload failed.
    """
    from sagecraft.publishing.lineage import read_history

    model = inputs["model"]
    token = _token() if config.push is not None else ""
    if not model.is_dir():
        raise UserError(f"{model}: no such folder; give a Hugging Face model folder")
    here, there = model.resolve(), out.resolve()
    if here == there or here in there.parents or there in here.parents:
        raise UserError(f"{out}: lies in the model's own folder or around it; choose another --out")
    history = read_history(model)
    lineage = {f"lineage-{step.name}": step.path for step in history.steps[:-1]}
    with artifact.build(
        out, kind="model", stage="publish", version=VERSION, config=config, inputs={"model": model, **lineage}
    ) as build:
        _fill(config, model, history, build)
    if config.push is not None:
        upload(out, config.push, token)
    return build.manifest


def _fill(config: PublishConfig, model: Path, history: History, build: Build) -> None:
    from sagecraft.models.config import read_config
    from sagecraft.publishing.card import Exported, write_card
    from sagecraft.publishing.lineage import as_json

    name = config.name or (config.push or "").rpartition("/")[2] or model.resolve().name
    names = model_files(model)
    _verify(model, names)
    for file in names:
        _link(model, file, build.path)
    exported = None
    if config.gguf is not None:
        from sagecraft.publishing.gguf import TOLERANCES, export

        file, allowed = f"model-{config.gguf}.gguf", TOLERANCES[config.gguf]
        console.say(f"  writing {file} and comparing it with the model")
        match = export(model, build.path / file, config.gguf, name)
        # two digits: enough to tell, too few to depend on the order in which threads add up
        exported = Exported(file, config.gguf, float(f"{match.difference:.1e}"), allowed)
        console.say(f"  logits differ by {exported.difference:g} of their spread ({allowed:g} is allowed)")
        build.stats.update(gguf=config.gguf, gguf_tolerance=allowed, gguf_positions=match.num_positions)
        build.stats["gguf_difference"] = exported.difference
    artifact.write_text(build.path / "README.md", write_card(name, read_config(model), history, exported))
    artifact.write_json(build.path / "lineage.json", as_json(history))
    build.stats.update(name=name, num_files=len(names), num_steps=len(history.steps), evaluated=bool(history.results))


def model_files(folder: Path) -> list[str]:
    """The files that make up a model, weights checked by their headers; nothing else of the folder is published.

    Raises:
        UserError: it is no model folder, or a file is a link to a place outside.
    """
    from sagecraft.models.config import read_config
    from sagecraft.models.tensors import list_tensors
    from sagecraft.models.tokenizer import TOKENIZER_FILES, TOOL_TEMPLATE, Tokenizer

    read_config(folder)
    Tokenizer.from_folder(folder)
    shards = {record.file.name for record in list_tensors(folder).values()}
    wanted = {*_NAMED, *TOKENIZER_FILES, "special_tokens_map.json", *shards}
    wanted |= {path.name for pattern in _LEGAL for path in folder.glob(pattern)}
    names = sorted(name for name in wanted if (folder / name).is_file())
    # A snapshot of the hub's cache links to ../../blobs; a link to anywhere else could publish any file of this machine.
    inside = [folder.resolve(), (folder.resolve() / TOOL_TEMPLATE).parent]
    allowed = (*inside, folder.resolve().parent.parent / "blobs")
    for name in names:
        if (folder / name).resolve().parent not in allowed:
            raise UserError(f"{folder / name}: is a link to a file elsewhere; put the file itself into the folder")
    return names


def _verify(model: Path, names: list[str]) -> None:
    """A card tells the history of these bytes: nothing may have been added (changed ones are no input at all)."""
    if not (model / MANIFEST).is_file():
        return
    recorded = artifact.load(model).files
    for name in names:
        if name not in recorded and name.startswith(("LICEN", "NOTICE")):
            continue  # added by hand, as it should be
        if name not in recorded:
            raise UserError(f"{model / name}: is not in the folder's {MANIFEST}; take it out, or make the model again")


def _link(model: Path, name: str, target: Path) -> None:
    """Weights are large and never edited: a hard link where the file system has them. The rest people do edit: a copy."""
    source = (model / name).resolve()
    if name.endswith(".safetensors"):
        with contextlib.suppress(OSError):
            (target / name).hardlink_to(source)
            return
    (target / name).parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target / name)


def _token() -> str:
    token = os.environ.get("HF_TOKEN", "").strip()
    if not token:
        raise UserError("--push: needs a token of the hub with write access in the environment variable HF_TOKEN")
    return token


def upload(folder: Path, repository: str, token: str) -> None:
    """Uploads a folder to the hub; the token comes from HF_TOKEN and is stored nowhere.

    Raises:
        MachineError: the hub cannot be reached or refuses.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    api = HfApi(token=token)
    try:
        api.create_repo(repository, exist_ok=True, private=True)
        api.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=[TIMING])
    except (HfHubHTTPError, OfflineModeIsEnabled, httpx.HTTPError, OSError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].replace(token, "…")
        raise MachineError(f"{repository}: the upload failed ({reason}); {folder} is whole, push it again") from error
    console.say(f"  uploaded to {repository}")
