from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sagecraft.chat.template import ChatTemplate
from sagecraft.chat.thinking import TAGS, Tags, join_thought, tags_of
from sagecraft.evaluation import generate
from sagecraft.evaluation.config import EvaluateConfig, ReplyConfig
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.local import LocalEngine
from sagecraft.inference.protocol import Sampling, Take
from sagecraft.models.tokenizer import Tokenizer

ITEM = Item("1", "Which is hot?", ("ice", "fire"), 1)
ANSWER = '{"answer": "B", "explanation": "it burns"}'


class Scripted:
    """An engine that says what it is told to, one reply a call."""

    def __init__(self, folder: Path, *replies: str, context: int = 4096) -> None:
        self.tokenizer = Tokenizer.from_folder(folder)
        self.template = ChatTemplate.from_folder(folder)
        self.max_positions = context
        self.replies = list(replies)
        self.prompts: list[list[int]] = []

    def stream(self, prompt_ids: Sequence[int], sampling: Sampling) -> Iterator[int]:
        self.prompts.append(list(prompt_ids))
        room = min(sampling.max_tokens, self.max_positions - len(prompt_ids))
        yield from self.tokenizer.encode(self.replies.pop(0))[:room]

    def write_each(self, prompts: Sequence[Sequence[int]], sampling: Sampling, take: Take) -> None:
        for number, prompt in enumerate(prompts):
            for token in self.stream(prompt, sampling):
                if not take(number, token):
                    break


