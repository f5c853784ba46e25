"""Layers that hold the sizes which a graph has written into it.

A size that lies in a tensor, or in an operator's arguments, is a number that nobody can follow. Held by a layer it is
found when channels are removed, and most are not needed at all: they repeat what the input has there, or are the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Ints = tuple[int, ...]


class Reshape(nn.Module):
    """To ``shape``, in which 0 is the size that the input has in this place, and -1 the rest."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape([x.shape[dim] if n == 0 else n for dim, n in enumerate(self.shape)])

    def extra_repr(self) -> str:
        return str(self.shape)


class Expand(nn.Module):
    """Repeats along dimensions of size 1; 1 keeps what is there. ``grows``: where it is so many for each image."""

    def __init__(self, sizes: Sequence[int], grows: Sequence[int] = ()) -> None:
        super().__init__()
        self.sizes, self.grows = tuple(sizes), tuple(grows)

    def forward(self, x: Tensor, images: Tensor) -> Tensor:
        sizes = _for_each(self.sizes, self.grows, images)
        have = [1] * (len(sizes) - x.dim()) + list(x.shape)
        return x.expand([n if wanted == 1 else wanted for n, wanted in zip(have, sizes, strict=True)])

    def extra_repr(self) -> str:
        return str(self.sizes)


class Tile(nn.Module):
    """Repeats the whole, so many times along each dimension."""

    def __init__(self, repeats: Sequence[int], grows: Sequence[int] = ()) -> None:
        super().__init__()
        self.repeats, self.grows = tuple(repeats), tuple(grows)

    def forward(self, x: Tensor, images: Tensor) -> Tensor:
        return x.repeat(_for_each(self.repeats, self.grows, images))


class Filled(nn.Module):
    """One value everywhere."""

    def __init__(
        self, sizes: Sequence[int], value: float | int | bool, dtype: torch.dtype, grows: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.sizes, self.grows, self.value, self.dtype = tuple(sizes), tuple(grows), value, dtype

    def forward(self, images: Tensor) -> Tensor:
        return torch.full(_for_each(self.sizes, self.grows, images), self.value, dtype=self.dtype, device=images.device)


class Slice(nn.Module):
    """From ``starts`` to before ``ends`` along ``axes``; a negative step goes backwards."""

    def __init__(self, axes: Sequence[int], starts: Sequence[int], ends: Sequence[int], steps: Sequence[int]) -> None:
        super().__init__()
        self.axes, self.starts, self.ends, self.steps = tuple(axes), tuple(starts), tuple(ends), tuple(steps)

    def forward(self, x: Tensor) -> Tensor:
        for axis, start, end, step in zip(self.axes, self.starts, self.ends, self.steps, strict=True):
            axis %= x.dim()
            places = range(x.shape[axis])[slice(start, end, step)]
            if step < 0:
                x = x.flip(axis)
                last = x.shape[axis] - 1
                places = range(last - places.start, last - places.stop, -step)
            x = x[(slice(None),) * axis + (slice(places.start, places.stop, abs(step)),)]
        return x


class Split(nn.Module):
    """Into parts of ``sizes``."""

    def __init__(self, axis: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.axis, self.sizes = axis, tuple(sizes)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.split(x, list(self.sizes), self.axis)


class Pad(nn.Module):
    """``pads`` as :func:`torch.nn.functional.pad` takes them: from the last dimension to the first."""

    def __init__(self, pads: Sequence[int], mode: str, value: float) -> None:
        super().__init__()
        self.pads, self.mode, self.value = tuple(pads), mode, value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, list(self.pads), self.mode, self.value if self.mode == "constant" else None)


class Resize(nn.Module):
    """To ``size`` pixels, or by ``scale``."""

    def __init__(self, size: Ints | None, scale: tuple[float, ...] | None, mode: str, corners: bool | None) -> None:
        super().__init__()
        self.size, self.scale, self.mode, self.corners = size, scale, mode, corners

    def forward(self, x: Tensor) -> Tensor:
        size, scale = (None if v is None else list(v) for v in (self.size, self.scale))
        return F.interpolate(x, size, scale, self.mode, self.corners)  # type: ignore[arg-type]  # one of the two


class Squeeze(nn.Module):
    """Without dimensions of size 1; all of them when no ``axes`` are named."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(self.axes) if self.axes else x.squeeze()


class Unsqueeze(nn.Module):
    """With new dimensions of size 1, at ``axes`` of the result."""

    def __init__(self, axes: Sequence[int]) -> None:
        super().__init__()
        self.axes = tuple(axes)

    def forward(self, x: Tensor) -> Tensor:
        rank = x.dim() + len(self.axes)
        for axis in sorted(axis % rank for axis in self.axes):
            x = x.unsqueeze(axis)
        return x


class Sum(nn.Module):
    """Over ``axes``, all of them when none is named."""

    def __init__(self, axes: Sequence[int], keep: bool) -> None:
        super().__init__()
        self.axes, self.keep = tuple(axes), keep

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(list(self.axes) or list(range(x.dim())), self.keep)


class Pick(nn.Module):
    """One position along a dimension, which goes."""

    def __init__(self, axis: int, position: int) -> None:
        super().__init__()
        self.axis, self.position = axis, position

    def forward(self, x: Tensor) -> Tensor:
        return x.select(self.axis, self.position)


class Take(nn.Module):
    """The named positions along a dimension, in that order."""

    def __init__(self, axis: int, positions: Tensor) -> None:
        super().__init__()
        self.axis = axis
        self.positions: Tensor
        self.register_buffer("positions", positions)

    def forward(self, x: Tensor) -> Tensor:
        return x.index_select(self.axis, self.positions)


class Lookup(nn.Module):
    """Rows of a table by their numbers, from its end where they are negative."""

    def forward(self, table: Tensor, numbers: Tensor) -> Tensor:
        return F.embedding(numbers.long().remainder(len(table)), table)


class TopK(nn.Module):
    """The ``k`` largest (or smallest) along a dimension, and where they were."""

    def __init__(self, k: int, axis: int, largest: bool, ordered: bool) -> None:
        super().__init__()
        self.k, self.axis, self.largest, self.ordered = k, axis, largest, ordered

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values, indices = x.topk(self.k, self.axis, self.largest, self.ordered)
        return values, indices


class Slope(nn.Module):
    """PReLU with slopes of any shape that broadcasts."""

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        return x.clamp(min=0) + slope * x.clamp(max=0)


def _for_each(sizes: Ints, grows: Ints, images: Tensor) -> list[int]:
    return [n * len(images) if at in grows else n for at, n in enumerate(sizes)]
