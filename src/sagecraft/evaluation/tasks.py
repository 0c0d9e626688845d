"""Tasks: files of multiple-choice questions, read strictly.

Rows (`rows.py`) with a column `question`, options as columns `A`, `B`, … or `choice0`, `choice1`, … or one list
`choices`, and, if the set is keyed, `answer` as a letter or a 0-based index; or whatever a user says these are called
(`columns.py`). Also the forms of public sets (`forms.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation import columns, forms
from sagecraft.evaluation.columns import KNOWN, NUMBERED_CHOICE, Columns, Names, is_whole
from sagecraft.evaluation.rows import SUFFIXES, Faults, parse_json, read_rows

LETTERS = columns.LETTERS
MIN_OPTIONS, MAX_OPTIONS = 2, len(LETTERS)
#: Longest question or option, and longest id, topic, kind or article, in characters; most questions of a task.
_MAX_TEXT_CHARS, _MAX_LABEL_CHARS, _MAX_ITEMS = 100_000, 1000, 500_000
#: One subject of a set that its authors packed as a file each: its name is the topic.
_SUBJECT = re.compile(r"(.+)_(?:test|dev|val)\.csv")
#: Levels of lists and objects in further columns; what lies deeper is kept as text.
_MAX_DEPTH = 20


@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: unique in its task.
        question: the question.
        options: 2 to 10 texts, in the order of their letters; none where a number is asked for.
        answer: index of the right option; None if the set has no key.
        topic: for scores by topic.
        kind: for scores by kind (`withheld`, `taught`).
        article: where it comes from; questions on one article are not independent of each other.
        extra: whatever other columns the row has.
        target: the right number, where one is asked for.
        shots: solved questions that are shown before it, in this order; they have none themselves.
        passage: text that is shown above it, to be read for the answer; no part of its digest.
    """

    id: str
    question: str
    options: tuple[str, ...]
    answer: int | None
    topic: str = ""
    kind: str = ""
    article: str = ""
    extra: dict[str, Any] = field(default_factory=dict)
    target: str = ""
    shots: tuple[Item, ...] = ()
    passage: str = ""

    @property
    def letters(self) -> str:
        """The letters of the options."""
        return LETTERS[: len(self.options)]

    @property
    def digest(self) -> str:
        """Hash of what is asked, without the examples: two files mean the same item only if it is equal."""
        return artifact.digest_of([self.question, self.options, self.target or self.answer])

    @property
    def key(self) -> str | None:
        """The right letter or number; None if the set has no key."""
        return self.target or (None if self.answer is None else self.letters[self.answer])


@dataclass(frozen=True)
class Task:
    """A set of questions.

    Attributes:
        items: in the order of the file.
        name: of the file or folder.
        sha256: of the file; of a folder, of its files; with the names of columns, where a user gave them.
        keyed: every item has an answer (otherwise none has).
    """

    items: list[Item]
    name: str
    sha256: str
    keyed: bool


def read_task(path: Path, names: Names | None = None) -> Task:
    """Reads a task: a file, a benchmark folder (`items.jsonl`), or a folder with `questions.*` anywhere below it.

    A folder as public sets are laid out (`test-00000-of-00001.parquet`) gives its split `test`; one with a file a
    subject (`logic_test.csv`) all of them, with subjects as topics.

    Args:
        path: of the task.
        names: what its columns are called, where that is not what is expected.

    Raises:
        UserError: a line for each fault, with file, line and column.
    """
    path = Path(path)
    files = task_files(path)
    names = names or {}
    items = _items(files, path, names)
    named = path.stem if path.is_file() else path.name
    name = path.resolve().parent.name if named in ("questions", "items") else named
    sha256 = files_sha256(files)
    return Task(items, name, artifact.digest_of([sha256, names]) if names else sha256, items[0].key is not None)


def choose(items: list[Item], max_items: int | None, seed: int) -> list[Item]:
    """At most `max_items`, drawn by a key (the head of a file sorted by topic is no sample); the order stays."""
    if max_items is None or max_items >= len(items):
        return items
    drawn = sorted(items, key=lambda item: (artifact.keyed_hash(seed, "item", item.id), item.id))[:max_items]
    kept = {item.id for item in drawn}
    return [item for item in items if item.id in kept]


