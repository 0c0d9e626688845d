"""The generating mode over an endpoint: the question as chat messages, the reply and its thought, what that cost."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sagecraft.chat.thinking import TAGS, split_thought
from sagecraft.errors import MachineError
from sagecraft.evaluation import courier, loose_json, prompts
from sagecraft.evaluation.plain_text import tidy
from sagecraft.evaluation.score import Request
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.prices import Bill
from sagecraft.inference.replies import Failed, Reply, reply_request

if TYPE_CHECKING:
    from sagecraft.chat.thinking import Switch
    from sagecraft.evaluation.config import EvaluateConfig
    from sagecraft.evaluation.store import Account, Store
    from sagecraft.inference.endpoint import Endpoint
    from sagecraft.inference.limits import LimitsConfig
    from sagecraft.inference.prices import Price

#: Characters of a thought that are given back to an endpoint which is asked for the answer.
_MAX_THOUGHT_CHARS = 100_000


def request(endpoint: Endpoint, item: Item, config: EvaluateConfig) -> Request:
    """The question as chat messages, with the switch as the model knows it."""
    budgets = (config.reply.thought_tokens, config.reply.answer_tokens)
    return request_of(endpoint, prompts.generate_turns(item), config.switch, budgets)


def request_of(
    endpoint: Endpoint,
    turns: Sequence[Mapping[str, str]],
    thinking: Switch | None,
    budgets: tuple[int, int],
    more: Mapping[str, Any] | None = None,
) -> Request:
    """Chat messages as a request.

    Args:
        endpoint: what is asked.
        turns: messages.
        thinking: state of the switch.
        budgets: tokens of the thought and of the answer.
        more: what else the body of the request carries.
    """
    body = endpoint.body(turns, thinking, *budgets) | dict(more or {})
    shown = "\n\n".join(f"[{message['role']}]\n{message['content']}" for message in body["messages"])
    return Request(shown, {"question": list(turns), "thinking": thinking, "budgets": budgets, "body": body})


def measure_all(
    endpoint: Endpoint,
    requests: Sequence[Request],
    kept: Store,
    config: EvaluateConfig,
    providers: Path | None,
    done: Callable[[float | None], object],
    spent_elsewhere_usd: float = 0.0,
) -> Iterator[dict[str, Any] | Failed]:
    """Asks all questions, in any order; then yields what each brought, in theirs.

    Args:
        endpoint: what is asked.
        requests: what is asked.
        kept: where replies are found and kept.
        config: of the evaluation.
        providers: the user's file of presets and prices.
        done: is told of each question that has ended, with the USD spent so far (None without a price).
        spent_elsewhere_usd: what others have spent of the sum that the limits set.

    Raises:
        MachineError: none was answered.
    """
    failures = send_all(endpoint, requests, kept, config, providers, done, spent_elsewhere_usd)
    if failures and len(failures) == len(requests):
        raise MachineError(f"{endpoint.name}: no question was answered; the first one: {failures[0]}")
    yield from kept_values(endpoint, requests, kept, failures)


class Limited(Protocol):
    """Settings of how an endpoint is asked."""

    @property
    def base_url(self) -> str | None:
        """Address of a server of one's own."""

    @property
    def limits(self) -> LimitsConfig:
        """Pace, patience and money."""


def send_all(
    endpoint: Endpoint,
    requests: Sequence[Request],
    kept: Store,
    config: Limited,
    providers: Path | None,
    done: Callable[[float | None], object],
    spent_elsewhere_usd: float = 0.0,
) -> dict[int, str]:
    """As `measure_all`, but replies stay in the store: the number of each request that got none, and why."""
    # A process that asks takes a second to start; a run that is made again from its store needs none.
    open_ = [number for number, request in enumerate(requests) if not _is_answered(endpoint, kept, request)]
    if len(open_) < len(requests):
        account, price = kept.account(), endpoint.preset.price
        spent = None if price is None else spent_elsewhere_usd + price.usd(account.kept + account.wasted)
        for _ in range(len(requests) - len(open_)):
            done(spent)
    if not open_:
        return {}
    errand = courier.Errand(
        model=endpoint.name,
        base_url=config.base_url,
        providers=providers,
        store=kept.path.parent,
        purpose=kept.run,
        limits=config.limits,
        requests=[requests[number].body for number in open_],
        spent_elsewhere_usd=spent_elsewhere_usd,
    )
    failures = courier.send(errand, done)
    kept.refresh()
    return {open_[number]: why for number, why in failures.items()}


def _is_answered(endpoint: Endpoint, kept: Store, request: Request) -> bool:
    """Whether the store has all replies that a request needs."""
    try:
        _at_once(measure(_Kept(endpoint, kept), request))
    except LookupError:
        return False
    return True


def kept_values(
    endpoint: Endpoint, requests: Sequence[Request], kept: Store, failures: Mapping[int, str]
) -> Iterator[dict[str, Any] | Failed]:
    """What each request brought, from the store."""
    replies = _Kept(endpoint, kept)
    for number, request in enumerate(requests):
        yield Failed(failures[number]) if number in failures else _at_once(measure(replies, request))


