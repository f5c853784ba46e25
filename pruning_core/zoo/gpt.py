"""A small decoder of texts: the scores of the next token after each of a text.

Sources: A. Radford et al., Language Models are Unsupervised Multitask Learners, 2019, for the order of its layers;
J. Ainslie et al., GQA: Training Generalized Multi-Query Transformer Models, EMNLP 2023, for heads that share keys and
values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Shapes = Mapping[str, tuple[int, ...]]
EACH = 8  # numbers of a head
SHARING = 2  # heads that share one head of keys and values
SPREAD = 997  # noise between two whole numbers stands for any of them


class CausalAttention(nn.Module):
    """Heads that see what comes before; how many there are is what is left of their weights."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width, bias=False)
        self.k, self.v = (nn.Linear(width, width // SHARING, bias=False) for _ in range(2))
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) -> (N, T, width)"""
        q, k, v = (each(x).unflatten(2, (-1, EACH)).transpose(1, 2) for each in (self.q, self.k, self.v))
        k, v = (each.repeat_interleave(SHARING, 1) for each in (k, v))
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # (N, heads, T, EACH)
        return self.out(seen.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then two layers at each place by itself; both are added to what goes in."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.before_attention, self.attention = nn.LayerNorm(width), CausalAttention(width)
        self.before_mlp, self.up, self.down = nn.LayerNorm(width), nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, width) -> (N, T, width)"""
        x = x + self.attention(self.before_attention(x))
        return x + self.down(F.gelu(self.up(self.before_mlp(x))))


class Gpt(nn.Module):
    """``layers`` blocks over learned places; ``num_classes`` tokens are told apart, a text has ``in_channels``."""

    def __init__(
        self, width: int = 64, hidden: int = 112, layers: int = 3, num_classes: int = 89, in_channels: int = 64
    ) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(num_classes, width), nn.Embedding(in_channels, width)
        self.blocks = nn.Sequential(*(Block(width, hidden) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, num_classes, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T) tokens -> (N, tokens, T): scores of the next one at each place.

        Numbers may come as floats; what is no token, as noise is, stands for one.
        """
        x = self.words(_tokens(x, self.words.num_embeddings)) + self.places.weight
        return self.head(self.norm(self.blocks(x))).transpose(1, 2)

    @staticmethod
    def infer(shapes: Shapes) -> dict[str, Any] | None:
        """The arguments that give a network with these parameter shapes, or None when it is of another kind."""
        if not {"words.weight", "places.weight", "blocks.0.up.weight"} <= set(shapes):
            return None
        layers = {int(found[1]) for key in shapes if (found := re.match(r"blocks\.(\d+)\.", key))}
        (tokens, width), (places, _) = shapes["words.weight"], shapes["places.weight"]
        hidden = shapes["blocks.0.up.weight"][0]
        return {
            "width": width, "hidden": hidden, "layers": len(layers), "num_classes": tokens, "in_channels": places,
        }  # fmt: skip

    @staticmethod
    def describe(options: Mapping[str, Any]) -> str:
        """A title for the network that ``options`` give."""
        return f"GPT of {options['layers']} layers, {options['width']} wide"


def _tokens(x: Tensor, count: int) -> Tensor:
    """(N, T) -> int64 (N, T) from 0 to ``count`` - 1."""
    if not x.is_floating_point():
        return x
    noise = (x.abs() * SPREAD).floor().remainder(count)
    right = (x == x.floor()) & (x >= 0) & (x < count)
    return torch.where(right, x, noise).to(torch.int64)
