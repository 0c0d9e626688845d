"""What every source of a harvest is given: where to write, what it may take, and how to ask."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sagecraft.corpus.licenses import is_allowed, is_arxiv_default
from sagecraft.corpus.sources.http import HttpConfig, PoliteClient
from sagecraft.corpus.sources.items import Clock, ItemError
from sagecraft.corpus.sources.state import State


@dataclass(frozen=True)
class Rules:
    """What may be taken.

    Attributes:
        licenses: allow-list of patterns; None allows every licence but arXiv's own.
        train_on_arxiv_license: take text under arXiv's own licence too.
    """

    licenses: Sequence[str] | None
    train_on_arxiv_license: bool

    def check(self, license_name: str) -> None:
        """Raises ItemError (`license-not-allowed`) for what may not be taken."""
        if is_arxiv_default(license_name):
            if not self.train_on_arxiv_license:
                detail = f"{license_name}: train_on_arxiv_license is false; its metadata is kept"
                raise ItemError("license-not-allowed", detail, outcome="skipped")
        elif self.licenses is not None and not is_allowed(license_name, self.licenses):
            raise ItemError("license-not-allowed", f"{license_name} is not in the list `licenses`", outcome="skipped")


@dataclass(frozen=True)
class Context:
    """What a source works with.

    Attributes:
        state: what was done so far.
        files: folder of the files that are kept.
        scratch: folder for parts; deleted when the harvest is finished.
        rules: what may be taken.
        contact: who harvests.
        http: patience.
        clock: time.
        stack: closes the connections at the end.
    """

    state: State
    files: Path
    scratch: Path
    rules: Rules
    contact: str
    http: HttpConfig
    clock: Clock
    stack: contextlib.ExitStack

    def client(self, addresses: list[str], min_interval_seconds: float) -> PoliteClient:
        """A client for one service; it is closed with the harvest."""
        return self.stack.enter_context(
            PoliteClient(addresses, self.contact, self.http, min_interval_seconds, self.clock)
        )
