"""The forms that public conversations come in, brought into one: OpenAI's messages with the thought as a field.

Four forms of row are read: `messages` as OpenAI has them (Llama-Nemotron's later rows too), ShareGPT's `conversations`,
and Llama-Nemotron's `input` and `output`. What was pasted into text there becomes a field here: thoughts, the switch,
tool calls. Nothing here knows pydantic's models; `messages.py` checks what comes out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sagecraft.chat.thinking import SWITCH, split_thought, switch_of

#: Who speaks, as public data writes it ← the role it is; a function call is an assistant's turn.
_ROLES = {
    "system": "system",
    "developer": "system",
    "human": "user",
    "user": "user",
    "prompter": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "tool": "tool",
    "function": "tool",
    "ipython": "tool",
    "observation": "tool",
    "function_response": "tool",
    "function-response": "tool",
    "tool_response": "tool",
    "function_call": "call",
    "function-call": "call",
    "tool_call": "call",
}
#: Keys that the thought of an assistant's message is met under.
_THOUGHT_KEYS = ("thinking", "reasoning_content", "reasoning")
#: Keys of a message that say nothing a model is shown.
_SILENT_KEYS = frozenset({"annotations", "audio", "refusal", "cache_control", "timestamp", "metadata", "id"})
#: Columns of public sets that say nothing about the text of a row.
_SILENT_COLUMNS = frozenset(
    [
        "prompt",
        "prompt_id",
        "version",
        "metadata",
        "used_in_training",
        "split",
        "score",
        "num_turns",
        "n_turns",
        "turn_count",
        "language",
        "idx",
        "index",
        "dataset_name",
        "model_name",
        "timestamp",
    ]
)
#: Column of a public set ← the field of a conversation it fills, the first that holds a text.
_COLUMNS = {
    "id": ("id", "uuid", "conversation_id", "conversation_hash"),
    "kind": ("kind", "category"),
    "source": ("source", "generator", "dataset"),
    "license": ("license",),
}
_TAKEN = frozenset({"messages", "conversations", "conversation", "input", "output"}) | frozenset(
    {"tools", "thinking", "reasoning", "lineage", "system", "system_prompt"}
)
#: Columns that a row is read from; those of other names are refused, where the caller does not leave them out.
READ_COLUMNS = _TAKEN | {column for columns in _COLUMNS.values() for column in columns}


def normal_row(row: Mapping[str, Any], fallback_id: str) -> dict[str, Any]:
    """A row of any of the forms as the fields of a `Conversation`.

    Raises:
        ValueError: the row has none of the forms, or a value is wrong; the message names the key.
    """
    messages = [normal_message(entry, where) for entry, where in _turns_of(row)]
    messages = _joined(messages)
    state, strict = _state_of(row)
    if messages and messages[0]["role"] == "system":
        written, rest = switch_of(messages[0]["content"])
        state = state or written
        messages = [{**messages[0], "content": rest}, *messages[1:]] if rest.strip() else messages[1:]
    last: dict[str, Any] = next((message for message in reversed(messages) if message["role"] == "assistant"), {})
    if not strict:
        # Some public rows claim to think and hold no thought: they teach nothing about the switch.
        thinks = last.get("thinking") is not None
        state = state if thinks or state != "on" else None
        state = state or ("on" if thinks else None)
    known = READ_COLUMNS | _SILENT_COLUMNS
    result = {key: value for key, value in row.items() if key not in known}
    for name, columns in _COLUMNS.items():
        texts = [row[column] for column in columns if isinstance(row.get(column), str) and row[column]]
        if texts:
            result[name] = texts[0]
    result.setdefault("id", fallback_id)
    result |= {"messages": messages, "thinking": state, "lineage": row.get("lineage") or ()}
    if tools := normal_tools(row.get("tools")):
        result["tools"] = tools
    return result


def normal_message(value: Any, where: str) -> dict[str, Any]:
    """One message of any form as the fields of a `Message`.

    Args:
        value: an object with `role` and `content` (OpenAI), or `from` and `value` (ShareGPT).
        where: its place, for error messages.

    Raises:
        ValueError: it is no message; names the place.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected an object, found {type(value).__name__}")
    speaker_key, text_key = ("from", "value") if "from" in value else ("role", "content")
    speaker = value.get(speaker_key)
    if not isinstance(speaker, str) or speaker not in _ROLES:
        raise ValueError(f"{where}.{speaker_key}: unknown speaker {speaker!r}; known are {', '.join(sorted(_ROLES))}")
    role, content = _ROLES[speaker], _text_of(value.get(text_key), f"{where}.{text_key}")
    used = {speaker_key, text_key, "tool_calls", "function_call", "weight", *_THOUGHT_KEYS, *_SILENT_KEYS}
    result = {key: entry for key, entry in value.items() if key not in used and entry is not None}
    calls = value.get("tool_calls") or ([value["function_call"]] if value.get("function_call") else [])
    if role == "call":
        role, calls, content = "assistant", _calls_in(content, f"{where}.{text_key}"), ""
    if value.get("weight") not in (None, 1):
        raise ValueError(f"{where}.weight: every assistant message is taught alike; cut the row where it should begin")
    thought = next((value[key] for key in _THOUGHT_KEYS if value.get(key) is not None), None)
    if role == "assistant" and thought is None:
        thought, content, closed = split_thought(content)
        if not closed:
            raise ValueError(f"{where}.{text_key}: an assistant's <think> is never closed")
        thought = thought or None
    result |= {"role": role, "content": content}
    if thought is not None and (thought != "" or role != "assistant"):
        result["thinking"] = thought
    if calls:
        if not isinstance(calls, list):
            raise ValueError(f"{where}.tool_calls: expected a list")
        result["tool_calls"] = [_normal_call(call, f"{where}.tool_calls.{n}") for n, call in enumerate(calls)]
    return result


