"""Whether results agree: units, tolerance, letters, parts, and what cannot be told."""

from __future__ import annotations

import time

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
        (r"$5.00\frac{\text{m}}{\text{s}}$", 5.0, {"L": 1, "T": -1}),
        (r"$\frac{2\pi}{3}\,\text{s}$", 2.0944, {"T": 1}),
        ("$72", 72, {"USD": 1}),
    ],
)
def test_quantities_in_base_units(text: str, value: float, dimensions: dict[str, int]):
    found = quantity_of(text)
    assert found is not None
    assert found.value == pytest.approx(value, rel=1e-4)
    assert dict(found.dimensions) == dimensions


@pytest.mark.parametrize(
    "text", ["", "no", "x", "3 m and 4 s", r"$\frac{1}{2}mv^{2}$", "v = u", "$y = -6y$", "$2mv$", "9" * 400 + " m"]
)
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
        ("The answer is (c).", "C", True),
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


@pytest.mark.parametrize(
    ("given", "reference", "verdict"),
    [
        ('3\\times10^8 m/s', '300,000 km/s', True),
        ('3×10^8 m/s', '300,000 km/s', True),
        ('300000 km/s', '$3.0 \\times 10^{8}\\,\\text{m/s}$', True),
        ('2.998e8 m/s', '300,000 km/s', True),
        ('3×10^7 m/s', '300,000 km/s', False),
        ('5.0e-3', '0.005', True),
        ('5.0E-3 m', '5.0 mm', True),
        ('5.0 * 10^-3 m', '5 mm', True),
        ('5·10⁻³ m', '5 mm', True),
        ('$5.0\\cdot 10^{-3}$ m', '5 mm', True),
        ('5.0 x 10-3 m', '5 mm', True),
        ('10^6 m', '1000 km', True),
        ('1.5e11 m', '1 AU', True),
        ('1 000 000 W', '1 MW', True),
        ('1\u2009000\u2009000 W', '1 MW', True),
        ('1\u202f500 m', '1.5 km', True),
        ('1{,}500 m', '1.5 km', True),
        ('$12\\,300\\ \\mathrm{kg}$', '12.3 t', True),
        ('1,5 m', '1.5 m', None),
        ('1/3', '0.333', True),
        ('\\frac{1}{3}', '1/3', True),
        ('$\\frac{1}{3}$', '0.33', True),
        ('1/4', '0.5', False),
        ('$\\frac{2}{3}\\,\\text{m}$', '0.667 m', True),
        ('3/4 kg', '750 g', True),
        ('1 1/2 h', '90 min', True),
        ('½ h', '30 min', True),
        ('30%', '0.30', True),
        ('0.30', '30%', True),
        ('30 percent', '30%', True),
        ('30 per cent', '30 %', True),
        ('$30\\,\\%$', '30%', True),
        ('30', '30%', None),
        ('3%', '30%', False),
        ('5.1 ± 0.3 m', '5.1 m', True),
        ('5.1 m', '5.1 ± 0.3 m', True),
        ('$5.1 \\pm 0.3$ m', '5.3 m', True),
        ('5.0 m', '$(5.1\\pm 0.3)\\,\\text{m}$', True),
        ('6.1 m', '5.1 ± 0.3 m', False),
        ('5.1 ± 0.3 s', '5.1 m', False),
        ('between 2 and 4 m', '3 m', None),
        ('2-4 m', '3 m', None),
        ('2–4 m', '2–4 m', True),
        ('2 to 4 m', '2-4 m', True),
        ('2 to 5 m', '2-4 m', False),
        ('$\\vec{F} = 3\\hat{i}+4\\hat{j}$ N', '$3\\hat{\\mathbf{i}}+4\\hat{\\mathbf{j}}\\,\\text{N}$', True),
        ('$3\\hat{i}-4\\hat{j}$ N', '$3\\hat{\\mathbf{i}}+4\\hat{\\mathbf{j}}\\,\\text{N}$', False),
        ('$(3.0\\hat{i}+4.0\\hat{j})\\,\\text{N}$', '$3\\hat{\\mathbf{i}}+4\\hat{\\mathbf{j}}\\,\\text{N}$', True),
        ('$4\\hat{j}+3\\hat{i}$ N', '$3\\hat{\\mathbf{i}}+4\\hat{\\mathbf{j}}\\,\\text{N}$', True),
        ('5 N', '$3\\hat{\\mathbf{i}}+4\\hat{\\mathbf{j}}\\,\\text{N}$', None),
        ('(3, 4) m', '(3.0, 4.0) m', True),
        ('(3, 5) m', '(3.0, 4.0) m', False),
        ('115 m/s or 414 km/h', '115 m/s', True),
        ('414 km/h', '115 m/s or 414 km/h', True),
        ('120 m/s', '115 m/s or 414 km/h', False),
        ('180°', '$\\pi$ rad', True),
        ('3.14 rad', '180 degrees', True),
        ('$\\pi/2$', '1.57', True),
        ('$2\\pi$ m', '6.28 m', True),
        ('$0.17\\pi$', '0.53', True),
        ('30 arcmin', '0.5°', True),
        ("30'", '0.5°', True),
        ('45"', '45 arcsec', True),
        ('5.0 arcseconds', '5.0"', True),
        ('90 deg', '90°', True),
        ('$37^{\\circ}$', '37 degrees', True),
        ('37', '37°', None),
        ('−3.0 m/s', '-3 m/s', True),
        ('3.0 m/s', '-3 m/s', False),
        ('– 3.0 m/s', '-3 m/s', True),
        ('-3.0', '3.0', False),
        ('minus 3 m', '-3 m', True),
        ('about 12 kg', '12 kg', True),
        ('~12 kg', '12 kg', True),
        ('$\\approx 12$ kg', '12 kg', True),
        ('approximately 12.0 kilograms', '12 kg', True),
        ('roughly 12 kg', '13 kg', False),
        ('2 h 30 min', '150 min', True),
        ('2 hours and 30 minutes', '2.5 h', True),
        ('2.5 hours', '2 h 30 min', True),
        ('1 min 5 s', '65 s', True),
        ('2 h 30 min', '2.4 h', False),
        ('3 days', '72 h', True),
        ('1 yr', '365 d', True),
        ('5 N·m', '5 N m', True),
        ('5 Nm', '5 N·m', True),
        ('5 J', '5 N·m', True),
        ('5 kg m^2/s^2', '5 J', True),
        ('$5\\,\\text{kg}\\cdot\\text{m}^2\\,\\text{s}^{-2}$', '5 J', True),
        ('5 kg·m²·s⁻²', '5 J', True),
        ('5 m s^-1', '5 m/s', True),
        ('5 m/s/s', '5 m/s^2', True),
        ('5 m/s²', '$5\\,\\frac{\\text{m}}{\\text{s}^2}$', True),
        ('5 meters per second', '5 m/s', True),
        ('5 meters per second squared', '5 m/s^2', True),
        ('5 square meters', '5 m^2', True),
        ('5 cubic centimeters', '5 cm³', True),
        ('5 cm^3', '5 mL', True),
        ('1 kWh', '3.6 MJ', True),
        ('1 eV', '1.602e-19 J', True),
        ('1 g/cm^3', '1000 kg/m³', True),
        ('8.7e-2 mm^3/s', '$8.7 \\times 10^{-2}\\,\\text{mm}^{3}\\text{/s}$', True),
        ('5 m^2', '5 m', False),
        ('0 °C', '273.15 K', True),
        ('32 °F', '0 °C', True),
        ('10 degrees Celsius', '10 °C', True),
        ('$72', '72', True),
        ('$72', '72 dollars', True),
        ('72 dollars', '$72.00', True),
        ('€5', '5 euros', True),
        ('$5', '€5', False),
        ('\\$1,200', '1200', True),
        ('$0.50', '50 cents', True),
        ('\\boxed{42}', '42', True),
        ('\\boxed{\\text{C}}', 'C', True),
        ('$$\\boxed{v = 3.0\\ \\mathrm{m\\,s^{-1}}}$$', '3 m/s', True),
        ('**Answer:** 42 kg', '42 kg', True),
        ('The final answer is $\\displaystyle 42\\,\\mathrm{kg}$.', '42 kg', True),
        ('Answer: (B)', 'B', True),
        ('The correct option is B.', 'B', True),
        ('**B**', 'B', True),
        ('b', 'B', True),
        ('B) 5 m', 'B', True),
        ('x = 5 m, so y = 7 m', '7 m', True),
        ('7 m (rounded)', '7 m', True),
        ('7 m.', '7 m', True),
        ('seven', '7', None),
        ('no idea', '7', None),
        ('', '7', None),
        ('infinity', '7', None),
        ('1e400 m', '7 m', None),
        ('7 apples', '7', True),
        ('7 m', '7 apples', None),
        ('0', '0', True),
        ('0 m/s', '0', True),
        ('0.001', '0', False),
        ('620 nm (orange)', '620 nm', True),
        ('620 nm', '620 nm (orange)', True),
        ('a. 0.500; b. 0.250', '(a) 1/2 (b) 1/4', True),
        ('(a) 3 m (b) 4 s', '(a) 3 m (b) 5 s', False),
        ('1:9', '1/9', True),
        ('1:9', '1:8', False),
    ],
)  # fmt: skip
def test_forms_of_a_result(given: str, reference: str, verdict: bool | None):
    assert agrees(given, reference) is verdict


