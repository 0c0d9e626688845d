"""Answers with bytes changed, cut and doubled: nothing but the errors that a harvest knows may come of them."""

from __future__ import annotations

import bz2
import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from literature import PDF, page, raw_record, record, tar, tarball
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.readers.wikitext import categories_of, read_wikitext
from sagecraft.corpus.readers.xml import parse_xml_bytes
from sagecraft.corpus.sources.arxiv_papers import sniff
from sagecraft.corpus.sources.bulk import _identifier, _members, read_manifest
from sagecraft.corpus.sources.dump import _pages, _Site
from sagecraft.corpus.sources.http import PassingError, Reply
from sagecraft.corpus.sources.items import ItemError
from sagecraft.corpus.sources.oai import _read_oai, _records
from sagecraft.corpus.sources.wikipedia import _read_answer
from sagecraft.errors import UserError

KNOWN = (PassingError, ItemError, ReaderError, UserError)
OAI = page(record("2101.00001", "One"), raw_record("hep-th/9901001", ["v1", "v2"]), token="t", size=2).encode()
ANSWER = json.dumps(
    {
        "query": {"pages": [{"ns": 0, "title": "A", "pageid": 1, "lastrevid": 2}], "general": {"lang": "en"}},
        "parse": {"revid": 2, "text": "<p>x</p>", "categories": [{"category": "C", "hidden": True}]},
        "continue": {"gcmcontinue": "x", "continue": "y"},
        "error": {"code": "maxlag", "info": "slow"},
    }
).encode()
MANIFEST = (
    b"<m><file><filename>src/a_2101_001.tar</filename><yymm>2101</yymm><md5sum>0</md5sum><size>9</size></file></m>"
)
DUMP = (
    b"<mediawiki><siteinfo><base>https://w.example/wiki/M</base><namespace key='14'>C</namespace></siteinfo><page><title>T</title>"
    b"<ns>0</ns><revision><id>1</id><text>[[C:x]] {{a|b}} &lt;ref&gt;c&lt;/ref&gt;</text></revision></page></mediawiki>"
)
WIKITEXT = b"{{a|b=[[c|d]]}} <ref name=x>y</ref> '''b''' <math>z</math>\n* l\n{| class=x\n! h\n|-\n| [[C:x]] || <b>i</b>\n|}\n== H ==\n"


def _oai(data: bytes, _: Path) -> None:
    list(_records(_read_oai(Reply("u", {}, data))))


def _wiki(data: bytes, _: Path) -> None:
    _read_answer(Reply("u", {"retry-after": "5"}, data))


def _manifest(data: bytes, _: Path) -> None:
    read_manifest(parse_xml_bytes(data), "manifest")


def _paper(data: bytes, folder: Path) -> None:
    (folder / "paper").write_bytes(data)
    sniff(folder / "paper", 1 << 20)


def _archive(data: bytes, folder: Path) -> None:
    import tarfile

    (folder / "tar").write_bytes(data)
    try:
        with tarfile.open(folder / "tar", "r:") as archive:
            for member in _members(archive):
                try:
                    _identifier(member)
                except ItemError:
                    continue
    except tarfile.TarError:
        pass


def _dump(data: bytes, folder: Path) -> None:
    (folder / "d.xml").write_bytes(data)
    for one in _pages(folder / "d.xml", _Site()):
        read_wikitext(one.text)


def _packed_dump(data: bytes, folder: Path) -> None:
    (folder / "d.xml.bz2").write_bytes(data)
    list(_pages(folder / "d.xml.bz2", _Site()))


def _wikitext(data: bytes, _: Path) -> None:
    text = data.decode("utf-8", "replace")
    read_wikitext(text, ["C"])
    categories_of(text, ["C"])


READERS: dict[str, tuple[bytes, Callable[[bytes, Path], None]]] = {
    "oai": (OAI, _oai),
    "wiki": (ANSWER, _wiki),
    "manifest": (MANIFEST, _manifest),
    "tarball": (tarball("x"), _paper),
    "pdf": (PDF, _paper),
    "pdf-in-gzip": (gzip.compress(PDF, mtime=0), _paper),
    "archive": (tar({"2101/2101.00001.gz": b"x" * 600, "2101/2101.00002.pdf": PDF}), _archive),
    "dump": (DUMP, _dump),
    "packed-dump": (bz2.compress(DUMP), _packed_dump),
    "wikitext": (WIKITEXT, _wikitext),
}


def changed(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    draw = random.Random(seed)
    for _ in range(count):
        body = bytearray(data)
        for _ in range(draw.randint(1, 6)):
            at, end = sorted((draw.randrange(len(body) + 1), draw.randrange(len(body) + 1)))
            match draw.randrange(5):
                case 0 if body:
                    body[min(at, len(body) - 1)] = draw.randrange(256)
                case 1:
                    del body[at : min(end, at + 40)]
                case 2:
                    body[at:at] = body[at : min(end, at + 200)]
                case 3:
                    body[at:at] = draw.choice(
                        [b"<", b"&x;", b"\0", b"[[", b"{{", b"]]>", b"\xff\xfe", b'"', b"-1", b"9" * 30]
                    )
                case _:
                    del body[end:]
        yield bytes(body)


def _campaign(name: str, seed: int, count: int, folder: Path) -> None:
    data, read = READERS[name]
    read(data, folder) if name not in ("wiki", "manifest") else None  # these two are wrong as they stand
    for body in changed(data, seed, count):
        try:
            read(body, folder)
        except KNOWN:
            continue
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__} for {body!r}") from error


@pytest.mark.parametrize("name", READERS)
def test_a_few(name: str, tmp_path: Path) -> None:
    _campaign(name, 1, 40, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand(name: str, tmp_path: Path) -> None:
    _campaign(name, 2, 10_000, tmp_path)
