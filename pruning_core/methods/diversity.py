"""New weights for filters that are like another one, in a direction that the others do not cover."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.methods.units import joined, producers
from pruning_core.numeric.distances import cosine


def diversified(model: nn.Module, network: Network, share: float, seed: int) -> nn.Module:
    """A copy in which that share of every group's filters is renewed."""
    changed = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    for own in producers(changed, network).values():
        rows = joined(own).detach().cpu().double()
        count = min(round(share * len(rows)), len(rows) - 1)
        for each, part in zip(own, renewed(rows, count, generator).split([each.rows().shape[1] for each in own], 1)):
            each.write(part)
    return changed


def renewed(rows: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(C, d) with ``count`` rows replaced, one after the other: the smaller one of the two that are most alike.

    A new row is orthogonal to all others, or lies where they reach least when they fill the space; it has the mean
    norm of the layer.
    """
    rows, length, fresh = rows.clone(), rows.norm(dim=1).mean(), torch.zeros(len(rows), dtype=torch.bool)
    for _ in range(count):
        near = 1 - cosine(rows)
        near.fill_diagonal_(-2)
        near[fresh] = -2
        near[:, fresh] = -2
        pair = [int(near.argmax()) // len(rows), int(near.argmax()) % len(rows)]
        place = min(pair, key=lambda unit: (float(rows[unit].norm()), unit))
        others = torch.cat([rows[:place], rows[place + 1 :]])
        rows[place] = length * _apart(others, generator)
        fresh[place] = True
    return rows


def _apart(others: Tensor, generator: torch.Generator) -> Tensor:
    """(d,) of length 1, orthogonal to all of (n, d) where there is such a direction."""
    drawn = torch.randn(others.shape[1], generator=generator, dtype=others.dtype)
    _, sizes, basis = torch.linalg.svd(others, full_matrices=False)
    rank = int((sizes > sizes.max() * 1e-7).sum())
    if rank == others.shape[1]:
        return basis[-1]
    direction = drawn - (drawn @ basis[:rank].T) @ basis[:rank]
    return direction / direction.norm()
