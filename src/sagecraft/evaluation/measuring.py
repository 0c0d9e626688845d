"""From requests to values: over an endpoint, or in batches of a local model, by this process and its helpers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import console

if TYPE_CHECKING:
    from sagecraft.evaluation.config import EvaluateConfig, ModeName
    from sagecraft.evaluation.processes import Helpers
    from sagecraft.evaluation.score import Request
    from sagecraft.evaluation.store import Store
    from sagecraft.evaluation.subject import Subject


@dataclass(frozen=True)
class Measuring:
    """Who is asked, and who helps.

    Attributes:
        subject: the model under test.
        helpers: further processes; None for an endpoint.
        providers: file of presets and prices, for an endpoint.
    """

    subject: Subject
    helpers: Helpers | None
    providers: Path | None

    def values(
        self, name: ModeName, requests: Sequence[Request], config: EvaluateConfig, kept: Store, tick: console.Tick
    ) -> Iterable[Any]:
        """What each request brought: a value, a `Failed`, or None where it cannot be asked.

        Args:
            name: of the mode.
            requests: of all items.
            config: of this pass.
            kept: where values are found and kept.
            tick: is told of each item that is done.
        """
        subject = self.subject
        mode = subject.modes[name]
        if mode.measure is None:
            from sagecraft.evaluation.remote import measure_all

            def ended(usd: float | None) -> None:
                tick.advance(1, "" if usd is None else f"{usd:.4f} USD")

            return measure_all(subject.engine, requests, kept, config, self.providers, ended)
        from sagecraft.evaluation.batches import measure_in_batches

        measure = mode.measure
        share = None if self.helpers is None else partial(self.helpers.share, name)
        values = measure_in_batches(subject.engine, measure, requests, kept, tick.advance, share)
        if mode.second is None:
            return values

        def again(more: Sequence[Request]) -> Sequence[Any]:
            with console.progress(f"{subject.name}, {name} without the questions", len(more)) as second:
                return measure_in_batches(subject.engine, measure, more, kept, second.advance, share)

        return mode.second(subject.engine, requests, values, config, again)
