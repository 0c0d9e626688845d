"""The native way through a block (blocks.cpp), built on first use; where it cannot be built, numpy does the same in more time."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sagecraft import console
from sagecraft.merging.blocks import CHUNK, Between, Group, Plain, View, ends_early, not_finite, too_large
from sagecraft.merging.methods import Method, Numbers
from sagecraft.models.kernels import builder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sagecraft.merging.blocks import Totals

_SOURCES = (Path(__file__).with_name("blocks.cpp"), Path(builder.__file__).with_name("common.h"))
#: No multiply-add may be made of two operations: each is rounded by itself, as in numpy.
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fPIC")
_TYPES = {"F32": 0, "BF16": 1, "F16": 2}
_STORED = {"F32": np.float32, "BF16": np.uint16, "F16": np.float16}
#: Elements that are worked on at a time.
_LANES = 16
_WAYS = {"linear": 0, "combine": 1, "add": 2, "elect": 3, "nearswap": 4}
_MASKS = {"all": 0, "random": 1, "band": 2}
#: Results of the functions (blocks.cpp).
_ENDS_EARLY, _READING = 1001, -1000

_p, _n, _f = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float


class _Input(ctypes.Structure):
    _fields_ = [(name, _n) for name in ("num_sources", "first", "count")] + [
        (name, _p) for name in ("handles", "starts", "types")
    ]


class _Deltas(ctypes.Structure):
    _fields_ = [("num_models", _n), ("origin", _n)] + [
        (name, _p) for name in ("sources", "masks", "keys", "limits", "lower", "upper", "lower_ends", "upper_ends")
    ]


class _Recipe(ctypes.Structure):
    _fields_ = [
        *((name, _n) for name in ("way", "base", "reference", "normalize", "positive", "type")),
        *((name, _f) for name in ("divisor", "lambda_", "t")),
        *((name, _p) for name in ("factors", "weights", "out")),
    ]


class _Groups(ctypes.Structure):
    _fields_ = [("count", _n), ("size", _n), ("places", _p)]


class _Range(ctypes.Structure):
    _fields_ = [("low", _p), ("high", _p), ("room", _n)]


class _Found(ctypes.Structure):
    _fields_ = [(name, _p) for name in ("above", "inside", "magnitudes", "places")]


_lock = threading.Lock()
_loaded: list[ctypes.CDLL | None] = []


def available() -> bool:
    """Builds and loads the library at the first call; if that fails, says so once."""
    with _lock:
        if not _loaded:
            try:
                _loaded.append(_load())
            except (builder.BuildError, OSError) as error:
                _loaded.append(None)
                console.say(f"  no native kernels, merging is slower: {error}")
    return _loaded[0] is not None


def _load() -> ctypes.CDLL:
    functions = ctypes.CDLL(str(builder.build(_SOURCES, _FLAGS)))
    for name, count in {"merge": 4, "gram": 3, "sizes": 3, "upper": 3, "lower": 4, "sample": 4, "between": 4}.items():
        function = getattr(functions, f"{name}_block")
        function.argtypes, function.restype = [_p] * count, _n
    return functions


class Native:
    """Blocks through blocks.cpp; a tensor with an adapter goes the plain way."""

    def __init__(self) -> None:
        functions = _loaded[0]
        assert functions is not None, "it is made after `available` said yes"
        self.functions = functions
        self.plain = Plain()

    def merge(
        self, group: Group, view: View, method: Method, numbers: Numbers, dtype: str, block: tuple[int, int]
    ) -> tuple[NDArray[Any], Totals]:
        """See `Engine`."""
        if _changed(group) or method.way is None:
            return self.plain.merge(group, view, method, numbers, dtype, block)
        factors = _array(numbers.scales, np.float32)
        weights = _array(numbers.weights, np.float32)
        merged = np.empty(-(-block[1] // _LANES) * _LANES, dtype=_STORED[dtype])
        recipe = _Recipe(
            _WAYS[method.way],
            -1 if group.base is None else group.base,
            group.reference,
            numbers.normalize,
            numbers.sign_ties == "positive",
            _TYPES[dtype],
            numbers.divisor,
            numbers.lambda_,
            numbers.t,
            factors.ctypes.data,
            weights.ctypes.data,
            merged.ctypes.data,
        )
        # the summary's deltas are those of the models, which the view has behind the base if the method sees that too
        pairs = len(view.sources) * (len(view.sources) + 1) // 2
        totals = self._call("merge", group, view, block, pairs + 2, ctypes.byref(recipe), dtype=dtype)
        return merged[: block[1]], _without_base(totals, group, view)

    def gram(self, group: Group, view: View, block: tuple[int, int]) -> Totals:
        """See `Engine`."""
        if _changed(group):
            return self.plain.gram(group, view, block)
        return self._call("gram", group, view, block, len(view.sources) * (len(view.sources) + 1) // 2)

    def sizes(self, group: Group, view: View, block: tuple[int, int]) -> Totals:
        """See `Engine`."""
        if _changed(group):
            return self.plain.sizes(group, view, block)
        return self._call("sizes", group, view, block, 2 * len(view.sources))

    def upper(self, group: Group, view: View, block: tuple[int, int], counts: NDArray[np.uint32]) -> None:
        """See `Engine`."""
        if _changed(group):
            self.plain.upper(group, view, block, counts)
        else:
            self._call("upper", group, view, block, 0, into=counts.ctypes.data)

    def lower(
        self, group: Group, view: View, block: tuple[int, int], uppers: NDArray[np.uint32], counts: NDArray[np.uint32]
    ) -> None:
        """See `Engine`."""
        if _changed(group):
            self.plain.lower(group, view, block, uppers, counts)
        else:
            self._call("lower", group, view, block, 0, uppers.ctypes.data, into=counts.ctypes.data)

    def sample(self, group: Group, view: View, count: int, places: NDArray[np.int64], size: int) -> NDArray[np.uint32]:
        """See `Engine`."""
        if _changed(group):
            return self.plain.sample(group, view, count, places, size)
        magnitudes = np.empty((len(view.sources), len(places), size), dtype=np.uint32)
        places = _array(places, np.int64)
        groups = _Groups(len(places), size, places.ctypes.data)
        self._call("sample", group, view, (0, count), 0, ctypes.addressof(groups), into=magnitudes.ctypes.data)
        return magnitudes

    def between(
        self,
        group: Group,
        view: View,
        block: tuple[int, int],
        low: NDArray[np.uint32],
        high: NDArray[np.uint32],
        room: int,
    ) -> Between:
        """See `Engine`."""
        if _changed(group):
            return self.plain.between(group, view, block, low, high, room)
        count = len(view.sources)
        above, inside = np.zeros(count, dtype=np.int64), np.empty((-(-block[1] // CHUNK), count), dtype=np.int64)
        magnitudes, places = (np.empty((count, room), dtype=np.uint32) for _ in range(2))
        range_ = _Range(low.ctypes.data, high.ctypes.data, room)
        found = _Found(*(array.ctypes.data for array in (above, inside, magnitudes, places)))
        self._call("between", group, view, block, 0, ctypes.addressof(range_), into=ctypes.addressof(found))
        kept = np.minimum(inside.sum(axis=0), np.where(low == high, 0, room))
        return Between(
            above,
            inside,
            [row[:number].copy() for row, number in zip(magnitudes, kept, strict=True)],
            [row[:number] + np.int64(block[0]) for row, number in zip(places, kept, strict=True)],
        )

    def _call(
        self,
        name: str,
        group: Group,
        view: View,
        block: tuple[int, int],
        width: int,
        *others: Any,
        into: int | None = None,
        dtype: str = "",
    ) -> Totals:
        """Runs a function; ctypes lets other threads run meanwhile."""
        totals = np.zeros((-(-block[1] // CHUNK), width))
        kept, arrays = _input(group, block)
        deltas, more = _deltas(view)
        result = totals.ctypes.data if into is None else into
        code = getattr(self.functions, f"{name}_block")(
            ctypes.addressof(kept), ctypes.addressof(deltas), *others, result
        )
        del arrays, more  # they were alive until here
        if code:
            raise _fault(code, group, dtype)
        return totals


def _changed(group: Group) -> bool:
    return any(change is not None for change in group.changes)


def _without_base(totals: Totals, group: Group, view: View) -> Totals:
    """Takes out the products with the base, whose delta is zero, where the method sees it beside the models."""
    if view.sources == group.models:
        return totals
    count = len(view.sources)
    pairs = [(left, right) for left in range(count) for right in range(left, count)]
    columns = [place for place, (left, _) in enumerate(pairs) if left > 0]
    return totals[:, [*columns, len(pairs), len(pairs) + 1]]


def _array(values: Any, kind: Any) -> NDArray[Any]:
    return np.ascontiguousarray(values, dtype=kind)


def _input(group: Group, block: tuple[int, int]) -> tuple[_Input, list[NDArray[Any]]]:
    first, count = block
    arrays = [
        _array([stored.handle for stored in group.stored], np.int64),
        _array([stored.record.start + first * stored.width for stored in group.stored], np.int64),
        _array([_TYPES[stored.record.dtype] for stored in group.stored], np.int64),
    ]
    return _Input(len(group.stored), first, count, *(array.ctypes.data for array in arrays)), arrays


def _deltas(view: View) -> tuple[_Deltas, list[NDArray[Any]]]:
    masks = view.masks
    arrays = [
        _array(view.sources, np.int64),
        _array([_MASKS[mask.kind] for mask in masks] or [0] * len(view.sources), np.int64),
        _array([mask.key for mask in masks], np.uint64),
        _array([mask.limit for mask in masks], np.uint32),
        _array([mask.lower.bits for mask in masks], np.uint32),
        _array([mask.upper.bits for mask in masks], np.uint32),
        _array([mask.lower.end for mask in masks], np.int64),
        _array([mask.upper.end for mask in masks], np.int64),
    ]
    origin = -1 if view.origin is None else view.origin
    return _Deltas(len(view.sources), origin, *(array.ctypes.data for array in arrays)), arrays


def _fault(code: int, group: Group, dtype: str) -> Exception:
    """What a result other than 0 says."""
    if 0 < code < _ENDS_EARLY:
        return not_finite(group.stored[code - 1].record, group.name)
    if code >= _ENDS_EARLY:
        return ends_early(group.stored[code - _ENDS_EARLY].record, group.name)
    if code == -1:
        return too_large(group.name, dtype)
    number = _READING - code
    return OSError(number, os.strerror(number), group.name)
