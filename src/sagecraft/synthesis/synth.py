"""Conversations from documents by an offline teacher: linguistic rules, no model.

The teacher is modest: it asks what a sentence plainly says, quotes that sentence in its answer, and stays silent where
it is not sure. Its thoughts recall and conclude; they are no derivations. Its rows teach a model facts, the form of an
answer, and the switch between answering at once and thinking first.

    documents → sentences that stand alone → rules (`questions`) → graders (`grade`) → near-equal questions and
    what a benchmark asks out (`evaluation.leaks`) → shares → rows with the switch on, off, or one of each
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.chat.messages import Conversation, Lineage
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.synthesis.pairs import Pair

VERSION = 5

Kind = Literal[
    "definition", "term", "number", "cause", "comparison", "event", "person", "method", "purpose", "equation", "relation",
    "superlative", "place", "consequence", "account", "metadata", "aim", "finding", "critique", "derivation", "what-if",
]  # fmt: skip
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]

#: One in so many, for shares decided by a keyed hash.
_PARTS = 1_000_000


class SynthConfig(BaseModel):
    """What the offline teacher makes of documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = Field(default=0, description="decides the wording, the selection and the order of rows")
    kinds: tuple[Kind, ...] = Field(default=KINDS, description="kinds of question to ask; all by default", min_length=1)
    max_pairs: int | None = Field(
        default=None, ge=1, description="questions in all; None keeps every one that passes (rules are cheap)"
    )
    max_pairs_per_document: int = Field(
        default=60, ge=1, description="questions a document; keeps one long book from crowding out the articles"
    )
    max_pairs_per_sentence: int = Field(
        default=2, ge=1, description="questions a sentence; more would repeat one answer too often"
    )
    share_thinking: float = Field(
        default=0.5, ge=0, le=1,
        description="share of questions given with the switch on and once more with it off, so that only the switch "
        "tells the two apart; the others are given once, half of them each way",
    )  # fmt: skip
    metadata_share: float = Field(
        default=0.1, ge=0, le=0.2,
        description="largest share of questions about the record (author, year); they are hard to learn and seldom asked",
    )  # fmt: skip
    account_share: float = Field(
        default=0.25, ge=0, le=0.5,
        description="largest share of questions for a short account of a section: the only long answers there are",
    )  # fmt: skip
    general_share: float = Field(
        default=0.3, ge=0, lt=1,
        description="share of all rows taken from the input `general`, as far as it has so many: a model trained on "
        "questions of one field alone turns every answer into that field",
    )  # fmt: skip


def run(config: SynthConfig, inputs: Mapping[str, Path], out: Path) -> artifact.Manifest:
    """Makes conversations.

    Args:
        config: what to make.
        inputs: `documents` (a folder with `documents/*.parquet`); optionally `general` (JSONL of conversations to mix
            in) and files of questions that must not be taught, under names that begin with `benchmark`.
        out: the artifact: `conversations.jsonl`, `dropped.jsonl`.
    """
    from sagecraft.evaluation.leaks import read_leaks
    from sagecraft.synthesis.pairs import collect, select

    if "documents" not in inputs:
        raise UserError("synth: no input `documents`; give a folder that holds documents/*.parquet")
    with artifact.build(
        out, kind="conversations", stage="synth", version=VERSION, config=config, inputs=inputs
    ) as build:
        benchmarks = [path for name, path in sorted(inputs.items()) if name.startswith("benchmark")]
        leaks = read_leaks(benchmarks) if benchmarks else None
        pairs, dropped, counts = collect(config, inputs["documents"], leaks)
        chosen, surplus = select(config, pairs)
        dropped += [{**pair.as_drop(), "reason": reason} for pair, reason in surplus]
        rows = [row for pair in chosen for row in conversations_of(config, pair)]
        if not rows:
            raise UserError(
                f"{inputs['documents']}: no sentence gave a question ({counts['num_sentences']} sentences read); the "
                "offline teacher needs prose in English with definitions, figures, causes or names"
            )
        general = list(_general(config, inputs["general"], len(rows), leaks, dropped)) if "general" in inputs else []
        mixed = sorted([*rows, *general], key=lambda row: (artifact.keyed_hash(config.seed, "order", row.id), row.id))
        num_rows = artifact.write_jsonl(build.path / "conversations.jsonl", (row.as_row() for row in mixed))
        dropped.sort(key=lambda row: (row["document"], row["sentence"], row["question"]))
        artifact.write_jsonl(build.path / "dropped.jsonl", iter(dropped))
        build.stats.update(counts)
        build.stats.update(
            num_conversations=num_rows,
            num_questions=len(chosen),
            num_general=len(general),
            num_dropped=len(dropped),
            questions_by_kind=_sorted_counts(pair.candidate.kind for pair in chosen),
            rows_by_switch=_sorted_counts(row.thinking or "none" for row in mixed),
            dropped_by_reason=_sorted_counts(row["reason"] for row in dropped),
        )
        console.say(f"  {num_rows:,} conversations from {len(chosen):,} questions, {len(dropped):,} dropped")
    return build.manifest


