"""The models of a benchmark: which they are, what each said of an item, and what that cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagecraft.benchmark.config import BenchConfig
from sagecraft.errors import UserError
from sagecraft.teaching.config import ModelConfig
from sagecraft.teaching.models import inputs_of, resolved

if TYPE_CHECKING:
    from sagecraft.benchmark.drafts import Draft
    from sagecraft.benchmark.judging.verdicts import Bench
    from sagecraft.benchmark.teacher.teach import Taught
    from sagecraft.inference.prices import Price
    from sagecraft.teaching.desk import Desk


def models_of(config: BenchConfig) -> dict[str, ModelConfig | None]:
    """The models that the stage asks, by their roles."""
    judges = {f"judge{number}": judge for number, judge in enumerate(config.judges, start=1)}
    return {"teacher": config.teacher, **judges}


def desk_of(config: BenchConfig, inputs: Mapping[str, Path], out: Path) -> Desk[BenchConfig]:
    """The desk of the stage, which says what may be spent.

    Raises:
        UserError: a limit of cost without a price.
    """
    from sagecraft.teaching.desk import open_desk

    desk = open_desk("bench", config, inputs, out, models_of(config), config.max_usd)
    desk.tell_limit()
    return desk


def model_inputs(config: BenchConfig) -> dict[str, Path]:
    """Folders and files of the models that the stage asks here; endpoints are none.

    Raises:
        UserError: no such model, one that is to judge twice, or an endpoint that is to tell likelihoods.
    """
    from sagecraft.benchmark.judging.answers import mode_of

    roles = resolved("bench", models_of(config))
    seen: dict[tuple[str, ...], str] = {}
    for number, judge in enumerate(config.judges, start=1):
        role = f"judge{number}"
        mode_of(role, judge)
        if (first := seen.setdefault(roles[role].identity, role)) != role:
            raise UserError(f"bench.judges: {judge.model} is {first} already; two judges that agree must be two models")
    return inputs_of(roles)


def judges_that_teach(config: BenchConfig) -> frozenset[str]:
    """Roles of judges that are the teacher: on what they wrote themselves they have no vote."""
    roles = resolved("bench", models_of(config))
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

    def cost(self, desk: Desk[BenchConfig]) -> dict[str, Any]:
        """What all replies cost that were kept, also those that gave no item."""
        prices = {"teacher": self.taught.price} if self.taught else {}
        prices |= {judge.answers.role: judge.answers.price for judge in (self.bench.judges if self.bench else ())}
        counts = desk.counts
        return _bill(
            [
                (prices.get(role), (counts[f"num_{role}_tokens_in"], counts[f"num_{role}_tokens_out"]))
                for role in desk.roles
            ]
        )

    def figures(
        self, drafts: Sequence[Draft], items: Sequence[Draft], desk: Desk[BenchConfig] | None
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
        if desk and (self.bench or self.taught):
            found["cost"] = self.cost(desk)
        return found
