"""Exercises with a result and no way, asked of a teacher: kept with a chain that came to it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints import Act, ChatServer, openai
from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.synthesis.synth import SynthConfig, run
from sagecraft.synthesis.teacher.exercises import problems_of
from sagecraft.synthesis.teacher.sample import show_sample

TEXT = """# Candles

A candle is a stick of wax with a wick in it. Bees make wax from honey because they need cells for their brood.

"""
#: Thing → what the teacher finds; the book says 150 g of all.
FOUND = {"torch": "The result is 0.150 kg", "taper": "160 g", "lamp": "a lot, I think", "lantern": "150"}


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    servers: list[ChatServer] = []

    def start(otherwise: Callable[[dict[str, Any], int], Act]) -> ChatServer:
        servers.append(ChatServer(otherwise))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def reply(body: dict[str, Any], before: int) -> Act:
    asked = "\n".join(message["content"] for message in body["messages"])
    if "Two answers" in asked or "Reference:" in asked:
        return Act(openai(json.dumps({"reason": "both say so", "same": "a lot" in asked})))
    if "You have no source at hand" not in asked:
        return Act(openai(json.dumps({"questions": []})))
    thing = re.findall(r"The wax of a (\w+)", asked)[0]
    thought = "In 4.0 h it loses 200 g, which is 50 g an hour; in 3.0 h it is three times that."
    return Act(openai(json.dumps({"thought": thought, "answer": FOUND[thing]})))


def document(folder: Path, things: list[str]) -> Path:
    exercises = [
        f"**Exercise {number}.** The wax of a {thing} of {200 + number} g burns down in 4.0 h at an even pace. How much mass does it lose in "
        f"3.0 h?\n\n**Solution.** 150 g\n\n"
        for number, thing in enumerate(things, start=1)
    ]
    write_documents(folder, [Document(id="d", title="Candles", text=TEXT + "".join(exercises))])
    return folder


def settings(server: ChatServer, grader: bool = False, **teacher: Any) -> SynthConfig:
    model = {"model": "local:wise", "base_url": server.url, "repair_attempts": 0}
    asked: dict[str, Any] = {"teacher": {**model, "exercises_share": 1.0, **teacher}}
    if grader:
        asked["grader"] = {**model, "model": "local:strict"}
    return SynthConfig.model_validate({"workers": 1, "max_kind_share": 1.0, **asked})


def chains_of(out: Path) -> list[dict[str, Any]]:
    return [row for row in artifact.read_jsonl(out / "conversations.jsonl") if row.get("rule") == "asked-exercise"]


def test_kept_where_the_result_agrees(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    inputs = {"documents": document(tmp_path / "d", list(FOUND))}
    run(settings(serve(reply)), inputs, tmp_path / "out")
    on, off = sorted(chains_of(tmp_path / "out"), key=lambda row: str(row["thinking"]), reverse=True)
    assert "a torch of 201 g" in on["messages"][0]["content"]
    assert on["messages"][1]["thinking"].startswith("In 4.0 h it loses 200 g")
    assert on["messages"][1]["content"] == "The result is 150 g."
    assert off["messages"][1]["content"] == f"{on['messages'][1]['thinking']}\n\nThe result is 150 g."
    assert (on["thinking"], off["thinking"], off["messages"][1].get("thinking")) == ("on", "off", None)
    dropped = [
        row for row in artifact.read_jsonl(tmp_path / "out" / "dropped.jsonl") if row["rule"] == "asked-exercise"
    ]
    assert {(row["step"], row["reason"]) for row in dropped} == {("model", "no-chain")}
    assert len(dropped) == 3


def test_what_rules_leave_open_the_grader_decides(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    inputs = {"documents": document(tmp_path / "d", list(FOUND))}
    run(settings(serve(reply), grader=True), inputs, tmp_path / "out")
    kept = {re.findall(r"a (\w+) of \d+ g", row["messages"][0]["content"])[0] for row in chains_of(tmp_path / "out")}
    assert kept == {"torch", "lamp"}


def test_a_share_is_drawn_by_their_words(tmp_path: Path) -> None:
    documents = document(tmp_path / "d", [f"candle{letter}" for letter in "abcdefghijklmnopqrst"])
    drawn = []
    for share in (0.0, 0.4, 0.8, 1.0):
        config = SynthConfig.model_validate({"teacher": {"model": "local:wise", "exercises_share": share}})
        drawn.append({row["pair"]["candidate"]["question"] for row in problems_of(config, documents, None)})
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3]
    assert not drawn[0]
    assert len(drawn[3]) == 20
    assert 2 <= len(drawn[1]) <= 14


def test_a_sample_tries_some_of_them_and_projects_all(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    server = serve(reply)
    teacher = {"model": "local:wise", "base_url": server.url, "exercises_share": 1.0, "thought_tokens": 0}
    config = SynthConfig.model_validate({"workers": 1, "teacher": teacher})
    inputs = {"documents": document(tmp_path / "d", list(FOUND))}
    shown = show_sample(config, inputs, tmp_path / "out", 2)
    assert sum("no source at hand" in json.dumps(body) for body in server.requests) == 2
    tried = [one for one in shown["questions"] if "wax of a" in one["question"]]
    assert len(tried) == 2
    for one in tried:
        thing = re.findall(r"The wax of a (\w+)", one["question"])[0]
        assert one["fate"] == ("taught" if thing in ("torch", "lantern") else "dropped: no-chain")
    projected = shown["projected"]
    num_asked = sum("no source at hand" not in json.dumps(body) for body in server.requests)
    assert projected["exercises"] == 4
    assert projected["tokens_in"] == 70 * (
        num_asked + 4
    )  # 70 a request: those of passages, and twice the two of exercises
    before = len(server.counts)
    run(config, inputs, tmp_path / "out")
    assert set(server.counts.values()) == {1}
    assert len(server.counts) == before + 2
