"""Presets: where endpoints are, how their models are told to think, and what they charge (`providers.yaml` explains)."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sagecraft.chat.thinking import Switch
from sagecraft.errors import UserError
from sagecraft.inference.prices import Price
from sagecraft.settings import explain, read_yaml_mapping

_OURS = Path(__file__).parent / "providers.yaml"
#: Stands in a body for the budget of a thought.
_THOUGHT_TOKENS = "{thought_tokens}"

_Row = TypeVar("_Row", bound=BaseModel)


class Provider(BaseModel):
    """Where and how a provider is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_url: str | None
    key_env: str
    needs_key: bool = True
    own_hardware: bool = False
    max_tokens_name: str = "max_tokens"


class Asked(BaseModel):
    """What a request carries so that the model thinks, or does not.

    Attributes:
        body: added to the request.
        system: the system message; None sends none.
        temperature: whether a temperature may be sent with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    body: dict[str, Any] = {}
    system: str | None = None
    temperature: bool = True


class Thinking(BaseModel):
    """The switch; None where the model has no such state."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    on: Asked | None
    off: Asked | None

    @model_validator(mode="before")
    @classmethod
    def _yaml_keys(cls, value: object) -> object:
        """YAML reads a bare `on` and `off` as booleans."""
        if not isinstance(value, dict):
            return value
        return {
            {True: "on", False: "off"}.get(key, key) if isinstance(key, bool) else key: row
            for key, row in value.items()
        }


class Model(BaseModel):
    """What is known of one model; `thinking` is None where nothing is."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    price: Price | None = None
    thinking: Thinking | None = None
    temperature: bool = True
    extra_thought_tokens: int = Field(default=0, ge=0)


class _File(BaseModel):
    """The form of a file of presets; rows of a user's file need not be whole, so they are checked when joined."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    providers: dict[str, dict[str, Any]] = {}
    models: dict[str, dict[str, Any]] = {}


class Preset(BaseModel):
    """A model of a provider, as presets and overrides have it.

    Attributes:
        name: `provider:model`.
        model_name: what the provider calls the model.
        provider: where it is asked.
        model: what is known of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())
    name: str
    model_name: str
    provider: Provider
    model: Model

    @property
    def price(self) -> Price | None:
        """The price, if it is known."""
        price = self.model.price
        return price if price is not None and price.is_known else None

    def asked(self, thinking: Switch | None) -> Asked:
        """What a request carries for a state of the switch; None sends nothing.

        Raises:
            UserError: the model has no such state, or it is not known how to ask for it.
        """
        if thinking is None:
            return Asked()
        if self.model.thinking is None:
            raise UserError(
                f"thinking: how {self.name} is told to think is not known; use thinking none, or put a row for it into a "
                "file of providers"
            )
        found = self.model.thinking.on if thinking == "on" else self.model.thinking.off
        if found is None:
            other = "off" if thinking == "on" else "on"
            why = "does not think" if thinking == "on" else "cannot be told not to think"
            raise UserError(f"thinking: {self.name} {why}; use thinking {other}")
        return found

    def check_limit(self, max_usd: float | None) -> None:
        """A cost limit needs a price.

        Raises:
            UserError: there is a limit and no price.
        """
        if max_usd is not None and self.price is None:
            raise UserError(
                f"max_usd: the price of {self.name} is not known, so a cost limit cannot be kept; put its price, with source "
                "and date, into a file of providers (--providers), or leave max_usd out"
            )

    def can(self, thinking: Switch) -> bool:
        """Whether the switch is known to have this state."""
        return self.model.thinking is not None and getattr(self.model.thinking, thinking) is not None


def with_budget(body: Mapping[str, Any], thought_tokens: int) -> dict[str, Any]:
    """A copy of what a request carries, with the budget of a thought in its place."""

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(part) for key, part in value.items()}
        return thought_tokens if value == _THOUGHT_TOKENS else value

    return {key: filled(value) for key, value in body.items()}


def preset(name: str, overrides: Path | None = None) -> Preset:
    """The preset of `provider:model`.

    Args:
        name: of the model; a name without a row is taken as it is, with nothing known of it.
        overrides: a user's file, whose rows win key by key.

    Raises:
        UserError: an unknown provider, or a file that cannot be used; it names file and key.
    """
    ours = _our_file()
    theirs = _read(overrides) if overrides is not None else _File()
    provider_name, _, model_name = name.partition(":")
    known = ours.providers.keys() | theirs.providers.keys()
    if provider_name not in known or not model_name:
        raise UserError(f"{name}: expected provider:model with a provider of {', '.join(sorted(known))}")
    provider = {**ours.providers.get(provider_name, {}), **theirs.providers.get(provider_name, {})}
    row = {**_row(ours.models, name), **_row(theirs.models, name)}
    file = overrides if overrides is not None else _OURS
    return Preset(
        name=name,
        model_name=model_name,
        provider=_checked(Provider, provider, f"{file}: providers.{provider_name}"),
        model=_checked(Model, row, f"{file}: models.{name}"),
    )


def _row(models: Mapping[str, dict[str, Any]], name: str) -> dict[str, Any]:
    """All rows that fit a name, joined key by key; the longer (more particular) name wins."""
    fitting = [pattern for pattern in models if fnmatchcase(name.lower(), pattern.lower())]
    joined: dict[str, Any] = {}
    for pattern in sorted(fitting, key=lambda text: (len(text), text)):
        joined |= models[pattern]
    return joined


def _read(path: Path) -> _File:
    """A file of presets, every row of it checked, whether it is used or not."""
    value = read_yaml_mapping(path, "expected the sections `providers` and `models`")
    file = _checked(_File, value, str(path))
    for name, row in file.models.items():
        _checked(Model, row, f"{path}: models.{name}")
    for name, row in file.providers.items():
        known = {} if path == _OURS else _our_file().providers.get(name, {})
        _checked(Provider, {**known, **row}, f"{path}: providers.{name}")
    return file


def _checked(model: type[_Row], value: Mapping[str, Any], where: str) -> _Row:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{where}: {'; '.join(explain(error, model))}") from error


@cache
def _our_file() -> _File:
    return _read(_OURS)
