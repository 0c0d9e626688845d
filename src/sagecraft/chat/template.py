"""The chat template of a checkpoint: messages in, the text that its model reads out.

One renderer for synthesis, training, evaluation and serving. The template travels with the checkpoint; a checkpoint
that has none gets a built-in one that fits its tokens (`templates/*.jinja`), which is then written into what is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact
from sagecraft.chat.messages import Message
from sagecraft.chat.thinking import SWITCH, Switch, join_thought, switch_of
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.chat.sandbox import CompiledTemplate
    from sagecraft.models.tokenizer import Tokenizer

_BUILT_IN = Path(__file__).parent / "templates"

#: Built-in template ← the special tokens it is written with; the last needs only an end-of-sequence token.
_NEEDS = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "llama-3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    "plain": (),
}

#: The date that templates with `strftime_now` see unless the caller names another: training data must not depend on
#: the day it was rendered. It is the date Llama 3.1's own template falls back to.
FIXED_DATE = date(2024, 7, 26)


def built_in(name: str) -> str:
    """The text of a built-in template (`chatml`, `llama-3` or `plain`)."""
    return (_BUILT_IN / f"{name}.jinja").read_text(encoding="utf-8").rstrip("\n")


@dataclass(frozen=True)
class ChatTemplate:
    """A chat template with what it needs to be rendered.

    Attributes:
        text: the Jinja source.
        name: `checkpoint`, or the name of the built-in template.
        variables: the tokenizer's named special tokens (`bos_token`, `eos_token`, …).
        where: the folder it belongs to, for error messages.
        today: what the template takes for the present day.
    """

    text: str
    name: str = "custom"
    variables: dict[str, str] = field(default_factory=dict)
    where: str = "chat template"
    today: date = FIXED_DATE

    @classmethod
    def for_tokenizer(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """The tokenizer's own template, or the built-in one that its special tokens fit."""
        variables = _named_tokens(tokenizer)
        where = str(tokenizer.folder)
        own = tokenizer.chat_template
        if own is not None:
            return cls(text=own, name="checkpoint", variables=variables, where=where)
        known = tokenizer.special_tokens
        name = next(name for name, needed in _NEEDS.items() if all(token in known for token in needed))
        if name == "plain" and not variables.get("eos_token"):
            raise UserError(
                f"{where}: no chat template, and no end-of-sequence token to build one on; add eos_token "
                "to tokenizer_config.json"
            )
        return cls(text=built_in(name), name=name, variables=variables, where=where)

    @classmethod
    def from_folder(cls, path: Path) -> ChatTemplate:
        """The template of a model folder."""
        from sagecraft.models.tokenizer import Tokenizer

        return cls.for_tokenizer(Tokenizer.from_folder(Path(path)))

    @cached_property
    def sha256(self) -> str:
        """Hash of the template's text: it stands in the manifest of whatever the template made."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def _compiled(self) -> CompiledTemplate:
        from jinja2 import TemplateError

        from sagecraft.chat.sandbox import CompiledTemplate

        try:
            return CompiledTemplate(self.text, self.today)
        except TemplateError as error:
            raise UserError(f"{self.where}: the chat template cannot be read ({error}); mend or remove it") from error

    @cached_property
    def takes_system(self) -> bool:
        """Whether the template accepts a system message; if not, its text opens the first user message."""
        from jinja2 import TemplateError

        probe = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
        try:
            self._compiled.render({**self.variables, "messages": probe, "add_generation_prompt": True})
        except TemplateError:
            return False
        return True

    def render(self, messages: Sequence[Message], *, thinking: Switch | None, add_generation_prompt: bool) -> str:
        """Renders messages as the model reads them.

        Args:
            messages: the turns.
            thinking: state of the switch; it becomes (the first line of) the system prompt. None leaves it alone.
            add_generation_prompt: end with the header of the assistant's next turn.

        Raises:
            UserError: the template refuses the messages.
        """
        turns = self.turns(messages, thinking)
        return self.render_turns([turn.as_dict() for turn in turns], add_generation_prompt=add_generation_prompt)

    def render_turns(self, turns: Sequence[dict[str, str]], *, add_generation_prompt: bool) -> str:
        """Renders turns that are ready (see `turns`)."""
        from jinja2 import TemplateError

        variables = {**self.variables, "messages": list(turns), "add_generation_prompt": add_generation_prompt}
        try:
            return self._compiled.render(variables)
        except TemplateError as error:
            raise UserError(f"{self.where}: the chat template refuses the messages: {error}") from error

    def turns(self, messages: Sequence[Message], thinking: Switch | None) -> list[Turn]:
        """Messages with the switch put in: what the template is given, with thought and text still apart."""
        turns = [
            Turn(message.role, message.content, message.thinking if thinking != "off" else None) for message in messages
        ]
        if thinking is not None:
            system = ""
            if turns and turns[0].role == "system":
                system = switch_of(turns[0].content)[1]
                turns = turns[1:]
            turns.insert(0, Turn("system", f"{SWITCH[thinking]}\n{system}".strip(), None))
        if turns and turns[0].role == "system" and not self.takes_system:
            first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
            if first is None:
                raise UserError(f"{self.where}: the chat template has no system turn, and there is no user message")
            turns[first] = Turn("user", f"{turns[0].content}\n\n{turns[first].content}", None)
            turns = turns[1:]
        return turns


@dataclass(frozen=True)
class Turn:
    """One turn as a template is given it, thought and text still apart."""

    role: str
    content: str
    thought: str | None

    def as_dict(self) -> dict[str, str]:
        """The form templates expect."""
        text = self.content if self.thought is None else join_thought(self.thought, self.content)
        return {"role": self.role, "content": text}


def _named_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    """`bos_token`, `eos_token`, … → text, from both files they may stand in."""
    path = tokenizer.folder / "special_tokens_map.json"
    stored: Any = artifact.read_json(path) if path.is_file() else {}
    named: dict[str, str] = {"bos_token": "", "eos_token": ""}
    for source in (stored, tokenizer.config):
        for key, value in source.items() if isinstance(source, dict) else ():
            text = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(text, str):
                named[key] = text
    return named
