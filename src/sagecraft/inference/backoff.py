"""How long to wait before a server is asked again: what it asked for, or a doubling wait that runs do not share."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from sagecraft.artifact import keyed_hash

#: A duration as OpenAI's x-ratelimit-reset headers have it: 6m0s, 1s, 12ms.
_DURATION = re.compile(
    r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)s)?(?:(\d{1,9}(?:\.\d{1,9})?)ms)?"
)
#: Limits of which a server tells how much is left and when there is more.
_LIMITS = ("requests", "tokens")


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


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that a refusing server asks one to wait, None if it does not say.

    `retry-after-ms` and `Retry-After` count first; then the time at which a limit that is used up is reset
    (`x-ratelimit-reset-…` of OpenAI and others, `anthropic-ratelimit-…-reset`), the latest of them.

    Args:
        headers: of the response; names in any case (httpx.Headers) or in lower case.
        now: seconds since 1970.
    """
    milliseconds = retry_after(headers.get("retry-after-ms"), now)
    if milliseconds is not None:
        return milliseconds / 1000
    seconds = retry_after(headers.get("retry-after"), now)
    if seconds is not None:
        return seconds
    waits = []
    for limit in _LIMITS:
        for left, reset in (
            (f"x-ratelimit-remaining-{limit}", f"x-ratelimit-reset-{limit}"),
            (f"anthropic-ratelimit-{limit}-remaining", f"anthropic-ratelimit-{limit}-reset"),
        ):
            wait = _reset(headers.get(reset), now) if headers.get(left, "").strip() == "0" else None
            if wait is not None:
                waits.append(wait)
    return max(waits, default=None)


def _reset(value: str | None, now: float) -> float | None:
    """Seconds until a limit is reset: a duration, or a time of RFC 3339."""
    text = (value or "").strip()
    found = _DURATION.fullmatch(text)
    if text and found:
        hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
        return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
    try:
        return max(datetime.datetime.fromisoformat(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None


def backoff_seconds(attempt: int, key: str, first_seconds: float = 1.0) -> float:
    """Seconds after the `attempt`-th failure (from 1): doubling, spread by half so that runs do not march in step."""
    spread = 0.5 + keyed_hash("back-off", attempt, key) / 2**64
    return float(first_seconds * 2.0 ** (attempt - 1) * spread)
