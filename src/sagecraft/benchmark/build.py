"""Stage `bench`: keyed four-option questions from documents, without a model.

The offline builder asks for measured values: a sentence that stands alone, with one of its numbers left open, and three other
values of the same unit and form. It is modest, but the key is what the literature says, and nothing but the value differs
between the options. Its questions have another form than the training pairs of `synthesis`.
"""

from __future__ import annotations

import csv
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.corpus.documents import Document

VERSION = 2
LETTERS = "ABCD"
_NGRAM = 13


class BenchConfig(BaseModel):
    """What the benchmark holds.

    Attributes:
        seed: keys the choice of sentences, the other values and the order of options.
        items_per_document: at most this many from one document; the published benchmark has five an article.
        max_items: at most this many in all; null takes what there is.
        min_words: shortest sentence to ask about, so that it says what the value is of.
        max_words: longest sentence, so that the question can be read at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    seed: int = 0
    items_per_document: int = Field(default=5, ge=1)
    max_items: int | None = Field(default=None, ge=1)
    min_words: int = Field(default=9, ge=4)
    max_words: int = Field(default=40, ge=8)


@dataclass(frozen=True)
class _Draft:
    """A sentence with an open value, and the document it is from."""

    document: Document
    question: str
    value: str
    support: str
    limit: float


def run(config: BenchConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Makes a benchmark of `documents`.

    Args:
        config: settings.
        inputs: `documents` (a folder of documents, withheld ones as a rule); optionally `training` (documents): a sentence
            that shares 13 words in a row with them is dropped.
        out: `items.jsonl`, `dropped.jsonl`, `review.csv` for people to judge, `datasheet.md`.
    """
    from sagecraft.corpus.documents import read_documents
    from sagecraft.corpus.overlap import ngrams

    with artifact.build(out, kind="benchmark", stage="bench", version=VERSION, config=config, inputs=inputs) as build:
        documents = sorted(read_documents(inputs["documents"]), key=lambda document: document.id)
        training = read_documents(inputs["training"]) if "training" in inputs else ()
        known = {ngram for document in training for ngram in ngrams(document.text, _NGRAM)}
        dropped: list[dict[str, Any]] = []
        drafts = [draft for document in documents for draft in _of_document(config, document, known, dropped)]
        drafts.sort(key=lambda draft: keyed_hash(config.seed, "item", draft.document.id, draft.support))
        items = [_item(config, number, draft) for number, draft in enumerate(drafts[: config.max_items])]
        if not items:
            raise UserError(
                f"{inputs['documents']}: no sentence with a measured value stands alone; give more documents"
            )
        artifact.write_jsonl(build.path / "items.jsonl", items)
        artifact.write_jsonl(build.path / "dropped.jsonl", dropped)
        _review(build.path / "review.csv", items)
        baselines = _baselines(items)
        (build.path / "datasheet.md").write_text(_datasheet(config, items, baselines), encoding="utf-8")
        build.stats.update(
            num_documents=len(documents),
            num_items=len(items),
            num_dropped=len(dropped),
            dropped_by_reason=dict(sorted(Counter(row["reason"] for row in dropped).items())),
            keys=dict(sorted(Counter(item["answer"] for item in items).items())),
            baselines=baselines,
        )
        console.say(f"  {len(items):,} questions from {len(documents):,} documents")
    return build.manifest


def _of_document(
    config: BenchConfig, document: Document, known: set[str], dropped: list[dict[str, Any]]
) -> Iterator[_Draft]:
    """Drafts of one document, the keyed choice of its sentences first."""
    from sagecraft.benchmark.values import find_value, is_share, tied_to_its_context
    from sagecraft.corpus.overlap import ngrams
    from sagecraft.corpus.sentences import clean_markdown, paragraphs, split_sentences

    found = []
    for _, paragraph in paragraphs(document.text):
        for raw in split_sentences(paragraph):
            sentence = " ".join(clean_markdown(raw).split())
            value = find_value(sentence)
            if value is None or not config.min_words <= len(sentence.split()) <= config.max_words:
                continue
            reason = tied_to_its_context(sentence)
            if reason is None and not known.isdisjoint(ngrams(sentence, _NGRAM)):
                reason = "in-training"
            if reason is not None:
                dropped.append({"document": document.id, "sentence": sentence, "reason": reason})
                continue
            start, end = value
            question = f"Which value completes the statement “{sentence[:start]}____{sentence[end:]}”?"
            limit = 100.0 if is_share(sentence, end) else float("inf")
            found.append(_Draft(document, question, sentence[start:end], sentence, limit))
    found.sort(key=lambda draft: keyed_hash(config.seed, "sentence", document.id, draft.support))
    yield from found[: config.items_per_document]


