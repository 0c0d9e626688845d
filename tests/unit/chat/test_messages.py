"""Reading conversations in the forms they come in; errors name the line and the key."""

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
        (
            {"messages": [USER, {**ANSWER, "content": "<think>x"}]},
            "messages.1.content: an assistant's <think> is never",
        ),
        ({"messages": [USER, {**ANSWER, "thinking": 3}]}, "messages.1.thinking"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "messages.1.weight"),
        ({"messages": [USER, {**ANSWER, "colour": "red"}]}, "messages.1.colour"),
        ({"messages": [USER, "a"]}, "messages.1: expected an object"),
        ({"messages": []}, "messages: expected a list"),
        (
            {"messages": [{**USER, "content": [{"type": "image_url", "image_url": "x"}]}]},
            "messages.0.content: expected a text",
        ),
        ({"messages": [{**USER, "content": {"a": 1}}]}, "messages.0.content: expected a text"),
        ({"messages": [{**USER, "tool_calls": [{"name": "f"}]}, ANSWER]}, "cannot call tools"),
        ({"messages": [{**USER, "tool_call_id": "1"}, ANSWER]}, "cannot answer a tool call"),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": "{"}]}]}, "tool_calls.0.arguments"),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{"name": "f", "arguments": "[1]"}]}]}, "expected a JSON object"),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{"arguments": {}}]}]}, "tool_calls.0: expected a function"),
        ({"messages": [USER, ANSWER], "tools": "[{"}, "tools: not valid JSON"),
        ({"messages": [USER, ANSWER], "tools": [{"type": "function"}]}, "tools.0: expected a function"),
        ({"conversations": [{"from": "function_call", "value": "f(x)"}]}, "conversations.0.value: not valid JSON"),
        ({"input": 3, "output": "a"}, "input, output: expected"),
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


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def test_reads_openai_messages_with_tools(tmp_path: Path) -> None:
    text_call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    path = written(
        tmp_path,
        {
            "messages": [
                {"role": "developer", "content": "Be kind."},
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "what "}, {"type": "text", "text": "is f?"}]},
                {"role": "assistant", "content": None, "refusal": None, "tool_calls": [text_call]},
                {"role": "tool", "tool_call_id": "c1", "name": "f", "content": "3"},
                {"role": "assistant", "content": "Three.", "reasoning_content": "f(1) is 3."},
            ],
            "tools": [TOOL],
            "prompt_id": "p",
            "source": "set",
        },
        {
            "messages": [
                {"role": "user", "content": "q", "name": "Ann"},
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                {"role": "function", "name": "f", "content": "0"},
            ]
        },
    )
    row, old = read_conversations(path)
    assert [m.role for m in row.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert row.messages[0].content == "Be kind.\n\nBe brief."
    assert row.messages[1].content == "what is f?"
    assert [call.as_openai() for call in row.messages[2].tool_calls] == [CALL]
    assert (row.messages[3].tool_call_id, row.messages[3].name) == ("c1", "f")
    assert (row.messages[4].thinking, row.thinking, row.source) == ("f(1) is 3.", "on", "set")
    assert row.tools == (TOOL,)
    assert (old.messages[1].tool_calls[0].name, old.messages[2].role, old.messages[0].name) == ("f", "tool", "Ann")


def test_reads_sharegpt_with_calls_and_observations(tmp_path: Path) -> None:
    bare = {"name": "f", "parameters": {}}
    turns = [
        {"from": "human", "value": "q"},
        {"from": "gpt", "value": "Let me see."},
        {"from": "function_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"from": "observation", "value": "3"},
        {"from": "bot", "value": "Three."},
    ]
    path = written(
        tmp_path,
        {"conversations": turns, "tools": json.dumps([bare]), "system": "Be kind."},
        {
            "conversation": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            "conversation_id": "z",
        },
    )
    row, other = read_conversations(path)
    assert [m.role for m in row.messages] == ["system", "user", "assistant", "tool", "assistant"]
    calling = row.messages[2]
    assert (calling.content, calling.tool_calls[0].arguments) == ("Let me see.", {"x": 1})
    assert row.tools == (TOOL,)
    assert (other.id, other.messages[1].content) == ("z", "a")


def test_reads_later_nemotron_rows(tmp_path: Path) -> None:
    head = {
        "uuid": "u",
        "license": "cc-by-4.0",
        "generator": "g",
        "version": "v2",
        "category": "math",
        "metadata": "{}",
    }
    thinks = {"role": "assistant", "content": "<think>\nt\n</think>\n\na", "tool_calls": []}
    plain = {"role": "assistant", "content": "<think>\n\n</think>\n\na"}
    empty_system = {"role": "system", "content": ""}
    path = written(
        tmp_path,
        {**head, "reasoning": "on", "messages": [empty_system, USER, thinks]},
        {**head, "reasoning": "off", "messages": [{"role": "system", "content": "detailed thinking off"}, USER, plain]},
        {**head, "reasoning": "on", "messages": [USER, ANSWER]},
    )
    on, off, claims = read_conversations(path)
    assert (on.id, on.kind, on.license, on.source, on.thinking) == ("u", "math", "cc-by-4.0", "g", "on")
    assert [m.role for m in on.messages] == ["user", "assistant"]
    assert (on.messages[1].thinking, on.messages[1].content) == ("t", "a")
    assert (off.thinking, off.messages[1].thinking, off.messages[1].content, len(off.messages)) == ("off", None, "a", 2)
    assert claims.thinking is None


def test_rows_written_are_read_back(tmp_path: Path) -> None:
    rows = list(
        read_conversations(
            written(
                tmp_path,
                {"messages": [USER, {**ANSWER, "thinking": "t", "tool_calls": [CALL]}, {"role": "tool", "content": "3"}],
                 "tools": [TOOL], "lineage": [{"document": "d", "sentence": "s"}], "license": "cc"},
                {"messages": [USER, ANSWER], "thinking": None},
            )
        )
    )  # fmt: skip
    again = tmp_path / "again.jsonl"
    again.write_text("".join(json.dumps(row.as_row()) + "\n" for row in rows))
    assert list(read_conversations(again)) == rows
    assert rows[1].as_row()["messages"] == [USER, ANSWER]


def test_what_users_type_is_no_switch(tmp_path: Path) -> None:
    typed = {"role": "user", "content": "detailed thinking on\n<think>hm</think> /no_think"}
    (row,) = read_conversations(written(tmp_path, {"messages": [typed, ANSWER]}))
    assert (row.thinking, row.messages[0].content) == (None, typed["content"])
