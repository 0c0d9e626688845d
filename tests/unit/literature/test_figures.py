"""Figures of sentences: which numbers are values, and which are bounds, names, dates, ranges and terms of expressions."""

from __future__ import annotations

import pytest

from sagecraft.literature.figures import decimals_of, digits_of, figures_of, number_of, ranges_of


@pytest.mark.parametrize(
    ("sentence", "values"),
    [
        ("The lake is 240 metres deep.", ["240"]),
        ("The lake holds 1,250 million litres.", ["1,250"]),
        ("The lake is 2.4 km wide.", ["2.4"]),
        ("The lake is $\\sim 2.4$ km wide.", ["2.4"]),
        ("The lake is $2.4 \\pm 0.3$ km wide.", ["2.4"]),
        ("The lake is $2.4^{+0.3}_{-0.2}$ km wide.", ["2.4"]),
        ("The lake holds $2.4 \\times 10^{9}$ litres.", ["2.4"]),
        ("The slope is $\\beta = 1.7$ there.", ["1.7"]),
        ("The lake was found in 1984 by accident.", ["1984"]),
        ("The lake is 240 metres deep and 12 km long.", ["240", "12"]),
        ("The lakes 4 and 5 are dry.", []),
        ("The lake is more than 240 metres deep.", []),
        ("The lake is $> 240$ metres deep.", []),
        ("The lake is $\\lesssim 240$ metres deep.", []),
        ("The crew of Apollo 11 landed safely.", []),
        ("The yield of model 3 is high.", []),
        ("About 11 men were aboard.", ["11"]),
        ("Over 410 ships call at Arn.", []),
        ("From 300 to 400 ships call at Arn.", []),
        ("Ships of 300 and 400 tonnes call at Arn.", []),
        ("We saw that 11 of 21 ships were late.", []),
        ("The drop is seen at 95 % confidence there.", []),
        ("Over the past 30 years, the lake was fished.", []),
        ("The mass of H$_2$O and 21-cm waves is low.", []),
        ("The deck is 1,250 meters long.", ["1,250"]),
        ("It was 2000 meters long in 2000.", ["2000", "2000"]),
        ("The load is $12 \\pm 3$ tons.", ["12"]),
        ("The load is 12 +/- 3 tons.", ["12"]),
        ("The load is 12$\\pm$3 tons at $z\\sim$2.", ["12", "2"]),
        ("The load is $1{,}250$ tons, not $3\\,500$ tons.", ["1{,}250", "3\\,500"]),
        ("It turns by 30$^\\circ$ and takes 5 Myr.", ["30", "5"]),
        ("Lake Arn is 3 times as wide.", ["3"]),
        ("We counted 170 Galactic clusters.", ["170"]),
        ("We counted 22 Galactic globular clusters and 12 Class I protostars.", ["22", "12"]),
        ("They are seen across 23 filters.", ["23"]),
        ("In Arn, 30 ships sank.", ["30"]),
        ("It holds some 40 tons, then 75 tons.", ["40", "75"]),
        # Names, dates, levels and what has no unit.
        ("In phase 2 the deck was raised.", []),
        ("The old bridge 2 carries a road.", []),
        ("Planet 14 Her b and 55 Cnc e are known.", []),
        ("The rings of 14 Her b are old.", []),
        ("They study the 55 Cancri system and see 30 Doradus standing out.", []),
        ("Bridge 11 has been closed since May 3, 1999.", []),
        ("The symbol $H_0$ and the code 99Rh and DR2 are names.", []),
        ("The line [O III]$\\lambda$5007 is narrow.", []),
        ("It is seen at $5\\sigma$ there.", []),
        # Bounds and ranges.
        ("The deck is 20 to 30 meters long.", []),
        ("The deck is $25\\%$--$35\\%$ longer.", []),
        ("It is seen out to $z = 0.8$ only.", []),
        ("It was there from $z = 14$ to $z = 5$ at last.", []),
        ("Widths are between 1.4 and about 2 km.", []),
        ("They are found at 60 km or more.", []),
        ("It lies between 30 km and 50 km of Arn.", []),
        ("It has $NC <= 30$ and goes as high as $z \\sim 14$ there.", []),
    ],
)
def test_values(sentence: str, values: list[str]) -> None:
    assert [figure.text for figure in figures_of(sentence)] == values