def conversations_of(config: SynthConfig, pair: Pair) -> Iterator[Conversation]:
    """The rows of one question: with the switch on, off, or one of each."""
    from sagecraft.chat.messages import Conversation, Message
    from sagecraft.synthesis.reasoning import thought

    draw = artifact.keyed_hash(config.seed, "switch", pair.id)
    both = draw % _PARTS < config.share_thinking * _PARTS
    states: tuple[Literal["on", "off"], ...] = ("on", "off") if both else ("on",) if (draw >> 32) % 2 else ("off",)
    for state in states:
        thinks = thought(pair.candidate, pair.ground, config.seed, pair.id) if state == "on" else None
        yield Conversation(
            id=f"{pair.id}-{state}",
            messages=(
                Message(role="user", content=pair.question),
                Message(role="assistant", content=pair.candidate.answer, thinking=thinks),
            ),
            thinking=state,
            kind=pair.candidate.kind,
            source=pair.source,
            license=pair.license,
            lineage=tuple(_lineage(pair)),
        )


def _lineage(pair: Pair) -> Iterator[Lineage]:
    """What a pair rests on; one about the record rests on no sentence, but on the document all the same."""
    from sagecraft.chat.messages import Lineage

    for position, text in zip(pair.positions, pair.sentences, strict=True):
        yield Lineage(document=pair.document, sentence=text, position=position)
    for text in pair.candidate.ground if pair.positions else pair.candidate.ground or ("",):
        yield Lineage(document=pair.document, sentence=text)


def _general(
    config: SynthConfig, path: Path, num_rows: int, leaks: Leaks | None, dropped: list[dict[str, Any]]
) -> Iterator[Conversation]:
    """General rows up to their share, drawn by a keyed hash; one without a switch is an answer at once, so `off`.

    A row that holds what a benchmark asks goes to `dropped`.
    """
    from sagecraft.chat.messages import read_conversations
    from sagecraft.synthesis.pairs import IN_BENCHMARK

    rows = [row for row in read_conversations(path) if any(message.role == "assistant" for message in row.messages)]
    wanted = round(num_rows * config.general_share / (1 - config.general_share))
    rows.sort(key=lambda row: (artifact.keyed_hash(config.seed, "general", row.id), row.id))
    for row in rows:
        if wanted <= 0:
            return
        text = "\n".join(part for message in row.messages for part in (message.thinking, message.content) if part)
        hits = leaks.find(text) if leaks is not None else []
        if hits:
            found = {"item": hits[0].item, "item_text": hits[0].item_text, "reason": IN_BENCHMARK}
            dropped.append(
                {
                    "document": row.id,
                    "sentence": "",
                    "kind": row.kind,
                    "question": row.messages[0].content,
                    "answer": text,
                    **found,
                }
            )
            continue
        wanted -= 1
        kind = "general" if row.kind == "chat" else row.kind
        yield row.model_copy(update={"kind": kind, "thinking": row.thinking or "off"})


def _sorted_counts(values: Any) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))
