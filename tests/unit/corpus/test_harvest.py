"""The stage as a whole: kills, second runs, licences, what is missing, and what ingest makes of it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from typer.testing import CliRunner

from faulty import FakeTime, FaultyServer, Request
from literature import ARXIV_LICENSE, CC_BY, PDF, error, one, page, raw_record, record, tarball, tex
from sagecraft import artifact
from sagecraft.cli import app
from sagecraft.corpus import harvest as stage
from sagecraft.corpus.documents import read_documents
from sagecraft.corpus.harvest import FILES, LOG, RECORDS, HarvestConfig, run
from sagecraft.corpus.ingest import IngestConfig
from sagecraft.corpus.ingest import run as ingest
from sagecraft.errors import MachineError, UserError
from sagecraft.pipeline import run_steps
from sagecraft.recipe import load_recipe
from sagecraft.steps import Ref, plan_steps

ROOT = Path(__file__).parents[3]
PAPERS = [f"2101.0000{n}" for n in range(1, 7)]


def config(server: FaultyServer, **changes: Any) -> HarvestConfig:
    value = {
        "contact": "me@example.org",
        "http": {"max_attempts": 2, "timeout_seconds": 5},
        "arxiv": {"base_url": f"{server.url}/oai", "from": "2021-01-01", "until": "2021-02-15"},
        "eprints": {"base_url": f"{server.url}/e-print", "records_url": f"{server.url}/oai"},
    }
    return HarvestConfig.model_validate(value | changes)


def serve(server: FaultyServer, licenses: dict[str, str] | None = None) -> None:
    """Six papers in three pages and two windows; the third is a single TeX file, the fourth a PDF."""

    def oai(request: Request) -> None:
        rows = [record(name, f"Paper {name[-1]}", (licenses or {}).get(name, CC_BY)) for name in PAPERS]
        if request.query.get("from") == "2021-02-01":
            request.reply(page(*rows[4:]))
        elif "resumptionToken" in request.query:
            request.reply(page(*rows[2:4]))
        else:
            request.reply(page(*rows[:2], token="next"))

    server.routes["/oai"] = oai
    for name in PAPERS:
        body = {"3": gzip.compress(tex("Single"), mtime=0), "4": PDF}.get(name[-1], tarball(f"Paper {name[-1]}"))
        disposition = f'attachment; filename="arXiv-{name}v{name[-1]}.tar.gz"'
        server.routes[f"/e-print/{name}"] = _give(body, disposition)


def _give(body: bytes, disposition: str) -> Callable[[Request], None]:
    return lambda request: request.reply(
        body, Content_Disposition=disposition, Content_Encoding="x-gzip", Content_Type="application/x-eprint-tar"
    )


def contents(out: Path) -> dict[str, bytes]:
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("timing.json", "retrieved.json")
    }


def sidecar(out: Path) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in artifact.read_jsonl(out / FILES / "metadata.jsonl")}


def log(out: Path) -> dict[str, tuple[str, str]]:
    return {row["key"]: (row["outcome"], row["reason"]) for row in artifact.read_jsonl(out / LOG)}


def test_papers_come_with_licence_and_provenance(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    serve(server)
    manifest = run(config(server), {}, tmp_path / "out", clock=time.clock)
    rows = sidecar(tmp_path / "out")
    assert list(rows) == [
        "arxiv/2101/2101.00001.tar.gz", "arxiv/2101/2101.00002.tar.gz", "arxiv/2101/2101.00003.tex.gz",
        "arxiv/2101/2101.00004.pdf", "arxiv/2101/2101.00005.tar.gz", "arxiv/2101/2101.00006.tar.gz",
    ]  # fmt: skip
    assert rows["arxiv/2101/2101.00002.tar.gz"] == {
        "path": "arxiv/2101/2101.00002.tar.gz",
        "id": "arXiv:2101.00002",
        "title": "Paper 2",
        "authors": ["Ada Lovelace Jr.", "Émilie du Châtelet"],
        "year": 2021,
        "categories": ["math.NA", "cs.LG"],
        "license": "CC-BY-4.0",
        "version": 2,
        "doi": "10.1000/2101.00002",
        "url": "https://arxiv.org/abs/2101.00002",
        "republish": True,
        "provenance": {"protocol": "e-print", "url": f"{server.url}/e-print/2101.00002", "source": "eprints"},
    }
    assert (tmp_path / "out" / FILES / "arxiv/2101/2101.00001.tar.gz").read_bytes() == tarball("Paper 1")
    assert not (tmp_path / "out" / FILES / RECORDS).exists(), "every record has its text"
    assert manifest.stats["num_files"] == 6
    assert "me@example.org" not in (tmp_path / "out" / "manifest.json").read_text()


def test_two_runs_give_the_same_bytes_and_times_stand_apart(
    server: FaultyServer, time: FakeTime, tmp_path: Path
) -> None:
    serve(server)
    first = run(config(server), {}, tmp_path / "a", clock=time.clock)
    time.seconds += 86400 * 3
    second = run(config(server), {}, tmp_path / "b", clock=time.clock)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert first.digest == second.digest
    times = [json.loads((tmp_path / name / "retrieved.json").read_text())["seconds"] for name in "ab"]
    assert times[0].keys() == times[1].keys() == sidecar(tmp_path / "a").keys()
    assert all(late - early > 86400 * 2 for early, late in zip(times[0].values(), times[1].values(), strict=True))


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def test_killed_anywhere_it_ends_with_the_same_bytes_and_asks_for_nothing_twice(
    server: FaultyServer, time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    run(config(server), {}, tmp_path / "straight", clock=time.clock)
    num_requests, num_sleeps = len(server.requests), len(time.sleeps)
    steps = 0

    def dying(at: int) -> Callable[[float], None]:
        def sleep(seconds: float) -> None:
            nonlocal steps
            steps += 1
            if steps == at:
                raise Killed
            time.seconds += seconds

        return sleep

    for at in (1, 2, 4, num_sleeps):  # in a list, between windows, between papers, before the last one
        server.requests.clear()
        steps, out = 0, tmp_path / f"killed-{at}"
        with pytest.raises(Killed):
            run(config(server), {}, out, clock=type(time.clock)(time.clock.now, time.clock.monotonic, dying(at)))
        assert not out.exists()
        run(config(server), {}, out, clock=time.clock)
        assert contents(out) == contents(tmp_path / "straight")
        assert len(server.requests) == num_requests, f"killed at {at}: asked for something twice"
        shutil.rmtree(out)


def test_killed_while_it_writes_out(
    server: FaultyServer, time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    run(config(server), {}, tmp_path / "straight", clock=time.clock)
    link, count = stage._link, 0

    def dying(source: Path, target: Path) -> None:
        nonlocal count
        count += 1
        if count == 4:
            raise Killed
        link(source, target)

    monkeypatch.setattr(stage, "_link", dying)
    with pytest.raises(Killed):
        run(config(server), {}, tmp_path / "out", clock=time.clock)
    server.requests.clear()
    run(config(server), {}, tmp_path / "out", clock=time.clock)
    assert not server.requests
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_what_failed_is_fetched_alone_by_the_next_run(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    serve(server)
    run(config(server), {}, tmp_path / "straight", clock=time.clock)
    good = server.routes["/e-print/2101.00005"]
    server.routes["/e-print/2101.00005"] = lambda request: request.truncated(tarball("x"), 40)
    settings = config(server, max_failed_share=0.5)
    manifest = run(settings, {}, tmp_path / "out", clock=time.clock)
    assert manifest.stats["num_failed"] == 1
    assert log(tmp_path / "out") == {"eprints:2101.00005": ("failed", "connection")}
    records = list(artifact.read_jsonl(tmp_path / "out" / FILES / RECORDS))
    assert [row["id"] for row in records] == ["arXiv:2101.00005"], "until it comes, its abstract stands for it"

    server.requests.clear()
    run(settings, {}, tmp_path / "out", clock=time.clock)
    assert server.paths() == ["/e-print/2101.00005"] * 2, "it failed again"
    assert log(tmp_path / "out") == {"eprints:2101.00005": ("failed", "connection")}

    server.routes["/e-print/2101.00005"] = good
    server.requests.clear()
    run(settings, {}, tmp_path / "out", clock=time.clock)
    assert server.paths() == ["/e-print/2101.00005"]
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_too_many_failures_end_the_run_and_the_next_one_goes_on(
    server: FaultyServer, time: FakeTime, tmp_path: Path
) -> None:
    serve(server)
    run(config(server), {}, tmp_path / "straight", clock=time.clock)
    good = server.routes["/e-print/2101.00002"]
    server.routes["/e-print/2101.00002"] = Request.reset
    with pytest.raises(
        MachineError, match=r"eprints: 1 of 6 items failed \(connection \(1\)\), more than max_failed_share"
    ):
        run(config(server), {}, tmp_path / "out", clock=time.clock)
    assert not (tmp_path / "out").exists()
    server.routes["/e-print/2101.00002"] = good
    server.requests.clear()
    run(config(server), {}, tmp_path / "out", clock=time.clock)
    assert server.paths() == ["/e-print/2101.00002"]
    assert contents(tmp_path / "out") == contents(tmp_path / "straight")


def test_a_server_that_is_down_is_left_alone(
    server: FaultyServer, time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_MAX_FAILURES_IN_A_ROW", 3)
    serve(server)
    for name in PAPERS[2:]:
        server.routes[f"/e-print/{name}"] = lambda request: request.reply("", 500)
    with pytest.raises(MachineError, match="eprints: 3 items failed one after the other, the last with http-500"):
        run(config(server, max_failed_share=1.0), {}, tmp_path / "out", clock=time.clock)
    assert "/e-print/2101.00006" not in server.paths()


def test_a_server_that_is_down_when_the_rest_is_fetched_leaves_the_artifact(
    server: FaultyServer, time: FakeTime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(server)
    server.routes["/e-print/2101.00002"] = Request.reset
    settings = config(server, max_failed_share=0.5)
    first = run(settings, {}, tmp_path / "out", clock=time.clock)
    monkeypatch.setattr(stage, "_MAX_FAILURES_IN_A_ROW", 1)
    assert run(settings, {}, tmp_path / "out", clock=time.clock) == first


def test_arxiv_licence_is_for_the_user_to_allow(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    serve(server, {PAPERS[0]: ARXIV_LICENSE, PAPERS[1]: ARXIV_LICENSE})
    run(config(server), {}, tmp_path / "no", clock=time.clock)
    assert "/e-print/2101.00001" not in server.paths(), "what may not be taken is not downloaded"
    assert log(tmp_path / "no")["eprints:2101.00001"] == ("skipped", "license-not-allowed")
    row = next(artifact.read_jsonl(tmp_path / "no" / FILES / RECORDS))
    assert (row["id"], row["license"], row["text_license"]) == ("arXiv:2101.00001", "CC0-1.0", "arXiv-nonexclusive-1.0")

    run(config(server, train_on_arxiv_license=True), {}, tmp_path / "yes", clock=time.clock)
    row = sidecar(tmp_path / "yes")["arxiv/2101/2101.00001.tar.gz"]
    assert row["license"] == "arXiv-nonexclusive-1.0"
    assert row["republish"] is False
    assert sidecar(tmp_path / "yes")["arxiv/2101/2101.00003.tex.gz"]["republish"] is True


def test_allow_list(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    serve(server, {PAPERS[0]: "http://creativecommons.org/licenses/by-nc-nd/4.0/"})
    manifest = run(config(server, licenses=["CC-BY-4.0"]), {}, tmp_path / "out", clock=time.clock)
    assert "/e-print/2101.00001" not in server.paths()
    assert manifest.stats["licenses"] == {"CC-BY-4.0": 5}
    assert manifest.stats["reasons"] == {"license-not-allowed": 1}


def test_papers_by_name_are_looked_up(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    def oai(request: Request) -> None:
        known = request.query["identifier"] == "oai:arXiv.org:hep-th/9901001"
        body = one(
            raw_record("hep-th/9901001", ["v1", "v2"]).replace("<abstract>", f"<license>{CC_BY}</license><abstract>")
        )
        request.reply(body if known else error("idDoesNotExist"))

    server.routes |= {
        "/oai": oai,
        "/e-print/hep-th/9901001": lambda request: request.reply(tex("Plain")),
    }
    listed = tmp_path / "list.txt"
    listed.write_text("arXiv:hep-th/9901001v1  # the first\n\nhttps://arxiv.org/abs/2101.99999\n")
    section = {"base_url": f"{server.url}/e-print", "records_url": f"{server.url}/oai", "identifiers_file": str(listed)}
    run(config(server, arxiv=None, eprints=section), {"identifiers": listed}, tmp_path / "out", clock=time.clock)
    assert list(sidecar(tmp_path / "out")) == ["arxiv/9901/hep-th9901001/hep-th9901001.tex"]
    assert log(tmp_path / "out") == {"eprints:2101.99999": ("absent", "no-record")}
    listed.write_text("2101.00001\nnot an identifier\n")
    with pytest.raises(UserError, match=r"list\.txt:2: 'not an identifier' is no arXiv identifier"):
        run(config(server, arxiv=None, eprints=section), {"identifiers": listed}, tmp_path / "other", clock=time.clock)


def test_every_kind_of_bad_answer_is_one_row_of_the_log(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    serve(server)
    whole = tarball("x")
    server.routes |= {
        "/e-print/2101.00001": lambda request: request.reply("<!DOCTYPE html><p>Rate exceeded."),
        "/e-print/2101.00002": lambda request: request.reply(gzip.compress(b"%auto-ignore\nwithdrawn\n")),
        "/e-print/2101.00003": lambda request: request.reply(whole[:-6]),
        "/e-print/2101.00004": lambda request: request.reply(PDF[:20]),
        "/e-print/2101.00005": lambda request: request.reply("", 404),
    }
    run(config(server, max_failed_share=0.9), {}, tmp_path / "out", clock=time.clock)
    assert log(tmp_path / "out") == {
        "eprints:2101.00001": ("failed", "html-instead"),
        "eprints:2101.00002": ("absent", "withdrawn"),
        "eprints:2101.00003": ("failed", "bad-gzip"),
        "eprints:2101.00004": ("failed", "truncated-pdf"),
        "eprints:2101.00005": ("absent", "http-404"),
    }
    assert list(sidecar(tmp_path / "out")) == ["arxiv/2101/2101.00006.tar.gz"]


def test_a_harvest_becomes_documents(server: FaultyServer, time: FakeTime, tmp_path: Path) -> None:
    serve(server, {PAPERS[0]: ARXIV_LICENSE})
    server.routes["/e-print/2101.00004"] = lambda request: request.reply("", 404)
    run(config(server), {}, tmp_path / "out", clock=time.clock)
    settings = IngestConfig.model_validate({"paths": [], "filters": {"min_words": 1}, "workers": 1})
    ingest(settings, {"harvest": tmp_path / "out"}, tmp_path / "docs")
    documents = {document.id: document for document in read_documents(tmp_path / "docs")}
    assert sorted(documents) == [f"arXiv:{name}" for name in PAPERS]
    abstract, paper, single = (documents[f"arXiv:{name}"] for name in PAPERS[:3])
    assert abstract.license == "CC0-1.0"
    assert "$x^2 < 1$" in abstract.text
    assert json.loads(abstract.extra)["text_license"] == "arXiv-nonexclusive-1.0"
    assert paper.license == "CC-BY-4.0"
    assert "Words, $x$." in paper.text
    assert json.loads(paper.extra)["republish"] is True
    assert json.loads(paper.extra)["provenance"]["protocol"] == "e-print"
    assert "Words, $x$." in single.text
    assert single.title == "Paper 3", "the sidecar's word over the file's"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arxiv": None, "eprints": None}, "names no source"),
        ({"arxiv": None, "eprints": {}}, "names no papers"),
        ({"contact": "nobody"}, "contact"),
        ({"contact": "a@b.c\r\nX-Evil: 1"}, "contact"),
        ({"licenses": ["arXiv-nonexclusive-1.0"]}, "train_on_arxiv_license"),
        ({"eprints": {"identifiers": ["nonsense"]}}, "is no arXiv identifier"),
        ({"eprints": {"identifiers": [], "identifiers_file": "x"}}, "both given"),
        ({"arxiv": {"from": "2021-02-01", "until": "2021-01-01"}}, "is after until"),
        ({"arxiv": {"base_url": "ftp://example.org"}}, "is no address"),
        ({"dump": {"path": "https://user:secret@example.org/x.bz2"}}, "is no address"),
        ({"dataset": [{"repository": "no-owner"}]}, "dataset"),
    ],
)
def test_faults_in_the_configuration(changes: dict[str, Any], message: str, server: FaultyServer) -> None:
    with pytest.raises(ValidationError, match=message):
        config(server, **changes)


def test_patience_does_not_change_what_is_harvested(server: FaultyServer) -> None:
    plain = config(server)
    patient = config(server, contact="other@example.org", http={"max_attempts": 9}, max_failed_share=0.9)
    assert plain.model_dump(mode="json") == patient.model_dump(mode="json")


def test_as_a_step_of_a_recipe(server: FaultyServer, tmp_path: Path) -> None:
    """Planned without a request; what failed is fetched by the next run, what is whole is not asked for again."""
    serve(server)
    server.routes["/e-print/2101.00005"] = lambda request: request.reply("", 404)
    section = config(server).model_dump(mode="json", by_alias=True)
    section |= {"contact": "me@example.org", "max_failed_share": 1.0, "http": {"max_attempts": 1}}
    for name in ("arxiv", "eprints"):
        section[name]["min_interval_seconds"] = 0
    recipe = yaml.safe_load((ROOT / "recipes/quickstart.yaml").read_text()) | {"harvest": section}
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(recipe))
    steps = plan_steps(load_recipe(tmp_path / "r.yaml"), ROOT)
    assert not server.requests
    names = [step.name for step in steps]
    assert names.index("harvest") < names.index("ingest")
    assert next(step for step in steps if step.name == "ingest").inputs["harvest"] == Ref("harvest", "literature")

    good, server.routes["/e-print/2101.00002"] = server.routes["/e-print/2101.00002"], Request.reset
    run_steps(steps, tmp_path / "out", only="harvest")
    server.requests.clear()
    server.routes["/e-print/2101.00002"] = good
    assert run_steps(steps, tmp_path / "out", only="harvest")[0][1] == "ran"
    assert server.paths() == ["/e-print/2101.00002"]
    assert run_steps(steps, tmp_path / "out", only="harvest")[0][1] == "skipped"
    assert len(server.requests) == 1


def test_as_a_command(server: FaultyServer, tmp_path: Path) -> None:
    serve(server)
    (tmp_path / "list.txt").write_text("2101.00001\n")
    server.routes["/oai"] = lambda request: request.reply(one(record("2101.00001", "First")))
    text = f"""
