"""A network under examination: run under a witness, in one of several ways, without leaving a trace on it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pruning_core.graph.capturing.follow import eager_attention
from pruning_core.graph.capturing.recurrent import plain_recurrence
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import named_tensors, switch, tensors_in
from pruning_core.graph.removing.blame import AT
from pruning_core.graph.removing.stand_ins import Reading, StandIns
from pruning_core.graph.removing.witness import WIDE, Belongings, Seen, Witness, WritesThrough
from pruning_core.graph.undisturbed import alone, undisturbed

# shares by which weights are nudged: nothing that jumps moves, and far above what is rounded
NUDGE, COARSE_NUDGE = 1e-7, 1e-2


@dataclass(frozen=True)
class Way:
    """How a network is run. See :class:`pruning_core.graph.removing.witness.Witness`.

    ``shaken``: with something added to every parameter (:class:`pruning_core.graph.removing.stand_ins.Shaking`).
    """

    double: bool = False
    leaky: bool = False
    shaken: bool = False
    hollow: bool = False
    training: bool = False
    keep: bool = False


@dataclass(frozen=True)
class Run:
    """Outputs of one run of a subject, what its witness saw, and the step that each output comes from."""

    subject: Subject
    outputs: list[Tensor]
    seen: Seen
    sources: list[str | int]


class Subject:
    """``module`` must be our own: it is changed while it runs, and is as before afterwards.

    ``values`` are what its tensors are worth, by name; ``foreign`` are tensors of the original that it should not
    reach, ``also`` those that it may reach under the same names.
    """

    def __init__(
        self,
        module: nn.Module,
        stand_ins: StandIns,
        *,
        values: Mapping[str, Tensor] | None = None,
        also: Mapping[str, Tensor] | None = None,
        foreign: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.module, self.stand_ins = module, stand_ins
        self.held = named_tensors(module)
        self.values = self.held if values is None else values
        self.also, self.foreign = also or {}, foreign or {}
        self.seen = Seen()  # by the witness of the last run, also when that failed

    def run(self, arguments: tuple[Any, ...], way: Way, nudged: Reading | None = None) -> Run:
        """Raises whatever the network raises."""
        try:
            return self._run(arguments, way, nudged, guarded=False)
        except WritesThrough:
            return self._run(arguments, way, nudged, guarded=True)

    def _run(self, arguments: tuple[Any, ...], way: Way, nudged: Reading | None, *, guarded: bool) -> Run:
        with alone, undisturbed(self.module), self._presented(way.double) as values:
            witness = Witness(
                Belongings(self.held, also=self.also, foreign=self.foreign),
                stand_in=self._stand_in(values, way, nudged),
                double=way.double,
                leaky=way.leaky,
                hollow=way.hollow,
                keep=way.keep,
                guarded=guarded,
            )
            self.seen = witness.seen
            given = tree_map(lambda v: witness.give(v) if isinstance(v, Tensor) else v, arguments)
            with _noting_where(witness.seen), plainly(self.module), torch.no_grad(), witness:
                switch(self.module, way.training)
                witness.seen.trail.clear()  # how that was done is no part of what the network calls
                out = self.module(*given)
            found = [witness.standing_for(t) for t in tensors_in(out)]
            outputs = [t.detach().clone() for t in found]  # of their own: a returned buffer is put back
        return Run(self, outputs, witness.seen, [witness.source(t) for t in found])

    def _stand_in(self, values: Mapping[str, Tensor], way: Way, nudged: Reading | None) -> Any:
        stand_ins = self.stand_ins if way.shaken else self.stand_ins.steady
        if nudged:
            stand_ins = stand_ins.nudging(nudged, NUDGE if way.double else COARSE_NUDGE)
        if values is self.held and stand_ins.changes_nothing:
            return None
        return lambda name, tensor: stand_ins(name, values.get(name, tensor))

    @contextlib.contextmanager
    def _presented(self, double: bool) -> Iterator[Mapping[str, Tensor]]:
        """What code can see of the tensors' type: float64, when everything is computed in it. Yields their values.

        The memory behind it is never touched; whoever reads gets a stand-in.
        """
        if not double:
            yield self.values
            return
        shown = [(n, t, t.data) for n, t in self.held.items() if type(t) in (Tensor, nn.Parameter) and t.dtype in WIDE]
        values = {n: before for n, _, before in shown} if self.values is self.held else {}
        try:
            for _, tensor, before in shown:
                tensor.data = placeholder(before, WIDE[before.dtype])
            yield {**self.values, **values}
        finally:
            for _, tensor, before in shown:
                tensor.data = before

    @contextlib.contextmanager
    def worth(self, way: Way) -> Iterator[None]:
        """While this lasts, its tensors really are what their stand-ins would be, in their own precision."""
        before = []
        try:
            if way.shaken:
                for name, tensor in self.held.items():
                    new = self.stand_ins(name, tensor)
                    if new is not tensor:
                        before.append((tensor, tensor.data))
                        tensor.data = new.to(tensor.dtype)
            yield
        finally:
            for tensor, data in before:
                tensor.data = data


def stand_in_for(model: nn.Module) -> nn.Module:
    """A copy whose parameters hold nothing: to be run with stand-ins for all of them."""
    return copied(model, {id(p): nn.Parameter(placeholder(p, p.dtype), False) for p in model.parameters()})


def placeholder(like: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory that is asked for, and never touched."""
    if like.layout is not torch.strided:
        raise NotImplementedError("a tensor that is not a plain one")
    return torch.empty_strided(like.size(), like.stride(), dtype=dtype, device=like.device)


@contextlib.contextmanager
def _noting_where(seen: Seen) -> Iterator[None]:
    """An error is told where the network was."""
    try:
        yield
    except Exception as error:
        if seen.operator:
            error.add_note(f"{AT}{seen.operator}")
        raise


@contextlib.contextmanager
def plainly(module: nn.Module) -> Iterator[None]:
    """With the kernels that show every product, and the same random numbers each time; see ``steady_world``."""
    with torch.inference_mode(False), plain_recurrence(module), eager_attention():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        yield
