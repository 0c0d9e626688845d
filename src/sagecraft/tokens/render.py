"""Stage `render`: conversations to packed tokens, the loss mask from the one chat renderer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.chat.template import ChatTemplate
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.packed import TokenItem

VERSION = 2


class RenderConfig(BaseModel):
    """How conversations become rows.

    Attributes:
        sequence_length: tokens a row; a longer conversation is left out and counted, since a cut one teaches replies
            without their question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence_length: int = Field(default=1024, ge=16)


def run(config: RenderConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Renders `conversations` with the tokenizer and template of `model`."""
    from sagecraft.chat.template import ChatTemplate
    from sagecraft.models.config import check_context
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.packed import write_packed

    check_context(inputs["model"], config.sequence_length, "render.sequence_length")

    with artifact.build(out, kind="tokens", stage="render", version=VERSION, config=config, inputs=inputs) as build:
        tokenizer = Tokenizer.from_folder(inputs["model"])
        template = ChatTemplate.from_folder(inputs["model"])
        too_long: list[dict[str, Any]] = []
        path = inputs["conversations"] / "conversations.jsonl"
        items = _encoded(tokenizer, template, path, config.sequence_length, too_long)
        build.stats.update(write_packed(build.path, items, config.sequence_length, tokenizer.pad_id))
        if not build.stats["num_items"]:
            raise UserError(f"{inputs['conversations']}: no conversation fits {config.sequence_length} tokens")
        artifact.write_jsonl(build.path / "dropped.jsonl", too_long)
        build.stats.update(
            tokenizer_sha256=tokenizer.sha256, template_sha256=template.sha256, num_too_long=len(too_long)
        )
        console.say(
            f"  {build.stats['num_items']:,} conversations, {build.stats['num_tokens']:,} tokens, "
            f"{build.stats['num_learned']:,} of them learned"
        )
        if too_long:
            console.warn(
                f"{len(too_long):,} more are longer than render.sequence_length ({config.sequence_length:,} tokens) and are "
                "left out; dropped.jsonl names them"
            )
    return build.manifest


def _encoded(
    tokenizer: Tokenizer, template: ChatTemplate, path: Path, row_length: int, too_long: list[dict[str, Any]]
) -> Iterator[TokenItem]:
    """The conversations of a file that fit a row; the others are added to `too_long`."""
    from sagecraft.chat.masks import encode_rows
    from sagecraft.chat.messages import read_conversations
    from sagecraft.tokens.packed import TokenItem

    for conversation in read_conversations(path):
        source = f"{conversation.kind or 'general'}/{conversation.thinking or 'plain'}"
        lineage = sorted({entry.document for entry in conversation.lineage})
        for encoded in encode_rows(tokenizer, template, conversation):
            if len(encoded.ids) > row_length:
                too_long.append({"id": conversation.id, "num_tokens": len(encoded.ids), "reason": "longer than a row"})
            else:
                yield TokenItem(conversation.id, source, encoded.ids, encoded.mask, lineage)
