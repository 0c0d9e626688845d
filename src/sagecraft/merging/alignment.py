"""Rows of embeddings and heads brought into the order of the result's vocabulary, so that they can be merged like any tensor.

What a model brings to the merge is written once, in chunks, to a scratch file of the shape that the result has. Everything behind it (masks,
elections, the kernel) sees tensors of equal shape and knows nothing of vocabularies, and memory stays flat.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.errors import MachineError, UserError
from sagecraft.merging.tokenizer import TokenizerSettings, TokenRow, added_entry, find_whole, loaded_ids
from sagecraft.models.adapter import read_adapter
from sagecraft.models.tensors import DTYPE_BYTES, TensorRecord, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sagecraft.merging.job import Source
    from sagecraft.merging.plan import MergePlan, TensorPlan
    from sagecraft.merging.vocabulary import ModelVocabulary

    Floats = NDArray[np.float32]
    Integers = NDArray[np.int64]

#: Tensors whose first axis is the vocabulary, by the end of their names in the families that transformers has.
_ENDS = (
    "embed_tokens.weight",
    "lm_head.weight",
    "lm_head.bias",
    "wte.weight",
    "embed_in.weight",
    "embed_out.weight",
    "word_embeddings.weight",
)
#: Codes of `RowMap.model` for rows that are in no model: mean of several models' rows, zeros, mean of all the model's tokens.
AVERAGE, ZERO, MEAN = -1, -2, -3
#: Name of the rule by which a model brings a row of its own.
OWN = "own"
#: Bytes that are read and written at once.
_CHUNK_BYTES = 4 << 20


def is_indexed(name: str) -> bool:
    """True if a tensor's rows belong to tokens."""
    return name.endswith(_ENDS)


@dataclass(frozen=True)
class RowMap:
    """For each row of the result: what one model brings to the merge there.

    Attributes:
        models: labels, which `model` counts.
        own: which of them this is.
        model: [rows] whose row it is, or one of the codes above.
        row: [rows] which row of that model.
        averages: row of the result → (model, row) of each row that is averaged.
        tokens: rows of the model's own tokens, of which `MEAN` is the mean.
    """

    models: tuple[str, ...]
    own: int
    model: Integers
    row: Integers
    averages: Mapping[int, Sequence[tuple[int, int]]]
    tokens: Integers

    def is_identity(self, num_rows: int) -> bool:
        """True if the model's own tensor is what is wanted."""
        import numpy as np

        return (
            len(self.row) == num_rows
            and bool((self.model == self.own).all())
            and bool((self.row == np.arange(num_rows)).all())
        )


@dataclass(frozen=True)
class Alignment:
    """How rows are aligned by token.

    Attributes:
        whole: the model whose pieces and ids the result has.
        folder: its folder.
        ids: token → id of the result.
        added: entries of `added_tokens` that `whole` lacks.
        rows: model label → what it brings to each row.
        tensors: model label → tensor that is indexed by token → where it is stored.
        notes: what is worth knowing, in a line each.
        rules: model label → rule → number of its rows that follow it.
    """

    whole: str
    folder: Path
    ids: Mapping[str, int]
    added: tuple[Mapping[str, Any], ...]
    rows: Mapping[str, RowMap]
    tensors: Mapping[str, Mapping[str, TensorRecord]]
    notes: tuple[str, ...]
    rules: Mapping[str, Mapping[str, int]]


