"""Copies of a model that share, or exchange, some of its tensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from pruning_core.graph.copier import Copier


def copied(model: nn.Module, exchanged: Mapping[int, Tensor] | None = None) -> nn.Module:
    """A copy in which the tensors with these identities are replaced, wherever the model refers to them.

    Everything that the model consists of is copied, what it only refers to (open files, locks) is shared; see
    :mod:`pruning_core.graph.copier`.
    """
    new: nn.Module = Copier(exchanged or {}).copied(model)
    return new


def aliased(model: nn.Module, exchanged: Mapping[int, Tensor] | None = None) -> nn.Module:
    """A copy to be run, not to be changed: parameters of its own that lie in the memory of the original's.

    ``exchanged`` as for :func:`copied`.
    """
    new: nn.Module = Copier(exchanged or {}, aliased=True).copied(model)
    return new
