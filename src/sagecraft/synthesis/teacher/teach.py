"""What a model teaches: its questions about passages, judged like those of the rules, as one more part of the stage.

    passages → requests → replies (kept beside the artifact) → questions → rules, leaks and limits → part

The replies are what a killed run goes on from: they are found, not asked again, and the part is made from them anew.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.errors import UserError
from sagecraft.synthesis.grading.same import settled
from sagecraft.synthesis.teacher.exercises import as_dropped, problems_of, without_chain
from sagecraft.synthesis.teacher.questions import SCHEMA, ask_about
from sagecraft.synthesis.teacher.summaries import summaries_of
from sagecraft.synthesis.teacher.thoughts import with_thoughts
from sagecraft.teaching.asking import Answer, ask_all
from sagecraft.teaching.desk import Desk, open_desk
from sagecraft.teaching.models import inputs_of, resolved
from sagecraft.teaching.sample import cut

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.literature.passages import Passage
    from sagecraft.literature.reading import Reading
    from sagecraft.synthesis.candidate import Candidate
    from sagecraft.synthesis.rows import Sorted
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.synthesis.teacher.config import TeacherConfig
    from sagecraft.teaching.config import ModelConfig
    from sagecraft.teaching.writers import Writer

#: Requests that are given out at once; they and their replies are what is held.
_AT_ONCE = 512


def model_inputs(config: SynthConfig) -> dict[str, Path]:
    """Folders and files of the models that the stage asks here; endpoints are none.

    Raises:
        UserError: no such model, a grader that is the teacher, or kinds of a teacher that the stage does not take.
    """
    models = resolved("synth", models_of(config))
    kinds_of(config)
    if len({model.identity for model in models.values()}) < len(models):
        raise UserError(
            "synth.grader: is the teacher itself, which finds its own sentences good; give another model, or none"
        )
    return inputs_of(models)


def kinds_of(config: SynthConfig) -> tuple[str, ...]:
    """The kinds that the teacher is asked for; none without one.

    Raises:
        UserError: the stage takes none of those it is to be asked for.
    """
    if config.teacher is None:
        return ()
    kinds = tuple(kind for kind in config.teacher.kinds if kind in config.kinds)
    if not kinds:
        raise UserError(f"synth.teacher.kinds: none of them is among synth.kinds ({', '.join(config.kinds)})")
    return kinds


def from_options(
    teacher: str | None,
    grader: str | None,
    grader_url: str | None,
    sample: int | None,
    retry: bool,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The settings `teacher`, `grader` and `max_usd` of options; `given` are max_usd, base_url and max_passages.

    Raises:
        UserError: an option that would do nothing.
    """
    for name, value in {"sample": sample, **given}.items():
        needs_any = name == "max_usd"
        if value is not None and teacher is None and not (needs_any and grader is not None):
            raise UserError(f"--{name.replace('_', '-')}: is for --teacher, which is not given")
    if sample is not None and sample < 1:
        raise UserError(f"--sample {sample}: give a number of passages, such as 20")
    if retry and teacher is None and grader is None:
        raise UserError("--retry-failed: is for --teacher and --grader; give those of the run that had failures")
    if grader_url is not None and grader is None:
        raise UserError("--grader-url: is for --grader, which is not given")
    rest = {name: given[name] for name in ("base_url", "max_passages") if given[name] is not None}
    found: dict[str, Any] = {} if given["max_usd"] is None else {"max_usd": given["max_usd"]}
    if teacher is not None:
        found["teacher"] = {"model": teacher, **rest}
    if grader is not None:
        found["grader"] = {"model": grader, **({"base_url": grader_url} if grader_url else {})}
    return found


def models_of(config: SynthConfig) -> dict[str, ModelConfig | None]:
    """The models that the stage asks, by their roles."""
    return {"teacher": config.teacher, "grader": config.grader}


def desk_of(config: SynthConfig, inputs: Mapping[str, Path], out: Path) -> Desk[SynthConfig]:
    """The desk of the stage, which says what may be spent.

    Raises:
        UserError: a limit of cost without a price.
    """
    desk = open_desk("synth", config, inputs, out, models_of(config), config.max_usd)
    desk.tell_limit()
    return desk


def write_taught(desk: Desk[SynthConfig], documents: Path, leaks: Leaks | None, build: artifact.Build) -> Path:
    """The part of what the teacher taught: it reads like those of the rules.

    What was decided of its chains goes to `agreements.jsonl` of the artifact.

    Args:
        desk: of the stage, which has a teacher.
        documents: the artifact.
        leaks: what must not be taught.
        build: of the stage.

    Raises:
        UserError: the cost limit is reached, or no request can succeed; what came is kept.
        MachineError: the endpoint is down.
    """
    from sagecraft.synthesis.rows import Sorted

    teacher = desk.config.teacher
    assert teacher is not None
    part, agreements = build.scratch("parts") / "taught.jsonl", Sorted(build.scratch("agreements"))
    limit = drawn(desk.config, documents, teacher.max_passages)[0] if teacher.max_passages else 1 << 64
    with desk.writer("teacher", teacher) as writer:
        rows = taught(desk, writer, documents, leaks, limit)
        problems = problems_of(desk.config, documents, leaks)
        rows = itertools.chain(rows, with_thoughts(desk, writer, problems))
        artifact.write_jsonl(part, itertools.chain([{}], rows))
        desk.tell_spending("teacher", writer)
    if not teacher.thoughts and not teacher.exercises_share:
        return part
    settled_part = part.with_name("settled.jsonl")
    artifact.write_jsonl(settled_part, _settled(desk, artifact.read_jsonl(part), agreements, leaks))
    part.unlink()
    agreements.write(build.path / "agreements.jsonl")
    return settled_part


