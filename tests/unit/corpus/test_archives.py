"""Archives of strangers: what is in them is read like a folder, and nothing of them gets out."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from sagecraft.corpus.documents import read_documents, read_dropped
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.ingest import IngestConfig, run
from sagecraft.corpus.readers.result import ReaderError
from sagecraft.corpus.sources import archives
from sagecraft.corpus.sources.archives import Budget, sniff, unpack

PAPER = rb"\documentclass{article}\title{On %s}\begin{document}\maketitle The value is $x_%s=1$ today.\end{document}"


def paper(name: str) -> bytes:
    return PAPER % (name.encode(), name.encode())


def tar_bytes(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def zip_bytes(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def ingest(tmp_path: Path, files: dict[str, bytes]):
    folder = tmp_path / "lit"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    out = tmp_path / "out"
    run(IngestConfig(paths=[str(folder)], filters=FilterConfig(min_words=1)), {"path0": folder}, out)
    return {row.id: row for row in read_documents(out)}, {row.id: row for row in read_dropped(out)}


def test_the_forms_in_which_papers_come(tmp_path):
    found, dropped = ingest(
        tmp_path,
        {
            "2401.00001v2": tar_bytes({"ms.tex": paper("a"), "anc/notes.txt": b"never a document", "fig.png": b"x"}),
            "2401.00002.gz": gzip.compress(paper("b")),
            "2401.00003.tar.gz": tar_bytes({"./deep/ms.tex": paper("c"), "deep/00README.json": b"{}"}),
            "2401.00004.gz": tar_bytes({"ms.tex": paper("d")}),
            "2401.00005": paper("e"),
            "books.zip": zip_bytes({"one.md": b"# First\n\nof two", "b/two.txt": b"Second\n\nof two"}),
            "bulk.tar": tar_bytes(
                {
                    "2402/2402.00001.gz": gzip.compress(paper("f")),
                    "2402/2402.00002.gz": tar_bytes({"x.tex": paper("g")}),
                },
                "w",
            ),
            "hep-th9901001.tar.bz2": tar_bytes({"x.tex": paper("h")}, "w:bz2"),
        },
    )
    assert not dropped
    assert {name: row.format for name, row in found.items()} == {
        "lit/2401.00001v2": "latex",
        "lit/2401.00002": "latex",
        "lit/2401.00003": "latex",
        "lit/2401.00004": "latex",
        "lit/2401.00005": "latex",
        "lit/books/one": "markdown",
        "lit/books/b/two": "text",
        "lit/bulk/2402/2402.00001": "latex",
        "lit/bulk/2402/2402.00002": "latex",
        "lit/hep-th9901001": "latex",
    }
    assert found["lit/2401.00001v2"].source.endswith("lit/2401.00001v2/ms.tex")
    assert "$x_g=1$" in found["lit/bulk/2402/2402.00002"].text


def test_a_sidecar_speaks_of_the_paper_in_the_archive(tmp_path):
    rows = b'{"path": "a.tar.gz", "id": "arxiv:1", "title": "Stated", "license": "CC0"}\n'
    rows += b'{"path": "b.zip", "id": "arxiv:2", "license": "MIT"}\n'
    found, _ = ingest(
        tmp_path,
        {
            "metadata.jsonl": rows,
            "a.tar.gz": tar_bytes({"ms.tex": paper("a")}),
            "b.zip": zip_bytes({"one.txt": b"one text", "two.txt": b"two texts"}),
        },
    )
    assert {name: (row.title, row.license) for name, row in found.items()} == {
        "arxiv:1": ("Stated", "CC0-1.0"),
        "lit/b/one": ("", "MIT"),
        "lit/b/two": ("", "MIT"),
    }


def test_no_member_leaves_the_folder(tmp_path):
    names = ["../out.txt", "/etc/out.txt", "a/../../out.txt", "..\\out.txt", "C:\\out.txt"]
    archives = {f"t{n}.tar.gz": tar_bytes({name: b"x", "in.txt": b"tar %d" % n}) for n, name in enumerate(names)}
    archives |= {f"z{n}.zip": zip_bytes({name: b"x", "in.txt": b"zip %d" % n}) for n, name in enumerate(names)}
    found, dropped = ingest(tmp_path, archives)
    assert len(found) == 10
    assert [row.reason for row in dropped.values()] == ["outside-root"] * 10
    assert not list(tmp_path.rglob("out.txt"))
    assert not Path("/etc/out.txt").exists()


def test_links_and_devices_are_refused(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, kind in (
            ("s", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
            ("c", tarfile.CHRTYPE),
            ("p", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(f"{name}.txt")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("real.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"real"))
    info = zipfile.ZipInfo("link.txt")
    info.external_attr = 0o120777 << 16
    linked = io.BytesIO()
    with zipfile.ZipFile(linked, "w") as archive:
        archive.writestr(info, "/etc/passwd")
        archive.writestr("real.txt", "real too")
    found, dropped = ingest(tmp_path, {"a.tar.gz": buffer.getvalue(), "b.zip": linked.getvalue()})
    assert {name: row.text for name, row in found.items()} == {"lit/a": "real", "lit/b": "real too"}
    assert sorted(name for name, row in dropped.items() if row.reason == "not-a-file") == [
        "lit/a/c.txt", "lit/a/h.txt", "lit/a/p.txt", "lit/a/s.txt", "lit/b/link.txt",
    ]  # fmt: skip


def test_bombs_end_at_the_budget(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_FREE_BYTES", 1_000_000)
    zeros = bytes(20_000_000)
    for name, content in {
        "a.tar.gz": tar_bytes({"a.txt": zeros}),
        "b.zip": zip_bytes({"b.txt": zeros}),
        "c.gz": gzip.compress(zeros),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ReaderError, match="archive-too-large"):
            unpack(path, path.suffixes[-1] if name[0] != "a" else ".tar.gz", tmp_path / name[0], Budget.of(path))
        made = sum(file.stat().st_size for file in (tmp_path / name[0]).rglob("*") if file.is_file())
        assert made < 2_100_000
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 10)
    path = tmp_path / "many.tar"
    path.write_bytes(tar_bytes({f"{number}.txt": b"" for number in range(20)}, "w"))
    with pytest.raises(ReaderError, match="members"):
        unpack(path, ".tar", tmp_path / "many", Budget(10**6, 10))


def test_archives_in_archives_share_one_budget_and_end_at_a_depth(tmp_path, monkeypatch):
    inner = zip_bytes({"deepest.txt": b"at the bottom"})
    for level in range(4):
        inner = zip_bytes({f"level{level}.zip": inner, f"text{level}.txt": f"words of level {level}".encode()})
    found, dropped = ingest(tmp_path, {"top.zip": inner})
    assert len(found) == 3
    assert {row.reason for row in dropped.values()} == {"archive-too-deep"}


def test_damaged_archives_are_named(tmp_path):
    whole = {"a.tar.gz": tar_bytes({"a.txt": b"words " * 400}), "b.zip": zip_bytes({"b.txt": b"words " * 400})}
    whole["c.gz"] = gzip.compress(bytes(range(256)) * 40)
    cuts = (1, 40, 200)
    files = {f"{cut}/{name}": content[: max(10, len(content) - cut)] for name, content in whole.items() for cut in cuts}
    files["good.txt"] = b"some words"
    found, dropped = ingest(tmp_path, files)
    assert set(found) == {"lit/good"}
    assert {row.reason for row in dropped.values()} <= {"bad-archive", "binary", "no-reader"}
    assert {f"lit/{cut}/{name}" for cut in cuts for name in "abc"} <= set(dropped)


def test_odd_names_and_what_stands_behind_an_archive(tmp_path):
    latin = tar_bytes({"r\udce9sum\udce9.txt": b"a summary", "arXiv:2401/x.txt": b"a colon", "Note: y.txt": b"another"})
    found, dropped = ingest(
        tmp_path,
        {
            "names.tar.gz": latin,
            "behind.tar.gz": tar_bytes({"x.txt": b"garbage behind"}) + b"garbage",
            "how-to.md.gz": gzip.compress(b"# How to\n\nWrite \\documentclass{article} at the top."),
            "page.txt.gz": gzip.compress(b"<html> opens a page"),
            "other.txt": b"other words",
            "twice/x.txt": b"from the folder",
            "twice.zip": zip_bytes({"x.txt": b"from the archive", "y.txt": b"and one more"}),
        },
    )
    assert not dropped
    assert {name: row.format for name, row in found.items()} == {
        "lit/names/résumé": "text",
        "lit/names/arXiv:2401/x": "text",
        "lit/names/Note: y": "text",
        "lit/behind": "text",
        "lit/how-to.md": "markdown",
        "lit/page.txt": "text",
        "lit/other": "text",
        "lit/twice/x": "text",
        "lit/twice.zip/x": "text",
        "lit/twice.zip/y": "text",
    }
    assert found["lit/behind"].text == "garbage behind"


def test_unpacking_says_that_it_is_at_work(tmp_path):
    path = tmp_path / "a.zip"
    path.write_bytes(zip_bytes({"a.txt": bytes(5 << 20)}))
    told = []
    unpack(path, ".zip", tmp_path / "a", Budget.of(path, lambda: told.append(1)))
    assert len(told) >= 5


def test_an_encrypted_archive_is_named(tmp_path):
    content = bytearray(zip_bytes({"a.txt": b"secret words"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.index(signature) + offset
        struct.pack_into("<H", content, at, struct.unpack_from("<H", content, at)[0] | 1)
    _, dropped = ingest(tmp_path, {"a.zip": bytes(content), "b.txt": b"some words"})
    assert [row.reason for row in dropped.values()] == ["archive-encrypted"]


def test_a_faulty_sidecar_in_an_archive_ends_nothing(tmp_path):
    found, dropped = ingest(
        tmp_path, {"a.zip": zip_bytes({"metadata.jsonl": b"{not json", "a.txt": b"words"}), "b.txt": b"some words"}
    )
    assert set(found) == {"lit/b"}
    assert dropped["lit/a"].reason == "bad-sidecar"
    assert str(tmp_path / "out") not in dropped["lit/a"].detail


def test_first_bytes_tell_what_a_file_is(tmp_path):
    file = tmp_path / "x"
    for content, kind in (
        (b"%PDF-1.7 ...", ".pdf"),
        (gzip.compress(b"x"), ".gz"),
        (tar_bytes({"a": b"b"}, "w"), ".tar"),
        (b"% comment\n\\documentclass{x}", ".tex"),
        (b"  <!DOCTYPE HTML><p>", ".html"),
        (b"plain words", None),
        (b"", None),
    ):
        file.write_bytes(content)
        assert sniff(file) == kind


def test_a_file_of_no_documents_is_named(tmp_path):
    files = {"a.zip": zip_bytes({"picture.png": b"x"}), "b.jsonl": b"\n\n", "c.jsonl.gz": gzip.compress(b"\n")}
    found, dropped = ingest(tmp_path, files | {"good.txt": b"some words"})
    assert set(found) == {"lit/good"}
    assert {name: row.reason for name, row in dropped.items()} == dict.fromkeys(
        ("lit/a", "lit/b", "lit/c"), "no-documents"
    )
