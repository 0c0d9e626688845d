"""A look before the money is spent: a few passages asked, what came of them, and what all would cost and take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.evaluation.leaks import read_leaks
from sagecraft.synthesis.grading.model import grade_all
from sagecraft.synthesis.grading.same import settled
from sagecraft.synthesis.teacher.teach import desk_of, drawn, taught
from sagecraft.teaching.writers import usd_of

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.teaching.desk import Desk

#: What each model is asked for, by the roles that are counted.
_ASKED_OF = {"teacher": ("teacher", "thought"), "grader": ("agreement", "grader")}


def show_sample(config: SynthConfig, inputs: Mapping[str, Path], out: Path, count: int) -> dict[str, Any]:
    """Asks about a few passages, which the whole run will not ask again, and says what it would cost.

    What comes passes the rules and is graded as in the whole run.

    Args:
        config: of the stage, with a teacher.
        inputs: of the stage.
        out: the artifact that the whole run is to make; nothing is written there, replies go beside it.
        count: passages.

    Returns:
        What was said: questions with what becomes of them, failures, and of all passages the tokens, USD (None if a price is not
        known) and seconds.
    """
    teacher = config.teacher
    assert teacher is not None
    desk = desk_of(config, inputs, out)
    benchmarks = [path for name, path in sorted(inputs.items()) if name.startswith("benchmark")]
    leaks = read_leaks(benchmarks) if benchmarks else None
    limit, total = drawn(config, inputs["documents"], count)
    seconds: dict[str, float] = {}
    with desk.writer("teacher", teacher) as writer:
        rows = list(taught(desk, writer, inputs["documents"], leaks, limit))
        seconds["teacher"] = writer.seconds
        desk.tell_spending("teacher", writer)
    fates = dict(_graded(desk, rows, seconds))
    shown = [_shown(row, fates.get(number)) for number, row in enumerate(rows)]
    for one in shown:
        console.say(
            f"  {one['document']}  [{one['kind']}] {one['fate']}\n    {one['question']}\n    {one['answer']}"
            + (f"\n    thought: {one['thought']}" if one["thought"] else "")
        )
    for failure in desk.failures:
        console.say(f"  {failure['id']}  {failure['role']} failed: {failure['fault']}")
    projected = _projected(desk, seconds, min(total, teacher.max_passages or total))
    _say(desk, shown, projected)
    return {"questions": shown, "failures": desk.failures, "projected": projected}


def _graded(
    desk: Desk[SynthConfig], rows: list[dict[str, Any]], seconds: dict[str, float]
) -> Iterator[tuple[int, str]]:
    """Number of each row that was graded → what the grader makes of it; chains that it finds right are put into the rows."""
    config = desk.config
    grader = config.grader
    if grader is None:
        return
    with desk.writer("grader", grader) as writer:
        rows[:] = [row for row, _ in settled(desk, writer, iter(rows))]
        pairs = ((number, row["pair"]) for number, row in enumerate(rows) if "pair" in row)
        for number, _, answer in grade_all(writer, pairs, grader, config.seed, desk.attempts):
            desk.add("grader", answer)
            reason = "ungraded" if answer.failed else grader.thresholds.reason(answer.objects[0])
            grades = "" if answer.failed else " " + " ".join(map(str, answer.objects[0].model_dump().values()))
            yield number, f"dropped: {reason}" if reason else f"taught, graded{grades}"
        seconds["grader"] = writer.seconds
        desk.tell_spending("grader", writer)


def _shown(row: Mapping[str, Any], fate: str | None) -> dict[str, Any]:
    if "drop" in row:
        drop = row["drop"]
        told = {name: drop[name] for name in ("document", "kind", "question", "answer")}
        return {**told, "thought": None, "fate": f"dropped: {drop['reason']}"}
    pair = row["pair"]
    told = {name: pair["candidate"][name] for name in ("kind", "question", "answer", "thought")}
    return {"document": pair["document"], **told, "fate": fate or "taught"}


def _projected(desk: Desk[SynthConfig], seconds: Mapping[str, float], wanted: int) -> dict[str, Any]:
    """What `wanted` passages would take, in all and of each model: the means of the sample, since a sum is asked for."""
    share = wanted / max(1, desk.counts["num_teacher_asked"])
    models: dict[str, dict[str, Any]] = {}
    for model, roles in _ASKED_OF.items():
        if model in seconds:
            tokens = [share * sum(desk.counts[f"num_{role}_tokens_{way}"] for role in roles) for way in ("in", "out")]
            usd = usd_of(desk.prices.get(model), *tokens) if model in desk.prices else 0.0
            models[model] = {
                "tokens_in": round(tokens[0]), "tokens_out": round(tokens[1]), "usd": usd, "seconds": share * seconds[model],
            }  # fmt: skip
    sums = {name: sum(one[name] for one in models.values()) for name in ("tokens_in", "tokens_out", "seconds")}
    prices = [one["usd"] for one in models.values()]
    return {"passages": wanted, **sums, "usd": None if None in prices else sum(prices), "models": models}


def _say(desk: Desk[SynthConfig], shown: list[dict[str, Any]], projected: Mapping[str, Any]) -> None:
    asked = desk.counts["num_teacher_asked"]
    num_failed, num_taught = desk.counts["num_teacher_failed"], sum(one["fate"].startswith("taught") for one in shown)
    usd, models = projected["usd"], projected["models"]
    price = "at a price that is not known" if usd is None else f"for about {usd:.2f} USD"
    if usd is not None and len(models) > 1:
        price += " (" + ", ".join(f"{name} {one['usd']:.2f}" for name, one in models.items()) + ")"
    all_taught = num_taught * projected["passages"] / max(1, asked)
    console.say(
        f"  {asked - num_failed:,} of {asked:,} passages gave {len(shown):,} questions, of which {num_taught:,} would be taught; all "
        f"{projected['passages']:,} would give about {all_taught:,.0f} and take about "
        f"{projected['tokens_in'] + projected['tokens_out']:,} tokens {price} and "
        f"{console.duration(projected['seconds'])} at this pace"
    )
    if desk.max_usd is not None and usd is not None and usd > desk.max_usd:
        console.say(
            f"  that is more than the limit of {desk.max_usd:g} USD: the run would stop, and go on with a larger one"
        )
