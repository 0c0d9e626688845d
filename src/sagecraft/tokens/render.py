"""Stage `render`: conversations to packed tokens, the loss mask from the one chat renderer."""

from __future__ import annotations

from collections import Counter
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

VERSION = 4
#: The reason of conversations that are longer than a row.
TOO_LONG = "longer than a row"


class RenderConfig(BaseModel):
    """How conversations become rows.

    Attributes:
        sequence_length: tokens a row; a longer conversation is left out and counted, since a cut one teaches replies
            without their question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sequence_length: int = Field(default=1024, ge=16)


def run(config: RenderConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Renders `conversations` with the tokenizer and template of `model`.

    A conversation that cannot be taught (longer than a row, refused by the template, nothing to learn in it) goes to
    `dropped.jsonl` with its reason; if that is all of them, the run stops.
    """
    from sagecraft.chat.template import ChatTemplate
    from sagecraft.models.config import check_context
    from sagecraft.models.tokenizer import Tokenizer
    from sagecraft.tokens.packed import write_packed

    check_context(inputs["model"], config.sequence_length, "render.sequence_length")

    with artifact.build(out, kind="tokens", stage="render", version=VERSION, config=config, inputs=inputs) as build:
        tokenizer = Tokenizer.from_folder(inputs["model"])
        template = ChatTemplate.for_tokenizer(tokenizer)
        template.dialect  # noqa: B018 - a template that cannot be read is the model's fault, not a conversation's
        dropped: list[dict[str, Any]] = []
        path = inputs["conversations"] / "conversations.jsonl"
        items = _encoded(tokenizer, template, path, config.sequence_length, dropped)
        build.stats.update(write_packed(build.path, items, config.sequence_length, tokenizer.pad_id))
        if not build.stats["num_items"]:
            raise UserError(_why_none(inputs["conversations"], dropped))
        artifact.write_jsonl(build.path / "dropped.jsonl", dropped)
        refused = [row["reason"] for row in dropped if row["reason"] != TOO_LONG]
        num_too_long = len(dropped) - len(refused)
        build.stats.update(
            tokenizer_sha256=tokenizer.sha256,
            template_sha256=template.sha256,
            switch_variable=template.dialect.switch,
            num_too_long=num_too_long,
            num_refused=len(refused),
        )
        console.say(
            f"  {build.stats['num_items']:,} conversations, {build.stats['num_tokens']:,} tokens, "
            f"{build.stats['num_learned']:,} of them learned"
        )
        if num_too_long:
            console.warn(
                f"{num_too_long:,} more are longer than render.sequence_length ({config.sequence_length:,} tokens) and are "
                "left out; dropped.jsonl names them"
            )
        if refused:
            console.warn(
                f"{len(refused):,} more cannot be taught and are left out; dropped.jsonl names them. The first: {refused[0]}"
            )
    return build.manifest


def _why_none(conversations: Path, dropped: list[dict[str, Any]]) -> str:
    """Why no conversation is left: the reason that most have."""
    if not dropped:
        return f"{conversations}: holds no conversation"
    reasons = Counter(row["reason"].removeprefix(f"conversation {row['id']}: ") for row in dropped)
    reason, count = reasons.most_common(1)[0]
    return f"{conversations}: none of {len(dropped):,} conversations can be taught; {count:,} of them: {reason}"


def _encoded(
    tokenizer: Tokenizer, template: ChatTemplate, path: Path, row_length: int, dropped: list[dict[str, Any]]
) -> Iterator[TokenItem]:
    """The conversations of a file that fit a row; the others are added to `dropped`."""
    from sagecraft.chat.masks import encode_rows
    from sagecraft.chat.messages import read_conversations
    from sagecraft.tokens.packed import TokenItem

    for conversation in read_conversations(path):
        source = f"{conversation.kind or 'general'}/{conversation.thinking or 'plain'}"
        lineage = sorted({entry.document for entry in conversation.lineage})
        try:
            rows = encode_rows(tokenizer, template, conversation)
        except UserError as error:  # what this template cannot show, or what teaches nothing
            dropped.append({"id": conversation.id, "num_tokens": 0, "reason": str(error)})
            continue
        for encoded in rows:
            if len(encoded.ids) > row_length:
                dropped.append({"id": conversation.id, "num_tokens": len(encoded.ids), "reason": TOO_LONG})
            else:
                yield TokenItem(conversation.id, source, encoded.ids, encoded.mask, lineage)
