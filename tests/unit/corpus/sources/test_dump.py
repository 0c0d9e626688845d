"""Dumps: streamed, resumed behind the last whole file, refused when they are not what they say."""

from __future__ import annotations

import bz2
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faulty import FakeTime, FaultyServer
from sagecraft.artifact import Manifest, read_jsonl
from sagecraft.corpus.harvest import FILES, HarvestConfig, run
from sagecraft.corpus.readers import wikitext
from sagecraft.corpus.sources import dump as dump_source
from sagecraft.errors import MachineError, UserError

SITE = """<siteinfo><sitename>Testpedia</sitename><base>https://de.wiki.example/wiki/Start</base><namespaces>
<namespace key="6">Datei</namespace><namespace key="14">Kategorie</namespace></namespaces></siteinfo>"""


def page(title: str, text: str, ns: int = 0, extra: str = "") -> str:
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>1</id>{extra}<revision><id>77</id>"
        f'<text xml:space="preserve">{text}</text></revision></page>'
    )


PAGES = [
    page("Sound wave", "'''Sound''' is a [[wave]].\n\n[[Kategorie:Physik]]"),
    page("Talk", "not an article", ns=1),
    page("Old name", "#REDIRECT [[Sound]]", extra='<redirect title="Sound"/>'),
    page(
        "Light", "It has &lt;math&gt;c = \\lambda f&lt;/math&gt;. [[Datei:x.png|mini]] [[Kategorie:Physik der Wellen]]"
    ),
    page("Bread", "Flour. [[Kategorie:Essen]]"),
    page("Nothing", "{{stub}}"),
]


def dump(pages: list[str] = PAGES, head: str = "") -> bytes:
    xmlns = 'xmlns="http://www.mediawiki.org/xml/export-0.11/"'
    return bz2.compress(f"{head}<mediawiki {xmlns} xml:lang='de'>{SITE}{''.join(pages)}</mediawiki>".encode())


@pytest.fixture
def harvest(time: FakeTime, tmp_path: Path) -> Callable[..., Manifest]:
    def go(path: str, **settings: Any) -> Manifest:
        value = {"contact": "me@example.org", "dump": {"path": path} | settings, "http": {"max_attempts": 2}}
        local = {} if path.startswith("http") else {"dump0": Path(path)}
        return run(HarvestConfig.model_validate(value), local, tmp_path / "out", clock=time.clock)

    return go


Harvest = Callable[..., Manifest]


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "dump.xml.bz2").write_bytes(dump())
    return str(tmp_path / "dump.xml.bz2")


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    files = sorted((tmp_path / "out" / FILES / "de.wiki.example-dump0").glob("*.jsonl"))
    return [row for file in files for row in read_jsonl(file)]


def test_articles_become_rows(harvest: Harvest, file: str, tmp_path: Path) -> None:
    harvest(file)
    found = rows(tmp_path)
    assert [row["title"] for row in found] == ["Sound wave", "Light", "Bread"]
    assert found[0] == {
        "id": "de.wiki.example/Sound_wave",
        "title": "Sound wave",
        "text": "**Sound** is a wave.",
        "categories": ["Physik"],
        "license": "CC-BY-SA-4.0",
        "version": 77,
        "url": "https://de.wiki.example/wiki/Sound_wave",
        "templates_cut": 0,
    }
    assert found[1]["text"] == r"It has $c = \lambda f$."
    sidecar = list(read_jsonl(tmp_path / "out" / FILES / "metadata.jsonl"))
    assert sidecar == [
        {
            "path": "de.wiki.example-dump0/pages-00000.jsonl",
            "license": "CC-BY-SA-4.0",
            "republish": True,
            "provenance": {"protocol": "dump", "source": "dump0", "url": file},
        }
    ]


def test_categories_and_namespaces(harvest: Harvest, file: str, tmp_path: Path) -> None:
    harvest(file, categories=["Physik*"])
    assert [row["title"] for row in rows(tmp_path)] == ["Sound wave", "Light"]
    harvest(file, namespaces=[1])
    assert [row["title"] for row in rows(tmp_path)] == ["Talk"]
    with pytest.raises(UserError, match="nothing was found"):
        harvest(file, categories=["Chemie"])


class Killed(BaseException):
    """Not an Exception: nothing may catch it."""


def test_killed_it_goes_on_behind_the_last_whole_file(
    harvest: Harvest, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = harvest(file, shard_pages=1)
    straight = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.jsonl")}
    (tmp_path / "out").rename(tmp_path / "straight")
    read, seen = wikitext.read_wikitext, []

    def dying(text: str, *names: Any) -> Any:
        seen.append(text)
        if "Flour" in text and len(seen) == 3:
            raise Killed
        return read(text, *names)

    monkeypatch.setattr(wikitext, "read_wikitext", dying)
    with pytest.raises(Killed):
        harvest(file, shard_pages=1)
    seen[:] = []
    assert harvest(file, shard_pages=1).digest == first.digest
    assert len(seen) == 2, "the two pages whose files were whole are not read again"
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.jsonl")} == straight


def test_a_download_is_resumed_and_checked(harvest: Harvest, server: FaultyServer, tmp_path: Path) -> None:
    body = dump()
    server.routes["/d.xml.bz2"] = [
        lambda request: request.truncated(body, 100, ETag='"d"'),
        lambda request: request.ranged(body, '"d"'),
    ]
    harvest(f"{server.url}/d.xml.bz2", sha1=hashlib.sha1(body).hexdigest())
    assert server.requests[1].headers["Range"] == "bytes=100-"
    assert len(rows(tmp_path)) == 3
    with pytest.raises(MachineError, match="wrong-digest"):
        harvest(f"{server.url}/d.xml.bz2", sha1="0" * 40)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (dump()[:-20], "bad-dump"),
        (b"<html>not found</html>", "bad-dump"),
        (bz2.compress(b"<mediawiki><page>"), "bad-dump"),
        (bz2.compress(b"<mediawiki></mediawiki>"), "no-pages"),
    ],
)
def test_what_is_no_dump(body: bytes, message: str, harvest: Harvest, tmp_path: Path) -> None:
    (tmp_path / "x.xml.bz2").write_bytes(body)
    with pytest.raises(MachineError, match=rf"dump0: 1 of \d items failed \({message} \(1\)\)"):
        harvest(str(tmp_path / "x.xml.bz2"))


def test_bombs(harvest: Harvest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entities = '<!DOCTYPE m [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>'
    (tmp_path / "e.xml.bz2").write_bytes(dump([page("x", "&b;")], head=entities))
    with pytest.raises(UserError, match="xml-entities"):
        harvest(str(tmp_path / "e.xml.bz2"))
    monkeypatch.setattr(dump_source, "_RATIO_FLOOR_BYTES", 1000)
    (tmp_path / "b.xml.bz2").write_bytes(dump([page("x", "a" * 5_000_000)]))
    with pytest.raises(UserError, match=r"bomb \(1\)"):
        harvest(str(tmp_path / "b.xml.bz2"))
