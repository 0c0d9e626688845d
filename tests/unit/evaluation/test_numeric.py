from __future__ import annotations

import json
import time
from fractions import Fraction
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.config import EvaluateConfig, ReplyConfig
from sagecraft.evaluation.evaluate import run
from sagecraft.evaluation.generate import grade_generate
from sagecraft.evaluation.numeric import grade, numbers, read, same
from sagecraft.evaluation.tasks import read_task


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18", 18),
        ("$1,234,567.50", Fraction("1234567.5")),
        ("-3", -3),
        ("−3 degrees", -3),
        ("3/4 cup", Fraction(3, 4)),
        ("1 1/2", Fraction(3, 2)),
        (r"\frac{1}{3}", Fraction(1, 3)),
        (".5", Fraction(1, 2)),
        ("6.02e23", Fraction(602) * 10**21),
        ("50%", 50),
    ],
)
def test_forms_of_a_number(text: str, value: Fraction) -> None:
    assert numbers(text) == [value]


def test_no_numbers() -> None:
    assert numbers("none, 1/0") == []
    assert numbers("16-3-4=9") == [16, 3, 4, 9]
    assert numbers("1,2") == [1, 2]


@pytest.mark.parametrize(
    ("text", "value", "stage"),
    [
        ('Steps: 3 + 4 = 7. {"explanation": "3 + 4", "answer": 7}', 7, "json"),
        ('{"answer": "1,200 apples"}', 1200, "json"),
        ("First 3 then 5.\n#### 8", 8, "stated"),
        ("So the answer is 8 (of 20).", 8, "stated"),
        (r"Thus \boxed{\frac{1}{2}}.", Fraction(1, 2), "stated"),
        ("The answer is 4. No, wait: the answer is 5.", 5, "stated"),
        ("The answer is 3 + 4 = 7 apples.", 7, "stated"),
        ("The answer is x = 2 * 3 = $6", 6, "stated"),
        ("The answer is 8 because 2 = 1 + 1", 8, "stated"),
        ("2 and 2 make 4", 4, "number"),
        ("I do not know", None, "none"),
    ],
)
def test_stages(text: str, value: Fraction | None, stage: str) -> None:
    assert read(text) == (value, stage)


def test_a_step_of_a_cut_reply_is_no_answer() -> None:
    assert read("First 3 + 4 = 7, then", cut=True) == (None, "none")
    assert read("The answer is 12", cut=True) == (None, "none")  # or 123
    assert read("The answer is 12. So", cut=True) == (12, "stated")
    assert read('{"explanation": "3 times 4", "answer": 12', cut=True) == (None, "none")
    assert grade("7", {"answer": "3 + 4 = 7, then", "cut": True, "finish": "length"})["outcome"] == "truncated"


def test_tolerance() -> None:
    assert same(Fraction("0.333"), Fraction(1, 3))
    assert not same(Fraction("0.33"), Fraction(1, 3))
    assert not same(Fraction("1000.001"), Fraction(1000))


def test_hostile_replies_are_read_in_time() -> None:
    started = time.process_time()
    for text in (
        "9" * 1_000_000,
        "1," * 500_000,
        '"answer": ' * 100_000,
        "1/" * 500_000,
        "1 " * 500_000,
        "#" * 1_000_000,
    ):
        read(text)
    assert time.process_time() - started < 5
    assert len(grade("1", {"answer": "1e999", "cut": False, "finish": "stop"})["pick"]) <= 40


def test_gsm8k_is_asked_and_graded(pico: Path, tmp_path: Path) -> None:
    rows = [
        {"question": f"{n} ducks lay 3 eggs each. How many?", "answer": f"{n}*3=<<{n}*3={3 * n}>>\n#### {3 * n},000"}
        for n in (1, 2, 3)
    ]
    artifact.write_jsonl(tmp_path / "test.jsonl", rows)
    items = read_task(tmp_path / "test.jsonl").items
    assert [item.target for item in items] == ["3,000", "6,000", "9,000"]
    assert items[0].extra == {"chain": "1*3=<<1*3=3>>"}
    value = {
        "answer": '{"explanation": "1 times 3", "answer": 3000}',
        "thought": "",
        "cut": False,
        "closed_by_us": False,
    }
    graded = grade_generate(items[0], {**value, "finish": "stop"})
    assert (graded["pick"], graded["outcome"], graded["stage"]) == ("3000", "correct", "json")
    assert grade_generate(items[1], {**value, "finish": "stop"})["outcome"] == "wrong"

    config = EvaluateConfig(
        modes=("generate",),
        dtype="float32",
        reply=ReplyConfig(thought_tokens=4, answer_tokens=4),
        permutations="shuffle",
    )
    run(config, {"model": pico, "task": tmp_path / "test.jsonl"}, tmp_path / "out")
    kept = list(artifact.read_jsonl(tmp_path / "out/items.jsonl"))
    assert [row["key"] for row in kept] == ["3,000", "6,000", "9,000"]
    assert "Problem: 1 ducks" in kept[0]["prompt"]
    assert "<<" not in kept[0]["prompt"]
    results = json.loads((tmp_path / "out/results.json").read_text())
    assert set(results["modes"]["generate"]["stages"]) == {"json", "stated", "number", "none"}
    with pytest.raises(UserError, match="its answers are numbers"):
        run(EvaluateConfig(), {"model": pico, "task": tmp_path / "test.jsonl"}, tmp_path / "out2")


def test_bad_targets(tmp_path: Path) -> None:
    for target in ("many", "1 or 2", "9" * 80):
        artifact.write_jsonl(tmp_path / "a.jsonl", [{"question": "q", "target": target}])
        with pytest.raises(UserError, match=r"line 1, column target: .* is not one number"):
            read_task(tmp_path / "a.jsonl")
    mixed = [{"question": "q", "target": 1}, {"question": "q", "A": "x", "B": "y", "answer": "A"}]
    artifact.write_jsonl(tmp_path / "a.jsonl", mixed)
    with pytest.raises(UserError, match="line 2: a number is asked for in some rows"):
        read_task(tmp_path / "a.jsonl")


def test_the_real_gsm8k(shared_data: Path) -> None:
    items = read_task(shared_data / "general/gsm8k/grade_school_math/data/test.jsonl").items
    assert len(items) == 1319
    assert items[0].target == "18"
    value = {"thought": "", "cut": False, "closed_by_us": False, "finish": "stop"}
    for item in items:  # its own chains, as a model might write them
        reply = {**value, "answer": f"{item.extra['chain']}\n#### {item.target}"}
        assert grade_generate(item, reply)["outcome"] == "correct"
