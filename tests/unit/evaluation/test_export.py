from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from sagecraft.errors import UserError
from sagecraft.evaluation import bundle, prompts
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.export import ExportConfig, run, safe_name
from sagecraft.evaluation.extract import extract
from sagecraft.evaluation.shots import read_asked
from sagecraft.evaluation.tasks import read_task

HOSTILE = [
    "{{ 7*7 }}{% for x in y %}",
    "!!python/object/apply:os.system ['touch pwned']",
    '\'"""\\ \n- a: b\n---\n',
    "{0} {doc} %s </script>",
    "line\u2028separator\u0085 and \x00",
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def hostile_rows() -> list[dict[str, Any]]:
    return [
        {"id": text, "question": text, "choices": [text, "b", "c", "d"][: 2 + n % 3], "answer": n % 2}
        for n, text in enumerate(HOSTILE)
    ]


def load_file(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loader(yaml.SafeLoader):
    pass


Loader.add_constructor("!function", lambda loader, node: ("function", node.value))


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("astro_5", "sagecraft_astro_5"),
        ("a: !!python {{x}}/../..", "sagecraft_a_python_x"),
        ("ééé", "sagecraft_questions"),
        ("x" * 300, "sagecraft_" + "x" * 60),
    ],
)
def test_names_are_safe(given: str, safe: str) -> None:
    assert safe_name(given) == safe


def test_lm_eval_files_hold_nothing_of_a_question(tmp_path: Path) -> None:
    task = write(tmp_path / "{{ x }} !!.jsonl", hostile_rows())
    manifest = run(ExportConfig(to="lm-eval"), {"task": task}, tmp_path / "out")
    assert manifest.stats["n"] == len(HOSTILE)
    items = read_task(task).items
    with (tmp_path / "out" / "items.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for mode, options, metrics in (("continuation", "options", {"acc", "acc_norm"}), ("letter", "letters", {"acc"})):
        text = (tmp_path / "out" / f"sagecraft_x_{mode}.yaml").read_text(encoding="utf-8")
        value = yaml.load(text, Loader)
        assert value["task"] == f"sagecraft_x_{mode}"
        assert value["custom_dataset"] == ("function", "lm_eval_task.load")
        # names of columns: the harness takes what stands there, and renders no template
        assert {value["doc_to_text"], value["doc_to_choice"], value["doc_to_target"]} <= rows[0].keys()
        assert value["doc_to_choice"] == options
        assert {metric["metric"] for metric in value["metric_list"]} == metrics
        assert not any(part in text for part in HOSTILE)
    assert [row["continuation_prompt"] for row in rows] == [prompts.continuation_prompt(item) for item in items]
    assert [row["letter_prompt"] for row in rows] == [prompts.letter_prompt(item) for item in items]
    assert [row["answer"] for row in rows] == [item.answer for item in items]


def test_an_option_twice_is_right_under_both_letters(tmp_path: Path) -> None:
    rows = [
        {"question": "one?", "choices": ["same", "other", "same"], "answer": "A"},
        {"question": "two?", "choices": ["x", "y"], "answer": "B"},
    ]
    run(ExportConfig(to="lm-eval"), {"task": write(tmp_path / "t.jsonl", rows)}, tmp_path / "out")
    answers = [json.loads(line)["answer"] for line in (tmp_path / "out" / "items.jsonl").read_text().splitlines()]
    assert answers == [[0, 2], [1]]


def test_a_set_without_a_key_scores_nothing(tmp_path: Path) -> None:
    rows = [{"question": "one?", "choices": ["long option", "b"]}]
    run(ExportConfig(to="lm-eval"), {"task": write(tmp_path / "t.jsonl", rows)}, tmp_path / "out")
    value = yaml.load((tmp_path / "out" / "sagecraft_t_continuation.yaml").read_text(), Loader)
    assert [metric["metric"] for metric in value["metric_list"]] == ["bypass"]
    module = load_file(tmp_path / "out" / "lm_eval_task.py", "exported_unkeyed")
    results = [(-11.0, False), (-2.0, False)]
    assert module.unkeyed(rows[0], results) == {"bypass": 1}
    assert module.unkeyed_per_char({"options": rows[0]["choices"]}, results) == {"bypass": 0}


def test_numbers_are_read_as_ours_are(tmp_path: Path) -> None:
    task = write(tmp_path / "n.jsonl", [{"question": "3 + 4?", "target": "7"}, {"question": "1/3?", "target": "1/3"}])
    run(ExportConfig(to="lm-eval", max_tokens=99), {"task": task}, tmp_path / "out")
    value = yaml.load((tmp_path / "out" / "sagecraft_n_generate.yaml").read_text(), Loader)
    assert value["generation_kwargs"] == {"until": [], "do_sample": False, "max_gen_toks": 99}
    module = load_file(tmp_path / "out" / "lm_eval_task.py", "exported_numbers")
    assert module.number({"target": "7"}, ['{"explanation": "3 and 4", "answer": 7.0}']) == {"exact_match": 1.0}
    assert module.number({"target": "1/3"}, [r"[THINK]so 5[/THINK]The answer is \frac{2}{6}."]) == {"exact_match": 1.0}
    assert module.number({"target": "7"}, ["<think>7"]) == {"exact_match": 0.0}
    assert module.number({"target": "7"}, ["no idea"]) == {"exact_match": 0.0}


def test_inspect_files_hold_nothing_of_a_question(tmp_path: Path) -> None:
    task = write(tmp_path / "t.jsonl", hostile_rows())
    run(ExportConfig(to="inspect", max_tokens=77), {"task": task}, tmp_path / "out")
    data = json.loads((tmp_path / "out" / "items.json").read_text(encoding="utf-8"))
    items = read_task(task).items
    assert data["max_tokens"] == 77
    assert [row["input"] for row in data["items"]] == [prompts.generate_prompt(item) for item in items]
    assert [row["target"] for row in data["items"]] == [item.key for item in items]
    code = (tmp_path / "out" / "inspect_task.py").read_text(encoding="utf-8")
    assert code == (Path(bundle.__file__).parent / "exported" / "inspect_task.py").read_text(encoding="utf-8")


def test_readers_run_without_sagecraft(tmp_path: Path) -> None:
    bundle.bring(tmp_path, "evaluation.extract", "evaluation.numeric", "chat.thinking")
    for path in (tmp_path / "readers").iterdir():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "sagecraft" in (node.module or "")
        ]
    reply = 'I think it is A. {"answer": "B", "explanation": "…"}'
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from readers import extract, numeric, thinking
assert not any(name.startswith('sagecraft') for name in sys.modules)
print(extract.extract({reply!r}, ['x', 'y']).letter, numeric.read('#### 1/2')[0])
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["B", "1/2"]
    assert extract(reply, ["x", "y"]).letter == "B"


