"""One walk through the unpruned network, one through the pruned one, refitting every layer that reads a cut group.

The second walk stops at every such layer until all images have come to it: what it reads there has come through the
layers refitted before it, what it should write is known from the first walk. Source: the reconstruction of He, Zhang,
Sun, Channel Pruning for Accelerating Very Deep Neural Networks, ICCV 2017 (arXiv 1707.06168), there for the channels of
a LASSO, here after any criterion, with the pull to the old weights chosen on images set apart.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from time import perf_counter

import torch
from torch import Tensor, nn

from pruning_core.errors import UserError
from pruning_core.graph import Network, Plan
from pruning_core.graph.removing.attention import HeadAttention
from pruning_core.mending.equations import Fit, System, fitted, system
from pruning_core.mending.statistics import Moments, NormCalls, stretched
from pruning_core.mending.together import Halt, batches, together
from pruning_core.mending.windows import POSITIONS, Linear, drawn, read, written
from pruning_core.probe.readings import Arrivals, Reading, Readings
from pruning_core.probe.shadow import shadow

Report = Callable[[str, int, int], None]
APART = 8  # one image in so many chooses how hard weights are pulled to the old ones
# Why a layer cannot be refitted
HIDDEN = "what it reads is not to be seen: it runs inside one fused call, or not at all"
REUSED = "it is used several times, and one set of weights cannot follow all uses"


@dataclass(frozen=True)
class Refit:
    """One layer: its errors on images set apart, before and after, as shares of what it should write.

    ``pull`` is how hard the weights were held to the old ones, in mean squares of what the layer reads; infinite where
    nothing was better than the old weights.
    """

    weight: str
    pull: float
    before: float
    after: float


@dataclass(frozen=True, eq=False)
class Mended:
    """``model`` has the shapes of the unpruned network: what the plan removes is zero where it is read.

    Removing the plan's units from it changes nothing more. ``unmended`` says which layers read a cut group and could
    not be refitted, and why. ``forwards``: how often the images went through the whole network.
    """

    model: nn.Module
    layers: tuple[Refit, ...]
    unmended: Mapping[str, str]
    norms: int
    images: int
    seconds: float
    forwards: int = 2


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
    """Refit every weight that reads a group of ``plan``; no labels and no gradients are needed.

    ``images`` (N, ...) are inputs of the network, normalised, on its device; at most ``positions`` output positions of
    each are looked at. The second walk holds, of all of them, the activations that are still needed where it stands.
    ``report(what, done, total)`` is called before each layer and may raise. The caller's model is untouched. Raises
    UserError when the plan does not fit the network, or there are fewer than two images.
    """
    began = perf_counter()
    if len(images) < 2:
        raise UserError("Mending compares images with images set apart. Choose at least two.")
    network.validate(plan)
    work = _Work(network, plan, images, positions, seed, report or (lambda what, done, total: None))
    stand_in = seen_through(shadow(model, change=lambda name, value: value.clone()))
    with torch.no_grad():
        work.look(seen_through(shadow(model)))
        work.refit(stand_in)
    result = copy.deepcopy(model)
    changed = {**dict(stand_in.named_parameters()), **dict(stand_in.named_buffers())}
    with torch.no_grad():
        for name, tensor in [*result.named_parameters(), *result.named_buffers()]:
            if name in work.changed:
                tensor.copy_(changed[name])
    return Mended(result, tuple(work.layers), dict(work.unmended), len(work.moved), len(images), perf_counter() - began)


def seen_through(model: nn.Module) -> nn.Module:
    """Attention whose products are single calls: the fused ones hide which weight reads what."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.MultiheadAttention:
                setattr(module, name, HeadAttention.from_pruned(child))
    return model


