"""Stage `fetch`: a base model by name, as a Hugging Face folder that was checked against its source."""

from __future__ import annotations

import difflib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Build, Manifest
from sagecraft.errors import MachineError, UserError
from sagecraft.models.config import read_config, supported
from sagecraft.models.text_part import has_text_part, take_text_part
from sagecraft.models.tokenizer import TOKENIZER_FILES, TOOL_TEMPLATE

VERSION = 2
_CACHE = Path.home() / ".cache" / "sagecraft" / "wheels"


class Package(BaseModel):
    """One package of the Python package index and the sha256 of its wheel."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    version: str
    sha256: str


class CatalogueEntry(BaseModel):
    """A model known by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: Literal["wheel", "hub", "gguf", "folder"]
    title: str
    license: str
    quantisation: str | None = None
    terms: str | None = Field(None, description="file inside the first package that is shown before anything is used")
    terms_url: str | None = None
    packages: list[Package] = []
    files: list[str] = Field([], description="parts of one GGUF, in order, each in the package of the same rank")
    sha256: str | None = Field(None, description="of the joined GGUF")
    repository: str | None = None


class FetchConfig(BaseModel):
    """Which base model.

    Attributes:
        name: a name of the catalogue, a model folder, a GGUF file, or `owner/repository` of the Hugging Face hub.
        revision: branch, tag or commit on the hub; `main` moves, a commit does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    revision: str = "main"


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """Name → entry, from `catalogue.yaml`."""
    text = resources.files("sagecraft.models").joinpath("catalogue.yaml").read_text(encoding="utf-8")
    return {name: CatalogueEntry.model_validate(value) for name, value in yaml.safe_load(text).items()}


def find(name: str) -> CatalogueEntry:
    """The entry of a name; `owner/repository` is a hub repository unless it is a folder here."""
    if name in catalogue():
        return catalogue()[name]
    if Path(name).is_dir():
        return CatalogueEntry(source="folder", title=Path(name).resolve().name, license="as stated by its owner")
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return CatalogueEntry(source="hub", title=name, license="as stated by its owner", repository=name)
    if name.endswith(".gguf") and Path(name).is_file():
        return CatalogueEntry(
            source="gguf", title=Path(name).name, license="as stated by its owner", quantisation="GGUF"
        )
    near = difflib.get_close_matches(name, catalogue(), n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(catalogue())}"
    raise UserError(f"model {name!r}: neither a known name, a hub repository (owner/name) nor a folder; {hint}")


def run(config: FetchConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Fetches, converts, checks and finishes a model folder."""
    assert not inputs, "fetch takes no artifacts"
    entry = find(config.name)
    local = Path(config.name)
    files: dict[str, Path] = {entry.source: local} if entry.source in ("gguf", "folder") else {}
    with artifact.build(out, kind="model", stage="fetch", version=VERSION, config=config, inputs=files) as build:
        build.stats.update(name=config.name, title=entry.title, license=entry.license, quantisation=entry.quantisation)
        if entry.source == "wheel":
            _from_wheels(entry, build)
        elif entry.source == "gguf":
            _from_gguf(entry, local, build)
        elif entry.source == "folder":
            _from_folder(local, build)
        else:
            _from_hub(entry, config.revision, build)
    return build.manifest


def _from_wheels(entry: CatalogueEntry, build: Build) -> None:
    wheels = [_wheel(package) for package in entry.packages]
    if entry.terms:
        with zipfile.ZipFile(wheels[0]) as archive:
            console.say(archive.read(entry.terms).decode("utf-8", "replace").strip())
        console.say(f"Using this model means accepting its terms: {entry.terms_url}")
    with tempfile.TemporaryDirectory(prefix="sagecraft-") as folder:
        gguf_path = Path(folder) / "model.gguf"
        _join(wheels[-len(entry.files) :], entry.files, gguf_path)
        if entry.sha256 and artifact.sha256_file(gguf_path) != entry.sha256:
            raise MachineError(f"{entry.title}: the joined file has another sha256 than the catalogue; fetch again")
        _from_gguf(entry, gguf_path, build)


def _from_gguf(entry: CatalogueEntry, path: Path, build: Build) -> None:
    from sagecraft.models.gguf_source import read_gguf, save_gguf_tokenizer
    from sagecraft.models.save import save_model

    console.say(f"  de-quantising {entry.title}")
    source = read_gguf(path)
    with tempfile.TemporaryDirectory(prefix="sagecraft-") as folder:
        save_gguf_tokenizer(path, Path(folder))
        save_model(build.path, source.tensors, source.config, Path(folder))
    _gate(build, source.model)


