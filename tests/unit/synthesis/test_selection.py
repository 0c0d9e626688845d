"""Shares of kinds."""

from __future__ import annotations

from typing import Any

import pytest

from sagecraft.synthesis.selection import index_of, select, share_out
from sagecraft.synthesis.synth import SynthConfig


@pytest.mark.parametrize(
    ("counts", "settings", "total", "most"),
    [
        ({"cause": 100, "number": 100, "term": 100, "event": 100, "metadata": 1000}, {}, 500, 100),
        ({"cause": 1000, "number": 10, "term": 10, "event": 10, "metadata": 10}, {}, 53, 13),
        ({"cause": 50}, {}, 50, 50),
        ({"cause": 50, "metadata": 50}, {}, 60, 48),
        ({"cause": 50, "number": 50}, {"max_pairs": 7}, 6, 3),
        ({"cause": 50, "number": 50, "term": 50, "event": 50}, {"shares": {"cause": 0}}, 150, 50),
        ({}, {}, 0, 0),
    ],
)
def test_no_kind_has_more_than_its_share(
    counts: dict[str, int], settings: dict[str, Any], total: int, most: int
) -> None:
    config = SynthConfig(**settings)
    made, caps = share_out(config, counts)
    assert made == total
    assert max(caps.values(), default=0) <= most + 1
    if len(counts) > 4:
        assert all(count <= max(config.shares.get(kind, 0.25) * made, 1) for kind, count in caps.items())
    assert sum(caps.values()) >= made


def candidate(kind: str, question: str, focus: str = "", key: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "scope": "", "question": question, "focus": focus, "key": key, "rule": "bell"}


def rows(num: int, kind: str) -> list[dict[str, Any]]:
    return [
        {"id": f"{kind}-{n}", "title": "", "document": f"d{n}", "candidate": candidate(kind, f"What is the {kind} of bell {n}?")}
        for n in range(num)
    ]  # fmt: skip


def test_what_is_taken_does_not_depend_on_the_order() -> None:
    made = [row for kind in ("cause", "number", "term", "event", "place", "metadata") for row in rows(40, kind)]
    config = SynthConfig(max_pairs=60)
    one, two = select(config, index_of(config, made)), select(config, index_of(config, made[::-1]))
    assert one.num_kept == 60
    assert list(one.fates) == list(two.fates[::-1])
    assert {one.fate(n) for n in range(len(made))} >= {None, ("share", "enough")}
    kept = [row["candidate"]["kind"] for n, row in enumerate(made) if one.fate(n) is None]
    assert max(kept.count(kind) for kind in set(kept)) <= 15
    assert kept.count("metadata") <= 12
    capped = select(SynthConfig(), index_of(SynthConfig(), made))
    assert {capped.fate(n) for n in range(len(made))} == {
        None,
        ("share", "enough-of-metadata"),
    } or capped.num_kept == 240


def test_what_a_grader_refuses_is_not_taken() -> None:
    config = SynthConfig(max_kind_share=1.0)
    index = index_of(config, rows(10, "cause"))
    made = select(config, index, {3: "graded-alone-2", 7: "graded-correct-1"})
    assert made.num_kept == 8
    assert made.fate(3) == ("model", "graded-alone-2")
    assert made.fate(0) is None


@pytest.mark.parametrize(
    ("kind", "key", "kept"), [("term", "Great Bell", 1), ("metadata", "1990", 3), ("term", None, 3)]
)
def test_one_fact_under_many_titles_is_one_fact(kind: str, key: str | None, kept: int) -> None:
    titles = ["On bells", "On towers", "On ropes"]
    made = [
        {"id": title, "title": title, "document": title,
         "candidate": candidate(kind, f"What is “GB” short for in “{title}”?", f"what “GB” stands for in “{title}”", key)}
        for title in titles
    ]  # fmt: skip
    config = SynthConfig(max_kind_share=1.0, shares={})
    selection = select(config, index_of(config, made))
    assert selection.num_kept == kept
    assert {selection.fate(n) for n in range(3)} <= {None, ("repeat", "same-fact")}
