"""A merge with its models found and its parameters in order, whichever form it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sagecraft.errors import UserError
from sagecraft.merging.config import MergekitConfig, ModelEntry, SliceSource, Stretch, find_method
from sagecraft.merging.methods import METHODS, Method
from sagecraft.merging.parameters import Dtype, GlobalParameters, ModelParameters
from sagecraft.merging.tokenizer import TokenizerSettings


@dataclass(frozen=True)
class Source:
    """A model, or a stretch of its layers, that takes part.

    Attributes:
        label: its name in summaries and messages; within a part no two are the same.
        folder: where it is.
        adapter: is added to its weights.
        model: its name in the configuration, which keys its masks: wherever a layer ends up, its draws are the same.
        layers: first, and the one behind the last; None: the whole model.
        parameters: its own.
    """

    label: str
    folder: Path
    adapter: Path | None = None
    model: str = ""
    layers: tuple[int, int] | None = None
    parameters: ModelParameters = field(default_factory=ModelParameters)


@dataclass(frozen=True)
class Part:
    """A stretch of the result's layers, or all of it.

    Attributes:
        base: what deltas are taken from.
        models: those that contribute; the base is among them only if it is listed for `linear`.
        levels: parameters of all models, the closest first.
    """

    base: Source | None
    models: tuple[Source, ...]
    levels: tuple[GlobalParameters, ...]

    @property
    def reference(self) -> Source:
        """The model whose tensors the others are compared with, and from which deltas are reported."""
        return self.base or self.models[0]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every model that is read, once each: the base first."""
        found = {source.label: source for source in (*((self.base,) if self.base else ()), *self.models)}
        return tuple(found.values())


@dataclass(frozen=True)
class Job:
    """A merge.

    Attributes:
        method: a name of `METHODS`.
        parts: stretches of the result in their order; one of whole models has no layers.
        tokenizer: the model whose special tokens, chat template and tokenizer the result gets.
        vocabulary: how vocabularies are aligned; None: they must be equal.
        seed: of the random masks.
        chat_template: `auto`, a built-in name, Jinja text, or None (the tokenizer's own).
        out_dtype: None keeps the type of each tensor in the base (or the first model).
    """

    method: str
    parts: tuple[Part, ...]
    tokenizer: Source
    vocabulary: TokenizerSettings | None
    seed: int
    chat_template: str | None
    out_dtype: Dtype | None

    @property
    def row(self) -> Method:
        """The method's row of the table."""
        return METHODS[self.method]

    @property
    def sliced(self) -> bool:
        """True if layers are taken out of their models and stacked."""
        return self.reference.layers is not None

    @property
    def base(self) -> Source | None:
        """The base of the first part."""
        return self.parts[0].base

    @property
    def models(self) -> tuple[Source, ...]:
        """Those that contribute anywhere, once each."""
        return tuple({source.label: source for part in self.parts for source in part.models}.values())

    @property
    def reference(self) -> Source:
        """The model whose configuration the result gets."""
        return self.parts[0].reference

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every model that is read, once each: the base first."""
        return tuple({source.label: source for part in self.parts for source in part.sources}.values())


def make_job(config: MergekitConfig, folders: Mapping[str, Path], adapters: Mapping[str, Path] | None = None) -> Job:
    """Finds the models of a configuration; `adapters` are added to the weights of some."""
    method = find_method(config.merge_method)
    parts = tuple(_part(stretch, method, folders, adapters or {}) for stretch in config.stretches)
    return Job(
        method=config.merge_method,
        parts=parts,
        tokenizer=_tokenizer_source(config, parts[0].reference, folders),
        vocabulary=config.vocabulary,
        seed=config.seed,
        chat_template=config.chat_template,
        out_dtype=config.out_dtype or config.dtype,
    )


def _part(stretch: Stretch, method: Method, folders: Mapping[str, Path], adapters: Mapping[str, Path]) -> Part:
    listed = [entry.model for entry in stretch.entries]

    def source(entry: ModelEntry) -> Source:
        name, layers = entry.model, entry.layer_range if isinstance(entry, SliceSource) else None
        several = layers is not None and listed.count(name) > 1
        label = f"{name}[{layers[0]}:{layers[1]}]" if layers is not None and several else name
        return Source(label, folders[name], adapters.get(name), name, layers, entry.parameters)

    base = None
    if stretch.base_model is not None:
        own = next((entry for entry in stretch.entries if stretch.is_base(entry)), None)
        if own is None:  # not listed: it takes part with the layers of the others
            first = stretch.entries[0]
            own = first.model_copy(update={"model": stretch.base_model, "parameters": ModelParameters()})
        base = source(own)
    return Part(base, tuple(map(source, stretch.contributing(method))), stretch.levels)


def _tokenizer_source(config: MergekitConfig, default: Source, folders: Mapping[str, Path]) -> Source:
    """The model whose special tokens and chat template the result gets."""
    name = config.vocabulary.source if config.vocabulary is not None else "base"
    if name in ("base", "union"):
        return default
    if name not in folders:
        raise UserError(f"tokenizer source: {name!r} is not one of base, union, {', '.join(folders)}")
    return Source(name, folders[name], model=name)
