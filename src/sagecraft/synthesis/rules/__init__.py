"""The rules of the offline teacher, one function each; a file's own table says which it has."""

from __future__ import annotations

from sagecraft.synthesis import chains
from sagecraft.synthesis.candidate import Rule
from sagecraft.synthesis.rules import (
    abbreviations,
    abstracts,
    articles,
    claims,
    compared,
    critique,
    explained,
    explanations,
    gaps,
    glossary,
    grounds,
    measured,
    metadata,
    outlook,
    sentences,
    tables,
    textbook,
)

RULES: dict[str, Rule] = {
    **articles.RULES,
    **abstracts.RULES,
    **explained.RULES,
    **grounds.RULES,
    **compared.RULES,
    **measured.RULES,
    **outlook.RULES,
    **claims.RULES,
    **abbreviations.RULES,
    **textbook.RULES,
    **explanations.RULES,
    **glossary.RULES,
    **tables.RULES,
    **critique.RULES,
    **gaps.RULES,
    **sentences.RULES,
    **chains.RULES,
    **metadata.RULES,
}
