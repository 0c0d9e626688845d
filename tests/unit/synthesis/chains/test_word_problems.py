"""Word problems as conversations: both states, drawn from all files, and what is wrong with a row."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from sagecraft import artifact
from sagecraft.chat.messages import Conversation, read_conversations
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.synthesis.chains.word_problems import WordProblem, problem_rows, value_of, why_not, with_unit
from sagecraft.synthesis.synth import SynthConfig, run

APPLES = {
    "question": "Ada has 3 bags of 4 apples and eats 2. How many apples are left?",
    "answer": "There are 3*4=<<3*4=12>>12 apples.\nThen 12-2 = <<12-2=10>>10 are left.\n#### 10",
}


def problems(folder: Path, rows: list[dict[str, Any]], name: str = "train.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def made(paths: list[Path], wanted: int = 100) -> tuple[list[Conversation], list[dict[str, Any]]]:
    dropped: list[dict[str, Any]] = []
    return list(problem_rows(paths, 0, wanted, None, dropped.append)), dropped


def many(number: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"Ada has {n} apples and buys 1. How many has she?", "answer": f"{n}+1=<<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"}
        for n in range(first, first + number)
    ]  # fmt: skip


def test_each_problem_in_both_states(tmp_path: Path):
    (on, off), dropped = made([problems(tmp_path, [APPLES])])
    assert not dropped
    assert (on.thinking, off.thinking) == ("on", "off")
    assert on.messages[0] == off.messages[0]
    assert on.messages[1].thinking == "There are 3 × 4=12 apples.\nThen 12-2 = 10 are left."
    assert "10" in on.messages[1].content
    assert "apples" not in on.messages[1].content
    # Without a thought the steps stand in the answer: a result out of nowhere teaches guessing.
    assert off.messages[1].thinking is None
    assert off.messages[1].content == f"{on.messages[1].thinking}\n{on.messages[1].content}"
    assert on.source == "train.jsonl"
    assert on.id.removesuffix("-on") == off.id.removesuffix("-off")


def test_answers_and_signs_vary(tmp_path: Path):
    rows = [row for row in made([problems(tmp_path, many(200))], wanted=400)[0] if row.thinking == "on"]
    forms = {re.sub(r"\d+", "N", row.messages[1].content) for row in rows}
    assert len(forms) >= 10
    assert {"N", "Answer: N", r"The final answer is $\boxed{N}$."} <= forms
    multiplied = many(40, first=300)
    for row in multiplied:
        n = row["question"].split()[2]
        row["answer"] = f"{n} * 1 = {n}, and {n}+1=<<{n}+1={int(n) + 1}>>{int(n) + 1}\n#### {int(n) + 1}"
    signs = {
        (row.messages[1].thinking or "").split()[1]
        for row in made([problems(tmp_path, multiplied)])[0]
        if row.thinking == "on"
    }
    assert signs == {"*", "×"}


@pytest.mark.parametrize(
    ("question", "last", "result", "told"),
    [
        ("How much does he pay?", "He pays $5 + $7 = $12.", "12", "$12"),
        ("How much does he pay?", "He pays $12.50 and 12 more.", "12", "12"),
        ("How much is left?", "That is 5*4=20%", "20", "20%"),
        ("How many red apples are left?", "After 7 hours 3+4=7 apples are left.", "7", "7 apples"),
        ("After 7 hours, how many are left?", "After 7 hours 3+4=7 are left.", "7", "7"),
        ("How many apples has he?", "That is 1,200 apples", "1,200", "1,200 apples"),
        ("How many apples has he?", "That is 12 apples and 2 pears", "2", "2"),
    ],
)
def test_a_result_has_the_unit_of_the_last_step(question: str, last: str, result: str, told: str):
    assert with_unit(WordProblem(question, f"First.\n{last}", result, "a.jsonl")) == told


def test_drawn_by_text_not_by_order_or_file(tmp_path: Path):
    rows = many(40)
    whole, _ = made([problems(tmp_path, rows)], wanted=11)
    assert len(whole) == 10
    parts = [problems(tmp_path, rows[25:][::-1], "a.jsonl"), problems(tmp_path, rows[:25] + rows[20:30], "b.jsonl")]
    split, _ = made(parts, wanted=11)
    assert {row.id for row in whole} == {row.id for row in split}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("<<3*4=12>>", "<<3*4=13>>", "wrong-step"),
        ("<<3*4=12>>", "<<__import__('os')=12>>", "wrong-step"),
        ("#### 10", "#### 11", "no-agreement"),
        ("#### 10", "#### ten", "no-number"),
        ("There are", "There are" + " many" * 4000, "too-long"),
    ],
)
def test_faults_are_dropped_with_their_reason(tmp_path: Path, old: str, new: str, reason: str):
    bad = {**APPLES, "answer": APPLES["answer"].replace(old, new)}
    rows, dropped = made([problems(tmp_path, [bad, *many(1)])])
    assert len(rows) == 2
    assert [(row["reason"], row["step"], row["document"]) for row in dropped] == [(reason, "chain", "train.jsonl")]


def test_half_a_character_is_no_problem(tmp_path: Path):
    rows, dropped = made([problems(tmp_path, [*many(1), APPLES | {"question": "Ada \ud800 has 3."}])])
    assert len(rows) == 2
    assert [row["reason"] for row in dropped] == ["no-steps"]


def test_a_file_without_problems_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"train\.jsonl: no word problem with steps"):
        made([problems(tmp_path, [{"question": "Which?", "A": "x", "B": "y", "answer": "A"}])])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("48/2", Fraction(24)),
        ("0.2*50", Fraction(10)),
        ("(1+2)*-3", Fraction(-9)),
        ("$1,000*20%", Fraction(200)),
        ("08+2", Fraction(10)),
        ("2**9999999", None),
        ("1/0", None),
        ("(" * 90 + "1" + ")" * 90, Fraction(1)),
        ("-" * 60 + "1", None),
        ("f(1)", None),
    ],
)
def test_sums_are_parsed_and_never_run(text: str, value: Fraction | None):
    assert value_of(text) == value


def test_nearly_all_of_gsm8k_holds(shared_data: Path):
    path = shared_data / "general" / "gsm8k" / "grade_school_math" / "data" / "test.jsonl"
    read = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()[:300]]
    reasons = []
    for row in read:
        steps, _, result = row["answer"].rpartition("####")
        reasons.append(why_not(WordProblem(row["question"], steps.strip(), result.strip(), "test.jsonl")))
    assert reasons.count("") > 290


def test_the_stage_mixes_them_in_and_keeps_a_benchmark_out(tmp_path: Path):
    text = "# Bells\n\n" + " ".join(f"The great bell of Town{n} was cast in {1400 + n}." for n in range(40))
    write_documents(
        tmp_path / "docs", [Document(id="bells", text=text, title="The casting of church bells", license="CC0")]
    )
    long = "A clockmaker in the old town oils each of 7 wheels twice a week and winds the great spring every morning. How often in a week?"
    asked = {"question": long, "answer": "7*2=<<7*2=14>>14, and 14+7=<<14+7=21>>21\n#### 21"}
    benchmark = tmp_path / "test.jsonl"
    benchmark.write_text(json.dumps(asked) + "\n", encoding="utf-8")
    inputs = {
        "documents": tmp_path / "docs",
        "chains": problems(
            tmp_path, [asked, {**asked, "answer": asked["answer"].replace("14+7=21", "14+7=22")}, *many(60)]
        ),
        "benchmark-own": benchmark,
    }
    config = SynthConfig(max_kind_share=1.0, max_pairs_per_document=200, chains_share=0.2)
    manifest = run(config, inputs, tmp_path / "out")
    rows = list(read_conversations(tmp_path / "out" / "conversations.jsonl"))
    taken = [row for row in rows if row.rule == "word-problem"]
    own = len(rows) - len(taken)
    assert len(taken) == manifest.stats["num_word_problem_rows"] == round(own / 4) // 2 * 2
    assert len({row.messages[0].content for row in taken}) == len(taken) / 2
    run(config.model_copy(update={"chains_share": 0.9}), inputs, tmp_path / "all")
    rows = list(read_conversations(tmp_path / "all" / "conversations.jsonl"))
    assert len({row.messages[0].content for row in rows if row.rule == "word-problem"}) == 60
    dropped = list(artifact.read_jsonl(tmp_path / "all" / "dropped.jsonl"))
    assert {row["reason"] for row in dropped if row["question"] == long} == {"wrong-step", "in-benchmark"}
    none = run(config.model_copy(update={"chains_share": 0.0}), inputs, tmp_path / "none")
    assert none.stats["num_word_problem_rows"] == 0
