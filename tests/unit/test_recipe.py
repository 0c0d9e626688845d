from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.pipeline import choose, run_steps
from sagecraft.recipe import Recipe, load_recipe
from sagecraft.steps import Ref, Step, _steps, plan_steps

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))


def write(tmp_path: Path, **changes: object) -> Path:
    value = yaml.safe_load((ROOT / "recipes/quickstart.yaml").read_text())
    value.update(changes)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(value))
    return path


def faults(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        load_recipe(path, overrides)
    return str(caught.value).splitlines()


def test_all_faults_come_at_once_with_path_and_nearest_name(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        cpt={"optimizer": {"learning_rat": 1e-4, "clip_norm": "much"}, "epoch": 1},
        mergee={},
        pack={"sequence_length": 2},
    )
    lines = faults(path)
    assert len(lines) == 5
    text = "\n".join(lines)
    assert "cpt.optimizer.learning_rat: unknown key; did you mean 'learning_rate'?" in text
    assert "cpt.epoch: unknown key; did you mean 'epochs'?" in text
    assert "mergee: unknown key; did you mean 'merge'?" in text
    assert "cpt.optimizer.clip_norm: " in text
    assert "'much'" in text
    assert "pack.sequence_length: " in text
    assert all(str(path) in line for line in lines)


def test_missing_files_and_stages_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, corpus={"paths": ["no/such/folder"]}, synth=None, pack=None)
    recipe = load_recipe(path, ["evaluate.task=nowhere.csv", "base.name=smollm3"])
    with pytest.raises(UserError) as caught:
        plan_steps(recipe, tmp_path)
    text = str(caught.value)
    assert "corpus.paths[0]: no/such/folder: no such file" in text
    assert "evaluate.task: nowhere.csv: no such file" in text
    assert "base.name: model 'smollm3'" in text
    assert "cpt: needs tokens from pack" in text
    assert "render: needs conversations from synth" in text


