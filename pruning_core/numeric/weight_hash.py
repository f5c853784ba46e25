"""Pseudo-random numbers drawn from the bits of weights: they move along when channels change places."""

from __future__ import annotations

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF


def _mixed(values: Tensor, seed: int) -> Tensor:
    """A well-mixed number in [0, 2^32) per entry, int64; equal entries get equal numbers."""
    bits = values.detach().float().contiguous().view(torch.int32).to(torch.int64) & _MASK
    bits = (bits ^ ((seed * 0x9E3779B1 + 0x85EBCA6B) & _MASK)) & _MASK
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 0x6C8E9CF5)):
        bits = ((bits ^ (bits >> shift)) * factor) & _MASK  # 32 x 31 bits fit into 63
    return bits ^ (bits >> 16)


def signs(weight: Tensor, seed: int) -> Tensor:
    """+1 or -1 per weight, in its shape and type."""
    return ((_mixed(weight, seed) >> 7 & 1) * 2 - 1).to(weight.dtype)


def lots(rows: Tensor, seed: int) -> Tensor:
    """A number per row of (C, fan), float64; the order of the entries within a row does not matter."""
    return ((_mixed(rows, seed).sum(1) * 0x2545F491) & _MASK).double()
