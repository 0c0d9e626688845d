from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sagecraft.models.kernels import adamw as adamw_module
from sagecraft.models.kernels import attention, builder, check, library, pointwise
from sagecraft.models.kernels.library import BuildError

needs_kernels = pytest.mark.skipif(not library.available(), reason="no C++ compiler")
needs_products = pytest.mark.skipif(not library.has_products(), reason="no compiler, or no AVX-512")


def draw(seed: int, *shape: int) -> Tensor:
    """Values that bf16 holds exactly, so that both sides start from the same."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16()


def with_gradients(function: Callable[..., Any], inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    leaves = [value.to(dtype).requires_grad_() for value in inputs]
    out = function(*leaves)
    outs = list(out) if isinstance(out, tuple) else [out]
    upstream = [draw(100 + n, *value.shape).to(dtype) for n, value in enumerate(outs)]
    return [*(value.detach() for value in outs), *torch.autograd.grad(outs, leaves, upstream)]


def assert_near(ours: list[Tensor], exact: list[Tensor], tolerance: float) -> None:
    for first, second in zip(ours, exact, strict=True):
        assert first.shape == second.shape
        assert second.norm() > 0.1, "nothing to compare"
        assert (first.double() - second).norm() < tolerance * second.norm()


CASES = {
    "one sequence": ([200], 4, 2, 64, None),
    "lengths at the edges of blocks": ([64, 1, 16, 128, 15, 65, 17, 2, 63], 3, 1, 64, None),
    "many of one token": ([1] * 40 + [30], 2, 2, 32, None),
    "as many key heads as heads": ([50, 90], 3, 3, 80, None),
    "heads of 128": ([130], 4, 1, 128, None),
    "heads of 96": ([70, 30], 2, 1, 96, None),
    "heads of 256": ([90, 280], 2, 1, 256, 100),
    "heads of 6": ([33, 40], 2, 1, 6, None),
    "more blocks than one of keys": ([700], 2, 1, 16, None),
    "a window within a block": ([150, 20], 4, 2, 16, 10),
    "a window over blocks": ([300, 90], 4, 2, 16, 130),
    "a window of two": ([70], 2, 1, 16, 2),
}


@needs_products
@pytest.mark.parametrize("case", CASES)
def test_attention_is_its_plain_twin(case: str) -> None:
    lengths, num_heads, num_groups, size, window = CASES[case]
    boundaries = torch.tensor([0, *lengths]).cumsum(0)
    num_tokens = int(boundaries[-1])
    angles = draw(9, num_tokens, 1, size // 2).float().repeat(1, 1, 2) * 3
    rotary = [angles.cos().bfloat16(), angles.sin().bfloat16()]
    inputs = [draw(n, num_tokens, heads, size) for n, heads in enumerate((num_heads, num_groups, num_groups))]

    def run(function: Callable[..., Tensor], dtype: torch.dtype) -> list[Tensor]:
        turned = (rotary[0].to(dtype), rotary[1].to(dtype))
        return with_gradients(lambda q, k, v: function(q, k, v, turned, boundaries, 0.2, window), inputs, dtype)

    ours = run(attention.packed_attention_native, torch.bfloat16)
    exact = run(attention.packed_attention_plain, torch.float64)
    assert_near(ours, exact, 0.008)  # torch's own attention in bf16 is off by 0.003 to 0.009


@needs_products
def test_attention_takes_large_scores_and_strided_inputs() -> None:
    packed = draw(0, 90, 8, 16) * 30  # a softmax that is nearly one-hot, scores up to 1e4
    angles = torch.zeros(90, 1, 16)
    rotary = (angles.cos().bfloat16(), angles.sin().bfloat16())
    queries, keys, values = packed[:, :4], packed[:, 4:6], packed[:, 6:]
    ours = attention.packed_attention_native(queries, keys, values, rotary, [0, 90])
    wide = (rotary[0].double(), rotary[1].double())
    exact = attention.packed_attention_plain(queries.double(), keys.double(), values.double(), wide, [0, 90])
    assert_near([ours], [exact], 0.01)


@needs_products
def test_the_bytes_do_not_depend_on_the_number_of_threads() -> None:
    inputs = [draw(n, 400, heads, 32) for n, heads in enumerate((6, 2, 2))]
    angles = draw(9, 400, 1, 32).float()
    rotary = (angles.cos().bfloat16(), angles.sin().bfloat16())
    threads = torch.get_num_threads()

    def run() -> list[Tensor]:
        mixed = with_gradients(
            lambda q, k, v: attention.packed_attention_native(q, k, v, rotary, [0, 250, 251, 400]),
            inputs,
            torch.bfloat16,
        )
        normed = with_gradients(
            lambda x, w: pointwise.rms_norm(x, w, 1e-5), [draw(1, 999, 48), draw(2, 48)], torch.bfloat16
        )
        return [*mixed, *normed, adamw_module.gradient_norm([draw(3, 333, 777)])]

    try:
        results = []
        for number in (1, 2, 3, 2):
            torch.set_num_threads(number)
            results.append(run())
    finally:
        torch.set_num_threads(threads)
    for others in results[1:]:
        for first, other in zip(results[0], others, strict=True):
            assert torch.equal(first, other)


@needs_kernels
@pytest.mark.parametrize("from_one", [False, True])
@pytest.mark.parametrize("shape", [(70, 48), (3, 5, 7), (1, 576), (600, 64)])
def test_norms_are_their_plain_twins(shape: tuple[int, ...], from_one: bool) -> None:
    x, added, weight = draw(0, *shape), draw(1, *shape), draw(2, shape[-1])

    def alone(a: Tensor, w: Tensor) -> Tensor:
        return pointwise.rms_norm(a, w, 1e-3, from_one)

    def summed(a: Tensor, b: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return pointwise.add_rms_norm(a, b, w, 1e-3, from_one)

    for function, inputs in ((alone, [x, weight]), (summed, [x, added, weight])):
        exact = with_gradients(function, inputs, torch.float64)  # not bf16: the plain way
        assert_near(with_gradients(function, inputs, torch.bfloat16), exact, 0.006)


@needs_kernels
def test_a_sum_whose_norm_is_not_used_has_its_gradient() -> None:
    x, added = draw(0, 4, 8).requires_grad_(), draw(1, 4, 8).requires_grad_()
    total, _ = pointwise.add_rms_norm(x, added, draw(2, 8), 1e-5)
    total.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.ones_like(x))


@needs_kernels
@pytest.mark.parametrize("activation", ["silu", "gelu_tanh"])
def test_gated_units_are_their_plain_twins(activation: str) -> None:
    inputs = [draw(0, 65, 33) * 4, draw(1, 65, 33)]  # gates up to 16, where a sigmoid is 1
    inputs[0][:2] *= 50  # and where its power of two would overflow
    exact = with_gradients(lambda a, b: pointwise.gated_plain(a, b, activation), inputs, torch.float64)
    assert_near(with_gradients(lambda a, b: pointwise.gated(a, b, activation), inputs, torch.bfloat16), exact, 0.005)


@needs_kernels
@pytest.mark.parametrize("z_weight", [0.0, 0.1])
@pytest.mark.parametrize("spread", [1.0, 40.0])
def test_losses_and_slopes_are_their_plain_twins(z_weight: float, spread: float) -> None:
    scores, targets = draw(0, 33, 1001) * spread, torch.arange(33) * 30
    ours, exact = scores.clone(), scores.double()
    losses = pointwise.softmax_losses(ours, targets, True, z_weight)
    exact_losses = pointwise.softmax_losses_plain(exact, targets, True, z_weight)
    assert_near([*losses], [*exact_losses], 1e-5)
    assert_near([ours], [exact], 0.003)
    untouched = scores.clone()
    again = pointwise.softmax_losses(untouched, targets, False)
    assert torch.equal(untouched, scores)
    assert torch.equal(again[0], losses[0])


@needs_kernels
def test_a_target_outside_the_vocabulary_is_an_error() -> None:
    with pytest.raises(IndexError, match="vocabulary of 10"):
        pointwise.softmax_losses(draw(0, 2, 10), torch.tensor([0, 10]), True)


@needs_kernels
@pytest.mark.parametrize("grads_dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("copies_dtype", [torch.bfloat16, torch.float32])
def test_adamw_is_torch_s(grads_dtype: torch.dtype, copies_dtype: torch.dtype) -> None:
    shapes = [(40, 1000), (3,), (1, 1)]  # more than one piece of work, and less
    ours = [draw(n, *shape).float() for n, shape in enumerate(shapes)]
    theirs = [torch.nn.Parameter(value.clone()) for value in ours]
    means, squares = ([torch.zeros_like(value) for value in ours] for _ in range(2))
    copies = [torch.empty_like(value, dtype=copies_dtype) for value in ours]
    decays = [0.1, 0.0, 0.0]
    groups = [{"params": [p], "weight_decay": decay} for p, decay in zip(theirs, decays, strict=True)]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95), eps=1e-8, fused=True)
    for step in range(1, 6):
        grads = [draw(10 * step + n, *shape).to(grads_dtype) for n, shape in enumerate(shapes)]
        norm = float(adamw_module.gradient_norm(grads))
        assert norm == pytest.approx(float(torch.cat([g.double().flatten() for g in grads]).norm()), rel=1e-6)
        for parameter, grad in zip(theirs, grads, strict=True):
            parameter.grad = grad.float() * 0.3
        optimizer.step()
        adamw_module.adamw(ours, means, squares, copies, grads, decays, [float(step)] * 3, 1e-2, 0.9, 0.95, 1e-8, 0.3)
    for first, second, copy in zip(ours, theirs, copies, strict=True):
        torch.testing.assert_close(first, second.data, rtol=2e-6, atol=2e-7)
        assert torch.equal(copy, first.to(copies_dtype))


@needs_products
def test_operators_are_registered_whole() -> None:
    """Schema, fake form and gradient form of each agree, which torch.compile and activation checkpointing rely on."""
    boundaries, angles = torch.tensor([0, 20, 30]), draw(9, 30, 1, 8)
    grad = {"requires_grad": True}
    q, k, v = (draw(n, 30, heads, 8).requires_grad_(**grad) for n, heads in enumerate((4, 2, 2)))
    x, y, w = (draw(n, *shape).requires_grad_(**grad) for n, shape in enumerate([(6, 8), (6, 8), (8,)]))
    torch.library.opcheck(attention._attend, (q, k, v, angles.cos(), angles.sin(), boundaries, 0.3, 0))
    torch.library.opcheck(pointwise._norm, (x, w, 1e-5, False))
    torch.library.opcheck(pointwise._add_norm, (x, y, w, 1e-5, True))
    torch.library.opcheck(pointwise._gated, (x, y, False))
    torch.library.opcheck(pointwise._softmax_losses, (draw(0, 5, 12), torch.arange(5), True, 0.0))
    torch.library.opcheck(adamw_module.gradient_norm, ([draw(0, 5), draw(1, 6)],))
    state = [[draw(n, 5).float().abs()] for n in range(4)]
    torch.library.opcheck(adamw_module.adamw, (*state, [draw(5, 5)], [0.1], [1.0], 0.1, 0.9, 0.95, 1e-8, 1.0))


def test_other_dtypes_take_the_plain_way() -> None:
    for dtype in (torch.float32, torch.float64, torch.float16):
        assert not library.ready(torch.zeros(2, dtype=dtype))
    assert not library.ready(torch.zeros(2, dtype=torch.bfloat16, device="meta"))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As in a new process; what the console would show."""
    shown: list[str] = []
    monkeypatch.setattr(library, "_loaded", [])
    monkeypatch.setattr(library.console, "say", lambda text, style=None: shown.append(text))
    return shown


