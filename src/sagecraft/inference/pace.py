"""How fast, how often and for how much money an endpoint is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sagecraft.inference.limits import LimitsConfig
from sagecraft.inference.prices import Bill, Price

#: Rounding of sums of USD that must not stop a run whose limit is just what it costs.
_ROUNDING = 1e-9
_BURST_SECONDS = 0.25


class Bucket:
    """A token bucket: `per_minute` flow in evenly, and what was taken too much is waited for.

    It holds what a quarter of a second brings (one at least), so that a run neither starts with a minute's worth at once
    nor loses its rate to the coarse steps of timers: with a whole second's worth, 123 requests went out in the first second
    of 60 a second.
    """

    def __init__(self, per_minute: float | None, clock: Callable[[], float]) -> None:
        self._per_second = None if per_minute is None else per_minute / 60
        self._capacity = max(1.0, (self._per_second or 0.0) * _BURST_SECONDS)
        self._clock = clock
        self._level, self._at = self._capacity, clock()

    def wait(self, amount: float) -> float:
        """Takes `amount`, and says how many seconds to wait before it may be used. May leave the bucket in debt."""
        if self._per_second is None:
            return 0.0
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._at) * self._per_second)
        self._at = now
        # what is larger than the bucket goes when it is full, and is paid back afterwards
        missing = min(amount, self._capacity) - self._level
        self._level -= amount
        return max(0.0, missing / self._per_second)

    def give_back(self, amount: float) -> None:
        """Returns what was taken and not used (or takes more, if negative)."""
        self._level = min(self._capacity, self._level + amount)


class Pace:
    """When the next request may be sent: both rates, and the pause that the endpoint asked for."""

    def __init__(
        self, limits: LimitsConfig, clock: Callable[[], float], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._requests = Bucket(limits.requests_per_minute, clock)
        self._tokens = Bucket(limits.tokens_per_minute, clock)
        self._clock, self._sleep = clock, sleep
        self._not_before = 0.0

    async def ready(self, num_tokens: int) -> None:
        """Waits for one request of so many tokens."""
        wait = max(self._requests.wait(1), self._tokens.wait(num_tokens))
        if wait > 0:
            await self._sleep(wait)
        while (pause := self._not_before - self._clock()) > 0:
            await self._sleep(pause)

    def used(self, reserved: int, used: int) -> None:
        """Corrects the tokens of a request."""
        self._tokens.give_back(reserved - used)

    def pause(self, seconds: float) -> None:
        """Nothing is sent for so long: the endpoint said so, to one request on behalf of all."""
        self._not_before = max(self._not_before, self._clock() + seconds)


class Budget:
    """Money: the worst case of a request is set aside before it is sent, and settled when it has come back.

    Attributes:
        spent_usd: settled, worst cases of requests without a count included.
    """

    def __init__(
        self, limit_usd: float | None, price: Price | None, spent: Bill, spent_elsewhere_usd: float = 0.0
    ) -> None:
        """As it stands at the start.

        Args:
            limit_usd: never passed; None for no limit.
            price: of the model; a limit needs one.
            spent: what interrupted starts of the run spent.
            spent_elsewhere_usd: what other models have spent of the same sum.
        """
        assert limit_usd is None or price is not None, "Preset.check_limit comes first"
        self._limit, self._price = limit_usd, price
        self.spent_usd = 0.0 if price is None else spent_elsewhere_usd + price.usd(spent)
        self._reserved = 0.0
        self._under_way = 0
        self._settled = asyncio.Condition()

    def _usd(self, bill: Bill) -> float:
        return 0.0 if self._price is None else self._price.usd(bill)

    async def reserve(self, worst: Bill) -> bool:
        """Sets the worst case of a request aside, waiting for others to come back if only that makes room.

        Returns:
            Whether there was room; False: the limit would be passed even if nothing else were under way.
        """
        need = self._usd(worst)
        async with self._settled:
            while self._limit is not None:
                if self.spent_usd + self._reserved + need <= self._limit * (1 + _ROUNDING):
                    break
                if self._under_way == 0:
                    return False
                await self._settled.wait()
            self._reserved += need
            self._under_way += 1
        return True

    async def settle(self, worst: Bill, bill: Bill) -> None:
        """Replaces the worst case by what the request cost."""
        async with self._settled:
            self._reserved -= self._usd(worst)
            self._under_way -= 1
            self.spent_usd += self._usd(bill)
            self._settled.notify_all()
