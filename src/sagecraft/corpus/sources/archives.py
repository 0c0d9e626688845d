"""Archives of strangers: tar, zip and gzip, unpacked into a folder with bounded bytes, members and depth.

No member leaves the folder, and nothing but plain files and folders is made: links, devices and pipes are refused.
What is counted is what comes out, never what a header promises, so a bomb ends at the budget.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, Protocol, Self

from sagecraft.corpus.readers.registry import READERS, suffix_of
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.errors import from_os_error

#: Suffixes that are opened as archives without a look inside.
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
#: What may come out of an archive of any size; four times its own size more may (text shrinks to about a quarter).
_FREE_BYTES = 512 * 2**20
_BYTES_PER_BYTE = 4
_MAX_MEMBERS = 50_000
_CHUNK_BYTES = 1 << 20
_MAX_NAME_BYTES = 255
_HEAD_BYTES = 4096
#: Files that no reader reads and no document needs: not worth the disk.
_USELESS = frozenset(
    [
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".eps",
        ".ps",
        ".tif",
        ".tiff",
        ".svg",
        ".bmp",
        ".webp",
        ".mp4",
        ".avi",
        ".mov",
        ".mp3",
        ".fits",
        ".hdf5",
        ".h5",
        ".npy",
        ".npz",
        ".exe",
        ".so",
    ]
)
_DRIVE = re.compile(r"[A-Za-z]:")


class _Gunzip:
    """A gzip stream that ends where no further member follows: like gzip itself, it does not mind what stands behind."""

    def __init__(self, path: Path, mode: Literal["rb"]) -> None:
        self._file = gzip.GzipFile(path, mode)
        self._has_begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes; fewer do not mean the end."""
        try:
            # `read` would lose what it holds already when the next header is none.
            chunk = self._file.read1(size)
        except gzip.BadGzipFile as error:
            if self._has_begun and str(error).startswith("Not a gzipped file"):
                return b""
            raise
        self._has_begun = self._has_begun or bool(chunk)
        return chunk


#: First bytes of a compressed tar → what opens it.
_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": _Gunzip, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOMEM, errno.EMFILE})


@dataclass
class Budget:
    """What may still come out of an archive and of the archives inside it.

    Attributes:
        num_bytes: bytes that are left.
        num_members: members that are left.
        alive: called for every mebibyte and every member.
        refused: name of a member → why it was not unpacked; the first hundred of them.
    """

    num_bytes: int
    num_members: int = _MAX_MEMBERS
    alive: Callable[[], None] = lambda: None
    refused: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, alive: Callable[[], None] = lambda: None) -> Budget:
        """The budget of an archive file."""
        return cls(_FREE_BYTES + _BYTES_PER_BYTE * path.stat().st_size, alive=alive)

    def spend(self, num_bytes: int) -> None:
        """Takes bytes from the budget.

        Raises:
            ReaderError: `archive-too-large`.
        """
        self.alive()
        self.num_bytes -= num_bytes
        if self.num_bytes < 0:
            raise ReaderError("archive-too-large", "more comes out of it than four times its size and 512 MiB")

    def count(self) -> None:
        """Counts a member.

        Raises:
            ReaderError: `archive-too-large`.
        """
        self.alive()
        self.num_members -= 1
        if self.num_members < 0:
            raise ReaderError("archive-too-large", f"more than {_MAX_MEMBERS:,} members")

    def refuse(self, name: str, reason: str) -> None:
        """Notes a member that is not unpacked."""
        if len(self.refused) < 100:
            self.refused.setdefault(name.encode("utf-8", "backslashreplace").decode()[:_MAX_NAME_BYTES], reason)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def archive_suffix(path: Path) -> str | None:
    """The suffix by which a file's name says that it is an archive; None if it does not."""
    name = path.name.lower()
    return next((suffix for suffix in ARCHIVE_SUFFIXES if name.endswith(suffix)), None)


