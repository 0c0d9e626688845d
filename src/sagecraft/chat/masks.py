"""Conversations as tokens, with the mask of what the assistant is taught.

Where each text stands in the rendering is known from the renderer (`spans.py`). That one map serves two ends:

* the mask: an assistant's thought, answer, tool calls and end-of-turn token are supervised, its header is not; a token
  that straddles the border belongs to the assistant only if it starts inside. A template that says itself what the
  assistant is taught (`{% generation %}`) is taken at its word, token for token as transformers does;
* safety: markup is encoded with its special tokens, message text is not, so nobody can type a special token.

In the ordinary case (no message holds the text of a special token) the whole is encoded at once, and the ids are those
of transformers' `apply_chat_template(tokenize=True)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sagecraft.chat.dialect import json_text
from sagecraft.chat.messages import Conversation, Message
from sagecraft.chat.spans import Layout, Span, compose, header, locate, shared
from sagecraft.chat.template import ChatTemplate, Script
from sagecraft.chat.thinking import Switch, is_closed
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.models.tokenizer import Tokenizer


@dataclass(frozen=True)
class EncodedConversation:
    """Token ids, and for each whether the assistant is taught it."""

    ids: list[int]
    mask: list[bool]


def encode_rows(tokenizer: Tokenizer, template: ChatTemplate, conversation: Conversation) -> list[EncodedConversation]:
    """Training rows of a conversation: one, or one for each assistant turn.

    Every assistant turn is supervised in exactly one row, behind what the model is shown when it has to write that turn. One row
    does for all where every beginning that ends with an assistant turn renders as a prefix of the whole (the template is
    prefix-stable), and no turn before the last user's has a thought, since no prompt holds earlier thoughts.

    Raises:
        UserError: there is nothing to learn, or the template cannot show what there is.
    """
    where = f"conversation {conversation.id}"
    template = template.with_tools if conversation.tools else template
    script = template.script(conversation.messages, conversation.thinking, conversation.tools)
    taught = [position for position, turn in enumerate(script.turns) if turn.role == "assistant"]
    if not taught:
        raise UserError(f"{where}: no assistant message, so there is nothing to learn; remove the row")
    turns = [script.turns[position] for position in taught]
    if any(turn.thought is None and not turn.calls and not turn.content.strip() for turn in turns):
        raise UserError(f"{where}: an assistant message is empty, which would teach silence; remove the row")
    close = template.dialect.tags.close
    if any(turn.thought is not None and close in turn.thought for turn in turns):
        raise UserError(f"{where}: a thought holds {close}, with which this model ends it; take it out of the thought")
    # What follows the last assistant turn teaches nothing.
    script = script.until(taught[-1] + 1)
    _refuse_markup_in_names(tokenizer, script, where)
    row = _Row(tokenizer, template, script, where)
    if script.as_remembered() == script:
        layout = locate(template, script, add_generation_prompt=False)
        if all(row.is_whole(layout, position) for position in taught):
            return [row.encode(layout, taught)]
    return [row.until(last + 1).encode_last() for last in taught]


def encode_prompt(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], thinking: Switch | None
) -> list[int]:
    """Token ids of a prompt, with the header of the assistant's next turn; message text never becomes markup."""
    script = template.script(messages, thinking).as_remembered()
    _refuse_markup_in_names(tokenizer, script, "messages")
    layout = locate(template, script, add_generation_prompt=True)
    if dropped := _dropped(script, layout, taught=None):
        raise UserError(f"messages: {template.where}: {dropped}")
    return _encode(tokenizer, layout, script, template.where)[0]


