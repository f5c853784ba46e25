"""A network whose layers with zeros run by PyTorch's kernels for compressed rows: what skipping zeros really costs."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pruning_core.graph import Network
from pruning_core.sparsity.weights import prunable


class _Compressed(nn.Module):
    """Never changed, so a copy is itself; torch cannot copy compressed rows."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Compressed:
        return self


def _rows(matrix: Tensor) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return matrix.detach().to_sparse_csr()


class CompressedLinear(_Compressed):
    """x (..., in) times the rows of ``weight`` that are not zero."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = _rows(linear.weight), linear.bias

    def forward(self, x: Tensor) -> Tensor:
        y = torch.sparse.mm(self.weight, x.reshape(-1, x.shape[-1]).T).T.reshape(*x.shape[:-1], -1)
        return y if self.bias is None else y + self.bias


class CompressedConv(_Compressed):
    """A convolution as a product of its compressed matrix (out, in * positions) with unfolded images (N, in, H, W)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.matrix, self.bias = _rows(conv.weight.flatten(1)), conv.bias
        self.kernel, self.stride, self.dilation = conv.kernel_size, conv.stride, conv.dilation
        self.padding = conv.padding

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        height, width = (
            (x.shape[2 + i] + 2 * int(self.padding[i]) - self.dilation[i] * (self.kernel[i] - 1) - 1) // self.stride[i]
            + 1
            for i in (0, 1)
        )
        columns = F.unfold(x, self.kernel, self.dilation, tuple(map(int, self.padding)), self.stride)
        y = torch.sparse.mm(self.matrix, columns.transpose(0, 1).reshape(columns.shape[1], -1))
        y = y.reshape(len(y), n, height, width).transpose(0, 1)
        return y if self.bias is None else y + self.bias[:, None, None]


def compressed(model: nn.Module, network: Network) -> nn.Module | None:
    """A copy whose linear layers and plain 2-D convolutions with zeros in them skip these; None where there is none.

    For the CPU: torch has no other kernels for it.
    """
    new = copy.deepcopy(model)
    found = False
    for name, weight in prunable(model, network).items():
        layer = name.rpartition(".")[0]
        if not layer or bool(weight.all()):
            continue
        put = _put(new.get_submodule(layer))
        if put is not None:
            parent, _, child = layer.rpartition(".")
            setattr(new.get_submodule(parent), child, put)
            found = True
    return new if found else None


def _put(layer: nn.Module) -> nn.Module | None:
    if type(layer) is nn.Linear:
        return CompressedLinear(layer)
    if type(layer) is nn.Conv2d:
        plain = layer.groups == 1 and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        return CompressedConv(layer) if plain else None
    return None