def files_sha256(files: Sequence[Path]) -> str:
    """Hash of a file, or of several."""
    hashes = [artifact.sha256_file(file) for file in files]
    return hashes[0] if len(hashes) == 1 else artifact.digest_of(hashes)


def task_files(path: Path) -> list[Path]:
    """The files that a task is read from.

    Raises:
        UserError: there are none, or those of several sets.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file; give a CSV, JSONL or Parquet file of questions")
    if (path / "items.jsonl").is_file():
        return [path / "items.jsonl"]
    found = sorted(file for file in path.rglob("questions.*") if file.suffix in SUFFIXES and file.is_file())
    found = found or sorted(file for file in path.rglob("test-*-of-*.parquet") if file.is_file())
    for split in ("test", "dev", "val"):
        found = found or sorted(file for file in path.glob(f"*_{split}.csv") if file.is_file())
    folders = sorted({file.parent.name for file in found if file.name.startswith("test-")})
    if len(folders) > 1:
        raise UserError(f"{path}: holds several sets ({', '.join(folders)[:200]}); name the folder of one")
    if not found:
        raise UserError(
            f"{path}: neither items.jsonl, nor questions.jsonl, .csv or .parquet, nor a split test-….parquet below it, nor …_test.csv in it; "
            "name the file"
        )
    return found


def _items(files: Sequence[Path], path: Path, names: Names) -> list[Item]:
    items: list[Item] = []
    places: dict[str, str] = {}
    faults, unnamed = Faults(), Faults()
    for file in files:
        named = Columns(names)
        subject = _SUBJECT.fullmatch(file.name) if len(files) > 1 else None
        for place, row in read_rows(file, named, faults):
            if subject and not row.keys() & {"topic", "subject"}:
                row["topic"] = subject[1]
            try:
                item = _item(place, row, len(items) + 1)
                _fits(item, items, places, place)
            except UserError as error:
                faults.add(str(error))
                continue
            if len(items) == _MAX_ITEMS:
                raise UserError(f"{place}: more than {_MAX_ITEMS:,} questions; give a part of the file")
            places[item.id] = place
            items.append(item)
        for fault in named.faults(str(file)):
            unnamed.add(fault)
    unnamed.end()  # what else is wrong may follow from these
    faults.end()
    if not items:
        raise UserError(f"{path}: no questions in it")
    return items


def _fits(item: Item, items: list[Item], places: Mapping[str, str], place: str) -> None:
    """Whether a question goes together with those before it."""
    if item.id in places:
        raise UserError(f"{place}, column id: {item.id!r} was given at {places[item.id]}; ids must differ")
    if items and bool(item.target) != bool(items[0].target):
        raise UserError(f"{place}: a number is asked for in some rows and a choice in others; split the file")
    if items and (item.key is None) != (items[0].key is None):
        state = "has none while earlier rows have" if item.key is None else "has one while earlier rows have none"
        raise UserError(f"{place}, column answer: {state}; give every row its key, or none")


def _item(place: str, row: dict[str, Any], position: int) -> Item:
    question = _text(row.get("question"), place, "question", row)
    target = forms.target_of(row, place)
    options, used = ((), {"target"}) if target else _options(place, row)
    rest = {name: _plain(value) for name, value in row.items() if name not in KNOWN and name not in used}
    return Item(
        id=_label(row.get("id"), place, "id") or f"{position:05d}",
        question=question,
        options=options,
        answer=None if target else _answer(row.get("answer"), options, place),
        topic=_label(row.get("topic") or row.get("subject"), place, "topic"),
        kind=_label(row.get("kind"), place, "kind"),
        article=_label(row.get("article"), place, "article"),
        extra=rest,
        target=target,
    )


def _label(value: Any, place: str, column: str) -> str:
    text = "" if value is None or value != value else str(value).strip()  # NaN: pandas' empty cell
    if len(text) > _MAX_LABEL_CHARS:
        raise UserError(f"{place}, column {column}: {len(text):,} characters (limit {_MAX_LABEL_CHARS:,})")
    return _whole(text, place, column)


def _whole(text: str, place: str, column: str) -> str:
    """The text, if all of it can be written."""
    if not is_whole(text):
        raise UserError(f"{place}, column {column}: holds half a character (a lone surrogate); mend the text")
    return text


def _plain(value: Any, depth: int = 0) -> Any:
    """A cell that is kept as it is, in what JSON can hold: it is written down after hours of asking."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        return f"<{len(value):,} bytes>"
    if isinstance(value, dict | list) and depth < _MAX_DEPTH:
        if isinstance(value, list):
            return [_plain(cell, depth + 1) for cell in value]
        return {_plain(str(name)): _plain(cell, depth + 1) for name, cell in value.items()}
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _text(value: Any, place: str, column: str, row: Mapping[str, Any]) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool) and value == value:
        value = str(value)
    if value is not None and value == value and not isinstance(value, str):
        raise UserError(f"{place}, column {column}: expected a text, found {type(value).__name__}")
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        if column not in row:
            raise UserError(f"{place}, column {column}: missing; {columns.near(column, row)}; name it with --column")
        raise UserError(f"{place}, column {column}: empty; every question needs its text and its options")
    if len(text) > _MAX_TEXT_CHARS:
        raise UserError(f"{place}, column {column}: {len(text):,} characters (limit {_MAX_TEXT_CHARS:,})")
    return _whole(text, place, column)


