"""What was refitted before: a layer is refitted anew only where what it reads came about in another way."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

MOST_BYTES = 1 << 28  # of tensors that are remembered


@dataclass(frozen=True)
class Refit:
    """One layer: its errors on images set apart, before and after, as shares of what it should write.

    ``pull`` is how hard the weights were held to the old ones, in mean squares of what the layer reads; infinite where
    nothing was better than the old weights.
    """

    weight: str
    pull: float
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Step:
    """What one halt of the walk changes: tensors by name; nothing where a batch norm keeps its statistics."""

    changed: Mapping[str, Tensor]
    refit: Refit | None = None


class Known:
    """Steps by all that was kept up to them, those used last; all of one network, seen with the same images."""

    def __init__(self) -> None:
        self._steps: OrderedDict[bytes, Step] = OrderedDict()
        self._bytes = 0

    def __getitem__(self, way: bytes) -> Step | None:
        step = self._steps.get(way)
        if step is not None:
            self._steps.move_to_end(way)
        return step

    def __setitem__(self, way: bytes, step: Step) -> None:
        self._steps[way] = step
        self._bytes += _bytes(step)
        while self._bytes > MOST_BYTES:
            self._bytes -= _bytes(self._steps.popitem(last=False)[1])


def way(before: bytes, name: str, kept: Tensor | None) -> bytes:
    """The way that went through ``before`` and on through ``name``, which reads ``kept`` positions; None: all."""
    place = f"{name} {'all' if kept is None else kept.tolist()}"
    return hashlib.sha256(before + place.encode()).digest()


def _bytes(step: Step) -> int:
    return sum(tensor.nbytes for tensor in step.changed.values())
