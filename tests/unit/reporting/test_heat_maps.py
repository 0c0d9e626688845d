"""Numbers in heat maps: written where they belong, dark on light cells and light on dark ones."""

from __future__ import annotations

import re

from sagecraft.reporting.heat_maps import heat_map


def test_texts_are_told_from_their_cells() -> None:
    svg = heat_map(["r"], ["1", "2", "3"], [[0.0, 1.0, None]], "x", texts=[["low", "high", "none"]])
    colours = {text: colour for colour, text in re.findall(r"fill: (#\w{6})[^>]*>(low|high|none)<", svg)}
    assert colours == {"low": "#101418", "high": "#ffffff", "none": "#ffffff"}


def test_long_texts_fit_smaller_cells() -> None:
    names = [str(n) for n in range(16)]
    svg = heat_map(names, names, [[n * m / 225 for n in range(16)] for m in range(16)], "x", texts=[names] * 16)
    assert svg.count(">15</text>") == 16 + 2  # its column, the row's name and the column's
