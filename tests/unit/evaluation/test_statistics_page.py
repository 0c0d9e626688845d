"""What a reader is told: the sentences follow the figures."""

from __future__ import annotations

from typing import Any

import pytest

from sagecraft.evaluation import statistics_page
from sagecraft.evaluation.agreement import between
from sagecraft.evaluation.calibration import calibration
from sagecraft.evaluation.positions import Choice, position_bias
from sagecraft.reporting.page import Page


def mode(**changes: Any) -> dict[str, Any]:
    power = {
        "power": 0.8,
        "paired": [{"discordant_share": 0.1, "difference": 0.08}, {"discordant_share": 0.4, "difference": None}],
        "unpaired": 0.15,
    }
    kept = {
        "n": 100,
        "accuracy": 0.5,
        "ci95": [0.4, 0.6],
        "num_answered": 100,
        "accuracy_answered": 0.5,
        "power": power,
    }
    return {**kept, **changes}


def test_how_sure_an_accuracy_is() -> None:
    articles = {"ci95_by_article": [0.3, 0.7], "num_articles": 20, "ci95_bootstrap": [0.31, 0.69]}
    told = " ".join(statistics_page.uncertainty(mode(**articles, design_effect=4.0)))
    assert (
        "20 articles and say as much as 25 independent ones: 95 % interval 30.0 to 70.0, taken as independent 40.0"
        in told
    )
    assert "differences from 8.0 (10%) points" in told
    assert "asked other questions: 15.0 points" in told
    assert "do not hang together" in statistics_page.uncertainty(mode(**articles, design_effect=0.5))[0]
    assert statistics_page.headline(mode(**articles)) == (0.3, 0.7)
    assert statistics_page.headline(mode()) == (0.4, 0.6)
    unread = statistics_page.uncertainty(mode(num_answered=80, accuracy_answered=0.625))
    assert unread[0].startswith("20 questions have no readable answer")
    nothing = mode(power={"power": 0.8, "paired": [{"discordant_share": 0.1, "difference": None}], "unpaired": None})
    assert statistics_page.uncertainty(nothing) == ["So few questions show no difference between models."]


@pytest.mark.parametrize(("p_value", "told"), [(0.0004, "differ by more than chance"), (0.4, "chance explains")])
def test_looking_at_many_topics(p_value: float, told: str) -> None:
    page = Page("x")
    test = {"chi_square": 3.0, "degrees": 2, "p_value": p_value}
    statistics_page.topics(page, {"by_topic": {"x": {}, "y": {}, "z": {}}, "by_topic_test": test})
    text = page.render()
    assert told in text
    assert "chance of up to 14%" in text
    assert "p < 0.001" in text.replace("\N{NO-BREAK SPACE}", " ").replace("&lt;", "<") or p_value == 0.4
    alone = Page("x")
    statistics_page.topics(alone, {"by_topic": {"x": {}}})
    assert "topics are looked at" not in alone.render()


def test_calibration_is_called_what_it_is() -> None:
    shares = [[0.9, 0.1]] * 100
    sure, right = Page("x"), Page("x")
    statistics_page.calibration(
        sure, calibration(shares, [n % 2 for n in range(100)], [n % 2 == 0 for n in range(100)], 0)
    )
    assert "the model is overconfident" in sure.render()
    statistics_page.calibration(right, calibration(shares, [0] * 90 + [1] * 10, [True] * 90 + [False] * 10, 0))
    assert "no more than a calibrated model would show" in right.render()
    assert "the model is" not in right.render()


def test_position_bias_is_named() -> None:
    lopsided = position_bias([Choice(1, 3, n % 3) for n in range(60)])
    even = position_bias([Choice(n % 3, 3, (n // 3) % 3) for n in range(60)])
    perfect = position_bias([Choice(n % 3, 3, n % 3) for n in range(60)])
    pages = []
    for bias in (lopsided, even, perfect):
        assert bias is not None
        pages.append(Page("x"))
        statistics_page.positions(pages[-1], bias)
    assert "Position bias: B is picked 66.7\N{NO-BREAK SPACE}points more often" in pages[0].render()
    assert "No position bias is shown" in pages[1].render()
    assert "osition bias" not in pages[2].render()  # nothing could vary: nothing is said


def test_agreement_with_and_without_a_key() -> None:
    rows = [{"id": str(n), "pick": "AB"[n % 2], "correct": n % 2 == 0} for n in range(8)]
    keyless = [{**row, "correct": None} for row in rows]
    page, bare, none = Page("x"), Page("x"), Page("x")
    statistics_page.agreement(page, between({"letter": rows, "<b>x</b>": rows[::-1]}))
    statistics_page.agreement(bare, between({"letter": keyless, "generate": keyless}))
    statistics_page.agreement(none, [])
    assert "same wrong pick" in page.render()
    assert "<b>x" not in page.render()
    assert "same wrong pick" not in bare.render()
    assert "kappa" not in none.render()
