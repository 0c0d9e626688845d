"""The tokenizer of a merge's result: what a configuration says of it, and its files, made from those of the models."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class TokenRow(BaseModel):
    """Where a token's embedding comes from, if not from its own row in a model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: Literal["zero", "model_token"] = Field(description="a row of zeros, or another token's row")
    model: str | None = Field(default=None, description="of `model_token`: a model of this merge")
    token: str | None = Field(default=None, description="of `model_token`: the other token's text")
    token_id: int | None = Field(default=None, ge=0, description="of `model_token`: its id in that model, for its text")


def _token_source(value: object) -> object:
    """Says in words what is wrong, where pydantic would list the failures of each alternative."""
    if value is None or isinstance(value, str | TokenRow):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is neither a model nor a mapping with `kind`; write a model of this merge")
    kind, keys = value.get("kind"), list(TokenRow.model_fields)
    if unknown := [str(key) for key in value if key not in keys]:
        near = difflib.get_close_matches(unknown[0], keys, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(keys)}"
        raise ValueError(f"key {unknown[0]!r} is unknown here; {hint}")
    if kind not in ("zero", "model_token"):
        raise ValueError(f"kind {kind!r} is not zero or model_token; write one of these")
    given = {key for key in value if value[key] is not None} - {"kind"}
    if kind == "zero" and given:
        raise ValueError(f"kind zero takes no {', '.join(sorted(given))}; leave it out")
    if kind == "model_token" and given not in ({"model", "token"}, {"model", "token_id"}):
        raise ValueError("kind model_token takes a model and either a token or a token_id")
    return value


class TokenSettings(BaseModel):
    """One token of the `tokenizer:` section."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: Annotated[str | TokenRow | None, BeforeValidator(_token_source)] = Field(
        default=None, description="a model whose row of this token is used where a model has none, or a mapping"
    )
    force: bool = Field(default=False, description="used for all models, also those that have the token")


class TokenizerSettings(BaseModel):
    """The `tokenizer:` section, as mergekit documents it; `tokenizer_source: X` is the same as its `source: X`.

    Attributes:
        source: `union` (the tokens of all models), `base`, or a model of this merge.
        tokens: text of a token → its row; a token that the vocabulary lacks is added to it.
        pad_to_multiple_of: the embedding gets so many rows more that their number is a multiple of it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    source: str = "union"
    tokens: dict[str, TokenSettings] = Field(default_factory=dict)
    pad_to_multiple_of: Annotated[int, Field(ge=1, le=1 << 20)] | None = None


def unknown_key(key: str, parents: tuple[Any, ...]) -> str:
    """What to say of a key that is not known, with the nearest that is."""
    fields = list((TokenSettings if "tokens" in parents else TokenizerSettings).model_fields)
    near = difflib.get_close_matches(key, fields, n=1, cutoff=0.5)
    return f"unknown key; did you mean {near[0]!r}?" if near else f"unknown key; valid: {', '.join(fields)}"
