"""Vocabularies and special tokens of the models of a merge, compared before any weight is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sagecraft.artifact import read_json
from sagecraft.errors import UserError
from sagecraft.merging.config import Job, Source
from sagecraft.models.tensors import TensorRecord

_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True)
class VocabularyPlan:
    """What is known of the vocabularies before the merge.

    Attributes:
        num_tokens: model label → size of its tokenizer's vocabulary.
        num_rows: rows of the embedding (more than tokens: padding, which is kept).
        action: `same`: ids mean the same everywhere, rows are merged one to one. Aligning others is not offered yet.
        special: special token → model label → its text, for those that differ; the result has the tokenizer source's.
    """

    num_tokens: Mapping[str, int]
    num_rows: int
    action: str
    special: Mapping[str, Mapping[str, str | None]]


def each_source(job: Job, read: Callable[[Any], Any], faults: list[str]) -> dict[str, Any]:
    """Model label → what `read` finds in its folder; faults are added to the list."""
    found = {}
    for source in job.sources:
        try:
            found[source.label] = read(source.folder)
        except UserError as error:
            faults.append(str(error))
    return found


def listing(values: Mapping[str, object]) -> str:
    """Values with the models they are in, for a message."""
    return ", ".join(f"{value!r} in {label}" for label, value in values.items())


def compare_vocabularies(
    job: Job, records: Mapping[str, Mapping[str, TensorRecord]], faults: list[str]
) -> VocabularyPlan:
    """Compares tokenizers and special tokens of all models; faults are added to the list."""
    tables = each_source(job, _read_vocabulary, faults)
    reference = tables.get(job.reference.label, {})
    for source in job.sources:
        table = tables.get(source.label)
        if table is None or not reference or table == reference:
            continue
        spare, lacking = sorted(set(table) - set(reference)), sorted(set(reference) - set(table))
        moved = sorted(token for token in set(table) & set(reference) if table[token] != reference[token])
        parts = [
            f"{len(tokens)} tokens {what} (such as {tokens[0]!r})"
            for tokens, what in ((spare, "only here"), (lacking, "missing here"), (moved, "with another id"))
            if tokens
        ]
        faults.append(
            f"{source.folder / 'tokenizer.json'}: another vocabulary than {job.reference.label}: {', '.join(parts)}; "
            "aligning vocabularies is not supported yet, merge models of one tokenizer"
        )
    rows = [record.shape[0] for name, record in records[job.reference.label].items() if "embed_tokens" in name]
    texts = {source.label: _special_tokens(source) for source in job.sources}
    special = {
        token: {label: row[token] for label, row in texts.items()}
        for token in _SPECIAL
        if len({row[token] for row in texts.values()}) > 1
    }
    return VocabularyPlan({label: len(table) for label, table in tables.items()}, max(rows, default=0), "same", special)


def _read_vocabulary(folder: Any) -> dict[str, int]:
    """Token → id, with added tokens."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{folder}: no tokenizer.json, so its vocabulary cannot be compared; put its tokenizer there")
    value = read_json(path)
    try:
        vocabulary = value["model"]["vocab"]
        if isinstance(vocabulary, list):  # unigram models list [token, score] in order of id
            vocabulary = {row[0]: index for index, row in enumerate(vocabulary)}
        return {**vocabulary, **{row["content"]: row["id"] for row in value.get("added_tokens") or []}}
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{path}: holds no vocabulary ({type(error).__name__}: {error}); restore it") from error


def _special_tokens(source: Source) -> dict[str, str | None]:
    path = source.folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    values = {name: config.get(name) for name in _SPECIAL}
    return {name: value.get("content") if isinstance(value, dict) else value for name, value in values.items()}
