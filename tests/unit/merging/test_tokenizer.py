"""One tokenizer out of several: what can be united encodes as each of its sources, what cannot is refused in a line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from pico import TEXT, pico_tokenizer
from sagecraft.errors import UserError
from sagecraft.merging.tokenizer import (
    TokenizerSettings,
    added_entry,
    find_whole,
    loaded_ids,
    moved_ids,
    write_tokenizer,
)

OTHER = "Quartz zigzags vexed the boxy jukebox; fjords hum while pyjamas squeeze. Qu Qu zig zig box box."


def trained(folder: Path, kind: str, text: str = TEXT, size: int = 300, start: int = 0) -> Path:
    """A small tokenizer of a kind, with a beginning token that its template writes; its merges or words come from `text`."""
    special = ["<unk>", "<s>"]
    if kind == "BPE":
        tokenizer = Tokenizer(models.BPE())
        trainer: Any = trainers.BpeTrainer(
            vocab_size=size, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )  # fmt: skip
        tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    else:
        model = {"Unigram": models.Unigram(), "WordPiece": models.WordPiece(unk_token="<unk>")}
        model["WordLevel"] = models.WordLevel(unk_token="<unk>")
        tokenizer = Tokenizer(model[kind])
        options = {"special_tokens": special, "show_progress": False, "vocab_size": size}
        trainer = getattr(trainers, f"{kind}Trainer")(
            **options, **({"unk_token": "<unk>"} if kind == "Unigram" else {})
        )
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace() if kind == "Unigram" else pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator([text] * 4, trainer)
    beginning = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", beginning)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def edited(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    value = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    change(value)
    target.mkdir()
    (target / "tokenizer.json").write_text(json.dumps(value), encoding="utf-8")
    (target / "tokenizer_config.json").write_bytes((source / "tokenizer_config.json").read_bytes())
    return target


def texts_of(folder: Path, text: str, special: bool = True) -> list[str]:
    return list(Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=special).tokens)


@pytest.mark.parametrize("kind", ["BPE", "Unigram", "WordPiece", "WordLevel"])
def test_tokenizers_of_one_origin_unite(kind: str, tmp_path: Path) -> None:
    base = trained(tmp_path / "base", kind)

    def add(value: dict[str, Any]) -> None:
        number = max(row["id"] for row in value["added_tokens"]) + 1
        size = max(number, len(value["model"]["vocab"]))
        value["added_tokens"].append(added_entry("<|tool|>") | {"id": size})

    tuned = edited(base, tmp_path / "tuned", add)
    assert find_whole({"base": base, "tuned": tuned}) == ("base", [], [])
    ids = loaded_ids(base / "tokenizer.json")
    ids["<|tool|>"] = max(ids.values()) + 1
    out = tmp_path / "out"
    write_tokenizer(out, base, base, [added_entry("<|tool|>") | {"id": ids["<|tool|>"]}], ids, None)
    for text in (TEXT, OTHER, "  two  spaces\n\nand lines", "<s> as text"):
        assert texts_of(out, text) == texts_of(base, text) == texts_of(tuned, text)
    assert texts_of(out, "a<|tool|>b") == texts_of(tuned, "a<|tool|>b") != texts_of(base, "a<|tool|>b")
    assert loaded_ids(out / "tokenizer.json") == ids


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("BPE", "its BPE merges are others from number 1 on"),
        ("Unigram", "its piece"),
        ("WordPiece", "is only here"),
        ("WordLevel", "is only here"),
    ],
)
def test_unrelated_tokenizers_are_refused(kind: str, says: str, tmp_path: Path) -> None:
    folders = {"base": trained(tmp_path / "base", kind), "other": trained(tmp_path / "other", kind, OTHER)}
    (line,) = find_whole(folders)[1]
    assert line.startswith(f"{folders['other'] / 'tokenizer.json'}: cannot be one tokenizer with base's (")
    assert says in line
    assert "\n" not in line


def test_kinds_and_their_settings_must_agree(tmp_path: Path) -> None:
    base = trained(tmp_path / "base", "BPE")
    (line,) = find_whole({"base": base, "words": trained(tmp_path / "words", "WordLevel")})[1]
    assert "WordLevel is not BPE" in line
    other = edited(base, tmp_path / "other", lambda value: value["pre_tokenizer"].update(add_prefix_space=False))
    (line,) = find_whole({"base": base, "other": other})[1]
    assert "pre_tokenizer differs" in line


def test_a_tokenizer_that_goes_on_with_another_stands_for_both(tmp_path: Path) -> None:
    """BPE that was trained further: its merges begin with the other's, and all texts are cut as it cuts them."""
    long = trained(tmp_path / "long", "BPE", size=300)
    kept: list[Any] = []

    def shorten(value: dict[str, Any]) -> None:
        merges = value["model"]["merges"]
        kept.extend(merges[:10])
        gone = {"".join(pair) for pair in merges[10:]}
        value["model"]["merges"] = merges[:10]
        vocabulary = {text: number for text, number in value["model"]["vocab"].items() if text not in gone}
        value["model"]["vocab"] = vocabulary

    short = edited(long, tmp_path / "short", shorten)
    assert kept
    for order in (("short", "long"), ("long", "short")):
        whole, faults, notes = find_whole({name: tmp_path / name for name in order})
        assert (whole, faults) == ("long", [])
        assert [note.split(":")[1] for note in notes] == [" texts are cut as there"]
    assert len(texts_of(long, TEXT)) < len(texts_of(short, TEXT))