def ask(engine: Any, **settings: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    request = generate.local_request(engine, ITEM, EvaluateConfig(**settings))
    assert request.error is None
    value = generate.measure_each(engine, [request])[0]
    return value, generate.grade_generate(ITEM, value)


def test_the_switch_is_in_the_prompt(pico: Path) -> None:
    for state in ("on", "off"):
        request = generate.local_request(Scripted(pico), ITEM, EvaluateConfig(thinking=state))  # type: ignore[arg-type]
        assert f"detailed thinking {state}" in request.prompt
    without = generate.local_request(Scripted(pico), ITEM, EvaluateConfig(thinking=None))  # type: ignore[arg-type]
    assert "detailed thinking" not in without.prompt


def test_a_plain_answer(pico: Path) -> None:
    value, row = ask(Scripted(pico, ANSWER))
    assert (row["pick"], row["outcome"], row["stage"], row["thought"]) == ("B", "correct", "json", None)
    assert value["tokens"]["thought"] == 0
    assert value["tokens"]["out"] > 0


def test_a_thought_is_kept_apart_and_not_searched(pico: Path) -> None:
    value, row = ask(Scripted(pico, f"<think>\nThe answer is A.\n</think>\n\n{ANSWER}"), thinking="on")
    assert (row["pick"], row["thought"], row["closed_by_us"]) == ("B", "The answer is A.", False)
    assert value["tokens"]["thought"] > 10


def test_a_thought_that_outruns_its_budget_is_closed_and_the_answer_asked_for(pico: Path) -> None:
    engine = Scripted(pico, "<think>\n" + "the answer is A, or is it? " * 50, ANSWER)
    value, row = ask(engine, thinking="on", reply=ReplyConfig(thought_tokens=40))
    assert (row["pick"], row["outcome"], row["closed_by_us"]) == ("B", "correct", True)
    assert value["tokens"]["thought"] == 40
    assert engine.tokenizer.decode(engine.prompts[1], skip_special=False).endswith("</think>\n\n")
    assert engine.prompts[1][: len(engine.prompts[0])] == engine.prompts[0]


@pytest.mark.parametrize("tags", TAGS, ids=lambda tags: tags.open)
def test_thoughts_in_the_tags_of_other_models(pico: Path, tags: Tags) -> None:
    engine = Scripted(pico, join_thought("The answer is A.", ANSWER, tags))
    engine.template = replace(engine.template, thoughts=tags_of(tags.open))
    value, row = ask(engine, thinking="on")
    assert (row["pick"], row["thought"], row["closed_by_us"]) == ("B", "The answer is A.", False)
    assert (row["raw"], value["tokens"]["thought"] > 10) == (ANSWER, True)
    engine.replies = [f"{tags.open} the answer is A," + " or is it?" * 50, f"{ANSWER}{tags.answer_close}"]
    value, row = ask(engine, thinking="on", reply=ReplyConfig(thought_tokens=60))
    assert (row["pick"], row["raw"], row["closed_by_us"]) == ("B", ANSWER, True)
    assert value["tokens"]["thought"] == 60
    assert engine.tokenizer.decode(engine.prompts[-1], skip_special=False).endswith(tags.closing)


def test_a_thought_in_tags_that_the_model_is_not_known_for_stays_in_the_answer(pico: Path) -> None:
    value, row = ask(Scripted(pico, f"<reasoning>fire burns</reasoning>{ANSWER}"), thinking="on")
    assert (row["thought"], row["pick"], value["tokens"]["thought"]) == (None, "B", 0)
    assert row["raw"].startswith("<reasoning>fire")


def test_a_reply_that_ends_inside_its_thought_is_asked_again(pico: Path) -> None:
    _, row = ask(Scripted(pico, "<think>\nhm", ANSWER), thinking="on")
    assert (row["pick"], row["thought"], row["closed_by_us"]) == ("B", "hm", True)


def test_truncated_is_not_unparsed_and_neither_is_wrong(pico: Path) -> None:
    _, cut = ask(Scripted(pico, "Let us look at it from all sides. " * 40), reply=ReplyConfig(answer_tokens=20))
    assert (cut["outcome"], cut["correct"], cut["pick"]) == ("truncated", False, None)
    _, unparsed = ask(Scripted(pico, "Let us look at it."))
    assert (unparsed["outcome"], unparsed["pick"]) == ("unparsed", None)
    _, wrong = ask(Scripted(pico, '{"answer": "A"}'))
    assert wrong["outcome"] == "wrong"


def test_an_answer_of_exactly_the_budget_is_not_cut(pico: Path) -> None:
    length = len(Tokenizer.from_folder(pico).encode(ANSWER))
    assert not ask(Scripted(pico, ANSWER), reply=ReplyConfig(answer_tokens=length))[0]["cut"]
    assert ask(Scripted(pico, ANSWER), reply=ReplyConfig(answer_tokens=length - 1))[0]["cut"]


def test_the_end_of_the_context_is_a_cut(pico: Path) -> None:
    engine = Scripted(pico, "words " * 4000, context=1000)
    value, row = ask(engine, reply=ReplyConfig(answer_tokens=5000))
    assert value["cut"]
    assert row["outcome"] == "truncated"


def test_a_thought_leaves_the_answer_its_room_in_the_context(pico: Path) -> None:
    engine = Scripted(pico, "<think>\n" + "the answer is A, or is it? " * 200, ANSWER, context=1100)
    value, row = ask(engine, thinking="on", reply=ReplyConfig(thought_tokens=5000, answer_tokens=80))
    assert (row["pick"], row["outcome"], row["closed_by_us"], value["cut"]) == ("B", "correct", True, False)
    assert 0 < value["tokens"]["thought"] < 1100 - 80
    assert len(engine.prompts[1]) + 80 <= 1100


def test_a_real_model_writes_the_same_twice(pico: Path) -> None:
    engine = LocalEngine(pico, "float32")
    config = EvaluateConfig(reply=ReplyConfig(thought_tokens=5, answer_tokens=5))
    item = Item("1", "Hot?", ("a", "b"), 0)
    request = generate.local_request(engine, item, config)
    if request.error is None:
        assert generate.measure_each(engine, [request]) == generate.measure_each(engine, [request])
    else:
        pytest.fail(request.error)


@pytest.mark.parametrize("thinking", ["on", "off"])
def test_replies_asked_for_together_are_those_asked_for_alone(pico: Path, thinking: str) -> None:
    engine = LocalEngine(pico, "float32")
    engine.max_positions = min(engine.max_positions, 400)
    items = [Item(str(n), "Which is hot? " * n, ("ice", "fire"), 1) for n in range(1, 7)]
    config = EvaluateConfig(thinking=thinking, reply=ReplyConfig(thought_tokens=12, answer_tokens=9))  # type: ignore[arg-type]
    requests = [generate.local_request(engine, item, config) for item in items]
    for request in requests[::2]:  # begins inside its thought, which outruns its budget
        request.body["opened"] = "<think>"
    together = generate.measure_each(engine, requests)
    assert together == [generate.measure_each(engine, [request])[0] for request in requests]
    assert [value["closed_by_us"] for value in together[::2]] == [True] * 3
