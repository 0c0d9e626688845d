"""Scores hang on the model and the question alone: not on batches, kernels, or what a question is asked together with."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from sagecraft import artifact
from sagecraft.evaluation import batches, score
from sagecraft.evaluation.config import EvaluateConfig, ReplyConfig
from sagecraft.evaluation.evaluate import run
from sagecraft.evaluation.store import Store
from sagecraft.evaluation.tasks import Item, choose, read_task
from sagecraft.inference.batch import write_each
from sagecraft.inference.local import LocalEngine
from sagecraft.inference.protocol import Sampling
from sagecraft.models.decoder import Decoder
from sagecraft.models.kernels import library

WORDS = "star planet galaxy mass light energy of the a in orbit field model large small why how is".split()
MODEL = Path("~/.cache/sagecraft/benchmarks/smollm2-135m-instruct-q4_1").expanduser()


def questions(count: int) -> list[Item]:
    rng = random.Random(5)

    def words(most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, most)))

    return [
        Item(str(n), f"{words(24)} {n}?", tuple(words(6) for _ in range(rng.randint(2, 5))), 0) for n in range(count)
    ]


class Sides:
    """Values of the same items, measured in two ways."""

    def __init__(self, mode: str, items: Sequence[Item], folder: Path) -> None:
        self.mode, self.items, self.folder = mode, items, folder
        self.rows: list[list[dict[str, Any]]] = []

    def measure(self, engine: LocalEngine, dtype: str) -> None:
        config = EvaluateConfig.model_validate({"dtype": dtype})
        make, measure, grade = {
            "continuation": (score.continuation_request, score.measure_continuation, score.grade_continuation),
            "letter": (score.letter_request, score.measure_letter, score.grade_letter),
        }[self.mode]
        requests = [make(engine, item, config) for item in self.items]
        store = Store(self.folder / f"store{len(self.rows)}", "model")
        values = batches.measure_in_batches(engine, measure, requests, store, lambda: None)
        values = [{**value, "alone": [0.0] * len(item.options)} for item, value in zip(self.items, values, strict=True)]
        self.rows.append([grade(item, value) for item, value in zip(self.items, values, strict=True)])

    def loglikelihoods(self, row: dict[str, Any]) -> list[float]:
        if self.mode == "continuation":
            return [option["sum"] for option in row["options"]]
        return [math.log(option["probability"]) for option in row["options"]]

    def pairs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return list(zip(*self.rows, strict=True))

    @property
    def largest(self) -> float:
        """Difference of log-likelihoods."""
        return max(
            abs(x - y)
            for a, b in self.pairs()
            for x, y in zip(self.loglikelihoods(a), self.loglikelihoods(b), strict=True)
        )

    @property
    def same(self) -> float:
        """Share of equal picks."""
        return sum(a["pick"] == b["pick"] for a, b in self.pairs()) / len(self.items)

    def unexplained(self, within: float) -> int:
        """Picks that differ though the two options lie further apart than twice `within` on the scale that decides."""
        key = "per_char" if self.mode == "continuation" else "probability"
        count = 0
        for a, b in self.pairs():
            one, other = ("ABCDE".index(row["pick"]) for row in (a, b))
            count += one != other and abs(a["options"][one][key] - a["options"][other][key]) > 2 * within
        return count


def in_batches_of(
    tokens: tuple[int, int], sides: Sides, engine: LocalEngine, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in tokens:
        monkeypatch.setattr(batches, "_BATCH_TOKENS", limit)
        sides.measure(engine, dtype)


def assert_alike(sides: Sides, dtype: str) -> None:
    """What another size of batches may change."""
    if dtype == "float32":
        assert 0 < sides.largest < 1e-4
        assert sides.unexplained(1e-4) == 0
    else:
        assert sides.same >= 0.99


@pytest.mark.parametrize("mode", ["continuation", "letter"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_question_at_a_time_or_sixty_four(
    mode: str, dtype: str, pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = questions(100 if dtype == "float32" else 200)
    sides, engine = Sides(mode, items, tmp_path), LocalEngine(pico, dtype)  # type: ignore[arg-type]
    in_batches_of((1, 64 * 40), sides, engine, dtype, monkeypatch)
    assert_alike(sides, dtype)


@pytest.mark.soak
@pytest.mark.parametrize("mode", ["continuation", "letter"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_question_at_a_time_or_sixty_four_of_a_real_model(
    mode: str, dtype: str, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not MODEL.is_dir():
        pytest.skip(f"needs {MODEL.name} as benchmarks/evaluation.py fetches it")
    items = choose(read_task(shared_data / "bench-dev/ARC/ARC-Challenge/test.json").items, 200, 0)
    sides, engine = Sides(mode, items, tmp_path), LocalEngine(MODEL, dtype)  # type: ignore[arg-type]
    in_batches_of((1, 64 * 40), sides, engine, dtype, monkeypatch)
    assert_alike(sides, dtype)


@pytest.mark.soak
def test_replies_one_at_a_time_or_sixteen_of_a_real_model(shared_data: Path) -> None:
    """Of a model with the widths of real ones: products of the tests' small ones are rounded otherwise by the row."""
    if not MODEL.is_dir():
        pytest.skip(f"needs {MODEL.name} as benchmarks/evaluation.py fetches it")
    items = choose(read_task(shared_data / "bench-dev/ARC/ARC-Challenge/test.json").items, 24, 0)
    engine = LocalEngine(MODEL, "bfloat16")
    prompts = [engine.tokenizer.encode(item.question) for item in items]
    sides: list[list[list[int]]] = []
    for num_rows in (1, 3, 16):
        replies: list[list[int]] = [[] for _ in items]

        def take(number: int, token: int, replies: list[list[int]] = replies) -> bool:
            replies[number].append(token)
            return len(replies[number]) < 20 + number

        write_each(engine, prompts, Sampling(max_tokens=60), take, num_rows)
        sides.append(replies)
    for side in sides[1:]:
        assert side == sides[0]


