"""Conversations as tokens, with the mask of what the assistant is taught.

Where each message stands in the rendered text is asked of the renderer, never searched for: the conversation is
rendered a second time with a unique mark in place of every text, which gives the template's own markup between them.
That one map serves two ends:

* the mask: an assistant's thought, answer and end-of-turn token are supervised, its header is not; a token that
  straddles the border belongs to the assistant only if it starts inside;
* safety: markup is encoded with its special tokens, message text is not, so nobody can type a special token.

In the ordinary case (no message holds the text of a special token) the whole is encoded at once, and the ids are those
of transformers' `apply_chat_template(tokenize=True)`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagecraft.chat.messages import Conversation, Message
from sagecraft.chat.template import ChatTemplate, Turn
from sagecraft.chat.thinking import CLOSE, OPEN, Switch
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.models.tokenizer import Tokenizer

#: The mark that stands for text `i` of part `a` (answer) or `t` (thought): letters only, so that no template
#: trims, escapes or splits it.
_MARK = re.compile(r"zqx(\d+)([at])xqz")
#: How templates tidy a text before they print it.
_TIDY = (str, str.strip, str.rstrip, str.lstrip)


@dataclass(frozen=True)
class EncodedConversation:
    """Token ids, and for each whether the assistant is taught it."""

    ids: list[int]
    mask: list[bool]


@dataclass(frozen=True)
class _Span:
    """A text of message `turn` at characters `start:end` of the rendering."""

    start: int
    end: int
    turn: int
    part: str


def encode_conversation(
    tokenizer: Tokenizer, template: ChatTemplate, conversation: Conversation
) -> EncodedConversation:
    """The conversation as one training row: every assistant turn is supervised.

    Raises:
        UserError: there is no assistant message, or the template renders earlier turns differently once later ones
            follow (`encode_rows` makes one row an assistant turn of those).
    """
    rows = encode_rows(tokenizer, template, conversation)
    if len(rows) > 1:
        raise UserError(
            f"conversation {conversation.id}: {template.where}: the chat template changes earlier turns when later ones "
            "follow, so it needs one row for each assistant turn; encode it with encode_rows"
        )
    return rows[0]


def encode_rows(tokenizer: Tokenizer, template: ChatTemplate, conversation: Conversation) -> list[EncodedConversation]:
    """Training rows of a conversation: one, or one for each assistant turn if the template is not prefix-stable.

    Every assistant turn is supervised in exactly one row.
    """
    where = f"conversation {conversation.id}"
    turns = template.turns(conversation.messages, conversation.thinking)
    taught = [position for position, turn in enumerate(turns) if turn.role == "assistant"]
    if not taught:
        raise UserError(f"{where}: no assistant message, so there is nothing to learn; remove the row")
    silent = next((p for p in taught if turns[p].thought is None and not turns[p].content.strip()), None)
    if silent is not None:
        raise UserError(f"{where}: an assistant message is empty, which would teach silence; remove the row")
    # What follows the last assistant turn teaches nothing.
    turns = turns[: taught[-1] + 1]
    if is_prefix_stable(template, turns):
        return [_encode_row(tokenizer, template, turns, taught, where)]
    return [_encode_row(tokenizer, template, turns[: last + 1], [last], where) for last in taught]


def encode_prompt(
    tokenizer: Tokenizer, template: ChatTemplate, messages: Sequence[Message], thinking: Switch | None
) -> list[int]:
    """Token ids of a prompt, with the header of the assistant's next turn; message text never becomes markup."""
    turns = template.turns(messages, thinking)
    text, spans = _locate(template, turns, add_generation_prompt=True)
    return _encode(tokenizer, text, spans, turns, template.where)[0]


