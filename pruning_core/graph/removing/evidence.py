"""Whether a mistake would have been seen: without that, equal outputs prove nothing.

For every weight that reads a group of the plan it is asked whether reading one channel in another's place would change
what is compared. Gradients answer for all of them at once. Where they say nothing (or cannot be trusted, because code
may tell them what it likes), the weight is nudged that way, and the network runs again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pruning_core.graph.modules import modules_by_name, set_mode, tensors_in
from pruning_core.graph.network import Network, Role
from pruning_core.graph.plan import Plan
from pruning_core.graph.removing.agreement import Agreement, Gap, Unlike, compared
from pruning_core.graph.removing.reference import Reference, Scene
from pruning_core.graph.removing.silence import silenced_members
from pruning_core.graph.removing.stand_ins import Reading
from pruning_core.graph.removing.subject import NUDGE, Run, Subject, Way, plainly
from pruning_core.graph.removing.witness import Seen
from pruning_core.graph.undisturbed import alone, undisturbed

MARGIN = 100  # a mistake must show so many times more than what was seen to differ
FAINT = 1e-15  # what float64 rounds
ROUNDED = 1e-5  # of the terms of a sum in single precision: what is less may be rounding
PART = 64  # entries of every position of a weight that are looked at
JUMP = 1e-2  # a nudge that moves more than this made something jump: that is no evidence of what lies between
DEEPEST = 24  # operators that are walked back from blind outputs
Blindly = list[tuple[str, Reading]]  # weights that read a group, with its key
ALIKE = {"_unsafe_view": "view", "reshape": "view", "_reshape_alias": "view"}


def blind_groups(
    subject: Subject, reference: Reference, network: Network, plan: Plan, scenes: Sequence[Scene], more: Iterable[Scene]
) -> tuple[tuple[str, ...], list[Agreement]]:
    """Groups of which nothing that was compared shows a mistake; ``more`` scenes are looked at while there are any.

    Where outputs are blind, what they are decided by is compared: with how far apart the networks are there.
    Raises Unlike when that is more than rounding.
    """
    inner: list[Agreement] = []
    first = scenes[0]
    blind = readings(network, plan, subject.held)
    unread = sorted(set(plan) - {key for key, _ in blind})
    if not first.ours.seen.detached:
        blind = by_gradients(subject, blind, first.arguments, first.way, first.agreement.max_rel)
    for scene in scenes:
        blind = _by_nudging(subject, scene, blind)
    if blind:
        for scene in more:
            blind = _by_nudging(subject, scene, blind)
            blind = _inside(subject, reference, scene, blind, inner)
            if not blind:
                break
    return tuple(dict.fromkeys([*(key for key, _ in blind), *unread])), inner


def readings(network: Network, plan: Plan, held: Mapping[str, Tensor]) -> Blindly:
    """Every weight of a cut network that reads units which stay, with the key of their group."""
    kept = network.kept(plan)
    found = []
    for key, units in plan.items():
        left = np.setdiff1d(np.arange(network.group(key).size), units)
        for member in silenced_members(network, key):
            if member.role is Role.CARRIER or member.parameter not in held:
                continue
            at = member.index[left]
            if (member.parameter, member.dim) in kept:
                at = np.searchsorted(kept[member.parameter, member.dim], at)
            found.append((key, (member.parameter, member.dim, torch.as_tensor(at))))
    return found


def by_gradients(
    subject: Subject, reading: Sequence[tuple[str, Reading]], arguments: tuple[Any, ...], way: Way, seen: float
) -> Blindly:
    """Those weights of which gradients do not tell that reading a unit in another's place changes the outputs.

    It must change them many times more than what was ``seen`` to differ, for at least half of the units.
    """
    names = {name for _, (name, _, _) in reading if subject.held[name].is_floating_point()}
    try:
        slopes = _slopes(subject, sorted(names), arguments, way)
    except Exception:  # user code may refuse gradients in any way; then the weights are nudged
        return list(reading)
    needed = MARGIN * max(seen, FAINT)
    return [
        (key, (name, dim, at))
        for key, (name, dim, at) in reading
        if name not in slopes or not _tells(*slopes[name], dim, at, needed)
    ]


def _tells(values: Tensor, slopes: Tensor, dim: int, at: Tensor, needed: float) -> bool:
    """Whether exchanging units with their neighbours makes a difference, to the first order, that is no rounding."""

    def by_unit(tensor: Tensor) -> Tensor:
        rows = tensor.movedim(dim, 0).flatten(1)[:, :PART]  # a mistake shows in any part of what reads it
        return rows[at.to(rows.device)].flatten(1).double()

    w, g = by_unit(values), by_unit(slopes)
    if len(at) > 1:
        rounded = g.norm(dim=1)
        w, g = w.roll(1, 0) - w, g - g.roll(1, 0)
        rounded = ROUNDED * (rounded + rounded.roll(1, 0)) * w.norm(dim=1)
    else:
        rounded = ROUNDED * g.norm(dim=1) * w.norm(dim=1)
    change = (w * g).sum(1).abs()
    return float(((change > needed) & (change > rounded)).double().mean()) >= 0.5


def _slopes(
    subject: Subject, names: Sequence[str], arguments: tuple[Any, ...], way: Way
) -> dict[str, tuple[Tensor, Tensor]]:
    """Weights, and the gradient of one random sum of the outputs, each of them as large as its own values are."""
    generator = torch.Generator().manual_seed(0)
    with alone, undisturbed(subject.module), subject.worth(way), plainly(subject.module), torch.enable_grad():
        if any(module.training for module in modules_by_name(subject.module).values()):
            set_mode(subject.module, False)
        tensors = [subject.held[name] for name in names]
        before = [t.requires_grad for t in tensors]
        try:
            for tensor in tensors:
                tensor.requires_grad_()
            out = subject.module(*tree_map(lambda v: v.clone() if isinstance(v, Tensor) else v, arguments))
            total: Tensor | None = None
            for value in tensors_in(out):
                if value.is_floating_point() and value.requires_grad and value.numel():
                    scale = float(value.detach().abs().max()) * value.numel() ** 0.5
                    weights = torch.randn(value.shape, generator=generator).to(value)
                    part = (value * weights).sum() / scale if scale > 0 else None
                    total = part if total is None else total if part is None else total + part
            if total is None or _tells_its_own(total):
                return {}
            found = torch.autograd.grad(total, tensors, allow_unused=True)
            return {n: (t.detach().clone(), g) for n, t, g in zip(names, tensors, found) if g is not None}
        finally:
            for tensor, wanted in zip(tensors, before):
                tensor.requires_grad_(wanted)


def _tells_its_own(total: Tensor) -> bool:
    """Whether gradients pass a function of somebody's own, whose derivative may be anything."""
    seen, waiting = set(), [total.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction) or "FakeQuantize" in type(node).__name__:
            return True
        waiting += [before for before, _ in node.next_functions]
    return False


