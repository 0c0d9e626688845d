"""Sheets for people who judge the items, and what becomes of their verdicts.

A reader sees question, options, key, support and passage, and says of each item whether the key is right, whether the
question stands alone, and whether no other option is right too. `run` reads the sheets back, takes out what fails, and
gives the benchmark its error rate.
"""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sagecraft import artifact, console
from sagecraft.artifact import Manifest
from sagecraft.benchmark.drafts import RULES
from sagecraft.benchmark.judging.answers import VIEWS
from sagecraft.errors import UserError

VERSION = 1
LETTERS = "ABCD"
SHEET = "review.csv"
#: What is judged of an item: column of the sheet → what "yes" says.
CRITERIA = {
    "correct": "the key is right by the passage",
    "stands_alone": "the question says what it asks about",
    "one_right": "no other option is right as well",
}
_ANSWERS = ("yes", "no", "unclear")
_RUN_BY_SPREADSHEETS = ("=", "+", "-", "@", "\t", "\r")
_SHOWN = ("id", "question", *LETTERS, "answer", "support", "article", "written_by")


class VerdictsConfig(BaseModel):
    """How verdicts decide."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    min_readers: int = Field(
        default=1, ge=1, description="so many readers must have judged an item before its verdicts remove it"
    )


def safe(value: object) -> str:
    """A cell that a spreadsheet shows and does not run."""
    text = str(value)
    return f"'{text}" if text.startswith(_RUN_BY_SPREADSHEETS) else text


def write_sheets(folder: Path, items: Sequence[Mapping[str, Any]], passages: Mapping[str, str]) -> None:
    """Writes `review.csv`, to be filled in, and `review.html`, to read beside it."""
    with (folder / SHEET).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_SHOWN, *CRITERIA, "remark", "judges"])
        for item in items:
            # last, so that who reads from the left has judged before
            judges = "; ".join(f"{name}: {said}" for name, said in _said(item))
            writer.writerow([*(safe(item[name]) for name in _SHOWN), *("" for _ in CRITERIA), "", safe(judges)])
    artifact.write_text(folder / "review.html", _page(items, passages))


def _said(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What each judge said of an item, in one line."""
    for judge in item["checks"].get("judges", {}).values():
        parts = [f"{view.replace('_', ' ')} {judge[view] or 'none'}" for view in VIEWS if view in judge]
        if "right" in judge:
            parts.append(f"right {', '.join(judge['right']) or 'none'}")
            parts.append(f"{'stands alone' if judge['stands_alone'] else 'needs its source'}: {judge['reason']}")
        yield f"{judge['model']}{'' if judge['has_vote'] else ' (no vote)'}", ", ".join(parts)


def _page(items: Sequence[Mapping[str, Any]], passages: Mapping[str, str]) -> str:
    from sagecraft.reporting.browser import Column, Entry, Grid, Text, browser
    from sagecraft.reporting.page import Page

    page = Page("Review of a benchmark", f"{len(items):,} items")
    meaning = "; ".join(f"{name}: {what}" for name, what in CRITERIA.items())
    page.paragraph(
        f"Open an item, judge it by its passage alone, and write yes, no or unclear into {SHEET} ({meaning}). Leave empty what you "
        f"did not judge. Each reader fills in a copy; sagecraft bench FOLDER --verdicts COPY … reads them back."
    )
    options = [Column("option"), Column("text")]
    entries = []
    for number, item in enumerate(items, start=1):
        rows = [[letter, item[letter]] for letter in LETTERS]
        marks = [["key"] if letter == item["answer"] else [] for letter in LETTERS]
        parts: list[Text | Grid] = [
            Text("Question", [item["question"]]),
            Grid("Options", options, rows, marks),
            Text("Support", [item["support"]]),
            Text("Passage", [passages.get(item["id"], "")], folded=True),
        ]
        if said := list(_said(item)):
            parts.append(Text("Judges", [f"{name}: {what}" for name, what in said], folded=True))
        cells = [item["id"], item["form"], item["written_by"], item["topic"], item["title"] or item["article"]]
        entries.append(Entry(cells, parts, ("items.jsonl", number)))
    columns = [
        Column("id"),
        Column("form", "choice"),
        Column("written by", "choice"),
        Column("topic", "choice"),
        Column("document", minor=True),
    ]
    page.browser(browser("Items", columns, entries, f"The items stand in {SHEET}, too."))
    return page.render()


