"""Scoring: one probe of the network feeds all criteria, then each judges every group."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from pruning_core.criteria.base import Criterion, NotScorable, Scores
from pruning_core.criteria.tasks import sloped, task_of
from pruning_core.datasets import Dataset
from pruning_core.errors import UserError
from pruning_core.graph import Group, Member, Network
from pruning_core.probe.evidence import Evidence
from pruning_core.probe.places import kernels, members_at, reads, rows
from pruning_core.probe.site import Need, Place, Site
from pruning_core.probe.trials import NetworkTrial
from pruning_core.work import finished

Verdicts = dict[Criterion, Scores]
UNSEEN = (
    "What reads these channels could not be observed: it runs inside one fused call, or in training only. "
    "Choose a criterion without activations."
)


@dataclass(frozen=True)
class ScoringStep:
    """Progress: ``done`` of ``total`` batches (stage "probe") or verdicts on a group (stage "score")."""

    stage: str
    done: int
    total: int


def score(
    model: nn.Module,
    network: Network,
    criteria: Sequence[Criterion],
    data: Dataset | None = None,
    *,
    images: int = 128,
    batch_size: int = 16,
    seed: int = 0,
) -> Verdicts:
    """Score every group of a captured network by every criterion.

    ``data`` may be None when no criterion needs images; else ``images`` of them are drawn by ``seed``. Nothing of the
    model is touched, and nothing is left on it, also after an error. Raises UserError when data are missing or do not
    fit the model.
    """
    return finished(scoring(model, network, criteria, data, images=images, batch_size=batch_size, seed=seed))


def scoring(
    model: nn.Module,
    network: Network,
    criteria: Sequence[Criterion],
    data: Dataset | None = None,
    *,
    images: int = 128,
    batch_size: int = 16,
    seed: int = 0,
) -> Generator[ScoringStep, None, Verdicts]:
    """As :func:`score`, step by step: yields its progress, returns the verdicts, may be closed at any step."""
    criteria = tuple(dict.fromkeys(criteria))
    chosen = _chosen(criteria, data, images, seed)
    evidence = Evidence(model, network, criteria, chosen, batch_size, seed, task_of(chosen))
    yield from (ScoringStep("probe", done, total) for done, total in evidence.gather())
    values: dict[Criterion, dict[str, Tensor]] = {c: {} for c in criteria}
    missing: dict[Criterion, dict[str, str]] = {c: {} for c in criteria}
    own = dict.fromkeys(criteria, 0.0)
    total = len(network.groups) * len(criteria)
    for done, (group, criterion) in enumerate(product(network.groups, criteria), 1):
        began = time.perf_counter()
        try:
            values[criterion][group.key] = _judge(criterion, group, evidence)
        except NotScorable as reason:
            missing[criterion][group.key] = str(reason)
        own[criterion] += time.perf_counter() - began
        yield ScoringStep("score", done, total)
    return {
        c: Scores(c, values[c], missing[c], own[c] + evidence.seconds(c), evidence.images if c.needs_images else 0)
        for c in criteria
    }


def _chosen(criteria: Sequence[Criterion], data: Dataset | None, images: int, seed: int) -> Dataset | None:
    hungry = [c.card.name for c in criteria if c.needs_images]
    if not hungry:
        return None
    if data is None:
        raise UserError(f"{', '.join(hungry)}: this needs images. Choose a data set, or a criterion without data.")
    return sloped(data.subset(images, seed), seed)


def _judge(criterion: Criterion, group: Group, evidence: Evidence) -> Tensor:
    """(C,) float64 on the CPU: the sum over the group's sites. Raises NotScorable."""
    found = list(sites(criterion, group, evidence))
    if not found:
        raise NotScorable(UNSEEN)
    total = torch.zeros(group.size, dtype=torch.float64)
    for site in found:
        total += criterion.score(site).double().cpu()
    if not bool(torch.isfinite(total).all()):
        raise NotScorable("The scores are not finite numbers: weights or activations overflow.")
    if group.size > 1 and bool((total == total[0]).all()):
        raise NotScorable("All channels are rated alike here, so this criterion cannot choose among them.")
    return total


def sites(criterion: Criterion, group: Group, evidence: Evidence) -> Iterator[Site]:
    """The sites of a group that a criterion looks at; none when it asks for activations that were not observed.

    Raises NotScorable when the group has no such place.
    """
    members = members_at(group, criterion.place, evidence.tensors)
    if not members:
        raise NotScorable(f"No {criterion.place.value}.")
    slopes = evidence.slopes.get(criterion.objective) if criterion.needs.gradients else None
    if slopes is not None:
        members = tuple(m for m in members if m.parameter in slopes.reached)
        if not members:
            raise NotScorable("The loss does not depend on these channels: the network uses them in training only.")
        if slopes.obstacle and criterion.needs & (Need.CURVATURE | Need.PUSH):
            raise NotScorable(slopes.obstacle)
    if criterion.joint:
        yield _site(criterion, group, members, evidence)
        return
    for member in members:
        site = _site(criterion, group, (member,), evidence)
        asks = criterion.needs & (Need.MOMENTS | Need.MAPS)
        if not asks or site.moments is not None or site.observed is not None:
            yield site


def _site(criterion: Criterion, group: Group, members: Sequence[Member], evidence: Evidence) -> Site:
    tensors, needs = evidence.tensors, criterion.needs
    single = "" if criterion.joint else members[0].parameter

    def side_by_side(source: dict[str, Tensor]) -> Tensor:
        zero = (n for n in (m.parameter for m in members) if n not in source)
        found = {**source, **{n: torch.zeros_like(tensors[n]) for n in zero}}
        return torch.cat([rows(found[m.parameter], m).double() for m in members], 1)

    slopes = evidence.slopes.get(criterion.objective)
    spots = [(group.key, m.parameter) for m in members]
    readers = members_at(group, Place.CONSUMER, tensors) if Need.KERNELS in needs else ()
    return Site(
        weight=side_by_side(tensors),
        name=group.key if criterion.joint else f"{group.key}: {single}",
        kernels=tuple(kernels(tensors[m.parameter], m).double() for m in members) if Need.KERNELS in needs else (),
        reads=tuple(reads(tensors[m.parameter], m).double() for m in readers),
        moments=evidence.activity.moments.get((group.key, single)) if Need.MOMENTS in needs else None,
        observed=evidence.observed(criterion, (group.key, single)),
        gradient=side_by_side(slopes.mean) if slopes and Need.GRADIENT in needs else None,
        curvature=side_by_side(slopes.curvature) if slopes and Need.CURVATURE in needs else None,
        push=side_by_side(slopes.push) if slopes and Need.PUSH in needs else None,
        samples=tuple(s for spot in spots for s in evidence.activity.samples(spot)) if Need.SAMPLES in needs else (),
        trial=NetworkTrial(evidence.model, members, lambda: evidence.batches(criterion.trial_images), evidence.task)
        if Need.TRIAL in needs
        else None,
    )
