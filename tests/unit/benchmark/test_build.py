from __future__ import annotations

import csv
import random
from collections import Counter
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.benchmark.build import BenchConfig, run
from sagecraft.benchmark.values import distractors, find_value, number_of, tied_to_its_context
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError

SENTENCE = "The wooden bridge over the river Arn carries {} tonnes of freight on an ordinary working day."


def documents(folder: Path, count: int = 12) -> Path:
    rows = [
        Document(id=f"bridge-{n}", title=f"Bridge {n}", text=SENTENCE.format(17 + 7 * n) + "\n\nIt was built of oak.")
        for n in range(count)
    ]
    write_documents(folder, rows)
    return folder


def test_items_are_keyed_balanced_and_grounded(tmp_path: Path) -> None:
    manifest = run(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "out")
    items = list(artifact.read_jsonl(tmp_path / "out/items.jsonl"))
    assert len(items) == 12 == manifest.stats["num_items"]
    assert set(Counter(item["answer"] for item in items).values()) == {3}
    for item in items:
        right = item[item["answer"]]
        assert item["question"].count("____") == 1
        assert f" {right} tonnes" in item["support"]
        assert f" {right} " not in item["question"]
        assert len({item[letter] for letter in "ABCD"}) == 4


def test_no_rank_of_the_value_pays(tmp_path: Path) -> None:
    manifest = run(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "out")
    guesses = [manifest.stats["baselines"][f"value_rank_{rank}"] for rank in (1, 2, 3, 4)]
    assert guesses == [0.25] * 4


def test_same_bytes_whatever_the_order_and_another_seed_another_set(tmp_path: Path) -> None:
    docs = documents(tmp_path / "docs")
    first = run(BenchConfig(), {"documents": docs}, tmp_path / "a")
    assert run(BenchConfig(), {"documents": docs}, tmp_path / "b").digest == first.digest
    assert run(BenchConfig(seed=1), {"documents": docs}, tmp_path / "c").digest != first.digest


def test_sentences_that_stand_in_training_are_dropped(tmp_path: Path) -> None:
    docs = documents(tmp_path / "docs", 6)
    training = documents(tmp_path / "training", 2)
    manifest = run(BenchConfig(), {"documents": docs, "training": training}, tmp_path / "out")
    assert manifest.stats["dropped_by_reason"]["in-training"] >= 2
    assert not {"bridge-0", "bridge-1"} & {row["article"] for row in artifact.read_jsonl(tmp_path / "out/items.jsonl")}


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("The lake is 240 metres deep.", "240"),
        ("The lake holds 1,250 million litres.", "1,250"),
        ("The lake is 2.4 km wide.", "2.4"),
        ("The lake was found in 1984 by accident.", None),
        ("The lake is 240 metres deep and 12 km long.", None),
        ("The lake has $3$ islands.", None),
        ("The lakes 4 and 5 are dry.", None),
        ("The lake is more than 240 metres deep.", None),
        ("The crew of Apollo 11 landed safely.", None),
        ("Apollo 11 carried three men.", None),
        ("About 11 men were aboard.", "11"),
        ("Over 410 ships call at Arn.", None),
        ("Nearly 410 ships call at Arn.", None),
        ("From 300 to 400 ships call at Arn.", None),
        ("Ships of 300 and 400 tonnes call at Arn.", None),
    ],
)
def test_values(sentence: str, value: str | None) -> None:
    found = find_value(sentence)
    assert (sentence[slice(*found)] if found else None) == value


@pytest.mark.parametrize(
    "sentence",
    [
        "It is 240 metres deep.",
        "The lake is deeper than the former.",
        "The depth is given in Table 2.",
        "the lake is deep.",
        "The crossing was begun in Arn and takes 12 days.",
        "And yet the ferry of Arn takes 12 days.",
        "Explain why the ferry to Arn takes 12 days.",
        "Suppose that a ferry to Arn takes 12 days.",
        "In addition, assume that the ferry to Arn takes 12 days.",
        "The top left image shows a ferry of Arn with 12 oars.",
        "The ferry of Arn takes 12 days (see The Ferries).",
    ],
)
def test_sentences_that_need_their_context(sentence: str) -> None:
    assert tied_to_its_context(sentence)
    assert tied_to_its_context("Lake Arn is 240 metres deep.") is None
    assert tied_to_its_context("The lake of Arn is 240 metres deep.") is None


@pytest.mark.parametrize("value", ["1", "2", "90", "240", "1,250", "0.47", "3.14", "0.001", "12000"])
@pytest.mark.parametrize("rank", range(4))
def test_distractors_are_three_other_values_of_the_same_form(value: str, rank: int) -> None:
    limit = 100.0 if value == "90" else float("inf")
    for seed in range(20):
        others = distractors(value, rank, random.Random(seed), limit)
        assert len({*others, value}) == 4, others
        assert all(0 < number_of(text) <= limit for text in others)
        assert all(len(text.partition(".")[2]) == len(value.partition(".")[2]) for text in others)
        if value in ("240", "3.14", "12000"):
            assert sum(number_of(text) < number_of(value) for text in others) == rank


def test_the_review_sheet_runs_nothing(tmp_path: Path) -> None:
    rows = [Document(id="=cmd()", text=SENTENCE.format(40))]
    write_documents(tmp_path / "docs", rows)
    run(BenchConfig(), {"documents": tmp_path / "docs"}, tmp_path / "out")
    with (tmp_path / "out/review.csv").open() as file:
        assert next(iter(csv.DictReader(file)))["article"] == "'=cmd()"


def test_nothing_to_ask_is_said(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs", [Document(id="a", text="Nothing here is measured at all, which is a pity.")])
    with pytest.raises(UserError, match="no sentence with a measured value"):
        run(BenchConfig(), {"documents": tmp_path / "docs"}, tmp_path / "out")
