"""What gates save, counted image by image while images run: products that a closed gate leaves out.

Dense PyTorch computes them all the same and multiplies by zero, so this is a count and no time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pruning_core.datasets.dataset import Dataset
from pruning_core.graph import Network
from pruning_core.graph.copies import copied
from pruning_core.graph.gated import Boosted, ChannelGated
from pruning_core.measuring.device import choose_device
from pruning_core.measuring.evaluate import Batch, predicting
from pruning_core.measuring.measures import AverageMacs
from pruning_core.measuring.registry import measure_of


@dataclass(frozen=True, eq=False)
class GatedLayer:
    """One layer with gates, over N images in the order in which they ran.

    ``dense``: its MACs for one image with every gate open. ``used`` (N,): those that an image needed, ``always`` of
    them whatever its gates say. ``ran`` (N, C): the share of the positions at which each output channel was computed,
    in full where some of it always is.
    """

    name: str
    dense: int
    used: Tensor
    ran: Tensor
    always: int = 0


@dataclass(frozen=True, eq=False)
class Gates:
    """``indices`` (N,) into the images; ``right`` (N,): classified correctly, None where nothing is
    right or wrong. ``other``: MACs of what has no gates.

    The gates' own products are among those.
    """

    indices: Tensor
    right: Tensor | None
    layers: tuple[GatedLayer, ...]
    other: int

    @property
    def macs(self) -> Tensor:
        """(N,) float64: what every image needed in the whole network."""
        return self.other + torch.stack([layer.used for layer in self.layers]).sum(0)

    def average(self, data: Dataset) -> AverageMacs:
        macs = self.macs
        low, high = macs.quantile(torch.tensor([0.1, 0.9], dtype=macs.dtype)).tolist()
        return AverageMacs(float(macs.mean()), low, high, len(macs), f"{data.name} ({data.split})")


def gated(model: nn.Module) -> bool:
    return any(isinstance(module, Boosted | ChannelGated) for module in model.modules())


def counting(
    model: nn.Module, network: Network, data: Dataset, *, images: int | None = None, device: str = "auto", seed: int = 0
) -> Generator[int, None, Gates]:
    """Run ``images`` of ``data`` (by default all); yields how many have run. ``network`` is the capture of ``model``.

    Of a boosted layer, an output is counted where its gate is open, and only the inputs that are not zero all over. Of
    a channel-gated one, the first part always, and of the rest the share of outputs for which it was decided.
    Raises UserError for what ``predicting`` refuses, ValueError for a network without gates.
    """
    watched = copied(model).eval().to(choose_device(device))  # listened to where it runs, which others shall not notice
    by_layer = {layer.name: layer.macs for layer in network.layer_costs()}
    found: dict[str, _Counted] = {}
    with ExitStack() as stack:
        for name, module in watched.named_modules():
            if isinstance(module, Boosted):
                found[name] = _Counted(by_layer[f"{name}.conv"])
                stack.callback(module.choice.register_forward_hook(_opened(found[name])).remove)
                stack.callback(module.register_forward_pre_hook(_read(found[name])).remove)
            elif isinstance(module, ChannelGated):
                found[name] = _Counted(by_layer[f"{name}.base"], by_layer[f"{name}.rest"])
                stack.callback(module.decision.register_forward_hook(_decided(found[name])).remove)
        if not found:
            raise ValueError("this network has no gates")
        batches = list[Batch]()
        for batch in predicting(watched, data, images=images, device=device, seed=seed):
            for each in found.values():
                each.take(len(batch.indices))
            batches.append(batch)
            yield sum(len(each.indices) for each in batches)
    right = None
    if measure_of(data).decides:
        right = torch.cat([batch.scores.argmax(1) == batch.labels for batch in batches])
    layers = tuple(each.layer(name) for name, each in found.items())
    other = network.cost().macs - sum(layer.dense for layer in layers)
    return Gates(torch.cat([batch.indices for batch in batches]), right, layers, other)


class _Counted:
    """What one layer did: ``always`` is computed in any case where ``decided`` is, else is all that can be."""

    def __init__(self, always: int, decided: int | None = None) -> None:
        self._always, self._decided = always, decided
        self.read: Tensor | None = None  # of the batch that runs: (n,) share of the inputs that are not zero all over
        self.open: Tensor | None = None  # of the batch that runs: (n, C)
        self._reads, self._opens = list[Tensor](), list[Tensor]()

    def take(self, images: int) -> None:
        """The batch has run: one that ran out of memory on the way, and was repeated, counts once."""
        assert self.open is not None and len(self.open) == images
        self._opens.append(self.open.cpu())
        self._reads.append(torch.ones(images) if self.read is None else self.read.cpu())

    def layer(self, name: str) -> GatedLayer:
        ran, read = torch.cat(self._opens), torch.cat(self._reads)
        share = ran.double().mean(1) * read.double()
        if self._decided is None:
            return GatedLayer(name, self._always, self._always * share, ran)
        return GatedLayer(name, self._always + self._decided, self._always + self._decided * share, ran, self._always)


def _opened(counted: _Counted) -> Callable[[nn.Module, Any, Tensor], None]:
    def note(module: nn.Module, given: Any, chosen: Tensor) -> None:
        counted.open = (chosen != 0).float()

    return note


def _read(counted: _Counted) -> Callable[[nn.Module, Any], None]:
    def note(module: nn.Module, given: Any) -> None:
        counted.read = (given[0] != 0).flatten(2).any(2).float().mean(1)

    return note


def _decided(counted: _Counted) -> Callable[[nn.Module, Any, Tensor], None]:
    def note(module: nn.Module, given: Any, decided: Tensor) -> None:
        counted.open = decided.flatten(2).mean(2)

    return note
