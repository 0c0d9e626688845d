"""A look before the money is spent: passages drawn by seed, and what all of them would cost and take."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sagecraft import console
from sagecraft.teaching.asking import Answer
from sagecraft.teaching.writers import Writer, usd_of


def cut(hashes: Iterable[int], count: int | None) -> tuple[int, int]:
    """The hash up to which so many are taken (all for None), and how many there are: more are a superset of fewer."""
    total = 0

    def counted() -> Iterator[int]:
        nonlocal total
        for value in hashes:
            total += 1
            yield value

    if count is None:
        for _ in counted():
            pass
        return 1 << 64, total
    least = heapq.nsmallest(count, counted())
    return (least[-1] if least else 0), total


def project(writer: Writer, answers: Sequence[Answer[Any]], wanted: int) -> dict[str, Any]:
    """What `wanted` passages would take by the median of those asked: tokens, USD (None if the price is not known), seconds."""
    medians = [statistics.median(answer.tokens[n] for answer in answers) if answers else 0 for n in (0, 1)]
    tokens_in, tokens_out = (median * wanted for median in medians)
    return {
        "passages": wanted,
        "tokens_in": round(tokens_in),
        "tokens_out": round(tokens_out),
        "usd": usd_of(writer.price, tokens_in, tokens_out),
        "seconds": writer.seconds / len(answers) * wanted if answers else 0.0,
    }


def say_sample(answers: Sequence[Answer[Any]], num_shown: int, projected: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Says what failed of a sample and what all would take; returns the failures."""
    failures = [answer.as_failure() for answer in answers if answer.failed]
    for failure in failures:
        console.say(f"  {failure['id']}  failed: {failure['fault']}")
    usd = projected["usd"]
    price = "at a price that is not known" if usd is None else f"for about {usd:.2f} USD"
    console.say(
        f"  {len(answers) - len(failures):,} of {len(answers):,} passages gave {num_shown:,} questions; all "
        f"{projected['passages']:,} would take about {projected['tokens_in'] + projected['tokens_out']:,} tokens {price} and "
        f"{console.duration(projected['seconds'])} at this pace"
    )
    return failures
