"""The stage with a grader behind an endpoint: who is refused, and that nothing is asked twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from endpoints import Act, ChatServer, chat_server, openai
from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import MachineError
from sagecraft.synthesis import rows
from sagecraft.synthesis.synth import SynthConfig, run
from sagecraft.synthesis.teacher.config import GraderConfig

TEXT = """# Bells

A bell is a hollow vessel of bronze that rings when it is struck. The great bell of Erfurt was cast in 1497.
The mass of the great bell of Erfurt is about 11.4 tonnes. The pitch of a bell depends on its width and on the thickness of
its wall. Bronze is harder than copper because tin atoms hinder the layers of the crystal.
"""


def source(folder: Path) -> Path:
    write_documents(folder, [Document(id="bells", text=TEXT, title="The casting of church bells")])
    return folder


def grading(body: dict[str, Any], _: int) -> Act:
    asked = body["messages"][-1]["content"].partition("Question: ")[2] or "Write it again"
    if "Write it again" in asked or "pitch of a bell depend on?" in asked:
        return Act(openai("I like it."))
    bad = "bronze harder than copper?" in asked
    grades = {"correct": 5, "alone": 2 if bad else 5, "pertinent": 4, "overall": 4}
    return Act(openai(f"Grades: {json.dumps(grades)}"))


def config(server: ChatServer, **settings: Any) -> SynthConfig:
    grader = GraderConfig(model="local:grader", base_url=server.url, repair_attempts=1)
    return SynthConfig(grader=grader, max_kind_share=1.0, shares={}, max_pairs_per_sentence=4, **settings)


def test_what_the_grader_refuses_is_dropped_and_nothing_is_asked_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"documents": source(tmp_path / "d")}

    def full(self: rows.Sorted, path: Path) -> int:
        raise MachineError("the disk is full")

    with chat_server(grading) as server:
        monkeypatch.setattr(rows.Sorted, "write", full)
        with pytest.raises(MachineError, match="full"):
            run(config(server), inputs, tmp_path / "out")
        monkeypatch.undo()
        num_asked = sum(server.counts.values())
        manifest = run(config(server), inputs, tmp_path / "out")
        assert sum(server.counts.values()) == num_asked
        assert all(count == 1 for count in server.paid.values())
    grades = list(artifact.read_jsonl(tmp_path / "out" / "grades.jsonl"))
    assert len(grades) == manifest.stats["num_graded"] == num_asked - 2  # one was sent back, in vain
    failures = list(artifact.read_jsonl(tmp_path / "out" / "failures.jsonl"))
    assert [(row["role"], row["num_repairs"]) for row in failures] == [("grader", 1)]
    dropped = {row["question"]: row for row in artifact.read_jsonl(tmp_path / "out" / "dropped.jsonl")}
    reasons = {row["reason"]: question for question, row in dropped.items()}
    assert reasons["graded-alone-2"].endswith("bronze harder than copper?")
    assert reasons["ungraded"].endswith("pitch of a bell depend on?")
    assert {row["step"] for row in dropped.values() if "grade" in row["reason"]} == {"model"}
    taught = {row["messages"][0]["content"] for row in artifact.read_jsonl(tmp_path / "out" / "conversations.jsonl")}
    assert "When was the great bell of Erfurt cast?" in taught
    assert not taught & set(dropped)
