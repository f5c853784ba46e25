"""Copies of a model that share, or exchange, some of its tensors."""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import Tensor, nn


def copied(model: nn.Module, exchanged: Mapping[int, Tensor]) -> nn.Module:
    """A deep copy in which the tensors with these identities are replaced, wherever the model refers to them."""
    return copy.deepcopy(model, dict(exchanged))


def shadow(model: nn.Module) -> nn.Module:
    """Modules and buffers of its own, the parameters of the original: to be run, not to be changed."""
    return copied(model, {id(p): p for p in model.parameters()})
