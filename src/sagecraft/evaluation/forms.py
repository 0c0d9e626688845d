"""Rows of well-known public sets, in the forms they are distributed in, as the columns that `tasks` reads.

- ARC on the hub: `choices` is a table of `text` and `label`, and `answerKey` a label, letters or 1-based digits.
- ARC as its authors packed it: `question` is an object with `stem` and a list `choices` of such pairs.
- ARC as lists of instructions: "question: … Answer1: … Answer2: …".
- GSM8K: `answer` is a chain of steps that ends with "#### " and the number; no options.
- MMLU as its authors packed it: CSV without a header, columns question, A, B, C, D, letter.

MMLU on the hub (`question`, `subject`, `choices`, 0-based `answer`) needs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.errors import UserError
from sagecraft.evaluation.numeric import numbers


def adapt(row: dict[str, Any], place: str) -> dict[str, Any]:
    """The row in our columns, or as it is if it has none of these forms."""
    question = row.get("question")
    if isinstance(question, dict) and "stem" in question:
        row = {**row, "question": question["stem"], "choices": question.get("choices")}
    answer = row.get("answer")
    if isinstance(answer, str) and "####" in answer and not {"choices", "A", "choice0", "target"} & set(row):
        steps, _, number = answer.rpartition("####")
        return {**row, "answer": None, "target": number.strip(), "chain": steps.strip()}
    if "answerKey" in row:
        return _labelled(row, place)
    if "instruction" in row and question is None:
        return _from_instruction(row, place)
    return row


def target_of(row: Mapping[str, Any], place: str) -> str:
    """The number that a row's column `target` asks for, as it stands there; "" if there is none.

    Raises:
        UserError: it is no number, or several.
    """
    given = row.get("target")
    if given is None or str(given).strip() == "":
        return ""
    text = str(given).strip()
    if isinstance(given, bool) or len(text) > 60 or len(numbers(text)) != 1:
        raise UserError(f"{place}, column target: {text[:60]!r} is not one number")
    return text


def headerless(cells: Sequence[str]) -> list[str] | None:
    """The columns of a CSV whose first line is already a question with its options and, last, its letter; else None."""
    if len(cells) != 6 or cells[-1].strip() not in tuple("ABCD"):
        return None
    # A header, too, may have six columns and end with an option: id, question, A, B, C, D.
    is_header = "question" in {cell.strip().lower() for cell in cells}
    return None if is_header else ["question", "A", "B", "C", "D", "answer"]


def _labelled(row: dict[str, Any], place: str) -> dict[str, Any]:
    """Options with labels of their own, and a key that names one."""
    table = row.get("choices")
    if isinstance(table, Mapping):
        texts, labels = table.get("text"), table.get("label")
    elif isinstance(table, list) and all(isinstance(pair, Mapping) for pair in table):
        texts, labels = [pair.get("text") for pair in table], [pair.get("label") for pair in table]
    else:
        texts = labels = None
    if not isinstance(texts, list) or not isinstance(labels, list) or len(texts) != len(labels):
        raise UserError(f"{place}, column choices: with an answerKey, expected as many of `text` as of `label`")
    named = [str(label).strip() for label in labels]
    key = "" if row["answerKey"] is None else str(row["answerKey"]).strip()
    if key and named.count(key) != 1:
        raise UserError(f"{place}, column answerKey: {key[:20]!r} is none of the labels {', '.join(named)[:60]}")
    rest = {name: value for name, value in row.items() if name != "answerKey"}
    return {**rest, "choices": texts, "answer": named.index(key) if key else None}


def _from_instruction(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Takes an instruction apart; searched in order, so that an option may speak of "Answer2:" itself."""
    text = str(row["instruction"]).partition("\n\nAnswer format:")[0]
    question, found, rest = text.partition("\n\nAnswer1:")
    options: list[str] = []
    while found:
        option, found, rest = rest.partition(f" Answer{len(options) + 2}:")
        options.append(option)
    key = re.fullmatch(r"answer(\d{1,2})", str(row.get("answer", "")).strip().lower())
    if not options or key is None:
        raise UserError(f'{place}, column instruction: no "Answer1: … Answer2: …", or no `answer` such as "answer1"')
    return {"question": question.partition("question:")[2] or question, "choices": options, "answer": int(key[1]) - 1}
