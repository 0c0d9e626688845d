"""The sentences at the head of a comparison say what its tests allow, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from sagecraft.evaluation.compare_verdict import listed, reference_of, usd, verdict, versus


def results(
    accuracies: dict[str, float], significant: set[tuple[str, str]], costs: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    models = [
        {
            "name": name, "accuracy": value, "accuracy_shared": value, "n": 100,
            "outcomes": {"correct": round(100 * value), "wrong": 100 - round(100 * value)},
            "cost_usd": (costs or {}).get(name, 0.0),
        }
        for name, value in accuracies.items()
    ]  # fmt: skip
    names = list(accuracies)
    pairs = [
        {
            "a": a, "b": b, "difference": accuracies[b] - accuracies[a], "ci95": [-0.1, 0.2], "n": 100,
            "significant": (a, b) in significant, "p_holm": 0.01 if (a, b) in significant else 0.4, "detectable": 0.12,
        }
        for n, a in enumerate(names)
        for b in names[n + 1 :]
        if more.get("against") != "first" or a == names[0]
    ]  # fmt: skip
    return {"models": models, "pairs": pairs, "reference": reference_of(models, more.get("against", "all"))}


def test_two_models() -> None:
    apart = results({"a": 0.5, "b": 0.6}, {("a", "b")}, {"a": 1.0, "b": "unknown"})
    assert verdict(apart, 0.05) == [
        "b is ahead of a by 10.0 points on 100 questions (95 % interval −10.0 to +20.0, p = 0.01): more than chance.",
        "Cost of the run: a 1.00 USD, b unknown.",
    ]
    back = results({"a": 0.6, "b": 0.5}, set())
    assert verdict(back, 0.05)[0] == (
        "a and b cannot be told apart: they differ by 10.0 points on 100 questions (95 % interval −20.0 to +10.0, "
        "p = 0.4). A difference of 12.0 points would probably have been seen."
    )
    assert "equally many right" in verdict(results({"a": 0.5, "b": 0.5}, set()), 0.05)[0]


def test_many_models() -> None:
    found = results(
        {"base": 0.3, "good": 0.7, "near": 0.68, "cheap": 0.67},
        {("base", "good"), ("base", "near")},
        {"base": 0.5, "good": 10.0, "near": 20.0, "cheap": 0.1},
    )
    assert verdict(found, 0.05) == [
        "good (70.0 %) is ahead of base by more than chance.",
        "near and cheap cannot be told apart from good.",
        "Of 6 pairs 2 differ by more than chance (p < 0.05 after Holm's correction for 6 tests).",
        "good costs 10.0 USD for this run.",
        "Others cost 0.100 USD (cheap) to 20.0 USD (near).",
        "Of those not told apart from it, cheap costs least: 100 times less.",
    ]


def test_nobody_apart() -> None:
    found = verdict(results({"a": 0.5, "b": 0.5, "c": 0.52}, set()), 0.05)
    assert found[0].startswith("No two of the 3 models tested can be told apart. A difference of 12.0 points")


def test_the_best_may_lead_nobody_though_others_differ() -> None:
    found = verdict(results({"a": 0.5, "b": 0.6, "c": 0.65}, {("a", "b")}), 0.05)
    assert found[0] == "All 2 others cannot be told apart from c (65.0 %), which stands first."
    assert "Of 3 pairs 1 differ" in found[1]


def test_against_the_first_it_may_be_behind() -> None:
    found = results({"old": 0.5, "new": 0.6, "worse": 0.3}, {("old", "new"), ("old", "worse")}, against="first")
    assert found["reference"] == "old"
    assert verdict(found, 0.05)[0] == "old (50.0 %) is ahead of worse and is behind new by more than chance."


def test_differences_are_told_from_the_reference_both_ways() -> None:
    found = versus(results({"a": 0.5, "best": 0.7, "z": 0.6}, set()))
    assert [(name, round(difference, 2), interval) for name, difference, interval, _ in found] == [
        ("z", -0.1, (-0.1, 0.2)),  # the pair is (best, z)
        ("a", -0.2, (-0.2, 0.1)),  # the pair is (a, best): turned round
    ]


def test_unreadable_answers_are_spoken_of() -> None:
    found = results({"a": 0.5, "b": 0.6}, set())
    found["models"][0]["outcomes"] = {"correct": 50, "wrong": 40, "refused": 7, "failed": 3}
    assert verdict(found, 0.05)[-1] == "Left without a readable answer, which counts as not right: a 10.0 %."


@pytest.mark.parametrize(
    ("number", "text"),
    [(1, "m0"), (2, "m0 and m1"), (6, "m0, m1, m2, m3, m4 and m5"), (9, "m0, m1, m2, m3, m4 and 4 others")],
)
def test_names_in_a_sentence(number: int, text: str) -> None:
    assert listed([f"m{n}" for n in range(number)]) == text
    assert len(listed(["x" * 500])) == 40


def test_who_only_guesses_is_named() -> None:
    found = results({"a": 0.25, "b": 0.6}, {("a", "b")})
    found["models"][0]["guessing"] = {"accuracy": 0.25, "p_value": 0.9}
    found["models"][1]["guessing"] = {"accuracy": 0.25, "p_value": 1e-9}
    assert verdict(found, 0.05)[1] == "Not shown to be better than guessing: a."
    found["models"][1] |= {"accuracy": 0.1, "guessing": {"accuracy": 0.25, "p_value": 1e-3}}  # told from it, and worse
    assert verdict(found, 0.05)[1] == "None of them is shown to be better than guessing."


def test_money() -> None:
    assert [usd(value) for value in ("unknown", 0.0, 0.0512, 1234.5)] == ["unknown", "0 USD", "0.0512 USD", "1,234 USD"]
