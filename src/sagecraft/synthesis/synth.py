"""Conversations from documents by an offline teacher: linguistic rules, no model.

The teacher is modest: it asks what a sentence plainly says, quotes that sentence in its answer, and stays silent where
it is not sure. Its thoughts recall and conclude; they are no derivations. Its rows teach a model facts, the form of an
answer, and the switch between answering at once and thinking first.

    documents → sentences that stand alone → rules (`questions`) → graders (`grade`) → near-equal questions and
    what a benchmark asks out (`evaluation.leaks`) → shares → rows with the switch on, off, or one of each
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.errors import UserError
from sagecraft.synthesis.mixing import DOCUMENTS, GeneralConfig, Ledger, mix, with_general
from sagecraft.synthesis.teacher.config import GraderConfig, TeacherConfig

if TYPE_CHECKING:
    from sagecraft.chat.messages import Conversation
    from sagecraft.corpus.overlap import Leaks
    from sagecraft.synthesis.rows import Sorted
    from sagecraft.synthesis.selection import Index, Selection
    from sagecraft.teaching.desk import Desk

VERSION = 8

Kind = Literal[
    "definition", "term", "number", "cause", "comparison", "event", "person", "method", "purpose", "equation", "relation",
    "superlative", "place", "consequence", "account", "metadata", "aim", "finding", "critique", "derivation", "what-if",
]  # fmt: skip
KINDS: tuple[Kind, ...] = Kind.__args__  # type: ignore[attr-defined]

WORD_PROBLEM = "word-problem"

Share = Annotated[float, Field(ge=0, le=1)]


class SynthConfig(BaseModel):
    """What the offline teacher makes of documents."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = Field(default=0, description="decides the wording, the selection and the order of rows")
    kinds: tuple[Kind, ...] = Field(default=KINDS, description="kinds of question to ask; all by default", min_length=1)
    max_pairs: int | None = Field(
        default=None, ge=1, description="questions in all; None keeps every one that passes (rules are cheap)"
    )
    max_pairs_per_document: int = Field(
        default=120, ge=1, description="questions a document; keeps a book's long tables from crowding out all else"
    )
    max_pairs_per_sentence: int = Field(
        default=2, ge=1, description="questions a sentence; more would repeat one answer too often"
    )
    share_thinking: float = Field(
        default=0.5, ge=0, le=1,
        description="share of questions given with the switch on and once more with it off, so that only the switch "
        "tells the two apart; the others are given once, half of them each way. Chains are always given both ways",
    )  # fmt: skip
    max_kind_share: Share = Field(
        default=0.25,
        description="largest share of one kind: of few sorts of question a model learns the sort. What is above goes, at random",
    )
    shares: dict[Kind, Share] = Field(
        default={"metadata": 0.2},
        description="largest share of single kinds, before `max_kind_share`; questions about the record (author, year) are hard "
        "to learn and seldom asked",
    )
    general: GeneralConfig = Field(default=GeneralConfig(), description="general conversations among the rows")
    chains_share: float = Field(
        default=0.1, ge=0, lt=1,
        description="share of word problems with steps (inputs `chains…`), against rows from documents; each comes with the switch on and off",
    )  # fmt: skip
    workers: int | None = Field(
        default=None,
        ge=1,
        description="processes that ask; None: one a processor. The rows are the same for any number",
    )
    teacher: TeacherConfig | None = Field(
        default=None, description="a model that writes questions about passages, beside those of the rules"
    )
    grader: GraderConfig | None = Field(
        default=None,
        description="another model that grades what passed the rules, from 1 to 5: the teacher's questions, without one all",
    )
    max_usd: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        exclude=True,  # what is made does not depend on it, so a run that goes on with another limit is the same run
        description="USD that teacher and grader together may cost, interrupted starts included; stops before it is passed. null: no "
        "limit but those of each model",
    )


