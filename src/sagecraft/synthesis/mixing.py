"""General conversations beside those made from documents: several sets by weight, with their licences and sizes.

Sets are JSONL or Parquet, files or folders of them, in any form that `chat.forms` reads: OpenHermes and Infinity-Instruct
have ShareGPT's, Llama-Nemotron its own. Nothing is downloaded. A set is read twice: once to draw from all of it by a hash
of each row's text, which needs the hashes of the drawn rows only, and once to fetch them.
"""

from __future__ import annotations

import heapq
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.artifact import keyed_hash
from sagecraft.chat.forms import READ_COLUMNS
from sagecraft.chat.messages import Conversation, parse_conversation
from sagecraft.corpus.licenses import normalize_license
from sagecraft.errors import UserError
from sagecraft.evaluation.columns import is_whole

if TYPE_CHECKING:
    from sagecraft.corpus.overlap import Leaks

#: Rows made from documents, as the mixture calls them.
DOCUMENTS = "documents"
#: Bytes of a line of JSON; what is longer is no row of a conversation, and is not held.
_MAX_LINE = 32_000_000
#: Rows of which one must be readable before a run starts.
_TRIED = 20
_BATCH = 256
_PIECE = re.compile(r"\d|[^\W\d_]{1,7}|[^\w\s]+|\n")
_ENDINGS = (".jsonl", ".parquet")
#: A character of two halves, or one of them, which no file of UTF-8 can hold.
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
UNREADABLE, NO_ANSWER, IN_BENCHMARK = "unreadable", "no-answer", "in-benchmark"


class GeneralSource(BaseModel):
    """A set of general conversations."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: str = Field(min_length=1, description="JSONL or Parquet file, or a folder of them; nothing is downloaded")
    weight: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="its part of the general rows, against the other sets'"
    )
    license: str = Field(default="", description="licence of rows that state none themselves")
    max_tokens: int | None = Field(default=None, ge=1, description="tokens at most (estimated)")


class GeneralConfig(BaseModel):
    """General conversations to mix in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sources: tuple[GeneralSource, ...] = Field(
        default=(),
        description="sets to draw from, beside the input `general`; what one is short of the others give, by their weights",
    )
    share: float = Field(
        default=0.3, ge=0, lt=1,
        description="share of all rows taken from general sets, as far as they have so many: a model trained on "
        "questions of one field alone turns every answer into that field",
    )  # fmt: skip


def named_sets(config: GeneralConfig, chat: str | None = None) -> Iterator[tuple[str, str, str]]:
    """The sets that a recipe names: name of the stage's input, key in the recipe, and path as it is written there."""
    if chat:
        yield "general", "general.chat", chat
    for number, source in enumerate(config.sources):
        yield f"general{number}", f"synth.general.sources[{number}].path", source.path


def general_inputs(config: GeneralConfig) -> dict[str, Path]:
    """The sets that a configuration names, as inputs of the stage."""
    return {name: Path(written) for name, _, written in named_sets(config)}


def with_general(config: GeneralConfig, inputs: Mapping[str, Path]) -> dict[str, Path]:
    """Inputs with the sets of a configuration among them; those that are given already are taken as they are.

    Raises:
        UserError: a set that is not there, or in a form that nobody reads.
    """
    found = {**general_inputs(config), **inputs}
    for name, path in found.items():
        if name.startswith("general"):
            check_source(path)
    return found


def files_of(path: Path) -> list[Path]:
    """The files of a set.

    Raises:
        UserError: there are none.
    """
    if not path.exists():
        raise UserError(
            f"{path}: no such file or folder; give JSONL or Parquet of conversations (a set on a hub is not downloaded "
            "here: fetch it, and give the folder)"
        )
    found = sorted(file for file in path.rglob("*") if file.suffix in _ENDINGS) if path.is_dir() else [path]
    if not found or found[0].suffix not in _ENDINGS:
        raise UserError(f"{path}: neither JSONL nor Parquet; give a file that ends in .jsonl or .parquet, or a folder")
    return found


