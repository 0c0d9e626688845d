"""What a model answers to the drafts: with the passage, without it (closed book), and from the options alone.

A model that runs here is asked by likelihoods, several at once; an endpoint by a reply, which evaluation's parser reads. Every
value is kept beside the artifact, so that a run that goes on asks nothing twice.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sagecraft import console
from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.config import BenchConfig, JudgeConfig, Mode
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.evaluation.score import Request
    from sagecraft.evaluation.tasks import Item
    from sagecraft.inference.prices import Price
    from sagecraft.teaching.desk import Desk

View = Literal["with_passage", "closed_book", "options_only"]
VIEWS: tuple[View, ...] = View.__args__  # type: ignore[attr-defined]
#: What stands in a question's place where only the options are shown.
NEUTRAL = "Which of these is right?"


@dataclass(frozen=True)
class Said:
    """One answer.

    Attributes:
        pick: text of the chosen option; None where none could be read.
        is_right: whether it is the key.
        tokens: read and written.
    """

    pick: str | None
    is_right: bool
    tokens: tuple[int, int]


@dataclass(frozen=True)
class Answers:
    """What one judge answered.

    Attributes:
        role: `judge1`, …
        name: of the model.
        mode: how it answered.
        views: what was shown → id of a draft → the answer.
        price: of an endpoint, if known.
    """

    role: str
    name: str
    mode: Mode
    views: dict[View, dict[str, Said]] = field(default_factory=dict)
    price: Price | None = None


def is_endpoint(judge: JudgeConfig) -> bool:
    """Whether a judge is asked over an endpoint."""
    from sagecraft.evaluation.inputs import resolve_model

    return resolve_model(judge.model)[1] is not None


def mode_of(role: str, judge: JudgeConfig) -> Mode:
    """How a judge answers.

    Raises:
        UserError: an endpoint, which tells no likelihoods, is to answer by them.
    """
    remote = is_endpoint(judge)
    if remote and judge.mode in ("continuation", "letter"):
        raise UserError(
            f"bench.{role}.mode: {judge.mode} needs likelihoods, which {judge.model} does not tell; use generate"
        )
    return judge.mode or ("generate" if remote else "continuation")


def ordered(draft: Draft, seed: int, attempt: int = 0) -> tuple[str, ...]:
    """The options as judges see them: in an order of their own, so that no letter speaks for the key."""
    texts = [option.text for option in draft.options]
    random.Random(keyed_hash(seed, "judged", draft.id, attempt)).shuffle(texts)  # noqa: S311
    return tuple(texts)


def source_of(draft: Draft) -> str:
    """The passage behind the title of its document, which some questions ask for or name."""
    document = draft.document
    year = f" ({document.year})" if document.year else ""
    return f"From “{document.title}”{year}: {draft.passage_text}" if document.title else draft.passage_text


def item_of(draft: Draft, view: View, options: tuple[str, ...]) -> Item:
    """A draft as evaluation asks it."""
    from sagecraft.evaluation.tasks import Item

    question = NEUTRAL if view == "options_only" else draft.question
    passage = source_of(draft) if view == "with_passage" else ""
    return Item(draft.id, question, options, options.index(draft.key.text), passage=passage)


def ask_answers(
    desk: Desk[BenchConfig],
    role: str,
    judge: JudgeConfig,
    drafts: Sequence[Draft],
    goes_on: Callable[[Mapping[str, Said]], bool],
) -> Answers:
    """Asks a judge: first of all with the passage, which tells whether its answers mean anything.

    Args:
        desk: of the stage.
        role: of the judge.
        judge: who is asked.
        drafts: what is asked.
        goes_on: whether, after its answers with the passage, the rest is asked.

    Raises:
        UserError: the cost limit is reached, or no request can succeed; what came is kept.
        MachineError: the endpoint is down.
    """
    from sagecraft.evaluation.inputs import resolve_model
    from sagecraft.evaluation.store import Store
    from sagecraft.evaluation.subject import open_subject

    mode = mode_of(role, judge)
    inputs, endpoint = resolve_model(judge.model)
    config = _settings(judge, mode, endpoint)
    if desk.providers is not None:
        inputs = {**inputs, "providers": desk.providers}
    with open_subject(config, inputs) as subject:
        price = subject.engine.preset.price if endpoint else None
        answers = Answers(role, subject.name, mode, price=price)
        with closing(Store(desk.folder, subject.identity, desk.purpose(role))) as kept:
            limits, elsewhere = desk.purse.narrowed(judge.limits, kept)
            asking = _Asking(desk, role, config.model_copy(update={"limits": limits}), mode, subject, kept, elsewhere)
            first, *rest = VIEWS
            answers.views.update(asking.answers([first], drafts))
            if goes_on(answers.views[first]):
                # Likelihoods of one view share their beginnings; replies are under way at once, whatever they are to.
                for views in [rest] if mode == "generate" else [[view] for view in rest]:
                    answers.views.update(asking.answers(views, drafts))
            if endpoint:
                desk.keep_spending(role, subject.name, kept.account(), price)
    return answers


def _settings(judge: JudgeConfig, mode: Mode, endpoint: str | None) -> EvaluateConfig:
    from sagecraft.evaluation.config import EvaluateConfig, ReplyConfig

    return EvaluateConfig(
        modes=(mode,),
        thinking=judge.thinking,
        reply=ReplyConfig(thought_tokens=max(1, judge.thought_tokens), answer_tokens=judge.answer_tokens),
        endpoint=endpoint,
        base_url=judge.base_url,
        limits=judge.limits,
    )


@dataclass(frozen=True)
class _Asking:
    """One judge at work."""

    desk: Desk[BenchConfig]
    role: str
    config: EvaluateConfig
    mode: Mode
    subject: Any
    kept: Any
    spent_elsewhere_usd: float

    def answers(self, views: Sequence[View], drafts: Sequence[Draft]) -> dict[View, dict[str, Said]]:
        """View → id of a draft → the answer."""
        asked = [(view, draft, f"{self.role}-{view}-{draft.id}") for view in views for draft in drafts]
        seed, attempts = self.desk.config.seed, self.desk.attempts
        items = [item_of(draft, view, ordered(draft, seed, attempts.get(name, 0))) for view, draft, name in asked]
        mode = self.subject.modes[self.mode]
        label = " and ".join(view.replace("_", " ") for view in views)
        with console.progress(f"{self.subject.name}, {label}", len(items)) as tick:
            requests = [mode.request(self.subject.engine, item, self.config) for item in items]
            values = self._values(requests, tick)
        found: dict[View, dict[str, Said]] = {view: {} for view in views}
        for (view, draft, name), item, request, value in zip(asked, items, requests, values, strict=True):
            found[view][draft.id] = self._read(name, item, mode.grade, request.error, value)
        return found

    def _values(self, requests: Sequence[Request], tick: console.Tick) -> list[Any]:
        """What each request brought."""
        if self.config.endpoint is None:
            from sagecraft.evaluation.measuring import Measuring

            measuring = Measuring(self.subject, None, None)
            return list(measuring.values(self.mode, requests, self.config, self.kept, tick))
        from sagecraft.evaluation.remote import measure_all

        def ended(usd: float | None) -> None:
            tick.advance(1, "" if usd is None else f"{usd:.4f} USD")

        engine, providers = self.subject.engine, self.desk.providers
        return list(measure_all(engine, requests, self.kept, self.config, providers, ended, self.spent_elsewhere_usd))

    def _read(self, name: str, item: Item, grade: Any, error: str | None, value: Any) -> Said:
        """An answer; what is none has failed, and is kept as a failure."""
        from sagecraft.inference.replies import Failed
        from sagecraft.teaching.asking import Answer

        if value is None or isinstance(value, Failed):
            why = error or (value.why if isinstance(value, Failed) else "not asked")
            self.desk.add(self.role, Answer(name, fault=why, unanswered=True))
            return Said(None, False, (0, 0))
        row: Mapping[str, Any] = grade(item, value)
        counts = value["tokens"]
        said = Said(
            None if row["pick"] is None else item.options[item.letters.index(row["pick"])],
            bool(row["correct"]),
            (counts["in"], counts["thought"] + counts["out"]),
        )
        if said.pick is None:
            fault = f"no letter could be read ({row['outcome']})"
            self.desk.add(self.role, Answer(name, fault=fault, text=row["raw"], tokens=said.tokens))
        else:
            self.desk.add(self.role, Answer(name, (said,), tokens=said.tokens))
        return said
