"""What lm-evaluation-harness logged of a task, as rows of `items.jsonl`: pure functions, which need no harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase as LETTERS  # some tasks have 18 options; more than 26 are written as texts
from typing import Any

from sagecraft import artifact

Sample = Mapping[str, Any]

#: Of several metrics of one task, the one that says whether a question was answered rightly: first that of the public
#: leaderboard (per character before the plain sum; instructions followed to the letter), then whatever is 0 or 1.
_PREFERRED = ("prompt_level_strict_acc", "acc_norm", "exact_match", "acc")
#: What lm-eval's filters leave where they found no answer.
_NOTHING_FOUND = "[invalid]"
_MAX_CHARS = 400
#: What tasks call the column that a reader knows a question by.
_QUESTION = ("question", "Question", "query", "problem", "input", "prompt")


def metric_of(samples: Sequence[Sample]) -> str | None:
    """The metric that is 0 or 1 for every question; None if there is none, as of translations or perplexities."""
    names: list[str] = list(samples[0]["metrics"])
    ordered = [name for name in _PREFERRED if name in names] + [name for name in names if name not in _PREFERRED]
    for name in ordered:
        if name != "bypass" and all(plain(sample.get(name)) in (0, 1) for sample in samples):
            return name
    return None


def plain(value: Any) -> bool | int | float | None:
    """A figure without the clothes that numpy gives it; None of what is no figure."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
    return value if isinstance(value, bool | int | float) else None


def rows_of(
    mode: str, leaf: str, samples: Sequence[Sample], delimiter: str, count: Callable[[str], int]
) -> list[dict[str, Any]]:
    """One row a question, of the first of the task's filters.

    Args:
        mode: the task as it was asked for, maybe a group.
        leaf: the task itself, which becomes the topic.
        samples: as `lm_eval.evaluator.evaluate` logs them.
        delimiter: what the task puts between a prompt and an option.
        count: tokens of a text.
    """
    first = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
    metric = metric_of(first)
    return [_row(mode, leaf, sample, metric, delimiter, count) for sample in first]


def _row(
    mode: str, leaf: str, sample: Sample, metric: str | None, delimiter: str, count: Callable[[str], int]
) -> dict[str, Any]:
    arguments = [tuple(each) for each in sample["arguments"]]
    prompt = str(arguments[0][0])
    doc = sample["doc"]
    written = [str(each[1]) for each in arguments if len(each) > 1 and isinstance(each[1], str)]
    row: dict[str, Any] = {
        "id": f"{leaf}/{sample['doc_id']}",
        "mode": mode,
        "topic": leaf,
        "kind": _label(doc, "kind"),
        "article": _label(doc, "article"),
        "question": next((doc[name] for name in _QUESTION if isinstance(doc.get(name), str) and doc[name]), prompt),
        "prompt": prompt,
        "digest": artifact.digest_of([leaf, sample["doc_hash"]]),
    }
    scored = _scored(sample, [text.removeprefix(delimiter) for text in written], metric)
    graded = scored if scored is not None else _written(sample)
    correct = None if metric is None else plain(sample[metric]) == 1
    outcome = "unkeyed" if correct is None else "correct" if correct else "wrong"
    if graded["pick"] is None and not correct:
        outcome = "unparsed"
    tokens = {"in": count(prompt) + sum(map(count, written)), "thought": 0, "out": count(graded.get("raw", ""))}
    figures = {name: figure for name in sample["metrics"] if (figure := plain(sample.get(name))) is not None}
    key = None if metric is None else graded.pop("key")
    graded.pop("key", None)
    return {
        **row,
        "key": key,
        **graded,
        "correct": correct,
        "outcome": outcome,
        "tokens": tokens,
        "extra": {"metric": metric, "metrics": figures, "filter": sample["filter"], "doc": doc},
    }


def _label(doc: Mapping[str, Any], column: str) -> str:
    """A column of ours, if the task has it; a set may also call a whole text its `article`."""
    value = doc.get(column)
    return value if isinstance(value, str) and len(value) <= _MAX_CHARS else ""


def _scored(sample: Sample, texts: Sequence[str], metric: str | None) -> dict[str, Any] | None:
    """Key, pick and options of a question whose options were scored; None if a reply was written."""
    replies = sample["filtered_resps"]
    if not texts or len(texts) != len(replies) or any(isinstance(reply, str) for reply in replies):
        return None
    if "acc_mutual_info" in sample["metrics"]:  # the options stand there a second time, without the prompt
        texts, replies = texts[: len(texts) // 2], replies[: len(replies) // 2]
    if not 2 <= len(texts) <= len(LETTERS) or not all(texts):
        return {"key": str(sample["target"])[:_MAX_CHARS], "pick": _best_text(texts, replies), "options": []}
    sums = [float(reply[0]) for reply in replies]
    per_char = [total / len(text) for total, text in zip(sums, texts, strict=True)]
    scores = per_char if metric == "acc_norm" else sums
    logged = sample.get("bypass")  # a set without a key that was exported by us logs its picks
    pick = logged if isinstance(logged, int) else max(range(len(scores)), key=lambda index: (scores[index], -index))
    options = [
        {"letter": letter, "text": text, "sum": total, "per_char": share}
        for letter, text, total, share in zip(LETTERS, texts, sums, per_char, strict=False)
    ]
    return {"key": _letter(sample["target"], texts), "pick": LETTERS[pick], "options": options}


def _best_text(texts: Sequence[str], replies: Sequence[Any]) -> str:
    best = max(range(len(texts)), key=lambda index: (float(replies[index][0]), -index))
    return texts[best][:_MAX_CHARS]


def _letter(target: Any, texts: Sequence[str]) -> str:
    """The letter of a key that may be an index, several, or the text of an option."""
    first = target[0] if isinstance(target, list) and target else target
    if isinstance(first, int) and 0 <= first < len(texts):
        return LETTERS[first]
    return LETTERS[texts.index(first)] if first in texts else str(first)[:_MAX_CHARS]


def _written(sample: Sample) -> dict[str, Any]:
    """Key, pick and reply of a question whose answer was written."""
    first = sample["filtered_resps"][0]
    pick = first[0] if isinstance(first, list) and first else first
    replies = sample["resps"][0]
    raw = replies[0] if isinstance(replies, list) and replies else replies
    shown = str(pick)[:_MAX_CHARS]
    return {
        "key": str(sample["target"])[:_MAX_CHARS],
        "pick": None if shown == _NOTHING_FOUND or not shown.strip() else shown,
        "options": [],
        "raw": str(raw),
    }


def drop_options_unless_all(rows: Sequence[dict[str, Any]]) -> None:
    """Letters mean something for a mode only if every question of it has them: else key and pick are the texts."""
    if all(row["options"] for row in rows):
        return
    for row in rows:
        texts = {option["letter"]: option["text"] for option in row["options"]}
        row["key"], row["pick"] = texts.get(row["key"], row["key"]), texts.get(row["pick"], row["pick"])
        row["options"] = []
