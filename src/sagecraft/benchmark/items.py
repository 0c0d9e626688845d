"""From drafts to the rows of `items.jsonl`, and the files that are made of these."""

from __future__ import annotations

import csv
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.artifact import keyed_hash
from sagecraft.benchmark.ladder import in_turn

if TYPE_CHECKING:
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.benchmark.models import Models

LETTERS = "ABCD"
ITEMS = "items.jsonl"


def item_of(
    seed: int, number: int, draft: Draft, common_categories: frozenset[str], checked: bool, models: Models
) -> dict[str, Any]:
    """One item. Keys go round in turn, so that no letter is a strategy; numbers would show the middle if in order.

    Args:
        seed: of the stage.
        number: of the item.
        draft: what it is made of.
        common_categories: names of whole collections, which are no topics.
        checked: whether training documents were compared.
        models: what they said of it.
    """
    rng = random.Random(keyed_hash(seed, "order", draft.id))  # noqa: S311
    key = LETTERS[in_turn(seed, "keys", number)]
    others = [option.text for option in draft.options[1:]]
    rng.shuffle(others)
    options = dict(zip([letter for letter in LETTERS if letter != key], others, strict=True)) | {key: draft.key.text}
    document = draft.document
    topics = [name for name in document.categories if name not in common_categories] or document.categories
    support = " ".join(text for _, text in draft.support)
    stated = f"“{document.title or document.id}” states: {support}"
    checks: dict[str, Any] = {
        "options_in_documents": sum(option.commonness > 0 for option in draft.options),
        "training": "no overlap" if checked else "not compared",
    }
    if models.bench:
        from sagecraft.benchmark.judging.judge import checks_of

        letters = {text: letter for letter, text in options.items()}
        checks["judges"] = checks_of(models.bench, draft, letters)
    return {
        "id": draft.id,
        "question": draft.question,
        **{letter: options[letter] for letter in LETTERS},
        "answer": key,
        "topic": topics[0] if topics else "",
        "kind": "withheld",
        "form": draft.form,
        "written_by": draft.written_by,
        "article": document.id,
        "title": document.title,
        "section": draft.section,
        "passage": draft.passage,
        "support": support,
        "support_sentences": [{"position": position, "text": text} for position, text in draft.support],
        "explanation": f"{draft.explanation} {stated}".strip(),
        "checks": checks,
        **({"cost": models.cost_of(draft)} if models.bench or models.taught else {}),
    }


def write_questions(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    """Writes the published benchmark's own columns, without the key: what can be given to people who are to be scored."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["question", *LETTERS])
        writer.writerows([item["question"], *(item[letter] for letter in LETTERS)] for item in items)
