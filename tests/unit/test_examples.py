"""The example corpus and its questions keep the promises of their README."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from sagecraft.artifact import read_jsonl

ROOT = Path(__file__).parents[2] / "examples"
AREAS = sorted(path.parent for path in (ROOT / "astronomy").glob("*/metadata.jsonl"))
QUESTIONS = list(read_jsonl(ROOT / "astronomy/questions.jsonl"))
LETTERS = "ABCD"


def metadata() -> dict[str, dict[str, object]]:
    return {str(row["id"]): row for area in AREAS for row in read_jsonl(area / "metadata.jsonl")}


def test_six_areas_with_withheld_articles_in_every_format() -> None:
    assert len(AREAS) == 6
    rows = [row for area in AREAS for row in read_jsonl(area / "metadata.jsonl")]
    for area in AREAS:
        for row in read_jsonl(area / "metadata.jsonl"):
            assert (area / row["path"]).is_file(), row["id"]
    assert len(rows) >= 30
    assert sum(bool(row["withheld"]) for row in rows) >= 8
    formats = Counter(Path(str(row["path"])).suffix for row in rows)
    assert set(formats) == {".tex", ".md", ".html", ".txt"}


def test_questions_are_keyed_balanced_and_point_at_their_article() -> None:
    assert len(QUESTIONS) >= 120
    assert len({row["id"] for row in QUESTIONS}) == len({row["question"] for row in QUESTIONS}) == len(QUESTIONS)
    keys = Counter(row["answer"] for row in QUESTIONS)
    assert set(keys) == set(LETTERS)
    assert max(keys.values()) - min(keys.values()) <= 2
    articles = metadata()
    for row in QUESTIONS:
        assert articles[row["article"]]["withheld"] == (row["kind"] == "withheld"), row["id"]
        assert len({row[letter] for letter in LETTERS}) == 4, row["id"]


@pytest.mark.parametrize("words", ["the article", "the text", "this study", "the passage", "above", "all of the"])
def test_questions_stand_alone(words: str) -> None:
    # "above" may compare ("above what energy"); it must not point at a place in a text
    pattern = r"\b(as|mentioned|described|shown) above\b" if words == "above" else rf"\b{words}\b"
    assert not [row["id"] for row in QUESTIONS if re.search(pattern, row["question"].lower())]


def test_options_give_nothing_away() -> None:
    longest = sum(
        len(row[row["answer"]]) > max(len(row[other]) for other in LETTERS if other != row["answer"])
        for row in QUESTIONS
    )
    shortest = sum(
        len(row[row["answer"]]) < min(len(row[other]) for other in LETTERS if other != row["answer"])
        for row in QUESTIONS
    )
    # chance is a quarter; ties lower both
    assert longest <= 0.3 * len(QUESTIONS)
    assert shortest <= 0.3 * len(QUESTIONS)
    ranks: Counter[int] = Counter()
    for row in QUESTIONS:
        found = [re.search(r"[-+]?\d[\d,]*\.?\d*", row[letter].replace(",", "")) for letter in LETTERS]
        values = [float(match.group()) for match in found if match]
        if len(set(values)) == 4:
            ranks[sorted(values).index(values[LETTERS.index(row["answer"])])] += 1
    total = sum(ranks.values())
    # writers like to put the truth in the middle: neither "not an extreme" nor any one rank may pay
    assert total >= 50
    assert ranks[1] + ranks[2] <= 0.6 * total
    assert max(ranks.values()) <= 0.4 * total


def test_general_text_to_replay_and_to_measure_share_nothing() -> None:
    def shingles(folder: str) -> set[tuple[str, ...]]:
        found = set()
        for path in (ROOT / "general" / folder).glob("*.md"):
            words = re.findall(r"\w+", path.read_text(encoding="utf-8").lower().split("---", 2)[-1])
            found |= {tuple(words[n : n + 8]) for n in range(len(words) - 7)}
        return found

    replay, held_out = shingles("replay"), shingles("held-out")
    assert len(replay) > 5000
    assert len(held_out) > 4000
    assert not replay & held_out
