"""Licences: the many ways in which sources write them, brought to SPDX identifiers, and the allow-list."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

_CC_URL = re.compile(
    r"creativecommons\.org/(?:licenses|publicdomain)/(by(?:-nc)?(?:-nd|-sa)?|zero|mark)/(\d\.\d)", re.IGNORECASE
)
_CC_NAME = re.compile(r"^cc[ -]?(by(?:[ -]nc)?(?:[ -](?:nd|sa))?)(?:[ -]v?(\d\.\d))?(?:[ -][a-z]+)?$", re.IGNORECASE)
_ARXIV_URL = re.compile(r"arxiv\.org/licenses/nonexclusive-distrib/(\d\.\d)", re.IGNORECASE)
_ARXIV_ASSUMED = re.compile(r"arxiv\.org/licenses/(assumed-[\d-]+\d)", re.IGNORECASE)
_NAMES = {
    "cc0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "public domain": "CC-PDM-1.0",
    "mit": "MIT",
    "mit license": "MIT",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
}


def normalize_license(stated: str) -> str:
    """The SPDX identifier of a licence stated as a URL or a name; as stated if it is not recognised.

    Example:
        normalize_license("https://creativecommons.org/licenses/by-sa/4.0/") == "CC-BY-SA-4.0"
    """
    text = " ".join(stated.split())
    if found := _CC_URL.search(text):
        kind, version = found.group(1).lower(), found.group(2)
        return {"zero": f"CC0-{version}", "mark": f"CC-PDM-{version}"}.get(kind, f"CC-{kind.upper()}-{version}")
    if found := _ARXIV_URL.search(text):
        return f"arXiv-nonexclusive-{found.group(1)}"
    if found := _ARXIV_ASSUMED.search(text):
        return f"arXiv-{found.group(1).lower()}"
    if found := _CC_NAME.match(text):
        name = f"CC-{found.group(1).upper().replace(' ', '-')}"
        return f"{name}-{found.group(2)}" if found.group(2) else name
    return _NAMES.get(text.lower(), text)


def is_allowed(license_name: str, allowed: Sequence[str]) -> bool:
    """True if a licence matches one of the patterns (`CC-BY-4.0`, `CC-BY-*`; case does not matter)."""
    name = license_name.lower()
    return any(fnmatch.fnmatchcase(name, normalize_license(pattern).lower()) for pattern in allowed)


#: Text that arXiv was given for itself: the non-exclusive licence, the one assumed before 2004, and no statement at all.
ARXIV_UNSTATED = "arXiv-unstated"
_REPUBLISHABLE = ("cc0-*", "cc-pdm-*", "cc-by-?.?", "cc-by-sa-*", "cc-by", "cc-by-sa", "mit", "apache-2.0")


def is_arxiv_default(license_name: str) -> bool:
    """True for text that arXiv may distribute and others may not."""
    return license_name.lower().startswith("arxiv-")


def may_republish(license_name: str) -> bool:
    """True if the text of a document may be given on, changed and for any purpose; False where nothing says so."""
    return is_allowed(license_name, _REPUBLISHABLE)
