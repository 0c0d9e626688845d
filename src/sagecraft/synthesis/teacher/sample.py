"""A look before the money is spent: a few passages asked, what came of them, and what all would cost and take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.synthesis.teacher.questions import SCHEMA
from sagecraft.synthesis.teacher.teach import asks_up_to, drawn
from sagecraft.teaching.asking import ask_all
from sagecraft.teaching.desk import open_desk
from sagecraft.teaching.sample import project, say_sample

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig


def show_sample(config: SynthConfig, inputs: Mapping[str, Path], out: Path, count: int) -> dict[str, Any]:
    """Asks about a few passages, which the whole run will not ask again, and says what it would cost.

    Args:
        config: of the stage, with a teacher.
        inputs: of the stage.
        out: the artifact that the whole run is to make; nothing is written there, replies go beside it.
        count: passages.

    Returns:
        What was said: questions and failures, and of all passages the tokens, USD (None if the price is not known) and seconds.
    """
    teacher = config.teacher
    assert teacher is not None
    desk = open_desk("synth", config, inputs, out)
    limit, total = drawn(config, inputs["documents"], count)
    with desk.writer("teacher", teacher) as writer:
        asks = [ask for _, ask in asks_up_to(desk, inputs["documents"], limit)]
        answers = ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "sample")
        projected = project(writer, answers, min(total, teacher.max_passages or total))
        desk.tell_spending("teacher", writer)
    shown: list[dict[str, Any]] = []
    for answer in answers:
        for candidate in answer.objects:
            row = {
                "passage": answer.id,
                "kind": candidate.kind,
                "question": candidate.question,
                "answer": candidate.answer,
            }
            shown.append(row)
            console.say(f"  {answer.id}  [{candidate.kind}]\n    {candidate.question}\n    {candidate.answer}")
    failures = say_sample(answers, len(shown), projected)
    return {"questions": shown, "failures": failures, "projected": projected}
