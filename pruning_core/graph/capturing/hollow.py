"""Looking at a network without computing what takes long: shapes are right, values are zeros.

Labels do not depend on values, so a capture needs no products, normalisations or pools. A network that reads numbers
from its activations (to decide, or to index) is noticed, and looked at again with everything computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

Sizes = tuple[int, ...]
Shapes = tuple[Sizes, ...] | None  # of every result
LAZY: dict[torch.dtype, Any] = {torch.float32: np.float32, torch.float64: np.float64, torch.int64: np.int64}
POINTWISE = frozenset(
    {"relu", "hardtanh", "hardswish", "silu", "leaky_relu", "elu", "gelu", "sigmoid", "hardsigmoid", "tanh"}
    | {"add", "sub", "mul", "div"}
)
READING = frozenset(
    {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "bincount", "repeat_interleave"}
    | {"unique_dim", "_unique", "_unique2", "unique_consecutive"}
)


class NeedsValues(Exception):
    """The network looks at numbers that were not computed."""


def reads_values(name: str, args: Any) -> bool:
    """Whether the operator's result depends on numbers in a way that later operators, or the model's code, notice."""
    return name in READING or (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]))


class Memory:
    """Zeros on the CPU, cut from large untouched pieces: they are neither cleared nor freed one by one."""

    PIECE = 1 << 26  # bytes; so much comes from the system as it is

    def __init__(self) -> None:
        self._piece = np.empty(0, np.uint8)
        self._taken = 0

    def zeros(self, shape: Sizes, dtype: torch.dtype, device: torch.device) -> Tensor:
        numpy_type = LAZY.get(dtype) if device.type == "cpu" else None
        if numpy_type is None:
            return torch.zeros(shape, dtype=dtype, device=device)
        size = prod(shape) * dtype.itemsize
        if self._taken + size > len(self._piece):
            self._piece, self._taken = np.zeros(max(size, self.PIECE), np.uint8), 0
        found = np.ndarray(shape, numpy_type, self._piece, self._taken)
        self._taken += -(-size // 64) * 64  # where vector instructions like them to begin
        return torch.from_numpy(found)


def run_hollow(op: Any, name: str, args: Any, kwargs: Any, memory: Memory) -> Any:
    """The operator's result, or zeros of its shapes where computing it would be long."""
    heavy = HEAVY.get(name)
    # whatever is unusual is run for real: it may have to raise
    shapes = None if heavy is None or (kwargs and (name, kwargs) != CONTIGUOUS) else heavy(*args, **kwargs)
    if shapes is None:
        return op(*args, **kwargs)
    like = args[0][0] if name == "cat" else args[0]
    if name[-1] == "_":  # written into: what was never computed stays as it is
        return like if shapes[0] == like.shape else op(*args)
    first = memory.zeros(shapes[0], like.dtype, like.device)
    if len(shapes) == 1:
        return first
    other = torch.int64 if name in INDEXED else like.dtype
    return first, *(memory.zeros(shape, other, like.device) for shape in shapes[1:])


def _fits(x: Tensor, y: Tensor, inner: int, other: int) -> bool:
    return inner == other and x.dtype == y.dtype and x.device == y.device


def _mm(x: Tensor, y: Tensor) -> Shapes:
    return ((x.shape[0], y.shape[1]),) if _fits(x, y, x.shape[1], y.shape[0]) else None


def _bmm(x: Tensor, y: Tensor) -> Shapes:
    return ((*x.shape[:2], y.shape[2]),) if _fits(x, y, x.shape[2], y.shape[1]) and len(x) == len(y) else None


def _addmm(bias: Tensor, x: Tensor, y: Tensor) -> Shapes:
    return _mm(x, y) if bias.dtype == x.dtype and bias.shape[-1] in (1, y.shape[1]) else None


def _convolution(
    x: Tensor,
    w: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Shapes:
    space, kernel = x.shape[2:], w.shape[2:]
    read = w.shape[0] if transposed else w.shape[1] * groups
    numbers = (stride, padding, dilation, output_padding)
    if not _fits(x, w, x.shape[1], read) or any(len(v) != len(space) for v in (kernel, *numbers)):
        return None
    if transposed:
        sizes = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, k, s, p, d, o in zip(space, kernel, *numbers)]
    else:
        sizes = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d, _ in zip(space, kernel, *numbers)]
    made = w.shape[1] * groups if transposed else w.shape[0]
    fits = min(sizes) > 0 and (bias is None or bias.shape == (made,))
    return ((len(x), made, *sizes),) if fits else None