def check_source(path: Path) -> None:
    """Reads the first rows of a set, so that one in a form that nobody reads is found before a run.

    Raises:
        UserError: no files, or the first rows cannot be read; with the first fault.
    """
    first = ""
    for number, (where, raw) in enumerate(_raw_rows(path)):
        try:
            _parse(raw, where)
        except ValueError as error:
            first = first or f"{where}: {error}"
        else:
            return
        if number + 1 == _TRIED:
            break
    raise UserError(f"{first or f'{path}: holds no rows'}; mend the rows, or give another file")


def num_tokens(conversation: Conversation) -> int:
    """Tokens of what is said and thought in a conversation, estimated without a tokenizer.

    A digit, up to seven letters, or marks in a row are a token. Held against SmolLM2's: 1.01 of them for rows made of literature,
    0.93 for word problems, 0.90 to 0.97 for three general sets; characters by 4.3 gave 0.96, 0.73, and 0.91 to 1.19.
    """
    said = (text for message in conversation.messages for text in (message.content, message.thinking) if text)
    return sum(len(_PIECE.findall(text)) for text in said)


@dataclass
class Ledger:
    """What the rows of a mixture add up to, by where they come from.

    Attributes:
        figures: name of a set, or `DOCUMENTS` → counts of its rows: read, taken, left out and why.
        tokens: the same → tokens of the rows taken, estimated.
        licenses: the same → licence → rows taken.
    """

    figures: dict[str, Counter[str]] = field(default_factory=dict)
    tokens: Counter[str] = field(default_factory=Counter)
    licenses: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, name: str, row: Conversation) -> None:
        """Counts a row that is taken."""
        self.figures.setdefault(name, Counter())["rows"] += 1
        self.tokens[name] += num_tokens(row)
        self.licenses.setdefault(name, Counter())[row.license or "not stated"] += 1

    def as_stats(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            name: {
                "rows": 0,
                **dict(sorted(counts.items())),
                "tokens": self.tokens[name],
                "licenses": dict(sorted(self.licenses.get(name, Counter()).items())),
            }
            for name, counts in self.figures.items()
        }


@dataclass(frozen=True)
class _Set:
    """A set that is drawn from.

    Attributes:
        name: in figures.
        path: of the file or folder.
        config: weight, licence, limit.
    """

    name: str
    path: Path
    config: GeneralSource


@dataclass(frozen=True)
class _Drawn:
    """What is drawn of a set.

    Attributes:
        rows: (key, running number, tokens) of rows, by key.
        leaked: running number → the item that a row holds, of rows that would else be among them.
    """

    rows: list[tuple[int, int, int]]
    leaked: dict[int, dict[str, str]]


def mix(
    config: GeneralConfig, seed: int, inputs: Mapping[str, Path], num_own: int, leaks: Leaks | None,
    drop: Callable[[dict[str, Any]], None], ledger: Ledger,
) -> Iterator[Conversation]:  # fmt: skip
    """General rows up to their share; one without a switch is an answer at once, so `off`.

    Which rows are drawn depends on their texts and the seed only, not on their order or on the names of files. Memory is
    that of the keys of as many rows as are wanted, for each set.

    Args:
        config: the sets, their weights, the share of all rows.
        seed: of the draw.
        inputs: of the stage; those that begin with `general` are the sets.
        num_own: rows made from documents.
        leaks: what a benchmark asks, which no row may hold.
        drop: takes rows of `dropped.jsonl`: what cannot be read, what answers nothing, what a benchmark asks.
        ledger: takes the figures of each set.

    Raises:
        UserError: a set that is not there or of which no row can be read.
    """
    wanted = round(num_own * config.share / (1 - config.share))
    sets = _sets(config, inputs)
    if not wanted or not sets:
        return
    drawn, seen = [], set[int]()
    for each in sets:
        counts = ledger.figures.setdefault(each.name, Counter())
        found = _draw(each, seed, wanted, leaks, drop, counts)
        rows = [row for row in found.rows if row[0] not in seen]
        counts["repeated"] += len(found.rows) - len(rows)
        seen.update(key for key, _, _ in rows)
        drawn.append(_Drawn(_within(rows, each.config.max_tokens), found.leaked))
    numbers = allot(wanted, [each.config.weight for each in sets], [len(found.rows) for found in drawn])
    names: set[str] = set()
    for each, found, number in zip(sets, drawn, numbers, strict=True):
        taken = {place: key for key, place, _ in found.rows[:number]}
        for row in _fetch(each, taken, found.leaked, drop, ledger.figures[each.name]):
            # Sets number their rows alike; a file of conversations has each id once.
            row = row if row.id not in names else row.model_copy(update={"id": f"{row.id}-{_key(seed, row):016x}"})
            names.add(row.id)
            ledger.add(each.name, row)
            yield row


