from __future__ import annotations

from pathlib import Path

import pytest

from pico import pico_model
from sagecraft.errors import UserError
from sagecraft.inference.batch import write_each
from sagecraft.inference.local import LocalEngine
from sagecraft.inference.protocol import Sampling

PROMPTS = [[5, 6, 7, 8], [9], [*range(20, 60)], [5, 6], [11, 12, 13], [40, 3, 40], [7, 7, 7, 7, 7, 7, 7]]


@pytest.fixture(scope="module", params=["llama", "window"])
def engine(request: pytest.FixtureRequest, pico: Path, tmp_path_factory: pytest.TempPathFactory) -> LocalEngine:
    """A model that sees everything, or one whose layers see eight tokens."""
    if request.param == "llama":
        return LocalEngine(pico, "float32")
    changes = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 8}
    return LocalEngine(pico_model(tmp_path_factory.mktemp("window") / "model", **changes), "float32")


def written(engine: LocalEngine, sampling: Sampling, num_rows: int, most: int = 10**9) -> list[list[int]]:
    replies: list[list[int]] = [[] for _ in PROMPTS]

    def take(number: int, token: int) -> bool:
        replies[number].append(token)
        return len(replies[number]) < most + number  # so that replies end at different times

    write_each(engine, PROMPTS, sampling, take, num_rows)
    return replies


@pytest.mark.parametrize("temperature", [0.0, 1.5])
@pytest.mark.parametrize("most", [1, 9, 10**9])
def test_replies_side_by_side_are_those_one_by_one(engine: LocalEngine, temperature: float, most: int) -> None:
    sampling = Sampling(max_tokens=40, temperature=temperature, seed=3)
    alone = [list(engine.stream(prompt, sampling))[: most + number] for number, prompt in enumerate(PROMPTS)]
    assert max(len(ids) for ids in alone) > 0
    for num_rows in (1, 2, 3, 16):
        assert written(engine, sampling, num_rows, most) == alone


def test_a_reply_ends_with_the_context(engine: LocalEngine) -> None:
    before = engine.max_positions
    engine.max_positions = 45
    try:
        sampling = Sampling(max_tokens=400, temperature=2.0, seed=1)
        alone = [list(engine.stream(prompt, sampling)) for prompt in PROMPTS]
        assert len(alone[2]) <= 5
        assert written(engine, sampling, 4) == alone
        engine.max_positions = 20
        with pytest.raises(UserError, match="40 tokens"):
            written(engine, sampling, 4)
    finally:
        engine.max_positions = before


def test_room_grows_while_replies_are_written(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagecraft.inference.batch._GROWTH", 4)
    sampling = Sampling(max_tokens=40, temperature=1.5, seed=5)
    assert written(engine, sampling, 3) == [list(engine.stream(prompt, sampling)) for prompt in PROMPTS]
