"""Stage `pack`: the documents of a mix to packed tokens."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.mix import Taken
    from sagecraft.tokens.packed import TokenItem

VERSION = 3
_BATCH = 256


class PackConfig(BaseModel):
    """How documents become rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence_length: int = Field(default=1024, ge=16, description="tokens a row; a longer document is cut without loss")


def run(config: PackConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Packs what `mixture` takes of `documents` (and of `general`, if given) with the tokenizer of `model`."""
    from sagecraft.models.config import check_context
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.mix import GENERAL, MIXTURE, read_mixture
    from sagecraft.tokens.packed import write_packed

    check_context(inputs["model"], config.sequence_length, "pack.sequence_length")
    with artifact.build(out, kind="tokens", stage="pack", version=VERSION, config=config, inputs=inputs) as build:
        tokenizer = Tokenizer.from_folder(inputs["model"])
        taken = read_mixture(inputs["mixture"] / MIXTURE)
        parts = [(name, flag) for name, flag in (("documents", False), ("general", True)) if name in inputs]
        items = (item for name, flag in parts for item in _tokenise(tokenizer, inputs[name], flag, taken))
        build.stats.update(write_packed(build.path, items, config.sequence_length, tokenizer.pad_id))
        num_tokens, num_general = build.stats["num_tokens"], build.stats["tokens_by_source"].get(GENERAL, 0)
        if not num_tokens:
            raise UserError(f"{inputs['mixture']}: takes none of {inputs['documents']}; run the recipe from mix on")
        build.stats.update(tokenizer_sha256=tokenizer.sha256, general_share=round(num_general / num_tokens, 4))
        console.say(
            f"  {num_tokens - num_general:,} domain and {num_general:,} general tokens in {build.stats['num_rows']:,} rows, "
            f"{100 * build.stats['share_padding']:.1f} % padding"
        )
    return build.manifest


def _tokenise(
    tokenizer: Tokenizer, folder: Path, is_general: bool, taken: Mapping[tuple[bool, str], Taken]
) -> Iterator[TokenItem]:
    """What is taken of a folder, in its order: every copy is ended by one end-of-document token, unless it is cut."""
    from sagecraft.corpus.documents import read_documents
    from sagecraft.tokens.packed import TokenItem

    wanted = (document for document in read_documents(folder) if (is_general, document.id) in taken)
    start = [] if tokenizer.bos_id is None else [tokenizer.bos_id]
    while chunk := list(itertools.islice(wanted, _BATCH)):
        for document, ids in zip(chunk, tokenizer.encode_batch([d.text for d in chunk]), strict=True):
            row = taken[is_general, document.id]
            whole = [*start, *ids, tokenizer.eod_id]
            for number in range(row.copies):
                part = whole if number < row.copies - 1 else whole[: row.last_tokens]
                name = document.id if number == 0 else f"{document.id}~{number + 1}"
                yield TokenItem(name, row.entry.source, part, [True] * len(part), [document.id])
