"""Which device to compute on, and what to call it."""

from __future__ import annotations

import torch

from pruning_core.errors import UserError


def choose_device(wanted: str = "auto") -> str:
    """ "auto" is the first GPU when there is one, else the CPU; others are checked. Returns "cpu", "cuda:0", …

    Raises UserError for a device that is not there.
    """
    if wanted == "auto":
        return "cuda:0" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    try:
        device = torch.device(wanted)
    except RuntimeError:
        device = torch.device("meta")
    if device.type == "cuda" and (device.index or 0) < torch.cuda.device_count():
        return f"cuda:{device.index or 0}"
    raise UserError(f"There is no device {wanted!r} here. Choose auto or cpu.")


def devices() -> tuple[str, ...]:
    """Everything there is to compute on here, as ``choose_device`` names it."""
    return ("cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count())))


def bfloat16_is_fast(device: str) -> bool:
    """Whether this is a CPU that multiplies bfloat16 in hardware: with matrix tiles (AMX) or AVX-512's bfloat16.

    Convolutions take half as long there as in float32, or less; on other CPUs bfloat16 gains nothing.
    """
    return device == "cpu" and (torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported())


def device_title(device: str) -> str:
    """What a person calls it: the name of the GPU, or CPU."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
