"""What a further process is told, and what it tells."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation import processes, score
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.processes import Batch, Helpers, Post, device_of, open_helpers, serve
from sagecraft.evaluation.store import Store
from sagecraft.evaluation.subject import open_subject
from sagecraft.evaluation.tasks import Item

CONFIG = EvaluateConfig(dtype="float32", processes=2)


def post(model: Path, store: Path) -> str:
    settings = CONFIG.model_dump(mode="json") | {"processes": 2}
    told = Post(config=settings, inputs={"model": model}, store=store, number=1, threads=torch.get_num_threads())
    return told.model_dump_json() + "\n"


def test_batches_are_measured_until_there_are_no_more(pico: Path, tmp_path: Path) -> None:
    with open_subject(CONFIG, {"model": pico}) as subject:
        items = [Item(str(n), f"What is {n}?", ("a star", f"planet {n}"), 0) for n in range(4)]
        requests = [score.continuation_request(subject.engine, item, CONFIG) for item in items]
        expected = score.measure_continuation(subject.engine, requests)
        bodies = [[request.body for request in requests[:2]], [request.body for request in requests[2:]]]
        lines = "".join(Batch(mode="continuation", shared=0, bodies=part).model_dump_json() + "\n" for part in bodies)
        news: list[dict[str, Any]] = []
        serve(io.StringIO(post(pico, tmp_path) + lines), news.append)
        assert news == [{"done": True}] * 2
        store = Store(tmp_path, subject.identity)
        for request, value in zip(requests, expected, strict=True):
            assert store.value(request.body)["sums"] == pytest.approx(value["sums"], abs=1e-4)


def test_nothing_is_loaded_for_an_evaluation_that_died_before_it_said_what_it_wants() -> None:
    serve(io.StringIO(""), lambda news: pytest.fail(str(news)))


def test_faults_of_the_input_are_told_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(post(tmp_path / "nothing", tmp_path)))
    processes.main()
    news = json.loads(capfd.readouterr().out)
    assert "nothing" in news["error"]
    assert news["exit_code"] == 2


def test_one_card_each(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of(1, 8) is None or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of(number, 2) for number in range(2)] == ["cuda:0", "cuda:1"]
    with pytest.raises(UserError, match="processes: 3 need a card each, and this machine has 2"):
        device_of(0, 3)


def test_helpers_are_for_several_processes_of_a_local_model(tmp_path: Path) -> None:
    for update in ({"processes": 1}, {"endpoint": "local:m"}):
        with open_helpers(CONFIG.model_copy(update=update), {}, tmp_path) as helpers:
            assert helpers is None
    with open_helpers(CONFIG, {}, tmp_path) as helpers:
        assert helpers is not None
        before = torch.get_num_threads()
        seen: list[tuple[int, int]] = []
        helpers.share("letter", 0, [[]], lambda number: seen.append((number, torch.get_num_threads())), lambda _: None)
        assert seen == [(0, max(1, before // 2))]  # the only batch that is left is run as it would have been among many
        assert torch.get_num_threads() == before
        assert helpers._processes == []


def test_a_fault_here_ends_the_sharing(tmp_path: Path) -> None:
    def failing(_: int) -> None:
        raise UserError("no")

    helpers = Helpers(CONFIG.model_copy(update={"processes": 1}), {}, tmp_path)
    with pytest.raises(UserError, match="no"):
        helpers.share("letter", 0, [[], []], failing, lambda _: pytest.fail("nothing is done"))


def test_processes_change_no_fingerprint() -> None:
    assert "processes" not in CONFIG.model_dump()
    assert artifact.digest_of(CONFIG.model_dump(mode="json")) == artifact.digest_of(
        CONFIG.model_copy(update={"processes": 1}).model_dump(mode="json")
    )
