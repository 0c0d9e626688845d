"""4,425 questions over an endpoint of which every twentieth reply is a fault, killed three times on the way."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from endpoint_run import measure

NUM_ITEMS = 4425


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_every_item_is_accounted_for_and_none_paid_twice(tmp_path: Path, number: signal.Signals) -> None:
    found = measure(tmp_path, NUM_ITEMS, rate=3600, stops=[number] * 3, faults=0.05)
    assert found["items"] == found["different_items"] == sum(found["outcomes"].values()) == NUM_ITEMS
    assert found["outcomes"].keys() <= {"correct", "wrong", "failed"}
    assert found["outcomes"].get("failed", 0) <= 2  # eight faults in a row
    assert found["paid_twice_at_server"] == found["maybe_paid_and_lost_as_told"] == 0
    assert found["timeouts"] <= 20  # of the requests that the endpoint never answers
    assert found["requests_at_server"] <= found["requests_written_down"]
    assert found["requests_written_down"] == found["paid_at_server"] + found["failures"]
    assert found["requests_per_minute"] <= 3600 * 1.02
    assert found["most_requests_in_a_second"] <= 60 * 2.5  # with what waited in the endpoint's queue on a busy machine
    assert found["most_at_once"] <= 32
    for name in ("megabytes_of_the_run_while_asking", "megabytes_of_the_asking_process"):
        sizes = found[name]
        assert max(sizes) - sizes[0] < 15, (name, sizes)
