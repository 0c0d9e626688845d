"""A model as a teacher and one as a grader, from documents to rows, against a server that misbehaves."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from endpoints import FAULTS, Act, ChatServer, chat_server, openai
from pico import pico_model
from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.cli import app
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.synthesis.synth import SynthConfig, run
from sagecraft.synthesis.teacher.sample import show_sample
from sagecraft.synthesis.teacher.teach import from_options, model_inputs
from sagecraft.teaching.desk import retry_failed

PRICES = 'models: {"local:*": {price: {in: 1, out: 2}}}\n'
GOOD = {"correct": 5, "alone": 5, "pertinent": 4, "overall": 4}
THINGS = ("bell", "clock", "kiln", "loom", "mill", "pump", "forge", "lathe", "press", "crane")


def documents(folder: Path, count: int = 6) -> Path:
    made = []
    for number, thing in enumerate(THINGS[:count]):
        text = (
            f"# The {thing} of Erfurt\n\nThe great {thing} of Erfurt was made of bronze in {1400 + number}. "
            f"Its guardians oiled the {thing} of Erfurt every winter because cold oil protects bronze.\n"
        )
        made.append(Document(id=thing, text=text, title=f"On the {thing}s of Thuringia"))
    write_documents(folder, made)
    return folder


def asked(body: dict[str, Any]) -> str:
    return "\n".join(message["content"] for message in body["messages"])


def taught(body: dict[str, Any], fields: dict[str, Any] | None = None) -> str:
    """What a good teacher replies: the first sentence, quoted; the kind is the first that it was offered."""
    prompt = body["messages"][2]["content"]
    sentence = re.findall(r"^\[1\] (.+)$", prompt, re.MULTILINE)[0]
    thing = re.findall(r"The great (\w+) of Erfurt", sentence)[0]
    kind = re.findall(r'Kinds to choose from: "([\w-]+)"', prompt)[0]
    question = {
        "kind": kind,
        "question": f"Of what was the great {thing} of Erfurt made, and when?",
        "focus": "its metal",
    }
    return json.dumps({"questions": [{**question, "answer": sentence, "sentences": [1], **(fields or {})}]})


def replies(body: dict[str, Any], before: int = 0) -> Act:
    if "You check questions" in asked(body):
        return Act(openai(json.dumps(GOOD)))
    return Act(openai(taught(body)))


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    servers: list[ChatServer] = []

    def start(otherwise: Callable[[dict[str, Any], int], Act] = replies) -> ChatServer:
        servers.append(ChatServer(otherwise))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def settings(server: ChatServer, grader: bool = True, **teacher: Any) -> SynthConfig:
    limits = teacher.pop("limits", {})
    fast = {"concurrency": 4, "timeout_seconds": 5, "max_attempts": 3, **limits}
    both: dict[str, Any] = {"teacher": {"model": "local:wise", "base_url": server.url, "limits": fast, **teacher}}
    if grader:
        both["grader"] = {"model": "local:strict", "base_url": server.url, "limits": fast}
    return SynthConfig.model_validate(
        {"workers": 1, "max_kind_share": 1.0, "kinds": KINDS, "share_thinking": 0, **both}
    )


#: Those that a teacher is asked for and the rules of this test do not make.
KINDS = ("definition", "cause", "comparison", "method", "purpose", "consequence", "relation", "what-if", "number")


def by_teacher(out: Path) -> list[dict[str, Any]]:
    return [row for row in artifact.read_jsonl(out / "conversations.jsonl") if row.get("rule") == "teacher"]


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.suffix != ".html" and path.name != "timing.json"
    }


def test_questions_of_a_teacher_are_rows_with_lineage_to_the_sentence(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    server = serve()
    manifest = run(settings(server), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    made = by_teacher(tmp_path / "out")
    assert len(made) == 6
    for row in made:
        (ground,) = row["lineage"]
        assert row["messages"][1]["content"] == ground["sentence"]
        assert ground["sentence"].startswith(f"The great {ground['document']} of Erfurt")
    stats = manifest.stats
    counted = [stats[f"num_{name}"] for name in ("teacher_asked", "teacher_failed", "taught", "graded")]
    assert counted == [6, 0, 6, 6]
    assert set(server.counts.values()) == {1}
    assert len(server.counts) == 12


def test_what_the_grader_finds_too_low_is_dropped_and_says_why(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    def otherwise(body: dict[str, Any], before: int) -> Act:
        if "You check questions" in asked(body):
            low = "great bell" in body["messages"][-1]["content"]
            return Act(openai(json.dumps({**GOOD, "alone": 2 if low else 5})))
        return replies(body)

    run(settings(serve(otherwise)), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    assert {row["lineage"][0]["document"] for row in by_teacher(tmp_path / "out")} == set(THINGS[1:6])
    dropped = [row for row in artifact.read_jsonl(tmp_path / "out" / "dropped.jsonl") if row["step"] == "model"]
    assert [(row["document"], row["reason"]) for row in dropped] == [("bell", "graded-alone-2")]


def test_rules_drop_what_a_teacher_made_up(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    made_up = {"answer": "The great bell of Erfurt was made of 7 kinds of bronze."}

    def otherwise(body: dict[str, Any], before: int) -> Act:
        return Act(openai(taught(body, made_up if "[1] The great bell" in asked(body) else {})))

    run(settings(serve(otherwise), grader=False), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    assert len(by_teacher(tmp_path / "out")) == 5
    dropped = artifact.read_jsonl(tmp_path / "out" / "dropped.jsonl")
    assert [row["reason"] for row in dropped if row["rule"] == "teacher"] == ["number-not-in-source"]


def test_words_of_its_own_need_a_grader(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    free = {"answer": "Metalworkers created the great bell of Erfurt in 1400."}

    def otherwise(body: dict[str, Any], before: int) -> Act:
        is_bell = "[1] The great bell" in asked(body) and "You check questions" not in asked(body)
        return Act(openai(taught(body, free))) if is_bell else replies(body)

    inputs = {"documents": documents(tmp_path / "d", 2)}
    server = serve(otherwise)
    for grader in (False, True):
        run(settings(server, grader=grader), inputs, tmp_path / "out")
        said = {row["messages"][1]["content"] for row in by_teacher(tmp_path / "out")}
        assert (free["answer"] in said) == grader


def test_a_reply_that_cannot_be_used_is_sent_back_with_its_fault(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    def otherwise(body: dict[str, Any], before: int) -> Act:
        if len(body["messages"]) > 3:
            return Act(openai(taught(body)))
        wrong = {"bell": {"sentences": [9]}, "clock": {"kind": "poem"}, "kiln": {"question": "Why?"}}
        thing = next(thing for thing in THINGS if f"[1] The great {thing}" in asked(body))
        return Act(openai(taught(body, wrong[thing]) if thing in wrong else taught(body)))

    server = serve(otherwise)
    manifest = run(settings(server, grader=False), {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    assert len(by_teacher(tmp_path / "out")) == 6
    assert [manifest.stats[f"num_teacher_{name}"] for name in ("asked", "repaired", "failed")] == [6, 3, 0]
    told = [body["messages"][-1]["content"] for body in server.requests if len(body["messages"]) == 5]
    for fault in ("there are only the numbers 1 to 2", "'poem' is none of", "question: String should have at least 10"):
        assert sum(fault in text for text in told) == 1


def test_failures_are_kept_with_their_cause_and_asked_anew_alone(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    mends = False

    def otherwise(body: dict[str, Any], before: int) -> Act:
        if "[1] The great bell" in asked(body) and not mends:
            return Act(openai("I would rather not."))
        if "[1] The great loom" in asked(body) and not mends:
            return Act(b"no", 400)
        return replies(body)

    server, out = serve(otherwise), tmp_path / "out"
    config, inputs = settings(server, grader=False), {"documents": documents(tmp_path / "d")}
    run(config, inputs, out)
    failed = {row["id"]: row for row in artifact.read_jsonl(out / "failures.jsonl")}
    assert {name: (row["cause"], row["num_repairs"]) for name, row in failed.items()} == {
        "bell#0": ("unusable", 1),
        "loom#0": ("no-reply", 0),
    }
    assert failed["bell#0"]["reply"] == "I would rather not."
    assert "HTTP 400" in failed["loom#0"]["fault"]
    before, mends = len(server.requests), True
    assert retry_failed(out) == 1
    run(config, inputs, out)
    again = server.requests[before:]
    assert sorted(re.findall(r"\[1\] The great (\w+)", asked(body))[0] for body in again) == ["bell", "loom"]
    assert len(by_teacher(out)) == 6
    assert list(artifact.read_jsonl(out / "failures.jsonl")) == []
    with pytest.raises(UserError, match="no run with a teacher"):
        retry_failed(tmp_path / "other")


def test_a_run_that_reached_its_cost_limit_goes_on_and_asks_nothing_twice(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    def otherwise(body: dict[str, Any], before: int) -> Act:
        act = replies(body)
        act.content["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        return act

    server, straight = serve(otherwise), tmp_path / "straight"
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES, encoding="utf-8")
    inputs = {"documents": documents(tmp_path / "d"), "providers": prices}
    room = {"thought_tokens": 0, "answer_tokens": 100}
    # a reply costs 0.0012 USD, and may cost some 0.0024
    limited = settings(server, limits={"max_usd": 0.0055, "concurrency": 1}, **room)
    with pytest.raises(UserError, match="max_usd"):
        run(limited, inputs, tmp_path / "out")
    num_paid = len(server.counts)
    assert 0 < num_paid < 6
    assert not (tmp_path / "out").exists()
    run(settings(server, limits={"max_usd": 1.0}, **room), inputs, tmp_path / "out")
    assert set(server.counts.values()) == {1}
    assert len(by_teacher(tmp_path / "out")) == 6
    run(settings(server, **room), inputs, straight)
    assert contents(straight) == contents(tmp_path / "out")


def test_teacher_and_grader_share_one_sum(
    tmp_path: Path, serve: Callable[..., ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    def otherwise(body: dict[str, Any], before: int) -> Act:
        act = replies(body)
        act.content["usage"] = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
        return act

    server, prices = serve(otherwise), tmp_path / "prices.yaml"
    prices.write_text(PRICES, encoding="utf-8")
    inputs = {"documents": documents(tmp_path / "d"), "providers": prices}
    config = settings(server, thought_tokens=0, answer_tokens=100, limits={"concurrency": 1})
    # twelve replies cost 0.0012 USD each; what one may cost is below 0.01
    with pytest.raises(UserError, match=r"max_usd: 0\.00\d\d USD are spent.* limit of 0\.012 USD"):
        run(config.model_copy(update={"max_usd": 0.012}), inputs, tmp_path / "out")
    graded = sum("You check questions" in asked(body) for body in server.requests)
    assert len(server.counts) - graded == 6
    assert graded < 6
    assert 0.0012 * len(server.counts) <= 0.012
    capsys.readouterr()
    run(config.model_copy(update={"max_usd": 1.0}), inputs, tmp_path / "out")
    told = " ".join(capsys.readouterr().err.split())
    assert f"at most 1 USD in all, {0.0012 * (6 + graded):.4f} USD spent before" in told
    assert "spent at most 0.0144 USD of 1 in all" in told
    assert set(server.counts.values()) == {1}
    assert len(server.counts) == 12


def test_a_limit_without_a_price_is_refused_before_anything_is_made(
    tmp_path: Path, serve: Callable[..., ChatServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagecraft.synthesis.shards.make_parts", lambda *_: pytest.fail("the rules ran"))
    inputs, config = {"documents": documents(tmp_path / "d")}, settings(serve())
    with pytest.raises(UserError, match=r"synth\.teacher: max_usd: the price of local:wise is not known"):
        run(config.model_copy(update={"max_usd": 1.0}), inputs, tmp_path / "out")
    alone = SynthConfig.model_validate({"teacher": {"model": str(pico_model(tmp_path / "pico"))}, "max_usd": 1.0})
    with pytest.raises(UserError, match=r"synth\.max_usd: is for endpoints"):
        run(alone, inputs, tmp_path / "out")


def test_a_sample_shows_and_projects_and_is_not_asked_again(
    tmp_path: Path, serve: Callable[..., ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES, encoding="utf-8")
    inputs = {"documents": documents(tmp_path / "d"), "providers": prices}
    shown = show_sample(settings(server), inputs, tmp_path / "out", 2)
    assert len(server.counts) == 4
    assert [one["fate"] for one in shown["questions"]] == ["taught, graded 5 5 4 4"] * 2
    projected = shown["projected"]
    assert (projected["passages"], projected["tokens_in"], projected["tokens_out"]) == (6, 840, 240)
    assert projected["usd"] == pytest.approx((840 * 1 + 240 * 2) / 1e6)
    for model in ("teacher", "grader"):
        assert (projected["models"][model]["tokens_in"], projected["models"][model]["tokens_out"]) == (420, 120)
    told = " ".join(capsys.readouterr().err.split())
    assert shown["questions"][0]["question"] in told
    assert "gave 2 questions, of which 2 would be taught; all 6 would give about 6 and take about 1,080 tokens" in told
    assert "for about 0.00 USD (teacher 0.00, grader 0.00)" in told
    assert "teacher at 1 / 2 USD per million tokens read / written, grader at" in told
    assert not (tmp_path / "out").exists()
    run(settings(server), inputs, tmp_path / "out")
    assert set(server.counts.values()) == {1}
    assert len(server.counts) == 12


def test_thoughts_are_kept_where_their_result_agrees(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    masses = {"bell": "It has a mass of 11,400 kg", "clock": "12 tonnes", "kiln": "heavy, I think", "loom": "no JSON"}

    def otherwise(body: dict[str, Any], before: int) -> Act:
        if "You have no source at hand" not in asked(body):
            return replies(body)
        thing = re.findall(r"held the (\w+)", asked(body))[0]
        thought = {
            "thought": f"The {thing} is of bronze, and large; so I work it out in steps.",
            "answer": masses[thing],
        }
        return Act(openai("no JSON" if thing == "loom" else json.dumps(thought)))

    def heavy(body: dict[str, Any], before: int) -> Act:
        if "You have no source" in asked(body):
            return otherwise(body, before)
        thing = re.findall(r"held the (\w+)", asked(body))[0]
        return Act(openai(taught_mass(body, thing)))

    def taught_mass(body: dict[str, Any], thing: str) -> str:
        answer = f"Ropes held the {thing} of Erfurt with a pull of 11.4 tonnes."
        asks = f"With how many tonnes of pull have ropes held the {thing} of Erfurt?"
        question = {"kind": "number", "question": asks, "focus": "the load"}
        return json.dumps({**question, "answer": answer, "sentences": [1]})

    made = [
        Document(
            id=thing,
            text=f"# Erfurt\n\nRopes held the {thing} of Erfurt with a pull of 11.4 tonnes.\n",
            title=f"On the {thing}",
        )
        for thing in masses
    ]
    write_documents(tmp_path / "d", made)
    config = settings(serve(heavy), grader=False, thoughts=True, kinds=["number"]).model_copy(
        update={"share_thinking": 1.0}
    )
    manifest = run(config, {"documents": tmp_path / "d"}, tmp_path / "out")
    thoughts = {
        row["lineage"][0]["document"]: row["messages"][1]["thinking"]
        for row in by_teacher(tmp_path / "out")
        if row["thinking"] == "on"
    }
    assert set(thoughts) == set(masses)
    assert [thing for thing, text in thoughts.items() if "work it out in steps" in text] == ["bell"]
    counted = {name: count for name, count in manifest.stats.items() if name.startswith("num_thought")}
    assert counted == {
        "num_thought_asked": 4, "num_thought_repaired": 0, "num_thought_failed": 1,
        "num_thought_tokens_in": 350, "num_thought_tokens_out": 100,
        "num_thoughts_agreed": 1, "num_thoughts_disagreed": 1, "num_thoughts_unclear": 1,
    }  # fmt: skip
    (failed,) = artifact.read_jsonl(tmp_path / "out" / "failures.jsonl")
    assert (failed["role"], failed["cause"]) == ("thought", "unusable")


def test_passages_are_drawn(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    server = serve()
    config = settings(server, grader=False, max_passages=2)
    run(config, {"documents": documents(tmp_path / "d")}, tmp_path / "out")
    drawn = sorted(THINGS[:6], key=lambda thing: keyed_hash(0, "teach", f"{thing}#0"))[:2]
    assert {row["lineage"][0]["document"] for row in by_teacher(tmp_path / "out")} == set(drawn)


def test_a_teacher_is_asked_for_kinds_that_the_stage_takes(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    server, inputs = serve(), {"documents": documents(tmp_path / "d")}
    config = settings(server, grader=False).model_copy(update={"kinds": ("cause", "metadata")})
    run(config, inputs, tmp_path / "out")
    assert {row["kind"] for row in by_teacher(tmp_path / "out")} == {"cause"}
    assert not any('"method"' in asked(body) for body in server.requests)
    with pytest.raises(UserError, match=r"synth\.teacher\.kinds: none of them"):
        run(config.model_copy(update={"kinds": ("metadata",)}), inputs, tmp_path / "out")


def test_a_grader_is_another_model(tmp_path: Path) -> None:
    def told(teacher: str, grader: str) -> SynthConfig:
        return SynthConfig.model_validate({"teacher": {"model": teacher}, "grader": {"model": grader}})

    with pytest.raises(UserError, match="is the teacher itself"):
        model_inputs(told("local:a", "vllm:a"))
    assert model_inputs(told("local:a", "local:b")) == {}
    with pytest.raises(UserError, match="is the teacher itself"):
        model_inputs(told(str(tmp_path), f"{tmp_path}/../{tmp_path.name}"))
    with pytest.raises(UserError, match="neither a model folder"):
        model_inputs(told("nowhere", "local:b"))


def test_options_that_would_do_nothing_are_refused() -> None:
    nothing = {"max_usd": None, "base_url": None, "max_passages": None}
    with pytest.raises(UserError, match="--max-usd: is for --teacher"):
        from_options(None, None, None, None, False, {**nothing, "max_usd": 1.0})
    with pytest.raises(UserError, match="--sample: is for --teacher"):
        from_options(None, "local:b", None, 20, False, nothing)
    with pytest.raises(UserError, match="--retry-failed"):
        from_options(None, None, None, None, True, nothing)
    assert from_options(None, None, None, None, False, nothing) == {}


def test_the_verb_samples_and_then_runs(
    tmp_path: Path, serve: Callable[..., ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server, docs, out = serve(), str(documents(tmp_path / "d", 3)), tmp_path / "out"
    command = ["synth", docs, "--out", str(out), "--teacher", "local:wise", "--base-url", server.url]
    app([*command, "--sample", "2", "--json"], standalone_mode=False)
    assert len(json.loads(capsys.readouterr().out)["questions"]) == len(server.counts) == 2
    app([*command, "--grader", "local:strict", "--grader-url", server.url], standalone_mode=False)
    assert set(server.counts.values()) == {1}
    assert len(server.counts) == 3 + len(list(artifact.read_jsonl(out / "grades.jsonl"))) == 6


def test_a_model_here_is_asked_through_its_template_and_once(tmp_path: Path) -> None:
    model = pico_model(tmp_path / "pico", max_position_embeddings=8192)
    text = "# Bells\n\nA bell is a hollow vessel of bronze that rings when it is struck.\n"
    write_documents(tmp_path / "d", [Document(id="bell", text=text, title="On bells")])
    teacher = {"model": str(model), "thought_tokens": 0, "answer_tokens": 16, "repair_attempts": 1}
    config = SynthConfig.model_validate({"workers": 1, "max_kind_share": 1.0, "teacher": teacher})
    manifest = run(config, {"documents": tmp_path / "d"}, tmp_path / "out")
    assert "teacher" in manifest.inputs
    assert [manifest.stats[f"num_teacher_{name}"] for name in ("asked", "failed")] == [1, 1]
    (failed,) = artifact.read_jsonl(tmp_path / "out" / "failures.jsonl")
    assert (failed["cause"], failed["num_repairs"]) == ("unusable", 1)
    first, kept = contents(tmp_path / "out"), (tmp_path / "out.replies" / "records.jsonl").read_bytes()
    run(config, {"documents": tmp_path / "d"}, tmp_path / "out")
    assert contents(tmp_path / "out") == first
    assert (tmp_path / "out.replies" / "records.jsonl").read_bytes() == kept


# ------------------------------------------------------------------------------------------ killed


def _faulty(body: dict[str, Any], before: int) -> Act:
    """Every third request fails at first, in a way that may pass."""
    name = json.dumps(body)
    if before == 0 and keyed_hash("fault", name) % 3 == 0:
        kinds = ["429 retry-after", "500", "cut", "not JSON"]
        return FAULTS[kinds[keyed_hash("kind", name) % len(kinds)]]
    act = replies(body)
    act.delay = 0.1
    return act


def test_a_run_that_is_killed_goes_on_to_the_same_bytes_and_asks_nothing_twice(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    server = serve(_faulty)
    config = settings(server, limits={"concurrency": 2})
    inputs = {"documents": documents(tmp_path / "d", 10)}
    code = (
        "import sys; from pathlib import Path; from sagecraft.synthesis.synth import SynthConfig, run; "
        "run(SynthConfig.model_validate_json(sys.argv[1]), {'documents': Path(sys.argv[2])}, Path(sys.argv[3]))"
    )
    dumped = config.model_dump(mode="json")
    for role in ("teacher", "grader"):
        dumped[role]["limits"] = {"concurrency": 2}
    command = [sys.executable, "-c", code, json.dumps(dumped), str(inputs["documents"]), str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while server.paid.total() < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    run(config, inputs, tmp_path / "out")
    assert len(by_teacher(tmp_path / "out")) == 10
    assert server.paid.total() == 20
    assert Counter(server.paid.values()) == {1: 20}
    run(config, inputs, tmp_path / "straight")
    assert contents(tmp_path / "straight") == contents(tmp_path / "out")


def test_a_server_that_is_reached_by_json_schema_gets_the_schema(tmp_path: Path) -> None:
    with chat_server(replies) as server:
        config = settings(server, grader=False, structure="json_schema")
        run(config, {"documents": documents(tmp_path / "d", 2)}, tmp_path / "out")
        formats = [body["response_format"] for body in server.requests]
    assert [form["type"] for form in formats] == ["json_schema"] * 2
    item = formats[0]["json_schema"]["schema"]["properties"]["questions"]["items"]
    assert set(item["required"]) == {"kind", "question", "focus", "answer", "sentences"}
