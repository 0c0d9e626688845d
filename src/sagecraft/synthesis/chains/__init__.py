"""Chains: problems whose solutions go step by step, as thought and answer, and whether two results agree."""

from __future__ import annotations

from sagecraft.synthesis.candidate import Rule
from sagecraft.synthesis.chains.exercises import RULES as _EXERCISES
from sagecraft.synthesis.chains.worked import RULES as _WORKED

RULES: dict[str, Rule] = {**_WORKED, **_EXERCISES}
