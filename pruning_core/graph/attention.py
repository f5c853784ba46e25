"""Multi-head attention whose number of heads is free of the embedding's width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HeadAttention(nn.Module):
    """``nn.MultiheadAttention`` ties heads x width to the embedding; this one holds what is left of it.

    Parameters keep the names of ``nn.MultiheadAttention``; ``in_proj_weight`` is (3 * heads * width, embedding).
    The scale stays that of the original width.
    """

    def __init__(self, heads: int, width: int, scale: float, dropout: float, batch_first: bool) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.scale = heads, width, scale
        self.dropout, self.batch_first = dropout, batch_first
        self.in_proj_weight: Tensor
        self.in_proj_bias: Tensor | None
        self.out_proj: nn.Module

    @staticmethod
    def from_pruned(source: nn.MultiheadAttention) -> HeadAttention:
        """Take over the (already sliced) tensors of a packed attention without extra key or value tokens."""
        rows = source.in_proj_weight.shape[0] // 3
        heads = rows // source.head_dim
        new = HeadAttention(heads, source.head_dim, source.head_dim**-0.5, source.dropout, source.batch_first)
        new.register_parameter("in_proj_weight", source.in_proj_weight)
        new.register_parameter("in_proj_bias", source.in_proj_bias)
        new.out_proj = source.out_proj
        new.out_proj.in_features, new.out_proj.out_features = source.out_proj.weight.shape[::-1]
        new.training = source.training
        return new

    def forward(self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None,
                need_weights: bool = True, attn_mask: Tensor | None = None, average_attn_weights: bool = True,
                is_causal: bool = False) -> tuple[Tensor, Tensor | None]:
        """As ``nn.MultiheadAttention``; (N, L, E) when ``batch_first`` else (L, N, E)."""
        if not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (
            F.linear(x, w, b).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # (N, heads, L, width)
            for x, w, b in zip((query, key, value), self.in_proj_weight.chunk(3), self._biases())
        )
        mask = _merged(attn_mask, key_padding_mask, q)
        weights = None
        if need_weights:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            if mask is not None:
                scores = scores + mask
            weights = scores.softmax(-1)
            mixed = F.dropout(weights, self.dropout, self.training) @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            mixed = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0,
                                                   is_causal and mask is None, scale=self.scale)
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _biases(self) -> tuple[Tensor | None, ...]:
        return (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)


def _merged(attn_mask: Tensor | None, padding: Tensor | None, q: Tensor) -> Tensor | None:
    """Both masks as one additive mask that broadcasts to (N, heads, L, S)."""
    parts = []
    if attn_mask is not None:
        parts.append(attn_mask if attn_mask.dim() == 2 else attn_mask.unflatten(0, (q.shape[0], -1)))
    if padding is not None:
        parts.append(padding[:, None, None, :])
    total: Tensor | None = None
    for part in parts:
        if part.dtype == torch.bool:
            part = torch.zeros_like(part, dtype=q.dtype).masked_fill_(part, float("-inf"))
        total = part if total is None else total + part
    return total
