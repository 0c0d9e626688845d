"""What the models of synth and bench will take, guessed from the size of the literature: `--sample` of either measures it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sagecraft.errors import UserError
from sagecraft.inference.providers import preset
from sagecraft.teaching.writers import usd_of

#: Bytes of a document for each passage: 1,950 of a textbook's chapters, 1,383 of abstracts.
_BYTES_PER_PASSAGE = 1_800
#: Tokens read for the questions of a passage (993 to 1,193 in a run of 24), and written for each of them.
_READ, _WRITTEN = 1_100, 75
#: Tokens read and written for the grades of a question (the prompt with two examples), and for a way to its result.
_GRADED, _CHAIN = (750, 30), (350, 400)

#: Of bench, by a small model's tokens: read about a passage and written for an item of it; read for the three views of an item and
#: written for them; and the same for a grader's word.
_ITEMS_READ, _ITEM_WRITTEN, _VIEWS, _WORD = 1_480, 120, (840, 180), (920, 40)


def told(config: Mapping[str, Any], providers: Path | None, num_bytes: float) -> str:
    """How many passages the models are asked about, tokens and USD; nothing without a teacher or a grader.

    Args:
        config: of the stage, as JSON.
        providers: the user's file of presets and prices.
        num_bytes: of the documents.
    """
    teacher, grader = config.get("teacher"), config.get("grader")
    if not teacher:
        return "grader not counted" if grader else ""
    passages = num_bytes / _BYTES_PER_PASSAGE
    passages = min(passages, teacher["max_passages"]) if teacher["max_passages"] else passages
    questions = passages * teacher["questions_per_passage"]
    chains = questions if teacher["thoughts"] else 0.0
    tokens = {"teacher": (passages * _READ + chains * _CHAIN[0], questions * _WRITTEN + chains * _CHAIN[1])}
    if grader:
        tokens["grader"] = (questions * _GRADED[0], questions * _GRADED[1])
    models = {role: config[role]["model"] for role in tokens}
    return f"{passages:,.0f} passages asked about, {_bill(models, tokens, providers)}"


def told_of_bench(config: Mapping[str, Any], providers: Path | None, num_bytes: float, items: float) -> str:
    """As `told`, of the teacher and the judges of a benchmark.

    Args:
        config: of the stage, as JSON.
        providers: the user's file of presets and prices.
        num_bytes: of the documents.
        items: that the rules will draft.
    """
    teacher = config.get("teacher")
    models: dict[str, str] = {}
    tokens: dict[str, tuple[float, float]] = {}
    parts = []
    if teacher:
        passages = num_bytes / _BYTES_PER_PASSAGE
        passages = min(passages, teacher["max_passages"]) if teacher["max_passages"] else passages
        written = passages * teacher["items_per_passage"]
        models["teacher"] = teacher["model"]
        tokens["teacher"] = (passages * _ITEMS_READ, written * _ITEM_WRITTEN)
        parts.append(f"at most {passages:,.0f} passages asked about")
        items += written
    for number, judge in enumerate(config.get("judges", ()), start=1):
        by_reply = judge["mode"] == "generate" or (judge["mode"] is None and _is_endpoint(judge["model"], providers))
        read, written = _VIEWS[0], _VIEWS[1] if by_reply else 0
        if judge["grades"] or (judge["grades"] is None and by_reply):
            read, written = read + _WORD[0], written + _WORD[1]
        models[f"judge{number}"] = judge["model"]
        tokens[f"judge{number}"] = (items * read, items * written)
    if not models:
        return ""
    parts += [f"judges: {len(config['judges'])}"] if config.get("judges") else []
    return ", ".join([*parts, _bill(models, tokens, providers)])


def _bill(models: Mapping[str, str], tokens: Mapping[str, tuple[float, float]], providers: Path | None) -> str:
    """Tokens of all, and USD of those whose price is known."""
    paid = {role: _usd(models[role], providers, *tokens[role]) for role in tokens}
    known = [usd for usd in paid.values() if usd is not None]
    unknown = [role for role, usd in paid.items() if usd is None]
    price = f", {sum(known):,.2f} USD" + (f" without the {unknown[0]}" if unknown else "") if known else ""
    millions = sum(map(sum, tokens.values())) / 1e6
    return f"{millions:,.{0 if millions >= 100 else 2}f} M tokens{price}"


def _is_endpoint(model: str, providers: Path | None) -> bool:
    """Whether a model is asked over an endpoint."""
    try:
        preset(model, providers)
    except UserError:
        return False
    return True


def _usd(model: str, providers: Path | None, read: float, written: float) -> float | None:
    """USD of a model of an endpoint whose price is known."""
    try:
        return usd_of(preset(model, providers).price, read, written)
    except UserError:  # it runs here
        return None
