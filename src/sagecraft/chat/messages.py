"""Messages and conversations: the one form that synthesis writes and training, evaluation and serving read.

`read_conversations` also reads the forms that public instruction data comes in (`forms.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagecraft.chat.forms import normal_message, normal_row
from sagecraft.chat.thinking import CLOSE, OPEN, Switch
from sagecraft.errors import UserError

Role = Literal["system", "user", "assistant", "tool"]

#: Longest text of one message, in characters: a corpus that was pasted into one message by mistake stops here.
MAX_CONTENT_CHARS = 4_000_000


class ToolCall(BaseModel):
    """A call of a tool by the assistant."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, description="name of the function")
    arguments: dict[str, Any] = Field(default={}, description="its arguments, a JSON object")
    id: str | None = Field(default=None, description="what the tool's answer refers to")

    def as_openai(self) -> dict[str, Any]:
        """The form that OpenAI's messages and chat templates have, the arguments as an object."""
        call = {"type": "function", "function": {"name": self.name, "arguments": self.arguments}}
        return call if self.id is None else {"id": self.id, **call}


class Message(BaseModel):
    """One turn. A thought and tool calls are fields of their own and never pasted into the content."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Role = Field(description="who speaks")
    content: str = Field(max_length=MAX_CONTENT_CHARS, description="what is said, without any template markup")
    thinking: str | None = Field(
        default=None, max_length=MAX_CONTENT_CHARS, description="the thought before an assistant's answer"
    )
    tool_calls: tuple[ToolCall, ...] = Field(default=(), description="calls that an assistant's message ends with")
    tool_call_id: str | None = Field(default=None, description="the call that a tool's message answers")
    name: str | None = Field(default=None, description="who speaks, by name: of a tool's message, the function")

    @model_validator(mode="after")
    def _fits_its_role(self) -> Message:
        if self.thinking is not None and self.role != "assistant":
            raise ValueError(f"a {self.role} message cannot have a thought")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"a {self.role} message cannot call tools")
        if self.tool_call_id is not None and self.role != "tool":
            raise ValueError(f"a {self.role} message cannot answer a tool call")
        return self

    @classmethod
    def of(cls, value: Any, where: str) -> Message:
        """The message of an object in OpenAI's form (or ShareGPT's).

        Raises:
            ValueError: it is no message (pydantic's error is one).
        """
        return cls.model_validate(normal_message(value, where))

    def as_row(self) -> dict[str, Any]:
        """The message as JSON in OpenAI's form, with `thinking` beside `content`; what is absent is left out."""
        row: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            row["tool_calls"] = [call.as_openai() for call in self.tool_calls]
        more = {"thinking": self.thinking, "tool_call_id": self.tool_call_id, "name": self.name}
        return row | {key: value for key, value in more.items() if value is not None}


class Lineage(BaseModel):
    """The sentence of a document that a row is grounded in."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    document: str = Field(description="id of the document")
    sentence: str = Field(
        description="the sentence as it stands there; empty where the row rests on the record (author, year)"
    )
    position: int = Field(
        default=-1, ge=-1, description="running number of the sentence in the document; -1 where it is no sentence"
    )


class Conversation(BaseModel):
    """One row of an SFT set.

    Attributes:
        id: unique in its file.
        messages: the turns, a system message at most at the start.
        thinking: state of the switch; None leaves the system prompt alone.
        kind: what sort of row it is (`definition`, `number`, `general`, …), for reports and mixing.
        rule: name of the rule that made it; empty where none did.
        source: where the row comes from.
        license: licence of the text.
        lineage: the sentences it is grounded in.
        tools: definitions of the tools that the assistant may call, in OpenAI's form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str = Field(min_length=1)
    messages: tuple[Message, ...] = Field(min_length=1)
    thinking: Switch | None = None
    kind: str = "chat"
    rule: str = ""
    source: str = ""
    license: str = ""
    lineage: tuple[Lineage, ...] = ()
    tools: tuple[dict[str, Any], ...] = ()

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

    def as_row(self) -> dict[str, Any]:
        """The conversation as one JSON row, in the form that `read_conversations` gives back."""
        row = self.model_dump(mode="json", exclude={"messages", "tools"})
        if not self.rule:
            del row["rule"]
        head = {"id": row.pop("id"), "messages": [message.as_row() for message in self.messages]}
        return head | row | ({"tools": list(self.tools)} if self.tools else {})


def read_conversations(path: Path) -> Iterator[Conversation]:
    """Reads a JSONL file of conversations in OpenAI's form, ShareGPT's or Llama-Nemotron's (they may be mixed).

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


def parse_conversation(row: Mapping[str, Any], fallback_id: str) -> Conversation:
    """Makes a conversation of one row of any of the forms.

    Raises:
        ValueError: the row has none of the forms, or a value is wrong (pydantic's error is one).
    """
    return Conversation.model_validate(normal_row(row, fallback_id))
