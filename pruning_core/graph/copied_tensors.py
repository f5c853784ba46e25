"""Copies of tensors: their numbers, whether they are trained, and whose memory they share."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy


class TensorCopies:
    """One for each walk. With ``aliased``, parameters lie in the memory of the originals."""

    def __init__(self, *, aliased: bool) -> None:
        self.aliased = aliased
        self._storages: dict[int, torch.UntypedStorage] = {}

    def of(self, value: Tensor) -> Tensor:
        """As a leaf, without gradients; attributes are not looked at."""
        kind = type(value)
        if is_lazy(value):  # nothing is in it yet
            return copy.deepcopy(value)
        lent = self.aliased and isinstance(value, nn.Parameter)
        if not _is_ordinary(value):
            new = value.detach() if lent else value.detach().clone()
        else:
            new = value.detach() if lent else self._duplicate(value.detach())
            new = new if kind is Tensor else Tensor._make_subclass(kind, new)
        if value.requires_grad is not new.requires_grad:
            new.requires_grad_(value.requires_grad and value.is_leaf)
        return new

    def _duplicate(self, value: Tensor) -> Tensor:
        """The same values in memory of their own, which tensors share whose originals share theirs."""
        storage = value.untyped_storage()
        at = storage.data_ptr()
        mine = self._storages.get(at) if at else None
        if mine is None:
            if not at or (value.is_contiguous() and value.numel() * value.itemsize == storage.nbytes()):
                new = value.clone(memory_format=torch.preserve_format)
                self._storages[at] = new.untyped_storage()
                return new
            mine = self._storages[at] = storage.clone()
        return torch.empty(0, dtype=value.dtype, device=value.device).set_(
            mine, value.storage_offset(), value.shape, value.stride()
        )


def _is_ordinary(value: Tensor) -> bool:
    """A block of memory, whatever its class; not what is made of other tensors or packs its numbers."""
    own = type(value).__torch_dispatch__ is not Tensor.__torch_dispatch__
    return not own and value.layout is torch.strided and not value.is_quantized
