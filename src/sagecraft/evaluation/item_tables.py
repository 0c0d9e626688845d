"""An evaluation as tables for a spreadsheet: a row an item and mode, and a row a mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sagecraft.evaluation.item_list import TONES, confidence, cost_usd, prices_of
from sagecraft.reporting.tables import csv_text

if TYPE_CHECKING:
    from sagecraft.reporting.page import Cell

Row = Mapping[str, Any]

_TOKENS = ("in", "cached", "thought", "out")


def items_csv(rows: Sequence[Row], results: Mapping[str, Any]) -> str:
    """One row an item and mode, in the order of `items.jsonl`, whose line it names; texts stand there.

    Args:
        rows: of `items.jsonl`.
        results: of `results.json`.
    """
    prices = prices_of(results)
    table: list[list[Cell]] = [
        [
            "line", "id", "topic", "kind", "article", "mode", "key", "pick", "outcome", "correct", "confidence", "stage", "cut",
            "thought_closed", *(f"tokens_{name}" for name in _TOKENS), "cost_usd", "error",
        ]
    ]  # fmt: skip
    for line, row in enumerate(rows, start=1):
        tokens = row["tokens"] or {}
        table.append(
            [
                line, *(row[name] for name in ("id", "topic", "kind", "article", "mode", "key", "pick", "outcome", "correct")),
                confidence(row), row.get("stage"), row.get("cut"), row.get("closed_by_us"),
                *(tokens.get(name) for name in _TOKENS), cost_usd(row, prices[row["mode"]]), row.get("error"),
            ]
        )  # fmt: skip
    return csv_text(table)


def summary_csv(results: Mapping[str, Any]) -> str:
    """One row a mode: accuracy with its intervals, what guessing gives, outcomes, tokens, cost."""
    modes = results["modes"]
    outcomes = [*TONES, *sorted({name for mode in modes.values() for name in mode["outcomes"]} - set(TONES))]
    table: list[list[Cell]] = [
        [
            "model", "task", "mode", "n", "accuracy", "ci95_low", "ci95_high", "ci95_by_article_low", "ci95_by_article_high",
            "accuracy_answered", "guessing", "p_guessing", *outcomes, *(f"tokens_{name}" for name in _TOKENS),
            "cost_usd", "usd_per_100k_tokens",
        ]
    ]  # fmt: skip
    for name, mode in modes.items():
        guessing = mode.get("guessing") or {}
        tokens = mode["tokens"] if isinstance(mode["tokens"], Mapping) else {}
        table.append(
            [
                results["model"], results["task"], name, mode["n"], mode["accuracy"], *(mode["ci95"] or (None, None)),
                *(mode.get("ci95_by_article") or (None, None)), mode.get("accuracy_answered"),
                guessing.get("accuracy"), guessing.get("p_value"), *(mode["outcomes"].get(kind, 0) for kind in outcomes),
                *(tokens.get(kind) for kind in _TOKENS), mode["cost_usd"], mode["usd_per_100k_tokens"],
            ]
        )  # fmt: skip
    return csv_text(table)