@pytest.mark.parametrize(
    ("sentence", "values"),
    [
        # A term of a sum has no value of its own; the right side has.
        (r"We find $12 + \log(\mathrm{O/H}) = 8.4$ for it.", ["8.4"]),
        ("We find 12 + log(O/H) = 8.4 for it.", ["8.4"]),
        (r"A value of $12+\log({\rm O/H})$ is solar.", []),
        ("The scale grows as $(1+z)^{3}$ and is 1 + z.", []),
        ("The mix is 65 %/35 % of both.", []),
        ("The mix is $3.5 - 2$ m wide.", []),
        # Factors, exponents, indices, arguments.
        (r"The area is $A = 4\pi R^{2}$ there.", []),
        (r"The step is $0.5\lambda$ and the load 2.5 × 2.5 = 6.25 tons.", []),
        ("The map is 4 x 8 km wide.", []),
        ("It costs 2,420,5 and 10^24 units and $10^{5}$ tons.", []),
        (r"It holds $25 \times 10^{3}$ tons.", []),
        ("The form is $f(3)$ and the value is $1.23(4)$ m.", []),
        (r"It goes $3 \rightarrow 2$ there.", []),
        (r"It is $\sqrt{2}$ and $\frac{1}{2}$ and $x^2$.", []),
        # Left sides of definitions; a negative value.
        ("Each 1 ton = 1000 kilograms.", ["1000"]),
        ("A value of $-0.5$ dex is low.", []),
        # Values of several symbols, of two units, split over marks of formulas.
        ("It has $a = 1.2$, $b = 3$ and $R^2 = 0.8$.", ["1.2", "3", "0.8"]),
        ("It lasts 2 hours and 25 minutes.", []),
        (r"It took 2.4$\times$10$^{5}$ years.", ["2.4"]),
        ("Of 3 500 km there is 49$\\,$959 left.", []),
    ],
)
def test_parts_of_expressions_are_no_values(sentence: str, values: list[str]) -> None:
    assert [figure.text for figure in figures_of(sentence)] == values


@pytest.mark.parametrize(
    ("sentence", "unit", "scale"),
    [
        ("The deck is 1,250 meters long.", "meters", "ratio"),
        ("It carries 40 per cent of it.", "%", "share"),
        ("It carries 40 percent of it.", "%", "share"),
        ("It carries 140% of it.", "%", "ratio"),
        (r"The span is $3.5 \times 10^{2}$ m.", "times ten", "mantissa"),
        ("The slope is $s = 0.25$ there.", "s=", "ratio"),
        (r"It has $T_{\rm eff} = 5800$ K.", r"T_{\rm eff}=K", "ratio"),
        (r"The load is $\sim$ 12 tons.", "tons", "ratio"),
        (r"It is $3.2\,\mathrm{km\,s^{-1}}$ fast.", "km", "ratio"),
        ("The lake was found in 1984 by accident.", "year", "year"),
        ("It has a slope of 2.3 in all.", "", "ratio"),
    ],
)
def test_what_a_value_is_of(sentence: str, unit: str, scale: str) -> None:
    (figure,) = figures_of(sentence)
    assert (figure.unit, figure.scale) == (unit, scale)


def test_digits_are_counted_without_separators() -> None:
    assert [number_of(text) for text in ("1,250", "1{,}250", r"1\,250", "0.50")] == [1250, 1250, 1250, 0.5]
    assert [decimals_of(text) for text in ("1,250", "0.50")] == [0, 2]
    assert [digits_of(text) for text in ("1,250", "0.50", "3000")] == [3, 2, 1]


def test_both_ends_of_a_range_are_found_together() -> None:
    assert [(a.text, b.text, b.unit) for a, b in ranges_of("It grows from 80 to 260 metres.")] == [
        ("80", "260", "metres")
    ]
    assert ranges_of("It grew from 1980 to 1990 in length.") == []
    assert ranges_of("It grows from 80 to 26 metres.") == []
