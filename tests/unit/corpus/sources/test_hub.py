"""Data sets of a hub that stands on this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faulty import FakeTime, FaultyServer, Request
from sagecraft.artifact import read_jsonl
from sagecraft.corpus.harvest import FILES, LOG, HarvestConfig, run
from sagecraft.errors import MachineError, UserError

COMMIT = "a" * 40
FILES_THERE = {
    "data/train-0.jsonl": b'{"text": "one"}\n',
    "data/train-1.jsonl.gz": b"\x1f\x8b packed",
    "data/test.parquet": b"PAR1",
    "metadata.jsonl": b'{"path": "../../etc/passwd"}\n',
    "README.md": b"# a card",
    "loader.py": b"raise SystemExit",
}


class Hub:
    """As much of a hub as one data set asks for."""

    def __init__(self, server: FaultyServer) -> None:
        self.license: str | list[str] | None = "cc-by-4.0"
        self.files = dict(FILES_THERE)
        self.lies: set[str] = set()
        self.headers: list[str | None] = []
        for revision in ("main", COMMIT):
            server.routes[f"/api/datasets/owner/set/revision/{revision}"] = self.info
        for name in [*FILES_THERE, "../../escape.jsonl", "data/..%2Fx.jsonl"]:
            server.routes[f"/datasets/owner/set/resolve/{COMMIT}/{name}"] = self.file(name)

    def info(self, request: Request) -> None:
        self.headers.append(request.headers.get("Authorization"))
        siblings = []
        for name, body in self.files.items():
            digest = "f" * 64 if name in self.lies else hashlib.sha256(body).hexdigest()
            lfs = {"sha256": digest, "size": len(body), "pointerSize": 134}
            siblings.append({"rfilename": name, "size": len(body), "blobId": "0" * 40, "lfs": lfs})
        card = {"license": self.license} if self.license else {}
        value = {"id": "owner/set", "sha": COMMIT, "siblings": siblings, "tags": [], "cardData": card}
        request.reply(json.dumps(value))

    def file(self, name: str) -> Callable[[Request], None]:
        def answer(request: Request) -> None:
            self.headers.append(request.headers.get("Authorization"))
            body = self.files[name]
            request.reply(body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', X_Repo_Commit=COMMIT)

        return answer


@pytest.fixture
def hub(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    return Hub(server)


@pytest.fixture
def harvest(server: FaultyServer, time: FakeTime, tmp_path: Path) -> Callable[..., dict[str, dict[str, Any]]]:
    def go(licenses: list[str] | None = None, failed: float = 0.0, **settings: Any) -> dict[str, dict[str, Any]]:
        section = {"repository": "owner/set", "endpoint": server.url} | settings
        value = {"contact": "me@example.org", "licenses": licenses, "dataset": [section], "max_failed_share": failed}
        run(HarvestConfig.model_validate(value), {}, tmp_path / "out", clock=time.clock)
        return {row["path"]: row for row in read_jsonl(tmp_path / "out" / FILES / "metadata.jsonl")}

    return go


Harvest = Callable[..., dict[str, dict[str, Any]]]


def test_files_of_rows_at_one_commit(harvest: Harvest, hub: Hub, server: FaultyServer, tmp_path: Path) -> None:
    rows = harvest()
    assert list(rows) == [
        "owner--set/data-metadata.jsonl", "owner--set/data/test.parquet", "owner--set/data/train-0.jsonl",
        "owner--set/data/train-1.jsonl.gz",
    ]  # fmt: skip
    assert rows["owner--set/data/train-0.jsonl"] == {
        "path": "owner--set/data/train-0.jsonl",
        "license": "CC-BY-4.0",
        "republish": True,
        "version": COMMIT,
        "url": f"{server.url}/datasets/owner/set",
        "provenance": {
            "protocol": "hub", "source": "dataset0", "url": f"{server.url}/datasets/owner/set/resolve/{COMMIT}/data/train-0.jsonl",
        },
    }  # fmt: skip
    assert (tmp_path / "out" / FILES / "owner--set/data/train-0.jsonl").read_bytes() == b'{"text": "one"}\n'
    stats = json.loads((tmp_path / "out" / "manifest.json").read_text())["stats"]
    assert stats["decided"] == {"dataset0:commit": COMMIT, "dataset0:license": "cc-by-4.0"}
    assert not any("loader.py" in path for path in server.paths()), "no code is fetched, let alone run"
    assert set(hub.headers) == {None}, "a stranger's endpoint does not see the token"


def test_patterns_and_a_licence_of_ones_own(harvest: Harvest, hub: Hub) -> None:
    rows = harvest(data_files=["data/train-*"], license="MIT", revision=COMMIT)
    assert [(Path(path).name, row["license"]) for path, row in rows.items()] == [
        ("train-0.jsonl", "MIT"), ("train-1.jsonl.gz", "MIT"),
    ]  # fmt: skip
    rows = harvest(data_files=["data/train-0*"], license="rows")
    assert "license" not in rows["owner--set/data/train-0.jsonl"]
    with pytest.raises(UserError, match=r"owner/set: no Parquet or JSON-lines file matches \*\.csv"):
        harvest(data_files=["*.csv"])


@pytest.mark.parametrize("stated", [None, "other", ["cc-by-4.0", "mit"]])
def test_a_licence_that_is_not_allowed_or_not_clear_is_not_downloaded(
    stated: str | list[str] | None, harvest: Harvest, hub: Hub, server: FaultyServer
) -> None:
    hub.license = stated
    with pytest.raises(UserError, match=r"license-not-allowed \(4\)"):
        harvest(licenses=["CC-BY-*", "MIT"])
    assert not [path for path in server.paths() if "/resolve/" in path]


def test_bytes_other_than_the_hub_states_are_refused(harvest: Harvest, hub: Hub, tmp_path: Path) -> None:
    hub.lies.add("data/train-0.jsonl")
    with pytest.raises(MachineError, match=r"dataset0: 1 of 4 items failed \(wrong-digest \(1\)\)"):
        harvest()
    assert "owner--set/data/train-0.jsonl" not in harvest(failed=0.5)


def test_names_that_lead_elsewhere_are_skipped(harvest: Harvest, hub: Hub, tmp_path: Path) -> None:
    hub.files |= {"../../escape.jsonl": b"{}", "/etc/x.jsonl": b"{}", "a/../../b.jsonl": b"{}"}
    assert len(harvest()) == 4
    log = {row["key"]: row["reason"] for row in read_jsonl(tmp_path / "out" / LOG)}
    assert log == dict.fromkeys(
        ("dataset0:../../escape.jsonl", "dataset0:/etc/x.jsonl", "dataset0:a/../../b.jsonl"), "unsafe-name"
    )
    assert not list(tmp_path.rglob("escape.jsonl"))


def test_what_is_not_there_and_what_does_not_answer(
    harvest: Harvest, hub: Hub, server: FaultyServer, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"dataset owner/other: .*; correct repository"):
        harvest(repository="owner/other")
    server.routes[f"/api/datasets/owner/set/revision/{COMMIT}"] = lambda request: request.reply("", 500)
    with pytest.raises(MachineError, match="dataset0: the list could not be read to its end: hub"):
        harvest(revision=COMMIT)
