"""Sidecars: `metadata.jsonl` in any folder says what the files beside it do not say themselves.

One JSON object a line; `path` (relative to the sidecar's folder) names a document, the rest overrides what the reader
found. A LaTeX folder is named by itself or by its main file. Unknown keys are kept in the document's `extra`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.artifact import read_jsonl
from sagecraft.corpus.licenses import normalize_license
from sagecraft.errors import UserError

SIDECAR = "metadata.jsonl"


class Override(BaseModel):
    """What somebody states about a document; None states nothing."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True)
    id: str | None = Field(default=None, min_length=1, description="identifier, unique in the corpus")
    title: str | None = Field(default=None, description="title")
    authors: list[str] | None = Field(default=None, description="names, First Last")
    year: int | None = Field(default=None, ge=1000, le=3000, description="year of publication")
    categories: list[str] | None = Field(default=None, description="subjects")
    license: str | None = Field(default=None, description="SPDX identifier, name or URL")
    withheld: bool | None = Field(default=None, description="keep from training; the withhold stage respects it")

    @property
    def extra(self) -> dict[str, Any]:
        """Keys without a column."""
        return dict(self.model_extra or {})

    def stated(self) -> dict[str, Any]:
        """The columns that are stated, ready to replace those of a document."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        if self.license is not None:
            values["license"] = normalize_license(self.license)
        return {name: value for name, value in values.items() if value is not None}


def read_sidecar(folder: Path) -> dict[Path, Override]:
    """The overrides of `folder/metadata.jsonl` by path; empty if there is no sidecar.

    Raises:
        UserError: a line without `path`, of a wrong type, or for a path that is not there: a licence or a
            `withheld` that reaches no document must not go unnoticed.
    """
    file = folder / SIDECAR
    if file.is_symlink() or not file.is_file():
        return {}
    overrides: dict[Path, Override] = {}
    for number, row in enumerate(read_jsonl(file), start=1):
        name = row.pop("path", None)
        where = f"{file}: entry {number}"
        if not isinstance(name, str) or not name:
            raise UserError(f"{where}: no `path`; name the file it is about, relative to {folder}")
        target = folder / name
        if Path(name).is_absolute() or ".." in Path(name).parts or not target.exists():
            raise UserError(f"{where}: path {name!r} is no file below {folder}; correct or remove the line")
        if target in overrides:
            raise UserError(f"{where}: path {name!r} is described twice; remove one line")
        try:
            overrides[target] = Override.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise UserError(f"{where}: {key}: {first['msg'].lower()}; correct the value") from error
    return overrides