@dataclass(eq=False)
class _Work:
    """What is known on the way; one object for both walks."""

    network: Network
    plan: Plan
    images: Tensor
    positions: int
    seed: int
    report: Report
    wanted: dict[str, list[Tensor]] = field(default_factory=dict)  # weight -> (n, P, O) per batch
    shapes: dict[str, torch.Size] = field(default_factory=dict)  # of what a weight writes
    at: dict[str, Tensor] = field(default_factory=dict)  # weight -> (N, P)
    calls: dict[str, int] = field(default_factory=dict)
    normed: set[str] = field(default_factory=set)  # weights whose output goes straight into a batch norm
    before: dict[str, Moments] = field(default_factory=dict)  # what batch norms read in the unpruned network
    moved: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    layers: list[Refit] = field(default_factory=list)
    unmended: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.batches = batches(self.images)
        self.kept = {at: torch.from_numpy(index) for at, index in self.network.kept(self.plan).items()}
        cut = [self.network.group(key) for key in self.plan]
        self.readers = {m.parameter: m.dim for group in cut for m in group.consumers}
        self.gone = {(m.parameter, m.dim): m.index for group in cut for m in group.consumers}

    # -- first walk ----------------------------------------------------------------------------------------------------
    def look(self, model: nn.Module) -> None:
        """What every reader writes at its positions, and what every batch norm reads, in the unpruned network."""
        tensors = tensors_of(model)
        watched = {name: tensors[name] for name in self.readers if name in tensors}
        for rows in self.batches:
            self.report("looking at the unpruned network", rows.start, len(self.images))
            self.calls = dict.fromkeys(watched, 0)
            makers: dict[int, tuple[Tensor, str]] = {}

            def note(
                name: str, reading: Reading, rows: slice = rows, makers: dict[int, tuple[Tensor, str]] = makers
            ) -> None:
                makers[id(reading.output)] = (reading.output, name)
                self.calls[name] += 1
                if self.calls[name] > 1 or len(reading.output) != rows.stop - rows.start:
                    return
                if name not in self.at:
                    self.at[name] = drawn(reading, len(self.images), self.positions, self._dice(name))
                    self.shapes[name] = reading.output.shape
                self.wanted.setdefault(name, []).append(written(reading, self.at[name][rows]))

            def norm(name: str, x: Tensor, makers: dict[int, tuple[Tensor, str]] = makers) -> None:
                made = makers.get(id(x))
                if made is not None and made[0] is x:
                    self.normed.add(made[1])
                known = self.before.setdefault(name, Moments())
                known.add(x)

            with NormCalls(tensors, norm), Readings(watched, note):
                model(self.images[rows])
        for name in self.readers:
            if name not in self.wanted:
                self.unmended[name] = HIDDEN
            elif self.calls.get(name, 0) > 1:
                self.unmended[name] = REUSED

    def _dice(self, name: str) -> int:
        return self.seed * 1_000_003 + list(self.readers).index(name)

    # -- second walk ---------------------------------------------------------------------------------------------------
    def refit(self, model: nn.Module) -> None:
        tensors = tensors_of(model)
        self._silence(tensors)
        able = {name: tensors[name] for name in self.readers if name not in self.unmended}
        owners = {f"{name}.weight" if name else "weight": module for name, module in model.named_modules()}

        def run(batch: Tensor, halt: Halt[tuple[str, Reading | Tensor]]) -> None:
            def stand(name: str, what: Reading | Tensor) -> None:
                halt((name, what))

            with torch.no_grad(), NormCalls(tensors, stand), Arrivals(able, self.shapes, stand):
                model(batch)

        with closing(together(run, [self.images[rows] for rows in self.batches])) as halts:
            for halted in halts:
                (name,) = {name for name, _ in halted}
                if name in able:
                    self.report("refitting the layers that read what is left", len(self.layers), len(able))
                    bias = getattr(owners.get(name), "bias", None)
                    readings = [what for _, what in halted if isinstance(what, Reading)]
                    self._solve(name, tensors[name], bias if isinstance(bias, Tensor) else None, readings)
                else:
                    self._move(name, [what for _, what in halted if isinstance(what, Tensor)], tensors)

    def _silence(self, tensors: dict[str, Tensor]) -> None:
        for group_key, units in self.plan.items():
            for member in self.network.group(group_key).consumers:
                index = torch.from_numpy(member.index[list(units)].reshape(-1)).to(tensors[member.parameter].device)
                tensors[member.parameter].index_fill_(member.dim, index, 0)
                self.changed.add(member.parameter)

    def _solve(self, name: str, weight: Tensor, bias: Tensor | None, readings: list[Reading]) -> None:
        layer, wanted = Linear(weight, readings[0]), self.wanted.pop(name)
        free = bias is not None or name in self.normed
        new, errors, shifts = [], [], []
        seen = [read(Linear(weight, reading), self.at[name][rows]) for reading, rows in zip(readings, self.batches)]
        aims = [part.chunk(layer.groups, dim=-1) for part in wanted]
        for number, old in enumerate(layer.matrices(weight)):
            entries = layer.entries(layer.inputs(self.readers[name], self.kept.get((name, self.readers[name])), number))
            x = [parts[number].index_select(2, entries) for parts in seen]
            y = [parts[number] for parts in aims]
            fit = fitted(*self._systems(x, y), old[entries].double(), shift=free)
            whole = old.clone()
            whole[entries] = fit.weight.to(old.dtype)
            new.append(whole)
            errors.append(fit)
            shifts.append(fit.shift)
        weight.copy_(layer.whole(new))
        self.changed.add(name)
        if bias is not None:
            bias.copy_(torch.cat(shifts).to(bias.dtype))
            self.changed.add(name.removesuffix("weight") + "bias")
        self.layers.append(_told(name, errors))

    def _systems(self, x: list[Tensor], y: list[Tensor]) -> tuple[System, System]:
        """Of rows (n, P, ...) per batch: from images to fit, and from those set apart."""
        first = len(self.images) - max(1, len(self.images) // APART)
        sides: tuple[tuple[list[Tensor], list[Tensor]], ...] = ([], []), ([], [])
        for rows, a, b in zip(self.batches, x, y):
            inside = max(0, min(first - rows.start, len(a)))
            for (xs, ys), part in zip(sides, (slice(0, inside), slice(inside, None))):
                if len(a[part]):
                    xs.append(a[part].flatten(0, 1))
                    ys.append(b[part].flatten(0, 1))
        inner, outer = sides
        return system(*inner), system(*outer)

    def _move(self, name: str, reads: list[Tensor], tensors: dict[str, Tensor]) -> None:
        """Move statistics by as much as what is read has moved from one network to the other, on the same images."""
        before, now = self.before.get(name), Moments()
        for x in reads:
            now.add(x)
        if before is None or before.count != now.count or before.same_as(now):
            return
        mean, variance = tensors[name], tensors[name.removesuffix("running_mean") + "running_var"]
        mean.add_((now.mean - before.mean).to(mean.dtype))
        variance.mul_(stretched(before.variance, now.variance).to(variance.dtype))
        self.moved.add(name)
        self.changed |= {name, name.removesuffix("running_mean") + "running_var"}


def _told(name: str, fits: list[Fit]) -> Refit:
    """One line for a layer of several convolution groups: mean errors, the largest pull."""
    count = len(fits)
    return Refit(
        name, max(f.pull for f in fits), sum(f.before for f in fits) / count, sum(f.after for f in fits) / count
    )


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}
