"""What was found to be repeated: counts, groups of copies and samples side by side, for the manifest and for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sagecraft.artifact import write_text
from sagecraft.corpus.duplicates import REASONS, Decisions
from sagecraft.corpus.stored import StoredDocuments

if TYPE_CHECKING:
    from sagecraft.reporting.page import Cell, Page

_SAMPLES_PER_REASON = 4
_LARGEST_GROUPS = 10
_EXCERPT_CHARS = 320
#: Characters before the first difference that an excerpt shows.
_LEAD_CHARS = 60
_SIZES = (2, 3, 4, 5, 10, 100, 1000)


@dataclass(frozen=True)
class Sample:
    """A dropped document beside the one that it repeats."""

    reason: str
    detail: str
    id: str
    twin: str
    text: str
    twin_text: str


@dataclass(frozen=True)
class DuplicateAudit:
    """What a page says about duplicates.

    Attributes:
        num_documents: looked at.
        reasons: reason → dropped documents.
        sources: (source of the document that stays, source of the dropped one) → documents.
        sizes: documents of a group (the kept one and its copies), least of a class → groups.
        largest: (identifier of the kept one, documents) of the largest groups.
        samples: of each reason.
    """

    num_documents: int
    reasons: dict[str, int] = field(default_factory=dict)
    sources: dict[tuple[str, str], int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    largest: list[tuple[str, int]] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def stats(self) -> dict[str, Any]:
        """The figures of the manifest."""
        num_dropped = sum(self.reasons.values())
        return {
            "num_documents": self.num_documents - num_dropped,
            "num_dropped": num_dropped,
            "dropped": self.reasons,
            "num_groups": sum(self.sizes.values()),
            "across_sources": sum(count for (kept, gone), count in self.sources.items() if kept != gone),
        }


def audit_of(decisions: Decisions, corpus: StoredDocuments, sources: Sequence[str]) -> DuplicateAudit:
    """Counts what was decided.

    Args:
        decisions: about the documents of `corpus`.
        corpus: the documents, from which samples are taken.
        sources: names of the sources by number.
    """
    gone = np.flatnonzero(decisions.reasons)
    counts = np.bincount(decisions.reasons, minlength=len(REASONS))
    kept, copies = np.unique(decisions.kept[gone], return_counts=True)
    ends = [*_SIZES[1:], np.iinfo(np.int64).max]
    sizes = {
        least: int(np.count_nonzero((copies + 1 >= least) & (copies + 1 < end)))
        for least, end in zip(_SIZES, ends, strict=True)
    }
    first = np.lexsort((kept, -copies))[:_LARGEST_GROUPS]
    names = corpus.ids(np.sort(kept[first]))
    pairs = np.stack([decisions.sources[decisions.kept[gone]], decisions.sources[gone]], axis=1)
    found, numbers = np.unique(pairs, axis=0, return_counts=True)
    return DuplicateAudit(
        num_documents=len(decisions.reasons),
        reasons={reason: int(count) for reason, count in zip(REASONS, counts, strict=True) if reason and count},
        sources={(sources[a], sources[b]): int(n) for (a, b), n in zip(found.tolist(), numbers, strict=True)},
        sizes={least: count for least, count in sizes.items() if count},
        largest=[(names[int(kept[at])], int(copies[at]) + 1) for at in first],
        samples=_samples(decisions, corpus),
    )


def _samples(decisions: Decisions, corpus: StoredDocuments) -> list[Sample]:
    chosen: list[int] = []
    for number in range(1, len(REASONS)):
        chosen += np.flatnonzero(decisions.reasons == number)[:_SAMPLES_PER_REASON].tolist()
    wanted = sorted({position for each in chosen for position in (each, int(decisions.twins[each]))})
    texts = dict(zip(wanted, corpus.texts(wanted), strict=True))
    names = corpus.ids(wanted)
    samples = []
    for position in chosen:
        duplicate = decisions.get(position)
        assert duplicate is not None, "only dropped documents were chosen"
        text, twin_text = _side_by_side(texts[position], texts[duplicate.twin])
        samples.append(
            Sample(duplicate.reason, duplicate.detail, names[position], names[duplicate.twin], text, twin_text)
        )
    return samples


def _side_by_side(one: str, two: str) -> tuple[str, str]:
    """Excerpts from shortly before the first difference on; from the beginning if there is none."""
    one, two = " ".join(one.split()), " ".join(two.split())
    same = next((at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
    start = max(0, same - _LEAD_CHARS) if one != two else 0
    return _excerpt(one, start), _excerpt(two, start)


def _excerpt(text: str, start: int) -> str:
    part = text[start : start + _EXCERPT_CHARS]
    return ("…" if start else "") + part + ("…" if start + _EXCERPT_CHARS < len(text) else "")


def add_section(page: Page, audit: DuplicateAudit) -> None:
    """Writes what was found into a page, under a heading of its own."""
    page.heading("Duplicates")
    if not audit.reasons:
        page.paragraph(f"None among {audit.num_documents:,} documents.")
        return
    page.table(["reason", "documents dropped"], [[reason, count] for reason, count in audit.reasons.items()])
    if len({name for pair in audit.sources for name in pair}) > 1:
        rows: list[list[Cell]] = [[kept, gone, count] for (kept, gone), count in audit.sources.items()]
        page.table(["stays in", "dropped from", "documents"], rows, caption="Within and across sources")
    sizes: list[list[Cell]] = [
        [f"{least}" if least < _SIZES[3] else f"{least} and more", n] for least, n in audit.sizes.items()
    ]
    page.table(["documents in a group", "groups"], sizes, caption="Groups of copies, with the one that stays")
    page.table(["stays", "documents"], audit.largest, caption="The largest groups")
    for sample in audit.samples:
        page.heading(f"{sample.reason}: {sample.id}", level=3)
        if sample.detail:
            page.paragraph(sample.detail)
        page.table([f"dropped: {sample.id}", f"repeats: {sample.twin}"], [[sample.text, sample.twin_text]])


def write_report(path: Path, audit: DuplicateAudit, stats: Mapping[str, Any]) -> None:
    """Writes the page of `sagecraft dedup`."""
    from sagecraft.reporting.page import Page

    kept = audit.num_documents - sum(audit.reasons.values())
    page = Page("Duplicates", f"{kept:,} of {audit.num_documents:,} documents are kept")
    if "recall" in stats:
        page.paragraph(
            f"Check: of {stats['planted_copies']:,} planted copies at Jaccard 0.85 and above "
            f"{stats['planted_copies_found']:,} were found; of {stats['planted_apart']:,} planted texts at 0.6 and below "
            f"{stats['planted_kept_apart']:,} were kept apart."
        )
    add_section(page, audit)
    write_text(path, page.render())
