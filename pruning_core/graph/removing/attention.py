"""Multi-head attention whose number of heads is free of the embedding's width."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class HeadAttention(nn.Module):
    """``nn.MultiheadAttention`` ties heads x width to the embedding; this one holds what is left of it.

    Parameters keep the names of ``nn.MultiheadAttention``; ``in_proj_weight`` is (3 * heads * width, embedding), or
    there is one weight each for query, key and value. The scale stays that of the original width.
    """

    in_proj_weight: Tensor | None
    in_proj_bias: Tensor | None
    q_proj_weight: Tensor
    k_proj_weight: Tensor
    v_proj_weight: Tensor
    bias_k: Tensor | None
    bias_v: Tensor | None
    out_proj: nn.Linear
    _qkv_same_embed_dim = False  # keeps nn.TransformerEncoderLayer off its fused kernel, which expects heads x width

    def __init__(self, heads: int, width: int, dropout: float, batch_first: bool, add_zero_attn: bool = False) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.scale = heads, width, width**-0.5
        self.dropout, self.batch_first, self.add_zero_attn = dropout, batch_first, add_zero_attn

    @staticmethod
    def from_pruned(source: nn.MultiheadAttention) -> HeadAttention:
        """Take over the (already sliced) tensors."""
        packed = source.in_proj_weight is not None
        rows = source.in_proj_weight.shape[0] // 3 if packed else source.q_proj_weight.shape[0]
        new = HeadAttention(
            rows // source.head_dim, source.head_dim, source.dropout, source.batch_first, source.add_zero_attn
        )
        for name in (
            "in_proj_weight",
            "q_proj_weight",
            "k_proj_weight",
            "v_proj_weight",
            "in_proj_bias",
            "bias_k",
            "bias_v",
        ):
            new.register_parameter(name, getattr(source, name))
        new.out_proj = source.out_proj
        new.out_proj.out_features, new.out_proj.in_features = new.out_proj.weight.shape
        new.training = source.training
        return new

    def reset_parameters(self) -> None:
        """New weights, drawn as ``nn.MultiheadAttention`` draws them."""
        own = dict(self.named_parameters(recurse=False))
        for name, value in own.items():
            if name in ("bias_k", "bias_v"):
                nn.init.xavier_normal_(value)
            elif name == "in_proj_bias":
                nn.init.zeros_(value)
            else:
                nn.init.xavier_uniform_(value)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """As ``nn.MultiheadAttention``: (N, L, E) when ``batch_first`` else (L, N, E); (L, E) without a batch."""
        single = query.dim() == 2
        if single:
            query, key, value = (t.unsqueeze(0) for t in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (F.linear(x, w, b) for x, w, b in zip((query, key, value), *self._projections()))
        extra = 0
        if self.bias_k is not None and self.bias_v is not None:
            k = torch.cat([k, self.bias_k.expand(len(k), -1, -1)], 1)
            v = torch.cat([v, self.bias_v.expand(len(v), -1, -1)], 1)
            extra += 1
        if self.add_zero_attn:
            k, v = F.pad(k, (0, 0, 0, 1)), F.pad(v, (0, 0, 0, 1))
            extra += 1
        q, k, v = (
            t.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2) for t in (q, k, v)
        )  # (N, heads, L, width)
        mask = _merged(attn_mask, key_padding_mask, q)
        if mask is not None and extra:
            mask = F.pad(mask, (0, extra))
        weights = None
        if need_weights:
            scores = (q * self.scale) @ k.transpose(-2, -1)
            weights = F.dropout((scores if mask is None else scores + mask).softmax(-1), self.dropout, self.training)
            mixed = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            mixed = F.scaled_dot_product_attention(
                q, k, v, mask, self.dropout if self.training else 0.0, is_causal and mask is None, scale=self.scale
            )
        out = self.out_proj(mixed.transpose(1, 2).flatten(2))
        if single:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _projections(self) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...]]:
        """Weights and biases of query, key and value."""
        weights: tuple[Tensor, ...] = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        if self.in_proj_weight is not None:
            weights = self.in_proj_weight.chunk(3)
        return weights, (None,) * 3 if self.in_proj_bias is None else self.in_proj_bias.chunk(3)


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
