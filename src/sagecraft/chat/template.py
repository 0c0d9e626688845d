"""The chat template of a checkpoint: messages in, the text that its model reads out.

One renderer for synthesis, training, evaluation and serving. The template travels with the checkpoint; a checkpoint
that has none gets a built-in one that fits its tokens (`templates/*.jinja`), which is then written into what is trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact
from sagecraft.chat.dialect import Dialect, Turn, probe
from sagecraft.chat.messages import Message, ToolCall
from sagecraft.chat.thinking import CLOSE, OPEN, SWITCH, TAGS, Switch, Tags, opened_by, switch_of, tags_of
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.chat.sandbox import CompiledTemplate, Rendered
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

#: What transformers gives every template, used or not.
_ABSENT: dict[str, Any] = {"tools": None, "documents": None, "add_generation_prompt": False}
#: Texts that some templates take for a switch wherever they find them; a closing tag first, since it holds a shorter one.
_TYPED_SWITCHES = (CLOSE, OPEN, "/no_think", "/nothink", "/think")


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
        tool_text: the source for conversations with tools, where the checkpoint has another one for them.
        thoughts: the tags that the model's thoughts stand in, its own first (`thinking.tags_of`).
    """

    text: str
    name: str = "custom"
    variables: dict[str, str] = field(default_factory=dict)
    where: str = "chat template"
    today: date = FIXED_DATE
    tool_text: str | None = None
    thoughts: tuple[Tags, ...] = TAGS[:1]

    @classmethod
    def for_tokenizer(cls, tokenizer: Tokenizer) -> ChatTemplate:
        """The tokenizer's own template, or the built-in one that its special tokens fit."""
        variables = _named_tokens(tokenizer)
        where = str(tokenizer.folder)
        own = tokenizer.chat_template
        if own is not None:
            tools, thoughts = tokenizer.tool_template, tags_of(own, tokenizer.added_tokens)
            return cls(own, "checkpoint", variables, where, tool_text=tools, thoughts=thoughts)
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
        whole = self.text if self.tool_text is None else f"{self.text}\0{self.tool_text}"
        return hashlib.sha256(whole.encode()).hexdigest()

    @cached_property
    def _compiled(self) -> CompiledTemplate:
        from jinja2 import TemplateError

        from sagecraft.chat.sandbox import CompiledTemplate

        try:
            return CompiledTemplate(self.text, self.today)
        except TemplateError as error:
            raise UserError(
                f"{self.where}: the chat template cannot be read ({_said(error)}); mend or remove it"
            ) from error

    @cached_property
    def with_tools(self) -> ChatTemplate:
        """The template for conversations with tools: some checkpoints hold one of its own for them (`tool_use`)."""
        if self.tool_text is None:
            return self
        return replace(self, text=self.tool_text, tool_text=None)

    @cached_property
    def dialect(self) -> Dialect:
        """What the template reads."""
        from jinja2 import TemplateError

        from sagecraft.chat.sandbox import LimitError

        def attempt(messages: list[dict[str, Any]], **variables: Any) -> str | None:
            try:
                return self._compiled.render({**self.variables, **_ABSENT, "messages": messages, **variables}).text
            except LimitError as error:
                raise UserError(f"{self.where}: the chat template refuses the messages: {_said(error)}") from error
            except TemplateError:
                return None

        return replace(probe(attempt, self._compiled.names), tags=self.thoughts[0])

    @property
    def has_generation_tags(self) -> bool:
        """Whether the template itself says what the assistant is taught."""
        return self._compiled.has_generation_tags

    def render(self, messages: Sequence[Message], *, thinking: Switch | None, add_generation_prompt: bool) -> str:
        """Renders messages as the model reads them.

        Args:
            messages: the turns.
            thinking: state of the switch: the template's own variable, or (the first line of) the system prompt.
                None leaves it alone.
            add_generation_prompt: end with the header of the assistant's next turn; earlier thoughts are then left out.

        Raises:
            UserError: the template refuses the messages.
        """
        script = self.script(messages, thinking)
        return self.write(
            script.as_remembered() if add_generation_prompt else script, add_generation_prompt=add_generation_prompt
        ).text

    def write(self, script: Script, *, add_generation_prompt: bool) -> Rendered:
        """Renders a script (see `script`).

        A prompt whose switch is off, but whose template opens a thought all the same, gets an empty thought.
        """
        from jinja2 import TemplateError

        shield = Shield.over(script.turns)
        turns = [self.dialect.as_dict(shield.cover(turn)) for turn in script.turns]
        variables = {
            **self.variables,
            **_ABSENT,
            "messages": turns,
            "tools": list(script.tools) or None,
            "add_generation_prompt": add_generation_prompt,
            **self.dialect.variables(script.thinking),
        }
        try:
            rendered = self._compiled.render(variables)
        except TemplateError as error:
            raise UserError(f"{self.where}: the chat template refuses the messages: {_said(error)}") from error
        text = shield.uncover(rendered.text)
        if add_generation_prompt and script.thinking == "off" and (tags := opened_by(text, self.thoughts)):
            text = text.rstrip() + (tags.closing if tags.answer_open else f"\n{tags.closing}")
        return replace(rendered, text=text)

    def script(
        self, messages: Sequence[Message], thinking: Switch | None, tools: Sequence[dict[str, Any]] = ()
    ) -> Script:
        """Messages with the switch put in: what the template is given, with thought, text and calls still apart.

        Raises:
            UserError: the template has no place for what the messages hold.
        """
        turns = _named_answers(messages, self.dialect.short_ids, keep_thoughts=thinking != "off")
        if any(turn.calls for turn in turns) and not self.dialect.calls:
            raise UserError(f"{self.where}: the chat template does not write tool calls; leave such rows out")
        if thinking is not None:
            system = ""
            if turns and turns[0].role == "system":
                system = switch_of(turns[0].content)[1]
                turns = turns[1:]
            line = SWITCH[thinking] if self.dialect.switch is None else ""
            text = f"{line}\n{system}".strip()
            turns = [Turn("system", text), *turns] if text else turns
        if turns and turns[0].role == "system" and not self.dialect.takes_system:
            first = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
            if first is None:
                raise UserError(f"{self.where}: the chat template has no system turn, and there is no user message")
            turns[first] = replace(turns[first], content=f"{turns[0].content}\n\n{turns[first].content}")
            turns = turns[1:]
        return Script(tuple(turns), tuple(tools), thinking)


