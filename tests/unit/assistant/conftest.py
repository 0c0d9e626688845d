"""An engine that says what it is told, so that talk and server are tested without luck."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sagecraft.chat.template import ChatTemplate
from sagecraft.inference.protocol import Sampling
from sagecraft.models.tokenizer import Tokenizer


class ScriptedEngine:
    """Answers with the next text of a script; remembers what it was asked."""

    name = "scripted"

    def __init__(self, folder: Path, *script: str, max_positions: int = 512, seconds_per_token: float = 0.0) -> None:
        self.tokenizer = Tokenizer.from_folder(folder)
        self.template = ChatTemplate.from_folder(folder)
        self.max_positions = max_positions
        self.script = list(script)
        self.seconds_per_token = seconds_per_token
        self.prompts: list[str] = []
        self.samplings: list[Sampling] = []
        self.num_made = 0
        self.active = 0
        self.most_active = 0

    def stream(self, prompt_ids: Sequence[int], sampling: Sampling) -> Iterator[int]:
        self.prompts.append(self.tokenizer.decode(list(prompt_ids), skip_special=False))
        self.samplings.append(sampling)
        text = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            for token in self.tokenizer.encode(text)[: sampling.max_tokens]:
                time.sleep(self.seconds_per_token)
                self.num_made += 1
                yield token
        finally:
            self.active -= 1


@pytest.fixture
def scripted(pico: Path):
    """Makes a scripted engine on the pico tokenizer."""

    def make(*script: str, **settings: Any) -> Any:
        return ScriptedEngine(pico, *script, **settings)

    return make
