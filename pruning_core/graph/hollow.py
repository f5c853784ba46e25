"""Looking at a network without computing its products: shapes are right, values are zeros.

Labels do not depend on values, so a capture needs no multiplication. A network that reads numbers from its activations
(to decide, or to index) is noticed, and looked at again with everything computed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

HEAVY = frozenset(
    {
        "convolution",
        "mm",
        "bmm",
        "addmm",
        "baddbmm",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_trilinear",
        "im2col",
    }
)
READING = frozenset(
    {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique_dim", "_unique2"}
)


class NeedsValues(Exception):
    """The network looks at numbers that were not computed."""


def reads_values(op: Any, args: Any) -> bool:
    """Whether the operator's result depends on numbers in a way that later operators, or the model's code, notice."""
    name = op._schema.name.split("::")[-1]
    return name in READING or (name == "index" and any(i is not None and i.dtype == torch.bool for i in args[1]))


def run_hollow(op: Any, name: str, args: Any, kwargs: Any) -> Any:
    """The operator's result, or zeros of its shape where computing it would be long."""
    if name not in HEAVY:
        return op(*args, **kwargs)
    shaped = op(*tree_map(_without_values, args), **tree_map(_without_values, kwargs))
    device = next(v.device for v in tree_leaves(args) if isinstance(v, Tensor))
    return tree_map(lambda v: _zeros_like(v, device) if isinstance(v, Tensor) else v, shaped)


def _zeros_like(shape: Tensor, device: torch.device) -> Tensor:
    return torch.empty_strided(shape.shape, shape.stride(), dtype=shape.dtype, device=device).zero_()


def _without_values(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
