"""Items on a page: prompts are exact, confidence and cost are those of the pick and of the item."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.asked_items import PRICE, evaluation

from sagecraft.evaluation.item_list import confidence, cost_usd, item_list, parts, pieces
from sagecraft.reporting.browser import Grid, Text


@given(
    st.text(alphabet="ab?\n ", min_size=1, max_size=8),
    st.lists(st.text(alphabet="ab?\n ", min_size=1, max_size=8), min_size=2, max_size=4),
    st.text(alphabet="ab?\n ", max_size=30),
)
def test_pieces_joined_are_the_prompt(question: str, options: list[str], around: str) -> None:
    texts = [{"letter": letter, "text": text} for letter, text in zip("ABCD", options, strict=False)]
    for prompt in (f"{around}{question}{around}{''.join(options)}", around):
        assert "".join(pieces({"prompt": prompt, "question": question, "options": texts})) == prompt


def test_what_stands_around_questions_is_kept_once() -> None:
    results, rows = evaluation(num_items=200)
    data = json.loads(item_list(rows, results).data)
    longest = [text for text in data["texts"] if "Reply with one JSON object" in text]
    assert len(longest) == 1
    assert [column["name"] for column in data["columns"]] == [
        "id", "question", "topic", "kind", "mode", "key", "pick", "outcome", "modes right", "read from", "confidence", "tokens", "USD",
    ]  # fmt: skip
    assert data["rows"][205][2] == [data["texts"].index("items.jsonl"), 206]


def test_columns_that_say_nothing_are_left_out() -> None:
    results, rows = evaluation(modes=("letter",))
    for row in rows:
        row |= {"topic": "", "kind": ""}
    data = json.loads(item_list(rows, results).data)
    assert [column["name"] for column in data["columns"]] == [
        "id",
        "question",
        "key",
        "pick",
        "outcome",
        "confidence",
        "tokens",
    ]


def test_confidence_is_that_of_the_option_picked() -> None:
    _, rows = evaluation(num_items=1)
    continuation, letter, generate = rows
    sums = [option["sum"] for option in continuation["options"]]
    at = "ABCD".index(continuation["pick"])
    assert confidence(continuation) == pytest.approx(math.exp(sums[at]) / math.fsum(map(math.exp, sums)))
    assert confidence(letter) == 0.7
    assert confidence({**letter, "pick": "B" if letter["pick"] == "A" else "A"}) == 0.1
    assert confidence(generate) is None
    assert confidence({**letter, "pick": None}) is None


def test_an_items_cost_is_that_of_its_tokens() -> None:
    _, rows = evaluation(num_items=1)
    assert cost_usd(rows[-1], PRICE) == pytest.approx((90 * 2 + 42 * 8) / 1e6)
    assert cost_usd(rows[-1], None) is None


def test_an_opened_item_has_prompt_options_thought_answer_and_how_it_was_read() -> None:
    _, rows = evaluation()
    row = next(row for row in rows if row["outcome"] == "truncated")
    shown = parts(row, PRICE)
    labels = [part.label for part in shown]
    assert labels == ["What the model saw", "Options", "Thought", "Answer", "", "What else the file says"]
    prompt, grid, thought, _, told, _ = shown
    assert isinstance(prompt, Text)
    assert "".join(prompt.pieces) == row["prompt"]
    assert isinstance(grid, Grid)
    assert [mark for marks in grid.marks for mark in marks] == ["key"]
    assert isinstance(thought, Text)
    assert thought.folded
    assert isinstance(told, Text)
    assert told.pieces[0] == (
        f"topic: {row['topic']} · kind: {row['kind']} · article: {row['article']}"
        " · no answer could be read · cut off · its thought outran the budget and was closed"
        " · tokens: 90 read (10 from a cache), 30 thought, 12 answered · 0.000516 USD"
    )
    empty = parts({**row, "raw": "", "thought": None, "error": "timed out", "extra": {}})
    assert [part.label for part in empty] == ["What the model saw", "Options", "Answer", "Why it failed", ""]
    answer = empty[2]
    assert isinstance(answer, Text)
    assert (answer.pieces, answer.running) == (["(nothing was written)"], True)


def test_picks_by_other_measures_are_marked() -> None:
    _, rows = evaluation(num_items=1)
    row = rows[0] | {"pick": "A", "key": "A", "picks": {"sum": "B", "per_char": "A", "per_byte": "A"}}
    grid = parts(row)[1]
    assert isinstance(grid, Grid)
    assert list(grid.marks) == [["key", "pick"], ["pick by log-likelihood"], [], []]
