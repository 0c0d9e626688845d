"""Sources of papers from arXiv, one by one: what a paper was written in, newest version.

For more than some thousand papers arXiv asks for its bulk archives instead (`bulk.py`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft.corpus.sources.arxiv_ids import file_stem, normalise_id
from sagecraft.corpus.sources.arxiv_papers import keep_paper, paper_metadata, sniff
from sagecraft.corpus.sources.context import Context
from sagecraft.corpus.sources.http import Address, Expected, Reply
from sagecraft.corpus.sources.items import ItemError, Result
from sagecraft.corpus.sources.oai import ARXIV_OAI, OaiClient
from sagecraft.errors import UserError

NAME = "eprints"
_VERSION = re.compile(r"v(\d{1,4})\.[A-Za-z]", re.ASCII)


class EprintsConfig(BaseModel):
    """Sources of papers from arXiv, one by one. Terms of use: one request every three seconds, one at a time."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_url: Address = Field(
        default="https://export.arxiv.org/e-print", description="address to which an identifier is added"
    )
    identifiers: list[str] | None = Field(
        default=None,
        description="which papers (`2101.00001`, `hep-th/9901001`); by default those that the section `arxiv` lists",
    )
    identifiers_file: str | None = Field(default=None, description="text file with one identifier a line, instead")
    records_url: Address = Field(
        default=ARXIV_OAI,
        description="OAI-PMH service asked for title, licence and the like of papers that the section `arxiv` does not list",
    )
    max_mib: float = Field(default=500.0, gt=0, description="largest download, in MiB; a larger one is skipped")
    min_interval_seconds: float = Field(
        default=3.0, ge=0.0, description="between two requests; arXiv's terms ask for 3", exclude=True
    )

    @model_validator(mode="after")
    def _check_which(self) -> Self:
        if self.identifiers is not None and self.identifiers_file is not None:
            raise ValueError("identifiers and identifiers_file are both given; keep one")
        for written in self.identifiers or []:
            if normalise_id(written) is None:
                raise ValueError(f"{written!r} is no arXiv identifier, such as 2101.00001 or hep-th/9901001")
        return self

    @property
    def is_listed_elsewhere(self) -> bool:
        """True if the papers are those of the section `arxiv`."""
        return self.identifiers is None and self.identifiers_file is None


def read_identifiers(path: Path) -> list[str]:
    """Identifiers of a text file, one a line; `#` begins a comment.

    Raises:
        UserError: a line that is none.
    """
    found = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    for number, line in enumerate(lines, start=1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        identifier = normalise_id(written)
        if identifier is None:
            raise UserError(f"{path}:{number}: {written!r:.60} is no arXiv identifier; correct or remove the line")
        found.append(identifier)
    return found


class Eprints:
    """Downloads of single papers."""

    name = NAME

    def __init__(self, config: EprintsConfig, context: Context, identifiers_file: Path | None) -> None:
        """Prepares; nothing is sent yet."""
        self._config, self._context, self._file = config, context, identifiers_file
        self._client = context.client([config.base_url, config.records_url], config.min_interval_seconds)
        self._oai = OaiClient(self._client, config.records_url)

    def list_items(self) -> None:
        """The papers that are named, or those of the records."""
        state = self._context.state
        if self._file is not None:
            wanted = read_identifiers(self._file)
        elif self._config.identifiers is not None:
            wanted = [found for written in self._config.identifiers if (found := normalise_id(written))]
        else:
            # Row by row: a listing of millions stays on the disk.
            state.put_items(NAME, ((f"{NAME}:{record['id']}", {"id": record["id"]}) for record in state.records()))
            return
        state.put_items(NAME, ((f"{NAME}:{identifier}", {"id": identifier}) for identifier in wanted))

    def fetch(self, key: str, spec: dict[str, Any]) -> Iterator[Result]:
        """One paper: its licence first, then its newest source."""
        context, identifier = self._context, spec["id"]
        record = context.state.record(identifier) or self._look_up(identifier)
        context.rules.check(record["license"])
        scratch = context.scratch / "eprint"
        limit = int(self._config.max_mib * 2**20)
        expected = Expected(limit, check=lambda path: _check(path, limit))
        reply = self._client.download(f"{self._config.base_url}/{identifier}", scratch, context.scratch, expected)
        name = keep_paper(scratch, sniff(scratch, limit), context.files, f"arxiv/{file_stem(identifier)}")
        provenance = {"protocol": "e-print", "url": f"{self._config.base_url}/{identifier}"}
        metadata = paper_metadata(identifier, record | _version(reply), provenance)
        yield Result(key, "kept", path=name, metadata=metadata)

    def _look_up(self, identifier: str) -> dict[str, Any]:
        record = self._oai.record(identifier, "arXivRaw")
        if record is None or record.deleted:
            raise ItemError("no-record", "arXiv knows no such paper, or has deleted it", outcome="absent")
        self._context.state.put_records([(identifier, record.datestamp, False, record.metadata)])
        return record.metadata


def _check(path: Path, limit: int) -> None:
    sniff(path, limit)


def _version(reply: Reply) -> dict[str, Any]:
    """The version that arrived, which the name that the server gives the file ends with."""
    found = _VERSION.search(reply.headers.get("content-disposition", ""))
    return {"version": int(found[1])} if found else {}
