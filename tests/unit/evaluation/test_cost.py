from __future__ import annotations

import pytest

from sagecraft.evaluation.cost import Tokens, add_up, endpoint_cost, local_cost, usd_per_100k_tokens
from sagecraft.inference.prices import Price

ROWS = [{"in": 100, "thought": 10, "out": 5}, {"in": 200, "thought": 0, "out": 5}]


def test_thoughts_are_paid_like_answers() -> None:
    tokens = add_up(ROWS)
    assert tokens == Tokens(prompt=300, thought=10, answer=10)
    assert endpoint_cost(tokens, Price(usd_per_million_in=2.0, usd_per_million_out=10.0)) == pytest.approx(0.0008)


def test_unknown_stays_unknown() -> None:
    half = Price(usd_per_million_in=2.0)
    assert endpoint_cost(Tokens(prompt=1), half) == "unknown"
    assert endpoint_cost(Tokens(prompt=1), None) == "unknown"
    assert add_up([*ROWS, None]) is None
    assert endpoint_cost(None, Price(usd_per_million_in=1, usd_per_million_out=1)) == "unknown"


def test_local_cost() -> None:
    assert local_cost(1800, 3.0) == 1.5


def test_cached_tokens_have_a_price_of_their_own() -> None:
    price = Price(usd_per_million_in=2.0, usd_per_million_cached_in=0.5, usd_per_million_out=10.0)
    tokens = add_up([{"in": 100, "cached": 40, "thought": 0, "out": 10}, {"in": 10, "thought": 0, "out": 0}])
    assert tokens == Tokens(prompt=110, cached=40, answer=10)
    assert endpoint_cost(tokens, price) == pytest.approx((70 * 2 + 40 * 0.5 + 10 * 10) / 1e6)
    assert tokens.as_dict() == {"in": 110, "cached": 40, "thought": 0, "out": 10}


def test_the_price_of_a_tenth_of_a_million_tokens() -> None:
    tokens = Tokens(prompt=150_000, thought=30_000, answer=20_000)
    assert usd_per_100k_tokens(1.0, tokens) == 0.5
    assert usd_per_100k_tokens("unknown", tokens) is None
    assert usd_per_100k_tokens(1.0, None) is None
    assert usd_per_100k_tokens(0.0, Tokens()) is None
