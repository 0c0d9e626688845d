"""Builds and loads the kernels' C++ on first use; without a compiler everything runs on torch's own operators.

The library is kept in the user's cache folder under a hash of everything that decides its bytes (sources, compiler, flags,
torch, the processor's features), so a home folder that machines of different kinds share is safe. It includes no header of
torch: the functions take pointers, and oneDNN's small matrix product is looked up in torch's own library. A build takes
seconds and needs nothing but g++.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from sagecraft import console
from sagecraft.models.kernels.builder import CACHE, BuildError, build

_FOLDER = Path(__file__).parent
#: -fno-math-errno and -fno-trapping-math let loops with square roots and comparisons vectorise; they change no value.
_FLAGS = (
    "-O3",
    "-march=native",
    "-std=c++17",
    "-fopenmp",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-Wno-psabi",
    "-fPIC",
)
#: `at::native::cpublas::brgemm` for bf16, and what gives the matrix unit back.
_PRODUCT = "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb"
_RELEASE = "_ZN2at6native7cpublas14brgemm_releaseEb"


@dataclass(frozen=True)
class Native:
    """The loaded library.

    Attributes:
        functions: its C functions.
        has_products: this processor has oneDNN's small products in bf16 (AVX-512 or a matrix unit), as attention needs.
    """

    functions: ctypes.CDLL
    has_products: bool


Function = Callable[..., Any]
_operators: Any = torch.library.Library("sagecraft", "FRAGMENT")  # type: ignore[no-untyped-call]
_lock = threading.RLock()  # the check calls operators, which ask again
_loaded: list[Native | None] = []


def ready(*tensors: Tensor) -> bool:
    """True if the kernels compute with these: plain bf16 tensors on a CPU, and the library is there."""
    return all(map(_plain_bf16, tensors)) and available()


def _plain_bf16(tensor: Tensor) -> bool:
    # a DTensor has no memory of its own to point at
    return tensor.dtype == torch.bfloat16 and tensor.device.type == "cpu" and type(tensor) in (Tensor, nn.Parameter)


def available() -> bool:
    """Builds, loads and checks the library at the first call; if that fails, says so once."""
    with _lock:
        if not _loaded:
            from sagecraft.models.kernels.check import check

            try:
                _loaded.append(load())
                check(with_attention=_loaded[0] is not None and _loaded[0].has_products)
            except BuildError as error:
                _loaded[:] = [None]
                console.say(f"  no native kernels, training on this processor is slower: {error}")
    return _loaded[0] is not None


def has_products() -> bool:
    """True if attention's kernel runs here too."""
    return available() and (found := _loaded[0]) is not None and found.has_products


for _constant in (available, has_products):
    # torch.compiler.assume_constant_result does this too, but imports the compiler, which takes 1.2 s
    _constant._dynamo_marked_constant = True  # type: ignore[attr-defined]


def operator(name: str, mutates: Sequence[str] = ()) -> Callable[[Function], Any]:
    """Registers a function as the operator `sagecraft::name` on processors, and gives the operator.

    torch.library.custom_op does the same, but its first call imports the compiler.

    Args:
        name: of the operator; fake and gradient forms are registered under it.
        mutates: arguments that the function writes to.
    """

    def register(function: Function) -> Any:
        _operators.define(name + torch.library.infer_schema(function, mutates_args=mutates))
        _operators.impl(name, function, "CPU")
        return getattr(torch.ops.sagecraft, name).default

    return register


def fake(name: str) -> Callable[[Function], Function]:
    """Registers a function as the form of `sagecraft::name` that only makes outputs of the right shape."""
    return cast(Callable[[Function], Function], torch.library.register_fake(f"sagecraft::{name}"))


def native() -> ctypes.CDLL:
    """The library's functions, which `available` has loaded."""
    library = _loaded[0]
    assert library is not None, "operators are called after `available` said yes"
    return library.functions


def load(cache: Path = CACHE) -> Native:
    """The library, built if it is not there yet.

    Raises:
        BuildError: it cannot be built or loaded here.
    """
    try:
        library = build(sorted([*_FOLDER.glob("*.cpp"), *_FOLDER.glob("*.h")]), _FLAGS, cache, torch.__version__)
        return _bind(ctypes.CDLL(str(library)))
    except OSError as error:
        raise BuildError(f"the library does not load ({error})") from error


def _bind(functions: ctypes.CDLL) -> Native:
    """Declares the arguments, and hands over torch's small product if this processor has it."""
    p, n, f, i, d = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int, ctypes.c_double
    shapes = [n, n, n, n, f, n]
    signatures = {
        "attention_forward": [p] * 6 + shapes + [p, p, i],
        "attention_backward": [p] * 6 + shapes + [p] * 6 + [i],
        "gated_forward": [p, p, n, i, p, i],
        "gated_backward": [p, p, p, n, i, p, p, i],
        "norm_forward": [p, p, p, n, n, f, i, p, p, p, i],
        "norm_backward": [p, p, p, p, p, n, n, i, p, p, i],
        "softmax_losses": [p, p, n, n, i, f, p, p, i],
        "gradient_squares": [p, p, p, n, i],
        "adamw_step": [p] * 8 + [n, p, p] + [d] * 5 + [i],
        "attention_prepare": [p, p],
    }
    for name, arguments in signatures.items():
        function = getattr(functions, name)
        function.argtypes, function.restype = arguments, None
    functions.gradient_squares.restype = d
    for name in ("attention_prepare", "attention_forward", "attention_backward"):
        getattr(functions, name).restype = i  # 1: done
    torch_functions = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
    try:
        product, release = (ctypes.cast(torch_functions[name], p) for name in (_PRODUCT, _RELEASE))
    except AttributeError:  # torch before 2.6, or a build without oneDNN
        return Native(functions, has_products=False)
    return Native(functions, has_products=bool(functions.attention_prepare(product, release)))
