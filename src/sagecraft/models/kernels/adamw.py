"""AdamW over a whole model, with the gradient's norm: native operators. Their plain twin is torch's own fused AdamW."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sagecraft.models.kernels.library import available, fake, native, operator

_DTYPES = (torch.float32, torch.bfloat16)


def adamw_ready(masters: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """True if the kernel moves these: float32 masters, gradients and copies in bf16 or float32, plain tensors on a CPU."""
    plain = all(
        t.device.type == "cpu" and t.is_contiguous() and type(t) in (Tensor, nn.Parameter) for t in (*masters, *others)
    )
    dtypes = all(t.dtype == torch.float32 for t in masters) and all(t.dtype in _DTYPES for t in others)
    return plain and dtypes and available()


@operator("gradient_norm")
def gradient_norm(grads: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all gradients together, a float64 scalar."""
    squares = native().gradient_squares(
        _pointers(grads), _sizes(grads), _narrow(grads), len(grads), torch.get_num_threads()
    )
    return torch.tensor(squares, dtype=torch.float64).sqrt()


@fake("gradient_norm")
def _(grads: Sequence[Tensor]) -> Tensor:
    return torch.empty((), dtype=torch.float64)


@operator("adamw", mutates=("masters", "means", "squares", "copies"))
def adamw(
    masters: Sequence[Tensor],
    means: Sequence[Tensor],
    squares: Sequence[Tensor],
    copies: Sequence[Tensor],
    grads: Sequence[Tensor],
    decays: Sequence[float],
    steps: Sequence[float],
    learning_rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    factor: float,
) -> None:
    """Moves masters and moments, and writes the masters to the copies in the copies' precision.

    Args:
        masters: float32.
        means: first moments.
        squares: second moments.
        copies: what the model computes with, bf16 or float32.
        grads: bf16 or float32.
        decays: weight decay of each tensor.
        steps: number of each tensor's steps, this one included.
        learning_rate: of all.
        beta1: of the first moments.
        beta2: of the second moments.
        eps: added to the root of the second moment.
        factor: gradients are multiplied by it, for clipping.
    """
    numbers = ctypes.c_double * len(masters)
    native().adamw_step(
        _pointers(masters), _pointers(means), _pointers(squares), _pointers(grads), _pointers(copies), _sizes(masters),
        _narrow(grads), _narrow(copies), len(masters), numbers(*decays), numbers(*steps), learning_rate, beta1, beta2, eps,
        factor, torch.get_num_threads(),
    )  # fmt: skip


@fake("adamw")
def _(masters: Sequence[Tensor], *_rest: object) -> None:
    return None


def _pointers(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_void_p]:
    return (ctypes.c_void_p * len(tensors))(*(t.data_ptr() for t in tensors))


def _sizes(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_int64]:
    return (ctypes.c_int64 * len(tensors))(*(t.numel() for t in tensors))


def _narrow(tensors: Sequence[Tensor]) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * len(tensors))(*(t.dtype == torch.bfloat16 for t in tensors))