def _sets(config: GeneralConfig, inputs: Mapping[str, Path]) -> list[_Set]:
    sources = {f"general{number}": source for number, source in enumerate(config.sources)}
    if "general" in inputs:
        sources = {"general": GeneralSource(path=str(inputs["general"])), **sources}
    found: list[_Set] = []
    for name, source in sources.items():
        path = inputs[name]
        number = sum(each.path.name == path.name for each in found)
        found.append(_Set(f"{path.name} ({number + 1})" if number else path.name, path, source))
    return found


def allot(wanted: int, weights: Sequence[float], available: Sequence[int]) -> list[int]:
    """Rows of each set by weight; what a set is short of, the others give.

    Args:
        wanted: rows in all.
        weights: of the sets, above 0.
        available: rows that each has.

    Returns:
        (sets,) rows of each; together `wanted`, or all there are.
    """
    given = [0] * len(weights)
    left = min(wanted, sum(available))
    still = list(range(len(weights)))
    while still:
        total = sum(weights[number] for number in still)
        short = [number for number in still if available[number] <= left * weights[number] / total]
        if not short:
            break
        for number in short:
            given[number] = available[number]
        left -= sum(available[number] for number in short)
        still = [number for number in still if number not in short]
    if still:
        exact = {number: left * weights[number] / total for number in still}
        given = [given[number] if number not in exact else int(exact[number]) for number in range(len(given))]
        rest = left - sum(given[number] for number in still)
        for number in sorted(still, key=lambda number: (int(exact[number]) - exact[number], number))[:rest]:
            given[number] += 1
    return given


def _within(rows: list[tuple[int, int, int]], max_tokens: int | None) -> list[tuple[int, int, int]]:
    """The first rows that stay within a number of tokens."""
    if max_tokens is None:
        return rows
    total = 0
    for place, (_, _, tokens) in enumerate(rows):
        total += tokens
        if total > max_tokens:
            return rows[:place]
    return rows


def _draw(
    each: _Set,
    seed: int,
    wanted: int,
    leaks: Leaks | None,
    drop: Callable[[dict[str, Any]], None],
    counts: Counter[str],
) -> _Drawn:
    """The rows of the smallest keys: a reservoir that does not depend on the order of rows."""
    heap: list[tuple[int, int, int]] = []  # keys negative: the largest key, which goes first, stands first
    held: set[int] = set()
    leaked: list[tuple[int, int, dict[str, str]]] = []
    fault = ""
    for number, (where, raw) in enumerate(_raw_rows(each.path)):
        counts["read"] += 1
        try:
            row = _parse(raw, where)
        except ValueError as error:
            fault = fault or f"{where}: {error}"
            counts[UNREADABLE] += 1
            drop(_as_drop(where, UNREADABLE, cause=str(error)))
            continue
        if not _teaches(row):
            counts[NO_ANSWER] += 1
            drop(_as_drop(where, NO_ANSWER, row))
            continue
        key = _key(seed, row)
        if key in held:
            counts["repeated"] += 1
        elif len(heap) < wanted or key < -heap[0][0]:
            hits = leaks.find(_text(row)) if leaks is not None else []
            if hits:
                leaked.append((key, number, {"item": hits[0].item, "item_text": hits[0].item_text}))
                continue
            held.add(key)
            heapq.heappush(heap, (-key, number, num_tokens(row)))
            if len(heap) > wanted:
                held.discard(-heapq.heappop(heap)[0])
    if counts["read"] == counts[UNREADABLE]:
        raise UserError(
            f"{fault or f'{each.path}: holds no rows'}; no row of {each.path} can be read as a conversation"
        )
    rows = sorted((-key, number, tokens) for key, number, tokens in heap)
    bound = rows[-1][0] if len(rows) == wanted else 1 << 64
    return _Drawn(rows, {number: found for key, number, found in leaked if key < bound})