def sniff(path: Path) -> str | None:
    """What a file is by its first bytes: a suffix of a reader or of an archive; None if they say nothing."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"\x1f\x8b"):
        return ".gz"
    if head.startswith(b"%PDF-"):
        return ".pdf"
    if head[257:262] == b"ustar":
        return ".tar"
    if b"\\documentclass" in head or b"\\documentstyle" in head or b"\\begin{document}" in head or b"\\input" in head:
        return ".tex"
    start = head.lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return ".html"
    return None


def unpack(path: Path, suffix: str, into: Path, budget: Budget) -> None:
    """Unpacks an archive into an empty folder.

    Args:
        path: the archive.
        suffix: one of `ARCHIVE_SUFFIXES`, or `.gz` for a compressed file (or for a tar under that name).
        into: the folder.
        budget: shared by an archive and those inside it; `budget.refused` names what was left out.

    Raises:
        ReaderError: `bad-archive`, `archive-encrypted`, `archive-too-large`.
        MachineError: the disk is full or the like.
    """
    into.mkdir(parents=True, exist_ok=True)
    try:
        if suffix == ".zip":
            _unpack_zip(path, into, budget)
        elif suffix.endswith(".gz") and suffix not in ARCHIVE_SUFFIXES:
            _unpack_gzip(path, into, budget)
        else:
            _unpack_tar(path, into, budget)
    except OSError as error:
        if error.errno in _DISK_ERRORS:
            raise from_os_error(error) from error
        raise ReaderError("bad-archive", _line(error)) from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as error:
        raise ReaderError("bad-archive", _line(error)) from error
    except (RuntimeError, NotImplementedError) as error:
        # zipfile says both of archives that are encrypted or packed by a method it does not know.
        raise ReaderError("archive-encrypted", _line(error)) from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _unpack_tar(path: Path, into: Path, budget: Budget) -> None:
    with path.open("rb") as file:
        magic = file.read(6)
    opened = next((opener for start, opener in _OPENERS.items() if magic.startswith(start)), open)
    with opened(path, "rb") as stream:
        _unpack_stream(stream, into, budget)
        # The checksum of a compressed stream stands at its end, behind what tar needs.
        for chunk in _chunks(stream):
            budget.spend(len(chunk))


def _unpack_stream(stream: Any, into: Path, budget: Budget) -> None:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            budget.count()
            target = _target(member.name, into, budget)
            if target is None or member.isdir():
                continue
            if not member.isreg():
                budget.refuse(member.name, "not-a-file")
                continue
            content = archive.extractfile(member)
            if content is not None:
                _copy(content, target, budget)


def _unpack_zip(path: Path, into: Path, budget: Budget) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            budget.count()
            target = _target(member.filename, into, budget)
            if target is None or member.is_dir():
                continue
            mode = member.external_attr >> 16
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
                budget.refuse(member.filename, "not-a-file")
                continue
            with archive.open(member) as content:
                _copy(content, target, budget)


def _unpack_gzip(path: Path, into: Path, budget: Budget) -> None:
    """A single compressed file; what it holds is told from its first bytes where its name does not say."""
    stem = path.name.removesuffix(".gz") if path.name.lower().endswith(".gz") else path.name
    target = into / (stem if stem and not stem.startswith(".") else "file")
    with _Gunzip(path, "rb") as content:
        _copy(content, target, budget)
    found = sniff(target)
    if found == ".tar":
        inner = target.rename(into / ".inner.tar")
        _unpack_tar(inner, into, budget)
        inner.unlink()
    elif found is not None and suffix_of(target) not in READERS:
        # A text about LaTeX or HTML holds their commands, too: where the name says what it is, the name counts.
        target.rename(target.with_name(target.name + found))


def _target(name: str, into: Path, budget: Budget) -> Path | None:
    """Where a member goes; None, and noted, if it may not be unpacked."""
    if any("\udc80" <= character <= "\udcff" for character in name):
        # Not UTF-8, and so most likely Latin-1: LaTeX that names such a file is of the same encoding.
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or _DRIVE.match(name):
        budget.refuse(name, "outside-root")
        return None
    bad = any(len(part.encode(errors="replace")) > _MAX_NAME_BYTES or not part.isprintable() for part in pure.parts)
    if bad or not pure.parts:
        if bad:
            budget.refuse(name, "bad-name")
        return None
    if pure.suffix.lower() in _USELESS:
        return None
    return into.joinpath(*pure.parts)


def _copy(content: _Readable, target: Path, budget: Budget) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        file = target.open("wb")
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        budget.refuse(target.name, "name-clash")
        return
    with file:
        for chunk in _chunks(content):
            budget.spend(len(chunk))
            file.write(chunk)


def _chunks(content: _Readable) -> Iterator[bytes]:
    while chunk := content.read(_CHUNK_BYTES):
        yield chunk