def plan_alignment(
    settings: TokenizerSettings,
    models: Mapping[str, ModelVocabulary],
    outside: Mapping[str, ModelVocabulary],
    tokenizer: str,
    base: str | None,
    faults: list[str],
) -> Alignment | None:
    """The result's vocabulary, and for each of its rows what each model brings to it.

    Args:
        settings: what is wanted.
        models: label → its vocabulary, each model once.
        outside: the same of a model that gives its tokenizer only.
        tokenizer: label of the model whose tokenizer is preferred.
        base: label of the model that deltas are taken from.
        faults: are added to.

    Returns:
        None if there are faults.
    """
    known = {**models, **outside}
    found = [fault for model in known.values() for fault in _unsound(model)]
    limit = 2 * max(model.num_rows + len(model.ids) for model in models.values())
    found += [
        f"{m.folder / 'tokenizer.json'}: id {m.num_rows - 1:,} is beyond its tokens; restore the file"
        for m in outside.values()
        if m.num_rows > limit + len(m.ids)
    ]
    whole, notes = tokenizer, list[str]()
    order = [tokenizer, *(label for label in models if label != tokenizer)]
    if settings.source == "union" and not found:
        whole, found, notes = find_whole({label: known[label].folder for label in order})
    ids, added = _united(whole, order if settings.source == "union" else [], settings, known)
    explicit = _explicit(settings, models, found)
    nowhere = [
        text for text in ids if text not in settings.tokens and not any(text in one.ids for one in models.values())
    ]
    if nowhere:
        found.append(
            f"{known[whole].folder / 'tokenizer.json'}: {len(nowhere):,} tokens are in no model of the merge (such as "
            f"{shown(nowhere[0])}); name a row for each under `tokens`, or another tokenizer"
        )
    if found:
        faults += found
        return None
    num_rows = max(max(ids.values()) + 1, known[whole].num_rows)
    num_rows = -(-num_rows // (settings.pad_to_multiple_of or 1)) * (settings.pad_to_multiple_of or 1)
    rows, rules = _map_rows(_Wanted(whole, base, ids, num_rows, settings, explicit), models)
    tensors = {label: model.tensors for label, model in models.items()}
    return Alignment(whole, known[whole].folder, ids, tuple(added), rows, tensors, tuple(notes), rules)


def _unsound(own: ModelVocabulary) -> list[str]:
    """Why the tokens of a model do not tell its rows apart."""
    path, found = own.folder / "tokenizer.json", list[str]()
    beyond = [text for text, token_id in own.ids.items() if token_id >= own.num_rows]
    if beyond:
        found.append(
            f"{path}: {len(beyond):,} tokens have no row (such as {shown(beyond[0])}, id {own.ids[beyond[0]]:,}): the "
            f"embedding has {own.num_rows:,}; give the model its own tokenizer"
        )
    counts = Counter(own.ids.values())
    double = sorted(text for text, token_id in own.ids.items() if counts[token_id] > 1)
    if double:
        found.append(
            f"{path}: {len(double):,} tokens share an id with another (such as {shown(double[0])}, id "
            f"{own.ids[double[0]]:,}); restore the file"
        )
    if not found:
        loaded = loaded_ids(path)
        other = sorted(text for text in {*loaded, *own.ids} if loaded.get(text) != own.ids.get(text))
        if other:
            found.append(
                f"{path}: {len(other):,} tokens load with another id than is written there (such as {shown(other[0])}, "
                f"{own.ids.get(other[0])}, which loads as {loaded.get(other[0])}); restore the file"
            )
    return found


def adapter_faults(sources: Sequence[Source]) -> list[str]:
    """Adapters that change rows which have to be aligned."""
    found = []
    for source in sources:
        if source.adapter is None:
            continue
        with contextlib.suppress(UserError):  # the plan says what is wrong with an adapter
            names = [name for name in read_adapter(source.adapter).pairs if is_indexed(name)]
            if names:
                found.append(
                    f"{source.adapter}: changes {names[0]}, whose rows have to be aligned by token; merge the adapter into its "
                    "model first (passthrough of the model with its adapter)"
                )
    return found


def _united(
    whole: str, labels: Sequence[str], settings: TokenizerSettings, own: Mapping[str, ModelVocabulary]
) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Token → id of the result, and the entries of the tokens that are added to `whole`'s: of `labels`, then configured."""
    ids, entries = dict(own[whole].ids), dict[str, dict[str, Any]]()
    free = max(ids.values()) + 1
    wanted: dict[str, Mapping[str, Any] | None] = {}
    for label in labels:
        for text, entry in sorted(own[label].added.items(), key=lambda item: own[label].ids[item[0]]):
            wanted.setdefault(text, entry)
    for text in settings.tokens:
        if text not in ids:
            wanted.setdefault(text, next((one.added[text] for one in own.values() if text in one.added), None))
    for text, like in wanted.items():
        if text in own[whole].added:
            continue
        if text not in ids:
            ids[text] = free
            free += 1
        entries[text] = added_entry(text, like) | {"id": ids[text]}
    return ids, list(entries.values())


def _explicit(
    settings: TokenizerSettings, own: Mapping[str, ModelVocabulary], faults: list[str]
) -> dict[str, tuple[int, int]]:
    """Token → (model or code, row), for those that are configured; faults are added to the list."""
    labels = list(own)
    found: dict[str, tuple[int, int]] = {}
    for text, setting in settings.tokens.items():
        where, source = f"tokenizer.tokens[{shown(text)}]", setting.source
        if source is None:
            if not any(text in one.ids for one in own.values()):
                faults.append(f"{where}: no model has this token; give it a source")
            elif setting.force:
                faults.append(f"{where}: force needs a source; name the model whose row it is")
            continue
        if isinstance(source, TokenRow) and source.kind == "zero":
            found[text] = (ZERO, 0)
            continue
        name = (source if isinstance(source, str) else source.model) or ""
        token = source.token or text if isinstance(source, TokenRow) else text
        if name not in own:
            faults.append(f"{where}: {name!r} is no model of this merge; there are {', '.join(labels)}")
        elif isinstance(source, TokenRow) and source.token_id is not None:
            if source.token_id >= own[name].num_rows:
                faults.append(f"{where}: {name} has {own[name].num_rows:,} rows, and none of id {source.token_id:,}")
            found[text] = (labels.index(name), source.token_id)
        elif token not in own[name].ids:
            faults.append(f"{where}: {name} has no token {shown(token)}; name one that it has")
        else:
            found[text] = (labels.index(name), own[name].ids[token])
    return found


@dataclass(frozen=True)
class _Wanted:
    """What decides about rows: see `Alignment` and `_explicit`."""

    whole: str
    base: str | None
    ids: Mapping[str, int]
    num_rows: int
    settings: TokenizerSettings
    explicit: Mapping[str, tuple[int, int]]


def _map_rows(
    wanted: _Wanted, own: Mapping[str, ModelVocabulary]
) -> tuple[dict[str, RowMap], dict[str, dict[str, int]]]:
    """What each model brings to each row, and how often which rule decided."""
    import numpy as np

    labels, num_rows = list(own), wanted.num_rows
    fills, averages = _fills(wanted, own)
    forced = {text for text, setting in wanted.settings.tokens.items() if setting.force}
    named = set(wanted.ids.values())
    spare = [row for row in range(num_rows) if row not in named]
    num_kept = own[wanted.whole].num_rows if wanted.whole in own else 0
    maps, rules = {}, {}
    for index, (label, one) in enumerate(own.items()):
        model, row = np.full(num_rows, MEAN, dtype=np.int64), np.zeros(num_rows, dtype=np.int64)
        counts: Counter[str] = Counter()
        for text, place in wanted.ids.items():
            if text in one.ids and text not in forced:
                model[place], row[place], rule = index, one.ids[text], OWN
            else:
                (model[place], row[place]), rule = fills[text]
            counts[rule] += 1
        for place in spare:
            if place < num_kept:
                model[place], row[place] = labels.index(wanted.whole), place
                counts[OWN if label == wanted.whole else f"without a token as in {wanted.whole}"] += 1
            else:
                counts["without a token as the mean of its rows"] += 1
        tokens = np.array(sorted(one.ids.values()), dtype=np.int64)
        maps[label] = RowMap(tuple(labels), index, model, row, averages, tokens)
        rules[label] = dict(counts)
    return maps, rules


def _fills(
    wanted: _Wanted, own: Mapping[str, ModelVocabulary]
) -> tuple[dict[str, tuple[tuple[int, int], str]], dict[int, list[tuple[int, int]]]]:
    """Token → (row of a model that lacks it, name of the rule), and the rows that averages are taken of."""
    base = list(own).index(wanted.base) if wanted.base is not None else None
    holders: dict[str, list[tuple[int, int]]] = {text: [] for text in wanted.ids}
    for index, one in enumerate(own.values()):
        for text, token_id in one.ids.items():
            if text in holders:
                holders[text].append((index, token_id))
    fills: dict[str, tuple[tuple[int, int], str]] = {}
    averages = {}
    for text, place in wanted.ids.items():
        having = holders[text]
        of_base = [pair for pair in having if pair[0] == base]
        if text in wanted.explicit:
            fills[text] = wanted.explicit[text], "as configured"
        elif of_base:
            fills[text] = of_base[0], f"as in the base {wanted.base}"
        elif len(having) == 1:
            fills[text] = having[0], "as in the only model that has them"
        else:
            fills[text] = (AVERAGE, 0), "as the average of the models that have them"
            averages[place] = having
    return fills, averages


def align(plan: MergePlan, folder: Path, done: Container[str] = ()) -> MergePlan:
    """Writes the vocabulary tensors of all models in the result's order.

    Args:
        plan: of the merge.
        folder: for the scratch files; they are made anew, so that a killed run's halves do no harm.
        done: tensors that are merged already and need no files.

    Returns:
        The plan, with the scratch files in the place of the models' own tensors.

    Raises:
        UserError: a value is not finite, or a file ends early.
        MachineError: there is no room.
    """
    how = plan.vocabulary.aligned
    if how is None:
        return plan
    todo = [row for row in plan.tensors if is_indexed(row.name) and row.name not in done]
    free = os.statvfs(folder)
    needed = sum(4 * row.num_elements * len(row.records) for row in todo)
    if needed > free.f_bavail * free.f_frsize:
        raise MachineError(
            f"{folder}: rows in the order of the vocabulary take {needed:,} bytes for a while; make room"
        )
    found = {}
    for number, row in enumerate(todo):
        records = dict(row.records)
        for index, (label, record) in enumerate(row.records.items()):
            if not how.rows[label].is_identity(record.shape[0]):
                records[label] = _write(folder / f"{number}-{index}.bin", row, how, how.rows[label])
        found[row.name] = replace(row, records=records)
    return replace(plan, tensors=tuple(found.get(row.name, row) for row in plan.tensors))


class _Reader:
    """Rows of one tensor of all models, in float32 or as they are stored."""

    def __init__(self, row: TensorPlan, how: Alignment, rows: RowMap, stack: ExitStack) -> None:
        self.name = row.name
        self.records = [how.tensors[label][row.name] for label in rows.models]
        self.width = row.num_elements // max(row.shape[0], 1)
        self._handles: dict[Path, int] = {}
        self._stack = stack

    def dtypes(self, models: Sequence[int]) -> set[str]:
        """Types of the rows of these models."""
        return {self.records[model].dtype for model in models}

    def read(self, model: int, rows: Integers) -> NDArray[Any]:
        """Rows as they are stored, checked to be finite: unsigned integers [rows, width]. Neighbours are read at once."""
        import numpy as np

        from sagecraft.merging.blocks import ends_early, is_finite, not_finite

        record = self.records[model]
        if record.file not in self._handles:
            self._handles[record.file] = os.open(record.file, os.O_RDONLY)
            self._stack.callback(os.close, self._handles[record.file])
        handle, size = self._handles[record.file], DTYPE_BYTES[record.dtype]
        raw = np.empty((len(rows), self.width), dtype=np.uint32 if size == 4 else np.uint16)
        memory, step = raw.data.cast("B"), self.width * size
        for left, right in _runs(rows):
            part = memory[left * step : right * step]
            if os.preadv(handle, [part], record.start + int(rows[left]) * step) != len(part):
                raise ends_early(record, self.name)
        if not is_finite(raw.ravel(), record.dtype):
            raise not_finite(record, self.name)
        return raw

    def floats(self, model: int, rows: Integers) -> Floats:
        """The same in float32."""
        from sagecraft.merging.blocks import to_float

        return to_float(self.read(model, rows), self.records[model].dtype)


def _write(path: Path, row: TensorPlan, how: Alignment, rows: RowMap) -> TensorRecord:
    """One tensor of one model; float32 where rows are computed or come in several types, else the type they have."""
    import numpy as np

    with ExitStack() as stack:
        reader = _Reader(row, how, rows, stack)
        dtypes = reader.dtypes([int(model) for model in np.unique(rows.model) if model >= 0])
        computed = bool(np.isin(rows.model, (AVERAGE, MEAN)).any())
        dtype = "F32" if computed or len(dtypes) != 1 else dtypes.pop()
        mean = _mean(reader, rows.own, rows.tokens) if bool((rows.model == MEAN).any()) else None
        height = max(1, _CHUNK_BYTES // (4 * max(reader.width, 1)))
        with path.open("wb") as file:
            for start in range(0, len(rows.row), height):
                file.write(_chunk(reader, rows, start, min(start + height, len(rows.row)), dtype, mean).tobytes())
    return TensorRecord(path, dtype, row.shape, 0, row.num_elements * DTYPE_BYTES[dtype])


def _chunk(reader: _Reader, rows: RowMap, start: int, end: int, dtype: str, mean: Floats | None) -> NDArray[Any]:
    """Rows [start, end) of the result, of the output's type."""
    import numpy as np

    kind: type[Any] = np.float32 if dtype == "F32" else np.uint16
    out = np.zeros((end - start, reader.width), dtype=kind)
    read = reader.floats if dtype == "F32" else reader.read
    models = rows.model[start:end]
    for model in np.unique(models).tolist():
        here = np.flatnonzero(models == model)
        if model == AVERAGE:
            for place in here.tolist():
                pairs = rows.averages[start + place]
                parts = [reader.floats(*pair)[0].astype(np.float64) for pair in _pairs(pairs)]
                out[place] = np.add.accumulate(parts, axis=0)[-1] / len(parts)
        elif model == MEAN:
            out[here] = mean
        elif model != ZERO:
            out[here] = read(model, rows.row[start:end][here])
    return out


def _pairs(pairs: Sequence[tuple[int, int]]) -> Iterator[tuple[int, Integers]]:
    import numpy as np

    return ((model, np.array([row], dtype=np.int64)) for model, row in pairs)


def _runs(rows: Integers) -> Iterator[tuple[int, int]]:
    """(first, end) of stretches of rows that follow one another."""
    import numpy as np

    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return itertools.pairwise(cuts)


def _mean(reader: _Reader, model: int, tokens: Integers) -> Floats:
    """Mean of a model's token rows [width]; added up in float64 in the order of ids."""
    import numpy as np

    total = np.zeros(reader.width)
    height = max(1, _CHUNK_BYTES // (4 * max(reader.width, 1)))
    for at in range(0, len(tokens), height):
        total += reader.floats(model, tokens[at : at + height]).sum(axis=0, dtype=np.float64)
    mean: Floats = (total / max(len(tokens), 1)).astype(np.float32)
    return mean