def _fetch(
    each: _Set, taken: Mapping[int, int], leaked: Mapping[int, Mapping[str, str]],
    drop: Callable[[dict[str, Any]], None], counts: Counter[str],
) -> Iterator[Conversation]:  # fmt: skip
    """The rows that were drawn, in the order of the set; those that a benchmark asks go to `drop`."""
    for number, (where, raw) in enumerate(_raw_rows(each.path)):
        if number in leaked:
            counts[IN_BENCHMARK] += 1
            row = _parse(raw, where)
            drop(_as_drop(row.id, IN_BENCHMARK, row, step="leak", **leaked[number]))
        elif number in taken:
            row = _parse(raw, where)
            yield row.model_copy(
                update={
                    "kind": "general" if row.kind == "chat" else row.kind,
                    "thinking": row.thinking or "off",
                    "source": row.source or each.name,
                    "license": normalize_license(row.license or each.config.license),
                }
            )


def _as_drop(
    name: str, reason: str, row: Conversation | None = None, step: str = "general", **more: str
) -> dict[str, Any]:
    kind, asked, text = ("general", "", "") if row is None else (row.kind, row.messages[0].content, _text(row))
    said = {"document": name, "sentence": "", "kind": kind, "question": asked, "answer": text}
    return {**said, "step": step, "reason": reason, **more}


def _teaches(row: Conversation) -> bool:
    """Whether an assistant says something."""
    return any(
        message.role == "assistant" and (message.content.strip() or message.tool_calls) for message in row.messages
    )


def _text(row: Conversation) -> str:
    return "\n".join(part for message in row.messages for part in (message.thinking, message.content) if part)


def _key(seed: int, row: Conversation) -> int:
    """Of the text alone: rows that say the same have one key, whatever set and form they stand in."""
    said = [part for message in row.messages for part in (message.role, message.content, message.thinking or "")]
    return keyed_hash(seed, "general", *said)


def _raw_rows(path: Path) -> Iterator[tuple[str, Any]]:
    """Rows of all files with their places: a line as bytes (None if it is too long), a row of Parquet as a dict."""
    for file in files_of(path):
        if file.suffix == ".parquet":
            yield from _parquet_rows(file)
            continue
        with file.open("rb") as lines:
            number = 0
            while line := lines.readline(_MAX_LINE):
                number += 1
                is_whole = len(line) < _MAX_LINE or line.endswith(b"\n")
                while not is_whole and (more := lines.readline(_MAX_LINE)):
                    is_whole = more.endswith(b"\n")
                    line = b""
                if not line or line.strip():
                    yield f"{file.name}:{number}", line or None


def _parquet_rows(file: Path) -> Iterator[tuple[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file.name}:{number}", row
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: not readable as Parquet ({str(error).splitlines()[0]}); fetch it again") from error


def _parse(raw: Any, where: str) -> Conversation:
    """A row as a conversation; columns that say nothing about its text are left out.

    Raises:
        ValueError: it is none; in one line.
    """
    if raw is None:
        raise ValueError(f"a line of more than {_MAX_LINE:,} bytes")
    try:
        row = json.loads(raw.decode("utf-8-sig")) if isinstance(raw, bytes) else raw
        if not isinstance(row, dict):
            raise ValueError(f"expected a JSON object, found {type(row).__name__}")
        if isinstance(raw, bytes) and _HALF.search(raw) and not is_whole(json.dumps(row, ensure_ascii=False)):
            raise ValueError("holds half a character (a lone surrogate)")
        kept = {key: value for key, value in row.items() if key in READ_COLUMNS and value is not None}
        return parse_conversation(kept, fallback_id=where)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 (byte {error.start} of the line)") from error
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
