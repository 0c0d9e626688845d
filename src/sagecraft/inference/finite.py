"""A model that gives no numbers is broken, and must not look like a result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from sagecraft.errors import MachineError


def require_finite(model: Path, values: Iterable[float]) -> None:
    """Stops where a model gives no numbers: a pick among them would look like a result."""
    if not all(map(math.isfinite, values)):
        raise MachineError(f"{model}: the model gives probabilities that are no numbers; it is broken, train it again")
