"""Errors that reach the person at the terminal.

Exit codes are part of the command-line contract: 2 is the user's input, 1 is the machine or the run.
"""

from __future__ import annotations

import errno


class SagecraftError(Exception):
    """An error that is printed as one line; `exit_code` says whose fault it is."""

    exit_code = 1


class UserError(SagecraftError):
    """Input that cannot be used: the message names the file, key or value, and what to do (exit 2)."""

    exit_code = 2


class MachineError(SagecraftError):
    """A fault of the machine or the run: disk full, read-only, out of memory, a dead child (exit 1)."""

    exit_code = 1


class StoppedError(SagecraftError):
    """The run was asked to stop, wrote a checkpoint and left; the same command goes on (exit 75, sysexits' TEMPFAIL)."""

    exit_code = 75


#: Operating-system errors that say something about the machine, not about what the user typed.
_MACHINE_ERRNOS = {
    errno.ENOSPC: "the disk is full; free some space and run the same command again",
    errno.EDQUOT: "the disk quota is used up; free some space and run the same command again",
    errno.EFBIG: "a file of this size is not allowed here; raise `ulimit -f`, or choose an --out on another file system",
    errno.EROFS: "the file system is read-only; choose another --out",
    errno.EACCES: "permission denied; change the permissions, or choose another --out if it is to be written",
    errno.EPERM: "operation not permitted; change the permissions, or choose another --out if it is to be written",
    errno.EIO: "the disk reports an input/output error",
    errno.ENOMEM: "the machine is out of memory",
    errno.EMFILE: "too many open files; raise `ulimit -n`",
}
#: Those that say that a path is not what it was taken for.
_PATH_ERRNOS = {
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is a file, where a folder is needed",
    errno.EISDIR: "is a folder, where a file is needed",
    errno.EEXIST: "is there already and is no folder; choose another name",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.ELOOP: "its links go in a circle",
}


def from_system_error(error: OSError | MemoryError | RuntimeError) -> SagecraftError | None:
    """The one line for a fault of the machine; None for a fault of ours, which deserves its traceback."""
    if isinstance(error, OSError):
        return from_os_error(error)
    # torch says it in a RuntimeError of its own: "DefaultCPUAllocator: can't allocate memory", "CUDA out of memory"
    if isinstance(error, MemoryError) or "allocate memory" in str(error) or "out of memory" in str(error):
        return MachineError(
            "the machine is out of memory; lower rows_per_pass or sequence_length, or take a larger machine"
        )
    if "by peer" in str(error):  # gloo: "Connection closed by peer", "Connection reset by peer"
        return MachineError("another process of this run has ended, and said why; run the same command again to go on")
    return None


def from_os_error(error: OSError) -> SagecraftError:
    """Turns an `OSError` into the one line it deserves."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _MACHINE_ERRNOS:
        return MachineError(f"{where}{_MACHINE_ERRNOS[error.errno]}")
    if error.errno is None and "requested and" in str(error):  # numpy, which wrote less than it had
        return MachineError(f"{where}{_MACHINE_ERRNOS[errno.ENOSPC]}")
    if error.errno in _PATH_ERRNOS:
        return UserError(f"{where}{_PATH_ERRNOS[error.errno]}")
    return MachineError(f"{where}{error.strerror or error}")