@dataclass(frozen=True)
class _Row:
    """One conversation on its way to a training row."""

    tokenizer: Tokenizer
    template: ChatTemplate
    script: Script
    where: str
    #: Renderings of beginnings, which are asked for more than once.
    texts: dict[tuple[int, bool], str] = field(default_factory=dict)

    def until(self, num_turns: int) -> _Row:
        """The same conversation up to a turn, as it is remembered then."""
        return replace(self, script=self.script.until(num_turns).as_remembered(), texts={})

    def text(self, num_turns: int, *, prompt: bool) -> str:
        """The rendering of the first turns."""
        key = (num_turns, prompt)
        if key not in self.texts:
            script = self.script.until(num_turns).as_remembered() if prompt else self.script.until(num_turns)
            self.texts[key] = self.template.write(script, add_generation_prompt=prompt).text
        return self.texts[key]

    def beginning(self, layout: Layout, position: int) -> int | None:
        """Characters of the rendering that ends with turn `position`, if that is how the layout begins.

        An end-of-sequence token after the last turn of the beginning (Phi's manner) is no difference.
        """
        part = self.text(position + 1, prompt=False)
        if not layout.text.startswith(part):
            part = part.removesuffix(self.template.variables.get("eos_token", ""))
        return len(part) if layout.text.startswith(part) else None

    def is_whole(self, layout: Layout, position: int) -> bool:
        """Whether an assistant turn stands in the layout as it stood when it was the last one, and as it came about."""
        if self.beginning(layout, position) is None or self.is_closed_elsewhere(layout, position):
            return False
        return self.problem(layout, position) is None

    def problem(self, layout: Layout, position: int) -> UserError | None:
        """What keeps a layout from teaching turn `position` as the model will write it."""
        if layout.spans is None:
            return None
        mine, prompt = layout.of(position), self.text(position, prompt=True)
        if self.script.turns[position].thought and not any(span.part == "t" for span in mine):
            return self._fault("the chat template drops the thought of an assistant message")
        if dropped := _dropped(self.script.until(position + 1), layout, position):
            return self._fault(dropped)
        own = mine[0].start if mine else len(layout.text)
        earlier = [span.end for span in layout.spans if span.turn != position and span.end <= own]
        if shared(prompt, layout.text) < max(earlier, default=0):
            return self._fault("the chat template hides where the assistant's turn begins")
        return None

    def is_closed_elsewhere(self, layout: Layout, position: int) -> bool:
        """Whether the switch is off, and the prompt of turn `position` closes a thought that the layout does not show."""
        prompt = self.text(position, prompt=True)
        closes = self.script.thinking == "off" and is_closed(prompt, self.template.thoughts)
        return closes and not layout.text.startswith(prompt)

    def encode_last(self) -> EncodedConversation:
        """The row that teaches the last turn only."""
        last = len(self.script.turns) - 1
        layout = locate(self.template, self.script, add_generation_prompt=False)
        problem = self.problem(layout, last)
        if problem is not None or self.is_closed_elsewhere(layout, last):
            composed = compose(self.template, self.script)
            if composed is not None and not _dropped(self.script, composed, last):
                layout = composed
            elif problem is not None:
                raise problem
        return self.encode(layout, [last])

    def encode(self, layout: Layout, taught: Sequence[int]) -> EncodedConversation:
        """Ids and mask, supervised in the turns `taught`."""
        ids, offsets = _encode(self.tokenizer, layout, self.script, self.template.where)
        mask = [False] * len(ids)
        if layout.generated:
            since = min((span.start for span in layout.of(taught[0])), default=0)
            for start, end in layout.generated:
                if end > since:
                    _mark(mask, (n for n, (s, e) in enumerate(offsets) if s < end and e > start))
        else:
            for position in taught:
                start, end = self._region(layout, position)
                _mark(mask, (n for n, (s, _) in enumerate(offsets) if start <= s < end))
        if not any(mask):
            raise self._fault("the chat template marks nothing of this conversation as the assistant's")
        return EncodedConversation(ids=ids, mask=mask)

    def _region(self, layout: Layout, position: int) -> tuple[int, int]:
        """Characters `start:end` of what assistant turn `position` is taught, its end-of-turn token included."""
        script, text = self.script, layout.text
        mine = layout.of(position)
        prompt = self.text(position, prompt=True)
        # A prompt that opens a thought goes beyond the header of a turn that has none.
        heads = [
            len(head)
            for head in (prompt, prompt.rstrip(), header(prompt, self.template.thoughts)[0])
            if text.startswith(head)
        ]
        start = min(max(heads, default=0), mine[0].start if mine else len(text))
        if not heads:
            if not mine:
                raise self._fault("the chat template hides where the assistant's turn begins")
            start = mine[0].start
        limit = self.beginning(layout, position) or len(text)
        body_end = mine[-1].end if mine else start
        specials = self.tokenizer.special_tokens
        if mine and not script.turns[position].calls:
            end = _end_of_turn(text, body_end, limit, specials)
        else:
            end = _last_special_end(text, body_end, limit, specials)
        # OLMo ends its last turn with another token than those before, which then stands behind the limit.
        end = end or _end_of_turn(text, limit, len(text), specials)
        if end is None:
            raise self._fault(
                "the chat template does not end the assistant's turn with a special token, so the model would never "
                "learn to stop; use a template that does"
            )
        return start, end

    def _fault(self, message: str) -> UserError:
        return UserError(f"{self.where}: {self.template.where}: {message}")


def _mark(mask: list[bool], positions: Iterable[int]) -> None:
    for position in positions:
        mask[position] = True


def _dropped(script: Script, layout: Layout, taught: int | None) -> str | None:
    """What a template leaves out of a conversation, in words; None if nothing.

    Earlier turns of the assistant are its own affair: templates drop their thoughts, and some their words beside a call.
    """
    shown = {(span.turn, span.part[0]) for span in layout.spans or ()}
    for position, turn in enumerate(script.turns if layout.spans is not None else ()):
        matters = turn.role != "assistant" or position == taught
        if matters and turn.content.strip() and (position, "a") not in shown:
            return f"the chat template drops the text of a {turn.role} message" + " beside its call" * bool(turn.calls)
        if turn.calls and turn.calls[0].name not in layout.text:
            return "the chat template drops the tool calls of a message"
    return None


