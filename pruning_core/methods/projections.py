"""Where projections can be inserted, so that a residual branch and its shortcut may have widths of their own."""

from __future__ import annotations

import torch
from torch import nn

from pruning_core.errors import UserError
from pruning_core.graph import Network
from pruning_core.graph.edits import edited
from pruning_core.graph.network import Group, Role
from pruning_core.graph.projected import Project, Projection
from pruning_core.measuring.forward import main_output, precision
from pruning_core.methods.normed import normed

NO_BRANCHES = (
    "A projection goes behind a convolution with a batch norm that ends a residual branch, and no branch of this "
    "network ends so. Prune inside blocks only, or shortcuts with their blocks."
)
ELSEWHERE = (
    "This network is a program out of a file, into which no layer can be put. Prune inside blocks only, or shortcuts "
    "with their blocks."
)
CHANGED = "With projections the network would not give the same scores (by {apart:.1e}), so none is inserted."


def projections(model: nn.Module, network: Network) -> tuple[Project, ...]:
    """One for every branch that ends in channels which an addition couples, and begins inside: in order.

    What reads the stream itself (a shortcut's own projection) or the image (the stem) makes the stream, and gets none.
    Raises UserError where there is no such branch, and where the network with them gives other scores.
    """
    ends = {group.key: _ends(group, network) for group in network.groups if group.coupled}
    sizes = {conv: network.group(key).size for key, convs in ends.items() for conv in convs}
    found = tuple(Project(pair.norm, sizes[pair.conv]) for pair in normed(model, network) if pair.conv in sizes)
    if not found:
        raise UserError(NO_BRANCHES)
    apart = _apart(model, network, found)
    if not apart <= 1e-5:
        raise UserError(CHANGED.format(apart=apart))
    return found


def has_projections(network: Network) -> bool:
    return any(layer.kind == Projection.__name__ for layer in network.layer_costs())


def _ends(group: Group, network: Network) -> list[str]:
    """The layers that make a coupled group's channels out of channels inside a block."""
    inside = {
        member.layer
        for other in network.groups
        if not other.coupled
        for member in other.members
        if member.role is Role.CONSUMER
    }
    return [member.layer for member in group.producers if member.layer in inside]


@torch.no_grad()
def _apart(model: nn.Module, network: Network, edits: tuple[Project, ...]) -> float:
    """The largest difference of scores on noise, over the largest score."""
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(shape, generator=generator).to(precision(model)) for shape in network.example_shapes]
    before = main_output(edited(model, ())(*given))
    after = main_output(edited(model, edits)(*given))
    return float((after - before).abs().max() / before.abs().max().clamp(min=1e-12))
