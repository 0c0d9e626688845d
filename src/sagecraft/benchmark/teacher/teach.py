"""What a teacher writes, as drafts beside those of the rules, and what became of the rest."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.config import BenchConfig
from sagecraft.benchmark.drafts import WRITTEN, Draft
from sagecraft.benchmark.guesses import Option
from sagecraft.benchmark.teacher.checks import why_not
from sagecraft.benchmark.teacher.questions import SCHEMA, Written, ask_about
from sagecraft.teaching.sample import cut

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.inference.prices import Price
    from sagecraft.literature.passages import Passage
    from sagecraft.literature.reading import Reading
    from sagecraft.teaching.asking import Answer, Ask
    from sagecraft.teaching.desk import Desk

#: Requests that are given out at once; they and their replies are what is held.
_AT_ONCE = 512
#: Words of a passage from which on it holds something to ask.
_MIN_WORDS = 40


@dataclass
class Taught:
    """What a teacher wrote.

    Attributes:
        drafts: what passed the rules, in the order of the documents.
        dropped: what did not: document, question, reason.
        name: of the teacher.
        tokens: id of a draft → tokens read and written for it: its share of those of its passage.
    """

    drafts: list[Draft] = field(default_factory=list)
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    name: str = ""
    tokens: dict[str, tuple[float, float]] = field(default_factory=dict)
    price: Price | None = None


def passages_of(config: BenchConfig, documents: Path) -> Iterator[tuple[Reading, Passage]]:
    """The passages that may be asked about: of each document a few, drawn by seed."""
    from sagecraft.corpus.documents import read_documents
    from sagecraft.literature.reading import Reading

    assert config.teacher is not None
    for document in read_documents(documents):
        reading = Reading(document, config.seed)
        fit = [passage for passage in reading.passages if len(passage.text.split()) >= _MIN_WORDS]
        fit.sort(key=lambda passage: _place(config, passage))
        for passage in sorted(fit[: config.teacher.passages_per_document], key=lambda passage: passage.number):
            yield reading, passage


def _place(config: BenchConfig, passage: Passage) -> int:
    return keyed_hash(config.seed, "teach", passage.id)


def drawn(config: BenchConfig, documents: Path, count: int | None) -> tuple[int, int]:
    """The hash up to which passages are asked about, and how many there are in all."""
    return cut((_place(config, passage) for _, passage in passages_of(config, documents)), count)


def asks_up_to(desk: Desk[BenchConfig], documents: Path, limit: int) -> Iterator[tuple[Document, Ask[Written]]]:
    """Requests for the passages whose hash is at most `limit`, in the order of the documents."""
    teacher = desk.config.teacher
    assert teacher is not None
    for reading, passage in passages_of(desk.config, documents):
        if _place(desk.config, passage) <= limit:
            attempt = desk.attempts.get(passage.id, 0)
            yield reading.document, ask_about(passage, reading.summary, teacher.items_per_passage, attempt)


def write_items(desk: Desk[BenchConfig], documents: Path) -> Taught:
    """Has items written.

    Raises:
        UserError: the cost limit is reached, or no request can succeed; what came is kept.
        MachineError: the endpoint is down.
    """
    from sagecraft.teaching.asking import ask_all

    teacher = desk.config.teacher
    assert teacher is not None
    taught = Taught()
    limit = drawn(desk.config, documents, teacher.max_passages)[0] if teacher.max_passages else 1 << 64
    asks = asks_up_to(desk, documents, limit)
    with desk.writer("teacher", teacher) as writer:
        taught.name, taught.price = writer.name, writer.price
        while batch := list(itertools.islice(asks, _AT_ONCE)):
            answers = ask_all(writer, [ask for _, ask in batch], SCHEMA, teacher.repair_attempts, "items")
            for (document, _), answer in zip(batch, answers, strict=True):
                desk.add("teacher", answer)
                desk.counts["num_written"] += len(answer.objects)
                _sort(document, answer, taught)
        desk.tell_spending("teacher", writer)
    return taught


def _sort(document: Document, answer: Answer[Written], taught: Taught) -> None:
    """Items of one passage, by whether they pass the rules."""
    for written in answer.objects:
        if reason := why_not(written):
            taught.dropped.append((document.id, written.question, reason))
            continue
        draft = draft_of(document, written, taught.name)
        taught.drafts.append(draft)
        count = len(answer.objects)
        taught.tokens[draft.id] = (answer.tokens[0] / count, answer.tokens[1] / count)


def draft_of(document: Document, written: Written, name: str) -> Draft:
    """An item as a draft."""
    passage = written.passage
    sentences = [passage.sentences[number] for number in written.numbers]
    return Draft(
        document=document,
        form=WRITTEN,
        question=written.question,
        options=tuple(Option(text) for text in written.options),
        support=tuple((sentence.position, sentence.text) for sentence in sentences),
        section=passage.section,
        passage=passage.id,
        passage_text=passage.text,
        written_by=name,
        explanation=written.explanation,
    )


def show_sample(desk: Desk[BenchConfig], documents: Path, count: int) -> dict[str, Any]:
    """Asks about a few passages, which the whole run will not ask again, and says what came and what all would cost.

    Returns:
        What was said: items with what the rules have against them, failures, and of all passages tokens, USD and seconds.
    """
    from sagecraft.teaching.asking import ask_all
    from sagecraft.teaching.sample import project, say_sample

    teacher = desk.config.teacher
    assert teacher is not None
    limit, total = drawn(desk.config, documents, count)
    with desk.writer("teacher", teacher) as writer:
        asks = [ask for _, ask in asks_up_to(desk, documents, limit)]
        answers = ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "sample")
        projected = project(writer, answers, min(total, teacher.max_passages or total))
        desk.tell_spending("teacher", writer)
    shown = [_shown(answer.id, written) for answer in answers for written in answer.objects]
    for row in shown:
        verdict = f"dropped: {row['reason']}" if row["reason"] else "kept"
        console.say(f"  {row['passage']}  [{verdict}]\n    {row['question']}\n    {_listed(row['options'])}")
    return {"items": shown, "failures": say_sample(answers, len(shown), projected), "projected": projected}


def _shown(passage: str, written: Written) -> dict[str, Any]:
    return {
        "passage": passage,
        "question": written.question,
        "options": list(written.options),
        "explanation": written.explanation,
        "reason": why_not(written),
    }


def _listed(options: Sequence[str]) -> str:
    """The options, the right one first and marked."""
    return " | ".join([f"({options[0]})", *options[1:]])
