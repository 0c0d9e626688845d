"""The generating mode over an endpoint, from the question to results.json."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from endpoints import ANSWER, Act, ChatServer, chat_server, openai
from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.evaluation import courier, remote
from sagecraft.evaluation.config import EvaluateConfig, ReplyConfig
from sagecraft.evaluation.evaluate import replies_folder, run
from sagecraft.evaluation.generate import grade_generate
from sagecraft.evaluation.inputs import from_options
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.endpoint import Endpoint
from sagecraft.inference.prices import Bill
from sagecraft.inference.replies import Reply

ITEM = Item("1", "Which is hot?", ("ice", "fire"), 1)
PRICES = 'models: {"local:*": {price: {in: 1000000, cached_in: 500000, out: 2000000}}}\n'
#: Of a good reply of the server: 40 tokens read at 1 USD, 30 of the cache at 0.50, 20 written at 2.
USD = 40 + 15 + 40
#: The most that a request of these tests can cost, in USD: its bytes and its limit of new tokens.
WORST_TOKENS = 1280


class Scripted:
    """Stands for an asker whose endpoint replies from a list."""

    def __init__(self, *replies: Reply, model: str = "local:m") -> None:
        self.endpoint = Endpoint(model, "http://127.0.0.1:1/v1")
        self.replies, self.asked = list(replies), []

    async def ask(self, body: dict[str, Any]) -> Reply:
        self.asked.append(body)
        return self.replies.pop(0)


def measured(*replies: Reply, model: str = "local:m") -> tuple[Scripted, dict[str, Any], dict[str, Any]]:
    asker = Scripted(*replies, model=model)
    config = EvaluateConfig(thinking="on", reply=ReplyConfig(thought_tokens=100, answer_tokens=50))
    request = remote.request(asker.endpoint, ITEM, config)
    value = asyncio.run(remote.measure(asker, request))  # type: ignore[arg-type]
    return asker, value, grade_generate(ITEM, value)


def test_a_thought_that_outruns_its_limit_is_asked_for_the_answer() -> None:
    first = Reply(text="", thought="well", finish="length", bill=Bill(prompt=10, written=150), thought_tokens=150)
    asker, value, row = measured(first, Reply(text=ANSWER, bill=Bill(prompt=20, written=9)))
    assert (row["pick"], row["outcome"], row["closed_by_us"], row["thought"]) == ("B", "correct", True, "well")
    assert [body["max_tokens"] for body in asker.asked] == [150, 50]
    assert [body["messages"][0]["content"] for body in asker.asked] == [
        "detailed thinking on",
        "detailed thinking off",
    ]
    assert [message["role"] for message in asker.asked[1]["messages"]] == ["system", "user", "assistant", "user"]
    assert value["tokens"] == {"in": 30, "cached": 0, "thought": 150, "out": 9, "uncounted": 0}


@pytest.mark.parametrize(
    ("answer", "num_thought", "is_asked_again"),
    [
        ("It burns, so", 140, True),  # 10 tokens of the 50 that an answer may have
        ("It burns, so", None, True),  # by characters
        ("It burns, so", 100, False),  # it had its 50 tokens
        ('{"answer": "B", "explanation": "it', 140, False),  # says already what it is
        ('{"answer": "', 140, True),
    ],
)
def test_an_answer_that_a_thought_left_no_room_is_asked_for_again(
    answer: str, num_thought: int | None, is_asked_again: bool
) -> None:
    bill = Bill(prompt=10, written=150)
    first = Reply(text=answer, thought="well " * 40, finish="length", bill=bill, thought_tokens=num_thought)
    asker, value, row = measured(first, Reply(text=ANSWER, bill=Bill(prompt=20, written=9)))
    assert (len(asker.asked) == 2) == value["closed_by_us"] == is_asked_again
    assert row["outcome"] == ("truncated" if row["pick"] is None else "correct")
    assert (row["pick"] == "B") == (is_asked_again or "B" in answer)


def test_a_hidden_thought_cannot_be_closed() -> None:
    _, _, row = measured(Reply(text="", finish="length", bill=Bill(prompt=1, written=150)))
    assert (row["outcome"], row["closed_by_us"]) == ("truncated", False)


def test_a_thought_that_the_template_opened() -> None:
    _, _, row = measured(Reply(text=f"it is A, no\n</think>\n{ANSWER}"))
    assert (row["pick"], row["thought"]) == ("B", "it is A, no")


def test_thoughts_in_other_tags_and_answers_that_speak_of_tags() -> None:
    _, _, row = measured(Reply(text=f"[THINK]it is A[/THINK]{ANSWER}"))
    assert (row["pick"], row["thought"]) == ("B", "it is A")
    _, _, row = measured(Reply(text=f"it is A</reasoning>{ANSWER}"))
    assert (row["pick"], row["thought"]) == ("B", "it is A")
    _, _, row = measured(Reply(text=f"<|end|> is a token. {ANSWER}"))
    assert (row["pick"], row["thought"]) == ("B", None)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (Reply(text=ANSWER), "correct"),
        (Reply(text='{"answer": "A"}'), "wrong"),
        (Reply(text="", finish="refusal"), "refused"),
        (Reply(text="I cannot help with that", finish="refusal"), "refused"),
        (Reply(text="so let us see", finish="length"), "truncated"),
        (Reply(text="so let us see"), "unparsed"),
    ],
)
def test_outcomes_are_kept_apart(reply: Reply, outcome: str) -> None:
    assert measured(reply)[2]["outcome"] == outcome


def test_a_reply_without_a_count_counts_with_its_most() -> None:
    asker, value, _ = measured(Reply(text=ANSWER))
    worst = asker.endpoint.worst_case(asker.asked[0])
    expected = {"in": worst.prompt, "cached": 0, "thought": 0, "out": 150, "uncounted": 1}
    assert value["tokens"] == expected


# ------------------------------------------------------------------------------------------ whole evaluations


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with chat_server() as one:
        yield one


class Case:
    """An evaluation of eight questions in a folder of its own."""

    def __init__(self, folder: Path, server: ChatServer, num_items: int = 8) -> None:
        self.server, self.out, self.task = server, folder / "out", folder / "t.jsonl"
        self.prices = folder / "providers.yaml"
        self.prices.write_text(PRICES)
        rows = [{"question": f"Hot {n}?", "A": "ice", "B": "fire", "answer": "B"} for n in range(num_items)]
        artifact.write_jsonl(self.task, rows)

    def run(
        self,
        out: Path | None = None,
        priced: bool = True,
        model: str = "local:m",
        thinking: str = "on",
        **limits: Any,
    ) -> Any:
        """results.json; waits are short, so a fault costs little time."""
        config, _ = from_options(
            model,
            {
                "modes": ("generate",),
                "thinking": thinking,
                "base_url": self.server.url,
                "limits": {"max_attempts": 3, **limits},
            },
        )
        inputs = {"task": self.task} | ({"providers": self.prices} if priced else {})
        run(config, inputs, out or self.out)
        return json.loads(((out or self.out) / "results.json").read_text())


@pytest.fixture
def case(tmp_path: Path, server: ChatServer, monkeypatch: pytest.MonkeyPatch) -> Case:
    """Asks in this process, which spares a start of Python; what the process apart is for is tested with it below."""
    monkeypatch.setattr("sagecraft.inference.asker.backoff_seconds", lambda attempt, key: 0.01)
    inline = partial(courier.carry_out, orders=None)
    monkeypatch.setattr(courier, "send", lambda errand, done: inline(errand, lambda news: done(news.get("usd", 0.0))))
    return Case(tmp_path, server)


def test_everything_is_counted_and_nothing_is_paid_twice(case: Case) -> None:
    case.server.script = [Act(openai())] * 3 + [Act(b"quota", 401)]
    with pytest.raises(UserError, match="HTTP 401"):
        case.run(concurrency=1)
    results = case.run(concurrency=3)
    assert len(case.server.requests) == 9  # three, the refused one, the other five
    assert (results["accuracy"], results["cost_usd"]) == (1.0, 8 * USD)
    assert results["tokens"] == {"in": 560, "cached": 240, "thought": 0, "out": 160}
    assert results["usd_per_100k_tokens"] == pytest.approx(USD / 90 * 1e5)
    assert results["price"]["in"] == 1_000_000
    spent = results["spending"]
    assert (spent["num_requests"], spent["num_replies"], spent["num_failures"]) == (9, 8, 1)
    assert spent["usd_at_most"] == 8 * USD
    assert case.server.requests[0]["messages"][0] == {"role": "system", "content": "detailed thinking on"}
    case.run()  # all of it once more
    assert len(case.server.requests) == 9


def test_results_do_not_depend_on_concurrency_order_and_interruptions(case: Case, tmp_path: Path) -> None:
    def answer(body: dict[str, Any], before: int) -> Act:
        number = int(body["messages"][-1]["content"].split("Hot ")[1].split("?")[0])
        return Act(openai(json.dumps({"answer": "AB"[number % 2]})), delay=0.02 * ((number * 5) % 7))

    case.server.otherwise = answer
    case.run(tmp_path / "one", concurrency=1)
    case.run(tmp_path / "many", concurrency=8, requests_per_minute=6000)
    case.server.script = [Act(b"oops", 500), Act(b"", 429, {"Retry-After": "0.02"})]
    case.run(tmp_path / "faulty", concurrency=4)
    items = {(tmp_path / name / "items.jsonl").read_bytes() for name in ("one", "many", "faulty")}
    assert len(items) == 1
    kept = [json.loads((tmp_path / name / "results.json").read_text()) for name in ("one", "many", "faulty")]
    for results in kept:
        for part in (results, results["modes"]["generate"]):
            part.pop("seconds", None)
            part.pop("spending", None)
    assert kept[0] == kept[1] == kept[2]
    manifests = [artifact.load(tmp_path / name) for name in ("one", "many")]
    assert manifests[0].digest == manifests[1].digest
    assert 5 <= case.server.most_at_once <= 8


def test_an_item_that_fails_is_shown_as_failed_and_asked_again_next_time(case: Case) -> None:
    def answer(body: dict[str, Any], before: int) -> Act:
        return Act(b"boom", 500) if "Hot 3?" in body["messages"][-1]["content"] else Act(openai())

    case.server.otherwise = answer
    results = case.run()
    assert results["outcomes"] == {"correct": 7, "failed": 1}
    row = next(row for row in artifact.read_jsonl(case.out / "items.jsonl") if row["outcome"] == "failed")
    assert row["error"] == "HTTP 500 (attempt 3 of 3)"
    assert len(case.server.requests) == 7 + 3
    case.server.otherwise = lambda body, before: Act(openai())
    assert case.run()["outcomes"] == {"correct": 8}
    assert len(case.server.requests) == 11


def test_failures_that_may_be_billed_count_with_their_most(case: Case) -> None:
    whole = json.dumps(openai()).encode()
    case.server.script = [Act(whole, sent=20), Act({"choices": [], "usage": openai()["usage"]}), Act(b"", 500)]
    spent = case.run(concurrency=1, max_attempts=4)["spending"]
    assert (spent["num_requests"], spent["num_failures"], spent["num_failures_maybe_billed"]) == (11, 1, 2)
    assert spent["usd_wasted_at_most"] > 2 * WORST_TOKENS + USD
    assert spent["usd_at_most"] == pytest.approx(8 * USD + spent["usd_wasted_at_most"])


def test_the_endpoint_being_down_stops_the_run(case: Case) -> None:
    case.server.otherwise = lambda body, before: Act(b"down", 503)
    with pytest.raises(MachineError, match="HTTP 503, 5 items in a row"):
        case.run(concurrency=1)
    assert len(case.server.requests) == 15


def test_a_request_that_no_item_can_make_stops_the_run(case: Case) -> None:
    case.server.otherwise = lambda body, before: Act({"error": {"message": "unknown parameter"}}, 400)
    with pytest.raises(UserError, match=r"unknown parameter.*no item was answered"):
        case.run(concurrency=1)
    assert len(case.server.requests) == 5


def test_equal_questions_are_asked_once(case: Case) -> None:
    rows = [{"id": str(n), "question": "Hot?", "A": "ice", "B": "fire", "answer": "B"} for n in range(6)]
    artifact.write_jsonl(case.task, rows)
    assert case.run(concurrency=4)["n"] == 6
    assert len(case.server.requests) == 1


def test_the_cost_limit_is_never_passed(case: Case) -> None:
    bytes_and_marks = 700  # more than the bytes of one of these prompts with all additions
    limit = 2 * USD + bytes_and_marks + 2 * WORST_TOKENS
    with pytest.raises(UserError, match=r"max_usd: .* are spent, and the next request could pass the limit"):
        case.run(concurrency=4, max_usd=limit)
    paid = sum(case.server.paid.values())
    assert 1 <= paid < 8
    assert paid * USD <= limit
    with pytest.raises(UserError, match="max_usd"):  # what was spent before counts
        case.run(concurrency=4, max_usd=paid * USD + 1.0)
    assert sum(case.server.paid.values()) == paid
    results = case.run(max_usd=limit * 10)
    assert sum(case.server.paid.values()) == 8
    assert results["spending"]["usd_at_most"] == 8 * USD


def test_a_cost_limit_without_a_price_refuses_to_start(case: Case) -> None:
    with pytest.raises(UserError, match="max_usd: the price of local:m is not known"):
        case.run(priced=False, max_usd=1.0)
    assert not case.server.requests
    results = case.run(priced=False)
    assert results["cost_usd"] == 0.0  # a server of one's own is paid by the hour
    assert results["spending"]["usd_at_most"] == "unknown"


def test_a_state_that_a_model_has_not_is_refused_before_anything_is_sent(case: Case) -> None:
    with pytest.raises(UserError, match="does not think"):
        case.run(model="vllm:AstroSage-8B")
    assert not case.server.requests


def test_both_states_of_the_switch_over_an_endpoint(case: Case) -> None:
    """Side by side, paid from one purse; a model that lacks one of them is refused before anything is sent."""

    def answer(body: dict[str, Any], before: int) -> Act:
        thinks = body["messages"][0]["content"] == "detailed thinking on"
        number = int(body["messages"][-1]["content"].split("Hot ")[1].split("?")[0])
        return Act(openai(json.dumps({"answer": "B" if thinks or number < 2 else "A"})))

    case.server.otherwise = answer
    results = case.run(thinking="both", max_usd=1e9)
    assert {name: mode["thinking"] for name, mode in results["modes"].items()} == {
        "generate": "off",
        "generate+thinking": "on",
    }
    assert [mode["accuracy"] for mode in results["modes"].values()] == [0.25, 1.0]
    found = results["thinking_difference"]
    assert (found["difference"], found["only_a"], found["only_b"]) == (0.75, 0, 6)
    assert found["p_value"] == found["p_mcnemar"] == pytest.approx(2 * 0.5**6)
    assert results["agreement"][0]["num_same"] == 2
    assert [row["mode"] for row in artifact.read_jsonl(case.out / "items.jsonl")].count("generate+thinking") == 8
    assert (results["spending"]["num_requests"], results["spending"]["usd_at_most"]) == (16, 16 * USD)
    assert "Spent with all that failed: 16 requests" in (case.out / "report.html").read_text()
    for model, why in (("vllm:AstroSage-8B", "does not think"), ("vllm:deepseek-r1", "cannot be told not to think")):
        with pytest.raises(UserError, match=why):
            case.run(case.out.with_name("other"), model=model, thinking="both")
    assert len(case.server.requests) == 16


def test_the_cost_limit_holds_for_both_states_together(case: Case) -> None:
    with pytest.raises(UserError, match="max_usd"):
        case.run(thinking="both", max_usd=8 * USD + WORST_TOKENS)
    assert sum(case.server.paid.values()) * USD <= 8 * USD + WORST_TOKENS


def test_a_limit_for_a_local_model_is_refused(tmp_path: Path, pico: Path, case: Case) -> None:
    config, inputs = from_options(str(pico), {"limits": {"max_usd": 1.0}})
    with pytest.raises(UserError, match="only used together with endpoint"):
        run(config, {"task": case.task, **inputs}, tmp_path / "x")


def test_limits_are_no_part_of_what_was_measured(case: Case) -> None:
    one = EvaluateConfig(endpoint="local:m", modes=("generate",))
    other = EvaluateConfig.model_validate({**dict(one), "limits": {"concurrency": 3}})
    assert one.model_dump() == other.model_dump()
    assert other.limits.concurrency == 3


SCRIPT = """
import json, sys
from pathlib import Path
from sagecraft.evaluation.evaluate import run
from sagecraft.evaluation.inputs import from_options
url, task, out, concurrency, store = sys.argv[1:]
config, _ = from_options("local:m", {"modes": ("generate",), "thinking": "on", "base_url": url, "limits": {"concurrency": int(concurrency)}})
run(config, {"task": Path(task)}, Path(out), store=Path(store) if store else None)
"""


def started(case: Case, out: Path, concurrency: int = 2, store: str = "") -> subprocess.Popen[bytes]:
    arguments = [case.server.url, str(case.task), str(out), str(concurrency), store]
    return subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments], stderr=subprocess.PIPE)


def wait_for(condition: Any, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def child_of(process: subprocess.Popen[bytes]) -> int:
    """The process that asks for it."""
    return int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_ctrl_c_waits_for_what_is_under_way_and_pays_nothing_twice(case: Case) -> None:
    case.server.otherwise = lambda body, before: Act(openai(), delay=0.4)
    process = started(case, case.out)
    wait_for(lambda: case.server.at_once == 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert b"requests under way are paid for" in said
    assert b"KeyboardInterrupt" in said
    assert len(case.server.requests) < 8
    case.server.otherwise = lambda body, before: Act(openai())
    results = case.run(priced=False)
    assert set(case.server.paid.values()) == {1}
    assert len(case.server.paid) == 8
    assert results["spending"]["num_maybe_paid_and_lost"] == 0


@pytest.mark.parametrize("whom", ["the run", "both"])
def test_a_scheduler_that_ends_the_run_has_what_is_under_way_waited_for(case: Case, whom: str) -> None:
    """To the run alone, as `kill` does, or to all processes of a job."""
    case.server.otherwise = lambda body, before: Act(openai(), delay=0.4)
    process = started(case, case.out)
    wait_for(lambda: case.server.at_once == 2)
    asking = child_of(process)
    process.send_signal(signal.SIGTERM)
    if whom == "both":
        os.kill(asking, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=30)
    assert is_gone(asking)  # a job's processes are killed with the first that leaves
    assert b"StoppedError: stopped; finished items are kept" in said
    assert len(case.server.requests) < 8
    case.server.otherwise = lambda body, before: Act(openai())
    results = case.run(priced=False)
    assert set(case.server.paid.values()) == {1}
    assert len(case.server.paid) == 8
    assert results["spending"]["num_maybe_paid_and_lost"] == 0


def test_a_second_ctrl_c_drops_what_is_under_way_and_counts_it(case: Case) -> None:
    case.server.otherwise = lambda body, before: Act(openai(), delay=60)
    process = started(case, case.out)
    wait_for(lambda: case.server.at_once == 2)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    case.server.otherwise = lambda body, before: Act(openai())
    spent = case.run(priced=False)["spending"]
    assert (spent["num_failures_maybe_billed"], spent["num_maybe_paid_and_lost"]) == (2, 0)


def test_a_killed_run_pays_nothing_twice_and_loses_nothing(case: Case) -> None:
    case.server.otherwise = lambda body, before: Act(openai(), delay=0.4)
    process = started(case, case.out)
    wait_for(lambda: len(case.server.requests) == 4)
    asking = child_of(process)
    process.kill()
    process.communicate(timeout=30)
    results = case.run(priced=False)  # while the other is still waiting for what it asked
    wait_for(lambda: is_gone(asking))
    assert set(case.server.paid.values()) == {1}
    assert len(case.server.paid) == 8
    assert (results["spending"]["num_replies"], results["spending"]["num_maybe_paid_and_lost"]) == (8, 0)


def test_what_is_lost_with_the_process_that_asks_is_told_and_counted(case: Case) -> None:
    case.server.otherwise = lambda body, before: Act(openai(), delay=0.4)
    process = started(case, case.out)
    wait_for(lambda: len(case.server.requests) == 4)
    os.kill(child_of(process), signal.SIGKILL)
    _, said = process.communicate(timeout=30)
    assert b"MachineError: the process that asks local:m died (exit code -9)" in said
    wait_for(lambda: case.server.at_once == 0)
    case.server.otherwise = lambda body, before: Act(openai())
    spent = case.run()["spending"]
    twice = [count for count in case.server.paid.values() if count == 2]
    assert spent["num_maybe_paid_and_lost"] == len(twice) == 2
    assert sum(case.server.paid.values()) == 10
    assert spent["usd_wasted_at_most"] > 2 * WORST_TOKENS


def test_two_processes_share_a_store_and_ask_nothing_twice(case: Case, tmp_path: Path) -> None:
    case.server.otherwise = lambda body, before: Act(openai(), delay=0.15)
    store = tmp_path / "store"
    both = [started(case, tmp_path / name, 3, str(store)) for name in ("a", "b")]
    for process in both:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    assert set(case.server.paid.values()) == {1}
    assert len(case.server.paid) == 8
    assert (tmp_path / "a/items.jsonl").read_bytes() == (tmp_path / "b/items.jsonl").read_bytes()
    assert not list((store / "sessions").iterdir())


def test_keys_stand_in_no_file(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGECRAFT_LOCAL_API_KEY", "sk-secret-of-mine")
    case.server.script = [Act(openai("B, says sk-secret-of-mine")), Act(b"sk-secret-of-mine", 500)]
    case.run()
    assert case.server.keys[0] == "Bearer sk-secret-of-mine"
    for folder in (case.out, replies_folder(case.out)):
        for path in folder.rglob("*"):
            assert path.is_dir() or b"sk-secret" not in path.read_bytes(), path


HOSTILE = "<script>alert(1)</script>\x00\x1b[31m\u202e" + "x" * 1_000_000


def test_hostile_replies_do_nothing(case: Case, tmp_path: Path) -> None:
    Case(tmp_path, case.server, num_items=1)
    broken = b'{"choices": [{"message": {"content": "\\ud800 the answer is B", "reasoning": "\\udfff"}, "finish_reason": "\\ud800"}]}'
    case.server.script = [Act(broken)]
    assert case.run()["outcomes"] == {"correct": 1}
    row = next(artifact.read_jsonl(case.out / "items.jsonl"))
    assert (row["raw"][0], row["thought"]) == ("\ufffd", "\ufffd")
    case.server.script = [Act(openai(f"{HOSTILE} the answer is B"))]
    assert case.run(tmp_path / "again")["n"] == 1
    page = (tmp_path / "again/report.html").read_text()
    assert "<script>alert(1)" not in page
    assert "\x1b" not in page
    assert len(page) < 2_000_000
