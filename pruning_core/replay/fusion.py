"""Which recorded steps become one convolution: the batch norm, the addition and the ReLU that follow it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.replay import winograd
from pruning_core.replay.convolution import FusedConvolution
from pruning_core.replay.fold import Fold, Norm
from pruning_core.replay.operators import convolution_parts
from pruning_core.replay.steps import Operation, Operations, Register, Size, Weight

SMALL = 4  # pixels
UnitOf = dict[tuple[str, int], NDArray[np.int64]]


def fused(
    recorded: Operations, tensors: dict[str, Tensor], unit_of: UnitOf, *, pack: bool, tile: bool
) -> list[Operation | FusedConvolution]:
    """The steps with every two-dimensional convolution as a :class:`FusedConvolution`.

    ``pack``: for the kernels of the CPU library; ``tile``: by Winograd's algorithm where that is possible. Folded
    weights and biases are added to ``tensors`` (named after the convolution's weight) and their units to ``unit_of``.
    """
    return _Fuser(recorded, tensors, unit_of, pack, tile).steps()


@dataclass
class _Part:
    """A convolution with what has been folded into it so far; ``outs`` is where its result now stands."""

    fold: Fold
    outs: tuple[int, ...]
    other: int | None = None
    relu: bool = False


class _Fuser:
    """Walks through the steps once; a step that was folded into an earlier one is passed over."""

    def __init__(
        self, recorded: Operations, tensors: dict[str, Tensor], unit_of: UnitOf, pack: bool, tile: bool
    ) -> None:
        self.recorded, self.tensors, self.unit_of, self.pack, self.tile = recorded, tensors, unit_of, pack, tile
        self.users: dict[int, list[int]] = {}
        self.maker: dict[int, int] = {}
        for i, step in enumerate(recorded.steps):
            for r in step.reads:
                self.users.setdefault(r, []).append(i)
            for r in step.outs:
                self.maker[r] = i
        self.folded: set[int] = set()  # steps
        self.placed: set[int] = set(recorded.inputs)  # registers that are there

    def steps(self) -> list[Operation | FusedConvolution]:
        result: list[Operation | FusedConvolution] = []
        for i, step in enumerate(self.recorded.steps):
            if i not in self.folded:
                made = self._convolution(i, step) or step
                result.append(made)
                self.placed.update(made.outs)
        return result

    def _convolution(self, i: int, step: Operation) -> FusedConvolution | None:
        if step.name != "convolution" or step.args[6] or len(step.args[3]) != 2:
            return None
        x, w, b, settings = convolution_parts(step)
        if not isinstance(x, Register) or not isinstance(w, Weight) or self.tensors[w.name].dtype == torch.float64:
            return None
        part = _Part(Fold(w.name, b.name if isinstance(b, Weight) else None), step.outs)
        self._fold_norm(part)
        self._fold_addition(part)
        self._fold_relu(part)
        pixels = None
        if x.number in self.maker:
            sides = self._shape(x.number)[2:]
            part.fold = replace(part.fold, taps=_crop(self.tensors[w.name].shape[2:], settings, sides))
            if not any(slope for _, slope in sides):
                pixels = sides[0][0], sides[1][0]
        weight, bias = part.fold.made(self.tensors)
        name = self._named(f"folded {w.name} {i}", w.name, weight, bias)
        inner = self.unit_of.get((w.name, 1))
        settings |= {
            "outputs": weight.shape[0],
            "whole": settings["groups"] > 1 and (inner is None or bool((inner < 0).all())),
        }
        sizes = self.recorded.steps[self.maker[part.outs[0]]].sizes[:1]
        space = self._small(x.number, sizes[0]) if self.pack and settings["groups"] == 1 else None
        return FusedConvolution(
            x.number,
            part.other,
            name,
            f"{name} bias",
            settings,
            part.relu,
            part.outs,
            sizes,
            part.fold,
            self.pack,
            space,
            pixels,
            self.tile and space is None and _tileable(weight, settings),
        )

    def _named(self, name: str, source: str, weight: Tensor, bias: Tensor) -> str:
        """Put the folded tensors under ``name``, with the units of the weight ``source`` that they were made of."""
        self.tensors[name], self.tensors[f"{name} bias"] = weight, bias
        for dim in (0, 1):
            if (source, dim) in self.unit_of:
                self.unit_of[name, dim] = self.unit_of[source, dim]
        if (source, 0) in self.unit_of:
            self.unit_of[f"{name} bias", 0] = self.unit_of[source, 0]
        return name

    # -- what may be folded in, in this order --------------------------------------------------------------------------
    def _fold_norm(self, part: _Part) -> None:
        step = self._only_user(part)
        if step is None or step.name != "native_batch_norm" or not isinstance(step.args[3], Weight) or step.args[5]:
            return
        gamma, beta, mean, var = (a.name if isinstance(a, Weight) else None for a in step.args[1:5])
        assert mean is not None and var is not None
        part.fold = replace(part.fold, norm=Norm(gamma, beta, mean, var, step.args[7]))
        self._fold(part, step, step.outs[:1])

    def _fold_addition(self, part: _Part) -> None:
        step = self._only_user(part)
        if step is None or step.name not in ("add", "add_") or len(step.reads) != 2 or len(step.args) != 2:
            return
        partner = next(r for r in step.reads if r != part.outs[0])
        if not step.kwargs and partner in self.placed and self._same_shape(partner, part.outs[0]):
            part.other = partner
            self._fold(part, step, step.outs)

    def _fold_relu(self, part: _Part) -> None:
        step = self._only_user(part)
        if step is not None and step.name in ("relu", "relu_"):
            part.relu = True
            self._fold(part, step, step.outs)

    def _fold(self, part: _Part, step: Operation, outs: tuple[int, ...]) -> None:
        self.folded.add(self.maker[step.outs[0]])
        part.outs = outs

    def _only_user(self, part: _Part) -> Operation | None:
        using = self.users.get(part.outs[0], [])
        return self.recorded.steps[using[0]] if len(using) == 1 and part.outs[0] != self.recorded.result else None

    # -- shapes --------------------------------------------------------------------------------------------------------
    def _small(self, x: int, out: tuple[Size, ...]) -> tuple[int, int, int, int] | None:
        """(H, W, H', W') when both maps hold at most ``SMALL`` pixels."""
        if x not in self.maker:
            return None
        (h, a), (w, b) = self._shape(x)[2:]
        if a or b or h * w > SMALL or out[2].fixed * out[3].fixed > SMALL:
            return None
        return h, w, out[2].fixed, out[3].fixed

    def _shape(self, r: int) -> list[tuple[int, int]]:
        step = self.recorded.steps[self.maker[r]]
        return [(s.fixed, s.slope) for s in step.sizes[step.outs.index(r)]]

    def _same_shape(self, a: int, b: int) -> bool:
        return a in self.maker and self._shape(a) == self._shape(b)


def _tileable(weight: Tensor, settings: dict[str, Any]) -> bool:
    plain = (settings["stride"], settings["padding"], settings["dilation"], settings["groups"])
    return weight.shape[2:] == (3, 3) and plain == ([1, 1], [1, 1], [1, 1], 1) and winograd.worthwhile(weight)


def _crop(
    kernel_size: Sequence[int], settings: dict[str, Any], space: list[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """(first, count) of the kernel positions per side that do not only ever meet padding: on a 1x1 map, one of three.

    ``settings`` get the padding that is right for them.
    """
    padding, taps = list(settings["padding"]), []
    for axis, (kernel, (size, slope)) in enumerate(zip(kernel_size, space)):
        step, spread = settings["stride"][axis], settings["dilation"][axis]
        taps.append((0, kernel))
        if slope or padding[axis] == 0:
            continue
        starts = range(-padding[axis], size + padding[axis] - spread * (kernel - 1), step)
        used = [k for k in range(kernel) if any(0 <= s + k * spread < size for s in starts)]
        first, last = used[0], used[-1]
        shift = padding[axis] - first * spread
        # the same padding on both sides must still give the same outputs
        outputs = (size + 2 * shift - spread * (last - first)) + step - 1
        if shift >= 0 and outputs // step == len(starts):
            taps[axis], padding[axis] = (first, last - first + 1), shift
    settings["padding"] = padding
    return tuple(taps)
