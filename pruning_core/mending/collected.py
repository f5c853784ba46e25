"""The normal equations of layers as the unpruned network runs: what any cut of what they read needs of the images.

Where only units of one group go, a layer that reads it reads what it read before, without these units: its equations
for the rest are a part of those for all. Layers behind another reader of the same group are taken as if that one still
wrote what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pruning_core.mending.equations import Equations, fitted
from pruning_core.mending.looking import HIDDEN, REUSED, Report
from pruning_core.mending.mend import APART, tensors_of
from pruning_core.mending.statistics import NormCalls, stretched
from pruning_core.mending.windows import Linear, drawn, read, written
from pruning_core.probe.readings import Reading, Readings

BATCH = 64  # images at a time


@dataclass(frozen=True)
class Reader:
    """A layer as it was seen: ``weight`` reads a group along ``dim``; the others are names, where there are such.

    ``norm`` is the running mean of the batch norm that its output goes straight into. ``layer`` holds no activations.
    """

    weight: str
    dim: int
    layer: Linear
    bias: str | None
    norm: str | None

    @property
    def bytes(self) -> int:
        """What its equations take."""
        return sum(2 * 8 * len(matrix) ** 2 for matrix in self.layer.matrices(self.layer.weight))


def seen(model: nn.Module, dims: Mapping[str, int], x: Tensor) -> tuple[dict[str, Reader], dict[str, str]]:
    """The weights named in ``dims`` as one run on ``x`` (n, ...) shows them, and why others cannot be refitted."""
    tensors, owners = (
        tensors_of(model),
        {f"{n}.weight" if n else "weight": module for n, module in model.named_modules()},
    )
    found: dict[str, Reader] = {}
    calls = dict.fromkeys(dims, 0)
    makers: dict[int, tuple[Tensor, str]] = {}

    def note(name: str, reading: Reading) -> None:
        calls[name] += 1
        makers[id(reading.output)] = (reading.output, name)
        if len(reading.output) != len(x):
            return
        still = replace(reading, source=_shape_of(reading.source), output=_shape_of(reading.output))
        has_bias = isinstance(getattr(owners.get(name), "bias", None), Tensor)
        bias = name.removesuffix("weight") + "bias" if has_bias else None
        found[name] = Reader(name, dims[name], Linear(tensors[name], still), bias, None)

    def norm(name: str, source: Tensor) -> None:
        made = makers.get(id(source))
        if made is not None and made[0] is source and made[1] in found:
            found[made[1]] = replace(found[made[1]], norm=name)

    watched = {name: tensors[name] for name in dims if name in tensors}
    with torch.no_grad(), NormCalls(tensors, norm), Readings(watched, note):
        model(x)
    unmended = {name: HIDDEN for name in dims if name not in found}
    unmended |= {name: REUSED for name, count in calls.items() if count > 1}
    return {name: reader for name, reader in found.items() if name not in unmended}, unmended


@dataclass(frozen=True, eq=False)
class Collected:
    """Equations of one layer, per convolution group: from images to fit, and from images set apart."""

    reader: Reader
    fit: tuple[Equations, ...]
    apart: tuple[Equations, ...]

    def refitted(self, tensors: Mapping[str, Tensor], kept: Tensor | None) -> dict[str, Tensor]:
        """What changes when only ``kept`` positions of the weight's dimension are read: tensors by name, whole.

        As :func:`mend` refits a layer: the pull is chosen on images set apart, a bias is refitted, and the batch norm
        right behind moves along. The weight is zero where nothing is read any more.
        """
        reader, layer = self.reader, self.reader.layer
        weight = tensors[reader.weight]
        new, biases, means, stretches = [], [], [], []
        for group, (fit, apart, old) in enumerate(zip(self.fit, self.apart, layer.matrices(weight))):
            entries = layer.entries(layer.inputs(reader.dim, kept, group))
            fit, apart = fit.part(entries), apart.part(entries)
            found = fitted(fit, apart, old[entries].double(), shift=reader.bias is not None or reader.norm is not None)
            whole = torch.zeros_like(old)
            whole[entries] = found.weight.to(old.dtype)
            new.append(whole)
            biases.append(found.shift)
            both = fit + apart
            constant = found.shift if reader.bias is not None else torch.zeros_like(found.shift)
            means.append((both.x @ found.weight - both.y) / max(1, both.rows) + constant)
            around = both.centred()
            now = (found.weight * (around.xx @ found.weight)).sum(0).clamp_min(0)
            stretches.append(stretched(around.yy, now))
        changed = {reader.weight: layer.whole(new)}
        if reader.bias is not None:
            changed[reader.bias] = torch.cat(biases).to(tensors[reader.bias].dtype)
        if reader.norm is not None:
            mean, variance = tensors[reader.norm], tensors[_variance(reader.norm)]
            changed[reader.norm] = mean + torch.cat(means).to(mean.dtype)
            changed[_variance(reader.norm)] = variance * torch.cat(stretches).to(variance.dtype)
        return changed


def collect(
    model: nn.Module, readers: Iterable[Reader], images: Tensor, most: int, dice: Mapping[str, int], report: Report
) -> dict[str, Collected]:
    """One walk of ``images`` (N, ...) through ``model``, looking at ``most`` positions of each, drawn by ``dice``."""
    by_name = {reader.weight: reader for reader in readers}
    tensors = tensors_of(model)
    at = {n: drawn(r.layer.reading, len(images), most, dice[n]) for n, r in by_name.items()}
    first = len(images) - max(1, len(images) // APART)  # of those set apart
    sums: dict[tuple[str, int, bool], Equations] = {}
    for start in range(0, len(images), BATCH):
        report("collecting what layers read and write", start, len(images))
        rows = slice(start, min(start + BATCH, len(images)))

        def note(name: str, reading: Reading, rows: slice = rows) -> None:
            layer, places = Linear(tensors[name], reading), at[name][rows]
            wanted = written(reading, places).chunk(layer.groups, dim=-1)
            for group, (x, y) in enumerate(zip(read(layer, places), wanted)):
                inside = max(0, min(first - rows.start, len(x)))
                for is_apart, part in ((False, slice(0, inside)), (True, slice(inside, None))):
                    if len(x[part]):
                        _add(sums, (name, group, is_apart), x[part].flatten(0, 1), y[part].flatten(0, 1))

        with torch.no_grad(), Readings({n: tensors[n] for n in by_name}, note):
            model(images[rows])

    def parts(name: str, is_apart: bool) -> tuple[Equations, ...]:
        return tuple(sums[name, group, is_apart] for group in range(by_name[name].layer.groups))

    return {name: Collected(reader, parts(name, False), parts(name, True)) for name, reader in by_name.items()}


def _add(sums: dict[tuple[str, int, bool], Equations], at: tuple[str, int, bool], x: Tensor, y: Tensor) -> None:
    if at in sums:
        sums[at].add(x, y)
    else:
        sums[at] = Equations.of(x, y)


def _variance(running_mean: str) -> str:
    return running_mean.removesuffix("running_mean") + "running_var"


def _shape_of(value: Tensor) -> Tensor:
    return torch.empty_like(value, device="meta")
