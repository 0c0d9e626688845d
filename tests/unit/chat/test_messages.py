"""Reading conversations in three forms; errors name the line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sagecraft.chat.messages import read_conversations
from sagecraft.errors import UserError


def written(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}


def test_reads_three_forms(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        {"id": "x", "messages": [USER, {**ANSWER, "thinking": "t"}], "thinking": "on", "kind": "number",
         "lineage": [{"document": "d", "sentence": "s"}]},
        "",
        {"conversations": [{"from": "system", "value": "detailed thinking on"}, {"from": "human", "value": "q"},
                           {"from": "gpt", "value": "<think>\nt\n</think>\n\na"}]},
        {"input": [{"role": "user", "content": "q"}], "output": "a", "reasoning": "off",
         "system_prompt": "detailed thinking off", "category": "science", "license": "cc", "generator": "g"},
        {"input": "q", "output": "<think>\nt\n</think>\na", "reasoning": "on", "system_prompt": "Be kind."},
    )  # fmt: skip
    first, sharegpt, nemotron, on = read_conversations(path)
    assert first.lineage[0].sentence == "s"
    assert first.messages[1].thinking == "t"
    assert (sharegpt.id, sharegpt.thinking, len(sharegpt.messages)) == ("rows-0000003", "on", 2)
    assert (sharegpt.messages[1].thinking, sharegpt.messages[1].content) == ("t", "a")
    assert (nemotron.thinking, nemotron.kind, nemotron.license, nemotron.source) == ("off", "science", "cc", "g")
    assert nemotron.messages[0].role == "user"
    assert (on.thinking, on.messages[0].content, on.messages[2].thinking) == ("on", "Be kind.", "t")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("{", "not valid JSON"),
        ("[1]", "expected a JSON object"),
        ({"text": "x"}, "no `messages`"),
        ({"messages": [USER, ANSWER], "wieght": 1}, "wieght"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [USER, ANSWER], "thinking": "on"}, "no thought"),
        ({"messages": [USER, {"role": "system", "content": "late"}, ANSWER]}, "may only stand first"),
        ({"messages": [{**USER, "thinking": "t"}]}, "cannot have a thought"),
        ({"messages": [USER, {**ANSWER, "content": "<think>x</think>y"}]}, "put the thought into"),
        ({"messages": [USER, {**ANSWER, "thinking": "a</think>b"}]}, "would end the thought"),
        ({"conversations": [{"from": "alien", "value": "x"}]}, "unknown speaker"),
        ({"conversations": [{"from": "gpt", "value": "<think>x"}]}, "never closed"),
        ({"input": "q", "output": "a", "reasoning": "maybe"}, "reasoning"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, row: Any, says: str) -> None:
    path = written(tmp_path, {"messages": [USER, ANSWER]}, "", row)
    with pytest.raises(UserError, match=r"rows\.jsonl:3: ") as caught:
        list(read_conversations(path))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_utf8_and_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"messages": "\xff"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:1"):
        list(read_conversations(path))
    with pytest.raises(UserError, match="no such file"):
        list(read_conversations(tmp_path / "none.jsonl"))
