"""How a chat template wants to be given a conversation: asked of the template, by rendering small ones.

Templates differ in what they read: a system turn or none, content as text or as parts, thoughts from a field of their
own or pasted into the text, a variable of their own for the switch, tool calls in one of a few shapes. What a template
shows of a probe settles it, so that nothing need be known about any model by name.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sagecraft.chat.messages import ToolCall
from sagecraft.chat.thinking import TAGS, Switch, Tags, join_thought

#: Variables that templates switch the thought with.
_SWITCHES = ("enable_thinking", "thinking")
_USER, _ANSWER, _SYSTEM, _THOUGHT = "zqprobeu", "zqprobea", "zqprobes", "zqprobet"
_CALLED, _ARGUMENT, _DEFINED = "zqprobef", "zqprobev", "zqprobed"
_ASK = {"role": "user", "content": _USER}
_LONG_ID, _SHORT_ID = "call_zq0123456789", "call00000"
_TOOL = {
    "type": "function",
    "function": {
        "name": _DEFINED,
        "description": "d",
        "parameters": {
            "type": "object",
            "properties": {"k": {"type": "string", "description": "d"}},
            "required": ["k"],
        },
    },
}
#: Renders messages with variables; None where the template refuses.
Try = Callable[..., str | None]


@dataclass(frozen=True)
class Turn:
    """One turn as it is given to a template, thought, text and calls still apart."""

    role: str
    content: str
    thought: str | None = None
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    name: str | None = None


@dataclass(frozen=True)
class Dialect:
    """What a template reads.

    Attributes:
        parts: content is a list of parts, as models that see pictures have it.
        takes_system: there is a system turn; if not, its text opens the first user message.
        thought_field: thoughts are read from `reasoning_content` or `thinking`; if not, they are pasted in `tags`.
        switch: the template's own variable for the switch; if None, the system prompt's first line is the switch.
        calls: tool calls are written at all.
        empty_content: the content of a turn that only calls: "", None, or ... for no such key.
        text_arguments: arguments of calls are given as JSON text, not as an object.
        short_ids: ids of calls have nine letters and digits (Mistral).
        tags: what stands around a thought that is pasted into the text.
    """

    parts: bool = False
    takes_system: bool = True
    thought_field: bool = False
    switch: str | None = None
    calls: bool = False
    empty_content: Any = ""
    text_arguments: bool = False
    short_ids: bool = False
    tags: Tags = TAGS[0]

    def variables(self, thinking: Switch | None) -> dict[str, bool]:
        """The template's own variable in the state of the switch."""
        return {} if self.switch is None or thinking is None else {self.switch: thinking == "on"}

    def as_dict(self, turn: Turn) -> dict[str, Any]:
        """The form in which the template is given a turn."""
        content: Any = turn.content
        message: dict[str, Any] = {"role": turn.role}
        if turn.thought is not None:
            if self.thought_field:
                # Both names, as transformers passes them.
                message |= {"reasoning_content": turn.thought, "thinking": turn.thought}
            else:
                content = join_thought(turn.thought, turn.content, self.tags)
        if self.parts:
            content = [{"type": "text", "text": content}]
        if turn.calls and not turn.content and turn.thought is None:
            content = self.empty_content
        if content is not ...:
            message["content"] = content
        if turn.calls:
            message["tool_calls"] = [self._call(call) for call in turn.calls]
        more = {"tool_call_id": turn.call_id, "name": turn.name}
        return message | {key: value for key, value in more.items() if value is not None}

    def _call(self, call: ToolCall) -> dict[str, Any]:
        form = call.as_openai()
        if self.text_arguments:
            form["function"] = {"name": call.name, "arguments": json_text(call.arguments)}
        return form


def json_text(value: Any) -> str:
    """JSON as templates write it."""
    import json

    return json.dumps(value, ensure_ascii=False)


def probe(attempt: Try, names: Collection[str]) -> Dialect:
    """Finds out what a template reads.

    Args:
        attempt: renders messages, `add_generation_prompt=…` and other variables; None where the template refuses.
        names: the names that the template mentions.
    """
    in_parts = attempt([_in_parts(_ASK)])
    # A template that prints the list itself does not read it.
    parts = not _shows(attempt([_ASK]), _USER) and _shows(in_parts, _USER) and not _shows(in_parts, f"'{_USER}'")

    def ask(*messages: Mapping[str, Any], **variables: Any) -> str | None:
        return attempt([_in_parts(m) if parts else dict(m) for m in messages], **variables)

    system = ask({"role": "system", "content": _SYSTEM}, _ASK, add_generation_prompt=True)
    answer = {"role": "assistant", "content": _ANSWER}
    thoughtful = {**answer, "reasoning_content": _THOUGHT, "thinking": _THOUGHT}
    switch = None
    for name in _SWITCHES:
        if name in names and switch is None:
            states = [
                (ask(_ASK, add_generation_prompt=True, **{name: state}), ask(_ASK, thoughtful, **{name: state}))
                for state in (True, False)
            ]
            switch = name if states[0] != states[1] and None not in states[0] + states[1] else None
    opened = {} if switch is None else {switch: True}
    return Dialect(
        parts=parts,
        takes_system=_shows(system, _SYSTEM),
        thought_field=_shows(ask(_ASK, thoughtful, **opened), _THOUGHT),
        switch=switch,
        **_probe_calls(ask),
    )


def _probe_calls(ask: Try) -> dict[str, Any]:
    """The shape in which tool calls and their answers are shown."""
    for call_id in (_LONG_ID, _SHORT_ID):
        for empty in ("", ..., None):
            for as_text in (False, True):
                shape = Dialect(empty_content=empty, text_arguments=as_text)
                calling = Turn("assistant", "", calls=(ToolCall(name=_CALLED, arguments={"k": _ARGUMENT}, id=call_id),))
                answer = {"role": "tool", "content": "r", "tool_call_id": call_id, "name": _CALLED}
                text = ask(_ASK, shape.as_dict(calling), answer, tools=[_TOOL])
                if _shows(text, _ARGUMENT) and _shows(text, _CALLED):
                    return {
                        "calls": True,
                        "empty_content": empty,
                        "text_arguments": as_text,
                        "short_ids": call_id == _SHORT_ID,
                    }
    return {}


def _in_parts(message: Mapping[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else dict(message)


def _shows(text: str | None, mark: str) -> bool:
    return text is not None and mark in text
