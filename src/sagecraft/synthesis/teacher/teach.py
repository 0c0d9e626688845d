"""What a model teaches: its questions about passages, judged like those of the rules, as one more part of the stage.

    passages → requests → replies (kept beside the artifact) → questions → rules, leaks and limits → part

The replies are what a killed run goes on from: they are found, not asked again, and the part is made from them anew.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact, console
from sagecraft.artifact import keyed_hash
from sagecraft.errors import UserError
from sagecraft.evaluation.evaluate import replies_folder
from sagecraft.evaluation.inputs import resolve_model
from sagecraft.synthesis.teacher.asking import Answer, Ask, ask_all
from sagecraft.synthesis.teacher.questions import SCHEMA, ask_about
from sagecraft.synthesis.teacher.thoughts import with_thoughts
from sagecraft.synthesis.teacher.writers import Writer, open_writer

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.literature.reading import Reading
    from sagecraft.synthesis.candidate import Candidate
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.synthesis.teacher.config import ModelConfig, TeacherConfig

#: Requests that are given out at once; they and their replies are what is held.
_AT_ONCE = 512
_ATTEMPTS, _FAILURES, _SPENDING = "attempts.json", "failures.jsonl", "spending.json"


def model_inputs(config: SynthConfig) -> dict[str, Path]:
    """Folders and files of the models that a stage asks here; endpoints are none.

    Raises:
        UserError: no such model, or a grader that is the teacher.
    """
    found: dict[str, Path] = {}
    names: dict[str, Any] = {}
    for role, asked in (("teacher", config.teacher), ("grader", config.grader)):
        if asked is None:
            continue
        inputs, endpoint = resolve_model(asked.model)
        if endpoint is None and (asked.base_url is not None or asked.limits.max_usd is not None):
            raise UserError(f"synth.{role}: base_url and limits.max_usd are for an endpoint; {asked.model} runs here")
        found |= {role if name == "model" else f"{role}-{name}": path for name, path in inputs.items()}
        names[role] = endpoint.partition(":")[2] if endpoint else [str(path.resolve()) for path in inputs.values()]
    if "grader" in names and names["grader"] == names.get("teacher"):
        raise UserError(
            "synth.grader: is the teacher itself, which finds its own sentences good; give another model, or none"
        )
    return found


def from_options(
    teacher: str | None,
    grader: str | None,
    grader_url: str | None,
    sample: int | None,
    retry: bool,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The settings `teacher` and `grader` of options; `given` are max_usd, base_url and max_passages.

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
    limits = {"limits": {"max_usd": given["max_usd"]}}
    rest = {name: given[name] for name in ("base_url", "max_passages") if given[name] is not None}
    found: dict[str, Any] = {}
    if teacher is not None:
        found["teacher"] = {"model": teacher, **rest, **limits}
    if grader is not None:
        found["grader"] = {"model": grader, **({"base_url": grader_url} if grader_url else {}), **limits}
    return found


@dataclass(frozen=True)
class Desk:
    """Where the replies of a stage lie, and how often a request failed before.

    Attributes:
        config: of the stage.
        providers: file of presets and prices.
        folder: of replies.
        attempts: id of a request → how often it was asked in vain and was to be asked anew.
        counts: of what was asked, mended and failed.
        failures: rows of `failures.jsonl`.
    """

    config: SynthConfig
    providers: Path | None
    folder: Path
    attempts: Mapping[str, int]
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)

    def writer(self, role: str, asked: ModelConfig) -> Any:
        """The writer of a role, for `with`."""
        purpose = artifact.digest_of({"stage": "synth", "role": role, "config": self.config.model_dump(mode="json")})
        return open_writer(asked, self.providers, self.folder, purpose)

    def add(self, role: str, answer: Answer[Any]) -> None:
        """Counts an answer, and keeps it if it failed."""
        self.counts[f"num_{role}_asked"] += 1
        self.counts[f"num_{role}_repaired"] += bool(answer.num_repairs and not answer.failed)
        self.counts[f"num_{role}_failed"] += answer.failed
        if answer.failed:
            self.failures.append({"role": role, **answer.as_failure()})

    def close(self, path: Path) -> None:
        """Says what came of asking, and writes failures down: into the artifact, and where `retry_failed` finds them."""
        for role in ("teacher", "thought", "grader"):
            if asked := self.counts[f"num_{role}_asked"]:
                repaired, failed = (self.counts[f"num_{role}_{what}"] for what in ("repaired", "failed"))
                console.say(f"  {role}: {asked:,} asked, {repaired:,} replies mended on request, {failed:,} failed")
        rows = sorted(self.failures, key=lambda row: (row["role"], row["id"]))
        for folder in (path, self.folder):
            artifact.write_jsonl(folder / _FAILURES, rows)

    def tell_spending(self, role: str, writer: Writer) -> None:
        """Says and keeps what was paid; beside the artifact, since it depends on an endpoint's faults."""
        spent = writer.spending()
        if not spent:
            return
        from sagecraft.evaluation.remote import told

        path = self.folder / _SPENDING
        before = artifact.read_json(path) if path.exists() else {}
        artifact.write_json(path, {**before, role: spent})
        console.say(f"  {writer.name}: {told(spent)}; replies are kept in {self.folder}")

    def spent(self) -> dict[str, str]:
        """What each role took so far, in words; nothing of models that run here."""
        from sagecraft.evaluation.remote import told

        path = self.folder / _SPENDING
        return {role: told(spent) for role, spent in artifact.read_json(path).items()} if path.exists() else {}


