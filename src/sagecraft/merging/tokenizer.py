"""The tokenizer of a merge's result: what a configuration says of it, and its files, made from those of the models."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sagecraft.artifact import read_json
from sagecraft.errors import MachineError, UserError
from sagecraft.models.tensors import shown
from sagecraft.models.tokenizer import copy_tokenizer

#: Of an entry of `added_tokens`: how its text is found.
_FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")
#: Entries of configurations that hold token ids.
_ID_KEYS = ("_token_id", "_token_ids", "suppress_tokens", "bad_words_ids")


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


@dataclass(frozen=True)
class Pieces:
    """What a tokenizer cuts a text into, apart from its added tokens.

    Attributes:
        kind: BPE, Unigram, WordPiece or WordLevel.
        parts: whatever else decides how a text is cut: normalizer, pre_tokenizer, decoder and the settings of the kind.
        pieces: piece → its score (Unigram) or None.
        merges: of BPE, in the order of their rank.
    """

    kind: str
    parts: Mapping[str, Any]
    pieces: Mapping[str, float | None]
    merges: Sequence[tuple[str, ...]]


def read_pieces(path: Path) -> Pieces:
    """The pieces of a `tokenizer.json`.

    Raises:
        UserError: it holds none.
    """
    value = read_json(path)
    try:
        model = value["model"]
        vocabulary, merges = model["vocab"], model.get("merges") or []
        added = {row["content"] for row in value.get("added_tokens") or []}
        scored = isinstance(vocabulary, list)
        kind = model.get("type") or ("Unigram" if scored else "BPE" if "merges" in model else "WordPiece")
        rows = vocabulary if scored else ((text, None) for text in vocabulary)
        settings = {
            key: item for key, item in model.items() if key not in ("vocab", "merges", "type", "unk_id") and item
        }
        parts = {key: value.get(key) for key in ("normalizer", "pre_tokenizer", "decoder")}
        return Pieces(
            kind,
            parts | settings,
            {text: score for text, score in rows if text not in added},
            [tuple(pair.split(" ", 1) if isinstance(pair, str) else pair) for pair in merges],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: holds no pieces ({type(error).__name__}: {error}); restore it") from error


def beyond(small: Pieces, large: Pieces) -> str | None:
    """Why `large` does not cut texts into the pieces of `small` and its own: None if it does."""
    if small.kind != large.kind:
        return f"{small.kind} is not {large.kind}"
    for key in sorted(set(small.parts) | set(large.parts)):
        if small.parts.get(key) != large.parts.get(key):
            return f"{key} differs"
    if len(small.merges) > len(large.merges) or small.merges != large.merges[: len(small.merges)]:
        pairs = enumerate(zip(small.merges, large.merges, strict=False), start=1)
        first = next((number for number, (left, right) in pairs if left != right), len(large.merges) + 1)
        return f"its BPE merges are others from number {first:,} on"
    for text, score in small.pieces.items():
        if text not in large.pieces:
            return f"its piece {shown(text)} is only here"
        if score != large.pieces[text]:
            return f"its piece {shown(text)} has another score"
    return None


def find_whole(folders: Mapping[str, Path]) -> tuple[str, list[str], list[str]]:
    """The model whose tokenizer can stand for all: it has the pieces of every other, in the same order of merging.

    Two tokenizers of which neither holds the other are no single one: with the merges, scores or words of both, a text is cut in
    ways that neither model has seen. Added tokens are no part of this, they unite always.

    Args:
        folders: label → folder, the preferred one first.

    Returns:
        Its label; a fault for each model that fits no other; a note for each that has fewer pieces.
    """
    (whole, folder), *others = folders.items()
    widest = read_pieces(folder / "tokenizer.json")
    sizes = {whole: len(widest.pieces)}
    pending: list[str] = []
    for label, other in others:
        pieces = read_pieces(other / "tokenizer.json")
        sizes[label] = len(pieces.pieces)
        if beyond(pieces, widest) is None:
            continue
        if beyond(widest, pieces) is None:
            whole, widest = label, pieces
        else:
            pending.append(label)
    faults = []
    for label in pending:
        reason = beyond(read_pieces(folders[label] / "tokenizer.json"), widest)
        if reason is not None:
            faults.append(
                f"{folders[label] / 'tokenizer.json'}: cannot be one tokenizer with {whole}'s ({reason}); "
                "write `source: base` or a model for `union`"
            )
    notes = [
        f"the pieces of {label} ({size:,}) are part of {whole}'s ({sizes[whole]:,}): texts are cut as there"
        for label, size in sizes.items()
        if size < sizes[whole]
    ]
    return whole, faults, notes


def loaded_ids(path: Path) -> dict[str, int]:
    """Token → id as the `tokenizers` library gives them, which is what every program encodes with.

    Raises:
        UserError: the library cannot read the file.
    """
    from tokenizers import Tokenizer as Backend

    try:
        return dict(Backend.from_file(str(path)).get_vocab(with_added_tokens=True))
    except Exception as error:  # the library raises bare Exception for every fault of the file
        raise UserError(f"{path}: not a tokenizer ({error}); restore it") from error


def added_entry(text: str, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """An entry of `added_tokens` without its id: as it stands in another tokenizer, or a special token."""
    return dict.fromkeys(_FLAGS, False) | {"special": True} | dict(like or {}) | {"content": text}


def write_tokenizer(
    target: Path,
    source: Path,
    whole: Path,
    added: Sequence[Mapping[str, Any]],
    ids: Mapping[str, int],
    chat_template: str | None,
) -> None:
    """Writes the tokenizer of a result.

    Args:
        target: the result's folder.
        source: whose special tokens, chat template, post-processor and generation settings it gets.
        whole: whose pieces and ids it has.
        added: entries of `added_tokens` with their ids, that `whole` has not (or only as pieces).
        ids: token → id of the result.
        chat_template: replaces that of `source`.
    """
    copy_tokenizer(source, target, chat_template)
    if source == whole and not added:
        return
    value, own = read_json(whole / "tokenizer.json"), read_json(source / "tokenizer.json")
    entries = [*(value.get("added_tokens") or []), *added]
    value["added_tokens"] = sorted(entries, key=lambda entry: entry["id"])
    vocabulary = value["model"]["vocab"]
    if isinstance(vocabulary, dict) and max(vocabulary.values(), default=0) >= len(vocabulary):
        # the library numbers added tokens from the size of the vocabulary on, unless they stand in it
        vocabulary.update({entry["content"]: entry["id"] for entry in added})
    value["post_processor"] = _with_ids(own.get("post_processor"), ids)
    value["truncation"] = own.get("truncation")
    padding = own.get("padding")
    if isinstance(padding, dict) and padding.get("pad_token") in ids:
        padding = padding | {"pad_id": ids[padding["pad_token"]]}
    value["padding"] = padding
    text = json.dumps(value, ensure_ascii=False, indent=2)
    (target / "tokenizer.json").write_text(text + "\n", encoding="utf-8")
    _edit(target / "tokenizer_config.json", lambda config: _with_added(config, value["added_tokens"], added))
    old = {token_id: text for text, token_id in loaded_ids(source / "tokenizer.json").items()}
    _edit(target / "generation_config.json", lambda config: moved_ids(config, old, ids))
    _check(target, ids)


def _check(folder: Path, ids: Mapping[str, int]) -> None:
    found = loaded_ids(folder / "tokenizer.json")
    if found != dict(ids):
        text = next(text for text in {**ids, **found} if found.get(text) != ids.get(text))
        raise MachineError(
            f"{folder / 'tokenizer.json'}: token {shown(text)} loads as id {found.get(text)} where {ids.get(text)} is its "
            "row; please report this"
        )


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if path.is_file():
        text = json.dumps(change(read_json(path)), ensure_ascii=False, indent=2)
        path.write_text(text + "\n", encoding="utf-8")


def _with_added(
    config: dict[str, Any], entries: Sequence[Mapping[str, Any]], added: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """tokenizer_config.json with all added tokens, where it lists them."""
    if "added_tokens_decoder" in config:
        config["added_tokens_decoder"] = {
            str(entry["id"]): {key: entry.get(key, False) for key in ("content", *_FLAGS)} for entry in entries
        }
    for key in ("additional_special_tokens", "extra_special_tokens"):
        listed = config.get(key)
        if isinstance(listed, list):
            named = {item.get("content") if isinstance(item, dict) else item for item in listed}
            config[key] = listed + [e["content"] for e in added if e.get("special") and e["content"] not in named]
    return config


def _with_ids(part: Any, ids: Mapping[str, int]) -> Any:
    """A post-processor with the result's ids in the place of those it was written with."""
    if not isinstance(part, dict):
        return part
    part = dict(part)
    if part.get("type") == "Sequence":
        part["processors"] = [_with_ids(inner, ids) for inner in part.get("processors") or []]
    for key in ("sep", "cls"):  # of BERT's and RoBERTa's: [token, id]
        pair = part.get(key)
        if isinstance(pair, list) and len(pair) == 2 and pair[0] in ids:
            part[key] = [pair[0], ids[pair[0]]]
    if isinstance(part.get("special_tokens"), dict):  # of templates: name → {id, ids, tokens}
        part["special_tokens"] = {
            name: entry | {"ids": [ids.get(text, old) for text, old in zip(entry["tokens"], entry["ids"], strict=True)]}
            for name, entry in part["special_tokens"].items()
        }
    return part


def moved_ids(config: Mapping[str, Any], old: Mapping[int, str], ids: Mapping[str, int]) -> dict[str, Any]:
    """A configuration whose token ids are those of another vocabulary, by their tokens; an id without a token stays."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(item) for item in value]
        known = isinstance(value, int) and not isinstance(value, bool) and value in old
        return ids.get(old[value], value) if known else value

    return {key: moved(item) if key.endswith(_ID_KEYS) else item for key, item in config.items()}
