"""PDFs made to break their reader: each ends as one reason, soon, and the next file is read as if nothing had been."""

import dataclasses
import os
import random
import resource
import signal
import time
import zlib

import pytest

from pdf_pages import Text, assemble, column, make, write
from sagecraft.corpus.documents import read_documents, read_dropped
from sagecraft.corpus.ingest import IngestConfig, run
from sagecraft.corpus.readers import pdf
from sagecraft.corpus.readers.pdf import LIMITS, read_pdf
from sagecraft.corpus.readers.result import ReaderError

GOOD = " ".join(
    f"The {thing} in the garden was seen from the bridge by everybody who came to the market in winter."
    for thing in ("lantern", "kettle", "candle", "saddle")
)


def good(tmp_path):
    return write(tmp_path / "good.pdf", [column(72, 740, 70, GOOD)])


def fault(path, **limits):
    with pytest.raises(ReaderError) as caught:
        read_pdf(path, path.parent, dataclasses.replace(LIMITS, **limits))
    return caught.value.reason


@pytest.fixture(autouse=True)
def _next_file_is_read(tmp_path):
    yield
    assert GOOD.strip() in " ".join(read_pdf(good(tmp_path), tmp_path).text.split())


def one_page(tmp_path, stream: bytes, length: int | None = None, extra: str = ""):
    """A page whose content is `stream` as it stands, compressed already."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (length or len(stream), stream),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources << /Font << /F0 5 0 R >> "
        + extra.encode()
        + b" >> >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
    ]
    path = tmp_path / "bad.pdf"
    path.write_bytes(assemble(objects, "/Root 1 0 R"))
    return path


def test_what_is_no_pdf(tmp_path):
    for content, reason in (
        (b"", "pdf-damaged"),
        (b"%PDF-1.7\n%%EOF\n", "pdf-damaged"),
        (b"\x00" * 5000, "pdf-damaged"),
    ):
        (tmp_path / "bad.pdf").write_bytes(content)
        assert fault(tmp_path / "bad.pdf") == reason
    assert fault(tmp_path / "missing.pdf") == "unreadable"


def test_a_truncated_file(tmp_path):
    whole = good(tmp_path).read_bytes()
    (tmp_path / "cut.pdf").write_bytes(whole[: len(whole) * 2 // 3])
    assert fault(tmp_path / "cut.pdf") == "pdf-damaged"
    # What lacks nothing but its end could be read; nobody knows what else is missing.
    (tmp_path / "cut.pdf").write_bytes(whole.replace(b"%%EOF", b""))
    assert fault(tmp_path / "cut.pdf") == "pdf-damaged"


def test_a_file_with_a_password(tmp_path):
    path = tmp_path / "locked.pdf"
    path.write_bytes(make([column(72, 740, 70, GOOD)], encrypt=True))
    assert fault(path) == "pdf-encrypted"


def test_pages_without_text(tmp_path):
    assert fault(write(tmp_path / "scan.pdf", [[], [Text(300, 30, "2")]])) == "no-text"


def test_too_many_pages_and_too_large_a_file(tmp_path):
    path = write(tmp_path / "a.pdf", [column(72, 740, 70, GOOD), column(72, 500, 70, GOOD), column(72, 300, 70, GOOD)])
    assert fault(path, pages=2) == "pdf-too-large"
    assert fault(path, file_bytes=100) == "pdf-too-large"
    assert fault(path, chars=50) == "pdf-too-large"
    assert fault(path, output_bytes=200) == "pdf-too-large"


def test_a_stream_that_unpacks_to_much_more_than_memory(tmp_path):
    packer = zlib.compressobj(1)
    stream = b"".join(packer.compress(b" " * 2**20) for _ in range(250)) + packer.flush()
    assert len(stream) < 2_000_000
    read_pdf(good(tmp_path), tmp_path)
    server, before = pdf._SERVERS[0].process.pid, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reason = fault(one_page(tmp_path, stream), memory_bytes=192 * 2**20)
    assert reason in ("pdf-too-large", "pdf-damaged")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes
    # It took nothing with it but the copy that read it.
    assert read_pdf(good(tmp_path), tmp_path).text
    assert pdf._SERVERS[0].process.pid == server


def test_a_page_that_takes_for_ever_ends_by_processor_time(tmp_path):
    # Pieces of text on top of each other.
    packer = zlib.compressobj(1)
    piece = b"BT /F0 9 Tf 1 0 0 1 72 700 Tm (words of text) Tj ET\n" * 1000
    stream = b"".join(packer.compress(piece) for _ in range(800)) + packer.flush()
    start = time.monotonic()
    assert fault(one_page(tmp_path, stream), cpu_seconds=1, wall_factor=100) == "pdf-timeout"
    assert time.monotonic() - start < 30


def test_a_reader_that_hangs_is_killed_at_its_deadline(tmp_path):
    path = good(tmp_path)
    read_pdf(path, tmp_path)
    stopped = pdf._SERVERS[0].process
    os.kill(stopped.pid, signal.SIGSTOP)
    assert fault(path, cpu_seconds=1, wall_factor=0.3) == "pdf-timeout"
    assert stopped.returncode == -signal.SIGKILL


def test_a_server_that_was_killed_is_replaced(tmp_path):
    path = good(tmp_path)
    read_pdf(path, tmp_path)
    pdf._SERVERS[0].process.kill()
    pdf._SERVERS[0].process.wait()
    assert read_pdf(path, tmp_path).text


def test_a_fork_of_the_process_has_a_server_of_its_own(tmp_path):
    path = good(tmp_path)
    read_pdf(path, tmp_path)
    child = os.fork()
    if not child:
        status = 1
        try:
            mine = pdf._SERVERS[0].process.pid
            if read_pdf(path, tmp_path).text and pdf._SERVERS[0].process.pid != mine:
                pdf._end_server()
                status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_forms_that_hold_themselves_end(tmp_path):
    stream = zlib.compress(b"q /X0 Do Q BT /F0 10 Tf 72 700 Td (" + GOOD[:90].encode() + b") Tj ET")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [4 0 R 4 0 R] /Count 2 >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 3 0 R /Resources 6 0 R >>",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>",
        b"<< /Font << /F0 5 0 R >> /XObject << /X0 7 0 R >> >>",
        b"<< /Type /XObject /Subtype /Form /BBox [0 0 600 700] /Resources 6 0 R /Length 10 >>\nstream\nq /X0 Do Q\nendstream",
    ]
    path = tmp_path / "loop.pdf"
    path.write_bytes(assemble(objects, "/Root 1 0 R"))
    assert "lantern" in read_pdf(path, tmp_path).text


def test_a_run_goes_on_past_broken_pdfs(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "good.pdf", [column(72, 740, 70, GOOD)])
    (folder / "bad.pdf").write_bytes(b"%PDF-1.5 nothing %%EOF")
    (folder / "locked.pdf").write_bytes(make([column(72, 740, 70, GOOD)], encrypt=True))
    run(IngestConfig(paths=[str(folder)]), {"path0": folder}, tmp_path / "out")
    assert [(document.id, document.format) for document in read_documents(tmp_path / "out")] == [("in/good", "pdf")]
    assert {row.id: row.reason for row in read_dropped(tmp_path / "out")} == {
        "in/bad": "pdf-damaged",
        "in/locked": "pdf-encrypted",
    }


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, a piece moved, cut or doubled; the mark at the end stays, so that the file is opened."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 3, 30))):
        place = rng.randrange(len(out))
        kind = rng.randrange(4)
        if kind == 0:
            out[place] = rng.randrange(256)
        elif kind == 1:
            del out[place : place + rng.randrange(1, 200)]
        elif kind == 2:
            out[place:place] = out[rng.randrange(len(out)) :][: rng.randrange(1, 200)]
        else:
            out[place : place + 8] = rng.choice(
                (b"99999999", b"-1", b"<<<<<<<<", b"[[[[[[[[", b"/Kids   ", b"stream\n\x00")
            )
    return bytes(out) + b"\n%%EOF\n"


def fuzz(tmp_path, num_files: int) -> int:
    rng = random.Random(7)
    seeds = [
        make([column(72, 740, 70, GOOD)] * 2),
        make([[Text(72, 700, "Title", 20), *column(72, 600, 40, GOOD)]], title="x"),
    ]
    num_read, reasons = 0, set()
    for _ in range(num_files):
        path = tmp_path / "fuzz.pdf"
        path.write_bytes(mutate(rng.choice(seeds), rng))
        try:
            num_read += bool(read_pdf(path, tmp_path).text)
        except ReaderError as error:
            reasons.add(error.reason)
    assert reasons <= {"pdf-damaged", "pdf-too-large", "pdf-encrypted", "pdf-no-encoding", "no-text"}
    return num_read


def test_mutated_files_are_read_or_refused(tmp_path):
    assert 0 < fuzz(tmp_path, 40) < 40


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_mutated_files_are_read_or_refused(tmp_path):
    assert 0 < fuzz(tmp_path, 10_000) < 10_000
