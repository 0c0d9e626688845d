"""Text to Markdown: TeX's ligatures, and emphasis."""

from __future__ import annotations

import re

from sagecraft.corpus.readers.latex_tokens import PAR

_SPACES = re.compile(" {2,}")


def typography(text: str) -> str:
    """TeX's ligatures, and one space where there are many."""
    if "-" in text:
        text = text.replace("---", "—").replace("--", "–")
    if "`" in text:
        # A single quote stays ASCII on both sides: its closing half cannot be told from an apostrophe.
        text = text.replace("``", "“").replace("`", "'")
    if "''" in text:
        text = text.replace("''", "”")
    if "  " in text:
        text = _SPACES.sub(" ", text)
    return text


def emphasise(text: str, mark: str) -> str:
    """Text between Markdown marks, which must touch it; paragraphs and marks within marks stay bare."""
    core = text.strip()
    if not core or PAR in core:
        return text
    if mark == "`":
        if any(char in core for char in "`$*\0\n"):
            return text
    elif mark in (core.replace("**", "") if mark == "*" else core):
        return text
    lead, _, trail = text.partition(core)
    return f"{lead}{mark}{core}{mark}{trail}"
