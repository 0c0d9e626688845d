"""Whether two answers say the same, by the grader's word: for references that are no quantity and no letter.

It is asked about what `chains.agreement` leaves undecided, and sees the question, the reference and the result, not the way to
it: a way that sounds right must not speak for a result that is wrong.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.teaching.asking import Ask, ask_all
from sagecraft.teaching.fields import Line, said

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.teaching.desk import Desk
    from sagecraft.teaching.writers import Writer

#: Rows that are held while the grader is asked about them.
_AT_ONCE = 512
_MAX_CHARS = 4_000


class Same(BaseModel):
    """What the grader says."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    same: bool
    reason: Line = Field(default="", max_length=2_000)


#: Schema of a reply, for endpoints that take one. The reason stands first: what is said after it follows from it.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "same": {"type": "boolean"}},
    "required": ["reason", "same"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Proposed:
    """A chain whose result awaits a verdict.

    Attributes:
        thought: the way.
        answer: its result.
        reference: what it is held against.
    """

    thought: str
    answer: str
    reference: str


@cache
def _opening() -> list[dict[str, str]]:
    """What stands before each request: how to judge, and one example of each verdict."""
    here = Path(__file__).parent
    turns = [{"role": "system", "content": (here / "same.md").read_text(encoding="utf-8").strip()}]
    for case in yaml.safe_load((here / "same_examples.yaml").read_text(encoding="utf-8")):
        turns.append({"role": "user", "content": _shown(case["question"], case["reference"], case["answer"])})
        turns.append({"role": "assistant", "content": json.dumps(case["verdict"], ensure_ascii=False)})
    return turns


def _shown(question: str, reference: str, answer: str) -> str:
    return f"Question: {question}\n\nReference: {reference[:_MAX_CHARS]}\n\nSecond answer: {answer[:_MAX_CHARS]}\n\nVerdict:"


def ask_same(name: str, question: str, proposed: Proposed, attempt: int = 0) -> Ask[Same]:
    """The request for a verdict.

    Args:
        name: of the request, among failures.
        question: that both answer.
        proposed: result and reference.
        attempt: how often it was asked before in vain.
    """
    told = _shown(question, proposed.reference, proposed.answer)
    if attempt:
        told += f" (This is attempt {attempt + 1}; keep to the form.)"
    return Ask(name, [*_opening(), {"role": "user", "content": told}], "same", read_same)


def read_same(value: Mapping[str, Any]) -> Same | str:
    """The verdict in an object of a reply, or what is wrong with it."""
    try:
        return Same.model_validate(value)
    except ValidationError as error:
        return said(error)


def settled(
    desk: Desk[SynthConfig], writer: Writer, rows: Iterator[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The rows of a part; a pair whose chain was undecided has it if the grader says that it came to the reference.

    Args:
        desk: of the stage, which has a grader.
        writer: the grader.
        rows: of a part; `proposed` of a row holds what is undecided, as `Proposed` has it.

    Returns:
        each row without `proposed`, and what is kept of the verdict; None where there was nothing to decide.
    """
    grader = desk.config.grader
    assert grader is not None
    while batch := list(itertools.islice(rows, _AT_ONCE)):
        open_ = [(row, Proposed(**row.pop("proposed"))) for row in batch if "proposed" in row]
        asks = []
        for row, proposed in open_:
            name = f"same-{row['pair']['id']}"
            asks.append(ask_same(name, row["pair"]["candidate"]["question"], proposed, desk.attempts.get(name, 0)))
        verdicts: dict[int, dict[str, Any]] = {}
        answers = ask_all(writer, asks, SCHEMA, grader.repair_attempts, "agreement")
        for (row, proposed), answer in zip(open_, answers, strict=True):
            desk.add("agreement", answer)
            found = None if answer.failed else answer.objects[-1]
            verdict = "ungraded" if found is None else "agreed" if found.same else "disagreed"
            desk.counts[f"num_thoughts_{verdict}_by_grader"] += 1
            if verdict == "agreed":
                row["pair"]["candidate"]["thought"] = proposed.thought
            reason = answer.fault or "" if found is None else found.reason
            verdicts[id(row)] = verdict_row(row["pair"], proposed.answer, proposed.reference, verdict, "grader", reason)
        for row in batch:
            yield row, verdicts.get(id(row))


def verdict_row(
    pair: Mapping[str, Any], answer: str, reference: str, verdict: str, by: str, reason: str = ""
) -> dict[str, Any]:
    """What `agreements.jsonl` says of a chain."""
    return {
        "id": pair["id"], "question": pair["candidate"]["question"], "reference": reference, "answer": answer,
        "verdict": verdict, "by": by, "reason": reason,
    }  # fmt: skip