def normal_tools(value: Any) -> list[dict[str, Any]]:
    """Tool definitions in OpenAI's form, from a list or from its JSON text, bare functions wrapped.

    Raises:
        ValueError: not a list of functions with names.
    """
    if isinstance(value, str):
        value = _json_of(value, "tools") if value.strip() else None
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("tools: expected a list of function definitions")
    tools = []
    for position, tool in enumerate(value):
        tool = tool if isinstance(tool, Mapping) and "function" in tool else {"type": "function", "function": tool}
        function = tool["function"]
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise ValueError(f"tools.{position}: expected a function with a `name`")
        tools.append({"type": "function", **tool})
    return tools


def _turns_of(row: Mapping[str, Any]) -> list[tuple[Any, str]]:
    """The messages of a row, each with its place."""
    key = next((name for name in ("messages", "conversations", "conversation") if name in row), None)
    system = next((row[name] for name in ("system_prompt", "system") if row.get(name)), None)
    head = [({"role": "system", "content": system}, "system_prompt")] if system else []
    if key is not None:
        if not isinstance(row[key], list) or not row[key]:
            raise ValueError(f"{key}: expected a list of turns")
        return [*head, *((turn, f"{key}.{n}") for n, turn in enumerate(row[key]))]
    if "input" in row and "output" in row:
        asked, answer = row["input"], row["output"]
        if not isinstance(asked, str | list) or not isinstance(answer, str):
            raise ValueError("input, output: expected a text or a list of messages, and a text")
        turns = asked if isinstance(asked, list) else [{"role": "user", "content": asked}]
        return [
            *head,
            *((turn, f"input.{n}") for n, turn in enumerate(turns)),
            ({"role": "assistant", "content": answer}, "output"),
        ]
    found = ", ".join(sorted(map(str, row))[:6])
    raise ValueError(f"no `messages`, no `conversations`, no `input` and `output` (found: {found})")


def _joined(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """System messages at the start become one; a call that follows its assistant's words joins them."""
    result: list[dict[str, Any]] = []
    for message in messages:
        before = result[-1] if result else None
        if before and message["role"] == before["role"] == "system":
            result[-1] = {**before, "content": f"{before['content']}\n\n{message['content']}".strip()}
        elif before and before["role"] == "assistant" and message.get("tool_calls") and not message["content"]:
            calls = [*before.get("tool_calls", ()), *message["tool_calls"]]
            result[-1] = {**before, **{k: v for k, v in message.items() if k == "thinking"}, "tool_calls": calls}
        else:
            result.append(message)
    return [message for message in result if message["role"] != "system" or message["content"].strip()]


def _state_of(row: Mapping[str, Any]) -> tuple[Any, bool]:
    """The switch that a row names, and whether it is our own key, which is taken at its word."""
    if "thinking" in row:
        return row["thinking"], True
    state = row.get("reasoning")
    if state is None or state in SWITCH:
        return state, False
    raise ValueError(f'reasoning: expected "on" or "off", found {state!r}')


def _text_of(content: Any, where: str) -> str:
    """Content as one text: a text, null, or a list of texts and text parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else [None]
    texts = [
        part if isinstance(part, str) else part.get("text") if isinstance(part, Mapping) else None for part in parts
    ]
    kinds = [part.get("type", "text") if isinstance(part, Mapping) else "text" for part in parts]
    if any(not isinstance(text, str) for text in texts) or set(kinds) - {"text"}:
        raise ValueError(f"{where}: expected a text or a list of text parts; other kinds of content are not supported")
    return "".join(text for text in texts if text)


def _normal_call(call: Any, where: str) -> dict[str, Any]:
    """A tool call, OpenAI's or bare, with its arguments as an object."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise ValueError(f"{where}: expected a function with a `name`")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str):
        arguments = _json_of(arguments, f"{where}.arguments") if arguments.strip() else {}
    if not isinstance(arguments, Mapping | None):
        raise ValueError(f"{where}.arguments: expected a JSON object")
    result = {"name": function["name"], "arguments": dict(arguments or {})}
    return result if call.get("id") is None else {**result, "id": call["id"]}


def _calls_in(text: str, where: str) -> list[Any]:
    """The calls of a turn that is a call as a whole: JSON of one, or of a list."""
    value = _json_of(text, where)
    return value if isinstance(value, list) else [value]


def _json_of(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: not valid JSON ({error})") from error
