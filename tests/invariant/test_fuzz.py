"""Strangers' files, broken in every way: the run ends, and each file is read or kept aside with a reason that is not
a reader's own fault. Some files a reader here, ten thousand in the long campaigns."""

import gzip
import io
import json
import random
import resource
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sagecraft.artifact import keyed_hash
from sagecraft.corpus.documents import read_documents, read_dropped
from sagecraft.corpus.executors import LimitsConfig
from sagecraft.corpus.filters import FilterConfig
from sagecraft.corpus.ingest import IngestConfig, run

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"
EXAMPLES = ROOT / "examples/astronomy"
#: Pieces that readers trip over.
NASTY = (
    b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r", b"\x1b[31m", b"{" * 400, b"}" * 400, b"$$", b"$", b"\\", b"%", b"~" * 300,
    rb"\def\a{\a\a}\a", rb"\def\b#1{\b{#1#1}}\b{x}", rb"\begin{equation}", rb"\end{document}", rb"\input{/etc/passwd}",
    rb"\newcommand{\c}[9]{#9}\c", rb"\verb|", rb"\if\else\fi\fi", rb"\csname", rb"\expandafter" * 50,
    b"<!DOCTYPE x [<!ENTITY a 'b'>]>", b"<![CDATA[", b"<!--", b"<table>" * 60, b"<math><mrow>" * 60, b"</p>" * 60, b"&#0;", b"&amp" * 60,
    b"<script>", b'<a href="javascript:x">', b"|" * 500, b"#" * 500, b"[" * 500, b"```", b"---\n", b"- " * 300, b"\n" * 500,
    b'{"text":' * 100, b"[" * 5000, b"1e999999", b'"\\ud800"', b"stream\n", b"endobj", b"xref", b"/Kids [1 0 R]", b"<< /Length 99999999 >>",
)  # fmt: skip


def _pdf(lines: list[str]) -> bytes:
    """A small PDF of one page, written by hand."""
    shown = "".join(f"BT /F1 11 Tf 72 {700 - 14 * n} Td ({line}) Tj ET\n" for n, line in enumerate(lines)).encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(shown), shown),
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    start = len(out)
    return out + b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF" % (
        size,
        table,
        size,
        start,
    )


def _parquet() -> bytes:
    buffer = io.BytesIO()
    texts = [f"The spectrum of star {n} shows strong lines of ionized calcium and helium." for n in range(40)]
    table = {
        "id": [str(n) for n in range(40)],
        "text": texts,
        "authors": [["A B"]] * 40,
        "year": [2000 + n for n in range(40)],
    }
    pq.write_table(pa.table(table), buffer)
    return buffer.getvalue()