@pytest.mark.parametrize(
    ("given", "reference", "verdict"),
    [
        ("It takes 2 h 30 min.", "150 min", True),
        ("It takes 2 hours and 30 minutes in all.", "2.4 h", False),
        ("So the speed is 3/4 m/s.", "0.75 m/s", True),
        ("3 m or 4 m", "4 m", None),  # who names two has none
        ("5 ± 5 m", "8 m", False),  # a spread of one's own excuses nothing
        ("First 5 m, then 7 m", "5 m", False),
        ("The answer is 5 m. It is not 7 m.", "5 m", True),
        ("The answer is A, not B", "A", True),
        ("I think that A is wrong", "A", None),
    ],
)
def test_results_in_sentences(given: str, reference: str, verdict: bool | None):
    assert agrees(given, reference) is verdict


@pytest.mark.parametrize(
    "text", ["x 10^{", "\\frac{", "\\text{", "(1)/(", "answer is ", "\\boxed{", "9" * 30, "1 ± ", "‹i›+", "2 h "]
)
def test_hostile_texts_take_no_time(text: str):
    start = time.perf_counter()
    for given in (text * 6_000, f"{text * 6_000} 3 m"):
        agrees(given, "3 m")
        agrees("3 m", given)
    assert time.perf_counter() - start < 5
