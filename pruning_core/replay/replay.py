"""Partial re-execution: the scores of a pruned network from one batch's activations of the unpruned one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.graph import Plan, Role
from pruning_core.replay.operators import POSITIONAL, Alive
from pruning_core.replay.program import Program
from pruning_core.replay.steps import NotReplayable, Operations, Size

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


class Replay(Program):
    """Runs batches through the unpruned network once, and through variants of it only where they differ.

    Works for removals in exact groups. Arguments and errors as for ``Program``.
    """

    @cached_property
    def _suffixes(self) -> dict[str, Suffix | None]:
        return {}

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

    def variant(
        self, group: str, drop: Sequence[int], parameters: Mapping[str, Tensor] | None = None
    ) -> Variant | None:
        """The network without units ``drop`` of ``group``; None when only real removal can tell.

        ``parameters`` stand in place of the network's own of these names, whole, before the units go; only those of
        what runs again are looked at.
        """
        suffix = self.suffix(group)
        if suffix is None:
            return None
        gone, silent = self.aligned(group, drop)
        alive = self.network.keep(Plan({group: gone}))
        quiet = np.zeros(len(alive), dtype=bool)
        quiet[self.network.unit_ids[group][list(silent)]] = True
        consumed = {(m.parameter, m.dim) for m in self.network.group(group).consumers}
        names = {n for i in suffix.steps for n in self.steps[i].weights}
        others = self.made_of_others(parameters or {})
        weights = {}
        for name in names:
            t, changed = others.get(name, self.tensors[name]), name in others
            for dim in range(t.dim()):
                unit = self.unit_of.get((name, dim))
                if unit is None:
                    continue
                if (self.made_of.get(name, name), dim) in consumed and quiet[unit].any():
                    t, changed = t.index_fill(dim, self.index(quiet[unit]), 0), True
                if not alive[unit].all():
                    t, changed = t.index_select(dim, self.index(alive[unit])), True
            if changed:
                weights[name] = self.packed(name, t)
        selected = {}
        for r in suffix.reads:
            for d, size in enumerate(self.sizes.get(r, ())):
                if size.units is not None and not alive[size.units].all():
                    selected[r, d] = self.index(alive[size.units])
        return Variant(alive, suffix, weights, selected)

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
        self.run(range(len(self.steps)), env, {}, len(x), self.everything, keep | {self.result})
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
        self.run(variant.suffix.steps, env, variant.weights, batch, variant.alive, {self.result})
        return env.get(self.result, base_scores)  # what changes may lead to other outputs alone


__all__ = ["NotReplayable", "Operations", "Replay", "Suffix", "Variant"]
