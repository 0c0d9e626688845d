"""Conversations to packed rows: what cannot be taught is left out with its reason, what is taught is taught once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pico import pico_model
from sagecraft import artifact
from sagecraft.chat.template import built_in
from sagecraft.errors import UserError
from sagecraft.tokens.render import RenderConfig, run

ASK = {"role": "user", "content": "What is a star?"}
ANSWER = {"role": "assistant", "content": "A ball of gas."}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"name": "f", "arguments": {"x": 1}}]}


def rendered(tmp_path: Path, rows: list[dict[str, Any]], template: str, length: int = 64) -> Path:
    folder = tmp_path / "conversations"
    folder.mkdir()
    (folder / "conversations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = pico_model(tmp_path / "model")
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    out = tmp_path / "tokens"
    run(RenderConfig(sequence_length=length), {"conversations": folder, "model": model}, out)
    return out


def test_what_cannot_be_taught_is_dropped_with_its_reason(tmp_path: Path, capsys: Any) -> None:
    rows = [
        {"id": "good", "messages": [ASK, ANSWER]},
        {"id": "mute", "messages": [ASK, {**ANSWER, "content": " "}]},
        {"id": "long", "messages": [ASK, {**ANSWER, "content": "gas " * 100}]},
        {"id": "calls", "messages": [ASK, CALL]},
        {"id": "asks", "messages": [ASK]},
    ]
    plain = built_in("plain").replace("eos_token", "'<|im_end|>'")
    out = rendered(tmp_path, rows, plain)
    dropped = {row["id"]: row["reason"] for row in artifact.read_jsonl(out / "dropped.jsonl")}
    assert set(dropped) == {"mute", "long", "calls", "asks"}
    assert dropped["long"] == "longer than a row"
    assert "teach silence" in dropped["mute"]
    assert "does not write tool calls" in dropped["calls"]
    assert "nothing to learn" in dropped["asks"]
    stats = artifact.load(out).stats
    assert (stats["num_items"], stats["num_too_long"], stats["num_refused"]) == (1, 1, 3)
    assert stats["switch_variable"] is None


def test_a_run_of_which_nothing_is_left_says_why(tmp_path: Path) -> None:
    rows = [{"id": str(n), "messages": [ASK]} for n in range(3)]
    with pytest.raises(UserError, match=r"none of 3 conversations can be taught; 3 of them: no assistant message"):
        rendered(tmp_path, rows, built_in("chatml"))


def test_an_unreadable_template_is_the_models_fault(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model: the chat template cannot be read"):
        rendered(tmp_path, [{"id": "a", "messages": [ASK, ANSWER]}], "{% for %}")


def test_a_template_with_a_switch_of_its_own_is_named(tmp_path: Path) -> None:
    template = (
        built_in("chatml") + "{% if add_generation_prompt and enable_thinking is defined and not enable_thinking %}"
        "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    )
    row = {"id": "a", "messages": [ASK, {**ANSWER, "thinking": "Hm."}], "thinking": "on"}
    out = rendered(tmp_path, [row], template, length=128)
    assert artifact.load(out).stats["switch_variable"] == "enable_thinking"
