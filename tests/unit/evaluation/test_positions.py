from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from sagecraft.evaluation.positions import Choice, Presentation, over_permutations, position_bias


def keyed(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def asked(generator: np.random.Generator, num_items: int, accuracy: float, bias: float = 0.0) -> list[Choice]:
    """Answers on a set whose key stands first in half of the cases; `bias` of them are "the first" without reading."""
    choices = []
    for _ in range(num_items):
        num_options = int(generator.choice([4, 4, 5]))
        key = int(generator.choice(num_options)) if generator.random() < 0.5 else 0
        others = [position for position in range(num_options) if position != key]
        pick = key if generator.random() < accuracy else int(generator.choice(others))
        choices.append(Choice(0 if generator.random() < bias else pick, num_options, key))
    return choices


def test_without_a_key_it_is_scipys_chi_square() -> None:
    generator = keyed(1)
    for _ in range(1000):
        num_options = int(generator.integers(2, 8))
        picks = generator.integers(0, num_options, int(generator.integers(1, 200)))
        found = position_bias([Choice(int(pick), num_options) for pick in picks])
        assert found is not None
        theirs = scipy.stats.chisquare(np.bincount(picks, minlength=num_options))
        assert found["chi_square"] == pytest.approx(theirs.statistic, rel=1e-8, abs=1e-9)
        assert found["p_value"] == pytest.approx(theirs.pvalue, rel=1e-6)
        assert found["degrees"] == num_options - 1


@pytest.mark.parametrize("accuracy", [0.3, 0.9])
def test_p_values_are_uniform_for_an_unbiased_model_on_a_lopsided_key(accuracy: float) -> None:
    generator = keyed(2)
    p_values = []
    for _ in range(300):
        found = position_bias(asked(generator, 250, accuracy))
        assert found is not None
        p_values.append(found["p_value"])
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.005
    assert 0.02 <= np.mean(np.array(p_values) < 0.05) <= 0.09


def test_a_preference_is_found_and_where() -> None:
    found = position_bias(asked(keyed(3), 600, 0.6, bias=0.2))
    assert found is not None
    assert found["p_value"] < 1e-4
    first = found["positions"][0]
    assert first["picks"] > first["expected"] + 30
    assert first["recall"] > max(row["recall"] for row in found["positions"][1:])
    assert first["recall_ci95"][0] < first["recall"] < first["recall_ci95"][1]
    assert found["recall_spread"] == pytest.approx(np.std([row["recall"] for row in found["positions"]]))
    halved = position_bias(asked(keyed(3), 600, 0.6, bias=0.2), design_effect=2.0)
    assert halved is not None
    assert halved["chi_square"] == pytest.approx(found["chi_square"] / 2)


def test_figures_by_hand_and_edges() -> None:
    found = position_bias([Choice(0, 2, 0), Choice(0, 2, 1), Choice(1, 2, 1), Choice(0, 2, 0)])
    assert found is not None
    # three of four right: of the two keys in each place 1.5 are expected right, and 0.5 wrong ones from the other
    assert [row["expected"] for row in found["positions"]] == [2, 2]
    assert [(row["picks"], row["keys"], row["right"]) for row in found["positions"]] == [(3, 2, 2), (1, 2, 1)]
    perfect = position_bias([Choice(n % 3, 3, n % 3) for n in range(30)])
    assert perfect is not None
    assert (perfect["chi_square"], perfect["degrees"], perfect["p_value"]) == (None, 0, None)
    assert position_bias([]) is None
    absent = position_bias([Choice(0, 3, 0), Choice(1, 3, 0)])
    assert absent is not None
    assert absent["positions"][2]["recall"] is None
    with pytest.raises(ValueError, match="or none"):
        position_bias([Choice(0, 3, 0), Choice(1, 3)])


def cyclic(item: str, key: int, pick: int | None, num_options: int = 4, article: str = "") -> list[Presentation]:
    """All cyclic orders; `pick` is an option, or, below 0, always the position −1 − pick."""
    shown = []
    for shift in range(num_options):
        order = tuple((position + shift) % num_options for position in range(num_options))
        position = None if pick is None else -1 - pick if pick < 0 else order.index(pick)
        shown.append(Presentation(item, order, position, key, article))
    return shown


def test_permutations_by_hand() -> None:
    shown = [*cyclic("knows", 2, 2), *cyclic("errs", 2, 1), *cyclic("first", 2, -1), *cyclic("silent", 2, None)]
    found = over_permutations(shown)
    assert (found["n"], found["num_presentations"], found["num_unread"]) == (4, 16, 4)
    assert found["accuracy"] == pytest.approx((1 + 0 + 0.25 + 0) / 4)
    assert found["accuracy_majority"] == pytest.approx((1 + 0 + 0.25 + 0) / 4)  # four options, one vote each
    assert (found["share_all_right"], found["share_none_right"]) == (0.25, 0.5)
    assert found["consistency"] == 0.5
    assert found["pair_agreement"] == pytest.approx((1 + 1 + 0 + 0) / 4)
    assert found["bias"]["positions"][0]["picks"] == 4 + 1 + 1


def test_a_preference_for_a_position_does_not_move_the_mean_over_cyclic_orders() -> None:
    """A model that takes the first option in 40 % of cases and else knows 70 %: 0.6 · 0.7 + 0.6 · 0.3 / 3 · 0 + 0.4 / 4."""
    generator = keyed(4)
    shown = []
    for number in range(400):
        article = f"a{number // 5}"
        pick = (1 if generator.random() < 0.7 else 3) if generator.random() < 0.6 else -1
        shown += cyclic(f"q{number}", 1, pick, article=article)
    found = over_permutations(shown)
    assert found["accuracy"] == pytest.approx(0.6 * 0.7 + 0.4 / 4, abs=0.06)
    low, high = found["ci95"]
    assert low < found["accuracy"] < high
    values = [sum(s.right for s in shown[4 * n : 4 * n + 4]) / 4 for n in range(400)]
    by_article = [np.mean(values[5 * n : 5 * n + 5]) for n in range(80)]
    assert found["standard_error"] == pytest.approx(scipy.stats.sem(by_article))


def test_permutations_without_key_and_nonsense() -> None:
    bare = [Presentation("q", (0, 1), 0), Presentation("q", (1, 0), 1)]
    found = over_permutations(bare)
    assert found["consistency"] == 1
    assert "accuracy" not in found
    assert over_permutations([Presentation("q", (0, 1), None)])["bias"] is None
    single = over_permutations([Presentation("q", (0, 1), 0, 0)])
    assert (single["accuracy"], single["ci95"], single["pair_agreement"]) == (1, None, None)
    with pytest.raises(ValueError, match="no order"):
        over_permutations([Presentation("q", (0, 0), 0)])
    with pytest.raises(ValueError, match="no presentations"):
        over_permutations([])