def test_other_versions_are_refused(tmp_path: Path) -> None:
    assert "version 2 is newer" in faults(write(tmp_path, recipe=2))[0]
    assert "version 2 is newer" in faults(write(tmp_path), "recipe=2")[0]
    for value in (0, "2", None):
        assert ": recipe: input should be 1" in faults(write(tmp_path, recipe=value))[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("a: [", "not valid YAML"), ("- a", "a recipe is a mapping"), ("recipe: 1", "name: is missing")],
)
def test_what_is_no_recipe(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    assert any(message in line for line in faults(path))


def test_overrides_are_values_in_yaml(tmp_path: Path) -> None:
    path = write(tmp_path)
    recipe = load_recipe(path, ["cpt.epochs=2.5", 'corpus.paths=["a", "b"]', "evaluate=null", "seed=7"])
    assert recipe.cpt is not None
    assert recipe.cpt.epochs == 2.5
    assert recipe.corpus.paths == ["a", "b"]
    assert recipe.evaluate is None
    assert recipe.cpt.seed == 7, "the recipe's seed reaches the stages"
    assert faults(path, "cpt.epochs") == ["--set 'cpt.epochs': expected key.key=value"]
    for odd in ("=5", ".a=5", "a.=5", "."):
        assert faults(path, odd) == [f"--set {odd!r}: expected key.key=value"]
    assert faults(path, "merge.models.0.weight=1") == [
        "--set merge.models.0.weight: models is a list; set the whole of it"
    ]
    assert faults(path, "cpt.epochs=") == [f"{path}: cpt.epochs: input should be a valid number (found None)"]
    assert faults(path, "cpt.epochs=.inf") == [f"{path}: cpt.epochs: must be finite"]
    assert faults(path, "seed=x") == [
        f"{path}: seed: input should be a valid integer, unable to parse string as an integer (found 'x')"
    ]
    assert "cpt.optimiser: unknown key; did you mean 'optimizer'" in faults(path, "cpt.optimiser.learning_rate=1")[0]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_every_recipe_is_valid(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.name == path.stem


def test_steps_of_the_quickstart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    steps = plan_steps(load_recipe(Path("recipes/quickstart.yaml")), Path("recipes"))
    names = [step.name for step in steps]
    assert names == [
        "fetch", "ingest", "ingest-replay", "ingest-held-out", "withhold", "decontaminate", "decontaminate-replay",
        "mix", "pack", "cpt", "synth", "render", "sft", "merge", "evaluate-base", "evaluate-cpt", "evaluate-sft", "evaluate-merged", "report",
    ]  # fmt: skip
    by_name = {step.name: step for step in steps}
    trained_on = by_name["pack"].inputs["documents"]
    assert isinstance(trained_on, Ref)
    assert trained_on.step == by_name["synth"].inputs["documents"].step == "decontaminate"
    cleaned = by_name["decontaminate"].inputs["documents"]
    assert isinstance(cleaned, Ref)
    assert cleaned.inside == "training"
    measured_on = by_name["evaluate-merged"].inputs["domain"]
    assert isinstance(measured_on, Ref)
    assert measured_on.inside == "withheld"
    assert by_name["pack"].inputs["general"] != by_name["evaluate-merged"].inputs["general"]
    assert choose(steps, "evaluate", None)[0] == {n for n in names if n.startswith("evaluate-")}
    assert choose(steps, None, "merge")[1] == set(names[names.index("merge") :])
    with pytest.raises(UserError, match="--only ingest lies before --from merge: nothing would run"):
        choose(steps, "ingest", "merge")
    with pytest.raises(UserError, match="--only evalute: no such stage"):
        choose(steps, "evalute", None)


def test_a_merge_with_models_of_its_own(tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder seen from the recipe, and a name that is fetched by a step of its own."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "chat").symlink_to(pico)
    models = [{"model": "sft", "weight": [0.5, 0.7], "gamma": 0.02}, {"model": "chat"}, {"model": "hub"}]
    roles = {"chat": "chat", "hub": "owner/name"}
    merge = {"method": "breadcrumbs", "base": "cpt", "models": models, "roles": roles, "parameters": {"lambda": 0.9}}
    path = write(tmp_path, merge=merge)
    by_name = {step.name: step for step in plan_steps(load_recipe(path), tmp_path)}
    assert by_name["merge"].inputs == {
        "cpt": Ref("cpt", "model"),
        "sft": Ref("sft", "model"),
        "chat": tmp_path / "chat",
        "hub": Ref("fetch-hub", "model"),
    }
    assert list(by_name)[:2] == ["fetch", "fetch-hub"]
    assert by_name["fetch-hub"].config.model_dump()["name"] == "owner/name"
    for key in ("normalize", "lambda"):
        assert f"merge.{key}: unknown key; did you mean 'parameters.{key}'?" in faults(path, f"merge.{key}=1")[0]
    recipe = load_recipe(path, ["merge.roles={chat: nowhere, hub: owner/name}"])
    with pytest.raises(UserError, match=r"merge\.roles\.chat: model 'nowhere'"):
        plan_steps(recipe, tmp_path)
    recipe = load_recipe(path, ["merge.models=[{model: sft}, {model: math}]", "merge.roles={}"])
    with pytest.raises(UserError, match=r"merge\.models: 'math' is not one of base, cpt, sft; give its folder"):
        plan_steps(recipe, tmp_path)


def test_general_text_is_not_measured_where_it_is_replayed(tmp_path: Path) -> None:
    text = ROOT / "examples/general/replay/../replay"
    halves = [
        f"general.replay=[{{path: {text}, share: [0, 0.5]}}]",
        f"general.held_out=[{{path: {text}, share: [0.5, 1]}}]",
    ]
    plan_steps(load_recipe(ROOT / "recipes/quickstart.yaml", halves), ROOT)
    whole = ["general.replay=[examples/general/replay]", f"general.held_out=[{{path: {text}, share: [0.4, 1]}}]"]
    with pytest.raises(UserError, match=r"general\.held_out\[0\]: .* is trained on too \(general\.replay\[0\]\)"):
        plan_steps(load_recipe(ROOT / "recipes/quickstart.yaml", whole), ROOT)


def test_text_inside_what_is_trained_on_is_not_measured_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for held_out, key in (
        ("examples/general", "replay"),
        ("examples/general/replay/", "replay"),
        ("examples/astronomy/cosmology", "corpus"),
    ):
        recipe = load_recipe(Path("recipes/quickstart.yaml"), [f"general.held_out=[{held_out}]"])
        with pytest.raises(UserError, match=rf"general\.held_out\[0\]: .* is trained on too \(.*{key}"):
            plan_steps(recipe, Path("recipes"))


def test_word_problems_are_inputs_of_synth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_text('{"question": "What is 1 and 2?", "answer": "1+2=<<1+2=3>>3\\n#### 3"}\n')
    bad.write_text('{"question": "What is 1 and 2?", "answer": "1+2=<<1+2=4>>4\\n#### 4"}\n')

    def planned(*paths: Path) -> list[Step]:
        written = ", ".join(map(str, paths))
        return plan_steps(
            load_recipe(Path("recipes/quickstart.yaml"), [f"general.chains=[{written}]"]), Path("recipes")
        )

    (synth,) = (step for step in planned(good) if step.name == "synth")
    assert synth.inputs["chains0"] == good
    with pytest.raises(UserError, match=r"general\.chains\[1\]: .*bad\.jsonl: no word problem with steps"):
        planned(good, bad)


def test_files_are_read_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pico: Path) -> None:
    """A faulty file is found at once, all of them, and not behind an hour of training."""
    monkeypatch.chdir(ROOT)
    (tmp_path / "tasks.csv").write_text("question,A,B,answer\nWhat?,one,two,F\n")
    (tmp_path / "chat.jsonl").write_text('{"messages": 5}\n')
    model = tmp_path / "model"
    shutil.copytree(pico, model)
    changes = [f"base.name={model}", f"evaluate.task={tmp_path}/tasks.csv", f"general.chat={tmp_path}/chat.jsonl"]

    def found() -> str:
        with pytest.raises(UserError) as caught:
            plan_steps(load_recipe(Path("recipes/quickstart.yaml"), changes), Path("recipes"))
        return str(caught.value)

    assert [line.split(":")[0] for line in found().splitlines()] == [
        "evaluate.perplexity.window", "evaluate.task", "general.chat",
    ]  # fmt: skip
    assert "1,024 tokens are more than the context" in found()
    changes.append("pack.sequence_length=513")
    assert found().startswith("pack.sequence_length: 513 tokens are more than the context")
    assert "evaluate.task: " in found()
    assert "general.chat: " in found()
    (model / "tokenizer.json").unlink()
    assert "base.name: " in found()
    (model / "model.safetensors").write_bytes(b"")
    assert "base.name: " in found()
    assert "model.safetensors" in found()
    (model / "config.json").unlink()
    assert "no config.json" in found()


def test_questions_of_an_evaluation_are_read_as_it_will_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "fragen.csv").write_text("Frage,A,B,answer\nWas?,eins,zwei,A\nWo?,hier,da,B\n")
    (tmp_path / "other.csv").write_text("Frage,A,B,answer\nWie?,so,anders,A\nWas?,eins,zwei,A\n")
    changes = [f"evaluate.task={tmp_path}/fragen.csv", "evaluate.questions.columns={question: Frage}"]

    def found(*more: str) -> list[str]:
        with pytest.raises(UserError) as caught:
            plan_steps(load_recipe(Path("recipes/quickstart.yaml"), [*changes, *more]), Path("recipes"))
        return str(caught.value).splitlines()

    (clash,) = found()
    assert clash.startswith("evaluate.questions.columns: decontaminate and synth look for leaks of questions under")
    changes += ["decontaminate=null"]
    assert found() == [clash]
    changes += ["synth=null", "render=null", "sft=null", "merge=null"]
    (missing,) = found("evaluate.questions.shots=1")
    assert missing.startswith("evaluate.task: questions.shots: no split dev, validation, val, train stands beside")
    (few,) = found("evaluate.questions.shots=2", f"evaluate.shots_from={tmp_path}/other.csv")
    assert "1 questions can be shown, 2 are wanted" in few
    changes += ["evaluate.questions.shots=1", f"evaluate.shots_from={tmp_path}/other.csv"]
    steps = plan_steps(load_recipe(Path("recipes/quickstart.yaml"), changes), Path("recipes"))
    inputs = [step.inputs for step in steps if step.stage == "evaluate"]
    assert inputs
    assert {(each["task"], each["shots"]) for each in inputs} == {(tmp_path / "fragen.csv", tmp_path / "other.csv")}


def test_an_empty_path_is_not_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    recipe = load_recipe(Path("recipes/quickstart.yaml"), ['corpus.paths=[""]', 'evaluate.task=""'])
    with pytest.raises(UserError) as caught:
        plan_steps(recipe, Path("recipes"))
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "corpus.paths[0]", "evaluate.task",
    ]  # fmt: skip


