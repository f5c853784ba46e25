"""What batch norms read, seen while the network runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class Moments:
    """Mean and population variance per channel over everything added, in double precision."""

    def __init__(self) -> None:
        self.count, self._sum, self._squares = 0, torch.zeros(()), torch.zeros(())

    def add(self, x: Tensor) -> None:
        """``x`` (N, C, ...)."""
        rows = x.detach().transpose(0, 1).flatten(1).double()  # (C, rows)
        self.count += rows.shape[1]
        self._sum = self._sum + rows.sum(1)
        self._squares = self._squares + rows.square().sum(1)

    @property
    def mean(self) -> Tensor:
        return self._sum / self.count

    @property
    def variance(self) -> Tensor:
        return (self._squares / self.count - self.mean.square()).clamp_min(0)


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
