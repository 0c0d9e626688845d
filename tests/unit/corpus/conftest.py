"""A server on 127.0.0.1 and a clock that does not wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from faulty import FakeTime, FaultyServer


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    running = FaultyServer()
    yield running
    running.close()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()