def test_readers_that_need_more_are_refused() -> None:
    with pytest.raises(ValueError, match=r"store.py, line \d+: an export cannot bring sagecraft"):
        bundle.standalone("evaluation.store")


@pytest.mark.filterwarnings("ignore")  # what Inspect imports warns of its own matters
def test_examples_stand_in_the_data(tmp_path: Path) -> None:
    task = write(tmp_path / "t.jsonl", hostile_rows())
    solved = [{"question": f"Solved {n}?", "choices": ["yes", "no"], "answer": n % 2} for n in range(5)]
    inputs = {"task": task, "shots": write(tmp_path / "s.jsonl", solved)}
    settings = {"questions": {"shots": 2}, "max_items": 3, "seed": 5}
    run(ExportConfig.model_validate({"to": "lm-eval", **settings}), inputs, tmp_path / "lm-eval")
    run(ExportConfig.model_validate({"to": "inspect", **settings}), inputs, tmp_path / "inspect")
    asked = read_asked(EvaluateConfig.model_validate(settings), inputs)
    with (tmp_path / "lm-eval" / "items.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert [row["letter_prompt"] for row in rows] == [prompts.letter_prompt(item) for item in asked.items]
    assert all(row["continuation_prompt"].count("Solved") == 2 for row in rows)
    data = json.loads((tmp_path / "inspect" / "items.json").read_text(encoding="utf-8"))
    assert [row["input"] for row in data["items"]] == [prompts.generate_turns(item) for item in asked.items]
    from inspect_ai.dataset import Sample

    turns = Sample(**data["items"][0]).input
    assert [turn.role for turn in turns if not isinstance(turn, str)] == ["user", "assistant"] * 2 + ["user"]


def test_examples_of_numbers_are_turns_that_lm_eval_does_not_know(tmp_path: Path) -> None:
    rows = [{"question": f"{n} + 1?", "target": str(n + 1)} for n in range(4)]
    inputs = {"task": write(tmp_path / "t.jsonl", rows[:2]), "shots": write(tmp_path / "s.jsonl", rows[2:])}
    config = {"to": "lm-eval", "questions": {"shots": 1}}
    with pytest.raises(UserError, match="export to inspect"):
        run(ExportConfig.model_validate(config), inputs, tmp_path / "out")


def test_bad_tasks_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        run(ExportConfig(to="inspect"), {"task": tmp_path / "none.csv"}, tmp_path / "out")
    with pytest.raises(UserError, match="takes task and shots"):
        run(ExportConfig(to="inspect"), {}, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_bytes_twice(tmp_path: Path) -> None:
    task = write(tmp_path / "t.jsonl", hostile_rows())
    first = run(ExportConfig(to="lm-eval"), {"task": task}, tmp_path / "one")
    second = run(ExportConfig(to="lm-eval"), {"task": task}, tmp_path / "two")
    assert first == second
