"""Rows of conversations: what a question becomes, and their order, which no memory has to hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from sagecraft.artifact import keyed_hash
from sagecraft.chat.messages import Conversation, Lineage, Message
from sagecraft.synthesis.reasoning import thought

if TYPE_CHECKING:
    from sagecraft.synthesis.pairs import Pair
    from sagecraft.synthesis.synth import SynthConfig

#: One in so many, for shares decided by a keyed hash.
_PARTS = 1_000_000
_BUCKETS = 256
#: Characters of rows that are held before they go to their buckets.
_HELD_CHARS = 4_000_000


def conversations_of(config: SynthConfig, pair: Pair) -> Iterator[Conversation]:
    """The rows of one question: with the switch on, off, or one of each."""
    draw = keyed_hash(config.seed, "switch", pair.id)
    candidate = pair.candidate
    both = candidate.thought is not None or draw % _PARTS < config.share_thinking * _PARTS
    states: tuple[Literal["on", "off"], ...] = ("on", "off") if both else ("on",) if (draw >> 32) % 2 else ("off",)
    for state in states:
        thinks = candidate.thought or thought(candidate, pair.ground, config.seed, pair.id) if state == "on" else None
        shows = state == "off" and candidate.shows_steps
        answer = f"{candidate.thought}\n\n{candidate.answer}" if shows else candidate.answer
        yield Conversation(
            id=f"{pair.id}-{state}",
            messages=(
                Message(role="user", content=candidate.question),
                Message(role="assistant", content=answer, thinking=thinks),
            ),
            thinking=state,
            kind=candidate.kind,
            rule=candidate.rule,
            source=pair.source,
            license=pair.license,
            lineage=tuple(_lineage(pair)),
        )


def _lineage(pair: Pair) -> Iterator[Lineage]:
    """What a pair rests on; one about the record rests on no sentence, but on the document all the same."""
    for position, text in zip(pair.candidate.positions, pair.sentences, strict=True):
        yield Lineage(document=pair.document, sentence=text, position=position)
    for text in pair.candidate.ground if pair.sentences else pair.candidate.ground or ("",):
        yield Lineage(document=pair.document, sentence=text)


class Sorted:
    """Rows in the order of a hash: they lie in buckets on disk, and one bucket is sorted at a time.

    Args:
        folder: for the buckets; what is in it goes.
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        self._folder = folder
        self._held: list[list[str]] = [[] for _ in range(_BUCKETS)]
        self._num_chars = 0

    def add(self, key: int, row: Mapping[str, Any]) -> None:
        """Adds a row with a 64-bit key; rows of equal keys are put in the order of their text."""
        line = f"{key:016x}\t{json.dumps(row, ensure_ascii=False)}\n"
        self._held[key >> 56].append(line)
        self._num_chars += len(line)
        if self._num_chars > _HELD_CHARS:
            self._put_down()

    def _put_down(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for number, lines in enumerate(self._held):
            if lines:
                with self._bucket(number).open("a", encoding="utf-8", newline="\n") as file:
                    file.writelines(lines)
                lines.clear()
        self._num_chars = 0

    def _bucket(self, number: int) -> Path:
        return self._folder / f"{number:02x}.jsonl"

    def write(self, path: Path) -> int:
        """Writes all rows, one a line, and returns how many; the buckets go."""
        count = 0
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for number, held in enumerate(self._held):
                count += self._write_bucket(number, held, file)
        shutil.rmtree(self._folder, ignore_errors=True)
        return count

    def _write_bucket(self, number: int, held: list[str], file: IO[str]) -> int:
        bucket = self._bucket(number)
        lines = list(held)
        if bucket.exists():
            # By "\n" only: a text may hold other characters that end a line for `splitlines`.
            with bucket.open(encoding="utf-8", newline="\n") as rows:
                lines += rows
        lines.sort()
        file.writelines(line.split("\t", 1)[1] for line in lines)
        return len(lines)