contact: me@example.org
eprints:
  {{base_url: {server.url}/e-print, records_url: {server.url}/oai, identifiers_file: list.txt, min_interval_seconds: 0}}
"""
    (tmp_path / "h.yml").write_text(text)
    arguments = ["harvest", str(tmp_path / "h.yml"), "--out", str(tmp_path / "out"), "--json"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert json.loads(first.stdout)["stats"]["num_files"] == 1
    server.requests.clear()
    again = CliRunner().invoke(app, arguments)
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert "nothing is missing" in again.stderr
    assert not server.requests
    (tmp_path / "h.yml").write_text(text.replace("eprints", "eprint").replace("me@", "me"))
    fault = CliRunner().invoke(app, arguments)
    assert isinstance(fault.exception, UserError)
    assert "contact: " in str(fault.exception)
    assert "eprint: unknown key; did you mean 'eprints'?" in str(fault.exception)


def test_the_examples_of_the_documentation_are_valid() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/harvest.md").read_text(), re.DOTALL)
    sections = [
        HarvestConfig.model_validate(yaml.safe_load(block)).model_dump(exclude_defaults=True) for block in blocks
    ]
    shown = {name for section in sections for name in section}
    assert shown >= {"arxiv", "eprints", "bulk", "wikipedia", "dump", "dataset"}