@pytest.mark.parametrize("mode", ["continuation", "letter"])
def test_native_kernels_and_plain_operators(
    mode: str, pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not library.has_products():
        pytest.skip("this machine builds no native kernels")
    sides, engine = Sides(mode, questions(200), tmp_path), LocalEngine(pico)
    sides.measure(engine, "bfloat16")
    with monkeypatch.context() as patched:
        patched.setattr(library, "_loaded", [None])
        assert not library.available()
        sides.measure(engine, "bfloat16")
    assert 0 < sides.largest < 0.1  # another order of rounding, so it was another way
    assert sides.same >= 0.99


def test_what_questions_share_runs_once_for_all_batches(
    pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of solved examples before each question, and of each question before its options, every token runs once."""
    engine, fed = LocalEngine(pico, "float32"), list[int]()
    forward = Decoder.forward

    def counting(self: Decoder, input_ids: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        fed.append(input_ids.numel())
        return forward(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(Decoder, "forward", counting)
    monkeypatch.setattr(batches, "_BATCH_TOKENS", 64)
    examples = list(range(100, 200))
    requests = [
        score.Request(
            "", {"mode": "continuation", "prefix": [*examples, 7, number, 9], "continuations": [[3, 4], [5, 6, 8]]}
        )
        for number in range(20, 60)
    ]
    store = Store(tmp_path, "model")
    batches.measure_in_batches(engine, score.measure_continuation, requests, store, lambda: None)
    assert fed[0] == len(examples) + 1  # and the first token of each question, which all have
    assert len(fed) > 3
    assert sum(fed) == len(examples) + 1 + len(requests) * (2 + 1 + 2)


def test_what_does_not_fit_is_told_and_touches_nothing_else(pico: Path, tmp_path: Path) -> None:
    rows = [{"id": f"q{n}", "question": f"What is {n}?", "choices": ["a star", "no"], "answer": 0} for n in range(3)]
    rows[1:1] = [{"id": "long", "question": "why " * 2000, "choices": ["a star", "no"], "answer": 0}]
    artifact.write_jsonl(tmp_path / "task.jsonl", rows)
    config = EvaluateConfig(
        modes=("continuation", "letter", "generate"),
        reply=ReplyConfig(thought_tokens=4, answer_tokens=4),
    )
    run(config, {"model": pico, "task": tmp_path / "task.jsonl"}, tmp_path / "out")
    found = list(artifact.read_jsonl(tmp_path / "out/items.jsonl"))
    long = [row for row in found if row["id"] == "long"]
    assert [row["mode"] for row in long] == ["continuation", "letter", "generate"]
    for row in long:
        assert (row["outcome"], row["correct"], row["pick"]) == ("failed", False, None)
        assert "do not fit into the model's context of 512" in row["error"]
    scored = [row for row in found if row["id"] != "long" and row["mode"] != "generate"]
    assert all(row["pick"] is not None and "error" not in row for row in scored)
    modes = artifact.read_json(tmp_path / "out/results.json")["modes"]
    assert all(mode["outcomes"]["failed"] == 1 and mode["n"] == 4 for mode in modes.values())
