"""Products as a witness sees them: how much they multiply, and a way to compute the slow ones in float64."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from torch import Tensor, nn


def _product(first: int) -> Callable[[list[Any], Any], tuple[int, ...]]:
    def macs(args: list[Any], out: Tensor) -> tuple[int, ...]:
        return (out.numel() * int(args[first].shape[-1]),)

    return macs


def _convolution_macs(args: list[Any], out: Tensor) -> tuple[int, ...]:
    x, w, transposed = args[0], args[1], args[6]
    return (prod((x if transposed else out).shape[2:]) * len(out) * w.numel(),)


def _attention_macs(args: list[Any], out: Any) -> tuple[int, ...]:
    q, k, v = args[:3]
    pairs = prod(q.shape[:-1]) * int(k.shape[-2])
    return pairs * int(q.shape[-1]), pairs * int(v.shape[-1])


MACS: dict[str, Callable[[list[Any], Any], tuple[int, ...]]] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot", "vdot"), _product(0)),
    **dict.fromkeys(("addmm", "baddbmm", "addmv"), _product(1)),
    "linear": _product(0),
    **dict.fromkeys(("convolution", "_convolution"), _convolution_macs),
    **dict.fromkeys(
        (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_attention_math",
        ),
        _attention_macs,
    ),
}


def is_slow(args: list[Any]) -> bool:
    """PyTorch takes depthwise convolutions in float64 one channel at a time: a thousand small products."""
    x, w, transposed, groups = args[0], args[1], args[6], args[8]
    return x.device.type == "cpu" and x.dim() == 4 and not transposed and 1 < groups == x.shape[1] and w.shape[1] == 1


def by_positions(
    x: Tensor, w: Tensor, bias: Tensor | None, stride: list[int], padding: list[int], dilation: list[int], *_: Any
) -> Tensor:
    """A depthwise convolution as one sum over the positions of its kernel: (N, C, H, W) with (C * m, 1, h, w)."""
    x = nn.functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    many = w.shape[0] // x.shape[1]
    if many > 1:
        x = x.repeat_interleave(many, 1)
    rows, columns = ((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], w.shape[2:], stride, dilation))
    out = x.new_zeros(len(x), x.shape[1], rows, columns)
    if bias is not None:
        out += bias[:, None, None]
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            top, left = i * dilation[0], j * dilation[1]
            down, right = top + (rows - 1) * stride[0] + 1, left + (columns - 1) * stride[1] + 1
            out.addcmul_(x[:, :, top : down : stride[0], left : right : stride[1]], w[:, 0, i, j, None, None])
    return out