def run(config: SynthConfig, inputs: Mapping[str, Path], out: Path) -> artifact.Manifest:
    """Makes conversations.

    Args:
        config: what to make.
        inputs: `documents` (a folder with `documents/*.parquet`); optionally `general` (conversations to mix in, beside
            those of `config.general`), word problems with steps under names that begin with `chains`, `providers` (a YAML file of presets and prices for teacher and grader) and files of questions that must not be taught, under names that begin with `benchmark`.
        out: the artifact: `conversations.jsonl`, `dropped.jsonl`, `report.html`; with models also `failures.jsonl`, `grades.jsonl` and
            `agreements.jsonl`.
    """
    from sagecraft.evaluation.leaks import read_leaks
    from sagecraft.synthesis.page import write_page
    from sagecraft.synthesis.rows import Sorted
    from sagecraft.synthesis.selection import index_of, select
    from sagecraft.synthesis.shards import make_parts, read_parts
    from sagecraft.synthesis.teacher.teach import desk_of, model_inputs, write_taught

    if "documents" not in inputs:
        raise UserError("synth: no input `documents`; give a folder that holds documents/*.parquet")
    inputs = {**with_general(config.general, inputs), **model_inputs(config)}
    with artifact.build(
        out, kind="conversations", stage="synth", version=VERSION, config=config, inputs=inputs, resumable=True
    ) as build:
        benchmarks = [path for name, path in sorted(inputs.items()) if name.startswith("benchmark")]
        leaks = read_leaks(benchmarks) if benchmarks else None
        scratch = build.scratch("parts")
        desk = desk_of(config, inputs, out) if config.teacher or config.grader else None
        parts, counts = make_parts(config, inputs["documents"], benchmarks, scratch)
        if desk and config.teacher:
            parts.append(write_taught(desk, inputs["documents"], leaks, build))
        index = index_of(config, (row["pair"] for row in read_parts(parts) if "pair" in row))
        refused = _grade(config, desk, build, parts, index) if desk and config.grader else {}
        if desk:
            desk.close(build.path)
            counts |= desk.counts
        selection = select(config, index, refused)
        if not selection.num_kept:
            shutil.rmtree(scratch)
            raise UserError(_why_nothing(config, inputs["documents"], counts, len(selection.fates)))
        rows, dropped = Sorted(build.scratch("rows")), Sorted(build.scratch("dropped"))
        tally = _tell(config, read_parts(parts), selection, rows, dropped)
        num_own, ledger = tally.num_rows, tally.ledger
        drop = partial(_drop, dropped=dropped, tally=tally)
        for row in _beside(config, inputs, num_own, leaks, drop, ledger):
            _add(config, row, rows, tally)
        num_rows = rows.write(build.path / "conversations.jsonl")
        num_dropped = dropped.write(build.path / "dropped.jsonl")
        build.stats.update(counts)
        build.stats.update(
            num_conversations=num_rows,
            num_questions=selection.num_kept,
            num_general=tally.num_rows - num_own - tally.num_chains,
            num_word_problem_rows=tally.num_chains,
            num_dropped=num_dropped,
            mixture=ledger.as_stats(),
            **{name: _sorted_counts(counter) for name, counter in tally.counters.items()},
        )
        write_page(build.path, config, build.stats, desk.spent() if desk else {})
        console.say(f"  {num_rows:,} conversations from {selection.num_kept:,} questions, {num_dropped:,} dropped")
    return build.manifest


def _grade(
    config: SynthConfig, desk: Desk[SynthConfig], build: artifact.Build, parts: Sequence[Path], index: Index
) -> dict[int, str]:
    """Has questions graded, keeps the grades in `grades.jsonl`, and gives the numbers of those refused, with the reason."""
    from sagecraft.synthesis.candidate import TEACHER
    from sagecraft.synthesis.grading.model import grade_all
    from sagecraft.synthesis.rows import Sorted
    from sagecraft.synthesis.shards import read_parts

    grader = config.grader
    assert grader is not None
    grades = Sorted(build.scratch("grades"))
    refused: dict[int, str] = {}
    rows = enumerate(row["pair"] for row in read_parts(parts) if "pair" in row)
    wanted = (
        (number, row) for number, row in rows
        if not index.repeats[number] and (config.teacher is None or row["candidate"]["rule"] == TEACHER)
    )  # fmt: skip
    with desk.writer("grader", grader) as writer:
        for number, name, answer in grade_all(writer, wanted, grader, config.seed, desk.attempts):
            desk.add("grader", answer)
            if answer.failed:
                refused[number] = "ungraded"
                continue
            grades.add(artifact.keyed_hash("grade", name), {"id": name, **answer.objects[0].model_dump()})
            if reason := grader.thresholds.reason(answer.objects[0]):
                refused[number] = reason
        desk.tell_spending("grader", writer)
    build.stats["num_graded"] = grades.write(build.path / "grades.jsonl")
    return refused


