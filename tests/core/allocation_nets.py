"""Small networks with known groups, and scores for them."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from pruning_core.graph import Network, capture


def chain(*widths: int) -> nn.Sequential:
    """Convolutions 3x3 of these widths on one-channel images; the groups are "0", "3", "6", …"""
    layers: list[nn.Module] = []
    for before, after in zip((1, *widths), widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 4))


class Residual(nn.Module):
    """A stem and two blocks on one stream: three groups, of 16, 24 and 8 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.a1, self.a2 = nn.Conv2d(16, 24, 3, padding=1), nn.Conv2d(24, 16, 3, padding=1)
        self.b1, self.b2 = nn.Conv2d(16, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(16), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x + self.a2(self.a1(x).relu())
        x = x + self.b2(self.b1(x).relu())
        return self.head(self.norm(x).relu().mean((2, 3)))


class Normed(nn.Module):
    """An exact group ("a"), and one that can only be cut approximately ("b"), because it crosses a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.norm, self.c = nn.Linear(8, 12), nn.Linear(12, 12), nn.LayerNorm(12), nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(self.norm(self.b(self.a(x).relu())))


@cache
def chain_network(*widths: int) -> Network:
    return capture(chain(*widths), torch.randn(1, 1, 8, 8))


@cache
def residual_network() -> Network:
    return capture(Residual(), torch.randn(1, 1, 8, 8))


@cache
def normed_network() -> Network:
    return capture(Normed(), torch.randn(1, 8))


def random_scores(network: Network, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {g.key: torch.rand(g.size, generator=generator, dtype=torch.float64) + 0.01 for g in network.groups}
