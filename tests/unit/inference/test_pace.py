from __future__ import annotations

import asyncio

import pytest

from sagecraft.inference.limits import LimitsConfig
from sagecraft.inference.pace import Bucket, Budget, Pace
from sagecraft.inference.prices import Bill, Price

PRICE = Price(usd_per_million_in=1.0, usd_per_million_out=1.0)


class Time:
    """Seconds that pass only in sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


def sent_at(limits: LimitsConfig, sizes: list[int], used: int | None = None) -> list[float]:
    time = Time()
    pace = Pace(limits, time.clock, time.sleep)
    times = []

    async def all_of_them() -> None:
        for size in sizes:
            await pace.ready(size)
            times.append(time.now)
            if used is not None:
                pace.used(size, used)

    asyncio.run(all_of_them())
    return times


def test_requests_come_evenly() -> None:
    times = sent_at(LimitsConfig(requests_per_minute=30), [1] * 5)
    assert times == pytest.approx([0, 2, 4, 6, 8])
    assert sent_at(LimitsConfig(), [1] * 5) == [0.0] * 5


def test_a_bucket_holds_a_quarter_of_a_second_at_most() -> None:
    time = Time()
    bucket = Bucket(2400, time.clock)
    time.now = 1000.0
    waits = [bucket.wait(1) for _ in range(12)]
    assert waits == pytest.approx([0.0] * 10 + [0.025, 0.05])


def test_tokens_that_were_not_used_are_given_back() -> None:
    limits = LimitsConfig(tokens_per_minute=6000)
    assert sent_at(limits, [300] * 4) == pytest.approx([0, 3, 6, 9])
    assert sent_at(limits, [300] * 4, used=100) == pytest.approx([0, 1, 2, 3])


def test_the_rate_of_a_run_is_the_rate_configured() -> None:
    times = sent_at(LimitsConfig(requests_per_minute=6000), [1] * 1100)
    assert 1000 / (times[-1] - times[99]) == pytest.approx(100, rel=0.001)
    for start, end in zip(times, times[125:], strict=False):  # in no second more than a quarter too many
        assert end - start >= 0.999


def test_what_the_endpoint_asked_for_holds_for_all() -> None:
    time = Time()
    pace = Pace(LimitsConfig(), time.clock, time.sleep)

    async def two() -> None:
        await pace.ready(1)
        pace.pause(7)
        pace.pause(3)
        await pace.ready(1)

    asyncio.run(two())
    assert time.now == pytest.approx(7)


def test_money_is_set_aside_before_it_is_spent() -> None:
    async def story() -> None:
        budget = Budget(10e-6, PRICE, Bill(prompt=2))
        worst = Bill(prompt=2, written=2)
        assert await budget.reserve(worst)
        assert await budget.reserve(worst)
        waiting = asyncio.create_task(budget.reserve(worst))  # 2 spent + 8 set aside: only a settlement makes room
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await budget.settle(worst, Bill(prompt=1))
        await budget.settle(worst, worst)
        assert not await waiting  # 2 + 1 + 4 spent; 4 more would be 11
        assert budget.spent_usd == pytest.approx(7e-6)
        assert await budget.reserve(Bill(prompt=3))

    asyncio.run(story())


def test_the_limit_is_reached_exactly_and_not_passed() -> None:
    async def story() -> list[bool]:
        budget = Budget(10e-6, PRICE, Bill())
        answers = []
        for _ in range(4):
            answers.append(await budget.reserve(Bill(written=5)))
            if answers[-1]:
                await budget.settle(Bill(written=5), Bill(written=5))
        assert budget.spent_usd == pytest.approx(10e-6)
        return answers

    assert asyncio.run(story()) == [True, True, False, False]
