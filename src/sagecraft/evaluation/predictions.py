"""Picks for those who keep the key of a set: its own table again, with a column `answer`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation.columns import Names


def predictions_csv(rows: Sequence[Mapping[str, Any]], names: Names | None = None) -> str:
    """CSV with `question`, the options under their letters, and `answer`, in the order of the set, under its own names.

    Keepers can match by position or by text, since the questions and options stand as they were given. Where no letter
    could be read `answer` is empty: a guess in its place would be scored as the model's.

    Args:
        rows: of `items.jsonl`, of one mode.
        names: what the set calls its columns, where it has names of its own.
    """
    letters = max((_letters(row) for row in rows), key=len)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = names or {}
    options_named = names.get("options", ())
    own = dict(zip(letters, options_named, strict=False)) if isinstance(options_named, tuple) else {}
    header = [names.get("question", "question"), *(own.get(letter, names.get(letter, letter)) for letter in letters)]
    writer.writerow([*header, names.get("answer", "answer")])
    for row in rows:
        options = [option["text"] for option in row["options"]]
        padding = [""] * (len(letters) - len(options))
        writer.writerow([row["question"], *options, *padding, row["pick"] or ""])
    return text.getvalue()


def _letters(row: Mapping[str, Any]) -> list[str]:
    return [option["letter"] for option in row["options"]]