def is_prefix_stable(template: ChatTemplate, turns: Sequence[Turn]) -> bool:
    """Whether every beginning that ends with an assistant turn renders as a prefix of the whole.

    An end-of-sequence token after the last turn of the beginning (Phi's manner) is no difference.
    """
    whole = _render(template, turns, False)
    for position, turn in enumerate(turns):
        if turn.role != "assistant":
            continue
        part = _render(template, turns[: position + 1], False)
        part = part if whole.startswith(part) else part.removesuffix(template.variables.get("eos_token", ""))
        if not whole.startswith(part):
            return False
    return True


def _render(template: ChatTemplate, turns: Sequence[Turn], add_generation_prompt: bool) -> str:
    return template.render_turns([turn.as_dict() for turn in turns], add_generation_prompt=add_generation_prompt)


def _encode_row(
    tokenizer: Tokenizer, template: ChatTemplate, turns: Sequence[Turn], taught: Sequence[int], where: str
) -> EncodedConversation:
    text, spans = _locate(template, turns, add_generation_prompt=False)
    ids, starts = _encode(tokenizer, text, spans, turns, template.where)
    specials = _special_texts(tokenizer)
    mask = [False] * len(ids)
    for position in taught:
        start, end = _taught_region(template, turns, text, spans, position, specials, where)
        for index, at in enumerate(starts):
            mask[index] = mask[index] or start <= at < end
    return EncodedConversation(ids=ids, mask=mask)


def _locate(
    template: ChatTemplate, turns: Sequence[Turn], add_generation_prompt: bool
) -> tuple[str, list[_Span] | None]:
    """The rendering, and where each text stands in it (None if the template rewrites texts)."""
    text = _render(template, turns, add_generation_prompt)
    marked = [
        Turn(
            turn.role,
            f"zqx{position}axqz" if turn.content or turn.thought is not None else "",
            None if turn.thought is None else f"zqx{position}txqz",
        )
        for position, turn in enumerate(turns)
    ]
    skeleton = _render(template, marked, add_generation_prompt)
    marks = list(_MARK.finditer(skeleton))
    edges = [mark.start() for mark in marks] + [len(skeleton)]
    at = edges[0]
    if text[:at] != skeleton[:at]:
        return text, None
    spans: list[_Span] = []
    for mark, edge in zip(marks, edges[1:], strict=True):
        turn = turns[int(mark.group(1))]
        content = (turn.thought or "") if mark.group(2) == "t" else turn.content
        markup = skeleton[mark.end() : edge]
        fitting = [len(tidy(content)) for tidy in _TIDY if text.startswith(tidy(content) + markup, at)]
        if not fitting:
            return text, None
        end = at + max(fitting)
        spans.append(_Span(at, end, int(mark.group(1)), mark.group(2)))
        at = end + len(markup)
    return text, spans if at == len(text) else None


def _special_texts(tokenizer: Tokenizer) -> dict[int, str]:
    return {token_id: text for text, token_id in tokenizer.special_tokens.items()}


def _encode(
    tokenizer: Tokenizer, text: str, spans: list[_Span] | None, turns: Sequence[Turn], where: str
) -> tuple[list[int], list[int]]:
    """Token ids and the character each token starts at."""
    ids, offsets = tokenizer.encode_with_offsets(text, parse_special=True)
    if spans is None:
        _refuse_typed_specials(tokenizer, turns, where)
        return ids, [start for start, _ in offsets]
    guarded = _guarded_spans(tokenizer, text, ids, offsets, spans)
    if not guarded:
        return ids, [start for start, _ in offsets]
    pieces: list[tuple[int, int, bool]] = []
    at = 0
    for span in guarded:
        pieces += [(at, span.start, True), (span.start, span.end, False)]
        at = span.end
    pieces.append((at, len(text), True))
    ids, starts = [], []
    for begin, end, is_markup in pieces:
        for part_begin, part_end in [(begin, end)] if is_markup else _without_tags(text, begin, end):
            part_ids, part_offsets = tokenizer.encode_with_offsets(text[part_begin:part_end], parse_special=is_markup)
            ids += part_ids
            starts += [part_begin + start for start, _ in part_offsets]
    return ids, starts


