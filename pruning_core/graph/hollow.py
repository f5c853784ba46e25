"""Looking at a network without computing its products: shapes are right, values are zeros.

Labels do not depend on values, so a capture needs no multiplication. A network that reads numbers from its activations
(to decide, or to index) is noticed, and looked at again with everything computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

READING = frozenset(
    {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique_dim", "_unique2"}
)


class NeedsValues(Exception):
    """The network looks at numbers that were not computed."""


def reads_values(name: str, args: Any) -> bool:
    """Whether the operator's result depends on numbers in a way that later operators, or the model's code, notice."""
    return name in READING or (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]))


def run_hollow(op: Any, name: str, args: Any, kwargs: Any) -> Any:
    """The operator's result, or zeros of its shape where computing it would be long."""
    heavy = HEAVY.get(name)
    shape = None if heavy is None else heavy(*args)
    # whatever is unusual is run for real: it may have to raise
    return op(*args, **kwargs) if shape is None else torch.zeros(shape, dtype=args[0].dtype, device=args[0].device)


Shape = tuple[int, ...] | None


def _fits(x: Tensor, y: Tensor, inner: int, other: int) -> bool:
    return inner == other and x.dtype == y.dtype and x.device == y.device


def _mm(x: Tensor, y: Tensor) -> Shape:
    return (x.shape[0], y.shape[1]) if _fits(x, y, x.shape[1], y.shape[0]) else None


def _bmm(x: Tensor, y: Tensor) -> Shape:
    return (*x.shape[:2], y.shape[2]) if _fits(x, y, x.shape[2], y.shape[1]) and len(x) == len(y) else None


def _addmm(bias: Tensor, x: Tensor, y: Tensor) -> Shape:
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
) -> Shape:
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
    return (len(x), made, *sizes) if fits else None


HEAVY: dict[str, Callable[..., Shape]] = {"convolution": _convolution, "mm": _mm, "bmm": _bmm, "addmm": _addmm}
