"""What batch norms read, seen while the network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROUNDING = 1e-5


class Moments:
    """Mean and population variance per channel over everything added, in double precision."""

    def __init__(self) -> None:
        self.count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        """``x`` (N, C, ...)."""
        flat = x.detach().reshape(*x.shape[:2], -1)  # sums within an image in its own type, over images in double
        self.count += flat.shape[0] * flat.shape[2]
        self._sum = self._sum + flat.sum(2).double().sum(0)
        self._squares = self._squares + torch.linalg.vector_norm(flat, dim=2).double().square().sum(0)

    @property
    def mean(self) -> Tensor:
        return self._sum / self.count

    def same_as(self, other: Moments) -> bool:
        """Whether all channels have the same moments up to the rounding of sums that were taken in another order."""
        still = (self.variance - other.variance).abs() <= ROUNDING * self.variance
        return bool((still & ((self.mean - other.mean).abs() <= ROUNDING * self.variance.sqrt())).all())

    @property
    def variance(self) -> Tensor:
        return (self._squares / self.count - self.mean.square()).clamp_min(0)


def stretched(before: Tensor, now: Tensor) -> Tensor:
    """By what variances are to be multiplied when what is read went from some to others; still channels stay."""
    return torch.where(before > 0, now / before.clamp_min(1e-30), 1.0)


class NormCalls(TorchFunctionMode):
    """Inside this context ``observer(name, x)`` is called before a batch norm uses the statistics called ``name``.

    ``name`` is that of its running mean. The observer may change the statistics.
    """

    def __init__(self, tensors: Mapping[str, Tensor], observer: Callable[[str, Tensor], None]) -> None:
        super().__init__()
        self.names = {id(t): name for name, t in tensors.items() if name.endswith("running_mean")}
        self.observer = observer

    def __torch_function__(self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__name__", "").partition(".")[0] in ("batch_norm", "_native_batch_norm_legit_no_training"):
            given = [*args, *kwargs.values()]
            name = next((self.names[id(v)] for v in given if id(v) in self.names), None)
            if name is not None:
                self.observer(name, args[0] if args else kwargs["input"])
        return func(*args, **kwargs)
