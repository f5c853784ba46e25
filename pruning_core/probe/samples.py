"""What a layer reads at random positions: the data of the criteria that reconstruct the next layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from pruning_core.probe.readings import Reading

POSITIONS = 10  # per image, as ThiNet and He et al. draw them
OUTPUTS = 16  # output channels drawn per block of positions, where a layer has more
BLOCK = 64


@dataclass(frozen=True, eq=False)
class Samples:
    """M positions of one consumer: what it reads there of a group's channels, and with which weights.

    A grouped convolution counts as one consumer per convolution group.
    """

    patches: Tensor  # (M, C, f): f = entries per channel under the kernel
    weight: Tensor  # (C, f, O)
    outputs: Tensor  # (M, O): the layer's whole output there, with what other channels add
    wanted: Tensor | None = None  # (M, O): what these channels should add; None for what they add now

    @property
    def target(self) -> Tensor:
        """(M, O) float64: what these channels should add to the output."""
        if self.wanted is not None:
            return self.wanted.double()
        return self.patches.double().flatten(1) @ self.weight.double().flatten(0, 1)

    def contributions(self, seed: int = 0) -> Tensor:
        """(rows, C) float64: what each channel adds to one output entry, for entries drawn at random.

        All outputs are taken where there are few. A row sums to what the channels make of its entry.
        """
        return torch.cat(
            [
                torch.einsum("mcf,cfo->moc", self.patches[rows].double(), self.weight[..., outputs].double()).flatten(
                    0, 1
                )
                for rows, outputs in self._drawn(seed)
            ]
        )

    def targets(self, seed: int = 0) -> Tensor:
        """(rows,) float64: the entries of ``target`` that ``contributions`` draws with the same seed."""
        target = self.target
        return torch.cat([target[rows][:, outputs].flatten() for rows, outputs in self._drawn(seed)])

    def gram(self, seed: int = 0) -> Tensor:
        """(C, C) float64: products of contributions, in units of the energy of what these channels make together."""
        rows = self.contributions(seed)
        gram = rows.T @ rows
        energy = gram.sum()
        return gram / energy if energy > 0 else gram

    def _drawn(self, seed: int) -> Iterator[tuple[slice, Tensor]]:
        total = self.weight.shape[2]
        generator = torch.Generator().manual_seed(seed)
        for start in range(0, len(self.patches), BLOCK):
            drawn = torch.randperm(total, generator=generator)[:OUTPUTS] if total > OUTPUTS else torch.arange(total)
            yield slice(start, start + BLOCK), drawn.to(self.weight.device)


def joined(parts: list[Samples]) -> Samples:
    """The samples of several batches of the same consumer."""
    return Samples(torch.cat([p.patches for p in parts]), parts[0].weight, torch.cat([p.outputs for p in parts]))


def draw(reading: Reading, weight: Tensor, dim: int, index: Tensor, generator: torch.Generator) -> tuple[Samples, ...]:
    """Samples of one batch; ``index`` (C, k) holds the entries along the weight's input dimension per channel.

    Empty for a transposed or a three-dimensional convolution, whose windows this does not cut.
    """
    if not reading.convolution:
        return (_draw_product(reading, weight.movedim(dim, 0), index, generator),)
    if reading.transposed or len(reading.stride) > 2:
        return ()
    return _draw_convolution(reading, weight, index, generator)


def write_back(weight: Tensor, dim: int, index: Tensor, groups: int, group: int, values: Tensor) -> None:
    """Put new slices where ``draw`` cut the old ones, in place: (K, f, O) for ``index`` (K, k) of the channels kept."""
    at = index.flatten()
    if weight.ndim == 2:
        weight.movedim(dim, 0)[at] = values.flatten(0, 1).to(weight.dtype)
        return
    outputs = weight.shape[0] // groups
    new = values.reshape(*index.shape, *weight.shape[2:], outputs).movedim(-1, 0).to(weight.dtype)  # (O, K, k, kernel)
    weight[group * outputs : (group + 1) * outputs, at] = new.flatten(1, 2)


def _draw_product(reading: Reading, rows: Tensor, index: Tensor, generator: torch.Generator) -> Samples:
    """``rows`` (features, O): what each entry of the input is multiplied with."""
    source = reading.source.reshape(len(reading.source), -1, reading.source.shape[-1])  # (N, T, features)
    output = reading.output.reshape(len(source), source.shape[1], -1)
    n, t = len(source), source.shape[1]
    at = torch.randint(t, (n, min(POSITIONS, t)), generator=generator).to(source.device)
    picked = source.gather(1, at[..., None].expand(-1, -1, source.shape[-1])).flatten(0, 1)  # (M, features)
    outputs = output.gather(1, at[..., None].expand(-1, -1, output.shape[-1])).flatten(0, 1)
    return Samples(picked[:, index], rows[index], outputs)


def _draw_convolution(
    reading: Reading, weight: Tensor, index: Tensor, generator: torch.Generator
) -> tuple[Samples, ...]:
    source, output, kernel = reading.source, reading.output, weight
    stride, dilation, padding = reading.stride, reading.dilation, reading.padding
    if len(stride) == 1:  # (N, C, L) is a picture of one row
        source, output, kernel = source.unsqueeze(2), output.unsqueeze(2), weight.unsqueeze(2)
        stride, dilation, padding = (1, *stride), (1, *dilation), ((0, 0), *padding)
    kh, kw = kernel.shape[2:]
    n, _, height, width = output.shape
    count = min(POSITIONS, height * width)
    at = torch.randint(height * width, (n, count), generator=generator).to(source.device)
    y, x = at // width, at % width
    padded = F.pad(source, (*padding[1], *padding[0]))
    rows = y[..., None] * stride[0] + torch.arange(kh, device=at.device) * dilation[0]  # (N, P, kh)
    columns = x[..., None] * stride[1] + torch.arange(kw, device=at.device) * dilation[1]
    image = torch.arange(n, device=at.device)
    windows = padded[image[:, None, None, None], :, rows[..., :, None], columns[..., None, :]]  # (N, P, kh, kw, C_in)
    windows = windows.permute(0, 1, 4, 2, 3).reshape(n * count, -1, kh * kw)  # (M, C_in, kh*kw)
    outputs = output[image[:, None], :, y, x].flatten(0, 1)  # (M, O)
    found = []
    for group, (w, out) in enumerate(zip(kernel.chunk(reading.groups), outputs.chunk(reading.groups, dim=1))):
        channels = index + group * kernel.shape[1]
        patches = windows[:, channels].flatten(2)  # (M, C, k*kh*kw)
        slices = w[:, index].flatten(3).permute(1, 2, 3, 0).flatten(1, 2)  # (C, k*kh*kw, O)
        found.append(Samples(patches, slices, out))
    return tuple(found)
