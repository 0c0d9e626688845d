"""The page of a merge: what was done to each tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagecraft.reporting.heat_maps import MAX_COLUMNS, heat_map, layer_lines
from sagecraft.reporting.page import Page

_LAYER = re.compile(r"\.(?:layers|h|blocks)\.(\d+)\.")
#: Rows of the table of tensors; the rest is in summary.json.
_MAX_ROWS = 2000
#: More models than this are not drawn one by one.
_MAX_MODELS = 8
_MAX_PAIRS = 15


@dataclass(frozen=True)
class Tensor:
    """Figures of one tensor, as `merging.summary` has them, and where it belongs.

    Attributes:
        name: in the checkpoint.
        kind: its name without the layer's number and the ending.
        layer: its number, or None.
        num_elements: number of values.
        deltas: model → Euclidean norm of its difference from the reference.
        merged: the same of the result.
        conflicts: share of elements that two models moved in opposite directions.
        cosines: pair of models → cosine of their differences.
    """

    name: str
    kind: str
    layer: int | None
    num_elements: int
    deltas: Mapping[str, float]
    merged: float
    conflicts: float
    cosines: Mapping[str, float | None]


@dataclass(frozen=True)
class MergeFacts:
    """What the page tells.

    Attributes:
        title: of the page.
        method: its name.
        paper: where it is described.
        reference: what differences are from.
        models: those that were merged: name in the figures → what they are called here.
        notes: what the plan found.
        tensors: all of them.
        checked: a sentence on the check of the result.
        configuration: YAML.
    """

    title: str
    method: str
    paper: str
    reference: str
    models: Mapping[str, str]
    notes: Sequence[str]
    tensors: Sequence[Tensor]
    checked: str
    configuration: str


def tensor_of(row: Mapping[str, Any]) -> Tensor:
    """A row of summary.json."""
    name = str(row["name"])
    found = _LAYER.search(f".{name}")
    kind = _LAYER.sub(".", f".{name}").lstrip(".").removeprefix("model.").removesuffix(".weight")
    return Tensor(
        name,
        kind,
        int(found[1]) if found else None,
        int(row["num_elements"]),
        row["delta_norms"],
        float(row["merged_delta_norm"]),
        float(row["sign_conflict_share"]),
        row["cosines"],
    )


def render(facts: MergeFacts) -> str:
    """The page as HTML."""
    page = Page(facts.title, f"{facts.method} of {len(facts.models)} models, {len(facts.tensors):,} tensors")
    page.metrics(_cards(facts))
    page.paragraph(_in_words(facts))
    for note in facts.notes:
        page.note(note)
    moved = [tensor for tensor in facts.tensors if tensor.merged or any(tensor.deltas.values())]
    if moved:
        page.heading("By layer")
        page.paragraph(
            f"Differences are from {facts.reference}, as the root mean square of a tensor's elements: so that large and "
            "small tensors compare. “out” stands for what belongs to no layer: embedding, last norm, head."
        )
        _draw(page, facts)
        page.heading("Each tensor")
        _table(page, facts)
    page.heading("Configuration")
    page.paragraph(f"The method is described at {facts.paper}.")
    page.code(facts.configuration)
    page.links([("summary.json: the figures", "summary.json"), ("merge.yml: the configuration", "merge.yml")])
    return page.render()


def _rms(norms_and_sizes: Iterable[tuple[float, int]]) -> float | None:
    """Root mean square of the elements of some tensors."""
    pairs = list(norms_and_sizes)
    size = sum(count for _, count in pairs)
    return math.sqrt(math.fsum(norm * norm for norm, _ in pairs) / size) if size else None


def _overall(facts: MergeFacts, model: str | None) -> float:
    """Of the whole model: the result's (None), or a model's."""
    return _rms(_norms(facts.tensors, model)) or 0.0


def _norms(tensors: Iterable[Tensor], model: str | None) -> list[tuple[float, int]]:
    return [
        (tensor.merged if model is None else tensor.deltas[model], tensor.num_elements)
        for tensor in tensors
        if model is None or model in tensor.deltas
    ]


def _conflicts(tensors: Iterable[Tensor]) -> float | None:
    rows = list(tensors)
    size = sum(row.num_elements for row in rows)
    return math.fsum(row.conflicts * row.num_elements for row in rows) / size if size else None


def _cosine(tensors: Iterable[Tensor], pair: str, models: tuple[str, str]) -> float | None:
    """Of some tensors together: their inner products and squares add up."""
    products, left, right = [], [], []
    for row in tensors:
        value = row.cosines.get(pair)
        one, two = row.deltas.get(models[0], 0.0), row.deltas.get(models[1], 0.0)
        products.append((value or 0.0) * one * two)
        left.append(one * one)
        right.append(two * two)
    size = math.sqrt(math.fsum(left) * math.fsum(right))
    return max(-1.0, min(1.0, math.fsum(products) / size)) if size else None


def _pairs(facts: MergeFacts) -> dict[str, tuple[str, str]]:
    """Name of each pair in the summary → the two models."""
    known = {f"{one} | {two}": (one, two) for one in facts.models for two in facts.models if one != two}
    present = dict.fromkeys(pair for row in facts.tensors for pair in row.cosines)
    return {pair: known[pair] for pair in present if pair in known}


def _cards(facts: MergeFacts) -> list[tuple[str, str | int | float | None, str]]:
    largest = max(facts.models, key=lambda model: _overall(facts, model), default=None)
    cards: list[tuple[str, str | int | float | None, str]] = [
        ("parameters", sum(row.num_elements for row in facts.tensors), f"{len(facts.tensors):,} tensors"),
        ("change of the result", _overall(facts, None), f"root mean square, from {facts.reference}"),
    ]
    if largest is not None:
        cards.append(("largest change of a model", _overall(facts, largest), facts.models[largest]))
    if len(facts.models) > 1:
        cards.append(("opposite signs", f"{100 * (_conflicts(facts.tensors) or 0):.1f} %", "of all elements"))
    return cards


def _in_words(facts: MergeFacts) -> str:
    """What one wants to know in ten seconds."""
    sentences = [facts.checked]
    own = {model: _overall(facts, model) for model in facts.models}
    merged = _overall(facts, None)
    moved = [model for model, size in own.items() if size]
    if moved:
        shares = [f"{merged / own[model]:.2f} times as far as {facts.models[model]}" for model in moved[:_MAX_MODELS]]
        sentences.append(f"The result moved from {facts.reference} {', '.join(shares)}.")
    cosines = {
        pair: value
        for pair, models in _pairs(facts).items()
        if (value := _cosine(facts.tensors, pair, models)) is not None
    }
    if cosines:
        near, far = max(cosines, key=lambda pair: cosines[pair]), min(cosines, key=lambda pair: cosines[pair])
        text = f"{_pair_name(facts, near)} have {cosines[near]:.2f}"
        text += f", {_pair_name(facts, far)} {cosines[far]:.2f}" if far != near else ""
        sentences.append(f"Changes of two models that agree have a cosine of 1, unrelated ones of 0: {text}.")
    return " ".join(sentences)


def _columns(facts: MergeFacts) -> dict[str, list[Tensor]]:
    """Name of a place → its tensors: layers in order, of many some together, then what belongs to none."""
    layers = sorted({tensor.layer for tensor in facts.tensors if tensor.layer is not None})
    width = math.ceil(len(layers) / MAX_COLUMNS) or 1
    groups = [layers[start : start + width] for start in range(0, len(layers), width)]
    found: dict[str, list[Tensor]] = {}
    for group in groups:
        name = str(group[0]) if width == 1 else f"{group[0]}–{group[-1]}"
        found[name] = [tensor for tensor in facts.tensors if tensor.layer in set(group)]
    outside = [tensor for tensor in facts.tensors if tensor.layer is None]
    return {**found, **({"out": outside} if outside else {})}


def _draw(page: Page, facts: MergeFacts) -> None:
    columns = _columns(facts)
    shown = list(facts.models)[:_MAX_MODELS]
    lines = {facts.models[model]: [_rms(_norms(group, model)) for group in columns.values()] for model in shown}
    lines["the result"] = [_rms(_norms(group, None)) for group in columns.values()]
    page.figure(
        layer_lines(lines, list(columns), "change (root mean square)"), "How far each model and the result moved."
    )
    if len(facts.models) > 1:
        conflicts = {"opposite signs": [_percent(_conflicts(group)) for group in columns.values()]}
        page.figure(
            layer_lines(conflicts, list(columns), "elements (%)"),
            "Share of the elements that two models moved in opposite directions; unrelated changes of two models: 50 %.",
        )
    pairs = dict(list(_pairs(facts).items())[:_MAX_PAIRS])
    if pairs:
        values = [[_cosine(group, pair, models) for group in columns.values()] for pair, models in pairs.items()]
        page.figure(
            heat_map(
                [_pair_name(facts, pair) for pair in pairs],
                list(columns),
                values,
                "cosine",
                limits=(-1, 1),
                two_ways=True,
            ),
            "Cosine between the changes of two models, by layer.",
        )
    kinds = list(dict.fromkeys(tensor.kind for tensor in facts.tensors if tensor.layer is not None))
    if kinds:
        layers = {name: group for name, group in columns.items() if name != "out"}
        grids = {
            name: [
                [_rms(_norms((row for row in group if row.kind == kind), model)) for group in layers.values()]
                for kind in kinds
            ]
            for model, name in ((None, "the result"), *((model, facts.models[model]) for model in shown))
        }
        found = [value for grid in grids.values() for row in grid for value in row if value is not None]
        for name, grid in grids.items():
            page.figure(
                heat_map(kinds, list(layers), grid, "change (root mean square)", limits=(min(found), max(found))),
                f"Change of {name}, by layer and kind of tensor; all maps have the same colours.",
            )


def _pair_name(facts: MergeFacts, pair: str) -> str:
    return " and ".join(facts.models[model] for model in _pairs(facts)[pair])


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _table(page: Page, facts: MergeFacts) -> None:
    shown = list(facts.models)[:_MAX_MODELS]
    pairs = list(_pairs(facts))[:_MAX_PAIRS]
    columns = ["tensor", "elements", *(facts.models[model] for model in shown), "result", "opposite signs (%)"]
    columns += [f"cosine of {_pair_name(facts, pair)}" for pair in pairs]
    rows, groups = [], []
    for row in sorted(facts.tensors, key=lambda row: (-1 if row.layer is None else row.layer, row.name))[:_MAX_ROWS]:
        own = [_rms(_norms([row], model)) for model in shown]
        rows.append(
            [row.name, row.num_elements, *own, _rms(_norms([row], None)), round(100 * row.conflicts, 1)]
            + [row.cosines.get(pair) for pair in pairs]
        )
        groups.append(row.kind)
    more = len(facts.tensors) - len(rows)
    rest = f" The first {len(rows):,} of {len(facts.tensors):,}; summary.json has all." if more else ""
    page.table(columns, rows, f"Root mean square of the changes, and cosines of the models'.{rest}", groups=groups)
