"""The same network in operators that can be differentiated twice."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode


class TwiceDifferentiable(TorchFunctionMode):
    """Inside this context fused attention and the hard sigmoid, which have a first derivative only, are spelled out."""

    def __enter__(self) -> TwiceDifferentiable:
        self._attention = sdpa_kernel(SDPBackend.MATH)
        self._attention.__enter__()
        return super().__enter__()

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            self._attention.__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "").partition(".")[0]
        if name == "hardsigmoid" and isinstance(args[0], Tensor):
            return F.relu6(args[0] + 3) / 6
        return func(*args, **(kwargs or {}))