# -- nudging ----------------------------------------------------------------------------------------------------------
def moved(nudged: Sequence[Tensor], steady: Sequence[Tensor], way: Way, seen: float) -> bool:
    """Whether a nudge moved some floating value, smoothly, and by more than what was ``seen`` to differ explains."""
    floats = [(a, b) for a, b in zip(nudged, steady) if b.is_floating_point() and a.shape == b.shape]
    try:
        gaps: tuple[Gap, ...] = compared([a for a, _ in floats], [b for _, b in floats]).gaps
    except Unlike:
        return False
    if not way.double:
        return any(g.relative > MARGIN * max(seen, torch.finfo(g.dtype).eps) for g in gaps)
    return any(FAINT * MARGIN < g.relative < JUMP and g.relative / NUDGE > MARGIN * seen for g in gaps)


def _by_nudging(subject: Subject, scene: Scene, blind: Blindly) -> Blindly:
    left = []
    for key, reading in blind:
        nudged = subject.run(scene.arguments, scene.way, reading)
        if not moved(nudged.outputs, scene.ours.outputs, scene.way, scene.agreement.max_rel):
            left.append((key, reading))
    return left


# -- walking back from blind outputs ----------------------------------------------------------------------------------
def _inside(subject: Subject, reference: Reference, scene: Scene, blind: Blindly, inner: list[Agreement]) -> Blindly:
    """Compares what the outputs are decided by: the last floating values before them that show the groups."""
    if not blind:
        return blind
    way = replace(scene.way, keep=True)
    ours, theirs = subject.run(scene.arguments, way), reference.subject.run(scene.arguments, way)
    left = [(key, reading, subject.run(scene.arguments, way, reading)) for key, reading in blind]
    for pairs in _back(ours, theirs):
        met = []
        for a, b in pairs:
            mine, its = _value(ours.seen, a), _value(theirs.seen, b)
            if mine is not None and its is not None and mine.shape == its.shape:
                met.append((a, mine, its))
        agreement = compared([m for _, m, _ in met], [i for _, _, i in met])
        if not agreement.is_rounding:
            raise Unlike(f"what the outputs are decided by differs by {agreement.max_rel:.1e} of its largest value")
        inner.append(agreement)
        for each in list(left):
            seen = each[2].seen
            at = [(_value(seen, a), m) for a, m, _ in met if a in seen.results]
            shown = [(v, m) for v, m in at if v is not None]
            if moved([v for v, _ in shown], [m for _, m in shown], way, agreement.max_rel):
                left.remove(each)
        if not left:
            break
    return [(key, reading) for key, reading, _ in left]


def _back(ours: Run, theirs: Run) -> Iterator[list[tuple[int, int]]]:
    """Steps of both runs that correspond to each other, one operator further back from the outputs each time."""
    pairs = {(a, b) for a, b in zip(ours.sources, theirs.sources) if isinstance(a, int) and isinstance(b, int)}
    done: set[tuple[int, int]] = set()
    for _ in range(DEEPEST):
        done |= pairs
        before = set()
        for a, b in pairs:
            one, two = ours.seen.path[a], theirs.seen.path[b]
            if ALIKE.get(one.operator, one.operator) == ALIKE.get(two.operator, two.operator):
                sources = zip(one.sources, two.sources)
                before |= {(p, q) for p, q in sources if isinstance(p, int) and isinstance(q, int)}
        pairs = before - done
        if not pairs:
            return
        yield sorted(pairs)


def _value(seen: Seen, step: int) -> Tensor | None:
    """The floating result of a step, if it has one."""
    return next((v for v in seen.results[step] if v.is_floating_point()), None)
