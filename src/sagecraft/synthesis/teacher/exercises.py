"""Exercises of textbooks that give a result and no way to it, as problems for a teacher whose result is held against theirs.

A number without a way teaches guessing, so such an exercise is a row only with a chain that came to its result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.artifact import keyed_hash
from sagecraft.synthesis.candidate import Candidate

if TYPE_CHECKING:
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.synthesis.chains.exercises import Reference
    from sagecraft.synthesis.synth import SynthConfig

#: Rule of what is asked here.
RULE = "asked-exercise"
#: One in so many, for a share decided by a keyed hash.
_PARTS = 1_000_000


def problems_of(config: SynthConfig, documents: Path, leaks: Leaks | None) -> Iterator[dict[str, Any]]:
    """Rows of pairs without a thought, and of what is dropped, of the exercises that the teacher is asked about.

    Args:
        config: of the stage; `teacher.exercises_share` of them are drawn, by their words.
        documents: the artifact.
        leaks: what must not be taught.
    """
    from sagecraft.corpus.documents import read_documents
    from sagecraft.literature.reading import Reading
    from sagecraft.synthesis.chains.exercises import references
    from sagecraft.synthesis.pairs import judged

    teacher = config.teacher
    assert teacher is not None
    most = teacher.exercises_share * _PARTS
    for document in read_documents(documents) if most else ():
        if document.withheld:
            continue
        drawn = [
            reference for reference in references(Reading(document, config.seed))
            if keyed_hash(config.seed, "exercise", document.id, reference.question) % _PARTS < most
        ]  # fmt: skip
        # They are judged as what they will be: problems with a way of their own.
        candidates = [replace(candidate_of(reference), thought=reference.result) for reference in drawn]
        for row in judged(config, document, candidates, {}, leaks, Counter()):
            if "pair" in row:
                row["pair"]["candidate"]["thought"] = None
            yield row


def candidate_of(reference: Reference) -> Candidate:
    """An exercise with its result as a question; its way is still to be found."""
    return Candidate(
        kind="derivation", question=reference.question, focus="the result", answer=f"The result is {reference.result}.",
        key=reference.result, rule=RULE, ground=(reference.result,), shows_steps=True,
    )  # fmt: skip


def without_chain(row: Mapping[str, Any]) -> bool:
    """Whether a row is an exercise for which no chain came to its result."""
    candidate = row["pair"]["candidate"] if "pair" in row else None
    return candidate is not None and candidate["rule"] == RULE and candidate["thought"] is None


def as_dropped(row: Mapping[str, Any]) -> dict[str, Any]:
    """What `dropped.jsonl` says of such an exercise."""
    from sagecraft.synthesis.pairs import Pair

    return {"drop": Pair.from_row(row["pair"]).as_drop("model", "no-chain")}
