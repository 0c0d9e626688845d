"""Loss: how surprising each document is to a small model, and a filter by it.

What a model of the general language finds far more surprising than the rest is damaged, encoded or in no language
(arXiv:1911.00359 filters web text so); what it knows by heart is boilerplate. Formulas surprise it, too, so thresholds
are for the user to set, on the curves of the report; none is set by default.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.corpus.documents import Document, Dropped, Shards, read_documents
from sagecraft.corpus.measures import count_words
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.inference.local import LocalEngine

VERSION = 1
LOSSES = "losses.parquet"
#: Documents between two points from which a killed run goes on. The engine groups those of a chunk into passes: the same
#: way always, since another grouping would change the last bits of a product, and a resumed run must give the same bytes.
_CHUNK_DOCUMENTS = 64
#: Characters of a token at most, nearly always: what is cut away behind so many need not be tokenised.
_CHARS_PER_TOKEN = 20
_SHARD_DOCUMENTS = 2000


class LossConfig(BaseModel):
    """How much of a document is read, and what loss it may have."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    max_tokens: int = Field(default=512, ge=8, description="tokens of a document that are read, from its beginning")
    max_loss: float | None = Field(
        default=None,
        gt=0.0,
        description="drop what the model finds more surprising, in nats per token. Under SmolLM2-135M textbook chapters had 2.3 "
        "to 2.8, abstracts 2.5 to 4.2, shuffled words and random letters over 6. Reported only by default",
    )
    min_loss: float | None = Field(
        default=None,
        ge=0.0,
        description="drop what it finds less surprising: text that it knows by heart or that repeats (a loop had 0.3)",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.min_loss is not None and self.max_loss is not None and self.min_loss >= self.max_loss:
            raise ValueError(
                f"min_loss is {self.min_loss:g}, not below max_loss ({self.max_loss:g}); nothing would be kept"
            )
        return self


#: Mean loss in nats per token, and how many tokens that is over. None for a document too short to say.
Loss = tuple[float | None, int]


def run(config: LossConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Measures the loss of every document of an artifact and drops those beyond the thresholds.

    Args:
        config: what to read and what to drop.
        inputs: `documents`, and `model`: a Hugging Face folder.
        out: the artifact: `documents/*.parquet`, `dropped/*.parquet`, `losses.parquet`, `report.html`.

    Raises:
        UserError: no documents, or the model's context is shorter than `max_tokens`.
        MachineError: the model gives no numbers.
    """
    from sagecraft.corpus.loss_report import write_report
    from sagecraft.inference.local import LocalEngine

    with artifact.build(
        out, kind="documents", stage="loss", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        engine = LocalEngine(inputs["model"])
        if config.max_tokens > engine.max_positions:
            limit = engine.max_positions
            raise UserError(f"max_tokens: {config.max_tokens:,} is more than {engine.name} takes ({limit:,}); lower it")
        losses = measure(engine, inputs["documents"], config.max_tokens, build.scratch("losses"))
        reasons = _write(build.path, inputs["documents"], config, losses)
        known = [loss for loss, _ in losses if loss is not None]
        build.stats.update(
            num_documents=len(losses) - sum(reasons.values()),
            num_dropped=sum(reasons.values()),
            dropped=reasons,
            num_tokens=sum(count for _, count in losses),
            mean_loss=round(math.fsum(known) / len(known), 6) if known else None,
        )
        write_report(build.path, inputs["documents"], config, engine.name)
    return build.manifest


def measure(engine: LocalEngine, documents: Path, max_tokens: int, scratch: Path) -> list[Loss]:
    """Losses of all documents in their order; chunks that a killed run has finished are read and not measured again.

    Args:
        engine: the model.
        documents: the artifact.
        max_tokens: tokens of a document that are read.
        scratch: folder of finished chunks.
    """
    from sagecraft.corpus.stored import StoredDocuments

    losses: list[Loss] = []
    rows = read_documents(documents)
    with console.progress("loss", len(StoredDocuments([documents]))) as tick:
        for number in itertools.count():
            chunk = list(itertools.islice(rows, _CHUNK_DOCUMENTS))
            if not chunk:
                return losses
            file = scratch / f"{number:06d}.json"
            if not file.is_file():
                artifact.write_json(file, losses_of(engine, [row.text for row in chunk], max_tokens))
            losses += [(loss, count) for loss, count in artifact.read_json(file)]
            tick.advance(len(chunk))
    raise AssertionError("counting has no end")


def losses_of(engine: LocalEngine, texts: Sequence[str], max_tokens: int) -> list[Loss]:
    """Mean loss of the first tokens of each text, in nats per token.

    The first token is foretold from BOS where the model has one; else it is context only.
    """
    from sagecraft.inference.finite import require_finite

    bos = [] if engine.tokenizer.bos_id is None else [engine.tokenizer.bos_id]
    ids = [[*bos, *engine.tokenizer.encode(text[: _CHARS_PER_TOKEN * max_tokens])][:max_tokens] for text in texts]
    losses: list[Loss] = [(None, 0)] * len(texts)
    known = [number for number, row in enumerate(ids) if len(row) > 1]
    for number, logprobs in zip(known, engine.sequence_logprobs([ids[number] for number in known]), strict=True):
        require_finite(engine.path, logprobs)
        losses[number] = (round(-math.fsum(logprobs) / len(logprobs), 6), len(logprobs))
    return losses


def judge(loss: float | None, config: LossConfig) -> tuple[str, str] | None:
    """Reason and detail if a document of this loss is dropped; None if it is kept."""
    if loss is None:
        return None
    if config.max_loss is not None and loss > config.max_loss:
        return "high-loss", f"{loss:.3g} nats per token; max_loss allows at most {config.max_loss:g}"
    if config.min_loss is not None and loss < config.min_loss:
        return "low-loss", f"{loss:.3g} nats per token; min_loss asks for at least {config.min_loss:g}"
    return None


def _write(out: Path, documents: Path, config: LossConfig, losses: Sequence[Loss]) -> dict[str, int]:
    """Writes documents, drops and losses, and returns how many were dropped for each reason."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shards = Shards(out, _SHARD_DOCUMENTS)
    reasons: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    for document, (loss, count) in zip(read_documents(documents), losses, strict=True):
        verdict = judge(loss, config)
        _sort(shards, document, verdict)
        if verdict:
            reasons[verdict[0]] = reasons.get(verdict[0], 0) + 1
        rows.append({"id": document.id, "loss": loss, "num_tokens": count, "words": count_words(document.text)})
    shards.flush(always=True)
    kinds = {"id": pa.string(), "loss": pa.float64(), "num_tokens": pa.int64(), "words": pa.int64()}
    table = pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
    pq.write_table(table, out / LOSSES, version="2.6", compression="zstd", compression_level=3, store_schema=False)
    return dict(sorted(reasons.items()))


def _sort(shards: Shards, document: Document, verdict: tuple[str, str] | None) -> None:
    if verdict is None:
        shards.keep(document)
    else:
        shards.drop(Dropped(document.id, document.source, *verdict, document.text))
