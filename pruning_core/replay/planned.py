"""The scores of a network under any plan, computing again only what the plan changes since the last one.

A sweep removes from one group at a time (:mod:`replay`); a person moves one slider after the other, and the plan has
many groups. Values are kept between plans: one is still right when no group that was summed over on the way to it has
changed, and when it holds at least the channels that are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pruning_core.graph import Plan
from pruning_core.replay.operators import POSITIONAL, Alive
from pruning_core.replay.program import Program

Drop = Mapping[str, frozenset[int]]
NOTHING: frozenset[int] = frozenset()


@dataclass(frozen=True, eq=False)
class Flow:
    """What every step does with the groups: ``consumed`` per step are those it sums over.

    ``carried`` says which groups' channels a register holds, ``upstream`` which groups were summed over to make it.
    """

    consumed: tuple[frozenset[str], ...]
    carried: Mapping[int, frozenset[str]]
    upstream: Mapping[int, frozenset[str]]


@dataclass(frozen=True, eq=False)
class Value:
    """A register of one batch, as it was under a plan: without ``absent`` units, and ``gone`` ones contribute nothing.

    ``absent`` is a part of ``gone``: kernels like round numbers of channels, so some are computed and not read.
    """

    tensor: Tensor
    gone: Drop
    absent: Drop


@dataclass
class Kept:
    """A batch (n, C, H, W), and what is kept of it between plans."""

    x: Tensor
    values: dict[int, Value] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Sliced:
    """A weight without its absent rows and columns; ``key`` says which."""

    key: bytes
    tensor: Tensor


class PlannedReplay(Program):
    """Runs a batch under plans of exact groups. Arguments and errors as for ``Program``."""

    # -- what may be asked ---------------------------------------------------------------------------------------------
    def can(self, plan: Plan) -> bool:
        """Whether leaving out or silencing inside the steps is what removing is; else only real removal can tell."""
        return all(self.network.group(key).exact and not self._stuck(key) for key in plan)

    def _stuck(self, key: str) -> bool:
        """Neither can be left out, nor is silenced where it is read."""
        units = self.network.unit_ids[key].tolist()
        return key not in self._narrow and bool(self.network.layout.silent_producers.intersection(units))

    @cached_property
    def flow(self) -> Flow:
        group_of = np.full(len(self.everything), -1, dtype=np.int64)
        for number, group in enumerate(self.network.groups):
            group_of[self.network.unit_ids[group.key]] = number
        keys = [group.key for group in self.network.groups]
        consumers: dict[str, set[str]] = {}
        for group in self.network.groups:
            for member in group.consumers:
                consumers.setdefault(member.parameter, set()).add(group.key)
        carried = {
            r: frozenset(
                keys[n] for s in sizes if s.units is not None for n in np.unique(group_of[s.units]).tolist() if n >= 0
            )
            for r, sizes in self.sizes.items()
        }
        consumed, upstream = [], {self.input: frozenset[str]()}
        for step in self.steps:
            read_by_weights = {key for name in step.sources for key in consumers.get(name, ())}
            held = {key for r in step.reads if self.per_image(r) for key in carried.get(r, ())}
            made = {key for r in step.outs for key in carried[r]}
            # a weight may be on its way to where it reads the group, such as a transposed one
            ways = [upstream[r] for r in step.reads if not self.per_image(r)]
            read_by_weights = read_by_weights.union(*ways)
            here = frozenset(key for key in held if key in read_by_weights or key not in made)
            if not step.reads:
                here = frozenset(read_by_weights)
            consumed.append(here)
            for r in step.outs:
                upstream[r] = here.union(*(upstream[r] for r in step.reads))
        return Flow(tuple(consumed), carried, upstream)

    @cached_property
    def _narrow(self) -> frozenset[str]:
        """Groups whose channels can be left out: no operator on the way counts along them."""
        fixed = {
            key
            for step in self.steps
            if step.name in POSITIONAL
            for r in step.reads
            for key in self.flow.carried.get(r, ())
        }
        return frozenset(group.key for group in self.network.groups if group.exact and group.key not in fixed)

    # -- running -------------------------------------------------------------------------------------------------------
    def kept(self, x: Tensor) -> Kept:
        x = x.to(self.device, self.dtype)
        return Kept(x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x)

    @torch.inference_mode()
    def planned(self, plan: Plan, batch: Kept, keep: frozenset[int] = frozenset()) -> Tensor:
        """Scores (n, K) of the batch under a plan that ``can`` allows; ``keep`` names registers worth keeping."""
        gone = {key: frozenset(units) for key, units in plan.items()}
        absent = {key: frozenset(self.aligned(key, units)[0]) for key, units in plan.items() if key in self._narrow}
        alive = self.network.keep(Plan(absent))
        quiet = ~self.network.keep(plan) & alive
        order, env = self._needed(gone, absent, alive, batch)
        names = {name for i in order for name in self.steps[i].weights}
        weights = {name: self._slice(name, alive, quiet, plan) for name in names}
        wanted = keep & {r for i in order for r in self.steps[i].outs}
        self.run(order, env, weights, len(batch.x), alive, {self.result, *wanted})
        for r in wanted & env.keys():  # operators may keep back what nobody reads
            batch.values[r] = Value(env[r], gone, absent)
        return env[self.result]

    def worth_keeping(self, bytes_per_image: int) -> frozenset[int]:
        """Registers that take at most so much for each image, the last ones first: they are small and save most."""
        found: set[int] = set()
        itemsize = torch.empty(0, dtype=self.dtype).element_size()
        for step in reversed(self.steps):
            for r in step.outs:
                taken = itemsize * prod(s.fixed + s.slope for s in self.sizes[r])
                if not self.per_image(r):
                    continue
                if taken > bytes_per_image:
                    return frozenset(found)
                bytes_per_image -= taken
                found.add(r)
        return frozenset(found)

    def _needed(self, gone: Drop, absent: Drop, alive: Alive, batch: Kept) -> tuple[list[int], dict[int, Tensor]]:
        """The steps to run, and the registers they start from."""
        env: dict[int, Tensor] = {self.input: batch.x}
        asked, order = {self.result}, list[int]()
        for i in range(len(self.steps) - 1, -1, -1):
            step = self.steps[i]
            missing = [r for r in step.outs if r in asked]
            if not missing:
                continue
            again = False
            for r in missing:
                value = batch.values.get(r)
                if value is None or not self._holds(r, value, gone, absent):
                    again = True
                elif r not in env:
                    env[r] = self._selected(r, value, alive)
            if again:
                order.append(i)
                asked.update(step.reads)
        return order[::-1], env

    def _holds(self, r: int, value: Value, gone: Drop, absent: Drop) -> bool:
        return all(value.gone.get(key, NOTHING) == gone.get(key, NOTHING) for key in self.flow.upstream[r]) and all(
            value.absent.get(key, NOTHING) <= absent.get(key, NOTHING) for key in self.flow.carried.get(r, ())
        )

    def _selected(self, r: int, value: Value, alive: Alive) -> Tensor:
        then = self.network.keep(Plan(value.absent))
        tensor = value.tensor
        for d, size in enumerate(self.sizes[r]):
            if size.units is None:
                continue
            held = size.units[then[size.units]]
            if not alive[held].all():
                tensor = tensor.index_select(d, self.index(alive[held]))
        return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor

    @cached_property
    def _slices(self) -> dict[str, Sliced]:
        return {}

    @cached_property
    def _consumed(self) -> Mapping[tuple[str, int], frozenset[str]]:
        found: dict[tuple[str, int], set[str]] = {}
        for group in self.network.groups:
            for member in group.consumers:
                found.setdefault((member.parameter, member.dim), set()).add(group.key)
        return {at: frozenset(keys) for at, keys in found.items()}

    def _slice(self, name: str, alive: Alive, quiet: NDArray[np.bool_], plan: Plan) -> Tensor:
        tensor = self.tensors[name]
        units = {dim: unit for dim in range(tensor.dim()) if (unit := self.unit_of.get((name, dim))) is not None}
        silent = {
            dim: quiet[unit] for dim, unit in units.items() if (self.made_of.get(name, name), dim) in self._consumed
        }
        flags = [alive[unit] for unit in units.values()] + [~flag for flag in silent.values()]
        if all(flag.all() for flag in flags):
            return self.base[name]
        key = np.packbits(np.concatenate(flags)).tobytes()
        found = self._slices.get(name)
        if found is None or found.key != key:
            for dim, flag in silent.items():
                if flag.any():
                    tensor = tensor.index_fill(dim, self.index(flag), 0)
            for dim, unit in units.items():
                if not alive[unit].all():
                    tensor = tensor.index_select(dim, self.index(alive[unit]))
            found = self._slices[name] = Sliced(key, self.packed(name, tensor))
        return found.tensor
