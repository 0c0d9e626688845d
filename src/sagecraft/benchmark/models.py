"""The models of a benchmark: which they are, what each said of an item, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.benchmark.config import BenchConfig
from sagecraft.errors import UserError
from sagecraft.teaching.config import ModelConfig
from sagecraft.teaching.models import Resolved, inputs_of, resolved

if TYPE_CHECKING:
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.benchmark.judging.verdicts import Bench
    from sagecraft.benchmark.teacher.teach import Taught
    from sagecraft.inference.prices import Price


def _roles(config: BenchConfig) -> dict[str, Resolved]:
    judges: dict[str, ModelConfig] = {f"judge{number}": judge for number, judge in enumerate(config.judges, start=1)}
    return resolved("bench", {"teacher": config.teacher, **judges})


def model_inputs(config: BenchConfig) -> dict[str, Path]:
    """Folders and files of the models that the stage asks here; endpoints are none.

    Raises:
        UserError: no such model, one that is to judge twice, or an endpoint that is to tell likelihoods.
    """
    from sagecraft.benchmark.judging.answers import mode_of

    roles = _roles(config)
    seen: dict[tuple[str, ...], str] = {}
    for number, judge in enumerate(config.judges, start=1):
        role = f"judge{number}"
        mode_of(role, judge)
        if (first := seen.setdefault(roles[role].identity, role)) != role:
            raise UserError(f"bench.judges: {judge.model} is {first} already; two judges that agree must be two models")
    return inputs_of(roles)


def judges_that_teach(config: BenchConfig) -> frozenset[str]:
    """Roles of judges that are the teacher: on what they wrote themselves they have no vote."""
    roles = _roles(config)
    if "teacher" not in roles:
        return frozenset()
    teacher = roles.pop("teacher").identity
    return frozenset(role for role, model in roles.items() if model.identity == teacher)


def _bill(spent: Sequence[tuple[Price | None, tuple[float, float]]]) -> dict[str, Any]:
    """Tokens read and written, and USD where prices are known; what was read from a cache is not told apart."""
    from sagecraft.teaching.writers import usd_of

    paid = [usd for price, (read, written) in spent if (usd := usd_of(price, read, written)) is not None]
    return {
        "tokens_in": round(sum(read for _, (read, _) in spent)),
        "tokens_out": round(sum(written for _, (_, written) in spent)),
        "usd": round(sum(paid), 8) if paid else None,
    }


@dataclass(frozen=True)
class Models:
    """What models made and said.

    Attributes:
        taught: by the teacher.
        bench: the judges with their answers.
    """

    taught: Taught | None = None
    bench: Bench | None = None

    def cost_of(self, draft: Draft) -> dict[str, Any]:
        """What the replies about a draft cost: its share of what was written about its passage, and what judges said of it."""
        from sagecraft.benchmark.judging.judge import tokens_of

        spent: list[tuple[Price | None, tuple[float, float]]] = []
        if self.taught and draft.id in self.taught.tokens:
            spent.append((self.taught.price, self.taught.tokens[draft.id]))
        spent += [(judge.answers.price, tokens_of(judge, draft)) for judge in (self.bench.judges if self.bench else ())]
        return _bill(spent)

    def cost(self, tokens: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
        """What all replies cost that were kept, also those that gave no item.

        Args:
            tokens: of each role.
        """
        prices = {"teacher": self.taught.price} if self.taught else {}
        prices |= {judge.answers.role: judge.answers.price for judge in (self.bench.judges if self.bench else ())}
        return _bill([(prices.get(role), spent) for role, spent in tokens.items()])

    def figures(
        self, drafts: Sequence[Draft], items: Sequence[Draft], tokens: Mapping[str, tuple[int, int]]
    ) -> dict[str, Any]:
        """For manifest and datasheet: what judges reached on what was drafted and on what is left, and what all cost."""
        from sagecraft.benchmark.judging.verdicts import figures

        found: dict[str, Any] = {}
        if self.bench:
            found["judges"] = figures(self.bench, drafts)
            found["judges_on_items"] = figures(self.bench, items)
            found["share_answered"] = self.bench.answered
        if self.taught:
            found["teacher"] = self.taught.name
        if self.bench or self.taught:
            found["cost"] = self.cost(tokens)
        return found
