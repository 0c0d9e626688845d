"""Loss of documents under a small model: the same as one by one, resumed without doing anything twice, and a filter."""

import json
import math

import pyarrow.parquet as pq
import pytest
import torch
from pydantic import ValidationError

from sagecraft.corpus.documents import Document, read_documents, read_dropped, write_documents
from sagecraft.corpus.loss import LossConfig, judge, losses_of, measure, run
from sagecraft.errors import MachineError, UserError
from sagecraft.inference.local import LocalEngine

TEXTS = [
    "The light of a distant star takes many years.",
    "",
    "a",
    *[f"Word {n} of text {n * n}. " * (n + 1) for n in range(70)],
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    from pico import pico_model

    return LocalEngine(pico_model(tmp_path_factory.mktemp("loss") / "model"), "float32")


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    write_documents(folder, [Document(id=f"d{n}", text=text) for n, text in enumerate(TEXTS)])
    return folder


def test_losses_are_those_of_a_plain_forward_pass(engine):
    found = losses_of(engine, TEXTS, 24)
    bos = [] if engine.tokenizer.bos_id is None else [engine.tokenizer.bos_id]
    for text, (loss, count) in zip(TEXTS, found, strict=True):
        ids = [*bos, *engine.tokenizer.encode(text)][:24]
        if len(ids) < 2:
            assert (loss, count) == (None, 0)
            continue
        with torch.inference_mode():
            logits = engine.model.logits(engine.model(torch.tensor([ids]))[0, :-1])
            expected = torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:])).item()
        assert loss == pytest.approx(expected, abs=1e-4)
        assert count == len(ids) - 1


def test_a_killed_run_measures_no_chunk_twice(engine, documents, tmp_path, monkeypatch):
    whole = measure(engine, documents, 16, tmp_path / "a")
    assert len(whole) == len(TEXTS)
    (tmp_path / "a/000001.json").unlink()
    asked = []
    real = engine.sequence_logprobs
    monkeypatch.setattr(engine, "sequence_logprobs", lambda batch: asked.append(len(batch)) or real(batch))
    assert measure(engine, documents, 16, tmp_path / "a") == whole
    assert asked == [len(TEXTS) - 64]


def test_a_threshold_drops_what_is_beyond_it(engine, documents, tmp_path):
    inputs = {"documents": documents, "model": engine.path}
    first = run(LossConfig(max_tokens=16), inputs, tmp_path / "all")
    rows = pq.read_table(tmp_path / "all/losses.parquet").to_pylist()
    assert first.stats["num_dropped"] == 0
    assert [row["id"] for row in rows] == [document.id for document in read_documents(tmp_path / "all")]
    losses = sorted(row["loss"] for row in rows if row["loss"] is not None)
    limit = losses[len(losses) // 2]
    manifest = run(LossConfig(max_tokens=16, max_loss=limit), inputs, tmp_path / "half")
    high = {row["id"] for row in rows if row["loss"] is not None and row["loss"] > limit}
    assert high
    assert {row.id for row in read_dropped(tmp_path / "half")} == high
    assert manifest.stats["dropped"] == {"high-loss": len(high)}
    assert {document.id for document in read_documents(tmp_path / "half")} == {row["id"] for row in rows} - high
    page = (tmp_path / "half/report.html").read_text()
    assert "max_loss" in page
    assert f"drops {len(high)}" in page
    assert run(LossConfig(max_tokens=16), inputs, tmp_path / "again") == first
    json.dumps(manifest.stats, allow_nan=False)


def test_judging():
    config = LossConfig(min_loss=1.0, max_loss=5.0)
    assert judge(None, config) is None
    assert judge(3.0, config) is None
    assert judge(5.1, config) == ("high-loss", "5.1 nats per token; max_loss allows at most 5")
    assert judge(0.9, config) == ("low-loss", "0.9 nats per token; min_loss asks for at least 1")
    assert judge(99.0, LossConfig()) is None


def test_what_cannot_be(engine, documents, tmp_path, monkeypatch):
    with pytest.raises(ValidationError, match="nothing would be kept"):
        LossConfig(min_loss=5.0, max_loss=1.0)
    inputs = {"documents": documents, "model": engine.path}
    with pytest.raises(UserError, match=r"max_tokens: 1,000,000 is more than"):
        run(LossConfig(max_tokens=1_000_000), inputs, tmp_path / "out")
    monkeypatch.setattr(engine, "sequence_logprobs", lambda batch: [[math.nan] for _ in batch])
    with pytest.raises(MachineError, match="no numbers"):
        losses_of(engine, ["some text"], 16)