def _guarded_spans(
    tokenizer: Tokenizer,
    text: str,
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    spans: Sequence[_Span],
) -> list[_Span]:
    """Spans of message text that must be encoded apart: a special token would be made of them, or a thinking tag."""
    specials = _special_texts(tokenizer)
    reached: list[tuple[int, int]] = []
    for token_id, (start, end) in zip(ids, offsets, strict=True):
        if token_id in specials:
            # Some special tokens swallow the whitespace beside them, which is harmless: only their own text counts.
            core = max(text.find(specials[token_id], start, end), start)
            reached.append((core, min(core + len(specials[token_id]), end)))
    tags_are_tokens = any(len(tokenizer.encode(tag)) == 1 for tag in (OPEN, CLOSE))
    guarded = []
    for span in spans:
        has_special = any(start < span.end and end > span.start for start, end in reached)
        typed = text[span.start : span.end]
        has_tag = tags_are_tokens and (OPEN in typed or CLOSE in typed)
        if has_special or has_tag:
            guarded.append(span)
    return guarded


def _without_tags(text: str, begin: int, end: int) -> list[tuple[int, int]]:
    """Cuts a text inside every thinking tag, where a tokenizer has a token for it that is not marked as special."""
    cuts = [begin]
    cuts += [begin + found.start() + 2 for found in re.finditer(f"{OPEN}|{CLOSE}", text[begin:end])]
    return list(zip(cuts, [*cuts[1:], end], strict=True))


def _refuse_typed_specials(tokenizer: Tokenizer, turns: Sequence[Turn], where: str) -> None:
    for turn in turns:
        for token in tokenizer.special_tokens:
            if token in turn.content or token in (turn.thought or ""):
                raise UserError(
                    f"{where}: a {turn.role} message holds the text of the special token {token}, and this chat "
                    "template rewrites messages, so the two cannot be told apart; remove it from the message"
                )


def _taught_region(
    template: ChatTemplate,
    turns: Sequence[Turn],
    text: str,
    spans: list[_Span] | None,
    position: int,
    specials: dict[int, str],
    where: str,
) -> tuple[int, int]:
    """Characters `start:end` of what assistant turn `position` is taught, its end-of-turn token included."""
    mine = [span for span in spans or () if span.turn == position]
    if turns[position].thought and spans is not None and not any(span.part == "t" for span in mine):
        raise UserError(f"{where}: {template.where}: the chat template drops the thought of an assistant message")
    prompt = _render(template, turns[:position], True)
    shown = _render(template, turns[: position + 1], False)
    if text.startswith(prompt) and (not mine or len(prompt) <= mine[0].start):
        start = len(prompt)
    elif mine:
        start = text.rfind(OPEN, 0, mine[0].start) if mine[0].part == "t" else mine[0].start
    else:
        raise UserError(f"{where}: {template.where}: the chat template hides where the assistant's turn begins")
    body_end = mine[-1].end if mine else start
    limit = len(shown) if text.startswith(shown) else len(text)
    if mine or not turns[position].content:
        end = _end_of_turn(text, body_end, limit, specials)
    else:
        end = _last_special_end(text, start, limit, specials)
    if end is None:
        raise UserError(
            f"{where}: {template.where}: the chat template does not end the assistant's turn with a special token, so "
            "the model would never learn to stop; use a template that does"
        )
    return start, end


def _end_of_turn(text: str, body_end: int, limit: int, specials: dict[int, str]) -> int | None:
    """End of the special token that follows the body (whitespace between them allowed)."""
    at = body_end
    while at < limit and text[at].isspace():
        at += 1
    lengths = [len(token) for token in specials.values() if token and text.startswith(token, at)]
    return at + max(lengths) if lengths and at < limit else None


def _last_special_end(text: str, start: int, limit: int, specials: dict[int, str]) -> int | None:
    """End of the last special token of a turn whose text the template rewrites."""
    ends = [text.rfind(token, start, limit) + len(token) for token in specials.values() if token in text[start:limit]]
    return max(ends, default=None)