def _settled(
    desk: Desk[SynthConfig], rows: Iterator[dict[str, Any]], agreements: Sorted, leaks: Leaks | None
) -> Iterator[dict[str, Any]]:
    """Rows of a part with what the grader says of undecided chains; what was decided goes aside."""
    grader = desk.config.grader
    with desk.writer("grader", grader) if grader else nullcontext() as writer:
        for row, said in settled(desk, writer, rows) if writer else ((row, None) for row in rows):
            verdict = row.pop("agreement", None) or said
            if verdict:
                agreements.add(keyed_hash("agreement", verdict["id"]), verdict)
            thought = row["pair"]["candidate"]["thought"] if "pair" in row else None
            if thought and leaks is not None and leaks.find(thought):
                row["pair"]["candidate"]["thought"] = None  # the way tells what a benchmark asks; the pair does not
                desk.counts["num_thoughts_leaked"] += 1
            yield as_dropped(row) if without_chain(row) else row


def passages_of(config: SynthConfig, documents: Path) -> Iterator[tuple[Reading, int]]:
    """Readings of the documents that may be taught from, each passage as its number."""
    from sagecraft.corpus.documents import read_documents
    from sagecraft.literature.reading import Reading

    for document in read_documents(documents):
        if not document.withheld:
            reading = Reading(document, config.seed)
            for number in range(len(reading.passages)):
                yield reading, number


def drawn(config: SynthConfig, documents: Path, count: int | None) -> tuple[int, int]:
    """The hash up to which passages are asked about, and how many there are in all."""
    return cut(
        (_place(config, reading.passages[number].id) for reading, number in passages_of(config, documents)), count
    )


def _place(config: SynthConfig, passage: str) -> int:
    return keyed_hash(config.seed, "teach", passage)


def _readings_up_to(desk: Desk[SynthConfig], documents: Path, limit: int) -> Iterator[tuple[Reading, list[Passage]]]:
    """Documents, in their order, with those of their passages whose hash is at most `limit`."""
    config = desk.config
    for _, group in itertools.groupby(passages_of(config, documents), key=lambda entry: entry[0].document.id):
        entries = list(group)
        reading = entries[0][0]
        passages = (reading.passages[number] for _, number in entries)
        taken = [passage for passage in passages if _place(config, passage.id) <= limit]
        if taken:
            yield reading, taken


def taught(
    desk: Desk[SynthConfig], writer: Writer, documents: Path, leaks: Leaks | None, limit: int
) -> Iterator[dict[str, Any]]:
    """Pairs and drops of what the teacher writes about the passages up to a hash, with the chains that it is asked for."""
    teacher = desk.config.teacher
    assert teacher is not None
    rows = _judged(desk, teacher, writer, documents, leaks, limit)
    return with_thoughts(desk, writer, rows) if teacher.thoughts else rows


def _judged(
    desk: Desk[SynthConfig], teacher: TeacherConfig, writer: Writer, documents: Path, leaks: Leaks | None, limit: int
) -> Iterator[dict[str, Any]]:
    from sagecraft.synthesis.pairs import judged

    teacher = teacher.model_copy(update={"kinds": kinds_of(desk.config)})
    held: list[tuple[Reading, list[Passage]]] = []

    def answered() -> Iterator[dict[str, Any]]:
        answers = iter(_answers(desk, teacher, writer, held))
        for reading, passages in held:
            candidates: list[Candidate] = []
            for answer in itertools.islice(answers, len(passages)):
                desk.add("teacher", answer)
                candidates += answer.objects
            desk.counts["num_taught"] += len(candidates)
            texts = _texts(reading.document, candidates)
            yield from judged(desk.config, reading.document, candidates, texts, leaks, Counter())

    # Whole documents, so that limits a document see all of its questions.
    for entry in _readings_up_to(desk, documents, limit):
        held.append(entry)
        if sum(len(passages) for _, passages in held) >= _AT_ONCE:
            yield from answered()
            held = []
    if held:
        yield from answered()


def _answers(
    desk: Desk[SynthConfig], teacher: TeacherConfig, writer: Writer, held: Sequence[tuple[Reading, list[Passage]]]
) -> list[Answer[Candidate]]:
    """What the teacher replies about passages of some documents, in their order."""
    summaries = summaries_of(desk, writer, (reading for reading, _ in held))
    asks = []
    for reading, passages in held:
        summary = summaries.get(reading.document.id, reading.summary)
        for passage in passages:
            attempt = desk.attempts.get(passage.id, 0)
            is_graded = desk.config.grader is not None
            asks.append(ask_about(teacher, desk.config.seed, passage, summary, attempt, is_graded))
    return ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "questions")


def _texts(document: Document, candidates: Iterable[Candidate]) -> dict[int, str]:
    from sagecraft.literature.passages import passages_of as split

    wanted = {position for candidate in candidates for position in candidate.positions}
    sentences = (sentence for passage in split(document) for sentence in passage.sentences)
    return {sentence.position: sentence.text for sentence in sentences if sentence.position in wanted}
