"""What a harvest has done so far: one SQLite file, written after every page and every file.

A transaction is there whole or not at all, so a run that is killed anywhere goes on with the next page or file. The
file is scratch: what it says is written out, in sorted order, when the harvest is finished.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from sagecraft.artifact import canonical_json
from sagecraft.corpus.sources.items import Result
from sagecraft.errors import MachineError

_TABLES = """
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records
    (id TEXT PRIMARY KEY, datestamp TEXT NOT NULL, deleted INTEGER NOT NULL, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS items
    (key TEXT PRIMARY KEY, source TEXT NOT NULL, spec TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS results
    (key TEXT PRIMARY KEY, item TEXT NOT NULL, source TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL,
     detail TEXT NOT NULL, path TEXT UNIQUE, metadata TEXT NOT NULL, retrieved REAL NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_item ON results (item);
CREATE INDEX IF NOT EXISTS results_by_outcome ON results (outcome);
"""

_DECIDED = "decided:"


class State:
    """Notes (cursors and decisions), records (metadata), items (what to get) and results (what became of it)."""

    def __init__(self, path: Path) -> None:
        """Opens or begins the file. The artifact's lock keeps other harvests away."""
        self._path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        # A kill loses nothing; a power cut loses the last steps at most, which are done again. Waiting for the disk at
        # every step took two thirds of the time of a harvest from this machine.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(f"BEGIN; {_TABLES} COMMIT;")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._db.close()
        if isinstance(error, sqlite3.Error):
            raise MachineError(
                f"{self._path}: {error}; look at the disk and run the same command again, what has arrived is kept"
            ) from error

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written inside is there whole or not at all. May be nested."""
        if self._db.in_transaction:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # Notes

    def note(self, name: str, value: object) -> None:
        """Writes a note."""
        self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, canonical_json(value)))

    def noted(self, name: str) -> Any:
        """A note, or None."""
        row = self._db.execute("SELECT value FROM notes WHERE name = ?", (name,)).fetchone()
        return json.loads(row[0]) if row else None

    def once(self, name: str, decide: Callable[[], object]) -> Any:
        """A decision that is made once and stands for all runs that go on with this one (a date, a commit)."""
        if self.decided(name) is None:
            self.decide(name, decide())
        return self.decided(name)

    def decide(self, name: str, value: object) -> None:
        """Writes a decision; the manifest will state it."""
        self.note(f"{_DECIDED}{name}", value)

    def decided(self, name: str) -> Any:
        """A decision, or None."""
        return self.noted(f"{_DECIDED}{name}")

    def decisions(self) -> dict[str, Any]:
        """All decisions, by name."""
        rows = self._db.execute("SELECT name, value FROM notes WHERE name GLOB ? ORDER BY name", (f"{_DECIDED}*",))
        return {name.removeprefix(_DECIDED): json.loads(value) for name, value in rows}

    # Records

    def put_records(self, rows: Iterable[tuple[str, str, bool, Mapping[str, Any]]]) -> None:
        """Writes (id, datestamp, deleted, metadata).

        Of two with one id the later datestamp stays; of one day, the deletion, else the first.
        """
        with self.together():
            self._db.executemany(
                "INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET datestamp = excluded.datestamp, "
                "deleted = excluded.deleted, value = excluded.value WHERE excluded.datestamp > records.datestamp "
                "OR (excluded.datestamp = records.datestamp AND excluded.deleted > records.deleted)",
                ((key, stamp, int(deleted), canonical_json(value)) for key, stamp, deleted, value in rows),
            )

    def record(self, key: str) -> dict[str, Any] | None:
        """Metadata of a record that is not deleted."""
        row = self._db.execute("SELECT value FROM records WHERE id = ? AND NOT deleted", (key,)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def records(self) -> Iterator[dict[str, Any]]:
        """Metadata of all records that are not deleted, by id."""
        for (value,) in self._db.execute("SELECT value FROM records WHERE NOT deleted ORDER BY id"):
            yield json.loads(value)

    def num_records(self, deleted: bool = False) -> int:
        """How many records there are."""
        return self._count("SELECT count(*) FROM records WHERE deleted = ?", int(deleted))

    # Items

    def put_items(self, source: str, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Adds items (key, specification) that are not there yet."""
        with self.together():
            self._db.executemany(
                "INSERT OR IGNORE INTO items (key, source, spec) VALUES (?, ?, ?)",
                ((key, source, canonical_json(spec)) for key, spec in rows),
            )

    def open_items(self, source: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Items that are not done, by key. Items may be finished while this runs."""
        last = ""
        query = "SELECT key, spec FROM items WHERE source = ? AND NOT done AND key > ? ORDER BY key LIMIT 1"
        while row := self._db.execute(query, (source, last)).fetchone():
            last = row[0]
            yield last, json.loads(row[1])

    def num_items(self, source: str, done: bool | None = None) -> int:
        """How many items a source has; of these, how many are done or not done."""
        if done is None:
            return self._count("SELECT count(*) FROM items WHERE source = ?", source)
        return self._count("SELECT count(*) FROM items WHERE source = ? AND done = ?", source, int(done))

    def finish(self, item: str) -> None:
        """Marks an item as done."""
        self._db.execute("UPDATE items SET done = 1 WHERE key = ?", (item,))

    def specification(self, item: str) -> dict[str, Any] | None:
        """What is known of an item."""
        row = self._db.execute("SELECT spec FROM items WHERE key = ?", (item,)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def reopen_failed(self) -> int:
        """Makes items with something that failed open again, and says how many."""
        with self.together():
            self._db.execute(
                "UPDATE items SET done = 0 WHERE key IN (SELECT item FROM results WHERE outcome = 'failed')"
            )
            self._db.execute("DELETE FROM results WHERE outcome = 'failed'")
        return self._count("SELECT count(*) FROM items WHERE NOT done")

    # Results

    def put_result(self, source: str, item: str, result: Result, retrieved: float) -> None:
        """Writes what became of an item or of a part of it; `retrieved` in seconds since 1970."""
        row = (result.key, item, source, result.outcome, result.reason, result.detail, result.path)
        self._db.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, canonical_json(dict(result.metadata)), retrieved),
        )

    def has_result(self, key: str) -> bool:
        """True if something became of it."""
        return self._count("SELECT count(*) FROM results WHERE key = ?", key) > 0

    def results_of(self, item: str) -> list[Result]:
        """Results of one item, by key."""
        return [result for result, _, _, _ in self._select("WHERE item = ? ORDER BY key", item)]

    def kept(self) -> Iterator[tuple[Result, str, float]]:
        """What was kept, by path, with its source and the time it was retrieved."""
        for result, _, source, retrieved in self._select("WHERE outcome = 'kept' ORDER BY path"):
            yield result, source, retrieved

    def not_kept(self) -> Iterator[tuple[Result, str, str]]:
        """What was not kept, by key, with its item and source."""
        for result, item, source, _ in self._select("WHERE outcome != 'kept' ORDER BY key"):
            yield result, item, source

    def counts(self) -> dict[tuple[str, str, str], int]:
        """(source, outcome, reason) → how many."""
        rows = self._db.execute(
            "SELECT source, outcome, reason, count(*) FROM results GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        return {(source, outcome, reason): count for source, outcome, reason, count in rows}

    def _select(self, condition: str, *values: object) -> Iterator[tuple[Result, str, str, float]]:
        columns = "key, outcome, reason, detail, path, metadata, item, source, retrieved"
        for row in self._db.execute(f"SELECT {columns} FROM results {condition}", values):  # noqa: S608 - our own text
            key, outcome, reason, detail, path, metadata, item, source, retrieved = row
            yield Result(key, outcome, reason, detail, path, json.loads(metadata)), item, source, retrieved

    def _count(self, query: str, *values: object) -> int:
        return int(self._db.execute(query, values).fetchone()[0])
