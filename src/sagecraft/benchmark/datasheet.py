"""What a benchmark is, for whoever uses it: how it was made, what it can show, what can be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sagecraft.benchmark.config import JUDGE_RULES
from sagecraft.benchmark.drafts import RULES, WRITTEN

_FORMS = {
    "figure": "one value left open, four values of a ladder",
    "two-figures": "two values left open, two alternatives each",
    "word-and-figure": "a word (with its opposite) or a name (with another of its class), and a value left open",
    "two-words": "two such words or names left open",
    "word": "a name, with others of its class as the literature uses them",
    "study": "a finding or a sentence of the authors, and the titles of four articles of its subject, each of which is right once",
    "term": "the term of a gloss, among terms of the same class",
    "property": "a cell of a table, among others of its column",
    WRITTEN: "written by a model from a passage",
}
_VIEWS = {"with_passage": "with the passage", "closed_book": "without it", "options_only": "from the options alone"}
_GRADES = {"one_right": "calls the key right and nothing else", "stands_alone": "calls the question clear by itself"}


def datasheet(
    config: Mapping[str, Any], stats: Mapping[str, Any], by_form: Mapping[str, Mapping[str, float]], checked: bool
) -> str:
    """The datasheet as Markdown.

    Args:
        config: of the stage.
        stats: of its manifest.
        by_form: form → guess → its accuracy.
        checked: whether training documents were compared.
    """
    forms = "\n".join(f"| {form} | {_FORMS[form]} | {count} |" for form, count in stats["items_by_form"].items())
    topics = "\n".join(f"| {topic or '(none)'} | {count} |" for topic, count in stats["items_by_topic"].items())
    overlap = (
        "No question, support sentence or passage shares thirteen words in a row, or half of its words in runs of eight, with the "
        "training documents that were given."
        if checked
        else "It was not compared with training documents."
    )
    return f"""# Datasheet

{stats["num_items"]} four-option questions from {stats["num_articles"]} of {stats["num_documents"]} documents, at most {config["items_per_document"]} a document, {_made(stats)}
(seed {config["seed"]}). Each keeps the sentences it rests on (`support_sentences`), its passage, section and document (`article`).

| form | what is asked | items |
|---|---|---|
{forms}

| topic | items |
|---|---|
{topics}

What it can show: whether a model holds what the documents state. What it cannot: reasoning beyond one or two sentences.
{overlap}
It was not reviewed by people; `review.csv` and `review.html` are the sheets for that, and `sagecraft bench FOLDER --verdicts FILE` reads them back.

{_models(config, stats)}{_guesses(config, stats, by_form)}"""


def _made(stats: Mapping[str, Any]) -> str:
    """Who made the items."""
    if "teacher" not in stats:
        return "made by rule, without a model that writes"
    written = sum(count for name, count in stats["items_by_writer"].items() if name != RULES)
    return f"{written} of them written by {stats['teacher']} from passages, the others made by rule"


def _models(config: Mapping[str, Any], stats: Mapping[str, Any]) -> str:
    """What models reached, and what they took out; nothing where none was asked."""
    if "cost" not in stats:
        return ""
    parts = []
    if "teacher" in stats:
        rows = {key: stats.get(f"num_teacher_{key}", 0) for key in ("asked", "repaired", "failed")}
        parts.append(
            f"The teacher, {stats['teacher']}, was asked about {rows['asked']} passages: {rows['failed']} gave no item that can be read, "
            f"the others ({rows['repaired']} of them when their reply was sent back) {stats.get('num_written', 0)} items, before rules and judges."
        )
    if "judges" in stats:
        parts.append(_judges(config, stats))
    cost = stats["cost"]
    usd = "at a price that is not known, or of one's own machine" if cost["usd"] is None else f"{cost['usd']:.4f} USD"
    parts.append(
        f"Tokens of all replies, also of those that gave no item: {cost['tokens_in']:,} read, {cost['tokens_out']:,} written; {usd}."
    )
    return "## Models\n\n" + "\n\n".join(parts) + "\n\n"


def _judges(config: Mapping[str, Any], stats: Mapping[str, Any]) -> str:
    shown = {**_VIEWS, **_GRADES}
    rows = []
    for before, after in zip(stats["judges"], stats["judges_on_items"], strict=True):
        cells = [f"{_share(before.get(name))}; {_share(after.get(name))}" for name in shown]
        vote = "yes" if before["has_vote"] else "no: not above chance with the passage"
        untrusted = [_GRADES[name] for name, counts in before.get("grades_count", {}).items() if not counts]
        vote += f"; its word on what it {' and '.join(untrusted)} counts for nothing" if untrusted else ""
        rows.append(f"| {before['model']} ({before['mode']}) | {' | '.join(cells)} | {vote} |")
    gone = {rule: stats["dropped_by_reason"].get(rule, 0) for rule in JUDGE_RULES}
    told = ", ".join(f"{rule} {count}" for rule, count in gone.items() if rule in config["judging"]["rules"])
    answered, least = stats["share_answered"], config["judging"]["min_answered"]
    weak = (
        f" Judges that vote answer {100 * answered:.1f} % of the drafts with the passage, less than {100 * least:.0f} %: what none answers was left in."
        if answered < least
        else ""
    )
    head = " | ".join(shown.values())
    return (
        f"Judges answered what was drafted, in three views, and where they grade, said which options are right. Right answers: of the drafts; of the items left "
        f"(chance is 25 %, intervals of 95 % by Wilson). Taken out: {told}.{weak} Items were chosen by these judges' answers, so their own scores on what "
        f"is left are no measure of them.\n\n| judge | {head} | vote |\n|---|{'---|' * len(shown)}---|\n"
        + "\n".join(rows)
    )


def _share(found: Mapping[str, Any] | None) -> str:
    if not found or not found["n"]:
        return "not asked"
    low, high = found["ci95"]
    return f"{100 * found['rate']:.1f} % of {found['n']} ({100 * low:.1f} to {100 * high:.1f})"


def _guesses(config: Mapping[str, Any], stats: Mapping[str, Any], groups: Mapping[str, Mapping[str, float]]) -> str:
    head = "".join(f" {form} |" for form in groups)
    rows = "\n".join(
        f"| {name} | {100 * value:.1f} % |" + "".join(f" {100 * group[name]:.1f} % |" for group in groups.values())
        for name, value in stats["baselines"].items()
    )
    removed = stats["dropped_by_reason"].get("guessable", 0)
    learned = stats["learned_baseline"]
    chosen = (
        f"Items were left out ({removed} of {stats['num_before_selection']}) until each guess, and two classifiers of the options' features (naive Bayes, conditional logit), was within {config['baseline_points']} points of chance, "
        "or as near as could be: the table is no evidence for that. "
        f"A nearest-neighbour classifier of the options' features that learned on the items of other articles, by which nothing was chosen, is right in {100 * learned:.1f} %."
        if learned is not None
        else "There are too few items to choose among: nothing was left out for these guesses."
    )
    return f"""## Guessing from the options alone

Chance is 25 %. {chosen}

| by | all |{head}
|---|---|{"---|" * len(groups)}
{rows}
"""