def _encode(
    tokenizer: Tokenizer, layout: Layout, script: Script, where: str
) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids, and the characters each token came from."""
    text, spans = layout.text, layout.spans
    ids, offsets = tokenizer.encode_with_offsets(text, parse_special=True)
    if spans is None:
        _refuse_typed_markup(tokenizer, script, where)
        return ids, offsets
    guarded = _guarded_spans(tokenizer, text, ids, offsets, spans)
    if not guarded:
        return ids, offsets
    pieces: list[tuple[int, int, bool]] = []
    at = 0
    for span in guarded:
        pieces += [(at, span.start, True), (span.start, span.end, False)]
        at = span.end
    pieces.append((at, len(text), True))
    ids, offsets = [], []
    for begin, end, is_markup in pieces:
        for part_begin, part_end in [(begin, end)] if is_markup else _cut(tokenizer, text, begin, end):
            part_ids, part_offsets = tokenizer.encode_with_offsets(text[part_begin:part_end], parse_special=is_markup)
            ids += part_ids
            offsets += [(part_begin + start, part_begin + stop) for start, stop in part_offsets]
    return ids, offsets


def _guarded_spans(
    tokenizer: Tokenizer,
    text: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    spans: Sequence[Span],
) -> list[Span]:
    """Spans of message text that must be encoded apart: a token of markup would be made of them."""
    tokens = {token_id: token for token, token_id in tokenizer.added_tokens.items() if token.strip()}
    reached: list[tuple[int, int]] = []
    for token_id, (start, end) in zip(ids, offsets, strict=True):
        token = tokens.get(token_id)
        if token is not None:
            # Some special tokens swallow the whitespace beside them, which is harmless: only their own text counts.
            core = max(text.find(token, start, end), start)
            reached.append((core, min(core + len(token), end)))
    return [span for span in spans if any(start < span.end and end > span.start for start, end in reached)]


def _cut(tokenizer: Tokenizer, text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """Cuts a text inside everything that a token of markup would be made of, though it is not marked as special."""
    plain = [re.escape(t) for t in tokenizer.added_tokens if t not in tokenizer.special_tokens and len(t.strip()) > 1]
    cuts = [begin]
    if plain:
        cuts += [begin + found.start() + 1 for found in re.finditer(f"(?=({'|'.join(plain)}))", text[begin:end])]
    return list(zip(cuts, [*cuts[1:], end], strict=True))


def _refuse_typed_markup(tokenizer: Tokenizer, script: Script, where: str) -> None:
    for turn in script.turns:
        typed = turn.content + (turn.thought or "") + json_text([call.arguments for call in turn.calls])
        for token in tokenizer.special_tokens:
            if token in typed:
                raise UserError(
                    f"{where}: a {turn.role} message holds the text of the special token {token}, and this chat "
                    "template rewrites messages, so the two cannot be told apart; remove it from the message"
                )


def _refuse_markup_in_names(tokenizer: Tokenizer, script: Script, where: str) -> None:
    """Definitions of tools and names stand in the template's own text: a special token in them could not be told apart."""
    names = [[call.id, call.name, _keys(call.arguments)] for turn in script.turns for call in turn.calls]
    names += [[turn.name, turn.call_id] for turn in script.turns if turn.name or turn.call_id]
    if not names and not script.tools:
        return
    text = json_text([names, script.tools])
    for token in tokenizer.special_tokens:
        if token.strip() and token in text:
            raise UserError(f"{where}: a tool's definition or name holds the special token {token}; rename it")


def _keys(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value, *(_keys(entry) for entry in value.values())]
    return [_keys(entry) for entry in value] if isinstance(value, list) else []


def _end_of_turn(text: str, body_end: int, limit: int, specials: Iterable[str]) -> int | None:
    """End of the special token that follows the body (whitespace between them allowed).

    Where nothing but special tokens is left of the turn, those that follow at once belong to it (Cohere ends a turn with
    two); a template that goes on with the next header does not make the model learn that.
    """
    at = body_end
    while at < limit and text[at].isspace():
        at += 1
    ends = []
    while at < limit and (lengths := [len(token) for token in specials if token and text.startswith(token, at)]):
        at += max(lengths)
        ends.append(at)
    if not ends:
        return None
    rest = text[at:limit]
    for token in specials:
        rest = rest.replace(token, "") if token else rest
    return ends[0] if rest.strip() else ends[-1]


def _last_special_end(text: str, start: int, limit: int, specials: Iterable[str]) -> int | None:
    """End of the last special token of a turn whose body the template does not end with a text of ours."""
    ends = [text.rfind(token, start, limit) + len(token) for token in specials if token and token in text[start:limit]]
    return max(ends, default=None)
