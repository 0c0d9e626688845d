from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from sagecraft.corpus.documents import Document
from sagecraft.errors import MachineError, UserError
from sagecraft.evaluation import prompts, score
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.perplexity import perplexity
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.local import LocalEngine

ITEM = Item("1", "How long does a star live?", ("its mass decides", "0 1 2", "a galaxy when space expands", "9"), 0)
CONFIG = EvaluateConfig(dtype="float32")


@pytest.fixture(scope="module")
def engine(pico: Path) -> LocalEngine:
    return LocalEngine(pico, "float32")


def test_prompts_are_what_the_contract_says() -> None:
    assert prompts.continuation_prompt(ITEM) == "Question: How long does a star live?\nAnswer:"
    assert prompts.letter_prompt(ITEM).endswith("\nC. a galaxy when space expands\nD. 9\nAnswer:")
    assert '{"answer": "<one letter of A, B, C, D>"' in prompts.generate_prompt(ITEM)


def test_continuation_is_the_plain_log_likelihood(engine: LocalEngine) -> None:
    request = score.continuation_request(engine, ITEM, CONFIG)
    (value,) = score.measure_continuation(engine, [request])
    value["alone"] = [0.0] * 4
    graded = score.grade_continuation(ITEM, value)
    for option, row in zip(ITEM.options, graded["options"], strict=True):
        prefix = engine.tokenizer.encode(request.prompt)
        ids = engine.tokenizer.encode(f"{request.prompt} {option}")
        assert ids[: len(prefix)] == prefix
        expected = sum(engine.sequence_logprobs([ids])[0][len(prefix) - 1 :])
        assert row["sum"] == pytest.approx(expected, abs=1e-4)
        assert row["per_char"] == pytest.approx(expected / len(option), abs=1e-5)


def test_score_of_an_option_does_not_depend_on_the_others(engine: LocalEngine) -> None:
    together = score.measure_continuation(engine, [score.continuation_request(engine, ITEM, CONFIG)])[0]["sums"]
    for index, option in enumerate(ITEM.options):
        pair = Item("2", ITEM.question, ("some other and much longer text about planets on ellipses", option), 0)
        alone = score.measure_continuation(engine, [score.continuation_request(engine, pair, CONFIG)])[0]["sums"][1]
        assert alone == pytest.approx(together[index], abs=1e-4)


def test_normalisations_differ_and_the_first_of_equals_wins() -> None:
    item = Item("1", "q", ("ab", "abcdef", "ééé"), 1)
    graded = score.grade_continuation(item, {"sums": [-2.0, -4.5, -2.1], "alone": [-2.5, -6.0, -2.0]})
    assert graded["picks"] == {"sum": "A", "per_char": "C", "per_byte": "C", "unconditional": "B"}
    assert [option["unconditional"] for option in graded["options"]] == pytest.approx([0.5, 1.5, -0.1])
    assert graded["options"][2]["per_byte"] == pytest.approx(-0.35)
    assert score.grade_continuation(item, {"sums": [-2.0, -6.0, -3.0], "alone": [-1.0] * 3})["pick"] == "A"


def test_letters_add_up_both_forms_without_special_tokens(engine: LocalEngine) -> None:
    request = score.letter_request(engine, ITEM, CONFIG)
    specials = set(engine.tokenizer.special_tokens.values())
    assert len(request.body["letters"]) == 4
    assert not specials & {token for ids in request.body["letters"] for token in ids}
    (value,) = score.measure_letter(engine, [request])
    probabilities = engine.next_logprobs(request.body["prompt"]).exp()
    expected = [sum(probabilities[token].item() for token in ids) for ids in request.body["letters"]]
    assert value["masses"] == pytest.approx(expected)
    graded = score.grade_letter(ITEM, value)
    assert sum(option["share"] for option in graded["options"]) == pytest.approx(1)
    assert graded["confidence"] == max(option["share"] for option in graded["options"])


class Letters:
    """A tokenizer of which only the encoding counts."""

    folder = Path("somewhere")

    def __init__(self, table: dict[str, list[int]]) -> None:
        self.table = table

    def encode(self, text: str) -> list[int]:
        return self.table[text]


def test_letter_tokens_of_other_tokenizers() -> None:
    same: Any = Letters({" A": [5], "A": [5], " B": [1, 6], "B": [6]})
    assert score.letter_ids(same, "AB") == [[5], [6]]  # one token for both forms is counted once
    two: Any = Letters({" A": [3, 4], "A": [3, 4]})
    with pytest.raises(UserError, match="no single token for the letter A"):
        score.letter_ids(two, "A")


def test_a_merge_across_the_boundary_leaves_the_prefix_whole() -> None:
    table = {"Answer: yes": [1, 9], "Answer:": [1, 2], " yes": [7], "Answer: no": [1, 2, 8]}
    merging: Any = Letters(table)
    assert score.encode_continuation(merging, "Answer:", [1, 2], " yes") == [7]
    assert score.encode_continuation(merging, "Answer:", [1, 2], " no") == [8]


def test_bos_stands_once_where_the_model_has_one(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = score.continuation_request(engine, ITEM, CONFIG)
    monkeypatch.setitem(engine.tokenizer.__dict__, "bos_id", 1)
    with_bos = score.continuation_request(engine, ITEM, CONFIG)
    assert with_bos.body["prefix"] == [1, *plain.body["prefix"]]
    assert with_bos.body["continuations"] == plain.body["continuations"]


def test_the_chat_template_only_when_told(engine: LocalEngine) -> None:
    request = score.continuation_request(engine, ITEM, EvaluateConfig(chat_template=True))
    assert request.prompt.startswith("<|im_start|>system\ndetailed thinking off<|im_end|>")
    assert request.prompt.endswith("<|im_start|>assistant\n")
    assert request.body["continuations"][3] == engine.tokenizer.encode("9")


def test_too_long_a_question_fails_alone(engine: LocalEngine) -> None:
    long = Item("1", "why " * 2000, ("a", "b"), 0)
    for request in (score.continuation_request(engine, long, CONFIG), score.letter_request(engine, long, CONFIG)):
        assert request.error is not None
        assert "do not fit into the model's context of 512" in request.error


def test_mass_of_nothing_is_shared_out() -> None:
    graded = score.grade_letter(Item("1", "q", ("a", "b"), 1), {"masses": [0.0, 0.0]})
    assert (graded["pick"], graded["confidence"]) == ("A", 0.5)
    assert math.isclose(sum(option["share"] for option in graded["options"]), 1.0)


def test_an_option_that_stands_there_twice_is_right_under_both_letters() -> None:
    item = Item("1", "q", ("ice", "fire", "fire"), 2)
    for pick, right in (("A", False), ("B", True), ("C", True), (None, False)):
        assert score.outcome_of(item, pick)["correct"] is right


def test_a_model_that_gives_no_numbers_has_no_result(pico: Path) -> None:
    broken = LocalEngine(pico, "float32")
    with torch.no_grad():  # what an overflow leaves behind
        broken.model.norm.weight.fill_(float("inf"))
    with pytest.raises(MachineError, match="no numbers"):
        score.measure_continuation(broken, [score.continuation_request(broken, ITEM, CONFIG)])
    with pytest.raises(MachineError, match="no numbers"):
        score.measure_letter(broken, [score.letter_request(broken, ITEM, CONFIG)])
    with pytest.raises(MachineError, match="no numbers"):
        perplexity(broken, [Document("d", "A star shines. " * 9)], 50, 32)
