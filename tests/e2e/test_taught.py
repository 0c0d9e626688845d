"""Models that `serve` serves as teacher and grader, over the wire: limit of cost, kill, resume, and nothing asked twice.

With pico models, whose replies are noise, in CI: all that can go wrong with a model that cannot do it, and a teacher that can beside
it. With SmolLM2 as teacher in the soak.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from endpoints import Act, ChatServer, chat_server, openai
from pico import pico_model
from sagecraft import artifact
from sagecraft.assistant.server import create_app
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.inference.engine import open_engine
from sagecraft.synthesis.synth import SynthConfig, run

SMOLLM2 = Path.home() / ".cache/sagecraft/benchmarks/smollm2-135m-instruct-q4_1"
THINGS = ("bell", "clock", "kiln", "loom", "mill", "pump")
_RUN = (
    "import sys; from pathlib import Path; from sagecraft.synthesis.synth import SynthConfig, run; c = sys.argv; "
    "run(SynthConfig.model_validate_json(c[1]), {'documents': Path(c[2]), 'providers': Path(c[3])}, Path(c[4]))"
)


@contextlib.contextmanager
def served(model: Path, instead: Callable[[str], str | None] = lambda _: None) -> Iterator[ChatServer]:
    """A model behind the server of the assistant, and before it what counts requests; `instead` may answer for it."""
    with open_engine(model) as engine:
        client = TestClient(create_app(engine))

        def answer(body: dict[str, Any], before: int) -> Act:
            told = instead(body["messages"][-1]["content"])
            if told is not None:
                return Act(openai(told), delay=0.05)
            response = client.post("/v1/chat/completions", json=body)
            return Act(response.json(), response.status_code)

        with chat_server(answer) as server:
            yield server


def written(prompt: str) -> str | None:
    """What a good teacher writes about half of the things; the model behind it writes about the others."""
    found = re.findall(r"^\[1\] (The (\w+) of Minden .+)$", prompt, re.MULTILINE)
    if found and THINGS.index(found[0][1]) % 2:
        kind = re.findall(r'Kinds to choose from: "([\w-]+)"', prompt)[0]
        question = {
            "kind": kind,
            "question": f"How much mass does the {found[0][1]} of Minden have?",
            "focus": "its mass",
        }
        return f"```json\n{json.dumps({'questions': [{**question, 'answer': found[0][0], 'sentences': [1]}]})}\n```"
    asked = re.findall(r"mass does the (\w+) of Minden have\?", prompt)
    if asked and "no source at hand" in prompt:
        mass = 1000 if asked[0] == "clock" else 77
        way = f"The {asked[0]} is of bronze and fills a box of known size, so its mass follows from its density."
        return json.dumps({"thought": way, "answer": f"{mass} kg"})
    return None


def literature(folder: Path, count: int = len(THINGS)) -> Path:
    made = []
    for thing in THINGS[:count]:
        text = (
            f"# {thing.title()}s\n\nThe {thing} of Minden has a mass of 1000 kg. Guardians oil the {thing} of Minden every winter "
            f"because cold oil protects bronze from water.\n"
        )
        made.append(Document(id=thing, text=text, title=f"On {thing}s of the north"))
    write_documents(folder, made)
    return folder


def settings(
    teacher: ChatServer, grader: ChatServer, names: tuple[str, str], tokens: int, max_usd: float
) -> dict[str, Any]:
    limits = {"concurrency": 2, "max_attempts": 2}
    model = {"thought_tokens": 0, "repair_attempts": 1, "limits": limits}
    return {
        "workers": 1, "max_kind_share": 1.0, "share_thinking": 1.0, "max_usd": max_usd,
        "teacher": {"model": f"local:{names[0]}", "base_url": teacher.url, "answer_tokens": tokens, "thoughts": True,
                    "questions_per_passage": 1, **model},
        "grader": {"model": f"local:{names[1]}", "base_url": grader.url, "answer_tokens": 32, **model, "repair_attempts": 0},
    }  # fmt: skip


def killed_and_resumed(
    tmp_path: Path, docs: Path, teacher: ChatServer, grader: ChatServer, names: tuple[str, str], tokens: int
) -> dict[str, Any]:
    """Stopped by the limit, killed in the middle, resumed: what the manifest counts, after nothing was paid twice."""
    (tmp_path / "prices.yaml").write_text('models: {"local:*": {price: {in: 1, out: 2}}}\n', encoding="utf-8")
    inputs, out = {"documents": docs, "providers": tmp_path / "prices.yaml"}, tmp_path / "out"
    with pytest.raises(UserError, match="max_usd"):
        run(SynthConfig.model_validate(settings(teacher, grader, names, tokens, 0.012)), inputs, out)
    limited = teacher.paid.total() + grader.paid.total()
    assert limited > 0
    assert not out.exists()
    whole = settings(teacher, grader, names, tokens, 5.0)
    files = [str(docs), str(inputs["providers"]), str(out)]
    with subprocess.Popen(
        [sys.executable, "-c", _RUN, json.dumps(whole), *files], stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 600
        while teacher.paid.total() < limited + 2 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not out.exists()
    stats = run(SynthConfig.model_validate(whole), inputs, out).stats
    for server in (teacher, grader):
        assert set(server.paid.values()) <= {1}
        assert set(server.counts.values()) <= {1}
    return stats


def test_the_path_of_a_teacher_and_a_grader_that_are_served(tmp_path: Path) -> None:
    models = [
        pico_model(tmp_path / name, seed, max_position_embeddings=8192) for seed, name in enumerate(("one", "two"))
    ]
    with served(models[0], written) as teacher, served(models[1]) as grader:
        stats = killed_and_resumed(tmp_path, literature(tmp_path / "d"), teacher, grader, ("one", "two"), 16)
    assert [stats[f"num_teacher_{name}"] for name in ("asked", "failed", "repaired")] == [6, 3, 0]
    assert stats["num_taught"] == 3
    # Three chains: one comes to the reference, two do not. The grader, which is noise, grades none of the three questions.
    assert [stats[f"num_thoughts_{name}"] for name in ("agreed", "disagreed")] == [1, 2]
    assert [stats[f"num_grader_{name}"] for name in ("asked", "failed")] == [3, 3]
    agreed = {row["question"]: row["verdict"] for row in artifact.read_jsonl(tmp_path / "out" / "agreements.jsonl")}
    assert agreed["How much mass does the clock of Minden have?"] == "agreed"
    assert set(agreed.values()) == {"agreed", "disagreed"}
    failed = [(row["role"], row["cause"]) for row in artifact.read_jsonl(tmp_path / "out" / "failures.jsonl")]
    assert failed == [("grader", "unusable")] * 3 + [("teacher", "unusable")] * 3
    reasons = [
        row["reason"] for row in artifact.read_jsonl(tmp_path / "out" / "dropped.jsonl") if row["rule"] == "teacher"
    ]
    assert reasons == ["ungraded"] * 3
    assert stats["num_questions"] > 0  # those of the rules


@pytest.mark.soak
def test_the_path_of_a_small_model_as_teacher(tmp_path: Path) -> None:
    if not SMOLLM2.is_dir():
        pytest.skip(f"no {SMOLLM2}")
    grader_model = pico_model(tmp_path / "two", max_position_embeddings=8192)
    with served(SMOLLM2) as teacher, served(grader_model) as grader:
        stats = killed_and_resumed(tmp_path, literature(tmp_path / "d"), teacher, grader, (SMOLLM2.name, "two"), 192)
    assert stats["num_teacher_asked"] == len(THINGS)
    assert stats["num_taught"] > 0  # it writes JSON that is read, whatever it says
