"""The head of a GGUF file: its settings, vocabulary and chat template, read with a bound on everything.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. A file may be a stranger's: every length is held against the bytes
that are there before anything is made of it, so that a file that lies costs a line, not the machine. The numbers of the
tensors are left to whoever computes with them.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sagecraft.errors import UserError

#: Strings and settings at most, all arrays together: the largest vocabularies have 262,144 tokens and twice as many merges.
_MAX_ENTRIES = 4_000_000
#: Of one string: chat templates take some 10,000.
_MAX_STRING_BYTES = 1 << 24
_MAX_DIMENSIONS = 8
#: Type of a value → its form; 8 is a string, 9 an array.
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
#: Arrays that are kept; the others (merges, scores, …) are passed over.
_KEPT = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type")


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the tensors.

    Attributes:
        path: the file.
        fields: key → number, text, truth, or (for the vocabulary and its kinds) list.
        num_tensors: tensors that it names.
    """

    path: Path
    fields: dict[str, Any]
    num_tensors: int

    @property
    def architecture(self) -> str:
        """What the keys of the model's sizes begin with."""
        return str(self.fields.get("general.architecture", ""))

    def size(self, key: str, default: int | None = None) -> int:
        """A whole number among the settings of the architecture.

        Raises:
            UserError: it is missing, or no number above zero.
        """
        name = f"{self.architecture}.{key}"
        value = self.fields.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UserError(f"{self.path}: {name} is {value!r}, not a number above zero; fetch the file again")
        return value


def read_header(path: Path) -> GgufHeader:
    """Reads the head of a file.

    Raises:
        UserError: no such file, no GGUF, a cut one, or one whose numbers do not fit into it.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise UserError(f"{path}: not a GGUF file; fetch it again")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _read(path, _Cursor(data))
            except (struct.error, IndexError) as error:
                raise UserError(f"{path}: the GGUF file is cut short; fetch it again") from error
            except ValueError as error:
                raise UserError(f"{path}: not a sound GGUF file ({error}); fetch it again") from error


def _read(path: Path, cursor: _Cursor) -> GgufHeader:
    version = cursor.number("I")
    if version not in (2, 3):
        raise ValueError(f"version {version}; 2 and 3 are known")
    num_tensors, num_fields = cursor.number("Q"), cursor.number("Q")
    cursor.spend(num_tensors, 24)
    cursor.spend(num_fields, 13)
    fields: dict[str, Any] = {}
    for _ in range(num_fields):
        key = cursor.string()
        value = cursor.value(cursor.number("I"), keep=key in _KEPT)
        if value is not None:
            fields[key] = value
    offsets = [_tensor_offset(cursor) for _ in range(num_tensors)]
    alignment = fields.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
        raise ValueError(f"general.alignment is {alignment!r}")
    start = -(-cursor.at // alignment) * alignment
    if offsets and start + max(offsets) >= len(cursor.data):
        raise IndexError
    return GgufHeader(path, fields, num_tensors)


def _tensor_offset(cursor: _Cursor) -> int:
    name, num_dimensions = cursor.string(), cursor.number("I")
    if num_dimensions > _MAX_DIMENSIONS:
        raise ValueError(f"tensor {name[:100]!r} has {num_dimensions:,} dimensions")
    for _ in range(num_dimensions):
        cursor.number("Q")
    cursor.number("I")
    offset: int = cursor.number("Q")
    return offset


class _Cursor:
    """A place in the file, behind its magic number."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 4
        self.num_entries = 0

    def spend(self, count: int, min_bytes: int) -> None:
        """Counts entries that are about to be read, each of which takes some bytes at least."""
        self.num_entries += count
        if count * min_bytes > len(self.data) - self.at:
            raise IndexError
        if self.num_entries > _MAX_ENTRIES:
            raise ValueError(f"it names more than {_MAX_ENTRIES:,} entries")

    def number(self, form: str) -> Any:
        value = struct.unpack_from(f"<{form}", self.data, self.at)[0]
        self.at += struct.calcsize(form)
        return value

    def string(self, *, keep: bool = True) -> str:
        length = self.number("Q")
        if length > len(self.data) - self.at:
            raise IndexError
        if length > _MAX_STRING_BYTES:
            raise ValueError(f"a text has {length:,} bytes")
        begin, self.at = self.at, self.at + length
        return self.data[begin : self.at].decode("utf-8", "replace") if keep else ""

    def value(self, kind: int, *, keep: bool) -> Any:
        """A number, text or truth; of arrays a list where it is to be kept, else None."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.string()
        if kind != _ARRAY:
            raise ValueError(f"a value is of type {kind}")
        kind, count = self.number("I"), self.number("Q")
        if kind == _STRING:
            self.spend(count, 8)
            texts = [self.string(keep=keep) for _ in range(count)]
            return texts if keep else None
        if kind not in _SCALARS:
            raise ValueError(f"an array is of type {kind}")
        size = struct.calcsize(_SCALARS[kind])
        if count * size > len(self.data) - self.at:
            raise IndexError
        if keep:
            self.spend(count, size)
        begin, self.at = self.at, self.at + count * size
        return list(struct.unpack(f"<{count}{_SCALARS[kind]}", self.data[begin : self.at])) if keep else None
