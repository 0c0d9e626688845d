"""Stage `decontaminate`: takes out of documents what benchmarks ask, so that a score is not the memory of its questions.

Word n-grams, in lower case and without punctuation, of each question with its right option and of the support sentences of withheld
items are looked for; every hit is reported with both texts. What is removed is by default the paragraph, so that a long
document is not lost for one sentence of it.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.corpus.documents import Document, Dropped, Shards, read_documents
from sagecraft.corpus.overlap import MIN_SHARE, NGRAM_WORDS
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.overlap import Hit, Leaks

VERSION = 3
HITS = "hits.jsonl"
_SHARD_DOCUMENTS = 2000
_SHOWN = 50
_BORDER = re.compile(r"(\n{2,})")


class DecontaminateConfig(BaseModel):
    """What of a benchmark may not stand in training text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    benchmarks: list[str] = Field(
        default=[],
        description="further files of questions that must not be taught; what the recipe evaluates is always one",
    )
    ngram_words: int = Field(
        default=NGRAM_WORDS,
        ge=5,
        le=50,
        description="words that must agree in a row; thirteen would miss most questions, which are shorter. A shorter "
        "question must agree whole",
    )
    min_share: float = Field(
        default=MIN_SHARE,
        ge=0.0,
        le=1.0,
        description="share of a question's words that such runs must cover in one place, unless thirteen agree in a row; "
        "single runs of eight are mostly phrases that questions and textbooks have in common",
    )
    remove: Literal["paragraph", "document", "nothing"] = Field(
        default="paragraph", description="what goes where a hit is; `nothing` only reports"
    )


def run(config: DecontaminateConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Takes benchmark text out of documents.

    Args:
        config: what counts as a hit and what goes.
        inputs: `documents`, and files of questions under names that begin with `benchmark`.
        out: the artifact: `documents/*.parquet`, `dropped/*.parquet`, `hits.jsonl`, `report.html`.

    Raises:
        UserError: no benchmark, or nothing is left.
    """
    benchmarks = {name: path for name, path in sorted(inputs.items()) if name.startswith("benchmark")}
    from sagecraft.evaluation.leaks import read_leaks

    if not benchmarks:
        raise UserError("decontaminate: no file of questions; name one in decontaminate.benchmarks")
    with artifact.build(
        out, kind="documents", stage="decontaminate", version=VERSION, config=config, inputs=inputs
    ) as build:
        leaks = read_leaks(list(benchmarks.values()), config.ngram_words, config.min_share)
        shards = Shards(build.path, _SHARD_DOCUMENTS)
        rows: list[dict[str, Any]] = []
        counts: Counter[str] = Counter()
        with console.progress("documents") as tick:
            for document in read_documents(inputs["documents"]):
                tick.advance()
                kept, found = _cleaned(document, leaks, config.remove)
                rows += found
                counts["num_documents_hit"] += bool(found)
                if isinstance(kept, Dropped):
                    shards.drop(kept)
                    counts["num_dropped"] += 1
                else:
                    shards.keep(kept)
                    counts["num_documents"] += 1
                    counts["num_chars_removed"] += len(document.text) - len(kept.text)
        shards.flush(always=True)
        if not counts["num_documents"]:
            raise UserError(f"decontaminate: no document of {inputs['documents']} is left; set remove: paragraph")
        artifact.write_jsonl(build.path / HITS, rows)
        names = ("num_documents", "num_documents_hit", "num_chars_removed", "num_dropped")
        build.stats.update({name: counts[name] for name in names})
        build.stats.update(num_hits=len(rows), num_items_hit=len({row["item"] for row in rows}))
        _write_page(build.path / "report.html", build.stats, rows, [path.name for path in benchmarks.values()])
    return build.manifest


def _cleaned(
    document: Document, leaks: Leaks, remove: Literal["paragraph", "document", "nothing"]
) -> tuple[Document | Dropped, list[dict[str, Any]]]:
    """The document without its hits, and the hits."""
    hits = leaks.find(document.text, document.id)
    if not hits or remove == "nothing":
        return document, [_row(hit, "nothing") for hit in hits]
    if remove == "paragraph":
        pieces = _BORDER.split(document.text)
        bad = {number for number in range(0, len(pieces), 2) if leaks.find(pieces[number])}
        for number in range(0, len(pieces) - 2, 2):
            if not bad & {number, number + 2} and leaks.find("".join(pieces[number : number + 3])):
                bad |= {number, number + 2}  # it runs over the border
        text = "".join(piece for number, piece in enumerate(pieces) if number not in bad and number - 1 not in bad)
        # What is left of a document may be a question still, cut into many paragraphs.
        if text.strip() and not leaks.find(text):
            return dataclasses.replace(document, text=text.rstrip("\n")), [_row(hit, "paragraph") for hit in hits]
    detail = f"{len(hits)} hits, the first of item {hits[0].item}: “{hits[0].document_text[:160]}”"
    dropped = Dropped(document.id, document.source, "contaminated", detail, document.text)
    return dropped, [_row(hit, "document") for hit in hits]


def _row(hit: Hit, removed: str) -> dict[str, Any]:
    return {**dataclasses.asdict(hit), "removed": removed}


def _write_page(path: Path, stats: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    from sagecraft.reporting.page import Page

    page = Page("Decontamination", f"{stats['num_hits']:,} hits of {', '.join(names)} in documents")
    page.paragraph(
        f"{stats['num_documents']:,} documents are kept and {stats['num_dropped']:,} dropped; {stats['num_documents_hit']:,} held "
        f"text of {stats['num_items_hit']:,} items. Words are compared in lower case, without punctuation."
    )
    if rows:
        page.heading("Hits")
        if len(rows) > _SHOWN:
            page.paragraph(f"The first {_SHOWN}; {HITS} has all of them.")
        columns = ["item", "part", "text of the item", "document", "words of the document", "removed"]
        keys = ("item", "part", "item_text", "document", "document_text", "removed")
        page.table(columns, [[str(row[key]) for key in keys] for row in rows[:_SHOWN]])
    artifact.write_text(path, page.render())
