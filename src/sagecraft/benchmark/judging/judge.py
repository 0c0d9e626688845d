"""From drafts and the models of the configuration to what they said, what stays, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.benchmark.config import BenchConfig, JudgeConfig
from sagecraft.benchmark.judging.answers import ask_answers, is_endpoint
from sagecraft.benchmark.judging.grading import ask_words
from sagecraft.benchmark.judging.verdicts import CHANCE, Bench, Judge, has_vote, measured_on, rate, seat, verdict

if TYPE_CHECKING:
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.teaching.desk import Desk


def ask_judges(desk: Desk[BenchConfig], drafts: Sequence[Draft], teacher: str, teachers: frozenset[str]) -> Bench:
    """Asks all judges, one after another.

    Args:
        desk: of the stage.
        drafts: what is judged.
        teacher: name under which the teacher wrote.
        teachers: roles of judges that are the teacher themselves.
    """
    judges = []
    for number, config in enumerate(desk.config.judges, start=1):
        role = f"judge{number}"
        answers = ask_answers(desk, role, config, drafts, partial(has_vote, drafts))
        counts = has_vote(drafts, answers.views["with_passage"])
        words = ask_words(desk, role, config, drafts) if counts and _grades(config) else {}
        judges.append(Judge(answers, words, teacher if role in teachers else ""))
    bench = seat(desk.config.judging, judges, drafts)
    _say(desk.config, bench, drafts)
    return bench


def _grades(config: JudgeConfig) -> bool:
    return is_endpoint(config) if config.grades is None else config.grades


def judged(
    config: BenchConfig, bench: Bench, drafts: Sequence[Draft]
) -> tuple[list[Draft], list[tuple[Draft, str, str]]]:
    """What stays, and what goes with its reason and what was said."""
    kept: list[Draft] = []
    gone: list[tuple[Draft, str, str]] = []
    for draft in drafts:
        found = verdict(config.judging, bench, draft)
        if found is None:
            kept.append(draft)
        else:
            gone.append((draft, *found))
    return kept, gone


def _say(config: BenchConfig, bench: Bench, drafts: Sequence[Draft]) -> None:
    """What the judges reached, and what does not count for it."""
    measured = measured_on(drafts)
    for judge in bench.judges:
        right = rate([judge.answers.views["with_passage"][draft.id].is_right for draft in measured])
        told = f"{judge.name}: {right['right']} of {right['n']} drafts answered with the passage"
        if judge not in bench.voting:
            console.warn(f"{told}, not surely above chance ({100 * CHANCE:.0f} %): it has no vote")
            continue
        console.say(f"  {told}")
        for what, seated in (("which options are right", bench.graders), ("what stands alone", bench.alone)):
            if judge.words and judge not in seated:
                console.warn(
                    f"{judge.name}: calls less than {100 * config.judging.min_answered:.0f} % of the drafts sound, so its word on {what} counts for nothing"
                )
    if bench.voting and bench.answered < config.judging.min_answered:
        console.warn(
            f"the judges together answer {100 * bench.answered:.1f} % of the drafts with the passage, less than "
            f"judging.min_answered ({100 * config.judging.min_answered:.0f} %): what none answers is not taken for unanswerable"
        )


def checks_of(bench: Bench, draft: Draft, letters: dict[str, str]) -> dict[str, Any]:
    """What judges said of a draft, in the letters of the item: name of the judge → view → letter, and its grades."""
    found: dict[str, Any] = {}
    for judge in bench.judges:
        said: dict[str, Any] = {"has_vote": judge in bench.voting}
        for view, answers in judge.answers.views.items():
            pick = answers[draft.id].pick
            said[view] = None if pick is None else letters[pick]
        if draft.id in judge.words:
            word = judge.words[draft.id]
            said["right"] = sorted(letters[text] for text in word.right)
            said["stands_alone"] = word.stands_alone
            said["reason"] = word.reason
        found[judge.answers.role] = {"model": judge.name, **said}
    return found


def tokens_of(judge: Judge, draft: Draft) -> tuple[int, int]:
    """Tokens that a judge read and wrote for a draft."""
    spent = [answers[draft.id].tokens for answers in judge.answers.views.values()]
    spent += [judge.words[draft.id].tokens] if draft.id in judge.words else []
    return sum(read for read, _ in spent), sum(written for _, written in spent)
