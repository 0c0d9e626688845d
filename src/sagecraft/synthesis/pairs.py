"""Questions of one document: asked by the rules, graded, kept from benchmarks, and no more of a sentence than teach something."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.documents import Document
from sagecraft.corpus.sentences import mask_math
from sagecraft.literature import english
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.candidate import TEACHER, Candidate
from sagecraft.synthesis.grading.rules import grade
from sagecraft.synthesis.rules import RULES

if TYPE_CHECKING:
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.synthesis.synth import SynthConfig

#: Reason of what a benchmark asks too.
IN_BENCHMARK = "in-benchmark"


@dataclass(frozen=True)
class Pair:
    """A question that stands alone, its answer, and where both come from.

    Attributes:
        id: from the document, the kind and the question.
        candidate: question and answer.
        document: id of the document.
        title: of the document.
        sentences: texts of `candidate.positions`.
        source: of the document.
        license: of the document.
    """

    id: str
    candidate: Candidate
    document: str
    title: str
    sentences: tuple[str, ...]
    source: str
    license: str

    @property
    def ground(self) -> str:
        """What it is grounded in, as it stands in the document (of a metadata question: the answer, from the record)."""
        return " ".join((*self.sentences, *self.candidate.ground)) or self.candidate.answer

    def as_row(self) -> dict[str, Any]:
        """The pair as JSON, for `from_row`."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The pair of a row of `as_row`."""
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in row["candidate"].items()
        }
        return cls(**{**row, "candidate": Candidate(**values), "sentences": tuple(row["sentences"])})

    def as_drop(self, step: str, reason: str, **more: str) -> dict[str, Any]:
        """What `dropped.jsonl` says of it.

        Args:
            step: `rule`, `grade`, `leak`, `limit`, `repeat`, `share` or `model`.
            reason: why.
            more: what else is to be said.
        """
        candidate = self.candidate
        return {
            "document": self.document, "sentence": self.ground, "kind": candidate.kind, "rule": candidate.rule,
            "question": candidate.question, "answer": candidate.answer, "step": step, "reason": reason, **more,
        }  # fmt: skip


def pairs_of(
    config: SynthConfig, document: Document, leaks: Leaks | None, counts: Counter[str]
) -> Iterator[dict[str, Any]]:
    """Every question that the rules make of one document: `{"pair": row}` of those that pass, `{"drop": row}` of others.

    Args:
        config: of the stage.
        document: what is asked about.
        leaks: what may not be asked.
        counts: of sentences and candidates, added to.
    """
    reading = Reading(document, config.seed)
    texts = {sentence.position: sentence.text for passage in reading.passages for sentence in passage.sentences}
    counts["num_sentences"] += len(texts)
    counts["num_sentences_tied"] += sum(english.tie(mask_math(text)[0]) is not None for text in texts.values())
    faults: list[dict[str, Any]] = []
    yield from judged(config, document, _candidates(reading, faults), texts, leaks, counts)
    counts["num_rules_failed"] += len(faults)
    yield from ({"drop": fault} for fault in faults)


def judged(
    config: SynthConfig, document: Document, candidates: Iterable[Candidate], texts: Mapping[int, str],
    leaks: Leaks | None, counts: Counter[str],
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Candidates of one document as pairs and drops, whoever made them.

    Args:
        config: of the stage.
        document: that they are of.
        candidates: questions and answers.
        texts: sentences of the document, by their positions.
        leaks: what may not be asked.
        counts: of candidates, added to.
    """
    passed: list[Pair] = []
    made: dict[str, Pair] = {}
    for candidate in candidates:
        if candidate.kind in config.kinds:
            pair = pair_of(document, candidate, tuple(texts[position] for position in candidate.positions))
            made.setdefault(pair.id, pair)
    counts["num_candidates"] += len(made)
    for pair in made.values():
        candidate = pair.candidate
        own_words = config.grader is not None and candidate.rule == TEACHER
        reason = candidate.drop or grade(candidate, pair.ground, document.title, own_words)
        hits = leaks.find(_taught(pair)) if leaks is not None and not reason else []
        if hits:
            found = {"item": hits[0].item, "item_text": hits[0].item_text}
            yield {"drop": pair.as_drop("leak", IN_BENCHMARK, **found)}
        elif reason:
            yield {"drop": pair.as_drop("rule" if candidate.drop else "grade", reason)}
        else:
            passed.append(pair)
    for pair, reason in _limited(config, passed):
        yield {"drop": pair.as_drop("limit", reason)} if reason else {"pair": pair.as_row()}


def _taught(pair: Pair) -> str:
    """All that a row of the pair may say: its thought quotes what it is grounded in."""
    candidate = pair.candidate
    return "\n".join((candidate.question, candidate.answer, candidate.thought or pair.ground))


def pair_of(document: Document, candidate: Candidate, sentences: tuple[str, ...]) -> Pair:
    """The pair of a candidate and the texts of its sentences."""
    name = hashlib.sha256("\x1f".join((document.id, candidate.kind, candidate.question)).encode()).hexdigest()[:16]
    return Pair(
        id=f"{candidate.kind}-{name}",
        candidate=candidate,
        document=document.id,
        title=document.title,
        sentences=sentences,
        source=document.source,
        license=document.license,
    )


def _candidates(reading: Reading, faults: list[dict[str, Any]]) -> Iterator[Candidate]:
    """What all rules make of a document.

    Args:
        reading: the document.
        faults: takes what is dropped where a rule breaks on the document: one odd document of a million is no reason to lose
            the others.

    Raises:
        ValueError: a rule made a kind that is none.
    """
    from sagecraft.synthesis.synth import KINDS

    for name, rule in RULES.items():
        try:
            made = list(rule(reading))
        except Exception as error:  # whatever it is, it is this rule's and this document's
            said = {
                "document": reading.document.id,
                "sentence": "",
                "kind": "",
                "rule": name,
                "question": "",
                "answer": "",
            }
            faults.append(
                {**said, "step": "rule", "reason": "rule-failed", "cause": f"{type(error).__name__}: {error}"}
            )
            continue
        for candidate in made:
            if candidate.kind not in KINDS:
                raise ValueError(f"rule {name}: {candidate.kind!r} is no kind of question")
            yield candidate if candidate.rule else replace(candidate, rule=name)


def _limited(config: SynthConfig, pairs: Iterable[Pair]) -> Iterator[tuple[Pair, str | None]]:
    """At most so many a sentence and a document, each with the reason to drop it, or None.

    Drawn by a keyed hash, the kinds in turn, so that a long table does not crowd out all else. What rests on several
    sentences is no further question of any of them.
    """
    drawn = sorted(pairs, key=lambda pair: (keyed_hash(config.seed, "limit", pair.id), pair.id))
    turns: Counter[str] = Counter()
    ordered: list[tuple[int, int, Pair]] = []
    for number, pair in enumerate(drawn):
        ordered.append((turns[pair.candidate.kind], number, pair))
        turns[pair.candidate.kind] += 1
    num_by_sentence: Counter[int] = Counter()
    num_kept = 0
    for _, _, pair in sorted(ordered, key=lambda entry: entry[:2]):
        positions = pair.candidate.positions
        if len(positions) == 1 and num_by_sentence[positions[0]] >= config.max_pairs_per_sentence:
            yield pair, "enough-of-sentence"
        elif num_kept >= config.max_pairs_per_document:
            yield pair, "enough-of-document"
        else:
            num_kept += 1
            if len(positions) == 1:
                num_by_sentence[positions[0]] += 1
            yield pair, None
