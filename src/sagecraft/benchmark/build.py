"""Stage `bench`: keyed four-option questions from documents, without a model.

The offline builder leaves something open that a document states (a value, two values, a word with its opposite, a term, a
cell of a table) and offers it with three others of the same kind. It is modest, but the key is what the literature says,
and nothing but what was left open differs between the options. Its questions have other forms than the training pairs of
`synthesis`.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft import artifact, console
from sagecraft.artifact import Manifest, keyed_hash
from sagecraft.benchmark.config import JUDGE_RULES, BenchConfig
from sagecraft.errors import UserError

if TYPE_CHECKING:
    from sagecraft.benchmark.choices import Choice, Terms
    from sagecraft.benchmark.drafts import Draft, Drafter
    from sagecraft.benchmark.ladder import Ladders
    from sagecraft.benchmark.models import Models
    from sagecraft.benchmark.statements import Statement
    from sagecraft.benchmark.studies import Report
    from sagecraft.benchmark.teacher.teach import Taught
    from sagecraft.benchmark.words import WordClasses
    from sagecraft.corpus.documents import Document
    from sagecraft.teaching.desk import Desk

VERSION = 10
#: Candidates kept of a document for each item that it may give: some fail where their options are made.
_SPARE = 12
#: Findings of an article of which one may be asked for among titles.
_REPORTS = 8
#: Training documents from which other options may be drawn; all are compared.
_POOL = 5_000


@dataclass
class _Found:
    """What the documents hold: how common values and words are, the terms, and what can be asked about."""

    ladders: Ladders
    terms: Terms
    classes: WordClasses
    words: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    num_documents: int = 0
    common_categories: frozenset[str] = frozenset()


def run(config: BenchConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Makes a benchmark of `documents`.

    Args:
        config: settings.
        inputs: `documents` (a folder of documents, withheld ones as a rule); optionally `training` (documents): an item whose
            question, support or passage stands in them is dropped; and `providers` (a YAML file of presets and prices for the
            models that are asked).
        out: `items.jsonl`, `dropped.jsonl`, `questions.csv` (the published benchmark's columns, without the key), `review.csv`
            and `review.html` for people to judge, `datasheet.md`, `report.html`; replies of models stay beside it in `OUT.replies`.
    """
    from sagecraft.benchmark import review
    from sagecraft.benchmark.items import ITEMS, item_of, write_questions
    from sagecraft.benchmark.models import model_inputs
    from sagecraft.benchmark.page import write_page

    inputs = {**inputs, **model_inputs(config)}
    with artifact.build(out, kind="benchmark", stage="bench", version=VERSION, config=config, inputs=inputs) as build:
        found = _survey(config, inputs)
        asked = _asked(config, inputs, out, found)
        drafts = _selected(config, asked.drafts, asked.dropped)
        if not drafts:
            raise UserError(_why_nothing(inputs["documents"], asked.dropped))
        checked = "training" in inputs
        items = [
            item_of(config.seed, number, draft, found.common_categories, checked, asked.models)
            for number, draft in enumerate(drafts)
        ]
        artifact.write_jsonl(build.path / ITEMS, items)
        artifact.write_jsonl(build.path / "dropped.jsonl", asked.dropped)
        write_questions(build.path / "questions.csv", items)
        review.write_sheets(build.path, items, {draft.id: draft.passage_text for draft in drafts})
        if asked.desk:
            asked.desk.close(build.path)
            build.stats.update(asked.desk.counts)
        build.stats.update(
            num_documents=found.num_documents,
            num_items=len(items),
            num_articles=len({item["article"] for item in items}),
            items_by_form={form: len(group) for form, group in _by_form(drafts).items()},
            items_by_topic=dict(sorted(Counter(item["topic"] for item in items).items())),
            items_by_writer=dict(sorted(Counter(item["written_by"] for item in items).items())),
            num_before_selection=len(asked.drafts),
            num_dropped=len(asked.dropped),
            dropped_by_reason=dict(sorted(Counter(row["reason"] for row in asked.dropped).items())),
            sentences_by_reason=dict(sorted(found.reasons.items())),
            keys=dict(sorted(Counter(item["answer"] for item in items).items())),
            **asked.models.figures(asked.judged, drafts, asked.desk),
        )
        _measure(config, build, drafts, checked)
        write_page(build.path, config, build.stats)
        console.say(f"  {len(items):,} questions from {found.num_documents:,} documents")
    return build.manifest


