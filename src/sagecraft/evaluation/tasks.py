"""Tasks: files of multiple-choice questions, read strictly.

CSV and TSV (with a header), JSONL, JSON lists and Parquet with a column `question`, options as columns `A`, `B`, … or
`choice0`, `choice1`, … or one list `choices`, and, if the set is keyed, `answer` as a letter or a 0-based index. Also
the forms of public sets (`forms.py`).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation import forms

LETTERS = "ABCDEFGHIJ"
MIN_OPTIONS, MAX_OPTIONS = 2, len(LETTERS)
#: Largest file, and longest question or option in characters: a corpus given by mistake stops here.
_MAX_FILE_BYTES = 512 << 20
_MAX_TEXT_CHARS = 100_000
_SUFFIXES = (".jsonl", ".csv", ".tsv", ".json", ".parquet")
_KNOWN = ("question", "answer", "choices", "id", "topic", "subject", "kind", "article")
_NUMBERED_CHOICE = re.compile(r"choice_?(\d{1,2})")

Row = tuple[str, dict[str, Any]]  # place ("file: line 3"), columns


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
        sha256: of the file; of a folder, of its files.
        keyed: every item has an answer (otherwise none has).
    """

    items: list[Item]
    name: str
    sha256: str
    keyed: bool


def read_task(path: Path) -> Task:
    """Reads a task: a file, a benchmark folder (`items.jsonl`), or a folder with `questions.*` anywhere below it.

    A folder as public sets are laid out (`test-00000-of-00001.parquet`) gives its split `test`.

    Raises:
        UserError: names the file, the line and the column.
    """
    path = Path(path)
    files = _files(path)
    rows = (row for file in files for row in _rows(file))
    items = _items(rows, path)
    keyed = items[0].key is not None
    named = path.stem if path.is_file() else path.name
    name = path.resolve().parent.name if named in ("questions", "items") else named
    hashes = [artifact.sha256_file(file) for file in files]
    return Task(items, name, hashes[0] if len(files) == 1 else artifact.digest_of(hashes), keyed)


def choose(items: list[Item], max_items: int | None, seed: int) -> list[Item]:
    """At most `max_items`, drawn by a key (the head of a file sorted by topic is no sample); the order stays."""
    if max_items is None or max_items >= len(items):
        return items
    drawn = sorted(items, key=lambda item: (artifact.keyed_hash(seed, "item", item.id), item.id))[:max_items]
    kept = {item.id for item in drawn}
    return [item for item in items if item.id in kept]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file; give a CSV, JSONL or Parquet file of questions")
    if (path / "items.jsonl").is_file():
        return [path / "items.jsonl"]
    found = sorted(file for file in path.rglob("questions.*") if file.suffix in _SUFFIXES and file.is_file())
    found = found or sorted(file for file in path.rglob("test-*-of-*.parquet") if file.is_file())
    folders = sorted({file.parent.name for file in found if file.name.startswith("test-")})
    if len(folders) > 1:
        raise UserError(f"{path}: holds several sets ({', '.join(folders)[:200]}); name the folder of one")
    if not found:
        raise UserError(
            f"{path}: neither items.jsonl, nor questions.jsonl, .csv or .parquet, nor a split test-….parquet below it; "
            "name the file"
        )
    return found


def _rows(path: Path) -> Iterator[Row]:
    size = path.stat().st_size
    if size > _MAX_FILE_BYTES:
        raise UserError(f"{path}: {size >> 20:,} MB is too large for questions (limit 512 MB); is it the right file?")
    if path.suffix not in _SUFFIXES:
        raise UserError(f"{path}: unknown kind of file; questions are read from {', '.join(_SUFFIXES)}")
    readers = {".jsonl": _jsonl_rows, ".csv": _csv_rows, ".tsv": _csv_rows, ".json": _json_rows}
    try:
        for place, row in readers.get(path.suffix, _parquet_rows)(path):
            yield place, forms.adapt(row, place)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _csv_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True, delimiter="\t" if path.suffix == ".tsv" else ",")
        try:
            first = next(reader, [])
            unnamed = forms.headerless(first)
            header = unnamed or [_column(name) for name in first]
            twice = sorted({name for name in header if header.count(name) > 1})
            if twice:
                raise UserError(f"{path}: line 1, column {twice[0]}: stands there twice; rename one")
            if unnamed:
                yield f"{path}: line 1", dict(zip(header, first, strict=True))
            line = reader.line_num + 1
            for cells in reader:
                place, line = f"{path}: line {line}", reader.line_num + 1
                if not any(cell.strip() for cell in cells):
                    continue
                if len(cells) != len(header):
                    raise UserError(f"{place}: {len(cells)} columns, the header has {len(header)}; quote the commas")
                yield place, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise UserError(f"{path}: line {reader.line_num}: not valid CSV ({error}); mend the quotes") from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                place = f"{path}: line {number}"
                yield place, _object(_parsed(line, place), place)


