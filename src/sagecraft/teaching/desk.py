"""Where a stage keeps what it asked models: counts, failures that are asked anew, what was paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from sagecraft import artifact, console
from sagecraft.errors import UserError
from sagecraft.evaluation.evaluate import replies_folder
from sagecraft.teaching.asking import Answer
from sagecraft.teaching.config import ModelConfig
from sagecraft.teaching.purse import Purse, prices_of
from sagecraft.teaching.writers import Writer, open_writer

if TYPE_CHECKING:
    from sagecraft.evaluation.store import Account
    from sagecraft.inference.prices import Price

C = TypeVar("C", bound=BaseModel)

_ATTEMPTS, _FAILURES, _SPENDING = "attempts.json", "failures.jsonl", "spending.json"


@dataclass(frozen=True)
class Desk(Generic[C]):
    """Where the replies of a stage lie, and how often a request failed before.

    Attributes:
        stage: its name.
        config: of the stage.
        providers: file of presets and prices.
        folder: of replies.
        attempts: id of a request → how often it was asked in vain and was to be asked anew.
        counts: of what was asked, mended and failed.
        failures: rows of `failures.jsonl`.
        roles: those that were asked, in order.
        max_usd: that all roles together may cost.
        prices: role of an endpoint → its price.
    """

    stage: str
    config: C
    providers: Path | None
    folder: Path
    attempts: Mapping[str, int]
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    roles: dict[str, None] = field(default_factory=dict)
    max_usd: float | None = None
    prices: Mapping[str, Price | None] = field(default_factory=dict)

    @property
    def purse(self) -> Purse:
        """The sum that all roles share."""
        return Purse(self.max_usd, {self.purpose(role): price for role, price in self.prices.items()})

    def writer(self, role: str, asked: ModelConfig) -> Any:
        """The writer of a role, for `with`."""
        return open_writer(asked, self.providers, self.folder, self.purpose(role), self.purse)

    def tell_limit(self) -> None:
        """Says what may be spent in all, at which prices, and what is spent already; nothing without endpoints."""
        if not self.prices:
            return
        told = ", ".join(f"{role} at {_price_told(price)}" for role, price in self.prices.items())
        spent = self.purse.spent_in(self.folder)
        limit = "no limit of cost" if self.max_usd is None else f"at most {self.max_usd:g} USD in all"
        console.say(f"  {told}; {limit}" + (f", {spent:.4f} USD spent before" if spent else ""))

    def purpose(self, role: str) -> str:
        """What the money of a role is spent for: whatever asks for it in this stage shares its limit."""
        return artifact.digest_of({"stage": self.stage, "role": role, "config": self.config.model_dump(mode="json")})

    def add(self, role: str, answer: Answer[Any]) -> None:
        """Counts an answer, and keeps it if it failed."""
        self.roles[role] = None
        self.counts[f"num_{role}_asked"] += 1
        self.counts[f"num_{role}_repaired"] += bool(answer.num_repairs and not answer.failed)
        self.counts[f"num_{role}_failed"] += answer.failed
        self.counts[f"num_{role}_tokens_in"] += answer.tokens[0]
        self.counts[f"num_{role}_tokens_out"] += answer.tokens[1]
        if answer.failed:
            self.failures.append({"role": role, **answer.as_failure()})

    def close(self, path: Path) -> None:
        """Says what came of asking, and writes failures down: into the artifact, and where `retry_failed` finds them."""
        for role in self.roles:
            asked, repaired, failed = (self.counts[f"num_{role}_{what}"] for what in ("asked", "repaired", "failed"))
            console.say(f"  {role}: {asked:,} asked, {repaired:,} replies mended on request, {failed:,} failed")
        if self.max_usd is not None:
            console.say(f"  spent at most {self.purse.spent_in(self.folder):.4f} USD of {self.max_usd:g} in all")
        rows = sorted(self.failures, key=lambda row: (row["role"], row["id"]))
        for folder in (path, self.folder):
            artifact.write_jsonl(folder / _FAILURES, rows)

    def tell_spending(self, role: str, writer: Writer) -> None:
        """Says and keeps what a writer was paid."""
        self._keep(role, writer.name, writer.spending())

    def keep_spending(self, role: str, name: str, account: Account, price: Price | None) -> None:
        """Says and keeps what an endpoint was paid for what no writer asked."""
        from sagecraft.evaluation.remote import spending

        self._keep(role, name, spending(account, price))

    def _keep(self, role: str, name: str, spent: Mapping[str, Any]) -> None:
        """Beside the artifact, since it depends on an endpoint's faults."""
        if not spent:
            return
        from sagecraft.evaluation.remote import told

        path = self.folder / _SPENDING
        before = artifact.read_json(path) if path.exists() else {}
        artifact.write_json(path, {**before, role: spent})
        console.say(f"  {name}: {told(spent)}; replies are kept in {self.folder}")

    def spent(self) -> dict[str, str]:
        """What each role took so far, in words; nothing of models that run here."""
        from sagecraft.evaluation.remote import told

        path = self.folder / _SPENDING
        return {role: told(spent) for role, spent in artifact.read_json(path).items()} if path.exists() else {}


def open_desk(
    stage: str,
    config: C,
    inputs: Mapping[str, Path],
    out: Path,
    models: Mapping[str, ModelConfig | None] | None = None,
    max_usd: float | None = None,
) -> Desk[C]:
    """The desk of a stage.

    Args:
        stage: its name.
        config: its settings.
        inputs: of the stage; `providers` is a file of presets and prices.
        out: the artifact that it writes.
        models: role → model, of those that share a sum.
        max_usd: that sum.

    Raises:
        UserError: a limit without a price.
    """
    providers = inputs.get("providers")
    prices = prices_of(stage, models or {}, providers, max_usd)
    folder = replies_folder(out)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / _ATTEMPTS
    attempts = artifact.read_json(path) if path.exists() else {}
    return Desk(stage, config, providers, folder, attempts, max_usd=max_usd, prices=prices)


def _price_told(price: Price | None) -> str:
    if price is None:
        return "a price that is not known"
    return f"{price.usd_per_million_in:g} / {price.usd_per_million_out:g} USD per million tokens read / written"


def retry_failed(out: Path) -> int:
    """Marks what failed in the last run to be asked anew, in other words, and returns how much that is.

    What got no reply is asked again by any further run.

    Raises:
        UserError: there was no such run.
    """
    folder = replies_folder(out)
    if not (folder / _FAILURES).is_file():
        raise UserError(
            f"--retry-failed: {folder} holds no {_FAILURES}; no run with a teacher or a judge has ended there"
        )
    path = folder / _ATTEMPTS
    attempts: Counter[str] = Counter(artifact.read_json(path) if path.exists() else {})
    failed = [row["id"] for row in artifact.read_jsonl(folder / _FAILURES) if row["cause"] == "unusable"]
    attempts.update(failed)
    artifact.write_json(path, dict(sorted(attempts.items())))
    (folder / _FAILURES).unlink()  # else a run that is killed and told so again would count twice
    return len(failed)