def test_a_gguf_beside_the_recipe_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/base.gguf").write_bytes(b"GGUF")
    recipe = load_recipe(ROOT / "recipes/quickstart.yaml", ["base.name=base.gguf"])
    faults: list[str] = []
    first = next(iter(_steps(recipe, tmp_path / "in", faults)))
    assert (first.name, faults) == ("fetch", [])
    assert first.config.model_dump()["name"] == str(tmp_path / "in/base.gguf")


def test_seed_of_the_recipe_is_a_field_of_the_form() -> None:
    assert Recipe.model_fields["seed"].default == 0


def test_help_needs_no_torch() -> None:
    code = "import sys, sagecraft.cli; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_general_sets_are_inputs_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    here = "examples/general/instructions.jsonl"
    (tmp_path / "bad.jsonl").write_text('{"text": "no turns"}\n')
    good = [f"synth.general.sources=[{{path: {here}, weight: 2}}, {{path: {tmp_path}/bad.jsonl}}]"]
    with pytest.raises(UserError, match=r"^synth\.general\.sources\[1\]\.path: bad\.jsonl:1: no `messages`"):
        plan_steps(load_recipe(Path("recipes/quickstart.yaml"), good), Path("recipes"))
    (tmp_path / "bad.jsonl").write_text(Path(here).read_text())
    steps = {
        step.name: step for step in plan_steps(load_recipe(Path("recipes/quickstart.yaml"), good), Path("recipes"))
    }
    inputs = steps["synth"].inputs
    assert inputs["general0"] == Path(here)
    assert inputs["general1"] == tmp_path / "bad.jsonl"
    assert "general" in inputs


