"""The parity gate: a model as we compute it gives the logits that transformers gives for its folder, or the run stops.

Two conversion bugs cost the published pipeline weeks (`paper-facts`: grouped-query weights split wrongly, epsilon at
the wrong place). Comparing logits on fixed text and on keyed random tokens finds both in seconds. Called after every
load for training, every conversion and every save.

What one check covers: a prose row and a row of random tokens (the padding rows of the vocabulary among them), packed
as in training; a row whose positions are spread over the whole context, so that rotary scaling counts at the distances
it is made for; a row longer than the sliding window, if there is one and that is cheap. A model that does not fit into
memory is computed layer by layer on both sides (`streaming`): all its layers count either way.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from sagecraft import console
from sagecraft.artifact import keyed_hash
from sagecraft.errors import MachineError, UserError
from sagecraft.models.config import parse_config, read_config, supported
from sagecraft.models.decoder import Decoder
from sagecraft.models.foreign import ForeignDecoder, load_with_transformers
from sagecraft.models.load import (
    Dtype,
    empty_model,
    hugging_face_name,
    list_tensors,
    load_model,
    parameters_by_file_name,
)
from sagecraft.models.streaming import fits, stream_model, stream_oracle
from sagecraft.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Model = Decoder | ForeignDecoder

#: Allowed difference of logits as a share of their standard deviation in the row, by the type of the computation: the
#: largest difference of all; in bf16 the median over positions of the root mean square, because there rounding alone
#: may throw one position of random tokens off by five spreads (SmolLM2-135M). Measured: see docs/models.md.
TOLERANCES: Mapping[torch.dtype, float] = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 0.25}

#: Fixed text of several kinds: prose, numbers, mathematics, code, other scripts.
PROBE = (
    "The measured value is 3.14159 ± 0.002 at 95 % confidence, so $E = mc^2$ holds.\n"
    "def f(x):\n    return x ** 2  # naïve\n\nÜber 1,024 Sterne; Ωₘ ≈ 0.3; 天文学.\n"
)
_NUM_RANDOM = 64
#: Tokens of a row where a merge is checked: 2 × 32 through a 1.1 B model take 1.4 s of two cores, 293 took 6.4 s.
_NUM_SHORT = 32
#: A window is crossed by a probe if that takes no more floating-point operations on each side: ten seconds or so of a
#: workstation, and enough for Gemma 3 4B.
_WINDOW_FLOP = 1e13


@dataclass(frozen=True)
class Probe:
    """A row of tokens on which models are compared.

    Attributes:
        ids: the tokens.
        positions: of each token, rising; None counts from 0.
        num_compared: logits of so many tokens, the last ones, are compared.
    """

    ids: Sequence[int]
    positions: Sequence[int] | None = None
    num_compared: int = 0

    @property
    def is_plain(self) -> bool:
        """Whether it can be packed with others."""
        return self.positions is None and not self.num_compared

    @property
    def farthest(self) -> int:
        """Largest distance of two positions."""
        return self.positions[-1] if self.positions is not None else len(self.ids) - 1


@dataclass(frozen=True)
class Parity:
    """Largest difference of two sets of logits.

    Attributes:
        max_difference: absolute.
        relative: what `TOLERANCES` limits, of the row where it is largest.
        num_positions: tokens whose logits were compared.
        farthest: largest distance of two positions, in tokens.
        tolerance: what `relative` may be.
        by_layer: the model was too large for memory, so both sides were computed layer by layer.
    """

    max_difference: float
    relative: float
    num_positions: int
    farthest: int
    tolerance: float
    by_layer: bool

    def __str__(self) -> str:
        """A line for the user."""
        way = ", computed layer by layer," if self.by_layer else ""
        return (
            f"logit parity with transformers{way} over {self.num_positions} positions and distances to "
            f"{self.farthest:,} tokens: they differ by {self.relative:.2g} of their spread at most"
        )

    def stats(self) -> dict[str, Any]:
        """The figures for a manifest; the difference in two digits."""
        return {
            "parity_difference": float(f"{self.relative:.1e}"),
            "parity_tolerance": self.tolerance,
            "parity_positions": self.num_positions,
            "parity_farthest": self.farthest,
        }


def probes(tokenizer: Tokenizer, vocab_size: int, max_positions: int, window: int | None = None) -> list[Probe]:
    """The rows: fixed text, random tokens, the same over the whole context, and one that crosses a window of tokens."""
    numbers = random.Random(keyed_hash(0, "parity"))  # noqa: S311  no secrets here

    def draw(count: int) -> list[int]:
        return [numbers.randrange(vocab_size) for _ in range(count)]

    rows = [Probe(tokenizer.encode(PROBE)), Probe(draw(_NUM_RANDOM))]
    if max_positions > 2 * _NUM_RANDOM:
        spread = sorted(numbers.sample(range(1, max_positions - 1), _NUM_RANDOM - 2))
        rows.append(Probe(draw(_NUM_RANDOM), [0, *spread, max_positions - 1]))
    if window is not None:
        rows.append(Probe(draw(window + _NUM_RANDOM), num_compared=_NUM_RANDOM))
    return rows


def check_folder(folder: Path, dtype: Dtype = "float32") -> Parity:
    """Computes a folder our way and transformers' way, one after the other, and compares.

    Args:
        folder: a Hugging Face folder.
        dtype: of both computations.

    Raises:
        UserError: the folder is no model that can be loaded.
        MachineError: the logits differ.
    """
    rows, ours, by_layer = _our_side(folder, dtype)
    theirs = oracle_logits(folder, rows, getattr(torch, dtype))
    return _judge(folder, rows, (ours, theirs), getattr(torch, dtype), by_layer)


def check_by_layer(folder: Path, opening: Sequence[int]) -> tuple[Parity, int]:
    """The same in float32 with few tokens, one pass of the folder on each side, in the memory of a layer whatever the model.

    Args:
        folder: of a family that our decoder computes.
        opening: tokens that the text begins with.

    Returns:
        The comparison, and the likeliest token behind `opening`.

    Raises:
        UserError: the folder is no model that can be loaded.
        MachineError: values of a layer are not finite, or the logits differ.
    """
    model = stream_model(folder, torch.float32)
    rows = short_probes(opening, Tokenizer.from_folder(folder), model)
    ours = our_logits(model, rows)
    del model  # it holds a layer's memory
    theirs = their_logits(stream_oracle(folder, torch.float32), rows)
    parity = _judge(folder, rows, (ours, theirs), torch.float32, by_layer=True)
    return parity, int(ours[0][min(len(opening), len(ours[0])) - 1].argmax())


def short_probes(opening: Sequence[int], tokenizer: Tokenizer, model: Decoder) -> list[Probe]:
    """Two rows at the same positions: text behind an opening, and random tokens; half of them reach over the whole context."""
    numbers, num_rows = random.Random(keyed_hash(0, "parity")), _num_rows(model, tokenizer)  # noqa: S311
    count = min(_NUM_SHORT, model.config.max_positions)
    noise = [numbers.randrange(num_rows) for _ in range(2 * count)]
    near = min(max(len(opening), count // 2), count - 1)
    far = sorted(numbers.sample(range(near, model.config.max_positions - 1), count - near - 1))
    positions = [*range(near), *far, model.config.max_positions - 1]
    text = [*opening, *tokenizer.encode(PROBE), *noise[count:]][:count]
    return [Probe(text, positions), Probe(noise[:count], positions)]


def check_model(model: Model, folder: Path) -> Parity:
    """Compares a model in memory, as loaded from a folder or as saved to it, with transformers' load of the folder.

    Where the folder stores narrower numbers than the model computes with, the model's weights are rounded for the time
    of the comparison: what is left is a difference of the computation, which has one tolerance.

    Raises:
        MachineError: the logits differ.
    """
    dtype = model.lm_head.weight.dtype
    rows = rows_for(model, Tokenizer.from_folder(folder))
    with _as_stored(model, folder):
        ours = our_logits(model, rows)
    by_layer = isinstance(model, Decoder) and not fits(folder, dtype)
    return _judge(folder, rows, (ours, oracle_logits(folder, rows, dtype)), dtype, by_layer)


def check_saved(weights: Mapping[str, Tensor], source: Path, folder: Path) -> Parity:
    """Compares weights in memory, in the architecture of the folder they began in, with transformers' load of their own.

    Args:
        weights: Hugging Face name → what was written to `folder`, tied ones once.
        source: the folder whose architecture it is; of a family that only transformers computes, nothing but the
            folder's own consistency is checked.
        folder: what was saved.

    Raises:
        MachineError: the logits differ.
    """
    config = read_config(source)
    if not supported(config):
        return check_folder(folder)
    model = empty_model(parse_config(config, source / "config.json"), torch.float32)
    names = {name: hugging_face_name(name) for name, _ in model.named_parameters()}
    model.load_state_dict({name: weights[stored].float() for name, stored in names.items()}, strict=False, assign=True)
    if model.config.tied_embeddings:
        model.lm_head.weight = model.embed_tokens.weight
    return check_model(model.eval(), folder)


def check_conversion(source: PreTrainedModel | Path, folder: Path) -> Parity:
    """Compares a folder, computed either way, with what it was made from.

    Args:
        source: a transformers model in float32, or a folder that transformers loads when our side has made room.
        folder: what was made of it.

    Raises:
        MachineError: the logits differ.
    """
    rows, ours, by_layer = _our_side(folder, "float32")
    parity = _judge(folder, rows, (ours, oracle_logits(folder, rows, torch.float32)), torch.float32, by_layer)
    model = load_with_transformers(source, torch.float32) if isinstance(source, Path) else source
    made = _judge(folder, rows, (ours, their_logits(model, rows)), torch.float32, by_layer)
    return max(parity, made, key=lambda found: found.relative)


def _our_side(folder: Path, dtype: Dtype) -> tuple[list[Probe], list[Tensor], bool]:
    """The probes, our logits of them, and whether the model was computed layer by layer; the model is gone again."""
    by_layer = supported(read_config(folder)) and not fits(folder, getattr(torch, dtype))
    if by_layer:
        model: Model = stream_model(folder, getattr(torch, dtype))
        rows = rows_for(model, Tokenizer.from_folder(folder))
    else:
        loaded = load_model(folder, dtype)
        model, rows = loaded.model, rows_for(loaded.model, loaded.tokenizer)
    return rows, our_logits(model, rows), by_layer


def rows_for(model: Model, tokenizer: Tokenizer) -> list[Probe]:
    """The probes that suit a model."""
    num_rows = _num_rows(model, tokenizer)
    if not isinstance(model, Decoder):  # positions are the library's own affair
        return probes(tokenizer, num_rows, 0)
    config, window = model.config, model.config.sliding_window
    if window is not None:
        flop = 2.0 * config.num_parameters(embedding=False) * (window + _NUM_RANDOM)
        if flop > _WINDOW_FLOP or window + _NUM_RANDOM > config.max_positions:
            console.say(
                f"  the window of {window:,} tokens is too long to be crossed by a check of parity: not compared"
            )
            window = None
    return probes(tokenizer, num_rows, config.max_positions, window)


def _num_rows(model: Model, tokenizer: Tokenizer) -> int:
    """Rows of the embedding, which must be enough for the tokenizer."""
    num_rows = model.lm_head.weight.shape[0]
    if max(tokenizer.encode(PROBE)) >= num_rows:
        raise UserError(
            f"{tokenizer.folder}: its tokenizer has tokens beyond the {num_rows:,} rows of its embedding; take the "
            "tokenizer that belongs to the weights"
        )
    return num_rows


@torch.no_grad()
def our_logits(model: Model, rows: Sequence[Probe]) -> list[Tensor]:
    """Logits [T, V] of each row; rows with ordinary positions run packed, as in training."""
    plain = [row for row in rows if row.is_plain]
    ids = torch.tensor([token for row in plain for token in row.ids])
    boundaries = [0, *itertools.accumulate(len(row.ids) for row in plain)]
    with contextlib.ExitStack() as stack:
        if isinstance(model, ForeignDecoder) and model.lm_head.weight.dtype == torch.float64:
            stack.enter_context(without_narrowing())  # as the library's side is computed
        whole = model(ids, boundaries=boundaries) if plain else torch.empty(0)
        packed = iter(torch.split(whole, [len(row.ids) for row in plain]))
    found: list[Tensor] = []
    for row, alike in _side_by_side(rows):
        if row.is_plain:
            found.append(model.logits(next(packed)))
            continue
        settings = {} if row.positions is None else {"positions": torch.tensor(row.positions)}
        hidden: Tensor = model(torch.tensor([other.ids for other in alike]), **settings)
        found += model.logits(hidden[:, -row.num_compared :])
    return found


def _side_by_side(rows: Sequence[Probe]) -> Iterator[tuple[Probe, list[Probe]]]:
    """Neighbours that can go through a model in one pass, for they have the same positions: the first, and all of them."""
    for positions, group in itertools.groupby(rows, key=lambda row: row.positions):
        alike = list(group)
        if positions is None:
            yield from ((row, [row]) for row in alike)
        else:
            yield alike[0], alike


@torch.no_grad()
def their_logits(model: PreTrainedModel, rows: Sequence[Probe]) -> list[Tensor]:
    """The same of a transformers model, in its own arithmetic (float64: without its detours over float32)."""
    found: list[Tensor] = []
    with contextlib.ExitStack() as stack:
        if model.dtype == torch.float64:
            stack.enter_context(without_narrowing())
        for row, alike in _side_by_side(rows):
            ids, settings = torch.tensor([other.ids for other in alike]), dict[str, Any]()
            if row.positions is not None:  # with a mask, else it takes a jump for a new document
                settings.update(position_ids=torch.tensor(row.positions).expand_as(ids))
                settings.update(attention_mask=torch.ones_like(ids))
            if row.num_compared:
                settings.update(logits_to_keep=row.num_compared)
            found += model(input_ids=ids, use_cache=False, **settings).logits
    return found


def oracle_logits(folder: Path, rows: Sequence[Probe], dtype: torch.dtype) -> list[Tensor]:
    """Logits of transformers' own load of a folder, layer by layer if memory does not hold it."""
    if supported(read_config(folder)) and not fits(folder, dtype):
        return their_logits(stream_oracle(folder, dtype), rows)
    return their_logits(load_with_transformers(folder, dtype), rows)


