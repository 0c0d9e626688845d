"""Tasks that were exported are run by the harnesses they were exported for: the picks are ours."""

from __future__ import annotations

import csv
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pico import pico_taught
from sagecraft import artifact
from sagecraft.evaluation import compare, evaluate, export, harness, prompts
from sagecraft.evaluation.config import EvaluateConfig
from sagecraft.evaluation.tasks import Item, read_task

# the harnesses and what they import warn of their own matters
pytestmark = pytest.mark.filterwarnings("ignore")

HOSTILE = ["{{ 7*7 }}", "{% raw %}", "!!python/object/apply:os.system", "'\"\\ \n- a: b", "</script>\u2028", "plain"]
WORDS = ["helium", "a planet", "light of the core", "mass", "an ellipse", "time"]


def choices() -> list[dict[str, Any]]:
    """2 to 10 options; of the last question the right one stands there twice."""
    rows = []
    for n in range(5):
        options = [WORDS[(n + k) % 6][: 3 + k] for k in range((2, 3, 10, 4, 3)[n])]
        options[0] = HOSTILE[n % 6]
        rows.append({"id": f"q{n}", "question": f"{HOSTILE[n % 6]} Why {n}?", "choices": options})
        rows[-1]["answer"] = n % len(options)
    rows[-1]["choices"][1] = rows[-1]["choices"][0]
    return rows


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


class World:
    """A taught model, a set of choices and one of numbers, and what they are as tasks of both harnesses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.choices = written(folder / "choices {{ }}.jsonl", choices())
        numbers = [
            {"id": f"n{n}", "question": f"{word} and one?", "target": str(n + 2)} for n, word in enumerate(WORDS[:5])
        ]
        self.numbers = written(folder / "numbers.jsonl", numbers)
        self.model = pico_taught(
            folder / "model", [*map(self.reply, read_task(self.choices).items + read_task(self.numbers).items)]
        )
        rows = [{**row, "id": row["id"].replace("q", "u"), "answer": None} for row in choices()]
        self.unkeyed = written(folder / "unkeyed.jsonl", rows)
        self.tasks = (self.choices, self.numbers, self.unkeyed)
        for task in self.tasks:
            for to in ("lm-eval", "inspect"):
                config = export.ExportConfig.model_validate({"to": to, "max_tokens": 24})
                export.run(config, {"task": task}, folder / f"{to}-{task.stem[:7]}")

    @staticmethod
    def reply(item: Item) -> tuple[str, str]:
        """Right for some, wrong for others, unreadable for a few."""
        number = int(item.id[1:])
        if item.target:
            said = {
                0: '{"answer": 2}',
                1: "#### 3.0",
                2: "It is 5.",
                3: "none",
                4: '{"answer": 6}',
            }[number]
        else:
            said = "no" if number % 5 == 4 else json.dumps({"answer": item.letters[number % 2]})
        return prompts.generate_prompt(item), said

    def ours(self, task: Path, *modes: str) -> dict[str, dict[str, Any]]:
        out = self.folder / f"ours-{task.stem[:7]}-{modes[0]}"
        config = {"modes": modes, "dtype": "float32", "thinking": None, "reply": {"answer_tokens": 24}}
        evaluate.run(EvaluateConfig.model_validate(config), {"model": self.model, "task": task}, out)
        return {f"{row['mode']} {row['id']}": row for row in artifact.read_jsonl(out / "items.jsonl")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("harnesses"))


def by_lm_eval(world: World, include: str, out: str, **settings: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    config = harness.HarnessConfig.model_validate({"dtype": "float32", **settings})
    harness.run(config, {"model": world.model, "include": world.folder / include}, world.folder / out)
    return artifact.read_json(world.folder / out / "results.json"), list(
        artifact.read_jsonl(world.folder / out / "items.jsonl")
    )


def spaced_letters(world: World) -> dict[str, list[float]]:
    """Log-probability of " A", " B", … alone, by the id of the question."""
    from sagecraft.inference.local import LocalEngine

    engine = LocalEngine(world.model, "float32")
    items = read_task(world.choices).items
    asked = [
        (
            engine.tokenizer.encode(prompts.letter_prompt(item)),
            [engine.tokenizer.encode(f" {letter}") for letter in item.letters],
        )
        for item in items
    ]
    assert all(len(ids) == 1 for _, letters in asked for ids in letters)
    return {item.id: [ids[0] for ids in scores] for item, scores in zip(items, engine.score(asked), strict=True)}


def test_lm_eval_scores_options_as_we_do(world: World) -> None:
    ours = world.ours(world.choices, "continuation", "letter")
    names = ("sagecraft_choices_continuation", "sagecraft_choices_letter")
    results, rows = by_lm_eval(world, "lm-eval-choices", "scored", tasks=names)
    assert len(rows) == 10
    spaced = spaced_letters(world)
    for row in rows:
        mode = row["mode"].rpartition("_")[2]
        own = ours[f"{mode} q{row['id'].rpartition('/')[2]}"]
        assert row["prompt"] == own["prompt"]
        sums = [option["sum"] for option in row["options"]]
        if mode == "continuation":
            assert sums == pytest.approx([option["sum"] for option in own["options"]], abs=1e-3)
            assert (row["pick"], row["correct"]) == (own["pick"], own["correct"])
        else:  # ours adds the letter without a space in front of it, which may turn a pick
            assert sums == pytest.approx(spaced[own["id"]], abs=1e-3)
            assert row["pick"] == own["options"][sums.index(max(sums))]["letter"]
            most = max(option["probability"] for option in own["options"])
            assert row["pick"] == own["pick"] or max(map(math.exp, sums)) < most
    by_name = {name: [row["correct"] for row in rows if row["mode"] == name] for name in names}
    assert 0 < sum(by_name[names[0]]) < 5
    # the harness's own figures say the same as its rows
    figures = {name: results["harness"]["tasks"][name]["metrics"] for name in names}
    assert figures[names[0]]["acc_norm,none"] == pytest.approx(sum(by_name[names[0]]) / 5)
    assert figures[names[1]]["acc,none"] == pytest.approx(sum(by_name[names[1]]) / 5)
    assert results["accuracy"] == pytest.approx(sum(by_name[names[0]]) / 5)


def test_lm_eval_reads_numbers_as_we_do(world: World) -> None:
    ours = world.ours(world.numbers, "generate")
    results, rows = by_lm_eval(
        world, "lm-eval-numbers", "numbers", tasks=("sagecraft_numbers_generate",), chat_template=True
    )
    own = [ours[f"generate {item.id}"] for item in read_task(world.numbers).items]
    assert [row["raw"] for row in rows] == [row["raw"].removesuffix("<|im_end|>") for row in own]
    assert [row["prompt"] for row in rows] == [row["prompt"] for row in own]
    assert [row["correct"] for row in rows] == [row["correct"] for row in own]
    assert 0 < sum(row["correct"] for row in own) < len(own)
    assert results["harness"]["chat_template_sha"] == results["template_sha256"]


def test_lm_eval_keeps_picks_of_a_set_without_a_key(world: World) -> None:
    ours = world.ours(world.unkeyed, "continuation")
    names = ("sagecraft_unkeyed_continuation",)
    results, rows = by_lm_eval(world, "lm-eval-unkeyed", "unkeyed", tasks=names)
    assert [row["pick"] for row in rows] == [row["pick"] for row in ours.values()]
    assert len({row["pick"] for row in rows}) > 1
    assert results["accuracy"] is None
    with (world.folder / "unkeyed" / "predictions.csv").open(encoding="utf-8", newline="") as file:
        assert [row["answer"] for row in csv.DictReader(file)] == [row["pick"] for row in rows]


def test_inspect_picks_as_we_do(world: World) -> None:
    code = """
