"""Rows of well-known public sets, in the forms they are distributed in, as the columns that `tasks` reads.

- ARC on the hub: `choices` is a table of `text` and `label`, and `answerKey` a label, letters or 1-based digits.
- ARC as its authors packed it: `question` is an object with `stem` and a list `choices` of such pairs.
- ARC as lists of instructions: "question: … Answer1: … Answer2: …".
- GSM8K: `answer` is a chain of steps that ends with "#### " and the number; no options.
- MMLU as its authors packed it: CSV without a header, columns question, A, B, C, D, letter.
- MMLU-Pro: `options` is a list, filled up with "N/A"; `answer` a letter, `answer_index` the same as a number; `category`.
- MedQA: `options` is an object of letters, and `answer_idx` a letter.
- OpenBookQA on the hub: as ARC, with `question_stem`.
- GPQA, SciQ: the right option and the wrong ones in columns of their own.
- TruthfulQA, one right answer: `mc1_targets`, a table of `choices` and `labels` or an object of text and label; the right
  one stands first.

Where a set does not say in which order its options are shown (the last two), they stand in one drawn by a key of the
question and the options: the same in every run, whatever row it is in. MMLU on the hub (`question`, `subject`,
`choices`, 0-based `answer`) needs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft import artifact
from sagecraft.errors import UserError
from sagecraft.evaluation.columns import LETTERS
from sagecraft.evaluation.numeric import numbers

#: Columns of the right option and of the wrong ones, of sets whose options have no order.
_APART = (
    ("Correct Answer", ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")),
    ("correct_answer", ("distractor1", "distractor2", "distractor3")),
)
#: What sets call topics, identifiers and explanations.
_ALSO = {
    "topic": ("category", "High-level domain"),
    "id": ("question_id", "Record ID"),
    "explanation": ("Explanation", "cot_content", "support", "fact1"),
}


def adapt(row: dict[str, Any], place: str) -> dict[str, Any]:
    """The row in our columns, or as it is if it has none of these forms."""
    question = row.get("question")
    if isinstance(question, dict) and "stem" in question:
        row = {**row, "question": question["stem"], "choices": question.get("choices")}
    elif question is None and "question_stem" in row:
        row = _renamed(row, {"question_stem": "question"})
    for right, wrong in _APART:
        if right in row and wrong[0] in row and "answer" not in row:
            rest = {name: value for name, value in row.items() if name not in (right, *wrong)}
            return _also(rest | _drawn(row.get("question"), row[right], [row.get(name) for name in wrong]))
    if "mc1_targets" in row and "answer" not in row:
        return _one_true(row, place)
    if "options" in row and not {"choices", "A", "choice0"} & set(row):
        return _with_options(row, place)
    answer = row.get("answer")
    if isinstance(answer, str) and "####" in answer and not {"choices", "A", "choice0", "target"} & set(row):
        steps, _, number = answer.rpartition("####")
        return {**row, "answer": None, "target": number.strip(), "chain": steps.strip()}
    if "answerKey" in row:
        return _labelled(row, place)
    if "instruction" in row and question is None:
        return _from_instruction(row, place)
    return row


def _renamed(row: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in row.items()}


def _also(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a known set with its topic, identifier and explanation, where it gives them under names of its own."""
    found = {}
    for ours, theirs in _ALSO.items():
        given = next((row[name] for name in theirs if row.get(name) not in (None, "")), None)
        if ours not in row and given is not None:
            found[ours] = given
    return row | found


def _drawn(question: Any, right: Any, wrong: Sequence[Any]) -> dict[str, Any]:
    """Options in an order drawn by what they say; of more than there are letters for, wrong ones are left out."""
    wrong = [option for option in wrong if option not in (None, "")]

    def key(option: Any) -> tuple[int, str]:
        return artifact.keyed_hash("order", ascii(question), ascii(option)), ascii(option)

    kept = sorted(wrong, key=key)[: len(LETTERS) - 1]
    options = sorted([right, *kept], key=key)
    left_out = len(wrong) - len(kept)
    return {"choices": options, "answer": options.index(right)} | ({"options_left_out": left_out} if left_out else {})


def _one_true(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """TruthfulQA's form with one right answer."""
    table = row["mc1_targets"]
    texts, labels = None, None
    if isinstance(table, Mapping):
        texts, labels = (
            (table["choices"], table.get("labels")) if "choices" in table else (list(table), list(table.values()))
        )
    if not isinstance(texts, list) or not isinstance(labels, list) or len(texts) != len(labels) or labels.count(1) != 1:
        raise UserError(f"{place}, column mc1_targets: expected texts, each with a label, of which one is 1")
    right = texts[labels.index(1)]
    wrong = [text for text, label in zip(texts, labels, strict=True) if label != 1]
    rest = {name: value for name, value in row.items() if name != "mc1_targets"}
    return rest | _drawn(row.get("question"), right, wrong)


def _with_options(row: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A list or an object of options; the key, where it is given twice, must be the same."""
    options, answer = row["options"], row.get("answer")
    rest = {name: value for name, value in row.items() if name not in ("options", "answer_index", "answer_idx")}
    if isinstance(options, Mapping):
        letters = LETTERS[: len(options)]
        if sorted(str(name) for name in options) != list(letters):
            raise UserError(f"{place}, column options: expected letters from A on, found {', '.join(options)[:60]}")
        options = [options[letter] for letter in letters]
    index = row.get("answer_idx", row.get("answer_index"))
    if index not in (None, ""):
        named = _letter(answer) if isinstance(answer, str) and isinstance(options, list) else ""
        if named and named != _letter(index) and named in LETTERS[: len(options)]:
            raise UserError(f"{place}, column answer: {named!r}, but the index beside it is {index!r}")
        answer = index
    if isinstance(options, list):
        end, key = len(options), _letter(answer)
        while end > 2 and options[end - 1] == "N/A" and key != LETTERS[end - 1 : end]:
            end -= 1
        options = options[:end]
    return _also({**rest, "choices": options, "answer": answer})


def _letter(given: Any) -> str:
    """The letter that a key means; "" if it means none."""
    text = str(given).strip().upper()
    return LETTERS[int(text) : int(text) + 1] if text.isdecimal() and len(text) < 3 else text


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
    while found and len(options) <= len(LETTERS):  # each option is looked for in all that is left
        option, found, rest = rest.partition(f" Answer{len(options) + 2}:")
        options.append(option)
    key = re.fullmatch(r"answer(\d{1,2})", str(row.get("answer", "")).strip().lower())
    if not options or key is None:
        raise UserError(f'{place}, column instruction: no "Answer1: … Answer2: …", or no `answer` such as "answer1"')
    return {"question": question.partition("question:")[2] or question, "choices": options, "answer": int(key[1]) - 1}
