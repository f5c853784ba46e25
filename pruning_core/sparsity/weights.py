"""The weights that may become zero, what they cost, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.graph.modules import named_tensors

INDEX = 4  # bytes of one index of a compressed row


def prunable(model: nn.Module, network: Network) -> dict[str, Tensor]:
    """Name -> weight (out, ...) of every layer that multiplies, those of ``model`` itself, in the order of its layers.

    Norms, biases and embeddings are not among them: they are few, or compute nothing that a zero would save.
    """
    multiplying = {layer.name for layer in network.layer_costs() if layer.macs}
    return {
        name: tensor
        for name, tensor in named_tensors(model).items()
        if tensor.dim() > 1 and isinstance(tensor, nn.Parameter) and name.rpartition(".")[0] in multiplying
    }


def shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the weights that :func:`prunable` finds, for who has no network at hand but its capture.

    Dimensions of size one at the end are left out, those in the middle are not.
    """
    multiplying = {layer.name for layer in network.layer_costs() if layer.macs}
    found: dict[str, dict[int, int]] = {}
    for (name, dim), units in network.layout.unit_of.items():
        if name.rpartition(".")[0] in multiplying:
            found.setdefault(name, {})[dim] = len(units)
    full = {name: tuple(dims.get(d, 1) for d in range(max(dims) + 1)) for name, dims in found.items()}
    return {name: shape for name, shape in full.items() if len(shape) > 1}


@dataclass(frozen=True)
class Bill:
    """What a share of the weights costs: MACs of one input and parameters, of each layer and of all the rest.

    ``elements`` and ``macs`` by weight name; ``other_macs`` and ``other_parameters`` never become less.
    """

    elements: Mapping[str, int]
    macs: Mapping[str, float]
    other_macs: float
    other_parameters: int

    @staticmethod
    def of(model: nn.Module, network: Network) -> Bill:
        weights = prunable(model, network)
        by_layer = {layer.name: layer.macs for layer in network.layer_costs()}
        elements = {name: weight.numel() for name, weight in weights.items()}
        in_layer: dict[str, int] = {}
        for name, count in elements.items():
            layer = name.rpartition(".")[0]
            in_layer[layer] = in_layer.get(layer, 0) + count
        # A layer with several weights multiplies by each of them as often as it is large.
        macs = {
            name: by_layer[layer := name.rpartition(".")[0]] * count / in_layer[layer]
            for name, count in elements.items()
        }
        cost = network.cost()
        return Bill(elements, macs, cost.macs - sum(macs.values()), cost.parameters - sum(elements.values()))

    def left(self, kept: Mapping[str, int]) -> tuple[float, int]:
        """(MACs, parameters) when so many elements of each weight are not zero."""
        macs = sum(self.macs[name] * count / max(1, self.elements[name]) for name, count in kept.items())
        return self.other_macs + macs, self.other_parameters + sum(kept.values())


@dataclass(frozen=True)
class Sparsity:
    """What is left of a network with zeros in it. All derived: counted from the weights, none of it measured.

    ``zeros`` of ``weights`` that may be zero; ``parameters`` and ``macs`` without them, those of biases and norms
    included. Bytes of all parameters: ``dense``, as a ``bitmask`` with the values that are not zero, as ``csr``
    (compressed rows, 32-bit indices).
    """

    zeros: int
    weights: int
    parameters: int
    macs: int
    dense: int
    bitmask: int
    csr: int

    @staticmethod
    def of(model: nn.Module, network: Network) -> Sparsity:
        bill, weights = Bill.of(model, network), prunable(model, network)
        kept = {name: int(weight.count_nonzero()) for name, weight in weights.items()}
        macs, parameters = bill.left(kept)
        held = sum(p.numel() * p.element_size() for p in model.parameters())
        sizes = [(each, kept[name]) for name, each in weights.items()]
        rest = held - sum(each.numel() * each.element_size() for each, _ in sizes)
        bitmask = rest + sum((each.numel() + 7) // 8 + count * each.element_size() for each, count in sizes)
        csr = rest + sum(count * (each.element_size() + INDEX) + (len(each) + 1) * INDEX for each, count in sizes)
        elements = sum(bill.elements.values())
        return Sparsity(elements - sum(kept.values()), elements, parameters, round(macs), held, bitmask, csr)
