"""Winograd's convolution F(4x4, 3x3): 36 products where the plain one has 144, in float32 on the CPU.

A tile of 4 x 4 outputs is A^T [(G g G^T) * (B^T d B)] A for a kernel g (3 x 3) and inputs d (6 x 6), so all tiles and
channels together are 36 matrix products. Rounding errors are some five times those of the plain convolution.
Source: Lavin and Gray 2016 (arXiv 1509.09308), section 4.3.

What it is worth: one pass in processor time of one thread, the same program with plain convolutions over this one, on a
busy CPU with AVX2 only, 2026-11-29: 1.9 on VGG-16-BN at 32 px (9 of 13 convolutions), 1.2 on ResNet-18 (7 of 20) and
ResNet-56 (34 of 57), 1.1 on ResNet-50 at 224 px (13 of 53). Where bfloat16 is fast it is not used.
To delete it: let ``program.quick`` return None where bfloat16 is not fast, then this file and ``winograd_loops.py``,
``tile`` and ``tiled`` in ``program.py``, ``fusion.py`` and ``convolution.py``, ``compile_loops`` in
``pages/ui/server.py`` and ``benchmarks/bench_sweep.py``, and ``tests/core/test_winograd.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pruning_core.replay.winograd_loops import Floats, into_tiles, out_of_tiles

ROWS = 128  # of the matrices of one thread: enough for fast products, few enough to stay in the cache
RUN = 1024  # floats of one position of all tiles: the loops are long, and what they touch stays in the cache
WORTH = 12  # the transforms cost some channels + outputs, the products save some channels x outputs
G = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


def worthwhile(weight: Tensor) -> bool:
    """Whether there are so many channels that products outweigh transforms; weight (O, C, 3, 3).

    More of them where threads share the work: they wait for each other between transforms and products.
    """
    outputs, channels = weight.shape[:2]
    return outputs * channels >= WORTH * torch.get_num_threads() * (outputs + channels)


def transformed(weight: Tensor) -> Tensor:
    """(O, C, 3, 3) -> (36, O, C): G g G^T of every kernel; quickest where channels are last in memory."""
    g = torch.tensor(G, dtype=torch.float64)
    both = torch.kron(g, g).to(weight.dtype)  # (36, 9)
    return (both @ weight.permute(2, 3, 0, 1).reshape(9, -1)).view(36, *weight.shape[:2])


def compile_loops() -> None:
    """Have the machine code ready, which takes seconds when there is none in the cache yet."""
    convolve(torch.zeros(1, 1, 4, 4), transformed(torch.zeros(1, 1, 3, 3)), torch.zeros(1), None, False)


def convolve(x: Tensor, weight: Tensor, bias: Tensor, other: Tensor | None, relu: bool) -> Tensor:
    """``relu(conv(x) + bias + other)`` with stride 1 and padding 1; the ReLU and ``other`` are optional.

    x: (N, C, H, W) float32 on the CPU. weight: (36, O, C) from ``transformed``. bias: (O,). other: (N, O, H, W).
    Returns (N, O, H, W), channels last in memory.
    """
    images, _, height, width = x.shape
    outputs, channels = weight.shape[1:]
    high, wide = -(-height // 4), -(-width // 4)
    threads = max(1, min(torch.get_num_threads(), images, images * high * wide // ROWS))
    share = min(-(-ROWS // (high * wide)), -(-images // threads))  # images of one thread for one product
    room = max(1, min(share, RUN // (wide * max(channels, outputs))))  # of them in one go of a transform
    size = high * wide * -(-share // room) * room
    y = torch.empty(images, height, width, outputs)
    tiles, products = torch.empty(36, threads * size, channels), torch.empty(36, threads * size, outputs)
    read, made = tiles.view(36, -1).numpy(), products.view(36, -1).numpy()
    source, target, given = _last(x), y.numpy(), bias.numpy()
    added = target if other is None else _last(other)
    column = (wide + 1) * room * channels
    padded = np.zeros((threads, 4 * high + 2, 4 * column), np.float32)
    halfway_in = np.empty((threads, 6, 4 * column), np.float32)
    halfway_out = np.empty((threads, 4, 6, wide * room * outputs), np.float32)
    rows = np.empty((threads, 4, wide * room * outputs), np.float32)

    def enter(t: int, first: int) -> None:
        last, at = min(images, first + share), t * size * channels
        into_tiles(source, first, last, room, padded[t], halfway_in[t], read, at)

    def leave(t: int, first: int) -> None:
        last, at = min(images, first + share), t * size * outputs
        out_of_tiles(
            made, at, halfway_out[t], rows[t], given, added, target, first, last, room, other is not None, relu
        )

    with _side_by_side(threads) as run:
        for start in range(0, images, threads * share):
            firsts = range(start, min(images, start + threads * share), share)
            run(enter, range(threads), firsts)
            torch.bmm(tiles, weight.transpose(1, 2), out=products)
            run(leave, range(threads), firsts)
    return y.permute(0, 3, 1, 2)


def _last(x: Tensor) -> Floats:
    """(N, C, H, W) -> (N, H, W, C), without a copy where channels are last in memory already."""
    return x.permute(0, 2, 3, 1).contiguous().numpy()


@contextmanager
def _side_by_side(threads: int) -> Iterator[Callable[..., Any]]:
    """A ``map`` that has done its work when it returns."""
    if threads == 1:
        yield lambda work, *given: list(map(work, *given))
        return
    with ThreadPoolExecutor(threads) as pool:
        yield lambda work, *given: list(pool.map(work, *given))
