"""Judges and a teacher, from documents to items, against a server on this machine and a pico model."""

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

from endpoints import Act, ChatServer, openai
from pico import pico_model
from sagecraft import artifact
from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.build import run
from sagecraft.benchmark.config import BenchConfig
from sagecraft.benchmark.judging.answers import NEUTRAL
from sagecraft.benchmark.models import judges_that_teach, model_inputs
from sagecraft.cli import app
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.errors import UserError
from sagecraft.teaching.desk import retry_failed

PLACES = "Arn Brill Corv Dane Esk Fenn Gorm Hald Ilve Jarn Kesh Lorn".split()
KINDS = "wooden iron narrow covered double swing stone painted ancient floating hanging private".split()
PRICES = 'models: {"local:*": {price: {in: 1, out: 2}}}\n'


def documents(folder: Path) -> Path:
    """Twelve documents, of which each gives one question about its number."""
    text = "The {} bridge of {} carries {} tonnes of freight on every working day of its {} season."
    rows = []
    for n, (kind, place) in enumerate(zip(KINDS, PLACES, strict=True)):
        season = ["winter", "summer"][n % 2]
        rows.append(
            Document(
                id=f"bridge-{n}",
                title=f"Bridge of {place}",
                year=2020,
                text=f"{text.format(kind, place, 117 + 7 * n, season)}\n\nSome of them were built of oak.",
            )
        )
    write_documents(folder, rows)
    return folder


def items_of(folder: Path) -> list[dict[str, Any]]:
    return list(artifact.read_jsonl(folder / "items.jsonl"))


def shown(body: dict[str, Any]) -> tuple[str, str, dict[str, str]]:
    """Passage, question and options by letter of what is asked."""
    text = [turn["content"] for turn in body["messages"] if "\nA. " in turn["content"]][-1]
    passage = re.search(r"^Passage: (.*)$", text, re.MULTILINE)
    question = re.search(r"^Question: (.*)$", text, re.MULTILINE)
    assert question is not None, text
    return (
        (passage.group(1) if passage else ""),
        question.group(1),
        dict(re.findall(r"^([A-D])\. (.*)$", text, re.MULTILINE)),
    )


class Models:
    """What models reply, each by its name.

    `right` reads the passage and knows nothing; `wise` knows all, but sees two right options in the third question, and that the
    fifth points outside; `random` picks by lot.
    """

    def __init__(self, docs: Path) -> None:
        plain = docs.with_name("plain")
        run(BenchConfig(), {"documents": docs}, plain)
        #: texts of options → number of the document, and the right one.
        self.keys = {
            frozenset(item[letter] for letter in "ABCD"): (
                int(item["article"].removeprefix("bridge-")),
                item[item["answer"]],
            )
            for item in items_of(plain)
        }
        assert len(self.keys) == 12
        self.easy: set[int] = set()
        self.guessable: set[int] = set()
        self.missed: set[int] = set()

    def __call__(self, body: dict[str, Any], before: int = 0) -> Act:
        if "You check four-option questions" in body["messages"][0]["content"]:
            return Act(openai(json.dumps(self.word(body))))
        passage, question, options = shown(body)
        return Act(
            openai(json.dumps({"answer": self.letter(body["model"], passage, question, options), "explanation": "so"}))
        )

    def known(self, options: dict[str, str]) -> tuple[int, str, str]:
        """Number of the document, the letter of the key, and one of another option."""
        number, right = self.keys[frozenset(options.values())]
        key = next(letter for letter, text in options.items() if text == right)
        return number, key, "ABCD"[("ABCD".index(key) + 1) % 4]

    def letter(self, name: str, passage: str, question: str, options: dict[str, str]) -> str:
        number, key, wrong = self.known(options)
        if name == "random":
            return "ABCD"[keyed_hash("lot", passage, question, *options.values()) % 4]
        if passage:
            return wrong if number in self.missed else key
        knows = self.guessable if question == NEUTRAL else self.easy
        return key if (name == "wise" and question != NEUTRAL) or number in knows else wrong

    def word(self, body: dict[str, Any]) -> dict[str, Any]:
        _, _, options = shown(body)
        number, key, wrong = self.known(options)
        if body["model"] == "objector":
            return {"right": list("ABCD"), "stands_alone": False, "reason": "all are"}
        two = body["model"] == "wise" and number == 3
        right = [key, wrong] if two else [key]
        return {"right": right, "stands_alone": not (body["model"] == "wise" and number == 5), "reason": "as it says"}


