"""Markdown of model cards: literal text, tables, and the hub's front matter. Everything in it may be a stranger's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

#: SPDX identifiers (lower case) that are the hub's own; other licences go under `other` with their name.
_HUB_LICENSES = {
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "gpl-3.0", "lgpl-3.0", "mpl-2.0", "openrail", "llama2", "llama3", "llama3.1", "llama3.2",
    "llama3.3", "gemma",
}  # fmt: skip
_MARKUP = re.compile(r"([\\`*_{}\[\]<>|#~$&])")
_MAX_TEXT = 200
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def escape(value: object) -> str:
    """Text as one line of literal Markdown: it may come from a stranger's file."""
    text = " ".join(str(value).split())
    text = text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
    return _MARKUP.sub(r"\\\1", text)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table of literal cells."""
    lines = [columns, ["---"] * len(columns), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def fenced(text: str, language: str = "") -> str:
    """Text as it is, between fences that it cannot close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def front_matter(entries: Mapping[str, Any]) -> str:
    """The block of YAML that the hub reads."""
    import yaml

    return f"---\n{yaml.safe_dump(dict(entries), sort_keys=False, allow_unicode=True)}---"


def license_entries(name: str) -> dict[str, str]:
    """A licence in the hub's words; an empty name is unknown."""
    if not name:
        return {}
    if name.lower() in _HUB_LICENSES:
        return {"license": name.lower()}
    return {
        "license": "other",
        "license_name": re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-") or "unknown",
    }
