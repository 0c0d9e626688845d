"""Tasks: the reading of a corpus cut into pieces that workers do in any order, on one machine or on many.

A plan is a folder: `plan.json` (configuration and sources), `tasks/00003.json` (what one task reads), `skips/00003.json`
(items at which a worker died) and `parts/00003/` (what a finished task left: documents, drops and facts). A part
appears when it is whole, so a restart does the unfinished tasks only. How the corpus is cut depends on the files and
not on the workers, and neither does the result.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from sagecraft import artifact
from sagecraft.corpus import filters
from sagecraft.corpus.boilerplate import drop_boilerplate
from sagecraft.corpus.clean import clean
from sagecraft.corpus.dedup import DedupConfig
from sagecraft.corpus.documents import Document, Dropped, Shards
from sagecraft.corpus.facts import Facts, facts_of
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.marks import Marks, join, mark
from sagecraft.corpus.sources.files import Item, Listing, Source, cut_item, list_source, read_item
from sagecraft.errors import SagecraftError, UserError

#: What a task reads at most: small enough to spread and to repeat, large enough that starting it costs nothing.
_TASK_BYTES = 4 * 2**20
_TASK_ITEMS = 200
#: Documents a task holds in memory before it writes them.
_PART_DOCUMENTS = 500
#: Documents that are marked together: between 64 and 1,024 the speed is the same within a fifth.
_MARKED_TOGETHER = 128
#: Characters that wait to be marked, and marks that wait to be written (230 bytes each), at most.
_MARKED_CHARS = 8 * 2**20
_MARKS_IN_FILE = 1 << 14
#: Letters of a title that do not meet by chance.
_LONG_TITLE_CHARS = 16
_PLAN, _TASKS, _SKIPS, _PARTS = "plan.json", "tasks", "skips", "parts"
FACTS = "facts.jsonl"


class Watch(Protocol):
    """Told how a task gets on."""

    def item(self, number: int) -> None:
        """An item begins."""

    def read(self) -> None:
        """A row of the item was read; work on it begins."""

    def row(self) -> None:
        """A document or a drop was made of it."""

    def alive(self) -> None:
        """Something long goes on."""


class PlannedSource(BaseModel):
    """A source as it was listed.

    Attributes:
        source: where it is.
        share: part of its text to take.
        defaults: what its collections say of their modules.
        dropped: what its listing dropped.
        tasks: numbers of its tasks, in order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: Source
    share: tuple[float, float]
    defaults: dict[str, dict[str, Any]]
    dropped: list[Dropped]
    tasks: list[int]


class Plan(BaseModel):
    """What is to be read and what is kept of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    filters: FilterConfig
    dedup: DedupConfig
    sources: list[PlannedSource]

    @property
    def num_tasks(self) -> int:
        """Tasks of all sources."""
        return sum(len(source.tasks) for source in self.sources)


class Task(BaseModel):
    """What one worker reads at a time: items of one source."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: int
    items: list[Item]


