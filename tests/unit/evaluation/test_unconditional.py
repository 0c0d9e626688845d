"""What an option is worth without its question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sagecraft.evaluation import score
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.score import Request
from sagecraft.evaluation.tasks import Item
from sagecraft.evaluation.unconditional import with_unconditional
from sagecraft.inference.local import LocalEngine

ITEMS = [
    Item("1", "How long does a star live?", ("its mass decides", "0 1 2", "a galaxy"), 0),
    Item("2", "What is large?", ("a galaxy", "a planet"), 0),
]


@pytest.fixture(scope="module")
def engine(pico: Path) -> LocalEngine:
    return LocalEngine(pico, "float32")


@pytest.mark.parametrize("chat", [False, True])
def test_the_same_tokens_stand_behind_the_neutral_prompt(chat: bool, engine: LocalEngine) -> None:
    config = EvaluateConfig(dtype="float32", chat_template=chat)
    requests = [score.continuation_request(engine, item, config) for item in ITEMS]
    asked: list[Request] = []

    def ask(more: Sequence[Request]) -> list[dict[str, Any]]:
        asked.extend(more)
        return score.measure_continuation(engine, more, len(more[0].body["prefix"]))

    values = score.measure_continuation(engine, requests)
    found = with_unconditional(engine, [*requests, Request("", error="long")], [*values, None], config, ask)
    assert found.pop() is None
    assert [request.body["continuations"] for request in asked] == [
        [ids] for request in requests for ids in request.body["continuations"]
    ]
    if not chat:
        assert asked[0].body["prefix"] == engine.tokenizer.encode("Answer:")
    for request, value, plain in zip(requests, found, values, strict=True):
        assert {name: value[name] for name in plain} == plain
        for ids, alone in zip(request.body["continuations"], value["alone"], strict=True):
            whole = [*asked[0].body["prefix"], *ids]
            expected = sum(engine.sequence_logprobs([whole])[0][-len(ids) :])
            assert alone == pytest.approx(expected, abs=1e-4)
