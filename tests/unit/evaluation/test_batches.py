"""Batches hold each question once, are of bounded size, and begin with what all share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sagecraft.evaluation import batches
from sagecraft.evaluation.batches import make_batches, measure_in_batches
from sagecraft.evaluation.score import Request
from sagecraft.evaluation.store import Store


def scored(prefix: list[int], *continuations: list[int]) -> Request:
    return Request("", {"mode": "continuation", "prefix": prefix, "continuations": list(continuations)})


REPLY = Request("", {"mode": "generate", "prompt": [1, 2]})
FAULTY = Request("", error="too long")


def test_each_request_once_long_ones_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_BATCH_TOKENS", 10)
    monkeypatch.setattr(batches, "_BATCH_REPLIES", 1)
    requests = [scored([1] * n, [2, 3]) for n in (1, 5, 3, 20, 5, 2)] + [FAULTY, scored([7], [8])]
    assert make_batches(requests) == [[[3]], [[1, 4], [2]], [[5], [0], [7]]]
    assert make_batches([REPLY, FAULTY, REPLY]) == [[[0, 2]]]


class Recorder:
    """An engine that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[list[int]], int]] = []

    def measure(self, _engine: Any, requests: Sequence[Request], shared: int) -> list[dict[str, Any]]:
        self.asked.append(([request.body["prefix"] for request in requests], shared))
        return [{"value": request.body["prefix"][-1]} for request in requests]


def test_a_batch_of_which_something_is_missing_runs_whole(tmp_path: Path) -> None:
    recorder, store, done = Recorder(), Store(tmp_path, "model"), []
    requests = [scored([n], [1]) for n in range(4)]
    store.put([requests[1].body], [{"value": "as it was"}], 0.1)
    found = measure_in_batches(None, recorder.measure, [*requests, FAULTY, requests[2]], store, lambda: done.append(1))
    assert [value and value["value"] for value in found] == [0, "as it was", 2, 3, None, 2]
    assert recorder.asked == [([[0], [1], [2], [3]], 0)]
    assert len(done) == 6
    assert measure_in_batches(None, recorder.measure, requests, store, lambda: None) == found[:4]
    assert len(recorder.asked) == 1


def test_one_prompt_is_shared_whole_however_short(tmp_path: Path) -> None:
    recorder = Recorder()
    measure_in_batches(None, recorder.measure, [scored([7], [n]) for n in (1, 2)], Store(tmp_path, "m"), lambda: None)
    assert recorder.asked[0][1] == 1


def test_what_all_begin_with_is_found(tmp_path: Path) -> None:
    start = list(range(batches._MIN_SHARED))
    for extra, shared in (([], 0), ([9], batches._MIN_SHARED + 1)):
        recorder = Recorder()
        requests = [scored([*start, *extra, n], [1]) for n in (40, 41)]
        if not extra:
            requests.append(scored(start[:-1], [1]))
        measure_in_batches(None, recorder.measure, requests, Store(tmp_path, str(extra)), lambda: None)
        assert recorder.asked[0][1] == shared


def test_what_stands_behind_one_prompt_is_in_the_order_of_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_BATCH_TOKENS", 3)
    requests = [scored([1, 2], ids) for ids in ([9, 9], [3, 4, 5], [3], [9, 9], [3, 4, 6], [7, 1])]
    assert make_batches(requests, shared=2) == [[[2], [1]], [[4], [5]], [[0, 3]]]
    same = Request("", {"mode": "letter", "prompt": [1, 2], "letters": [[4], [5, 6]]})
    assert make_batches([same, same], shared=2) == [[[0, 1]]]


def test_replies_are_asked_for_together() -> None:
    replies = [Request("", {"mode": "generate", "prompt": [number]}) for number in range(40)]
    assert [len(batch) for batch in make_batches(replies)] == [32, 8]
