"""Synaptic flow: gradients of a network made positive, for an infinitesimal input of ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.probe.differentiation import Slopes
from pruning_core.probe.objectives import CLASSES, Objective
from pruning_core.probe.shadow import shadow

INPUT = 1e-100  # so small that saturating activations act by their slope at zero, far above double precision's end


def positive(name: str, value: Tensor) -> Tensor:
    """Absolute weights and scales; shifts and running means, which would break the flow's balance, become zero."""
    last = name.rpartition(".")[2]
    if not value.is_floating_point():
        return value
    if last == "running_mean" or (last.endswith("bias") and value.ndim == 1):
        return torch.zeros_like(value, dtype=torch.float64)
    return value.double().abs()


def positive_flow(model: nn.Module, network: Network, objective: Objective) -> Slopes:
    """Gradients of the summed outputs with respect to the absolute weights, in units of the input."""
    stand_in = shadow(model, gradients=True, change=positive)
    weights = {n: p for n, p in stand_in.named_parameters() if p.requires_grad}
    device = next(iter(weights.values())).device
    shapes = [(1, *shape[1:]) for shape in network.example_shapes]
    with torch.enable_grad():
        output = stand_in(*(torch.full(s, INPUT, dtype=torch.float64, device=device) for s in shapes))
        total = objective.loss(output, torch.zeros(1, dtype=torch.int64, device=device), CLASSES)
        found = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    slopes = Slopes(objective, (), weights, (), CLASSES)
    slopes.mean = {name: g / INPUT for name, g in zip(weights, found) if g is not None}
    slopes.reached = set(slopes.mean)
    return slopes