def _item(config: BenchConfig, number: int, draft: _Draft) -> dict[str, Any]:
    """One item: options in numerical order would show the middle, so their order is keyed; keys go round in turn."""
    from sagecraft.benchmark.values import distractors

    rng = random.Random(keyed_hash(config.seed, "options", draft.document.id, draft.support))  # noqa: S311
    # Each block of four items has every key once and every rank of the right value among the four, in keyed orders:
    # neither a letter nor "the middle one" is a strategy.
    key = LETTERS[_in_turn(config.seed, "keys", number)]
    rank = _in_turn(config.seed, "ranks", number)
    others = distractors(draft.value, rank, rng, draft.limit)
    rng.shuffle(others)
    options = dict(zip([letter for letter in LETTERS if letter != key], others, strict=True)) | {key: draft.value}
    document = draft.document
    return {
        "id": f"bench-{number:05d}",
        "question": draft.question,
        **{letter: options[letter] for letter in LETTERS},
        "answer": key,
        "topic": document.categories[0] if document.categories else "",
        "kind": "withheld",
        "article": document.id,
        "support": draft.support,
        "explanation": f"“{document.title or document.id}” states: {draft.support}",
    }


def _in_turn(seed: int, what: str, number: int) -> int:
    """A number from 0 to 3 that comes up once in each block of four."""
    order = random.Random(keyed_hash(seed, what, number // 4)).sample(range(4), 4)  # noqa: S311
    return order[number % 4]


def _baselines(items: list[dict[str, Any]]) -> dict[str, float]:
    """Accuracy of ways to guess from the options alone; chance is a quarter."""
    from sagecraft.benchmark.values import number_of

    def accuracy(pick: Callable[[Mapping[str, Any]], str]) -> float:
        num_right = sum(1 for item in items if pick(item) == item["answer"])
        return round(num_right / len(items), 4)

    def ranked(item: Mapping[str, Any], rank: int) -> str:
        return sorted(LETTERS, key=lambda letter: number_of(item[letter]))[rank]

    return {
        "longest": accuracy(lambda item: max(LETTERS, key=lambda letter: len(item[letter]))),
        "first": accuracy(lambda _: "A"),
        **{f"value_rank_{rank + 1}": accuracy(partial(ranked, rank=rank)) for rank in range(4)},
    }


def _review(path: Path, items: list[dict[str, Any]]) -> None:
    """A sheet for people: verdict and remark are theirs to fill in. Text that a spreadsheet would run is quoted."""

    def safe(value: object) -> str:
        text = str(value)
        return f"'{text}" if text[:1] in "=+-@\t\r" else text

    columns = ["id", "question", *LETTERS, "answer", "support", "article"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*columns, "verdict (right/wrong/unclear)", "remark"])
        writer.writerows([*(safe(item[column]) for column in columns), "", ""] for item in items)


def _datasheet(config: BenchConfig, items: list[dict[str, Any]], baselines: Mapping[str, float]) -> str:
    guesses = "\n".join(f"| {name} | {100 * value:.1f} % |" for name, value in baselines.items())
    articles = len({item["article"] for item in items})
    return f"""# Datasheet

{len(items)} four-option questions on measured values, from {articles} documents, at most {config.items_per_document} a document, made by rule without a model
(seed {config.seed}). Each keeps the sentence it rests on (`support`) and its document (`article`).

What it can show: whether a model holds values that the documents state. What it cannot: understanding, reasoning, or anything without a number.
It was not reviewed by people; `review.csv` is the sheet for that.

Guessing from the options alone (chance is 25 %):

| by | right |
|---|---|
{guesses}
"""
