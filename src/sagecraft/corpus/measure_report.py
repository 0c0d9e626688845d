"""The section of `ingest --measure`: what each filter would keep at each threshold, and documents on either side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sagecraft.corpus.bias import percent
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.ingest_report import excerpt
from sagecraft.corpus.measure import Curve, Sample, Verdict, curves
from sagecraft.corpus.measures import MEASURES
from sagecraft.corpus.stored import StoredDocuments

if TYPE_CHECKING:
    from sagecraft.reporting.page import Cell, Page


def add_section(page: Page, folder: Path, rules: FilterConfig, found: Verdict) -> None:
    """Writes the section.

    Args:
        page: to write to.
        folder: with `measures.parquet` and the documents.
        rules: the present thresholds.
        found: what they would drop.
    """
    page.heading("What the filters would keep")
    share = percent(found.num_dropped / max(found.num_documents, 1))
    page.note(
        f"Nothing was dropped by a filter. The present thresholds would drop {found.num_dropped:,} of "
        f"{found.num_documents:,} documents ({share}) with {percent(found.share_of_words)} of the words."
    )
    page.paragraph(
        "measures.parquet has every measure of every document, and which rules would drop it. Thresholds are keys of "
        "corpus.filters in a recipe, or of filters in the file that ingest --config reads; null switches a rule off. A text "
        "that a measure says nothing about (too little prose, or a script without spaces) is kept by its rule."
    )
    every = list(curves(folder, rules))
    page.table(
        ["filter", "key", "present", "drops", "alone", "would drop 1% at"],
        [_row(curve, found) for curve in every],
        caption="One row a filter. Alone: documents that no other filter drops.",
    )
    if lists := [
        [reason, found.each[reason], found.alone[reason]] for reason in ("license", "language") if found.each[reason]
    ]:
        page.table(["allow-list", "drops", "alone"], lists)
    documents = StoredDocuments([folder])
    for curve in every:
        _filter(page, curve, documents)


def _row(curve: Curve, found: Verdict) -> list[Cell]:
    rule, measure = curve.rule, MEASURES[curve.rule.measure]
    return [
        rule.reason,
        rule.field,
        None if curve.threshold is None else measure.said(curve.threshold),
        curve.num_dropped,
        found.alone[rule.reason],
        measure.said(curve.quantiles[0.01]) if curve.quantiles else None,
    ]


def _filter(page: Page, curve: Curve, documents: StoredDocuments) -> None:
    from sagecraft.reporting.distributions import threshold_curves

    rule, measure = curve.rule, MEASURES[curve.rule.measure]
    page.heading(f"{rule.reason}: {rule.field}", level=3)
    if curve.threshold is None:
        present = f"The rule is off; it would ask for {rule.bound} so many {measure.label}."
    else:
        present = f"{rule.bound.capitalize()} {measure.said(curve.threshold)} {measure.label}."
    page.paragraph(
        f"{present} It drops {curve.num_dropped:,} of {curve.num_measured:,} measured documents. Good text: {measure.usual}."
    )
    if len(curve.documents) > 1:
        scale = 100 if measure.is_share else 1
        series = {
            name: [(scale * x, y) for x, y in _reaching(points, curve)]
            for name, points in (("documents", curve.documents), ("words", curve.words))
        }
        threshold = None if curve.threshold is None else scale * curve.threshold
        unit = " (%)" if measure.is_share else ""
        svg = threshold_curves(series, f"{rule.field}{unit}", threshold, logarithmic=rule.measure == "words")
        page.figure(
            svg,
            f"What {rule.field} would keep" + ("" if threshold is None else "; dashed: the present threshold") + ".",
        )
    said = [f"{percent(share)} at {measure.said(value)}" for share, value in curve.quantiles.items()]
    if said:
        page.paragraph(f"Thresholds that would drop so many of the measured documents: {', '.join(said)}.")
    rows = [*_samples(curve.outside, "dropped", curve, documents), *_samples(curve.inside, "kept", curve, documents)]
    if rows:
        page.details(
            "Documents on either side of the threshold" if curve.threshold is not None else "Those that would go first",
            lambda inner: inner.table(["", "document", measure.name, "begins"], rows),
        )


def _reaching(points: Sequence[tuple[float, float]], curve: Curve) -> list[tuple[float, float]]:
    """The curve up to the present threshold, where that lies beyond everything that was measured."""
    if curve.threshold is None:
        return list(points)
    if curve.rule.bound == "at least" and curve.threshold < points[0][0]:
        return [(curve.threshold, 1.0), *points]
    if curve.rule.bound == "at most" and curve.threshold > points[-1][0]:
        return [*points, (curve.threshold, 1.0)]
    return list(points)


def _samples(samples: Sequence[Sample], side: str, curve: Curve, documents: StoredDocuments) -> list[list[Cell]]:
    wanted = sorted(each.position for each in samples)
    names, texts = documents.ids(wanted), dict(zip(wanted, documents.texts(wanted), strict=True))
    said = MEASURES[curve.rule.measure].said
    return [[side, names[each.position], said(each.value), excerpt(texts[each.position])] for each in samples]
