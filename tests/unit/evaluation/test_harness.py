from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sagecraft import artifact
from sagecraft.errors import MachineError, UserError
from sagecraft.evaluation import harness
from sagecraft.evaluation.harness import PRESETS, HarnessConfig, run

# what lm-eval imports warns of its own matters
pytestmark = pytest.mark.filterwarnings("ignore")

TASK = """\
task: mine
custom_dataset: !function data.load
test_split: test
output_type: multiple_choice
doc_to_text: question
doc_to_choice: choices
doc_to_target: answer
"""
DATA = """\
def load(**_):
    import datasets
    return {"test": datasets.Dataset.from_list([{"question": "Why?", "choices": ["a", "b"], "answer": 0}])}

def fails(doc, results):
    raise KeyError("no such column")
"""

FILTERS = """\
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
generation_kwargs: {until: [], do_sample: false, max_gen_toks: 4}
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "is ([0-9]{9})"}, {function: take_first}]}
  - {name: loose, filter: [{function: take_first}]}
"""
AGGREGATE = """\
aggregate_metric_list:
  - {metric: acc, aggregation: mean, weight_by_size: true}
"""


def folder(path: Path, task: str) -> Path:
    path.mkdir()
    (path / "data.py").write_text(DATA)
    (path / "mine.yaml").write_text(task)
    return path


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (TASK.replace("data.load", "data.missing"), UserError, "--task mine: lm-eval cannot load it"),
        (TASK.replace("multiple_choice", "divination"), UserError, "--task mine: lm-eval cannot load it"),
        (
            TASK.replace("custom_dataset: !function data.load", "dataset_path: nobody/nothing"),
            MachineError,
            "--include",
        ),
        (TASK + "process_results: !function data.fails\n", MachineError, "--task mine: lm-eval stopped .KeyError"),
    ],
)
def test_a_strangers_task_gives_one_line(
    pico: Path, tmp_path: Path, task: str, error: type[Exception], message: str
) -> None:
    inputs = {"model": pico, "include": folder(tmp_path / "tasks", task)}
    with pytest.raises(error, match=message) as caught:
        run(HarnessConfig(tasks=("mine",)), inputs, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_group_is_a_mode_and_its_parts_are_topics(pico: Path, tmp_path: Path) -> None:
    place = folder(tmp_path / "tasks", TASK)
    written = TASK.replace("task: mine", "task: written").replace("multiple_choice", "generate_until")
    written = written.replace("doc_to_choice: choices\n", "").replace("doc_to_target: answer", 'doc_to_target: "7"')
    (place / "written.yaml").write_text(written + FILTERS)
    (place / "all.yaml").write_text("group: all_of_it\ntask: [mine, written]\n" + AGGREGATE)
    run(HarnessConfig(tasks=("all_of_it",)), {"model": pico, "include": place}, tmp_path / "out")
    results = artifact.read_json(tmp_path / "out" / "results.json")
    rows = list(artifact.read_jsonl(tmp_path / "out" / "items.jsonl"))
    assert [(row["id"], row["mode"], row["topic"]) for row in rows] == [
        ("mine/0", "all_of_it", "mine"),
        ("written/0", "all_of_it", "written"),
    ]
    assert rows[0]["key"] == "a"  # a text, since not every question of the group has options
    assert (rows[1]["key"], rows[1]["extra"]["filter"]) == ("7", "strict")
    assert len(rows[1]["raw"]) > 0
    assert rows[1]["outcome"] == "unparsed"
    assert set(results["modes"]["all_of_it"]["by_topic"]) == {"mine", "written"}
    assert set(results["harness"]["tasks"]["written"]["metrics"]) >= {"exact_match,strict", "exact_match,loose"}
    assert "all_of_it" in results["harness"]["groups"]
    assert results["n"] == 2
    assert results["tokens"]["out"] > 0


def test_names_that_are_not_known(pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval.tasks

    known = SimpleNamespace(all_tasks=["leaderboard_ifeval", "arc_easy"], all_subtasks=[])
    monkeypatch.setattr(lm_eval.tasks, "TaskManager", lambda **_: known)
    with pytest.raises(UserError, match=r"arc_eazy.* did you mean arc_easy\?"):
        run(HarnessConfig(tasks=("arc_eazy",)), {"model": pico}, tmp_path / "out")
    with pytest.raises(UserError, match=r"IFEvl.* did you mean IFEval\?"):
        run(HarnessConfig(tasks=("IFEvl",)), {"model": pico}, tmp_path / "out")


def test_presets_are_tasks_of_the_harness() -> None:
    import lm_eval.tasks
    from lm_eval.tasks import TaskManager

    leaderboard = Path(lm_eval.tasks.__file__).parent / "leaderboard"
    manager = TaskManager(include_path=str(leaderboard), include_defaults=False)
    assert set(PRESETS.values()) <= set(manager.all_tasks)


def test_without_the_harness_the_extra_is_named(pico: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        run(HarnessConfig(tasks=("arc_easy",)), {"model": pico}, tmp_path / "out")
    from sagecraft.planning.doctor import how_to_install

    assert how_to_install(caught.value.name or "") == "pip install 'sagecraft[harness]'"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "inputs.model: missing"),
        ({"model": "m", "task": "t"}, "inputs.task: the harness takes include, model"),
        ({"model": "m", "include": "nowhere"}, "nowhere: no such folder"),
    ],
)
def test_inputs(tmp_path: Path, inputs: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(HarnessConfig(tasks=("arc_easy",)), {name: Path(path) for name, path in inputs.items()}, tmp_path / "out")


def test_what_a_harness_runs(pico: Path) -> None:
    assert harness.model_folder(str(pico)) == pico
    for model in ("openai:gpt-4o", f"{pico}+{pico}"):
        with pytest.raises(UserError, match="a harness runs a model folder"):
            harness.model_folder(model)


def test_code_of_a_models_folder_is_never_run() -> None:
    source = Path(harness.__file__).read_text(encoding="utf-8")
    assert "trust_remote_code" not in source
