"""What teacher and grader of synth will take, guessed from the size of the literature: `synth --sample` measures it."""

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
_GRADED, _CHAIN = (750, 30), (200, 400)


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
    paid = {role: _usd(config[role]["model"], providers, *tokens[role]) for role in tokens}
    known = [usd for usd in paid.values() if usd is not None]
    unknown = [role for role, usd in paid.items() if usd is None]
    price = f", {sum(known):,.2f} USD" + (f" without the {unknown[0]}" if unknown else "") if known else ""
    millions = sum(map(sum, tokens.values())) / 1e6
    return f"{passages:,.0f} passages asked about, {millions:,.{0 if millions >= 100 else 2}f} M tokens{price}"


def _usd(model: str, providers: Path | None, read: float, written: float) -> float | None:
    """USD of a model of an endpoint whose price is known."""
    try:
        return usd_of(preset(model, providers).price, read, written)
    except UserError:  # it runs here
        return None
