"""Vocabularies and special tokens of the models of a merge, compared and brought together before any weight is read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sagecraft import console
from sagecraft.artifact import read_json
from sagecraft.errors import UserError
from sagecraft.merging.alignment import OWN, Alignment, RowMap, adapter_faults, is_indexed, plan_alignment
from sagecraft.merging.job import Job
from sagecraft.merging.tokenizer import TokenizerSettings, moved_ids, write_tokenizer
from sagecraft.models.tensors import TensorRecord, shown

_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
_FLAGS = ("special", "lstrip", "rstrip", "single_word")
#: No tokenizer has as many tokens.
_MAX_ID = 1 << 31
#: Tokens of one kind that are named; the rest are counted.
_MAX_NAMED = 10
#: What looks like a token in a chat template.
_MARKUP = re.compile(r"<\|[\w\-./:]+\|>")


COLUMNS = ("model", "tokens", "rows", "shared", "only here", "moved", "left out", "special")


@dataclass(frozen=True)
class ModelVocabulary:
    """The tokens of one model.

    Attributes:
        folder: of the model.
        ids: token → id, added tokens included.
        added: text → its entry of `added_tokens`.
        roles: `eos_token` and its like → text.
        tensors: tensor that is indexed by token → where it is stored.
        num_rows: of its embedding.
    """

    folder: Path
    ids: Mapping[str, int]
    added: Mapping[str, Mapping[str, Any]]
    roles: Mapping[str, str | None]
    tensors: Mapping[str, TensorRecord] = field(default_factory=dict)
    num_rows: int = 0


@dataclass(frozen=True)
class VocabularyPlan:
    """What is known of the vocabularies before the merge.

    Attributes:
        num_tokens: model label → size of its tokenizer's vocabulary.
        num_rows: rows of the result's embedding (more than tokens: padding).
        action: `same`: ids mean the same everywhere, rows are merged one to one. `aligned`: rows are brought together by token.
        special: special token → model label → its text, for those that differ; the result has the tokenizer source's.
        columns: of the table.
        table: what is in each vocabulary.
        notes: what is worth knowing, in a line each.
        known: added tokens of all models that a chat template writes as markup.
        ids: token → id of the result.
        config: entries of the result's config.json.
        aligned: how, if rows are aligned.
    """

    num_tokens: Mapping[str, int]
    num_rows: int
    action: str = "same"
    special: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    table: tuple[tuple[Any, ...], ...] = ()
    notes: tuple[str, ...] = ()
    known: frozenset[str] = frozenset()
    ids: Mapping[str, int] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    aligned: Alignment | None = None

    @property
    def rows(self) -> Mapping[str, RowMap]:
        """Model label → what it brings to each row; empty if rows are merged one to one."""
        return self.aligned.rows if self.aligned else {}

    def shape(self, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of a tensor in the result."""
        return (self.num_rows, *shape[1:]) if self.aligned and is_indexed(name) else shape

    def result_config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """The result's config.json, also where a model of several kinds of input keeps its text part apart."""
        inner = config.get("text_config")
        if not isinstance(inner, dict):
            return {**config, **self.config}
        nested = {key: value for key, value in self.config.items() if key in inner}
        outer = {key: value for key, value in self.config.items() if key not in nested or key in config}
        return {**config, **outer, "text_config": {**inner, **nested}}

    def describe(self) -> dict[str, Any]:
        """For the result's summary."""
        found: dict[str, Any] = {
            "action": self.action,
            "num_tokens": dict(self.num_tokens),
            "num_rows": self.num_rows,
            "models": [dict(zip(COLUMNS, row, strict=True)) for row in self.table],
        }
        if self.aligned:
            found |= {"tokens_of": self.aligned.whole, "num_added": len(self.aligned.added)}
        return found

    def show(self, job: Job) -> None:
        """Prints what is in each vocabulary, and what becomes of it."""
        console.table("vocabularies", COLUMNS, self.table, aside=True)
        source = f"special tokens and chat template of {job.tokenizer.label}"
        if not self.aligned:
            console.say(
                f"  vocabulary: same in all ({len(self.ids):,} tokens, {self.num_rows:,} rows are merged one to one); {source}"
            )
            return
        added = f" and {len(self.aligned.added):,} added" if self.aligned.added else ""
        console.say(
            f"  vocabulary: aligned by token: {len(self.ids):,} tokens ({self.aligned.whole}'s{added}), "
            f"{self.num_rows:,} rows; {source}"
        )
        for label, rules in self.aligned.rules.items():
            filled = ", ".join(f"{count:,} {rule}" for rule, count in rules.items() if rule != OWN)
            if filled:
                console.say(f"  rows that {label} lacks: {filled}")

    def write(self, job: Job, target: Path, chat_template: str | None) -> None:
        """Writes the result's tokenizer."""
        source = job.tokenizer.folder
        whole, added = (self.aligned.folder, self.aligned.added) if self.aligned else (source, ())
        write_tokenizer(target, source, whole, added, self.ids, chat_template)

    def check_template(self, text: str | None) -> None:
        """Refuses a chat template whose tokens the result has not.

        Raises:
            UserError: it writes a token of one of the models that is not in the result.
        """
        if text is None:
            return
        lost = [token for token in sorted(self.known) if token not in self.ids and token in text]
        if lost:
            raise UserError(
                f"chat_template: writes {_some(lost)}, which the result's vocabulary lacks; take `union`, or name the "
                "token under `tokens` of `tokenizer`"
            )
        strange = sorted(set(_MARKUP.findall(text)) - set(self.ids))
        if strange:
            console.warn(f"the chat template writes {_some(strange)}, no token of any model: encoded piece by piece")


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


