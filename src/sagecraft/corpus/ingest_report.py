"""The audit of a corpus: what went in, what was kept aside and why, as counts and as a page."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.artifact import write_text
from sagecraft.corpus.documents import Document, Dropped
from sagecraft.corpus.facts import Facts

if TYPE_CHECKING:
    from sagecraft.corpus.dedup_report import DuplicateAudit
    from sagecraft.corpus.ingest import IngestConfig

_SAMPLES_PER_REASON = 5
_SAMPLE_CHARS = 160
_MAX_CATEGORIES = 40
_LENGTHS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000)


class Audit:
    """Counts what passes by."""

    def __init__(self, checked: dict[str, Any] | None = None) -> None:
        #: figures of the duplicates that were planted, if that was asked for
        self.checked = checked or {}
        self.num_documents = self.num_words = self.num_chars = 0
        self.num_display = self.num_inline = 0
        self.words: dict[str, Counter[str]] = {
            key: Counter() for key in ("format", "category", "license", "year", "source")
        }
        self.documents: dict[str, Counter[str]] = {key: Counter() for key in self.words}
        self.withheld: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self.samples: dict[str, list[Dropped]] = {}

    def keep(self, document: Document, facts: Facts) -> None:
        """Counts a document that was kept."""
        words = facts.num_words
        self.num_documents += 1
        self.num_words += words
        self.num_chars += facts.num_chars
        self.num_display += facts.num_display
        self.num_inline += facts.num_inline
        keys = {
            "format": [document.format],
            "category": document.categories or ["none stated"],
            "license": [document.license],
            "year": [str(document.year) if document.year else "none stated"],
            "source": [document.source],
        }
        for key, values in keys.items():
            for value in dict.fromkeys(values):
                self.words[key][value] += words
                self.documents[key][value] += 1
        self.withheld[{True: "withheld", False: "training", None: "undecided"}[document.withheld]] += 1
        self.lengths[next((limit for limit in _LENGTHS if words <= limit), 0)] += 1

    def drop(self, dropped: Dropped) -> None:
        """Counts what was kept aside; the first of each reason are samples for the page."""
        self.reasons[dropped.reason] += 1
        samples = self.samples.setdefault(dropped.reason, [])
        if len(samples) < _SAMPLES_PER_REASON:
            samples.append(Dropped(dropped.id, dropped.source, dropped.reason, dropped.detail, dropped.text[:500]))

    def stats(self) -> dict[str, Any]:
        """The figures of the manifest."""
        return {
            "num_documents": self.num_documents,
            "num_words": self.num_words,
            "num_chars": self.num_chars,
            "num_equations_display": self.num_display,
            "num_equations_inline": self.num_inline,
            "formats": dict(sorted(self.documents["format"].items())),
            "licenses": dict(sorted(self.documents["license"].items())),
            "withheld": dict(sorted(self.withheld.items())),
            "num_dropped": self.reasons.total(),
            "dropped": dict(sorted(self.reasons.items())),
            **self.checked,
        }


def write_report(path: Path, audit: Audit, duplicates: DuplicateAudit, config: IngestConfig) -> None:
    """Writes the page."""
    from sagecraft.corpus.dedup_report import add_section
    from sagecraft.reporting.page import Page

    names = [entry if isinstance(entry, str) else entry.path for entry in config.paths]
    page = Page("Corpus", f"{audit.num_documents:,} documents, {audit.num_words:,} words from {', '.join(names)}")
    page.paragraph(
        f"Kept: {audit.num_documents:,} documents with {audit.num_words:,} words, {audit.num_display:,} display and "
        f"{audit.num_inline:,} inline formulas. Kept aside: {audit.reasons.total():,}, each with its reason "
        "(`dropped/*.parquet` has their text)."
    )
    if len(audit.documents["source"]) <= _MAX_CATEGORIES:
        _breakdown(page, audit, "source", "By source")
    _breakdown(page, audit, "format", "By format")
    _breakdown(page, audit, "license", "By licence")
    _breakdown(page, audit, "category", "By category")
    _breakdown(page, audit, "year", "By year", by_name=True)
    page.heading("By length")
    rows: list[list[str | int]] = [
        [f"up to {limit:,}", audit.lengths[limit]] for limit in _LENGTHS if audit.lengths[limit]
    ]
    if audit.lengths[0]:
        rows.append([f"more than {_LENGTHS[-1]:,}", audit.lengths[0]])
    page.table(["words", "documents"], rows)
    page.heading("Training or withheld")
    page.paragraph("What the documents and their sidecars say; the withhold stage decides about the others.")
    page.table(["", "documents"], [[name, count] for name, count in sorted(audit.withheld.items())])
    add_section(page, duplicates)
    _drops(page, audit)
    write_text(path, page.render())


def _breakdown(page: Any, audit: Audit, key: str, heading: str, by_name: bool = False) -> None:
    counts, words = audit.documents[key], audit.words[key]
    order = sorted(counts) if by_name else sorted(counts, key=lambda name: (-words[name], name))
    page.heading(heading)
    if len(order) > _MAX_CATEGORIES:
        page.paragraph(f"The first {_MAX_CATEGORIES} of {len(order):,}.")
    share = max(audit.num_words, 1)
    rows = [[name, counts[name], words[name], f"{words[name] / share:.1%}"] for name in order[:_MAX_CATEGORIES]]
    page.table([key, "documents", "words", "share of words"], rows)


def _drops(page: Any, audit: Audit) -> None:
    page.heading("Kept aside")
    if not audit.reasons:
        page.paragraph("Nothing was dropped.")
        return
    page.table(["reason", "documents"], [[reason, count] for reason, count in audit.reasons.most_common()])
    for reason in sorted(audit.samples):
        page.heading(reason, level=3)
        rows = [[row.id, row.detail, _excerpt(row.text)] for row in audit.samples[reason]]
        page.table(["document", "detail", "begins"], rows)


def _excerpt(text: str) -> str:
    plain = re.sub(r"\s+", " ", text).strip()
    return plain if len(plain) <= _SAMPLE_CHARS else plain[:_SAMPLE_CHARS] + "…"
