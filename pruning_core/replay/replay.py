"""Partial re-execution: the scores of a pruned network from one batch's activations of the unpruned one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pruning_core.graph import Network, Plan, Role
from pruning_core.measuring.device import bfloat16_is_fast
from pruning_core.measuring.forward import precision
from pruning_core.replay.fusion import FusedConvolution, fused
from pruning_core.replay.operators import POSITIONAL, Alive, run_step
from pruning_core.replay.steps import NotReplayable, Operation, Operations, Register, Size, Weight, record_steps

# channels that one vector or tile of the CPU's kernels holds
_VECTOR = {torch.float32: 16 if torch.cpu._is_avx512_supported() else 8, torch.bfloat16: 32}
PACKED_BYTES = 1 << 28  # sliced weights kept between batches


@dataclass(frozen=True)
class Suffix:
    """What must run again when units of one group go: the steps, and the base registers they read."""

    steps: tuple[int, ...]
    reads: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Variant:
    """One pruned network: which units live, and the weights that change, already sliced."""

    alive: Alive
    suffix: Suffix
    weights: dict[str, Tensor]
    selected: dict[tuple[int, int], Tensor]  # (register, dim) -> kept positions


class Replay:
    """Runs batches through the unpruned network once, and through variants of it only where they differ.

    Works for removals in exact groups. ``dtype`` bfloat16 trades a few flipped predictions for speed; so does ``tile``,
    Winograd's algorithm for 3 x 3 convolutions in float32, very few. ``recorded``: the steps, where they are known
    already. Raises NotReplayable when the network cannot be taken apart into steps.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        example: Tensor,
        *,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        tile: bool = False,
        recorded: Operations | None = None,
    ) -> None:
        self.network, self.device, self.dtype = network, torch.device(device), dtype
        recorded = (recorded or record_steps(model, network, example)).on(self.device)
        self.packs = self.device.type == "cpu" and _kernels_for(dtype)
        tensors = {n: self._placed(t) for n, t in recorded.tensors.items()}
        unit_of: dict[tuple[str, int], NDArray[np.int64]] = dict(network.layout.unit_of)
        self.steps: list[Operation | FusedConvolution] = fused(
            recorded, tensors, unit_of, pack=self.packs, tile=tile and self.packs and dtype == torch.float32
        )
        self.unit_of, self.tensors = unit_of, tensors
        self.convolutions = {s.weight: s for s in self.steps if isinstance(s, FusedConvolution)}
        self.biased = {s.bias: s for s in self.convolutions.values()}
        self.made_of = {name: s.sources[0] for name, s in self.convolutions.items()}
        self.base = {n: self._packed(n, t) for n, t in tensors.items()}
        self.input, self.result = recorded.inputs[0], recorded.result
        self.sizes: dict[int, tuple[Size, ...]] = {}
        for step in self.steps:
            for out, sizes in zip(step.outs, step.sizes):
                self.sizes[out] = sizes
        self.everything = np.ones(recorded.units + 1, dtype=bool)
        self._suffixes: dict[str, Suffix | None] = {}
        self._steps_of_weight: dict[str, list[int]] = {}
        for i, step in enumerate(self.steps):
            for name in step.weights:
                self._steps_of_weight.setdefault(name, []).append(i)

    @classmethod
    def trusted(
        cls, model: nn.Module, network: Network, example: Tensor, *, device: str, recorded: Operations | None = None
    ) -> Self:
        """One that computes as precisely as the network itself. Arguments and errors as for ``Replay``."""
        dtype = torch.float64 if precision(model) is torch.float64 else torch.float32
        return cls(model, network, example, device=device, dtype=dtype, recorded=recorded)

    @classmethod
    def quick(
        cls, model: nn.Module, network: Network, example: Tensor, *, device: str, recorded: Operations | None = None
    ) -> Self | None:
        """One that is quicker than ``trusted`` and less precise; None where nothing is quicker."""
        if precision(model) is not torch.float32 or device != "cpu":
            return None
        if bfloat16_is_fast(device):
            return cls(model, network, example, device=device, dtype=torch.bfloat16, recorded=recorded)
        tiling = cls(model, network, example, device=device, tile=True, recorded=recorded)
        return tiling if any(convolution.tiled for convolution in tiling.convolutions.values()) else None

    # -- preparing ----------------------------------------------------------------------------------------------------
    def _placed(self, t: Tensor) -> Tensor:
        t = t.to(self.device)
        return t.to(self.dtype) if t.is_floating_point() else t

    def _packed(self, name: str, t: Tensor) -> Tensor:
        """Convolution weights and biases in the layout of the kernels that run them."""
        if self.packs and name in self.biased:
            return self.biased[name].pack_bias(t)
        if t.dim() != 4 or not t.is_floating_point():
            return t
        t = t.contiguous(memory_format=torch.channels_last)
        user = self.convolutions.get(name)
        return user.pack(t) if self.packs and user is not None else t

    def suffix(self, group: str) -> Suffix | None:
        """None when removing from this group needs numbers rewritten that steps cannot rewrite."""
        if group not in self._suffixes:
            self._suffixes[group] = self._find_suffix(group)
        return self._suffixes[group]

    def _find_suffix(self, key: str) -> Suffix | None:
        group = self.network.group(key)
        if not group.exact:
            return None
        units = np.zeros(len(self.everything), dtype=bool)
        units[self.network.unit_ids[key]] = True
        consumers = {m.parameter for m in group.members if m.role is Role.CONSUMER}
        carries = {r for r, sizes in self.sizes.items() if any(self._has(s, units) for s in sizes)}
        dirty: set[int] = set()
        again: list[int] = []
        reads: set[int] = set()
        for i, step in enumerate(self.steps):
            touched = any(r in dirty for r in step.reads)
            narrowed = [r for r in step.reads if r in carries and r not in dirty]
            if not step.reads and consumers.intersection(step.sources):
                again.append(i)  # a weight on its way to where it reads the group, such as a transposed one
                dirty.update(step.outs)
                continue
            consumes = bool(narrowed) and (
                bool(consumers.intersection(step.sources)) or not carries.intersection(step.outs)
            )
            if not touched and not consumes:
                continue
            if step.name in POSITIONAL and any(r in carries for r in step.reads):
                return None
            again.append(i)
            dirty.update(step.outs)
            reads.update(r for r in step.reads if r not in dirty)
        return Suffix(tuple(again), tuple(sorted(reads)))

    @staticmethod
    def _has(size: Size, units: NDArray[np.bool_]) -> bool:
        return size.units is not None and bool(units[size.units].any())

    def variant(self, group: str, drop: Sequence[int]) -> Variant | None:
        """The network without units ``drop`` of ``group``; None when only real removal can tell."""
        suffix = self.suffix(group)
        if suffix is None:
            return None
        gone, silent = self._aligned(group, drop)
        alive = self.network.keep(Plan({group: gone}))
        quiet = np.zeros(len(alive), dtype=bool)
        quiet[self.network.unit_ids[group][list(silent)]] = True
        consumed = {(m.parameter, m.dim) for m in self.network.group(group).consumers}
        names = {n for i in suffix.steps for n in self.steps[i].weights}
        weights = {}
        for name in names:
            t, changed = self.tensors[name], False
            for dim in range(t.dim()):
                unit = self.unit_of.get((name, dim))
                if unit is None:
                    continue
                if (self.made_of.get(name, name), dim) in consumed and quiet[unit].any():
                    t, changed = t.index_fill(dim, self._index(quiet[unit]), 0), True
                if not alive[unit].all():
                    t, changed = t.index_select(dim, self._index(alive[unit])), True
            if changed:
                weights[name] = self._packed(name, t)
        selected = {}
        for r in suffix.reads:
            for d, size in enumerate(self.sizes.get(r, ())):
                if size.units is not None and not alive[size.units].all():
                    selected[r, d] = self._index(alive[size.units])
        return Variant(alive, suffix, weights, selected)

    def _aligned(self, group: str, drop: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Units to leave out and units to silence in place.

        Kernels are several times slower on channel counts that do not fill their vectors, so the number that is
        computed is rounded up; the surplus is silenced at its consumers, which gives the same scores.
        """
        size, vector = self.network.group(group).size, _VECTOR.get(self.dtype, 1) if self.packs else 1
        ids = self.network.unit_ids[group]
        if vector == 1 or self.network.layout.silent_producers.intersection(ids.tolist()):
            return tuple(drop), ()
        kept = size - len(drop)
        surplus = min(size, -(-kept // vector) * vector) - kept
        return tuple(drop[surplus:]), tuple(drop[:surplus])

    def _index(self, flags: NDArray[np.bool_]) -> Tensor:
        return torch.as_tensor(np.flatnonzero(flags), device=self.device)

    def per_image(self, register: int) -> bool:
        """Whether the first dimension of a register counts images (a transposed weight has none)."""
        sizes = self.sizes.get(register)
        return sizes is None or (bool(sizes) and sizes[0].slope > 0)

    def bytes_per_image(self, registers: Iterable[int]) -> int:
        """What ``registers`` of the unpruned network take for one image."""
        each = [prod(s.fixed + s.slope for s in self.sizes[r]) for r in registers if r in self.sizes]
        return sum(each) * torch.empty(0, dtype=self.dtype).element_size()

    def share(self, group: str) -> float:
        """Multiply-adds of the layers that run again when units of ``group`` go, as a share of the network's."""
        suffix = self.suffix(group)
        if suffix is None:
            return 1.0
        again = {name.rpartition(".")[0] for i in suffix.steps for name in self.steps[i].sources}
        return sum(self._macs.get(layer, 0) for layer in again) / max(1, sum(self._macs.values()))

    @cached_property
    def _macs(self) -> dict[str, int]:
        return {cost.name: cost.macs for cost in self.network.layer_costs()}

    # -- running ------------------------------------------------------------------------------------------------------
    def needed(self, groups: Iterable[str]) -> set[int]:
        """Registers that some suffix of ``groups`` reads."""
        suffixes = [s for s in map(self.suffix, groups) if s is not None]
        return {r for s in suffixes for r in s.reads}

    @torch.inference_mode()
    def forward(self, x: Tensor, keep: set[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """Scores of the unpruned network for (n, C, H, W), and the registers in ``keep``."""
        x = x.to(self.device, self.dtype)
        env = {self.input: x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x}
        self._run(range(len(self.steps)), env, {}, len(x), self.everything, keep | {self.result})
        return env[self.result], {r: env[r] for r in keep if r in env}

    @torch.inference_mode()
    def scores(self, variant: Variant, base: dict[int, Tensor], batch: int, base_scores: Tensor) -> Tensor:
        """Scores of a variant from the base registers of the same batch."""
        if not variant.suffix.steps:
            return base_scores  # nothing reads these units
        env = {}
        for r in variant.suffix.reads:
            value = base[r]
            for d in range(value.dim()):
                index = variant.selected.get((r, d))
                if index is not None:
                    value = value.index_select(d, index)
            if value.dim() == 4:
                value = value.contiguous(memory_format=torch.channels_last)
            env[r] = value
        self._run(variant.suffix.steps, env, variant.weights, batch, variant.alive, {self.result})
        return env[self.result]

    def _run(
        self,
        order: Iterable[int],
        env: dict[int, Tensor],
        weights: dict[str, Tensor],
        batch: int,
        alive: Alive,
        keep: set[int],
    ) -> None:
        order = tuple(order)
        last: dict[int, int] = {}
        for i in order:
            for r in self.steps[i].reads:
                last[r] = i

        def fill(v: Register | Weight) -> Tensor:
            if isinstance(v, Register):
                return env[v.number]
            return weights[v.name] if v.name in weights else self.base[v.name]

        for i in order:
            step = self.steps[i]
            if isinstance(step, FusedConvolution):
                env[step.outs[0]] = step.run(fill)
            else:
                for out, value in zip(step.outs, run_step(step, fill, batch, alive)):
                    env[out] = value
            for r in step.reads:
                if last[r] == i and r not in keep:
                    env.pop(r, None)


def _kernels_for(dtype: torch.dtype) -> bool:
    """Whether the CPU library has kernels for this type here: older processors have none for bfloat16."""
    if not torch.backends.mkldnn.is_available():
        return False
    return dtype is torch.float32 or (dtype is torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


__all__ = ["NotReplayable", "Operations", "Replay", "Suffix", "Variant"]
