"""Facts of a document: what the audit counts and the filters measure, taken once by whoever reads the document."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict

from sagecraft.corpus.documents import Document
from sagecraft.corpus.measures import Prose, measure_all


class Facts(BaseModel):
    """Figures of one document.

    Attributes:
        num_words: words of the whole text.
        num_chars: characters.
        num_display: display formulas.
        num_inline: inline formulas.
        num_commands: LaTeX commands that were left outside mathematics.
        language: ISO 639-1 code, `und` if it cannot be told.
        measures: every measure of `measures.MEASURES`; None where the text gives no ground to judge.
        counts: what its reader and the cleaning counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    num_words: int
    num_chars: int
    num_display: int
    num_inline: int
    num_commands: int
    language: str
    measures: dict[str, float | None]
    counts: dict[str, int]


def facts_of(document: Document, num_boilerplate: int = 0) -> Facts:
    """Counts and measures a document.

    Args:
        document: a cleaned one.
        num_boilerplate: lines that cleaning took out of it.
    """
    prose = Prose(document.text)
    measures = measure_all(prose)
    return Facts(
        num_words=int(measures["words"] or 0),
        num_chars=len(document.text),
        num_display=prose.num_display,
        num_inline=prose.num_inline,
        num_commands=prose.num_commands,
        language=prose.language,
        measures=measures,
        counts=_counts(document.extra) | ({"boilerplate_lines": num_boilerplate} if num_boilerplate else {}),
    )


def _counts(extra: str) -> dict[str, int]:
    """What the reader counted (`extra.counts`); nothing if there is none."""
    if '"counts"' not in extra:
        return {}
    try:
        value = json.loads(extra)
    except ValueError:  # of a row that others made
        return {}
    found = value.get("counts") if isinstance(value, dict) else None
    if not isinstance(found, dict):
        return {}
    return {str(name): count for name, count in found.items() if type(count) is int}
