"""What a source yields: a document as read, or the error that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagecraft.corpus.readers.result import ReaderError, ReadResult


@dataclass(frozen=True)
class Found:
    """One document of a file.

    Attributes:
        result: what the reader read.
        row: position in a file of many documents; None if the file is the document.
        withheld: what the file itself states.
        extra: what else the file states, without a place in `result`.
        format: name of the format, where the file's suffix does not tell it.
    """

    result: ReadResult
    row: int | None = None
    withheld: bool | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    format: str = ""


#: A reader takes a file and the root it may not leave, and yields documents or the errors that stand for them.
Reader = Callable[[Path, Path], Iterator[Found | ReaderError]]


def single(read: Callable[[Path, Path], ReadResult]) -> Reader:
    """Makes a reader of files that hold one document each."""

    def reader(path: Path, root: Path) -> Iterator[Found | ReaderError]:
        try:
            yield Found(read(path, root))
        except ReaderError as error:
            yield error
        except (OSError, RecursionError, ValueError) as error:
            # A file that breaks its reader is kept aside like any other; the rest of the corpus is read.
            yield ReaderError("reader-failed", f"{type(error).__name__}: {str(error)[:200]}")

    return reader
