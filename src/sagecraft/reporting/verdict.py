"""What a run shows and what it does not, in plain sentences computed from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sagecraft.reporting.plots import three_figures

#: Two-sided level at which a difference counts as shown.
SIGNIFICANCE = 0.05
#: A perplexity that moved by less than this share is said to have stayed.
_STEADY = 0.005

Interval = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same questions.

    Attributes:
        model: the one in question.
        against: what it is compared with.
        n: questions both answered.
        accuracy: of the model.
        accuracy_against: of the other.
        difference: accuracy of the model minus the other's, on these questions.
        ci95: interval of the difference.
        only_model: questions that only the model has right.
        only_against: questions that only the other has right.
        p: two-sided exact McNemar test, by article where questions name theirs.
        p_adjusted: `p` after Holm's correction for all comparisons of the table.
        detectable: the smallest true difference that such a test finds four times in five; None if so few questions
            show none.
    """

    model: str
    against: str
    n: int
    accuracy: float
    accuracy_against: float
    difference: float
    ci95: Interval
    only_model: int
    only_against: int
    p: float
    p_adjusted: float
    detectable: float | None


def verdict(
    base: str,
    final: str,
    perplexity: Mapping[str, Mapping[str, float]],
    comparison: Comparison | None,
    intervals: Sequence[Interval] = (),
    chance: float | None = None,
) -> str:
    """The verdict on a run.

    Args:
        base: name of the model that was started from.
        final: name of the model that came out.
        perplexity: model → text (`domain`, `general`) → perplexity.
        comparison: final against base; None if they were not asked the same keyed questions.
        intervals: 95 % intervals of the two accuracies.
        chance: accuracy of guessing.
    """
    before, after = perplexity.get(base, {}), perplexity.get(final, {})
    moves = [
        _move(text, before[text], after[text]) for text in ("domain", "general") if text in before and text in after
    ]
    sentences = []
    if moves:
        sentences.append(f"From {base} to {final}, {' and '.join(moves)}.")
        if len(moves) == 2 and _fell(before, after, "domain") and _fell(before, after, "general"):
            sentences.append(
                "General text became easier too, so not all of the fall on domain text is due to the field."
            )
    else:
        sentences.append("Perplexity was not measured before and after, so nothing is shown about the language model.")
    if comparison is None:
        sentences.append(
            f"{_capital(final)} and {base} were not asked the same keyed questions, so nothing is shown about knowledge."
        )
    else:
        sentences.append(_knowledge(comparison))
        if chance is not None and intervals and all(low <= chance <= high for low, high in intervals):
            sentences.append(f"Neither can be told from guessing ({_percent(chance)}).")
    return " ".join(sentences)


def nothing_compared(measured: Sequence[str]) -> str:
    """The verdict on a run that has nothing to compare: `measured` are the models that were evaluated."""
    if not measured:
        return "No model was measured, so nothing is shown about what training did; add `evaluate:` to the recipe."
    if list(measured) == ["base"]:
        return "Only the base model was measured, so nothing is shown about what training did."
    return f"The base model was not measured ({', '.join(measured)} only), so nothing is shown about what training did."


def _fell(before: Mapping[str, float], after: Mapping[str, float], text: str) -> bool:
    return after[text] / before[text] - 1 <= -_STEADY


def _move(text: str, before: float, after: float) -> str:
    change = after / before - 1
    if abs(change) < _STEADY:
        return f"{text} perplexity stayed at {three_figures(after)}"
    verb = "fell" if change < 0 else "rose"
    digits = 0 if abs(change) >= 0.0995 else 1
    return f"{text} perplexity {verb} from {three_figures(before)} to {three_figures(after)} ({_signed(100 * change, digits)} %)"


def _knowledge(c: Comparison) -> str:
    scores = (
        f"On {c.n:,} questions {c.model} is right {_percent(c.accuracy)} of the time, "
        f"{c.against} {_percent(c.accuracy_against)}"
    )
    points = f"{100 * abs(c.difference):.1f} points"
    corrected = f", {_p_value(c.p_adjusted).removeprefix('= ')} after Holm's correction" if c.p_adjusted != c.p else ""
    test = f"paired p {_p_value(c.p)}{corrected}"
    if c.p_adjusted < SIGNIFICANCE:
        low, high = sorted((abs(c.ci95[0]), abs(c.ci95[1]))) if c.ci95[0] * c.ci95[1] > 0 else c.ci95
        measured = f"{points} (95 % interval {100 * low:.1f} to {100 * high:.1f}, {test})"
        if c.difference > 0:
            return f"{scores}: a gain of {measured}, which chance does not explain."
        return f"{scores}: a loss of {measured}, which chance does not explain; its answers became worse."
    if c.only_model + c.only_against == 0:
        return f"{scores}: they are right on the very same questions, so no change of knowledge is shown."
    if c.detectable is None:
        return f"{scores}: so few questions show no difference, however large ({test})."
    shown = "no gain in knowledge is shown" if c.difference > 0 else "neither a gain nor a loss of knowledge is shown"
    return (
        f"{scores}: at this number a true difference under about {max(1, round(100 * c.detectable))} points would "
        f"often be missed ({test}), so {shown}."
    )


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
