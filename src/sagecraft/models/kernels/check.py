"""Holds the freshly loaded kernels against their plain twins on a small problem, before anything trusts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sagecraft.models.kernels.builder import BuildError

#: Relative difference (of norms) that rounding to bf16 explains; a wrong kernel is off by more than a tenth.
_TOLERANCE = 0.03

Outputs = Sequence[Tensor]
#: The kernel, its plain twin, and what both are given.
Case = tuple[Callable[..., Tensor], Callable[..., Tensor], Outputs]


@torch.inference_mode(False)
def check(with_attention: bool) -> None:
    """Compares.

    Raises:
        BuildError: a kernel and its twin disagree.
    """
    from sagecraft.models.kernels import pointwise

    x, weight = _draw(50, 24), _draw(24)
    cases: dict[str, Case] = {
        "norm": (
            lambda x, w: pointwise.rms_norm(x, w, 1e-5),
            lambda x, w: pointwise.rms_norm_plain(x, w, 1e-5),
            (x, weight),
        ),
        "the gated unit": (
            lambda a, b: pointwise.gated(a, b, "silu"),
            lambda a, b: pointwise.gated_plain(a, b, "silu"),
            (x, x.flip(0)),
        ),
    }
    if with_attention:
        cases |= _attention_cases()
    for name, (ours, plain, inputs) in cases.items():
        try:
            results = _with_gradients(ours, inputs)
        except RuntimeError as error:
            raise BuildError(f"{name} does not run ({error})") from error
        _compare(name, results, _with_gradients(plain, inputs))
    targets = torch.arange(50) % 24
    for slopes in (True, False):
        first, second = x.clone(), x.clone()
        ours_losses, _ = pointwise.softmax_losses(first, targets, slopes)
        plain_losses, _ = pointwise.softmax_losses_plain(second, targets, slopes)
        _compare("the loss", (ours_losses, first), (plain_losses, second))
    _compare("AdamW", *_adamw_steps())


def _attention_cases() -> dict[str, Case]:
    """Small and usual heads; sequences that need every width of a block."""
    from sagecraft.models.kernels import attention

    cases: dict[str, Case] = {}
    for size, boundaries in ((16, [0, 70, 71, 90]), (64, [0, 330, 420])):
        num_tokens = boundaries[-1]
        angles = _draw(num_tokens, 1, size // 2).repeat(1, 1, 2)
        rotary = (angles.cos(), angles.sin())
        cases[f"attention with heads of {size}"] = (
            lambda q, k, v, rotary=rotary, edges=boundaries: attention.packed_attention_native(q, k, v, rotary, edges),
            lambda q, k, v, rotary=rotary, edges=boundaries: attention.packed_attention_plain(q, k, v, rotary, edges),
            (_draw(num_tokens, 4, size), _draw(num_tokens, 2, size), _draw(num_tokens, 2, size)),
        )
    return cases


@torch.no_grad()
def _adamw_steps() -> tuple[Outputs, Outputs]:
    """Masters and moments after two steps of the kernel, and by the paper's lines in float64.

    Not by torch's own AdamW: its constructor imports the compiler, which takes a second; tests hold the kernel against it.
    """
    from sagecraft.models.kernels.adamw import adamw, gradient_norm

    master, grads = _draw(7, 9).float(), (_draw(9, 7).T.contiguous(), _draw(3, 21).view(7, 9))
    mean, square, copy = torch.zeros_like(master), torch.zeros_like(master), torch.empty_like(master)
    exact, first, second = master.double(), torch.zeros(7, 9).double(), torch.zeros(7, 9).double()
    for step, grad in enumerate(grads, start=1):
        adamw([master], [mean], [square], [copy], [grad], [0.1], [float(step)], 0.1, 0.9, 0.95, 1e-8, 0.5)
        slope = 0.5 * grad.double()
        first, second = 0.9 * first + 0.1 * slope, 0.95 * second + 0.05 * slope**2
        towards = (first / (1 - 0.9**step)) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)
        exact = exact * (1 - 0.1 * 0.1) - 0.1 * towards
    norms = [gradient_norm([grad]) for grad in grads], [grad.double().norm() for grad in grads]
    return [master, copy, mean, square, *norms[0]], [exact, exact, first, second, *norms[1]]


def _draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


@torch.enable_grad()
def _with_gradients(function: Callable[..., Tensor], inputs: Outputs) -> Outputs:
    leaves = [value.clone().requires_grad_() for value in inputs]
    out = function(*leaves)
    # of a sum: gradients that start from a tensor make torch import sympy
    return [out.detach(), *torch.autograd.grad((out * _draw(*out.shape)).sum(), leaves)]


def _compare(name: str, ours: Outputs, plain: Outputs) -> None:
    for first, second in zip(ours, plain, strict=True):
        difference = float((first.double() - second.double()).norm() / second.double().norm())
        if not difference < _TOLERANCE:
            raise BuildError(
                f"{name} is off by {difference:.2g} from the plain computation; please report this machine"
            )
