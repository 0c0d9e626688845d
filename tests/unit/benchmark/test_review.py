from __future__ import annotations

import csv
from pathlib import Path

import pytest

from sagecraft import artifact
from sagecraft.benchmark.build import run as make
from sagecraft.benchmark.config import BenchConfig
from sagecraft.benchmark.review import CRITERIA, VerdictsConfig, run
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.evaluation.statistics import wilson

PLACES = "Arn Brill Corv Dane Esk Fenn Gorm Hald Ilve Jarn Kesh Lorn".split()


def documents(folder: Path) -> Path:
    text = "The stone bridge of {} carries {} tonnes of freight on every working day of the year."
    rows = [
        Document(id=place, title=f"Bridge of {place}", year=2020, text=text.format(place, 117 + 7 * number))
        for number, place in enumerate(PLACES)
    ]
    write_documents(folder, rows)
    return folder


@pytest.fixture
def benchmark(tmp_path: Path) -> Path:
    make(BenchConfig(), {"documents": documents(tmp_path / "docs")}, tmp_path / "bench")
    return tmp_path / "bench"


def sheet(
    benchmark: Path, out: Path, verdicts: dict[int, dict[str, str]], default: str = "yes", sep: str = ","
) -> Path:
    with (benchmark / "review.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        row.update(dict.fromkeys(CRITERIA, default) | verdicts.get(number, {}))
    with out.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=sep)
        writer.writeheader()
        writer.writerows(rows)
    return out


def ids(folder: Path) -> list[str]:
    return [row["id"] for row in artifact.read_jsonl(folder / "items.jsonl")]


def test_what_fails_is_removed_and_recorded_and_counts_as_an_error(benchmark: Path, tmp_path: Path) -> None:
    one = sheet(
        benchmark, tmp_path / "one.csv", {2: {"correct": "no"}, 5: {"one_right": "No"}, 7: {"correct": "unclear"}}
    )
    inputs = {"benchmark": benchmark, "verdicts000": one}
    manifest = run(VerdictsConfig(), inputs, tmp_path / "out")
    before = ids(benchmark)
    gone = {row["id"]: row["failed"] for row in artifact.read_jsonl(tmp_path / "out/removed.jsonl")}
    assert gone == {before[2]: ["correct"], before[5]: ["one_right"], before[7]: ["correct"]}
    assert ids(tmp_path / "out") == [name for name in before if name not in gone]
    rates = manifest.stats["error_rates"]
    assert (rates["correct"]["n"], rates["correct"]["failed"]) == (12, 2)
    assert rates["correct"]["ci95"] == list(wilson(2, 12))
    assert (rates["any"]["failed"], rates["stands_alone"]["failed"]) == (3, 0)
    text = (tmp_path / "out/datasheet.md").read_text()
    assert "Items that failed and were removed: 3" in text
    assert manifest.stats["num_articles"] == 9 == sum(manifest.stats["items_by_form"].values())
    assert run(VerdictsConfig(), inputs, tmp_path / "again").digest == manifest.digest


def test_two_readers_who_disagree_do_not_carry_an_item(benchmark: Path, tmp_path: Path) -> None:
    one = sheet(benchmark, tmp_path / "one.csv", {1: {"stands_alone": "no"}})
    two = sheet(benchmark, tmp_path / "two.csv", {}, sep=";")
    three = sheet(benchmark, tmp_path / "three.csv", {})
    inputs = {"benchmark": benchmark, "verdicts000": one, "verdicts001": two}
    manifest = run(VerdictsConfig(), inputs, tmp_path / "out")
    assert manifest.stats["num_removed"] == 1
    assert manifest.stats["error_rates"]["stands_alone"]["disagreements"] == 1
    outvoted = run(VerdictsConfig(), {**inputs, "verdicts002": three}, tmp_path / "three")
    assert outvoted.stats["num_removed"] == 0


def test_what_was_not_judged_stays(benchmark: Path, tmp_path: Path) -> None:
    one = sheet(benchmark, tmp_path / "one.csv", {0: dict.fromkeys(CRITERIA, "no")}, default="")
    manifest = run(VerdictsConfig(), {"benchmark": benchmark, "verdicts000": one}, tmp_path / "out")
    assert manifest.stats["num_items"] == 11
    assert manifest.stats["error_rates"]["correct"]["n"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace(",yes,yes,yes,", ",maybe,yes,yes,", 1), "line 2: correct is 'maybe'"),
        (lambda text: text.replace("bench-", "other-", 1), "line 2: no item 'other-"),
        (lambda text: text.replace("stands_alone", "alone"), "no column stands_alone"),
        (lambda text: text + text.split("\r\n", 1)[1], "is judged twice"),
        (lambda text: text.replace("bridge", "ship"), "is not that of the benchmark"),
        (lambda text: text.replace("yes", ""), "no verdict is filled in"),
    ],
)
def test_sheets_that_do_not_fit_are_refused(benchmark: Path, tmp_path: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    one = sheet(benchmark, tmp_path / "one.csv", {})
    one.write_bytes(change(one.read_bytes().decode()).encode())
    with pytest.raises(UserError, match=message):
        run(VerdictsConfig(), {"benchmark": benchmark, "verdicts000": one}, tmp_path / "out")


def test_the_sheets_run_nothing_and_read_back_as_they_were(tmp_path: Path) -> None:
    text = "The bridge of Arn <script>alert(1)</script> carries 240 tonnes of freight on every working day of the year."
    write_documents(tmp_path / "docs", [Document(id="=cmd()", title="+1", year=2020, text=text)])
    make(BenchConfig(), {"documents": tmp_path / "docs"}, tmp_path / "bench")
    with (tmp_path / "bench/review.csv").open() as file:
        assert next(iter(csv.DictReader(file)))["article"] == "'=cmd()"
    assert "<script>alert" not in (tmp_path / "bench/review.html").read_text()
    one = sheet(tmp_path / "bench", tmp_path / "one.csv", {})
    manifest = run(VerdictsConfig(), {"benchmark": tmp_path / "bench", "verdicts000": one}, tmp_path / "out")
    assert manifest.stats["num_removed"] == 0
