"""The parity gate: two ways to compute the same model must give the same logits, or the run stops.

Two conversion bugs cost the published pipeline weeks (`paper-facts`: grouped-query weights split wrongly, epsilon at
the wrong place). Comparing logits on fixed text and on keyed random tokens finds both in seconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sagecraft.artifact import keyed_hash
from sagecraft.errors import MachineError
from sagecraft.models.tokenizer import Tokenizer

Logits = Callable[[Tensor], Tensor]

#: Fixed text of several kinds: prose, numbers, mathematics, code, other scripts.
PROBE = (
    "The measured value is 3.14159 ± 0.002 at 95 % confidence, so $E = mc^2$ holds.\n"
    "def f(x):\n    return x ** 2  # naïve\n\nÜber 1,024 Sterne; Ωₘ ≈ 0.3; 天文学.\n"
)
_NUM_RANDOM = 64


@dataclass(frozen=True)
class Parity:
    """Largest difference of two sets of logits, absolute and relative to their standard deviation."""

    max_difference: float
    relative: float
    num_positions: int


def probe_ids(tokenizer: Tokenizer, vocab_size: int) -> list[list[int]]:
    """The token rows on which models are compared."""
    numbers = random.Random(keyed_hash(0, "parity"))  # noqa: S311  no secrets here
    return [
        tokenizer.encode(PROBE),
        [numbers.randrange(vocab_size) for _ in range(_NUM_RANDOM)],
    ]


@torch.no_grad()
def compare_logits(first: Logits, second: Logits, rows: list[list[int]]) -> Parity:
    """Runs both on the same rows; each takes [1, T] ids and gives [1, T, V]."""
    differences, spreads = [], []
    for row in rows:
        ids = torch.tensor([row])
        one, two = first(ids).double(), second(ids).double()
        shared = min(one.shape[-1], two.shape[-1])
        differences.append((one[..., :shared] - two[..., :shared]).abs().max())
        spreads.append(two.std().clamp(min=1e-12))
    # torch's maximum keeps a NaN, Python's loses it: models that compute nonsense must not pass
    worst, spread = torch.stack(differences), torch.stack(spreads)
    return Parity(worst.max().item(), (worst / spread).max().item(), sum(map(len, rows)))


def require(parity: Parity, tolerance: float, what: str) -> None:
    """Stops the run if the relative difference is over `tolerance` (or not a number)."""
    if not parity.relative <= tolerance:
        raise MachineError(
            f"{what}: logits differ by {parity.max_difference:.3g} ({parity.relative:.3g} of their spread, "
            f"{tolerance:g} is allowed); the conversion is wrong, nothing was kept"
        )
