"""Tiny networks and data on which every criterion runs in milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruning_core.criteria import score
from pruning_core.datasets import Dataset
from pruning_core.graph import Network, capture


class Plain(nn.Module):
    """Convolution, batch norm, convolution, flatten, two linear layers: three chains, no coupling."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.two = nn.Conv2d(6, 5, 3, stride=2, padding=1)
        self.three = nn.Linear(5 * 3 * 3, 7)
        self.four = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.one(x)).relu()
        x = self.two(x).relu().flatten(1)
        return self.four(self.three(x).relu())


class Residual(nn.Module):
    """A stem and a block whose sum couples two producers and two batch norms, read by two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 6, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 4, 3, padding=1)
        self.outer = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.outer_norm = nn.BatchNorm2d(6)
        self.left = nn.Conv2d(6, 4, 1)
        self.right = nn.Conv2d(6, 4, 3, padding=1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.stem_norm(self.stem(x)))
        x = torch.relu_(x + self.outer_norm(self.outer(self.inner(x).relu())))
        return self.head(torch.cat([self.left(x).relu(), self.right(x).relu()], 1).mean((2, 3)))


class Grouped(nn.Module):
    """Depthwise and grouped convolutions between dense ones."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(1, 8, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.mix = nn.Conv2d(8, 8, 3, padding=1, groups=2)
        self.last = nn.Conv2d(8, 6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.depth(self.expand(x))).relu()
        x = self.mix(x).relu()
        return self.head(self.last(x).relu().mean((2, 3)))


@dataclass(frozen=True)
class Case:
    model: nn.Module
    network: Network
    data: Dataset


def make(kind: type[nn.Module], seed: int = 0, images: int = 24) -> Case:
    """A network in double precision with uneven batch norms, and random labelled pictures."""
    torch.manual_seed(seed)
    model = kind().double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.3, 0.5)
                module.running_mean.uniform_(-0.3, 0.3)
                module.running_var.uniform_(0.5, 2)
    return case_of(model, images)


def case_of(model: nn.Module, images: int = 24, size: int = 6) -> Case:
    """A model of one-channel images and three classes, its graph, and random labelled pictures."""
    pictures = torch.randint(0, 256, (images, 1, size, size), dtype=torch.uint8)
    labels = torch.arange(images) % 3
    data = Dataset(pictures, labels, ("a", "b", "c"), (0.5,), (0.25,), "noise", "train")
    dtype = next(model.parameters()).dtype
    return Case(model, capture(model, torch.zeros(1, 1, size, size, dtype=dtype)), data)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def values(case: Case, criterion, **options) -> dict[str, Tensor]:
    return score(case.model, case.network, [criterion], case.data, **options)[criterion].values


def whole_batch(case: Case) -> tuple[Tensor, Tensor]:
    return next(case.data.batches(len(case.data), dtype=torch.float64))
