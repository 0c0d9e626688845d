"""The page of a merge in the shapes that merges have: many layers, many models, none that moved."""

from __future__ import annotations

import math
import re

import pytest

from sagecraft.reporting import merge_page
from sagecraft.reporting.heat_maps import heat_map, layer_lines
from sagecraft.reporting.merge_page import MergeFacts, Tensor
from sagecraft.reporting.page import Page


def tensor(name: str, deltas: dict[str, float], merged: float = 1.0, conflicts: float = 0.25) -> Tensor:
    names = list(deltas)
    cosines = {f"{a} | {b}": 0.5 for n, a in enumerate(names) for b in names[n + 1 :]}
    row = {"name": name, "num_elements": 4, "delta_norms": deltas, "merged_delta_norm": merged}
    return merge_page.tensor_of({**row, "sign_conflict_share": conflicts, "cosines": cosines})


def facts(tensors: list[Tensor], models: dict[str, str]) -> MergeFacts:
    return MergeFacts(
        "A + B", "ties", "https://arxiv.org/abs/1", "base", models, ["a note"], tensors, "It was run.", "a: 1\n"
    )


def test_tensors_know_their_place() -> None:
    found = tensor("model.layers.12.self_attn.q_proj.weight", {"a": 1.0})
    assert (found.layer, found.kind) == (12, "self_attn.q_proj")
    assert (tensor("lm_head.weight", {}).layer, tensor("lm_head.weight", {}).kind) == (None, "lm_head")
    assert tensor("model.layers.3.self_attn.q_proj.bias", {}).kind == "self_attn.q_proj.bias"


def test_figures_of_the_whole_add_up_by_squares() -> None:
    rows = [tensor(f"model.layers.{n}.mlp.weight", {"x/a": 3.0 + n, "x/b": 1.0}, merged=2.0) for n in range(2)]
    page = merge_page.render(facts(rows, {"x/a": "a", "x/b": "b"}))
    assert f"{2 / math.sqrt(4):.4g}" in page
    size = math.sqrt((9 + 16) / 8)
    assert f"{1 / size:.2f} times as far as a, 2.00 times as far as b" in page
    cosine = (0.5 * 3 + 0.5 * 4) / math.sqrt(25 * 2)
    assert f"a and b have {cosine:.2f}" in page
    assert "25.0 %" in page
    assert "x/a" not in page


def test_many_layers_and_models_stay_readable() -> None:
    models = {f"m{n}": f"model {n}" for n in range(9)}
    rows = [tensor(f"model.layers.{n}.{kind}.weight", dict.fromkeys(models, 1.0)) for n in range(126) for kind in "p"]
    page = merge_page.render(facts([*rows, tensor("model.norm.weight", dict.fromkeys(models, 1.0))], models))
    assert ">0–2<" in page, "three layers a column"
    assert "model 7" in page
    assert page.count("<figure>") <= 13
    assert len(page) < 4_000_000


def test_a_model_that_is_passed_through_has_no_drawings() -> None:
    page = merge_page.render(facts([tensor("model.layers.0.mlp.weight", {"a": 0.0}, merged=0.0)], {"a": "a"}))
    assert "<figure>" not in page
    assert "a: 1" in page
    empty = merge_page.render(facts([], {}))
    assert "It was run." in empty


def test_rows_can_be_looked_at_by_group_without_a_script() -> None:
    page = Page("t")
    page.table(["x"], [["one"], ["two"], ["three"]], groups=["<b>", "k", "<b>"])
    html = page.render()
    key = re.search(r'id="(rows-[0-9a-f]{8})-0"', html)
    assert key is not None
    assert f"#{key[1]}-0:checked ~ .table tbody tr:not(.g0) {{ display: none; }}" in html
    assert re.findall(r'<tr class="(g\d)">', html) == ["g0", "g1", "g0"]
    assert "&lt;b&gt; <small>2</small>" in html
    assert "<script" not in html
    with pytest.raises(ValueError, match="groups has 1 entries"):
        page.table(["x"], [["one"], ["two"]], groups=["a"])
    page = Page("t")
    page.table(["x"], [["one"]], groups=["a"])
    assert "<input" not in page.render(), "one group is no choice"


def test_heat_maps_take_what_there_is() -> None:
    assert heat_map(["<r>"], ["c"], [[None]], "x").startswith("<svg")
    assert "&lt;r&gt;" in heat_map(["<r>"], ["c"], [[1.0]], "x", limits=(1.0, 1.0))
    first = heat_map(["r", "s"], list("abc"), [[0.1, None, -1], [0.3, 0.2, 1]], "x", limits=(-1, 1), two_ways=True)
    assert first == heat_map(
        ["r", "s"], list("abc"), [[0.1, None, -1], [0.3, 0.2, 1]], "x", limits=(-1, 1), two_ways=True
    )
    assert "#0b4f86" in first
    assert "#8c3a00" in first
    page = Page("t")
    page.figure(first, "checked by the page")
    page.figure(layer_lines({"a": [0.0, None, 1.0]}, list("xyz"), "y"), "lines")
    with pytest.raises(ValueError, match="nothing to plot"):
        heat_map([], [], [], "x")
