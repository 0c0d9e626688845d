"""arXiv's bulk archives: tar files of sources, a manifest that names them with their MD5.

The archives stand in a bucket of Amazon S3 whose reader pays (info.arxiv.org/help/bulk_data_s3.html). Nothing here
pays for you: fetch manifest and archives with an S3 client into a folder, or name a mirror.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft.corpus.licenses import ARXIV_UNSTATED
from sagecraft.corpus.readers.mathml import local_name
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.xml import parse_xml, parse_xml_bytes
from sagecraft.corpus.sources.arxiv_ids import MONTH, file_stem, from_member, month_of, month_of_yymm
from sagecraft.corpus.sources.arxiv_papers import keep_paper, paper_metadata, sniff
from sagecraft.corpus.sources.context import Context
from sagecraft.corpus.sources.http import Expected, PassingError, Reply, check_address, is_address, verify_digest
from sagecraft.corpus.sources.items import ItemError, Result, of_error, safe_path
from sagecraft.errors import UserError

NAME = "bulk"
#: Archives are cut at about 500 MB.
_MAX_ARCHIVE_BYTES = 2 * 2**30


class BulkConfig(BaseModel):
    """Sources of papers from arXiv's bulk archives.

    From a folder they were fetched into, or a mirror; arXiv's own bucket costs its reader and is not asked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    manifest: str = Field(min_length=1, description="arXiv_src_manifest.xml: file, or address on a mirror")
    files: str | None = Field(
        default=None,
        description="folder or address that the names in the manifest begin at (`src/…`); by default where the manifest is, "
        "or the folder above",
    )
    from_: str | None = Field(default=None, alias="from", pattern=MONTH, description="first month, YYYY-MM")
    until: str | None = Field(default=None, pattern=MONTH, description="last month, YYYY-MM")
    identifiers: list[str] = Field(
        default=[],
        description="patterns of papers to take (`2101.0*`, `hep-th/*`); by default all that the section `arxiv` lists, or all",
    )
    max_mib: float = Field(
        default=500.0, gt=0, description="largest source of one paper, in MiB; a larger one is skipped"
    )
    min_interval_seconds: float = Field(
        default=3.0, ge=0.0, description="between two requests to a mirror", exclude=True
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for written in (self.manifest, self.files):
            if written is not None and is_address(written):
                check_address(written)
        if self.from_ and self.until and self.from_ > self.until:
            raise ValueError(f"from ({self.from_}) is after until ({self.until})")
        return self


@dataclass(frozen=True)
class Archive:
    """One line of the manifest."""

    name: str
    md5: str
    num_bytes: int
    month: str


def read_manifest(root: Any, where: str) -> list[Archive]:
    """The archives that a manifest names.

    Raises:
        UserError: it is no such manifest, or a name in it leads elsewhere.
    """
    archives = []
    for node in root:
        if local_name(node) != "file":
            continue
        values = {local_name(child): (child.text or "").strip() for child in node}
        try:
            name, yymm = values["filename"], values["yymm"]
            safe_path(Path("/manifest"), name)
            if len(yymm) != 4 or not yymm.isdigit() or len(values["md5sum"]) != 32:
                raise ValueError("yymm or md5sum is wrong")
            archives.append(Archive(name, values["md5sum"], int(values["size"]), month_of_yymm(yymm)))
        except (KeyError, ValueError, ItemError) as error:
            raise UserError(f"{where}: file {len(archives) + 1}: {error}; get the manifest again") from error
    if not archives:
        raise UserError(f"{where}: names no archive; give arXiv_src_manifest.xml")
    return archives


class Bulk:
    """Members of archives; `manifest` is the local file, if it is one."""

    name = NAME

    def __init__(self, config: BulkConfig, context: Context, manifest: Path | None, is_listed: bool) -> None:
        """Prepares; `is_listed` says that a section `arxiv` chooses the papers."""
        self._config, self._context, self._manifest, self._is_listed = config, context, manifest, is_listed
        addresses = [address for address in (config.manifest, config.files) if address and is_address(address)]
        self._client = context.client(addresses, config.min_interval_seconds) if addresses else None

    def list_items(self) -> None:
        """The archives whose month is wanted."""
        if self._manifest is not None:
            try:
                root = parse_xml(self._manifest)
            except ReaderError as error:
                raise UserError(f"{self._manifest}: {error}; get the manifest again") from error
        else:
            assert self._client is not None
            root = self._client.page(self._config.manifest, {}, _read_xml)
        wanted = [archive for archive in read_manifest(root, self._config.manifest) if self._in_range(archive.month)]
        rows = ({"name": archive.name, "md5": archive.md5, "num_bytes": archive.num_bytes} for archive in wanted)
        self._context.state.put_items(NAME, ((f"{NAME}:{row['name']}", row) for row in rows))

    def _in_range(self, month: str) -> bool:
        first, last = self._config.from_ or "0", self._config.until or "9"
        return first <= month <= last

    def fetch(self, key: str, spec: dict[str, Any]) -> Iterator[Result]:
        """One archive: checked whole, then member by member."""
        archive, is_ours = self._locate(spec)
        try:
            with tarfile.open(archive, "r:") as tar:
                for member in _members(tar):
                    yield from self._member(key, spec["name"], tar, member)
        except tarfile.TarError as error:
            raise ItemError("bad-tar", f"{spec['name']}: {error}") from error
        if is_ours:
            archive.unlink()

    def _locate(self, spec: dict[str, Any]) -> tuple[Path, bool]:
        """Path of the archive, checked against the manifest, and whether it is a download of ours."""
        name, digest = spec["name"], ("md5", spec["md5"])
        base = self._config.files or (None if self._manifest is not None else self._config.manifest.rpartition("/")[0])
        if base is not None and is_address(base):
            assert self._client is not None
            target = self._context.scratch / "archive.tar"
            # Where the manifest stands inside `src/`, its names begin at the folder above.
            base = base.rstrip("/").removesuffix(f"/{name.partition('/')[0]}") if self._config.files is None else base
            expected = Expected(_MAX_ARCHIVE_BYTES, num_bytes=spec["num_bytes"], digest=digest)
            self._client.download(f"{base.rstrip('/')}/{name}", target, self._context.scratch, expected)
            return target, True
        for path in self._places(name, base):
            if path.is_file():
                if path.stat().st_size != spec["num_bytes"]:
                    raise ItemError("wrong-size", f"{path.name}: {path.stat().st_size} bytes; get it again")
                try:
                    verify_digest(path, *digest)
                except PassingError as error:
                    raise ItemError(error.reason, f"{path.name}: {error.detail}; get it again") from error
                return path, False
        raise ItemError("not-there", f"{name}: no such file beside the manifest or in `files`")

    def _places(self, name: str, base: str | None) -> Iterator[Path]:
        beside = self._manifest.parent if self._manifest is not None else Path()
        roots = [Path(base).expanduser(), beside / base] if base is not None else [beside, beside.parent]
        for root in roots:
            yield root / name
            yield root / name.rpartition("/")[2]

    def _member(self, key: str, archive: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[Result]:
        """One member of an archive, if it is a paper that is wanted."""
        if member.isdir():
            return
        part_key = f"{key}:{member.name}"
        if self._context.state.has_result(part_key):
            return
        try:
            identifier = _identifier(member)
            if not self._is_wanted(identifier):
                return
            yield self._keep(part_key, identifier, archive, tar, member)
        except PassingError as error:  # the archive is what it should be, so this member will never be better
            yield Result(part_key, "skipped", error.reason, error.detail)
        except ItemError as error:
            yield of_error(part_key, error)

    def _is_wanted(self, identifier: str) -> bool:
        patterns = self._config.identifiers
        if patterns and not any(fnmatch.fnmatchcase(identifier, pattern) for pattern in patterns):
            return False
        if not self._in_range(month_of(identifier)):
            return False
        return not self._is_listed or self._context.state.record(identifier) is not None

    def _keep(self, key: str, identifier: str, archive: str, tar: tarfile.TarFile, member: tarfile.TarInfo) -> Result:
        record = self._context.state.record(identifier) or {"license": ARXIV_UNSTATED}
        self._context.rules.check(record["license"])
        limit = int(self._config.max_mib * 2**20)
        if member.size > limit:
            raise ItemError("too-large", f"{member.size / 2**20:.0f} MiB", outcome="skipped")
        source = tar.extractfile(member)
        assert source is not None, "a regular file has content"
        came = self._context.scratch / "member"
        with source, came.open("wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        name = keep_paper(came, sniff(came, limit), self._context.files, f"arxiv/{file_stem(identifier)}")
        metadata = paper_metadata(identifier, record, {"protocol": "bulk", "url": f"{archive}#{member.name}"})
        return Result(key, "kept", path=name, metadata=metadata)


def _members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members in their order; headers that tarfile stumbles over make a bad archive, not a traceback."""
    try:
        while (member := tar.next()) is not None:
            yield member
    except (ValueError, OverflowError, EOFError) as error:
        raise tarfile.ReadError(str(error)) from error


def _identifier(member: tarfile.TarInfo) -> str:
    """The paper that a member holds, by its name; its own path is never used."""
    if not member.isreg():
        raise ItemError("no-regular-file", f"{member.name!r:.100} is a link or a device", outcome="skipped")
    name = member.name.rpartition("/")[2]
    for suffix in (".tar.gz", ".gz", ".pdf"):
        found = from_member(name.removesuffix(suffix)) if name.endswith(suffix) else None
        if found is not None:
            return found
    raise ItemError("unknown-member", f"{member.name!r:.100} is named like no paper", outcome="skipped")


def _read_xml(reply: Reply) -> Any:
    try:
        return parse_xml_bytes(reply.body)
    except ReaderError as error:
        raise PassingError("not-xml", str(error)) from error
