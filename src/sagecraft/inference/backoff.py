"""How long to wait before a server is asked again: what it asked for, or a doubling wait that runs do not share."""

from __future__ import annotations

import datetime
from email.utils import parsedate_to_datetime

from sagecraft.artifact import keyed_hash


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds of a Retry-After header: a number, or a date (RFC 9110, 10.2.3); None if it says nothing usable.

    Args:
        value: the header.
        now: seconds since 1970, from which a date is counted.
    """
    if value is None:
        return None
    try:
        if value.strip().replace(".", "", 1).isdigit():
            return float(value)
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):  # a server's nonsense is no reason to give up
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=datetime.UTC)
    return max(aware.timestamp() - now, 0.0)


def backoff_seconds(attempt: int, key: str, first_seconds: float = 1.0) -> float:
    """Seconds after the `attempt`-th failure (from 1): doubling, spread by half so that runs do not march in step."""
    spread = 0.5 + keyed_hash("back-off", attempt, key) / 2**64
    return float(first_seconds * 2.0 ** (attempt - 1) * spread)
