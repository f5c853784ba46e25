"""Classifiers inserted behind inner layers while a network trains, and what they say about the layers before them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Group, Member, Network
from pruning_core.measuring.forward import main_output
from pruning_core.probe.shadow import shadow
from pruning_core.probe.trials import Batches, NetworkTrial

OBSTACLE = (
    "Losses are inserted behind the layers of a network, and the layers of this one are not modules of its own. The "
    "criterion of the same name needs none: choose “Cut, then train” with it."
)


def places(groups: int, losses: int) -> tuple[int, ...]:
    """Behind the layers that make which of the ``groups`` losses are inserted: evenly spread, none twice.

    Never the first: a loss judges what was read before it, and nothing was.
    """
    spread = {round(part * groups / (losses + 1)) for part in range(1, losses + 1)}
    return tuple(sorted({min(groups - 1, max(1, place)) for place in spread})) if groups > 1 else ()


def producer(model: nn.Module, group: Group) -> str | None:
    """The name of the first module that makes the channels of a group; None where there is no such module."""
    modules = dict(model.named_modules())
    kinds = (nn.Linear, nn.modules.conv._ConvNd)
    return next((m.layer for m in group.producers if isinstance(modules.get(m.layer), kinds)), None)


class InsertedLoss:
    """Cross entropy of a linear classifier of averaged, normalised and rectified features of one layer."""

    def __init__(self, layer: str, channels: int, classes: int, device: torch.device) -> None:
        self.layer = layer
        self.weight = nn.Parameter(torch.zeros(classes, channels, device=device))
        self.bias = nn.Parameter(torch.zeros(classes, device=device))
        self.scale = nn.Parameter(torch.ones(channels, device=device))
        self.shift = nn.Parameter(torch.zeros(channels, device=device))
        self.mean, self.variance = torch.zeros(channels, device=device), torch.ones(channels, device=device)

    @property
    def parameters(self) -> list[nn.Parameter]:
        return [self.weight, self.bias, self.scale, self.shift]

    @property
    def tensors(self) -> list[Tensor]:
        """All that it has learnt."""
        return [*(parameter.detach() for parameter in self.parameters), self.mean, self.variance]

    @torch.no_grad()
    def load(self, tensors: Iterable[Tensor]) -> None:
        for own, learnt in zip(self.tensors, tensors, strict=True):
            own.copy_(learnt)

    def __call__(self, features: Tensor, labels: Tensor, training: bool) -> Tensor:
        """Statistics of the batch while it trains, those seen so far where channels are judged."""
        normal = F.batch_norm(
            features.float(), self.mean, self.variance, self.scale, self.shift, training=training, momentum=0.1
        )
        pooled = normal.relu().flatten(2).mean(2) if normal.dim() > 2 else normal.relu()
        return F.cross_entropy(F.linear(pooled, self.weight, self.bias), labels)


def inserted(
    model: nn.Module, network: Network, groups: Sequence[Group], losses: int
) -> list[tuple[int, InsertedLoss]]:
    """(the groups before this number are judged by it, the loss), from the front of the network to its end.

    Raises UserError for a network whose layers are not modules.
    """
    able = {number: layer for number, group in enumerate(groups) if number and (layer := producer(model, group))}
    if len(groups) > 1 and not able:
        raise UserError(OBSTACLE)
    wanted = places(len(groups), losses)
    nearest = {min(able, key=lambda number: abs(number - place)) for place in wanted}
    found = {number: able[number] for number in sorted(nearest)}
    layers = list(found.values())
    device = next(model.parameters()).device
    run = shadow(model)
    with noting(run, layers) as features, torch.no_grad():
        scores = main_output(run(*(each.to(device) if isinstance(each, Tensor) else each for each in network.example)))
    if layers and not features:
        raise UserError(OBSTACLE)
    return [
        (number, InsertedLoss(layer, features[layer].shape[1], scores.shape[1], device))
        for number, layer in found.items()
        if layer in features
    ]


@contextlib.contextmanager
def noting(model: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """What these layers of ``model`` wrote last, inside this context: (N, C, ...), also where channels come last."""
    found: dict[str, Tensor] = {}
    handles = [model.get_submodule(layer).register_forward_hook(_into(found, layer)) for layer in layers]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _into(found: dict[str, Tensor], layer: str) -> Callable[[nn.Module, Any, Any], None]:
    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        found[layer] = output.movedim(-1, 1) if isinstance(module, nn.Linear) else output

    return note


class AtPlace(NetworkTrial):
    """Tries weights by what an inserted loss says; None: by the network's own output."""

    def __init__(self, model: nn.Module, members: Sequence[Member], batches: Batches, at: InsertedLoss | None) -> None:
        super().__init__(model, members, batches)
        self._at = at

    def gradient(self, weight: Tensor) -> Tensor:
        with noting(self.model, [self._at.layer] if self._at else []) as self._features:
            return super().gradient(weight)

    def loss(self, output: object, labels: Tensor) -> Tensor:
        if self._at is None:
            return super().loss(output, labels)
        return self._at(self._features[self._at.layer], labels, training=False)
