"""OAI-PMH: pages, tokens that are forgotten, records that come twice, go, or are not what they should be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faulty import FakeTime, FaultyServer, Request
from literature import ARXIV_LICENSE, CC_BY, deleted, error, page, raw_record, record
from sagecraft.artifact import read_jsonl
from sagecraft.corpus.harvest import FILES, RECORDS, HarvestConfig, run
from sagecraft.errors import MachineError, UserError

Harvest = Callable[..., Any]


@pytest.fixture
def harvest(server: FaultyServer, time: FakeTime, tmp_path: Path) -> Harvest:
    def go(**arxiv: object) -> list[dict[str, Any]]:
        section = {"base_url": f"{server.url}/oai", "from": "2021-01-01", "until": "2021-01-31"} | arxiv
        config = HarvestConfig.model_validate(
            {"contact": "me@example.org", "arxiv": section, "http": {"max_attempts": 3, "timeout_seconds": 5}}
        )
        run(config, {}, tmp_path / "out", clock=time.clock)
        return list(read_jsonl(tmp_path / "out" / FILES / RECORDS))

    return go


def pages(*bodies: str) -> Callable[[Request], None]:
    """Answers by the token: page n is given for the token `t{n}`."""

    def answer(request: Request) -> None:
        token = request.query.get("resumptionToken")
        request.reply(bodies[int(token[1:]) if token else 0])

    return answer


def test_pages_follow_each_other_at_a_distance(harvest: Harvest, server: FaultyServer, time: FakeTime) -> None:
    server.routes["/oai"] = pages(
        page(record("2101.00001", "First"), token="t1", size=3),
        page(record("2101.00002", "Second"), token="t2"),
        page(record("hep-th/9901001", "Old")),
    )
    rows = harvest(sets=["physics:hep-th"])
    assert [row["id"] for row in rows] == ["arXiv:2101.00001", "arXiv:2101.00002", "arXiv:hep-th/9901001"]
    assert [row["year"] for row in rows] == [2021, 2021, 1999]
    first = server.requests[0].query
    assert first == {
        "verb": "ListRecords", "metadataPrefix": "arXiv", "from": "2021-01-01", "until": "2021-01-31",
        "set": "physics:hep-th",
    }  # fmt: skip
    assert server.requests[1].query == {"verb": "ListRecords", "resumptionToken": "t1"}
    assert time.sleeps == [3.0, 3.0]


def test_a_record_says_all_it_knows(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = pages(page(record("2101.00001", "Dust &amp; ice\n  in rings", license_url=CC_BY)))
    row = harvest()[0]
    assert row == {
        "id": "arXiv:2101.00001",
        "title": "Dust & ice in rings",
        "authors": ["Ada Lovelace Jr.", "Émilie du Châtelet"],
        "year": 2021,
        "categories": ["math.NA", "cs.LG"],
        "text": "We look at Dust & ice in rings and find $x^2 < 1$.",
        "license": "CC0-1.0",
        "text_license": "CC-BY-4.0",
        "doi": "10.1000/2101.00001",
        "url": "https://arxiv.org/abs/2101.00001",
        "republish": True,
    }


def test_raw_records_name_the_newest_version(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = pages(page(raw_record("2101.00001", ["v1", "v10", "v2"])))
    row = harvest(metadata_format="arXivRaw")[0]
    assert row["version"] == 10
    assert row["authors"] == ["A. B. Cee", "D. Eff", "G. Aitch"]
    assert row["text_license"] == "arXiv-unstated"


def test_a_forgotten_token_costs_one_window(harvest: Harvest, server: FaultyServer) -> None:
    asked = 0

    def answer(request: Request) -> None:
        nonlocal asked
        token = request.query.get("resumptionToken")
        asked += token is not None
        if token is None:
            request.reply(page(record("2101.00001", "First"), token="t1" if asked == 0 else "u1"))
        elif token == "t1":
            request.reply(error("badResumptionToken"))
        else:
            request.reply(page(record("2101.00002", "Second")))

    server.routes["/oai"] = answer
    assert len(harvest()) == 2
    assert [request.query.get("resumptionToken") for request in server.requests] == [None, "t1", None, "u1"]


def test_a_token_that_is_always_forgotten_ends_the_run(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = lambda request: request.reply(
        error("badResumptionToken")
        if "resumptionToken" in request.query
        else page(record("2101.00001", "x"), token="t")
    )
    with pytest.raises(
        MachineError, match=r"arxiv: the list could not be read to its end: token-forgotten.*window_days"
    ):
        harvest()


def test_a_token_that_leads_to_itself_ends_the_run(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = lambda request: request.reply(page(record("2101.00001", "x"), token="same"))
    with pytest.raises(MachineError, match="token-loop"):
        harvest()
    assert len(server.requests) == 2


def test_the_newest_of_a_record_counts(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = pages(
        page(
            record("2101.00001", "Old words", datestamp="2021-01-02"),
            record("2101.00002", "Goes", datestamp="2021-01-02"),
            deleted("2101.00003", datestamp="2021-01-02"),
            token="t1",
        ),
        page(
            record("2101.00001", "New words", datestamp="2021-01-03"),
            deleted("2101.00002", datestamp="2021-01-02"),
            record("2101.00003", "Comes back", datestamp="2021-01-05"),
            record("2101.00004", "Once", datestamp="2021-01-05"),
            record("2101.00004", "Once", datestamp="2021-01-05"),
            record("2101.00004", "Older words", datestamp="2021-01-04"),
            record("2101.00005", "Gone for all it says").replace("<header>", '<header status="deleted">'),
        ),
    )
    assert [(row["id"][-1], row["title"]) for row in harvest()] == [
        ("1", "New words"),
        ("3", "Comes back"),
        ("4", "Once"),
    ]


def test_an_empty_list_is_no_fault_but_an_empty_harvest_is(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = lambda request: request.reply(
        page(record("2101.00001", "x")) if request.query["set"] == "math" else error("noRecordsMatch")
    )
    assert len(harvest(sets=["cs", "math"])) == 1
    with pytest.raises(UserError, match="nothing was found that may be kept: the lists are empty; check sets"):
        harvest(sets=["cs"])


@pytest.mark.parametrize(
    "bad",
    [
        "<html><body>Rate exceeded</body></html>",
        "<html><body>Rate exceeded<br></body>",
        "",
        '<?xml version="1.0"?><OAI-PMH><ListRecords>',
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><OAI-PMH>&b;</OAI-PMH>',
    ],
)
def test_a_page_that_is_no_answer_is_asked_for_again(bad: str, harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = [
        lambda request: request.reply(bad),
        lambda request: request.reply(page(record("2101.00001", "x"))),
    ]
    assert len(harvest()) == 1
    assert len(server.requests) == 2


def test_what_the_service_refuses_is_said(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = lambda request: request.reply(error("badArgument", "no such set"))
    with pytest.raises(MachineError, match="oai-badArgument: no such set"):
        harvest(sets=["nowhere"])


def test_busy_servers_are_waited_for(harvest: Harvest, server: FaultyServer, time: FakeTime) -> None:
    server.routes["/oai"] = [
        lambda request: request.reply("", 503, Retry_After="20"),
        Request.reset,
        lambda request: request.reply(page(record("2101.00001", "x"))),
    ]
    assert len(harvest()) == 1
    assert time.sleeps[0] == 20.0


def test_windows_start_where_the_service_does_and_end_today(
    harvest: Harvest, server: FaultyServer, time: FakeTime
) -> None:
    def answer(request: Request) -> None:
        if request.query["verb"] == "Identify":
            request.reply("<OAI-PMH><Identify><earliestDatestamp>2026-12-01</earliestDatestamp></Identify></OAI-PMH>")
        else:
            request.reply(page(record("2101.00001", "x")))

    server.routes["/oai"] = answer
    harvest(**{"from": None, "until": None, "window_days": 20})
    windows = [(r.query["from"], r.query["until"]) for r in server.requests if r.query["verb"] == "ListRecords"]
    assert windows == [("2026-12-01", "2026-12-20"), ("2026-12-21", "2027-01-09"), ("2027-01-10", "2027-01-15")]


def test_categories_are_chosen_by_pattern(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = pages(
        page(record("2101.00001", "x", categories="math.NA"), record("2101.00002", "y", categories="cs.LG stat.ML"))
    )
    assert [row["id"] for row in harvest(categories=["stat.*"])] == ["arXiv:2101.00002"]


def test_arxiv_license_in_records(harvest: Harvest, server: FaultyServer) -> None:
    server.routes["/oai"] = pages(page(record("2101.00001", "x", license_url=ARXIV_LICENSE)))
    assert harvest()[0]["text_license"] == "arXiv-nonexclusive-1.0"
