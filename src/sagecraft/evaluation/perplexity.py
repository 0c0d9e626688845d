"""Perplexity of running text: how well a model foretells documents that it has not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sagecraft import artifact, console
from sagecraft.errors import UserError
from sagecraft.evaluation.store import Store
from sagecraft.inference.finite import require_finite

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.models.tokenizer import Tokenizer

#: Tokens of one pass of the engine. Windows are grouped the same way always: another grouping would change the last
#: bits of a bfloat16 product, and a resumed run must give the same bytes.
_GROUP_TOKENS = 2048


class Scorer(Protocol):
    """What is measured: the local engine, or a model in training."""

    tokenizer: Tokenizer
    max_positions: int
    name: str
    path: Path

    def sequence_logprobs(self, batch: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probability of each token given those before it; a sequence's first token has none."""
        ...


@dataclass(frozen=True)
class Window:
    """Tokens that are read in one go; the first is context only. `num_bytes` is the text of the others."""

    ids: list[int]
    num_bytes: int


def perplexity(
    engine: Scorer,
    documents: Iterable[Document],
    max_tokens: int,
    window: int,
    *,
    seed: int = 0,
    store: Store | None = None,
    label: str = "perplexity",
) -> dict[str, Any]:
    """Perplexity of a keyed choice of documents.

    Args:
        engine: the model.
        documents: which to choose from.
        max_tokens: scored tokens at most; the last document is cut there.
        window: tokens of one window, its first token being context only. Of a document's first window that is the
            BOS token where the model has one.
        seed: of the choice.
        store: keeps what was measured.
        label: of the progress line.

    Returns:
        perplexity, nats_per_token, bits_per_byte (which compares models with different tokenizers), num_tokens,
        num_bytes, num_documents.
    """
    if not 2 <= window <= engine.max_positions:
        limit = engine.max_positions
        raise UserError(f"perplexity.window: {window:,} is not within 2 to {limit:,}, the context of {engine.name}")
    windows, num_documents = choose_windows(engine, documents, max_tokens, window, seed)
    if not windows:
        raise UserError(f"{label}: the documents have no text to measure; give others")
    with console.progress(label, sum(len(w.ids) - 1 for w in windows)) as tick:
        found = measure_windows(engine, windows, store, tick.advance)
    return {**found, "num_documents": num_documents}


def measure_windows(
    engine: Scorer,
    windows: Sequence[Window],
    store: Store | None = None,
    advance: Callable[[float], object] | None = None,
) -> dict[str, Any]:
    """What `perplexity` returns but for the number of documents; `advance` is told of each group's scored tokens."""
    total = 0.0
    for group in _groups(windows):
        batch = [w.ids for w in group]
        sums = _sums(engine, batch, store)
        require_finite(engine.path, sums)
        total += math.fsum(sums)
        if advance is not None:
            advance(sum(len(ids) - 1 for ids in batch))
    num_tokens = sum(len(w.ids) - 1 for w in windows)
    num_bytes = sum(w.num_bytes for w in windows)
    nats = -total / num_tokens
    return {
        "perplexity": math.exp(min(nats, 700.0)),
        "nats_per_token": nats,
        "bits_per_byte": -total / math.log(2) / max(num_bytes, 1),
        "num_tokens": num_tokens,
        "num_bytes": num_bytes,
    }


def choose_windows(
    engine: Scorer, documents: Iterable[Document], max_tokens: int, window: int, seed: int
) -> tuple[list[Window], int]:
    """Windows of the documents with the smallest keys, as many as `max_tokens` allows, in the order of the keys."""
    drawn = sorted(
        ((artifact.keyed_hash(seed, "perplexity", d.id), d.id, d.text) for d in documents), key=lambda d: d[:2]
    )
    windows: list[Window] = []
    left, used = max_tokens, 0
    for _, _, text in drawn:
        if left <= 0:
            break
        found = _windows(engine, text, window, left)
        left -= sum(len(w.ids) - 1 for w in found)
        windows += found
        used += bool(found)
    return windows, used


def _windows(engine: Scorer, text: str, window: int, max_tokens: int) -> list[Window]:
    ids, offsets = engine.tokenizer.encode_with_offsets(text)
    bos = engine.tokenizer.bos_id
    if bos is not None:
        ids, offsets = [bos, *ids], [(0, 0), *offsets]
    windows = []
    for start in range(0, len(ids), window):
        part = ids[start : start + min(window, max_tokens + 1)]
        if len(part) < 2:
            continue
        # A character that is split between two tokens has the same offsets in both: the range counts it once.
        begin, end = offsets[start + 1][0], offsets[start + len(part) - 1][1]
        windows.append(Window(part, len(text[begin:end].encode("utf-8", "surrogatepass"))))
        max_tokens -= len(part) - 1
        if max_tokens <= 0:
            break
    return windows


def _groups(windows: Sequence[Window]) -> Iterable[list[Window]]:
    group: list[Window] = []
    for w in windows:
        if group and sum(len(other.ids) for other in group) + len(w.ids) > _GROUP_TOKENS:
            yield group
            group = []
        group.append(w)
    yield group


def _sums(engine: Scorer, batch: list[list[int]], store: Store | None) -> list[float]:
    def measure() -> list[float]:
        return [math.fsum(row) for row in engine.sequence_logprobs(batch)]

    if store is None:
        return measure()
    sums: list[float] = store.get({"mode": "perplexity", "batch": batch}, measure)
    return sums