def open_desk(config: SynthConfig, inputs: Mapping[str, Path], out: Path) -> Desk:
    """The desk of a stage that writes `out`."""
    folder = replies_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _ATTEMPTS
    return Desk(config, inputs.get("providers"), folder, artifact.read_json(path) if path.exists() else {})


def retry_failed(out: Path) -> int:
    """Marks what failed in the last run to be asked anew, in other words, and returns how much that is.

    What got no reply is asked again by any further run.

    Raises:
        UserError: there was no such run.
    """
    folder = replies_folder(out)
    if not (folder / _FAILURES).is_file():
        raise UserError(f"--retry-failed: {folder} holds no {_FAILURES}; no run with a teacher has ended there")
    path = folder / _ATTEMPTS
    attempts: Counter[str] = Counter(artifact.read_json(path) if path.exists() else {})
    failed = [row["id"] for row in artifact.read_jsonl(folder / _FAILURES) if row["cause"] == "unusable"]
    attempts.update(failed)
    artifact.write_json(path, dict(sorted(attempts.items())))
    (folder / _FAILURES).unlink()  # else a run that is killed and told so again would count twice
    return len(failed)


def write_taught(desk: Desk, documents: Path, leaks: Leaks | None, scratch: Path) -> Path:
    """The part of what the teacher taught: it reads like those of the rules.

    Args:
        desk: of the stage, which has a teacher.
        documents: the artifact.
        leaks: what must not be taught.
        scratch: folder of the parts.

    Raises:
        UserError: the cost limit is reached, or no request can succeed; what came is kept.
        MachineError: the endpoint is down.
    """
    teacher = desk.config.teacher
    assert teacher is not None
    part = scratch / "taught.jsonl"
    with desk.writer("teacher", teacher) as writer:
        rows = _taught(desk, teacher, writer, documents, leaks)
        if teacher.thoughts:
            rows = with_thoughts(desk, writer, rows)
        artifact.write_jsonl(part, itertools.chain([{}], rows))
        desk.tell_spending("teacher", writer)
    return part


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
    total = 0

    def hashes() -> Iterator[int]:
        nonlocal total
        for reading, number in passages_of(config, documents):
            total += 1
            yield _place(config, reading.passages[number].id)

    if count is None:
        for _ in hashes():
            pass
        return 1 << 64, total
    least = heapq.nsmallest(count, hashes())
    return (least[-1] if least else 0), total


def _place(config: SynthConfig, passage: str) -> int:
    return keyed_hash(config.seed, "teach", passage)


def asks_up_to(desk: Desk, documents: Path, limit: int) -> Iterator[tuple[Document, Ask[Candidate]]]:
    """Requests for the passages whose hash is at most `limit`, in the order of the documents.

    Raises:
        UserError: the stage takes no kind that the teacher is to be asked for.
    """
    config, teacher = desk.config, desk.config.teacher
    assert teacher is not None
    kinds = tuple(kind for kind in teacher.kinds if kind in config.kinds)
    if not kinds:
        raise UserError(f"synth.teacher.kinds: none of them is among synth.kinds ({', '.join(config.kinds)})")
    teacher = teacher.model_copy(update={"kinds": kinds})
    for reading, number in passages_of(config, documents):
        passage = reading.passages[number]
        if _place(config, passage.id) <= limit:
            attempt = desk.attempts.get(passage.id, 0)
            yield reading.document, ask_about(teacher, config.seed, passage, reading.summary, attempt)


def _taught(
    desk: Desk, teacher: TeacherConfig, writer: Writer, documents: Path, leaks: Leaks | None
) -> Iterator[dict[str, Any]]:
    """Pairs and drops of what the teacher wrote."""
    from sagecraft.synthesis.pairs import judged

    limit = drawn(desk.config, documents, teacher.max_passages)[0] if teacher.max_passages else 1 << 64
    found: dict[str, list[Candidate]] = {}
    held: list[tuple[Document, Ask[Candidate]]] = []

    def answered() -> Iterator[dict[str, Any]]:
        answers = ask_all(writer, [ask for _, ask in held], SCHEMA, teacher.repair_attempts, "questions")
        for (document, _), answer in zip(held, answers, strict=True):
            desk.add("teacher", answer)
            desk.counts["num_taught"] += len(answer.objects)
            found.setdefault(document.id, []).extend(answer.objects)
        for document in {document.id: document for document, _ in held}.values():
            candidates = found.pop(document.id)
            texts = _texts(document, candidates)
            yield from judged(desk.config, document, candidates, texts, leaks, Counter())

    for document, asks in _by_document(asks_up_to(desk, documents, limit)):
        held += [(document, ask) for ask in asks]
        if len(held) >= _AT_ONCE:
            yield from answered()
            held = []
    if held:
        yield from answered()


def _by_document(
    asks: Iterable[tuple[Document, Ask[Candidate]]],
) -> Iterator[tuple[Document, list[Ask[Candidate]]]]:
    """Whole documents, so that limits a document see all of its questions."""
    for _, group in itertools.groupby(asks, key=lambda entry: entry[0].id):
        entries = list(group)
        yield entries[0][0], [ask for _, ask in entries]


def _texts(document: Document, candidates: Iterable[Candidate]) -> dict[int, str]:
    from sagecraft.literature.passages import passages_of as split

    wanted = {position for candidate in candidates for position in candidate.positions}
    sentences = (sentence for passage in split(document) for sentence in passage.sentences)
    return {sentence.position: sentence.text for sentence in sentences if sentence.position in wanted}
