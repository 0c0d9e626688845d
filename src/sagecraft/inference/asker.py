"""Asks an endpoint many things at once: at its pace, patiently, within a sum of money, and nothing twice.

Replies do not depend on their order, so results do not depend on concurrency. A fault that may pass is tried again; an item
whose faults do not pass has failed, and the others go on; a fault that every request would meet stops the run. When it is
stopped (an order, a fault, the cost limit) nothing more is sent, and what is under way, and paid for, is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

from sagecraft.errors import MachineError, SagecraftError, StoppedError, UserError
from sagecraft.inference.backoff import backoff_seconds
from sagecraft.inference.endpoint import Endpoint, FaultError
from sagecraft.inference.limits import DROP, STOPPED, LimitsConfig
from sagecraft.inference.pace import Budget, Pace
from sagecraft.inference.prices import Bill
from sagecraft.inference.replies import Failed, Reply, reply_request

_MAX_WAIT_SECONDS = 120.0
#: Items that fail one after the other, none succeeding, before the endpoint is taken to be down.
_MAX_FAILURES_IN_A_ROW = 5
#: Seconds until one looks again whether another process has the answer that it is asking for.
_LOOK_SECONDS = 0.2

_Answer = TypeVar("_Answer")


class Book(Protocol):
    """Where replies and claims are written down (`evaluation.store.Store`)."""

    def key(self, request: dict[str, Any]) -> str:
        """The key of a request."""

    def find(self, key: str) -> Any:
        """What is kept for a key, or None."""

    def claim(self, key: str, worst: Bill) -> Any:
        """Writes down that a request is about to be sent; None if another process answers or asks it."""

    def keep(self, claim: Any, value: Any, bill: Bill, seconds: float) -> None:
        """Writes down a reply."""

    def drop(self, claim: Any, bill: Bill, why: str) -> None:
        """Writes down a failure."""


class FailedError(Exception):
    """No reply to a request, at the last attempt."""


class Asker:
    """Asks one endpoint. `run` takes jobs, each of which asks as often as it must.

    Attributes:
        endpoint: what is asked.
        budget: the money.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        book: Book,
        limits: LimitsConfig,
        spent: Bill,
        warn: Callable[[str], object],
        spent_elsewhere_usd: float = 0.0,
    ) -> None:
        """Prepares; nothing is sent yet.

        Args:
            endpoint: what is asked.
            book: where replies are found and kept.
            limits: pace, patience and money.
            spent: what interrupted starts of this run spent.
            warn: is told why a request is sent again.
            spent_elsewhere_usd: what other models have spent of the same sum.

        Raises:
            UserError: a cost limit without a price.
        """
        endpoint.preset.check_limit(limits.max_usd)
        self.endpoint, self._book, self._limits, self._warn = endpoint, book, limits, warn
        self.budget = Budget(limits.max_usd, endpoint.preset.price, spent, spent_elsewhere_usd)
        self._pace = Pace(limits, time.monotonic, self._nap)
        self._under_way: dict[str, asyncio.Event] = {}
        self._stop: asyncio.Event = asyncio.Event()
        self._stopped_by: BaseException | None = None
        self._last = 0.0
        self._num_good = self._num_bad = 0

    def run(
        self,
        jobs: Iterable[Callable[[Asker], Awaitable[_Answer]]],
        done: Callable[[], object],
        orders: int | None = None,
    ) -> list[_Answer | Failed]:
        """Runs all jobs, as many at once as the limits allow.

        Args:
            jobs: each asks (`ask`) and returns what it makes of the replies.
            done: called whenever one has ended.
            orders: a pipe to read: anything stops the run, and so does its end; `DROP` drops what is under way as well. SIGTERM
                is then taken for an order to stop.

        Returns:
            What each job returned, or why it failed, in the order of the jobs.

        Raises:
            UserError: every request would fail; or the cost limit is reached.
            MachineError: the endpoint is down.
            StoppedError: it was ordered to stop.
        """
        answers: dict[int, _Answer | Failed] = {}
        asyncio.run(self._run(jobs, answers, done, orders))
        if self._stopped_by is not None:
            raise self._stopped_by
        return [answers[index] for index in range(len(answers))]

    async def _run(
        self,
        jobs: Iterable[Callable[[Asker], Awaitable[_Answer]]],
        answers: dict[int, _Answer | Failed],
        done: Callable[[], object],
        orders: int | None,
    ) -> None:
        todo = enumerate(jobs)
        self._last = time.monotonic()
        async with self.endpoint.connected(self._limits.concurrency):
            workers = [asyncio.create_task(self._work(todo, answers, done)) for _ in range(self._limits.concurrency)]
            loop = asyncio.get_running_loop()
            if orders is not None:
                loop.add_reader(orders, self._ordered, orders, workers)
                if threading.current_thread() is threading.main_thread():
                    loop.add_signal_handler(signal.SIGTERM, self._end, StoppedError(STOPPED))
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                if self._stopped_by is None:
                    raise
            finally:
                if orders is not None:
                    loop.remove_reader(orders)
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    def _ordered(self, orders: int, workers: list[asyncio.Task[None]]) -> None:
        """Reads an order; the end of the pipe is one: whoever gave them is gone."""
        order = os.read(orders, 16)
        if not order:
            asyncio.get_running_loop().remove_reader(orders)
        self._end(StoppedError(STOPPED))
        if DROP in order:
            for worker in workers:
                worker.cancel()

    async def _work(
        self,
        todo: Iterator[tuple[int, Callable[[Asker], Awaitable[_Answer]]]],
        answers: dict[int, _Answer | Failed],
        done: Callable[[], object],
    ) -> None:
        for index, job in todo:
            if self._stop.is_set():
                return
            try:
                answers[index] = await job(self)
            except FailedError as fault:
                answers[index] = Failed(str(fault))
            except SagecraftError as fault:  # of every request, so of the run
                self._end(fault)
                return
            done()

    def _end(self, fault: BaseException) -> None:
        """Nothing more is sent; the first reason counts."""
        self._stopped_by = self._stopped_by or fault
        self._stop.set()

    async def ask(self, body: Mapping[str, Any]) -> Reply:
        """One reply: kept before, or asked for now.

        Raises:
            FailedError: there is none, at the last attempt.
            UserError: every request would fail like this one, or the cost limit is reached.
            MachineError: the endpoint is down.
        """
        key = self._book.key(reply_request(body))
        while True:
            kept = self._book.find(key)
            if kept is not None:
                return Reply.model_validate(kept)
            if key in self._under_way:  # two equal questions are asked, and paid, once
                await self._under_way[key].wait()
                continue
            ended = self._under_way[key] = asyncio.Event()
            try:
                if await self._patiently(key, body):
                    continue
            finally:
                del self._under_way[key]
                ended.set()
            await self._nap(_LOOK_SECONDS)  # another process asks it

    async def _patiently(self, key: str, body: Mapping[str, Any]) -> bool:
        """Sends until there is a reply; False if another process is asking the same thing."""
        for attempt in range(1, self._limits.max_attempts + 1):
            fault = await self._once(key, body)
            if not isinstance(fault, FaultError):
                return fault
            last = attempt == self._limits.max_attempts
            if not fault.passing or last:
                self._failed(fault)
                raise FailedError(f"{fault} (attempt {attempt} of {self._limits.max_attempts})" if last else str(fault))
            wait = min(backoff_seconds(attempt, key) if fault.wait is None else fault.wait, _MAX_WAIT_SECONDS)
            self._warn(f"{fault}; trying again in {wait:.0f} s")
            if fault.wait is not None:
                self._pace.pause(wait)
            else:
                await self._nap(wait)
        raise AssertionError("the loop returns or raises")

    async def _once(self, key: str, body: Mapping[str, Any]) -> FaultError | bool:
        """Sends once: the fault; or True if a reply was kept, False if another process is asking."""
        worst = self.endpoint.worst_case(body)
        # providers count the limit of new tokens; a token of running text is three bytes or more
        num_tokens = worst.prompt // 3 + worst.written
        await self._pace.ready(num_tokens)
        if not await self.budget.reserve(worst):
            raise UserError(
                f"max_usd: {self.budget.spent_usd:.4f} USD are spent, and the next request could pass the limit of "
                f"{self._limits.max_usd:g} USD; finished items are kept: raise it and run the same command again"
            )
        bill = Bill()
        try:
            self._check_stopped()
            claim = self._book.claim(key, worst)
            if claim is None:
                return False
            try:
                reply = await self.endpoint.send(body, self._limits.timeout_seconds)
            except BaseException as fault:
                bill = self._drop(claim, worst, fault)
                if isinstance(fault, FaultError):
                    return fault
                raise
            bill = reply.bill or worst
            self._book.keep(claim, reply.model_dump(), bill, self._since())
        finally:
            await self.budget.settle(worst, bill)
            self._pace.used(num_tokens, bill.prompt + bill.written)
        self._num_good, self._num_bad = self._num_good + 1, 0
        return True

    def _drop(self, claim: Any, worst: Bill, fault: BaseException) -> Bill:
        """Writes a failure down, with what it cost: what it is known to have, nothing for a refusal, else the most."""
        if isinstance(fault, FaultError):
            bill, why = worst if fault.bill is None else fault.bill, str(fault)
        elif isinstance(fault, SagecraftError):
            bill, why = Bill(), str(fault)
        else:
            bill, why = worst, "dropped"
        self._book.drop(claim, bill, why)
        return bill

    def _since(self) -> float:
        """Seconds since the last reply was written down: they add up to the time a run took, and skip its pauses."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        return seconds

    def _failed(self, fault: FaultError) -> None:
        """Counts an item that failed for good; many in a row mean that no other will do better."""
        self._num_bad += 1
        if self._num_bad < _MAX_FAILURES_IN_A_ROW:
            return
        many = f"{self.endpoint.name}: {fault}, {self._num_bad} items in a row"
        if fault.passing:
            raise MachineError(f"{many}; finished items are kept: run the same command again later") from fault
        if self._num_good == 0:  # a refusal is of the item; where no item is taken, it is of the request's form
            raise UserError(f"{many}, and no item was answered") from fault

    def _check_stopped(self) -> None:
        if self._stop.is_set():
            raise StoppedError("stopped")

    async def _nap(self, seconds: float) -> None:
        """Sleeps, or less if the run is stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)
        self._check_stopped()
