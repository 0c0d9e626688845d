from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from sagecraft.evaluation.store import Store
from sagecraft.inference.prices import Bill


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


WORST = Bill(prompt=100, written=50, known=False)


def test_a_claim_its_end_and_its_account(tmp_path: Path) -> None:
    store = Store(tmp_path, "endpoint", run="r")
    kept, failed, billed = (store.claim(store.key({"n": n}), WORST) for n in range(3))
    assert kept is not None
    assert failed is not None
    assert billed is not None
    assert store.claim(kept.key, WORST) is None  # it is under way
    store.keep(kept, {"text": "B"}, Bill(prompt=10, cached=3, written=5), 1.5)
    store.drop(failed, Bill(), "HTTP 500")
    store.drop(billed, WORST, "cut")
    assert store.find(kept.key) == {"text": "B"}
    assert store.claim(kept.key, WORST) is None  # it is answered
    account = store.account()
    assert (account.num_sent, account.num_kept, account.num_failed, account.num_failed_billed) == (3, 1, 1, 1)
    assert account.kept == Bill(prompt=10, cached=3, written=5)
    assert account.wasted == WORST
    store.close()
    again = Store(tmp_path, "endpoint", run="r")
    assert again.find(kept.key) == {"text": "B"}
    assert again.seconds == 1.5
    assert again.account() == account
    assert Store(tmp_path, "endpoint", run="other").account().num_sent == 0


def test_what_a_dead_process_asked_is_lost_and_may_be_asked_again(tmp_path: Path) -> None:
    alive, other = Store(tmp_path, "endpoint", run="r"), Store(tmp_path, "endpoint", run="r")
    key = alive.key({"n": 1})
    assert alive.claim(key, WORST) is not None
    assert other.claim(key, WORST) is None
    assert other.account().num_lost == 0
    os.close(alive._session_file)  # type: ignore[arg-type]  # what the system does when a process dies
    assert other.account().num_lost == 1
    assert other.account().wasted == WORST
    claim = other.claim(key, WORST)
    assert claim is not None
    other.keep(claim, 1, Bill(), 0.0)
    assert (other.account().num_lost, other.account().num_kept) == (1, 1)
    other.close()


def test_another_process_sees_what_was_kept_meanwhile(tmp_path: Path) -> None:
    one, other = Store(tmp_path, "endpoint"), Store(tmp_path, "endpoint")
    key = one.key({"n": 1})
    claim = one.claim(key, WORST)
    assert claim is not None
    one.keep(claim, "B", Bill(), 0.0)
    assert other.find(key) is None  # it has not looked
    assert other.claim(key, WORST) is None
    assert other.find(key) == "B"


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, "model")
    store.get({"n": 1}, lambda: 1)
    whole, write = store.path.read_bytes(), os.write

    def full(file: int, data: bytes) -> int:
        if len(data) < 60:
            raise OSError(errno.ENOSPC, "no space")
        return write(file, data[:40])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        store.get({"n": 2}, lambda: "x" * 30)
    monkeypatch.undo()
    assert store.path.read_bytes() == whole
    store.get({"n": 2}, lambda: 2)
    assert [Store(tmp_path, "model").get({"n": n}, fail) for n in (1, 2)] == [1, 2]


def test_values_stay_on_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")
    for number in range(50):
        store.get({"n": number}, lambda: "x" * 100_000)
    assert sum(len(str(part)) for part in store._places.items()) < 20_000
