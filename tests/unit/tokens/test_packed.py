from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagecraft.errors import UserError
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import ITEM, LENGTH, OFFSET, ROW, START, Packed, TokenItem, cut, place, write_packed


def make_items(lengths: list[int]) -> list[TokenItem]:
    """Items whose tokens are all different, so that every one can be followed."""
    items, first = [], 1
    for number, length in enumerate(lengths):
        ids = list(range(first, first + length))
        items.append(TokenItem(f"item-{number}", "domain" if number % 2 else "general", ids, [True] * length))
        first += length
    return items


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 70), min_size=1, max_size=40), st.integers(2, 32))
def test_every_token_is_learned_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], row: int
) -> None:
    folder = tmp_path_factory.mktemp("packed")
    items = make_items(lengths)
    stats = write_packed(folder, items, row, pad_id=0)
    packed = Packed.open(folder)
    loader = Loader(packed, rows_per_step=3, epochs=1, seed=7)
    learned: Counter[int] = Counter()
    pairs: set[tuple[int, int]] = set()
    for step in range(loader.num_steps):
        batch = loader.batch(loader.rows(step))
        learned.update(batch.targets.tolist())
        pairs |= set(zip(batch.input_ids[batch.predicting].tolist(), batch.targets.tolist(), strict=True))
    expected = {token for item in items for token in item.ids[1:]}
    assert learned == Counter(expected)
    assert all(target == context + 1 for context, target in pairs), "a token is predicted from its own document only"
    assert stats["num_learned"] == len(expected)
    assert stats["num_tokens"] == sum(lengths)


def test_pieces_overlap_by_their_context_token() -> None:
    assert cut(10, 4) == [(0, 4), (3, 4), (6, 4)]
    assert cut(10, 10) == [(0, 10)]
    assert cut(1, 4) == [(0, 1)]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_rows_are_never_overfull_and_hold_everything(lengths: list[int]) -> None:
    rows = place(lengths, 50)
    assert sorted(n for row in rows for n in row) == list(range(len(lengths)))
    assert all(sum(lengths[n] for n in row) <= 50 for row in rows)
    # best fit never opens a row for a piece that fits an open one: two rows at most half full cannot both exist
    fills = sorted(sum(lengths[n] for n in row) for row in rows)
    assert len(fills) < 2 or fills[0] + fills[1] > 50


def test_mask_of_the_item_is_kept(tmp_path: Path) -> None:
    item = TokenItem("chat", "synth/on", [5, 6, 7, 8, 9], [False, False, False, True, True])
    write_packed(tmp_path, [item], 8, pad_id=0)
    batch = Loader(Packed.open(tmp_path), 1, 1, 0).batch([0])
    assert batch.input_ids.tolist() == [5, 6, 7, 8]
    assert batch.predicting.tolist() == [2, 3]
    assert batch.targets.tolist() == [8, 9]
    assert [Packed.open(tmp_path).sources[code] for code in batch.sources] == ["synth/on"] * 2


def test_order_is_keyed_and_reaches_over_epochs(tmp_path: Path) -> None:
    write_packed(tmp_path, make_items([8] * 10), 8, pad_id=0)
    packed = Packed.open(tmp_path)
    loader = Loader(packed, rows_per_step=4, epochs=2.5, seed=1)
    rows = [row for step in range(loader.num_steps) for row in loader.rows(step)]
    assert len(rows) == 25
    assert sorted(rows[:10]) == sorted(rows[10:20]) == list(range(10))
    assert rows[:10] != rows[10:20]
    again = Loader(packed, rows_per_step=4, epochs=2.5, seed=1)
    assert [row for step in reversed(range(again.num_steps)) for row in reversed(again.rows(step))] == rows[::-1]
    other = Loader(packed, rows_per_step=4, epochs=2.5, seed=2)
    assert [row for step in range(other.num_steps) for row in other.rows(step)] != rows


def test_lineage_names_the_document_behind_each_token(tmp_path: Path) -> None:
    rng = random.Random(3)
    items = make_items([rng.randint(1, 30) for _ in range(20)])
    write_packed(tmp_path, items, 16, pad_id=0)
    packed = Packed.open(tmp_path)
    for piece in packed.pieces:
        tokens = packed.tokens[piece[ROW], piece[START] : piece[START] + piece[LENGTH]]
        item = items[piece[ITEM]]
        assert tokens.tolist() == list(item.ids[piece[OFFSET] : piece[OFFSET] + piece[LENGTH]])
        assert packed.items[int(piece[ITEM])]["id"] == item.id


def test_files_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    write_packed(tmp_path, make_items([8] * 4), 8, pad_id=0)
    np.save(tmp_path / "mask.npy", np.zeros((2, 8), np.uint8))
    with pytest.raises(UserError, match="do not belong together"):
        Packed.open(tmp_path)
    (tmp_path / "tokens.npy").write_bytes(b"")
    with pytest.raises(UserError, match="not packed tokens"):
        Packed.open(tmp_path)
