"""Soft channel pruning (SCP): batch norm and rectifier together say how probably a channel is always off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from pruning_core.allocation.global_threshold import GlobalThreshold
from pruning_core.graph import Network, Plan
from pruning_core.graph.modules import named_tensors
from pruning_core.knobs import Range
from pruning_core.methods.base import Goal, Method, Outcome
from pruning_core.methods.gates import Gates, measuring, opened
from pruning_core.methods.in_paper import UNREAD, InPaper
from pruning_core.methods.phases import Cut, Learnt, Phase, Recover, Train, Within
from pruning_core.methods.staged import staged
from pruning_core.methods.units import Slices, scales, without_scales
from pruning_core.taxonomy import Card, Data, Family, Paper, Published, Time
from pruning_core.training.hooks import Hook, HookSpec, Moment
from pruning_core.training.watch import Watch

TINY = 1e-6  # a scale of zero has no distribution, and a probability of 0 or 1 no logit
RECTIFIERS = ("relu", "hardtanh", "clamp", "threshold")  # by the names of their operators; hardtanh is ReLU6
NO_RECTIFIERS = (
    "This method asks how often a rectifier (ReLU) switches a channel off, and this network has none. Network Slimming "
    "reads batch norms without that, soft filter pruning needs neither."
)


def switched_off(shift: Tensor, scale: Tensor) -> Tensor:
    """Phi(-beta / |gamma|): the probability that a normal number with this mean and deviation is below zero."""
    return 0.5 * (1 + torch.erf(-shift / (scale.abs() * sqrt(2) + TINY)))


@dataclass(frozen=True)
class SoftChannels(HookSpec):
    """Each channel is multiplied by a noisy gate of its probability to be on, and these probabilities are penalised.

    ``strength`` times the mean probability of each group, weighed by what its channels cost. ``temperature``: a low one
    makes the gates nearly 0 or 1. While the network is measured a gate is 0 where the probability to be off is at least
    1 - ``slack``, else 1.
    """

    watches: ClassVar = (
        Watch("off", "Probability that a channel is off", "probability"),
        Watch("closed", "Channels that count as off", "share"),
    )
    strength: Annotated[float, Range(0.0, 100.0, "Penalty on open channels")] = 2.0
    temperature: Annotated[float, Range(0.05, 5.0, "Temperature of the gates")] = 0.5
    slack: Annotated[float, Range(0.001, 0.5, "Slack")] = 0.05

    def begin(self, model: nn.Module, network: Network) -> Hook:
        return _SoftChannels(self, model, network)


class _SoftChannels(Hook):
    def __init__(self, spec: SoftChannels, model: nn.Module, network: Network) -> None:
        self._spec = spec
        tensors = named_tensors(model)
        names = {id(tensor): name for name, tensor in tensors.items()}
        found = scales(model, network)
        self._norms = {
            key: [(each, tensors.get(f"{names[id(each.tensor)].rpartition('.')[0]}.bias")) for each in own]
            for key, own in found.items()
        }
        self._gates = Gates.of(model, network, found)
        full = network.cost().macs
        freed = {key: full - network.cost(Plan({key: (0,)})).macs for key in found if network.group(key).size > 1}
        mean = sum(freed.values()) / max(1, len(freed))
        self._weights = {key: saved / mean if mean else 1.0 for key, saved in freed.items()}

    def off(self) -> dict[str, Tensor]:
        """(C,) by group key. Norms whose channels are added up are one normal number, as if they were independent."""
        return {key: _off(own) for key, own in self._norms.items()}

    def overrides(self, moment: Moment) -> Mapping[str, Tensor]:
        on = {key: 1 - own for key, own in self.off().items()}
        if measuring():
            return self._gates.exchanged(opened(on, self._spec.slack))
        return self._gates.exchanged({key: self._noisy(own) for key, own in on.items()})

    def _noisy(self, on: Tensor) -> Tensor:
        luck = torch.rand_like(on).clamp(TINY, 1 - TINY)
        return torch.sigmoid((on.clamp(TINY, 1 - TINY).logit() + luck.logit()) / self._spec.temperature)

    def penalty(self, moment: Moment) -> Tensor:
        parts = [self._weights.get(key, 1.0) * (1 - own).mean() for key, own in self.off().items()]
        return self._spec.strength * torch.stack(parts).mean()

    @torch.no_grad()
    def watched(self, moment: Moment) -> Mapping[str, Tensor]:
        off = torch.cat(list(self.off().values()))
        return {"off": off, "closed": (off >= 1 - self._spec.slack).float().mean()}

    @torch.no_grad()
    def learnt(self) -> Mapping[str, Tensor]:
        return {key: (1 - own).double().cpu() for key, own in self.off().items()}


def _off(norms: list[tuple[Slices, Tensor | None]]) -> Tensor:
    """(C,) of one group: norms of as many entries a unit are added up; of different ones the least off counts."""
    alike: dict[int, list[tuple[Slices, Tensor | None]]] = {}
    for each, shift in norms:
        alike.setdefault(each.index.shape[1], []).append((each, shift))
    return torch.stack([_sum_off(own) for own in alike.values()]).amin(0)


def _sum_off(norms: list[tuple[Slices, Tensor | None]]) -> Tensor:
    """(C,): a unit that owns several entries of a norm is off when the entry is that is least so."""
    variance = torch.stack([each.rows().square() for each, _ in norms]).sum(0)  # (C, k)
    shifts = [torch.zeros_like(variance) if shift is None else each.rows(shift) for each, shift in norms]
    return switched_off(torch.stack(shifts).sum(0), (variance + TINY**2).sqrt()).amin(1)


@dataclass(frozen=True)
class SoftChannelPruning(Method):
    r"""Train channels together with the probability that batch norm and rectifier switch them off; cut what is off.

    $p_c = \Phi(-\beta_c / |\gamma_c|)$: behind a batch norm a channel is about normal with mean $\beta_c$ and deviation
    $|\gamma_c|$, so this is how probably the rectifier makes it zero. Each channel is multiplied by a noisy gate,
    $\sigma\big((\operatorname{logit}(1-p_c) + \text{noise})/\tau\big)$, and the mean of $1-p_c$ is penalised: scale and
    shift decide together, where a small scale with a large shift is no reason to cut.

    When it fails: without batch norms or without rectifiers. A channel whose norm is followed by an addition is judged
    by the sum, as if its parts were independent. In a few epochs shifts move little, and the budget then cuts channels
    that are off only more often than others.
    """

    card: ClassVar = Card(
        key="scp",
        name="Soft channel pruning (SCP)",
        family=Family.SAMPLING,
        data=Data.TRAINING,
        time=Time.DURING,
        cost="a training with gates, and one after the cut",
        paper=Paper(
            "Operation-Aware Soft Channel Pruning using Differentiable Masks", "Kang, Han", "ICML", 2020, "2007.03938"
        ),
        published=(
            Published("ResNet-56", "CIFAR-10", "93.69 to 93.23 % at 51.5 % fewer FLOPs", "tables of PPSM, 2022", False),
            Published("VGG-16", "CIFAR-10", "93.85 to 93.79 % at 66.2 % fewer FLOPs", "tables of PPSM, 2022", False),
            Published("ResNet-50", "ImageNet", "75.27 % at 54.3 % fewer FLOPs", "tables of PPSM, 2022", False),
        ),
        builds_on=("netslim",),
    )
    outcome: ClassVar = Outcome.SMALLER
    scaled_down: ClassVar[str] = (
        "The idea is that of the paper's abstract; how the gates are relaxed, their temperature, the penalty and the "
        "slack are recalled and not checked. The paper trains from scratch and needs no training after the cut; here "
        "the given network is trained on for a few epochs, and again after the cut."
    )
    in_paper: ClassVar = (
        InPaper("strength", UNREAD),
        InPaper("temperature", "0.5", False),
        InPaper("slack", "0.05", False),
        InPaper("epochs", UNREAD),
    )

    strength: Annotated[float, Range(0.01, 100.0, "Penalty on open channels", log=True)] = 2.0
    temperature: Annotated[float, Range(0.05, 5.0, "Temperature of the gates", log=True)] = 0.5
    slack: Annotated[
        float, Range(0.001, 0.5, "Slack", help="a channel counts as off when it is so with 1 minus this probability")
    ] = 0.05

    def obstacle(self, network: Network) -> str:
        rectified = any(name in operator for operator in network.layout.trail for name in RECTIFIERS)
        return without_scales(network) or ("" if rectified else NO_RECTIFIERS)

    def phases(self, goal: Goal) -> Iterator[Phase]:
        hook = SoftChannels(self.strength, self.temperature, self.slack)
        yield Train(0.5, (hook,), keep="last", name="soft channels")
        to = Within(GlobalThreshold(normalise="none"), staged(goal, 1))
        yield Cut(Learnt(), to, name="what is most probably off")
        yield Recover(name="statistics")
        yield Train(0.5, name="what is left")
