"""Stage `bench`: keyed four-option questions from documents, without a model.

The offline builder leaves something open that a document states (a value, two values, a word with its opposite, a term, a
cell of a table) and offers it with three others of the same kind. It is modest, but the key is what the literature says,
and nothing but what was left open differs between the options. Its questions have other forms than the training pairs of
`synthesis`.
"""

from __future__ import annotations

import csv
import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.benchmark.config import BenchConfig
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.benchmark.choices import Choice, Terms
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.benchmark.ladder import Ladders
    from sagecraft.benchmark.statements import Statement
    from sagecraft.corpus.documents import Document

VERSION = 3
LETTERS = "ABCD"
ITEMS = "items.jsonl"
#: Candidates kept of a document for each item that it may give: some fail where their options are made.
_SPARE = 3
#: Training documents from which other options may be drawn; all are compared.
_POOL = 5_000


@dataclass
class _Found:
    """What the documents hold: how common values and words are, the terms, and what can be asked about."""

    ladders: Ladders
    terms: Terms
    words: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    num_documents: int = 0
    common_categories: frozenset[str] = frozenset()


def run(config: BenchConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Makes a benchmark of `documents`.

    Args:
        config: settings.
        inputs: `documents` (a folder of documents, withheld ones as a rule); optionally `training` (documents): an item whose
            question, support or passage stands in them is dropped.
        out: `items.jsonl`, `dropped.jsonl`, `questions.csv` (the published benchmark's columns, without the key), `review.csv`
            and `review.html` for people to judge, `datasheet.md`.
    """
    from sagecraft.benchmark import review
    from sagecraft.benchmark.baselines import accuracies, learned
    from sagecraft.benchmark.datasheet import datasheet

    with artifact.build(out, kind="benchmark", stage="bench", version=VERSION, config=config, inputs=inputs) as build:
        found = _survey(config, inputs)
        drafts, dropped = _drafts(config, inputs["documents"], found)
        if "training" in inputs:
            drafts = _without_leaks(drafts, inputs["training"], dropped)
        num_drafts = len(drafts)
        drafts = _selected(config, drafts, dropped)
        if not drafts:
            raise UserError(
                f"{inputs['documents']}: no sentence with a measured value stands alone; give more documents"
            )
        items = [_item(config, number, draft, found, "training" in inputs) for number, draft in enumerate(drafts)]
        artifact.write_jsonl(build.path / ITEMS, items)
        artifact.write_jsonl(build.path / "dropped.jsonl", dropped)
        write_questions(build.path / "questions.csv", items)
        review.write_sheets(build.path, items, {draft.id: draft.passage_text for draft in drafts})
        groups = _by_form(drafts)
        build.stats.update(
            num_documents=found.num_documents,
            num_items=len(items),
            num_articles=len({item["article"] for item in items}),
            items_by_form={form: len(group) for form, group in groups.items()},
            items_by_topic=dict(sorted(Counter(item["topic"] for item in items).items())),
            num_before_selection=num_drafts,
            num_dropped=len(dropped),
            dropped_by_reason=dict(sorted(Counter(row["reason"] for row in dropped).items())),
            sentences_by_reason=dict(sorted(found.reasons.items())),
            keys=dict(sorted(Counter(item["answer"] for item in items).items())),
            baselines=accuracies(drafts),
            learned_baseline=learned(drafts, config.seed),
        )
        by_form = {form: accuracies(group) for form, group in groups.items()}
        artifact.write_json(build.path / "baselines.json", {"all": build.stats["baselines"], **by_form})
        text = datasheet(config.model_dump(), build.stats, by_form, "training" in inputs)
        artifact.write_text(build.path / "datasheet.md", text)
        console.say(f"  {len(items):,} questions from {found.num_documents:,} documents")
    return build.manifest


def _survey(config: BenchConfig, inputs: Mapping[str, Path]) -> _Found:
    """First pass: how often values and words occur, and the terms of all glossaries; other options are drawn from these."""
    from sagecraft.benchmark.choices import Terms
    from sagecraft.benchmark.figures import figures_of
    from sagecraft.benchmark.ladder import Ladders
    from sagecraft.benchmark.statements import words_with_opposites
    from sagecraft.corpus.documents import read_documents
    from sagecraft.literature.reading import Reading

    found = _Found(Ladders(), Terms())
    categories: Counter[str] = Counter()
    years = [0]
    training = read_documents(inputs["training"]) if "training" in inputs else iter(())
    asked = ((document, True) for document in read_documents(inputs["documents"]))
    for document, is_asked in itertools.chain(
        asked, ((document, False) for document in itertools.islice(training, _POOL))
    ):
        reading = Reading(document, config.seed)
        found.num_documents += is_asked
        years.append(document.year or 0)
        categories.update(set(document.categories) if is_asked else ())
        found.terms.add(reading.glossary)
        for passage in reading.passages:
            for sentence in passage.sentences:
                found.ladders.add(figures_of(sentence.text))
                found.words.update(word.text for word in words_with_opposites(sentence.text))
    found.ladders.last_year = max(years) or found.ladders.last_year  # what was not yet is no option
    # The name of a whole collection says nothing about one of its parts.
    found.common_categories = frozenset(name for name, count in categories.items() if 2 * count > found.num_documents)
    return found


def _drafts(config: BenchConfig, folder: Path, found: _Found) -> tuple[list[Draft], list[dict[str, Any]]]:
    """Second pass: the drafts of all documents in keyed order, at most so many a document, none twice."""
    from sagecraft.benchmark.drafts import Drafter
    from sagecraft.benchmark.statements import Statement
    from sagecraft.corpus.documents import read_documents

    sources = [source for document in read_documents(folder) for source in _of_document(config, document, found)]
    sources.sort(key=lambda source: keyed_hash(config.seed, "item", *_name(source)))
    drafter = Drafter(config.seed, found.ladders, found.words)
    drafts: list[Draft] = []
    dropped: list[dict[str, Any]] = []
    of_document: dict[str, list[Draft]] = defaultdict(list)
    seen: set[str] = set()
    number = 0
    for source in sources:
        held = of_document[source.document.id]
        if len(held) >= config.items_per_document:
            continue
        rank = _in_turn(config.seed, "ranks", number)
        made: Draft | str
        made = drafter.of_statement(source, rank) if isinstance(source, Statement) else drafter.of_choice(source, rank)
        if not isinstance(made, str) and (made.question in seen or _gives_away(made, held)):
            made = "repeats another"
        if isinstance(made, str):
            dropped.append(_drop(source.document.id, _name(source)[1], made))
            continue
        number += 1
        seen.add(made.question)
        held.append(made)
        drafts.append(made)
    return drafts, dropped


def _of_document(config: BenchConfig, document: Document, found: _Found) -> list[Statement | Choice]:
    """What one document offers, in keyed order: one statement a sentence, a few more than may be taken."""
    from sagecraft.benchmark.choices import properties_of, terms_of
    from sagecraft.benchmark.drafts import form_of
    from sagecraft.benchmark.statements import statements_of
    from sagecraft.literature.reading import Reading

    reading = Reading(document, config.seed)
    by_sentence: dict[int, list[Statement]] = defaultdict(list)
    for statement in statements_of(reading, config.min_words, config.max_words):
        if isinstance(statement, str):
            found.reasons[statement] += 1
        elif form_of(statement.blanks) in config.forms:
            by_sentence[statement.sentence.position].append(statement)
    sources: list[Statement | Choice] = [
        min(group, key=lambda each: keyed_hash(config.seed, "form", *_name(each))) for group in by_sentence.values()
    ]
    sources += terms_of(reading, found.terms) if "term" in config.forms else ()
    sources += properties_of(reading, config.seed) if "property" in config.forms else ()
    sources.sort(key=lambda source: keyed_hash(config.seed, "sentence", *_name(source)))
    return sources[: _SPARE * config.items_per_document]


def _name(source: Statement | Choice) -> tuple[str, str, str]:
    """What keys a source: its document, what it rests on, what is asked."""
    from sagecraft.benchmark.statements import Statement

    if isinstance(source, Statement):
        return source.document.id, source.sentence.text, source.open_text
    return source.document.id, source.support, source.question


def _gives_away(draft: Draft, others: Sequence[Draft]) -> bool:
    """Whether a question tells the answer of another of its document, or rests on the same sentence."""
    return any(
        set(draft.support) & set(other.support) or _tells(draft, other) or _tells(other, draft) for other in others
    )


def _tells(one: Draft, other: Draft) -> bool:
    """Whether a value of the right option of `other` stands in the question of `one`; a single digit stands anywhere."""
    from sagecraft.benchmark.statements import is_told

    values = re.findall(r"\d[\d,.]*\d", other.key.text)
    return any(is_told(one.question, value) for value in values)


def _without_leaks(drafts: list[Draft], training: Path, dropped: list[dict[str, Any]]) -> list[Draft]:
    """Leaves out what stands in training documents: question with its answer, or the passage. The documents are streamed."""
    from sagecraft.corpus.documents import read_documents
    from sagecraft.corpus.overlap import Leaks

    if not drafts:
        return drafts
    rows = [
        {"id": draft.id, "question": draft.question, "A": draft.key.text, "answer": "A", "support": draft.passage_text}
        for draft in drafts
    ]
    leaks = Leaks(rows)
    leaked: dict[str, str] = {}
    for document in read_documents(training):
        for hit in leaks.find(document.text, document.id):
            reason = "in-training" if hit.part == "question" else "passage-in-training"
            leaked.setdefault(hit.item, f"{reason}\n{hit.document}: {hit.document_text}")
    for draft in drafts:
        if draft.id in leaked:
            reason, detail = leaked[draft.id].split("\n", 1)
            dropped.append({**_drop(draft.document.id, draft.question, reason), "detail": detail})
    return [draft for draft in drafts if draft.id not in leaked]


def _selected(config: BenchConfig, drafts: list[Draft], dropped: list[dict[str, Any]]) -> list[Draft]:
    """The drafts on which no guess by the options pays: among values, among pairs, among the rest, and in all."""
    from sagecraft.benchmark.baselines import select
    from sagecraft.benchmark.drafts import FIGURE, PAIRS

    families: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        families[FIGURE if draft.form == FIGURE else "pair" if draft.form in PAIRS else "choice"].append(draft)
    kept = {draft.id for family in families.values() for draft in select(family, config.baseline_points)}
    chosen = select([draft for draft in drafts if draft.id in kept][: config.max_items], config.baseline_points)
    ids = {draft.id for draft in chosen}
    num_wanted = len(drafts) if config.max_items is None else config.max_items
    dropped += [
        _drop(draft.document.id, draft.question, "guessable")
        for draft in drafts
        if draft.id not in ids and (draft.id not in kept or num_wanted >= len(kept))
    ]
    return chosen


def _drop(document: str, what: str, reason: str) -> dict[str, Any]:
    return {"document": document, "sentence": what, "reason": reason}


def _item(config: BenchConfig, number: int, draft: Draft, found: _Found, checked: bool) -> dict[str, Any]:
    """One item. Keys go round in turn, so that no letter is a strategy; numbers would show the middle if in order."""
    rng = random.Random(keyed_hash(config.seed, "order", draft.id))  # noqa: S311
    key = LETTERS[_in_turn(config.seed, "keys", number)]
    others = [option.text for option in draft.options[1:]]
    rng.shuffle(others)
    options = dict(zip([letter for letter in LETTERS if letter != key], others, strict=True)) | {key: draft.key.text}
    document = draft.document
    topics = [name for name in document.categories if name not in found.common_categories] or document.categories
    support = " ".join(text for _, text in draft.support)
    return {
        "id": draft.id,
        "question": draft.question,
        **{letter: options[letter] for letter in LETTERS},
        "answer": key,
        "topic": topics[0] if topics else "",
        "kind": "withheld",
        "form": draft.form,
        "article": document.id,
        "title": document.title,
        "section": draft.section,
        "passage": draft.passage,
        "support": support,
        "support_sentences": [{"position": position, "text": text} for position, text in draft.support],
        "explanation": f"“{document.title or document.id}” states: {support}",
        "checks": {
            "options_in_documents": sum(option.commonness > 0 for option in draft.options),
            "training": "no overlap" if checked else "not compared",
        },
    }


def _in_turn(seed: int, what: str, number: int) -> int:
    """A number from 0 to 3 that comes up once in each block of four."""
    order = random.Random(keyed_hash(seed, what, number // 4)).sample(range(4), 4)  # noqa: S311
    return order[number % 4]


def _by_form(drafts: Sequence[Draft]) -> dict[str, list[Draft]]:
    groups: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        groups[draft.form].append(draft)
    return dict(sorted(groups.items()))


def write_questions(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    """Writes the published benchmark's own columns, without the key: what can be given to people who are to be scored."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["question", *LETTERS])
        writer.writerows([item["question"], *(item[letter] for letter in LETTERS)] for item in items)
