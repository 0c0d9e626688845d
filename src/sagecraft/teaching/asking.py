"""Requests in, checked objects out, failures kept: what teacher, grader and the check of agreement have in common.

A reply is read leniently: every object in it that has the key which is looked for counts, also of JSON that is broken or cut
off, and each is checked by itself. A reply without one that can be used goes back to the model with what is wrong with it, a
few times. What then has none has failed, with its cause and its last reply.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sagecraft import console
from sagecraft.evaluation.loose_json import records
from sagecraft.inference.replies import Failed
from sagecraft.teaching.writers import Turns, Writer, Written

T = TypeVar("T")

#: Characters of a reply that are shown to the model again, and that are kept of a failure.
_MAX_SHOWN_CHARS = 2_000
#: Characters of a reply that are read: some 16,000 tokens.
_MAX_READ_CHARS = 64_000
_REPAIR = (
    "That reply cannot be used: {fault}. Write it again as asked: one JSON object and nothing else, no explanation, "
    "with all keys and quotes in place."
)


@dataclass(frozen=True)
class Ask(Generic[T]):
    """One thing that is asked.

    Attributes:
        id: names it among failures.
        turns: the conversation so far; the last turn is the user's.
        key: an object of the reply counts if it has this key.
        read: makes of an object what is wanted, or says what is wrong with it.
    """

    id: str
    turns: Turns
    key: str
    read: Callable[[Mapping[str, Any]], T | str]


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What an `Ask` brought.

    Attributes:
        id: of the ask.
        objects: what could be used; empty of a failure.
        fault: of the last reply, the first thing that was wrong with it; None if nothing was.
        num_repairs: how often the reply was sent back.
        unanswered: there was no reply at all, so a further run asks again by itself.
        text: the last reply.
        thought: its thought.
        tokens: read and written, over all tries.
    """

    id: str
    objects: tuple[T, ...] = ()
    fault: str | None = None
    num_repairs: int = 0
    unanswered: bool = False
    text: str = ""
    thought: str | None = None
    tokens: tuple[int, int] = (0, 0)

    @property
    def failed(self) -> bool:
        """Nothing could be used."""
        return not self.objects

    def as_failure(self) -> dict[str, Any]:
        """What is kept of a failure."""
        cause = "no-reply" if self.unanswered else "unusable"
        return {"id": self.id, "cause": cause, "fault": self.fault, "num_repairs": self.num_repairs, "reply": self.text[:_MAX_SHOWN_CHARS]}  # fmt: skip


def ask_all(
    writer: Writer, asks: Sequence[Ask[T]], schema: Mapping[str, Any], repair_attempts: int, label: str
) -> list[Answer[T]]:
    """Asks everything, and sends back what cannot be used.

    Args:
        writer: who is asked.
        asks: what is asked.
        schema: JSON schema of a reply, for endpoints that take one.
        repair_attempts: how often a reply is sent back at most.
        label: what the progress is called.

    Returns:
        An answer to each, in order.

    Raises:
        UserError: every request would fail; or the cost limit is reached. Replies that came are kept.
        MachineError: the endpoint is down.
    """
    answers: list[Answer[T]] = [Answer(ask.id) for ask in asks]
    conversations: list[Turns] = [ask.turns for ask in asks]
    open_ = list(range(len(asks)))
    for attempt in range(repair_attempts + 1):
        if not open_:
            break
        name = label if attempt == 0 else f"{label}, sent back"
        with console.progress(f"{writer.name}, {name}", len(open_)) as tick:
            replies = writer.write(
                [conversations[number] for number in open_], schema, lambda told: tick.advance(1, told)
            )
        faulty: list[int] = []
        for number, reply in zip(open_, replies, strict=True):
            answers[number] = answer = _read(asks[number], reply, answers[number], attempt)
            if answer.failed and not answer.unanswered:
                fault = _REPAIR.format_map({"fault": answer.fault})
                said = {"role": "assistant", "content": answer.text[-_MAX_SHOWN_CHARS:].strip() or "(nothing)"}
                conversations[number] = [*asks[number].turns, said, {"role": "user", "content": fault}]
                faulty.append(number)
        open_ = faulty
    return answers


def _read(ask: Ask[T], reply: Written | Failed, before: Answer[T], attempt: int) -> Answer[T]:
    """What a reply brought."""
    if isinstance(reply, Failed):
        text = before.text
        return Answer(ask.id, (), reply.why, attempt, unanswered=True, text=text, tokens=before.tokens)
    read, written = reply.tokens
    tokens = (before.tokens[0] + read, before.tokens[1] + written)
    found: list[T] = []
    fault = _fault_of(reply)
    for record in [] if reply.refused else records(reply.text[-_MAX_READ_CHARS:], ask.key, reply.cut):
        value = ask.read(record)
        if isinstance(value, str):
            fault = fault or value
        else:
            found.append(value)
    if not found:
        fault = fault or f"it holds no object with the key {ask.key!r}"
    return Answer(ask.id, tuple(found), fault, attempt, text=reply.text, thought=reply.thought, tokens=tokens)


def _fault_of(reply: Written) -> str | None:
    if reply.refused:
        return "it was refused"
    if not reply.text.strip():
        return "it is empty"
    return "it was cut off at the limit of tokens; write less" if reply.cut else None
