"""Messages and conversations: the one form that synthesis writes and training, evaluation and serving read.

`read_conversations` also reads the two forms that public instruction data comes in: ShareGPT rows
(`{"conversations": [{"from", "value"}]}`) and Llama-Nemotron rows (`{"input", "output", "reasoning", …}`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagecraft.chat.thinking import CLOSE, OPEN, SWITCH, Switch, split_thought, switch_of
from sagecraft.errors import UserError

Role = Literal["system", "user", "assistant", "tool"]

#: Longest text of one message, in characters: a corpus that was pasted into one message by mistake stops here.
MAX_CONTENT_CHARS = 4_000_000

_SHAREGPT_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "observation": "tool",
}


class Message(BaseModel):
    """One turn. A thought is a field of its own and never pasted into the content."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Role = Field(description="who speaks")
    content: str = Field(max_length=MAX_CONTENT_CHARS, description="what is said, without any template markup")
    thinking: str | None = Field(
        default=None, max_length=MAX_CONTENT_CHARS, description="the thought before an assistant's answer"
    )

    @model_validator(mode="after")
    def _only_assistants_think(self) -> Message:
        if self.thinking is not None and self.role != "assistant":
            raise ValueError(f"a {self.role} message cannot have a thought")
        return self


class Lineage(BaseModel):
    """The sentence of a document that a row is grounded in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    document: str = Field(description="id of the document")
    sentence: str = Field(
        description="the sentence as it stands there; empty where the row rests on the record (author, year)"
    )


class Conversation(BaseModel):
    """One row of an SFT set.

    Attributes:
        id: unique in its file.
        messages: the turns, a system message at most at the start.
        thinking: state of the switch; None leaves the system prompt alone.
        kind: what sort of row it is (`definition`, `number`, `general`, …), for reports and mixing.
        source: where the row comes from.
        license: licence of the text.
        lineage: the sentences it is grounded in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1)
    messages: tuple[Message, ...] = Field(min_length=1)
    thinking: Switch | None = None
    kind: str = "chat"
    source: str = ""
    license: str = ""
    lineage: tuple[Lineage, ...] = ()

    @model_validator(mode="after")
    def _well_formed(self) -> Conversation:
        if any(message.role == "system" for message in self.messages[1:]):
            raise ValueError("a system message may only stand first")
        for position, message in enumerate(self.messages):
            if message.thinking and CLOSE in message.thinking:
                raise ValueError(f"messages.{position}.thinking: holds {CLOSE}, which would end the thought")
            if message.role == "assistant" and not message.thinking and message.content.lstrip().startswith(OPEN):
                raise ValueError(f"messages.{position}.content: starts with {OPEN}; put the thought into `thinking`")
        last = next((message for message in reversed(self.messages) if message.role == "assistant"), None)
        if self.thinking == "on" and last is not None and last.thinking is None:
            raise ValueError('thinking is "on", but the last assistant message has no thought')
        return self


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Reads a JSONL file of conversations, ShareGPT rows or Nemotron rows (they may be mixed).

    Raises:
        UserError: names the file, the line and the key.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a JSONL file of conversations")
    for number, row in _numbered_rows(path):
        where = f"{path}:{number}"
        try:
            yield parse_conversation(row, fallback_id=f"{path.stem}-{number:07d}")
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ")
            raise UserError(f"{where}: {f'{key}: ' if key else ''}{message}; mend or remove the row") from error
        except ValueError as error:
            raise UserError(f"{where}: {error}; mend or remove the row") from error


def _numbered_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with the numbers of their lines; unlike `artifact.read_jsonl`, so that later faults can name them too."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:  # bad JSON or bad UTF-8
                raise UserError(f"{path}:{number}: not valid JSON ({error}); mend or remove the line") from error
            if not isinstance(row, dict):
                raise UserError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
            yield number, row


def parse_conversation(row: dict[str, Any], fallback_id: str) -> Conversation:
    """Makes a conversation of one row of any of the three forms.

    Raises:
        ValueError: the row has none of the forms, or a value is wrong (pydantic's error is one).
    """
    if "messages" in row:
        return Conversation.model_validate({"id": fallback_id, **row})
    if "conversations" in row:
        return _from_turns(_sharegpt_turns(row["conversations"]), row, fallback_id, kind=_text(row, "category"))
    if "input" in row and "output" in row:
        return _from_nemotron(row, fallback_id)
    found = ", ".join(sorted(map(str, row))[:6])
    raise ValueError(f"no `messages`, no `conversations`, no `input` and `output` (found: {found})")


def _text(row: dict[str, Any], *keys: str) -> str:
    """The first of the keys that holds a text."""
    return next((row[key] for key in keys if isinstance(row.get(key), str)), "")


def _sharegpt_turns(turns: Any) -> list[tuple[Role, str]]:
    if not isinstance(turns, list):
        raise ValueError("conversations: expected a list of turns")
    result: list[tuple[Role, str]] = []
    for position, turn in enumerate(turns):
        speaker, value = (turn.get("from"), turn.get("value")) if isinstance(turn, dict) else (None, None)
        if not isinstance(value, str):
            raise ValueError(f"conversations.{position}: expected an object with texts `from` and `value`")
        if not isinstance(speaker, str) or speaker not in _SHAREGPT_ROLES:
            raise ValueError(f"conversations.{position}.from: unknown speaker {speaker!r}")
        result.append((_SHAREGPT_ROLES[speaker], value))
    return result


def _from_nemotron(row: dict[str, Any], fallback_id: str) -> Conversation:
    turns: list[tuple[Role, str]] = []
    if system := _text(row, "system_prompt"):
        turns.append(("system", system))
    asked = row["input"]
    for message in asked if isinstance(asked, list) else [{"role": "user", "content": asked}]:
        if not isinstance(message, dict) or not isinstance(message.get("content"), str):
            raise ValueError("input: expected a text or a list of messages with `role` and `content`")
        turns.append((message.get("role", "user"), message["content"]))
    if not isinstance(row["output"], str):
        raise ValueError("output: expected a text")
    turns.append(("assistant", row["output"]))
    state = row.get("reasoning")
    if state is not None and state not in SWITCH:
        raise ValueError(f'reasoning: expected "on" or "off", found {state!r}')
    return _from_turns(turns, row, fallback_id, kind=_text(row, "category"), state=state)


def _from_turns(
    turns: list[tuple[Role, str]], row: dict[str, Any], fallback_id: str, *, kind: str, state: Switch | None = None
) -> Conversation:
    """Turns of plain text → messages: thoughts and the switch are taken out of the text they were pasted into."""
    messages: list[Message] = []
    for role, text in turns:
        if role == "system":
            written, text = switch_of(text)
            state = state or written
            if text:
                messages.append(Message(role=role, content=text))
        elif role == "assistant":
            thought, answer, closed = split_thought(text)
            if not closed:
                raise ValueError("an assistant's <think> is never closed")
            messages.append(Message(role=role, content=answer, thinking=thought or None))
        else:
            messages.append(Message(role=role, content=text))
    thinks = next((m.thinking is not None for m in reversed(messages) if m.role == "assistant"), False)
    if not thinks and state == "on":
        state = None  # some public rows claim a reasoning mode and hold no thought: they teach nothing about the switch
    return Conversation(
        id=_text(row, "id", "uuid") or fallback_id,
        messages=tuple(messages),
        thinking=state or ("on" if thinks else None),
        kind=kind or "chat",
        source=_text(row, "source", "generator"),
        license=_text(row, "license"),
    )
