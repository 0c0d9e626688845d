"""Who writes replies: an endpoint, or a model here. Every reply is kept, so that nothing is asked, or paid, twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sagecraft.evaluation.inputs import resolve_model
from sagecraft.inference.replies import Failed

if TYPE_CHECKING:
    from sagecraft.evaluation.score import Request
    from sagecraft.evaluation.store import Store
    from sagecraft.inference.endpoint import Endpoint
    from sagecraft.inference.prices import Price
    from sagecraft.inference.protocol import Engine
    from sagecraft.teaching.config import ModelConfig
    from sagecraft.teaching.purse import Purse

Turns = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Written:
    """A reply.

    Attributes:
        text: the answer.
        thought: what was thought before it.
        cut: the limit of tokens fell inside of it.
        refused: it was withheld.
        tokens: read and written, thought included.
    """

    text: str
    thought: str | None
    cut: bool
    refused: bool
    tokens: tuple[int, int]


class Writer(Protocol):
    """Writes a reply to each of several conversations."""

    @property
    def name(self) -> str:
        """The model's."""

    @property
    def seconds(self) -> float:
        """What the replies took that were looked at so far, whenever they were written."""

    def write(
        self, conversations: Sequence[Turns], schema: Mapping[str, Any], ended: Callable[[str], object]
    ) -> list[Written | Failed]:
        """A reply to each, or why there is none; `ended` is told of each that has ended, with what is spent so far."""

    def spending(self) -> dict[str, Any]:
        """What was sent and paid; empty for a model here."""

    @property
    def price(self) -> Price | None:
        """Of an endpoint, if it is known."""


def usd_of(price: Price | None, tokens_in: float, tokens_out: float) -> float | None:
    """USD of so many tokens, none of them from a cache; None if the price is not known."""
    if price is None or price.usd_per_million_in is None or price.usd_per_million_out is None:
        return None
    return (tokens_in * price.usd_per_million_in + tokens_out * price.usd_per_million_out) / 1e6


@contextmanager
def open_writer(
    config: ModelConfig, providers: Path | None, folder: Path, purpose: str, purse: Purse | None = None
) -> Iterator[Writer]:
    """Makes a model ready to be asked.

    Args:
        config: which, and how.
        providers: file of presets and prices.
        folder: of the store of replies.
        purpose: what the money is spent for.
        purse: that it shares with other models.

    Raises:
        UserError: no such model, or a cost limit without a price.
    """
    from sagecraft.evaluation.store import Store

    inputs, endpoint_name = resolve_model(config.model)
    if endpoint_name is not None:
        from sagecraft.inference.endpoint import Endpoint

        endpoint = Endpoint(endpoint_name, config.base_url, providers)
        endpoint.preset.asked(config.thinking)
        endpoint.preset.check_limit(config.limits.max_usd)
        with closing(Store(folder, endpoint.identity, purpose)) as kept:
            limits, elsewhere = purse.narrowed(config.limits, kept) if purse else (config.limits, 0.0)
            yield _FromEndpoint(config.model_copy(update={"limits": limits}), endpoint, kept, providers, elsewhere)
        return
    from sagecraft.inference.engine import open_engine

    with (
        open_engine(inputs["model"], adapter=inputs.get("adapter")) as engine,
        closing(Store(folder, engine.identity, purpose)) as kept,
    ):
        yield _FromEngine(config, engine, kept)


@dataclass(frozen=True)
class _FromEndpoint:
    config: ModelConfig
    endpoint: Endpoint
    kept: Store
    providers: Path | None
    spent_elsewhere_usd: float

    @property
    def name(self) -> str:
        return self.endpoint.name

    @property
    def seconds(self) -> float:
        return self.kept.seconds

    def write(
        self, conversations: Sequence[Turns], schema: Mapping[str, Any], ended: Callable[[str], object]
    ) -> list[Written | Failed]:
        from sagecraft.evaluation import remote

        config = self.config
        format_ = {"type": "json_schema", "json_schema": {"name": "reply", "schema": dict(schema)}}
        more = {"response_format": format_} if config.structure == "json_schema" else {}
        budgets = (config.thought_tokens, config.answer_tokens)
        requests = [remote.request_of(self.endpoint, turns, config.thinking, budgets, more) for turns in conversations]
        if not requests:
            return []

        def done(usd: float | None) -> None:
            ended("" if usd is None else f"{usd:.4f} USD")

        failures = remote.send_all(
            self.endpoint, requests, self.kept, config, self.providers, done, self.spent_elsewhere_usd
        )
        values = remote.kept_values(self.endpoint, requests, self.kept, failures)
        return [value if isinstance(value, Failed) else _written(value) for value in values]

    def spending(self) -> dict[str, Any]:
        from sagecraft.evaluation import remote

        return remote.spending(self.kept.account(), self.endpoint.preset.price)

    @property
    def price(self) -> Price | None:
        price: Price | None = self.endpoint.preset.price
        return price


@dataclass(frozen=True)
class _FromEngine:
    config: ModelConfig
    engine: Engine
    kept: Store

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def seconds(self) -> float:
        return self.kept.seconds

    def write(
        self,
        conversations: Sequence[Turns],
        schema: Mapping[str, Any],  # noqa: ARG002 - the words of the prompt say it; decoding here is not bound to a schema
        ended: Callable[[str], object],
    ) -> list[Written | Failed]:
        from sagecraft.evaluation.batches import measure_in_batches
        from sagecraft.evaluation.generate import local_request_of, measure_each

        budgets = (self.config.thought_tokens, self.config.answer_tokens)
        requests: list[Request] = [
            local_request_of(self.engine, turns, self.config.thinking, budgets) for turns in conversations
        ]
        values = measure_in_batches(self.engine, measure_each, requests, self.kept, lambda: ended(""))
        return [
            Failed(request.error or "not asked") if value is None else _written(value)
            for request, value in zip(requests, values, strict=True)
        ]

    def spending(self) -> dict[str, Any]:
        return {}

    @property
    def price(self) -> Price | None:
        return None


def _written(value: Mapping[str, Any]) -> Written:
    tokens = value["tokens"]
    return Written(
        text=value["answer"],
        thought=value["thought"],
        cut=value["cut"],
        refused=value["finish"] == "refusal",
        tokens=(tokens["in"], tokens["thought"] + tokens["out"]),
    )