def _some(tokens: Sequence[str]) -> str:
    named = ", ".join(shown(token) for token in tokens[:_MAX_NAMED])
    return named + (f" and {len(tokens) - _MAX_NAMED:,} more" if len(tokens) > _MAX_NAMED else "")


def plan_vocabulary(
    job: Job,
    configs: Mapping[str, Mapping[str, Any]],
    records: Mapping[str, Mapping[str, TensorRecord]],
    faults: list[str],
) -> VocabularyPlan:
    """Compares tokenizers and special tokens of all models, and aligns rows by token if that is asked for and needed.

    Faults are added to the list.
    """
    names: dict[Path, str] = {}  # a model of which several stretches of layers take part is one model here
    own: dict[str, ModelVocabulary] = {}
    outside: dict[str, ModelVocabulary] = {}
    for source in (*job.sources, job.tokenizer):
        if source.folder in names:
            continue
        label = names[source.folder] = source.model or source.label
        try:
            found = read_vocabulary(source.folder)
            if source.label in records:
                own[label] = _with_tensors(found, records[source.label])
            else:
                outside[label] = replace(found, num_rows=max(found.ids.values()) + 1)
        except UserError as error:
            faults.append(str(error))
    if len(own) + len(outside) < len(names):
        return VocabularyPlan({label: len(one.ids) for label, one in own.items()}, 0)
    tokenizer, reference, settings = names[job.tokenizer.folder], own[names[job.reference.folder]], job.vocabulary
    same = all(one.ids == reference.ids for one in (*own.values(), *outside.values()))
    one_to_one = same and all(one.num_rows == reference.num_rows for one in own.values())
    aligned = None
    if settings is None:
        faults += [] if same else _differences(names[job.reference.folder], own)
    elif not one_to_one or _changes(settings, reference):
        faults += adapter_faults(job.sources)
        aligned = plan_alignment(
            settings, own, outside, tokenizer, names[job.base.folder] if job.base else None, faults
        )
    if aligned:
        aligned = replace(aligned, rows={s.label: aligned.rows[names[s.folder]] for s in job.sources})
    ids = aligned.ids if aligned else reference.ids
    num_rows = len(next(iter(aligned.rows.values())).row) if aligned else reference.num_rows
    everyone = {**own, **outside}
    roles = {label: one.roles for label, one in everyone.items()}
    return VocabularyPlan(
        num_tokens={label: len(one.ids) for label, one in own.items()},
        num_rows=num_rows,
        action="aligned" if aligned else "same",
        special={
            role: {label: row[role] for label, row in roles.items()}
            for role in _SPECIAL
            if len({row[role] for row in roles.values()}) > 1
        },
        table=_table(own, ids),
        notes=_clashes(everyone) + (aligned.notes if aligned else ()),
        known=frozenset(text for one in everyone.values() for text in one.added if _is_markup(text, one.added[text])),
        ids=ids,
        config=_config(_bearers(job, names, configs), own, ids, num_rows if aligned else None),
        aligned=aligned,
    )


