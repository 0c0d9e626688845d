"""What the plan finds out about vocabularies, before any weight is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pico import CHATML, other_vocabulary
from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig
from sagecraft.merging.job import Job, make_job
from sagecraft.merging.plan import MergePlan, make_plan
from sagecraft.merging.vocabulary import COLUMNS, read_vocabulary

Copy = Callable[..., Path]


def job_of(*folders: Path, **more: Any) -> Job:
    models = [{"model": folder.name, "parameters": {"weight": 1}} for folder in folders]
    config = MergekitConfig.model_validate({"merge_method": "linear", "models": models, **more})
    return make_job(config, {folder.name: folder for folder in folders})


def plan(*folders: Path, **more: Any) -> MergePlan:
    return make_plan(job_of(*folders, **{"tokenizer": {"source": "union"}, **more}), 1000, 1)


def faults(*folders: Path, **more: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        plan(*folders, **more)
    return str(caught.value).split("\n")


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


def test_the_table(family: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = other_vocabulary(family / "b", tmp_path / "other", 1, ("<|x|>", "<|y|>"))
    found = plan(family / "a", b)
    ids = json.loads((b / "tokenizer.json").read_text())["model"]["vocab"]
    own = json.loads((family / "a" / "tokenizer.json").read_text())["model"]["vocab"]
    moved = (
        sum(ids[text] != place for text, place in own.items())
        + 2
        - sum(ids[t] in (320, 321) for t in ("<|x|>", "<|y|>"))
    )
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in found.vocabulary.table]
    common = {"shared": 320, "left out": 0}
    assert rows == [
        {"model": "a", "tokens": 320, "rows": 320, "only here": 0, "moved": 0, "special": 3, **common},
        {"model": "other", "tokens": 322, "rows": 322, "only here": 2, "moved": moved, "special": 5, **common},
    ]
    assert (found.vocabulary.num_rows, found.config["vocab_size"]) == (322, 322)
    found.vocabulary.show(job_of(family / "a", b, tokenizer_source="union"))
    shown = " ".join(capsys.readouterr().err.split())
    assert "aligned by token: 322 tokens (a's and 2 added), 322 rows; special tokens and chat template of a" in shown
    assert "rows that a lacks: 2 as in the only model that has them" in shown
    assert "rows that other lacks" not in shown
    base = plan(family / "a", b, tokenizer={"source": "a"}).vocabulary
    assert [row[COLUMNS.index("left out")] for row in base.table] == [0, 2]


@pytest.mark.parametrize("source", ["union", "a", "b"])
def test_equal_vocabularies_are_merged_row_by_row(family: Path, source: str) -> None:
    found = plan(family / "a", family / "b", tokenizer={"source": source})
    assert (found.vocabulary.action, found.vocabulary.rows) == ("same", {})


def test_other_numbers_of_rows_need_to_be_told_what_to_do(family: Path, tmp_path: Path) -> None:
    from pico import pico_model

    padded = pico_model(tmp_path / "padded", 1, vocab_size=328)
    (line,) = faults(family / "a", padded, tokenizer=None)
    assert "differ in shape, such as model.embed_tokens.weight: [320, 32] in a; [328, 32] in padded" in line
    assert plan(family / "a", padded).vocabulary.num_rows == 320
    assert plan(family / "a", padded, tokenizer={"source": "padded"}).vocabulary.num_rows == 328
    assert plan(family / "a", family / "b", tokenizer={"pad_to_multiple_of": 128}).vocabulary.num_rows == 384


def unsound(value: dict[str, Any], change: str) -> None:
    vocabulary, added = value["model"]["vocab"], value["added_tokens"]
    match change:
        case "negative":
            vocabulary["e"] = -3
        case "huge":
            added.append({**added[0], "content": "<|big|>", "id": 1 << 40})
        case "text":
            vocabulary["e"] = "7"
        case "truth":
            vocabulary["e"] = True
        case "fraction":
            vocabulary["e"] = 7.5
        case "out of range":
            vocabulary["e"] = 5000
        case "double":
            vocabulary["e"] = vocabulary["f"]
        case "two ids":
            added.append({**added[0], "content": "e", "id": 320})
        case "hole":
            added.append({**added[0], "content": "<|far|>", "id": 321})
        case "not a tokenizer":
            value["pre_tokenizer"] = {"type": "Nonsense"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("negative", "token 'e' has the id -3, which is no row"),
        ("huge", "token '<|big|>' has the id 1099511627776, which is no row"),
        ("text", "token 'e' has the id '7', which is no row"),
        ("truth", "token 'e' has the id True, which is no row"),
        ("fraction", "token 'e' has the id 7.5, which is no row"),
        ("out of range", "1 tokens have no row (such as 'e', id 5,000): the embedding has 330"),
        ("double", "2 tokens share an id with another (such as 'e', id"),
        ("two ids", "tokens load with another id than is written there (such as 'e', 320, which loads as"),
        ("hole", "tokens load with another id than is written there (such as '<|far|>', 321, which loads as 320)"),
        ("not a tokenizer", "not a tokenizer ("),
    ],
)
def test_tokenizers_of_strangers(family: Path, tmp_path: Path, change: str, says: str) -> None:
    from pico import pico_model

    folder = pico_model(tmp_path / "other", 1, vocab_size=330)
    edit(folder / "tokenizer.json", lambda value: unsound(value, change))
    (line,) = faults(family / "a", folder)
    assert line.startswith(f"{folder / 'tokenizer.json'}: ")
    assert says in line


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"model": {}}', '{"model": {"vocab": {}}}', '{"model": {"vocab": 3}}', '{"model": {"vocab": {"a": 0}}, "added_tokens": [3]}',
     '{"model": {"vocab": {"a": 0}}, "added_tokens": [{"content": "b"}]}', '{"model": {"vocab": [["a"], 7]}}', "nonsense"],
)  # fmt: skip
def test_files_without_a_vocabulary(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_vocabulary(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'tokenizer.json'}: ")
    assert "\n" not in str(caught.value)


def test_the_vocabularies_of_all_models_are_judged_at_once(family: Path, tmp_path: Path) -> None:
    folders = [other_vocabulary(family / name, tmp_path / name, n) for n, name in enumerate("bc")]
    for folder in folders:
        edit(folder / "tokenizer.json", lambda value: unsound(value, "double"))
    tokens = {"<|nowhere|>": {}, "a": {"force": True}, "b": {"source": "d"}, "c": {"source": {"kind": "model_token", "model": "c",
              "token_id": 999}}, "d": {"source": {"kind": "model_token", "model": "c", "token": "<|no|>"}}}  # fmt: skip
    found = faults(family / "a", *folders, tokenizer={"source": "a", "tokens": tokens})
    assert len(found) == 7
    for part in (
        "tokenizer.tokens['<|nowhere|>']: no model has this token; give it a source",
        "tokenizer.tokens['a']: force needs a source",
        "tokenizer.tokens['b']: 'd' is no model of this merge; there are a, b, c",
        "tokenizer.tokens['c']: c has 320 rows, and none of id 999",
        "tokenizer.tokens['d']: c has no token '<|no|>'; name one that it has",
    ):
        assert sum(line.startswith(part) for line in found) == 1, part


def test_unrelated_vocabularies_are_refused_for_a_union_only(family: Path, copy: Copy) -> None:
    folder = copy("b", "other")

    def turn(value: dict[str, Any]) -> None:
        value["model"]["merges"].reverse()

    edit(folder / "tokenizer.json", turn)
    edit(folder / "tokenizer.json", lambda value: value["added_tokens"].pop())
    edit(folder / "tokenizer.json", lambda value: value["model"]["vocab"].pop("<|im_end|>", None))
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    assert "<|im_end|>" not in vocabulary
    edit(folder / "tokenizer.json", lambda value: value["model"]["vocab"].update({"ß": 2}))
    (line,) = faults(family / "a", folder)
    assert "cannot be one tokenizer with a's" in line
    assert plan(family / "a", folder, tokenizer={"source": "a"}).vocabulary.num_rows == 320


def test_tokens_in_other_roles_are_named(family: Path, tmp_path: Path) -> None:
    folder = other_vocabulary(family / "b", tmp_path / "other", 1)
    edit(
        folder / "tokenizer_config.json", lambda config: config.update(eos_token="<|im_start|>", bos_token="<|im_end|>")
    )
    edit(folder / "tokenizer.json", lambda value: value["added_tokens"][0].update(special=False, lstrip=True))
    token = json.loads((folder / "tokenizer.json").read_text())["added_tokens"][0]["content"]
    notes = plan(family / "a", folder).notes
    for line in (
        "eos_token differs: '<|im_end|>' in a, '<|im_start|>' in other",
        "'<|im_end|>' has another role: eos_token and pad_token in a, bos_token and pad_token in other",
        "'<|im_start|>' has another role: bos_token in a, eos_token in other",
        f"{token!r} is found in texts in another way: special in a, lstrip in other",
    ):
        assert line in notes


def test_special_ids_are_those_of_the_tokenizers_model(family: Path, tmp_path: Path) -> None:
    other = other_vocabulary(family / "b", tmp_path / "other", 1, ("<|x|>",))
    ids = read_vocabulary(other).ids
    for folder, token in ((other, "<|x|>"), (shutil.copytree(family / "a", tmp_path / "own"), "<|im_start|>")):
        edit(
            folder / "config.json",
            lambda config, f=folder, t=token: config.update(eos_token_id=[read_vocabulary(f).ids[t]]),
        )
    own = tmp_path / "own"
    assert plan(own, other).config["eos_token_id"] == [read_vocabulary(own).ids["<|im_start|>"]]
    assert plan(own, other, tokenizer={"source": "other"}).config["eos_token_id"] == [ids["<|x|>"]]
    assert plan(own, family / "b", tokenizer={"source": "union"}).config["eos_token_id"] == [1]


def test_a_vocabulary_inside_a_text_configuration(family: Path, tmp_path: Path) -> None:
    other = other_vocabulary(family / "b", tmp_path / "other", 1, ("<|x|>",))
    found = plan(family / "a", other).vocabulary.result_config({"text_config": {"vocab_size": 320, "a": 1}, "b": 2})
    assert found["text_config"] | {"vocab_size": 321} == found["text_config"]
    assert (found["text_config"]["a"], found["b"], "vocab_size" in found) == (1, 2, False)


def test_a_chat_templates_tokens_must_be_there(
    family: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = other_vocabulary(family / "b", tmp_path / "other", 1, ("<|tool|>",))
    template = CHATML + "{{ '<|tool|>' }}"
    plan(family / "a", other).vocabulary.check_template(template)
    with pytest.raises(UserError, match=r"chat_template: writes '<\|tool\|>', which the result's vocabulary lacks"):
        plan(family / "a", other, tokenizer={"source": "a"}).vocabulary.check_template(template)
    named = {"source": "a", "tokens": {"<|tool|>": {"source": "other"}}}
    plan(family / "a", other, tokenizer=named).vocabulary.check_template(template)
    assert capsys.readouterr().err == ""
    plan(family / "a", other).vocabulary.check_template("{{ '<|strange|>' }}")
    assert "writes '<|strange|>', no token of any model" in " ".join(capsys.readouterr().err.split())
    plan(family / "a", other).vocabulary.check_template(None)


def test_a_tokenizer_of_no_merged_model(family: Path, tmp_path: Path) -> None:
    """A model that is not merged may give its tokenizer, if the merged ones have all its tokens."""
    outside = other_vocabulary(family / "c", tmp_path / "outside", 1)
    config = MergekitConfig.model_validate({"merge_method": "linear", "tokenizer": {"source": "outside"},
        "models": [{"model": name, "parameters": {"weight": 1}} for name in "ab"]})  # fmt: skip
    folders = {"a": family / "a", "b": family / "b", "outside": outside}
    assert config.model_names == ("a", "b", "outside")
    found = make_plan(make_job(config, folders), 1000, 1)
    assert found.vocabulary.ids == read_vocabulary(outside).ids
    assert [row[0] for row in found.vocabulary.table] == ["a", "b"]
    more = other_vocabulary(family / "c", tmp_path / "more", 1, ("<|x|>",))
    with pytest.raises(UserError, match=r"1 tokens are in no model of the merge \(such as '<\|x\|>'\); name a row"):
        make_plan(make_job(config, {**folders, "outside": more}), 1000, 1)
    edit(more / "tokenizer.json", lambda value: value["model"]["vocab"].update({"e": 1 << 30}))
    with pytest.raises(UserError, match=r"id 1,073,741,824 is beyond its tokens"):
        make_plan(make_job(config, {**folders, "outside": more}), 1000, 1)


def test_ids_of_a_configuration_in_parts_stay_in_their_part(family: Path, tmp_path: Path) -> None:
    other = other_vocabulary(family / "b", tmp_path / "other", 1, ("<|x|>",))
    entries = {"eos_token_id": 5, "image_token_id": 6, "vocab_size": 321}
    vocabulary = replace(plan(family / "a", other).vocabulary, config=entries)
    config = {"image_token_id": 1, "vocab_size": 1, "text_config": {"eos_token_id": 2, "vocab_size": 1}}
    assert vocabulary.result_config(config) == {
        "image_token_id": 6,
        "vocab_size": 321,
        "text_config": {"eos_token_id": 5, "vocab_size": 321},
    }