class Skip(BaseModel):
    """Where a worker died: that is kept aside instead of read again.

    Attributes:
        item: number in its task.
        row: documents and drops that the item had given before.
        is_rest: it died while it read, so nothing behind that row can be had; otherwise at work on the row itself.
        reason: short and countable.
        detail: one line.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    item: int
    row: int
    is_rest: bool
    reason: str
    detail: str


def make_plan(
    folder: Path, rules: FilterConfig, dedup: DedupConfig, sources: list[tuple[Source, tuple[float, float]]]
) -> Plan:
    """Lists every source and writes the plan; finished parts of the same plan stay."""
    planned: list[PlannedSource] = []
    (folder / _PARTS).mkdir(parents=True, exist_ok=True)
    (folder / _TASKS).mkdir(parents=True, exist_ok=True)
    count = 0
    for number, (source, share) in enumerate(sources):
        listing = list_source(_absolute(source))
        tasks = []
        for items in _cut(listing):
            artifact.write_text(_task_file(folder, count), Task(source=number, items=items).model_dump_json())
            tasks.append(count)
            count += 1
        planned.append(
            PlannedSource(
                source=_absolute(source),
                share=share,
                defaults=listing.defaults,
                dropped=listing.dropped,
                tasks=tasks,
            )
        )
    plan = Plan(filters=rules, dedup=dedup, sources=planned)
    artifact.write_text(folder / _PLAN, plan.model_dump_json())
    return plan


def _absolute(source: Source) -> Source:
    """Workers may run elsewhere: their paths do not depend on where they stand."""
    try:
        str(source.path.absolute()).encode()
    except UnicodeEncodeError as error:
        shown = source.written.encode("utf-8", "backslashreplace").decode()
        raise UserError(f"{shown}: its path is not UTF-8; rename it") from error
    return dataclasses.replace(source, path=source.path.absolute())


def _cut(listing: Listing) -> Iterator[list[Item]]:
    items: list[Item] = []
    size = 0
    for item in itertools.chain.from_iterable(cut_item(item, _TASK_BYTES) for item in listing.items):
        if items and (size + item.num_bytes > _TASK_BYTES or len(items) >= _TASK_ITEMS):
            yield items
            items, size = [], 0
        items.append(item)
        size += item.num_bytes
    if items:
        yield items


def load_plan(folder: Path) -> Plan:
    """Reads the plan of a folder."""
    return Plan.model_validate_json((folder / _PLAN).read_text(encoding="utf-8"))


def load_task(folder: Path, number: int) -> Task:
    """Reads one task."""
    return Task.model_validate_json(_task_file(folder, number).read_text(encoding="utf-8"))


def _task_file(folder: Path, number: int) -> Path:
    return folder / _TASKS / f"{number:05d}.json"


def part_folder(folder: Path, number: int) -> Path:
    """Where a finished task left its documents; the folder is there if it is finished."""
    return folder / _PARTS / f"{number:05d}"


def clear_abandoned(folder: Path) -> None:
    """Removes what killed workers left half-done. Not where other machines may be at work on the same plan."""
    for left in (folder / _PARTS).glob("*.work-*"):
        shutil.rmtree(left)


def unfinished(folder: Path, plan: Plan) -> list[int]:
    """Numbers of the tasks that are still to be done, those with the most to read first."""
    left = [number for number in range(plan.num_tasks) if not part_folder(folder, number).is_dir()]
    sizes = {number: sum(item.num_bytes for item in load_task(folder, number).items) for number in left}
    return sorted(left, key=lambda number: (-sizes[number], number))


def load_skips(folder: Path, number: int) -> list[Skip]:
    """Items of a task at which workers died."""
    file = folder / _SKIPS / f"{number:05d}.json"
    return [Skip.model_validate(row) for row in artifact.read_json(file)] if file.is_file() else []


def add_skip(folder: Path, number: int, skip: Skip) -> None:
    """Remembers an item at which a worker died."""
    skips = [*load_skips(folder, number), skip]
    artifact.write_json(folder / _SKIPS / f"{number:05d}.json", [each.model_dump() for each in skips])


def marks_of(part: Path) -> Iterator[Marks]:
    """The marks of a part's documents, in their order."""
    return (Marks.read(file) for file in sorted(part.glob("marks-*.npz")))


class PartWriter:
    """Writes a part: documents with their facts and marks, and drops, in batches.

    A part may hold millions of documents, since a file is read as a whole: nothing of them is held until the end.
    """

    def __init__(self, folder: Path, dedup: DedupConfig, source: int) -> None:
        self._folder = folder
        self._dedup = dedup
        self._source = source
        self._shards = Shards(folder, _PART_DOCUMENTS)
        self._facts: list[Facts] = []
        self._batch: list[Document] = []
        self._batch_chars = self._num_files = 0
        self._marks: list[Marks] = []

    def keep(self, document: Document, facts: Facts) -> None:
        """Adds a document."""
        self._shards.keep(document)
        self._facts.append(facts)
        self._batch.append(document)
        self._batch_chars += len(document.text)
        if len(self._batch) >= _MARKED_TOGETHER or self._batch_chars >= _MARKED_CHARS:
            self._mark()

    def drop(self, dropped: Dropped) -> None:
        """Adds what was kept aside."""
        self._shards.drop(dropped)

    def finish(self) -> None:
        """Writes what is left."""
        self._shards.flush(always=True)
        self._mark()
        self._write_marks()

    def _mark(self) -> None:
        self._marks.append(mark(self._batch, self._dedup, self._source))
        self._batch, self._batch_chars = [], 0
        with (self._folder / FACTS).open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{row.model_dump_json()}\n" for row in self._facts)
        self._facts = []
        if sum(map(len, self._marks)) >= _MARKS_IN_FILE:
            self._write_marks()

    def _write_marks(self) -> None:
        if self._marks:
            join(self._marks).write(self._folder / f"marks-{self._num_files:05d}.npz")
            self._marks, self._num_files = [], self._num_files + 1