def _json_rows(path: Path) -> Iterator[Row]:
    value = _parsed(path.read_text(encoding="utf-8-sig"), str(path))
    if not isinstance(value, list):
        raise UserError(f"{path}: expected a JSON list of questions, found {type(value).__name__}")
    for number, row in enumerate(value, start=1):
        place = f"{path}: entry {number}"
        yield place, _object(row, place)


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}: row {number}", {_column(str(name)): value for name, value in row.items()}
    except pa.ArrowException as error:
        raise UserError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from error


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not valid JSON ({error}); mend or remove it") from error


def _object(value: Any, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{place}: expected a JSON object, found {type(value).__name__}")
    return {_column(name): cell for name, cell in value.items()}


def _column(name: str) -> str:
    """`question`, `Question ` and `A`, `a` mean the same; other names stay as they are."""
    name = name.strip()
    if len(name) == 1 and name.upper() in LETTERS:
        return name.upper()
    low = name.lower()
    return low if low in _KNOWN or _NUMBERED_CHOICE.fullmatch(low) else name


def _items(rows: Iterable[Row], path: Path) -> list[Item]:
    items: list[Item] = []
    places: dict[str, str] = {}
    for place, row in rows:
        item = _item(place, row, len(items) + 1)
        if item.id in places:
            raise UserError(f"{place}, column id: {item.id!r} was given at {places[item.id]}; ids must differ")
        if items and bool(item.target) != bool(items[0].target):
            raise UserError(f"{place}: a number is asked for in some rows and a choice in others; split the file")
        if items and (item.key is None) != (items[0].key is None):
            state = "has none while earlier rows have" if item.key is None else "has one while earlier rows have none"
            raise UserError(f"{place}, column answer: {state}; give every row its key, or none")
        places[item.id] = place
        items.append(item)
    if not items:
        raise UserError(f"{path}: no questions in it")
    return items


def _item(place: str, row: dict[str, Any], position: int) -> Item:
    question = _text(row.get("question"), place, "question", row)
    target = forms.target_of(row, place)
    options, used = ((), {"target"}) if target else _options(place, row)
    given = row.get("id")
    rest = {name: value for name, value in row.items() if name not in _KNOWN and name not in used}
    return Item(
        id=str(given) if given not in (None, "") else f"{position:05d}",
        question=question,
        options=options,
        answer=None if target else _answer(row.get("answer"), options, place),
        topic=_label(row.get("topic") or row.get("subject")),
        kind=_label(row.get("kind")),
        article=_label(row.get("article")),
        extra=rest,
        target=target,
    )


def _label(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _text(value: Any, place: str, column: str, row: Mapping[str, Any]) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{place}, column {column}: expected a text, found {type(value).__name__}")
    text = (value or "").strip()
    if not text:
        state = "empty" if column in row else f"missing (there is: {', '.join(map(str, list(row)[:12]))})"
        raise UserError(f"{place}, column {column}: {state}; every question needs its text and its options")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError(f"{place}, column {column}: holds half a character (a lone surrogate); mend the text")
    if len(text) > _MAX_TEXT_CHARS:
        raise UserError(f"{place}, column {column}: {len(text):,} characters (limit {_MAX_TEXT_CHARS:,})")
    return text


def _options(place: str, row: dict[str, Any]) -> tuple[tuple[str, ...], set[str]]:
    """The options, and the columns they came from."""
    if row.get("choices") not in (None, ""):
        listed = row["choices"]
        if isinstance(listed, str):
            listed = _parsed(listed, f"{place}, column choices")
        if not isinstance(listed, list):
            raise UserError(f"{place}, column choices: expected a list of texts, found {type(listed).__name__}")
        cells = {f"choices[{index}]": value for index, value in enumerate(listed)}
        used = {"choices"}
    else:
        numbered = sorted((int(m[1]), name) for name in row if (m := _NUMBERED_CHOICE.fullmatch(name)))
        names = [name for name in LETTERS if name in row] or [name for _, name in numbered]
        used = set(names)
        while names and row[names[-1]] in (None, ""):  # sets with rows of different lengths leave the last ones empty
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
    elif isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer():
        index = int(value)
    last = len(options) - 1
    if index is None or not 0 <= index <= last:
        shown = repr(value)[:60]
        raise UserError(
            f"{place}, column answer: {shown} is neither a letter A to {LETTERS[last]} nor an index 0 to {last}"
        )
    return index
