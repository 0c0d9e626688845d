"""A wiki's API: categories with circles and continuations, pages at their revision, errors that pass and that do not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faulty import FakeTime, FaultyServer, Request
from sagecraft.artifact import read_jsonl
from sagecraft.corpus.harvest import FILES, LOG, HarvestConfig, run
from sagecraft.corpus.readers.html import read_html
from sagecraft.errors import MachineError, UserError

#: category → pages of its listing → (namespace, title, page, revision)
TREE: dict[str, list[list[tuple[int, str, int, int]]]] = {
    "Waves": [
        [(0, "Sound", 1, 101), (14, "Category:Optics", 50, 0)],
        [(0, "List of waves", 2, 102), (0, "Echo", 3, 103)],
    ],
    "Optics": [[(0, "Lens", 4, 104), (14, "Category:Waves", 51, 0), (14, "Category:Glass", 52, 0)]],
    "Glass": [[(0, "Sand", 5, 105), (0, "Sound", 1, 101)]],
}
TEXT = '<div class="mw-parser-output"><p>{} is a thing with $x$ &amp; more.</p></div>'


class Wiki:
    """As much of the API as a harvest needs."""

    def __init__(self, rights: str = "https://creativecommons.org/licenses/by-sa/4.0/") -> None:
        self.rights = rights
        self.before: list[dict[str, Any]] = []

    def __call__(self, request: Request) -> None:
        query = request.query
        assert query["formatversion"] == "2"
        assert query["maxlag"] == "5"
        if self.before:
            request.reply(json.dumps(self.before.pop(0)), Retry_After="5")
        elif query.get("meta") == "siteinfo":
            general = {"sitename": "Testpedia", "lang": "en", "server": "//wiki.example", "articlepath": "/wiki/$1"}
            self.send(request, {"query": {"general": general, "rightsinfo": {"url": self.rights}}})
        elif query["action"] == "parse":
            self.parse(request, int(query["oldid"]))
        else:
            self.members(request, query)

    def members(self, request: Request, query: dict[str, str]) -> None:
        steps = TREE[query["gcmtitle"].removeprefix("Category:")]
        number = int(query.get("gcmcontinue", "0"))
        pages = [
            {"ns": ns, "title": title, "pageid": page} | ({"lastrevid": revision} if revision else {})
            for ns, title, page, revision in steps[number]
        ]
        answer: dict[str, Any] = {"query": {"pages": pages}}
        if number + 1 < len(steps):
            answer["continue"] = {"gcmcontinue": str(number + 1), "continue": "gcmcontinue||"}
        self.send(request, answer)

    def parse(self, request: Request, revision: int) -> None:
        title = next(row[1] for steps in TREE.values() for step in steps for row in step if row[3] == revision)
        categories = [{"category": "Things_of_note"}, {"category": "Hidden", "hidden": True}]
        self.send(request, {"parse": {"revid": revision, "text": TEXT.format(title), "categories": categories}})

    @staticmethod
    def send(request: Request, answer: dict[str, Any]) -> None:
        request.reply(json.dumps(answer))


@pytest.fixture
def wiki(server: FaultyServer) -> Wiki:
    answering = Wiki()
    server.routes["/w/api.php"] = answering
    return answering


@pytest.fixture
def harvest(server: FaultyServer, time: FakeTime, tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    def go(licenses: list[str] | None = None, failed: float = 0.0, **settings: Any) -> list[dict[str, Any]]:
        section = {"api_url": f"{server.url}/w/api.php", "categories": ["Waves"], "depth": 2} | settings
        value = {
            "contact": "https://example.org/me",
            "licenses": licenses,
            "wikipedia": section,
            "max_failed_share": failed,
        }
        value["http"] = {"max_attempts": 2, "timeout_seconds": 5}
        run(HarvestConfig.model_validate(value), {}, tmp_path / "out", clock=time.clock)
        return list(read_jsonl(tmp_path / "out" / FILES / "metadata.jsonl"))

    return go


Harvest = Callable[..., list[dict[str, Any]]]


def titles(rows: list[dict[str, Any]]) -> list[str]:
    return [row["title"] for row in rows]


def test_pages_of_a_tree_with_circles(harvest: Harvest, wiki: Wiki, server: FaultyServer, tmp_path: Path) -> None:
    rows = harvest()
    assert titles(rows) == ["Sound", "List of waves", "Echo", "Lens", "Sand"]
    assert rows[0] == {
        "path": "127.0.0.1/1.htm",
        "id": "127.0.0.1/Sound",
        "title": "Sound",
        "authors": ["Testpedia contributors"],
        "categories": ["Things of note"],
        "license": "CC-BY-SA-4.0",
        "version": 101,
        "url": "https://wiki.example/wiki/Sound",
        "republish": True,
        "provenance": {
            "protocol": "mediawiki", "source": "wikipedia0", "url": f"{server.url}/w/api.php?action=parse&oldid=101",
        },
    }  # fmt: skip
    page = tmp_path / "out" / FILES / "127.0.0.1/1.htm"
    found = read_html(page, page.parent)
    assert found.title == "Sound"
    assert "Sound is a thing" in found.text
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert "files/127.0.0.1/1.htm" in manifest["files"], "the artifact's digest sees its pages"
    asked = [request.query.get("gcmtitle") for request in server.requests]
    assert asked.count("Category:Waves") == 2, "once for each page of its list"


def test_depth_exclusion_and_limit(harvest: Harvest, wiki: Wiki) -> None:
    assert titles(harvest(depth=0)) == ["Sound", "List of waves", "Echo"]
    assert titles(harvest(depth=1, exclude=["List of *"])) == ["Sound", "Echo", "Lens"]
    assert titles(harvest(exclude=["Glass"])) == ["Sound", "List of waves", "Echo", "Lens"]
    assert titles(harvest(max_pages=2)) == ["Sound", "List of waves"]


def test_a_wiki_that_is_busy_is_waited_for(harvest: Harvest, wiki: Wiki, time: FakeTime) -> None:
    wiki.before = [{"error": {"code": "maxlag", "info": "Waiting for a database: 6 seconds lagged"}}]
    assert len(harvest(depth=0)) == 3
    assert 5.0 in time.sleeps


def test_pages_that_are_gone_or_come_wrong(harvest: Harvest, wiki: Wiki, server: FaultyServer, tmp_path: Path) -> None:
    def answer(request: Request) -> None:
        bad = {
            "101": lambda: wiki.send(request, {"error": {"code": "nosuchrevid", "info": "gone"}}),
            "102": lambda: wiki.send(request, {"parse": {"revid": 999, "text": "another"}}),
            "103": lambda: request.reply("<html>Our servers are under maintenance</html>"),
            "104": lambda: wiki.send(request, {"parse": {"revid": 104, "text": {"*": "old form"}}}),
        }.get(request.query.get("oldid", ""))
        bad() if bad else wiki(request)

    server.routes["/w/api.php"] = answer
    assert titles(harvest(failed=0.9)) == ["Sand"]
    log = {row["key"]: (row["outcome"], row["reason"]) for row in read_jsonl(tmp_path / "out" / LOG)}
    assert log == {
        "wikipedia0:000000000001": ("absent", "api-nosuchrevid"),
        "wikipedia0:000000000002": ("failed", "wrong-page"),
        "wikipedia0:000000000003": ("failed", "bad-answer"),
        "wikipedia0:000000000004": ("failed", "bad-answer"),
    }


def test_a_licence_that_is_not_wanted_is_found_before_any_page(
    harvest: Harvest, wiki: Wiki, server: FaultyServer
) -> None:
    wiki.rights = "https://creativecommons.org/licenses/by-nc-sa/3.0/"
    with pytest.raises(UserError, match=r"nothing was found that may be kept: license-not-allowed \(1\)"):
        harvest(licenses=["CC-BY-4.0", "CC-BY-SA-*"])
    assert len(server.requests) == 1


def test_a_list_that_goes_in_a_circle_ends_the_run(harvest: Harvest, wiki: Wiki, server: FaultyServer) -> None:
    def answer(request: Request) -> None:
        if "generator" in request.query:
            wiki.send(request, {"query": {"pages": []}, "continue": {"gcmcontinue": "same"}})
        else:
            wiki(request)

    server.routes["/w/api.php"] = answer
    with pytest.raises(MachineError, match="wikipedia0: the list could not be read to its end: continue-loop: Waves"):
        harvest()


def test_hostile_titles_stay_in_the_folder(
    harvest: Harvest, wiki: Wiki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TREE, "Waves", [[(0, "../../<script>alert(1)</script>", 7, 107)]])
    rows = harvest(depth=0)
    assert rows[0]["path"] == "127.0.0.1/7.htm"
    assert "<title>../../&lt;script&gt;" in (tmp_path / "out" / FILES / "127.0.0.1/7.htm").read_text()
    assert rows[0]["url"] == "https://wiki.example/wiki/../../%3Cscript%3Ealert(1)%3C/script%3E"
