"""Data sets of the Hugging Face hub: rows as they stand in its files. No code of a repository is ever run."""

from __future__ import annotations

import fnmatch
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft.corpus.documents import UNKNOWN_LICENSE
from sagecraft.corpus.licenses import may_republish, normalize_license
from sagecraft.corpus.sources.context import Context
from sagecraft.corpus.sources.http import Address, PassingError, verify_digest
from sagecraft.corpus.sources.items import ItemError, Result, safe_path
from sagecraft.errors import UserError

NAME = "dataset"
HUB = "https://huggingface.co"
_SUFFIXES = (".parquet", ".jsonl", ".jsonl.gz")
#: Names that mean something to the reader of a folder and nothing here.
_SPOKEN_FOR = ("metadata.", "questions.", "instructions.", "readme", "license", "licence")
_ROWS = "rows"


class DatasetConfig(BaseModel):
    """Files of a data set of the Hugging Face hub, at one commit. The licence is that of the data set's card; look at it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    repository: str = Field(pattern=r"^[\w.-]+/[\w.-]+$", description="owner/name")
    revision: str = Field(
        default="main",
        pattern=r"^[\w./-]+$",
        description="commit, tag or branch; a branch moves, the commit is recorded",
    )
    data_files: list[str] = Field(
        default=["*"], min_length=1, description="patterns of files (`data/train-*`); of these, Parquet and JSON lines"
    )
    license: str | None = Field(
        default=None,
        description="licence of every row; by default what the card states; `rows` leaves it to each row's own column",
    )
    endpoint: Address = Field(
        default=HUB, description="address of the hub; your token (HF_TOKEN) is sent to the default one only"
    )
    max_gib: float = Field(default=100.0, gt=0, description="largest file, in GiB; a larger one is skipped")


class Dataset:
    """Files of one repository."""

    def __init__(self, config: DatasetConfig, context: Context, number: int) -> None:
        """Prepares; nothing is sent yet. `number` tells several data sets of one harvest apart."""
        self.name = f"{NAME}{number}"
        self._config, self._context = config, context
        # None lets the library find the user's token, False forbids it: a stranger's server is not to see it.
        self._token = None if config.endpoint.rstrip("/") == HUB else False

    def list_items(self) -> None:
        """The files that match, at the commit that the revision is today."""
        from huggingface_hub import HfApi

        state, config = self._context.state, self._config
        with _hub_errors(config.repository):
            info = HfApi(endpoint=config.endpoint, token=self._token).dataset_info(
                config.repository, revision=config.revision, files_metadata=True
            )
        stated = config.license or (info.card_data or {}).get("license")
        license_name = stated
        if isinstance(stated, list):
            # A list may mean a choice or a mixture; no pattern of an allow-list is to take it for either.
            license_name = stated[0] if len(stated) == 1 else f"several: {', '.join(map(str, stated))}"
        rows = []
        for file in info.siblings or []:
            name = file.rfilename
            if name.endswith(_SUFFIXES) and any(fnmatch.fnmatchcase(name, pattern) for pattern in config.data_files):
                rows.append({"name": name, "num_bytes": file.size, "sha256": file.lfs.sha256 if file.lfs else None})
        if not rows:
            raise UserError(
                f"dataset {config.repository}: no Parquet or JSON-lines file matches {', '.join(config.data_files)}; "
                "correct data_files"
            )
        with state.together():
            state.decide(f"{self.name}:commit", info.sha)
            state.decide(f"{self.name}:license", str(license_name) if license_name else UNKNOWN_LICENSE)
            state.put_items(self.name, ((f"{self.name}:{row['name']}", row | {"commit": info.sha}) for row in rows))

    def fetch(self, key: str, spec: dict[str, Any]) -> Iterator[Result]:
        """One file, checked against the size and the hash that the hub states."""
        from huggingface_hub import hf_hub_download

        config = self._config
        license_name = self._license()
        if license_name != _ROWS:
            self._context.rules.check(license_name)
        if (spec["num_bytes"] or 0) > config.max_gib * 2**30:
            raise ItemError("too-large", f"{spec['num_bytes'] / 2**30:.3g} GiB", outcome="skipped")
        name = f"{config.repository.replace('/', '--')}/{_harmless(spec['name'])}"
        target = safe_path(self._context.files, name)
        folder = self._context.scratch / "hub"
        with _hub_errors(config.repository):
            came = hf_hub_download(
                config.repository, spec["name"], repo_type="dataset", revision=spec["commit"], local_dir=folder,
                endpoint=config.endpoint, token=self._token,
            )  # fmt: skip
        try:
            if spec["sha256"]:
                verify_digest(Path(came), "sha256", spec["sha256"])
        except PassingError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise ItemError(error.reason, error.detail) from error
        target.parent.mkdir(parents=True, exist_ok=True)
        Path(came).replace(target)
        yield Result(key, "kept", path=name, metadata=self._metadata(spec, license_name))

    def _license(self) -> str:
        stated = self._config.license or self._context.state.decided(f"{self.name}:license") or UNKNOWN_LICENSE
        return stated if stated == _ROWS else normalize_license(stated)

    def _metadata(self, spec: dict[str, Any], license_name: str) -> dict[str, Any]:
        config = self._config
        url = f"{config.endpoint.rstrip('/')}/datasets/{config.repository}"
        stated = {"license": license_name, "republish": may_republish(license_name)} if license_name != _ROWS else {}
        provenance = {"protocol": "hub", "url": f"{url}/resolve/{spec['commit']}/{spec['name']}"}
        return {**stated, "version": spec["commit"], "url": url, "provenance": provenance}


def _harmless(name: str) -> str:
    """A file's name that no reader of folders takes for something else than data."""
    folder, _, last = name.rpartition("/")
    last = f"data-{last}" if last.lower().startswith(_SPOKEN_FOR) else last
    return f"{folder}/{last}" if folder else last


@contextmanager
def _hub_errors(repository: str) -> Iterator[None]:
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"dataset {repository}: {reason}; correct repository or revision") from error
    except LocalEntryNotFoundError as error:
        raise ItemError("connection", str(error).strip().splitlines()[0]) from error
    except EntryNotFoundError as error:
        raise ItemError("http-404", str(error).strip().splitlines()[0], outcome="absent") from error
    except (HTTPError, OfflineModeIsEnabled) as error:
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403, 404):
            raise UserError(
                f"dataset {repository}: {str(error).strip().splitlines()[0]}; correct repository or token"
            ) from error
        raise ItemError("hub", (str(error).strip() or type(error).__name__).splitlines()[0]) from error
    except OSError as error:
        if error.errno is not None:  # the disk
            raise
        raise ItemError("hub", str(error).strip().splitlines()[0]) from error