@pytest.fixture
def serve() -> Iterator[Callable[..., ChatServer]]:
    servers: list[ChatServer] = []

    def start(otherwise: Callable[[dict[str, Any], int], Act]) -> ChatServer:
        servers.append(ChatServer(otherwise))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def judge(server: ChatServer, name: str, **settings: Any) -> dict[str, Any]:
    limits = {"concurrency": 4, "timeout_seconds": 5, "max_attempts": 2, **settings.pop("limits", {})}
    return {"model": f"local:{name}", "base_url": server.url, "limits": limits, **settings}


def config(server: ChatServer, *names: str, **settings: Any) -> BenchConfig:
    judges = [judge(server, name) for name in names]
    return BenchConfig.model_validate({"judges": judges, **settings})


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(out.iterdir())
        if path.suffix != ".html" and path.name != "timing.json"
    }


def numbers(out: Path) -> set[int]:
    return {int(str(item["article"]).removeprefix("bridge-")) for item in items_of(out)}


def test_judges_take_out_what_is_unfit_and_items_carry_what_they_said(
    tmp_path: Path, serve: Callable[..., ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    docs = documents(tmp_path / "docs")
    models = Models(docs)
    models.missed, models.easy, models.guessable = {0}, {1}, {2}
    server, out = serve(models), tmp_path / "out"
    settings = config(server, "right", "random", "wise")
    manifest = run(settings, {"documents": docs}, out)
    gone = {row["document"]: row for row in artifact.read_jsonl(out / "dropped.jsonl") if "detail" in row}
    assert {name: row["reason"] for name, row in gone.items()} == {
        "bridge-0": "unanswerable",
        "bridge-1": "too-easy",
        "bridge-2": "guessable-by-models",
        "bridge-3": "not-one-right",
        "bridge-5": "points-outside",
    }
    assert gone["bridge-1"]["detail"] == "answered without the passage by local:right, local:wise"
    assert re.fullmatch(r"local:wise: right are: 138; .*as it says\)", gone["bridge-3"]["detail"])
    assert numbers(out) == {4, 6, 7, 8, 9, 10, 11}
    # each is asked in three views and graded, but who has no vote only with the passage
    assert set(server.counts.values()) == {1}
    assert Counter(body["model"] for body in server.requests) == {"right": 48, "wise": 48, "random": 12}
    for item in items_of(out):
        said = item["checks"]["judges"]
        assert [said[role]["has_vote"] for role in ("judge1", "judge2", "judge3")] == [True, False, True]
        assert said["judge1"]["with_passage"] == said["judge3"]["closed_book"] == item["answer"]
        assert said["judge1"]["closed_book"] != item["answer"]
        assert said["judge3"]["right"] == [item["answer"]]
        assert "closed_book" not in said["judge2"]
        assert item["written_by"] == "rules"
        assert item["cost"] == {"tokens_in": 70 * 9, "tokens_out": 20 * 9, "usd": None}
    row = manifest.stats["judges"][0]
    assert (row["with_passage"]["right"], row["closed_book"]["right"], row["options_only"]["right"]) == (11, 1, 1)
    assert manifest.stats["judges_on_items"][0]["with_passage"]["rate"] == 1.0
    told = " ".join(capsys.readouterr().err.split())
    assert "drafts answered with the passage, not surely above chance (25 %): it has no vote" in told
    sheet = (out / "datasheet.md").read_text(encoding="utf-8")
    assert "unanswerable 1, too-easy 1, guessable-by-models 1, not-one-right 1, points-outside 1" in sheet
    assert re.search(r"\| local:random \(generate\) \|.*not asked.*no: not above chance", sheet)
    assert "local:wise: with passage" in (out / "review.csv").read_text(encoding="utf-8")


def test_judges_that_miss_much_or_object_to_most_leave_the_benchmark_whole(
    tmp_path: Path, serve: Callable[..., ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    docs = documents(tmp_path / "docs")
    models = Models(docs)
    models.missed = {0, 1, 2, 3}
    run(config(serve(models), "objector"), {"documents": docs}, tmp_path / "out")
    assert len(items_of(tmp_path / "out")) == 12
    told = " ".join(capsys.readouterr().err.split())
    assert "answer 66.7 % of the drafts with the passage, less than judging.min_answered (80 %)" in told
    assert "its word on which options are right counts for nothing" in told
    assert "what none answers was left in" in (tmp_path / "out/datasheet.md").read_text(encoding="utf-8")


def test_an_answer_that_names_no_letter_says_nothing_of_the_question_and_is_asked_anew_alone(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    docs, out = documents(tmp_path / "docs"), tmp_path / "out"
    models = Models(docs)
    rambles = True

    def otherwise(body: dict[str, Any], before: int) -> Act:
        passage, _, options = shown(body)
        if rambles and passage and models.known(options)[0] == 4:
            return Act(openai("That is a hard one."))
        return models(body)

    server = serve(otherwise)
    settings = BenchConfig.model_validate({"judges": [judge(server, "right", grades=False)]})
    run(settings, {"documents": docs}, out)
    assert numbers(out) == set(range(12))
    (failed,) = artifact.read_jsonl(out / "failures.jsonl")
    assert (failed["cause"], failed["role"], failed["reply"]) == ("unusable", "judge1", "That is a hard one.")
    before, rambles = len(server.requests), False
    assert retry_failed(out) == 1
    manifest = run(settings, {"documents": docs}, out)
    assert len(server.requests) == before + 1
    assert manifest.stats["judges"][0]["with_passage"]["right"] == 12


def test_the_verb_stops_at_the_cost_limit_and_goes_on(tmp_path: Path, serve: Callable[..., ChatServer]) -> None:
    docs, out = documents(tmp_path / "docs"), tmp_path / "out"
    server = serve(Models(docs))
    prices = tmp_path / "prices.yaml"
    prices.write_text(PRICES, encoding="utf-8")
    command = ["bench", str(docs), "--judge", "local:right", "--judge-url", server.url, "--out", str(out)]
    command += ["--providers", str(prices), "--max-usd"]
    # a reply costs 0.00011 USD, and may cost some 0.005
    with pytest.raises(UserError, match="max_usd"):
        app([*command, "0.0065"], standalone_mode=False)
    assert 0 < len(server.counts) < 48
    assert not out.exists()
    app([*command, "1"], standalone_mode=False)
    assert (len(server.counts), set(server.counts.values())) == (48, {1})
    cost = artifact.load(out).stats["cost"]
    assert cost == {"tokens_in": 48 * 70, "tokens_out": 48 * 20, "usd": pytest.approx(48 * 110e-6)}
    judges = items_of(out)[0]["checks"]["judges"]
    assert (judges["judge1"]["model"], judges["judge1"]["has_vote"]) == ("local:right", True)


def test_a_run_that_is_killed_goes_on_to_the_same_bytes_and_asks_nothing_twice(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    docs = documents(tmp_path / "docs")
    models = Models(docs)

    def slow(body: dict[str, Any], before: int) -> Act:
        act = models(body)
        act.delay = 0.02
        return act

    server = serve(slow)
    settings = BenchConfig.model_validate({"judges": [judge(server, "right", grades=False)]})
    dumped = settings.model_dump(mode="json")
    code = (
        "import sys; from pathlib import Path; from sagecraft.benchmark.build import run; "
        "from sagecraft.benchmark.config import BenchConfig; "
        "run(BenchConfig.model_validate_json(sys.argv[1]), {'documents': Path(sys.argv[2])}, Path(sys.argv[3]))"
    )
    command = [sys.executable, "-c", code, json.dumps(dumped), str(docs), str(tmp_path / "out")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while server.paid.total() < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out").exists()
    cut = server.paid.total()
    run(settings, {"documents": docs}, tmp_path / "out")
    assert server.paid.total() <= 36 + 4, "what was under way when it was killed may be lost, and nothing else"
    assert cut < 36
    assert len(server.paid) == 36
    run(settings, {"documents": docs}, tmp_path / "straight")
    assert contents(tmp_path / "straight") == contents(tmp_path / "out")


def test_a_model_here_answers_by_likelihoods_and_once(tmp_path: Path) -> None:
    docs, model = documents(tmp_path / "docs"), pico_model(tmp_path / "pico", max_position_embeddings=8192)
    for mode in ("letter", "continuation"):
        out = tmp_path / mode
        settings = BenchConfig.model_validate({"judges": [{"model": str(model), "mode": mode}]})
        manifest = run(settings, {"documents": docs}, out)
        assert "judge1" in manifest.inputs
        row = manifest.stats["judges"][0]
        assert (row["with_passage"]["n"], row["mode"]) == (12, mode)
        assert len(items_of(out)) == 12, "a model of noise takes nothing out"
    first, kept = contents(out), (tmp_path / "continuation.replies/records.jsonl").read_bytes()
    run(settings, {"documents": docs}, out)
    assert contents(out) == first
    assert (tmp_path / "continuation.replies/records.jsonl").read_bytes() == kept


def test_judges_are_two_models_and_endpoints_tell_no_likelihoods(tmp_path: Path) -> None:
    twice = BenchConfig.model_validate({"judges": [{"model": "openai:wise"}, {"model": "local:wise"}]})
    with pytest.raises(UserError, match="local:wise is judge1 already"):
        model_inputs(twice)
    both = {"teacher": {"model": "local:wise"}, "judges": [{"model": "openai:strict"}, {"model": "openai:wise"}]}
    assert judges_that_teach(BenchConfig.model_validate(both)) == {"judge2"}
    assert judges_that_teach(twice) == frozenset()
    scored = BenchConfig.model_validate({"judges": [{"model": "local:wise", "mode": "letter"}]})
    with pytest.raises(UserError, match=r"judge1\.mode: letter needs likelihoods"):
        model_inputs(scored)
    with pytest.raises(UserError, match="nowhere: neither a model folder"):
        model_inputs(BenchConfig.model_validate({"judges": [{"model": str(tmp_path / "nowhere")}]}))


# ------------------------------------------------------------------------------------------ teacher

THINGS = ("bell", "clock", "kiln", "loom", "mill", "pump", "forge", "lathe")


def prose(folder: Path) -> Path:
    made = []
    for number, thing in enumerate(THINGS):
        text = (
            f"# The {thing} of Gera\n\nThe great {thing} of Gera was made of grey limestone by masons from the north of the county, "
            f"who came every year. Its guardians painted the {thing} of Gera with pitch every winter because frost breaks the wet "
            "stone of the county, and because nobody wanted to pay the masons for another.\n"
        )
        made.append(Document(id=thing, text=text, title=f"On the {thing}s of Thuringia", year=1900 + number))
    write_documents(folder, made)
    return folder


def item_for(thing: str, **fields: Any) -> dict[str, Any]:
    options = {
        "A": "Frost breaks its wet stone",
        "B": "Rain greens its dark walls",
        "C": "Smoke stains its white face",
        "D": "Salt eats its iron bands",
    }
    item = {
        "question": f"Why was the great {thing} of Gera painted with pitch every winter?",
        "options": options,
        "answer": "A",
        "explanation": "Frost breaks wet stone, and pitch keeps the water out.",
        "sentences": [2],
    }
    return {**item, **fields}


def teaching(body: dict[str, Any], before: int = 0) -> Act:
    text = body["messages"][-1]["content"]
    thing = re.findall(r"The great (\w+) of Gera", "\n".join(turn["content"] for turn in body["messages"]))[-1]
    good = item_for(thing)
    if thing == "clock":
        fields = {"question": "Why was it painted with pitch every winter?"}
        return Act(openai(json.dumps({"items": [item_for(thing, **fields)]})))
    if thing == "kiln" and "cannot be used" not in text:
        return Act(openai(json.dumps({"items": [item_for(thing, answer="E")]})))
    if thing == "loom":
        return Act(openai("I would rather not."))
    return Act(openai(json.dumps({"items": [good]})))


def test_items_of_a_teacher_pass_rules_and_are_told_from_those_of_rules(
    tmp_path: Path, serve: Callable[..., ChatServer]
) -> None:
    server, out, docs = serve(teaching), tmp_path / "out", prose(tmp_path / "docs")
    settings = BenchConfig.model_validate({"teacher": judge(server, "wise")})
    manifest = run(settings, {"documents": docs}, out)
    items = {str(item["article"]): item for item in items_of(out)}
    assert set(items) == set(THINGS) - {"clock", "loom"}
    bell = items["bell"]
    assert bell[str(bell["answer"])] == "Frost breaks its wet stone"
    assert (bell["form"], bell["written_by"]) == ("written", "local:wise")
    assert str(bell["support"]).startswith("Its guardians painted the bell of Gera")
    assert str(bell["explanation"]).startswith("Frost breaks wet stone, and pitch keeps the water out. “On the bells")
    assert {row["document"]: row["reason"] for row in artifact.read_jsonl(out / "dropped.jsonl")} == {
        "clock": "not-alone"
    }
    counted = [manifest.stats[f"num_teacher_{name}"] for name in ("asked", "repaired", "failed")]
    assert counted == [8, 1, 1]
    assert manifest.stats["items_by_writer"] == {"local:wise": 6}
    (failed,) = artifact.read_jsonl(out / "failures.jsonl")
    assert (failed["id"], failed["cause"], failed["num_repairs"]) == ("loom#0", "unusable", 1)
    assert "6 of them written by local:wise from passages" in (out / "datasheet.md").read_text(encoding="utf-8")
    assert set(server.counts.values()) == {1}
    before, first = len(server.requests), contents(out)
    run(settings, {"documents": docs}, out)
    assert (len(server.requests), contents(out)) == (before, first)
    assert retry_failed(out) == 1
    run(settings, {"documents": docs}, out)
    again = server.requests[before:]
    assert len(again) == 2, "asked anew, and sent back"
    assert all("attempt 2" in json.dumps(body) and "great loom" in json.dumps(body) for body in again)


def test_a_sample_of_the_teacher_shows_and_projects_and_is_not_asked_again(
    tmp_path: Path, serve: Callable[..., ChatServer], capsys: pytest.CaptureFixture[str]
) -> None:
    server, docs, out = serve(teaching), prose(tmp_path / "docs"), tmp_path / "out"
    command = ["bench", str(docs), "--teacher", "local:wise", "--base-url", server.url, "--out", str(out)]
    app([*command, "--sample", "3", "--json"], standalone_mode=False)
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["projected"]["passages"], len(found["items"])) == (8, len(found["items"]))
    assert found["items"][0]["question"] in " ".join(told.err.split())
    assert "all 8 would take about" in " ".join(told.err.split())
    assert not out.exists()
    sampled = set(server.counts)
    app(command, standalone_mode=False)
    assert sampled < set(server.counts)
    assert set(server.counts.values()) == {1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "3"], "--sample: is for --teacher"),
        (["--max-passages", "3"], "--max-passages: is for --teacher"),
        (["--max-usd", "3"], "--max-usd: is for --teacher and --judge"),
        (["--retry-failed"], "--retry-failed: is for --teacher and --judge"),
        (["--judge-url", "http://x"], "--judge-url: is for a --judge"),
        (["--judge", "local:a", "--judge", "local:b", "--judge", "local:c", "--judge-url", "x", "--judge-url", "y"], "2 are given for 3"),
        (["--verdicts", "a.csv", "--judge", "local:a"], "--verdicts judges a finished benchmark"),
        (["--teacher", "local:a", "--sample", "0"], "--sample 0: give a number"),
    ],
)  # fmt: skip
def test_options_that_would_do_nothing_are_refused(tmp_path: Path, options: list[str], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        app(["bench", str(tmp_path), "--out", str(tmp_path / "out"), *options], standalone_mode=False)
