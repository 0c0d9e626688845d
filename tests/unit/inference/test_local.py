from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch

from pico import pico_model
from sagecraft.errors import UserError
from sagecraft.inference.local import LocalEngine, draw
from sagecraft.inference.protocol import Question, Sampling
from sagecraft.models.branches import common_start, grow
from sagecraft.models.decoder import Decoder


@pytest.fixture(scope="module")
def engine(pico: Path) -> LocalEngine:
    return LocalEngine(pico, "float64")


@pytest.fixture(scope="module")
def engines(engine: LocalEngine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LocalEngine]:
    """One that sees everything, and one whose layers see eight tokens."""
    changes = {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 8}
    folder = pico_model(tmp_path_factory.mktemp("window") / "model", **changes)
    return {"pico": engine, "window": LocalEngine(folder, "float64")}


QUESTIONS: list[Question] = [
    ([5, 6, 7, 8], [[9], [10, 11, 12], [13, 14], [9, 9, 9, 9]]),
    ([5, 6, 3], [[9, 1]]),
    ([5, 6, *range(20, 60)], [[4, 5, 6, 7, 8, 9], [3]]),
    ([5, 6, 7], [[30], [31], [32], [30]]),
]


def whole(engine: LocalEngine, question: Question) -> list[list[float]]:
    """The same from whole sequences, one at a time."""
    prefix, continuations = question
    return [
        engine.sequence_logprobs([[*prefix, *ids]])[0][len(prefix) - 1 :] if len(prefix) > 0 else []
        for ids in continuations
    ]


@pytest.mark.parametrize("shared", [0, 2])
@pytest.mark.parametrize("name", ["pico", "window"])
def test_scores_of_many_questions_equal_whole_sequences(
    name: str, shared: int, engines: dict[str, LocalEngine]
) -> None:
    engine = engines[name]
    for _ in range(2):  # the second time what they begin with is there
        for question, scores in zip(QUESTIONS, engine.score(QUESTIONS, shared), strict=True):
            for ours, expected in zip(scores, whole(engine, question), strict=True):
                assert ours == pytest.approx(expected, abs=1e-9)
    for question in QUESTIONS:
        assert engine.score([question])[0] == [
            pytest.approx(row, abs=1e-9) for row in engine.score(QUESTIONS)[QUESTIONS.index(question)]
        ]