def test_a_third_model_that_holds_two_others_stands_for_all(tmp_path: Path) -> None:
    all_three = trained(tmp_path / "c", "WordLevel")
    words = [text for text in loaded_ids(all_three / "tokenizer.json") if not text.startswith("<")]
    for name, word in (("a", words[0]), ("b", words[1])):

        def drop(value: dict[str, Any], word: str = word) -> None:
            del value["model"]["vocab"][word]

        edited(all_three, tmp_path / name, drop)
    whole, faults, notes = find_whole({name: tmp_path / name for name in "abc"})
    assert (whole, faults, len(notes)) == ("c", [], 2)


def test_ids_follow_their_tokens(tmp_path: Path) -> None:
    """Template, padding, configuration and generation settings come from one model, ids from another."""
    whole = trained(tmp_path / "whole", "BPE")

    def swap(value: dict[str, Any]) -> None:
        vocabulary = value["model"]["vocab"]
        vocabulary["<s>"], vocabulary["<unk>"] = vocabulary["<unk>"], vocabulary["<s>"]
        for row in value["added_tokens"]:
            row["id"] = vocabulary[row["content"]]
        value["post_processor"]["special_tokens"]["<s>"]["ids"] = [vocabulary["<s>"]]
        value["padding"] = {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                            "pad_id": vocabulary["<s>"], "pad_type_id": 0, "pad_token": "<s>"}  # fmt: skip

    source = edited(whole, tmp_path / "source", swap)
    config = {"added_tokens_decoder": {}, "additional_special_tokens": ["<s>"], "bos_token": "<s>"}
    (source / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    generation = {"bos_token_id": 0, "eos_token_id": [0, 1, 999], "max_length": 1, "suppress_tokens": [1]}
    (source / "generation_config.json").write_text(json.dumps(generation), encoding="utf-8")
    ids = loaded_ids(whole / "tokenizer.json")
    assert (ids["<s>"], loaded_ids(source / "tokenizer.json")["<s>"]) == (1, 0)
    ids["<|new|>"] = len(ids)
    write_tokenizer(tmp_path / "out", source, whole, [added_entry("<|new|>") | {"id": ids["<|new|>"]}], ids, "{{ 1 }}")
    out = Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json"))
    assert out.encode("a").ids[0] == 1
    assert out.padding["pad_id"] == 1
    read = {
        name: json.loads((tmp_path / "out" / f"{name}.json").read_text())
        for name in ("generation_config", "tokenizer_config")
    }
    assert read["generation_config"] == {
        "bos_token_id": 1,
        "eos_token_id": [1, 0, 999],
        "max_length": 1,
        "suppress_tokens": [0],
    }
    assert read["tokenizer_config"]["additional_special_tokens"] == ["<s>", "<|new|>"]
    assert read["tokenizer_config"]["added_tokens_decoder"][str(ids["<|new|>"])]["special"] is True
    assert read["tokenizer_config"]["chat_template"] == "{{ 1 }}"


def test_ids_with_holes_load_as_written(tmp_path: Path) -> None:
    def move(value: dict[str, Any]) -> None:
        value["model"]["vocab"]["e"] = 900

    whole = edited(trained(tmp_path / "base", "BPE"), tmp_path / "whole", move)
    ids = loaded_ids(whole / "tokenizer.json")
    ids["<|new|>"] = 901
    write_tokenizer(tmp_path / "out", whole, whole, [added_entry("<|new|>") | {"id": 901}], ids, None)
    assert Tokenizer.from_file(str(tmp_path / "out" / "tokenizer.json")).encode("e<|new|>").ids[-1] == 901


def test_other_post_processors() -> None:
    ids = {"<s>": 7, "</s>": 9}
    from sagecraft.merging.tokenizer import _with_ids

    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True}
    found = _with_ids({"type": "Sequence", "processors": [{"type": "ByteLevel"}, roberta]}, ids)
    assert found["processors"][1]["sep"] == ["</s>", 9]
    assert found["processors"][1]["cls"] == ["<s>", 7]
    assert _with_ids(None, ids) is None
    assert moved_ids({"pad_token_id": None, "eos_token_id": True, "x": 1}, {1: "<s>"}, ids) == {
        "pad_token_id": None,
        "eos_token_id": True,
        "x": 1,
    }


