"""One walk through the unpruned network, one through the pruned one, refitting every layer that reads a cut group.

The second walk stops at every such layer until all images have come to it: what it reads there has come through the
layers refitted before it, what it should write is known from the first walk. Source: the reconstruction of He, Zhang,
Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017 (arXiv 1707.06168), there for the channels of
a LASSO, here after any criterion, with the pull to the old weights chosen on images set apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import write
from pruning_core.graph.removing.attention import HeadAttention
from pruning_core.mending.equations import Fit, System, fitted, shifted, system
from pruning_core.mending.known import Known, Refit, Step, way
from pruning_core.mending.looking import Looked, Report, look
from pruning_core.mending.statistics import Moments, NormCalls, stretched
from pruning_core.mending.together import Halt, batches, together
from pruning_core.mending.windows import POSITIONS, Linear, read
from pruning_core.probe.readings import Arrivals, Reading
from pruning_core.probe.shadow import shadow

APART = 8  # one image in so many chooses how hard weights are pulled to the old ones
HELD = 1 << 28  # bytes of what the first walk saw that are kept for the next plan


@dataclass(frozen=True, eq=False)
class Mended:
    """``model`` has the shapes of the unpruned network: what the plan removes is zero where it is read.

    Removing the plan's units from it changes nothing more. ``unmended`` says which layers read a cut group and could
    not be refitted, and why. ``forwards``: how often the images went through the whole network. ``solved``: how many of
    the layers were refitted anew, because they were not known.
    """

    model: nn.Module
    layers: tuple[Refit, ...]
    unmended: Mapping[str, str]
    norms: int
    images: int
    seconds: float
    forwards: int
    solved: int


def mend(
    model: nn.Module,
    network: Network,
    plan: Plan,
    images: Tensor,
    *,
    positions: int = POSITIONS,
    seed: int = 0,
    report: Report | None = None,
) -> Mended:
    """Refit every weight that reads a group of ``plan``, once; see :class:`Mender`."""
    network.validate(plan)
    return Mender(model, network, images, groups=plan, positions=positions, seed=seed)(plan, report)


class Mender:
    """Refits every weight that reads a cut group, for one plan after the other; no labels and no gradients are needed.

    ``images`` (N, ...) are inputs of the network, normalised, on its device; at most ``positions`` output positions of
    each are looked at. Plans cut only ``groups``, all of the network's where none are named. Without ``weights`` these
    stay as they are, and only biases and statistics of norms make good what was lost on average. A walk holds, of all
    images, the activations that are still needed where it stands. What is known from plans before is not done again:
    the walk through the unpruned network, and layers up to which nothing is cut otherwise. The caller's model is
    untouched, and must stay as it is. To be called by several threads. Raises UserError for fewer than two images.
    """

    def __init__(
        self,
        model: nn.Module,
        network: Network,
        images: Tensor,
        *,
        groups: Iterable[str] | None = None,
        positions: int = POSITIONS,
        seed: int = 0,
        weights: bool = True,
    ) -> None:
        if len(images) < 2:
            raise UserError("Mending compares images with images set apart. Choose at least two.")
        self.model, self.network, self.images, self.positions = model, network, images, positions
        self.weights = weights
        wanted = None if groups is None else set(groups)
        readers = {m.parameter: m.dim for group in network.groups for m in group.consumers}
        self.dice = {name: seed * 1_000_003 + number for number, name in enumerate(readers)}
        self.read_by = {
            m.parameter: m.dim
            for group in network.groups
            if wanted is None or group.key in wanted
            for m in group.consumers
        }
        self.batches, self.known = batches(images), Known()
        self._looked: Looked | None = None
        self._lock = threading.Lock()

    def __call__(self, plan: Plan, report: Report | None = None) -> Mended:
        """Refit for ``plan``. ``report(what, done, total)`` is called before each layer and may raise.

        Raises UserError when the plan does not fit the network.
        """
        self.network.validate(plan)
        with self._lock:
            return self._mended(plan, report or (lambda what, done, total: None))

    def _mended(self, plan: Plan, report: Report) -> Mended:
        began, seen_before = perf_counter(), self._looked is not None
        looked = self._looked or self._look(report)
        self._looked = looked if looked.bytes <= HELD else None
        stand_in = seen_through(shadow(self.model, change=lambda name, value: value.clone()))
        walk = _Walk(self, plan, looked, tensors_of(stand_in), report)
        walk.refit(stand_in)
        result, tensors = copied(self.model), tensors_of(stand_in)
        write(result, {name: tensors[name] for name in walk.changed if name in tensors})
        return Mended(
            result,
            tuple(walk.layers),
            walk.unmended,
            walk.moved,
            len(self.images),
            perf_counter() - began,
            1 if seen_before else 2,
            walk.solved,
        )

    def _look(self, report: Report) -> Looked:
        dice = {name: self.dice[name] for name in self.read_by}
        return look(seen_through(shadow(self.model)), dice, self.images, self.batches, self.positions, report)


def seen_through(model: nn.Module) -> nn.Module:
    """Attention whose products are single calls: the fused ones hide which weight reads what."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.MultiheadAttention:
                setattr(module, name, HeadAttention.from_pruned(child))
    return model