def test_questions_of_models_that_transformers_computes(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, behind_one = engine.score(QUESTIONS), engine.score(BEHIND_ONE, 3)
    monkeypatch.setattr("sagecraft.inference.local._ROWS", 2)
    monkeypatch.setattr("sagecraft.inference.local.Decoder", str)  # so that ours is none
    assert engine.score(QUESTIONS) == [[pytest.approx(row, abs=1e-9) for row in rows] for rows in expected]
    assert engine.score(BEHIND_ONE, 3) == [[pytest.approx(row, abs=1e-9) for row in rows] for rows in behind_one]


def test_questions_without_tokens_are_refused(engine: LocalEngine) -> None:
    for question in ([], [[1]]), ([1], [[2], []]):
        with pytest.raises(ValueError, match="at least one token"):
            engine.score([question])


BEHIND_ONE: list[Question] = [
    ([5, 6, 7], [[9], [10, 11, 12], [10, 11, 13, 14]]),
    ([5, 6, 7], [[10, 11, 12]]),
    ([5, 6, 7], [[token, *range(token, token + 40)] for token in (10, 11, 12)]),
    ([5, 6, 7], [[10, *range(20 + number, 50)] for number in range(9)]),  # more than a row under one first token
]


@pytest.mark.parametrize("name", ["pico", "window"])
def test_scores_behind_one_prompt_equal_whole_sequences(name: str, engines: dict[str, LocalEngine]) -> None:
    engine = engines[name]
    for questions in (BEHIND_ONE, BEHIND_ONE[::-1], [([5, 6, 7], [[3], [4]])]):
        for question, scores in zip(questions, engine.score(questions, 3), strict=True):
            for ours, expected in zip(scores, whole(engine, question), strict=True):
                assert ours == pytest.approx(expected, abs=1e-9)


def test_tokens_that_are_shared_run_once(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run is counted: prefixes once, beginnings of answers once, what all share once for all calls."""
    fed: list[int] = []
    forward = Decoder.forward

    def counting(self: Decoder, input_ids: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        fed.append(input_ids.numel())
        return forward(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(Decoder, "forward", counting)
    engine.score([([1, 2, 3, 4], [[9, 8, 7], [9, 8, 6, 5], [4]])])
    assert fed == [4 + 3]  # 9 8, once, and 6 behind them; last tokens are foretold alone
    fed.clear()
    shots = list(range(10, 60))
    questions = [([*shots, number], [[1, 2], [3, 4]]) for number in range(5)]
    engine.score(questions, len(shots))
    engine.score(questions[:2], len(shots))
    assert fed == [len(shots), 5 * 3, 2 * 3]
    fed.clear()
    engine.score([(shots, [[1], [1, 2]]), (shots, [[1, 2, 3]])], len(shots))
    engine.score([(shots, [[4]])], len(shots))
    assert fed == [2]


def test_trees_are_cut_between_first_tokens() -> None:
    tree = grow([], [[number, number, 0] for number in range(100)])
    rows = list(tree.rows())
    assert [len(depths) for depths, _ in rows] == [64, 64, 64, 8]
    assert rows[1] == ([0, 1] * 32, [end for place in range(0, 64, 2) for end in (place + 2, place + 2)])
    assert [len(depths) for depths, _ in grow([7], [[number, 0] for number in range(100)]).rows()] == [101]


def test_prefixes_end_where_all_do_or_go_on(engine: LocalEngine) -> None:
    with pytest.raises(ValueError, match="a token of its own"):
        engine.score([([5, 6], [[1]]), ([5, 6, 7], [[1]])], 2)


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ([[1, 2, 3], [1, 2, 4]], 2),
        ([[1, 2], [1, 2]], 1),
        ([[1, 2, 3], [1, 2]], 1),
        ([[7], [7]], 0),
        ([[1, 2], [2, 2]], 0),
    ],
)
def test_what_questions_begin_with(sequences: list[list[int]], expected: int) -> None:
    assert common_start(sequences) == expected


def test_sequence_logprobs_equal_one_at_a_time(engine: LocalEngine) -> None:
    batch = [[1, 2, 3], [4, 5], list(range(3, 300)), [7, 8, 9, 10]]
    together = engine.sequence_logprobs(batch)
    assert [len(row) for row in together] == [len(ids) - 1 for ids in batch]
    for ids, row in zip(batch, together, strict=True):
        assert row == pytest.approx(engine.sequence_logprobs([ids])[0], abs=1e-9)


def test_greedy_is_the_argmax_of_the_whole_sequence(engine: LocalEngine) -> None:
    prompt = [5, 6, 7]
    reply = list(engine.stream(prompt, Sampling(max_tokens=8), stop_ids=()))
    assert len(reply) == 8
    for position, token in enumerate(reply):
        assert token == int(engine.next_logprobs(prompt + reply[:position]).argmax())


def test_stop_tokens_end_and_are_not_given(engine: LocalEngine) -> None:
    reply = list(engine.stream([5, 6, 7], Sampling(max_tokens=8), stop_ids=()))
    stopped = list(engine.stream([5, 6, 7], Sampling(max_tokens=8), stop_ids=(reply[3],)))
    assert stopped == reply[: reply.index(reply[3])]


def test_sampling_is_keyed(engine: LocalEngine) -> None:
    def reply(seed: int) -> list[int]:
        return list(engine.stream([5, 6], Sampling(max_tokens=12, temperature=1.0, seed=seed), stop_ids=()))

    assert reply(1) == reply(1)
    assert reply(1) != reply(2)


def test_draw_follows_the_probabilities_and_top_p() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    drawn = Counter(draw(logits, Sampling(temperature=1.0, seed=seed), 0) for seed in range(4000))
    assert drawn[0] / 4000 == pytest.approx(0.5, abs=0.03)
    assert drawn[3] / 4000 == pytest.approx(0.05, abs=0.015)
    nucleus = {draw(logits, Sampling(temperature=1.0, top_p=0.7, seed=seed), 0) for seed in range(500)}
    assert nucleus == {0, 1}


def test_prompts_that_cannot_be_run_are_named(engine: LocalEngine) -> None:
    with pytest.raises(UserError, match="no tokens"):
        list(engine.stream([], Sampling()))
    with pytest.raises(UserError, match="shorten"):
        list(engine.stream([5] * 512, Sampling()))
    assert len(list(engine.stream([5] * 510, Sampling(max_tokens=9), stop_ids=()))) == 2, "the context is the end"


def test_all_that_a_pass_needs_is_where_the_model_is(pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No card here: on torch's device without memory, too, a tensor that is elsewhere is refused."""
    engine = LocalEngine(pico, "float32", device="meta")
    seen: list[torch.Size] = []

    def chosen(_: object, __: torch.Tensor, hidden: torch.Tensor, rows: list[int], targets: list[int]) -> list[float]:
        assert hidden.device.type == "meta"
        seen.append(hidden.shape)
        assert max(rows) < len(hidden)
        return [0.0] * len(targets)

    monkeypatch.setattr(LocalEngine, "_chosen", chosen)
    engine.score(QUESTIONS)
    engine.score(QUESTIONS, 2)
    engine.score(BEHIND_ONE, 3)
    engine.score([([1, 2, 3], [[4]])])
    assert [len(shape) for shape in seen] == [2] * 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a card")
def test_a_card_computes_what_the_processor_does(pico: Path) -> None:
    there, here = LocalEngine(pico, "float32", device="cuda:0"), LocalEngine(pico, "float32", device="cpu")
    for questions, shared in ((QUESTIONS, 0), (QUESTIONS, 2), (BEHIND_ONE, 3)):
        for rows, expected in zip(there.score(questions, shared), here.score(questions, shared), strict=True):
            assert rows == [pytest.approx(row, abs=1e-3) for row in expected]
    written: dict[str, list[tuple[int, int]]] = {}
    for engine in (there, here):
        tokens = written.setdefault(str(engine.device), [])
        engine.write_each([[5, 6], [7, 8, 9]], Sampling(max_tokens=6), lambda *pair, to=tokens: to.append(pair) is None)
    assert written["cuda:0"] == written["cpu"]
    assert there.sequence_logprobs([[1, 2, 3]])[0] == pytest.approx(here.sequence_logprobs([[1, 2, 3]])[0], abs=1e-3)
