"""What a layer reads at chosen output positions, as rows of a matrix: the unknowns of a linear system are its weights.

Products and convolutions of one, two or three dimensions, strided, padded, dilated, grouped and transposed, are all
``output = window @ weight + bias`` at every position; only where the window lies differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.probe.readings import Reading

POSITIONS = 64  # of an image, at most


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer as matrices: one (K, O) per convolution group; row K counts (input channel, kernel entry)."""

    weight: Tensor
    reading: Reading

    @property
    def groups(self) -> int:
        return self.reading.groups

    @property
    def kernel(self) -> int:
        """Kernel entries per input channel."""
        return prod(self.weight.shape[2:]) if self.reading.convolution else 1

    def matrices(self, weight: Tensor) -> list[Tensor]:
        """(K, O) per group; ``weight`` has the layer's own shape."""
        if not self.reading.convolution:
            return [weight if self.reading.transposed else weight.T]
        if self.reading.transposed:  # (C_in, C_out / groups, kernel)
            return [w.flatten(2).transpose(1, 2).flatten(0, 1) for w in weight.chunk(self.groups)]
        return [w.flatten(1).T for w in weight.chunk(self.groups)]  # (C_out, C_in / groups, kernel)

    def whole(self, matrices: Sequence[Tensor]) -> Tensor:
        """The inverse of ``matrices``."""
        shape = self.weight.shape
        if not self.reading.convolution:
            return matrices[0] if self.reading.transposed else matrices[0].T
        if self.reading.transposed:
            parts = [m.reshape(-1, self.kernel, m.shape[1]).transpose(1, 2) for m in matrices]
        else:
            parts = [m.T for m in matrices]
        return torch.cat(parts).reshape(shape)

    def inputs(self, dim: int, kept: Tensor | None, group: int) -> Tensor:
        """Input channels of one convolution group that remain, where ``kept`` positions of the weight's ``dim`` do."""
        across = self.reading.convolution and self.reading.transposed  # dimension 0 runs over all groups
        size = self.weight.shape[dim] // (self.groups if across else 1)
        if kept is None:
            return torch.arange(size, device=self.weight.device)
        kept = kept.to(self.weight.device)
        if not across:
            return kept
        inside = (kept >= group * size) & (kept < (group + 1) * size)
        return kept[inside] - group * size

    def entries(self, channels: Tensor) -> Tensor:
        """Rows of a matrix that belong to input channels (of one group)."""
        return (channels[:, None] * self.kernel + torch.arange(self.kernel, device=channels.device)).flatten()


def drawn(reading: Reading, images: int, most: int, seed: int) -> Tensor:
    """(images, P) output positions, of every image its own; all of them in order where there are few."""
    count = positions_of(reading)
    if count <= most:
        return torch.arange(count).expand(images, -1)
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(images, count, generator=generator).topk(most, dim=1).indices


def positions_of(reading: Reading) -> int:
    """Output positions of one image."""
    if reading.convolution:
        return prod(reading.output.shape[2:])
    return prod(reading.output.shape[1:-1])


def written(reading: Reading, at: Tensor) -> Tensor:
    """(N, P, O): what the layer wrote at positions ``at`` (N, P)."""
    flat = reading.output.flatten(2).transpose(1, 2) if reading.convolution else _tokens(reading.output)
    index = at.to(flat.device)
    return flat.gather(1, index[..., None].expand(-1, -1, flat.shape[-1]))


def read(layer: Linear, at: Tensor) -> list[Tensor]:
    """Per group (N, P, K): the windows that are multiplied with the weights to give the outputs at ``at`` (N, P)."""
    reading = layer.reading
    if not reading.convolution:
        tokens = _tokens(reading.source)
        return [tokens.gather(1, at.to(tokens.device)[..., None].expand(-1, -1, tokens.shape[-1]))]
    source, strides, padding = reading.source, reading.stride, reading.padding
    kernel, dilation = layer.weight.shape[2:], reading.dilation
    if reading.transposed:  # the same as a convolution over a source with zeros between, by the mirrored kernel
        source = _spread(source, strides)
        padding = tuple((d * (k - 1) - p, d * (k - 1) - p) for d, k, (p, _) in zip(dilation, kernel, padding))
        short = [
            o - (s + a + b - d * (k - 1))
            for o, s, (a, b), d, k in zip(reading.output.shape[2:], source.shape[2:], padding, dilation, kernel)
        ]
        padding = tuple((a, b + more) for (a, b), more in zip(padding, short))  # output padding
        strides = (1,) * len(kernel)
    if any(side < 0 for pair in padding for side in pair):
        crop = [max(0, -side) for pair in padding for side in pair]
        for d, (a, b) in enumerate(zip(crop[::2], crop[1::2])):
            source = source.narrow(2 + d, a, source.shape[2 + d] - a - b)
        padding = tuple((max(0, a), max(0, b)) for a, b in padding)
    source = F.pad(source, [side for pair in reversed(padding) for side in pair])
    found = _windows(source, reading.output.shape[2:], at, kernel, strides, dilation)  # (N, P, C, kernel)
    if reading.transposed:
        found = found.flip(-1)
    return [part.flatten(2) for part in found.chunk(layer.groups, dim=2)]


def _windows(
    source: Tensor,
    grid: Sequence[int],
    at: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
) -> Tensor:
    at = at.to(source.device)
    flat = torch.zeros(*at.shape, 1, dtype=torch.long, device=source.device)
    rest, coordinates = at, list[Tensor]()
    for size in reversed(grid):
        coordinates.insert(0, rest % size)
        rest = rest // size
    for d, place in enumerate(coordinates):
        taps = place[..., None] * stride[d] + torch.arange(kernel[d], device=source.device) * dilation[d]  # (N, P, k)
        flat = (flat[..., :, None] * source.shape[2 + d] + taps[..., None, :]).flatten(2)
    n, p, k = flat.shape
    channels = source.shape[1]
    picked = source.flatten(2).gather(2, flat.reshape(n, 1, p * k).expand(-1, channels, -1))
    return picked.reshape(n, channels, p, k).permute(0, 2, 1, 3)


def _spread(source: Tensor, strides: Sequence[int]) -> Tensor:
    sizes = [(s - 1) * stride + 1 for s, stride in zip(source.shape[2:], strides)]
    wide = source.new_zeros(*source.shape[:2], *sizes)
    wide[(slice(None), slice(None), *(slice(None, None, stride) for stride in strides))] = source
    return wide


def _tokens(value: Tensor) -> Tensor:
    return value.reshape(len(value), -1, value.shape[-1])
