from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sagecraft import artifact
from sagecraft.chat.messages import Message
from sagecraft.cli import app
from sagecraft.errors import UserError
from sagecraft.evaluation import generate, permute, prompts, remote, score
from sagecraft.evaluation.batches import _shared
from sagecraft.evaluation.config import EvaluateConfig, QuestionsConfig
from sagecraft.evaluation.shots import locate, read_asked
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.endpoint import Endpoint
from sagecraft.inference.local import LocalEngine


def row(number: int, kind: str = "asked", topic: str = "") -> dict[str, Any]:
    answer = "AB"[number % 2]
    return {
        "id": f"{kind}{number}",
        "question": f"{kind} {number}?",
        "A": "x",
        "B": "y",
        "answer": answer,
        "topic": topic,
    }


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    artifact.write_jsonl(path, list(rows))
    return path


def config(shots: int = 2, **changes: Any) -> EvaluateConfig:
    return EvaluateConfig(
        questions=QuestionsConfig(shots=shots, shots_by_topic=changes.pop("by_topic", False)), **changes
    )


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    task = write(tmp_path / "task.jsonl", *(row(n) for n in range(6)))
    return {"task": task, "shots": write(tmp_path / "pool.jsonl", *(row(n, "shown") for n in range(30)))}


def shown(files: dict[str, Path], settings: EvaluateConfig) -> list[str]:
    asked = read_asked(settings, files)
    drawn = [[shot.id for shot in item.shots] for item in asked.items]
    assert drawn == [drawn[0]] * len(drawn)
    return drawn[0]


def test_all_questions_have_the_same_examples_drawn_by_seed(files: dict[str, Path]) -> None:
    five = shown(files, config(5))
    assert len(set(five)) == 5
    assert shown(files, config(3)) == five[:3]
    assert shown(files, config(5, max_items=2)) == five
    assert shown(files, config(5, seed=1)) != five
    assert five != [f"shown{n}" for n in range(5)]


def test_the_draw_does_not_depend_on_the_order_of_the_file(files: dict[str, Path]) -> None:
    five = shown(files, config(5))
    write(files["shots"], *(row(n, "shown") for n in reversed(range(30))))
    assert shown(files, config(5)) == five


def test_a_question_that_is_asked_is_never_shown(files: dict[str, Path]) -> None:
    copies = [{**row(n), "id": f"copy{n}", "question": f"  ASKED\n{n}?", "A": "other"} for n in range(6)]
    write(files["shots"], *copies, row(1, "shown"), row(2, "shown"), {**row(1, "shown"), "id": "again"})
    # not even of the questions of the task that a sample leaves out
    asked = read_asked(config(2, max_items=1), files)
    assert {shot.id for shot in asked.items[0].shots} == {"shown1", "shown2"}
    assert asked.shots is not None
    assert asked.shots["num_asked"] == 6
    with pytest.raises(UserError, match=r"pool\.jsonl: 2 questions can be shown, 3 are wanted; .* 6 are asked"):
        read_asked(config(3), files)


def test_examples_of_the_same_topic_where_there_are_enough(files: dict[str, Path]) -> None:
    write(files["task"], row(0, topic="stars"), row(1, topic="dust"), row(2))
    write(files["shots"], *(row(n, "shown", "stars" if n < 9 else "dust" if n == 9 else "rest") for n in range(30)))
    asked = read_asked(config(2, by_topic=True), files)
    stars, dust, without = ([shot.topic for shot in item.shots] for item in asked.items)
    assert stars == ["stars", "stars"]
    assert asked.items[1].shots == asked.items[2].shots
    assert len(dust) == len(without) == 2
    assert asked.shots is not None
    assert set(asked.shots["ids"]) == {"", "stars"}