@dataclass(frozen=True)
class Script:
    """What a template is given."""

    turns: tuple[Turn, ...]
    tools: tuple[dict[str, Any], ...] = ()
    thinking: Switch | None = None

    def until(self, num_turns: int) -> Script:
        """Its first turns."""
        return replace(self, turns=self.turns[:num_turns])

    def as_remembered(self) -> Script:
        """What a model is shown of it: thoughts from before the last user's turn are left out.

        Reasoning models are served so, and clients do not send thoughts back. Those behind it are the way of a reply that is
        not finished, between calls of tools.
        """
        last = max((number for number, turn in enumerate(self.turns) if turn.role == "user"), default=0)
        before = tuple(replace(turn, thought=None) for turn in self.turns[:last])
        return replace(self, turns=(*before, *self.turns[last:]))


@dataclass(frozen=True)
class Shield:
    """Hides what users, tools and assistants typed from templates that would take it for a switch.

    Some templates look for `<think>` or `/no_think` in what they are given, whoever wrote it. Each such text is replaced by
    as many characters that mean nothing, and put back when the template is through.

    Attributes:
        pairs: what was typed, and what stands for it.
    """

    pairs: tuple[tuple[str, str], ...] = ()

    @classmethod
    def over(cls, turns: Sequence[Turn]) -> Shield:
        """The shield that some turns need; in the ordinary case none."""
        texts = [text for turn in turns if turn.role != "system" for text in _texts_of(turn)]
        if not any("think" in text for text in texts):
            return cls()
        free = (chr(code) for code in range(0xE000, 0xF900) if not any(chr(code) in text for text in texts))
        return cls(tuple((typed, next(free) * len(typed)) for typed in _TYPED_SWITCHES))

    def cover(self, turn: Turn) -> Turn:
        """The turn as the template may see it."""
        if not self.pairs or turn.role == "system":
            return turn
        thought = None if turn.thought is None else self._hide(turn.thought)
        calls = tuple(
            call.model_copy(update={"arguments": map_texts(call.arguments, self._hide)}) for call in turn.calls
        )
        return replace(turn, content=self._hide(turn.content), thought=thought, calls=calls)

    def uncover(self, text: str) -> str:
        """The rendering with what was typed put back."""
        for typed, hidden in self.pairs:
            text = text.replace(hidden, typed)
        return text

    def _hide(self, text: str) -> str:
        for typed, hidden in self.pairs:
            text = text.replace(typed, hidden)
        return text


def _said(error: Exception) -> str:
    """What a template has to say, as one line: a stranger's words, which may hold line breaks and worse."""
    words = " ".join(str(error).split())
    return "".join(letter for letter in words if letter.isprintable())[:300]


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with its texts changed, keys left alone."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: map_texts(entry, change) for key, entry in value.items()}
    return [map_texts(entry, change) for entry in value] if isinstance(value, list) else value


def _texts_of(turn: Turn) -> list[str]:
    texts = [turn.content, turn.thought or ""]
    for call in turn.calls:
        map_texts(call.arguments, lambda text: texts.append(text) or text)  # type: ignore[func-returns-value]
    return texts


def _named_answers(messages: Sequence[Message], short_ids: bool, keep_thoughts: bool) -> list[Turn]:
    """The messages as turns; calls without ids get them, and tools' messages say which call of which tool they answer."""
    turns: list[Turn] = []
    ids: dict[str, str] = {}
    waiting: list[ToolCall] = []
    for message in messages:
        calls = []
        for call in message.tool_calls:
            number = len(ids)
            own = call.id or f"call{number:05d}"
            ids[own] = f"call{number:05d}" if short_ids and not (len(own) == 9 and own.isalnum()) else own
            calls.append(call.model_copy(update={"id": ids[own]}))
        waiting = calls or (waiting if message.role == "tool" else [])
        call_id, name = message.tool_call_id, message.name
        if message.role == "tool" and waiting:
            wanted = ids.get(call_id or "", call_id)
            answered = next((call for call in waiting if call.id == wanted), waiting[0])
            call_id, name = (answered.id if call_id is None else wanted), name or answered.name
            waiting = [call for call in waiting if call is not answered]
        thought = message.thinking if keep_thoughts else None
        turns.append(Turn(message.role, message.content, thought, tuple(calls), call_id, name))
    return turns


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
