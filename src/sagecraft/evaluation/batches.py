"""Requests to a local model, several at once, kept as they come back.

Which requests run together follows from the requests of a run alone, not from what a store holds: a batch of which something is
missing runs whole, so that a run that was killed ends with the bytes of one that was not (a product's last digits depend on
how many rows it has).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sagecraft.evaluation.score import Measure, Request
    from sagecraft.evaluation.store import Store

#: Tokens that run at once: enough for the products to reach their rate, few enough for what lies between two to stay in a cache.
_BATCH_TOKENS = 2048
#: Replies that are asked for at once: twice the rows that are written side by side, so that one that ends early is followed by
#: another; a run that is killed loses as many at most.
_BATCH_REPLIES = 32
#: A beginning shared by all requests is run apart from this length on: below, it costs less to run it each time.
_MIN_SHARED = 32

#: Runs batches in whichever process is free: how many tokens all begin with, the batches, what runs the batch of a number here,
#: and what is told of each that is in the store.
Share = Callable[[int, "Sequence[Sequence[Request]]", Callable[[int], object], Callable[[int], object]], object]


def measure_in_batches(
    engine: Any,
    measure: Measure,
    requests: Sequence[Request],
    store: Store,
    advance: Callable[[], object],
    share: Share | None = None,
) -> list[Any]:
    """What each request brought, in their order; None where it cannot be asked.

    Args:
        engine: is asked.
        measure: asks it.
        requests: equal ones are asked once.
        store: what it holds is not asked again.
        advance: is called for each request that is done.
        share: runs batches in several processes; None: in this one.
    """
    shared = _shared(requests)
    batches = make_batches(requests, shared)
    asked = [[requests[numbers[0]] for numbers in batch] for batch in batches]
    missing = [n for n, batch in enumerate(asked) if not all(store.holds(request.body) for request in batch)]
    for _ in range(len(requests) - sum(len(numbers) for n in missing for numbers in batches[n])):
        advance()  # it is there, or cannot be asked

    def here(place: int) -> None:
        measure_batch(engine, measure, asked[missing[place]], shared, store)

    def done(place: int) -> None:
        for _ in range(sum(map(len, batches[missing[place]]))):
            advance()

    if share is not None:
        share(shared, [asked[n] for n in missing], here, done)
        store.refresh()
    else:
        for place in range(len(missing)):
            here(place)
            done(place)
    values: list[Any] = [None] * len(requests)
    for batch in batches:
        for numbers in batch:
            for number in numbers:
                values[number] = store.value(requests[number].body)
    return values


def measure_batch(engine: Any, measure: Measure, requests: Sequence[Request], shared: int, store: Store) -> None:
    """Measures requests at once, and writes down what they brought."""
    started = time.monotonic()
    found = measure(engine, requests, shared)
    store.put([request.body for request in requests], found, time.monotonic() - started)


def _shared(requests: Sequence[Request]) -> int:
    """Tokens that all requests begin with, 0 if they are too few to matter; all there are where that is what they are about."""
    from sagecraft.models.branches import common_start

    questions = [request.question for request in requests if request.error is None]
    prefixes = [list(question[0]) for question in questions if question is not None]
    if len(prefixes) < 2 or len(prefixes) < len(questions):
        return 0
    if all(prefix == prefixes[0] for prefix in prefixes):
        return len(prefixes[0])
    shared = common_start(prefixes)
    return shared if shared >= _MIN_SHARED else 0


def make_batches(requests: Sequence[Request], shared: int = 0) -> list[list[list[int]]]:
    """Batches of requests, each as the numbers of those that equal it, long ones first: of like length, so that rows fill up.

    Those with one and the same prefix differ in their continuations alone: they stand in the order of these, so that such as
    begin alike come together and share that. Requests that want replies are `_BATCH_REPLIES` to a batch.
    """
    equal: dict[str, list[int]] = {}
    for number, request in enumerate(requests):
        if request.error is None:
            equal.setdefault(repr(request.body), []).append(number)
    groups = list(equal.values())
    sizes = {numbers[0]: _size(requests[numbers[0]], shared) for numbers in groups}
    questions = {numbers[0]: requests[numbers[0]].question for numbers in groups}
    if shared and all(question is not None and len(question[0]) == shared for question in questions.values()):
        groups.sort(key=lambda numbers: [list(ids) for ids in (questions[numbers[0]] or ([], []))[1]])
    else:
        groups.sort(key=lambda numbers: -sizes[numbers[0]])
    batches: list[list[list[int]]] = []
    filled = _BATCH_TOKENS
    for numbers in groups:
        size = sizes[numbers[0]]
        if filled + size > _BATCH_TOKENS:
            batches.append([])
            filled = 0
        batches[-1].append(numbers)
        filled += size
    return batches


def _size(request: Request, shared: int) -> int:
    """Tokens that are run for it, at least one; its share of a batch for one that wants a reply."""
    question = request.question
    if question is None:
        return _BATCH_TOKENS // _BATCH_REPLIES
    return max(1, len(question[0]) - shared + sum(len(ids) - 1 for ids in question[1]))