import json, sys
from inspect_ai import eval
model, logs, *tasks = sys.argv[1:]
found = eval(tasks, model='hf/taught', model_args={'model_path': model, 'do_sample': False}, log_dir=logs, display='none')
for log in found:
    assert log.status == 'success', log.error
    for sample in log.samples:
        score = sample.scores['pick']
        print(json.dumps([sample.id, score.answer, score.value, score.explanation]))
    for scored in log.results.scores:  # none of a set without a key
        print(json.dumps({metric.name: metric.value for metric in scored.metrics.values()}))
"""
    tasks = [f"inspect-{name}/inspect_task.py" for name in ("choices", "numbers", "unkeyed")]
    command = [sys.executable, "-c", code, str(world.model), str(world.folder / "logs"), *tasks]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=world.folder)
    assert done.returncode == 0, done.stderr[-2000:]
    said = [json.loads(line) for line in done.stdout.splitlines() if line[:1] in "[{"]
    ours = {key: row for task in world.tasks for key, row in world.ours(task, "generate").items()}
    rows = [line for line in said if isinstance(line, list)]
    assert len(rows) == len(ours) == 15
    for id_, answer, value, reply in rows:
        own = ours[f"generate {id_}"]
        assert reply == own["raw"].removesuffix("<|im_end|>")
        assert answer == own["pick"]
        graded = own["pick"] if id_.startswith("u") else "C" if own["correct"] else "I"
        assert value == ("N" if own["pick"] is None else graded)
    assert {value for id_, _, value, _ in rows if not id_.startswith("u")} == {"C", "I", "N"}
    shares = [line["accuracy"] for line in said if isinstance(line, dict)]
    assert sorted(shares) == sorted(
        sum(row["correct"] for row in ours.values() if row["id"].startswith(kind)) / number
        for kind, number in (("q", 5), ("n", 5))
    )


def test_what_the_harness_found_can_be_compared(world: World) -> None:
    names = ("sagecraft_choices_letter",)
    by_lm_eval(world, "lm-eval-choices", "again", tasks=names, limit=3)
    shutil.copytree(world.folder / "again", world.folder / "copy")
    compare.run(
        compare.CompareConfig(), {"0": world.folder / "again", "1": world.folder / "copy"}, world.folder / "compared"
    )
    (pair,) = artifact.read_json(world.folder / "compared" / "results.json")["pairs"]
    assert pair["n"] == 3
    assert pair["difference"] == 0
