"""The process that opens PDFs: a server that forks itself for every file. Imports only what reading a PDF needs."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
from typing import Any

from sagecraft.corpus.readers.pdf_chars import Library, read_page
from sagecraft.corpus.readers.pdf_document import compose
from sagecraft.corpus.readers.pdf_protocol import ANSWER, DIED, FAULT, FRAME, JOB
from sagecraft.corpus.readers.result import ReaderError

_PR_SET_PDEATHSIG = 1
_PASSWORD, _SECURITY = 4, 5
#: Share of pages that may be unreadable before the whole is taken for damaged.
_MAX_UNREADABLE = 0.1


def _die_with_parent() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def serve() -> None:
    """Answers jobs from standard input until it ends."""
    _die_with_parent()
    library = Library()
    gc.freeze()
    while True:
        head = sys.stdin.buffer.read(JOB.size)
        if len(head) < JOB.size:
            return
        job = json.loads(sys.stdin.buffer.read(JOB.unpack(head)[0]))
        kind, number, payload = _run(library, job)
        sys.stdout.buffer.write(FRAME.pack(kind, number, len(payload)) + payload)
        sys.stdout.buffer.flush()


def _run(library: Library, job: dict[str, Any]) -> tuple[int, int, bytes]:
    """Reads one file in a copy of this process."""
    source, sink = os.pipe()
    child = os.fork()
    if not child:
        os.close(source)
        status = 1
        try:
            _die_with_parent()
            _limit(job)
            with os.fdopen(sink, "wb") as out:
                out.write(_work(library, job))
            status = 0
        finally:
            # Nothing of the server's own (its exit handlers, its buffers) may run twice.
            os._exit(status)
    os.close(sink)
    data = _drain(source, job["output_bytes"])
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0 or not data:
        return DIED, code, b""
    if len(data) > job["output_bytes"]:
        return FAULT, 0, _told("pdf-too-large", f"more than {job['output_bytes']} bytes of text")
    return data[0], 0, data[1:]


def _drain(source: int, most: int) -> bytes:
    parts: list[bytes] = []
    length = 0
    with os.fdopen(source, "rb", buffering=0) as pipe:
        while length <= most and (part := pipe.read(1 << 20)):
            parts.append(part)
            length += len(part)
    return b"".join(parts)


def _limit(job: dict[str, Any]) -> None:
    """Limits that the system keeps, whatever the library does."""
    memory = job["memory_bytes"]
    for name, soft, hard in (
        ("RLIMIT_CPU", job["cpu_seconds"], job["cpu_seconds"] + 2),
        ("RLIMIT_AS", memory, memory),
        ("RLIMIT_CORE", 0, 0),
        ("RLIMIT_FSIZE", 0, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a system may know a limit by name and not keep it
            resource.setrlimit(getattr(resource, name), (soft, hard))
    gc.disable()


def _told(reason: str, detail: str) -> bytes:
    return json.dumps({"reason": reason, "detail": detail}).encode()


def _work(library: Library, job: dict[str, Any]) -> bytes:
    """The answer, its kind in the first byte."""
    try:
        return bytes([ANSWER]) + json.dumps(_read(library, job)).encode()
    except ReaderError as error:
        return bytes([FAULT]) + _told(error.reason, error.detail)
    except MemoryError:
        return bytes([FAULT]) + _told(
            "pdf-too-large", f"it takes more than {job['memory_bytes'] / 2**20:.0f} MiB of memory"
        )
    except RecursionError:
        return bytes([FAULT]) + _told("pdf-damaged", "drawings are nested too deeply")


def _read(library: Library, job: dict[str, Any]) -> dict[str, Any]:
    raw = library.raw
    document = raw.FPDF_LoadDocument(os.fsencode(job["path"]), None)
    if not document:
        code = raw.FPDF_GetLastError()
        if code in (_PASSWORD, _SECURITY):
            raise ReaderError("pdf-encrypted", "it asks for a password")
        raise ReaderError("pdf-damaged", "its structure cannot be read")
    num_pages = raw.FPDF_GetPageCount(document)
    if num_pages < 1:
        raise ReaderError("pdf-damaged", "it has no pages")
    if num_pages > job["pages"]:
        raise ReaderError("pdf-too-large", f"{num_pages} pages, at most {job['pages']} are read")
    pages, unreadable, num_chars = [], 0, 0
    for number in range(num_pages):
        handle = raw.FPDF_LoadPage(document, number)
        if not handle:
            unreadable += 1
            continue
        page = read_page(library, handle, job["page_chars"])
        raw.FPDF_ClosePage(handle)
        pages.append(page)
        num_chars += sum(len(word.text) for word in page.words)
        if num_chars > job["chars"]:
            raise ReaderError("pdf-too-large", f"more than {job['chars']} characters")
    if unreadable > _MAX_UNREADABLE * num_pages or not pages:
        raise ReaderError("pdf-damaged", f"{unreadable} of {num_pages} pages cannot be read")
    told = compose(pages, _meta(raw, document, b"Title"), _meta(raw, document, b"Author"))
    if unreadable:
        told["counts"]["pages_unreadable"] = unreadable
    return told


def _meta(raw: Any, document: Any, key: bytes) -> str:
    """What the file states of itself, in at most 2,000 characters."""
    buffer = ctypes.create_string_buffer(4000)
    length = raw.FPDF_GetMetaText(document, key, buffer, 4000)
    if not 2 < length <= 4000:
        return ""
    text = buffer.raw[: length - 2].decode("utf-16-le", errors="replace")
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
