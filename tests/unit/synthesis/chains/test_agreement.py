"""Whether results agree: units, tolerance, letters, parts, and what cannot be told."""

from __future__ import annotations

import pytest

from sagecraft.synthesis.chains.agreement import agrees
from sagecraft.synthesis.chains.quantities import quantity_of


@pytest.mark.parametrize(
    ("text", "value", "dimensions"),
    [
        (r"$1.3 \times 10^{7}\,\text{m}$", 1.3e7, {"L": 1}),
        (r"$a_{\text{C}} = 39.6\,\text{m}/\text{s}^{2}$", 39.6, {"L": 1, "T": -2}),
        (r"$-43.6\,\text{N} \cdot \text{m}$", -43.6, {"M": 1, "L": 2, "T": -2}),
        ("1.50×10⁸ km", 1.5e11, {"L": 1}),
        ("30%", 0.3, {}),
        ("5 km/h", 5 / 3.6, {"L": 1, "T": -1}),
        (r"$27^{\circ}\text{C}$", 300.15, {"K": 1}),
        (r"$2.0\,\text{W/(m}^{2} \cdot \text{K)}$", 2.0, {"M": 1, "T": -3, "K": -1}),
        ("1,200 kg/m^3", 1200, {"M": 1, "L": -3}),
        ("8 million", 8e6, {}),
        (r"$10^{6}$", 1e6, {}),
        ("40 minutes", 2400, {"T": 1}),
        ("$72", 72, {}),
    ],
)
def test_quantities_in_base_units(text: str, value: float, dimensions: dict[str, int]):
    found = quantity_of(text)
    assert found is not None
    assert found.value == pytest.approx(value)
    assert dict(found.dimensions) == dimensions


@pytest.mark.parametrize("text", ["", "no", "x", "3 m and 4 s", r"$\frac{1}{2}mv^{2}$", "v = u", "9" * 400 + " m"])
def test_no_quantity(text: str):
    assert quantity_of(text) is None


@pytest.mark.parametrize(
    ("given", "reference", "verdict"),
    [
        ("4.08 m", "4.08 m", True),
        ("so it is 408 cm", "4.08 m", True),
        ("4.1 m", "4.08 m", True),  # rounded to what is written
        ("It has a mass of 11 400 kg", "11.4 tonnes", True),
        ("4.3 m", "4.08 m", False),
        ("4.08 s", "4.08 m", False),
        ("4.08", "4.08 m", None),  # of which unit?
        (r"Thus \boxed{39.7\ \text{m/s}^2}", r"$a = 39.6\,\text{m}/\text{s}^{2}$", True),
        ("142.6 km/h", "39.6 m/s", True),
        ("293 K", "20 °C", True),
        ("22 °C", "20 °C", False),  # no difference of one percent of 293 K
        ("The answer is 72 clips.", "72", True),
        ("First 24. #### 73", "72", False),
        ("She has 0.072 km", "72", None),
        ("The answer is (c).", "C", None),
        ("The answer is (C).", "C", True),
        ("B", "C", False),
        ("(a) 3.8 V (b) 2.2 V", "a. 3.8 V; b. 2.2 V", True),
        ("(a) 3.8 V (b) 2.9 V", "a. 3.8 V; b. 2.2 V", False),
        ("3.8 V", "a. 3.8 V; b. 2.2 V", None),
        ("Yes, it can.", "No, it cannot.", None),
        ("about $3.0 \\times 10^{8}$ m/s", "3.00e8 m/s", True),
    ],
)
def test_agreement(given: str, reference: str, verdict: bool | None):
    assert agrees(given, reference) is verdict
