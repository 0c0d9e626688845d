"""The process that asks an endpoint, apart from the run that wants the answers.

A reply that is under way has been paid for. A run that is killed (by the system that is out of memory, by somebody's
`kill -9`) could not write it down, and would pay for it again. So a process in a session of its own asks and writes down; when
the run is gone it sends nothing more, waits for what is under way, and ends. So it does when a scheduler or an operator asks
either of the two to end (SIGTERM; the run then stays until the other has ended, since a job's processes are killed with the first
that leaves). What takes both away at once, such as a power failure, leaves claims without an end in the store, which say what
may have been lost.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from sagecraft import console
from sagecraft.errors import MachineError, SagecraftError, StoppedError, UserError, from_system_error
from sagecraft.inference.limits import DROP, STOP, STOPPED, LimitsConfig
from sagecraft.inference.replies import Failed

_WARN_SECONDS = 10.0
_FAULTS = {fault.exit_code: fault for fault in (MachineError, UserError, StoppedError)}


class Errand(BaseModel):
    """What is to be asked, where, and into which store the replies go.

    Attributes:
        model: `provider:model`.
        base_url: of a server of one's own.
        providers: a file of presets and prices.
        store: folder of the store.
        purpose: the run that pays.
        spent_elsewhere_usd: what others have spent of the sum that `limits` sets.
        limits: pace, patience and money.
        requests: bodies as `remote.measure` takes them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    model: str
    base_url: str | None
    providers: Path | None
    store: Path
    purpose: str
    limits: LimitsConfig
    requests: list[dict[str, Any]]
    spent_elsewhere_usd: float = 0.0


def carry_out(errand: Errand, tell: Callable[[dict[str, Any]], object], orders: int | None) -> dict[int, str]:
    """Asks everything; replies are in the store afterwards.

    Args:
        errand: what is asked.
        tell: is told of each item that has ended, of the money spent so far, and now and then of faults.
        orders: as `Asker.run` has it.

    Returns:
        Number of each item that got no answer → why.
    """
    from sagecraft.evaluation.remote import measure
    from sagecraft.evaluation.score import Request
    from sagecraft.evaluation.store import Store
    from sagecraft.inference.asker import Asker
    from sagecraft.inference.endpoint import Endpoint

    endpoint = Endpoint(errand.model, errand.base_url, errand.providers)

    async def one(asker: Asker, body: dict[str, Any]) -> None:
        await measure(asker, Request("", body))  # what it makes of the replies is made again, of the store

    with closing(Store(errand.store, endpoint.identity, errand.purpose)) as kept:
        account = kept.account()
        warn = _now_and_then(lambda fault: tell({"warn": fault}))
        asker = Asker(endpoint, kept, errand.limits, account.kept + account.wasted, warn, errand.spent_elsewhere_usd)
        jobs = (partial(one, body=body) for body in errand.requests)
        is_priced = endpoint.preset.price is not None
        answers = asker.run(
            jobs, lambda: tell({"done": 1, "usd": asker.budget.spent_usd if is_priced else None}), orders
        )
    return {number: answer.why for number, answer in enumerate(answers) if isinstance(answer, Failed)}


def _now_and_then(say: Callable[[str], object]) -> Callable[[str], None]:
    """Says the first thing, and then one every ten seconds: faults come by the hundred."""
    last = -_WARN_SECONDS

    def maybe(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _WARN_SECONDS:
            last = time.monotonic()
            say(text)

    return maybe


def send(errand: Errand, done: Callable[[float | None], object]) -> dict[int, str]:
    """Has a process of its own carry out an errand, and waits for it.

    Args:
        errand: what is asked.
        done: is told, at each item that has ended, of the USD spent so far (None without a price).

    Returns:
        Number of each item that got no answer → why.

    Raises:
        UserError: every request would fail; or the cost limit is reached.
        MachineError: the endpoint is down, or the process died.
        KeyboardInterrupt: Ctrl-C, when what was under way has come back (a second one: at once).
        StoppedError: SIGTERM, likewise.
    """
    orders, order = os.pipe()
    command = [sys.executable, "-P", "-m", "sagecraft.evaluation.courier", str(orders)]
    last: dict[str, Any] = {}
    try:
        with (
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(orders,), start_new_session=True
            ) as process,
            _interruptible(order) as interrupted,
        ):
            os.close(orders)
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(BrokenPipeError), process.stdin:  # it says why it died
                process.stdin.write(json.dumps(errand.model_dump(mode="json")).encode())  # ASCII: holds any text
            for line in process.stdout:
                last = json.loads(line)
                if "done" in last:
                    done(last["usd"])
                elif "warn" in last:
                    console.say(f"  {errand.model}: {last['warn']}")
    finally:
        os.close(order)
    if signal.SIGINT in interrupted:
        raise KeyboardInterrupt
    if interrupted:
        raise StoppedError(STOPPED)
    if "error" in last:
        raise _FAULTS.get(last["exit_code"], MachineError)(last["error"])
    if "failures" not in last:
        raise MachineError(
            f"the process that asks {errand.model} died (exit code {process.returncode}); finished items are kept, run the "
            "same command again"
        )
    return {int(number): why for number, why in last["failures"].items()}


@contextlib.contextmanager
def _interruptible(order: int) -> Iterator[list[int]]:
    """Within it Ctrl-C and SIGTERM order the courier to stop, Ctrl-C after that to drop what is under way; what came is listed."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def pass_on(number: int, _: object) -> None:
        came.append(number)  # first of all: another may come while this one is dealt with
        if len(came) > 1 and number == signal.SIGTERM:
            return  # whoever asks twice will kill in the end: until then replies may come
        with contextlib.suppress(OSError):
            os.write(order, STOP if len(came) == 1 else DROP)
        if len(came) == 1:
            console.say(
                "  stopping; requests under way are paid for, so their replies are waited for (Ctrl-C: drop them)"
            )

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main() -> None:
    """The process itself: the errand stands on standard input, orders come through the pipe, news go to standard output."""

    def tell(news: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more
            os.write(1, (json.dumps(news) + "\n").encode())

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    text = sys.stdin.read()
    if not text.endswith("}"):
        return  # the run died while it said what it wants
    try:
        tell({"failures": carry_out(Errand.model_validate(json.loads(text)), tell, int(sys.argv[1]))})
    except SagecraftError as fault:
        tell({"error": str(fault), "exit_code": fault.exit_code})
    except (OSError, MemoryError) as fault:
        known = from_system_error(fault)
        if known is None:
            raise
        tell({"error": str(known), "exit_code": known.exit_code})


if __name__ == "__main__":
    main()
