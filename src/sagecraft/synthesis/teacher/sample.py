"""A look before the money is spent: a few passages asked, what came of them, and what all would cost and take."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.synthesis.teacher.asking import ask_all
from sagecraft.synthesis.teacher.questions import SCHEMA
from sagecraft.synthesis.teacher.teach import asks_up_to, drawn, open_desk

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
    desk = open_desk(config, inputs, out)
    limit, total = drawn(config, inputs["documents"], count)
    with desk.writer("teacher", teacher) as writer:
        asks = [ask for _, ask in asks_up_to(desk, inputs["documents"], limit)]
        answers = ask_all(writer, asks, SCHEMA, teacher.repair_attempts, "sample")
        seconds = writer.seconds
        wanted = min(total, teacher.max_passages or total)
        medians = [statistics.median(answer.tokens[n] for answer in answers) if answers else 0 for n in (0, 1)]
        tokens_in, tokens_out = (median * wanted for median in medians)
        usd = writer.usd(tokens_in, tokens_out)
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
    failures = [answer.as_failure() for answer in answers if answer.failed]
    for failure in failures:
        console.say(f"  {failure['id']}  failed: {failure['fault']}")
    projected = {"passages": wanted, "tokens_in": round(tokens_in), "tokens_out": round(tokens_out), "usd": usd}
    projected["seconds"] = seconds / len(answers) * wanted if answers else 0.0
    price = "at a price that is not known" if usd is None else f"for about {usd:.2f} USD"
    console.say(
        f"  {len(answers) - len(failures):,} of {len(answers):,} passages gave {len(shown):,} questions; all {wanted:,} would take "
        f"about {tokens_in + tokens_out:,.0f} tokens {price} and {console.duration(projected['seconds'])} at this pace"
    )
    return {"questions": shown, "failures": failures, "projected": projected}
