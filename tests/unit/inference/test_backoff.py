from __future__ import annotations

from email.utils import formatdate

import pytest

from sagecraft.inference.backoff import backoff_seconds, retry_after

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("1.5", 1.5),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("soon", None),
        ("-3", None),
        ("", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds


def test_waits_double_within_half_of_themselves_and_differ_between_requests() -> None:
    for attempt in range(1, 8):
        assert 0.5 * 3 * 2 ** (attempt - 1) <= backoff_seconds(attempt, "a", 3.0) <= 1.5 * 3 * 2 ** (attempt - 1)
    assert backoff_seconds(1, "a") == backoff_seconds(1, "a") != backoff_seconds(1, "b")