class _Wide(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        settings = dict(kwargs or {})
        narrows = func is torch.ops.aten._to_copy.default and settings.get("dtype") == torch.float32
        if narrows and args[0].dtype == torch.float64:
            settings["dtype"] = torch.float64
        return func(*args, **settings)


def without_narrowing() -> TorchDispatchMode:
    """A context in which float64 stays wide.

    transformers computes norms in float32 whatever the weights are, which hides differences of 1e-7.
    """
    return _Wide()  # type: ignore[no-untyped-call]


_STORED = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@contextlib.contextmanager
def _as_stored(model: nn.Module, folder: Path) -> Iterator[None]:
    """Rounds the weights to the types of a folder, and gives them back."""
    records = list_tensors(folder)
    kept: list[tuple[nn.Parameter, Tensor]] = []
    try:
        for name, parameter in parameters_by_file_name(model).items():
            stored = _STORED.get(records[name].dtype) if name in records else None
            if stored is not None and stored.itemsize < parameter.dtype.itemsize:
                kept.append((parameter, parameter.data))
                parameter.data = parameter.data.to(stored).to(parameter.dtype)
        yield
    finally:
        for parameter, value in kept:
            parameter.data = value


def compare(ours: Sequence[Tensor], theirs: Sequence[Tensor], dtype: torch.dtype) -> tuple[float, float]:
    """Largest difference of the rows' logits [T, V]: absolute, and as `TOLERANCES` has it for a type."""
    largest, relative = [], []
    for one, two in zip(ours, theirs, strict=True):
        if one.shape != two.shape:
            raise MachineError(f"logits of shape {list(one.shape)} and {list(two.shape)} cannot be compared")
        wide = two.double()
        difference = (one.double() - wide).abs()
        largest.append(difference.max())
        limited = difference.pow(2).mean(-1).sqrt().median() if dtype == torch.bfloat16 else difference.max()
        relative.append(limited / wide.std().clamp(min=1e-12))
    # torch's maximum keeps a NaN, Python's loses it: models that compute nonsense must not pass
    return torch.stack(largest).max().item(), torch.stack(relative).max().item()


def _judge(
    folder: Path, rows: Sequence[Probe], sides: tuple[Sequence[Tensor], Sequence[Tensor]], dtype: torch.dtype,
    by_layer: bool,
) -> Parity:  # fmt: skip
    """The figures of a comparison; stops the run if the difference is over the tolerance, or not a number."""
    difference, relative = compare(*sides, dtype)
    parity = Parity(
        max_difference=difference,
        relative=relative,
        num_positions=sum(len(side) for side in sides[0]),
        farthest=max(row.farthest for row in rows),
        tolerance=TOLERANCES[dtype],
        by_layer=by_layer,
    )
    if not relative <= parity.tolerance:
        raise MachineError(
            f"{folder}: its logits differ from those of transformers by {difference:.3g} ({relative:.3g} of their "
            f"spread, {parity.tolerance:g} is allowed); the model is computed or was converted wrongly, nothing was kept"
        )
    return parity
