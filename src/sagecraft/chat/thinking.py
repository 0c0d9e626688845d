"""The thought and its switch: how a reply that thinks first is written, and read back while it arrives.

The switch is the system prompt `detailed thinking on|off` (Llama-Nemotron's convention); the thought stands in
`<think>…</think>` at the very start of the assistant's turn, or in the tags that a model's own template has (`TAGS`). A tag
anywhere else is ordinary text: a user who writes `<think>`, or an answer that speaks about the tag, switches nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

Switch = Literal["on", "off"]
Kind = Literal["thought", "answer"]

#: State of the switch → the (first line of the) system prompt.
SWITCH: dict[Switch, str] = {"on": "detailed thinking on", "off": "detailed thinking off"}


@dataclass(frozen=True)
class Tags:
    """What stands around a thought.

    Attributes:
        open: before it.
        close: behind it.
        answer_open: before the answer, where a model marks that too.
        answer_close: behind the answer.
    """

    open: str
    close: str
    answer_open: str = ""
    answer_close: str = ""

    @property
    def closing(self) -> str:
        """What ends a thought that is cut short, up to where the answer begins."""
        return f"{self.close}{self.answer_open}" if self.answer_open else f"\n{self.close}\n\n"

    def answer_of(self, text: str) -> str:
        """The answer in what stands behind the closing tag."""
        answer = text.lstrip()
        if self.answer_open and answer.startswith(self.answer_open):
            answer = answer[len(self.answer_open) :].lstrip().partition(self.answer_close)[0]
        return answer


#: What public models write, and this project's own first. No opening tag is the beginning of another.
TAGS = (
    Tags("<think>", "</think>"),  # DeepSeek R1, Qwen 3, SmolLM 3, Nemotron
    Tags("[THINK]", "[/THINK]"),  # Magistral
    Tags("<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", "<|end_of_solution|>"),  # OpenThinker
    Tags(
        "<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>", "<|return|>"
    ),  # gpt-oss
    Tags("<|START_THINKING|>", "<|END_THINKING|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),  # Command A
    Tags("<seed:think>", "</seed:think>"),  # Seed-OSS
    Tags("◁think▷", "◁/think▷"),  # Kimi-VL
    Tags("<thinking>", "</thinking>"),
    Tags("<thought>", "</thought>"),
    Tags("<reasoning>", "</reasoning>"),
)
OPEN, CLOSE = TAGS[0].open, TAGS[0].close


def tags_of(template: str, tokens: Collection[str] = ()) -> tuple[Tags, ...]:
    """The tags that a model uses, its own first: those its template or its tokens name, and ours, which training writes."""
    named = [tags for tags in TAGS if tags.open in template] or [tags for tags in TAGS if tags.open in tokens]
    return (*named, *(tags for tags in TAGS[:1] if tags not in named))


def opened_by(prompt: str, known: Sequence[Tags] = TAGS) -> Tags | None:
    """The tags of the thought that a prompt opens at its end, so that the reply begins inside it; None if it opens none."""
    end = prompt.rstrip()
    return next((tags for tags in known if end.endswith(tags.open)), None)


def is_closed(prompt: str, known: Sequence[Tags] = TAGS) -> bool:
    """Whether a prompt ends behind a thought."""
    end = prompt.rstrip()
    return any(end.endswith(tags.closing.rstrip()) for tags in known)


def join_thought(thought: str, answer: str, tags: Tags = TAGS[0]) -> str:
    """The assistant's turn that thinks first."""
    if tags.answer_open:
        return f"{tags.open}{thought}{tags.closing}{answer}{tags.answer_close}"
    return f"{tags.open}\n{thought}{tags.closing}{answer}"


def split_thought(text: str, opened: Tags | None = None, known: Sequence[Tags] = TAGS) -> tuple[str | None, str, bool]:
    """Takes a reply apart.

    Args:
        text: what the model wrote.
        opened: the tags whose opening one the prompt already ended with, so that the text begins inside the thought.
        known: the tags that may stand at its beginning; a thought in any others stays a part of the answer.

    Returns:
        The thought (None if the reply has none), the answer, and whether the thought was closed. A reply that was
        cut inside its thought gives `(thought so far, "", False)`; one without a thought counts as closed.
    """
    body = text
    if opened is None:
        start = text.lstrip()
        opened = next((tags for tags in known if start.startswith(tags.open)), None)
        if opened is None:
            return None, text, True
        body = start[len(opened.open) :]
    thought, tag, answer = body.partition(opened.close)
    return thought.strip(), opened.answer_of(answer), bool(tag)


