"""The store: one append-only record for each measurement, keyed by what it depends on.

A key is the hash of model, token ids (or messages) and settings, so a record is right whoever wrote it: a killed run
goes on, another order, another choice of items or another task that shares items finds what was measured before.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sagecraft import artifact

#: Raise when the meaning of a record changes: older records are then never found.
_RECORD_VERSION = 1
_FILE = "records.jsonl"


class Store:
    """Records in `folder/records.jsonl`. Several processes may append to it at once."""

    def __init__(self, folder: Path, engine: str) -> None:
        """Opens the store.

        Args:
            folder: made if it does not exist.
            engine: what identifies the model and its arithmetic (digest and dtype; address and name).
        """
        self._engine = engine
        self.path = folder / _FILE
        folder.mkdir(parents=True, exist_ok=True)
        self._records: dict[str, tuple[Any, float]] = {}
        torn = False
        if self.path.is_file():
            with self.path.open("rb") as file:
                for line in file:
                    torn = not line.endswith(b"\n")
                    self._take(line)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if torn:  # a run was killed in mid-write: the torn record stays a line of its own, and is measured again
            os.write(self._file, b"\n")
        self.num_found = 0
        self.seconds = 0.0
        self._counted: set[str] = set()

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            self._records[record["key"]] = record["value"], float(record["seconds"])
        except (ValueError, KeyError, TypeError):
            return  # a torn line; what it held is measured again

    def key(self, request: dict[str, Any]) -> str:
        """The key of a measurement."""
        return artifact.digest_of({"version": _RECORD_VERSION, "engine": self._engine, "request": request})

    def get(self, request: dict[str, Any], measure: Callable[[], Any]) -> Any:
        """The value measured for a request before, or measured and written down now.

        `seconds` adds up what the measurements took, whenever that was: a resumed run costs what a straight one does.
        """
        key = self.key(request)
        if key not in self._records:
            started = time.monotonic()
            value = measure()
            record = {"key": key, "seconds": round(time.monotonic() - started, 6), "value": value}
            line = json.dumps(record, ensure_ascii=False) + "\n"
            self._write(line.encode("utf-8", "surrogatepass"))
            # Through JSON and back, so that a value is the same whether it was measured now or read.
            self._records[key] = json.loads(line)["value"], record["seconds"]
        else:
            self.num_found += 1
        value, seconds = self._records[key]
        if key not in self._counted:  # two equal questions are measured once
            self._counted.add(key)
            self.seconds += seconds
        return value

    def _write(self, line: bytes) -> None:
        while line:
            line = line[os.write(self._file, line) :]
