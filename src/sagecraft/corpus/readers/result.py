"""What every reader gives back, and the one error a reader may raise."""

from __future__ import annotations

from dataclasses import dataclass, field


class ReaderError(Exception):
    """A file that cannot be read: the caller keeps it aside with this reason.

    Attributes:
        reason: Short and countable, such as `macro-recursion` or `no-text`; the audit groups by it.
        detail: One line that says what was found, for the person who looks at the dropped row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class ReadResult:
    """One document as a reader found it.

    Attributes:
        text: Markdown; mathematics stands as `$…$` and `$$…$$`.
        title: The document's own title, if it states one.
        authors: Names in the order of the document, "First Last".
        year: Year of publication that the document states.
        categories: Subject categories that the document states.
        license: Licence that the document states (SPDX identifier or URL).
        identifier: DOI, arXiv identifier or the like that the document states.
        counts: What was seen and how it fared, such as `equations_display` or `kept_verbatim`.
    """

    text: str
    title: str | None = None
    authors: list[str] = field(default_factory=list)
    year: int | None = None
    categories: list[str] = field(default_factory=list)
    license: str | None = None
    identifier: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