def _options(place: str, row: dict[str, Any]) -> tuple[tuple[str, ...], set[str]]:
    """The options, and the columns they came from."""
    if row.get("choices") not in (None, ""):
        listed = row["choices"]
        if isinstance(listed, str):
            listed = parse_json(listed, f"{place}, column choices")
        if not isinstance(listed, list):
            raise UserError(f"{place}, column choices: expected a list of texts, found {type(listed).__name__}")
        cells = {f"choices[{index}]": value for index, value in enumerate(listed)}
        used = {"choices"}
    else:
        numbered = sorted((int(m[1]), name) for name in row if (m := NUMBERED_CHOICE.fullmatch(name)))
        names = [name for name in LETTERS if name in row] or [name for _, name in numbered]
        used = set(names)
        while names and (
            row[names[-1]] in (None, "") or row[names[-1]] != row[names[-1]]
        ):  # sets with rows of different lengths leave the last ones empty
            names.pop()
        cells = {name: row[name] for name in names}
        for name, letter in zip(names, LETTERS, strict=False):
            if name in LETTERS and name != letter:
                raise UserError(f"{place}, column {letter}: missing, though there is an option {name}")
    if not MIN_OPTIONS <= len(cells) <= MAX_OPTIONS:
        raise UserError(
            f"{place}: {len(cells)} options, {MIN_OPTIONS} to {MAX_OPTIONS} are needed; give columns A, B, … or `choices`"
        )
    return tuple(_text(value, place, name, cells) for name, value in cells.items()), used


def _answer(value: Any, options: tuple[str, ...], place: str) -> int | None:
    if value is None or value == "" or value != value:  # NaN: pandas' empty cell
        return None
    index: int | None = None
    if isinstance(value, str):
        text = value.strip()
        if len(text) == 1 and text.upper() in LETTERS:
            index = LETTERS.index(text.upper())
        elif re.fullmatch(r"\d{1,2}(\.0)?", text):
            index = int(float(text))
    elif isinstance(value, int) and not isinstance(value, bool):
        index = value
    elif isinstance(value, float) and value.is_integer():
        index = int(value)
    last = len(options) - 1
    if index is None or not 0 <= index <= last:
        shown = repr(value)[:60]
        raise UserError(
            f"{place}, column answer: {shown} is neither a letter A to {LETTERS[last]} nor an index 0 to {last}"
            + (" (indices count from 0)" if index == last + 1 else "")
        )
    return index
