from __future__ import annotations

from pathlib import Path

import pytest

from sagecraft.evaluation.task_facts import describe_task, notable
from sagecraft.evaluation.tasks import Item, read_task


def item(number: int, *options: str, answer: int | None = 0, question: str = "") -> Item:
    return Item(f"q{number}", question or f"question {number}?", options or ("one", "two", "six"), answer)


def test_repeats_and_contradictions() -> None:
    items = [
        item(0, "x", "y", question="Which?"),
        item(1, "Y", "x", answer=1, question=" which? "),  # the same key, in another order
        item(2, "x", "y", question="Why?"),
        item(3, "x", "y", answer=1, question="Why?"),
        item(4, "x", "y", "z", question="Why?"),  # other options: another question
    ]
    facts = describe_task(items)
    assert facts["repeated"] == [["q0", "q1"], ["q2", "q3"]]
    assert facts["contradictions"] == [["q2", "q3"]]
    assert notable(facts)[:2] == [
        "questions that stand there with different keys: 1 (q2, q3)",
        "questions that stand there more than once, each copy counting: 1",
    ]


def test_numbers_that_contradict_each_other() -> None:
    pair = [Item(name, "How many?", (), None, target=name) for name in ("4", "5")]
    facts = describe_task(pair)
    assert facts["contradictions"] == [["4", "5"]]
    same = [Item(name, "How many?", (), None, target=name) for name in ("1,200", "1200.0")]
    assert describe_task(same)["num_contradictions"] == 0
    assert facts["key_positions"] is facts["longest_is_key"] is None


def test_equal_options() -> None:
    facts = describe_task([item(0, "Ice", "ice ", "fire"), item(1)])
    assert facts["equal_options"] == ["q0"]
    assert "questions with two equal options: 1 (q0)" in notable(facts)


def test_where_the_key_stands() -> None:
    even = describe_task([item(n, answer=n % 3) for n in range(300)])
    assert even["key_positions"]["shares"] == {"A": 1 / 3, "B": 1 / 3, "C": 1 / 3}
    assert even["key_positions"]["p_value"] == pytest.approx(1)
    assert notable(even) == []
    skewed = describe_task([item(n, answer=0 if n % 2 else n % 3) for n in range(300)])
    assert skewed["key_positions"]["p_value"] < 1e-6
    assert "the key is A in 67 %: a model that prefers this letter gains" in notable(skewed)


def test_the_test_of_positions_is_chi_square() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    keys = [0] * 40 + [1] * 25 + [2] * 35
    found = describe_task([item(n, answer=key) for n, key in enumerate(keys)])["key_positions"]
    expected = scipy_stats.chisquare([40, 25, 35])
    assert (found["chi_square"], found["p_value"]) == pytest.approx((expected.statistic, expected.pvalue))


def test_lengths_that_tell_the_key() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    long = [item(n, "a long one", "two", "six", answer=0 if n % 4 else 1) for n in range(80)]
    ties = [item(n + 80, "one", "two", "six", answer=n % 3) for n in range(30)]
    facts = describe_task([*long, *ties])["longest_is_key"]
    assert (facts["n"], facts["share"], facts["expected"]) == (80, 0.75, pytest.approx(1 / 3))
    assert facts["p_value"] == pytest.approx(scipy_stats.binomtest(60, 80, 1 / 3).pvalue)
    lines = notable(describe_task([*long, *ties]))
    assert "the longest option is the right one in 75 % (33 % by chance): lengths tell the key" in lines


def test_a_set_without_a_key() -> None:
    facts = describe_task([item(n, answer=None) for n in range(4)])
    assert facts["key_positions"] is facts["longest_is_key"] is None
    assert facts["num_options"] == {"3": 4}


def test_a_real_set_with_repeats(shared_data: Path) -> None:
    facts = describe_task(read_task(shared_data / "bench-dev/mmlu/college_physics_test.csv").items)
    assert facts["num_repeated"] == 11
    assert facts["num_contradictions"] == 0
