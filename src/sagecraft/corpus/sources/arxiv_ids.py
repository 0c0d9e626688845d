"""Identifiers of arXiv, of both forms: `2101.00001` (since April 2007) and `hep-th/9901001`."""

from __future__ import annotations

import re

#: How settings write a month.
MONTH = r"^\d{4}-(0[1-9]|1[0-2])$"
_NEW = r"\d{4}\.\d{4,5}"
_OLD = r"[a-z][a-z-]*(?:\.[A-Z]{2})?/\d{7}"
_WRITTEN = re.compile(
    rf"(?:https?://(?:[a-z]+\.)?arxiv\.org/(?:abs|pdf|e-print|src)/|oai:arxiv\.org:|arxiv:)?"
    rf"(?P<id>{_NEW}|{_OLD})(?P<version>v\d+)?(?:\.pdf)?",
    re.IGNORECASE | re.ASCII,
)
#: How bulk archives name their members: the old form without its slash.
_MEMBER = re.compile(r"(?P<archive>[a-z][a-z-]*?)(?P<number>\d{7})|(?P<id>\d{4}\.\d{4,5})", re.ASCII)


def normalise_id(written: str) -> str | None:
    """The identifier alone, without version, prefix or address; None if it is none.

    Example:
        normalise_id("https://arxiv.org/abs/2101.00001v2") == "2101.00001"
        normalise_id("math.GT/0309136") == "math/0309136"
    """
    found = _WRITTEN.fullmatch(written.strip())
    if found is None:
        return None
    archive, slash, number = found["id"].partition("/")
    return f"{archive.partition('.')[0].lower()}/{number}" if slash else archive


def from_member(stem: str) -> str | None:
    """The identifier behind the name of a member of a bulk archive (`astro-ph0001001`, `2101.00001`)."""
    found = _MEMBER.fullmatch(stem)
    if found is None:
        return None
    return found["id"] or f"{found['archive']}/{found['number']}"


def yymm_of(identifier: str) -> str:
    """Year and month of a normalised identifier, as it writes them: the folder that arXiv's own archives use."""
    return identifier.rpartition("/")[2][:4]


def month_of(identifier: str) -> str:
    """Year and month of a normalised identifier as `YYYY-MM`; arXiv began in 1991."""
    return month_of_yymm(yymm_of(identifier))


def month_of_yymm(yymm: str) -> str:
    """`9108` → `1991-08`, `2101` → `2021-01`."""
    return f"{'19' if yymm >= '9100' else '20'}{yymm[:2]}-{yymm[2:]}"


def file_stem(identifier: str) -> str:
    """Where the files of a paper stand, relative to the folder of arXiv, without suffix."""
    return f"{yymm_of(identifier)}/{identifier.replace('/', '')}"
