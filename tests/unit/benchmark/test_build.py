from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.benchmark.build import run
from sagecraft.benchmark.config import BenchConfig
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.evaluation.tasks import read_task

PLACES = "Arn Brill Corv Dane Esk Fenn Gorm Hald Ilve Jarn Kesh Lorn".split()
THINGS = "wooden iron narrow covered double swing stone painted ancient floating hanging private".split()
SENTENCE = (
    "The {thing} bridge of {place} carries {number} tonnes of freight on every working day of its {season} season."
)


def documents(folder: Path, count: int = 12) -> Path:
    rows = [
        Document(
            id=f"bridge-{n}",
            title=f"Bridge of {PLACES[n]}",
            authors=["Ada Pont"],
            year=2020,
            categories=["bridges", f"county-{n % 3}"],
            text=SENTENCE.format(
                thing=THINGS[n], place=PLACES[n], number=117 + 7 * n, season=["winter", "summer"][n % 2]
            )
            + "\n\nSome of them were built of oak.",
        )
        for n in range(count)
    ]
    write_documents(folder, rows)
    return folder


def items_of(folder: Path) -> list[dict[str, object]]:
    return list(artifact.read_jsonl(folder / "items.jsonl"))


def test_items_are_keyed_balanced_and_grounded(tmp_path: Path) -> None:
    manifest = run(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "out")
    items = items_of(tmp_path / "out")
    assert len(items) == 12 == manifest.stats["num_items"]
    assert set(Counter(item["answer"] for item in items).values()) == {3}
    for item in items:
        right = item[str(item["answer"])]
        assert str(item["question"]).count("____") == 1
        assert f" {right} tonnes" in str(item["support"])
        assert f" {right} " not in str(item["question"])
        assert len({item[letter] for letter in "ABCD"}) == 4
        assert f"“{item['title']}” (2020)" in str(item["question"])
        assert item["support_sentences"] == [{"position": 0, "text": item["support"]}]
        assert str(item["topic"]).startswith("county-"), "the category of all documents says nothing"
        assert item["passage"] == f"{item['article']}#0"


def test_no_rank_of_the_value_pays(tmp_path: Path) -> None:
    run(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "out")
    ranks = Counter(
        sorted(float(str(item[letter])) for letter in "ABCD").index(float(str(item[str(item["answer"])])))
        for item in items_of(tmp_path / "out")
    )
    assert ranks == {0: 3, 1: 3, 2: 3, 3: 3}


def test_same_bytes_whatever_the_order_and_another_seed_another_set(tmp_path: Path) -> None:
    docs = documents(tmp_path / "docs")
    first = run(BenchConfig(), {"documents": docs}, tmp_path / "a")
    assert run(BenchConfig(), {"documents": docs}, tmp_path / "b").digest == first.digest
    assert run(BenchConfig(seed=1), {"documents": docs}, tmp_path / "c").digest != first.digest


def test_what_stands_in_training_is_dropped(tmp_path: Path) -> None:
    texts = [
        "Lake Arn holds 240 million litres of water when the snow of the hills has gone in spring.",
        "The tower of Brill was raised by 17 masons who came over the pass with mules and lime.",
        "A miller from Corv ground 36 tonnes of rye for the garrison before the frost broke his wheel.",
    ]
    rows = [Document(id=f"d{n}", title=f"Story {n}", year=2020, text=text) for n, text in enumerate(texts)]
    write_documents(tmp_path / "docs", rows)
    write_documents(tmp_path / "training", [Document(id="t", text=f"Some say so.\n\n{texts[0]}\n\n{texts[2]}")])
    manifest = run(BenchConfig(), {"documents": tmp_path / "docs", "training": tmp_path / "training"}, tmp_path / "out")
    reasons = manifest.stats["dropped_by_reason"]
    assert reasons.get("in-training", 0) + reasons.get("passage-in-training", 0) == 2
    assert {row["article"] for row in items_of(tmp_path / "out")} == {"d1"}
    assert {row["checks"]["training"] for row in items_of(tmp_path / "out")} == {"no overlap"}  # type: ignore[index]


def test_a_passage_that_stands_in_training_is_dropped_though_the_question_does_not(tmp_path: Path) -> None:
    long = "A tale of the old ferry that went over the water before the bridge was there stands in the town book."
    text = SENTENCE.format(thing="wooden", place="Arn", number=240, season="winter") + " " + long
    write_documents(tmp_path / "docs", [Document(id="a", title="Arn", year=2020, text=text)])
    write_documents(tmp_path / "training", [Document(id="b", text=f"Here is another text. {long}")])
    with pytest.raises(UserError, match="no sentence with a measured value"):
        run(BenchConfig(), {"documents": tmp_path / "docs", "training": tmp_path / "training"}, tmp_path / "out")
    run(BenchConfig(), {"documents": tmp_path / "docs"}, tmp_path / "out")


def test_no_question_of_a_document_tells_the_answer_of_another(tmp_path: Path) -> None:
    text = (
        "The bridge of Arn is 240 metres long and was opened by the mayor of the town.\n\n"
        "The bridge of Arn, which is more than 240 metres long, stands on 35 pillars in the water of the lake."
    )
    write_documents(tmp_path / "docs", [Document(id="a", title="Bridges", year=2020, text=text)])
    run(BenchConfig(), {"documents": tmp_path / "docs"}, tmp_path / "out")
    items = items_of(tmp_path / "out")
    assert len(items) == 1
    assert "repeats another" in {row["reason"] for row in artifact.read_jsonl(tmp_path / "out/dropped.jsonl")}


def test_the_questions_are_a_task_and_are_given_out_without_their_key(tmp_path: Path) -> None:
    run(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "out")
    assert read_task(tmp_path / "out/items.jsonl").keyed
    public = read_task(tmp_path / "out/questions.csv")
    assert not public.keyed
    assert len(public.items) == 12
    with (tmp_path / "out/questions.csv").open() as file:
        assert next(csv.reader(file)) == ["question", "A", "B", "C", "D"]


def test_forms_are_chosen_and_limits_kept(tmp_path: Path) -> None:
    docs = documents(tmp_path / "docs")
    manifest = run(BenchConfig(max_items=5), {"documents": docs}, tmp_path / "out")
    assert manifest.stats["num_items"] == 5
    with pytest.raises(UserError, match="no sentence"):
        run(BenchConfig(forms=["term"]), {"documents": docs}, tmp_path / "none")


def test_the_datasheet_says_what_was_done(tmp_path: Path) -> None:
    run(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "out")
    text = (tmp_path / "out/datasheet.md").read_text()
    assert "12 four-option questions from 12 of 12 documents" in text
    assert "not compared with training documents" in text
    assert "too few items to choose among" in text


def test_nothing_to_ask_is_said(tmp_path: Path) -> None:
    write_documents(tmp_path / "docs", [Document(id="a", text="Nothing here is measured at all, which is a pity.")])
    with pytest.raises(UserError, match="no sentence with a measured value"):
        run(BenchConfig(), {"documents": tmp_path / "docs"}, tmp_path / "out")