def run_task(folder: Path, plan: Plan, number: int, watch: Watch) -> None:
    """Does one task: reads, cleans, filters, marks, and leaves its part.

    Args:
        folder: of the plan.
        plan: the plan.
        number: which task.
        watch: told how it gets on.
    """
    task = load_task(folder, number)
    planned = plan.sources[task.source]
    # Of no other worker on any machine: a task that is requeued may find its own number of process taken.
    work = Path(tempfile.mkdtemp(prefix=f"{number:05d}.work-", dir=folder / _PARTS))
    writer = PartWriter(work, plan.dedup, task.source)
    for row in _rows(planned, task, load_skips(folder, number), work / "unpacked", watch):
        judged = _judge_safely(row, plan.filters) if isinstance(row, Document) else row
        if isinstance(judged, Dropped):
            writer.drop(judged)
        else:
            writer.keep(*judged)
        watch.row()
    writer.finish()
    try:
        work.rename(part_folder(folder, number))
    except OSError:
        if not part_folder(folder, number).is_dir():
            raise
        shutil.rmtree(work)  # a worker that was thought dead has finished it; both hold the same


def _rows(
    planned: PlannedSource, task: Task, skips: list[Skip], scratch: Path, watch: Watch
) -> Iterator[Document | Dropped]:
    for number, item in enumerate(task.items):
        watch.item(number)
        name = f"{planned.source.label}/{item.name}".rstrip("/")
        source = planned.source.location(item.path)
        known = [skip for skip in skips if skip.item == number]
        is_empty = True
        try:
            rows = read_item(planned.source, item, planned.defaults, scratch, watch.alive)
            for row in _without(known, rows, Dropped(name, source, ""), watch):
                is_empty = False
                yield row
            if is_empty and item.lines is None:
                yield Dropped(name, source, "no-documents", "it holds none: no rows, no files")
        except SagecraftError:
            raise
        except Exception as error:
            yield _failed(name, source, error)


def _without(
    skips: list[Skip], rows: Iterator[Document | Dropped], drop: Dropped, watch: Watch
) -> Iterator[Document | Dropped]:
    """The rows of an item, those at which a worker died as drops: one of a million costs the others nothing."""
    bad = {skip.row: skip for skip in skips if not skip.is_rest}
    rest = next((skip for skip in skips if skip.is_rest), None)
    for number in itertools.count():
        if rest is not None and number == rest.row:
            behind = f"; {number:,} before it are kept, and none behind it is read" if number else ""
            yield dataclasses.replace(drop, reason=rest.reason, detail=rest.detail + behind)
            return
        row = next(rows, None)
        if row is None:
            return
        watch.read()
        if number in bad:
            yield Dropped(row.id, row.source, bad[number].reason, bad[number].detail, row.text)
        else:
            yield row


def _failed(name: str, source: str, error: Exception) -> Dropped:
    """A stranger's file that breaks what reads it is kept aside like any other; the rest of the corpus is read."""
    if isinstance(error, MemoryError):
        return Dropped(name, source, "reader-memory", "it needs more memory than a worker has")
    detail = f"{type(error).__name__}: {str(error)[:200]}".encode("utf-8", "backslashreplace").decode()
    return Dropped(name, source, "reader-failed", detail)


def _judge_safely(row: Document, rules: FilterConfig) -> tuple[Document, Facts] | Dropped:
    """One row of a file of a million that cannot be cleaned must not cost the others."""
    try:
        return _judge(row, rules)
    except SagecraftError:
        raise
    except Exception as error:
        return _failed(row.id, row.source, error)


def _judge(row: Document, rules: FilterConfig) -> tuple[Document, Facts] | Dropped:
    """Cleans and measures a document and applies the filters."""
    title = clean(row.title)
    text, num_boilerplate = drop_boilerplate(clean(row.text))
    document = dataclasses.replace(row, title=title, text=with_title(title, text))
    facts = facts_of(document, num_boilerplate)
    drop = filters.judge(document, facts.language, facts.measures, rules)
    if drop is None:
        return document, facts
    return Dropped(document.id, document.source, drop.reason, drop.detail, document.text)


def with_title(title: str, text: str) -> str:
    """The text with its title as first heading, unless it opens with the title already."""
    wanted = _letters(title)
    opening = text[: 3 * len(title) + 300]
    # A title of one word stands in many a first sentence that is none.
    has_title = (
        any(_letters(line) == wanted for line in opening.split("\n"))
        if len(wanted) < _LONG_TITLE_CHARS
        else wanted in _letters(opening)
    )
    if not wanted or has_title:
        return text
    return f"# {' '.join(title.split())}\n\n{text}"


def _letters(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())