def test_an_unchanged_tokenizer_is_copied_as_it_is(tmp_path: Path) -> None:
    source = pico_tokenizer(tmp_path / "source")
    write_tokenizer(tmp_path / "out", source, source, [], loaded_ids(source / "tokenizer.json"), None)
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (source / "tokenizer.json").read_bytes()


def test_flags_of_added_tokens_travel(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_file(str(pico_tokenizer(tmp_path / "source") / "tokenizer.json"))
    tokenizer.add_tokens([AddedToken("<think>", lstrip=True, special=False, normalized=False)])
    entry = json.loads(tokenizer.to_str())["added_tokens"][-1]
    assert added_entry("<think>", entry) == entry
    assert added_entry("<|new|>")["special"] is True


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"tokens": {"x": {"source": {"kind": "zero", "model": "a"}}}}, "kind zero takes no model"),
        (
            {"tokens": {"x": {"source": {"kind": "model_token", "model": "a"}}}},
            "a model and either a token or a token_id",
        ),
        (
            {"tokens": {"x": {"source": {"kind": "model_token", "model": "a", "token": "y", "token_id": 1}}}},
            "a model and either a token or a token_id",
        ),
        ({"tokens": {"x": {"source": {"kind": "nil"}}}}, "kind 'nil' is not zero or model_token"),
        ({"tokens": {"x": {"source": {"knd": "zero"}}}}, "key 'knd' is unknown here; did you mean 'kind'?"),
        ({"tokens": {"x": {"source": 3}}}, "3 is neither a model nor a mapping"),
        ({"pad_to_multiple_of": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_sense(value: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says.replace("?", r"\?")):
        TokenizerSettings.model_validate(value)


@pytest.mark.parametrize(
    "text", ['{"model": []}', '{"model": {"vocab": {"a": 0}, "merges": [3]}}', "[]", '{"model": {"vocab": [[]]}}']
)
def test_a_tokenizer_without_pieces(text: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="holds no pieces"):
        find_whole({"a": tmp_path})
