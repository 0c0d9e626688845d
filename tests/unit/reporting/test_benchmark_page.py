"""The page of a benchmark: losses that add up, items with their keys, text that cannot act."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

from sagecraft import artifact
from sagecraft.benchmark import page as pages
from sagecraft.benchmark.config import BenchConfig
from sagecraft.reporting.benchmark_page import BenchmarkFacts, losses, render

STATS: dict[str, Any] = {
    "num_documents": 9, "num_articles": 3, "num_items": 4, "num_dropped": 10, "sentences_by_reason": {"tied": 21, "form": 2},
    "items_by_form": {"figure": 3, "term": 1}, "items_by_topic": {"bells": 3, "": 1}, "items_by_writer": {"rules": 4},
    "dropped_by_reason": {"no-options": 3, "in-training": 1, "passage-in-training": 2, "guessable": 3, "judged": 1},
    "keys": {"A": 1, "B": 1, "C": 1, "D": 1}, "baselines": {"longest": 0.26, "rarest": 0.21}, "learned_baseline": None,
}  # fmt: skip
HOSTILE = "</script><script>alert(1)</script>"


def item(question: str) -> dict[str, Any]:
    return {
        "id": "bench-1", "question": question, "A": "1", "B": "2", "C": "3", "D": "4", "answer": "C", "topic": "bells", "form": "figure",
        "article": "d", "title": "Bells", "section": "Casting", "support_sentences": [{"position": 3, "text": "It is 3."}],
    }  # fmt: skip


def drop(number: int, reason: str = "no-options") -> dict[str, Any]:
    return {"document": f"d{number}", "sentence": f"A bell {number}.", "reason": reason, "detail": "None."}


def test_losses_add_up() -> None:
    rows = losses(STATS, ["judged"])
    assert rows == [("tried", 0, 14), ("drafting", 3, 11), ("training", 3, 8), ("judges", 1, 7), ("guesses", 3, 4)]
    assert all(before[2] - row[1] == row[2] for before, row in itertools.pairwise(rows))


def test_the_page_tells_what_there_is_and_escapes_it() -> None:
    html = render(BenchmarkFacts(STATS, [(1, item(f"How many? {HOSTILE}"))], [(7, drop(1))], ["judged"], "seed: 0\n"))
    assert HOSTILE not in html
    shown = re.sub(r"<[^>]+>", " ", html)
    assert "23 statements were refused" in shown
    assert re.search(r"rarest\s+21.0 %\s+−4.0", shown)
    assert "made by rules, which cost nothing" in shown
    found = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL)
    items, dropped = (json.loads(text) for text in found)
    assert "It is 3." in items["texts"]
    assert "None." in dropped["texts"]
    cost = {"tokens_in": 5000, "tokens_out": 70, "usd": 0.02}
    assert "5,000 tokens were read and 70 written: 0.0200\N{NO-BREAK SPACE}USD" in render(
        BenchmarkFacts({**STATS, "cost": cost}, [(1, item("How many?"))], [], [], "seed: 0\n")
    )


def test_drops_are_drawn_from_all_and_the_same_each_time(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(pages, "NUM_OF_REASON", 3)
    artifact.write_jsonl(tmp_path / "items.jsonl", [item("How many?")])
    artifact.write_jsonl(tmp_path / "dropped.jsonl", [*(drop(n) for n in range(60)), drop(0, "rare")])
    drawn = pages._drawn(tmp_path / "dropped.jsonl", 0)
    lines = [line for line, _ in drawn]
    assert len(lines) == 4
    assert lines[:3] != [1, 2, 3]
    assert lines[-1] == 61
    pages.write_page(tmp_path, BenchConfig(), STATS)
    html = (tmp_path / "report.html").read_text()
    assert all(row["sentence"] in html for _, row in drawn)
    pages.write_page(tmp_path, BenchConfig(), STATS)
    assert (tmp_path / "report.html").read_text() == html
