"""Where each text of a conversation stands in its rendering: asked of the renderer, never searched for.

The conversation is rendered a second time with a unique mark in place of every text, which gives the template's own
markup between them; laid over the real rendering, it gives the place of every text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from sagecraft.chat.dialect import Turn
from sagecraft.chat.messages import ToolCall
from sagecraft.chat.template import ChatTemplate, Script, map_texts
from sagecraft.chat.thinking import Tags, join_thought, opened_by

#: The mark that stands for a text of a turn: letters and digits only, so that no template trims, escapes or splits it.
_MARK = re.compile(r"zqx(\d+)([at]|c\d+)xqz")


def _as_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


#: How templates tidy a text before they print it.
_TIDY = (
    str,
    str.strip,
    str.rstrip,
    str.lstrip,
    lambda text: text.strip("\n"),
    lambda text: text.lstrip("\n"),
    lambda text: text.rstrip("\n"),
    _as_json,
    lambda text: _as_json(text.strip()),
)


@dataclass(frozen=True)
class Span:
    """A text of turn `turn` at characters `start:end`; `part` is `a` (answer), `t` (thought) or `c…` (in a tool call)."""

    start: int
    end: int
    turn: int
    part: str


@dataclass(frozen=True)
class Layout:
    """A rendering with its map.

    Attributes:
        text: what the model reads.
        spans: where the texts stand, in order; None if the template rewrites texts.
        generated: the template's own word on what the assistant says (`{% generation %}`).
    """

    text: str
    spans: tuple[Span, ...] | None
    generated: tuple[tuple[int, int], ...] = ()

    def of(self, turn: int) -> list[Span]:
        """The texts of one turn."""
        return [span for span in self.spans or () if span.turn == turn]


def locate(template: ChatTemplate, script: Script, *, add_generation_prompt: bool) -> Layout:
    """Renders a script and finds its texts."""
    rendered = template.write(script, add_generation_prompt=add_generation_prompt)
    text = rendered.text
    marked, texts = _marked(script)
    skeleton = template.write(marked, add_generation_prompt=add_generation_prompt).text
    marks = list(_MARK.finditer(skeleton))
    edges = [mark.start() for mark in marks] + [len(skeleton)]
    at = edges[0]
    unknown = Layout(text, None, rendered.generated)
    if text[:at] != skeleton[:at]:
        return unknown
    spans: list[Span] = []
    for mark, edge in zip(marks, edges[1:], strict=True):
        markup = skeleton[mark.end() : edge]
        lengths = _lengths(text, at, texts[mark.group()], markup)
        if not lengths:
            return unknown
        end = at + max(lengths)
        spans.append(Span(at, end, int(mark.group(1)), mark.group(2)))
        at = end + len(markup)
    return Layout(text, tuple(spans), rendered.generated) if at == len(text) else unknown


def _lengths(text: str, at: int, content: str, markup: str) -> list[int]:
    """Lengths that a text may have in the rendering, where its markup follows it."""
    if text.startswith(content, at) and text.startswith(markup, at + len(content)):
        return [len(content)]  # as it is, nearly always
    tidied = {tidy(content) for tidy in _TIDY}
    return [len(tidy) for tidy in tidied if text.startswith(tidy + markup, at)]


def _marked(script: Script) -> tuple[Script, dict[str, str]]:
    """The script with marks in place of its texts, and the text behind each mark."""
    texts: dict[str, str] = {}

    def mark(turn: int, part: str, text: str) -> str:
        name = f"zqx{turn}{part}xqz"
        texts[name] = text
        return name

    turns = []
    for number, turn in enumerate(script.turns):
        filled = turn.content or turn.thought is not None
        content = mark(number, "a", turn.content) if filled and not (turn.calls and not turn.content) else ""
        thought = None if turn.thought is None else mark(number, "t", turn.thought)
        turns.append(replace(turn, content=content, thought=thought, calls=_marked_calls(turn, number, mark)))
    return replace(script, turns=tuple(turns)), texts


def _marked_calls(turn: Turn, number: int, mark: Callable[[int, str, str], str]) -> tuple[ToolCall, ...]:
    """The calls of a turn with marks in place of the texts among their arguments."""
    leaves = count()

    def leaf(text: str) -> str:
        return mark(number, f"c{next(leaves)}", text) if text else text

    return tuple(call.model_copy(update={"arguments": map_texts(call.arguments, leaf)}) for call in turn.calls)


def compose(template: ChatTemplate, script: Script) -> Layout | None:
    """The layout of a script as its last turn came about: the prompt, then what the model wrote; None if it cannot be.

    For templates whose rendering of a turn that is over is not what the model read and wrote: those of models that always
    think open the thought in the prompt and cut it out afterwards (DeepSeek R1), others show a system message or an
    earlier thought in the prompt only (Mistral, gpt-oss).
    """
    last = len(script.turns) - 1
    turn = script.turns[last]
    prompt = locate(template, script.until(last).as_remembered(), add_generation_prompt=True)
    shown = locate(template, script, add_generation_prompt=False)
    thought = None
    if turn.thought and not any(span.part == "t" for span in shown.of(last)):
        thought = turn.thought
        bare = replace(script, turns=(*script.turns[:last], replace(turn, thought=None)))
        shown = locate(template, bare, add_generation_prompt=False)
    if not prompt.spans or not shown.of(last):
        return None
    own = shown.of(last)[0].start
    before = [span for span in shown.spans or () if span.end <= own and span.turn != last]
    if not before or (before[-1].turn, before[-1].part) != (prompt.spans[-1].turn, prompt.spans[-1].part):
        return None
    asked, opened = header(prompt.text[prompt.spans[-1].end :], template.thoughts)
    own_header, _ = header(shown.text[before[-1].end : own], template.thoughts)
    begun = opened_by(opened, template.thoughts)
    if not own_header.startswith(asked) or (thought is not None and opened and begun is None):
        return None  # another header, or a prompt that says itself that there is no thought
    extra = own_header[len(asked) :]
    if thought is not None and turn.content and extra.strip():
        return None  # the prompt does not end with the assistant's header, so the thought has no place
    text, spans = prompt.text, list(prompt.spans)
    if thought is not None:
        pasted = f"{thought}{begun.closing}" if begun else join_thought(thought, "", template.dialect.tags)
        start = len(text) + pasted.index(thought)
        spans.append(Span(start, start + len(thought), last, "t"))
        text += pasted
    elif turn.thought is None and begun is not None:
        text += begun.closing.lstrip()  # an answer must not stand inside the thought that the prompt opens
    text += extra
    shift = len(text) - own
    spans += [replace(span, start=span.start + shift, end=span.end + shift) for span in shown.of(last)]
    return Layout(text + shown.text[own:], tuple(spans))


def header(markup: str, known: Sequence[Tags]) -> tuple[str, str]:
    """Markup that ends with a header, and the tags of a thought that is opened, or empty, behind that header, apart."""
    either = "|".join(rf"(?:{re.escape(tags.open)}\s*)?(?:{re.escape(tags.close)}\s*)?" for tags in known)
    found = [match for match in re.finditer(rf"(?:{either})\Z", markup) if match.group()]
    start = found[0].start() if found else len(markup)
    return markup[:start], markup[start:]


def shared(first: str, second: str) -> int:
    """Length of what two texts begin with in common."""
    low, high = 0, min(len(first), len(second))
    if second.startswith(first):
        return high
    while low < high:  # by halving: comparing slices is far faster than characters
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
