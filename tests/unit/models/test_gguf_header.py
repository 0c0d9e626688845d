from __future__ import annotations

import random
import struct
import time
import tracemalloc
from pathlib import Path

import pytest

from pico import pico_model
from sagecraft.errors import UserError
from sagecraft.models.gguf_header import read_header
from sagecraft.models.tokenizer import Tokenizer
from sagecraft.publishing.gguf import write


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gguf")
    write(pico_model(folder / "model"), folder / "m.gguf", "q8_0", "pico")
    return folder / "m.gguf"


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def head(num_tensors: int, *fields: bytes, version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, len(fields)) + b"".join(fields)


def test_settings_vocabulary_and_template_are_read(file: Path) -> None:
    header = read_header(file)
    tokenizer = Tokenizer.from_folder(file.parent / "model")
    assert header.architecture == "llama"
    assert (header.size("block_count"), header.size("context_length")) == (2, 512)
    assert header.num_tensors == 20
    assert header.fields["tokenizer.ggml.tokens"] == [tokenizer.token_text(i) or f"[PAD{i}]" for i in range(320)]
    assert len(header.fields["tokenizer.ggml.token_type"]) == 320
    assert header.fields["tokenizer.chat_template"] == tokenizer.chat_template
    assert "tokenizer.ggml.merges" not in header.fields, "arrays that nobody asks for are passed over"
    with pytest.raises(UserError, match=r"llama\.no_such is None"):
        header.size("no_such")


def test_every_cut_is_told(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for length in (5, 20, 23, 24, 100, 1000, 5000):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"cut\.gguf: the GGUF file is cut short"):
            read_header(tmp_path / "cut.gguf")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a GGUF file"),
        (b"PK\3\4 an archive", "not a GGUF file"),
        (head(0, version=1), "version 1; 2 and 3 are known"),
        (head(2**60), "cut short"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**63), "cut short"),
        (head(0, struct.pack("<Q", 2**62)) + b"x" * 40, "cut short"),
        (head(0, text("key") + struct.pack("<I", 99)) + b"x" * 40, "a value is of type 99"),
        (head(0, text("key") + struct.pack("<IIQ", 9, 9, 2**40)) + b"x" * 40, "an array is of type 9"),
        (head(0, text("key") + struct.pack("<IIQ", 9, 8, 2**40)) + b"x" * 40, "cut short"),
        (head(0, text("key") + struct.pack("<IIQ", 9, 0, 2**40)) + b"x" * 40, "cut short"),
        (head(1) + text("t") + struct.pack("<I", 2**31) + b"x" * 40, "dimensions"),
        (head(1) + text("t") + struct.pack("<IQIQ", 1, 8, 0, 2**50) + b"x" * 40, "cut short"),
        (head(0, text("general.alignment") + struct.pack("<II", 4, 0)) + b"x" * 40, "general.alignment is 0"),
    ],
)
def test_a_hostile_file_is_one_line(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.gguf").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        read_header(tmp_path / "x.gguf")
    assert "\n" not in str(caught.value)
    assert "x.gguf" in str(caught.value)


def test_more_entries_than_any_model_has_are_not_counted_through(tmp_path: Path) -> None:
    """Eight bytes a string: a file of 80 MB could ask for ten million, one of 8 GB for a thousand million."""
    with (tmp_path / "x.gguf").open("wb") as out:
        out.write(head(0, text("key") + struct.pack("<IIQ", 9, 8, 5_000_000)))
        out.truncate(50_000_000)
    with pytest.raises(UserError, match="more than 4,000,000 entries"):
        read_header(tmp_path / "x.gguf")


def test_changed_bytes_cost_neither_time_nor_memory(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    draw = random.Random(0)
    tracemalloc.start()
    started = time.monotonic()
    outcomes = set[bool]()
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(4, 12_000)
            data[at : at + 8] = draw.choice([b"\xff" * 8, bytes(8), draw.randbytes(8), struct.pack("<Q", 2**40)])
        (tmp_path / "x.gguf").write_bytes(data)
        try:
            read_header(tmp_path / "x.gguf")
            outcomes.add(True)
        except UserError:
            outcomes.add(False)
    assert outcomes == {True, False}
    assert time.monotonic() - started < 20
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
