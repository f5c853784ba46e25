"""Mending the layers that read what is left, as ThiNet and He et al. do after selecting."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Iterator

import torch
from torch import Tensor, nn

from pruning_core.criteria.base import Reconstructing
from pruning_core.criteria.engine import ScoringStep
from pruning_core.datasets import Dataset
from pruning_core.graph import Group, Network, Plan
from pruning_core.graph.copies import copied
from pruning_core.graph.modules import write
from pruning_core.probe.activity import Activity, Spot
from pruning_core.probe.places import index_of, members_at
from pruning_core.probe.samples import Samples, write_back
from pruning_core.probe.shadow import shadow
from pruning_core.probe.site import Place
from pruning_core.work import finished


def rebuild(
    model: nn.Module,
    network: Network,
    plan: Plan,
    criterion: Reconstructing,
    data: Dataset,
    *,
    images: int = 128,
    batch_size: int = 16,
    seed: int = 0,
) -> nn.Module:
    """A copy of the model, of the same shapes, without the plan's units and with the next layers' weights refitted.

    Removing the plan's units from it changes nothing more. The caller's model is untouched.
    """
    return finished(rebuilding(model, network, plan, criterion, data, images=images, batch_size=batch_size, seed=seed))


def rebuilding(
    model: nn.Module,
    network: Network,
    plan: Plan,
    criterion: Reconstructing,
    data: Dataset,
    *,
    images: int = 128,
    batch_size: int = 16,
    seed: int = 0,
) -> Generator[ScoringStep, None, nn.Module]:
    """As :func:`rebuild`, yielding after each group; group by group in the order of execution.

    Every layer is fitted to what it wrote in the original network, reading what the network pruned so far gives it. A
    layer that cannot be sampled (inside a fused call) only loses its slices.
    Raises UserError when the plan does not fit the network.
    """
    network.validate(plan)
    groups = [g for g in network.groups if g.key in plan]
    changed = {m.parameter for g in groups for m in g.consumers}
    chosen = data.subset(images, seed)
    original = shadow(model)
    current = shadow(model, change=lambda name, value: value.clone() if name in changed else value)
    weight = next(p for p in current.parameters() if p.is_floating_point())

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        return chosen.batches(batch_size, weight.device, weight.dtype)

    before = {
        spot: tuple(s.outputs for s in found)
        for spot, found in _samples(original, groups, criterion, batches(), seed).items()
    }
    tensors = {**dict(current.named_parameters()), **dict(current.named_buffers())}
    for done, group in enumerate(groups, 1):
        now = _samples(current, [group], criterion, batches(), seed)
        with torch.no_grad():
            _mend(tensors, group, plan[group.key], criterion, before, now)
        yield ScoringStep("rebuild", done, len(groups))
    result = copied(model)
    write(result, {name: tensors[name] for name in changed if name in tensors})
    return result


def _samples(
    model: nn.Module,
    groups: list[Group],
    criterion: Reconstructing,
    batches: Iterator[tuple[Tensor, Tensor]],
    seed: int,
) -> dict[Spot, tuple[Samples, ...]]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    activity = Activity(groups, tensors, [criterion], seed)
    for x, _ in batches:
        with torch.no_grad(), activity.watch():
            model(x)
    spots = [(g.key, m.parameter) for g in groups for m in members_at(g, Place.CONSUMER, tensors)]
    return {spot: activity.samples(spot) for spot in spots}


def _mend(
    tensors: dict[str, Tensor],
    group: Group,
    drop: tuple[int, ...],
    criterion: Reconstructing,
    before: dict[Spot, tuple[Tensor, ...]],
    now: dict[Spot, tuple[Samples, ...]],
) -> None:
    """Refit the kept slices of every weight that reads the group, and zero the others, in place."""
    for member in group.consumers:
        weight = tensors[member.parameter]
        index = index_of(member, weight.device)
        gone = torch.tensor(drop, device=weight.device)
        kept = (
            torch.ones(group.size, dtype=torch.bool, device=weight.device).index_fill_(0, gone, False).nonzero()[:, 0]
        )
        spot = (group.key, member.parameter)
        found = now.get(spot, ())
        for part, (samples, wrote) in enumerate(zip(found, before.get(spot, ()))):
            # what other channels now add to the outputs is out of these channels' hands
            wanted = wrote.double() - samples.outputs.double() + samples.target
            values = criterion.reconstruct(dataclasses.replace(samples, wanted=wanted), kept)
            write_back(weight, member.dim, index[kept], len(found), part, values)
        weight.index_fill_(member.dim, index[gone].flatten(), 0)
