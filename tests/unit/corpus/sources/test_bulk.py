"""Bulk archives: from a folder and from a mirror, with members that are not what they should be."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faulty import FakeTime, FaultyServer
from literature import ARXIV_LICENSE, CC_BY, PDF, page, record, tar, tarball, tex
from sagecraft.artifact import Manifest, read_jsonl
from sagecraft.corpus.harvest import FILES, LOG, RECORDS, HarvestConfig, run
from sagecraft.corpus.sources.arxiv_ids import from_member, month_of, normalise_id
from sagecraft.errors import MachineError, UserError

Harvest = Callable[..., Manifest]
FIRST = {
    "0001/hep-th0001001.gz": gzip.compress(tex("Old"), mtime=0),
    "0001/hep-th0001002.pdf": PDF,
}
SECOND = {
    "2101/2101.00001.gz": tarball("New"),
    "2101/2101.00002.gz": tarball("Other"),
    "2101/2101.00003.gz": tarball("Cut")[:-9],
}


def manifest(archives: dict[str, bytes], **changes: str) -> str:
    rows = []
    for name, body in archives.items():
        yymm = name.split("_")[2]
        values = {"filename": name, "md5sum": hashlib.md5(body).hexdigest(), "size": str(len(body)), "yymm": yymm}
        rows.append("".join(f"<{key}>{value}</{key}>" for key, value in (values | changes).items()))
    return "<arXivSRC>" + "".join(f"<file>{row}</file>" for row in rows) + "<timestamp>x</timestamp></arXivSRC>"


@pytest.fixture
def archives() -> dict[str, bytes]:
    hostile = [tarfile.TarInfo("2101/2101.00004.gz"), tarfile.TarInfo("2101/2101.00005.gz")]
    hostile[0].type, hostile[0].linkname = tarfile.SYMTYPE, "/etc/passwd"
    hostile[1].type = tarfile.CHRTYPE
    strange = {
        "../../../escape/2101.00006.gz": tarball("Escape"),
        "2101/../../outside.gz": tarball("Outside"),
        "/2101.00007.pdf": PDF,
        "2101/2101.00008.gz": gzip.compress(b"\0" * (80 << 20), mtime=0),
    }
    return {
        "src/arXiv_src_0001_001.tar": tar(FIRST),
        "src/arXiv_src_2101_001.tar": tar(SECOND | strange, hostile),
    }


@pytest.fixture
def folder(archives: dict[str, bytes], tmp_path: Path) -> Path:
    for name, body in archives.items():
        path = tmp_path / "bulk" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    (tmp_path / "bulk" / "manifest.xml").write_text(manifest(archives))
    return tmp_path / "bulk"


@pytest.fixture
def harvest(server: FaultyServer, time: FakeTime, tmp_path: Path) -> Harvest:
    def go(arxiv: dict[str, Any] | None = None, **bulk: Any) -> Manifest:
        value = {
            "contact": "me@example.org",
            "train_on_arxiv_license": arxiv is None,
            "http": {"max_attempts": 2, "timeout_seconds": 5},
            "bulk": bulk,
        } | ({"arxiv": arxiv} if arxiv is not None else {})
        local = {} if bulk["manifest"].startswith("http") else {"manifest": Path(bulk["manifest"])}
        return run(HarvestConfig.model_validate(value), local, tmp_path / "out", clock=time.clock)

    return go


def rows(out: Path) -> dict[str, dict[str, Any]]:
    return {row["path"]: row for row in read_jsonl(out / FILES / "metadata.jsonl")}


def reasons(out: Path) -> dict[str, str]:
    return {row["key"].rpartition(":")[2]: row["reason"] for row in read_jsonl(out / LOG)}


def test_members_are_taken_by_their_names_alone(harvest: Harvest, folder: Path, tmp_path: Path) -> None:
    harvest(manifest=str(folder / "manifest.xml"))
    found = rows(tmp_path / "out")
    assert list(found) == [
        "arxiv/0001/hep-th0001001.tex.gz", "arxiv/0001/hep-th0001002.pdf", "arxiv/2101/2101.00001.tar.gz",
        "arxiv/2101/2101.00002.tar.gz", "arxiv/2101/2101.00006.tar.gz", "arxiv/2101/2101.00007.pdf",
    ]  # fmt: skip
    assert found["arxiv/0001/hep-th0001001.tex.gz"]["id"] == "arXiv:hep-th/0001001"
    assert found["arxiv/2101/2101.00001.tar.gz"]["license"] == "arXiv-unstated"
    assert found["arxiv/2101/2101.00001.tar.gz"]["republish"] is False
    assert reasons(tmp_path / "out") == {
        "2101/2101.00003.gz": "bad-gzip",
        "2101/2101.00004.gz": "no-regular-file",
        "2101/2101.00005.gz": "no-regular-file",
        "2101/2101.00008.gz": "gzip-bomb",
        "2101/../../outside.gz": "unknown-member",
    }
    assert not list(tmp_path.rglob("*outside*"))
    assert not list(tmp_path.rglob("escape"))


def test_months_and_patterns(harvest: Harvest, folder: Path, tmp_path: Path) -> None:
    harvest(manifest=str(folder / "manifest.xml"), until="2000-12")
    assert [path[-7:] for path in rows(tmp_path / "out")] == [".tex.gz", "002.pdf"]
    harvest(manifest=str(folder / "manifest.xml"), **{"from": "2001-01", "identifiers": ["*.00002"]})
    assert list(rows(tmp_path / "out")) == ["arxiv/2101/2101.00002.tar.gz"]


def test_records_choose_members_and_say_their_licence(
    harvest: Harvest, folder: Path, server: FaultyServer, tmp_path: Path
) -> None:
    listed = page(record("2101.00001", "New", CC_BY), record("2101.00002", "Other", ARXIV_LICENSE))
    server.routes["/oai"] = lambda request: request.reply(listed)
    arxiv = {"base_url": f"{server.url}/oai", "from": "2021-01-01", "until": "2021-01-02"}
    harvest(arxiv, manifest=str(folder / "manifest.xml"))
    found = rows(tmp_path / "out")
    assert list(found) == ["arxiv/2101/2101.00001.tar.gz"]
    assert found["arxiv/2101/2101.00001.tar.gz"]["title"] == "New"
    assert found["arxiv/2101/2101.00001.tar.gz"]["license"] == "CC-BY-4.0"
    assert reasons(tmp_path / "out")["2101/2101.00002.gz"] == "license-not-allowed"
    assert [row["id"] for row in read_jsonl(tmp_path / "out" / FILES / RECORDS)] == ["arXiv:2101.00002"]


@pytest.mark.parametrize(
    ("damage", "reason"), [("wrong", "wrong-digest"), ("short", "wrong-size"), ("gone", "not-there")]
)
def test_archives_are_checked_before_they_are_opened(
    damage: str, reason: str, harvest: Harvest, folder: Path, archives: dict[str, bytes]
) -> None:
    path = folder / "src/arXiv_src_2101_001.tar"
    body = archives["src/arXiv_src_2101_001.tar"]
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(body[:-512] if damage == "short" else b"x" + body[1:])
    with pytest.raises(MachineError, match=rf"bulk: 1 of 3 items failed \({reason} \(1\)\)"):
        harvest(manifest=str(folder / "manifest.xml"))


@pytest.mark.parametrize("damage", ["checksum", "sparse"])
def test_archives_whose_headers_are_nonsense(damage: str, harvest: Harvest, folder: Path) -> None:
    """The manifest agrees with the bytes, so only the archive itself is wrong."""
    strange = tarfile.TarInfo("2101/2101.00002.pdf")
    strange.pax_headers = {"GNU.sparse.map": "no,numbers"}
    body = bytearray(tar({"2101/2101.00001.pdf": PDF}, [strange]))
    if damage == "checksum":
        body[124:132] = b"\xff" * 8
    name = "src/arXiv_src_2101_001.tar"
    (folder / name).write_bytes(body)
    (folder / "manifest.xml").write_text(manifest({name: bytes(body)}))
    with pytest.raises(MachineError, match=r"bad-tar \(1\)"):
        harvest(manifest=str(folder / "manifest.xml"))


def test_from_a_mirror(
    harvest: Harvest, archives: dict[str, bytes], server: FaultyServer, folder: Path, tmp_path: Path
) -> None:
    first, second = (archives[name] for name in sorted(archives))
    server.routes |= {
        "/mirror/src/manifest.xml": lambda request: request.reply(manifest(archives)),
        "/mirror/src/arXiv_src_0001_001.tar": lambda request: request.reply(first),
        "/mirror/src/arXiv_src_2101_001.tar": [
            lambda request: request.truncated(second, 9000, ETag='"a"'),
            lambda request: request.ranged(second, '"a"'),
        ],
    }
    harvest(manifest=f"{server.url}/mirror/src/manifest.xml")
    remote = {path: (tmp_path / "out" / FILES / path).read_bytes() for path in rows(tmp_path / "out")}
    assert server.requests[-1].headers["Range"] == "bytes=9000-"
    harvest(manifest=str(folder / "manifest.xml"))
    assert {path: (tmp_path / "out" / FILES / path).read_bytes() for path in rows(tmp_path / "out")} == remote


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<arXivSRC/>", "names no archive"),
        ("<html>", "bad-xml"),
        (manifest({"src/arXiv_src_2101_001.tar": b""}, filename="../../etc/passwd"), "unsafe-name"),
        (manifest({"src/arXiv_src_2101_001.tar": b""}, size="large"), "file 1"),
        ('<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><arXivSRC>&x;</arXivSRC>', "xml-entities"),
    ],
)
def test_what_is_no_manifest(text: str, message: str, harvest: Harvest, tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(text)
    with pytest.raises(UserError, match=message):
        harvest(manifest=str(tmp_path / "m.xml"))


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        ("2101.00001v3", "2101.00001"),
        ("arXiv:0704.0001", "0704.0001"),
        ("https://arxiv.org/abs/math.GT/0309136v1", "math/0309136"),
        ("http://arxiv.org/pdf/2101.00001v2.pdf", "2101.00001"),
        ("oai:arXiv.org:hep-th/9901001", "hep-th/9901001"),
        ("2101.001", None),
        ("../2101.00001", None),
        ("hep-th/99", None),
    ],
)
def test_identifiers(written: str, identifier: str | None) -> None:
    assert normalise_id(written) == identifier


def test_months_of_identifiers() -> None:
    assert [month_of(name) for name in ("hep-th/9108001", "hep-th/0001001", "2101.00001")] == [
        "1991-08",
        "2000-01",
        "2021-01",
    ]
    assert [from_member(name) for name in ("cond-mat0001001", "2101.00001", "readme")] == [
        "cond-mat/0001001",
        "2101.00001",
        None,
    ]