def test_without_a_compiler_one_line_says_so_and_the_plain_way_runs(
    fresh: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builder.shutil, "which", lambda name: None)
    x = draw(0, 3, 8)
    for _ in range(2):
        assert torch.equal(pointwise.rms_norm(x, x[0], 1e-5), pointwise.rms_norm_plain(x, x[0], 1e-5))
    assert len(fresh) == 1
    assert "no native kernels" in fresh[0]
    assert "install g++" in fresh[0]


def test_a_compiler_that_fails_is_named_in_one_line(
    fresh: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo 4.8 && exit 0\necho 'x.cpp:1: error: too old' >&2; exit 1\n"
    )
    compiler.chmod(0o755)
    monkeypatch.setattr(builder.shutil, "which", lambda name: str(compiler))
    with pytest.raises(BuildError, match=r"too old.*version 9"):
        library.load(tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.so"))


@needs_kernels
def test_a_build_is_done_once_and_kept(fresh: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    library.load(tmp_path / "cache")
    (built,) = (tmp_path / "cache").glob("*.so")
    runs: list[list[str]] = []
    real = subprocess.run

    def counted(command: list[str], **options: Any) -> Any:
        runs.append(command)
        return real(command, **options)

    monkeypatch.setattr(builder.subprocess, "run", counted)
    library.load(tmp_path / "cache")
    assert [command[1] for command in runs] == ["--version"]
    monkeypatch.setattr(builder, "_features", lambda: "another processor")
    library.load(tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.so"))) == 2
    assert built.exists()


@needs_kernels
def test_a_kernel_that_is_wrong_is_not_used(fresh: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    right = pointwise.rms_norm_plain
    monkeypatch.setattr(pointwise, "rms_norm_plain", lambda *arguments: right(*arguments) * 1.1)
    assert not library.available()
    assert "norm is off by 0.09" in fresh[-1]
    monkeypatch.setattr(library, "_loaded", [library.load()])
    with pytest.raises(BuildError, match="norm"):
        check.check(with_attention=False)
