"""One sum of money for all models that a stage asks."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sagecraft.errors import UserError
from sagecraft.inference.limits import LimitsConfig
from sagecraft.inference.prices import Price
from sagecraft.inference.providers import preset
from sagecraft.teaching.config import ModelConfig
from sagecraft.teaching.models import resolved

if TYPE_CHECKING:
    from sagecraft.evaluation.store import Store


@dataclass(frozen=True)
class Purse:
    """What may be spent, and who spends of it.

    Attributes:
        max_usd: for all together; None for no limit.
        prices: purpose of an endpoint → its price, as far as it is known.
    """

    max_usd: float | None = None
    prices: Mapping[str, Price | None] = field(default_factory=dict)

    def spent(self, kept: Store, but: str | None = None) -> float:
        """USD spent so far at most, in all starts, as far as prices are known.

        Args:
            kept: store of the replies.
            but: a purpose that is left out.
        """
        total = 0.0
        for purpose, price in self.prices.items():
            if price is not None and purpose != but:
                account = kept.account(purpose)
                total += price.usd(account.kept + account.wasted)
        return total

    def spent_in(self, folder: Path) -> float:
        """As `spent`, of the store in a folder; the folder may be empty."""
        from sagecraft.evaluation.store import Store

        with closing(Store(folder, "")) as kept:
            return self.spent(kept)

    def narrowed(self, own: LimitsConfig, kept: Store) -> tuple[LimitsConfig, float]:
        """The limits of one model, and what of their sum others have spent: its own sum, or what is left of all, whichever is less.

        Args:
            own: limits of the model.
            kept: its store.
        """
        if self.max_usd is None:
            return own, 0.0
        elsewhere = self.spent(kept, but=kept.run)
        if own.max_usd is not None and own.max_usd <= self.max_usd - elsewhere:
            return own, 0.0
        return own.model_copy(update={"max_usd": self.max_usd}), elsewhere


def prices_of(
    stage: str, models: Mapping[str, ModelConfig | None], providers: Path | None, max_usd: float | None
) -> dict[str, Price | None]:
    """The prices of those roles that are endpoints, checked before anything is made.

    Args:
        stage: its name.
        models: role → model.
        providers: the user's file of presets and prices.
        max_usd: for all of them together.

    Raises:
        UserError: a limit without a price, or without an endpoint; a state of the switch that a model does not have.
    """
    prices: dict[str, Price | None] = {}
    for role, model in resolved(stage, models).items():
        config = models[role]
        if model.endpoint is None or config is None:
            continue
        found = preset(model.endpoint, providers)
        try:
            found.asked(config.thinking)
            for limit in (max_usd, config.limits.max_usd):
                found.check_limit(limit)
        except UserError as error:
            raise UserError(f"{stage}.{role}: {error}") from error
        prices[role] = found.price
    if max_usd is not None and not prices:
        raise UserError(f"{stage}.max_usd: is for endpoints; no model of this stage is one")
    return prices