def show_sample(config: BenchConfig, inputs: Mapping[str, Path], out: Path, count: int) -> dict[str, Any]:
    """Asks the teacher about a few passages, which the whole run will not ask again; nothing is written but replies."""
    from sagecraft.benchmark.models import desk_of, model_inputs
    from sagecraft.benchmark.teacher import teach

    model_inputs(config)  # what cannot be asked is refused before money is spent
    return teach.show_sample(desk_of(config, inputs, out), inputs["documents"], count)


def _measure(config: BenchConfig, build: artifact.Build, drafts: Sequence[Draft], checked: bool) -> None:
    """What can be guessed from the options alone, and the datasheet."""
    from sagecraft.benchmark.baselines import accuracies, learned
    from sagecraft.benchmark.datasheet import datasheet

    build.stats.update(baselines=accuracies(drafts), learned_baseline=learned(drafts, config.seed))
    by_form = {form: accuracies(group) for form, group in _by_form(drafts).items()}
    artifact.write_json(build.path / "baselines.json", {"all": build.stats["baselines"], **by_form})
    text = datasheet(config.model_dump(), build.stats, by_form, checked)
    artifact.write_text(build.path / "datasheet.md", text)


def _why_nothing(documents: Path, dropped: Sequence[Mapping[str, Any]]) -> str:
    if any(row["reason"] in JUDGE_RULES for row in dropped):
        return f"bench.judging: the judges leave nothing of what was drafted from {documents}; see judging.rules and judging.min_answered"
    return f"{documents}: no sentence with a measured value stands alone; give more documents"


@dataclass
class _Asked:
    """What is to be chosen from.

    Attributes:
        drafts: that are fit to be asked.
        judged: those that the judges saw.
        dropped: what became no draft, or was taken out.
        models: what they made and said.
        desk: where they were asked; None without models.
    """

    drafts: list[Draft]
    judged: list[Draft]
    dropped: list[dict[str, Any]]
    models: Models
    desk: Desk[BenchConfig] | None


def _asked(config: BenchConfig, inputs: Mapping[str, Path], out: Path, found: _Found) -> _Asked:
    """Drafts of rules and of the teacher, without what stands in training, and as the judges leave them."""
    from sagecraft.benchmark.models import Models, desk_of, judges_that_teach
    from sagecraft.benchmark.teacher.teach import write_items

    desk = desk_of(config, inputs, out) if config.teacher or config.judges else None
    taught = write_items(desk, inputs["documents"]) if desk and config.teacher else None
    drafts, dropped = _drafts(config, inputs["documents"], found, taught)
    if "training" in inputs:
        drafts = _without_leaks(drafts, inputs["training"], dropped)
    asked = _Asked(drafts, drafts, dropped, Models(taught), desk)
    if desk and config.judges and drafts:
        from sagecraft.benchmark.judging.judge import ask_judges, judged

        bench = ask_judges(desk, drafts, taught.name if taught else "", judges_that_teach(config))
        asked.models = Models(taught, bench)
        asked.drafts, gone = judged(config, bench, drafts)
        dropped += [
            {**_drop(draft.document.id, draft.question, reason), "detail": detail} for draft, reason, detail in gone
        ]
    return asked


