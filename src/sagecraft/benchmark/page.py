"""What the page of a benchmark shows of it: its figures, its items, and drops drawn at random."""

from __future__ import annotations

import heapq
import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.benchmark.config import JUDGE_RULES, BenchConfig
from sagecraft.benchmark.items import ITEMS

#: Items on the page, and drops of each reason.
NUM_ITEMS, NUM_OF_REASON = 2_000, 40


def write_page(folder: Path, config: BenchConfig, stats: Mapping[str, Any]) -> None:
    """Writes `report.html` beside the items.

    Args:
        folder: holds `items.jsonl` and `dropped.jsonl`.
        config: of the stage.
        stats: of the manifest.
    """
    import yaml

    from sagecraft.reporting.benchmark_page import BenchmarkFacts, render

    # Items stand in the order of a hash: the first ones are a random sample.
    items = list(enumerate(itertools.islice(artifact.read_jsonl(folder / ITEMS), NUM_ITEMS), start=1))
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    facts = BenchmarkFacts(stats, items, _drawn(folder / "dropped.jsonl", config.seed), JUDGE_RULES, settings)
    artifact.write_text(folder / "report.html", render(facts))


def _drawn(path: Path, seed: int) -> list[tuple[int, dict[str, Any]]]:
    """Of each reason so many drops, the same ones each time, reasons in the order of their names."""
    found: dict[str, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
    for line, row in enumerate(artifact.read_jsonl(path), start=1):
        found[row["reason"]].append((artifact.keyed_hash(seed, "sample", row["document"], row["sentence"]), line, row))
        if len(found[row["reason"]]) > 4 * NUM_OF_REASON:
            found[row["reason"]] = heapq.nsmallest(NUM_OF_REASON, found[row["reason"]], key=lambda entry: entry[:2])
    return [
        (line, row)
        for reason in sorted(found)
        for _, line, row in heapq.nsmallest(NUM_OF_REASON, found[reason], key=lambda entry: entry[:2])
    ]