def _wheel(package: Package) -> Path:
    """The wheel in the cache, downloaded with pip if it is not there, checked by sha256 either way."""
    _CACHE.mkdir(parents=True, exist_ok=True)
    pattern = f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    for found in _CACHE.glob(pattern):
        if artifact.sha256_file(found) == package.sha256:
            return found
        found.unlink()
    console.say(f"  downloading {package.name} {package.version}")
    with tempfile.TemporaryDirectory(prefix="part-", dir=_CACHE) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run(
            [*command, f"{package.name}=={package.version}", "--dest", folder], capture_output=True, text=True
        )
        files = list(Path(folder).glob(pattern))
        if done.returncode != 0 or not files:
            reason = (done.stderr.strip().splitlines() or ["no wheel arrived"])[-1]
            raise MachineError(f"{package.name}=={package.version}: download failed ({reason}); check the network")
        if artifact.sha256_file(files[0]) != package.sha256:
            raise MachineError(f"{files[0].name}: its sha256 is not the catalogue's; it is not used")
        target = _CACHE / files[0].name
        files[0].replace(target)
    return target


def _join(wheels: list[Path], names: list[str], target: Path) -> None:
    with target.open("wb") as joined:
        for wheel, name in zip(wheels, names, strict=True):
            with zipfile.ZipFile(wheel) as archive, archive.open(name) as part:
                shutil.copyfileobj(part, joined, 1 << 20)


def _belongs(name: str) -> bool:
    """Whether a file of a model folder is taken: weights, configuration, tokenizer; no pickles, no code.

    Some repositories hold their weights twice, the second time as `consolidated.safetensors`, which nothing here reads.
    """
    if name.endswith((".safetensors", ".safetensors.index.json")):
        return name.startswith("model")
    return name in ("config.json", *TOKENIZER_FILES)


def _from_folder(source: Path, build: Build) -> None:
    if has_text_part(read_config(source)):
        _take_text(source, build)
        return
    for path in [*sorted(source.iterdir()), source / TOOL_TEMPLATE]:
        name = path.relative_to(source).as_posix()
        if path.is_file() and _belongs(name):
            _copy(path, build.path / name)
    _gate(build, None)


def _take_text(source: Path, build: Build) -> None:
    """Keeps the language model of a folder that also sees pictures."""
    console.say("  its text part is taken; what sees pictures stays behind")
    take_text_part(source, build.path)
    _gate(build, source)


def _from_hub(entry: CatalogueEntry, revision: str, build: Build) -> None:
    from huggingface_hub import HfApi, hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.errors import HTTPError as TransportFault  # of whichever library it speaks HTTP with

    repository = entry.repository or entry.title
    try:
        info = HfApi().model_info(repository, revision=revision, files_metadata=True)
        names = {file.rfilename: file for file in info.siblings or [] if _belongs(file.rfilename)}
        local = {name: Path(hf_hub_download(repository, name, revision=info.sha)) for name in names}
    except (TransportFault, OSError, HFValidationError) as error:
        if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
            raise  # the disk, not the hub
        status = (
            error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else None
        )
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if isinstance(error, HFValidationError) or status in (401, 403, 404):
            raise UserError(
                f"{repository}: the hub has no such model at revision {revision!r}, or keeps it from this account; "
                f"check the name, or log in if it is private or gated ({reason})"
            ) from error
        raise MachineError(f"{repository}: the hub cannot be read ({reason}); give a local folder instead") from error
    for name, path in local.items():
        stated = names[name].lfs
        if stated and artifact.sha256_file(path) != stated.sha256:
            path.resolve().unlink(missing_ok=True)  # else the hub's cache would give it out again
            raise MachineError(f"{repository}: {name} arrived with another sha256 than the hub states; fetch again")
    build.stats["revision"] = info.sha
    if "config.json" in local and has_text_part(read_config(local["config.json"].parent)):
        _take_text(local["config.json"].parent, build)
        return
    for name, path in local.items():
        _copy(path, build.path / name)
    _gate(build, None)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _gate(build: Build, source: Any) -> None:
    """Compares the folder as sagecraft computes it with transformers' load of it, and with what it was made from."""
    from sagecraft.models.parity import check_conversion, check_folder

    parity = check_folder(build.path) if source is None else check_conversion(source, build.path)
    build.stats.update(own_decoder=supported(read_config(build.path)), **parity.stats())
    console.say(f"  {parity}")