class _Kept:
    """Answers from the store alone."""

    def __init__(self, endpoint: Endpoint, kept: Store) -> None:
        self.endpoint, self._kept = endpoint, kept

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """A reply that was kept.

        Raises:
            LookupError: it was not.
        """
        found = self._kept.find(self._kept.key(reply_request(body)))
        if found is None:
            raise LookupError
        return Reply.model_validate(found)


def _at_once(steps: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """The result of steps that wait for nothing."""
    try:
        steps.send(None)
    except StopIteration as end:
        value: dict[str, Any] = end.value
        return value
    raise AssertionError("a kept reply was waited for")


class Answers(Protocol):
    """Whoever answers a request: the endpoint, or the store."""

    @property
    def endpoint(self) -> Endpoint:
        """Whose answers these are."""

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """One reply."""


async def measure(asker: Answers, request: Request) -> dict[str, Any]:
    """Asks; where the limit fell inside a visible thought, or left the answer no room, asks once more for the answer alone."""
    thought_tokens, answer_tokens = request.body["budgets"]
    body = request.body["body"]
    reply = await asker.ask(body)
    bills = [_tokens(asker.endpoint, body, reply)]
    thought, answer, closed = _parts(reply, request.body["thinking"])
    unfinished = reply.finish == "length" and (not closed or _lacked_room(reply, thought, answer, answer_tokens))
    closed_by_us = unfinished and bool(thought)
    if closed_by_us and thought:
        # what has thought enough is asked not to think again, if it knows how
        thinking: Switch | None = "off" if asker.endpoint.preset.can("off") else request.body["thinking"]
        so_far = [{"role": "assistant", "content": thought[-_MAX_THOUGHT_CHARS:]}]
        asked = [*request.body["question"], *so_far, {"role": "user", "content": prompts.ANSWER_NOW}]
        body = asker.endpoint.body(asked, thinking, thought_tokens if thinking == "on" else 0, answer_tokens)
        reply = await asker.ask(body)
        bills.append(_tokens(asker.endpoint, body, reply))
        answer = _parts(reply, thinking)[1]
    return {
        "thought": thought,
        "answer": answer,
        "closed_by_us": closed_by_us,
        "cut": reply.finish == "length",
        "finish": reply.finish,
        "tokens": {name: sum(bill[name] for bill in bills) for name in bills[0]},
    }


def _lacked_room(reply: Reply, thought: str | None, answer: str, answer_tokens: int) -> bool:
    """Whether a thought, which shares its limit with the answer, left the answer less than its budget, and it says nothing yet.

    Where the endpoint does not count the thought apart, its share of the characters is taken.
    """
    if not answer.strip():
        return True
    if not thought or reply.bill is None or loose_json.repaired(tidy(answer), cut=True) is not None:
        return False
    written = reply.bill.written
    thought_tokens = reply.thought_tokens or written * len(thought) // (len(thought) + len(answer))
    return written - thought_tokens < answer_tokens


def _parts(reply: Reply, thinking: Switch | None) -> tuple[str | None, str, bool]:
    """Thought, answer, and whether the thought was closed."""
    if reply.thought is not None:
        return reply.thought, reply.text, True
    opened = None
    if thinking == "on" and not reply.text.lstrip().startswith(tuple(tags.open for tags in TAGS)):
        # a template that opens the thought itself leaves the opening tag out of the reply
        opened = next((tags for tags in TAGS if tags.close in reply.text and tags.answer_open in reply.text), None)
    return split_thought(reply.text, opened)


def _tokens(endpoint: Endpoint, body: Mapping[str, Any], reply: Reply) -> dict[str, int]:
    """Tokens as the endpoint bills them; the most they can be where it does not say, which `uncounted` then tells."""
    bill = reply.bill or endpoint.worst_case(body)
    thought = min(reply.thought_tokens or 0, bill.written)
    counts = {"in": bill.prompt, "cached": bill.cached, "thought": thought, "out": bill.written - thought}
    return {**counts, "uncounted": int(reply.bill is None)}


def spending(account: Account, price: Price | None) -> dict[str, Any]:
    """What the run sent and paid, failures included, for results.json; it depends on the endpoint's faults."""

    def usd(bill: Bill) -> float | str:
        return "unknown" if price is None else price.usd(bill)

    return {
        "usd_at_most": usd(account.kept + account.wasted),
        "usd_wasted_at_most": usd(account.wasted),
        "num_requests": account.num_sent,
        "num_replies": account.num_kept,
        "num_replies_without_count": account.num_uncounted,
        "num_failures": account.num_failed,
        "num_failures_maybe_billed": account.num_failed_billed,
        "num_maybe_paid_and_lost": account.num_lost,
    }


def told(spent: Mapping[str, Any]) -> str:
    """Spending in one line."""
    usd = spent["usd_at_most"]
    parts = [f"{spent['num_requests']:,} requests", f"{spent['num_replies']:,} replies"]
    failures = spent["num_failures"] + spent["num_failures_maybe_billed"]
    parts += [f"{failures:,} failures"] if failures else []
    if spent["num_replies_without_count"]:
        parts.append(f"{spent['num_replies_without_count']:,} replies without a count of tokens (taken at their most)")
    if spent["num_maybe_paid_and_lost"]:
        parts.append(f"{spent['num_maybe_paid_and_lost']:,} requests may have been paid and lost")
    parts += ["price not known"] if isinstance(usd, str) else [f"at most {usd:.4f} USD"]
    return ", ".join(parts)
