"""The page of `sagecraft loss`: what each threshold would keep, and what stands at either end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sagecraft.artifact import write_text
from sagecraft.corpus.filters import Filter
from sagecraft.corpus.ingest_report import excerpt
from sagecraft.corpus.loss import LOSSES, LossConfig
from sagecraft.corpus.measure import Floats, curve
from sagecraft.corpus.stored import StoredDocuments

if TYPE_CHECKING:
    from sagecraft.reporting.page import Page

_RULES = (
    Filter("high-loss", "loss", "at most", "max_loss"),
    Filter("low-loss", "loss", "at least", "min_loss"),
)


def write_report(out: Path, documents: Path, config: LossConfig, model: str) -> None:
    """Writes `report.html` from `losses.parquet`.

    Args:
        out: the artifact in the making.
        documents: that were measured.
        config: with the thresholds.
        model: its name.
    """
    import pyarrow.parquet as pq

    from sagecraft.reporting.page import Page

    table = pq.read_table(out / LOSSES, columns=["loss", "words"], use_threads=False)
    losses = np.asarray(table.column("loss").to_numpy(), dtype=np.float64)
    words = np.asarray(table.column("words").to_numpy(), dtype=np.float64)
    known = losses[~np.isnan(losses)]
    page = Page("Loss", f"{len(losses):,} documents under {model}")
    if len(known):
        low, middle, high = np.percentile(known, [5, 50, 95])
        page.paragraph(
            f"Mean loss of the first {config.max_tokens:,} tokens of each document, in nats per token: half have under "
            f"{middle:.3g}, nine in ten lie within {low:.3g} to {high:.3g}. {len(losses) - len(known):,} were too short to say."
        )
        stored = StoredDocuments([documents])
        for rule in _RULES:
            _threshold(page, rule, getattr(config, rule.field), losses, words, stored)
    write_text(out / "report.html", page.render())


def _threshold(
    page: Page, rule: Filter, threshold: float | None, losses: Floats, words: Floats, stored: StoredDocuments
) -> None:
    from sagecraft.reporting.distributions import threshold_curves

    found = curve(rule, threshold, losses, words)
    page.heading(f"{rule.reason}: {rule.field}")
    state = f"{rule.bound} {threshold:g}, which drops {found.num_dropped:,}" if threshold is not None else "off"
    quantiles = ", ".join(f"{100 * share:g}% at {value:.3g}" for share, value in found.quantiles.items())
    page.paragraph(f"At present {state}. Thresholds that would drop so many documents: {quantiles}.")
    if len(found.documents) > 1:
        svg = threshold_curves(
            {"documents": found.documents, "words": found.words}, f"{rule.field} (nats per token)", threshold
        )
        page.figure(svg, f"What {rule.field} would keep.")
    samples = [*(("dropped", each) for each in found.outside), *(("kept", each) for each in found.inside)]
    wanted = sorted(each.position for _, each in samples)
    names, texts = stored.ids(wanted), dict(zip(wanted, stored.texts(wanted), strict=True))
    page.table(
        ["", "document", "loss", "begins"],
        [[side, names[each.position], f"{each.value:.3g}", excerpt(texts[each.position])] for side, each in samples],
        caption="Documents next to the threshold" if threshold is not None else "Those that would go first",
    )
