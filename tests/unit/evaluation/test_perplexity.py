from __future__ import annotations

import math
from pathlib import Path

import pytest

from sagecraft.corpus.documents import Document
from sagecraft.errors import UserError
from sagecraft.evaluation.perplexity import choose_windows, perplexity
from sagecraft.inference.local import LocalEngine

DOCUMENTS = [Document(f"d{n}", f"A star number {n} shines. " * (3 + n) + "é → 星") for n in range(12)]


@pytest.fixture(scope="module")
def engine(pico: Path) -> LocalEngine:
    return LocalEngine(pico, "float32")


def test_perplexity_is_the_mean_over_windows(engine: LocalEngine) -> None:
    result = perplexity(engine, DOCUMENTS[:1], 10_000, 32)
    ids = engine.tokenizer.encode(DOCUMENTS[0].text)
    parts = [ids[start : start + 32] for start in range(0, len(ids), 32)]
    scores = [value for part in parts if len(part) > 1 for value in engine.sequence_logprobs([part])[0]]
    assert result["num_tokens"] == len(scores)
    assert result["nats_per_token"] == pytest.approx(-sum(scores) / len(scores), abs=1e-5)
    assert result["perplexity"] == pytest.approx(math.exp(result["nats_per_token"]))
    assert result["bits_per_byte"] == pytest.approx(
        result["nats_per_token"] * result["num_tokens"] / math.log(2) / result["num_bytes"]
    )


def test_bytes_are_those_of_the_scored_text(engine: LocalEngine) -> None:
    windows, _ = choose_windows(engine, DOCUMENTS[:1], 10_000, 100_000, 0)
    first = engine.tokenizer.encode_with_offsets(DOCUMENTS[0].text)[1][0]
    assert windows[0].num_bytes == len(DOCUMENTS[0].text[first[1] :].encode())


def test_limit_is_kept_exactly_and_the_choice_is_keyed(engine: LocalEngine) -> None:
    windows, used = choose_windows(engine, DOCUMENTS, 300, 64, seed=1)
    assert sum(len(w.ids) - 1 for w in windows) == 300
    assert 1 < used < len(DOCUMENTS)
    assert choose_windows(engine, reversed(DOCUMENTS), 300, 64, seed=1)[0] == windows
    assert choose_windows(engine, DOCUMENTS, 300, 64, seed=2)[0] != windows


def test_bos_is_the_context_of_the_first_token(engine: LocalEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engine.tokenizer.__dict__, "bos_id", 1)
    windows, _ = choose_windows(engine, DOCUMENTS[:1], 10_000, 100_000, 0)
    assert windows[0].ids[0] == 1
    assert windows[0].num_bytes == len(DOCUMENTS[0].text.encode())


def test_bad_windows_and_empty_text(engine: LocalEngine) -> None:
    with pytest.raises(UserError, match=r"perplexity\.window: 1,024 is not within 2 to 512"):
        perplexity(engine, DOCUMENTS, 100, 1024)
    with pytest.raises(UserError, match="no text to measure"):
        perplexity(engine, [Document("d", "")], 100, 64)