def _survey(config: BenchConfig, inputs: Mapping[str, Path]) -> _Found:
    """First pass: how often values and words occur, and the terms of all glossaries; other options are drawn from these."""
    from sagecraft.benchmark.choices import Terms
    from sagecraft.benchmark.ladder import Ladders
    from sagecraft.benchmark.words import WordClasses
    from sagecraft.corpus.documents import read_documents
    from sagecraft.literature.figures import figures_of
    from sagecraft.literature.reading import Reading
    from sagecraft.literature.slots import words_of

    found = _Found(Ladders(), Terms(), WordClasses())
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
        found.classes.add(reading)
        for passage in reading.passages:
            for sentence in passage.sentences:
                found.ladders.add(figures_of(sentence.text))
                found.words.update(word.text for word in words_of(sentence.text))
    found.ladders.last_year = max(years) or found.ladders.last_year  # what was not yet is no option
    # The name of a whole collection says nothing about one of its parts.
    found.common_categories = frozenset(name for name, count in categories.items() if 2 * count > found.num_documents)
    return found


def _drafts(
    config: BenchConfig, folder: Path, found: _Found, taught: Taught | None
) -> tuple[list[Draft], list[dict[str, Any]]]:
    """Second pass: the drafts of all documents in keyed order, at most so many a document, none twice.

    What a teacher wrote comes first: rules can leave a gap in any sentence, a teacher can ask what follows from several.
    """
    from sagecraft.benchmark.balance import Balance
    from sagecraft.benchmark.drafts import Drafter
    from sagecraft.benchmark.ladder import in_turn
    from sagecraft.benchmark.statements import Statement
    from sagecraft.corpus.documents import read_documents

    sources: list[Statement | Choice] = []
    reports: list[Report] = []
    for document in read_documents(folder):
        sources += _of_document(config, document, found, reports)
    sources.sort(key=lambda source: keyed_hash(config.seed, "item", *_name(source)))
    drafter = Drafter(config.seed, found.ladders, found.words, found.classes, Balance(found.classes))
    drafts: list[Draft] = []
    dropped: list[dict[str, Any]] = []
    of_document: dict[str, list[Draft]] = defaultdict(list)
    if taught:
        _take_written(config, taught, drafts, dropped, of_document)
    _take_studies(config, reports, drafter, drafts, dropped, of_document)
    seen = {draft.question for draft in drafts}
    number = 0
    for source in sources:
        held = of_document[source.document.id]
        if len(held) >= config.items_per_document or _is_used(_rests_on(source), held):
            continue
        rank = in_turn(config.seed, "ranks", number)
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


def _is_used(positions: set[int], held: Sequence[Draft]) -> bool:
    """Whether another question of the document rests on one of these sentences."""
    return any(positions & {position for position, _ in draft.support} for draft in held)


def _take_studies(
    config: BenchConfig,
    reports: list[Report],
    drafter: Drafter,
    drafts: list[Draft],
    dropped: list[dict[str, Any]],
    of_document: dict[str, list[Draft]],
) -> None:
    """Adds the questions for a study, by blocks of four that are taken whole."""
    from sagecraft.benchmark.drafts import is_readable
    from sagecraft.benchmark.studies import blocks_of

    fit: list[Report] = []
    for report in sorted(reports, key=lambda report: keyed_hash(config.seed, "item", report.document.id, report.text)):
        if drafter.names_itself(report) or not is_readable(report.text):
            reason = "in-title" if is_readable(report.text) else "unread-macro"
            dropped.append(_drop(report.document.id, report.text, reason))
        elif not _is_used({report.sentence.position}, of_document[report.document.id]):
            fit.append(report)
    num_free = {report.document.id: config.items_per_document - len(of_document[report.document.id]) for report in fit}
    for block in blocks_of(fit, drafter.shared):
        if any(num_free[report.document.id] < 1 for report in block.reports):
            continue
        for report in block.reports:
            draft = drafter.of_report(report, block)
            num_free[report.document.id] -= 1
            of_document[report.document.id].append(draft)
            drafts.append(draft)


