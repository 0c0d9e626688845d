"""The thought and its switch: how a reply that thinks first is written, and read back while it arrives.

The switch is the system prompt `detailed thinking on|off` (Llama-Nemotron's convention); the thought stands in
`<think>…</think>` at the very start of the assistant's turn. A tag anywhere else is ordinary text: a user who writes
`<think>`, or an answer that speaks about the tag, switches nothing.
"""

from __future__ import annotations

from typing import Literal

Switch = Literal["on", "off"]
Kind = Literal["thought", "answer"]

#: State of the switch → the (first line of the) system prompt.
SWITCH: dict[Switch, str] = {"on": "detailed thinking on", "off": "detailed thinking off"}
OPEN = "<think>"
CLOSE = "</think>"


def join_thought(thought: str, answer: str) -> str:
    """The assistant's turn that thinks first."""
    return f"{OPEN}\n{thought}\n{CLOSE}\n\n{answer}"


def split_thought(text: str, opened: bool = False) -> tuple[str | None, str, bool]:
    """Takes a reply apart.

    Args:
        text: what the model wrote.
        opened: the prompt already ended with the opening tag, so the text begins inside the thought.

    Returns:
        The thought (None if the reply has none), the answer, and whether the thought was closed. A reply that was
        cut inside its thought gives `(thought so far, "", False)`; one without a thought counts as closed.
    """
    body = text
    if not opened:
        start = text.lstrip()
        if not start.startswith(OPEN):
            return None, text, True
        body = start[len(OPEN) :]
    thought, tag, answer = body.partition(CLOSE)
    return thought.strip(), answer.lstrip(), bool(tag)


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

    def __init__(self, opened: bool = False) -> None:
        self._state: Literal["start", "thought", "gap", "answer"] = "thought" if opened else "start"
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
            self._held = self._held.lstrip()
            self._state = "answer" if self._held else "gap"
        if self._state == "answer" and self._held:
            out.append(("answer", self._held))
            self._held = ""
        return out

    def finish(self) -> list[tuple[Kind, str]]:
        """Gives out what was held back at the end of the reply."""
        rest, self._held = self._held, ""
        if self._state == "start" and rest:
            return [("answer", rest)]
        if self._state == "thought" and (text := self._trimmed(rest)):
            return [("thought", text)]
        return []

    def _begin(self) -> None:
        start = self._held.lstrip()
        if start.startswith(OPEN):
            self._state, self._held = "thought", start[len(OPEN) :]
        elif not OPEN.startswith(start):
            self._state = "answer"

    def _think(self, out: list[tuple[Kind, str]]) -> None:
        thought, tag, rest = self._held.partition(CLOSE)
        if tag:
            text, self._held, self._state = self._trimmed(thought), rest, "gap"
        else:
            # Kept back: what may become the closing tag, and whitespace that may turn out to be the thought's last.
            cut = len(thought)
            for length in range(min(len(CLOSE) - 1, cut), 0, -1):
                if thought.endswith(CLOSE[:length]):
                    cut -= length
                    break
            ready = thought[:cut].rstrip()
            self._held = thought[len(ready) :]
            text = ready.lstrip() if self._fresh else ready
        if text:
            self._fresh = False
            out.append(("thought", text))

    def _trimmed(self, text: str) -> str:
        text = text.rstrip()
        return text.lstrip() if self._fresh else text
