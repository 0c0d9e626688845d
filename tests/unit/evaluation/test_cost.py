from __future__ import annotations

import pytest

from sagecraft.evaluation.cost import Tokens, add_up, endpoint_cost, local_cost
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