def _is_markup(text: str, entry: Mapping[str, Any]) -> bool:
    """Special, or in brackets: other added tokens are ordinary text, such as line breaks."""
    return bool(entry.get("special")) or (len(text) > 2 and text[0] + text[-1] in ("<>", "[]"))


def read_vocabulary(folder: Path) -> ModelVocabulary:
    """The tokens of a model, with added ones.

    Raises:
        UserError: there is no tokenizer.json, or it gives no token or no sound id.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{folder}: no tokenizer.json, so its vocabulary cannot be compared; put its tokenizer there")
    value = read_json(path)
    try:
        vocabulary = value["model"]["vocab"]
        if isinstance(vocabulary, list):  # unigram models list [token, score] in order of id
            vocabulary = {row[0]: index for index, row in enumerate(vocabulary)}
        added = {row["content"]: row for row in value.get("added_tokens") or []}
        ids = {**vocabulary, **{text: row["id"] for text, row in added.items()}}
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise UserError(f"{path}: holds no vocabulary ({type(error).__name__}: {error}); restore it") from error
    for text, token_id in ids.items():
        if not isinstance(text, str):
            raise UserError(f"{path}: token {text!r} is no text; restore the file")
        if not isinstance(token_id, int) or isinstance(token_id, bool) or not 0 <= token_id < _MAX_ID:
            raise UserError(
                f"{path}: token {shown(text)} has the id {token_id!r:.40}, which is no row; restore the file"
            )
    if not ids:
        raise UserError(f"{path}: holds no token; restore the file")
    return ModelVocabulary(folder, ids, added, _roles(folder))


def _roles(folder: Path) -> dict[str, str | None]:
    path = folder / "tokenizer_config.json"
    config = read_json(path) if path.is_file() else {}
    if not isinstance(config, dict):
        raise UserError(f"{path}: expected a JSON object; restore it")
    values = {name: config.get(name) for name in _SPECIAL}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in values.items()}
    return {name: text if isinstance(text, str) else None for name, text in texts.items()}


def _with_tensors(own: ModelVocabulary, records: Mapping[str, TensorRecord]) -> ModelVocabulary:
    """With the tensors of a model that are indexed by token; embedding and head must have as many rows."""
    tensors = {name: record for name, record in records.items() if is_indexed(name) and record.shape}
    rows = {name: record.shape[0] for name, record in tensors.items()}
    if len(set(rows.values())) > 1:
        sizes = ", ".join(f"{count:,} in {name}" for name, count in rows.items())
        raise UserError(f"{own.folder}: embedding and head have other numbers of rows: {sizes}; mend the checkpoint")
    return replace(own, tensors=tensors, num_rows=next(iter(rows.values()), 0))


def _differences(label: str, own: Mapping[str, ModelVocabulary]) -> list[str]:
    """A line for each model with another vocabulary than this one."""
    reference = own[label].ids
    found = []
    for model in own.values():
        table = model.ids
        if table == reference:
            continue
        spare, lacking = sorted(set(table) - set(reference)), sorted(set(reference) - set(table))
        moved = sorted(token for token in set(table) & set(reference) if table[token] != reference[token])
        parts = [
            f"{len(tokens)} tokens {what} (such as {shown(tokens[0])})"
            for tokens, what in ((spare, "only here"), (lacking, "missing here"), (moved, "with another id"))
            if tokens
        ]
        found.append(
            f"{model.folder / 'tokenizer.json'}: another vocabulary than {label}: {', '.join(parts)}; "
            "write `tokenizer: {source: union}` (or base, or a model) to align rows by token"
        )
    return found


def _changes(settings: TokenizerSettings, reference: ModelVocabulary) -> bool:
    """True if settings want other rows than equal vocabularies have."""
    padded = settings.pad_to_multiple_of is not None and reference.num_rows % settings.pad_to_multiple_of
    return bool(padded) or any(one.force or text not in reference.ids for text, one in settings.tokens.items())


def _table(own: Mapping[str, ModelVocabulary], ids: Mapping[str, int]) -> tuple[tuple[Any, ...], ...]:
    """Rows of `COLUMNS`: shared by all models, in no other, with another id in the result, not in the result, special."""
    equal = all(one.ids == ids for one in own.values())  # the common case, which is known without counting
    counts = Counter(text for one in own.values() for text in one.ids) if not equal else {}
    figures = dict.fromkeys(own, (len(ids), 0, 0, 0))
    for label, one in own.items() if not equal else ():
        figures[label] = (
            sum(counts[text] == len(own) for text in one.ids),
            sum(counts[text] == 1 for text in one.ids) if len(own) > 1 else 0,
            sum(text in ids and ids[text] != token_id for text, token_id in one.ids.items()),
            sum(text not in ids for text in one.ids),
        )
    return tuple(
        (label, len(one.ids), one.num_rows, *figures[label], sum(bool(e.get("special")) for e in one.added.values()))
        for label, one in own.items()
    )


def _clashes(own: Mapping[str, ModelVocabulary]) -> tuple[str, ...]:
    """Tokens of one text that are something else in another model."""
    lines = []
    texts = sorted({text for one in own.values() for text in one.roles.values() if text})
    for text in texts:
        roles = {
            label: [role for role, own_text in one.roles.items() if own_text == text] for label, one in own.items()
        }
        given = {label: " and ".join(names) for label, names in roles.items() if names}
        if len(set(given.values())) > 1:
            where = ", ".join(f"{names} in {label}" for label, names in given.items())
            lines.append(f"{shown(text)} has another role: {where}")
    found = []
    for text in sorted({text for one in own.values() for text in one.added}):
        kinds = {
            label: tuple(bool(one.added.get(text, {}).get(flag)) for flag in _FLAGS)
            for label, one in own.items()
            if text in one.ids
        }
        if len(set(kinds.values())) > 1:
            where = ", ".join(f"{_kind(kind)} in {label}" for label, kind in kinds.items())
            found.append(f"{shown(text)} is found in texts in another way: {where}")
    if len(found) > _MAX_NAMED:
        found[_MAX_NAMED:] = [f"{len(found) - _MAX_NAMED:,} more added tokens are found in texts in another way"]
    return tuple(lines + found)


def _kind(kind: Sequence[bool]) -> str:
    named = [flag for flag, value in zip(_FLAGS, kind, strict=True) if value]
    return " ".join(named) or "ordinary"


def _bearers(job: Job, names: Mapping[Path, str], configs: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Models from which the result has token ids, and their configurations: the last counts."""
    sources = [job.reference, *(source for source in job.sources if source.folder == job.tokenizer.folder)]
    return [(names[source.folder], configs[source.label]) for source in sources]


def _config(
    bearers: Sequence[tuple[str, Mapping[str, Any]]],
    own: Mapping[str, ModelVocabulary],
    ids: Mapping[str, int],
    num_rows: int | None,
) -> dict[str, Any]:
    """Entries of config.json; special ids are those of the model whose tokenizer it is, wherever the rest comes from."""
    entries: dict[str, Any] = {} if num_rows is None else {"vocab_size": num_rows}
    for label, config in bearers:
        inner = config.get("text_config")
        config = {**(inner if isinstance(inner, dict) else {}), **config}
        given = {key: value for key, value in config.items() if key.endswith("_token_id") and value is not None}
        if own[label].ids != ids:
            given = moved_ids(given, {token_id: text for text, token_id in own[label].ids.items()}, ids)
        entries |= given
    return entries
