"""Mistakes made on purpose: how much a removed network would differ if the cut had taken wrong channels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pruning_core.graph.network import Network
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.silence import silenced_members

SHARE = 8  # one in so many of the units that are left


@contextlib.contextmanager
def mistaken(removed: nn.Module, network: Network, plan: Plan) -> Iterator[None]:
    """Units that the plan keeps are silenced in the removed network for as long as this lasts, some of every group.

    Never more of a group than the plan removes, so that this is no larger than what the removal itself may get wrong.
    """
    tensors = dict([*removed.named_parameters(remove_duplicate=False), *removed.named_buffers(remove_duplicate=False)])
    kept = network.kept(plan)
    changed = []
    try:
        with torch.no_grad():
            for key, gone in plan.items():
                units = _some(network.group(key).size, gone)
                for member in silenced_members(network, key):
                    tensor = tensors.get(member.parameter)
                    if tensor is None:  # a program holds only what it uses
                        continue
                    now = np.searchsorted(kept[member.parameter, member.dim], member.index[units].reshape(-1))
                    positions = torch.as_tensor(now, device=tensor.device)
                    changed.append((tensor, member.dim, positions, tensor.index_select(member.dim, positions)))
                    tensor.index_fill_(member.dim, positions, 0)
        yield
    finally:
        with torch.no_grad():
            for tensor, dim, positions, values in reversed(changed):
                tensor.index_copy_(dim, positions, values)


def _some(size: int, gone: tuple[int, ...]) -> NDArray[np.int64]:
    left = np.setdiff1d(np.arange(size), gone)
    count = max(1, min(len(gone), len(left) // SHARE))
    return left[:: len(left) // count][:count]
