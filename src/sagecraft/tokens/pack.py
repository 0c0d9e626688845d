"""Stage `pack`: documents to packed tokens, with a share of general text against forgetting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.packed import TokenItem

VERSION = 1
_BATCH = 256


class PackConfig(BaseModel):
    """How documents become rows.

    Attributes:
        sequence_length: tokens a row; a longer document is cut without loss.
        general_share: share of the tokens that comes from the general source (replay against forgetting).
        max_domain_tokens: stop taking domain documents (in keyed order) once they hold this many tokens; null takes all.
        seed: keys the order in which documents are taken.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence_length: int = Field(default=1024, ge=16)
    general_share: float = Field(default=0.2, ge=0, lt=1)
    max_domain_tokens: int | None = Field(default=None, ge=1)
    seed: int = 0


def run(config: PackConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Packs `documents` (and `general`, if given) with the tokenizer of `model`."""
    from sagecraft.corpus.documents import read_documents
    from sagecraft.models.config import check_context
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.packed import write_packed

    check_context(inputs["model"], config.sequence_length, "pack.sequence_length")

    with artifact.build(out, kind="tokens", stage="pack", version=VERSION, config=config, inputs=inputs) as build:
        tokenizer = Tokenizer.from_folder(inputs["model"])
        domain = _take(
            _tokenise(tokenizer, read_documents(inputs["documents"]), "domain", config.seed), config.max_domain_tokens
        )
        if not domain:
            raise UserError(f"{inputs['documents']}: no documents to train on; check corpus.paths and withhold")
        num_domain = sum(len(item.ids) for item in domain)
        general: list[TokenItem] = []
        wanted = round(num_domain * config.general_share / (1 - config.general_share))
        if "general" in inputs and wanted:
            general = _take(_tokenise(tokenizer, read_documents(inputs["general"]), "general", config.seed), wanted)
        num_general = sum(len(item.ids) for item in general)
        if num_general < 0.9 * wanted:
            console.warn(f"general text holds {num_general:,} tokens where {wanted:,} are asked for; all of it is used")
        build.stats.update(write_packed(build.path, domain + general, config.sequence_length, tokenizer.pad_id))
        build.stats.update(
            tokenizer_sha256=tokenizer.sha256, general_share=round(num_general / (num_domain + num_general), 4)
        )
        console.say(
            f"  {num_domain:,} domain and {num_general:,} general tokens in {build.stats['num_rows']:,} rows, "
            f"{100 * build.stats['share_padding']:.1f} % padding"
        )
    return build.manifest


def _tokenise(tokenizer: Tokenizer, documents: Iterable[Document], source: str, seed: int) -> Iterator[TokenItem]:
    """Documents in an order keyed by their ids, each ended by one end-of-document token."""
    from sagecraft.tokens.packed import TokenItem

    listed = sorted(documents, key=lambda document: (keyed_hash(seed, "order", document.id), document.id))
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    for first in range(0, len(listed), _BATCH):
        chunk = listed[first : first + _BATCH]
        for document, ids in zip(chunk, tokenizer.encode_batch([d.text for d in chunk]), strict=True):
            whole = [*start, *ids, tokenizer.eod_id]
            yield TokenItem(document.id, source, whole, [True] * len(whole), [document.id])


def _take(items: Iterator[TokenItem], max_tokens: int | None) -> list[TokenItem]:
    """Whole items until the budget is met; the last one is shortened to it (its end-of-document goes with the rest)."""
    from dataclasses import replace

    taken: list[TokenItem] = []
    left = max_tokens
    for item in items:
        if left is not None and left <= 1:
            break
        if left is not None and len(item.ids) > left:
            item = replace(item, ids=item.ids[:left], mask=item.mask[:left])
        taken.append(item)
        left = None if left is None else left - len(item.ids)
    return taken
