"""What judges decide: whose answers count, and which drafts they take out with which reason. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sagecraft.benchmark.config import JudgeRule, JudgingConfig
from sagecraft.benchmark.drafts import RULES, Draft
from sagecraft.benchmark.judging.answers import VIEWS, Answers, Said
from sagecraft.benchmark.judging.grading import Graded
from sagecraft.evaluation.statistics import wilson

CHANCE = 0.25
#: Judges from which on "all of them" says more than chance.
_MIN_JUDGES = 2
#: Drafts of the rules from which on judges are measured on these alone: their keys are what documents state.
_MIN_MEASURED = 20


@dataclass(frozen=True)
class Judge:
    """One judge, and what it said.

    Attributes:
        answers: to the drafts.
        words: its grades by id of the draft; none of one that does not grade.
        writes_as: the name under which it wrote items itself, on which it has no vote; empty if it is not the teacher.
    """

    answers: Answers
    words: Mapping[str, Graded] = field(default_factory=dict)
    writes_as: str = ""

    @property
    def name(self) -> str:
        """The model's."""
        return self.answers.name


def rate(flags: Sequence[bool]) -> dict[str, Any]:
    """How many of how many, as a share with Wilson's interval."""
    n, right = len(flags), sum(flags)
    return {"n": n, "right": right, "rate": right / n, "ci95": list(wilson(right, n))} if n else {"n": 0, "right": 0}


def measured_on(drafts: Sequence[Draft]) -> list[Draft]:
    """The drafts that show what a judge can: those whose key is what a document states, if there are enough."""
    by_rule = [draft for draft in drafts if draft.written_by == RULES]
    return by_rule if len(by_rule) >= _MIN_MEASURED else list(drafts)


def has_vote(drafts: Sequence[Draft], with_passage: Mapping[str, Said]) -> bool:
    """Whether a judge is above chance with the passage: the lower end of Wilson's interval is."""
    flags = [with_passage[draft.id].is_right for draft in measured_on(drafts)]
    return bool(flags) and wilson(sum(flags), len(flags))[0] > CHANCE


@dataclass(frozen=True)
class Bench:
    """The judges together.

    Attributes:
        judges: all, in order.
        voting: those above chance with the passage.
        graders: of these, those that call enough of the drafts one-right.
        alone: those that call enough of the drafts standing alone.
        answered: share of the drafts that one of the voting judges answers with the passage.
    """

    judges: tuple[Judge, ...]
    voting: tuple[Judge, ...]
    graders: tuple[Judge, ...]
    alone: tuple[Judge, ...]
    answered: float


def seat(config: JudgingConfig, judges: Sequence[Judge], drafts: Sequence[Draft]) -> Bench:
    """Who has a say in what."""
    measured = measured_on(drafts)
    voting = tuple(judge for judge in judges if has_vote(drafts, judge.answers.views["with_passage"]))
    answered = sum(any(_is_right(judge, "with_passage", draft) for judge in voting) for draft in measured)

    def trusted(what: str) -> tuple[Judge, ...]:
        found = []
        for judge in voting:
            words = [judge.words[draft.id] for draft in measured if draft.id in judge.words]
            if words and sum(getattr(word, what) for word in words) >= config.min_answered * len(words):
                found.append(judge)
        return tuple(found)

    share = answered / len(measured) if measured else 0.0
    return Bench(tuple(judges), voting, trusted("one_right"), trusted("stands_alone"), share)


def _is_right(judge: Judge, view: Any, draft: Draft) -> bool:
    return judge.answers.views[view][draft.id].is_right


def verdict(config: JudgingConfig, bench: Bench, draft: Draft) -> tuple[JudgeRule, str] | None:
    """Why a draft goes, with what was said; None if it stays."""
    voting = [judge for judge in bench.voting if judge.writes_as != draft.written_by]
    names = ", ".join(judge.name for judge in voting)
    enough = len(voting) >= _MIN_JUDGES
    for rule in config.rules:
        if rule == "unanswerable":
            # a reply that did not come, or names no letter, says nothing of the question
            read = [judge for judge in voting if judge.answers.views["with_passage"][draft.id].pick is not None]
            missed = read and not any(_is_right(judge, "with_passage", draft) for judge in read)
            if missed and bench.answered >= config.min_answered:
                return rule, f"not answered with the passage by {', '.join(judge.name for judge in read)}"
        elif rule == "too-easy":
            if enough and all(_is_right(judge, "closed_book", draft) for judge in voting):
                return rule, f"answered without the passage by {names}"
        elif rule == "guessable-by-models":
            if enough and all(_is_right(judge, "options_only", draft) for judge in voting):
                return rule, f"chosen from the options alone by {names}"
        elif objection := _objection(bench, draft, rule):
            return rule, objection
    return None


def _objection(bench: Bench, draft: Draft, rule: JudgeRule) -> str:
    """What graders have against a draft, if as many object as do not."""
    of_rule = bench.graders if rule == "not-one-right" else bench.alone
    seated = [judge for judge in of_rule if judge.writes_as != draft.written_by]
    said = [(judge, judge.words[draft.id]) for judge in seated if draft.id in judge.words]
    flaw = "one_right" if rule == "not-one-right" else "stands_alone"
    against = [(judge, word) for judge, word in said if not getattr(word, flaw)]
    if not against or 2 * len(against) < len(said):
        return ""
    parts = []
    for judge, word in against:
        what = f"right are: {'; '.join(word.right) or 'none'}" if rule == "not-one-right" else "needs its source"
        parts.append(f"{judge.name}: {what} ({word.reason[:300]})")
    return " | ".join(parts)


def figures(bench: Bench, drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """What each judge reached on the drafts, for manifest and datasheet."""
    rows: list[dict[str, Any]] = []
    for judge in bench.judges:
        views: dict[str, Any] = {
            view: rate([judge.answers.views[view][draft.id].is_right for draft in drafts])
            for view in VIEWS
            if view in judge.answers.views
        }
        row: dict[str, Any] = {
            "role": judge.answers.role,
            "model": judge.name,
            "mode": judge.answers.mode,
            "has_vote": judge in bench.voting,
            **views,
        }
        words = [judge.words[draft.id] for draft in drafts if draft.id in judge.words]
        if judge.words:
            row["one_right"] = rate([word.one_right for word in words])
            row["stands_alone"] = rate([word.stands_alone for word in words])
            row["grades_count"] = {"one_right": judge in bench.graders, "stands_alone": judge in bench.alone}
        rows.append(row)
    return rows