def switch_of(system: str) -> tuple[Switch | None, str]:
    """Reads the switch from a system prompt: its state (None if there is no switch) and the rest of the prompt."""
    first, _, rest = system.strip().partition("\n")
    for state, line in SWITCH.items():
        if first.strip().lower().rstrip(".") == line:
            return state, rest.strip()
    return None, system


class ThoughtStream:
    """Splits a reply while it arrives; the pieces add up to what `split_thought` says of the whole.

    Example:
        stream = ThoughtStream()
        for piece in pieces:
            for kind, text in stream.feed(piece):
                show(kind, text)
        for kind, text in stream.finish():
            show(kind, text)
    """

    def __init__(self, opened: Tags | None = None, known: Sequence[Tags] = TAGS) -> None:
        """Begins a reply; the arguments are those of `split_thought`."""
        self._state: Literal["start", "thought", "gap", "answer", "over"] = "start" if opened is None else "thought"
        self._tags, self._known = opened, known
        self._is_marked = False  # the answer stands between tags of its own
        self._held = ""
        self._fresh = True  # nothing of the thought was given out yet: its leading whitespace is still dropped

    @property
    def thinking(self) -> bool:
        """Whether the reply is inside its thought."""
        return self._state == "thought"

    def feed(self, piece: str) -> list[tuple[Kind, str]]:
        """Takes the next piece of text and returns what can be shown of it already."""
        self._held += piece
        out: list[tuple[Kind, str]] = []
        if self._state == "start":
            self._begin()
        if self._state == "thought":
            self._think(out)
        if self._state == "gap":
            self._pass_gap()
        if self._state == "answer" and self._held:
            self._answer(out)
        if self._state == "over":
            self._held = ""
        return out

    def finish(self) -> list[tuple[Kind, str]]:
        """Gives out what was held back at the end of the reply."""
        rest, self._held = self._held, ""
        if self._state in ("start", "gap", "answer") and rest:
            return [("answer", rest)]
        if self._state == "thought" and (text := self._trimmed(rest)):
            return [("thought", text)]
        return []

    def _begin(self) -> None:
        start = self._held.lstrip()
        self._tags = next((tags for tags in self._known if start.startswith(tags.open)), None)
        if self._tags is not None:
            self._state, self._held = "thought", start[len(self._tags.open) :]
        elif not any(tags.open.startswith(start) for tags in self._known):
            self._state = "answer"

    def _think(self, out: list[tuple[Kind, str]]) -> None:
        assert self._tags is not None
        thought, tag, rest = self._held.partition(self._tags.close)
        if tag:
            text, self._held, self._state = self._trimmed(thought), rest, "gap"
        else:
            # Kept back: what may become the closing tag, and whitespace that may turn out to be the thought's last.
            ready = thought[: len(thought) - _begun(thought, self._tags.close)].rstrip()
            self._held = thought[len(ready) :]
            text = ready.lstrip() if self._fresh else ready
        if text:
            self._fresh = False
            out.append(("thought", text))

    def _pass_gap(self) -> None:
        assert self._tags is not None
        self._held = self._held.lstrip()
        mark = self._tags.answer_open
        if mark and not self._is_marked:
            if self._held.startswith(mark):
                self._is_marked, self._held = True, self._held[len(mark) :].lstrip()
            elif mark.startswith(self._held):
                return  # it may yet become the mark
        if self._held:
            self._state = "answer"

    def _answer(self, out: list[tuple[Kind, str]]) -> None:
        text, rest = self._held, ""
        if self._is_marked and self._tags is not None:
            text, tag, _ = self._held.partition(self._tags.answer_close)
            if tag:
                self._state = "over"
            else:
                cut = len(text) - _begun(text, self._tags.answer_close)
                text, rest = text[:cut], text[cut:]
        self._held = rest
        if text:
            out.append(("answer", text))

    def _trimmed(self, text: str) -> str:
        text = text.rstrip()
        return text.lstrip() if self._fresh else text


def _begun(text: str, tag: str) -> int:
    """Length of the longest beginning of a tag that a text ends with."""
    longest = min(len(tag) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if text.endswith(tag[:length])), 0)