class _Walk:
    """The second walk, for one plan: ``tensors`` are those of the network that is changed on the way."""

    def __init__(self, by: Mender, plan: Plan, looked: Looked, tensors: Mapping[str, Tensor], report: Report) -> None:
        self.by, self.plan, self.looked, self.tensors, self.report = by, plan, looked, tensors, report
        self.kept = {at: torch.from_numpy(index) for at, index in by.network.kept(plan).items()}
        cut = [by.network.group(key) for key in plan]
        self.readers = {m.parameter: m.dim for group in cut for m in group.consumers}
        self.unmended = {name: why for name, why in looked.unmended.items() if name in self.readers}
        self.changed: set[str] = set()
        self.layers: list[Refit] = []
        self.moved = self.solved = 0
        self.way = b""
        for name in self.unmended:  # where the walk passes these is not to be seen
            self.way = way(self.way, name, self._kept(name))

    def _kept(self, name: str) -> Tensor | None:
        return self.kept.get((name, self.readers[name]))

    @torch.no_grad()
    def refit(self, model: nn.Module) -> None:
        self._silence()
        able = {name: self.tensors[name] for name in self.readers if name not in self.unmended}
        owners = {f"{name}.weight" if name else "weight": module for name, module in model.named_modules()}

        def run(batch: Tensor, halt: Halt[tuple[str, Reading | Tensor]]) -> None:
            def stand(name: str, what: Reading | Tensor) -> None:
                halt((name, what))

            with torch.no_grad(), NormCalls(self.tensors, stand), Arrivals(able, self.looked.shapes, stand):
                model(batch)

        with closing(together(run, [self.by.images[rows] for rows in self.by.batches])) as halts:
            for halted in halts:
                (name,) = {name for name, _ in halted}
                self.way = way(self.way, name, self._kept(name) if name in able else None)
                step = self.by.known[self.way]
                if name in able:
                    self.report("refitting the layers that read what is left", len(self.layers), len(able))
                if step is None:
                    reads = [what for _, what in halted]
                    step = self._solve(name, owners.get(name), reads) if name in able else self._move(name, reads)
                    self.by.known[self.way] = step
                self._take(step)

    def _silence(self) -> None:
        for key, units in self.plan.items():
            for member in self.by.network.group(key).consumers:
                index = torch.from_numpy(member.index[list(units)].reshape(-1))
                tensor = self.tensors[member.parameter]
                tensor.index_fill_(member.dim, index.to(tensor.device), 0)
                self.changed.add(member.parameter)

    def _take(self, step: Step) -> None:
        for name, tensor in step.changed.items():
            self.tensors[name].copy_(tensor)
        self.changed |= step.changed.keys()
        if step.refit is not None:
            self.layers.append(step.refit)
        elif step.changed:
            self.moved += 1

    def _solve(self, name: str, owner: nn.Module | None, reads: list[Reading | Tensor]) -> Step:
        readings = [reading for reading in reads if isinstance(reading, Reading)]
        weight, bias = self.tensors[name], getattr(owner, "bias", None)
        layer, at = Linear(weight, readings[0]), self.looked.at[name]
        free = isinstance(bias, Tensor) or name in self.looked.normed
        new, fits = [], []
        seen = [read(Linear(weight, reading), at[rows]) for reading, rows in zip(readings, self.by.batches)]
        aims = [part.chunk(layer.groups, dim=-1) for part in self.looked.wanted[name]]
        for number, old in enumerate(layer.matrices(weight)):
            entries = layer.entries(layer.inputs(self.readers[name], self._kept(name), number))
            x = [parts[number].index_select(2, entries) for parts in seen]
            fit = self._fit(x, [parts[number] for parts in aims], old[entries].double(), free)
            whole = old.clone()
            whole[entries] = fit.weight.to(old.dtype)
            new.append(whole)
            fits.append(fit)
        self.solved += 1
        changed = {name: layer.whole(new)}
        if isinstance(bias, Tensor):
            changed[name.removesuffix("weight") + "bias"] = torch.cat([fit.shift for fit in fits]).to(bias.dtype)
        return Step(changed, _told(name, fits))

    def _fit(self, x: list[Tensor], y: list[Tensor], old: Tensor, shift: bool) -> Fit:
        if self.by.weights:
            return fitted(*self._systems(x, y), old, shift=shift)
        rows, wanted = (torch.cat([part.flatten(0, 1) for part in parts]) for parts in (x, y))
        return shifted(rows, wanted, old, shift=shift)

    def _systems(self, x: list[Tensor], y: list[Tensor]) -> tuple[System, System]:
        """Of rows (n, P, ...) per batch: from images to fit, and from those set apart."""
        images = len(self.by.images)
        first = images - max(1, images // APART)
        sides: tuple[tuple[list[Tensor], list[Tensor]], ...] = ([], []), ([], [])
        for rows, a, b in zip(self.by.batches, x, y):
            inside = max(0, min(first - rows.start, len(a)))
            for (xs, ys), part in zip(sides, (slice(0, inside), slice(inside, None))):
                if len(a[part]):
                    xs.append(a[part].flatten(0, 1))
                    ys.append(b[part].flatten(0, 1))
        inner, outer = sides
        return system(*inner), system(*outer)

    def _move(self, name: str, reads: list[Reading | Tensor]) -> Step:
        """Move statistics by as much as what is read has moved from one network to the other, on the same images."""
        before, now = self.looked.before.get(name), Moments()
        for x in reads:
            if isinstance(x, Tensor):
                now.add(x)
        if before is None or before.count != now.count or before.same_as(now):
            return Step({})
        scatter = name.removesuffix("running_mean") + "running_var"
        mean, variance = self.tensors[name], self.tensors[scatter]
        return Step(
            {
                name: mean + (now.mean - before.mean).to(mean.dtype),
                scatter: variance * stretched(before.variance, now.variance).to(variance.dtype),
            }
        )


def _told(name: str, fits: list[Fit]) -> Refit:
    """One line for a layer of several convolution groups: mean errors, the largest pull."""
    count = len(fits)
    return Refit(
        name, max(f.pull for f in fits), sum(f.before for f in fits) / count, sum(f.after for f in fits) / count
    )


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