def _archive() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in (("ms.tex", (GOLDEN / "latex/paper/main.tex").read_bytes()), ("a/b.txt", b"words " * 90)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.md", "# Words\n\n" + "words " * 90)
        archive.writestr("b/c.html", "<p>" + "words " * 90)
    return buffer.getvalue()


def _rows() -> bytes:
    rows = [{"id": f"r{n}", "title": "On stars", "abstract": f"Star {n} shines. " * 9, "year": 2001} for n in range(20)]
    return "\n".join(map(json.dumps, rows)).encode()


def seeds(suffix: str) -> list[bytes]:
    """Whole files of a format."""
    made = {
        ".pdf": lambda: [_pdf([f"Line {n} of a short page about the light of stars" for n in range(30)])],
        ".parquet": lambda: [_parquet()],
        ".tar.gz": lambda: [_archive()],
        ".zip": lambda: [_zip()],
        ".jsonl": lambda: [_rows()],
        ".jsonl.gz": lambda: [gzip.compress(_rows(), mtime=0)],
        ".json": lambda: [json.dumps([json.loads(line) for line in _rows().splitlines()]).encode()],
        ".xml": lambda: seeds(".nxml") + seeds(".cnxml"),
        ".mmd": lambda: [(GOLDEN / "markup/notes.md").read_bytes(), rb"# T" + b"\n\n" + rb"As \(x\) and \[y=1\] \quad " * 40],
        ".txt": lambda: [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.txt"))[:4]],
        ".tex": lambda: [path.read_bytes() for path in [GOLDEN / "latex/paper/main.tex", *sorted(EXAMPLES.rglob("main.tex"))[:4]]],
    }  # fmt: skip
    if suffix in made:
        return made[suffix]()
    folders = (GOLDEN / "markup", EXAMPLES)
    return [path.read_bytes() for folder in folders for path in sorted(folder.rglob(f"*{suffix}"))[:6]]


def mutate(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """One to eight changes: bits, slices gone, repeated or swapped, nasty pieces, an early end, half of another file."""
    body = bytearray(data)
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(body) + 1)
        span = draw.choice((1, 4, 40, 400))
        kind = draw.randrange(8)
        if kind == 0 and body:
            body[min(at, len(body) - 1)] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del body[at : at + span]
        elif kind == 2:
            body[at:at] = body[at : at + span] * draw.choice((1, 2, 60))
        elif kind == 3:
            body[at:at] = draw.choice(NASTY)
        elif kind == 4:
            body[at:at] = draw.randbytes(span)
        elif kind == 5 and draw.random() < 0.3:
            del body[at:]
        elif kind == 6 and draw.random() < 0.3:
            body[at:] = other[draw.randrange(len(other) + 1) :]
        else:
            start = draw.randrange(len(body) + 1)
            body[at : at + span] = body[start : start + span]
    return bytes(body)


def write_files(folder: Path, suffix: str, count: int) -> None:
    """`count` broken files; of LaTeX each in a folder of its own, since a folder is one document."""
    whole = seeds(suffix)
    assert whole, f"no seeds for {suffix}"
    for number in range(count):
        draw = random.Random(keyed_hash("fuzz", suffix, number))
        data = mutate(draw.choice(whole), draw.choice(whole), draw)
        path = folder / f"f{number:05d}{suffix}" if suffix != ".tex" else folder / f"f{number:05d}/main.tex"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


SUFFIXES = (
    ".tex", ".html", ".cnxml", ".nxml", ".xml", ".md", ".mmd", ".txt", ".pdf", ".jsonl", ".jsonl.gz", ".json", ".parquet", ".tar.gz",
    ".zip",
)  # fmt: skip


def campaign(tmp_path: Path, suffix: str, count: int) -> Counter[str]:
    folder, out = tmp_path / "lit", tmp_path / "out"
    write_files(folder, suffix, count)
    (folder / "whole.txt").write_text("A corpus without one whole document is refused.")
    config = IngestConfig(
        paths=[str(folder)], filters=FilterConfig(min_words=1), limits=LimitsConfig(document_seconds=60)
    )
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of tests before this one
    run(config, {"path0": folder}, out)
    told: set[str] = set()
    reasons: Counter[str] = Counter()
    for row in read_documents(out):
        told.add(row.source.removeprefix(f"{folder}/").split("/")[0].split(".")[0])
        reasons["read"] += 1
    for row in read_dropped(out):
        told.add(row.source.removeprefix(f"{folder}/").split("/")[0].split(".")[0])
        reasons[row.reason] += 1
        assert not row.reason.startswith("reader-"), f"{row.source}: {row.reason}: {row.detail}"
    assert told == {"whole", *(f"f{number:05d}" for number in range(count))}
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # a child counts what it was forked from
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss <= max(own, others, 2**20), "a worker took over 1 GiB"
    return reasons


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_broken_files_are_read_or_kept_aside(tmp_path, suffix):
    assert campaign(tmp_path, suffix, 40)


@pytest.mark.soak
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ten_thousand_broken_files_a_reader(tmp_path, suffix):
    reasons = campaign(tmp_path, suffix, 10_000)
    print(suffix, dict(reasons))  # noqa: T201
