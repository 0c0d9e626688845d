"""Chains whose result is prose: kept by the grader's word, with result, reference and reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from endpoints import Act, ChatServer, chat_server, openai
from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.synthesis.grading.same import Proposed, Same, ask_same, read_same
from sagecraft.synthesis.synth import SynthConfig, run

GOOD = {"correct": 5, "alone": 5, "pertinent": 4, "overall": 4}
#: thing → the result of its chain, and what becomes of it.
RESULTS = {
    "bell": "Cold oil keeps the bronze from harm.",
    "clock": "It is a matter of habit.",
    "kiln": "I cannot say.",
    "loom": "no JSON",
}
VERDICTS = {"bell": ("agreed", True), "clock": ("disagreed", False)}


def documents(folder: Path) -> Path:
    write_documents(
        folder,
        [
            Document(
                id=thing,
                text=f"# Care\n\nGuardians of Minden oiled the {thing} of Minden because cold oil protects bronze.\n",
                title=f"On the {thing}",
            )
            for thing in RESULTS
        ],
    )
    return folder


def answers(body: dict[str, Any], before: int) -> Act:
    text = "\n".join(message["content"] for message in body["messages"])
    last = body["messages"][-1]["content"]
    thing = re.findall(r"the (bell|clock|kiln|loom) of Minden", text)[-1]
    if "You check questions" in text:
        return Act(openai(json.dumps(GOOD)))
    if "You compare two answers" in text:
        if thing == "kiln":
            return Act(openai("They are alike."))
        verdict, same = VERDICTS[thing]
        assert RESULTS[thing] in last
        assert f"oiled the {thing} of Minden because cold oil protects bronze" in last
        return Act(openai(f'```json\n{{"reason": "it is {verdict}", "same": {json.dumps(same)}}}\n```'))
    if "You have no source at hand" in text:
        way = f"Bronze of the {thing} rusts in the wet, so something has to keep the water off."
        return Act(openai("no" if thing == "loom" else json.dumps({"thought": way, "answer": RESULTS[thing]})))
    sentence = re.findall(r"^\[1\] (.+)$", last, re.MULTILINE)[0]
    question = {"kind": "cause", "question": f"For what reason was the {thing} of Minden oiled?", "focus": "the oil"}
    return Act(openai(json.dumps({**question, "answer": sentence, "sentences": [1]})))


def settings(server: ChatServer, grader: bool) -> SynthConfig:
    model = {"base_url": server.url, "repair_attempts": 0}
    both: dict[str, Any] = {"teacher": {"model": "local:wise", "thoughts": True, **model}}
    if grader:
        both["grader"] = {"model": "local:strict", **model}
    return SynthConfig.model_validate({"workers": 1, "max_kind_share": 1.0, "share_thinking": 1.0, **both})


def thoughts(out: Path) -> set[str]:
    rows = [row for row in artifact.read_jsonl(out / "conversations.jsonl") if row.get("rule") == "teacher"]
    return {
        row["lineage"][0]["document"]
        for row in rows
        if row["thinking"] == "on" and "keep the water off" in row["messages"][1]["thinking"]
    }


def test_chains_that_come_to_prose_are_kept_by_the_word_of_the_grader(tmp_path: Path) -> None:
    inputs, out = {"documents": documents(tmp_path / "d")}, tmp_path / "out"
    with chat_server(answers) as server:
        stats = run(settings(server, grader=True), inputs, out).stats
        assert set(server.counts.values()) == {1}
        asked = len(server.counts)
        assert asked == 4 + 4 + 3 + 4
    assert thoughts(out) == {"bell"}
    found = {row["question"]: row for row in artifact.read_jsonl(out / "agreements.jsonl")}
    told = {name: (row["verdict"], row["by"], row["reason"][:18]) for name, row in found.items()}
    assert told == {
        "For what reason was the bell of Minden oiled?": ("agreed", "grader", "it is agreed"),
        "For what reason was the clock of Minden oiled?": ("disagreed", "grader", "it is disagreed"),
        "For what reason was the kiln of Minden oiled?": ("ungraded", "grader", "it holds no object"),
    }
    bell = found["For what reason was the bell of Minden oiled?"]
    assert bell["answer"] == RESULTS["bell"]
    assert "cold oil protects bronze" in bell["reference"]
    assert [stats[f"num_thoughts_{name}_by_grader"] for name in ("agreed", "disagreed", "ungraded")] == [1, 1, 1]
    failed = {row["id"].split("-")[0]: row["role"] for row in artifact.read_jsonl(out / "failures.jsonl")}
    assert failed == {"thought": "thought", "same": "agreement"}


def test_without_a_grader_prose_is_not_asked_for_chains(tmp_path: Path) -> None:
    with chat_server(answers) as server:
        run(settings(server, grader=False), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
        assert not any("no source at hand" in json.dumps(body) for body in server.requests)
    assert thoughts(tmp_path / "out") == set()
    assert list(artifact.read_jsonl(tmp_path / "out" / "agreements.jsonl")) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"same": True, "reason": "r"}, Same(same=True, reason="r")),
        ({"same": "false"}, Same(same=False)),
        ({"same": "yes", "reason": "a\nb"}, Same(same=True, reason="a b")),
        ({"same": "partly"}, "same: Input should be a valid boolean"),
        ({"same": None}, "same: Input should be a valid boolean"),
    ],
)
def test_verdicts_are_read(value: dict[str, Any], expected: Same | str) -> None:
    found = read_same(value)
    assert found == expected or (isinstance(expected, str) and isinstance(found, str) and found.startswith(expected))


def test_the_grader_sees_results_and_not_the_way() -> None:
    ask = ask_same("x", "Why?", Proposed("by a way that sounds right", "Since it is cold.", "Because of frost."), 1)
    told = "\n".join(turn["content"] for turn in ask.turns)
    assert "Since it is cold." in told
    assert "Because of frost." in told
    assert "sounds right" not in told
    assert "attempt 2" in told