def _take_written(
    config: BenchConfig,
    taught: Taught,
    drafts: list[Draft],
    dropped: list[dict[str, Any]],
    of_document: dict[str, list[Draft]],
) -> None:
    """Adds what a teacher wrote, by the limits that hold for what rules make."""
    dropped += [_drop(*gone) for gone in taught.dropped]
    seen: set[str] = set()
    for draft in sorted(taught.drafts, key=lambda draft: keyed_hash(config.seed, "item", draft.document.id, draft.id)):
        held = of_document[draft.document.id]
        repeats = any(_tells(draft, other) or _tells(other, draft) or draft.key == other.key for other in held)
        if draft.question in seen or repeats:
            dropped.append(_drop(draft.document.id, draft.question, "repeats another"))
        elif len(held) >= config.items_per_document:
            dropped.append(_drop(draft.document.id, draft.question, "more than items_per_document"))
        else:
            seen.add(draft.question)
            held.append(draft)
            drafts.append(draft)


def _of_document(
    config: BenchConfig, document: Document, found: _Found, reports: list[Report]
) -> list[Statement | Choice]:
    """What one document offers, in keyed order: several statements of a sentence, of which one may be taken.

    What may be asked for among titles is added to `reports`.
    """
    from sagecraft.benchmark.choices import properties_of, terms_of
    from sagecraft.benchmark.drafts import form_of
    from sagecraft.benchmark.statements import statements_of
    from sagecraft.benchmark.studies import reports_of
    from sagecraft.literature.reading import Reading

    reading = Reading(document, config.seed)
    sources: list[Statement | Choice] = []
    for statement in statements_of(reading, config.min_words, config.max_words, found.classes):
        if isinstance(statement, str):
            found.reasons[statement] += 1
        elif form_of(statement.blanks) in config.forms:
            sources.append(statement)
    if "study" in config.forms:
        reports += itertools.islice(
            reports_of(reading, config.seed, config.max_words, found.classes.commonness), _REPORTS
        )
    sources += terms_of(reading, found.terms) if "term" in config.forms else ()
    sources += properties_of(reading, config.seed) if "property" in config.forms else ()
    sources.sort(key=lambda source: keyed_hash(config.seed, "sentence", *_name(source)))
    return sources[: _SPARE * config.items_per_document]


def _rests_on(source: Statement | Choice) -> set[int]:
    """Positions of the sentences that a question would rest on; none of a table."""
    from sagecraft.benchmark.statements import Statement

    if isinstance(source, Statement):
        return {sentence.position for sentence in source.support}
    return set()


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
    return any(is_told(one.question, value) for value in (*values, *other.told))


def _without_leaks(drafts: list[Draft], training: Path, dropped: list[dict[str, Any]]) -> list[Draft]:
    """Leaves out what stands in training documents, which are streamed."""
    from sagecraft.benchmark.leaks import leaks_of
    from sagecraft.corpus.documents import read_documents

    found = leaks_of(drafts, read_documents(training)) if drafts else {}
    for draft in drafts:
        if leak := found.get(draft.id):
            dropped.append({**_drop(draft.document.id, draft.question, leak.reason), "detail": leak.detail})
    return [draft for draft in drafts if draft.id not in found]


def _selected(config: BenchConfig, drafts: list[Draft], dropped: list[dict[str, Any]]) -> list[Draft]:
    """The drafts on which no guess by the options pays: among pairs, among each other form, and in all."""
    from sagecraft.benchmark.baselines import select
    from sagecraft.benchmark.drafts import PAIRS

    families: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        families["pair" if draft.form in PAIRS else draft.form].append(draft)
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


def _by_form(drafts: Sequence[Draft]) -> dict[str, list[Draft]]:
    groups: dict[str, list[Draft]] = defaultdict(list)
    for draft in drafts:
        groups[draft.form].append(draft)
    return dict(sorted(groups.items()))
