"""Made-up evaluations with all that a row has: prompts, options and their scores, thoughts, replies; `evaluations.py` has bare ones."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from sagecraft.evaluation import prompts
from sagecraft.evaluation.agreement import between
from sagecraft.evaluation.cost import endpoint_cost
from sagecraft.evaluation.summary import summarise
from sagecraft.evaluation.tasks import Item
from sagecraft.inference.prices import Price

PRICE = Price.model_validate({"in": 2.0, "out": 8.0, "source": "made up"})
Rows = list[dict[str, Any]]


def items(num_items: int, hostile: str = "", keyed: bool = True) -> list[Item]:
    """Questions with four options each; `hostile` stands wherever a file can put text."""
    return [
        Item(
            id=f"q{n}{hostile}",
            question=f"What orbits star number {n}? {hostile}",
            options=(f"a planet {hostile}", f"a galaxy of kind {n}", "dust", "3"),
            answer=n % 4 if keyed else None,
            topic=f"topic {n % 3}{hostile}",
            kind="withheld" if n % 2 else "taught",
            article=f"article {n // 2}{hostile}",
            extra={"explanation": f"because {n} {hostile}"},
        )
        for n in range(num_items)
    ]


def row(item: Item, mode: str, right: bool, hostile: str = "") -> dict[str, Any]:
    """One row; generate has a thought, a reply and, every seventh time, none that can be read."""
    number = item.answer if item.answer is not None else 0
    at = number if right else (number + 1) % len(item.options)
    shares = [0.7 if index == at else 0.1 for index in range(len(item.options))]
    found: dict[str, Any] = {
        "id": item.id, "mode": mode, "topic": item.topic, "kind": item.kind, "article": item.article, "key": item.key,
        "question": item.question, "digest": item.digest, "pick": item.letters[at],
        "correct": None if item.key is None else right,
        "outcome": "unkeyed" if item.key is None else "correct" if right else "wrong",
        "tokens": {"in": 40, "cached": 0, "thought": 0, "out": 0},
    }  # fmt: skip
    scores: Sequence[Mapping[str, float]] = [{} for _ in shares]
    if mode == "continuation":
        found |= {
            "prompt": prompts.continuation_prompt(item),
            "picks": dict.fromkeys(("sum", "per_char", "per_byte", "unconditional"), item.letters[at]),
        }
        scores = [
            {"sum": -10.0 / share, "per_char": -1.0 / share, "per_byte": -1.0 / share, "unconditional": share}
            for share in shares
        ]
    elif mode == "letter":
        found |= {"prompt": prompts.letter_prompt(item), "mass": 0.9, "confidence": max(shares)}
        scores = [{"probability": 0.9 * share, "share": share} for share in shares]
    else:
        found |= {
            "prompt": f"<|im_start|>user\n{prompts.generate_prompt(item)}<|im_end|>\n",
            "stage": "json",
            "cut": False,
            "closed_by_us": False,
        }
        found |= {
            "thought": f"let me see {hostile}",
            "raw": f'{{"answer": "{found["pick"]}"}} {hostile}',
            "tokens": {"in": 90, "cached": 10, "thought": 30, "out": 12},
        }
        if number == 3 and not right:
            found |= {"pick": None, "outcome": "truncated", "stage": "none", "cut": True, "closed_by_us": True}
    found["options"] = [
        {"letter": letter, "text": text, **score}
        for letter, text, score in zip(item.letters, item.options, scores, strict=True)
    ]
    return {**found, "extra": item.extra}


def evaluation(
    num_items: int = 24,
    modes: Sequence[str] = ("continuation", "letter", "generate"),
    hostile: str = "",
    keyed: bool = True,
) -> tuple[dict[str, Any], Rows]:
    """`results.json` and the rows of `items.jsonl`."""
    draw = random.Random(0)
    asked = items(num_items, hostile, keyed)
    rows = {mode: [row(item, mode, draw.random() < 0.6, hostile) for item in asked] for mode in modes}
    summaries = {}
    for mode, own in rows.items():
        summary, tokens = summarise(mode, own, 0)
        cost = endpoint_cost(tokens, PRICE) if mode == "generate" else 0.0
        summaries[mode] = summary | {"example_prompt": own[0]["prompt"], "cost_usd": cost, "usd_per_100k_tokens": None}
        if mode == "generate":
            summaries[mode]["price"] = PRICE.model_dump(mode="json", by_alias=True)
    first = summaries[modes[0]]
    results = {
        "model": f"a model{hostile}", "mode": modes[0], **first, "perplexity": {}, "task": f"a set{hostile}", "task_sha256": "0" * 64,
        "template_sha256": "1" * 64, "modes": summaries, "agreement": between(rows), "seconds": 12.0,
    }  # fmt: skip
    return results, [each for own in rows.values() for each in own]
