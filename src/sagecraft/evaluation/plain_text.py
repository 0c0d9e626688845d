"""Replies as they are read: signs that look or mean alike, as one."""

from __future__ import annotations

import re
import unicodedata

_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "‚": "'", "´": "'"})
#: Signs without a width, which also turn the direction of writing.
UNSEEN = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


def tidy(text: str) -> str:
    """Wide forms, curly quotes and signs nobody sees, as what they mean."""
    return UNSEEN.sub("", unicodedata.normalize("NFKC", text)).translate(_QUOTES)
