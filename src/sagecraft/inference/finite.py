"""A model that gives no numbers is broken, and must not look like a result."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sagecraft.errors import MachineError

if TYPE_CHECKING:
    from sagecraft.inference.local import LocalEngine


def require_finite(engine: LocalEngine, values: Iterable[float]) -> None:
    """Stops where a model gives no numbers: a pick among them would look like a result."""
    if not all(map(math.isfinite, values)):
        raise MachineError(
            f"{engine.path}: the model gives probabilities that are no numbers; it is broken, train it again"
        )