def run(config: VerdictsConfig, inputs: Mapping[str, Path], out: Path) -> Manifest:
    """Reads verdicts back: a benchmark without what failed, its error rate, and a record of what was removed.

    Args:
        config: settings.
        inputs: `benchmark` (a finished one), and sheets under names that begin with `verdicts`, one a reader.
        out: the benchmark's files, `removed.jsonl` and `verdicts.jsonl`; the rates stand in the manifest and the datasheet.

    Raises:
        UserError: a sheet is not of this benchmark, or judges nothing.
    """
    from sagecraft.benchmark.items import ITEMS, write_questions

    source = inputs["benchmark"]
    artifact.load(source, "benchmark")
    sheets = [path for name, path in sorted(inputs.items()) if name.startswith("verdicts")]
    if not sheets:
        raise UserError("bench: no sheet of verdicts was given")
    items = list(artifact.read_jsonl(source / ITEMS))
    readers = [read_sheet(path, {item["id"]: item for item in items}) for path in sheets]
    if not any(readers):
        raise UserError(f"{sheets[0]}: no verdict is filled in; write yes, no or unclear into {', '.join(CRITERIA)}")
    stats = artifact.load(source).stats
    with artifact.build(
        out, kind="benchmark", stage="bench-verdicts", version=VERSION, config=config, inputs=inputs
    ) as build:
        removed = {item["id"]: failed for item in items if (failed := _failed(item["id"], readers, config.min_readers))}
        kept = [item for item in items if item["id"] not in removed]
        if not kept:
            raise UserError(f"{source}: the verdicts remove every item")
        artifact.write_jsonl(build.path / ITEMS, kept)
        gone = [{**item, "failed": removed[item["id"]]} for item in items if item["id"] in removed]
        artifact.write_jsonl(build.path / "removed.jsonl", gone)
        artifact.write_jsonl(build.path / "verdicts.jsonl", list(_rows(items, readers)))
        shutil.copyfile(source / "dropped.jsonl", build.path / "dropped.jsonl")
        write_questions(build.path / "questions.csv", kept)
        rates = error_rates(items, readers)
        sheet = (source / "datasheet.md").read_text(encoding="utf-8")
        artifact.write_text(build.path / "datasheet.md", f"{sheet}\n{_section(rates, len(kept), removed)}")
        # What guesses reach was measured on all items: the datasheet has it, the manifest tells what is left.
        build.stats.update({name: value for name, value in stats.items() if "baseline" not in name})
        build.stats.update({"num_items": len(kept), "num_removed": len(gone), "num_readers": len(readers)})
        build.stats.update(
            num_articles=len({item["article"] for item in kept}),
            items_by_form=dict(sorted(Counter(item["form"] for item in kept).items())),
            items_by_topic=dict(sorted(Counter(item["topic"] for item in kept).items())),
            items_by_writer=dict(sorted(Counter(item.get("written_by", RULES) for item in kept).items())),
            keys=dict(sorted(Counter(item["answer"] for item in kept).items())),
            removed_by_criterion=dict(sorted(Counter(name for names in removed.values() for name in names).items())),
            error_rates=rates,
        )
        console.say(f"  {len(gone):,} of {len(items):,} items are removed; sheets of verdicts: {len(readers)}")
    return build.manifest


