"""What endpoints charge: one YAML file of ours, rows of it overridden by one of the user's."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sagecraft.errors import UserError
from sagecraft.settings import read_yaml_mapping

_OURS = Path(__file__).parent / "prices.yaml"


class Price(BaseModel):
    """Price of one model.

    Attributes:
        usd_per_million_in: USD per million tokens read; None if not known.
        usd_per_million_out: USD per million tokens written, thoughts included; None if not known.
        source: where it was read.
        date: when it was in force.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)
    usd_per_million_in: float | None = Field(default=None, ge=0, alias="in")
    usd_per_million_out: float | None = Field(default=None, ge=0, alias="out")
    source: str = ""
    date: datetime.date | None = None


def read_prices(path: Path) -> dict[str, Price]:
    """Reads a price file.

    Raises:
        UserError: names the file and the row.
    """
    rows = read_yaml_mapping(path, "expected a mapping of provider:model to prices")
    prices = {}
    for name, row in rows.items():
        try:
            prices[str(name)] = Price.model_validate(row)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, (name, *first["loc"])))
            raise UserError(f"{path}: {where}: {first['msg']}; a row has in, out, source and date") from error
    return prices


def price_of(model: str, overrides: Path | None = None) -> Price | None:
    """The price of `provider:model`, or None if there is no row for it."""
    if overrides is not None:
        found = read_prices(overrides).get(model)
        if found is not None:
            return found
    return _our_prices().get(model)


@cache
def _our_prices() -> dict[str, Price]:
    return read_prices(_OURS)
