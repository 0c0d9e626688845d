"""General conversations: weights, licences, what is left out, and the same draw whatever the order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sagecraft.chat.messages import Conversation
from sagecraft.corpus.overlap import Leaks
from sagecraft.errors import UserError
from sagecraft.synthesis.mixing import (
    GeneralConfig,
    GeneralSource,
    Ledger,
    allot,
    check_source,
    general_inputs,
    mix,
    num_tokens,
)


def talk(number: int, of: str = "a") -> dict[str, Any]:
    return {
        "id": f"{number}",
        "messages": [
            {"role": "user", "content": f"What is the {of} thing number {number}?"},
            {"role": "assistant", "content": f"It is the thing {number} of {of}."},
        ],
    }


def sharegpt(number: int) -> dict[str, Any]:
    """As OpenHermes-2.5 has its rows, with columns that say nothing."""
    turns = [{"from": "human", "value": f"Hello {number}?"}, {"from": "gpt", "value": f"Good day {number}."}]
    more = {
        "custom_instruction": None,
        "topic": "small talk",
        "views": 3.0,
        "hash": None,
        "skip_prompt_formatting": False,
    }
    return {"conversations": turns, "category": "chitchat", "source": "made-up", "id": None, **more}


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


class Mixed:
    """What comes of mixing."""

    def __init__(
        self, config: GeneralConfig, num_own: int, leaks: Leaks | None = None, inputs: Mapping[str, Path] | None = None
    ) -> None:
        self.drops: list[dict[str, Any]] = []
        ledger = Ledger()
        given = {**general_inputs(config), **(inputs or {})}
        self.rows: list[Conversation] = list(mix(config, 0, given, num_own, leaks, self.drops.append, ledger))
        self.stats = ledger.as_stats()


def config(*sources: GeneralSource, share: float = 0.5) -> GeneralConfig:
    return GeneralConfig(sources=sources, share=share)


@pytest.mark.parametrize(
    ("wanted", "weights", "available", "given"),
    [
        (10, [1, 1], [100, 100], [5, 5]),
        (10, [3, 1], [100, 100], [8, 2]),
        (10, [1, 1], [2, 100], [2, 8]),
        (12, [1, 2, 3], [1, 100, 2], [1, 9, 2]),
        (10, [1, 1], [2, 3], [2, 3]),
        (0, [1, 1], [2, 3], [0, 0]),
        (7, [1, 1, 1], [9, 9, 9], [3, 2, 2]),
        (5, [1, 1], [0, 9], [0, 5]),
    ],
)
def test_weights_and_what_is_short(wanted: int, weights: list[float], available: list[int], given: list[int]) -> None:
    assert allot(wanted, weights, available) == given


def test_sets_are_drawn_by_weight_with_licences_and_tokens(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    one = written(tmp_path / "one.jsonl", [talk(n) | {"license": "cc0"} for n in range(50)])
    folder = tmp_path / "two"
    folder.mkdir()
    for part in (0, 1):
        rows = pa.Table.from_pylist([sharegpt(n) for n in range(40 * part, 40 * part + 40)])
        pq.write_table(rows, folder / f"train-{part}.parquet")
    sources = [GeneralSource(path=str(one)), GeneralSource(path=str(folder), weight=3, license="Apache 2.0")]
    mixed = Mixed(config(*sources), num_own=40)
    assert len(mixed.rows) == 40
    assert not mixed.drops
    first, second = mixed.stats["one.jsonl"], mixed.stats["two"]
    assert (first["rows"], second["rows"]) == (10, 30)
    assert (first["read"], second["read"]) == (50, 80)
    assert first["licenses"] == {"CC0-1.0": 10}
    assert second["licenses"] == {"Apache-2.0": 30}
    assert first["tokens"] == sum(num_tokens(row) for row in mixed.rows if row.source == "one.jsonl")
    assert {row.thinking for row in mixed.rows} == {"off"}
    assert {row.kind for row in mixed.rows} == {"general", "chitchat"}
    assert len({row.id for row in mixed.rows}) == 40


def test_the_draw_does_not_depend_on_order_or_names(tmp_path: Path) -> None:
    rows = [talk(n) for n in range(60)]
    one = Mixed(config(GeneralSource(path=str(written(tmp_path / "a.jsonl", rows)))), num_own=12)
    two = Mixed(config(GeneralSource(path=str(written(tmp_path / "b.jsonl", rows[::-1])))), num_own=12)
    assert len(one.rows) == 12
    assert {row.messages for row in one.rows} == {row.messages for row in two.rows}
    # A larger draw holds the smaller one.
    more = Mixed(config(GeneralSource(path=str(tmp_path / "a.jsonl"))), num_own=30)
    assert {row.messages for row in one.rows} < {row.messages for row in more.rows}


def test_tokens_are_estimated_by_words_digits_and_marks() -> None:
    row = Conversation.model_validate(
        talk(0)
        | {
            "messages": [
                {"role": "user", "content": "Is 1497 before 1503, extraordinarily?"},
                {"role": "assistant", "content": "Yes."},
            ]
        }
    )
    # Is, four digits, before, four digits, comma, three pieces of a long word, question mark; Yes and its full stop
    assert num_tokens(row) == 1 + 4 + 1 + 4 + 1 + 3 + 1 + 2


def test_tokens_are_limited(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [talk(n) for n in range(60)])
    mixed = Mixed(config(GeneralSource(path=str(path), max_tokens=100)), num_own=60)
    assert 0 < mixed.stats["a.jsonl"]["tokens"] <= 100
    assert 100 - mixed.stats["a.jsonl"]["tokens"] < 20


def test_what_says_the_same_is_taken_once(tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", [talk(n) for n in range(10)] * 2)
    two = written(tmp_path / "two.jsonl", [talk(n) | {"id": f"other-{n}"} for n in range(10)] + [talk(99)])
    mixed = Mixed(config(GeneralSource(path=str(one)), GeneralSource(path=str(two))), num_own=50)
    assert len(mixed.rows) == 11
    assert mixed.stats["one.jsonl"]["repeated"] == 10
    assert mixed.stats["two.jsonl"] == {
        "rows": 1,
        "read": 11,
        "repeated": 10,
        "tokens": 18,
        "licenses": {"not stated": 1},
    }


def test_ids_that_two_sets_share_are_told_apart(tmp_path: Path) -> None:
    one = written(tmp_path / "one.jsonl", [talk(n) for n in range(5)])
    two = written(tmp_path / "two.jsonl", [talk(n, "b") for n in range(5)])
    mixed = Mixed(config(GeneralSource(path=str(one)), GeneralSource(path=str(two))), num_own=50)
    assert len({row.id for row in mixed.rows}) == len(mixed.rows) == 10


def test_rows_that_cannot_be_used_are_kept_aside(tmp_path: Path) -> None:
    silent = {"messages": [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": " "}]}
    bad = [
        "{",
        "[" * 100_000,
        '{"messages": 5}',
        '{"text": "no turns"}',
        "7",
        "",
        silent,
        '{"messages": [{"role": "who"}]}',
    ]
    path = written(tmp_path / "a.jsonl", [*bad, talk(1)])
    mixed = Mixed(config(GeneralSource(path=str(path))), num_own=50)
    assert [row.id for row in mixed.rows] == ["1"]
    assert [row["document"] for row in mixed.drops] == [f"a.jsonl:{line}" for line in (1, 2, 3, 4, 5, 7, 8)]
    assert [row["reason"] for row in mixed.drops].count("no-answer") == 1
    assert all("\n" not in row.get("cause", "") for row in mixed.drops)
    assert mixed.stats["a.jsonl"]["unreadable"] == 6


def test_half_a_character_and_other_encodings_are_kept_aside(tmp_path: Path) -> None:
    """A licence or a source of half a character would pass, and break the writing of all rows."""
    path = tmp_path / "a.jsonl"
    bad = [json.dumps(talk(n) | {key: "\ud800"}) for n, key in enumerate(("license", "source", "kind", "id"))]
    whole = json.dumps(talk(9) | {"license": "\U0001f600"})
    other = json.dumps(talk(8), ensure_ascii=False).replace("What", "Quién").encode("latin-1")
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([whole, *bad]).encode() + b"\r\n" + other)
    mixed = Mixed(config(GeneralSource(path=str(path))), num_own=9)
    assert [row.license for row in mixed.rows] == ["\U0001f600"]
    causes = [drop["cause"] for drop in mixed.drops]
    assert causes == ["holds half a character (a lone surrogate)"] * 4 + ["not UTF-8 (byte 57 of the line)"]


def test_a_set_without_a_readable_row_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", ['{"messages": 5}'])
    with pytest.raises(UserError, match=r"a\.jsonl:1: messages: expected a list"):
        Mixed(config(GeneralSource(path=str(path))), num_own=5)
    with pytest.raises(UserError, match=r"a\.jsonl:1: messages: expected a list"):
        check_source(path)
    empty = written(tmp_path / "b.jsonl", [])
    with pytest.raises(UserError, match=r"b\.jsonl: holds no rows"):
        check_source(empty)
    broken = tmp_path / "c.parquet"
    broken.write_bytes(b"PAR1 no")
    with pytest.raises(UserError, match=r"c\.parquet: not readable as Parquet"):
        check_source(broken)
    with pytest.raises(UserError, match=r"OpenHermes-2\.5: no such file or folder.*not downloaded"):
        check_source(Path("teknium/OpenHermes-2.5"))
    with pytest.raises(UserError, match="neither JSONL nor Parquet"):
        check_source(written(tmp_path / "d.txt", []))


def test_long_lines_are_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagecraft.synthesis.mixing._MAX_LINE", 400)
    long = talk(1, of="long " * 300)
    path = written(tmp_path / "a.jsonl", [long, talk(2), long, talk(3)])
    mixed = Mixed(config(GeneralSource(path=str(path))), num_own=50)
    assert [row.id for row in mixed.rows] == ["2", "3"]
    assert [row["document"] for row in mixed.drops] == ["a.jsonl:1", "a.jsonl:3"]


def test_what_a_benchmark_asks_is_not_mixed_in(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [talk(n, "very old and rarely seen") for n in range(10)])
    asked = "What is the very old and rarely seen thing number 4?"
    leaks = Leaks([{"id": "q", "kind": "", "question": asked, "A": "one", "B": "two", "answer": "A", "support": None}])
    mixed = Mixed(config(GeneralSource(path=str(path))), num_own=50, leaks=leaks)
    assert "4" not in {row.id for row in mixed.rows}
    found = {row["document"]: row for row in mixed.drops}
    assert found["4"]["item"] == "q"
    assert found["4"]["step"] == "leak"
    assert mixed.stats["a.jsonl"]["in-benchmark"] == len(mixed.drops) == 10 - len(mixed.rows)


def test_the_input_is_a_set_like_others(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", [talk(n) for n in range(10)])
    mixed = Mixed(GeneralConfig(share=0.2), num_own=20, inputs={"general": path})
    assert len(mixed.rows) == 5
    assert not Mixed(GeneralConfig(share=0.0), num_own=20, inputs={"general": path}).rows
