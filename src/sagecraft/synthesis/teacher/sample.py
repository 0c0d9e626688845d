"""A look before the money is spent: a few passages asked, what came of them, and what all would cost and take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.artifact import keyed_hash
from sagecraft.evaluation.leaks import read_leaks
from sagecraft.synthesis.grading.model import grade_all
from sagecraft.synthesis.grading.same import settled
from sagecraft.synthesis.teacher.exercises import as_dropped, problems_of, without_chain
from sagecraft.synthesis.teacher.teach import desk_of, drawn, taught
from sagecraft.synthesis.teacher.thoughts import with_thoughts
from sagecraft.teaching.writers import usd_of

if TYPE_CHECKING:
    from sagecraft.synthesis.synth import SynthConfig
    from sagecraft.teaching.desk import Desk
    from sagecraft.teaching.writers import Writer

#: What each model is asked for, by the roles that are counted.
_ASKED_OF = {"teacher": ("summary", "teacher", "thought"), "grader": ("agreement", "grader")}


@dataclass
class _Look:
    """What was asked in the sample.

    Attributes:
        desk: with the counts of what was asked.
        rows: pairs and drops, of passages.
        problems: pairs of exercises, which are asked for chains alone.
        spent: model → what it took for passages, and for exercises: tokens in, tokens out, seconds.
    """

    desk: Desk[SynthConfig]
    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[dict[str, Any]] = field(default_factory=list)
    spent: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)

    def note(self, model: str, writer: Writer) -> None:
        """Notes what a model took since it was noted last."""
        counts = self.desk.counts
        now = [sum(counts[f"num_{role}_tokens_{way}"] for role in _ASKED_OF[model]) for way in ("in", "out")]
        before = [sum(values) for values in zip(*self.spent.get(model, []), strict=True)] or [0, 0, 0]
        took = tuple(value - last for value, last in zip([*now, writer.seconds], before, strict=True))
        self.spent.setdefault(model, []).append(took)


def show_sample(config: SynthConfig, inputs: Mapping[str, Path], out: Path, count: int) -> dict[str, Any]:
    """Asks about a few passages, which the whole run will not ask again, and says what it would cost.

    What comes passes the rules and is graded as in the whole run.

    Args:
        config: of the stage, with a teacher.
        inputs: of the stage.
        out: the artifact that the whole run is to make; nothing is written there, replies go beside it.
        count: passages, and exercises where the teacher is to be asked about them.

    Returns:
        What was said: questions with what becomes of them, failures, and of all passages and exercises the tokens, USD (None if a
        price is not known) and seconds.
    """
    teacher = config.teacher
    assert teacher is not None
    look = _Look(desk_of(config, inputs, out))
    benchmarks = [path for name, path in sorted(inputs.items()) if name.startswith("benchmark")]
    leaks = read_leaks(benchmarks) if benchmarks else None
    limit, num_passages = drawn(config, inputs["documents"], count)
    problems = [row for row in problems_of(config, inputs["documents"], leaks) if "pair" in row]
    tried = sorted(problems, key=lambda row: keyed_hash(config.seed, "sample", row["pair"]["id"]))[:count]
    with look.desk.writer("teacher", teacher) as writer:
        look.rows = list(taught(look.desk, writer, inputs["documents"], leaks, limit))
        look.note("teacher", writer)
        look.problems = list(with_thoughts(look.desk, writer, iter(tried)))
        look.note("teacher", writer)
        look.desk.tell_spending("teacher", writer)
    fates = dict(_graded(look)) if config.grader else {}
    shown = [_shown(row, fates.get(number)) for number, row in enumerate(look.rows)]
    shown += [_shown(as_dropped(row) if without_chain(row) else row, None) for row in look.problems]
    for one in shown:
        console.say(
            f"  {one['document']}  [{one['kind']}] {one['fate']}\n    {one['question']}\n    {one['answer']}"
            + (f"\n    thought: {one['thought']}" if one["thought"] else "")
        )
    for failure in look.desk.failures:
        console.say(f"  {failure['id']}  {failure['role']} failed: {failure['fault']}")
    wanted = min(num_passages, teacher.max_passages or num_passages)
    shares = (wanted / max(1, look.desk.counts["num_teacher_asked"]), len(problems) / max(1, len(tried)))
    projected = {"passages": wanted, "exercises": len(problems), **_projected(look, shares)}
    _say(look, shown, projected, shares)
    return {"questions": shown, "failures": look.desk.failures, "projected": projected}


def _graded(look: _Look) -> Iterator[tuple[int, str]]:
    """Number of each row that was graded → what the grader makes of it; chains that it finds right are put into the rows."""
    desk, config = look.desk, look.desk.config
    grader = config.grader
    assert grader is not None
    with desk.writer("grader", grader) as writer:
        look.rows = [row for row, _ in settled(desk, writer, iter(look.rows))]
        pairs = ((number, row["pair"]) for number, row in enumerate(look.rows) if "pair" in row)
        for number, _, answer in grade_all(writer, pairs, grader, config.seed, desk.attempts):
            desk.add("grader", answer)
            reason = "ungraded" if answer.failed else grader.thresholds.reason(answer.objects[0])
            grades = "" if answer.failed else " " + " ".join(map(str, answer.objects[0].model_dump().values()))
            yield number, f"dropped: {reason}" if reason else f"taught, graded{grades}"
        look.note("grader", writer)
        look.problems = [row for row, _ in settled(desk, writer, iter(look.problems))]
        look.note("grader", writer)
        desk.tell_spending("grader", writer)


def _shown(row: Mapping[str, Any], fate: str | None) -> dict[str, Any]:
    if "drop" in row:
        drop = row["drop"]
        told = {name: drop[name] for name in ("document", "kind", "question", "answer")}
        return {**told, "thought": None, "fate": f"dropped: {drop['reason']}"}
    pair = row["pair"]
    told = {name: pair["candidate"][name] for name in ("kind", "question", "answer", "thought")}
    return {"document": pair["document"], **told, "fate": fate or "taught"}


def _projected(look: _Look, shares: tuple[float, ...]) -> dict[str, Any]:
    """What all would take, in sum and of each model: by the means of the sample, since a sum is asked for.

    Args:
        look: the sample.
        shares: how many times as many passages, and exercises, there are.
    """
    prices = look.desk.prices
    models: dict[str, dict[str, Any]] = {}
    for model, parts in look.spent.items():
        tokens_in, tokens_out, seconds = (
            sum(value * share for value, share in zip(values, shares, strict=True))
            for values in zip(*parts, strict=True)
        )
        usd = usd_of(prices[model], tokens_in, tokens_out) if model in prices else 0.0  # a model here costs nothing
        models[model] = {
            "tokens_in": round(tokens_in), "tokens_out": round(tokens_out), "usd": usd, "seconds": seconds,
        }  # fmt: skip
    sums = {name: sum(one[name] for one in models.values()) for name in ("tokens_in", "tokens_out", "seconds")}
    paid = [one["usd"] for one in models.values()]
    return {**sums, "usd": None if None in paid else sum(paid), "models": models}


def _say(look: _Look, shown: list[dict[str, Any]], projected: Mapping[str, Any], shares: tuple[float, ...]) -> None:
    counts, max_usd = look.desk.counts, look.desk.max_usd
    usd, models = projected["usd"], projected["models"]
    price = "at a price that is not known" if usd is None else f"for about {usd:.2f} USD"
    if usd is not None and len(models) > 1:
        price += " (" + ", ".join(f"{name} {one['usd']:.2f}" for name, one in models.items()) + ")"
    is_taught = [one["fate"].startswith("taught") for one in shown]
    of_passages, of_exercises = sum(is_taught[: len(look.rows)]), sum(is_taught[len(look.rows) :])
    all_taught = of_passages * shares[0] + of_exercises * shares[1]
    asked = counts["num_teacher_asked"]
    tried = f", {of_exercises:,} of {len(look.problems):,} exercises a chain" if look.problems else ""
    whole = f"{projected['passages']:,}" + (f" and {projected['exercises']:,} exercises" if look.problems else "")
    console.say(
        f"  {asked - counts['num_teacher_failed']:,} of {asked:,} passages gave {len(look.rows):,} questions, of which "
        f"{of_passages:,} would be taught{tried}; all {whole} would give about {all_taught:,.0f} and take about "
        f"{projected['tokens_in'] + projected['tokens_out']:,} tokens {price} and "
        f"{console.duration(projected['seconds'])} at this pace"
    )
    if max_usd is not None and usd is not None and usd > max_usd:
        console.say(
            f"  that is more than the limit of {max_usd:g} USD: the run would stop, and go on with a larger one"
        )
