"""Convolutions with a batch norm behind them, found by running the network: what gates are built around."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.graph.edits import put
from pruning_core.graph.modules import modules_by_name
from pruning_core.measuring.forward import main_output, precision
from pruning_core.probe.shadow import shadow

GATES = frozenset({"TopChannels", "Decision"})
HAS_GATES = "This network has gates that open image by image already. Choose the network that it was made from."


@dataclass(frozen=True)
class Normed:
    """A plain convolution and the batch norm that reads what it writes, by name."""

    conv: str
    norm: str


def has_gates(network: Network) -> bool:
    return any(layer.kind in GATES for layer in network.layer_costs())


@torch.no_grad()
def normed(model: nn.Module, network: Network) -> list[Normed]:
    """In the order in which they run, those that run once; a pair counts where nothing else is given that tensor.

    Whether that is so is tried: with the norm moved to right behind its convolution, the network must say the same.
    """
    generator = torch.Generator().manual_seed(0)
    given = [torch.randn(shape, generator=generator).to(precision(model)) for shape in network.example_shapes]
    pairs = _pairs(model, given)
    says = main_output(shadow(model)(*given))

    def same(some: list[Normed]) -> bool:
        return torch.allclose(main_output(_moved(model, some)(*given)), says, rtol=1e-4, atol=1e-5)

    return pairs if same(pairs) else [pair for pair in pairs if same([pair])]


def _moved(model: nn.Module, pairs: list[Normed]) -> nn.Module:
    moved = shadow(model)
    for pair in pairs:
        conv, norm = moved.get_submodule(pair.conv), moved.get_submodule(pair.norm)
        put(moved, pair.norm, nn.Identity())
        put(moved, pair.conv, nn.Sequential(conv, norm))
    return moved


def _pairs(model: nn.Module, given: list[Tensor]) -> list[Normed]:
    """Those of which exactly one norm reads what the convolution wrote."""
    run = shadow(model)
    wrote: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}
    often: set[str] = set()
    for name, module in modules_by_name(run).items():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):

            def note(module: nn.Module, given: tuple[Tensor, ...], made: Tensor, name: str = name) -> None:
                kept, value = (wrote, made) if isinstance(module, nn.Conv2d) else (read, given[0])
                if name in kept:
                    often.add(name)
                kept[name] = value

            module.register_forward_hook(note)
    run(*given)
    found = []
    for conv, made in wrote.items():
        readers = [norm for norm, given in read.items() if given is made]
        plain = type(layer := run.get_submodule(conv)) is nn.Conv2d and layer.groups == 1
        if plain and len(readers) == 1 and not often & {conv, *readers}:
            found.append(Normed(conv, readers[0]))
    return found