@dataclass
class Tally:
    """What is counted while rows are written."""

    num_rows: int = 0
    num_chains: int = 0
    ledger: Ledger = field(default_factory=Ledger)
    counters: dict[str, Counter[str]] = field(
        default_factory=lambda: {
            name: Counter() for name in (
                "questions_by_kind", "questions_by_rule", "rows_by_switch", "dropped_by_step", "dropped_by_reason",
                "questions_dropped_by_step", "questions_dropped_by_rule",
            )
        }
    )  # fmt: skip


def _tell(
    config: SynthConfig, found: Iterator[dict[str, Any]], selection: Selection, rows: Sorted, dropped: Sorted
) -> Tally:
    """Every question becomes rows, or is dropped."""
    from sagecraft.synthesis.pairs import Pair
    from sagecraft.synthesis.rows import conversations_of

    tally = Tally()
    number = 0
    for row in found:
        if "drop" in row:
            _drop_question(row["drop"], dropped, tally)
            continue
        pair, fate = Pair.from_row(row["pair"]), selection.fate(number)
        number += 1
        if fate is not None:
            _drop_question(pair.as_drop(*fate), dropped, tally)
            continue
        tally.counters["questions_by_kind"][pair.candidate.kind] += 1
        tally.counters["questions_by_rule"][pair.candidate.rule] += 1
        for conversation in conversations_of(config, pair):
            tally.ledger.add(DOCUMENTS, conversation)
            _add(config, conversation, rows, tally)
    return tally


def _add(config: SynthConfig, conversation: Conversation, rows: Sorted, tally: Tally) -> None:
    rows.add(artifact.keyed_hash(config.seed, "order", conversation.id), conversation.as_row())
    tally.num_rows += 1
    tally.num_chains += conversation.rule == WORD_PROBLEM
    tally.counters["rows_by_switch"][conversation.thinking or "none"] += 1


def _drop_question(row: dict[str, Any], dropped: Sorted, tally: Tally) -> None:
    _drop(row, dropped, tally)
    tally.counters["questions_dropped_by_step"][row["step"]] += 1
    tally.counters["questions_dropped_by_rule"][row["rule"]] += 1


def _drop(row: dict[str, Any], dropped: Sorted, tally: Tally) -> None:
    """Keeps a dropped question aside, with what else was dropped of its document."""
    dropped.add(artifact.keyed_hash("document", row["document"]), row)
    tally.counters["dropped_by_step"][row["step"]] += 1
    tally.counters["dropped_by_reason"][row["reason"]] += 1


def _beside(
    config: SynthConfig, inputs: Mapping[str, Path], num_own: int, leaks: Leaks | None,
    drop: Callable[[dict[str, Any]], None], ledger: Ledger,
) -> Iterator[Conversation]:  # fmt: skip
    """What comes beside the rows from documents: general conversations, and word problems with their steps."""
    from sagecraft.synthesis.chains.word_problems import problem_rows

    yield from mix(config.general, config.seed, inputs, num_own, leaks, drop, ledger)
    chains = [path for name, path in sorted(inputs.items()) if name.startswith("chains")]
    wanted = round(num_own * config.chains_share / (1 - config.chains_share))
    for row in problem_rows(chains, config.seed, wanted, leaks, drop):
        ledger.add(row.source, row)
        yield row


def _why_nothing(config: SynthConfig, documents: Path, counts: Mapping[str, int], num_passed: int) -> str:
    if num_passed:
        return f"synth.shares: leave nothing of {num_passed:,} questions; raise the share of a kind ({config.shares})"
    return (
        f"{documents}: no sentence gave a question ({counts.get('num_sentences', 0)} sentences read); the "
        "offline teacher needs prose in English with definitions, figures, causes or names"
    )


def _sorted_counts(values: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))
