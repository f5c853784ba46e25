"""A 1x1 convolution at the end of a branch, before it is added to a shortcut: both then have widths of their own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from pruning_core.graph.edits import Edit, put
from pruning_core.graph.modules import named_tensors


class Projection(nn.Conv2d):
    """1x1, without bias; begins as the identity. Once what it reads is cut, it scatters the rest to where it was."""

    def __init__(self, channels: int, like: Tensor) -> None:
        super().__init__(channels, channels, 1, bias=False, dtype=like.dtype, device=like.device)
        nn.init.dirac_(self.weight)


class Ended(nn.Module):
    """The last module of a branch, and the projection behind it."""

    def __init__(self, last: nn.Module, channels: int) -> None:
        super().__init__()
        like = next(tensor for tensor in named_tensors(last).values() if tensor.is_floating_point())
        self.last, self.project = last, Projection(channels, like)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W), as ``last`` gives it."""
        made: Tensor = self.project(self.last(x))
        return made


@dataclass(frozen=True)
class Project(Edit):
    """The batch norm called ``norm``, which ends a branch, hands its ``channels`` on through a projection.

    The network says the same as before: the projection begins as the identity.
    """

    norm: str
    channels: int

    def apply(self, model: nn.Module) -> None:
        last = model.get_submodule(self.norm)
        if not isinstance(last, nn.BatchNorm2d) or last.num_features != self.channels:
            raise TypeError(f"{self.norm} is no batch norm of {self.channels} channels")
        put(model, self.norm, Ended(last, self.channels))
