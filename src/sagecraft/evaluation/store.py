"""The store: one append-only record for each measurement, keyed by what it depends on.

A key is the hash of model, token ids (or messages) and settings, so a record is right whoever wrote it: a killed run
goes on, another order, another choice of items or another task that shares items finds what was measured before.

What costs money is written down twice: before it is sent (`claim`) and when it has come back (`keep`, or `drop` for a
failure). A claim without an end, whose process is dead, is a request that may have been paid and lost; it counts with its
worst case, and is asked again. Processes that share a store see each other's claims and never ask the same thing twice.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagecraft import artifact, console
from sagecraft.inference.prices import Bill

#: Raise when the meaning of a record changes: older records are then never found.
_RECORD_VERSION = 1
_FILE = "records.jsonl"
_SESSIONS = "sessions"
#: Seconds between two writes through to the disk: what a power failure may take. A killed process loses nothing.
_SYNC_SECONDS = 0.2
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@dataclass(frozen=True)
class Claim:
    """A request that is under way: its number, its key, and the most it can cost."""

    id: str
    key: str
    worst: Bill


@dataclass
class Account:
    """What a run asked for and what that cost, over all its starts.

    Attributes:
        num_sent: requests that left.
        num_kept: of these, replies that were kept.
        num_failed: failures that were not billed, as far as is known.
        num_failed_billed: failures that were billed, or may have been.
        num_lost: requests whose process died before their end was written down; they may have been paid.
        num_uncounted: kept replies that came without a count of tokens.
        kept: what the kept replies cost.
        wasted: what failures and lost requests cost at most.
    """

    num_sent: int = 0
    num_kept: int = 0
    num_failed: int = 0
    num_failed_billed: int = 0
    num_lost: int = 0
    num_uncounted: int = 0
    kept: Bill = field(default_factory=Bill)
    wasted: Bill = field(default_factory=Bill)

    def ended(self, record: dict[str, Any]) -> None:
        """Counts the end of a request."""
        bill = Bill.model_validate(record["billed"])
        if "key" in record:
            self.num_kept += 1
            self.num_uncounted += not bill.known
            self.kept += bill
        else:
            costs = bool(bill.prompt or bill.written)
            self.num_failed_billed += costs
            self.num_failed += not costs
            self.wasted += bill


class Store:
    """Records in `folder/records.jsonl`. Several processes may append to it at once."""

    def __init__(self, folder: Path, engine: str, run: str = "") -> None:
        """Opens the store.

        Args:
            folder: made if it does not exist.
            engine: what identifies the model and its arithmetic (digest and dtype; address and name).
            run: what the money is spent for; `account` is kept for each run apart.
        """
        self._engine, self.run, self._folder = engine, run, folder
        self.path = folder / _FILE
        folder.mkdir(parents=True, exist_ok=True)
        #: key → where its record stands in the file, and the seconds it took; values stay on the disk.
        self._places: dict[str, tuple[int, int, float]] = {}
        self._open: dict[str, tuple[str, str, Bill]] = {}  # claims without an end: id → run, key, worst case
        self._accounts: dict[str, Account] = {}
        self._session = f"{os.getpid()}-{time.time_ns():x}"
        self._session_file: int | None = None
        self._num_claims = 0
        self._read_to = 0
        self._synced = 0.0
        self.num_found = 0
        self.seconds = 0.0
        self._counted: set[str] = set()
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        with self._alone():
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                # a process was killed in mid-write: the torn record stays a line of its own, and is measured again
                os.write(self._file, b"\n")
            self._catch_up()

    def close(self) -> None:
        """Closes the file; claims that are still open count as lost from now on."""
        if self._num_claims:
            os.fdatasync(self._file)
        os.close(self._file)
        if self._session_file is not None:
            self._session_path(self._session).unlink(missing_ok=True)
            os.close(self._session_file)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else reads or writes."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            console.warn(f"{self._folder}: this file system has no locks; do not use the store in two runs at once")
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _catch_up(self) -> None:
        """Reads what was appended since, by whomever; only while alone."""
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._take(self._read_to, line)
                self._read_to += len(line)

    def _take(self, offset: int, line: bytes) -> None:
        try:
            record = json.loads(line)
            if "worst" in record:
                worst = Bill.model_validate(record["worst"])
                self._open[record["sent"]] = record["run"], record["key"], worst
                self._account_of(record["run"]).num_sent += 1
                return
            if "key" in record and "value" in record:
                self._places[record["key"]] = offset, len(line), float(record["seconds"])
            if self._open.pop(record.get("sent"), None) is not None:
                self._account_of(record["run"]).ended(record)
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # a torn line; what it held is measured again

    def _account_of(self, run: str) -> Account:
        return self._accounts.setdefault(run, Account())

    def key(self, request: dict[str, Any]) -> str:
        """The key of a measurement."""
        return artifact.digest_of({"version": _RECORD_VERSION, "engine": self._engine, "request": request})

    def find(self, key: str) -> Any:
        """The value of a key, None if it was not measured yet.

        `seconds` adds up what the measurements took, whenever that was: a resumed run costs what a straight one does.
        """
        place = self._places.get(key)
        if place is None:
            return None
        offset, length, seconds = place
        if key not in self._counted:  # two equal questions are measured once
            self._counted.add(key)
            self.seconds += seconds
        return json.loads(os.pread(self._file, length, offset))["value"]

    def holds(self, request: dict[str, Any]) -> bool:
        """Whether a request was measured before."""
        return self.key(request) in self._places

    def value(self, request: dict[str, Any]) -> Any:
        """The value of a request that was measured: through JSON and back, so that it is the same now and later."""
        return self.find(self.key(request))

    def put(self, requests: Sequence[dict[str, Any]], values: Sequence[Any], seconds: float) -> None:
        """Writes down what was measured together; of what is there already the first stays."""
        share = round(seconds / max(len(requests), 1), 6)
        with self._alone():
            self._catch_up()
            for request, value in zip(requests, values, strict=True):
                key = self.key(request)
                if key not in self._places:
                    self._append({"key": key, "seconds": share, "value": value})

    def get(self, request: dict[str, Any], measure: Callable[[], Any]) -> Any:
        """The value measured for a request before, or measured and written down now."""
        if self.holds(request):
            self.num_found += 1
        else:
            started = time.monotonic()
            value = measure()
            self.put([request], [value], time.monotonic() - started)
        return self.value(request)

    def claim(self, key: str, worst: Bill) -> Claim | None:
        """Writes down that a request is about to be sent.

        Returns:
            The claim; None if another process has an answer by now, or is asking: look again (`find`) later.
        """
        with self._alone():
            self._open_session()
            self._catch_up()
            if key in self._places or any(
                key == other and self._is_alive(id_) for id_, (_, other, _) in list(self._open.items())
            ):
                return None
            self._num_claims += 1
            claim = Claim(f"{self._session}-{self._num_claims}", key, worst)
            self._append({"sent": claim.id, "key": key, "run": self.run, "worst": worst.model_dump()})
        return claim

    def keep(self, claim: Claim, value: Any, bill: Bill, seconds: float) -> None:
        """Writes down what came back.

        Args:
            claim: of the request.
            value: what is kept of the reply.
            bill: what it cost.
            seconds: to be added to the time that the run took.
        """
        record = {"key": claim.key, "seconds": round(seconds, 6), "value": value, "sent": claim.id}
        self._end({**record, "run": self.run, "billed": bill.model_dump()})

    def drop(self, claim: Claim, bill: Bill, why: str) -> None:
        """Writes down that a request brought nothing, and what it cost (at most, where that is not known)."""
        self._end({"sent": claim.id, "run": self.run, "billed": bill.model_dump(), "failed": why})

    def _end(self, record: dict[str, Any]) -> None:
        with self._alone():
            self._append(record)
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            os.fdatasync(self._file)
            self._synced = time.monotonic()

    def refresh(self) -> None:
        """Takes note of what other processes kept meanwhile."""
        with self._alone():
            self._catch_up()

    def account(self, run: str | None = None) -> Account:
        """What a run (this one by default) sent and what it cost; claims of processes that are gone count as lost."""
        asked = self.run if run is None else run
        with self._alone():
            self._catch_up()
            account = Account(**vars(self._account_of(asked)))
            for id_, (of, _, worst) in self._open.items():
                if of == asked and not self._is_alive(id_):
                    account.num_lost += 1
                    account.wasted += worst
        return account

    def _append(self, record: dict[str, Any]) -> None:
        """Writes one line, whole or not at all, and takes note of it; only while alone."""
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "surrogatepass")
        self._catch_up()
        rest = line
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            os.ftruncate(self._file, self._read_to)  # a full disk: half a record would hide the next one
            raise
        self._take(self._read_to, line)
        self._read_to += len(line)

    def _session_path(self, session: str) -> Path:
        return self._folder / _SESSIONS / session

    def _open_session(self) -> None:
        """A file that stays locked as long as this process lives: so others know its claims from lost ones."""
        if self._session_file is not None:
            return
        path = self._session_path(self._session)
        path.parent.mkdir(exist_ok=True)
        self._session_file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        with contextlib.suppress(OSError):
            fcntl.flock(self._session_file, fcntl.LOCK_EX)

    def _is_alive(self, claim_id: str) -> bool:
        """Whether the process of a claim still lives, as far as its lock says."""
        session = claim_id.rpartition("-")[0]
        if session == self._session:
            return self._session_file is not None
        path = self._session_path(session)
        try:
            file = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)
