"""Held-out text during training: the same windows of the same documents, measured again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console
from sagecraft.evaluation.perplexity import Window, choose_windows, measure_windows

if TYPE_CHECKING:
    from sagecraft.models.tokenizer import Tokenizer

Score = Callable[[Sequence[Sequence[int]]], list[list[float]]]


@dataclass
class Learner:
    """A model in training, as `evaluation.perplexity` sees it."""

    tokenizer: Tokenizer
    max_positions: int
    score: Score | None = None
    name: str = "the model in training"
    path: Path = Path("the model in training")

    def sequence_logprobs(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of each token given those before it; a sequence's first token has none."""
        assert self.score is not None, "windows are chosen before there is something to score them"
        return self.score(batch)


class HeldOut:
    """Texts cut into windows once; every measurement of a run scores the same tokens."""

    def __init__(
        self,
        texts: Mapping[str, Path],
        max_tokens: int,
        window: int,
        seed: int,
        tokenizer: Tokenizer,
        max_positions: int,
    ) -> None:
        """Chooses the windows, by the keys by which an evaluation chooses its own.

        Args:
            texts: name → documents.
            max_tokens: scored tokens of each text.
            window: tokens that are read in one go: those of a training row, so that memory holds them.
            seed: of the choice.
            tokenizer: the model's.
            max_positions: the model's context.
        """
        from sagecraft.corpus.documents import read_documents

        self._learner = Learner(tokenizer, max_positions)
        self.windows: dict[str, list[Window]] = {}
        for name, folder in texts.items():
            found, _ = choose_windows(
                self._learner, read_documents(folder), max_tokens, max(2, min(window, max_positions)), seed
            )
            if found:
                self.windows[name] = found
            else:
                console.warn(f"{folder}: no {name} text to measure while training")

    def measure(self, score: Score) -> dict[str, dict[str, Any]]:
        """Nats per token and perplexity of each text by the model behind `score`."""
        self._learner.score = score
        measured = {name: measure_windows(self._learner, windows) for name, windows in self.windows.items()}
        return {
            name: {
                "nats_per_token": round(found["nats_per_token"], 6),
                "perplexity": round(found["perplexity"], 4),
                "num_tokens": found["num_tokens"],
            }
            for name, found in measured.items()
        }
