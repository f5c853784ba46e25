"""Blocks that can leave a network: those that add what they make to what they read, and give it the same shape."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.graph import LayerCost, Network
from pruning_core.graph.modules import modules_by_name
from pruning_core.measuring.forward import precision
from pruning_core.methods.units import without_modules

NO_BLOCKS = (
    "This method takes whole residual blocks out, and this network has none that give back the shape that they read. "
    "Choose a method that removes channels or sets weights to zero."
)


@dataclass(frozen=True)
class Block:
    """A removable block by name, and what it costs."""

    name: str
    macs: int
    parameters: int


def without_blocks(network: Network) -> str:
    """The obstacle of these methods, by the shapes alone; "" where some module gives back the shape that it reads."""
    if recorded := without_modules(network):
        return recorded
    return "" if any(_inside(network, name) for name in _parents(network)) else NO_BLOCKS


def removable(model: nn.Module, network: Network) -> list[Block]:
    """Innermost residual blocks in the order of the network: with all their weights zero they hand on what they read.

    Raises UserError when ``model`` cannot be run on the input of its capture.
    """
    names = [name for name in _parents(network) if _inside(network, name)]
    known = modules_by_name(model)
    silent = copy.deepcopy(model).eval()
    found = [name for name in names if name in known and _hands_on(silent, name, network)]
    innermost = [name for name in found if not any(other.startswith(f"{name}.") for other in found)]
    return [_block(network, name) for name in innermost]


def _parents(network: Network) -> list[str]:
    """Names of modules that hold several layers, in order."""
    names: dict[str, None] = {}
    for layer in network.layer_costs():
        parts = layer.name.split(".")
        names |= dict.fromkeys(".".join(parts[:n]) for n in range(1, len(parts)))
    return list(names)


def _inside(network: Network, name: str) -> list[LayerCost]:
    """The layers of a module that multiplies and, by its first and last layer, gives back the shape that it reads."""
    layers = [layer for layer in network.layer_costs() if layer.name.startswith(f"{name}.")]
    if not any(layer.macs for layer in layers) or layers[0].shape_in != layers[-1].shape_out:
        return []
    return layers


def _block(network: Network, name: str) -> Block:
    inside = _inside(network, name)
    return Block(name, sum(layer.macs for layer in inside), sum(layer.parameters for layer in inside))


@torch.no_grad()
def _hands_on(model: nn.Module, name: str, network: Network) -> bool:
    """Whether the module gives exactly what it reads once its weights are zero; ``model`` may be changed and is put
    back."""
    block, seen = model.get_submodule(name), list[tuple[Tensor, Tensor]]()

    def look(_: nn.Module, given: tuple[object, ...], made: object) -> None:
        if len(given) == 1 and isinstance(given[0], Tensor) and isinstance(made, Tensor):
            seen.append((given[0].clone(), made.clone()))

    kept = [parameter.clone() for parameter in block.parameters()]
    handle = block.register_forward_hook(look)
    try:
        for parameter in block.parameters():
            parameter.zero_()
        model(*_input(model, network))
    finally:
        handle.remove()
        for parameter, value in zip(block.parameters(), kept):
            parameter.copy_(value)
    return len(seen) == 1 and torch.equal(*seen[0]) and bool(seen[0][0].any())


def _input(model: nn.Module, network: Network) -> Iterator[Any]:
    """Noise in the shapes of the capture; whole numbers, such as tokens, as they were."""
    generator = torch.Generator().manual_seed(0)
    for value in network.example:
        noisy = isinstance(value, Tensor) and value.is_floating_point()
        yield torch.randn(value.shape, generator=generator).to(precision(model)) if noisy else value
