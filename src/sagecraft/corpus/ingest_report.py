"""The audit as a page: the bias of the literature in words first, then figures and tables, then what was kept aside."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sagecraft.artifact import write_text
from sagecraft.corpus.audit import CHARS_PER_TOKEN, FREE, LIMITED, NONE_STATED, SILENT, TRAIN_ONLY, Audit, bin_start
from sagecraft.corpus.bias import percent, summary, warnings
from sagecraft.corpus.language import UNDETERMINED
from sagecraft.corpus.reference import Comparison

if TYPE_CHECKING:
    from sagecraft.corpus.dedup_report import DuplicateAudit
    from sagecraft.corpus.ingest import IngestConfig
    from sagecraft.reporting.page import Cell, Page

#: Of so few documents tables say more than drawings.
_DRAWN_FROM = 20
_SAMPLE_CHARS = 160
_MAX_ROWS, _MAX_BARS, _MAX_COLUMNS = 40, 12, 40
#: Licences of which what may be done must be looked up carry these.
_CONDITIONS = re.compile(r"(?:^|-)(?:NC|ND)(?:-|$)")


def write_report(
    path: Path,
    audit: Audit,
    duplicates: DuplicateAudit,
    config: IngestConfig,
    comparisons: Sequence[Comparison] = (),
    measured: Callable[[Page], None] | None = None,
) -> None:
    """Writes the page.

    Args:
        path: of the page.
        audit: what was counted.
        duplicates: what was found of them.
        config: of the run.
        comparisons: with the reference, if there is one.
        measured: writes the section of `ingest --measure`.
    """
    from sagecraft.corpus.dedup_report import add_section
    from sagecraft.reporting.page import Page

    names = [entry if isinstance(entry, str) else entry.path for entry in config.paths]
    page = Page("Corpus", f"{audit.num_documents:,} documents from {', '.join(names) or 'what was harvested'}")
    _top(page, audit, comparisons)
    if measured is not None:
        measured(page)
    for comparison in comparisons:
        _reference(page, comparison)
    if audit.num_documents:
        _sources(page, audit)
        _categories(page, audit)
        _years(page, audit)
        _lengths(page, audit)
        _languages(page, audit)
        _licences(page, audit)
        _reading(page, audit)
    page.heading("Training or withheld")
    page.paragraph("What the documents and their sidecars say; the withhold stage decides about the others.")
    page.table(["", "documents"], [[name, count] for name, count in sorted(audit.withheld.items())])
    add_section(page, duplicates)
    _drops(page, audit)
    write_text(path, page.render())


def _top(page: Page, audit: Audit, comparisons: Sequence[Comparison]) -> None:
    years = audit.years()
    page.metrics(
        [
            ("documents", audit.num_documents, f"{audit.reasons.total():,} kept aside"),
            ("words", audit.num_words, ""),
            ("tokens", audit.num_tokens, f"estimated, {CHARS_PER_TOKEN:g} characters each"),
            ("formulas", audit.num_display + audit.num_inline, f"{audit.num_display:,} of them displayed"),
            ("years", f"{years[0]}–{years[-1]}" if len(years) > 1 else (years[0] if years else None), ""),
            ("may be republished", percent(audit.share_of_words("use", FREE)), "of the words"),
        ]
    )
    for sentence in summary(audit, comparisons):
        page.paragraph(sentence)
    if found := warnings(audit, comparisons):
        page.note(f"Think about it before you train: {'; '.join(found)}.")


def _reference(page: Page, comparison: Comparison) -> None:
    from sagecraft.reporting.distributions import compared_shares

    page.heading(f"Against {comparison.name}, by {comparison.kind}")
    page.paragraph(
        f"{percent(comparison.distance)} of the documents would have to be others for the shares to agree. A ratio of 2 is "
        "twice as much as there, 0.5 half of it. Shares are of the documents that state one."
    )
    shown = comparison.differences[:_MAX_BARS]
    if len(shown) > 2:
        names = [each.name for each in shown]
        here, there = [each.here for each in shown], [each.there for each in shown]
        svg = compared_shares(names, here, there, ("this corpus", comparison.name))
        page.figure(svg, f"The {len(shown)} that differ most.")
    rows: list[list[Cell]] = [
        [each.name, percent(each.here), percent(each.there), f"{each.ratio:.2g}" if each.there else None]
        for each in comparison.differences[:_MAX_ROWS]
    ]
    _table(page, [comparison.kind, "here", "there", "ratio"], rows, len(comparison.differences))


def _table(page: Page, heads: Sequence[str], rows: Sequence[Sequence[Cell]], size: int) -> None:
    """A table; folded if it is long, since the drawing above it says the most of it."""
    if size <= _MAX_BARS:
        page.table(heads, rows)
        return
    summary = f"All {size:,}" if size <= _MAX_ROWS else f"The first {_MAX_ROWS} of {size:,}"
    page.details(summary, lambda inner: inner.table(heads, rows))


def _breakdown(page: Page, audit: Audit, kind: str, heading: str, order: Sequence[str]) -> None:
    groups = audit.groups[kind]
    rows: list[list[Cell]] = [
        [name, groups[name].documents, groups[name].words, percent(audit.share_of_words(kind, name))]
        for name in order[:_MAX_ROWS]
    ]
    _table(page, [heading, "documents", "words", "share of words"], rows, len(order))


def _bars(page: Page, audit: Audit, kind: str, caption: str) -> list[str]:
    """Draws the largest groups and returns all in their order, those that state nothing last."""
    from sagecraft.reporting.distributions import group_bars

    order = audit.largest(kind)
    shown = [*order[:_MAX_BARS], *([NONE_STATED] if NONE_STATED in audit.groups[kind] else [])]
    if len(shown) > 2 and audit.num_documents >= _DRAWN_FROM:
        shares = [audit.share_of_words(kind, name) for name in shown]
        page.figure(group_bars(shown, shares, [percent(share) for share in shares], "share of words (%)"), caption)
    return [*order, *([NONE_STATED] if NONE_STATED in audit.groups[kind] else [])]


def _sources(page: Page, audit: Audit) -> None:
    page.heading("By source")
    order = _bars(page, audit, "source", "Words of each source.")
    _breakdown(page, audit, "source", "source", order)
    _breakdown(page, audit, "format", "format", audit.largest("format"))


def _categories(page: Page, audit: Audit) -> None:
    page.heading("By category")
    order = _bars(page, audit, "category", "The largest categories. A document of several counts in each of them.")
    _breakdown(page, audit, "category", "category", order)


def _years(page: Page, audit: Audit) -> None:
    from sagecraft.reporting.distributions import columns

    page.heading("By year")
    years, groups = audit.years(), audit.groups["year"]
    if len(years) > 1 and audit.num_documents >= _DRAWN_FROM:
        step = next(step for step in (1, 2, 5, 10, 50, 100, 10**9) if (years[-1] - years[0]) / step < _MAX_COLUMNS)
        starts = range(years[0] // step * step, years[-1] + 1, step)
        documents, words = [0] * len(starts), [0] * len(starts)
        for year in years:
            documents[(year - starts[0]) // step] += groups[str(year)].documents
            words[(year - starts[0]) // step] += groups[str(year)].words
        of_all = f"from so many years on ({step} each)" if step > 1 else "year"
        svg = columns(
            [str(start) for start in starts],
            {"documents": _shares(documents), "words": _shares(words)},
            of_all,
        )
        page.figure(svg, "Years of what states one.")
    order = [*[str(year) for year in reversed(years)], *([NONE_STATED] if NONE_STATED in groups else [])]
    _breakdown(page, audit, "year", "year", order)


def _shares(amounts: Sequence[int]) -> list[float]:
    total = max(sum(amounts), 1)
    return [100 * amount / total for amount in amounts]


def _lengths(page: Page, audit: Audit) -> None:
    from sagecraft.reporting.distributions import columns

    page.heading("By length")
    numbers = range(min(audit.lengths), max(audit.lengths) + 1)
    groups = [audit.lengths.get(number) for number in numbers]
    documents = [group.documents if group else 0 for group in groups]
    words = [group.words if group else 0 for group in groups]
    if len(numbers) > 2 and audit.num_documents >= _DRAWN_FROM:
        series = {"documents": _shares(documents), "words": _shares(words)}
        svg = columns([f"{bin_start(number):,}" for number in numbers], series, "words of a document, from")
        page.figure(svg, "Most documents may be short and most words stand in long ones: training sees words.")
    rows: list[list[Cell]] = [
        [f"{bin_start(number):,} to {bin_start(number + 1) - 1:,}", one, two, percent(two / max(audit.num_words, 1))]
        for number, one, two in zip(numbers, documents, words, strict=True)
        if one
    ]
    page.table(["words", "documents", "words in them", "share of words"], rows)


def _languages(page: Page, audit: Audit) -> None:
    page.heading("By language")
    page.paragraph(
        f"Told from a sample of the prose of each document. {UNDETERMINED} stands for what has too little prose, such as "
        "tables and formulas, or mixes languages."
    )
    _breakdown(page, audit, "language", "language", audit.largest("language"))


def _licences(page: Page, audit: Audit) -> None:
    page.heading("Licences")
    page.paragraph(
        "Whether a text may be trained on depends on where you are and what you do with the model; that is for you to say. "
        "What follows is what its licence says of giving the text on."
    )
    said = {
        FREE: "Yes, with the names of its authors and its licence where that asks for it (share-alike stays share-alike).",
        LIMITED: "Not without reading it: non-commercial, no derivatives, or a licence that is not known here.",
        TRAIN_ONLY: "Never. arXiv may distribute it, you may not.",
        SILENT: "No: without a licence all rights are reserved.",
    }
    groups = audit.groups["use"]
    rows: list[list[Cell]] = [
        [use, groups[use].documents, percent(audit.share_of_words("use", use)), text]
        for use, text in said.items()
        if use in groups
    ]
    page.table(["use", "documents", "share of words", "may it be republished?"], rows)
    order = audit.largest("license")
    _breakdown(page, audit, "license", "licence", order)
    limited = [name for name in order if _CONDITIONS.search(name.upper())]
    if limited:
        page.note(f"Conditions: {', '.join(limited[:10])} forbid commercial use (NC) or changed versions (ND).")


def _reading(page: Page, audit: Audit) -> None:
    """How well the documents were read."""
    page.heading("How well it was read")
    total = max(audit.num_documents, 1)
    health = (
        ("with LaTeX commands left in their prose", audit.health["with_commands"]),
        ("without a title", audit.health["no_title"]),
        ("without authors", audit.health["no_authors"]),
        ("without a year", audit.health["no_year"]),
        ("without a category", audit.health["no_categories"]),
    )
    page.table(
        ["documents", "", "share"],
        [[said, count, percent(count / total)] for said, count in health],
        caption=f"{audit.num_commands:,} commands were left in all, {percent(audit.num_commands / max(audit.num_words, 1))} "
        "of the words.",
    )
    totals = audit.totals
    rows: list[list[Cell]] = []
    for name, one, other in (
        ("citations that became “Author (Year)”", "citations_resolved", "citations"),
        ("references to figures, tables and equations that became numbers", "references_resolved", "references"),
    ):
        if totals[other]:
            rows.append([name, f"{totals[one]:,} of {totals[other]:,}", percent(totals[one] / totals[other])])
    if rows:
        page.table(["resolved", "", "share"], rows)
    if totals["kept_verbatim"]:
        page.paragraph(
            f"Pieces that could not be read and stand in the text as they were written: {totals['kept_verbatim']:,}."
        )
    if totals["boilerplate_lines"]:
        page.paragraph(
            f"Lines of boilerplate (consent, navigation, rights) that were taken out: {totals['boilerplate_lines']:,}."
        )
    _reader_counts(page, audit)


def _reader_counts(page: Page, audit: Audit) -> None:
    if not audit.counts:
        return
    formats = sorted(audit.counts)
    names = sorted(audit.totals, key=lambda name: (-audit.totals[name], name))
    rows: list[list[Cell]] = [
        [name.replace("_", " "), *(audit.counts[each][name] or None for each in formats)] for name in names[:_MAX_ROWS]
    ]
    page.details("What the readers counted", lambda inner: inner.table(["", *formats], rows))


def _drops(page: Page, audit: Audit) -> None:
    page.heading("Kept aside")
    if not audit.reasons:
        page.paragraph("Nothing was dropped.")
        return
    page.paragraph("dropped/*.parquet has the text of each with its reason.")
    page.table(["reason", "documents"], [[reason, count] for reason, count in audit.reasons.most_common()])
    for reason in sorted(audit.samples):
        page.heading(reason, level=3)
        rows = [[row.id, row.detail, excerpt(row.text)] for row in audit.samples[reason]]
        page.table(["document", "detail", "begins"], rows)


def excerpt(text: str) -> str:
    """The beginning of a text in one line."""
    plain = re.sub(r"\s+", " ", text).strip()
    return plain if len(plain) <= _SAMPLE_CHARS else plain[:_SAMPLE_CHARS] + "…"
