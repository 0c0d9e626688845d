"""Lock files: one process at a time writes an artifact or runs a recipe in a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from sagecraft import console
from sagecraft.errors import UserError


@contextlib.contextmanager
def locked(path: Path, taken: str) -> Iterator[None]:
    """Holds the lock file `path`, which is gone afterwards; a killed process holds nothing.

    Raises:
        UserError: with the text `taken`, if another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(taken) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                raise
            console.warn(f"{path.parent}: this file system has no locks; do not write to it from two runs at once")
        # its holder may have deleted it between our open and our lock: then ours locks nothing
        if not path.exists() or path.stat().st_ino != os.fstat(file.fileno()).st_ino:
            raise UserError(taken)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
