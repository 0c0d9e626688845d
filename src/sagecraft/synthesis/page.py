"""What the page of a set of conversations shows of it: its figures, and rows drawn at random."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact
from sagecraft.synthesis.mixing import DOCUMENTS

if TYPE_CHECKING:
    from sagecraft.reporting.synthesis_page import Sampled
    from sagecraft.synthesis.synth import SynthConfig

#: Conversations on the page, and drops of each reason.
NUM_ROWS, NUM_OF_REASON = 1000, 40


def write_page(folder: Path, config: SynthConfig, stats: Mapping[str, Any], spending: Mapping[str, str]) -> None:
    """Writes `report.html` beside the rows.

    Args:
        folder: holds `conversations.jsonl` and `dropped.jsonl`.
        config: of the stage.
        stats: of the manifest.
        spending: role of a model that was asked → what it took, in words.
    """
    import yaml

    from sagecraft.reporting.synthesis_page import Sampled, SynthesisFacts, render

    # Rows stand in the order of a hash of their names: the first ones are a random sample.
    rows = [
        Sampled(line, row)
        for line, row in zip(range(1, NUM_ROWS + 1), artifact.read_jsonl(folder / "conversations.jsonl"), strict=False)
    ]
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    drops = list(_drawn(folder / "dropped.jsonl", config.seed))
    artifact.write_text(
        folder / "report.html", render(SynthesisFacts(stats, DOCUMENTS, rows, drops, spending, settings))
    )


def _drawn(path: Path, seed: int) -> Iterator[Sampled]:
    """Of each reason so many drops, the same ones each time, reasons in the order of their names."""
    from sagecraft.reporting.synthesis_page import Sampled

    heaps: dict[str, list[tuple[int, int, dict[str, Any]]]] = {}
    for line, row in enumerate(artifact.read_jsonl(path), start=1):
        heap = heaps.setdefault(row["reason"], [])
        # the smallest hashes stay: negative, the largest of them stands first and goes
        entry = (-artifact.keyed_hash(seed, "sample", row["document"], row["question"]), -line, row)
        if len(heap) < NUM_OF_REASON:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    for reason in sorted(heaps):
        for _, line, row in sorted(heaps[reason], key=lambda entry: (-entry[0], -entry[1])):
            yield Sampled(-line, row)
