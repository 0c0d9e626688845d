from __future__ import annotations

import time
from pathlib import Path

from sagecraft.evaluation.store import Store


def fail() -> object:
    raise AssertionError("measured though it is in the store")


def slow(value: object) -> object:
    time.sleep(0.002)
    return value


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    first = Store(tmp_path, "model")
    assert first.get({"ids": [1]}, lambda: slow({"sums": [0.1 + 0.2]})) == {"sums": [0.30000000000000004]}
    first.close()
    second = Store(tmp_path, "model")
    assert second.get({"ids": [1]}, fail) == {"sums": [0.30000000000000004]}
    assert second.num_found == 1
    assert second.seconds == first.seconds > 0
    second.get({"ids": [1]}, fail)
    assert second.seconds == first.seconds  # equal requests are measured, and paid, once


def test_model_and_request_are_in_the_key(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")
    store.get({"ids": [1]}, lambda: 1)
    assert store.get({"ids": [2]}, lambda: 2) == 2
    assert Store(tmp_path, "another").get({"ids": [1]}, lambda: 3) == 3


def test_torn_and_foreign_lines_are_measured_again(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")
    for number in range(3):
        store.get({"n": number}, lambda number=number: number)  # type: ignore[misc]
    whole = store.path.read_bytes()
    for cut in range(len(whole)):
        store.path.write_bytes(whole[:cut])
        again = Store(tmp_path, "model")
        assert [again.get({"n": n}, lambda n=n: n) for n in range(3)] == [0, 1, 2]  # type: ignore[misc]
        again.close()
        assert Store(tmp_path, "model").get({"n": 2}, fail) == 2
    store.path.write_bytes(b"[]\nnull\n{}\n\xff\n" + whole)
    assert Store(tmp_path, "model").get({"n": 1}, fail) == 1


def test_two_writers_share_a_file(tmp_path: Path) -> None:
    one, two = Store(tmp_path, "model"), Store(tmp_path, "model")
    for number in range(20):
        (one, two)[number % 2].get({"n": number}, lambda number=number: "x" * 5000 + str(number))  # type: ignore[misc]
    third = Store(tmp_path, "model")
    assert all(third.get({"n": n}, fail).endswith(str(n)) for n in range(20))
