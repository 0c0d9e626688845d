"""What a benchmark is, for whoever uses it: how it was made, what it can show, what can be guessed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FORMS = {
    "figure": "one value left open, four values of a ladder",
    "two-figures": "two values left open, two alternatives each",
    "word-and-figure": "a word with its opposite and a value left open",
    "two-words": "two words with their opposites left open",
    "term": "the term of a gloss, among terms of the same class",
    "property": "a cell of a table, among others of its column",
}


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

{stats["num_items"]} four-option questions from {stats["num_articles"]} of {stats["num_documents"]} documents, at most {config["items_per_document"]} a document, made by rule without a model
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

{_guesses(config, stats, by_form)}"""


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
    return f"""Guessing from the options alone (chance is 25 %). {chosen}

| by | all |{head}
|---|---|{"---|" * len(groups)}
{rows}
"""
