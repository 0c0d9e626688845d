"""The page of one training run: its curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sagecraft.reporting import plots
from sagecraft.reporting.page import Page

#: `(steps done, value)` in order.
Points = list[tuple[float, float]]
#: More lines than the palette has colours cannot be told apart.
_MAX_SOURCES = 6
_NAMES = {"cpt": "Continued pre-training", "sft": "Fine-tuning"}


@dataclass
class Curves:
    """What was recorded.

    Attributes:
        loss: nats a learned token, of each step.
        by_source: the same, of each source of the mix.
        learning_rate: of each step.
        gradient_norm: before clipping.
        perplexity: text → measured on held-out documents.
        held_out_tokens: text → tokens scored in one measurement.
        num_tokens: read, all steps together.
        num_learned: of them predicted and learned.
        rate: tokens a second, a mean over some steps.
        training_seconds: of the steps.
        measuring_seconds: of held-out text.
        matrix_share: of the machine's matrix rate, at the end; None if it is not known.
        memory_gib: the most that was held.
    """

    loss: Points = field(default_factory=list)
    by_source: dict[str, Points] = field(default_factory=dict)
    learning_rate: Points = field(default_factory=list)
    gradient_norm: Points = field(default_factory=list)
    perplexity: dict[str, Points] = field(default_factory=dict)
    held_out_tokens: dict[str, int] = field(default_factory=dict)
    num_tokens: int = 0
    num_learned: int = 0
    rate: Points = field(default_factory=list)
    training_seconds: float = 0.0
    measuring_seconds: float = 0.0
    matrix_share: float | None = None
    memory_gib: float = 0.0


def render(stage: str, num_steps: int, curves: Curves, stopped: Mapping[str, Any] | None = None) -> str:
    """The page as HTML.

    Args:
        stage: `cpt` or `sft`.
        num_steps: that were planned.
        curves: what was recorded.
        stopped: what the manifest says if training was stopped.
    """
    done = len(curves.loss)
    title = _NAMES.get(stage, stage)
    page = Page(title, f"{done:,} of {num_steps:,} steps" if done < num_steps else f"{done:,} steps")
    if stopped is not None:
        page.note(stopped_sentence(stopped))
    page.metrics(_cards(curves))
    page.heading("Curves")
    _loss(page, curves)
    if curves.perplexity:
        tokens = ", ".join(f"{name} {number:,}" for name, number in curves.held_out_tokens.items())
        page.figure(
            plots.measured_curves(curves.perplexity, "perplexity (from its start)", relative=True),
            "Perplexity of held-out text, as a multiple of what it was at the first measurement: the same tokens each "
            f"time ({tokens}).",
        )
    page.figure(plots.step_curve(curves.learning_rate, "learning rate"), "Learning rate of each step.")
    page.figure(
        plots.step_curve(curves.gradient_norm, "norm of the gradient", dots=True),
        "Length of the gradient before it was clipped (dots), and its running mean.",
    )
    if curves.rate:
        page.figure(plots.step_curve(curves.rate, "tokens a second"), "Tokens a second, a mean over the last steps.")
    if curves.perplexity:
        page.details("Perplexities as numbers", lambda inner: _numbers(inner, curves))
    page.links([("metrics.jsonl: a record a step", "metrics.jsonl")])
    return page.render()


def stopped_sentence(stopped: Mapping[str, Any]) -> str:
    """What became of a run that forgot too much. `stopped`: `step`, `num_steps`, `general_loss`, `max_general_loss`."""
    return (
        f"Training was stopped after step {stopped['step']:,} of {stopped['num_steps']:,}: general text cost "
        f"{stopped['general_loss']:.4g} nats a token, above max_general_loss ({stopped['max_general_loss']:g}). The model "
        "that is kept is the one of that moment; its learning rate had not come down yet."
    )


def _loss(page: Page, curves: Curves) -> None:
    page.figure(plots.loss_curves({"loss": curves.loss}), "Loss of each step (dots) and its running mean (line).")
    if 2 <= len(curves.by_source) <= _MAX_SOURCES:
        page.figure(plots.loss_curves(curves.by_source), "The same, of each source of the mix.")
    elif curves.by_source:
        largest = sorted(curves.by_source, key=lambda name: (-len(curves.by_source[name]), name))[:_MAX_SOURCES]
        if len(curves.by_source) > 1:
            page.figure(
                plots.loss_curves({name: curves.by_source[name] for name in largest}),
                f"The same, of the {_MAX_SOURCES} sources of {len(curves.by_source)} that most steps saw.",
            )


def _numbers(page: Page, curves: Curves) -> None:
    texts = {name: dict(points) for name, points in curves.perplexity.items()}
    steps = sorted({step for points in texts.values() for step in points})
    page.table(["steps", *texts], [[int(step), *(points.get(step) for points in texts.values())] for step in steps])


def _cards(curves: Curves) -> list[tuple[str, str | int | float | None, str]]:
    quarter = max(1, len(curves.loss) // 4)
    cards: list[tuple[str, str | int | float | None, str]] = [
        ("loss, last quarter", _mean(curves.loss[-quarter:]), f"{_mean(curves.loss[:quarter]):.3f} in the first"),
        ("tokens", curves.num_tokens, f"{curves.num_learned:,} of them learned"),
    ]
    for name, points in curves.perplexity.items():
        cards.append((f"{name} perplexity", points[-1][1], f"{points[0][1]:.4g} at step {points[0][0]:,.0f}"))
    spent = curves.training_seconds + curves.measuring_seconds
    if curves.training_seconds:
        share = "" if curves.matrix_share is None else f"{100 * curves.matrix_share:.0f} % of the matrix rate"
        cards.append(("tokens a second", curves.num_tokens / curves.training_seconds, share))
        cards.append(("peak memory", f"{curves.memory_gib:.1f} GiB", ""))
    if curves.measuring_seconds:
        cards.append(("spent on held-out text", f"{100 * curves.measuring_seconds / spent:.1f} %", "of the time"))
    return cards


def _mean(points: Points) -> float:
    return sum(value for _, value in points) / max(1, len(points))
