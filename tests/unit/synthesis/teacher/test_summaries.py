"""Summaries that the teacher writes of long documents, stretch by stretch, and tells itself with each passage."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from endpoints import Act, chat_server, openai
from sagecraft.corpus.documents import Document, read_documents, write_documents
from sagecraft.inference.replies import Failed
from sagecraft.literature.reading import Reading
from sagecraft.synthesis.synth import SynthConfig, run
from sagecraft.synthesis.teacher.sample import show_sample
from sagecraft.synthesis.teacher.summaries import _stretches, read_summary, summaries_of
from sagecraft.teaching.desk import open_desk
from sagecraft.teaching.writers import Turns, Written

FINAL = "The whole tells of bells, of the bronze they are cast from, and of the towns that paid for them."
STRETCH = "This stretch tells of the bells of one town and of those who looked after them for many years."


def literature(folder: Path) -> Path:
    sections = "".join(
        f"## Town {number}\n\n" + " ".join(
            f"The bell number {number * 100 + n} of the town was cast from bronze and hangs in a tower of oak beside the river."
            for n in range(12)
        ) + "\n\n"
        for number in range(14)
    )  # fmt: skip
    short = "## Kilns\n\nA kiln is an oven for clay that is fired with wood for three days and nights.\n"
    write_documents(
        folder,
        [Document(id="long", text=sections, title="On bells"), Document(id="short", text=short, title="On kilns")],
    )
    return folder


def reply(body: dict[str, Any], before: int) -> Act:
    last = body["messages"][-1]["content"]
    if last.startswith("These are notes on the whole text"):
        assert last.count(STRETCH) >= 2
        return Act(openai(json.dumps({"summary": FINAL})))
    if last.startswith("This is part "):
        return Act(openai(f"```json\n{json.dumps({'summary': STRETCH})}\n```"))
    assert "summary of three or four sentences" not in last
    return Act(openai(json.dumps({"questions": []})))


def settings(url: str, least: int | None) -> SynthConfig:
    teacher = {
        "model": "local:wise",
        "base_url": url,
        "summarise_from": least,
        "repair_attempts": 0,
        "thought_tokens": 0,
    }
    return SynthConfig.model_validate({"workers": 1, "teacher": teacher})


def test_long_documents_are_summarised_once_and_it_is_told_with_each_passage(tmp_path: Path) -> None:
    inputs = {"documents": literature(tmp_path / "d")}
    with chat_server(reply) as server:
        projected = show_sample(settings(server.url, 5), inputs, tmp_path / "out", 2)["projected"]
        sampled = len(server.requests)
        stats = run(settings(server.url, 5), inputs, tmp_path / "out").stats
        asked = [body["messages"][-1]["content"] for body in server.requests]
        assert set(server.counts.values()) == {1}
    about = [text for text in asked if text.startswith("You write questions")]
    long, short = ([text for text in about if f"“On {what}”" in text] for what in ("bells", "kilns"))
    assert len(long) > 10
    assert all(f"What it is about: {FINAL}" in text for text in long)
    assert len(short) == 1
    assert FINAL not in short[0]
    summarised = [text for text in asked if "summary of three or four sentences" in text]
    assert stats["num_summary_asked"] == len(summarised) >= 3
    assert sampled == len(summarised) + 2  # the sample needs the summary, and pays for it
    # Every sentence of the text stands in one stretch.
    told = [int(n) for text in summarised for n in re.findall(r"bell number (\d+)", text)]
    assert sorted(told) == sorted(set(told))
    assert len(told) == 14 * 12
    assert projected["tokens_in"] > 70 * len(about)


class Scripted:
    """A writer that answers by a function."""

    name, seconds, price = "scripted", 0.0, None

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer = answer

    def write(
        self, conversations: Sequence[Turns], schema: Any, ended: Callable[[str], object]
    ) -> list[Written | Failed]:
        return [Written(self.answer(turns[-1]["content"]), None, False, False, (70, 20)) for turns in conversations]

    def spending(self) -> dict[str, Any]:
        return {}


@pytest.mark.parametrize(
    ("least", "fails", "expected"), [(5, "", {"long": FINAL}), (5, "number 1311", {}), (None, "", {})]
)
def test_a_stretch_that_fails_leaves_the_document_its_own_sentences(
    tmp_path: Path, least: int | None, fails: str, expected: dict[str, str]
) -> None:
    def answer(text: str) -> str:
        return (
            "no"
            if fails and fails in text
            else reply({"messages": [{"content": text}]}, 0).content["choices"][0]["message"]["content"]
        )

    desk = open_desk("synth", settings("http://127.0.0.1:1/v1", least), {}, tmp_path / "out")
    readings = [Reading(document, 0) for document in read_documents(literature(tmp_path / "d"))]
    assert summaries_of(desk, Scripted(answer), readings) == expected
    failed = [(row["role"], row["cause"], row["id"]) for row in desk.failures]
    assert failed == ([("summary", "unusable", "summary-long-0-1")] if fails else [])
    assert bool(desk.counts["num_summary_asked"]) == (least is not None)


def test_notes_become_ever_fewer() -> None:
    texts = ["x" * 11_000] * 9
    while len(texts) > 1:
        joined = _stretches(texts)
        assert len(joined) < len(texts)
        assert "".join(joined).count("x") == 9 * 11_000
        texts = joined
    assert read_summary({"summary": "short"}) == "summary: String should have at least 40 characters"
