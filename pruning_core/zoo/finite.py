"""Weights that are numbers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from pruning_core.errors import UserError


def check_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    """Raise UserError naming the first tensor of the file ``name`` that holds NaN or infinity."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point():
            strange = int((~torch.isfinite(tensor.float())).sum())
            if strange:
                raise UserError(
                    f"{key!r} in {name!r} has {strange:,} weights that are not finite (NaN or infinite). Such a "
                    "network computes nothing; upload an earlier checkpoint."
                )
