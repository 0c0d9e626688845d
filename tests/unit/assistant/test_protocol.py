"""What the server makes of OpenAI's messages, before any model is asked."""

from __future__ import annotations

import pytest

from sagecraft.assistant.protocol import RequestError, parse_request

CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}


def test_messages_of_an_agent() -> None:
    request = parse_request(
        {
            "messages": [
                {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
                {"role": "user", "content": "what is f?"},
                {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "3"}]},
                {"role": "assistant", "content": "<think>\nhm\n</think>\n\nThree.", "reasoning_content": None},
                {"role": "user", "content": "<think>why?</think>"},
            ]
        }
    )
    system, asked, calling, answered, told, last = request.chat_messages()
    assert (system.role, system.content, asked.content) == ("system", "Be kind.", "what is f?")
    assert (calling.content, calling.tool_calls[0].name, calling.tool_calls[0].arguments) == ("", "f", {"x": 1})
    assert (answered.role, answered.content, answered.tool_call_id) == ("tool", "3", "c1")
    # A thought that a client pasted back is one (and is left out of the prompt like every earlier thought); what users type is text.
    assert (told.thinking, told.content) == ("hm", "Three.")
    assert last.content == "<think>why?</think>"


def test_tools_are_refused_rather_than_ignored() -> None:
    with pytest.raises(RequestError, match="tools: not supported") as caught:
        parse_request({"messages": [{"role": "user", "content": "q"}], "tools": [{"type": "function"}]})
    assert caught.value.param == "tools"