def test_questions_made_of_what_is_withheld_are_asked_and_kept_from_training(tmp_path: Path) -> None:
    path = write(tmp_path, bench={"items_per_document": 3})
    recipe = load_recipe(path, ["evaluate.task=null"])
    steps = {step.name: step for step in plan_steps(recipe, ROOT)}
    made = Ref("bench", "benchmark", "items.jsonl")
    assert list(steps).index("withhold") < list(steps).index("bench") < list(steps).index("decontaminate")
    assert steps["bench"].inputs == {
        "documents": Ref("withhold", "documents", "withheld"),
        "training": Ref("withhold", "documents", "training"),
    }
    assert steps["evaluate-base"].inputs["task"] == steps["evaluate-merged"].inputs["task"] == made
    for name in ("decontaminate", "decontaminate-replay", "synth"):
        assert steps[name].inputs["benchmark"] == made
    assert "bench" in steps["report"].inputs
    asked = {step.name: step for step in plan_steps(load_recipe(path), ROOT)}
    assert asked["evaluate-base"].inputs["task"] == Path("examples/astronomy/questions.jsonl")
    assert asked["synth"].inputs["benchmark-made"] == asked["decontaminate"].inputs["benchmark-made"] == made


def test_an_evaluation_without_questions_is_a_fault(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path), ["evaluate.task=null", "evaluate.shots_from=nowhere.csv"])
    with pytest.raises(UserError) as caught:
        plan_steps(recipe, tmp_path)
    assert "evaluate.task: names no questions; give a file, or add `bench:`" in str(caught.value)
    assert "evaluate.shots_from: nowhere.csv: no such file" in str(caught.value)


def test_the_steps_up_to_the_questions_run(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, bench={}), ["evaluate.task=null", "withhold.fraction=0.3"])
    names = ("ingest", "withhold", "bench", "decontaminate")
    steps = [step for step in plan_steps(recipe, ROOT) if step.name in names]
    run_steps(steps, tmp_path / "run")
    items = list(artifact.read_jsonl(tmp_path / "run/bench/items.jsonl"))
    withheld = {row["id"] for row in artifact.read_jsonl(tmp_path / "run/withhold/withheld.jsonl")}
    assert items
    assert {item["article"] for item in items} <= withheld
    made = artifact.load(tmp_path / "run/decontaminate")
    assert made.inputs["benchmark"] == artifact.input_digest(tmp_path / "run/bench/items.jsonl")
    again = run_steps(steps, tmp_path / "run")
    assert {status for _, status, _ in again} == {"skipped"}


def test_prices_of_endpoints_are_read_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (tmp_path / "prices.yaml").write_text('models: {"local:*": {price: {in: 1, out: 2}}}\n', encoding="utf-8")
    teacher = {"model": "local:wise", "base_url": "http://127.0.0.1:1/v1"}

    def planned(*overrides: str, **changes: object) -> list[Step]:
        return plan_steps(load_recipe(write(tmp_path, **changes), overrides), tmp_path)

    def fault(*overrides: str, **changes: object) -> str:
        with pytest.raises(UserError) as caught:
            planned(*overrides, **changes)
        return str(caught.value)

    synth = {"teacher": teacher, "max_usd": 5}
    assert "synth.teacher: max_usd: the price of local:wise is not known" in fault(synth=synth)
    assert "providers: no stage of this recipe asks an endpoint" in fault(providers="prices.yaml")
    assert "providers: nowhere.yaml: no such file" in fault(synth=synth, providers="nowhere.yaml")
    (step,) = [step for step in planned(synth=synth, providers="prices.yaml") if step.stage == "synth"]
    assert step.inputs["providers"] == tmp_path / "prices.yaml"
    (step,) = [step for step in planned(bench={"teacher": teacher}, providers="prices.yaml") if step.stage == "bench"]
    assert step.inputs["providers"] == tmp_path / "prices.yaml"
    assert not any(
        "providers" in step.inputs for step in planned(synth=synth, providers="prices.yaml") if step.stage != "synth"
    )