def read_sheet(path: Path, items: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """One reader's verdicts: id → criterion → yes, no or unclear; what was left empty is left out.

    Raises:
        UserError: a column is missing, an item is not of this benchmark or was changed, a verdict is another word.
    """
    verdicts: dict[str, dict[str, str]] = {}
    for number, row in _read_rows(path):
        place = f"{path}: line {number}"
        name = _plain(row.get("id") or "")
        if name not in items:
            raise UserError(f"{place}: no item {name!r} in this benchmark; judge the sheet that was made with it")
        if name in verdicts:
            raise UserError(f"{place}: item {name} is judged twice; give each reader's sheet for itself")
        if _plain(row.get("question") or "") != items[name]["question"]:
            raise UserError(
                f"{place}: the question of {name} is not that of the benchmark; judge the sheet as it was made"
            )
        given = {}
        for criterion in CRITERIA:
            said = (row.get(criterion) or "").strip().lower()
            if said and said not in _ANSWERS:
                raise UserError(f"{place}: {criterion} is {said!r}; write yes, no or unclear, or leave it empty")
            if said:
                given[criterion] = said
        if given:
            verdicts[name] = given
    return verdicts


def _read_rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a sheet of verdicts ({error})") from error
    header = text.split("\n", 1)[0]
    # Spreadsheets of many countries write semicolons.
    reader = csv.DictReader(
        text.splitlines(keepends=True), delimiter=";" if header.count(";") > header.count(",") else ","
    )
    missing = [name for name in ("id", "question", *CRITERIA) if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f"{path}: no column {missing[0]}; fill in a copy of {SHEET}")
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num}: {error}") from error


def _plain(cell: str) -> str:
    """A cell as it was before it was made safe."""
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(_RUN_BY_SPREADSHEETS) else cell


def _failed(name: str, readers: Sequence[Mapping[str, Mapping[str, str]]], min_readers: int) -> list[str]:
    """The criteria that an item fails: not more readers say yes than no. Two who disagree do not carry it."""
    failed = []
    for criterion in CRITERIA:
        said = [reader[name][criterion] for reader in readers if criterion in reader.get(name, {})]
        if len(said) >= min_readers and said.count("yes") <= said.count("no"):
            failed.append(criterion)
    return failed


def error_rates(
    items: Sequence[Mapping[str, Any]], readers: Sequence[Mapping[str, Mapping[str, str]]]
) -> dict[str, dict[str, Any]]:
    """For each criterion, and for any of them: items judged, items that fail, their share with Wilson's interval, disagreements."""
    from sagecraft.evaluation.statistics import wilson

    rates: dict[str, dict[str, Any]] = {}
    failed = {item["id"]: _failed(item["id"], readers, 1) for item in items}
    for criterion in (*CRITERIA, "any"):
        names = (criterion,) if criterion != "any" else tuple(CRITERIA)
        judged = [
            item["id"] for item in items if any(set(names) & set(reader.get(item["id"], {})) for reader in readers)
        ]
        if not judged:
            continue
        num_failed = sum(bool(set(names) & set(failed[name])) for name in judged)
        split = sum(
            any(len({reader[name][each] for reader in readers if each in reader.get(name, {})}) > 1 for each in names)
            for name in judged
        )
        rates[criterion] = {
            "n": len(judged),
            "failed": num_failed,
            "rate": num_failed / len(judged),
            "ci95": list(wilson(num_failed, len(judged))),
            "disagreements": split,
        }
    return rates


def _rows(
    items: Sequence[Mapping[str, Any]], readers: Sequence[Mapping[str, Mapping[str, str]]]
) -> Iterator[dict[str, Any]]:
    for item in items:
        for number, reader in enumerate(readers, start=1):
            if item["id"] in reader:
                yield {"id": item["id"], "reader": number, **reader[item["id"]]}


def _section(rates: Mapping[str, Mapping[str, Any]], num_kept: int, removed: Mapping[str, Sequence[str]]) -> str:
    rows = "\n".join(
        f"| {CRITERIA.get(name, 'any of them fails')} | {row['n']} | {row['failed']} | {100 * row['rate']:.1f} % "
        f"({100 * row['ci95'][0]:.1f} to {100 * row['ci95'][1]:.1f}) | {row['disagreements']} |"
        for name, row in rates.items()
    )
    return f"""## Reviewed by people

Items that failed and were removed: {len(removed)} (`removed.jsonl`); left: {num_kept}. The rates are those before that, of the items that were judged;
the interval of 95 % is Wilson's. An item fails where not more readers say yes than no.

| judged | items | failed | error rate | readers disagree |
|---|---|---|---|---|
{rows}
"""
