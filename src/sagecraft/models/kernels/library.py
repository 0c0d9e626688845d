"""Builds and loads the kernels' C++ on first use; without a compiler everything runs on torch's own operators.

The library is kept in the user's cache folder under a hash of everything that decides its bytes (sources, compiler, flags,
torch, the processor's features), so a home folder that machines of different kinds share is safe. It includes no header of
torch: the functions take pointers, and oneDNN's small matrix product is looked up in torch's own library. A build takes
seconds and needs nothing but g++.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from sagecraft import console

_FOLDER = Path(__file__).parent
_CACHE = Path.home() / ".cache" / "sagecraft" / "kernels"
_COMPILERS = ("g++", "c++")
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
_BUILD_SECONDS = 600
#: `at::native::cpublas::brgemm` for bf16, and what gives the matrix unit back.
_PRODUCT = "_ZN2at6native7cpublas6brgemmEllllllbPKN3c108BFloat16ES5_Pfb"
_RELEASE = "_ZN2at6native7cpublas14brgemm_releaseEb"


class BuildError(Exception):
    """Why there are no kernels, as one clause, and what to do about it."""


@dataclass(frozen=True)
class Native:
    """The loaded library.

    Attributes:
        functions: its C functions.
        has_products: this processor has oneDNN's small products in bf16 (AVX-512 or a matrix unit), as attention needs.
    """

    functions: ctypes.CDLL
    has_products: bool


_lock = threading.RLock()  # the check calls operators, which ask again
_loaded: list[Native | None] = []


def ready(*tensors: Tensor) -> bool:
    """True if the kernels compute with these: plain bf16 tensors on a CPU, and the library is there."""
    return all(map(_plain_bf16, tensors)) and available()


def _plain_bf16(tensor: Tensor) -> bool:
    # a DTensor has no memory of its own to point at
    return tensor.dtype == torch.bfloat16 and tensor.device.type == "cpu" and type(tensor) in (Tensor, nn.Parameter)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
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


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_products() -> bool:
    """True if attention's kernel runs here too."""
    return available() and (found := _loaded[0]) is not None and found.has_products


def native() -> ctypes.CDLL:
    """The library's functions, which `available` has loaded."""
    library = _loaded[0]
    assert library is not None, "operators are called after `available` said yes"
    return library.functions


def load(cache: Path = _CACHE) -> Native:
    """The library, built if it is not there yet.

    Raises:
        BuildError: it cannot be built or loaded here.
    """
    if platform.system() != "Linux":
        raise BuildError(f"they are built on Linux only, this is {platform.system()}")
    compiler = next((path for path in map(shutil.which, _COMPILERS) if path), None)
    if compiler is None:
        raise BuildError("there is no C++ compiler; install g++ (`apt install g++`, `dnf install gcc-c++`)")
    version = _run([compiler, "--version"], "the compiler does not run")
    features = _features()
    flags = (*_FLAGS, "-mprefer-vector-width=512") if "avx512f" in features.split() else _FLAGS
    sources = sorted([*_FOLDER.glob("*.cpp"), *_FOLDER.glob("*.h")])
    text = "\0".join([version, torch.__version__, features, *flags, *(path.read_text("utf-8") for path in sources)])
    name = f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.so"
    try:
        library = _build([compiler, *flags], cache, name)
        return _bind(ctypes.CDLL(str(library)))
    except OSError as error:
        raise BuildError(f"the library does not load ({error})") from error


def _build(command: list[str], cache: Path, name: str) -> Path:
    """Compiles into the cache, once however many processes ask; one that cannot be written is replaced by a new folder."""
    target = cache / name
    if target.is_file():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache):
            pass
    except OSError:
        cache = Path(tempfile.mkdtemp(prefix="sagecraft-kernels-"))
        target = cache / name
    with _locked(cache / "lock"):
        if target.is_file():  # another process has built it while this one waited
            return target
        console.say("  building kernels for this processor (once, some seconds)")
        sources = [str(path) for path in sorted(_FOLDER.glob("*.cpp"))]
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _run([*command, "-c", *sources], "the compiler fails", folder)
            # Linked without -fopenmp: OpenMP's functions come from the library that torch has loaded. A second one would
            # have threads of its own, and both sets would spin on the same cores.
            objects = [f"{Path(source).stem}.o" for source in sources]
            _run([command[0], "-shared", "-o", name, *objects], "the linker fails", folder)
            (Path(folder) / name).replace(target)
    return target


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits for its turn; where a file system has no locks, two builds do the same work and the last rename stands."""
    import fcntl

    with path.open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _run(command: list[str], fault: str, folder: str | None = None) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{fault} ({error})") from error
    if done.returncode:
        lines = (
            [line for line in done.stderr.splitlines() if "error" in line] or done.stderr.splitlines() or ["no output"]
        )
        raise BuildError(f"{fault} ({lines[0].strip()}); install a g++ of version 9 or newer")
    return done.stdout


def _features() -> str:
    """What this processor can do, as Linux says it: `-march=native` compiles for exactly that."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    lines = [
        line.partition(":")[2] for line in text.splitlines() if line.startswith(("flags", "Features", "model name"))
    ]
    return " ".join([platform.machine(), *dict.fromkeys(lines)])


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
