"""What one example of a data set is called, from what the data are."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import torch
from torch import Tensor

from pruning_core.datasets.findings import Finding
from pruning_core.datasets.findings.numbers import Arrays, Sounds, Table

LOOKED_AT = 64  # examples that tell whether numbers are whole


class Called(StrEnum):
    """In the singular."""

    IMAGE = "image"
    ROW = "row"
    RECORDING = "recording"
    SEQUENCE = "sequence"
    VOLUME = "volume"
    EXAMPLE = "example"


def called(inputs: Tensor, findings: Iterable[Finding]) -> Called:
    """``inputs``: uint8 (N, C, H, W) of pictures, else float32 (N, C, …), with what was found in them."""
    if inputs.dtype == torch.uint8:
        return Called.IMAGE
    for each in findings:
        match each:
            case Table():
                return Called.ROW
            case Sounds():
                return Called.RECORDING
            case Arrays(names=(_,)) if inputs.ndim == 2 and _are_tokens(inputs[:LOOKED_AT]):
                return Called.SEQUENCE
    return Called.VOLUME if inputs.ndim == 5 else Called.EXAMPLE


def _are_tokens(inputs: Tensor) -> bool:
    """Whole numbers from 0 on, one behind another, and more than yes and no."""
    whole = bool((inputs == inputs.round()).all()) and float(inputs.min()) >= 0
    return whole and inputs.shape[1] > 1 and float(inputs.max()) > 1