@pytest.mark.parametrize(
    ("task", "beside"),
    [
        ("logic_test.csv", "logic_dev.csv"),
        ("test.csv", "validation.csv"),
        ("test.csv", "train.csv"),
        ("test/logic_test.csv", "dev/logic_dev.csv"),
        ("test/logic.csv", "dev/logic.csv"),
    ],
)
def test_the_split_beside_the_task(tmp_path: Path, task: str, beside: str) -> None:
    for name in (task, beside, "contest.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"question,A,B,answer\n{name}?,x,y,A\n")
    assert locate(config(), {"task": tmp_path / task})["shots"] == tmp_path / beside


def test_the_split_of_a_folder_as_on_the_hub(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in ("test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001"):
        pq.write_table(pa.Table.from_pylist([row(1, name)]), tmp_path / f"{name}.parquet")  # type: ignore[no-untyped-call]
    assert locate(config(), {"task": tmp_path})["shots"].name == "validation-00000-of-00001.parquet"
    (tmp_path / "validation-00000-of-00001.parquet").unlink()
    assert locate(config(), {"task": tmp_path})["shots"].name == "train-00000-of-00002.parquet"


def test_a_set_with_a_file_a_subject_is_asked_as_its_authors_do(tmp_path: Path) -> None:
    for split, num_rows in (("test", 3), ("dev", 5)):
        for subject in ("logic", "world_religions"):
            (tmp_path / split).mkdir(exist_ok=True)
            lines = (f"{subject} {split} {n}?,a,b,c,d,{'ABCD'[n % 4]}\n" for n in range(num_rows))
            (tmp_path / split / f"{subject}_{split}.csv").write_text("".join(lines))
    inputs = locate(config(5), {"task": tmp_path / "test"})
    assert inputs["shots"] == tmp_path / "dev"
    asked = read_asked(config(5, by_topic=True), inputs)
    assert [item.topic for item in asked.items] == ["logic"] * 3 + ["world_religions"] * 3
    for item in asked.items:
        assert len(item.shots) == 5
        assert {shot.topic for shot in item.shots} == {item.topic}


def test_what_cannot_be_shown(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no split dev, validation, val, train stands beside .*task\.jsonl"):
        locate(config(), {"task": files["task"]})
    with pytest.raises(UserError, match=r"questions\.shots: 0, though a file of examples is given"):
        locate(config(0), files)
    write(files["shots"], {**row(0, "shown"), "answer": None})
    with pytest.raises(UserError, match=r"pool\.jsonl: has no answers; examples are shown solved"):
        read_asked(config(1), files)
    write(files["shots"], {"question": "How many?", "target": "4"})
    with pytest.raises(UserError, match="asks for a number where the task asks for a choice"):
        read_asked(config(1), files)


SHOT = Item("s", "What shines?", ("dust", "stars"), 1, extra={"explanation": 'They "burn".'})
ITEM = Item("i", "What orbits?", ("planets", "voids"), 0, shots=(SHOT,))


def test_examples_as_text() -> None:
    assert (
        prompts.continuation_prompt(ITEM) == "Question: What shines?\nAnswer: stars\n\nQuestion: What orbits?\nAnswer:"
    )
    assert prompts.letter_prompt(ITEM) == (
        "Question: What shines?\nA. dust\nB. stars\nAnswer: B\n\nQuestion: What orbits?\nA. planets\nB. voids\nAnswer:"
    )


def test_examples_as_turns_reply_as_asked() -> None:
    asked, reply, last = prompts.generate_turns(ITEM)
    assert [turn["role"] for turn in (asked, reply, last)] == ["user", "assistant", "user"]
    assert "What shines?" in asked["content"]
    assert json.loads(reply["content"]) == {"answer": "B", "explanation": 'They "burn".'}
    assert last["content"] == prompts.generate_prompt(ITEM)
    assert generate.extract(reply["content"], SHOT.options, False).letter == "B"
    plain = Item("s", "q", ("dust", "stars"), 0)
    reply = prompts.generate_turns(Item("i", "q", ("a", "b"), 0, shots=(plain,)))[1]
    assert json.loads(reply["content"])["explanation"] == "The right option is: dust"


@pytest.mark.parametrize(("target", "answer"), [("72", 72), ("1,200", 1200), ("-3", -3), ("0.5", "0.5")])
def test_examples_with_numbers_show_their_steps(target: str, answer: object) -> None:
    chain = "He sold 48/2 = <<48/2=24>>24 clips.\nThen some more."
    shot = Item("s", "How many?", (), None, extra={"chain": chain}, target=target)
    reply = prompts.generate_turns(Item("i", "How much?", (), None, target="3", shots=(shot,)))[1]["content"]
    assert json.loads(reply) == {"explanation": "He sold 48/2 = 24 clips.\nThen some more.", "answer": answer}
    assert generate.numeric.grade(target, {"answer": reply, "cut": False})["correct"]


@pytest.fixture(scope="module")
def engine(pico: Path) -> LocalEngine:
    return LocalEngine(pico, "float32")


@pytest.mark.parametrize("chat", [False, True])
def test_what_is_scored_stands_behind_the_examples(engine: LocalEngine, files: dict[str, Path], chat: bool) -> None:
    settings = config(2, dtype="float32", chat_template=chat)
    items = read_asked(settings, files).items
    for ask in (score.continuation_request, score.letter_request):
        requests = [ask(engine, item, settings) for item in items]
        shots = items[0].shots
        assert all(request.prompt.count(f"Question: {shot.question}") == 1 for request in requests for shot in shots)
        prefixes = [list(request.question[0]) for request in requests if request.question]
        alone = [ask(engine, Item("", item.question, item.options, 0), settings) for item in items]
        longer = len(prefixes[0]) - len(alone[0].question[0] if alone[0].question else ())
        # all that the examples take runs once, and not for every question
        assert _shared(requests) >= longer > 20
    if chat:
        turns = [Message.model_validate(turn) for turn in prompts.letter_turns(items[0])]
        thinking = "off"
        assert requests[0].prompt == engine.template.render(turns, thinking=thinking, add_generation_prompt=True)


def test_examples_are_no_part_of_what_is_asked(files: dict[str, Path]) -> None:
    """So that runs with and without compare item by item."""
    with_them, without = read_asked(config(2), files), read_asked(config(0), {"task": files["task"]})
    assert [item.digest for item in with_them.items] == [item.digest for item in without.items]
    assert without.shots is None


def test_a_run_with_examples(pico: Path, files: dict[str, Path], tmp_path: Path) -> None:
    options = ["--shots", "2", "--shots-from", str(files["shots"]), "--column", "topic=id"]
    options += ["--column", "id=id", "--mode", "letter"]
    where = ["--task", str(files["task"]), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, ["eval", str(pico), *where, *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert set(artifact.load(tmp_path / "out").inputs) == {"model", "task", "shots"}
    shots = artifact.read_json(tmp_path / "out/results.json")["shots"]
    assert (shots["n"], shots["file"], shots["num_asked"]) == (2, "pool.jsonl", 0)
    assert shots["sha256"] == artifact.sha256_file(files["shots"])
    rows = list(artifact.read_jsonl(tmp_path / "out/items.jsonl"))
    assert [line["topic"] for line in rows] == [f"asked{n}" for n in range(6)]
    assert len(shots["ids"][""]) == 2
    for name in shots["ids"][""]:
        question = f"shown {name.removeprefix('shown')}?"
        assert all(question in line["prompt"] for line in rows)


def test_other_orders_of_the_options_have_the_same_examples() -> None:
    rotated = permute.variants([ITEM], "cyclic", 0)[0].item
    assert rotated.options == ("voids", "planets")
    assert rotated.shots == ITEM.shots


def test_an_endpoint_is_sent_the_examples_as_turns() -> None:
    endpoint = Endpoint("local:m", "http://127.0.0.1:9/v1", None)
    messages = remote.request(endpoint, ITEM, EvaluateConfig(modes=("generate",))).body["body"]["messages"]
    assert messages[-3:] == prompts.generate_turns(ITEM)


@pytest.mark.parametrize("thinking", ["off", "on"])
def test_a_reply_is_asked_for_behind_the_examples(engine: LocalEngine, thinking: Any) -> None:
    settings = EvaluateConfig(dtype="float32", thinking=thinking)
    request = generate.local_request(engine, ITEM, settings)
    turns = [Message.model_validate(turn) for turn in prompts.generate_turns(ITEM)]
    assert request.prompt == engine.template.render(turns, thinking=thinking, add_generation_prompt=True)
    assert '{"answer": "B", "explanation": "They \\"burn\\"."}' in request.prompt
