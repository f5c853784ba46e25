"""One layer cut at one granularity: what it costs, what it takes when stored, and how fast it then is."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.measuring.beside import InTurns, timed_in_turns
from pruning_core.sparsity.compressed import CompressedConv, CompressedLinear
from pruning_core.sparsity.weights import INDEX, prunable

TIMED_MACS, LARGEST = 1e8, 256  # of one pass of the layer, some milliseconds; images of it
DENSE, MASKED, SKIPPED, SMALLER = "dense, as it is", "dense, with zeros", "zeros skipped", "really smaller"


@dataclass(frozen=True)
class Stored:
    """Bytes of one weight: ``dense``, one bit for each entry and the others' values, compressed rows, and what is left
    of it when filters without any weight are removed."""

    dense: int
    bitmask: int
    csr: int
    smaller: int


def layers(model: nn.Module, network: Network) -> dict[str, Tensor]:
    """Name -> weight (out, in, ...) of the convolutions and linear layers, in order: what can be cut and timed."""
    known = dict(model.named_modules())
    found = {name.rpartition(".")[0]: weight for name, weight in prunable(model, network).items()}
    return {
        name: weight
        for name, weight in found.items()
        if name not in known or type(known[name]) in (nn.Conv2d, nn.Linear)
    }


def stored(weight: Tensor, mask: Tensor) -> Stored:
    """``mask``: True where a weight of the same shape stays."""
    size, kept, rows = weight.element_size(), int(mask.sum()), int(mask.flatten(1).any(1).sum())
    count = weight.numel()
    return Stored(
        count * size,
        (count + 7) // 8 + kept * size,
        kept * (size + INDEX) + (len(weight) + 1) * INDEX,
        rows * (count // len(weight)) * size,
    )


def masked(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """A copy whose weights are zero where the mask of their layer is False."""
    new = copy.deepcopy(model)
    with torch.no_grad():
        for name, mask in masks.items():
            weight = new.get_parameter(f"{name}.weight" if name else "weight")
            weight.mul_(mask.to(weight))
    return new


def timed(layer: nn.Module, shape: tuple[int, ...], mask: Tensor, macs: int) -> dict[str, InTurns]:
    """The layer as it is, with its zeros, with kernels that skip zeros, and without its empty filters.

    ``shape`` of one input, without the batch; ``macs`` of one input. What cannot be built is not among them.
    """
    images = max(1, min(LARGEST, int(TIMED_MACS / max(1, macs))))
    x = torch.randn(images, *shape, generator=torch.Generator().manual_seed(0))
    zeroed = copy.deepcopy(layer).float().cpu().eval()
    built: dict[str, nn.Module] = {DENSE: copy.deepcopy(zeroed)}
    with torch.no_grad():
        weight = zeroed.get_parameter("weight")
        weight.mul_(mask.to(weight))
    built[MASKED] = zeroed
    if skipping := _skipping(zeroed):
        built[SKIPPED] = skipping
    rows = mask.flatten(1).any(1)
    if 0 < int(rows.sum()) < len(rows) and can_be_narrowed(zeroed):
        built[SMALLER] = narrowed(zeroed, rows)
    return timed_in_turns(built, x)


def _skipping(layer: nn.Module) -> nn.Module | None:
    if type(layer) is nn.Linear:
        return CompressedLinear(layer)
    if type(layer) is nn.Conv2d and layer.groups == 1 and layer.padding_mode == "zeros":
        return None if isinstance(layer.padding, str) else CompressedConv(layer)
    return None


def can_be_narrowed(layer: nn.Module) -> bool:
    """Whether the layer can be had with fewer outputs by itself: a linear layer, or a convolution in one group."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def narrowed(layer: nn.Module, rows: Tensor) -> nn.Module:
    """A copy that computes the outputs where ``rows`` (out,) is True and no others; see ``can_be_narrowed``."""
    new = copy.deepcopy(layer)
    if isinstance(new, nn.Linear):
        new.out_features = int(rows.sum())
    elif isinstance(new, nn.Conv2d):
        new.out_channels = int(rows.sum())
    new.weight = nn.Parameter(new.get_parameter("weight").detach()[rows])
    if new.bias is not None:
        new.bias = nn.Parameter(new.get_parameter("bias").detach()[rows])
    return new