def _batch_norm(
    x: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Shapes:
    """In training mode the running statistics are left as they are; a capture would put them back anyway."""
    given = [t for t in (weight, bias, mean, variance) if t is not None]
    if x.dim() < 2 or any(t.shape != x.shape[1:2] or t.dtype != x.dtype or t.device != x.device for t in given):
        return None
    kept = (x.shape[1],) if training else (0,)
    return tuple(x.shape), kept, kept


def _pooled(
    x: Tensor, kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], ceil: bool
) -> Sizes | None:
    """Of images (N, C, H, W); None for what a pool refuses or takes in another way."""
    numbers = (kernel, stride or kernel, padding, dilation)
    if x.dim() != 4 or any(len(v) != 2 for v in numbers) or any(2 * p > k for p, k in zip(padding, kernel)):
        return None
    sizes = []
    for n, k, s, p, d in zip(x.shape[2:], *numbers):
        spare = n + 2 * p - d * (k - 1) - 1
        made = -(-spare // s) + 1 if ceil else spare // s + 1
        sizes.append(made - 1 if ceil and (made - 1) * s >= n + p else made)  # no window starts in the padding
    return (*x.shape[:2], *sizes) if min(sizes) > 0 else None


def _max_pool(
    x: Tensor,
    kernel: list[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil: bool = False,
) -> Shapes:
    shape = _pooled(x, kernel, list(stride), list(padding), list(dilation), ceil)
    return None if shape is None else (shape, shape)


def _mean_pool(
    x: Tensor,
    kernel: list[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    ceil: bool = False,
    *_: Any,
) -> Shapes:
    shape = _pooled(x, kernel, list(stride), list(padding), [1, 1], ceil)
    return None if shape is None else (shape,)


def _pointwise(x: Tensor, *others: Any) -> Shapes:
    """Of floats of one type in the usual order in memory; the operator itself would keep any other order."""
    if not isinstance(x, Tensor) or not x.is_floating_point() or not x.is_contiguous():
        return None
    shape = tuple(x.shape)
    for y in others:
        if isinstance(y, Tensor):
            if y.dtype != x.dtype or y.device != x.device or not y.is_contiguous():
                return None
            if y.shape != x.shape:
                both = _broadcast(shape, y.shape)
                if both is None:
                    return None
                shape = both
        elif not isinstance(y, int | float | None):
            return None
    return (shape,)


def _broadcast(a: Sizes, b: Sizes) -> Sizes | None:
    a, b = ((1,) * (max(len(a), len(b)) - len(s)) + tuple(s) for s in (a, b))
    return tuple(map(max, a, b)) if all(m == n or 1 in (m, n) for m, n in zip(a, b)) and 0 not in a + b else None


def _clone(x: Tensor, memory_format: torch.memory_format | None = None) -> Shapes:
    return (tuple(x.shape),) if x.is_floating_point() and (memory_format or x.is_contiguous()) else None


def _mean(x: Tensor, dims: Sequence[int] | None = None, keep: bool = False) -> Shapes:
    if not dims or not x.is_floating_point() or any(not -x.dim() <= d < x.dim() for d in dims):
        return None
    over = {d % x.dim() for d in dims}
    return (tuple(1 if d in over else n for d, n in enumerate(x.shape) if keep or d not in over),)


def _softmax(x: Tensor, dim: int, half: bool) -> Shapes:
    return None if half or not -x.dim() <= dim < x.dim() else _pointwise(x)


def _layer_norm(x: Tensor, over: Sequence[int], weight: Tensor | None, bias: Tensor | None, eps: float) -> Shapes:
    lead = x.dim() - len(over)
    given = [t for t in (weight, bias) if t is not None]
    fits = list(x.shape[lead:]) == list(over) and all(
        list(t.shape) == list(over) and t.dtype == x.dtype and t.device == x.device for t in given
    )
    if not fits or not over or not x.is_floating_point():
        return None
    kept = (*x.shape[:lead], *(1 for _ in over))
    return tuple(x.shape), kept, kept


def _cat(parts: Sequence[Tensor], dim: int = 0) -> Shapes:
    x = parts[0]
    sizes = list(x.shape)
    if not -len(sizes) <= dim < len(sizes):
        return None
    dim %= len(sizes)
    sizes[dim] = 0
    for t in parts:
        own = list(t.shape)
        joined, own[dim : dim + 1] = sum(own[dim : dim + 1]), [sizes[dim]]
        if own != sizes or t.dtype != x.dtype or t.device != x.device or not t.is_contiguous():
            return None
        sizes[dim] += joined
    return (tuple(sizes),) if x.is_floating_point() else None


CONTIGUOUS = ("clone", {"memory_format": torch.contiguous_format})
INDEXED = frozenset({"max_pool2d_with_indices"})  # their second result says where the first was found
HEAVY: dict[str, Callable[..., Shapes]] = {
    "convolution": _convolution,
    "mm": _mm,
    "bmm": _bmm,
    "addmm": _addmm,
    "native_batch_norm": _batch_norm,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _mean_pool,
    "mean": _mean,
    "_softmax": _softmax,
    "native_layer_norm": _layer_norm,
    "cat": _cat,
    "clone": _clone,
    **{name + end: _pointwise for name in sorted(POINTWISE) for end in ("", "_")},
}
