"""What training may not hold of the questions that it is measured on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sagecraft.corpus.overlap import MIN_SHARE, NGRAM_WORDS, Leaks
from sagecraft.evaluation.tasks import read_task


def read_leaks(paths: Sequence[Path], ngram_words: int = NGRAM_WORDS, min_share: float = MIN_SHARE) -> Leaks:
    """What to look for, from files of questions in any form that evaluation reads.

    Raises:
        UserError: a file that holds no questions.
    """
    return Leaks((row for path in paths for row in _items(path)), ngram_words, min_share)


def _items(path: Path) -> Iterator[dict[str, Any]]:
    for item in read_task(path).items:
        options = dict(zip(item.letters, item.options, strict=True))
        answer = "" if item.answer is None else item.letters[item.answer]
        support = item.extra.get("support")
        yield {
            "id": item.id,
            "kind": item.kind,
            "question": item.question,
            **options,
            "answer": answer,
            "support": support,
        }
